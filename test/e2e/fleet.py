#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/examples/fleet: clients whose addresses change stay with their server, because the router
reads it from their connection IDs.

usage: fleet.py FLEET.SH BUILD      skipped where there is no nft, or no network namespaces"""
import pathlib
import re
import subprocess
import sys
import unittest

from slower import SLOWER

BUILD = pathlib.Path(sys.argv.pop()).resolve()
FLEET = pathlib.Path(sys.argv.pop()).resolve()
HANG_S = 150 * SLOWER
SUMMARY = re.compile(r'^(\d+) clients, (\d+) and (\d+) at their server, (\d+) rounds, '
                     r'(\d+) answers, (\d+) lost, (\d+) of another server$', re.MULTILINE)


def run_it(*words):
    return subprocess.run([FLEET, *words], capture_output=True, text=True, timeout=HANG_S,
                          check=False)


class Fleet(unittest.TestCase):
    def summary_of(self, done):
        found = SUMMARY.search(done.stdout)
        self.assertIsNotNone(found, done.stdout + done.stderr)
        return [int(word) for word in found.groups()]

    def test_a_thousand_clients_stay_with_their_servers(self):
        done = run_it(BUILD, '1000', '5')
        clients, first, second, rounds, answers, lost, others = self.summary_of(done)
        self.assertEqual((done.returncode, clients, rounds), (0, 1000, 5), done.stderr)
        self.assertEqual((answers, lost, others), (6000, 0, 0))
        self.assertEqual(first + second, 1000)
        self.assertGreater(min(first, second), 300)  # the hash spreads first packets

    def test_another_configuration_loses_nobody(self):
        done = run_it('--rotate', BUILD, '300', '8')
        _, _, _, _, answers, lost, others = self.summary_of(done)
        self.assertEqual((done.returncode, answers, lost, others), (0, 2700, 0, 0), done.stderr)
        self.assertEqual(done.stdout.count('config ID 2'), 2)

    def test_servers_that_are_replaced_lose_nobody(self):
        done = run_it('--replace', BUILD, '500', '8')
        found = [[int(word) for word in one] for one in SUMMARY.findall(done.stdout)]
        self.assertEqual((done.returncode, len(found)), (0, 2), done.stdout + done.stderr)
        for clients, _, _, _, answers, lost, others in found:
            self.assertEqual((clients, answers, lost, others), (500, 4500, 0, 0))
        self.assertEqual(done.stdout.count('was replaced'), 2)
        accepted = re.findall(r'has accepted (\d+) connections', done.stdout)
        self.assertEqual(sum(map(int, accepted)), 500)  # of the new processes

    def test_without_connection_ids_clients_lose_their_servers(self):
        done = run_it('--hash', BUILD, '40', '1')
        _, _, _, _, _, lost, _ = self.summary_of(done)
        self.assertEqual(done.returncode, 1)
        self.assertGreater(lost, 5)

    def test_mistakes_are_refused(self):
        self.assertEqual(run_it().returncode, 2)
        self.assertEqual(run_it('--no-such', BUILD).returncode, 2)


if __name__ == '__main__':
    trial = run_it(BUILD, '1', '0')
    if trial.returncode == 77:
        print(trial.stderr)
        sys.exit(77)
    unittest.main(verbosity=2)
