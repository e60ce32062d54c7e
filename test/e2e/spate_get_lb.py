#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve --quic-lb: what clients send names the server, also after the file has changed."""
import os
import signal
import socket
import threading
import time
import unittest

from spate_get_support import HANG_S, Case


class Listener:
    """Passes datagrams on between one client and a server, and remembers the connection IDs of the
    client's packets with a short header."""

    def __init__(self, url):
        host, port = url.removeprefix('https://').split(':')
        self.server = (host, int(port))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.socket.settimeout(0.1)
        self.url = f'https://127.0.0.1:{self.socket.getsockname()[1]}'
        self.ids = []
        self.ends = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        client = None
        while not self.ends:
            try:
                data, source = self.socket.recvfrom(65536)
            except TimeoutError:
                continue
            if source == self.server:
                self.socket.sendto(data, client)
                continue
            client = source
            if data[0] & 0x80 == 0:
                self.ids.append(data[1:21])
            self.socket.sendto(data, self.server)

    def close(self):
        self.ends = True
        self.thread.join()
        self.socket.close()


class QuicLb(Case):
    def setUp(self):
        super().setUp()
        self.lb = self.top / 'lb'
        self.make('file', os.urandom(2_000_000))

    def fetch(self, url):
        listener = Listener(url)
        self.addCleanup(listener.close)
        self.assert_all(self.get(f'{listener.url}/file'))
        self.assert_same('file')
        (self.to / 'file').unlink()
        return listener.ids

    def assert_named(self, ids, config_id, server_id):
        self.assertGreater(len(ids), 3)
        for one in ids:
            self.assertEqual((one[0] >> 5, one[1:1 + len(server_id)]), (config_id, server_id))

    def test_the_server_id_is_in_each_packet(self):
        self.lb.write_text('2 31a4 8 - length\n')
        server, url = self.serve('--quic-lb', self.lb)
        ids = self.fetch(url)
        self.assert_named(ids, 2, b'\x31\xa4')
        self.assertEqual({one[0] & 0x1f for one in ids}, {11})

        self.lb.write_text('3 77 9 -\n')  # as long as the first
        server.send_signal(signal.SIGHUP)
        end = time.monotonic() + HANG_S
        while (ids := self.fetch(url))[0][0] >> 5 != 3:
            self.assertLess(time.monotonic(), end)
        self.assert_named(self.fetch(url), 3, b'\x77')

        self.lb.write_text('4 77 4 -\n')  # one that is refused changes nothing
        server.send_signal(signal.SIGHUP)
        self.assertIn('server_id_size + nonce_size is 5', server.stderr.readline())
        self.assert_named(self.fetch(url), 3, b'\x77')
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(HANG_S), 0)

    def test_with_a_key_nobody_sees_the_server_id(self):
        self.lb.write_text('1 3131313131 11 8f95f09245765f80256934e50c66207f\n')
        _, url = self.serve('--quic-lb', self.lb)
        ids = self.fetch(url)
        self.assertEqual({one[0] >> 5 for one in ids}, {1})
        for one in ids:
            self.assertNotEqual(one[1:6], b'11111')

    def test_a_bad_file_is_refused(self):
        for text, reason in (('1 31 8\n', 'must have one line'),
                             ('9 31 8 -\n', 'quic_lb.config_id is 9, must be 0 to 7'),
                             ('1 31 3 -\n', 'quic_lb.nonce_size is 3, must be 4 to 18')):
            self.lb.write_text(text)
            server = self.start('serve', '--listen', '127.0.0.1:0', '--root', self.root,
                                '--quic-lb', self.lb)
            said = server.communicate(timeout=HANG_S)
            self.assertEqual(server.returncode, 1, said)
            self.assertIn(reason, said[1])
            self.assertEqual(said[1].count('\n'), 1, said)


if __name__ == '__main__':
    unittest.main(verbosity=2)
