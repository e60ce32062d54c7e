#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve by HTTP/3, and Chromium without a screen, in a network namespace that has nothing but
lo.

usage: http3_browser.py SPATE CHROMIUM      skipped where it may not make namespaces"""
import base64
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse
import zlib

from http3_support import HANG_S, Case

PROGRAM = None
PICTURES = 100


def picture(number):
    """A PNG of 2 x 2 pixels of a colour of its own."""
    def chunk(kind, data):
        return (len(data).to_bytes(4, 'big') + kind + data +
                zlib.crc32(kind + data).to_bytes(4, 'big'))
    row = b'\0' + bytes([number, 255 - number, 7]) * 2
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', bytes([0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0])) +
            chunk(b'IDAT', zlib.compress(row * 2)) + chunk(b'IEND', b''))


def key_hash(certificate):
    """The hash of the public key, as Chromium wants it."""
    key = subprocess.run(['openssl', 'x509', '-in', certificate, '-pubkey', '-noout'],
                         capture_output=True, check=True).stdout
    der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'der'], input=key,
                         capture_output=True, check=True).stdout
    done = subprocess.run(['openssl', 'dgst', '-sha256', '-binary'], input=der,
                          capture_output=True, check=True)
    return base64.b64encode(done.stdout).decode()


class NetLog:
    """What Chromium says about its network."""

    def __init__(self, path):
        text = path.read_text()
        try:
            log = json.loads(text)
        except ValueError:  # it was killed while it wrote
            log = json.loads(text[:text.rindex(',')] + ']}')
        self.names = {number: name for name, number in log['constants']['logEventTypes'].items()}
        self.events = log['events']

    def count(self, name):
        return sum(self.names.get(event['type']) == name for event in self.events)


class Browser(Case):
    def setUp(self):
        super().setUp()
        self.home = self.top / 'home'
        self.home.mkdir()
        self.log = self.top / 'net.json'

    def chromium(self, url, *words, spki=True):
        """Starts Chromium; its DOM goes to stdout after the load event."""
        trust = [f'--ignore-certificate-errors-spki-list={key_hash(self.ca)}'] if spki else []
        browser = subprocess.Popen(
            [PROGRAM, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
             '--disable-background-networking', '--disable-component-update', '--disable-sync',
             '--disable-dev-shm-usage', f'--user-data-dir={self.home}', '--no-proxy-server',
             '--host-resolver-rules=MAP localhost 127.0.0.1',
             f'--origin-to-force-quic-on=localhost:{self.port}', f'--log-net-log={self.log}',
             *trust, *words, url],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, 'HOME': str(self.home)})
        self.addCleanup(self.end, browser)
        return browser

    def make_page(self):
        for i in range(PICTURES):
            self.make(f'p/{i}.png', picture(i))
        self.make('index.html', b'<!DOCTYPE html><title>pictures</title><body><script>\n'
                  b'onload = () => document.body.append("seen " +'
                  b' [...document.images].filter(i => i.naturalWidth == 2).length);\n</script>' +
                  b''.join(b'<img src="p/%d.png">' % i for i in range(PICTURES)))

    @staticmethod
    def lines_of(server, is_done):
        """What the server prints until is_done(lines)."""
        lines = []

        def read():
            for line in server.stdout:
                lines.append(line.rstrip('\n'))

        threading.Thread(target=read, daemon=True).start()
        end = time.monotonic() + HANG_S
        while not is_done(lines) and time.monotonic() < end:
            time.sleep(0.02)
        return list(lines)

    def assert_pictures_served(self, lines):
        for i in range(PICTURES):
            self.assertEqual(sum(bool(re.fullmatch(rf'200 \d+ /p/{i}\.png', line))
                                 for line in lines), 1, (i, lines))


class Pages(Browser):
    def test_a_page_with_100_pictures_comes_over_quic(self):
        self.make_page()
        server = self.serve('--verbose')
        browser = self.chromium(f'{self.url}/', '--dump-dom')
        dom, _ = browser.communicate(timeout=HANG_S)
        self.assertIn(f'seen {PICTURES}', dom)
        self.assert_pictures_served(self.lines_of(server, lambda lines: len(lines) > PICTURES))
        log = NetLog(self.log)
        self.assertGreaterEqual(log.count('QUIC_SESSION'), 1)
        self.assertGreaterEqual(log.count('HTTP3_HEADERS_DECODED'), PICTURES + 1)
        self.assertEqual(log.count('SSL_CONNECT'), 0)  # TLS over TCP


class WebTransport(Browser):
    """The page comes from one server, the session goes to another, whose certificate the browser
    knows by its hash alone."""

    SCRIPT = """<!DOCTYPE html><title>x</title><script type="module">
const report = (...words) => fetch('/result/' + words.join('-'));
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
async function readAll(readable) {
  const bytes = [];
  for await (const part of readable)
    for (const byte of part)
      bytes.push(byte);
  return bytes;
}
try {
  const value = Uint8Array.from(atob('HASH'), (c) => c.charCodeAt(0));
  const transport = new WebTransport('https://localhost:PORT/echo',
    {serverCertificateHashes: [{algorithm: 'sha-256', value}]});
  await transport.ready;
  await report('ready');
  for (const size of [0, 1, 1200, 300000]) {
    const data = new Uint8Array(size).map((_, i) => i * 7 + (i >> 8));
    const bidi = await transport.createBidirectionalStream();
    const writer = bidi.writable.getWriter();
    const back = readAll(bidi.readable);
    await writer.write(data);
    await writer.close();
    await report('bidi', size, same(await back, data));
    const uni = (await transport.createUnidirectionalStream()).getWriter();
    await uni.write(data);
    await uni.close();
    const incoming = transport.incomingUnidirectionalStreams.getReader();
    const stream = (await incoming.read()).value;
    incoming.releaseLock();
    await report('uni', size, same(await readAll(stream), data));
  }
  const to = transport.datagrams.writable.getWriter();
  const from = transport.datagrams.readable.getReader();
  let good = 0;
  for (let i = 0; i < 200; i++) {
    const data = new Uint8Array(8 + 4 * i).fill(i);
    await to.write(data);
    const late = new Promise((resolve) => setTimeout(resolve, 2000, {value: []}));
    good += same((await Promise.race([from.read(), late])).value, data);
  }
  await report('datagrams', good >= 190);
  transport.close({closeCode: 7, reason: 'done'});
  await transport.closed;
  await report('end');
} catch (error) {
  await report('error', encodeURIComponent(String(error)));
}
</script>"""

    def test_streams_and_datagrams_both_ways(self):
        self.serve('--webtransport-echo', '--days', '10')
        der = subprocess.run(['openssl', 'x509', '-in', self.ca, '-outform', 'der'],
                             capture_output=True, check=True).stdout
        fingerprint = base64.b64encode(hashlib.sha256(der).digest()).decode()
        self.make('index.html', self.SCRIPT.replace('PORT', str(self.port)).replace(
            'HASH', fingerprint).encode())
        pages = self.serve('--verbose')
        self.chromium(f'{self.url}/', '--remote-debugging-port=0')
        lines = self.lines_of(pages, lambda lines: any(
            '/result/end' in line or '/result/error' in line for line in lines))
        results = [line.split('/result/')[1] for line in lines if '/result/' in line]
        self.assertEqual(results, [
            'ready', *(f'{kind}-{size}-true' for size in (0, 1, 1200, 300000)
                       for kind in ('bidi', 'uni')), 'datagrams-true', 'end'], lines)

    def test_the_page_draws_round_trips(self):
        page = pathlib.Path(__file__).resolve().parents[2] / 'tools/spate/http3/echo.html'
        watch = b"""<script>setInterval(() => {
          const seen = Number((/(\\d+) back/.exec($('text').textContent) || [0, 0])[1]);
          const pixels = $('canvas').getContext('2d').getImageData(0, 0, 800, 280).data;
          if (seen >= 100 && pixels.some((x) => x !== 0) && !window.told) {
            window.told = true;
            fetch('/result/drawn');
          }
        }, 50);</script>"""
        self.make('echo.html', page.read_bytes() + watch)
        server = self.serve('--webtransport-echo', '--days', '10', '--verbose')
        der = subprocess.run(['openssl', 'x509', '-in', self.ca, '-outform', 'der'],
                             capture_output=True, check=True).stdout
        fingerprint = base64.b64encode(hashlib.sha256(der).digest()).decode()
        self.chromium(f'{self.url}/echo.html#{urllib.parse.quote(fingerprint, safe="")}',
                      '--remote-debugging-port=0')
        lines = self.lines_of(server, lambda lines: any('/result/' in line for line in lines))
        self.assertTrue(any('/result/drawn' in line for line in lines), lines)


def enter_namespace():
    """Starts this program again where there is nothing but lo."""
    if os.environ.get('SPATE_IN_NAMESPACE'):
        return
    probe = subprocess.run(['unshare', '-n', 'ip', 'link', 'set', 'lo', 'up'], capture_output=True,
                           check=False)
    if probe.returncode != 0:
        print('skipped: no network namespaces', file=sys.stderr)
        sys.exit(77)
    os.execvpe('unshare', ['unshare', '-n', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh',
                           sys.executable, *sys.argv], {**os.environ, 'SPATE_IN_NAMESPACE': '1'})


if __name__ == '__main__':
    enter_namespace()
    Case.spate, PROGRAM = os.path.abspath(sys.argv.pop(1)), sys.argv.pop(1)
    unittest.main(verbosity=2)
