#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An example that puts an echo server into a loop: clients hear their echo, a quiet server uses no
CPU, and signals end it.

usage: example.py SPATE CLIENT EXAMPLE
"""
import os
import signal
import subprocess
import sys
import time
import unittest

from processes import Processes, cpu_s
from slower import SLOWER

SPATE, CLIENT, EXAMPLE = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
HANG_S = 20 * SLOWER
QUIET_S = 0.5
QUIET_CPU_S = 0.05  # a loop that spins takes all of QUIET_S


class Example(Processes):
    def setUp(self):
        self.make_certificate(SPATE, HANG_S)

    def serve(self):
        server = subprocess.Popen([EXAMPLE, self.cert, self.key, '0'], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, server)
        words = server.stdout.readline().split()
        self.assertEqual(words[:3], ['listening', 'at', 'port'])
        return server, words[3]

    def test_clients_hear_their_echo_until_a_signal_ends_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server, port = self.serve()
            for _ in range(3):
                done = subprocess.run([CLIENT, port, self.cert], capture_output=True, text=True,
                                      timeout=HANG_S, check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn('good morning', done.stdout)
            server.send_signal(number)
            _, said = server.communicate(timeout=HANG_S)
            self.assertEqual((server.returncode, said), (0, ''))

    def test_a_stream_that_a_client_gives_up_ends(self):
        _, port = self.serve()
        done = subprocess.run([CLIENT, port, self.cert, 'reset'], capture_output=True, text=True,
                              timeout=HANG_S, check=False)
        self.assertIn('the stream was reset', done.stdout + done.stderr)

    def test_a_quiet_server_sleeps(self):
        server, port = self.serve()
        subprocess.run([CLIENT, port, self.cert], timeout=HANG_S, check=True,
                       stdout=subprocess.DEVNULL)
        time.sleep(QUIET_S)  # the connection drains
        before = cpu_s(server.pid)
        time.sleep(QUIET_S)
        self.assertLessEqual(cpu_s(server.pid) - before, QUIET_CPU_S)

    def test_mistakes_are_told(self):
        for words in ([], [self.cert, '/missing', '0'], [self.cert, self.key, '99999'],
                      [self.cert, self.key, '-1'], [self.cert, self.key, 'x']):
            done = subprocess.run([EXAMPLE, *words], capture_output=True, text=True,
                                  timeout=HANG_S, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count('\n'), 1, done.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
