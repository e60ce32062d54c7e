#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bulk with 1 to 1,000 connections times 1, 10 and 100 streams on each: tables of twelve cells.

    bench/load/matrix.py SPATE_BENCH [--runs 3] [--most 1000] [--json FILE] [OPTION...]

The cells take turns, so that a machine that changes its speed meets all of them. A cell is the
median of its runs.  What is shared is given as the slowest connection or stream over the fastest
one.  The last line is the slowest cell over the fastest one.  Options are those of `bulk`.
"""

import argparse
import json
import statistics
import subprocess
import sys

CONNS = (1, 10, 100, 1000)
STREAMS = (1, 10, 100)


def run(program, conns, streams, options):
    command = [program, 'bulk', '--conns', str(conns), '--streams', str(streams), '--json', '-',
               *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f'{" ".join(command)}: exit status {done.returncode}')
    return json.loads(done.stdout)


def table(title, cells, text):
    print(f'{title:<24}' + ''.join(f'{streams:>5} streams' for streams in STREAMS))
    for conns in sorted({conns for conns, _ in cells}):
        row = ''.join(f'{text(cells[conns, streams]):>13}' for streams in STREAMS)
        print(f'  {conns:>4} connections      ' + row)


def median(results, value):
    return statistics.median(value(result) for result in results)


def cpu_s_per_gb(result):
    return sum(result[side]['cpu_s_per_gb'] or 0 for side in ('server', 'client'))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('program')
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--most', type=int, default=max(CONNS), help='of the connections')
    parser.add_argument('--json')
    arguments, options = parser.parse_known_args()
    if '--seconds' not in options:
        options += ['--seconds', '1']

    cells = {(conns, streams): [] for conns in CONNS if conns <= arguments.most
             for streams in STREAMS}
    for _ in range(arguments.runs):
        for (conns, streams), results in cells.items():
            results.append(run(arguments.program, conns, streams, options))

    gbps = {cell: median(results, lambda r: r['gbps']) for cell, results in cells.items()}
    table('Gbit/s', gbps, lambda value: f'{value:.2f}')
    table('CPU s/GB, both sides', cells, lambda results: f'{median(results, cpu_s_per_gb):.2f}')
    table('lost packets', cells, lambda results: median(results, lambda r: r['lost_packets']))
    for what in ('conns', 'streams'):
        key = f'{what}_slowest_over_fastest'
        table(f'{what}, slowest/fastest', cells,
              lambda results, key=key: f'{median(results, lambda r: r[key]):.2f}')
    ratio = min(gbps.values()) / max(gbps.values())
    print(f'slowest over fastest: {ratio:.2f}')

    if arguments.json:
        with open(arguments.json, 'w', encoding='ascii') as file:
            json.dump({'slowest_over_fastest': ratio, 'options': options,
                       'cells': [{'conns': conns, 'streams': streams, 'gbps': gbps[conns, streams],
                                  'runs': results}
                                 for (conns, streams), results in cells.items()]}, file)


if __name__ == '__main__':
    main()
