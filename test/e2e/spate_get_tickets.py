#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate get --tickets, spate serve --early and --ticket-keys: resumed sessions, and requests in
0-RTT."""
import os
import pathlib
import re
import signal
import time
import unittest

from spate_get_support import HANG_S, Case


class Resumption(Case):
    FULL, RESUMED = 'full handshake', 'resumed'
    ACCEPTED, REJECTED = 'resumed, 0-RTT accepted', 'resumed, 0-RTT rejected'

    def setUp(self):
        super().setUp()
        self.tickets, self.keys = self.top / 'tickets', self.top / 'keys'
        self.make('file', os.urandom(100_000))

    def resume(self, url, outcome, *words, names=('file',), **more):
        """Fetches files with the tickets of earlier runs; checks what became of the handshake."""
        for name in names:
            (self.to / name).unlink(missing_ok=True)
        done = self.get('--tickets', self.tickets, '--verbose', *words,
                        *(f'{url}/{name}' for name in names), **more)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertEqual(done.stdout,
                         f'connected to {url.removeprefix("https://")}: {outcome}\n')
        self.assert_same(*names)

    def restart(self, server, url, *words):
        """Starts a server again at the same address, with another certificate."""
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(HANG_S), 0)
        return self.serve(*words, listen=url.removeprefix('https://'))[0]

    def test_tickets_save_the_certificate_and_requests_go_as_0_rtt(self):
        _, url = self.serve('--early')
        self.resume(url, self.FULL)
        self.assertEqual(self.tickets.stat().st_mode & 0o777, 0o600)
        for _ in range(3):  # each connection gives the tickets of the next
            self.resume(url, self.ACCEPTED)
        self.resume(url, self.RESUMED, '--no-early')
        self.assert_all(self.get(f'{url}/file'))  # without the option nothing is kept
        self.resume(url, self.ACCEPTED)
        kinds = [line.split()[0] for line in self.tickets.read_text().splitlines()[1:]]
        self.assertIn('token', kinds)
        self.assertLessEqual(kinds.count('ticket'), 4)

    def test_more_requests_than_0_rtt_may_carry(self):
        names = [f'n{i}' for i in range(300)]
        for name in names:
            self.make(name, name.encode() * 50)
        _, url = self.serve('--early')
        self.resume(url, self.FULL)
        self.resume(url, self.ACCEPTED, names=names)

    def test_0_rtt_over_a_path_that_loses_reorders_and_corrupts(self):
        names = [f'n{i}' for i in range(40)]
        for name in names:
            self.make(name, os.urandom(3000))
        server, direct = self.serve('--early')
        _, url = self.relay_to(direct, '20mbit,loss=5%,corrupt=2%,reorder=10%,reorder-by=5ms')
        for _ in range(8):  # a ticket may be lost, and a token be too old: nothing else
            done = self.get('--tickets', self.tickets, *(f'{url}/{name}' for name in names))
            self.assert_all(done)
            self.assert_same(*names)
            for name in names:
                (self.to / name).unlink()

    def test_a_server_without_0_rtt_resumes(self):
        _, url = self.serve()
        self.resume(url, self.FULL)
        self.resume(url, self.RESUMED)

    def test_a_connection_for_each_file_uses_each_ticket_once(self):
        _, url = self.serve('--early')
        self.make('other', b'x' * 3000)
        self.resume(url, self.FULL)
        done = self.get('--tickets', self.tickets, '--verbose', '--separate', f'{url}/file',
                        f'{url}/other', f'{url}/nothing')
        where = url.removeprefix('https://')
        self.assertEqual(sorted(done.stdout.splitlines()),
                         [f'connected to {where}: {how}' for how in
                          (self.FULL, self.ACCEPTED, self.ACCEPTED)])  # two were given
        self.assertEqual(done.returncode, 1)
        self.assertIn('/nothing: not found', done.stderr)

    def test_a_restarted_server_opens_the_tickets_of_its_key_file(self):
        server, url = self.serve('--early', '--ticket-keys', self.keys)
        self.assertEqual(self.keys.stat().st_mode & 0o777, 0o600)
        self.resume(url, self.FULL)
        server = self.restart(server, url, '--early', '--ticket-keys', self.keys)
        # Whether an older ClientHello was accepted before is not known yet.
        self.resume(url, self.REJECTED)
        self.resume(url, self.ACCEPTED)
        server = self.restart(server, url, '--early')
        self.resume(url, 'full handshake, 0-RTT rejected')

    def test_keys_are_replaced_while_the_server_runs(self):
        server, url = self.serve('--ticket-keys', self.keys)
        self.resume(url, self.FULL)
        old = self.keys.read_text()
        fresh = 'ab' * 32 + '\n'
        for text, outcome in ((fresh + old, self.RESUMED), (fresh, self.RESUMED),
                              ('cd' * 32 + '\n', self.FULL), ('nonsense\n', self.RESUMED)):
            self.keys.write_text(text)
            server.send_signal(signal.SIGHUP)
            if text == 'nonsense\n':
                self.assertIn('must have 64 hexadecimal digits a line',
                              server.stderr.readline())
            self.wait_idle(server)
            self.resume(url, outcome)
        self.assertIsNone(server.poll())

    @staticmethod
    def wait_idle(server):
        """Waits until a process has taken its signals and sleeps."""
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline:
            status = pathlib.Path(f'/proc/{server.pid}/status').read_text()
            pending = re.search(r'^ShdPnd:\s*(\w+)$', status, re.MULTILINE)[1]
            if int(pending, 16) == 0 and 'State:\tS' in status:
                return
            time.sleep(0.01)

    def test_a_ticket_of_a_server_that_was_not_verified_proves_nothing(self):
        _, url = self.serve('--early')
        self.resume(url, self.FULL, '--insecure', trust=False)
        self.resume(url, self.FULL)
        self.resume(url, self.ACCEPTED)

    def test_damaged_tickets_cost_a_whole_handshake(self):
        _, url = self.serve('--early')
        self.resume(url, self.FULL)
        lines = self.tickets.read_text().splitlines()
        self.tickets.write_text('\n'.join(
            [lines[0]] + [line[:-4] + 'ffff' for line in lines[1:]]) + '\n')
        done = self.get('--tickets', self.tickets, f'{url}/file')
        self.assert_all(done)
        self.resume(url, self.ACCEPTED)

    def test_a_file_that_holds_no_tickets_is_left_alone(self):
        _, url = self.serve()
        self.tickets.write_text('precious\n')
        done = self.get('--tickets', self.tickets, f'{url}/file')
        self.assert_one_line(done, f'--tickets {self.tickets}: is no file of tickets')
        self.assertEqual(self.tickets.read_text(), 'precious\n')
        self.assertEqual(os.listdir(self.to), [])
        done = self.get('--tickets', self.top, f'{url}/file')
        self.assert_one_line(done, 'is no file of tickets')

    def test_tickets_that_cannot_be_written_do_not_lose_the_files(self):
        _, url = self.serve()
        done = self.get('--tickets', '/no/such/tickets', f'{url}/file')
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr,
                         'spate get: --tickets /no/such/tickets: No such file or directory\n')
        self.assert_same('file')

    def test_a_key_file_with_a_mistake_is_refused(self):
        self.keys.write_text('abc\n')
        server = self.start('serve', '--listen', '127.0.0.1:0', '--root', self.root,
                            '--ticket-keys', self.keys)
        _, err = server.communicate(timeout=HANG_S)
        self.assertEqual(server.returncode, 1)
        self.assertEqual(err, f'spate serve: --ticket-keys {self.keys}: must have 64 hexadecimal '
                              'digits a line\n')


if __name__ == '__main__':
    unittest.main(verbosity=2)
