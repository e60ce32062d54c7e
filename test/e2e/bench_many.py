#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench with many connections, and the programs beside it that measure many of its runs."""
import json
import os
import subprocess
import sys
import unittest

import bench_support as support

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'bench', 'load')


def run_script(name, *arguments):
    return subprocess.run([sys.executable, os.path.join(SCRIPTS, name), support.BENCH, *arguments],
                          capture_output=True, text=True, timeout=support.HANG_S, check=False)


class Matrix(support.BenchTest):
    def test_each_number_of_connections_meets_each_number_of_streams(self):
        path = self.path('cells.json')
        done = run_script('matrix.py', '--runs', '1', '--most', '100', '--seconds', '0.1',
                          '--warmup', '0.1', '--json', path)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        with open(path, encoding='ascii') as file:
            result = json.load(file)
        self.assertEqual({(cell['conns'], cell['streams']) for cell in result['cells']},
                         {(a, b) for a in (1, 10, 100) for b in (1, 10, 100)})
        self.assertTrue(0 < result['slowest_over_fastest'] <= 1)
        self.assertIn('slowest over fastest: ', done.stdout)


class Scale(support.BenchTest):
    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, 'a shard and a client want a CPU each')
    def test_a_shard_and_a_client_run_on_a_cpu_each(self):
        path = self.path('scale.json')
        done = run_script('scale.py', '--shards', '1', '--runs', '1', '--seconds', '0.2', '--json',
                          path)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        with open(path, encoding='ascii') as file:
            cells = json.load(file)
        self.assertEqual([(cell['load'], cell['shards']) for cell in cells],
                         [('rr', 1), ('bulk', 1)])
        for cell in cells:
            self.assertGreater(cell['runs'][0]['rate'], 0)
            self.assertEqual(cell['runs'][0]['share'], 1)

    def test_too_few_cpus_are_named(self):
        done = run_script('scale.py', '--shards', '4096')
        self.assertEqual(done.returncode, 1)
        self.assertIn('4096 shards and as many clients need 8192 CPUs', done.stderr)


class ManyConnections(support.BenchTest):
    def test_thousands_do_not_keep_each_other_from_their_handshakes(self):
        result = self.run_json('rr', '--conns', '5000', '--seconds', '0.3', '--timeout', '2')
        self.assertEqual(result['client']['conns']['count'], 5000)


if __name__ == '__main__':
    support.main()
