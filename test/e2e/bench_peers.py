#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/peers/side_by_side.py: every stack that is there does every load, and what is not there
is skipped with one line.

usage: bench_peers.py SIDE_BY_SIDE BUILD"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

from slower import SLOWER

SIDE_BY_SIDE = pathlib.Path(sys.argv[1])
BUILD = pathlib.Path(sys.argv[2])
HANG_S = 240 * SLOWER

# The stacks of each load.
BULK = {'spate', 'ngtcp2', 'tls', 'iperf3', 'tcp', 'spate-8900', 'spate-65507', 'limit'}
RR = {'spate', 'ngtcp2', 'tls', 'tcp', 'spate-asleep'}
LOADS = {'bulk-down': BULK, 'bulk-up': BULK, 'rr-1': RR | {'limit'}, 'rr-100': RR}
TITLES = 10  # the limits have two, all others one


class SideBySide(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='bench-peers-')
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_it(self, build, *words, env=None):
        return subprocess.run(
            [sys.executable, SIDE_BY_SIDE, build, '--rounds', '1', '--seconds', '0.2', '--warmup',
             '0.05', *words], capture_output=True, text=True, timeout=HANG_S, check=False, env=env)

    def check_row(self, load, row):
        keys = ['gbps'] if load.startswith('bulk') else ['requests_per_s', 'p50_us', 'p99_us']
        if (load, row['stack']) != ('rr-1', 'limit'):  # an echo that polls: no CPU figure
            keys += ['cpu', 'server_cpu', 'client_cpu']
        for key in keys:
            self.assertGreater(row['median'][key], 0, (load, row['stack'], key))
            self.assertAlmostEqual(row['of_spate'][key] * self.spate['median'][key],
                                   row['median'][key], msg=(load, row['stack'], key))

    def test_every_stack_does_every_load(self):
        svg = self.folder / 'picture.svg'
        page = self.folder / 'page.html'
        done = self.run_it(BUILD, '--json', '-', '--svg', svg, '--html', page)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        skipped = sum(line.startswith('skipped: ') for line in done.stderr.splitlines())
        self.assertEqual([load['load'] for load in report['loads']], list(LOADS))
        text = page.read_text()
        self.assertIn('<title>Spate beside other stacks</title>', text)
        for load in report['loads']:
            for row in load['rows']:
                key = 'gbps' if load['load'].startswith('bulk') else 'p50_us'
                self.assertIn(f'<td>{load["load"]} {row["stack"]} {key}</td>', text)
            self.assertIn(f'<td>{load["load"]} spate cpu</td>', text)
        self.assertRegex(text, '>CPU us .</td>')
        self.assertRegex(text, '>CPU s/GB .</td>')
        self.assertIn('<li>Each side is one thread', text)
        seen = set()
        for load in report['loads']:
            names = [row['stack'] for row in load['rows']]
            self.assertLessEqual(set(names), LOADS[load['load']])
            self.assertEqual(names[0], 'spate')
            self.assertIn(load['title'], done.stderr)
            self.spate = load['rows'][0]
            for row in load['rows']:
                seen.add(row['title'])
                self.assertIn(row['title'], done.stderr)
                self.check_row(load['load'], row)
        self.assertEqual(len(seen) + skipped, TITLES, done.stderr)
        words = ''.join(xml.etree.ElementTree.parse(svg).getroot().itertext())
        for title in seen:
            self.assertIn(title, words)

    def test_what_is_missing_is_skipped_with_one_line(self):
        (self.folder / 'bench').mkdir()
        os.symlink(BUILD / 'bench' / 'load', self.folder / 'bench' / 'load')
        done = self.run_it(self.folder, '--only', 'rr-1', env={**os.environ, 'PATH': '/nowhere'})
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line for line in done.stdout.splitlines() if line.startswith('skipped: ')]
        self.assertEqual(len(lines), 4, done.stdout)
        for word in ('ngtcp2,', 'TLS 1.3', 'iperf3:', 'TCP, no cipher:'):
            self.assertEqual(sum(word in line for line in lines), 1, (word, lines))

    def test_without_spate_bench_it_says_so(self):
        done = self.run_it(self.folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn('spate-bench', done.stderr)


class Programs(unittest.TestCase):
    """The peers as programs."""

    def test_a_wrong_command_line_is_one_line(self):
        for program in ('peer-tcp', 'peer-ngtcp2'):
            if not (BUILD / 'bench/peers' / program).exists():
                continue
            for words in ([], ['flood'], ['rr', '--inflight'], ['rr', '--inflight', '0'],
                          ['bulk', '--direction', 'left'], ['bulk', '--no-such'],
                          ['bulk', '--seconds', '-1'], ['bulk'],
                          ['rr', '--plain', '--inflight', '1000', '--response', '10000']):
                done = subprocess.run([BUILD / 'bench/peers' / program, *words], text=True,
                                      capture_output=True, timeout=HANG_S, check=False)
                self.assertEqual(done.returncode, 2, (program, words))
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertEqual(done.stdout, '')

    def test_a_certificate_that_is_none_ends_both_sides(self):
        for program in ('peer-tcp', 'peer-ngtcp2'):
            path = BUILD / 'bench/peers' / program
            if not path.exists():
                continue
            done = subprocess.run([path, 'rr', '--cert', '/dev/null', '--key', '/dev/null'],
                                  text=True, capture_output=True, timeout=HANG_S, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn('server', done.stderr)
            self.assertEqual(done.stdout, '')


if __name__ == '__main__':
    sys.argv = sys.argv[:1]
    unittest.main(verbosity=2)
