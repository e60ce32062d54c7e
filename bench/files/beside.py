# SPDX-License-Identifier: MIT
"""What people copy files with today: each function starts a server on 127.0.0.1 and returns the
rows of `Bench.compare()`, or none where the programs are not installed.  Nothing outside of the
bench's own folder is written but, by root for sshd, the empty folder /run/sshd."""
import os
import shutil
import socket
import subprocess
import sys
import time

WAIT_S = 5


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def wait_for(port, name):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(('127.0.0.1', port)) == 0:
                return
        time.sleep(0.02)
    sys.exit(f'{name} does not start')


def has(*programs):
    missing = [name for name in programs if shutil.which(name, path=SEARCHED) is None]
    if missing:
        print(f'left out, not installed: {", ".join(missing)}', file=sys.stderr)
    return not missing


# Servers of the distribution are where a user's shell does not look.
SEARCHED = os.environ.get('PATH', '') + ':/usr/sbin'


def which(name):
    return shutil.which(name, path=SEARCHED)


def rsync(bench):
    """Returns the daemon and its address, or (None, None)."""
    if not has('rsync'):
        return None, None
    port = free_port()
    config = bench.top / 'rsyncd.conf'
    config.write_text(f'use chroot = no\n[r]\npath = {bench.www}\nread only = no\n'
                      f'uid = {os.getuid()}\ngid = {os.getgid()}\n')
    server = bench.start([which('rsync'), '--daemon', '--no-detach', '--address=127.0.0.1',
                          f'--port={port}', f'--config={config}'])
    wait_for(port, 'rsync')
    return server, f'rsync://127.0.0.1:{port}/r'


def nginx(bench, file):
    """HTTP over TLS 1.3, AES-128-GCM, sendfile as nginx would use it; curl writes the file."""
    if not has('nginx', 'curl'):
        return []
    port, top = free_port(), bench.top
    subprocess.run([bench.spate, 'cert', '--cert-out', top / 'cert.pem', '--key-out',
                    top / 'key.pem'], check=True, stdout=subprocess.DEVNULL)
    config = top / 'nginx.conf'
    paths = '\n'.join(f'{kind}_temp_path {top}/nginx-{kind};'
                      for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    config.write_text(f"""
daemon off; master_process off; pid {top}/nginx.pid; error_log {top}/nginx.log;
events {{ }}
http {{
{paths}
access_log off; sendfile on; tcp_nopush on;
server {{
    listen 127.0.0.1:{port} ssl; root {bench.www};
    ssl_certificate {top}/cert.pem; ssl_certificate_key {top}/key.pem;
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
}} }}
""")
    server = bench.start([which('nginx'), '-e', top / 'nginx.log', '-c', config])
    wait_for(port, 'nginx')
    return [('nginx and curl, TLS 1.3', ['curl', '-sSfk', f'https://127.0.0.1:{port}/{file.name}',
                                         '-o', bench.out / file.name], server)]


def scp(bench, file):
    """From and to a server of one's own, with keys made for it, AES-128-GCM."""
    if not has('sshd', 'ssh-keygen', 'scp'):
        return []
    port, top = free_port(), bench.top
    for name in ('host', 'user'):
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', top / name],
                       check=True)
    config = top / 'sshd.conf'
    config.write_text(f'Port {port}\nListenAddress 127.0.0.1\nHostKey {top}/host\nUsePAM no\n'
                      f'PidFile {top}/sshd.pid\nAuthorizedKeysFile {top}/user.pub\n'
                      'StrictModes no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n')
    if os.getuid() == 0:
        os.makedirs('/run/sshd', exist_ok=True)  # sshd refuses to start without it
    server = bench.start([which('sshd'), '-D', '-e', '-f', config], stderr=subprocess.DEVNULL)
    wait_for(port, 'sshd')
    words = ['scp', '-q', '-P', port, '-i', top / 'user', '-c', 'aes128-gcm@openssh.com',
             '-F', 'none', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null',
             '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes']
    return [('scp from the server', [*words, f'127.0.0.1:{file}', bench.out], server),
            ('scp to the server', [*words, file, f'127.0.0.1:{bench.www / "in"}'], server)]
