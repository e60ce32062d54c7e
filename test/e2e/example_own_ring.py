#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example whose ring a QUIC server, a TCP server and a timer share: all of them are served, at
the same time.

usage: example_own_ring.py SPATE CLIENT EXAMPLE
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from slower import SLOWER

SPATE, CLIENT, EXAMPLE = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
HANG_S = 20 * SLOWER


class OwnRing(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='spate-example-')
        self.addCleanup(folder.cleanup)
        self.cert, key = f'{folder.name}/cert.pem', f'{folder.name}/key.pem'
        subprocess.run([SPATE, 'cert', '--cert-out', self.cert, '--key-out', key], check=True,
                       timeout=HANG_S, stdout=subprocess.DEVNULL)
        self.server = subprocess.Popen([EXAMPLE, self.cert, key, '0'], text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end)
        self.port = self.server.stdout.readline().split()[-1]
        self.tcp_port = int(self.server.stdout.readline().split()[-1])

    def end(self):
        if self.server.poll() is None:
            self.server.kill()
        self.server.communicate()

    def ask(self):
        """The uptime, over TCP."""
        with socket.create_connection(('127.0.0.1', self.tcp_port), timeout=HANG_S) as tcp:
            said = b''.join(iter(lambda: tcp.recv(65536), b'')).decode()
        return int(re.fullmatch(r'up (\d+) s\n', said)[1])

    def greet(self):
        return subprocess.Popen([CLIENT, self.port, self.cert], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def test_tcp_and_a_timer_live_beside_quic(self):
        clients = [self.greet() for _ in range(4)]
        times = [self.ask() for _ in range(20)]
        self.assertEqual(times, sorted(times))
        for client in clients:
            said, _ = client.communicate(timeout=HANG_S)
            self.assertEqual(client.returncode, 0, said)
            self.assertIn('good morning', said)
        first, end = self.ask(), time.monotonic() + HANG_S
        while self.ask() == first and time.monotonic() < end:
            time.sleep(0.1)
        self.assertIn(self.ask() - first, (1, 2))

    def test_a_signal_ends_it_amid_work(self):
        clients = [self.greet() for _ in range(2)]
        with socket.create_connection(('127.0.0.1', self.tcp_port), timeout=HANG_S):
            self.server.send_signal(signal.SIGTERM)
            _, said = self.server.communicate(timeout=HANG_S)
        self.assertEqual((self.server.returncode, said), (0, ''))
        for client in clients:
            client.kill()
            client.communicate()


if __name__ == '__main__':
    unittest.main(verbosity=2)
