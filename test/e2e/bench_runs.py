#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench: a short run of each scenario, and what it says about it."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import bench_support as support
from processes import cpu_s
from slower import SLOWER

SHORT = f'{0.2 * SLOWER}'  # seconds in which something gets done, on a busy machine too
TOP = ('scenario seconds bytes gbps requests_per_s p50_us p90_us p99_us p999_us max_us '
       'handshakes_per_s lost_packets config').split()
SIDE = ('cpu_user_s cpu_sys_s cpu_s_per_gb cpu_us_per_request packets_in packets_out '
        'datagrams_per_send datagrams_per_receive packets_per_ack packets_per_call '
        'enters_per_packet syscalls sleeps spun_ns placed_in_bytes copied_in_bytes '
        'copied_out_bytes allocations kernel_drops packets_lost rss_bytes').split()


class Runs(support.BenchTest):
    def check(self, result, scenario):
        """What holds for every result of two processes."""
        self.assertEqual(result['scenario'], scenario)
        for key in TOP:
            self.assertIn(key, result)
        for side in ('server', 'client'):
            for key in SIDE:
                self.assertIn(key, result[side])
            self.assertGreater(result[side]['packets_in'], 0)
            self.assertGreater(result[side]['packets_out'], 0)
            # In a ring of the program, it is the program that submits and waits.
            is_lent = result['config']['own_ring']
            (self.assertEqual if is_lent else self.assertGreater)(result[side]['syscalls'], 0)
            self.assertGreater(result[side]['rss_bytes'], 1 << 20)
            self.assertGreaterEqual(result[side]['datagrams_per_send'], 1)
            self.assertGreater(result[side]['cpu_user_s'] + result[side]['cpu_sys_s'], 0)
            self.assertEqual(result[side]['send_errors'], 0)
        self.assertGreater(result['seconds'], 0)

    def check_latency(self, result):
        p50, p90, p99, p999, most = (result[k] for k in
                                     ('p50_us', 'p90_us', 'p99_us', 'p999_us', 'max_us'))
        self.assertGreater(p50, 1)
        self.assertTrue(p50 <= p90 <= p99 <= p999 <= most)
        self.assertLess(most, 10e6)

    def test_bulk_moves_every_byte_once_both_ways(self):
        for direction, sender, receiver in (('down', 'server', 'client'),
                                            ('up', 'client', 'server')):
            for streams, conns in ((1, 1), (20, 1), (3, 4)):
                result = self.run_json('bulk', '--bytes', '20M', '--direction', direction,
                                       '--streams', str(streams), '--conns', str(conns),
                                       '--verify')
                self.check(result, 'bulk')
                self.assertEqual(result['bytes'], 20000000)
                self.assertEqual(result[sender]['payload_out_bytes'], 20000000)
                self.assertEqual(result[receiver]['payload_in_bytes'], 20000000)
                self.assertAlmostEqual(result['gbps'],
                                       result['bytes'] * 8e-9 / result['seconds'], delta=0.01)
                self.assertIsNone(result['requests_per_s'])
                self.assertIsNone(result['p50_us'])

    def test_bulk_arrives_in_memory_of_the_application(self):
        for direction, receiver in (('down', 'client'), ('up', 'server')):
            for streams, conns in ((1, 1), (3, 4)):
                result = self.run_json('bulk', '--bytes', '20M', '--direction', direction,
                                       '--streams', str(streams), '--conns', str(conns),
                                       '--verify', '--app-buffers')
                self.assertEqual(result['bytes'], 20000000)
                self.assertGreaterEqual(result[receiver]['placed_in_bytes'], 20000000)
                # The cipher wrote most of it there.
                self.assertLess(result[receiver]['copied_in_bytes'], 20000000 / 2)
            result = self.run_json('bulk', '--bytes', '20M', '--direction', direction, '--verify',
                                   '--app-copies')
            self.assertEqual(result[receiver]['payload_in_bytes'], 20000000)
            self.assertEqual(result[receiver]['placed_in_bytes'], 0)

    def test_received_bytes_come_in_batches(self):
        for direction, receiver in (('down', 'client'), ('up', 'server')):
            for copies in ([], ['--app-copies']):
                result = self.run_json('bulk', '--bytes', '20M', '--direction', direction,
                                       '--streams', '3', '--verify', '--batches', *copies)
                self.assertTrue(result['config']['batches'])
                self.assertEqual(result[receiver]['payload_in_bytes'], 20000000)
        result = self.run_json('datagram', '--seconds', '0.2', '--rate', '20000', '--batches',
                               '--verify')
        self.assertGreater(result['delivered_share'], 0.9)

    def test_bytes_that_do_not_divide_are_all_moved(self):
        for bytes_, streams in (('1', '3'), ('1000003', '7')):
            for direction in ('down', 'up'):
                result = self.run_json('bulk', '--bytes', bytes_, '--streams', streams,
                                       '--direction', direction, '--verify')
                self.assertEqual(result['bytes'], int(bytes_))

    def test_a_warm_bulk_run_wastes_nothing(self):
        for direction, sender, receiver in (('down', 'server', 'client'),
                                            ('up', 'client', 'server')):
            # On a busy machine it takes longer until it is warm, and a receiver that does not get
            # its CPU for a millisecond loses what does not fit the socket's buffer.
            for _ in range(5):
                result = self.run_json('bulk', '--seconds', '1', '--warmup', '1', '--direction',
                                       direction)
                if not any(result[side][what] for side in (sender, receiver)
                           for what in ('allocations', 'kernel_drops')):
                    break
            for side in (sender, receiver):
                self.assertEqual(result[side]['allocations'], 0, side)
                self.assertEqual(result[side]['kernel_drops'], 0, side)
                self.assertEqual(result[side]['receive_dropped'], 0, side)
                self.assertLess(result[side]['enters_per_packet'], 1, side)
            self.assertEqual(result[sender]['copied_in_bytes'], 0)
            # Staged once, and nothing but what is sent; the rest is frame heads.
            self.assertLess(result[sender]['copied_out_bytes'], 1.05 * result['bytes'] + 1e6)
            self.assertGreater(result[sender]['datagrams_per_send'], 5)

    def test_bulk_by_time_measures_that_time(self):
        for direction in ('down', 'up'):
            result = self.run_json('bulk', '--seconds', '0.5', '--warmup', '0.1', '--direction',
                                   direction)
            self.check(result, 'bulk')
            self.assertAlmostEqual(result['seconds'], 0.5, delta=0.2)
            self.assertGreater(result['bytes'], 1000000)
            self.assertEqual(result['measured_at'], 'receiver')

    def test_more_bytes_than_time_end_by_time(self):
        result = self.run_json('bulk', '--bytes', '100G', '--seconds', '0.3')
        self.assertLess(result['seconds'], 5)
        self.assertGreater(result['bytes'], 1000000)

    def test_each_cipher_and_datagram_size_is_used(self):
        for cipher, suite in (('aes-128-gcm', 'TLS_AES_128_GCM_SHA256'),
                              ('aes-256-gcm', 'TLS_AES_256_GCM_SHA384'),
                              ('chacha20-poly1305', 'TLS_CHACHA20_POLY1305_SHA256')):
            result = self.run_json('bulk', '--bytes', '5M', '--cipher', cipher, '--mtu', '1300')
            self.assertEqual(result['config']['cipher'], suite)
            self.assertEqual(result['config']['mtu'], 1300)
            self.assertGreater(result['server']['datagrams_out'], 5000000 // 1300)

    def test_it_runs_over_ipv6(self):
        result = self.run_json('bulk', '--bytes', '5M', '--listen', '[::1]:0')
        self.assertEqual(result['bytes'], 5000000)
        self.assertEqual(result['config']['mtu'], 1452)

    def test_it_runs_with_a_certificate_of_ours(self):
        cert = self.path('cert.pem', support.CERT)
        key = self.path('key.pem', support.KEY)
        result = self.run_json('bulk', '--bytes', '1M', '--cert', cert, '--key', key)
        self.assertEqual(result['bytes'], 1000000)

    def test_rr_in_a_closed_loop(self):
        for inflight, conns, request, response in (('1', '1', '64', '64'), ('100', '1', '8', '0'),
                                                   ('10', '3', '3000', '100000')):
            result = self.run_json('rr', '--seconds', '0.4', '--warmup', '0.1', '--inflight',
                                   inflight, '--conns', conns, '--request', request,
                                   '--response', response, '--verify')
            self.check(result, 'rr')
            self.check_latency(result)
            self.assertGreater(result['requests'], 100 / SLOWER)
            self.assertAlmostEqual(result['requests_per_s'],
                                   result['requests'] / result['seconds'],
                                   delta=1 + result['requests_per_s'] * 1e-5)
            self.assertEqual(result['bytes'],
                             result['requests'] * (int(request) + int(response)))
            self.assertGreater(result['client']['cpu_us_per_request'], 0)

    def test_a_request_and_its_answer_are_one_system_call_a_side(self):
        result = self.run_json('rr', '--spin', '0', '--seconds', '0.5', '--warmup', '0.1')
        for side in ('server', 'client'):
            calls = result[side]['syscalls'] / result['requests']
            self.assertLess(calls, 1.1 + 60 / result['requests'], side)

    def test_both_sides_may_spin(self):
        for words in (['--busy-poll'], ['--spin', '100']):
            for scenario in (['rr'], ['bulk'], ['handshake']):
                result = self.run_json(*scenario, *words, '--seconds', SHORT, '--warmup', '0.1')
                self.check(result, scenario[0])
                self.assertEqual(result['config']['busy_poll'], words[0] == '--busy-poll')
                self.assertEqual(result['config']['spin_us'],
                                 int(words[1]) if len(words) > 1 else None)

    def test_both_sides_may_wait_in_an_epoll_of_their_own(self):
        for scenario in (['rr'], ['bulk'], ['handshake'], ['datagram']):
            result = self.run_json(*scenario, '--epoll', '--seconds', SHORT, '--warmup', '0.1')
            self.check(result, scenario[0])
            self.assertTrue(result['config']['epoll'])

    def test_both_sides_may_lend_a_ring_of_their_own(self):
        for scenario in (['rr'], ['bulk'], ['handshake'], ['datagram']):
            result = self.run_json(*scenario, '--own-ring', '--seconds', SHORT, '--warmup', '0.1')
            self.check(result, scenario[0])
            self.assertTrue(result['config']['own_ring'])

    def test_retry_makes_every_client_prove_its_address(self):
        for retry in ('always', 'never'):
            result = self.run_json('handshake', '--seconds', '0.3', '--warmup', '0.1', '--retry',
                                   retry)
            self.check(result, 'handshake')
            server = result['server']
            self.assertGreater(server['handshakes_done'], 0)
            if retry == 'always':
                self.assertGreater(server['tokens_accepted'], 0.9 * server['handshakes_done'])
            self.assertEqual(server['retries_sent'] > 0, retry == 'always')
            self.assertEqual(server['tokens_refused'], 0)

    def test_a_server_may_have_an_id_for_load_balancers(self):
        for words in ((), ('--lb-key', '8f95f09245765f80256934e50c66207f')):
            result = self.run_json('handshake', '--seconds', '0.3', '--server-id', '31a4', *words)
            self.check(result, 'handshake')
            self.assertGreater(result['server']['quic_lb_nonces_left'], 1 << 50)
            self.assertEqual(result['server']['cids_unroutable'], 0)
            self.assertEqual(result['server']['handshakes_failed'], 0)

    def test_ends_that_share_a_cpu_do_not_spin(self):
        for inflight in ('1', '10'):
            result = self.run_json('rr', '--inflight', inflight, '--server-cpu', '0',
                                   '--client-cpu', '0', '--seconds', '0.5', '--warmup', '0.1')
            self.check(result, 'rr')
            for side in ('server', 'client'):
                self.assertLess(result[side]['spun_ns'], 0.25e9 * result['seconds'], side)
            # Spinning until the scheduler takes the CPU away would leave some hundreds.
            self.assertGreater(result['requests_per_s'], 2000)

    def test_zero_copy_ends_where_the_kernel_copies_anyway(self):
        result = self.run_json('bulk', '--bytes', '20M', '--zero-copy', '--verify')
        self.check(result, 'bulk')
        self.assertTrue(result['config']['zero_copy'])
        server = result['server']
        self.assertEqual(server['zero_copies'], server['zero_copies_copied'])
        self.assertLess(server['zero_copies'], 100)  # what was under way when it ended

    def test_rr_in_an_open_loop_keeps_its_rate(self):
        for arrivals in ('poisson', 'uniform'):
            hist = self.path('rr.hist')
            result = self.run_json('rr', '--seconds', '1', '--warmup', '0.1', '--rate', '2000',
                                   '--arrivals', arrivals, '--conns', '2', '--hist', hist)
            self.check(result, 'rr')
            self.check_latency(result)
            self.assertAlmostEqual(result['requests_per_s'], 2000, delta=400)
            self.assertEqual(result['requests_unfinished'], 0)
            self.check_percentile_file(hist, result)

    def check_percentile_file(self, path, result):
        with open(path, encoding='ascii') as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[0].split(),
                         ['Value', 'Percentile', 'TotalCount', '1/(1-Percentile)'])
        rows = [[float(x) for x in line.split()] for line in lines if re.match(r' *\d', line)]
        self.assertGreater(len(rows), 10)
        self.assertEqual(rows[-1][1], 1.0)
        self.assertAlmostEqual(rows[-1][0], result['max_us'], delta=0.002)
        total = re.search(r'Total count *= *(\d+)', lines[-2])
        self.assertEqual(int(total[1]), rows[-1][2])
        self.assertAlmostEqual(rows[-1][2], 2000, delta=400)

    def test_an_open_loop_beyond_what_can_be_done_says_so(self):
        path = self.path('result.json')
        done = self.run_bench('rr', '--rate', '5e7', '--seconds', '0.3', '--warmup', '0',
                              '--timeout', '0.5', '--json', path)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertIn('overload', done.stdout)
        with open(path, encoding='utf-8') as file:
            result = json.load(file)
        self.assertGreater(result['requests_unfinished'], 0)
        self.assertLess(result['requests_per_s'], 50e6)
        self.assertGreater(result['p99_us'], 100e3)  # what could not start counts as well

    def test_bulk_says_how_evenly_it_was_shared(self):
        for direction in ('down', 'up'):
            result = self.run_json('bulk', '--seconds', '0.5', '--warmup', '0.2', '--conns', '4',
                                   '--streams', '3', '--direction', direction)
            self.check(result, 'bulk')
            for name in ('conns', 'streams'):
                self.assertTrue(0 < result[f'{name}_slowest_over_fastest'] <= 1)
                self.assertTrue(0.25 < result[f'{name}_jain'] <= 1)
            self.assertGreaterEqual(result['conns_slowest_over_fastest'],
                                    result['streams_slowest_over_fastest'])
        result = self.run_json('bulk', '--bytes', '1M')
        self.assertIsNone(result['conns_jain'])  # all is over: nothing was shared unevenly

    def test_mixed_is_requests_beside_bulk(self):
        for direction, receiver in (('down', 'client'), ('up', 'server')):
            result = self.run_json('mixed', '--seconds', '0.5', '--warmup', '0.2', '--conns', '10',
                                   '--bulk-conns', '2', '--streams', '2', '--rate', '2000',
                                   '--direction', direction)
            self.check(result, 'mixed')
            self.check_latency(result)
            self.assertAlmostEqual(result['requests_per_s'], 2000, delta=800)
            self.assertEqual(result['requests_unfinished'], 0)
            self.assertEqual(result['server']['conns']['count'], 12)
            # What is counted are the bytes of bulk alone.
            self.assertGreater(result['bytes'], 10000000 / SLOWER)
            self.assertAlmostEqual(result[receiver]['payload_in_bytes'] / result['bytes'], 1,
                                   delta=0.5)
            self.assertGreater(result['conns_slowest_over_fastest'], 0)

    def test_mixed_without_bulk_is_rr(self):
        result = self.run_json('mixed', '--seconds', '0.3', '--warmup', '0.1', '--conns', '3',
                               '--bulk-conns', '0', '--inflight', '2')
        self.check(result, 'mixed')
        self.check_latency(result)
        self.assertEqual(result['bytes'], 0)
        self.assertGreater(result['requests'], 100)

    def test_handshakes(self):
        hist = self.path('handshake.hist')
        result = self.run_json('handshake', '--seconds', '0.5', '--warmup', '0.1', '--inflight',
                               '8', '--hist', hist)
        self.check(result, 'handshake')
        self.check_latency(result)
        self.assertGreater(result['handshakes'], 20)
        self.assertEqual(result['handshakes_failed'], 0)
        self.assertAlmostEqual(result['handshakes_per_s'],
                               result['handshakes'] / result['seconds'], delta=1)
        self.assertGreater(os.path.getsize(hist), 500)

    def test_handshakes_that_are_resumed(self):
        for words in (['--first-byte'], ['--resume'], ['--resume', '--first-byte'], ['--early']):
            # Long enough for a machine that stands still for half a second.
            result = self.run_json('handshake', '--seconds', '1.5', '--warmup', '0.1', *words)
            self.check(result, 'handshake')
            self.check_latency(result)
            self.assertGreater(result['handshakes'], 20)
            self.assertEqual(result['handshakes_failed'], 0)
            is_early, is_full = '--early' in words, words == ['--first-byte']
            self.assertEqual(result['handshakes_resumed'], 0 if is_full else result['handshakes'])
            self.assertEqual(result['handshakes_early'], result['handshakes'] if is_early else 0)
            self.assertEqual(result['config']['early'], is_early)
            if words == ['--resume']:
                self.assertIsNone(result['first_byte_p50_us'])
                continue
            self.assertLessEqual(result['first_byte_p50_us'], result['first_byte_p99_us'])
            # With 0-RTT the answer comes in the flight that completes the handshake.
            self.assertGreater(result['first_byte_p50_us'] * 1.001, result['p50_us'])

    def test_0_rtt_saves_a_round_trip(self):
        first_byte = {}
        for words in (['--first-byte'], ['--early']):
            result = self.run_json('handshake', '--inflight', '1', '--pause', '0.002', *words,
                                   '--seconds', '0.5', '--warmup', '0.1')
            self.assertLess(result['handshakes_per_s'], 500)
            first_byte[words[0]] = result['first_byte_p50_us'] - result['p50_us']
        # From the end of the handshake on: most answers came with it.
        self.assertLess(first_byte['--early'], first_byte['--first-byte'])

    def test_a_foreign_server_gives_tickets_if_asked_to(self):
        for words, resumed in ((['--resume'], True), (['--early'], True), ([], False)):
            _, address = self.start_server(*words)
            out = self.path('result.json')
            done = self.run_bench('handshake', '--early', '--connect', address, '--insecure',
                                  '--seconds', '0.3', '--warmup', '0', '--timeout', '1', '--json',
                                  out)
            if not resumed:
                self.assertEqual(done.returncode, 1)
                self.assertIn('no ticket from the server', done.stderr)
                continue
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            with open(out, encoding='utf-8') as file:
                result = json.load(file)
            self.assertEqual(result['handshakes_resumed'], result['handshakes'])
            self.assertEqual(result['handshakes_early'] > 0, words == ['--early'])

    def test_handshakes_next_to_bare_ones(self):
        result = self.run_json('handshake', '--vs-bare', '--runs', '2', '--seconds', '0.3',
                               '--warmup', '0.1')
        self.check(result, 'handshake')
        self.assertEqual(result['runs'], 2)
        self.assertGreater(result['bare_server_us'], 10)
        self.assertGreater(result['bare_client_us'], 10)
        self.assertAlmostEqual(result['of_bare'], result['server_cpu_us_per_handshake'] /
                               result['bare_server_us'], delta=0.01)
        self.assertLessEqual(result['of_bare_min'], result['of_bare_max'])

    def test_datagrams_as_many_as_pass(self):
        for size in (10, 100, 1400):
            result = self.run_json('datagram', '--seconds', '0.5', '--warmup', '0.3', '--size',
                                   str(size), '--verify')
            self.check(result, 'datagram')
            self.assertEqual(result['config']['message_bytes'], size)
            self.assertGreater(result['datagrams_per_s'], 10000)
            self.assertAlmostEqual(result['bytes'] / result['datagrams_per_s'] / size,
                                   result['seconds'], delta=0.05)
            self.assertTrue(0.5 < result['delivered_share'] <= 1, result['delivered_share'])
            # In trains; as many messages in a packet as fit; received many at a time.
            self.assertGreater(result['client']['datagrams_per_send'], 4)
            per_packet = result['client']['messages_out'] / result['client']['packets_out']
            self.assertGreater(per_packet, {10: 80, 100: 10, 1400: 0.9}[size])
            self.assertGreater(result['server']['datagrams_per_receive'], 2)

    def test_datagrams_at_a_rate(self):
        result = self.run_json('datagram', '--seconds', '0.5', '--warmup', '0.1', '--rate', '20000',
                               '--conns', '4')
        self.check(result, 'datagram')
        self.assertAlmostEqual(result['datagrams_per_s'], 20000, delta=4000)
        self.assertGreater(result['delivered_share'], 0.9)

    def test_json_on_standard_output_is_alone_there(self):
        done = self.run_bench('bulk', '--bytes', '1M', '--json', '-')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertEqual(json.loads(done.stdout)['bytes'], 1000000)


class Backends(support.BenchTest):
    def run_over(self, backend, *words):
        result = self.run_json(*words, '--backend', backend)
        self.assertEqual(result['config']['backend'], backend)
        for side in ('server', 'client'):
            self.assertEqual(result[side]['send_errors'], 0)
            self.assertEqual(result[side]['kernel_drops'], 0)
        return result

    def test_bulk_moves_every_byte_over_each(self):
        for backend in ('io_uring', 'mmsg'):
            for words in (['--direction', 'down'], ['--direction', 'up'],
                          ['--conns', '4', '--streams', '3'], ['--listen', '[::1]:0'],
                          ['--mtu', '65507']):
                # To look is a call with mmsg: then a spinning shard makes many.
                result = self.run_over(backend, 'bulk', '--bytes', '20M', '--verify', '--spin',
                                       '0', *words)
                self.assertEqual(result['bytes'], 20000000)
                for side in ('server', 'client'):
                    self.assertLess(result[side]['enters_per_packet'], 2, side)

    def test_rr_and_handshakes_run_over_each(self):
        for backend in ('io_uring', 'mmsg'):
            for inflight in ('1', '100'):
                result = self.run_over(backend, 'rr', '--seconds', '0.8', '--warmup', '0.1',
                                       '--inflight', inflight, '--verify')
                self.assertGreater(result['requests'], 100)
            result = self.run_over(backend, 'handshake', '--seconds', '0.8', '--warmup', '0.1')
            self.assertGreater(result['handshakes'], 10)

    def test_they_can_be_compared(self):
        path = self.path('rows.json')
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'bench',
                               'load', 'backends.py')
        done = subprocess.run([sys.executable, program, support.BENCH, '--runs', '1', '--seconds',
                               '0.3', '--json', path], capture_output=True, text=True,
                              timeout=support.HANG_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        with open(path, encoding='utf-8') as file:
            rows = json.load(file)
        self.assertEqual(len(rows), 4)
        self.assertEqual(len(done.stdout.splitlines()), 1 + len(rows))
        for row in rows:
            self.assertGreater(row['ratio'], 0)
            for backend in ('io_uring', 'mmsg'):
                self.assertGreater(row[backend]['cpu'], 0)

    def test_the_two_talk_to_each_other(self):
        _, address = self.start_server('--backend', 'mmsg')
        result = self.run_json('bulk', '--bytes', '5M', '--connect', address, '--insecure',
                               '--backend', 'io_uring')
        self.assertEqual(result['bytes'], 5000000)


class Crypto(support.BenchTest):
    def test_bulk_moves_every_byte_with_each(self):
        for crypto in ('openssl', 'auto'):
            for cipher in ('aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'):
                result = self.run_json('bulk', '--bytes', '20M', '--verify', '--cipher', cipher,
                                       '--crypto', crypto)
                self.assertEqual(result['bytes'], 20000000)
                used = result['config']['crypto']
                if crypto == 'openssl':
                    self.assertEqual(used, 'openssl')
                if used != 'openssl' and cipher.startswith('aes'):
                    for side in ('server', 'client'):
                        self.assertEqual(result[side]['copied_out_bytes'], 0)

    def test_the_two_talk_to_each_other(self):
        _, address = self.start_server('--crypto', 'openssl')
        result = self.run_json('bulk', '--bytes', '5M', '--connect', address, '--insecure',
                               '--cipher', 'aes-256-gcm')
        self.assertEqual(result['bytes'], 5000000)


class TwoPrograms(support.BenchTest):
    def test_a_server_alone_serves_one_client_after_the_other(self):
        cert = self.path('fresh.pem')
        report = self.path('server.json')
        server, address = self.start_server('--cert-out', cert, '--json', report)
        for words in (['bulk', '--bytes', '5M'],
                      ['bulk', '--bytes', '5M', '--direction', 'up'],
                      ['rr', '--seconds', '0.2', '--warmup', '0'],
                      ['handshake', '--seconds', '0.2', '--warmup', '0']):
            result = self.run_json(*words, '--connect', address, '--ca', cert)
            self.assertIsNone(result['server'])
            self.assertGreater(result['client']['packets_in'], 0)
            self.assertIn(result['bytes'], (5000000, result['bytes']))
        server.send_signal(signal.SIGTERM)
        stdout, stderr = server.communicate(timeout=support.HANG_S)
        self.assertEqual((server.returncode, stderr), (0, ''))
        self.assertIn('serve', stdout)
        with open(report, encoding='utf-8') as file:
            result = json.load(file)
        self.assertIsNone(result['client'])
        self.assertGreaterEqual(result['server']['payload_out_bytes'], 5000000)
        self.assertGreaterEqual(result['server']['payload_in_bytes'], 5000000)

    def test_a_server_can_be_given_its_time(self):
        server, _ = self.start_server('--seconds', '0.2')
        server.communicate(timeout=support.HANG_S)
        self.assertEqual(server.returncode, 0)

    def test_an_idle_server_sleeps(self):
        server, address = self.start_server()
        result = self.run_json('rr', '--seconds', '0.2', '--warmup', '0', '--conns', '50',
                               '--connect', address, '--insecure')
        self.assertGreater(result['requests'], 0)
        before = cpu_s(server.pid)
        time.sleep(1)
        self.assertLess(cpu_s(server.pid) - before, 0.03)

    def test_a_name_with_several_addresses_finds_the_one_that_answers(self):
        _, address = self.start_server()
        port = address.rpartition(':')[2]
        result = self.run_json('bulk', '--bytes', '1M', '--connect', f'localhost:{port}',
                               '--insecure')
        self.assertEqual(result['bytes'], 1000000)


class Terminal(support.BenchTest):
    def test_a_terminal_sees_progress(self):
        reader, writer = pty.openpty()
        with subprocess.Popen([support.BENCH, 'bulk', '--seconds', '1', '--warmup', '0.1'],
                              stdout=subprocess.DEVNULL, stderr=writer,
                              stdin=subprocess.DEVNULL) as process:
            os.close(writer)
            text = b''
            while select.select([reader], [], [], support.HANG_S)[0]:
                try:
                    text += os.read(reader, 4096)
                except OSError:  # the other end is closed
                    break
            self.assertEqual(process.wait(timeout=support.HANG_S), 0)
        os.close(reader)
        self.assertIn(b'measuring', text)
        self.assertIn(b'Gbit/s', text)
        self.assertTrue(text.endswith(b'\r\x1b[K'), text)  # and leaves a clean line


if __name__ == '__main__':
    support.main()
