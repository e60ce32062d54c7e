# SPDX-License-Identifier: MIT
"""A server and clients over real sockets, for the tests of spate serve and spate get."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from processes import Processes
from slower import SLOWER

SPATE, RELAY = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
HANG_S = 60 * SLOWER  # much longer than any run here


class Case(Processes):
    """A server with a folder, and a folder for what clients fetch.  No process stays behind."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='spate-get-')
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.root = self.top / 'www'
        self.to = self.top / 'to'
        self.ca = self.top / 'ca.pem'
        self.root.mkdir()
        self.to.mkdir()

    def start(self, *words, **more):
        return super().start(SPATE, *words, stdin=subprocess.DEVNULL, **more)

    def serve(self, *words, listen='127.0.0.1:0', **more):
        """Starts a server; returns it and the beginning of its URLs."""
        server = self.start('serve', '--listen', listen, '--root', self.root, '--cert-out',
                            self.ca, *words, **more)
        line = server.stdout.readline()
        match = re.fullmatch(r'listening at (\S+)\n', line)
        self.assertTrue(match, line or server.stderr.read())
        return server, f'https://{match[1]}'

    def get(self, *words, to=None, trust=True, **more):
        trusted = ['--ca', self.ca] if trust else []
        return subprocess.run(
            [SPATE, 'get', *map(str, trusted), '-o', str(to or self.to), *map(str, words)],
            capture_output=True, text=True, timeout=HANG_S, stdin=subprocess.DEVNULL,
            check=False, **more)

    def assert_all(self, done):
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))

    def assert_one_line(self, done, text, status=1):
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        self.assertRegex(done.stderr, r'\Aspate (get|serve): ')
        self.assertIn(text, done.stderr)

    def make(self, name, data):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def assert_same(self, *names):
        for name in names:
            self.assertEqual((self.to / pathlib.Path(name).name).read_bytes(),
                             (self.root / name).read_bytes(), name)


    def relay_to(self, url, rate):
        """Starts a relay with a slow path to a server; returns it and the beginning of its URLs."""
        relay = subprocess.Popen([RELAY, '--map', f'127.0.0.1:0={url.removeprefix("https://")}',
                                  '--both', f'delay=5ms,rate={rate}'],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, relay)
        return relay, f'https://{relay.stdout.readline().split()[-1]}'
