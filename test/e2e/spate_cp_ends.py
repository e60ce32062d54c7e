#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate cp when something goes wrong in the middle: who is killed, what changes, where space ends.
Nothing half has a final name, and the next attempt goes on where the last one stopped."""
import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from spate_cp_support import HANG_S, SPATE, Case, parts

SIZE = 120_000_000
ENOUGH = 20_000_000  # bytes that have come when something happens


def written(top):
    """Bytes of chunks that are in parts below a folder: what du says."""
    return sum((path.stat().st_blocks * 512) for path in top.rglob('.spate-part-*'))


# Before a command: so that permissions count for root too.
WITHOUT_CAPABILITIES = ['setpriv', '--inh-caps=-all', '--bounding-set=-all']


class Ends(Case):
    def setUp(self):
        super().setUp()
        self.data = os.urandom(1_000_000) * (SIZE // 1_000_000)

    def slow(self, port, *words):
        """Starts a client that is still busy when `ENOUGH` bytes are there."""
        return self.start(*self.words(port, '--streams', '2', *words))

    def wait_for_part(self, top, process):
        end = time.monotonic() + HANG_S
        while written(top) < ENOUGH:
            self.assertIsNone(process.poll(), 'it ended too early')
            self.assertLess(time.monotonic(), end, 'nothing comes')

    def stop_in_the_middle(self, top, process, number, victim=None):
        """Stops a client when a part of the file is there; the test is void if it was faster."""
        self.wait_for_part(top, process)
        os.kill((victim or process).pid, number)

    def go_on(self, port, *words):
        done = self.copy(port, '--json', *words)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        figures = json.loads(done.stdout)
        self.assertEqual(figures['bytes'] + figures['skipped_bytes'], SIZE)
        self.assertGreater(figures['skipped_bytes'], 0)

    def test_a_client_that_is_killed_goes_on(self):
        _, port = self.serve_trusted()
        (self.root / 'file').write_bytes(self.data)
        for number in (signal.SIGKILL, signal.SIGINT):
            process = self.slow(port, '127.0.0.1:file', self.here)
            self.stop_in_the_middle(self.here, process, number)
            _, errors = process.communicate(timeout=HANG_S)
            if number == signal.SIGINT:
                self.assertEqual((process.returncode, errors), (130, 'spate cp: interrupted\n'))
            self.assertFalse((self.here / 'file').exists())
            self.assertEqual(len(parts(self.here)), 1)
            self.go_on(port, '127.0.0.1:file', self.here)
            self.assertTrue((self.here / 'file').read_bytes() == self.data)
            self.assertEqual(os.listdir(self.here), ['file'])
            (self.here / 'file').unlink()

    def test_what_a_killed_client_has_sent_is_used(self):
        _, port = self.serve_trusted()
        path = self.here / 'file'
        path.write_bytes(self.data)
        process = self.slow(port, path, '127.0.0.1:in')
        self.stop_in_the_middle(self.root, process, signal.SIGKILL)
        process.wait(HANG_S)
        self.assertFalse((self.root / 'in' / 'file').exists())
        self.go_on(port, path, '127.0.0.1:in')  # before the server has missed the first client
        self.assertTrue((self.root / 'in' / 'file').read_bytes() == self.data)
        self.assertEqual(parts(self.root), [])

    def test_a_server_that_is_killed_goes_on(self):
        server, port = self.serve_trusted()
        path = self.here / 'file'
        path.write_bytes(self.data)
        process = self.slow(port, '--timeout', '2', path, '127.0.0.1:in')
        self.stop_in_the_middle(self.root, process, signal.SIGKILL, server)
        server.wait(HANG_S)
        _, errors = process.communicate(timeout=HANG_S)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(errors.count('\n'), 1, errors)
        self.assertFalse((self.root / 'in' / 'file').exists())
        self.serve('--writable', 'in', listen=f'127.0.0.1:{port}')
        self.go_on(port, path, '127.0.0.1:in')
        self.assertTrue((self.root / 'in' / 'file').read_bytes() == self.data)
        self.assertEqual(parts(self.root), [])

    def test_a_server_that_stops_says_so(self):
        server, port = self.serve_trusted()
        (self.root / 'file').write_bytes(self.data)
        process = self.slow(port, '127.0.0.1:file', self.here)
        self.stop_in_the_middle(self.here, process, signal.SIGTERM, server)
        server.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=HANG_S)
        self.assertIn(process.returncode, (0, 1))
        if process.returncode == 1:
            self.assertEqual(errors.count('\n'), 1, errors)
            self.assertFalse((self.here / 'file').exists())

    def test_a_file_that_changes_while_it_is_sent_fails(self):
        _, port = self.serve_trusted()
        for top, words in ((self.here, ['127.0.0.1:file', self.here]),
                           (self.root, [self.here / 'file', '127.0.0.1:in'])):
            path = (self.root if top == self.here else self.here) / 'file'
            path.write_bytes(self.data)
            process = self.slow(port, *words)
            self.wait_for_part(top, process)
            with open(path, 'r+b') as file:
                file.truncate(1000)
            _, errors = process.communicate(timeout=HANG_S)
            self.assertEqual(process.returncode, 1)
            self.assertEqual(errors.count('\n'), 1, errors)
            self.assertIn('the file changed while it was sent', errors)
            self.assertFalse((top / 'in' / 'file').exists())
            self.assertFalse(top == self.here and (top / 'file').exists())
            path.unlink()
        self.assertEqual(parts(self.here), [])

    def test_files_that_may_not_be_read_are_named(self):
        _, port = self.serve_trusted()
        folder = self.here / 'mixed'
        folder.mkdir()
        for name, size in (('large', 3_000_000), ('small', 1000), ('good', 1000)):
            (folder / name).write_bytes(self.data[:size])
            (folder / name).chmod(0o644 if name == 'good' else 0)
        before = WITHOUT_CAPABILITIES if os.geteuid() == 0 else []
        for names in (['small'], ['large'], ['small', 'good', 'large']):
            words = self.words(port, *(folder / name for name in names), '127.0.0.1:in')
            done = subprocess.run([*before, SPATE, *map(str, words)], capture_output=True,
                                  text=True, timeout=HANG_S, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            bad = sorted(f'spate cp: in/{name}: permission denied' for name in names
                         if name != 'good')
            self.assertEqual(sorted(done.stderr.splitlines()), bad)
        end = time.monotonic() + HANG_S
        while parts(self.root) and time.monotonic() < end:  # it goes when the client has gone
            time.sleep(0.01)
        self.assertEqual(os.listdir(self.root / 'in'), ['good'])

    def test_two_clients_of_one_file(self):
        _, port = self.serve_trusted()
        path = self.here / 'file'
        path.write_bytes(self.data)
        first = self.slow(port, path, '127.0.0.1:in')
        self.wait_for_part(self.root, first)
        second = self.slow(port, path, '127.0.0.1:in')
        for process in (first, second):
            process.communicate(timeout=HANG_S)
        self.assertEqual(second.returncode, 0)
        self.assertTrue((self.root / 'in' / 'file').read_bytes() == self.data)
        self.assertEqual(parts(self.root), [])

    def test_both_ways_at_once_by_many(self):
        _, port = self.serve_trusted()
        (self.root / 'file').write_bytes(self.data[:20_000_000])
        (self.here / 'file').write_bytes(self.data[:20_000_000])
        down = [self.slow(port, '127.0.0.1:file', self.top / f'd{i}') for i in range(5)]
        up = [self.slow(port, self.here / 'file', f'127.0.0.1:in/u{i}') for i in range(5)]
        for process in down + up:
            process.communicate(timeout=HANG_S)
            self.assertEqual(process.returncode, 0)
        for i in range(5):
            for path in (self.top / f'd{i}' / 'file', self.root / 'in' / f'u{i}' / 'file'):
                self.assertTrue(path.read_bytes() == self.data[:20_000_000])


@unittest.skipUnless(os.geteuid() == 0 and shutil.which('unshare'), 'needs a mount namespace')
class Full(Case):
    """The target is a small tmpfs in a mount namespace of its own."""

    def in_full(self, folder, *words):
        script = f'mount -t tmpfs -o size=8m none {folder} && exec "$@"'
        return ['unshare', '--mount', 'sh', '-c', script, 'sh', SPATE, *map(str, words)]

    def test_a_full_disk_here(self):
        _, port = self.serve_trusted()
        (self.root / 'many').mkdir()
        for i in range(100):
            (self.root / 'many' / f'{i:03}').write_bytes(os.urandom(200_000))
        (self.root / 'large').write_bytes(os.urandom(20_000_000))
        for what in ('large', 'many'):
            words = self.in_full(self.here, *self.words(port, '-r', f'127.0.0.1:{what}',
                                                        self.here))
            listing = f'{{ "$@"; echo $?; ls -A {self.here}/many; }}'
            words[4] = words[4].replace('exec "$@"', listing)
            done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S,
                                  check=False)
            self.assertEqual(done.stdout.split('\n')[0], '1', done.stderr)
            self.assertIn('no space left', done.stderr)
            names = done.stdout.split('\n')[1:]
            self.assertEqual([n for n in names if n.startswith('.')], [])
            if what == 'large':
                self.assertEqual(done.stderr.count('no space left'), 1, done.stderr)
            else:
                self.assertGreater(len(names), 20)

    def test_a_full_disk_there(self):
        (self.here / 'large').write_bytes(os.urandom(20_000_000))
        (self.here / 'small').write_bytes(os.urandom(200_000))
        server = subprocess.Popen(
            self.in_full(self.root / 'in', 'serve', '--cp', '--listen', '127.0.0.1:0', '--root',
                         self.root, '--identity', self.top / 'identity', '--writable', 'in'),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, server)
        server.fingerprint = server.stdout.readline().split()[-1]
        port = server.stdout.readline().rsplit(':', 1)[1].strip()
        self.trust(server, port)
        done = self.copy(port, self.here / 'large', '127.0.0.1:in')
        self.assert_one_line(done, 'in/large: no space left')
        done = self.copy(port, '127.0.0.1:in/large', self.top / 'back')
        self.assert_one_line(done, 'no such file')
        self.assertIsNone(server.poll())  # it goes on
        done = self.copy(port, '127.0.0.1:in', self.top / 'back')
        self.assert_one_line(done, 'is a folder')


if __name__ == '__main__':
    unittest.main(verbosity=2)
