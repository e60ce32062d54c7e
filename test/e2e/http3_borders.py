#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve by HTTP/3, and clients whose streams are cut at any byte: where a slice ends must
change nothing.

usage: http3_borders.py SPATE RAW_CLIENT"""
import os
import sys
import unittest

from http3_support import (
    CANCEL_PUSH, EXCESSIVE_LOAD, FRAME_ERROR, GOAWAY, ID_ERROR, MAX_PUSH_ID, SETTINGS, Case, frame,
    frames, request, varint)

PRIORITY_UPDATE = 0xf0700
GREASE = 0x21

SETTINGS_FRAME = frame(SETTINGS, varint(1) + varint(4096) + varint(6) + varint(1 << 20) +
                       varint(7) + varint(16) + varint(GREASE) + varint(1 << 40))
# What may come as often as one likes.
FRAMES = (frame(PRIORITY_UPDATE, varint(200) + b'u=3, i') + frame(PRIORITY_UPDATE, varint(200)) +
          frame(PRIORITY_UPDATE, varint(4, 8) + b'u=0') + frame(GREASE, b'grease') +
          frame(GREASE) + frame(MAX_PUSH_ID, varint(70)) + frame(0x40 + GREASE, b'x') +
          frame(PRIORITY_UPDATE, varint(8) + b'u=5, i, a=bcdefghijkl') +
          frame(GOAWAY, varint(16, 4)))


class Borders(Case):
    def setUp(self):
        super().setUp()
        self.make('file', b'data')

    def cut(self, raw, name, *parts):
        """Sends the parts of a stream, each in packets of its own: an answer comes between."""
        for part in parts:
            raw.send(name, part)
            self.assertEqual(raw.get('/file'), (200, b'data'), part.hex())

    def test_a_control_stream_in_single_bytes(self):
        for words in ((), ('--webtransport-echo',)):
            server = self.serve(*words)
            raw = self.raw(prepare=False)
            raw.uni('control')
            data = b'\0' + SETTINGS_FRAME + FRAMES + FRAMES
            self.cut(raw, 'control', *(bytes([byte]) for byte in data))
            self.assert_lives(server)

    def test_a_control_stream_cut_anywhere(self):
        server = self.serve()
        raw = self.raw(prepare=False)
        raw.uni('control', varint(0, 2) + SETTINGS_FRAME)
        for at in range(1, len(FRAMES)):
            self.cut(raw, 'control', FRAMES[:at], FRAMES[at:])
        self.assert_lives(server)

    def test_settings_cut_anywhere(self):
        server = self.serve()
        data = b'\0' + SETTINGS_FRAME
        for at in range(1, len(data)):
            raw = self.raw(prepare=False)
            raw.uni('control')
            self.cut(raw, 'control', data[:at], data[at:])
            raw.end()
        self.assert_lives(server)

    def test_frames_that_are_too_long(self):
        """An unknown one is ignored, whatever its length is."""
        server = self.serve()
        raw = self.raw()
        self.cut(raw, 'control', frame(GREASE, b'x' * 5000)[:3000], b'x' * 2003 + FRAMES)
        self.assertFalse(raw.closed)
        for what, data, code in (
                ('a priority', frame(PRIORITY_UPDATE, varint(0) + b'u=1,' + b'a' * 5000),
                 EXCESSIVE_LOAD),
                ('its head alone', varint(PRIORITY_UPDATE) + varint(1 << 40), EXCESSIVE_LOAD),
                ('bytes after the number of a goaway', frame(GOAWAY, varint(0) + b'x'),
                 FRAME_ERROR),
                ('a goaway that is no number', frame(GOAWAY, b'\x40'), FRAME_ERROR),
                ('bytes after the number of a max push id', frame(MAX_PUSH_ID, varint(9) * 2),
                 FRAME_ERROR),
                ('a priority of nothing', frame(PRIORITY_UPDATE), FRAME_ERROR),
                ('a push that was not promised', frame(CANCEL_PUSH, varint(0)), ID_ERROR),
                ('fewer pushes', frame(MAX_PUSH_ID, varint(9)) + frame(MAX_PUSH_ID, varint(8)),
                 ID_ERROR)):
            raw = self.raw()
            raw.send('control', data)
            raw.wait(lambda: raw.closed)
            self.assertTrue(raw.closed, what)
            self.assertEqual(raw.closed[:2], (2, code), what)
        self.assert_lives(server)

    def test_priorities_of_streams_that_are_not_there(self):
        """Before a stream opens, while it is open, and after it was reset without a byte."""
        server = self.serve()
        raw = self.raw()
        for round_ in range(100):
            stream = raw.bidi(fin=False)
            id_ = 8 * round_  # get() takes every second one
            raw.send('control', frame(PRIORITY_UPDATE, varint(id_) + b'u=1'))
            raw.say('reset', stream, '0x10c')
            raw.send('control', frame(PRIORITY_UPDATE, varint(id_ + 4) + b'u=2, i'))
            self.assertEqual(raw.get('/file'), (200, b'data'))
            raw.send('control', frame(PRIORITY_UPDATE, varint(id_)))
        self.assertEqual(raw.get('/file'), (200, b'data'))
        self.assert_lives(server)

    def test_the_table_of_a_client_cut_anywhere(self):
        """Instructions of both QPACK streams.  [RFC9204 4.3, 4.4]"""
        server = self.serve()
        encoder = (b'\x3f\xe1\x1f'  # a capacity of 4096
                   b'\x4a' b'custom-key' b'\x05' b'value'  # a name and a value
                   b'\xd1\x82\x1c\x64'  # a static name, and "abc" in Huffman codes
                   b'\x81\x01x\x02')  # a dynamic name; a duplicate
        raw = self.raw()
        raw.uni('encoder')
        raw.uni('decoder')
        data = varint(2) + encoder
        self.cut(raw, 'encoder', *(bytes([byte]) for byte in data))
        self.cut(raw, 'decoder', *(bytes([byte]) for byte in varint(3) + b'\x7f\x80\x01\x40'))
        for at in range(1, len(encoder)):
            self.cut(raw, 'encoder', encoder[:at], encoder[at:])
        self.assert_lives(server)

    def test_answers_wait_for_no_acknowledgement_of_fields(self):
        """They would be noted until it comes, and it need not.  [RFC9204 2.1.4]"""
        server = self.serve()
        raw = self.raw(prepare=False)
        raw.uni('control', b'\0' + SETTINGS_FRAME)  # allows a table
        for _ in range(50):
            stream = raw.bidi(request('/file'))
            self.assertEqual(raw.answer(stream), (200, b'data'))
            self.assertEqual(next(frames(raw.streams[stream]))[1][:2], b'\0\0')
        self.assert_lives(server)

    def test_requests_cut_anywhere(self):
        server = self.serve()
        raw = self.raw()
        data = frame(GREASE, b'x') + request('/file') + frame(0, b'body') + frame(GREASE)
        for at in range(1, len(data)):
            stream = raw.bidi(fin=False)
            self.cut(raw, stream, data[:at])
            raw.send(stream, data[at:], fin=at % 2 == 0)
            if at % 2 == 1:
                self.cut(raw, stream)
                raw.send(stream, fin=True)
            self.assertEqual(raw.answer(stream), (200, b'data'), at)
        self.assert_lives(server)


if __name__ == '__main__':
    Case.spate, Case.raw_client = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
