#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench idle: what it reports is what idle connections cost, and that is little.

The sizes are those of a test that shares its machine; bench/README.md has the command for 100,000
connections."""
import bench_support as support
from slower import SLOWER

CONNS = 1500
# The contract of README.md, with what a heap keeps of handshakes at so few connections.
IDLE_BYTES_MAX = 8192
HEAP_BYTES_MAX = 6144
# Ten turns a second are the program's own: each side looks around.
OWN_TURNS = 10
GRID = 30
# A sanitizer keeps several bytes about each, and the one of addresses what was freed.
KEPT_BYTES = 256 << 20 if SLOWER > 1 else 0


class Idle(support.BenchTest):
    def run_idle(self, *words):
        return self.run_json('idle', '--seconds', '3', '--warmup', '3', *words)

    def test_idle_connections_cost_what_was_promised(self):
        # A shard that spins makes a turn of each packet.
        result = self.run_idle('--conns', str(CONNS), '--keep-alive', '1.5', '--spin', '0')
        idle = result['idle']
        self.assertEqual(idle['conns'], CONNS - 1)
        self.assertEqual(idle['keep_alive_s'], 1.5)
        self.assertLess(idle['lost_packets'], CONNS / 100)
        self.assertIsNone(idle['bulk_share'])
        for side in ('server', 'client'):
            part = idle[side]
            # A PING and its ACK per connection and interval, which is up to an eighth shorter.
            pings = CONNS / 1.5
            self.assertGreater(part['packets_per_s'], 1.8 * pings)
            self.assertLess(part['packets_per_s'], 3 * pings)
            # Timers that are not shared would make four turns of a PING: for itself, its ACK, its
            # PTO, and the rest afterwards.
            self.assertLess(part['turns_per_s'], 1.5 * pings)
            self.assertGreater(part['rss_per_conn_bytes'], 4000)
            # Keys are made for each PING: some connections are awake when they are read.
            self.assertLess(part['counted_per_conn_bytes'],
                            IDLE_BYTES_MAX + SLOWER * HEAP_BYTES_MAX)

    def test_connections_without_keep_alive_traffic_rest(self):
        idle = self.run_idle('--conns', str(CONNS), '--keep-alive', '600')['idle']
        for side in ('server', 'client'):
            part = idle[side]
            self.assertLess(part['packets_per_s'], 10)
            self.assertLess(part['turns_per_s'], OWN_TURNS + GRID)
            # Where all is slower, some still rest from their handshakes.
            self.assertLess(part['counted_per_conn_bytes'],
                            IDLE_BYTES_MAX + (SLOWER - 1) * HEAP_BYTES_MAX)
            self.assertLess(part['rss_per_conn_bytes'] - part['heap_per_conn_bytes'],
                            SLOWER * (IDLE_BYTES_MAX + HEAP_BYTES_MAX) + KEPT_BYTES / CONNS)

    def test_a_rate_bounds_how_fast_they_are_opened(self):
        idle = self.run_idle('--conns', '101', '--rate', '200')['idle']
        self.assertEqual(idle['conns'], 100)
        self.assertLess(idle['opened_per_s'], 205)

    def test_a_download_runs_beside_them(self):
        result = self.run_idle('--conns', '200', '--keep-alive', '1', '--bulk', '--seconds', '1')
        idle = result['idle']
        self.assertGreater(idle['bulk_alone_gbps'], 0.01)
        self.assertGreater(idle['bulk_beside_gbps'], 0.01)
        self.assertAlmostEqual(idle['bulk_share'] * idle['bulk_alone_gbps'],
                               idle['bulk_beside_gbps'], places=3)
        self.assertEqual(result['client']['handshakes_done'], 199)


if __name__ == '__main__':
    support.main()
