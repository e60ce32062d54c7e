#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve, started by systemd-socket-activate: the sockets, LISTEN_PID, LISTEN_FDS and
LISTEN_FDNAMES are those that systemd's own code makes, and not those that a test believes in.

usage: spate_serve_activated.py SPATE RELAY SYSTEMD_SOCKET_ACTIVATE
"""
import os
import signal
import socket
import subprocess
import sys
import unittest

from spate_get_support import HANG_S, SPATE, Case

ACTIVATE = os.path.abspath(sys.argv.pop(1))
TRIES = 5  # another process may take a port before systemd-socket-activate binds it


def free_address(family):
    """An address of loopback, as a string, that was free a moment ago: the tool takes no port 0."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(('::1' if family == socket.AF_INET6 else '127.0.0.1', 0))
        host, port = probe.getsockname()[:2]
    return f'[{host}]:{port}' if family == socket.AF_INET6 else f'{host}:{port}'


class Activated(Case):
    def setUp(self):
        super().setUp()
        self.cert, self.key = self.top / 'cert.pem', self.top / 'key.pem'
        subprocess.run([SPATE, 'cert', '--cert-out', self.cert, '--key-out', self.key], check=True,
                       timeout=HANG_S, stdout=subprocess.DEVNULL)
        self.make('small', b'small')
        self.serve_words = [str(word) for word in (SPATE, 'serve', '--root', self.root, '--cert',
                                                   self.cert, '--key', self.key)]

    def activate(self, families, names, command):
        """Waits until the tool has bound a socket of each family.  Returns it and the addresses: a
        packet to one of them makes it the command."""
        for _ in range(TRIES):
            addresses = [free_address(family) for family in families]
            words = [ACTIVATE, '--datagram', f'--fdname={names}',
                     *(f'--listen={address}' for address in addresses), *command]
            tool = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True)
            self.addCleanup(self.end, tool)
            lines = []
            while sum('Listening on' in line for line in lines) < len(families):
                lines.append(tool.stderr.readline())
                if lines[-1] == '':
                    break
            else:
                return tool, addresses
        return self.fail(''.join(lines))

    def assert_serves(self, server, address):
        done = self.get('--ca', self.cert, f'https://{address}/small', trust=False)
        self.assert_all(done)
        self.assert_same('small')
        self.assertEqual(server.stdout.readline(), f'listening at {address}\n')

    def assert_ends(self, server):
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(HANG_S), 0)

    def test_the_first_packet_starts_the_server_and_is_served(self):
        for family in (socket.AF_INET, socket.AF_INET6):
            with self.subTest(family=family.name):
                server, (address,) = self.activate([family], 'quic',
                                                   [*self.serve_words, '--inherit', 'quic'])
                self.assert_serves(server, address)
                self.assert_ends(server)

    def test_of_several_sockets_the_name_chooses(self):
        for names, chosen in (('quic:other', 0), ('other:quic', 1)):
            with self.subTest(names=names):
                server, addresses = self.activate([socket.AF_INET] * 2, names,
                                                  [*self.serve_words, '--inherit', 'quic'])
                self.assert_serves(server, addresses[chosen])
                self.assert_ends(server)

    def test_the_child_of_the_process_that_was_started_has_no_sockets(self):
        """LISTEN_PID is the shell's, which does not become the server."""
        shell = ['/bin/sh', '-c', '"$@"; exit $?', 'sh', *self.serve_words, '--inherit', 'quic']
        tool, (address,) = self.activate([socket.AF_INET], 'quic', shell)
        host, port = address.rsplit(':', 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b'anything', (host, int(port)))
        _, wrong = tool.communicate(timeout=HANG_S)
        self.assertEqual(tool.returncode, 1, wrong)
        self.assertEqual(wrong.splitlines()[-1], 'spate serve: --inherit quic: the process was '
                         'started with no socket of this name')


if __name__ == '__main__':
    unittest.main(verbosity=2)
