#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench: connections share a path fairly, keep its queue short, and send whole trains.

The bounds leave room for machines that are slow or busy.  Without flow groups
(engine/base/group.h) the queue is as long as the socket's buffer and 100 connections send trains
of 10 to 30 datagrams.
"""
import bench_support as support
from slower import SLOWER

CONNS = 100


class Fair(support.BenchTest):
    def bulk(self, *words):
        result = self.run_json('bulk', '--conns', str(CONNS), '--seconds', '1.5', '--warmup', '1',
                               *words)
        up = 'up' in words
        return result, result['client' if up else 'server']

    def check(self, result, sender):
        rate = result['bytes'] / result['seconds']
        in_flight = sender['conns']['in_flight_bytes'] * CONNS
        # A limit of at least four trains, at first sixteen, and the rate of a few milliseconds.
        self.assertLess(in_flight, 2.5e6 + rate * 2e-3)
        self.assertLess(result['lost_packets'], sender['packets_out'] / 500)
        # A train is as long as the rate asks for.
        self.assertGreater(sender['datagrams_per_send'], 32 / SLOWER)
        self.assertGreater(result['conns_slowest_over_fastest'], 0.5)
        self.assertGreater(result['conns_jain'], 0.97)

    def test_a_hundred_connections_share_what_a_server_sends(self):
        self.check(*self.bulk())

    def test_a_hundred_connections_share_what_a_client_sends(self):
        self.check(*self.bulk('--direction', 'up'))

    def test_a_hundred_connections_share_with_plain_calls(self):
        self.check(*self.bulk('--backend', 'mmsg'))

    def test_requests_do_not_wait_for_the_turn_of_bulk(self):
        result = self.run_json('mixed', '--bulk-conns', '50', '--conns', '50', '--rate', '1000',
                               '--seconds', '1', '--warmup', '1')
        self.assertEqual(result['requests_unfinished'], 0)
        self.assertGreater(result['bytes'], 0)
        # A round of bulk is as long as its queue; requests wait for the queue at most.
        rate = result['bytes'] / result['seconds']
        queue_us = (2.5e6 / rate + 2e-3) * 1e6
        self.assertLess(result['p50_us'], 3 * queue_us)


if __name__ == '__main__':
    support.main()
