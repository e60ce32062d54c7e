#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench with a stack that is not ours as its server and as its client."""
import subprocess
import sys
import time

import bench_support as support

PEER = None  # the peer on ngtcp2


class Foreign(support.BenchTest):
    def setUp(self):
        super().setUp()
        self.cert = self.path('cert.pem', support.CERT)
        self.key = self.path('key.pem', support.KEY)

    def start_peer(self):
        log = self.path('peer.log')  # a file: it writes a line for each stream
        with open(log, 'w', encoding='ascii') as file:
            process = subprocess.Popen(
                [PEER, 'server', '--listen', '127.0.0.1:0', '--cert', self.cert, '--key',
                 self.key], stdout=file, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, process)
        while process.poll() is None:
            with open(log, encoding='ascii') as file:
                line = file.readline()
            if line.endswith('\n'):
                return line.split()[-1]
            time.sleep(0.01)
        raise AssertionError('the peer does not listen')

    def test_each_scenario_runs_against_it(self):
        address = self.start_peer()
        for words in (['bulk', '--bytes', '3M', '--streams', '5'],
                      ['bulk', '--seconds', '0.3'],
                      ['rr', '--seconds', '0.3', '--inflight', '20'],
                      ['handshake', '--seconds', '0.3', '--inflight', '4']):
            result = self.run_json(*words, '--connect', address, '--ca', self.cert, '--name',
                                   'localhost')
            self.assertIsNone(result['server'])
            self.assertGreater(result['client']['packets_in'], 0)

    def test_what_it_cannot_know_is_said(self):
        address = self.start_peer()
        done = self.run_bench('rr', '--seconds', '0.2', '--connect', address, '--ca', self.cert,
                              '--name', 'localhost')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('the server is another program: its CPU time', done.stdout)
        self.assertRegex(done.stdout, r'\n  client ')
        self.assertNotRegex(done.stdout, r'\n  server ')
        done = self.run_bench('rr', '--seconds', '0.2')
        self.assertNotIn('another program', done.stdout)

    def test_an_answer_that_comes_early_does_not_end_the_upload(self):
        address = self.start_peer()  # it answers behind the 8 bytes, and not behind our FIN
        words = ['--direction', 'up', '--connect', address, '--ca', self.cert]
        result = self.run_json('bulk', '--bytes', '5M', '--streams', '3', *words)
        self.assertEqual(result['bytes'], 5000000)
        self.assertGreater(result['client']['datagrams_out'], 5000000 // 1472)
        result = self.run_json('bulk', '--seconds', '0.3', *words)
        self.assertEqual(result['measured_at'], 'sender')
        self.assertGreater(result['bytes'], 100000)

    def test_it_is_served(self):
        _, address = self.start_server('--cert', self.cert, '--key', self.key)
        words = [PEER, 'client', '--connect', address, '--ca', self.cert, '--sni', 'localhost',
                 '--streams', '4']
        done = subprocess.run([*words, '--upload', '3000000'], capture_output=True, text=True,
                              timeout=support.HANG_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Our pattern is not its own, so it finds fault with the bytes, not with their number.
        done = subprocess.run([*words, '--download', '3000000'], capture_output=True, text=True,
                              timeout=support.HANG_S, check=False)
        self.assertEqual(done.stdout.count('bytes 3000000'), 4, done.stdout + done.stderr)


if __name__ == '__main__':
    PEER = sys.argv.pop(2)
    support.main()
