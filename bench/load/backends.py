#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The two I/O back-ends side by side: the same runs of spate-bench over io_uring and over mmsg,
interleaved, and the ratio of their medians.  mmsg makes plain calls: where io_uring is slower than
that, io_uring is used badly."""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile

BACKENDS = ('io_uring', 'mmsg')

# name, words for spate-bench, what counts, and how much of mmsg's io_uring must reach.
LOADS = (
    ('bulk down', ['bulk', '--direction', 'down'], 'gbps', 0.97),
    ('bulk up', ['bulk', '--direction', 'up'], 'gbps', 0.97),
    ('rr, 1 in flight', ['rr', '--inflight', '1'], 'requests_per_s', 1.0),
    ('rr, 100 in flight', ['rr', '--inflight', '100', '--response', '1024'], 'requests_per_s', 1.0),
)


def run(bench, words, backend, seconds):
    with tempfile.NamedTemporaryFile(mode='r', suffix='.json') as file:
        subprocess.run([bench, *words, '--backend', backend, '--cipher', 'aes-128-gcm',
                        '--seconds', str(seconds), '--warmup', '0.2', '--json', file.name],
                       check=True, stdout=subprocess.DEVNULL)
        return json.load(file)


def both_sides(result, key):
    return result['server'][key] + result['client'][key]


def cost(result):
    """CPU of both sides: s a GB, or us a request."""
    key = 'cpu_s_per_gb' if result['scenario'] == 'bulk' else 'cpu_us_per_request'
    return both_sides(result, key)


def calls(result):
    """System calls a packet, both sides together."""
    packets = both_sides(result, 'packets_in') + both_sides(result, 'packets_out')
    return both_sides(result, 'syscalls') / packets


def median_or_none(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def compare(bench, runs, seconds):
    for name, words, key, wanted in LOADS:
        results = {backend: [] for backend in BACKENDS}
        for i in range(runs):
            for backend in BACKENDS if i % 2 == 0 else reversed(BACKENDS):
                results[backend].append(run(bench, words, backend, seconds))
        row = {'load': name, 'what': key, 'wanted_ratio': wanted}
        for backend in BACKENDS:
            row[backend] = {
                key: statistics.median(r[key] for r in results[backend]),
                'p50_us': median_or_none(r['p50_us'] for r in results[backend]),
                'cpu': statistics.median(map(cost, results[backend])),
                'calls_per_packet': statistics.median(map(calls, results[backend])),
            }
        row['ratio'] = row['io_uring'][key] / row['mmsg'][key]
        row['cpu_ratio'] = row['io_uring']['cpu'] / row['mmsg']['cpu']
        yield row


def print_row(row, file):
    ours, theirs, key = row['io_uring'], row['mmsg'], row['what']
    print(f'{row["load"]:18} {key:14} {ours[key]:12.2f} {theirs[key]:12.2f} {row["ratio"]:6.3f} '
          f'{row["wanted_ratio"]:6.2f}  {row["cpu_ratio"]:9.3f} {ours["calls_per_packet"]:12.3f} '
          f'{theirs["calls_per_packet"]:7.3f}', file=file, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bench', help='the spate-bench to run')
    parser.add_argument('--runs', type=int, default=5, help='of each kind (5)')
    parser.add_argument('--seconds', type=float, default=1, help='of each run (1)')
    parser.add_argument('--json', metavar='FILE', help='write the rows there; - is stdout')
    args = parser.parse_args()
    table = sys.stderr if args.json == '-' else sys.stdout

    print(f'{"load":18} {"what":14} {"io_uring":>12} {"mmsg":>12} {"ratio":>6} {"wanted":>6}  '
          f'{"CPU ratio":>9} {"calls/packet":>12} {"mmsg":>7}', file=table, flush=True)
    rows = []
    for row in compare(args.bench, args.runs, args.seconds):
        print_row(row, table)
        rows.append(row)
    text = json.dumps(rows, indent=2) + '\n'
    if args.json == '-':
        sys.stdout.write(text)
    elif args.json:
        with open(args.json, 'w', encoding='utf-8') as file:
            file.write(text)


if __name__ == '__main__':
    main()
