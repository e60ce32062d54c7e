#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench messages: requests and publications, in order or not, over losses."""
import re

import bench_support as support
from slower import SLOWER

SHORT = ('--seconds', f'{0.8 * SLOWER}', '--warmup', '0.1')  # the machine may be busy


class Messages(support.BenchTest):
    def check(self, result, size, bytes_each):
        self.assertEqual(result['scenario'], 'messages')
        self.assertEqual(result['config']['message_bytes'], size)
        self.assertGreater(result['messages_per_s'], 0)
        count = result['messages_per_s'] * result['seconds']
        self.assertAlmostEqual(result['bytes'] / count, bytes_each, delta=bytes_each * 0.001)
        self.assertTrue(0 < result['p50_us'] <= result['p99_us'] <= result['max_us'])
        for side in ('client', 'server'):
            self.assertGreater(result[side]['cpu_us_per_request'], 0)
            self.assertEqual(result[side]['send_errors'], 0)

    def test_requests_get_replies_of_their_size(self):
        for size, conns, more in ((32, 1, []), (1000, 1, ['--ordered']), (1000, 20, []),
                                  (100000, 3, ['--inflight', '8', '--ordered']),
                                  (3000000, 2, ['--inflight', '2'])):
            result = self.run_json('messages', '--size', str(size), '--conns', str(conns),
                                   '--verify', *SHORT, *more)
            self.check(result, size, 2 * size)
            self.assertEqual(result['config']['pattern'], 'request')
            self.assertEqual(result['config']['ordered'], '--ordered' in more)

    def test_publications_reach_every_subscriber(self):
        for size, conns, more in ((32, 1, []), (1000, 1, ['--ordered']), (1000, 20, []),
                                  (100000, 3, ['--inflight', '3', '--ordered']),
                                  (3000000, 2, ['--inflight', '1'])):
            result = self.run_json('messages', '--pattern', 'publish', '--size', str(size),
                                   '--conns', str(conns), '--verify', *SHORT, *more)
            self.check(result, size, size)
            self.assertEqual(result['config']['pattern'], 'publish')
            # All of them have the same publications, but for those of the moment.
            if conns > 1 and result['messages_per_s'] * result['seconds'] > 400 * conns:
                self.assertGreater(result['conns_slowest_over_fastest'], 0.8)

    def test_large_messages_are_hardly_copied(self):
        result = self.run_json('messages', '--size', '1K', *SHORT)
        self.assertLess(result['messages_copied_share'], 0.01)
        # A receiver that falls behind has no buffer to lend, and copies more: all would be 1.
        share_max = 0.1 if SLOWER == 1 else 0.5
        shares = []
        while not shares or shares[-1] >= share_max:  # more where the machine is busy
            self.assertLess(len(shares), 10, shares)
            result = self.run_json('messages', '--size', '1M', *SHORT)
            shares.append(result['messages_copied_share'])

    def test_they_arrive_over_losses(self):
        for pattern in ('request', 'publish'):
            for more in ([], ['--ordered']):
                result = self.run_json('messages', '--pattern', pattern, '--size', '5000',
                                       '--conns', '5', '--inflight', '4', '--loss', '5',
                                       '--delay', '0.002', '--verify', '--seconds',
                                       f'{1.5 * SLOWER}', *more)
                self.check(result, 5000, 10000 if pattern == 'request' else 5000)
                self.assertGreater(result['relay']['lost'], 0)
                self.assertGreater(result['p50_us'], 2000)

    def test_what_is_lost_with_the_connections_is_no_failure(self):
        """They are closed while publications wait for earlier ones."""
        for seed in range(1, 9):
            result = self.run_json('messages', '--pattern', 'publish', '--ordered', '--conns', '10',
                                   '--loss', '5', '--delay', '0.005', '--seconds', '0.6',
                                   '--warmup', '0.1', '--seed', str(seed))
            self.assertGreater(result['messages_per_s'], 0)

    def test_a_refused_publication_is_no_success(self):
        """A subscriber without the memory for 32 MB at once refuses some, or is closed for it."""
        done = self.run_bench('messages', '--pattern', 'publish', '--size', '2M', '--inflight',
                              '16', '--memory', '3Mi', *SHORT)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assert_one_line(done.stderr)
        self.assertRegex(done.stderr, 'a subscriber refused a publication|memory is short')

    def test_several_shards_publish_and_answer(self):
        for pattern in ('request', 'publish'):
            result = self.run_json('messages', '--pattern', pattern, '--conns', '16', '--shards',
                                   '2', '--verify', *SHORT)
            self.check(result, 1000, 2000 if pattern == 'request' else 1000)

    def test_a_server_alone_answers_and_publishes(self):
        _, address = self.start_server('--verify')
        for pattern in ('request', 'publish'):
            result = self.run_json('messages', '--pattern', pattern, '--connect', address,
                                   '--insecure', '--verify', '--conns', '3', *SHORT)
            self.assertGreater(result['messages_per_s'], 0)
            # Clocks of two machines differ: nobody knows when a publication has begun.
            self.assertEqual(result['p50_us'] is None, pattern == 'publish')
        result = self.run_json('rr', '--connect', address, '--insecure', '--seconds', '0.1')
        self.assertGreater(result['requests'], 0)

    def test_subscribers_must_want_the_same(self):
        _, address = self.start_server()
        words = ('messages', '--pattern', 'publish', '--connect', address, '--insecure')
        first = self.start_bench(*words, '--seconds', '30')
        for _ in range(200):
            done = self.run_bench(*words, '--size', '2000', '--seconds', '0.1')
            if first.poll() is not None:  # the other one was there before it
                first.communicate()
                first = self.start_bench(*words, '--seconds', '30')
            elif done.returncode != 0:
                break
        self.assert_one_line(done.stderr, 'others have subscribed differently')
        first.terminate()
        first.communicate(timeout=support.HANG_S)
        # When nobody is left, another size may be published.
        self.run_json('messages', '--pattern', 'publish', '--size', '2000', '--connect', address,
                      '--insecure', *SHORT)

    def test_the_table_says_what_was_sent(self):
        done = self.run_bench('messages', '--pattern', 'publish', '--ordered', '--conns', '4',
                              *SHORT)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertRegex(done.stdout, r'\Amessages, publish in order, 1000 bytes each, 16 at once, '
                                      r'4 peers, ')
        self.assertRegex(done.stdout, r'\d+ messages/s, \d+\.\d % of their bytes copied, ')
        self.assertTrue(re.search(r'slowest over fastest peer: [01]\.\d\d', done.stdout))
        self.assertIn('latency us: p50', done.stdout)

    def test_mistakes_are_one_line(self):
        for words, text in (
                (['messages', '--size', '31'], '--size is at least 32 for messages'),
                (['datagram', '--size', '65001'], '--size is at most 65000 for datagram'),
                (['rr', '--ordered'], '--ordered is for messages, not for rr'),
                (['messages', '--pattern', 'x'], "--pattern must be request or publish, not 'x'"),
                (['messages', '--rate', '5'], '--rate is for rr, datagram, mixed and idle')):
            self.assert_fails(words, text, code=2)


if __name__ == '__main__':
    support.main()
