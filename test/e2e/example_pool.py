#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example of a pool: requests go to several servers, and to those that are left when one dies.

usage: example_pool.py SPATE SERVER EXAMPLE BAD-SERVER
"""
import os
import re
import subprocess
import sys
import unittest

from processes import Processes
from slower import SLOWER

SPATE, SERVER, EXAMPLE, BAD_SERVER = (os.path.abspath(sys.argv.pop(1)) for _ in range(4))
HANG_S = 30 * SLOWER


class ExamplePool(Processes):
    def setUp(self):
        self.make_certificate(SPATE, HANG_S)

    def serve(self, word='0', program=SERVER):
        server = subprocess.Popen([program, self.cert, self.key, word], text=True,
                                  stdout=subprocess.PIPE)
        self.addCleanup(self.end, server)
        return server, server.stdout.readline().split()[3]

    def test_requests_go_to_all_servers(self):
        ports = [self.serve()[1] for _ in range(3)]
        done = subprocess.run([EXAMPLE, self.cert, '2000', *ports], capture_output=True, text=True,
                              timeout=HANG_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        said = re.fullmatch(r'2000 answers over (\d) connections; servers: 3\n', done.stdout)
        self.assertTrue(said and 1 <= int(said[1]) <= 6, done.stdout)

    def test_a_server_that_dies_costs_nothing_but_its_share(self):
        first, first_port = self.serve()
        second_port = self.serve()[1]
        client = subprocess.Popen([EXAMPLE, self.cert, '40000', first_port, second_port],
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, client)
        first.kill()
        said, mistakes = client.communicate(timeout=HANG_S)
        self.assertEqual((client.returncode, mistakes), (0, ''))
        self.assertIn('40000 answers', said)

    def test_what_is_not_answered_is_asked_again(self):
        port = self.serve('5', BAD_SERVER)[1]
        done = subprocess.run([EXAMPLE, self.cert, '50', port], capture_output=True, text=True,
                              timeout=HANG_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertIn('50 answers', done.stdout)

    def test_mistakes_are_told(self):
        for words in ([], [self.cert, '1', '0'], ['/missing', '1', '4433']):
            done = subprocess.run([EXAMPLE, *words], capture_output=True, text=True,
                                  timeout=HANG_S, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count('\n'), 1, done.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
