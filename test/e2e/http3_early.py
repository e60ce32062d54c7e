#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve by HTTP/3, asked in 0-RTT: what may be replayed is answered, what may not is not.

usage: http3_early.py SPATE RAW_CLIENT"""
import os
import sys
import unittest

from http3_support import HEADERS, SETTINGS, Case, fields, frame, frames, request, status_of


class Early(Case):
    """0-RTT.  [RFC9114 7.2.4.2, RFC8470]"""

    def resume(self, *requests):
        """A connection that has said the requests, on streams "s1", "s2" .., before it knew the
        server."""
        ticket = self.top / 'ticket'
        ticket.unlink(missing_ok=True)
        first = self.raw(ticket=ticket)
        self.assertTrue(first.wait(lambda: first.ticket))
        self.assertFalse(first.early)
        first.end()
        said = f'uni control\nsend control {(bytes(1) + frame(SETTINGS)).hex()}\n'
        for number, (data, fin) in enumerate(requests, 1):
            said += f'bidi s{number}\nsend s{number} {data.hex()}{" fin" if fin else ""}\n'
        raw = self.raw(prepare=False, ticket=ticket, first=said.encode())
        raw.count = len(requests)
        return raw

    def test_files_are_asked_for_without_waiting(self):
        self.make('small', b'data')
        self.make('large', os.urandom(1_000_000))
        server = self.serve('--early')
        raw = self.resume((request('/small'), True), (request('/large'), True))
        self.assertTrue(raw.early)
        self.assertEqual(raw.answer('s1'), (200, b'data'))
        self.assertEqual(raw.answer('s2'), (200, (self.root / 'large').read_bytes()))
        self.assertEqual(raw.get('/small'), (200, b'data'))
        self.assert_lives(server)

    def test_a_server_that_takes_none_answers_all_the_same(self):
        self.make('file', b'data')
        server = self.serve()
        raw = self.resume((request('/file'), True))
        self.assertFalse(raw.early)
        self.assertEqual(raw.answer('s1'), (200, b'data'))
        self.assert_lives(server)

    def test_a_session_is_too_early(self):
        server = self.serve('--early', '--webtransport-echo')
        connect = frame(HEADERS, fields(
            (':method', 'CONNECT'), (':protocol', 'webtransport'), (':scheme', 'https'),
            (':authority', 'localhost'), (':path', '/echo')))
        for _ in range(20):
            raw = self.resume((connect, False))
            self.assertTrue(raw.early)
            raw.wait(lambda raw=raw: raw.streams.get('s1'))
            status = status_of(list(frames(raw.streams['s1']))[0][1])
            if status != 200:  # the server has come late, and knows by then that it is no replay
                break
        self.assertEqual(raw.answer('s1')[0], 425)
        again = raw.bidi(connect, fin=False)
        raw.wait(lambda: again in raw.streams)
        self.assertEqual(status_of(list(frames(raw.streams[again]))[0][1]), 200)
        self.assert_lives(server)


if __name__ == '__main__':
    Case.spate, Case.raw_client = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
