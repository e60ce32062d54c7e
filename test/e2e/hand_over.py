#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Server processes that replace each other under load: no connection is lost and no handshake
refused, also when the old process is killed while it serves its last connections.

usage: hand_over.py SPATE SERVER LOAD

SPATE_TEST_LONG=1 in the environment adds a test that waits for half a minute.
"""
import json
import os
import signal
import socket
import sys
import unittest

from processes import Processes
from slower import SLOWER

SPATE, SERVER, LOAD = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
HANG_S = 120 * SLOWER
DRAIN_S = 60
CONNS = 20
# A first packet that is lost is sent again after a second: nothing may take that long.  In a slow
# build handshakes do also where nothing is lost.
HANDSHAKE_MS_MAX = 900 * SLOWER


class HandOver(Processes):
    def setUp(self):
        self.path = str(self.make_certificate(SPATE, HANG_S) / 'next')
        self.port = '0'

    def serve(self, *quic_lb, drain_s=DRAIN_S):
        server = self.start(SERVER, self.cert, self.key, self.port, self.path, str(drain_s),
                            *quic_lb)
        words = server.stdout.readline().split()
        self.assertEqual(words[:3], ['listening', 'at', 'port'], words)
        self.port = words[3]
        self.assertEqual(server.stdout.readline(), 'serving\n')
        return server

    def load(self):
        load = self.start(LOAD, self.port, self.cert, str(CONNS))
        self.begin(load)
        self.see(load)
        return load

    def ask(self, load, command, answer):
        load.stdin.write(command)
        load.stdin.flush()
        self.assertEqual(load.stdout.readline(), answer + '\n')

    def begin(self, load):
        """Begins a generation of connections, and waits until they are made."""
        self.ask(load, '+', 'made')

    def see(self, load):
        """Waits until 100 more handshakes are done: the load runs meanwhile."""
        self.ask(load, 's', 'seen')

    def result(self, load):
        said, wrong = load.communicate('q', timeout=HANG_S)
        self.assertEqual(load.returncode, 0, wrong)
        result = json.loads(said.splitlines()[-1])
        print(result)
        self.assertEqual(result['failed'], 0, wrong)
        self.assertEqual(result['wrong'], 0)
        self.assertLess(result['longest_ms'], HANDSHAKE_MS_MAX)
        return result

    def ends_in_order(self, server):
        _, wrong = server.communicate(timeout=HANG_S)
        self.assertEqual((server.returncode, wrong), (0, ''))

    def test_a_server_is_replaced_three_times_and_nothing_is_lost(self):
        self.replace_three_times([()] * 4)

    def test_nor_behind_balancers_that_read_server_ids_in_clear(self):
        self.replace_three_times([('1', '77')] * 4)

    def test_nor_with_a_key_and_another_one_in_each_process(self):
        self.replace_three_times([(str(i % 2), '77', f'{i}7' * 16) for i in range(4)])

    def replace_three_times(self, quic_lbs):
        servers = [self.serve(*quic_lbs[0])]
        load = self.load()
        for quic_lb in quic_lbs[1:]:
            servers.append(self.serve(*quic_lb))
            self.begin(load)
            self.see(load)
        for server in servers:  # all of them still serve
            self.assertIsNone(server.poll())
        result = self.result(load)
        self.assertEqual(result['made'], [CONNS] * 4)
        self.assertEqual(result['lost'], [0] * 4)
        for server in servers[:-1]:
            self.ends_in_order(server)
        servers[-1].send_signal(signal.SIGTERM)
        self.ends_in_order(servers[-1])

    def test_an_old_process_that_is_killed_takes_nobody_with_it(self):
        self.kill_the_old_one()

    def test_nor_does_it_behind_balancers(self):
        self.kill_the_old_one('1', '77', '5a' * 16)

    def kill_the_old_one(self, *quic_lb):
        old = self.serve(*quic_lb)
        load = self.load()
        new = self.serve(*quic_lb)
        self.begin(load)
        self.see(load)
        old.kill()
        self.see(load)
        self.begin(load)
        self.see(load)
        self.see(load)
        newest = self.serve(*quic_lb)
        self.begin(load)
        self.see(load)
        result = self.result(load)
        self.assertEqual(result['made'], [CONNS] * 4)
        self.assertGreater(result['lost'][0], 0)  # the others have not noticed yet
        self.assertEqual(result['lost'][1:], [0, 0, 0])
        self.ends_in_order(new)
        newest.send_signal(signal.SIGTERM)
        self.ends_in_order(newest)

    def test_a_new_process_that_fails_leaves_the_old_one_alone(self):
        old = self.serve()
        load = self.load()
        for _ in range(3):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as fake:
                fake.connect(self.path)
                fake.send(b'SPHO\1\1')
                keys = fake.recv(4096)
                self.assertEqual(keys[:6], b'SPHO\1\2')
            self.assertIn('has gone', old.stderr.readline())
            self.see(load)
        new = self.serve()
        self.begin(load)
        self.see(load)
        self.assertEqual(self.result(load)['lost'], [0, 0])
        self.ends_in_order(old)
        new.send_signal(signal.SIGTERM)
        self.ends_in_order(new)

    def test_a_server_that_ends_leaves_the_socket_of_its_successor(self):
        """The successor listens before this one knows that all is given, and is told to end."""
        server = self.serve()
        os.unlink(self.path)
        successor = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(successor.close)
        successor.bind(self.path)
        server.send_signal(signal.SIGTERM)
        self.ends_in_order(server)
        self.assertTrue(os.path.exists(self.path))

    if os.environ.get('SPATE_TEST_LONG'):
        def test_a_process_that_says_nothing_is_given_up(self):
            server = self.serve(drain_s=1)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
                silent.connect(self.path)
                silent.settimeout(60 * SLOWER)
                while silent.recv(1 << 16):
                    pass
                self.serve()
                server.communicate(timeout=HANG_S)
                self.assertEqual(server.returncode, 0)

    def test_connections_that_do_not_end_are_closed_after_the_drain(self):
        old = self.serve(drain_s=1)
        load = self.load()
        new = self.serve()
        self.begin(load)
        self.ends_in_order(old)
        self.see(load)
        result = self.result(load)
        self.assertEqual(result['lost'], [CONNS, 0])
        new.send_signal(signal.SIGTERM)
        self.ends_in_order(new)


if __name__ == '__main__':
    unittest.main(verbosity=2)
