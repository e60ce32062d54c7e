#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench: each field of the public structs of counters is in its JSON.

usage: bench_fields.py SPATE-BENCH HEADERS VERSION.h CC...
"""
import pathlib
import re
import subprocess
import sys

import bench_support as support

HEADERS, VERSION_HEADER, *CC = sys.argv[2:]
del sys.argv[2:]


def fields_of(struct):
    """The fields as the compiler sees them, whatever they were made from."""
    text = subprocess.run(
        [*CC, '-std=gnu17', '-E', '-P', '-I', HEADERS, '-I',
         pathlib.Path(VERSION_HEADER).parent.parent, pathlib.Path(HEADERS) / 'spate/spate.h'],
        check=True, capture_output=True, text=True).stdout
    body = re.search(rf'struct {struct}\s*\{{(.*?)\}}', text, re.DOTALL)[1]
    return re.findall(r'(\w+)\s*;', body)


class Fields(support.BenchTest):
    def test_each_field_of_a_shard_is_in_the_json(self):
        fields = fields_of('spate_shard_stats')
        self.assertGreater(len(fields), 40)
        for words in (['bulk', '--bytes', '1M'],
                      ['handshake', '--seconds', '0.1', '--warmup', '0']):
            result = self.run_json(*words)
            for side in ('server', 'client'):
                missing = set(fields) - set(result[side])
                self.assertFalse(missing, side)

    def test_each_field_of_a_connection_is_in_the_json(self):
        fields = fields_of('spate_conn_stats')
        self.assertGreater(len(fields), 20)
        for words in (['bulk', '--bytes', '1M', '--conns', '3'],
                      ['rr', '--seconds', '0.1', '--warmup', '0']):
            result = self.run_json(*words)
            for side in ('server', 'client'):
                missing = set(fields) - set(result[side]['conns'])
                self.assertFalse(missing, side)
                self.assertGreater(result[side]['conns']['packets_in'], 0)
                self.assertGreater(result[side]['conns']['rtt_min_ns'], 0)

    def test_each_shard_of_the_server_has_its_counters(self):
        for shards, *more in (('1',), ('3',), ('2', '--epoll'), ('2', '--backend', 'mmsg')):
            result = self.run_json('rr', '--seconds', '0.2', '--conns', '16', '--shards', shards,
                                   *more)
            parts = result['server']['shards']
            self.assertEqual(result['config']['shards'], int(shards))
            self.assertEqual(len(parts), int(shards))
            self.assertEqual(result['config']['sockets'], 1 if shards == '1' else 16)
            for part in parts:
                self.assertFalse(set(fields_of('spate_shard_stats')) - set(part))
            for name in ('packets_in', 'datagrams_out', 'turns', 'conns_now'):
                self.assertEqual(sum(part[name] for part in parts), result['server'][name], name)
            self.assertEqual(result['server']['conns']['count'], 16)
            busy = [part for part in parts if part['packets_in'] > 0]
            # All 16 sockets at one of two shards: once in 30,000 runs.
            self.assertGreater(len(busy), 1 if shards != '1' else 0)
            self.assertNotIn('shards', result['client'])

    def test_a_server_of_its_own_has_as_many_shards_as_cpus(self):
        server, address = self.start_server('--shards', '0')
        result = self.run_json('handshake', '--seconds', '0.2', '--warmup', '0', '--sockets', '4',
                               '--connect', address, '--insecure')
        self.assertIsNone(result['config']['shards'])
        self.assertEqual(result['config']['sockets'], 4)
        self.assertGreater(result['handshakes'], 0)
        self.assertEqual(result['handshakes_failed'], 0)
        self.end(server)

    def test_where_connections_come_and_go_there_is_no_sum(self):
        result = self.run_json('handshake', '--seconds', '0.1', '--warmup', '0')
        self.assertIsNone(result['client']['conns'])


if __name__ == '__main__':
    support.main()
