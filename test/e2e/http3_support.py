# SPDX-License-Identifier: MIT
"""spate serve for tests of HTTP/3, and a client that says every byte itself: frames and fields of
RFC 9114 and RFC 9204, as few as the tests want."""
import os
import pathlib
import re
import select
import signal
import subprocess
import tempfile
import time

from processes import Processes

HANG_S = 60  # much longer than any run here

DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0, 1, 3, 4, 5, 7, 13
NO_ERROR, GENERAL_PROTOCOL_ERROR, INTERNAL_ERROR, STREAM_CREATION_ERROR = range(0x100, 0x104)
CLOSED_CRITICAL_STREAM, FRAME_UNEXPECTED, FRAME_ERROR, EXCESSIVE_LOAD = range(0x104, 0x108)
ID_ERROR, SETTINGS_ERROR, MISSING_SETTINGS, REQUEST_REJECTED = range(0x108, 0x10c)
REQUEST_CANCELLED, REQUEST_INCOMPLETE, MESSAGE_ERROR, CONNECT_ERROR = range(0x10c, 0x110)
DECOMPRESSION_FAILED, ENCODER_STREAM_ERROR, DECODER_STREAM_ERROR = range(0x200, 0x203)


def varint(number, size=None):
    """[RFC9000 16]"""
    for bits, count in enumerate((1, 2, 4, 8)):
        if number < 1 << 8 * count - 2 and count >= (size or 1):
            return (number | bits << 8 * count - 2).to_bytes(count, 'big')
    raise ValueError(number)


def read_varint(data):
    """Returns a number and the bytes behind it; None and data if there are too few."""
    if not data or len(data) < 1 << (data[0] >> 6):
        return None, data
    count = 1 << (data[0] >> 6)
    number = int.from_bytes(data[:count], 'big') & (1 << 8 * count - 2) - 1
    return number, data[count:]


def frame(kind, payload=b''):
    return varint(kind) + varint(len(payload)) + payload


def frames(data):
    """All whole frames: pairs of a kind and a payload."""
    while data:
        kind, data = read_varint(data)
        size, data = read_varint(data)
        if size is None or len(data) < size:
            return
        yield kind, data[:size]
        data = data[size:]


def prefixed(first, bits, number):
    """An integer behind the upper bits of a byte.  [RFC7541 5.1]"""
    most = (1 << bits) - 1
    if number < most:
        return bytes([first | number])
    out = [first | most]
    number -= most
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def fields(*pairs):
    """A field section without Huffman codes and without a table.  [RFC9204 4.5.6]"""
    out = b'\0\0'
    for name, value in pairs:
        name, value = (x if isinstance(x, bytes) else x.encode() for x in (name, value))
        out += prefixed(0x20, 3, len(name)) + name + prefixed(0, 7, len(value)) + value
    return out


def request(path='/', *more, method='GET'):
    return frame(HEADERS, fields((':method', method), (':scheme', 'https'),
                                 (':authority', 'localhost'), (':path', path), *more))


STATIC_STATUS = {24: 103, 25: 200, 26: 304, 27: 404, 28: 503, 63: 100, 64: 204, 65: 206, 66: 302,
                 67: 400, 68: 403, 69: 421, 70: 425, 71: 500}
# The digits of RFC 7541 appendix B.
HUFFMAN = {'00000': '0', '00001': '1', '00010': '2', **{f'{0x19 + i:06b}': str(i + 3)
                                                        for i in range(7)}}


def status_of(section):
    """The :status of a field section of nghttp3: it is the first field."""
    _, at = section[0], section[2:]
    if at[0] & 0xc0 == 0xc0:
        index = at[0] & 0x3f
        return STATIC_STATUS[index + (at[1] if index == 0x3f else 0)]
    assert at[0] & 0xf0 == 0x50 or at[0] & 0xd0 == 0x50, at.hex()  # a static name, a literal value
    at = at[2:] if at[0] & 0x0f == 0x0f else at[1:]
    size = at[0] & 0x7f
    if not at[0] & 0x80:
        return int(at[1:1 + size])
    bits, text, code = ''.join(f'{byte:08b}' for byte in at[1:1 + size]), '', ''
    for bit in bits:
        code += bit
        if code in HUFFMAN:
            text, code = text + HUFFMAN[code], ''
    return int(text)


# Some letters of RFC 7541 appendix B.
LETTERS = {'/': '011000', '=': '100000', '?': '1111111100', 'a': '00011', 'b': '100011',
           'c': '00100', 'd': '100100', 'e': '00101'}


def texts(text):
    """The value of a field as it may be written: as it is, or in Huffman codes."""
    bits = ''.join(LETTERS[letter] for letter in text)
    bits += '1' * (-len(bits) % 8)
    code = int(bits, 2).to_bytes(len(bits) // 8, 'big')
    return (prefixed(0, 7, len(text)) + text.encode(), prefixed(0x80, 7, len(code)) + code)


def rss_bytes(pid):
    with open(f'/proc/{pid}/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


class Raw:
    """A connection of raw_client.  What the server has said is in `streams`: name -> bytes."""

    def __init__(self, program, port, ca, alpn='h3', prepare=True, ticket=None, first=b''):
        """The program reads `first` before anything else: as 0-RTT if there is a ticket."""
        stdin, to = os.pipe()
        os.write(to, first)
        with open(stdin, 'rb') as file:
            self.process = subprocess.Popen(
                [program, str(port), ca, alpn, *([ticket] if ticket else [])], stdin=file,
                stdout=subprocess.PIPE, bufsize=0)
        self.process.stdin = open(to, 'wb', 0)
        self.rest = b''
        self.streams, self.ended, self.resets, self.stops = {}, set(), {}, {}
        self.datagrams, self.refused, self.closed = [], [], None
        self.count = 0
        self.connected = self.early = self.ticket = False
        self.wait(lambda: self.connected or self.closed)
        if prepare:
            self.uni('control', b'\0' + frame(SETTINGS))

    def say(self, *words):
        data = (' '.join(map(str, words)) + '\n').encode()
        to, out = self.process.stdin.fileno(), self.process.stdout
        try:
            while data:  # reads too, or each might wait for the other
                readable, writable, _ = select.select([out], [to], [], HANG_S)
                if writable:
                    data = data[os.write(to, data[:4096]):]
                elif not readable or not self.read():
                    return
        except BrokenPipeError:
            pass  # the server has closed the connection: wait() says why

    def send(self, name, data=b'', fin=False):
        for at in range(0, max(len(data), 1), 100_000):
            part = data[at:at + 100_000]
            last = at + 100_000 >= len(data)
            self.say('send', name, part.hex() or '-', *(['fin'] if fin and last else []))

    def uni(self, name, data=b''):
        self.say('uni', name)
        if data:
            self.send(name, data)

    def bidi(self, data=b'', fin=True):
        self.count += 1
        name = f's{self.count}'
        self.say('bidi', name)
        if data or fin:
            self.send(name, data, fin)
        return name

    def take(self, line):
        word, *more = line.split(' ')
        if word == 'connected':
            self.connected, self.early = True, bool(more)
        elif word == 'ticket':
            self.ticket = True
        elif word == 'data':
            self.streams[more[0]] = self.streams.get(more[0], b'') + bytes.fromhex(
                more[1].replace('-', ''))
            if len(more) > 2:
                self.ended.add(more[0])
        elif word == 'reset':
            self.resets[more[0]] = int(more[1], 16)
        elif word == 'stopped':
            self.stops[more[0]] = int(more[1], 16)
        elif word == 'datagram':
            self.datagrams.append(bytes.fromhex(more[0].replace('-', '')))
        elif word == 'refused':
            self.refused.append(' '.join(more))
        elif word == 'closed':
            self.closed = (int(more[0]), int(more[1], 16), ' '.join(more[2:]))

    def wait(self, is_done, seconds=HANG_S):
        end = time.monotonic() + seconds
        while not is_done():
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return False
            if not self.read():
                return is_done()
        return True

    def read(self):
        """Takes what the program has said.  Returns False after its end."""
        got = os.read(self.process.stdout.fileno(), 1 << 20)
        *lines, self.rest = (self.rest + got).split(b'\n')
        for line in lines:
            self.take(line.decode())
        return bool(got)

    def answer(self, name):
        """Waits for an answer; returns its status and its body."""
        self.wait(lambda: name in self.ended or name in self.resets or self.closed)
        assert name in self.ended, (name, self.resets, self.closed)
        got = list(frames(self.streams[name]))
        return (status_of(got[0][1]),
                b''.join(payload for kind, payload in got if kind == DATA))

    def get(self, path, *more, method='GET'):
        return self.answer(self.bidi(request(path, *more, method=method)))

    def end(self):
        self.process.kill()
        self.process.communicate()


class Case(Processes):
    """A server with a folder.  No process stays behind."""
    spate = raw_client = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='spate-http3-')
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.root = self.top / 'www'
        self.ca = self.top / 'ca.pem'
        self.root.mkdir()

    def make(self, name, data=b''):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def serve(self, *words, cert=None):
        """Starts a server, with a certificate and a key or a certificate of its own.  Sets port."""
        proof = ('--cert', cert[0], '--key', cert[1]) if cert else ('--cert-out', self.ca)
        server = subprocess.Popen(
            [self.spate, 'serve', '--listen', '127.0.0.1:0', '--root', self.root, *proof, *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.addCleanup(self.end, server)
        line = server.stdout.readline()
        if line.startswith('fingerprint '):
            line = server.stdout.readline()
        match = re.fullmatch(r'listening at \S+:(\d+)\n', line)
        self.assertTrue(match, line or server.stderr.read())
        self.port = int(match[1])
        self.url = f'https://localhost:{self.port}'
        return server

    def raw(self, alpn='h3', prepare=True, **more):
        raw = Raw(self.raw_client, self.port, self.ca, alpn, prepare, **more)
        self.addCleanup(raw.end)
        self.assertTrue(raw.connected)
        return raw

    def assert_lives(self, server):
        """It runs, serves others, and ends as it should: a sanitizer has nothing to say."""
        self.make('lives', b'yes')
        self.assertEqual(self.raw().get('/lives'), (200, b'yes'))
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(HANG_S), 0, server.stderr.read())
