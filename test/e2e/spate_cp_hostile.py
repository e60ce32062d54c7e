#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate cp against a hostile client and a hostile server: `spate_cp_hostile.py SPATE FILES-PEER`.
Nothing appears outside of the folders, nothing that was not verified under a final name, and the
server goes on."""
import hashlib
import itertools
import os
import struct
import subprocess
import sys
import threading
import unittest

PEER = os.path.abspath(sys.argv.pop(2))

from spate_cp_support import HANG_S, PART, Case  # noqa: E402  it takes SPATE from sys.argv

LIST, WANT, PROBE, REMOVE, ITEM, RESULT, HAVE, END = range(2, 10)
FILE, FOLDER, LINK = 1, 2, 3
BAD_MESSAGE, BAD_PATH, READ_ONLY, CORRUPT, BUSY = 1, 2, 5, 9, 10
CHUNK = 4 << 20
TIME = 10**18


def message(kind, body):
    return struct.pack('>BI', kind, len(body)) + body


def text(value):
    value = os.fsencode(value)
    return struct.pack('>H', len(value)) + value


def item(path, size=0, offset=0, piece=None, extents=None, kind=FILE, target=''):
    piece = size - offset if piece is None else piece
    if extents is None:
        extents = [(offset, piece)] if piece > 0 else []
    body = struct.pack('>BHqQQQB', kind, 0o644, TIME, size, offset, piece, len(extents))
    body += b''.join(struct.pack('>QQ', *extent) for extent in extents)
    return message(ITEM, body + text(path) + text(target))


def with_digest(data):
    return data + hashlib.sha256(data).digest()


def small(path, data=b'hello'):
    return item(path, len(data)) + with_digest(data)


def request(kind, path, size=0, offset=0, piece=0, flags=0):
    return message(kind, struct.pack('>BHqQQQ', flags, 0o644, TIME, size, offset, piece) +
                   text(path))


def result(kind, index, status):
    return message(kind, struct.pack('>IH', index, status))


class Hostile(Case):
    def setUp(self):
        super().setUp()
        (self.top / 'secret').write_bytes(b'not yours')
        (self.root / 'mine').write_bytes(b'read only')
        os.symlink('../..', self.root / 'in' / 'up')
        self.numbers = itertools.count()

    def file(self, data):
        path = self.top / f'bytes {next(self.numbers)}'
        path.write_bytes(data)
        return path

    def names(self, top):
        return sorted(str(path.relative_to(top)) for path in top.rglob('*'))


class Clients(Hostile):
    def setUp(self):
        super().setUp()
        self.server, self.port = self.serve_trusted('--writable', 'in')

    def tell(self, *streams):
        """Sends each on a stream of its own; returns what came back, a line each."""
        words = [PEER, 'client', self.port, *(self.file(stream) for stream in streams)]
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=HANG_S,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return done.stdout.splitlines()

    def tearDown(self):
        """Whatever it was, the server is there, and its other files are what they were."""
        self.assertIsNone(self.server.poll())
        self.assert_done(self.copy(self.port, '127.0.0.1:mine', self.here))
        self.assertEqual((self.here / 'mine').read_bytes(), b'read only')
        self.assertEqual((self.top / 'secret').read_bytes(), b'not yours')
        self.assertEqual({name for name in os.listdir(self.root)}, {'in', 'mine'})

    def taken(self, line):
        """Returns how many items a line says were taken in: an END counts those of the stream, a
        RESULT is for each that was not taken."""
        data, ending = (bytes.fromhex(line.split()[0]), line.split()[1:]) if line[0] != ' ' else (
            b'', line.split())
        found, refused = 0, 0
        while data and ending[0] == 'fin':
            kind, size = struct.unpack_from('>BI', data)
            if kind in (RESULT, END):
                index, status = struct.unpack_from('>IH', data, 5)
                refused += kind == RESULT and status != 0
                found = index if kind == END and status == 0 else 0
            data = data[5 + size:]
        return found - refused

    def assert_refused(self, lines, count):
        self.assertEqual(len(lines), count, lines)
        for line in lines:
            self.assertEqual(self.taken(line), 0, line)

    def test_names_that_lead_out(self):
        paths = ['../secret', '/etc/evil', 'in/../../secret', 'in//x', 'in/./x', 'in/', '', '.',
                 'in/x\0y', 'in/' + 'n' * 256, 'in/up/secret', 'in/up']
        lines = self.tell(*(small(path) for path in paths[:-1]))
        self.assert_refused(lines, len(paths) - 1)
        lines = self.tell(*(request(WANT, path, piece=1 << 40)
                            for path in [*paths[:-1], 'in/up/root/mine']))
        for line in lines:
            self.assertNotIn(b'not yours'.hex(), line)
            self.assertNotIn(b'read only'.hex(), line)
        self.tell(*(request(REMOVE, path) for path in [*paths[:-1], 'mine', 'in/up/root/mine']))
        self.assertEqual(self.names(self.root / 'in'), ['up'])

    def test_what_is_not_to_be_written(self):
        lines = self.tell(small('mine', b'overwritten'), small('inn'), item('x', kind=FOLDER),
                          item('in/../y', kind=LINK, target='/'))
        for line in lines[:3]:
            self.assertTrue(line.startswith(result(RESULT, 0, READ_ONLY).hex()), line)
        self.assert_refused(lines[3:], 1)

    def test_a_link_is_not_followed(self):
        lines = self.tell(item('in/out', kind=LINK, target='../..') + small('in/out/secret'))
        self.assertIn(result(RESULT, 1, BAD_PATH).hex(), lines[0])
        self.assertEqual(self.names(self.root / 'in'), ['out', 'up'])

    def test_another_digest(self):
        data = os.urandom(5000)
        broken = data[:-1] + bytes([data[-1] ^ 1]) + hashlib.sha256(data).digest()
        lines = self.tell(item('in/x', 5000) + broken)
        self.assertTrue(lines[0].startswith(result(RESULT, 0, CORRUPT).hex()), lines)
        self.assertEqual(self.names(self.root / 'in'), ['up'])

    def test_less_than_was_said(self):
        whole = small('in/x', b'y' * 1000)
        lines = self.tell(*(whole[:size] for size in (0, 1, 5, 30, len(whole) // 2,
                                                      len(whole) - 1)))
        self.assert_refused(lines, 6)
        self.assertEqual(self.names(self.root / 'in'), ['up'])

    def test_more_than_was_said(self):
        lines = self.tell(small('in/x') + b'\xff' * 100_000)
        self.assertEqual([self.taken(line) for line in lines], [1])
        self.assertEqual((self.root / 'in' / 'x').read_bytes(), b'hello')

    def test_sizes_that_contradict_each_other(self):
        size = 3 * CHUNK
        data = with_digest(bytes(CHUNK))
        lines = self.tell(
            item('in/x', size, 0, CHUNK, [(CHUNK, CHUNK)]) + data,  # not in the piece
            item('in/x', size, 0, CHUNK, [(0, CHUNK), (0, CHUNK)]) + data,
            item('in/x', size, 0, CHUNK, [(0, 1 << 63), (1 << 63, 1 << 63)]) + data,
            item('in/x', size, 0, CHUNK // 2) + data,  # half a chunk
            item('in/x', size, 1, CHUNK) + data,
            item('in/x', size, size, CHUNK) + data,
            item('in/x', 5, 0, 4) + with_digest(b'four'),  # a piece of a small file
            item('in/x', 1 << 63) + data,
            item('in/x', (1 << 64) - 1, 0, CHUNK) + data,
            request(PROBE, 'in/x', 5),
            request(PROBE, 'in/x', 1 << 63))
        self.assert_refused(lines, 11)
        self.assertEqual([n for n in self.names(self.root / 'in') if PART not in n], ['up'])

    def test_chunks_that_are_not_all_of_one_file(self):
        """Chunks of files of other sizes, one twice, one broken: none makes the file whole."""
        size = 2 * CHUNK
        lines = self.tell(
            item('in/x', size, 0, CHUNK) + with_digest(bytes(CHUNK)),
            item('in/x', size, 0, CHUNK) + with_digest(b'2' * CHUNK),
            item('in/x', size + 1, CHUNK, CHUNK) + with_digest(b'3' * CHUNK),
            item('in/y', size, CHUNK, CHUNK) + with_digest(b'4' * CHUNK),
            item('in/x', size, CHUNK, CHUNK) + bytes(CHUNK) + bytes(32),
            small('in/z') + item('in/x', size, CHUNK, CHUNK) + with_digest(b'5' * CHUNK)[:-1])
        self.assertEqual(len(lines), 6)
        self.assertIn(result(RESULT, 0, CORRUPT).hex(), lines[4])
        self.assertEqual([n for n in self.names(self.root / 'in') if PART not in n],
                         ['up', 'z'])

    def test_what_is_no_message(self):
        lines = self.tell(
            b'\0' + os.urandom(999), message(0, b''), message(10, b'x'), message(77, b''),
            struct.pack('>BI', ITEM, 0xffffffff), message(ITEM, b''), message(WANT, b'x' * 40),
            message(HAVE, b'\1'), result(END, 0, 0), result(RESULT, 0, 0),
            small('in/x') + request(WANT, 'mine', piece=100))
        self.assert_refused(lines[:-1], 10)
        self.assertEqual(self.taken(lines[-1]), 1)

    def test_more_requests_than_a_stream_may_have(self):
        lines = self.tell(request(WANT, 'mine', piece=100) * 1500)
        self.assertRegex(lines[0], rf'reset {BUSY}')


class Servers(Hostile):
    def setUp(self):
        super().setUp()
        self.peer = self.start(PEER, 'server', stderr=None)
        self.port = self.peer.stdout.readline().strip()
        self.answers = []
        threading.Thread(target=self.answer_all, daemon=True).start()

    def answer_all(self):
        """Answers what the client asks, and resets what there is no answer for."""
        for _ in self.peer.stdout:
            answer = self.answers.pop(0) if self.answers else None
            self.peer.stdin.write(f'{self.file(answer)}\n' if answer is not None else '\n')
            self.peer.stdin.flush()

    def fetch(self, *answers, what='x', recursive=False):
        """Copies, with these answers to what is asked in turn.  Returns the finished process."""
        self.answers[:] = answers
        client = self.start_spate(*self.words(self.port, *(['-r'] if recursive else []),
                                              f'127.0.0.1:{what}', self.here))
        _, errors = client.communicate(timeout=HANG_S)
        client.errors = [line for line in errors.splitlines() if 'is new; its' not in line]
        return client

    def start_spate(self, *words):
        return Case.start(self, *words)

    def start(self, *words, **more):
        return super(Case, self).start(*words, **more) if words[0] == PEER else super().start(
            *words, **more)

    def assert_nothing(self, client):
        """It has failed, said so, and left nothing behind."""
        self.assertEqual(client.returncode, 1, client.errors)
        self.assertEqual(len(client.errors), 1, client.errors)
        self.assertEqual([n for n in self.names(self.here) if PART not in n], [])
        self.assertEqual((self.top / 'secret').read_bytes(), b'not yours')

    def test_a_server_of_another_version(self):
        """Which has SHA-256 alone: it is served, or refused with one line."""
        self.assertEqual(self.fetch(small('x')).returncode, 0)
        self.assertEqual((self.here / 'x').read_bytes(), b'hello')
        refused = self.copy(self.port, '--hash', 'gmac', '127.0.0.1:x', self.here)
        self.assert_one_line(refused, 'the server does not speak this version of the protocol')

    def test_names_that_lead_out(self):
        for path in ('../secret', '/etc/x', '..', 'y', 'x/y', ''):
            self.assert_nothing(self.fetch(small(path)))

    def test_a_file_that_is_not_what_was_said(self):
        whole = small('x', b'y' * 1000)
        self.assert_nothing(self.fetch(item('x', 5) + b'jello' + hashlib.sha256(b'hello').digest()))
        for size in (0, 3, 40, len(whole) - 1):
            self.assert_nothing(self.fetch(whole[:size]))
        self.assert_nothing(self.fetch(item('x', kind=FOLDER)))
        self.assert_nothing(self.fetch(result(END, 0, 3)))
        self.assert_nothing(self.fetch(None))
        self.assert_nothing(self.fetch(os.urandom(500)))

    def test_more_than_was_said(self):
        client = self.fetch(small('x') + small('../secret', b'yours') + small('y'))
        self.assertEqual(self.names(self.here), ['x'])
        self.assertEqual((self.here / 'x').read_bytes(), b'hello')
        self.assertEqual((self.top / 'secret').read_bytes(), b'not yours')
        self.assertIn(client.returncode, (0, 1))

    def test_a_chunk_that_was_not_asked_for(self):
        """The first answer to a name may be the first chunk alone; then each its own."""
        size = 3 * CHUNK
        first = item('x', size, 0, CHUNK) + with_digest(b'0' * CHUNK)
        second = item('x', size, CHUNK, CHUNK) + with_digest(b'1' * CHUNK)
        self.assert_nothing(self.fetch(second, second, second, second))
        self.assert_nothing(self.fetch(first, first, first, first))

    def test_a_chunk_that_is_something_else(self):
        size = 2 * CHUNK
        first = item('x', size, 0, CHUNK) + with_digest(b'0' * CHUNK)
        self.assert_nothing(self.fetch(first, small('x')))
        self.assert_nothing(self.fetch(first, item('x', kind=LINK, target='y')))

    def test_chunks_that_the_server_has_twice(self):
        (self.here / 'x').write_bytes(os.urandom(CHUNK + 1000))
        self.answers[:] = [message(HAVE, b'\0\1') * 2, None]
        done = self.copy(self.port, self.here / 'x', '127.0.0.1:')
        self.assertEqual(done.returncode, 1, done.stderr)

    def test_lists_that_lead_out(self):
        end = result(END, 1, 0)
        for path in ('../secret', '/etc/x', 'y/z', 'xx'):
            client = self.fetch(item(path, 5, piece=0, extents=[]) + end, recursive=True)
            self.assertEqual(client.returncode, 1)
            self.assertEqual(self.names(self.here), [])

    def test_a_link_of_a_list_is_not_followed(self):
        listing = (item('x', kind=FOLDER) + item('x/up', kind=LINK, target='../..') +
                   item('x/up/secret', 5, piece=0, extents=[]) + result(END, 3, 0))
        client = self.fetch(listing, small('x/up/secret'), recursive=True)
        self.assertEqual(client.returncode, 1)
        self.assertEqual((self.top / 'secret').read_bytes(), b'not yours')
        self.assertEqual(self.names(self.here), ['x', 'x/up'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
