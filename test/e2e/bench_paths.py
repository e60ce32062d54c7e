#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/peers/paths.py: every stack that is there goes over the path, and its figures are those of
the path.

usage: bench_paths.py PATHS BUILD      skipped where it may not make namespaces"""
import json
import pathlib
import subprocess
import sys
import unittest

from slower import SLOWER

BUILD = pathlib.Path(sys.argv.pop())
PATHS = pathlib.Path(sys.argv.pop())
HANG_S = 100 * SLOWER


def run_it(*words):
    return subprocess.run([sys.executable, PATHS, BUILD, *words], capture_output=True, text=True,
                          timeout=HANG_S, check=False)


class Paths(unittest.TestCase):
    def test_every_stack_moves_the_bytes_over_the_path(self):
        done = run_it('--row', 'loss-5', '--json', '-')
        self.assertEqual(done.returncode, 0, done.stderr)
        report = {one['stack']: one for one in json.loads(done.stdout)}
        self.assertLess({'tcp-cubic', 'tcp-reno', 'spate-cubic', 'spate-newreno', 'spate-bbr',
                         'spate-prague'},
                        set(report) | {'tcp-bbr'}, done.stderr)
        for stack, one in report.items():
            figures = one['median']
            self.assertNotIn('failure', figures, stack)
            self.assertTrue(0.03 < figures['dropped'] < 0.08, (stack, figures))
            self.assertTrue(0.01 < figures['seconds'] < 60, (stack, figures))
            self.assertGreater(figures['mbps'], 0)
            if stack.startswith('spate'):
                self.assertGreater(figures['lost'], 50)
                self.assertIsNotNone(figures['spurious'])

    def test_prague_keeps_the_queue_for_l4s_short(self):
        wrong = None
        for _ in range(4):  # the machine may be busy
            done = run_it('--row', 'l4s', '--column', 'spate-cubic', '--column', 'spate-prague',
                          '--json', '-')
            self.assertEqual(done.returncode, 0, done.stderr)
            one = {one['stack']: one['median'] for one in json.loads(done.stdout)}
            cubic, prague = one['spate-cubic'], one['spate-prague']
            self.assertGreater(prague['marked'], 0)
            wrong = None if (prague['mbps'] > 40 / SLOWER and prague['queue_p50_ms'] < 2 and
                             prague['queue_p50_ms'] < cubic['queue_p50_ms'] / 2 and
                             prague['dropped'] < 0.001) else (cubic, prague)
            if wrong is None:
                return
        self.fail(wrong)

    def test_the_outage_is_seen_by_the_relay(self):
        done = run_it('--row', 'outage-2', '--column', 'spate-cubic', '--seconds', '1',
                      '--json', '-')
        self.assertEqual(done.returncode, 0, done.stderr)
        figures = json.loads(done.stdout)[0]['median']
        self.assertTrue(2 < figures['back_s'] < 6, figures)
        self.assertLess(figures['queue_p99_ms'], 21)

    def test_a_run_takes_as_long_as_it_is_told(self):
        for column in ('tcp-cubic', 'spate-cubic'):
            done = run_it('--row', 'shallow', '--row', 'loss-5', '--column', column, '--seconds',
                          '0.5', '--json', '-')
            self.assertEqual(done.returncode, 0, done.stderr)
            counted, timed = (one['median'] for one in json.loads(done.stdout))
            self.assertTrue(0.4 < timed['seconds'] < 2, timed)  # 5 s otherwise
            self.assertTrue(0 < timed['mbps'] < 20, timed)
            self.assertGreater(counted['mbps'] * counted['seconds'], 39, counted)  # all 5 MB

    def test_mistakes_are_refused(self):
        for seconds in ('0', '-1', 'inf', 'x'):
            self.assertEqual(run_it('--seconds', seconds).returncode, 2)
        self.assertEqual(run_it('--column', 'no-such').returncode, 2)
        self.assertEqual(run_it('--row', 'no-such').returncode, 2)
        done = run_it('--list')
        self.assertEqual(done.returncode, 0)
        self.assertGreater(len(done.stdout.splitlines()), 20)


if __name__ == '__main__':
    if run_it('--row', 'loss-5', '--column', 'tcp-cubic').returncode == 77:
        print('skipped: no network namespaces')
        sys.exit(77)
    unittest.main(verbosity=2)
