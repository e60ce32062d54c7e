#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that take nothing, or what nobody asked for: what others get meanwhile, and what the
server keeps.

usage: http3_share.py SPATE RAW_CLIENT"""
import os
import signal
import sys
import time
import unittest

from http3_support import REQUEST_CANCELLED, Case, request, rss_bytes
from slower import SLOWER


class Share(Case):
    def stall(self, alpn, what):
        """Begins connections that ask for more than all memory and take nothing of it."""
        for _ in range(4):
            raw = self.raw(alpn, prepare=alpn == 'h3')
            lines = ''.join(f'bidi t{i}\nsend t{i} {what.hex()} fin\n' for i in range(100))
            os.write(raw.process.stdin.fileno(), lines.encode())  # all of them in one turn
            raw.wait(lambda raw=raw: raw.streams.keys() & {f't{i}' for i in range(100)})
            raw.process.send_signal(signal.SIGSTOP)

    def test_who_takes_nothing_hurts_nobody_else(self):
        self.make('large', bytes(600_000))
        self.make('small', b'0123456789')
        self.serve()
        self.stall('h3', request('/large'))
        time.sleep(0.2)  # until it has asked for memory
        other = self.raw()
        stream = other.bidi(request('/small'))
        self.assertTrue(other.wait(lambda: stream in other.ended, 5 * SLOWER))
        self.assertEqual(other.answer(stream), (200, b'0123456789'))

    def test_who_takes_nothing_by_http_09_hurts_nobody_else(self):
        self.make('large', bytes(600_000))
        self.make('small', b'0123456789')
        self.serve()
        self.stall('hq-interop', b'GET /large\r\n')
        time.sleep(0.2)
        other = self.raw('hq-interop', prepare=False)
        stream = other.bidi(b'GET /small\r\n')
        self.assertTrue(other.wait(lambda: stream in other.ended, 5 * SLOWER))

    def test_an_answer_that_nobody_wants_is_forgotten(self):
        self.make('large', bytes(30_000_000))
        server = self.serve()
        raw = self.raw()
        before = len(os.listdir(f'/proc/{server.pid}/fd'))
        streams = [raw.bidi(request('/large'), fin=False) for _ in range(20)]
        raw.wait(lambda: streams[0] in raw.streams)
        for stream in streams:
            raw.say('stop', stream, REQUEST_CANCELLED)
        end = time.monotonic() + 5 * SLOWER
        while len(os.listdir(f'/proc/{server.pid}/fd')) > before and time.monotonic() < end:
            raw.wait(lambda: False, 0.05)
        self.assertEqual(len(os.listdir(f'/proc/{server.pid}/fd')), before)
        self.assertIsNone(raw.closed)
        self.assert_lives(server)

    def test_messages_of_other_protocols_are_dropped(self):
        self.make('file', b'data')
        server = self.serve('--webtransport-echo', '--cp')
        for alpn in ('hq-interop', 'spate-files/1'):
            raw = self.raw(alpn, prepare=False)
            for i in range(300):
                raw.say('datagram', '00' * 1000)
            before = rss_bytes(server.pid)
            for i in range(10_000):
                raw.say('datagram', '00' * 1000)
                if i % 100 == 0:  # they are not held back by congestion, but they may be lost
                    time.sleep(0.001)
            time.sleep(0.1)
            self.assertLess(rss_bytes(server.pid) - before, 4_000_000)
        self.assert_lives(server)


if __name__ == '__main__':
    Case.spate, Case.raw_client = (os.path.abspath(word) for word in sys.argv[1:3])
    del sys.argv[1:3]
    unittest.main(verbosity=2)
