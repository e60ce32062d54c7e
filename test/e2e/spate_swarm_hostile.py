#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate swarm against peers that say every byte themselves: messages that are not allowed, requests
for what is not there, and answers that are too short, too long, wrong, or never come."""
import hashlib
import json
import os
import struct
import sys
import threading
import time
import unittest

RAW_CLIENT = os.path.abspath(sys.argv.pop(2))

# pylint: disable=wrong-import-position
from http3_support import Raw
from spate_cp_support import HANG_S
from spate_swarm import PIECE, Case as SwarmCase

ALPN = 'spate-swarm/1'
PIECES = 9
BAD_MESSAGE, OTHER_CONTENT, CORRUPT, BUSY, NOT_HERE = 1, 2, 4, 5, 7
PLACES = 63
APP = 2  # SPATE_CLOSE_APP
HELLO, BITFIELD, HAVE, CHOKE, UNCHOKE, REQUEST = range(1, 7)
ALL = b'\xff\x80'


def say(kind, *numbers, data=b''):
    return bytes([kind]) + b''.join(struct.pack('>I', number) for number in numbers) + data


class Case(SwarmCase):
    piece_size = PIECE

    def setUp(self):
        super().setUp()
        self.make_file(PIECES * self.piece_size - 100)
        self.make(self.piece_size)
        self.identity = self.top / 'identity'
        self.content = (self.source / 'file').read_bytes()
        self.hello = say(HELLO, PIECES,
                         data=hashlib.sha256(self.meta.read_bytes()).digest() + bytes(32))

    def raw(self, process, control=b''):
        raw = Raw(RAW_CLIENT, process.port, self.identity, ALPN, prepare=False)
        self.addCleanup(raw.end)
        self.assertTrue(raw.connected, raw.closed)
        if control:
            raw.uni('control', control)
        return raw

    def assert_closed(self, raw, code, what=None):
        raw.wait(lambda: raw.closed is not None)
        self.assertEqual(raw.closed[:2], (APP, code), (what, raw.closed))


class ToASeeder(Case):
    def setUp(self):
        super().setUp()
        self.seeder = self.seed('--identity', self.identity)

    def tearDown(self):
        self.assertIsNone(self.seeder.poll(), 'the seeder has ended')
        self.fetch([self.seeder])  # and goes on
        self.assert_same()

    def ready(self):
        """A peer that may ask."""
        raw = self.raw(self.seeder, self.hello + say(BITFIELD, 2, data=b'\0\0'))
        self.assertTrue(raw.wait(lambda: len(raw.streams.get('3', b'')) >= 69 + 7 + 1))
        return raw

    def test_who_does_not_know_the_content_is_told_nothing(self):
        for hello in (self.hello[:5] + bytes([self.hello[5] ^ 1]) + self.hello[6:],
                      say(HELLO, PIECES + 1, data=self.hello[5:])):
            raw = self.raw(self.seeder, hello)
            self.assert_closed(raw, OTHER_CONTENT)
            self.assertEqual(raw.streams, {})

    def test_what_is_said_to_a_peer(self):
        raw = self.ready()
        self.assertEqual(raw.streams['3'],
                         self.hello + say(BITFIELD, 2, data=ALL) + say(UNCHOKE))

    def test_an_answer_is_the_bytes_and_nothing_else(self):
        raw = self.ready()
        for piece, offset, size in ((0, 0, 1), (0, 0, PIECE), (8, PIECE - 101, 1), (3, 7, 30_000)):
            name = raw.bidi(say(REQUEST, piece, offset, size))
            self.assertTrue(raw.wait(lambda n=name: n in raw.ended))
            start = piece * PIECE + offset
            self.assertTrue(raw.streams[name] == self.content[start:start + size])

    def test_requests_for_what_is_no_range_of_a_piece(self):
        for numbers in ((PIECES, 0, 1), (2**32 - 1, 0, 1), (0, PIECE, 1), (0, 0, 0),
                        (0, 0, PIECE + 1), (0, 1, PIECE), (8, 0, PIECE), (0, 2**32 - 1, 2),
                        (0, 2, 2**32 - 1)):
            raw = self.ready()
            raw.bidi(say(REQUEST, *numbers))
            self.assert_closed(raw, BAD_MESSAGE, numbers)

    def test_requests_that_are_none(self):
        good = say(REQUEST, 0, 0, 100)
        for data in (b'', good[:-1], good + good, good + b'\x09', say(HAVE, 1), b'\x00',
                     say(BITFIELD, 2, data=ALL)):
            raw = self.ready()
            raw.bidi(data)
            self.assert_closed(raw, BAD_MESSAGE, data)

    def test_a_request_before_the_introduction(self):
        raw = self.raw(self.seeder)
        raw.bidi(say(REQUEST, 0, 0, 100))
        self.assert_closed(raw, BAD_MESSAGE)
        self.assertEqual(raw.streams, {})

    def test_messages_that_are_not_allowed(self):
        bits = say(BITFIELD, 2, data=ALL)
        for data in (b'\x00', b'\x07', b'\xff', say(REQUEST, 0, 0, 1), bits + bits,
                     say(BITFIELD, 1, data=b'\xff'), say(BITFIELD, 3, data=b'\xff\xff\xff'),
                     say(BITFIELD, 0), say(BITFIELD, 2**32 - 1), say(HAVE, 0),
                     bits + say(HAVE, PIECES), bits + say(HAVE, 2**32 - 1)):
            raw = self.raw(self.seeder, self.hello + data)
            self.assert_closed(raw, BAD_MESSAGE, data)
        raw = self.raw(self.seeder, say(UNCHOKE))
        self.assert_closed(raw, BAD_MESSAGE)
        raw = self.raw(self.seeder, self.hello + self.hello)
        self.assert_closed(raw, OTHER_CONTENT)

    def test_streams_that_are_not_allowed(self):
        raw = self.ready()
        raw.send('control', fin=True)
        self.assert_closed(raw, BAD_MESSAGE)
        raw = self.ready()
        raw.say('reset', 'control', 9)
        self.assert_closed(raw, BAD_MESSAGE)

    def test_many_requests_that_are_never_read_or_finished(self):
        raw = self.ready()
        for _ in range(200):
            raw.bidi(say(REQUEST, 0, 0, PIECE)[:5], fin=False)
        raw.wait(lambda: len(raw.refused) >= 2 * 136)  # to open, and to send
        self.assertEqual(len(raw.refused), 2 * 136)  # 64 at a time
        self.assertIsNone(raw.closed)

    def test_a_peer_that_says_nothing_is_closed(self):
        self.assert_closed(self.raw(self.seeder), BUSY)
        self.assert_closed(self.raw(self.seeder, self.hello[:-1]), BUSY)

    def test_peers_that_say_nothing_leave_room_for_others(self):
        silent = [self.raw(self.seeder) for _ in range(PLACES + 7)]
        begin = time.monotonic()
        self.fetch([self.seeder])
        self.assertLess(time.monotonic() - begin, 4)  # not only because time has closed them
        for raw in silent[:5]:
            self.assert_closed(raw, BUSY)

    def test_requests_that_are_given_up(self):
        raw = self.ready()
        for i in range(200):
            name = raw.bidi(say(REQUEST, i % 8, 0, PIECE), fin=i % 2 == 0)
            raw.say('stop', name, 8)
            raw.say('reset', name, 8)
        name = raw.bidi(say(REQUEST, 0, 0, 100))
        raw.wait(lambda: name in raw.ended or raw.refused or raw.closed)
        self.assertIsNone(raw.closed)


class FetcherCase(Case):
    """Peers of a fetcher, and one honest seeder who comes later."""

    words = ()

    def setUp(self):
        super().setUp()
        self.fetcher = self.start('fetch', '--listen', '127.0.0.1:0', '--identity', self.identity,
                                  '--json', '--timeout', HANG_S, '--linger', '1', *self.words,
                                  self.meta, self.top / 'target')
        self.fetcher.port = self.listening(self.fetcher)
        self.dripped = {}

    def asked(self, bits=ALL):
        """A peer that says that it has pieces, and its first request."""
        raw = self.raw(self.fetcher, self.hello + say(BITFIELD, 2, data=bits) + say(UNCHOKE))
        self.assertTrue(raw.wait(lambda: len(raw.streams.get('1', b'')) >= 13), raw.closed)
        request = raw.streams['1']
        self.assertEqual(request[0], REQUEST)
        return raw, struct.unpack('>III', request[1:13])

    def finish(self):
        """An honest seeder comes; returns the figures."""
        self.start('seed', '--peer', f'127.0.0.1:{self.fetcher.port}', '--known', self.known,
                   self.meta, self.source)
        out, errors = self.fetcher.communicate(timeout=HANG_S)
        self.assertEqual((self.fetcher.returncode, errors), (0, ''))
        self.assert_same()
        return json.loads(out)


class ToAFetcherOfLittleMemory(FetcherCase):
    piece_size = 1 << 20
    words = ('--memory', '1Mi')

    def test_pieces_that_nobody_has_keep_no_memory(self):
        gone, (_, _, size) = self.asked(b'\xf0\0')  # of one piece; it sends, and another is opened
        for name in ('1', '5', '9'):
            gone.send(name, bytes(size), fin=True)
        gone.wait(lambda: len(gone.streams.get('37', b'')) >= 13, 2)
        time.sleep(0.5)
        gone.end()
        _, (piece, _, _) = self.asked(b'\x0f\x80')
        self.assertGreater(piece, 3)
        self.finish()


class ToAFetcher(FetcherCase):
    def finish_while(self, do):
        """As finish(), and does something every half second."""
        done = threading.Event()

        def work():
            while not done.wait(0.5):
                do()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            return self.finish()
        finally:
            done.set()
            thread.join()

    def requests(self, raw):
        """What a peer was asked for: names of streams, with piece, offset and size."""
        raw.wait(lambda: False, 0.01)
        return {name: struct.unpack('>III', data[1:13]) for name, data in raw.streams.items()
                if int(name) % 4 == 1 and len(data) >= 13}

    def drip(self, raw):
        """A byte of each answer."""
        for name, (piece, offset, _) in self.requests(raw).items():
            if raw.closed is None:
                at = piece * PIECE + offset + self.dripped.get((raw, name), 0)
                raw.send(name, self.content[at:at + 1])
                self.dripped[raw, name] = self.dripped.get((raw, name), 0) + 1

    def doubtful(self):
        """A peer that has piece 0 alone, which had a wrong hash, and the names of streams before
        it."""
        raw, (_, _, size) = self.asked(b'\x80\0')
        self.assertGreater(size, 16384)
        raw.send('1', bytes(16384))
        time.sleep(0.2)
        raw.end()
        raw, (_, offset, size) = self.asked(b'\x80\0')
        self.assertEqual((offset, size), (16384, PIECE - 16384))
        raw.send('1', bytes(size), fin=True)
        raw.wait(lambda: '5' in raw.streams)
        return raw

    def test_a_doubtful_piece_is_not_held_by_bytes(self):
        raw = self.doubtful()
        figures = self.finish_while(lambda: self.drip(raw))
        self.assertLess(figures['seconds'], HANG_S / 2)
        self.assertEqual(figures['pieces_bad'], 1)

    def test_a_doubtful_piece_is_not_held_by_refusals(self):
        raw = self.doubtful()
        refused = set()

        def refuse():
            for name in self.requests(raw).keys() - refused:
                refused.add(name)
                raw.say('reset', name, NOT_HERE)

        self.assertLess(self.finish_while(refuse)['seconds'], HANG_S / 2)

    def test_a_block_is_not_held_by_two(self):
        one, _ = self.asked(b'\x80\0')
        two, (piece, offset, _) = self.asked(b'\x80\0')
        self.assertEqual((piece, offset), (0, 0))
        figures = self.finish_while(lambda: (self.drip(one), self.drip(two)))
        self.assertLess(figures['seconds'], HANG_S / 2)
        self.assertEqual(figures['pieces_bad'], 0)

    def test_a_flood_of_choke(self):
        raw, _ = self.asked()
        raw.say('send', 'control', (1000 * say(CHOKE) + 20 * say(UNCHOKE, data=say(CHOKE))).hex())
        raw.wait(lambda: raw.closed, 1)
        self.assertIsNone(raw.closed)  # few of them change anything
        raw.say('send', 'control', (100 * say(UNCHOKE, data=say(CHOKE))).hex())
        self.assert_closed(raw, BAD_MESSAGE)
        self.finish()

    def test_an_answer_that_is_too_short(self):
        raw, (_, _, size) = self.asked()
        raw.send('1', bytes(size - 1), fin=True)
        self.assert_closed(raw, BAD_MESSAGE)
        self.finish()

    def test_an_answer_that_is_too_long(self):
        raw, (piece, offset, size) = self.asked()
        start = piece * PIECE + offset
        raw.send('1', self.content[start:start + size] + b'x' * 1000)
        raw.wait(lambda: '1' in raw.stops or raw.closed)
        self.finish()

    def test_a_piece_with_another_content(self):
        raw, (piece, offset, _) = self.asked(b'\x80\0')
        self.assertEqual((piece, offset), (0, 0))
        sent = set()
        while raw.closed is None and len(sent) < 100:
            for name, data in list(raw.streams.items()):
                if name not in sent and int(name) % 4 == 1 and len(data) >= 13:
                    raw.send(name, bytes(struct.unpack('>III', data[1:13])[2]), fin=True)
                    sent.add(name)
            raw.wait(lambda: raw.closed, 0.05)
        self.assert_closed(raw, CORRUPT)
        self.assertEqual(self.finish()['peers_banned'], 1)

    def test_a_peer_that_never_answers_holds_nobody_up(self):
        raw, _ = self.asked()
        figures = self.finish()
        self.assertEqual(figures['pieces_bad'], 0)
        self.assertLess(figures['seconds'], HANG_S / 2)
        raw.end()

    def test_a_peer_that_refuses_and_chokes(self):
        raw, _ = self.asked()
        raw.say('reset', '1', NOT_HERE)
        raw.say('send', 'control', (say(CHOKE) + say(UNCHOKE) + say(CHOKE)).hex())
        self.finish()

    def test_a_peer_that_is_gone_in_the_middle_of_a_block(self):
        raw, (piece, offset, size) = self.asked()
        start = piece * PIECE + offset
        raw.send('1', self.content[start:start + min(size, 20_000)])
        raw.end()
        self.assertEqual(self.finish()['pieces_bad'], 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
