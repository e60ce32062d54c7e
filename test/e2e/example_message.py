#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example of messages: a request of a megabyte comes back.

usage: example_message.py SPATE SERVER CLIENT
"""
import os
import subprocess
import sys
import tempfile
import unittest

from slower import SLOWER

SPATE, SERVER, CLIENT = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
HANG_S = 20 * SLOWER


class ExampleMessage(unittest.TestCase):
    def test_requests_come_back(self):
        with tempfile.TemporaryDirectory(prefix='spate-example-') as folder:
            cert, key = f'{folder}/cert.pem', f'{folder}/key.pem'
            subprocess.run([SPATE, 'cert', '--cert-out', cert, '--key-out', key], check=True,
                           timeout=HANG_S, stdout=subprocess.DEVNULL)
            server = subprocess.Popen([SERVER, cert, key, '0'], text=True, stdout=subprocess.PIPE)
            try:
                port = server.stdout.readline().split()[3]
                for _ in range(3):
                    done = subprocess.run([CLIENT, port, cert], timeout=HANG_S, check=False)
                    self.assertEqual(done.returncode, 0)
                self.assertIsNone(server.poll())
            finally:
                server.kill()
                server.communicate()


if __name__ == '__main__':
    unittest.main(verbosity=2)
