#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the demo's tables from the JSON files that spate-bench wrote.

usage: demo_table.py DIR
"""
import json
import pathlib
import sys

ROWS = [
    ('bulk-down', 'bulk, server to client'),
    ('bulk-up', 'bulk, client to server'),
    ('rr-1', 'requests, 1 in flight'),
    ('rr-100', 'requests, 100 in flight'),
    ('handshake', 'handshakes'),
]
WAITS = [
    ('adaptive', 'adaptive (the default)'),
    ('sleep', 'sleeping (--spin 0)'),
    ('spin', 'spinning (--busy-poll)'),
]


def number(value):
    """At least three digits that mean something."""
    if value is None:
        return '-'
    return f'{value:,.0f}' if value >= 100 else f'{value:.1f}' if value >= 10 else f'{value:.2f}'


def rate(result):
    if result['scenario'] == 'bulk':
        return f'{number(result["gbps"])} Gbit/s'
    if result['scenario'] == 'rr':
        return f'{number(result["requests_per_s"])} req/s'
    return f'{number(result["handshakes_per_s"])} hs/s'


def cpu(result, side):
    name, unit = {'bulk': ('cpu_s_per_gb', 's/GB'), 'rr': ('cpu_us_per_request', 'us'),
                  'handshake': ('cpu_us_per_handshake', 'us')}[result['scenario']]
    return f'{number(result[side][name])} {unit}'


def row(title, result):
    sender = 'client' if title.startswith('bulk, client') else 'server'
    return [
        title, rate(result),
        *(number(result[name]) for name in ('p50_us', 'p90_us', 'p99_us', 'p999_us', 'max_us')),
        cpu(result, 'server'), cpu(result, 'client'),
        number(result[sender]['datagrams_per_send']), f'{result["lost_packets"]}',
    ]


def wait_row(folder, name, title):
    """One way to wait, with 1, 10 and 100 requests in flight."""
    one, ten, hundred = (json.loads((folder / f'wait-{name}-{inflight}.json').read_text())
                         for inflight in (1, 10, 100))
    return [title, number(one['p50_us']), number(one['p99_us']), cpu(one, 'server'),
            rate(ten), cpu(ten, 'server'), rate(hundred), cpu(hundred, 'server')]


def show(table):
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        print('  '.join(cells).rstrip())


def main():
    folder = pathlib.Path(sys.argv[1])
    table = [['', 'rate', 'p50 us', 'p90 us', 'p99 us', 'p99.9 us', 'max us', 'server CPU',
              'client CPU', 'dgram/send', 'lost']]
    for name, title in ROWS:
        table.append(row(title, json.loads((folder / f'{name}.json').read_text())))
    show(table)
    first = json.loads((folder / 'bulk-down.json').read_text())
    print(f'\n{first["config"]["cipher"]}, {first["config"]["mtu"]}-byte datagrams on loopback,'
          f' {first["seconds"]:.1f} s each.  CPU: of a GB of payload, a request, a handshake.')

    print('\nHow a shard waits: requests of 64 bytes, responses of 64 (1 in flight) or 1,024.\n')
    table = [['', '1: p50 us', 'p99 us', 'CPU', '10 in flight', 'CPU', '100 in flight', 'CPU']]
    for name, title in WAITS:
        table.append(wait_row(folder, name, title))
    show(table)


if __name__ == '__main__':
    main()
