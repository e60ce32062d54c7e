#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Spate with each of its controllers, the kernel's TCP and ngtcp2 over the same paths: ip-relay
between two network namespaces.  Prints a line for each path and stack: Mbit/s or seconds, queueing
delay, losses.  The table of bench/README.md is made so:

    bench/peers/paths.py BUILD --markdown

Needs root or user namespaces, and /dev/net/tun."""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

import path_flows
from path_flows import Work
import stacks

PORT = 4433  # the namespaces are ours alone
LATER_S = 1.0  # the first flow has ended its slow start by then


class Row:
    """A path, and the work on it.

    kind   rate: Mbit/s; time: seconds for the bytes; outage: seconds until much comes through
           again; pair: two flows of one stack, and the share of the first; before, after: a flow
           that begins LATER_S before or after one of TCP CUBIC, and its share; beside: before and
           after by turns, from round to round."""

    def __init__(self, name, title, link, work, both='', kind='rate'):
        self.name = name
        self.title = title
        self.link = link  # the way of the data
        self.both = both  # both ways
        self.work = work
        self.kind = kind

    def measure_for(self, seconds):
        """Not where the work is a number of bytes, or has to outlast an outage."""
        if self.kind not in ('time', 'outage'):
            self.work['seconds'] = seconds

    def words(self):
        words = ['--both', self.both] if self.both else []
        if self.link:
            words += ['--to-left' if self.work['is_down'] else '--to-right', self.link]
        return words


def row(name, title, link='', both='', kind='rate', **work):
    work.setdefault('is_down', False)
    return Row(name, title, link, work, both, kind)


STEADY = {'seconds': 5, 'warmup': 2}
LONG = {'seconds': 40, 'warmup': 10}  # several periods of CUBIC, which takes 9 s for one
# As fast as a busy machine of two CPUs can keep up with: the path is the limit, not the CPU.
FAST = 'rate=2gbit,queue-bdp=1,rtt=10ms'
ROWS = [
    row('limit', 'no limit: what this machine moves through the relay', seconds=3, warmup=1),
    row('clean-10ms', '2 Gbit/s, 10 ms, nothing late', FAST, 'delay=5ms', **STEADY),
    row('late-0.1', '.. 0.1 % come 3 ms late', FAST + ',reorder=0.1%,reorder-by=3ms', 'delay=5ms',
        **STEADY),
    row('late-1', '.. 1 % come 1 ms late', FAST + ',reorder=1%,reorder-by=1ms', 'delay=5ms',
        **STEADY),
    row('late-5', '.. 5 % come 3 ms late', FAST + ',reorder=5%,reorder-by=3ms', 'delay=5ms',
        **STEADY),
    row('seventh', '40 ms, every 7th comes 4 ms late, 4 MiB', 'reorder-every=7,reorder-by=4ms',
        'delay=20ms', kind='time', byte_count=4 << 20),
    row('clean-40ms', '.. nothing late', '', 'delay=20ms', kind='time', byte_count=4 << 20),
    row('reorder-10', '2 ms, 10 % come 2 ms late, 5 MB', 'reorder=10%,reorder-by=2ms', 'delay=1ms',
        kind='time', byte_count=5000000),
    row('clean-2ms', '.. nothing late', '', 'delay=1ms', kind='time', byte_count=5000000),
    row('loss-5', '2 ms, 5 % lost, 5 MB', 'loss=5%', 'delay=1ms', kind='time',
        byte_count=5000000),
    row('shallow', '10 Mbit/s, 20 ms, queue of 5 packets', 'rate=10mbit,queue-packets=5',
        'delay=10ms', **STEADY),
    row('outage-2', '100 Mbit/s, 20 ms, nothing passes for 2 s',
        'rate=100mbit,queue-bdp=1,rtt=20ms', 'delay=10ms,outage=1s+2s', kind='outage', seconds=9),
    row('outage-3', '.. for 3 s', 'rate=100mbit,queue-bdp=1,rtt=20ms', 'delay=10ms,outage=1s+3s',
        kind='outage', seconds=11),
    row('outage-3-down', '.. for 3 s, the server sends', 'rate=100mbit,queue-bdp=1,rtt=20ms',
        'delay=10ms,outage=1s+3s', kind='outage', seconds=11, is_down=True),
    row('fat', '4 Gbit/s, 100 ms, queue of 1 BDP', 'rate=4gbit,queue-bdp=1,rtt=100ms',
        'delay=50ms', seconds=5, warmup=5),
    row('lan', 'LAN: 1 Gbit/s, 200 us, queue of 200 packets', 'rate=1gbit,queue-packets=200',
        'delay=100us', seconds=3, warmup=1),
    row('wan-0.5', 'WAN: 100 Mbit/s, 50 ms, queue of 0.5 BDP',
        'rate=100mbit,queue-bdp=0.5,rtt=50ms', 'delay=25ms', **STEADY),
    row('wan-1', '.. 1 BDP', 'rate=100mbit,queue-bdp=1,rtt=50ms', 'delay=25ms', **STEADY),
    row('wan-4', '.. 4 BDP', 'rate=100mbit,queue-bdp=4,rtt=50ms', 'delay=25ms', **STEADY),
    row('l4s', 'L4S: 100 Mbit/s, 20 ms, a queue for it beside one of 2 BDP',
        'rate=100mbit,queue-bdp=2,rtt=20ms,l4s=on', 'delay=10ms', **STEADY),
    row('radio', 'radio: 20 Mbit/s, 30 ms, 2 % lost', 'rate=20mbit,queue-bdp=2,rtt=30ms,loss=2%',
        'delay=15ms', **STEADY),
    row('bursty', 'bursts: 100 Mbit/s, 40 ms, Gilbert-Elliott of 1.2 %',
        'rate=100mbit,queue-bdp=1,rtt=40ms,bursts=0.5%:20%:50%', 'delay=20ms', **STEADY),
    row('satellite', 'satellite: 50 Mbit/s, 600 ms, queue of 1 BDP',
        'rate=50mbit,queue-bdp=1,rtt=600ms', 'delay=300ms', seconds=10, warmup=10),
    row('policer', 'policer of 20 Mbit/s, burst 50 kB, 30 ms', 'policer=20mbit:50k', 'delay=15ms',
        **STEADY),
    row('steps', '100 and 10 Mbit/s in turns of 3 s, 30 ms, queue of 250 kB',
        'steps=100mbit/3s+10mbit/3s,queue=250k', 'delay=15ms', seconds=12),
    row('variable', 'a rate like that of a phone, 2 to 80 Mbit/s, 50 ms, queue of 500 kB',
        'trace={trace},queue=500k', 'delay=25ms', seconds=10, warmup=1),
    row('two-flows', 'two flows: 100 Mbit/s, 30 ms, queue of 1 BDP',
        'rate=100mbit,queue-bdp=1,rtt=30ms', 'delay=15ms', kind='pair', seconds=12, warmup=6),
    row('l4s-before', 'L4S, before TCP CUBIC: 100 Mbit/s, 20 ms, queue of 2 BDP',
        'rate=100mbit,queue-bdp=2,rtt=20ms,l4s=on', 'delay=10ms', kind='before', seconds=15,
        warmup=8),
    row('before', 'before TCP CUBIC: 100 Mbit/s, 30 ms, queue of 1 BDP',
        'rate=100mbit,queue-bdp=1,rtt=30ms', 'delay=15ms', kind='before', seconds=15, warmup=8),
    row('after', 'after TCP CUBIC: 100 Mbit/s, 30 ms, queue of 1 BDP',
        'rate=100mbit,queue-bdp=1,rtt=30ms', 'delay=15ms', kind='after', seconds=15, warmup=8),
    row('beside-lan', 'beside TCP CUBIC: 1 Gbit/s, 1 ms, queue of 2 BDP',
        'rate=1gbit,queue-bdp=2,rtt=1ms', 'delay=500us', kind='beside', seconds=30, warmup=5),
    row('beside-wan-0.5', '.. 100 Mbit/s, 50 ms, queue of 0.5 BDP',
        'rate=100mbit,queue-bdp=0.5,rtt=50ms', 'delay=25ms', kind='beside', **LONG),
    row('beside-wan-1', '.. 1 BDP', 'rate=100mbit,queue-bdp=1,rtt=50ms', 'delay=25ms',
        kind='beside', **LONG),
    row('beside-wan-4', '.. 4 BDP', 'rate=100mbit,queue-bdp=4,rtt=50ms', 'delay=25ms',
        kind='beside', **LONG),
]


def write_trace(path):
    """A walk between 2 and 80 Mbit/s in steps of 100 ms, the same in each run."""
    chance = random.Random(7)
    rate = 20.0
    with open(path, 'w', encoding='ascii') as file:
        for _ in range(600):
            rate = min(80.0, max(2.0, rate * chance.uniform(0.75, 1.34)))
            file.write(f'{rate:.2f}\n')


class Setting:
    def __init__(self, build, relay, folder):
        self.build = build
        self.relay = relay or build / 'test/relay/ip-relay'
        self.paths = None
        self.folder = pathlib.Path(folder)
        self.made = None

    def certificate(self):
        if self.made is None:
            setting = stacks.Setting(self.build, 1, 0, (0, 0), self.folder)
            if setting.make_certificate() is not None:
                raise path_flows.Failed('no certificate')
            self.made = setting.cert, setting.key
        return self.made


def set_buffers(paths):
    """The kernel's own limits of TCP are no part of the comparison."""
    lines = ['tcp_rmem', 'tcp_wmem']
    text = ' && '.join(f'echo "4096 262144 {path_flows.SOCKET_BYTES}" > /proc/sys/net/ipv4/{name}'
                       for name in lines)
    text += ' && echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save'
    for side in range(2):
        subprocess.run(paths.words(side, ['sh', '-c', text]), check=True)


def flows_of(one, column, kind):
    work = Work(**one.work)
    if kind == 'pair':
        return [(column, work), (column, Work(**one.work))]
    later = Work(**one.work, wait=LATER_S)
    if kind == 'before':
        return [(column, work), (path_flows.Column('tcp', 'cubic'), later)]
    if kind == 'after':
        return [(path_flows.Column('tcp', 'cubic'), work), (column, later)]
    return [(column, work)]


def run_once(setting, one, column, index):
    """Run number `index` of a row: a dict of figures."""
    kind = ('before', 'after')[index % 2] if one.kind == 'beside' else one.kind
    with path_flows.namespaces.Paths(setting.relay) as paths:
        setting.paths = paths
        words = [word.replace('{trace}', str(setting.folder / 'trace')) for word in one.words()]
        paths.start(*words)
        set_buffers(paths)
        begun = [each.begin(setting, work, PORT + i)
                 for i, (each, work) in enumerate(flows_of(one, column, kind))]
        results, failure = [], None
        for flow in begun:
            try:
                results.append(flow.wait())
            except path_flows.Failed as error:
                failure = error
        if failure is not None:
            raise failure
        counts = paths.stop()
    way = counts['to_left' if one.work['is_down'] else 'to_right']
    total = sum(result['mbps'] for result in results)
    mine = results[1 if kind == 'after' else 0]
    return {
        'mbps': total, 'seconds': mine['seconds'],
        'share': mine['mbps'] / total if total and len(results) > 1 else None,
        'back_s': way['back_ms'] / 1e3 if one.kind == 'outage' else None,
        'queue_p50_ms': way['queue_p50_us'] / 1e3, 'queue_p99_ms': way['queue_p99_us'] / 1e3,
        'dropped': (way['lost'] + way['overflowed'] + way['policed']) / max(1, way['seen']),
        'marked': way['marked'] / max(1, way['seen']),
        'lost': mine['lost'], 'spurious': mine['spurious'],
    }


def median(runs):
    return {key: statistics.median(values) if values else None for key, values in
            ((key, [run[key] for run in runs if run[key] is not None]) for key in runs[0])}


HEAD = ['path', 'stack', 'Mbit/s', 's', 'share', 'back s', 'queue p50 ms', 'p99 ms', 'dropped',
        'lost', 'spurious']


def number(value, decimals):
    return '' if value is None else f'{value:,.{decimals}f}'


def share_of(runs, figures):
    """In per cent; of several runs the median, the least and the most."""
    shares = [run['share'] * 100 for run in runs if run['share'] is not None]
    if len(shares) < 2:
        return number(figures['share'] and figures['share'] * 100, 0)
    return f'{statistics.median(shares):.0f} ({min(shares):.0f}-{max(shares):.0f})'


def cells(one, column, figures, runs):
    if 'failure' in figures:
        return [one.name, column, figures['failure'][:40]] + [''] * 8
    return [one.name, column, number(figures['mbps'], 1),
            number(figures['seconds'] if one.kind == 'time' else None, 2),
            share_of(runs, figures), number(figures['back_s'], 2),
            number(figures['queue_p50_ms'], 1), number(figures['queue_p99_ms'], 1),
            number(figures['dropped'] * 100, 2) + ' %', number(figures['lost'], 0),
            number(figures['spurious'], 0)]


def print_line(words, is_markdown, file):
    if is_markdown:
        print('| ' + ' | '.join(words) + ' |', file=file, flush=True)
        return
    widths = [14, 14, 9, 9, 11] + [9] * (len(words) - 5)
    print(' '.join(word.ljust(width) if i < 2 else word.rjust(width)
                   for i, (word, width) in enumerate(zip(words, widths))), file=file, flush=True)


def duration(text):
    seconds = float(text)
    if not 0 < seconds < float('inf'):
        raise ValueError
    return seconds


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', type=pathlib.Path, help='the folder of a release build')
    parser.add_argument('--row', action='append', choices=[one.name for one in ROWS],
                        metavar='NAME', help='this path alone; may be given more than once')
    parser.add_argument('--column', action='append', metavar='NAME', help='this stack alone')
    parser.add_argument('--relay', type=pathlib.Path, metavar='FILE',
                        help='ip-relay of another build (BUILD/test/relay/ip-relay)')
    parser.add_argument('--seconds', type=duration, metavar='N',
                        help='measure for so long, but where bytes or an outage are timed')
    parser.add_argument('--rounds', type=int, default=1, help='of which the median counts (1)')
    parser.add_argument('--markdown', action='store_true', help='print the table for a README')
    parser.add_argument('--json', metavar='FILE', help='write all figures there; - is stdout')
    parser.add_argument('--list', action='store_true', help='print the paths')
    return parser.parse_args()


def measure(args, setting, columns, file):
    report = []
    print_line(HEAD, args.markdown, file)
    if args.markdown:
        print_line(['---'] * len(HEAD), True, file)
    for one in ROWS:
        if args.row and one.name not in args.row:
            continue
        if args.seconds is not None:
            one.measure_for(args.seconds)
        for column in columns:
            try:
                runs = [run_once(setting, one, column, index) for index in range(args.rounds)]
                figures = median(runs)
            except path_flows.Failed as error:
                runs, figures = [], {'failure': str(error)}
            print_line(cells(one, column.name, figures, runs), args.markdown, file)
            report.append({'row': one.name, 'title': one.title, 'relay': one.words(),
                           'stack': column.name, 'median': figures, 'runs': runs})
    return report


def main():
    args = parse()
    if args.list:
        for one in ROWS:
            print(f'{one.name:14} {one.title}')
        return 0
    file = sys.stderr if args.json == '-' else sys.stdout
    args.build = args.build.resolve()
    try:
        path_flows.namespaces.enter_user_namespace([sys.executable, *sys.argv])
        columns = path_flows.columns_of(args.build, sys.stderr)
        known = [column.name for column in columns]
        wrong = [name for name in args.column or [] if name not in known]
        if wrong:
            print(f'paths: no column {wrong[0]} here: {" ".join(known)}', file=sys.stderr)
            return 2
        columns = [column for column in columns if not args.column or column.name in args.column]
        with tempfile.TemporaryDirectory(prefix='spate-paths-') as folder:
            write_trace(pathlib.Path(folder) / 'trace')
            report = measure(args, Setting(args.build, args.relay, folder), columns, file)
    except path_flows.namespaces.Missing as error:
        print(f'skipped: {error}', file=sys.stderr)
        return 77
    if args.json == '-':
        print(json.dumps(report, indent=2))
    elif args.json is not None:
        pathlib.Path(args.json).write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
