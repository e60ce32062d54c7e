# SPDX-License-Identifier: MIT
"""A server and clients of spate cp over real sockets, and trees to copy."""
import os
import pathlib
import re
import stat
import subprocess
import sys
import tempfile

from processes import Processes
from slower import SLOWER

SPATE = os.path.abspath(sys.argv.pop(1))
HANG_S = 90 * SLOWER  # much longer than any run here
PART = '.spate-part-'


def describe(top):
    """What a tree is: kind, permissions, time and content of each path."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = pathlib.Path(folder) / name
            status = path.lstat()
            content = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = path.read_bytes()
            found[str(path.relative_to(top))] = (
                stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_mtime_ns,
                content)
    return found


def parts(top):
    return [name for _, _, names in os.walk(top) for name in names if name.startswith(PART)]


class Case(Processes):
    """A server with a folder, and folders of a client.  No process stays behind."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='spate-cp-')
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.root = self.top / 'root'
        self.here = self.top / 'here'
        self.known = self.top / 'known'
        (self.root / 'in').mkdir(parents=True)
        self.here.mkdir()

    def start(self, *words, **more):
        return super().start(SPATE, *words, stdin=subprocess.DEVNULL, **more)

    def serve(self, *words, listen='127.0.0.1:0', root=None, **more):
        """Starts a server; returns it and its port."""
        words = words or ('--writable', 'in')
        server = self.start('serve', '--cp', '--listen', listen, '--root', root or self.root,
                            '--identity', self.top / 'identity', *words, **more)
        server.fingerprint = server.stdout.readline().split()[-1]
        line = server.stdout.readline()
        match = re.fullmatch(r'listening at \S+:(\d+)\n', line)
        self.assertTrue(match, line or server.stderr.read())
        return server, match[1]

    def words(self, port, *words, command='cp'):
        return [command, '--port', port, '--known', self.known, *words]

    def run_spate(self, *words, **more):
        return subprocess.run([SPATE, *map(str, words)], capture_output=True, text=True,
                              timeout=HANG_S, stdin=subprocess.DEVNULL, check=False, **more)

    def copy(self, port, *words, command='cp', **more):
        return self.run_spate(*self.words(port, *words, command=command), **more)

    def trust(self, server, port):
        """Notes the server, so that runs after this one print nothing."""
        with open(self.known, 'a', encoding='ascii') as file:
            file.write(f'127.0.0.1:{port} {server.fingerprint}\n')

    def serve_trusted(self, *words, **more):
        server, port = self.serve(*words, **more)
        self.trust(server, port)
        return server, port

    def assert_done(self, done, out=''):
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, out, ''))

    def assert_one_line(self, done, text, status=1):
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        self.assertRegex(done.stderr, r'\Aspate (cp|sync|serve): ')
        self.assertIn(text, done.stderr)

    def assert_same(self, one, two):
        left, right = describe(one), describe(two)
        self.assertEqual(left.keys(), right.keys())
        for path, value in left.items():
            self.assertEqual(value[:3], right[path][:3], path)
            self.assertTrue(value[3] == right[path][3], f'{path}: another content')
        self.assertEqual(parts(two), [])

    def make_tree(self, top):
        """Files of all kinds and sizes around the limits."""
        for size in (0, 1, 4096, 65_000, 262_143, 262_144, 262_145, 4_194_304, 4_194_305,
                     9_000_000):
            path = top / 'sizes' / str(size)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(size))
        for i in range(300):
            path = top / 'many' / str(i % 7) / f'file {i}'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f'{i}\n'.encode() * (i % 50))
        (top / 'empty' / 'deep' / 'er').mkdir(parents=True)
        for name in ('ünï', "quote'\"", 'line\nend', '-o', '.hidden', 'n' * 255, 'a:b'):
            (top / 'empty' / name).write_bytes(os.fsencode(name))
        os.symlink('../sizes/1', top / 'empty' / 'link')
        os.symlink('/etc/passwd', top / 'empty' / 'outside')
        os.symlink('nowhere', top / 'dangling')
        (top / 'sizes' / '1').chmod(0o444)
        (top / 'sizes' / '4096').chmod(0o755)
        (top / 'many').chmod(0o750)
        os.utime(top / 'sizes' / '65000', ns=(1, 981173106987654321))
        os.utime(top / 'empty' / 'deep', ns=(1, 1081173106987654321))
