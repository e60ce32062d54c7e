# SPDX-License-Identifier: MIT
"""Captures a run on the loopback interface and has tshark judge it.

The run gets a network namespace of its own: nothing else is on its loopback interface, and
there GSO can be taken off the interface, so that the capture shows datagrams as they are on a
wire."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time

START_SECONDS = 10
ERROR = 0x00800000  # PI_ERROR of wireshark: the severity of expert infos that are errors
INSIDE = 'SPATE_INTEROP_NAMESPACE'


def enter_namespace():
    """Starts this program again in a network namespace, or returns why captures do not work."""
    for tool in ('unshare', 'ip', 'dumpcap', 'tshark'):
        if shutil.which(tool) is None:
            return f'{tool} is not installed'
    if os.environ.get(INSIDE) is None:
        unshare = ['unshare', '--net']
        if os.geteuid() != 0:
            unshare.append('--map-root-user')
        tried = subprocess.run([*unshare, 'true'], capture_output=True, text=True)
        if tried.returncode != 0:
            return tried.stderr.strip()
        os.environ[INSIDE] = '1'
        os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])
    for command in ('ip link set dev lo up', 'ip link set dev lo gso_max_segs 1'):
        tried = subprocess.run(command.split(), capture_output=True, text=True)
        if tried.returncode != 0:
            return f'{command}: {tried.stderr.strip()}'
    return None


class Sniffer:
    """dumpcap on the loopback interface, for what goes to and from one port."""

    def __init__(self, name, port, folder):
        self.port = port
        self.folder = folder
        self.file = folder / f'{name}.pcapng'
        self.log = folder / f'{name}.dumpcap'
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                ['dumpcap', '-i', 'lo', '-f', f'udp port {port}', '-B', '64', '-w', self.file],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self):
        """Waits until it captures."""
        give_up = time.monotonic() + START_SECONDS
        while 'File:' not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f'dumpcap: {self.log.read_text()}')
            time.sleep(0.02)

    def stop(self):
        """Ends it, once all is written."""
        size = -1
        while self.file.exists() and self.file.stat().st_size != size:
            size = self.file.stat().st_size
            time.sleep(0.3)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def is_complete(self):
        dropped = re.search(r'received/dropped on interface .*: \d+/(\d+)', self.log.read_text())
        return dropped is not None and int(dropped[1]) == 0

    def tshark(self, keylog, *arguments):
        environment = dict(os.environ, HOME=str(self.folder), XDG_CONFIG_HOME=str(self.folder))
        done = subprocess.run(
            ['tshark', '-n', '-r', self.file, '-o', f'tls.keylog_file:{keylog}',
             '-d', f'udp.port=={self.port},quic', *arguments],
            capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f'tshark: {done.stderr}')
        return done.stdout

    def check(self, uploaded, downloaded):
        """Yields what is wrong.  The key log of either side must do."""
        if not self.is_complete():
            yield f'the capture is not complete:\n{self.log.read_text()}'
        for side in ('client', 'server'):
            keylog = self.folder / f'{side}.keys'
            bad = self.tshark(keylog,
                              '-Y', f'_ws.malformed || _ws.expert.severity == {ERROR} || '
                                    'quic.decryption_failed || !quic',
                              '-T', 'fields', '-e', 'frame.number', '-e', '_ws.col.Info',
                              '-e', '_ws.expert.message')
            if bad:
                yield f'with the key log of the {side} tshark complains about frames:\n{bad}'
            yield from self.check_streams(keylog, side, uploaded, downloaded)

    def check_streams(self, keylog, side, uploaded, downloaded):
        """That STREAM frames are seen, with all the bytes, proves that packets were decrypted."""
        seen = {True: 0, False: 0}  # is from the server: bytes in STREAM frames
        # The bytes themselves: a frame that runs to the end of its packet has no length field.
        rows = self.tshark(keylog, '-Y', 'quic.stream_data', '-T', 'fields', '-e', 'udp.srcport',
                           '-e', 'quic.stream_data')
        for row in rows.splitlines():
            port, data = row.split('\t')
            seen[int(port) == self.port] += sum(len(hexes) // 2 for hexes in data.split(','))
        print(f'decrypted with the key log of the {side}:'
              f' {seen[False]} bytes up, {seen[True]} down')
        if seen[False] < uploaded or seen[True] < downloaded:
            yield (f'with the key log of the {side} tshark sees {seen[False]} bytes up and '
                   f'{seen[True]} down, expected at least {uploaded} and {downloaded}')
