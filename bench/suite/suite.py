#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench suite and spate-bench compare; started by spate-bench, which names itself first."""
import argparse
import errno
import json
import os
import secrets
import subprocess
import sys
import time

import compare
import measure
import page
import plan
import stats

FULL = {'rounds': 5, 'seconds': 0.6, 'warmup': 0.3,
        'rates': (2000, 5000, 10000, 20000, 40000, 80000, 160000, 320000)}
QUICK = {'rounds': 3, 'seconds': 0.2, 'warmup': 0.15, 'rates': (2000, 10000, 40000, 160000)}


def result_of(lines, samples, errors, common):
    found = []
    for line in lines:
        values = samples[line.name]
        low, high = stats.interval(values) if values else (None, None)
        found.append({'name': line.name, 'what': line.what, 'unit': line.unit,
                      'more_is_better': line.more_is_better, 'samples': values,
                      'median': stats.median(values) if values else None, 'low': low,
                      'high': high, 'outliers': stats.outliers(values),
                      'write_up': plan.WRITE_UP.get(line.name), 'error': errors.get(line.name)})
    return {'format': compare.FORMAT, **common, 'lines': found}


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, as the rest of spate-bench does."""

    def error(self, message):
        self.exit(2, f'{self.prog}: {message}; see {self.prog} --help\n')


def count(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def look(args):
    """Fails before anything is measured for nothing."""
    for path in filter(None, (args.html, args.json, args.json_against)):
        with open(path, 'a', encoding='utf-8'):
            pass
    if args.against and not os.access(args.against, os.X_OK):
        raise FileNotFoundError(errno.ENOENT, 'is no program', args.against)


def write(path, action):
    with open(path, 'w', encoding='utf-8') as file:
        action(file)


def suite(program, args):
    look(args)
    began = time.monotonic()
    how = QUICK if args.quick else FULL
    rounds = args.rounds or how['rounds']
    lines = [line for line in plan.lines(args.quick)
             if not args.only or any(line.name.startswith(name) for name in args.only)]
    if not lines:
        sys.exit('spate-bench suite: --only fits no line')
    programs = [program] + ([args.against] if args.against else [])
    left_out = [line.name for line in lines if line.is_micro]
    if left_out and not all(map(measure.find_micro, programs)):
        print(f'left out: {", ".join(left_out)}: spate-micro is not beside spate-bench, it is in '
              'build trees only', flush=True)
        lines = [line for line in lines if not line.is_micro]
    if not lines:
        return 0
    say = measure.status_line()
    say('the noise of this machine')
    noise = None if args.no_noise else measure.noise(program, how['seconds'], how['warmup'])
    if noise is not None:
        say('')
        print(f'noise of this machine: {100 * noise:.1f} % between equal runs', flush=True)
    samples, errors, machine = measure.measure(programs, lines, rounds, how['seconds'],
                                               how['warmup'], args.seed, say)
    points = [] if args.only else measure.sweep(program, how['rates'], how['seconds'],
                                                how['warmup'], say)
    say('')
    common = {'quick': args.quick, 'rounds': rounds, 'seconds_each': how['seconds'],
              'noise': noise, 'machine': machine, 'sweep': points,
              'knee': measure.knee(points) if points else None,
              'pair': secrets.token_hex(8) if args.against else None}
    results = []
    for at, one in enumerate(programs):
        version = subprocess.run([one, '--version'], capture_output=True, text=True, check=True)
        results.append(result_of(lines, samples[at], errors[at],
                                 {**common, 'version': version.stdout.strip(),
                                  'duration_s': time.monotonic() - began}))
    for path, result in ((args.json, results[0]), (args.json_against, results[-1])):
        if path:
            write(path, lambda file, r=result: json.dump(r, file, indent=1))
    if args.html:
        write(args.html, lambda file: page.write(results[0], file))
    for line in results[0]['lines']:
        shown = 'no figure' if line['median'] is None else \
            (f'{page.number(line["median"]):>10} {line["unit"]:10} {page.number(line["low"])} to '
             f'{page.number(line["high"])}')
        print(f'{line["name"]:20} {shown}{"  " + line["error"] if line["error"] else ""}')
    if points:
        knee = f'{common["knee"]:,.0f} requests a second' if common['knee'] else 'not found'
        print(f'knee: {knee}')
    print(f'{len(lines)} lines in {time.monotonic() - began:.0f} s')
    return 1 if any(errors) else 0


def compare_files(args):
    try:
        found = compare.compare(compare.load(args.before), compare.load(args.after))
    except (OSError, ValueError) as error:
        what = f'{error.filename}: {error.strerror}' if isinstance(error, OSError) else error
        print(f'spate-bench compare: {what}', file=sys.stderr)
        return 2
    compare.print_table(found, sys.stdout)
    status = compare.status(found)
    if status == 3:
        print(f'spate-bench compare: cannot judge: no line has {compare.SAMPLES_MIN} samples in '
              'both results; run the suite with more --rounds', file=sys.stderr)
    return status


def main():
    program = os.path.abspath(sys.argv[1])
    parser = Parser(prog='spate-bench')
    parts = parser.add_subparsers(dest='part', required=True)
    s = parts.add_parser('suite', help='measure the whole list')
    s.add_argument('--quick', action='store_true', help='fewer and shorter runs')
    s.add_argument('--html', metavar='FILE', help='write one page')
    s.add_argument('--json', metavar='FILE', help='write all samples')
    s.add_argument('--rounds', type=count, metavar='N', help='how often each line is measured')
    s.add_argument('--only', action='append', metavar='NAME', help='lines that begin so')
    s.add_argument('--seed', type=int, default=1, help='of the order')
    s.add_argument('--no-noise', action='store_true', help='do not measure the noise first')
    s.add_argument('--against', metavar='PROGRAM', help='another spate-bench, in turns with it')
    s.add_argument('--json-against', metavar='FILE', help='its samples')
    c = parts.add_parser(
        'compare', help='what became slower',
        epilog='Exit status: 0 nothing became slower; 1 something did; 2 a file cannot be read; 3 '
               f'no line can be judged: each has fewer than {compare.SAMPLES_MIN} samples.')
    c.add_argument('before')
    c.add_argument('after')
    args = parser.parse_args(sys.argv[2:])
    if args.part == 'suite' and bool(args.against) != bool(args.json_against):
        parser.error('--against and --json-against belong together')
    if args.part == 'compare':
        return compare_files(args)
    try:
        return suite(program, args)
    except (OSError, measure.Failed, subprocess.TimeoutExpired) as error:
        if isinstance(error, BrokenPipeError):
            raise
        what = f'{error.filename}: {error.strerror}' if isinstance(error, OSError) else error
        print(f'spate-bench suite: {what}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    try:
        sys.exit(main())
    except BrokenPipeError:  # `| head`, for example
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
