# SPDX-License-Identifier: MIT
"""What side_by_side.py compares: how each stack is run once, and what that run says.

A run is a dict of gbps or requests_per_s, p50_us and p99_us; and server_cpu and client_cpu, which
are seconds a GB of payload or us a request; None where a stack has no such figure."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

HANG_S = 60  # much longer than any run

# The TCP port is taken between looking for it and listening at it: very rarely.
IPERF_ATTEMPTS = 3


class Failed(Exception):
    """A run that did not work, with what the program said."""


class Load:
    """One kind of work, by the words that spate-bench and the peers have for it."""

    def __init__(self, name, title, words):
        self.name = name
        self.title = title
        self.words = words
        self.is_bulk = words[0] == 'bulk'
        self.is_up = 'up' in words


LOADS = [
    Load('bulk-down', 'bulk, server to client, one stream', ['bulk', '--direction', 'down']),
    Load('bulk-up', 'bulk, client to server, one stream', ['bulk', '--direction', 'up']),
    Load('rr-1', 'requests, 1 in flight, 64 B and 64 B back',
         ['rr', '--inflight', '1', '--request', '64', '--response', '64']),
    Load('rr-100', 'requests, 100 in flight, 64 B and 1024 B back',
         ['rr', '--inflight', '100', '--request', '64', '--response', '1024']),
]


class Setting:
    """What is the same for all runs: where the programs are, how long, on which CPUs."""

    def __init__(self, build, seconds, warmup, cpus, folder):
        self.build = pathlib.Path(build)
        self.seconds = seconds
        self.warmup = warmup
        self.server_cpu, self.client_cpu = cpus
        self.cert = pathlib.Path(folder) / 'cert.pem'
        self.key = pathlib.Path(folder) / 'key.pem'

    def words(self):
        return ['--seconds', str(self.seconds), '--warmup', str(self.warmup), '--server-cpu',
                str(self.server_cpu), '--client-cpu', str(self.client_cpu)]

    def make_certificate(self):
        """Returns why there is none, or None."""
        if shutil.which('openssl') is None:
            return 'no openssl command to make a certificate with'
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
             '-nodes', '-days', '2', '-subj', '/CN=spate bench', '-addext',
             'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', self.key, '-out', self.cert],
            check=True, stdin=subprocess.DEVNULL, capture_output=True)
        return None


def run_json(words):
    words = list(map(str, words))
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=HANG_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f'{" ".join(words)}: not done after {HANG_S} s') from error
    if done.returncode != 0:
        raise Failed(f'{" ".join(words)}: {done.stderr.strip() or done.returncode}')
    return json.loads(done.stdout)


def figures(load, result):
    """A run, from the names that spate-bench and the peers share."""
    cpu = 'cpu_s_per_gb' if load.is_bulk else 'cpu_us_per_request'
    if not result['server'][cpu] or not result['client'][cpu]:
        raise Failed(f'{load.title}: nothing came through; is the machine busy?')
    return {
        'gbps': result['gbps'] if load.is_bulk else None,
        'requests_per_s': result['requests_per_s'],
        'p50_us': result['p50_us'],
        'p99_us': result['p99_us'],
        'server_cpu': result['server'][cpu],
        'client_cpu': result['client'][cpu],
    }


def check_cipher(name):
    if not re.search('AES.?128.?GCM', name, re.I):
        raise Failed(f'not AES-128-GCM but {name}')


class Spate:
    """By default, or with more options, for some of the loads."""

    def __init__(self, name='spate', title='spate', words=(), loads=('bulk', 'rr')):
        self.name = name
        self.title = title
        self.more = words
        self.loads = loads

    def does(self, load):
        return load.words[0] in self.loads

    def missing(self, setting):
        program = setting.build / 'bench/load/spate-bench'
        return None if program.is_file() else f'{program} is not built'

    def run(self, setting, load):
        result = run_json([setting.build / 'bench/load/spate-bench', *load.words,
                           *setting.words(), '--cipher', 'aes-128-gcm', *self.more, '--json', '-'])
        check_cipher(result['config']['cipher'])
        return figures(load, result)


class Limit:
    """What the kernel and the cipher allow, each alone, over the same rings and sockets: no stack.
    See bench/README.md, "The limit"."""

    def __init__(self, name, title, command):
        self.name = name
        self.title = title
        self.command = command

    def does(self, load):
        return load.words[0] == self.command

    def missing(self, setting):
        return None  # the same program as spate's

    def run(self, setting, load):
        result = run_json([setting.build / 'bench/load/spate-bench', 'limit', '--runs', '1',
                           '--seconds', setting.seconds, '--server-cpu', setting.server_cpu,
                           '--client-cpu', setting.client_cpu, '--cipher', 'aes-128-gcm',
                           *self.words(load), '--json', '-'])
        check_cipher(result['config']['cipher'])
        return self.figures(result)


class BulkLimit(Limit):
    def words(self, load):
        return ['--direction', 'up' if load.is_up else 'down']

    def figures(self, result):
        """A datagram costs each side so many ns, kernel and cipher."""
        sender = result['kernel_send_ns'] + result['seal_ns']
        receiver = result['kernel_receive_ns'] + result['open_ns']
        is_up = result['config']['direction'] == 'up'
        server, client = (receiver, sender) if is_up else (sender, receiver)
        payload = result['limit_payload_bytes']
        return {'gbps': result['limit_gbps'], 'requests_per_s': None, 'p50_us': None,
                'p99_us': None, 'server_cpu': server / payload, 'client_cpu': client / payload}


class EchoLimit(Limit):
    """One datagram each way, both ends polling: there is no CPU figure."""

    def does(self, load):
        return load.name == 'rr-1'

    def words(self, load):
        return ['--request', '64', '--response', '64']

    def figures(self, result):
        return {'gbps': None, 'requests_per_s': 1e6 / result['floor_spin_p50_us'],
                'p50_us': result['floor_spin_p50_us'], 'p99_us': result['floor_spin_p99_us'],
                'server_cpu': None, 'client_cpu': None}


class Peer:
    """A program of ours around a library that is not."""

    def __init__(self, name, title, program, words=()):
        self.name = name
        self.title = title
        self.program = program
        self.more = words

    def does(self, load):
        return True

    def missing(self, setting):
        program = setting.build / 'bench/peers' / self.program
        if not program.is_file():
            return f'{program} is not built: see the option "peers" of meson'
        if '--plain' in self.more or setting.cert.exists():
            return None
        return setting.make_certificate()

    def run(self, setting, load):
        result = run_json([setting.build / 'bench/peers' / self.program, *load.words,
                           *setting.words(), '--cert', setting.cert, '--key', setting.key,
                           *self.more])
        if '--plain' not in self.more:
            check_cipher(result['cipher'])
        return figures(load, result)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_for_exit(process):
    """What the process has used of the CPU, s; it is killed if it hangs."""
    end = time.monotonic() + HANG_S
    while time.monotonic() < end:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        time.sleep(0.005)
    process.kill()
    process.wait()
    raise Failed(f'{" ".join(process.args)}: not done after {HANG_S} s')


class Iperf3:
    """Plain TCP.  Its processes are counted whole, with start and end: there is no warm-up, and no
    other way to know what both have used."""
    name = 'iperf3'
    title = 'TCP, no cipher, iperf3'

    def does(self, load):
        return load.is_bulk

    def missing(self, setting):
        return None if shutil.which('iperf3') else 'iperf3 is not installed'

    def run(self, setting, load):
        for attempt in range(IPERF_ATTEMPTS):
            try:
                return self.run_once(setting, load, str(free_port()))
            except Failed:
                if attempt == IPERF_ATTEMPTS - 1:
                    raise

    def run_once(self, setting, load, port):
        # It knows whole seconds only; for less, bytes that a machine should move in that time.
        seconds = setting.seconds + setting.warmup
        length = (['-t', str(round(seconds))] if seconds >= 1 else
                  ['-n', str(int(seconds * 2e9))])
        server_words = ['iperf3', '-s', '-1', '-B', '127.0.0.1', '-p', port, '-A',
                        str(setting.server_cpu), '--forceflush']
        client_words = ['iperf3', '-c', '127.0.0.1', '-p', port, '-A', str(setting.client_cpu),
                        '-J', '-P', '1', *length, *([] if load.is_up else ['-R'])]
        server = subprocess.Popen(server_words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        try:
            for line in server.stdout:
                if 'listening' in line:
                    break
            else:
                raise Failed('iperf3 -s does not listen')
            client = subprocess.Popen(client_words, stdin=subprocess.DEVNULL, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            try:
                out = client.stdout.read()
                client_s = wait_for_exit(client)
            finally:
                client.stdout.close()
            if client.returncode != 0:
                raise Failed(f'{" ".join(client_words)}: {out.strip()}')
            server.stdout.read()
            server_s = wait_for_exit(server)
        finally:
            server.stdout.close()
            if server.returncode is None:
                server.kill()
                server.wait()
        received = json.loads(out)['end']['sum_received']
        gb = received['bytes'] / 1e9
        return {'gbps': received['bits_per_second'] / 1e9, 'requests_per_s': None, 'p50_us': None,
                'p99_us': None, 'server_cpu': server_s / gb, 'client_cpu': client_s / gb}


# In the order of the rows.  The first is what the others are compared with.
STACKS = [
    Spate(),
    Peer('ngtcp2', 'ngtcp2, GnuTLS', 'peer-ngtcp2'),
    Peer('tls', 'TLS 1.3 over TCP, OpenSSL', 'peer-tcp'),
    Iperf3(),
    Peer('tcp', 'TCP, no cipher', 'peer-tcp', ['--plain']),
    Spate('spate-asleep', 'spate, --spin 0', ['--spin', '0'], ['rr']),
    Spate('spate-8900', 'spate, --mtu 8900', ['--mtu', '8900'], ['bulk']),
    Spate('spate-65507', 'spate, --mtu 65507', ['--mtu', '65507'], ['bulk']),
    BulkLimit('limit', 'the limit: kernel and cipher', 'bulk'),
    EchoLimit('limit', 'the limit: an echo, polling', 'rr'),
]

# What a reader must know before comparing.
DIFFERENCES = """\
- spate and ngtcp2 are QUIC over UDP, in datagrams of 1472 bytes where nothing else is said.  TCP
  has segments of up to 64 KiB over loopback, which no other network carries: compare it with the
  large datagrams of spate too.  Loopback computes no checksum of either.
- All ciphers are AES-128-GCM: spate's own where the CPU has VAES (otherwise OpenSSL's), OpenSSL's
  in TLS over TCP (records of 16 KB, each one write; 256 KiB read ahead), GnuTLS's in ngtcp2.  TCP
  has none.
- ngtcp2 is driven by a loop of ours: UDP_SEGMENT, UDP_GRO, recvmmsg, payload lent and not copied,
  3 MiB of credit, CUBIC, no pacing, an ACK for up to 40 packets.
- Requests over QUIC have a stream each, and the answers come in any order.  Over TCP they share one
  connection, pipelined; all that one read brought is answered by one write, in order.  That costs
  less, and one lost segment holds up all of them.
- Each side is one thread on its own CPU.  Everybody sleeps at once while there is nothing to do,
  but for spate, which polls for a while first: `--spin 0` is spate without that.
- TCP without a cipher comes twice: by iperf3, and by the program that does TLS too, which was seen
  to be up to twice as fast where the server sends.  Compare with the better one.
- CPU is user and system time of both processes in the measured part.  iperf3 has no figure for
  that: its processes are counted from start to end, and so are their bytes.
"""
