#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench: the scenarios that are a kind with options of their own."""
import bench_support as support

USAGE = ('packets_per_s syscalls_per_s switches_voluntary switches_forced heap_used_bytes fds '
         'mallocs malloc_bytes cycles cache_misses').split()


class Scenarios(support.BenchTest):
    def test_bidi_moves_bytes_both_ways_at_once(self):
        result = self.run_json('bidi', '--bytes', '20M', '--verify', '--streams', '2')
        self.assertEqual(result['bytes'], 20000000)
        for side in ('client', 'server'):
            self.assertEqual(result[side]['payload_in_bytes'], 10000000, side)
        self.assertEqual(result['config']['direction'], 'both')
        self.assertGreater(result['gbps'], result['gbps_up'])

    def test_fan_in_and_fan_out_have_many_connections(self):
        for name, receiver in (('fanin', 'server'), ('fanout', 'client')):
            result = self.run_json(name, '--seconds', '0.3', '--warmup', '0.2')
            self.assertEqual(result['scenario'], name)
            self.assertEqual(result['client']['conns']['count'], 16)
            self.assertGreater(result[receiver]['payload_in_bytes'], 1000000)

    def test_pps_has_a_message_in_each_packet(self):
        result = self.run_json('pps', '--seconds', '0.3', '--warmup', '0.2')
        server = result['server']
        self.assertGreater(result['packets_per_s'], 1000)
        self.assertLess(abs(server['messages_in'] / server['packets_in'] - 1), 0.05)

    def test_churn_resumes_and_leaks_nothing(self):
        for words in ([], ['--resume'], ['--early']):
            result = self.run_json('churn', '--seconds', '0.5', '--warmup', '0.2', *words)
            self.assertGreater(result['handshakes'], 0)
            self.assertEqual(result['handshakes_resumed'],
                             result['handshakes'] if words else 0)
            self.assertGreater(result['first_byte_p50_us'], 0)

    def test_the_relay_loses_and_delays_what_it_shall(self):
        result = self.run_json('loss', '--bytes', '3M', '--loss', '5', '--late', '10', '--verify',
                               '--delay', '0.001')
        relay = result['relay']
        seen = relay['passed'] + relay['lost'] + relay['spilt']
        self.assertEqual(result['bytes'], 3000000)
        self.assertGreater(result['lost_packets'], 0)
        self.assertTrue(0.02 < relay['lost'] / seen < 0.09, relay)
        self.assertTrue(0.06 < relay['late'] / relay['passed'] < 0.15, relay)
        self.assertGreater(result['client']['conns']['rtt_min_ns'], 2e6)
        self.assertIsNone(self.run_json('rr', '--seconds', '0.1')['relay'])

    def test_pressure_goes_on_at_the_limits(self):
        result = self.run_json('pressure', '--seconds', '0.5', '--warmup', '0.3')
        self.assertGreater(result['bytes'], 0)
        self.assertEqual(result['config']['slots'], 16)
        self.assertLessEqual(result['client']['memory_bytes_peak'], 16 << 20)

    def test_soak_has_points_over_time(self):
        result = self.run_json('soak', '--seconds', '1', '--interval', '0.2', '--warmup', '0.1')
        points = result['soak']['points']
        self.assertGreaterEqual(len(points), 4)
        for point in points:
            self.assertGreater(point['server_rss_bytes'], 1 << 20)
            self.assertGreater(point['server_fds'], 2)
        self.assertGreater(sum(point['requests'] for point in points), 0)
        self.assertIsNotNone(result['soak']['p99_drift'])

    def test_each_side_says_what_it_used_and_where(self):
        result = self.run_json('rr', '--seconds', '0.3', '--warmup', '0.1')
        for side in ('client', 'server'):
            self.assertFalse(set(USAGE) - set(result[side]), side)
            self.assertGreater(result[side]['packets_per_s'], 0)
            self.assertGreater(result[side]['fds'], 2)
        self.assertTrue(result['p90_us'] <= result['p95_us'] <= result['p99_us'])
        self.assertGreater(result['machine']['cpus'], 0)
        self.assertTrue(result['machine']['kernel'])

    def test_a_burden_costs_what_it_says(self):
        cost = {}
        for percent in (0, 300):
            best = [self.run_json('bulk', '--seconds', '0.3', '--warmup', '0.2', '--burden',
                                  str(percent)) for _ in range(3)]
            cost[percent] = min(run['client']['cpu_s_per_gb'] for run in best)
        # Four times; the machine may be busy, but not that busy.
        self.assertGreater(cost[300], 2 * cost[0])


if __name__ == '__main__':
    support.main()
