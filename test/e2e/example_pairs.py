#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples of which one is the client of another: messages, files, and a client in C++.

usage: example_pairs.py SPATE ECHO DATAGRAM-SERVER DATAGRAM-CLIENT FILE-RECEIVE FILE-SEND [GREET]
"""
import os
import re
import signal
import subprocess
import sys
import time
import unittest

from processes import Processes
from slower import SLOWER

SPATE, ECHO, DATAGRAM_SERVER, DATAGRAM_CLIENT, FILE_RECEIVE, FILE_SEND, *GREET = (
    os.path.abspath(path) for path in sys.argv[1:])
del sys.argv[1:]
HANG_S = 30 * SLOWER


class Pair(Processes):
    def setUp(self):
        self.folder = self.make_certificate(SPATE, HANG_S)

    def serve(self, program, *words):
        server = self.start(program, self.cert, self.key, '0', *words)
        said = server.stdout.readline().split()
        self.assertEqual(said[:3], ['listening', 'at', 'port'])
        return server, said[3]

    def run_client(self, program, port, *words):
        return subprocess.run([program, port, self.cert, *map(str, words)], capture_output=True,
                              text=True, timeout=HANG_S, check=False)

    def end_in_order(self, server):
        """Returns what the server said on stderr."""
        server.send_signal(signal.SIGTERM)
        said = server.communicate(timeout=HANG_S)[1]
        self.assertEqual(server.returncode, 0, said)
        return said

    def check_mistakes(self, program, *command_lines):
        for words in command_lines:
            done = subprocess.run([program, *words], capture_output=True, text=True,
                                  timeout=HANG_S, check=False)
            self.assertEqual(done.returncode, 1, words)
            self.assertEqual(done.stderr.count('\n'), 1, done.stderr)


class Datagrams(Pair):
    def test_messages_come_back_and_are_counted(self):
        server, port = self.serve(DATAGRAM_SERVER)
        done = self.run_client(DATAGRAM_CLIENT, port, 200)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        said = re.fullmatch(r'200 sent, (\d+) answered, (\d+) lost; there and back: half in (\d+)'
                            r' us, 99 % in (\d+)\n', done.stdout)
        self.assertTrue(said, done.stdout)
        answered, lost, half_us, most_us = map(int, said.groups())
        self.assertTrue(190 <= answered <= 200 and lost <= 200 - answered, done.stdout)
        self.assertTrue(0 < half_us <= most_us, done.stdout)
        self.assertEqual(self.end_in_order(server), '')

    def test_a_server_that_ends_is_seen(self):
        server, port = self.serve(DATAGRAM_SERVER)
        client = self.start(DATAGRAM_CLIENT, port, self.cert, '1000000')
        time.sleep(0.2)  # before it is connected, or while it sends
        self.end_in_order(server)
        said = client.communicate(timeout=HANG_S)
        self.assertEqual((client.returncode, said[0]), (1, ''))
        self.assertRegex(said[1], r'\Athe connection has ended: .*\n\Z')

    def test_mistakes_are_told(self):
        self.check_mistakes(DATAGRAM_SERVER, [], [self.cert, '/missing', '0'])
        self.check_mistakes(DATAGRAM_CLIENT, [], ['4433', '/missing', '1'],
                            ['4433', self.cert, '-1'], ['99999', self.cert, '1'])


class Files(Pair):
    def setUp(self):
        super().setUp()
        self.target = self.folder / 'target'
        self.target.mkdir()

    def test_files_arrive_whole_under_their_numbers(self):
        sizes = [0, 1, 70000, 5000000]
        paths = []
        for size in sizes:
            paths.append(self.folder / f'file{size}')
            paths[-1].write_bytes(os.urandom(size))
        server, port = self.serve(FILE_RECEIVE, self.target)
        done = self.run_client(FILE_SEND, port, *paths)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))
        found = sorted(path.read_bytes() for path in self.target.iterdir())
        self.assertEqual([path.name for path in sorted(self.target.iterdir())],
                         ['1', '2', '3', '4'])
        self.assertEqual(found, sorted(path.read_bytes() for path in paths))
        self.assertEqual(self.end_in_order(server), '')

    def test_more_files_than_streams_arrive(self):
        path = self.folder / 'file'
        path.write_bytes(b'x' * 1000)
        server, port = self.serve(FILE_RECEIVE, self.target)
        done = self.run_client(FILE_SEND, port, *[path] * 400)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertEqual(len(list(self.target.iterdir())), 400)
        self.end_in_order(server)

    def test_a_file_that_is_missing_is_named_and_the_others_arrive(self):
        (self.folder / 'file').write_bytes(b'here')
        server, port = self.serve(FILE_RECEIVE, self.target)
        done = self.run_client(FILE_SEND, port, '/no/such/file', self.folder / 'file')
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, '/no/such/file: No such file or directory\n')
        self.end_in_order(server)  # which has removed the part of the other one by then
        self.assertEqual([path.read_bytes() for path in self.target.iterdir()], [b'here'])

    def test_a_sender_that_dies_leaves_no_part(self):
        path = self.folder / 'file'
        with path.open('wb') as file:
            file.truncate(1 << 36)  # ThreadSanitizer maps no terabyte
        server, port = self.serve(FILE_RECEIVE, self.target)
        client = self.start(FILE_SEND, port, self.cert, path)
        deadline = time.monotonic() + HANG_S
        while not (self.target / '1.part').exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        client.kill()
        client.wait()
        self.assertTrue((self.target / '1.part').exists())
        self.end_in_order(server)
        self.assertEqual(list(self.target.iterdir()), [])

    @unittest.skipUnless(os.path.exists('/dev/full'), 'no /dev/full')
    def test_a_disk_that_is_full_is_told_to_both(self):
        (self.target / '1.part').symlink_to('/dev/full')
        (self.folder / 'file').write_bytes(b'x' * 100000)
        server, port = self.serve(FILE_RECEIVE, self.target)
        done = self.run_client(FILE_SEND, port, self.folder / 'file')
        self.assertEqual(done.returncode, 1)
        self.assertIn('No space left', self.end_in_order(server))

    def test_mistakes_are_told(self):
        self.check_mistakes(FILE_RECEIVE, [], [self.cert, '/missing', '0', str(self.target)],
                            [self.cert, self.key, '0', '/missing'])
        self.check_mistakes(FILE_SEND, [], ['4433', '/missing', '1'], ['x', self.cert, '1'],
                            ['1', self.cert, '1'])


@unittest.skipUnless(GREET, 'this build has no C++')
class Cpp(Pair):
    def test_words_come_back(self):
        server, port = self.serve(ECHO)
        words = ['good', 'morning', 'x' * 100000, *map(str, range(300))]
        done = self.run_client(GREET[0], port, *words)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertEqual(sorted(done.stdout.split()), sorted(words))
        self.end_in_order(server)

    def test_mistakes_are_told(self):
        self.check_mistakes(GREET[0], [], ['4433', '/missing', 'word'], ['-1', self.cert, 'word'],
                            ['1', self.cert, 'word'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
