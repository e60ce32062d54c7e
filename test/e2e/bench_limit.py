#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench limit and --vs-limit: the parts are there and add up."""
import signal
import time

import bench_support as support

LIMIT = ('limit_gbps limit_cpu_s_per_gb kernel_gbps kernel_cpu_s_per_gb kernel_send_ns '
         'kernel_receive_ns seal_ns open_ns').split()
FLOOR = 'floor_p50_us floor_p99_us floor_spin_p50_us floor_spin_p99_us'.split()


class Limit(support.BenchTest):
    def check_limit(self, result):
        """The parts are there and add up."""
        for key in LIMIT:
            self.assertGreater(result[key], 0, key)
        payload = result['limit_payload_bytes']
        sender = result['kernel_send_ns'] + result['seal_ns']
        receiver = result['kernel_receive_ns'] + result['open_ns']
        self.assertAlmostEqual(result['limit_gbps'] * max(sender, receiver) / (payload * 8), 1,
                               delta=0.001)
        self.assertAlmostEqual(result['limit_cpu_s_per_gb'] * payload / (sender + receiver), 1,
                               delta=0.001)
        self.assertEqual(result['limited_by'], 'sender' if sender >= receiver else 'receiver')

    def check_floor(self, result):
        for key in FLOOR:
            self.assertGreater(result[key], 0.5, key)
        self.assertLessEqual(result['floor_p50_us'], result['floor_p99_us'])
        self.assertLessEqual(result['floor_spin_p50_us'], result['floor_spin_p99_us'])

    def test_the_limit_both_ways_and_with_any_datagram(self):
        for direction, mtu, payload, segments, cipher, suite in (
                ('down', '1472', 1435, 44, 'aes-128-gcm', 'TLS_AES_128_GCM_SHA256'),
                ('up', '65507', 65470, 1, 'chacha20-poly1305', 'TLS_CHACHA20_POLY1305_SHA256')):
            result = self.run_json('limit', '--seconds', '0.05', '--runs', '2', '--direction',
                                   direction, '--mtu', mtu, '--cipher', cipher)
            self.assertEqual((result['scenario'], result['runs']), ('limit', 2))
            self.assertEqual((result['limit_payload_bytes'], result['limit_segments']),
                             (payload, segments))
            self.assertEqual((result['config']['direction'], result['config']['mtu'],
                              result['config']['cipher']), (direction, int(mtu), suite))
            self.check_limit(result)
            self.check_floor(result)

    def test_the_limit_over_ipv6(self):
        result = self.run_json('limit', '--seconds', '0.05', '--runs', '1', '--listen', '[::1]:0')
        self.assertEqual(result['config']['mtu'], 1452)
        self.check_limit(result)

    def test_bulk_next_to_the_limit(self):
        # By bytes: a busy machine may not let any arrive in a short time.
        for direction, runs in (('down', 3), ('up', 1)):
            result = self.run_json('bulk', '--vs-limit', '--runs', str(runs), '--bytes', '5M',
                                   '--direction', direction, '--cipher', 'aes-256-gcm')
            self.check_limit(result)
            self.assertEqual((result['scenario'], result['runs']), ('bulk', runs))
            self.assertAlmostEqual(result['of_limit'], result['gbps'] / result['limit_gbps'],
                                   delta=0.001)
            self.assertLessEqual(result['of_limit_min'], result['of_limit_max'])
            self.assertAlmostEqual(result['of_limit_cpu'] * result['limit_cpu_s_per_gb'],
                                   result['cpu_s_per_gb'], delta=0.001)
            self.assertGreater(result['of_limit'], 0)
            self.assertGreater(result['of_limit_cpu'], 0.1)
            self.assertIsNone(result['floor_p50_us'])
            self.assertIsNone(result['p50_over_floor'])

    def test_requests_next_to_the_floor(self):
        result = self.run_json('rr', '--vs-limit', '--runs', '2', '--seconds', '0.5',
                               '--warmup', '0.1')
        self.check_floor(result)
        self.assertAlmostEqual(result['p50_over_floor'] * result['floor_p50_us'],
                               result['p50_us'], delta=result['p50_us'] / 100)
        self.assertGreater(result['p99_over_floor'], 0)
        self.assertGreater(result['p50_over_spin_floor'], 0)
        self.assertIsNone(result['of_limit'])

    def test_the_table_has_a_line_about_it(self):
        done = self.run_bench('bulk', '--vs-limit', '--runs', '1', '--bytes', '5M')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertRegex(done.stdout, r'\n  limit, [^\n]*Gbit/s[^\n]*\n\Z')
        done = self.run_bench('limit', '--runs', '1', '--seconds', '0.05')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertIn('the kernel alone', done.stdout)

    def test_an_interrupted_comparison_reports_the_runs_it_has(self):
        bench = self.start_bench('rr', '--vs-limit', '--runs', '99', '--seconds', '0.1',
                                 '--warmup', '0')
        time.sleep(1.5)  # some of them
        bench.send_signal(signal.SIGINT)
        stdout, stderr = bench.communicate(timeout=support.HANG_S)
        self.assertIn(bench.returncode, (1, 130))  # 1: not even one, on a busy machine
        self.assertEqual(stderr == '', bench.returncode == 130, stderr)
        self.assertEqual('over it' in stdout, bench.returncode == 130)


if __name__ == '__main__':
    support.main()
