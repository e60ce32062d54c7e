#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tries compare with real runs: does it find a slowdown that was put in on purpose, and nothing
where there is none?

usage: tries.py SPATE-BENCH [--tries 20] [--rounds 16] [--seconds 0.1] [--burden 5]

Each try measures two variants in turns.  In half of the tries one of them wastes --burden per cent
of its CPU time.  Exit status 1 if one of those is not found, or more than one of 20 others cries.
"""
import argparse
import os
import stat
import sys
import tempfile

import compare
import measure
import plan
import suite

LINE = 'C2 CPU'


def one_try(programs, args, seed):
    lines = [line for line in plan.lines(True) if line.name == LINE]
    samples, errors, _ = measure.measure(programs, lines, args.rounds, args.seconds, 0.05, seed,
                                         lambda text: None)
    if any(errors):
        raise measure.Failed(str(errors))
    results = [suite.result_of(lines, one, {}, {'pair': 'x'}) for one in samples]
    return compare.compare(*results)[0]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('program')
    parser.add_argument('--tries', type=int, default=20)
    parser.add_argument('--rounds', type=int, default=16)
    parser.add_argument('--seconds', type=float, default=0.1)
    parser.add_argument('--burden', type=float, default=5)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    program = os.path.abspath(args.program)
    counts = {'found': 0, 'wrong': 0}
    with tempfile.TemporaryDirectory() as folder:
        slow = os.path.join(folder, 'spate-bench')
        with open(slow, 'w', encoding='utf-8') as file:
            file.write(f'#!/bin/sh\nexec "{program}" "$@" --burden {args.burden}\n')
        os.chmod(slow, stat.S_IRWXU)
        for at in range(args.tries):
            for other, verdict, key in ((slow, 'slower', 'found'), (program, '', 'wrong')):
                row = one_try([program, other], args, args.seed + at)
                counts[key] += row['verdict'] == 'slower' if verdict else row['verdict'] != ''
                print(f'try {at + 1}, {"slower" if verdict else "equal"}: cost {row["cost"]:.3f}, '
                      f'{row["low"]:.3f} to {row["high"]:.3f} {row["verdict"]}', flush=True)
    print(f'found {counts["found"]} of {args.tries}; cried wolf in {counts["wrong"]} of '
          f'{args.tries}')
    return 1 if counts['found'] < args.tries or counts['wrong'] * 20 > args.tries else 0


if __name__ == '__main__':
    sys.exit(main())
