# SPDX-License-Identifier: MIT
"""Runs what the plan has, in shuffled turns, and keeps every sample."""
import json
import math
import os
import random
import subprocess
import sys

import stats

RUN_TIMEOUT_S = 120


class Failed(Exception):
    pass


def run_json(program, *words):
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=RUN_TIMEOUT_S)
    if done.returncode != 0:
        raise Failed(f'{os.path.basename(program)} {" ".join(words)}: '
                     f'{done.stderr.strip() or done.returncode}')
    return json.loads(done.stdout)


def find_micro(program):
    """spate-micro of the same build, or None: it is not installed."""
    path = os.path.join(os.path.dirname(program), '..', 'micro', 'spate-micro')
    return path if os.access(path, os.X_OK) else None


def value_of(result, line):
    """The figure, or None if the run has none."""
    if line.is_micro:
        return result[line.words[0]][line.keys[0]]['median'] * line.scale
    total = 0
    for key in line.keys:
        value = result
        for part in key.split('.'):
            value = value[part]
        if value is None or not math.isfinite(value):
            return None
        total += value
    return total * line.scale


def groups_of(lines):
    """Lines that one run gives: a list of (is_micro, words, lines)."""
    groups = {}
    for line in lines:
        groups.setdefault((line.is_micro, tuple(line.words)), []).append(line)
    return [(is_micro, list(words), members) for (is_micro, words), members in groups.items()]


def run_group(program, group, seconds, warmup):
    is_micro, words, members = group
    if is_micro:
        micro = find_micro(program)
        if micro is None:
            raise Failed('spate-micro is not beside spate-bench: it is not installed')
        result = run_json(micro, '--json', '--repetitions', '3', *words)
    else:
        times = [] if '--seconds' in words else ['--seconds', str(seconds), '--warmup', str(warmup)]
        result = run_json(program, *words, *times, '--json', '-')
    return result, {line.name: value_of(result, line) for line in members}


def measure(programs, lines, rounds, seconds, warmup, seed, say):
    """Returns, for each program, its samples by line, and its errors by line; and the machine.

    In each round all groups run once with each program, in an order of its own: what disturbs the
    machine for a while does not meet one variant alone.
    """
    draw = random.Random(seed)
    groups = groups_of(lines)
    samples = [{line.name: [] for line in lines} for _ in programs]
    errors = [{} for _ in programs]
    machine = {}
    for at in range(rounds):
        order = list(groups)
        draw.shuffle(order)
        for number, group in enumerate(order):
            say(f'round {at + 1} of {rounds}, {number + 1} of {len(order)}: {" ".join(group[1])}')
            variants = list(range(len(programs)))
            draw.shuffle(variants)
            for variant in variants:
                try:
                    result, values = run_group(programs[variant], group, seconds, warmup)
                except (Failed, subprocess.TimeoutExpired) as error:
                    for line in group[2]:
                        errors[variant][line.name] = str(error)
                    continue
                machine = result.get('machine', machine)
                for name, value in values.items():
                    if value is not None:
                        samples[variant][name].append(value)
    return samples, errors, machine


def noise(program, seconds, warmup):
    """How far medians of equal runs lie apart: that of one half of them over the other's, as a
    share.  Nothing smaller than that can be told on this machine."""
    worst = 0
    for words, key in ((['bulk'], 'gbps'), (['rr'], 'p50_us')):
        values = [run_json(program, *words, '--seconds', str(seconds), '--warmup', str(warmup),
                           '--json', '-')[key] for _ in range(6)]
        a, b = stats.median(values[0::2]), stats.median(values[1::2])
        worst = max(worst, abs(math.log(a / b)))
    return math.exp(worst) - 1


def sweep(program, rates, seconds, warmup, say):
    """An open loop at each rate: what came through, and how late."""
    points = []
    for rate in rates:
        say(f'sweep: {rate:.0f} requests a second')
        result = run_json(program, 'rr', '--rate', f'{rate:.0f}', '--conns', '16', '--seconds',
                          str(seconds), '--warmup', str(warmup), '--json', '-')
        points.append({'rate': rate, 'done': result['requests_per_s'],
                       'p50_us': result['p50_us'], 'p99_us': result['p99_us'],
                       'p999_us': result['p999_us']})
    return points


def knee(points):
    """The highest rate before the p99 is 10 times that of the least loaded point or less than 95 %
    come through; None where even the first does not."""
    best = None
    for point in points:
        if point['done'] < 0.95 * point['rate'] or point['p99_us'] > 10 * points[0]['p99_us']:
            break
        best = point['rate']
    return best


def status_line():
    """Shows what runs on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda text: None
    return lambda text: print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)
