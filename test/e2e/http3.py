#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve by HTTP/3, and a client that says every byte itself: what is answered to good
requests, what to bad ones, and that bad ones never hurt others.

usage: http3.py SPATE RAW_CLIENT"""
import os
import signal
import sys
import unittest

from http3_support import (
    CLOSED_CRITICAL_STREAM, DATA, FRAME_ERROR, FRAME_UNEXPECTED, GOAWAY, HANG_S, HEADERS, ID_ERROR,
    INTERNAL_ERROR, MAX_PUSH_ID, MESSAGE_ERROR, MISSING_SETTINGS, NO_ERROR, REQUEST_CANCELLED,
    REQUEST_INCOMPLETE, SETTINGS, SETTINGS_ERROR, STREAM_CREATION_ERROR, DECOMPRESSION_FAILED,
    ENCODER_STREAM_ERROR, Case, fields, frame, frames, read_varint, request, status_of,
    texts, varint)

GET = ((':method', 'GET'), (':scheme', 'https'), (':authority', 'localhost'), (':path', '/file'))
PAST = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
PAST_TEXT = 'Sun, 06 Nov 1994 08:49:37 GMT'


class Answers(Case):
    def test_files_of_all_sizes_at_once(self):
        sizes = (0, 1, 1199, 16383, 16384, 65536, 262143, 262144, 262145, 3_000_000)
        files = {f'file{size}': os.urandom(size) for size in sizes}
        for name, data in files.items():
            self.make(name, data)
        server = self.serve()
        raw = self.raw()
        streams = {name: raw.bidi(request('/' + name)) for name in files}
        for name, stream in streams.items():
            self.assertEqual(raw.answer(stream), (200, files[name]), name)
        self.assert_lives(server)

    def test_more_requests_than_streams_at_a_time(self):
        self.make('file', b'data')
        server = self.serve()
        raw = self.raw()
        for _ in range(15):
            for stream in [raw.bidi(request('/file')) for _ in range(30)]:
                self.assertEqual(raw.answer(stream), (200, b'data'))
        self.assertFalse(raw.refused)
        self.assert_lives(server)

    def test_a_request_in_single_bytes(self):
        self.make('file', b'data')
        self.serve()
        raw = self.raw()
        stream = raw.bidi(fin=False)
        for byte in request('/file'):
            raw.send(stream, bytes([byte]))
        raw.send(stream, fin=True)
        self.assertEqual(raw.answer(stream), (200, b'data'))

    def test_paths(self):
        self.make('index.html', b'the root')
        self.make('a b/c', b'blank')
        self.make('d/index.html', b'folder')
        self.make('e/f', b'x')
        (self.top / 'secret').write_bytes(b'secret')
        (self.root / 'out').symlink_to(self.top / 'secret')
        (self.root / 'up').symlink_to(self.top)
        os.mkfifo(self.root / 'fifo')
        self.make('closed', b'x')
        server = self.serve()
        raw = self.raw()
        for path, status, body in (
                ('/', 200, b'the root'), ('/?query', 200, b'the root'), ('/a%20b/c', 200, b'blank'),
                ('/d/', 200, b'folder'), ('/d', 301, None), ('/e/', 404, None), ('/e', 301, None),
                ('/none', 404, None), ('/e/f/', 404, None), ('/e/f/g', 404, None),
                ('/../secret', 400, None), ('/%2e%2e/secret', 400, None),
                ('/%2E%2e%2fsecret', 400, None), ('/e/..%2f..%2fsecret', 400, None),
                ('/e/./f', 400, None), ('/%00', 400, None), ('/e%00/f', 400, None),
                ('/e/%', 400, None), ('/e/%zz', 400, None), ('//', 400, None), ('//e/f', 400, None),
                ('/e//f', 400, None), ('/e//', 400, None), ('/out', 403, None),
                ('/up/secret', 403, None), ('/up/', 403, None), ('/fifo', 403, None),
                ('/' + 'x' * 300, 414, None), ('/' + 'x/' * 1500, 414, None),
                ('/' + 'x' * 5000, 414, None)):
            got = raw.get(path)
            self.assertEqual(got[0], status, path[:50])
            self.assertNotIn(b'secret', got[1])
            if body is not None:
                self.assertEqual(got[1], body)
        self.assert_lives(server)

    def test_folders_are_listed_when_asked_to(self):
        for name in ('b&<c>', 'ä', 'sub/x', '.hidden', "quote'\""):
            self.make('d/' + name)
        server = self.serve()
        self.assertEqual(self.raw().get('/d/')[0], 404)
        server.send_signal(signal.SIGTERM)
        self.serve('--list-folders')
        status, page = self.raw().get('/d/')
        self.assertEqual(status, 200)
        for text in ('<a href="./b%26%3Cc%3E">b&#38;&#60;c&#62;</a>', '<a href="./%C3%A4">ä</a>',
                     '<a href="./sub/">sub/</a>', 'quote&#39;&#34;'):
            self.assertIn(text.encode(), page)
        self.assertNotIn(b'hidden', page)

    def test_methods(self):
        self.make('file', b'data')
        server = self.serve()
        raw = self.raw()
        self.assertEqual(raw.get('/file', method='HEAD'), (200, b''))
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'get', 'X'):
            self.assertEqual(raw.get('/file', method=method)[0], 405, method)
        raw.answer(raw.bidi(frame(HEADERS, fields((':method', 'CONNECT'),
                                                  (':authority', 'other:443')))))
        # An upload is answered before its end, and then stopped.
        stream = raw.bidi(request('/file', ('content-length', '1000000'), method='POST'), fin=False)
        self.assertEqual(raw.answer(stream)[0], 405)
        raw.send(stream, frame(DATA, b'x' * 1000))
        raw.wait(lambda: stream in raw.stops)
        self.assertEqual(raw.stops[stream], NO_ERROR)
        self.assertEqual(raw.get('/file'), (200, b'data'))
        self.assert_lives(server)

    def test_ranges(self):
        self.make('file', b'0123456789')
        os.utime(self.root / 'file', (PAST, PAST))
        self.serve()
        raw = self.raw()
        for text, status, body in (
                ('bytes=2-4', 206, b'234'), ('bytes=-3', 206, b'789'), ('bytes=8-', 206, b'89'),
                ('bytes=0-0', 206, b'0'), ('bytes=9-100', 206, b'9'), ('bytes=10-', 416, None),
                ('bytes=-0', 416, None), ('bytes=1-2,4-5', 200, b'0123456789'),
                ('bytes=4-2', 200, b'0123456789'), ('items=1-2', 200, b'0123456789')):
            got = raw.get('/file', ('range', text))
            self.assertEqual(got[0], status, text)
            if body is not None:
                self.assertEqual(got[1], body, text)
        twice = raw.get('/file', ('range', 'bytes=1-1'), ('range', 'bytes=2-2'))
        self.assertEqual(twice, (200, b'0123456789'))
        self.assertEqual(raw.get('/file', ('range', 'bytes=1-1'), method='HEAD'), (200, b''))
        for value, status in ((PAST_TEXT, 206), ('Sun, 06 Nov 1994 08:49:36 GMT', 200),
                              ('"other"', 200), ('W/"x"', 200), ('nonsense', 200)):
            self.assertEqual(raw.get('/file', ('range', 'bytes=1-1'), ('if-range', value))[0],
                             status, value)

    def test_conditions(self):
        self.make('file', b'data')
        os.utime(self.root / 'file', (PAST, PAST))
        self.serve()
        raw = self.raw()
        tag = f'"{PAST:x}.0-4-{(self.root / "file").stat().st_ino:x}"'
        later, before = 'Sun, 06 Nov 1994 08:49:38 GMT', 'Sun, 06 Nov 1994 08:49:36 GMT'
        for pairs, status in (
                ([('if-none-match', '*')], 304), ([('if-none-match', '"x"')], 200),
                ([('if-modified-since', PAST_TEXT)], 304), ([('if-modified-since', later)], 304),
                ([('if-modified-since', before)], 200), ([('if-modified-since', 'x')], 200),
                ([('if-none-match', '"x"'), ('if-modified-since', PAST_TEXT)], 200),
                ([('if-none-match', '"x"'), ('if-none-match', tag)], 304),
                ([('if-none-match', tag), ('if-none-match', '"x"'), ('if-none-match', '"y"')],
                 304),
                ([('if-none-match', '"x"'), ('if-none-match', '"y"'),
                  ('if-modified-since', PAST_TEXT)], 200),
                ([('if-match', '"x"'), ('if-match', '"y"'), ('if-match', tag)], 200),
                ([('if-match', '"x"'), ('if-match', '"y"')], 412),
                ([('if-match', '*')], 200), ([('if-match', '"x"')], 412),
                ([('if-unmodified-since', before)], 412),
                ([('if-unmodified-since', PAST_TEXT)], 200),
                ([('if-unmodified-since', 'x')], 200),
                ([('if-none-match', '*'), ('range', 'bytes=0-0')], 304)):
            got = raw.get('/file', *pairs)
            self.assertEqual(got[0], status, pairs)
            if status == 304:
                self.assertEqual(got[1], b'')

    def test_a_folder_is_moved_with_its_query(self):
        self.make('a/file', b'data')
        self.serve()
        raw = self.raw()
        for path, location in (('/a', '/a/'), ('/a?b=c/d?e', '/a/?b=c/d?e'), ('/a?', '/a/?')):
            stream = raw.bidi(request(path))
            self.assertEqual(raw.answer(stream)[0], 301)
            self.assertTrue(any(text in raw.streams[stream] for text in texts(location)), path)

    def test_what_becomes_more_urgent_comes_first(self):
        self.make('large', bytes(20_000_000))
        self.make('small', bytes(100_000))
        self.serve()
        raw = self.raw()
        large, small = (raw.bidi(request(path)) for path in ('/large', '/small'))
        raw.wait(lambda: large in raw.streams)
        raw.send('control', frame(0xf0700, varint(4) + b'u=0'))  # [RFC9218 7.2]
        raw.wait(lambda: small in raw.ended)
        self.assertNotIn(large, raw.ended)

    def test_a_file_that_becomes_shorter_is_reset(self):
        self.make('file', bytes(30_000_000))
        server = self.serve()
        raw = self.raw()
        stream = raw.bidi(request('/file'))
        raw.wait(lambda: stream in raw.streams)
        os.truncate(self.root / 'file', 100)
        raw.wait(lambda: stream in raw.resets or stream in raw.ended)
        self.assertEqual(raw.resets.get(stream), INTERNAL_ERROR)
        self.assert_lives(server)

    def test_a_client_that_loses_interest(self):
        self.make('file', bytes(30_000_000))
        server = self.serve()
        raw = self.raw()
        for _ in range(20):
            stream = raw.bidi(request('/file'))
            raw.wait(lambda: stream in raw.streams)
            raw.say('stop', stream, REQUEST_CANCELLED)
        other = self.raw()
        for _ in range(5):
            other.bidi(request('/file'))
        other.end()
        self.make('small', b'x')
        self.assertEqual(raw.get('/small'), (200, b'x'))
        self.assert_lives(server)

    def test_more_bodies_than_memory(self):
        """100 streams of 8 MB each want more than the 64 MiB of all bodies together."""
        data = os.urandom(8_000_000)
        self.make('file', data)
        server = self.serve()
        raws = [self.raw() for _ in range(4)]
        streams = [(raw, raw.bidi(request('/file', ('range', f'bytes=-{400_000 + i}'))), i)
                   for raw in raws for i in range(40)]
        for raw, stream, i in streams:
            self.assertEqual(raw.answer(stream), (206, data[-400_000 - i:]))
        self.assert_lives(server)

    def test_the_end_is_announced(self):
        self.make('file', b'data')
        server = self.serve()
        raw = self.raw()
        self.assertEqual(raw.get('/file'), (200, b'data'))
        server.send_signal(signal.SIGTERM)
        raw.wait(lambda: raw.closed)
        self.assertEqual(server.wait(HANG_S), 0)
        control = next(data for data in raw.streams.values() if data[:2] == b'\0\4')
        self.assertIn(GOAWAY, [kind for kind, _ in frames(control[1:])])

    def test_both_protocols_and_their_streams(self):
        self.make('file', b'data')
        server = self.serve()
        raw = self.raw('hq-interop', prepare=False)
        raw.uni('odd', b'GET /file\r\n')
        stream = raw.bidi(b'GET /file\r\n')
        raw.wait(lambda: stream in raw.ended)
        self.assertEqual(raw.streams[stream], b'data')
        raw.wait(lambda: 'odd' in raw.stops)
        self.assertIn('odd', raw.stops)
        self.assert_lives(server)


class Hostile(Case):
    """[RFC9114 4.1.2, 6.2, 7.1, 7.2, 8.1]"""

    def setUp(self):
        super().setUp()
        self.make('file', b'data')

    def test_malformed_requests_are_reset_alone(self):
        server = self.serve()
        raw = self.raw()
        smuggled = [
            ('a method twice', (*GET[:1], *GET)), ('no path', GET[:3]), ('no method', GET[1:]),
            ('an unknown pseudo field', (*GET, (':x', 'y'))),
            ('a pseudo field behind others', (('a', 'b'), *GET)),
            ('a status in a request', (*GET, (':status', '200'))),
            ('capital letters', (*GET, ('Range', 'bytes=0-0'))),
            ('transfer-encoding', (*GET, ('transfer-encoding', 'chunked'))),
            ('connection', (*GET, ('connection', 'close'))),
            ('te', (*GET, ('te', 'chunked'))),
            ('two lengths', (*GET, ('content-length', '1'), ('content-length', '2'))),
            ('a length that is no number', (*GET, ('content-length', '+1'))),
            ('a line end in a value', (*GET, ('a', 'b\r\nc: d'))),
            ('a zero byte in a value', (*GET, ('a', b'b\0c'))),
            ('a blank in a name', (*GET, ('a b', 'c'))),
            ('a colon in a name', (*GET, ('a:b', 'c'))),
        ]
        for what, pairs in smuggled:
            stream = raw.bidi(frame(HEADERS, fields(*pairs)))
            raw.wait(lambda: stream in raw.resets or stream in raw.ended or raw.closed)
            self.assertFalse(raw.closed, what)
            if stream in raw.ended:  # what nghttp3 drops is not passed on
                self.assertIn(what, ('a line end in a value', 'a zero byte in a value',
                                     'a blank in a name', 'a colon in a name'))
            else:
                self.assertEqual(raw.resets[stream], MESSAGE_ERROR, what)
        # More or fewer bytes than announced.
        for size in (3, 5):
            stream = raw.bidi(frame(HEADERS, fields(*GET, ('content-length', str(size)))) +
                              frame(DATA, b'1234'))
            raw.wait(lambda: stream in raw.resets or stream in raw.ended or raw.closed)
            self.assertEqual(raw.resets.get(stream), MESSAGE_ERROR)
        self.assertEqual(raw.get('/file'), (200, b'data'))
        self.assert_lives(server)

    def test_requests_that_end_too_early(self):
        server = self.serve()
        raw = self.raw()
        for data in (b'', varint(0x21) + varint(0), varint(0x21) + varint(3) + b'abc'):
            stream = raw.bidi(data)
            raw.wait(lambda: stream in raw.resets or raw.closed)
            self.assertEqual(raw.resets.get(stream), REQUEST_INCOMPLETE, data)
        for data in (frame(HEADERS, fields(*GET))[:10], b'\1', request('/file') + b'\0\5x'):
            other = self.raw()
            other.bidi(data)
            other.wait(lambda: other.closed)
            self.assertEqual(other.closed[:2], (2, FRAME_ERROR))
        # A request that is taken back.
        stream = raw.bidi(frame(HEADERS, fields(*GET))[:10], fin=False)
        raw.say('reset', stream, hex(REQUEST_CANCELLED))
        raw.wait(lambda: stream in raw.resets)
        self.assertEqual(raw.resets[stream], REQUEST_CANCELLED)
        self.assertEqual(raw.get('/file'), (200, b'data'))
        self.assert_lives(server)

    def test_large_fields(self):
        server = self.serve()
        raw = self.raw()
        many = [(f'x{i}', 'y' * 100) for i in range(200)]
        self.assertEqual(raw.get('/file', *many)[0], 431)
        self.assertEqual(raw.get('/file', *many, method='HEAD'), (431, b''))
        self.assertEqual(raw.get('/file', ('x', 'y' * 17000))[0], 431)
        self.assertEqual(raw.get('/file', *many[:100]), (200, b'data'))
        huge = self.raw()
        stream = huge.bidi(request('/file', ('x', 'y' * 900_000)))
        huge.wait(lambda: huge.closed or stream in huge.resets or stream in huge.ended)
        self.assertTrue(huge.closed or stream in huge.resets)
        self.assertEqual(raw.get('/file'), (200, b'data'))
        self.assert_lives(server)

    def test_frames_where_they_may_not_be(self):
        server = self.serve()
        for what, data, codes in (
                ('data first', frame(DATA, b'x'), (FRAME_UNEXPECTED,)),
                ('settings', frame(SETTINGS), (FRAME_UNEXPECTED,)),
                ('goaway', frame(GOAWAY, varint(0)), (FRAME_UNEXPECTED,)),
                ('max push id', frame(MAX_PUSH_ID, varint(0)), (FRAME_UNEXPECTED,)),
                ('push promise', frame(5, varint(0) + fields(*GET)), (FRAME_UNEXPECTED,)),
                ('http/2 priority', frame(2, b'12345'), (FRAME_UNEXPECTED,)),
                ('http/2 ping', frame(6, b'12345678'), (FRAME_UNEXPECTED,)),
                ('headers after trailers',
                 request('/file') + 2 * frame(HEADERS, fields(('a', 'b'))), (FRAME_UNEXPECTED,)),
                ('data after trailers', request('/file') + frame(HEADERS, fields(('a', 'b'))) +
                 frame(DATA, b'x'), (FRAME_UNEXPECTED,)),
                ('qpack nonsense', frame(HEADERS, b'\0\0\xff\xff\xff\xff'),
                 (DECOMPRESSION_FAILED,)),
                ('a table that is not there', frame(HEADERS, b'\5\0\x80'),
                 (DECOMPRESSION_FAILED,))):
            raw = self.raw()
            raw.bidi(data, fin=False)
            raw.wait(lambda: raw.closed)
            self.assertTrue(raw.closed, what)
            self.assertEqual(raw.closed[0], 2, what)  # SPATE_CLOSE_APP
            self.assertIn(raw.closed[1], codes, what)
        self.assert_lives(server)

    def test_unknown_frames_and_streams_are_ignored(self):
        server = self.serve()
        raw = self.raw(prepare=False)
        grease = frame(0x21, b'x' * 3000)
        raw.uni('control', b'\0' + frame(SETTINGS, varint(0x21) + varint(7)) + grease)
        raw.uni('grease', varint(0x21) + b'x' * 5000)
        stream = raw.bidi(grease + request('/file') + grease)
        self.assertEqual(raw.answer(stream), (200, b'data'))
        raw.wait(lambda: 'grease' in raw.stops)
        self.assertEqual(raw.stops['grease'], STREAM_CREATION_ERROR)
        self.assertEqual(raw.get('/file'), (200, b'data'))
        self.assert_lives(server)

    def test_control_streams(self):
        server = self.serve()
        settings = frame(SETTINGS)
        for what, data, code in (
                ('no settings', frame(GOAWAY, varint(0)), MISSING_SETTINGS),
                ('settings twice', settings * 2, FRAME_UNEXPECTED),
                ('a setting of http/2', frame(SETTINGS, varint(2) + varint(0)), SETTINGS_ERROR),
                ('half a setting', frame(SETTINGS, varint(6)), FRAME_ERROR),
                ('data', settings + frame(DATA, b'x'), FRAME_UNEXPECTED),
                ('headers', settings + request('/file'), FRAME_UNEXPECTED),
                ('http/2 ping', settings + frame(6, b'12345678'), FRAME_UNEXPECTED),
                ('an empty goaway', settings + frame(GOAWAY), FRAME_ERROR),
                ('ids that grow', settings + frame(GOAWAY, varint(4)) + frame(GOAWAY, varint(8)),
                 ID_ERROR)):
            raw = self.raw(prepare=False)
            raw.uni('control', b'\0' + data)
            raw.wait(lambda: raw.closed)
            self.assertTrue(raw.closed, what)
            self.assertEqual(raw.closed[:2], (2, code), what)
        for what, words, code in (
                ('its end', ('send', 'control', '-', 'fin'), CLOSED_CRITICAL_STREAM),
                ('its reset', ('reset', 'control', '0x100'), CLOSED_CRITICAL_STREAM),
                ('a stop', ('stop', '3', '0x100'), CLOSED_CRITICAL_STREAM)):
            raw = self.raw()
            self.assertEqual(raw.get('/file'), (200, b'data'))
            raw.say(*words)
            raw.wait(lambda: raw.closed)
            self.assertTrue(raw.closed, what)
            self.assertEqual(raw.closed[:2], (2, code), what)
        for kind, code in ((0, STREAM_CREATION_ERROR), (1, STREAM_CREATION_ERROR),
                           (2, None), (3, None)):
            raw = self.raw()
            raw.uni('second', varint(kind) + (frame(SETTINGS) if kind == 0 else b''))
            raw.uni('third', varint(kind))
            raw.wait(lambda: raw.closed)
            self.assertTrue(raw.closed, kind)
            self.assertEqual(raw.closed[:2], (2, code or STREAM_CREATION_ERROR), kind)
        raw = self.raw()
        raw.uni('encoder', varint(2) + b'\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff')
        raw.wait(lambda: raw.closed)
        self.assertEqual(raw.closed[:2], (2, ENCODER_STREAM_ERROR))
        self.assert_lives(server)

    def test_more_streams_than_there_may_be(self):
        server = self.serve()
        raw = self.raw()
        for i in range(40):
            raw.uni(f'u{i}')
        for _ in range(150):
            raw.bidi(request('/file')[:5], fin=False)
        raw.wait(lambda: len(raw.refused) >= 50)
        self.assertGreaterEqual(len(raw.refused), 50)
        self.assertFalse(raw.closed)
        self.assert_lives(server)

    def test_nonsense_hurts_nobody_else(self):
        server = self.serve()
        good = self.raw()
        self.assertEqual(good.get('/file'), (200, b'data'))
        for i in range(60):
            raw = self.raw(prepare=i % 2 == 0)
            junk = os.urandom(200)
            raw.uni('u', varint(i % 5) + junk)
            raw.bidi(junk, fin=i % 3 == 0)
            raw.bidi(request('/file') + junk)
            raw.wait(lambda: raw.closed, 0.05)
            raw.end()
        self.assertEqual(good.get('/file'), (200, b'data'))
        self.assert_lives(server)


class WebTransport(Case):
    """[draft-ietf-webtrans-http3-02, RFC9220, RFC9297]"""

    def connect(self, raw, path='/echo', protocol='webtransport'):
        return raw.bidi(frame(HEADERS, fields(
            (':method', 'CONNECT'), (':protocol', protocol), (':scheme', 'https'),
            (':authority', 'localhost'), (':path', path))), fin=False)

    def begin(self, raw):
        session = self.connect(raw)
        raw.wait(lambda: session in raw.streams)
        self.assertEqual(status_of(list(frames(raw.streams[session]))[0][1]), 200)
        return session

    def test_the_settings_say_so_only_when_asked_to(self):
        wanted = {0x08: 1, 0x33: 1, 0xffd277: 1, 0x2b603742: 1}
        for words in ((), ('--webtransport-echo',)):
            self.serve(*words)
            raw = self.raw()
            self.assertEqual(raw.get('/none')[0], 404)
            control = next(data for data in raw.streams.values() if data[:2] == b'\0\4')
            ((kind, rest), *_) = frames(control[1:])
            self.assertEqual(kind, SETTINGS)
            settings = {}
            while rest:
                name, rest = read_varint(rest)
                settings[name], rest = read_varint(rest)
            self.assertEqual({n: v for n, v in settings.items() if n in wanted},
                             wanted if words else {})
            # Without it there is no :protocol: the request is malformed.
            stream = self.connect(raw)
            raw.wait(lambda: stream in raw.streams or stream in raw.resets)
            self.assertEqual(stream in raw.resets, not words)

    def test_streams_and_datagrams_come_back(self):
        server = self.serve('--webtransport-echo')
        raw = self.raw()
        self.begin(raw)  # stream 0
        data = os.urandom(3_000_000)
        echo = raw.bidi(varint(0x41) + varint(0) + data)
        raw.wait(lambda: echo in raw.ended)
        self.assertEqual(raw.streams[echo], data)
        one = raw.bidi(fin=False)  # the beginning in single bytes
        for byte in varint(0x41) + varint(0, 8) + b'abc':
            raw.send(one, bytes([byte]))
        raw.send(one, b'd', fin=True)
        raw.wait(lambda: one in raw.ended)
        self.assertEqual(raw.streams[one], b'abcd')
        raw.uni('up', varint(0x54) + varint(0) + b'hello')
        raw.send('up', b' world', fin=True)
        head = varint(0x54) + varint(0)
        raw.wait(lambda: any(name in raw.ended and text == head + b'hello world'
                             for name, text in raw.streams.items()))
        self.assertTrue(any(text == head + b'hello world' for text in raw.streams.values()))
        for size in (0, 1, 1000):
            raw.datagrams.clear()
            raw.say('datagram', (varint(0) + b'x' * size).hex())
            raw.wait(lambda: raw.datagrams)
            self.assertEqual(raw.datagrams, [varint(0) + b'x' * size])
        self.make('file', b'data')
        self.assertEqual(raw.get('/file'), (200, b'data'))
        self.assert_lives(server)

    def test_resets_and_stops_are_passed_on(self):
        server = self.serve('--webtransport-echo')
        raw = self.raw()
        self.begin(raw)
        stream = raw.bidi(varint(0x41) + varint(0) + b'x', fin=False)
        raw.wait(lambda: stream in raw.streams)
        raw.say('reset', stream, '0x52e4a40fa8db')
        raw.wait(lambda: stream in raw.resets)
        self.assertEqual(raw.resets[stream], 0x52e4a40fa8db)
        stream = raw.bidi(varint(0x41) + varint(0) + b'x', fin=False)
        raw.wait(lambda: stream in raw.streams)
        raw.say('stop', stream, '0x52e4a40fa8dc')
        raw.wait(lambda: stream in raw.stops)
        self.assertEqual(raw.stops[stream], 0x52e4a40fa8dc)
        self.assert_lives(server)

    def test_the_end_of_a_session_ends_its_streams(self):
        server = self.serve('--webtransport-echo')
        capsule = varint(0x2843) + varint(8) + b'\0\0\0\7done'
        unknown = varint(0x1234) + varint(3) + b'abc'
        for how in ('fin', 'capsule', 'capsule in bytes', 'reset'):
            raw = self.raw()
            session = self.begin(raw)
            stream = raw.bidi(varint(0x41) + varint(0) + b'x', fin=False)
            raw.wait(lambda: stream in raw.streams)
            if how == 'fin':
                raw.send(session, fin=True)
            elif how == 'capsule':
                raw.send(session, frame(DATA, unknown + capsule))
            elif how == 'capsule in bytes':
                for byte in unknown + capsule:
                    raw.send(session, frame(DATA, bytes([byte])))
            else:
                raw.say('reset', session, '0x10c')
            raw.wait(lambda: stream in raw.resets)
            self.assertEqual(raw.resets[stream], 0x170d7b68, how)
            raw.wait(lambda: session in raw.ended or session in raw.resets)
            self.assertTrue(session in raw.ended or session in raw.resets, how)
            late = raw.bidi(varint(0x41) + varint(0) + b'x')
            raw.wait(lambda: late in raw.resets)
            self.assertEqual(raw.resets[late], 0x3994bd84)
        self.assert_lives(server)

    def test_what_has_no_session_is_refused(self):
        server = self.serve('--webtransport-echo')
        raw = self.raw()
        stream = raw.bidi(varint(0x41) + varint(400) + b'x')
        raw.uni('up', varint(0x54) + varint(3) + b'x')
        raw.say('datagram', (varint(5) + b'x').hex())
        raw.say('datagram', '-')
        raw.say('datagram', 'ff')
        raw.wait(lambda: stream in raw.resets and 'up' in raw.stops)
        self.assertEqual((raw.resets[stream], raw.stops['up']), (0x3994bd84, 0x3994bd84))
        for path, protocol in (('/other', 'webtransport'), ('/echo', 'websocket')):
            other = self.connect(raw, path, protocol)
            raw.wait(lambda: other in raw.ended)
            self.assertEqual(status_of(list(frames(raw.streams[other]))[0][1]), 501)
        for _ in range(16):
            self.begin(raw)
        last = self.connect(raw)
        raw.wait(lambda: last in raw.ended)
        self.assertEqual(raw.streams[last][:1], b'\1')
        self.assertFalse(raw.datagrams)
        # Half of a beginning is nothing.
        half = raw.bidi(varint(0x41))
        raw.wait(lambda: half in raw.resets or raw.closed)
        self.assert_lives(server)

    def test_a_client_that_vanishes(self):
        server = self.serve('--webtransport-echo')
        for _ in range(5):
            raw = self.raw()
            self.begin(raw)
            raw.bidi(varint(0x41) + varint(0) + os.urandom(500_000), fin=False)
            raw.uni('up', varint(0x54) + varint(0) + os.urandom(500_000))
            raw.say('close', 0)
            raw.wait(lambda: raw.closed)
        self.assert_lives(server)


if __name__ == '__main__':
    Case.spate, Case.raw_client = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
