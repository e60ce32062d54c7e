#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve on sockets that a supervisor has bound, and replaced by the next process: downloads
that run go on, and what begins is served.

usage: spate_serve_hand_over.py SPATE RELAY
"""
import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import unittest

from spate_get_support import HANG_S, SPATE, Case

# What a supervisor does between fork() and exec(): sockets from descriptor 3 on, and whose.
ACTIVATE = """
import os, sys
count = int(sys.argv[1])
for i, fd in enumerate(sys.argv[2:2 + count]):
    os.dup2(int(fd), 100 + i)
for i in range(count):
    os.dup2(100 + i, 3 + i)
    os.set_inheritable(3 + i, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count),
                  LISTEN_FDNAMES=':'.join(['quic'] * count))
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""
BIG = 64 << 20


class HandOver(Case):
    def setUp(self):
        super().setUp()
        self.path = self.top / 'next'
        self.cert, self.key = self.top / 'cert.pem', self.top / 'key.pem'
        subprocess.run([SPATE, 'cert', '--cert-out', self.cert, '--key-out', self.key], check=True,
                       timeout=HANG_S, stdout=subprocess.DEVNULL)
        (self.root / 'small').write_bytes(b'small')
        (self.root / 'big').write_bytes(os.urandom(1 << 20) * (BIG >> 20))
        self.sum = hashlib.sha256((self.root / 'big').read_bytes()).hexdigest()

    def bind(self, count):
        """Sockets as those of ListenDatagram= and ReusePort=yes."""
        port, sockets = 0, []
        for _ in range(count):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(one.close)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(('127.0.0.1', port))
            port = one.getsockname()[1]
            sockets.append(one)
        return f'https://127.0.0.1:{port}', [one.fileno() for one in sockets]

    def activate(self, fds, *words):
        """A server that is started with sockets.  Returns it when it listens."""
        # Others may not connect to the hand-over's socket, whatever the umask.
        command = [sys.executable, '-c', f'import os; os.umask(0){ACTIVATE}', str(len(fds)),
                   *map(str, fds), SPATE, 'serve', '--root', self.root, '--cert', self.cert,
                   '--key', self.key, *words]
        server = subprocess.Popen([*map(str, command)], pass_fds=fds, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, server)
        line = server.stdout.readline()
        self.assertTrue(line.startswith('listening at '), line)
        return server

    def fetch(self, url, name):
        return self.start('get', '--ca', self.cert, '-o', self.to, f'{url}/{name}')

    def got(self, get):
        _, wrong = get.communicate(timeout=HANG_S)
        self.assertEqual(get.returncode, 0, wrong)

    def test_the_sockets_of_a_supervisor_outlive_the_server(self):
        url, fds = self.bind(1)
        for _ in range(2):
            server = self.activate(fds, '--inherit', 'quic')
            self.got(self.fetch(url, 'small'))
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(HANG_S), 0)

    def test_a_client_that_comes_before_the_server_is_served(self):
        url, fds = self.bind(1)
        early = self.fetch(url, 'small')
        self.activate(fds, '--inherit', 'quic')
        self.got(early)

    def test_a_download_goes_on_when_the_server_is_replaced(self):
        self.replace_while_one_downloads()

    def test_a_download_goes_on_when_a_server_of_a_fleet_is_replaced(self):
        lb = self.top / 'lb'
        lb.write_text(f'1 31a4 8 {"5a" * 16}\n')

        def rotate(old, new):
            lb.write_text(f'2 31a4 8 {"a5" * 16}\n')
            for server in (old, new):
                server.send_signal(signal.SIGHUP)

        self.replace_while_one_downloads('--quic-lb', lb, then=rotate)

    def replace_while_one_downloads(self, *more, then=lambda old, new: None):
        url, fds = self.bind(2)
        words = ('--inherit', 'quic', '--hand-over', self.path, *more)
        old = self.activate(fds, *words)
        while not self.path.exists():
            self.assertIsNone(old.poll())
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        _, slow = self.relay_to(url, '200mbit')  # it takes three seconds
        download = self.fetch(slow, 'big')
        while not any(self.to.iterdir()):
            self.assertIsNone(download.poll())
        new = self.activate(fds, *words)
        then(old, new)
        self.got(self.fetch(url, 'small'))
        self.got(download)
        self.assertEqual(hashlib.sha256((self.to / 'big').read_bytes()).hexdigest(), self.sum)
        self.assertEqual(old.wait(HANG_S), 0)
        self.got(self.fetch(url, 'small'))
        self.assertEqual(old.communicate()[1], '')
        new.send_signal(signal.SIGTERM)
        self.assertEqual(new.wait(HANG_S), 0)
        self.assertFalse(self.path.exists())

    def test_a_server_that_ends_leaves_the_socket_of_its_successor(self):
        """The successor listens before this one knows that all is given, and is told to end."""
        _, fds = self.bind(1)
        server = self.activate(fds, '--inherit', 'quic', '--hand-over', self.path)
        while not self.path.exists():
            self.assertIsNone(server.poll())
        self.path.unlink()
        successor = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(successor.close)
        successor.bind(str(self.path))
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(HANG_S), 0)
        self.assertTrue(self.path.exists())

    def test_a_server_without_descriptors_for_a_while_can_be_replaced(self):
        _, fds = self.bind(1)
        words = ('--inherit', 'quic', '--hand-over', self.path)
        old = self.activate(fds, *words)
        while not self.path.exists():
            self.assertIsNone(old.poll())
        limits = resource.prlimit(old.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(old.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as early:
            early.connect(str(self.path))
            time.sleep(0.3)  # it is not accepted
        resource.prlimit(old.pid, resource.RLIMIT_NOFILE, limits)
        self.activate(fds, *words)
        self.assertEqual(old.wait(HANG_S), 0)

    def test_a_file_in_the_place_of_the_socket_stays(self):
        self.path.write_text('precious')
        done = subprocess.run([SPATE, 'serve', '--root', self.root, '--listen', '127.0.0.1:0',
                               '--hand-over', self.path], text=True, capture_output=True,
                              timeout=HANG_S, check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (1, f'spate serve: --hand-over {self.path} exists and is no socket\n'))
        self.assertEqual(self.path.read_text(), 'precious')

    def test_what_is_missing_has_one_line(self):
        for words, line in ((('--inherit', 'quic'),
                             'spate serve: --inherit quic: the process was started with no socket '
                             'of this name'),
                            (('--listen', '127.0.0.1:0', '--hand-over', self.top / 'no' / 'next'),
                             f'spate serve: --hand-over {self.top}/no/next: No such file or '
                             'directory')):
            done = subprocess.run([SPATE, 'serve', '--root', self.root, *words], text=True,
                                  capture_output=True, timeout=HANG_S, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(done.stderr.strip(), line)


if __name__ == '__main__':
    unittest.main(verbosity=2)
