#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same work through spate, ngtcp2, TLS 1.3 over TCP and plain TCP, in turns (A B C D A B C D
...), the server on one CPU and the client on another.  Prints a table for each load: medians, and
beside each the median of the rounds' multiples of spate's: a machine that changes its speed between
two rounds changes both parts of such a multiple, but only some of the figures."""
import argparse
import contextlib
import fcntl
import json
import os
import statistics
import sys
import tempfile
import time

import picture
import report_page
import stacks

# Columns of a table: what is shown, how many decimals, and whether the multiple of spate's is too.
BULK = [('gbps', 'Gbit/s', 2, True), ('cpu', 'CPU s/GB', 3, True),
        ('server_cpu', 'server', 3, False), ('client_cpu', 'client', 3, False)]
RR = [('requests_per_s', 'requests/s', 0, True), ('p50_us', 'p50 us', 1, True),
      ('p99_us', 'p99 us', 1, True), ('cpu', 'CPU us', 2, True),
      ('server_cpu', 'server', 2, False), ('client_cpu', 'client', 2, False)]


@contextlib.contextmanager
def locked(path):
    """Holds a lock that whoever else measures on this machine takes too."""
    if path is None:
        yield
        return
    with open(path, 'w', encoding='ascii') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def summary(runs):
    for run in runs:
        cpu = run['server_cpu'], run['client_cpu']
        run['cpu'] = None if None in cpu else sum(cpu)
    return {key: median([run[key] for run in runs]) for key in runs[0]}


def multiples(runs, spate_runs):
    """Each figure as a multiple of spate's in the same round; their medians."""
    def of_round(run, spate, key):
        return run[key] / spate[key] if run[key] is not None and spate[key] else None
    return {key: median([of_round(run, spate, key) for run, spate in zip(runs, spate_runs)])
            for key in runs[0]}


def rows_of(chosen, runs):
    """The rows of a table; the first stack is spate."""
    rows = []
    for stack in chosen:
        figures = summary(runs[stack.name])
        rows.append({'stack': stack.name, 'title': stack.title, 'median': figures,
                     'of_spate': multiples(runs[stack.name], runs[chosen[0].name]),
                     'runs': runs[stack.name]})
    return rows


def measure(load, present, setting, args):
    """All rounds of one load; the rows of its table."""
    chosen = [stack for stack in present if stack.does(load)]
    runs = {stack.name: [] for stack in chosen}
    for _ in range(args.rounds):
        with locked(args.lock):
            for stack in chosen:
                runs[stack.name].append(stack.run(setting, load))
    return rows_of(chosen, runs)


def cell(value, decimals):
    return '-' if value is None else f'{value:,.{decimals}f}'


def print_table(load, rows, file):
    columns = BULK if load.is_bulk else RR
    width = max(len(row['title']) for row in rows)
    print(f'\n{load.title}', file=file)
    head = ' ' * width
    for _, title, _, has_multiple in columns:
        head += f' {title:>11}' + (f' {"x spate":>8}' if has_multiple else '')
    print(head, file=file)
    for row in rows:
        line = row['title'].ljust(width)
        for key, _, decimals, has_multiple in columns:
            line += f' {cell(row["median"][key], decimals):>11}'
            if has_multiple:
                line += f' {cell(row["of_spate"][key], 2):>8}'
        print(line, file=file, flush=True)


def default_cpus():
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1] if len(usable) > 1 else usable[0]


def parse():
    server_cpu, client_cpu = default_cpus()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('build', help='the folder of a release build, with -Dpeers=auto')
    parser.add_argument('--rounds', type=int, default=5, help='of which the median counts (5)')
    parser.add_argument('--seconds', type=float, default=1, help='of each run (1)')
    parser.add_argument('--warmup', type=float, default=0.2, help='before it, in seconds (0.2)')
    parser.add_argument('--only', action='append', choices=[load.name for load in stacks.LOADS],
                        help='this load alone; may be given more than once')
    parser.add_argument('--server-cpu', type=int, default=server_cpu, help='(the first)')
    parser.add_argument('--client-cpu', type=int, default=client_cpu, help='(the second)')
    parser.add_argument('--lock', metavar='FILE', help='flock it for the time of each round')
    parser.add_argument('--json', metavar='FILE', help='write all figures there; - is stdout')
    parser.add_argument('--html', metavar='FILE', help='write the page of the suite there')
    parser.add_argument('--svg', metavar='FILE', help='write a picture of the medians there')
    args = parser.parse_args()
    if args.rounds < 1 or not 0.01 <= args.seconds <= 600 or not 0 <= args.warmup <= 60:
        parser.error('--rounds from 1, --seconds from 0.01 to 600, --warmup from 0 to 60')
    return args


def write(path, text):
    if path == '-':
        sys.stdout.write(text)
    elif path is not None:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)


def find_present(setting, file):
    """The stacks that can run here; one line for each that cannot."""
    present = []
    for stack in stacks.STACKS:
        reason = stack.missing(setting)
        if reason is None:
            present.append(stack)
        else:
            print(f'skipped: {stack.title}: {reason}', file=file)
    if not present or present[0] is not stacks.STACKS[0]:
        raise stacks.Failed('spate-bench is what all is compared with, and it is missing')
    return present


def compare(args, folder, file):
    setting = stacks.Setting(args.build, args.seconds, args.warmup,
                             (args.server_cpu, args.client_cpu), folder)
    present = find_present(setting, file)
    print(f'medians of {args.rounds} rounds in turns, {args.seconds:g} s each, server on CPU '
          f'{args.server_cpu}, client on CPU {args.client_cpu}, AES-128-GCM', file=file)
    report = {'rounds': args.rounds, 'seconds': args.seconds, 'server_cpu': args.server_cpu,
              'client_cpu': args.client_cpu, 'differences': stacks.DIFFERENCES, 'loads': []}
    for load in stacks.LOADS:
        if args.only and load.name not in args.only:
            continue
        rows = measure(load, present, setting, args)
        print_table(load, rows, file)
        report['loads'].append({'load': load.name, 'title': load.title, 'rows': rows})
    print(f'\nWhat differs:\n{stacks.DIFFERENCES}', end='', file=file)
    return report


def main():
    args = parse()
    began = time.monotonic()
    file = sys.stderr if args.json == '-' else sys.stdout
    try:
        with tempfile.TemporaryDirectory(prefix='spate-peers-') as folder:
            report = compare(args, folder, file)
    except stacks.Failed as error:
        print(f'side_by_side: {error}', file=sys.stderr)
        return 1
    write(args.json, json.dumps(report, indent=2) + '\n')
    if args.html is not None:
        report_page.write(report, time.monotonic() - began, args.html)
    if args.svg is not None:
        write(args.svg, picture.draw(report))
    return 0


if __name__ == '__main__':
    sys.exit(main())
