#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How well rate limits are kept, and what they and the pacer cost: runs of spate-bench bulk.

Prints for each limit of a connection, and of a shard with 16 connections, what left of what was
allowed, and the CPU time of the sender.  Then, alternately, bulk without a limit and with one that
is never reached: the difference is what a limit costs per packet.  Last a thousand connections that
are paced by limits of their own, next to a thousand that share one limit and are not held back by
their pacers: the same bytes, and how often they wake their shard."""
import argparse
import json
import statistics
import subprocess
import sys

MBIT = 125_000
LIMITS = (1, 10, 100, 1000, 5000, 10_000, 20_000)  # Mbit/s
NEVER = 125_000_000_000


def run(bench, *words, seconds):
    done = subprocess.run([bench, 'bulk', '--seconds', str(seconds), '--warmup', '0.4', '--json',
                           '-', *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f'{" ".join(map(str, words))}: {done.stderr.strip()}')
    return json.loads(done.stdout)


def of_limit(report, bytes_per_s):
    return report['server']['bytes_out'] / (bytes_per_s * report['seconds'])


def cpu_ns(report):
    """CPU time of the sender per packet."""
    side = report['server']
    return (side['cpu_user_s'] + side['cpu_sys_s']) * 1e9 / side['packets_out']


def limits(bench, name, words, seconds):
    for mbit in LIMITS:
        # Long enough that a burst of ten datagrams more or less is not a per cent.
        long = max(seconds, 100 * 12_000 / (mbit * MBIT))
        report = run(bench, f'--{name}', mbit * MBIT, *words, seconds=long)
        side = report['server']
        allowed = mbit * MBIT * report['seconds'] * 1.01 + 24_000  # and the first burst, probes
        yield {'limit': name, 'is_kept': side['bytes_out'] <= allowed, 'mbit_per_s': mbit,
               'of_limit': of_limit(report, mbit * MBIT),
               'datagrams_per_send': side['datagrams_per_send'],
               'sleeps_per_s': side['sleeps'] / report['seconds'],
               'cpu': (side['cpu_user_s'] + side['cpu_sys_s']) / report['seconds'],
               'lost': report['lost_packets']}


def print_limits(rows):
    print(f'{"limit":17} {"Mbit/s":>7} {"of it":>7} {"dgram/send":>10} {"sleeps/s":>9} '
          f'{"CPU":>6} {"lost":>6}')
    for row in rows:
        print(f'{row["limit"]:17} {row["mbit_per_s"]:7} {row["of_limit"]:7.4f} '
              f'{row["datagrams_per_send"]:10.1f} {row["sleeps_per_s"]:9.0f} '
              f'{row["cpu"] * 100:5.1f}% {row["lost"]:6}', flush=True)
        yield row


def cost(bench, runs, seconds):
    kinds = {'none': (), 'connection': ('--rate-limit', NEVER),
             'shard': ('--shard-rate-limit', NEVER)}
    found = {kind: [] for kind in kinds}
    for _ in range(runs):
        for kind, words in kinds.items():
            found[kind].append(cpu_ns(run(bench, *words, seconds=seconds)))
    for kind, values in found.items():
        print(f'CPU of the sender per packet, limit {kind:10} {statistics.median(values):7.1f} ns '
              f'({min(values):.1f} to {max(values):.1f})', flush=True)
    return {kind: statistics.median(values) for kind, values in found.items()}


def many(bench, conns, mbit, is_paced, seconds):
    words = (('--rate-limit', int(mbit * MBIT)) if is_paced else
             ('--shard-rate-limit', int(mbit * MBIT * conns)))
    report = run(bench, '--conns', conns, *words, '--mtu', 1200, seconds=seconds)
    side = report['server']
    share = side['bytes_out'] / (mbit * MBIT * conns * report['seconds'])
    cpu = side['cpu_user_s'] + side['cpu_sys_s']
    kind = 'each with a limit' if is_paced else 'with one limit'
    print(f'{conns} connections of {mbit} Mbit/s, {kind:17}: {share:.3f} of the limits, '
          f'{side["turns"] / report["seconds"]:6.0f} turns and '
          f'{side["sleeps"] / report["seconds"]:6.0f} sleeps per second, '
          f'{side["datagrams_per_send"]:4.1f} datagrams per send, '
          f'{cpu / report["seconds"] * 100:5.1f} % of a CPU, '
          f'{cpu * 1e9 / side["packets_out"]:5.0f} ns per packet', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bench', help='the spate-bench to run')
    parser.add_argument('--seconds', type=float, default=1, help='of each run (1)')
    parser.add_argument('--runs', type=int, default=5, help='of each kind for the cost (5)')
    parser.add_argument('--only', choices=('limits', 'cost', 'many'), help='one of the three parts')
    args = parser.parse_args()
    wanted = [args.only] if args.only else ['limits', 'cost', 'many']
    is_kept = True
    if 'limits' in wanted:
        for name, words in (('rate-limit', ()), ('shard-rate-limit', ('--conns', 16))):
            for row in print_limits(limits(args.bench, name, words, args.seconds)):
                is_kept &= row['is_kept']
    if 'cost' in wanted:
        cost(args.bench, args.runs, args.seconds)
    if 'many' in wanted:
        for mbit in (1, 4):
            for is_paced in (False, True):
                many(args.bench, 1000, mbit, is_paced, args.seconds * 2)
    return 0 if is_kept else 1


if __name__ == '__main__':
    sys.exit(main())
