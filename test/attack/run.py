#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Attacks a server with honest clients beside each attack, and prints one table.

usage: run.py [OPTION...] BUILD [ATTACK...]

BUILD is a build folder with spate-bench and the programs of test/attack.  Without names all attacks
run.  Each one gets a fresh server on loopback, twice: alone, for the CPU time of a datagram and the
memory, and beside honest clients.  One of those is connected and transfers in bulk before the
attack begins; one connects during the attack and measures round trips; one connects again and again
where the attack is about that; one connects afterwards.

  --seconds S        how long each part of a measurement takes (2)
  --rounds N         each attack N times, each time right after an ordinary client (1); figures and
                     ratios are medians; one p99 of three processes on two CPUs is luck
  --backend B        of the server: io_uring, mmsg or auto; may be given more than once (auto)
  --short            the form for the test suite: 0.3 s, honest clients beside some attacks only
  --strict           exit with 1 if a target is missed, not only if today's bounds are
  --canary           with bounds of 0, and an attack that does not pass them is the failure
  --json FILE        write all figures there

Sources are the addresses 127.0.0.1 to 127.0.0.200: nothing leaves this machine.  Exit status: 0
done, 1 a bound was passed (one line on standard error for each), 2 bad command line.
"""
import argparse
import dataclasses
import json
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'e2e'))
from slower import SLOWER  # noqa: E402

# After which an honest client gives up.  What the attack has left in the server's socket comes
# first: some 3,000 datagrams, of 0.4 ms with the thread sanitizer.
SILENCE_S = 3 * SLOWER
TO_THE_LIMIT_S = 1  # that an attack needs to take all of what `limits` leaves
PATIENCE_S = 20 * SLOWER  # for a process that should end by itself
# Looks at a server's sockets that find nothing in a row, and the time before each: what is in the
# server's ring has then been worked off as well.
QUIET_COUNT = 3
QUIET_S = 0.02


@dataclasses.dataclass
class Attack:
    """One row: what attack.c calls it, and the server that it is for."""
    name: str
    holds: bool = False  # the server's application keeps what it gets: holder
    shards: int = 1      # of holder
    limits: tuple = ()   # further options of holder
    note: str = ''       # in a few letters, for the table
    recovers_s: float = 0  # after the attack, before another client must get in
    counts_conns: bool = False  # CPU time is per connection, and `connect` is the measure
    has_measure: bool = True    # a datagram or connection of it can be compared at all
    # It has the server send all it can: what others notice is held against clients that do so
    # otherwise, and a datagram against an ordinary one.
    downloads: bool = False
    tries_connects: bool = False  # it is about who gets in: handshakes beside it are measured
    in_short: bool = False  # honest clients beside it in the short form too
    # What --short asserts of it: less than of the others where a fault is known.
    newcomers_later: bool = True  # a client that comes after the attack gets in
    found_max: float = 0

    def measure(self):
        if not self.has_measure:
            return None
        return 'connect' if self.counts_conns else 'ordinary'

    def honest_measure(self):
        """What an honest client beside it is compared with."""
        return 'download' if self.downloads else self.measure()

    def measures(self):
        """The other rows that this one needs."""
        return {self.measure(), self.honest_measure()} - {None, self.name}


ATTACKS = [
    Attack('ordinary', in_short=True),
    Attack('download', in_short=True),
    Attack('fragments'),
    Attack('fragments-packed', in_short=True),
    Attack('repeat', in_short=True),
    Attack('connect', counts_conns=True, tries_connects=True, in_short=True),
    Attack('open-close', counts_conns=True, in_short=True),
    Attack('open-each', counts_conns=True),
    Attack('acks', in_short=True),
    Attack('key-update'),
    # The server closes each of them, so its cost is one of a connection.
    Attack('key-rush', counts_conns=True),
    Attack('crypto'),
    Attack('pings'),
    Attack('datagrams', in_short=True),
    Attack('resets'),
    Attack('challenges'),
    Attack('challenges-moving', in_short=True),
    Attack('wander', downloads=True, in_short=True),
    Attack('any', in_short=True),
    Attack('messages', holds=True),
    # With 32 MB for all: what the attackers took must be back once they have timed out.
    Attack('fragments', holds=True, limits=('--memory-mb', '32', '--idle-ms', '1000'), note='32 MB',
           recovers_s=1.5, in_short=True, newcomers_later=False),
    # With room for 500 connections, which those that drain must not take.
    Attack('drain', holds=True, counts_conns=True, limits=('--conns', '500'), note='500 conns',
           in_short=True, newcomers_later=False),
    # Its handshakes hold their slots until they have drained: newcomers may wait.
    Attack('refuse', counts_conns=True, tries_connects=True, newcomers_later=False),
    # The connections hold theirs for the 49 s that the client's max_ack_delay makes of it.
    Attack('drain', counts_conns=True, tries_connects=True),
    # 1,000 slots are taken for the handshake timeout.
    Attack('ping-initials', tries_connects=True, newcomers_later=False),
    Attack('crypto-initials', tries_connects=True, newcomers_later=False),
    Attack('reset-oracle', holds=True, has_measure=False),
    # Each shard knows its own connections only and answers for those of the others.
    Attack('reset-oracle', holds=True, has_measure=False, shards=2, note='2 shards',
           found_max=float('inf')),
]

# What the server must come to, for every attack: see `missed()`.
TARGETS = {
    'cpu_ratio_max': 4,      # CPU of a datagram or connection, to that of an ordinary one
    'bulk_ratio_min': 0.5,   # of an honest transfer, to that beside its measure
    'p99_ratio_max': 3,
    'connect_p99_ms_max': 50,
    'rss_mb_max': 64,        # beyond that of a server without clients
}
# What fails the test, on any machine and with sanitizers: some times what a checked build takes,
# 360 us for a connection, and 11 MB; the quarantine of the address sanitizer alone is 256 MB.
TODAY = {
    'cpu_us_max': 3000,
    'rss_mb_max': 400,
}
# For the canary: bounds that every attack passes.
NOTHING = {'cpu_us_max': 0, 'rss_mb_max': 0}


class Failed(Exception):
    """A program did not do what it should; the text is for people."""


class Server:
    """A server process, and what it has used."""

    def __init__(self, programs, attack, backend):
        if attack.holds:
            words = [programs['holder'], '--shards', str(attack.shards), '--backend', backend,
                     *attack.limits]
        else:
            words = [programs['bench'], 'serve', '--listen', '127.0.0.1:0', '--spin', '0',
                     '--backend', backend]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)
        line = self.process.stdout.readline()
        found = re.search(r'listening at (\S+)', line)
        while found is None and line:
            line = self.process.stdout.readline()
            found = re.search(r'listening at (\S+)', line)
        if found is None:
            raise Failed(f'the server did not start: {" ".join(map(str, words))}')
        self.address = found.group(1)
        self.rss_at_start = self.rss_mb()

    def rss_mb(self):
        status = pathlib.Path(f'/proc/{self.process.pid}/status').read_text(encoding='ascii')
        return int(re.search(r'VmHWM:\s+(\d+)', status).group(1)) / 1024

    def cpu_s(self):
        """Of all threads, from the scheduler: utime and stime come in ticks of 10 ms."""
        tasks = pathlib.Path(f'/proc/{self.process.pid}/task')
        return sum(int((task / 'schedstat').read_text(encoding='ascii').split()[0])
                   for task in tasks.iterdir()) / 1e9

    def backlog(self):
        """The bytes that wait in its sockets, and the datagrams that found no room there."""
        port = int(self.address.rpartition(':')[2])
        lines = pathlib.Path('/proc/net/udp').read_text(encoding='ascii').splitlines()[1:]
        own = [line.split() for line in lines if int(line.split()[1].partition(':')[2], 16) == port]
        return (sum(int(words[4].partition(':')[2], 16) for words in own),
                sum(int(words[-1]) for words in own))

    def settle(self):
        """Waits until it has worked off what waits in its sockets: that costs time as well."""
        end = time.monotonic() + PATIENCE_S
        quiet_count = 0
        while quiet_count < QUIET_COUNT and self.is_alive():
            if time.monotonic() > end:
                raise Failed('the server does not work off what has arrived')
            time.sleep(QUIET_S)
            quiet_count = quiet_count + 1 if self.backlog()[0] == 0 else 0

    def is_alive(self):
        return self.process.poll() is None

    def stop(self):
        """Ends it in order.  Returns its exit status."""
        if self.is_alive():
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return None
        return self.process.returncode


class Measurement:
    """Runs one attack against fresh servers and keeps the figures."""

    def __init__(self, programs, attack, backend, seconds):
        self.programs = programs
        self.attack = attack
        self.backend = backend
        self.seconds = seconds
        self.figures = {'attack': attack.name, 'note': attack.note, 'backend': backend,
                        'shards': attack.shards,
                        'measure': attack.measure(),
                        'honest_measure': attack.honest_measure(),
                        'server': ' '.join(['holder', *attack.limits]) if attack.holds
                                  else 'spate-bench',
                        'is_alive': True}

    def start_attack(self, server, seconds):
        return subprocess.Popen(
            [self.programs['attack'], self.attack.name, '--connect', server.address,
             '--seconds', f'{seconds:.2f}'],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end_attack(self, process):
        try:
            text, errors = process.communicate(timeout=self.seconds * 10 + PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed(f'attack {self.attack.name} does not end') from None
        if process.returncode != 0:
            raise Failed(f'attack {self.attack.name} failed: {errors.strip()}')
        return json.loads(text)

    def start_bench(self, server, *words):
        return subprocess.Popen(
            [self.programs['bench'], *words, '--connect', server.address, '--insecure', '--json',
             '-', '--timeout', str(SILENCE_S)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end_bench(self, process):
        """The figures of an honest client, or None if it failed: `failures` has its words."""
        try:
            text, errors = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            errors = f'spate-bench did not end within {PATIENCE_S} s'
        if process.returncode == 0:
            return json.loads(text)
        self.figures.setdefault('failures', []).append(errors.strip())
        return None

    @staticmethod
    def kill(process):
        process.kill()
        process.communicate()

    def stop(self, server):
        if server.stop() != 0:
            self.figures['is_alive'] = False

    def alone(self):
        server = Server(self.programs, self.attack, self.backend)
        try:
            cpu_s = server.cpu_s()
            done = self.end_attack(self.start_attack(server, self.seconds))
            figures = self.figures
            server.settle()
            figures['is_alive'] = server.is_alive()
            if not figures['is_alive']:
                return
            cpu_s = server.cpu_s() - cpu_s
            figures['datagrams'] = done['datagrams']
            figures['dropped'] = min(server.backlog()[1], done['datagrams'])
            figures['datagrams_per_s'] = done['datagrams'] / done['seconds']
            figures['mbit_per_s'] = done['bytes'] * 8 / done['seconds'] / 1e6
            units = (done['begun'] if self.attack.counts_conns
                     else done['datagrams'] - figures['dropped'])
            figures['cpu_us'] = cpu_s * 1e6 / units if units > 0 else None
            figures['rss_mb'] = server.rss_mb() - server.rss_at_start
            figures['ready'] = done['ready']
            figures['closed'] = done['closed']
            figures['found'] = done['found']
        finally:
            self.stop(server)

    def beside_honest(self):
        seconds = self.seconds
        server = Server(self.programs, self.attack, self.backend)
        bulk = attack = None
        try:
            if not self.attack.holds:
                bulk = self.start_bench(server, 'bulk', '--seconds', f'{seconds:.2f}',
                                        '--warmup', '0.3')
                time.sleep(0.2)
            # Until it is ended here: an honest client may have to wait until it gives up.
            attack = self.start_attack(server, 100 * PATIENCE_S)
            figures = self.figures
            if bulk is not None:
                result = self.end_bench(bulk)
                figures['bulk_gbps'] = result['gbps'] if result else 0
            if self.attack.limits:
                time.sleep(TO_THE_LIMIT_S)
            if self.attack.tries_connects:
                result = self.end_bench(self.start_bench(
                    server, 'handshake', '--seconds', f'{seconds:.2f}', '--warmup', '0',
                    '--inflight', '1'))
                figures['connect_p99_ms'] = result['p99_us'] / 1000 if result else None
                figures['connects_per_s'] = result['handshakes_per_s'] if result else 0
            result = self.end_bench(self.start_bench(
                server, 'rr', '--seconds', f'{seconds:.2f}', '--warmup', '0.05'))
            figures['requests_per_s'] = result['requests_per_s'] if result else 0
            figures['p99_us'] = result['p99_us'] if result else None
            if attack.poll() is not None:
                self.end_attack(attack)
                raise Failed('the attack ended too early')
            self.kill(attack)
            time.sleep(self.attack.recovers_s)
            result = self.end_bench(self.start_bench(
                server, 'rr', '--seconds', '0.3', '--warmup', '0'))
            figures['later_requests_per_s'] = result['requests_per_s'] if result else 0
        finally:
            for process in bulk, attack:
                if process is not None and process.poll() is None:
                    self.kill(process)
            self.stop(server)


def median(values):
    """Of those that are not None; None without any."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def median_of(rounds):
    """One row of the figures of several rounds."""
    row = dict(rounds[0])
    for key, value in row.items():
        if isinstance(value, bool):
            row[key] = all(figures[key] for figures in rounds)
        elif isinstance(value, (int, float)):
            row[key] = median(figures.get(key) for figures in rounds)
    row['failures'] = [words for figures in rounds for words in figures.get('failures', [])]
    return row


def ratio(value, to):
    return value / to if value is not None and to else None


def row_of(rows, name, backend):
    return next((r for r in rows if r['attack'] == name and r['backend'] == backend), {})


def add_ratios(rows):
    """To the measure of the same round, or to its row: `ordinary` and so on, see Attack."""
    for row in rows:
        for name, key, measure in (('cpu_ratio', 'cpu_us', row['measure']),
                                   ('bulk_ratio', 'bulk_gbps', row['honest_measure']),
                                   ('p99_ratio', 'p99_us', row['honest_measure'])):
            of_all = row_of(rows, measure, row['backend'])
            row[name] = median(ratio(figures.get(key), beside.get(measure, of_all).get(key))
                               for figures, beside in row['rounds'])


def found_words(row):
    what = 'reset tokens' if 'oracle' in row['attack'] else 'addresses that got more than 3 x'
    return f'{row["found"]} {what}'


def missed(row):
    """The targets that this row misses, each as a few words."""
    words = []
    if (row.get('cpu_ratio') or 0) > TARGETS['cpu_ratio_max']:
        unit = 'connection' if row['measure'] == 'connect' else 'datagram'
        words.append(f'CPU of a {unit} {row["cpu_ratio"]:.1f} x')
    if row.get('bulk_ratio') is not None and row['bulk_ratio'] < TARGETS['bulk_ratio_min']:
        words.append(f'honest transfer {row["bulk_ratio"]:.2f} x')
    if (row.get('p99_ratio') or 0) > TARGETS['p99_ratio_max']:
        words.append(f'honest p99 {row["p99_ratio"]:.1f} x')
    if (row.get('connect_p99_ms') or 0) > TARGETS['connect_p99_ms_max']:
        words.append(f'{row["connect_p99_ms"]:.0f} ms to connect')
    if row.get('requests_per_s') == 0 or row.get('connects_per_s') == 0:
        words.append('nobody gets in meanwhile')
    if row.get('later_requests_per_s') == 0:
        words.append('nobody gets in afterwards')
    if row.get('rss_mb', 0) > TARGETS['rss_mb_max']:
        words.append(f'{row["rss_mb"]:.0f} MB')
    if row.get('found', 0) > 0:
        words.append(found_words(row))
    return words


def broken(attack, row, bounds):
    """Today's bounds that this row passes."""
    words = []
    if not row['is_alive']:
        words.append('the server ended, or did not end in order')
    if (row.get('cpu_us') or 0) > bounds['cpu_us_max']:
        words.append(f'{row["cpu_us"]:.0f} us of CPU for a datagram or a connection')
    if row.get('rss_mb', 0) > bounds['rss_mb_max']:
        words.append(f'{row["rss_mb"]:.0f} MB')
    if row.get('found', 0) > attack.found_max:
        words.append(found_words(row))
    if row.get('datagrams') == 0:
        words.append('the attack sent nothing')
    if attack.newcomers_later and row.get('later_requests_per_s') == 0:
        words.append('nobody gets in afterwards')
    return words


def of_server(row):
    return row['server'] + (f' --shards {row["shards"]}' if row['shards'] > 1 else '')


def text_of(value, form):
    return '-' if value is None else format(value, form)


TITLES = ('dgram/s', 'Mbit/s', 'CPU us', 'ratio', 'RSS MB', 'bulk Gb/s', 'ratio', 'p99 us',
          'ratio', 'conn ms', 'later/s')
COLUMNS = (('datagrams_per_s', '.0f', 9), ('mbit_per_s', '.1f', 8), ('cpu_us', '.1f', 8),
           ('cpu_ratio', '.1f', 7), ('rss_mb', '.0f', 8), ('bulk_gbps', '.2f', 10),
           ('bulk_ratio', '.2f', 7), ('p99_us', '.0f', 9), ('p99_ratio', '.1f', 7),
           ('connect_p99_ms', '.1f', 8), ('later_requests_per_s', '.0f', 9))


def print_table(rows):
    print(f'{"attack":26}{"backend":>9}' +
          ''.join(f'{title:>{width}}' for title, (_, _, width) in zip(TITLES, COLUMNS)))
    for row in rows:
        name = row['attack'] + (f' ({row["note"]})' if row['note'] else '')
        print(f'{name:26}{row["backend"]:>9}' +
              ''.join(f'{text_of(row.get(name), form):>{width}}' for name, form, width in COLUMNS))


def parse():
    if '--help' in sys.argv[1:]:
        print(__doc__.strip())
        sys.exit(0)
    parser = argparse.ArgumentParser(usage='run.py [OPTION...] BUILD [ATTACK...]; see --help',
                                     add_help=False)
    parser.add_argument('build')
    parser.add_argument('names', nargs='*')
    parser.add_argument('--seconds', type=float, default=2)
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--backend', action='append', choices=['auto', 'io_uring', 'mmsg'])
    parser.add_argument('--short', action='store_true')
    parser.add_argument('--strict', action='store_true')
    parser.add_argument('--canary', action='store_true')
    parser.add_argument('--json')
    options = parser.parse_intermixed_args()
    known = {attack.name for attack in ATTACKS}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f'no attack {", ".join(unknown)}; there are {", ".join(sorted(known))}')
    if options.rounds < 1:
        parser.error('--rounds: at least 1')
    options.seconds = 0.3 if options.short else options.seconds
    return options


def measure_once(programs, attack, backend, options, faults):
    """Runs one attack alone and beside honest clients.  Returns its figures."""
    measurement = Measurement(programs, attack, backend, options.seconds)
    where = f'{attack.name}, {backend}, shards: {attack.shards}'
    try:
        measurement.alone()
        if attack.in_short or not options.short:
            measurement.beside_honest()
    except Failed as error:
        faults.append(f'{where}: {error}')
    bounds = NOTHING if options.canary else TODAY
    faults += [f'{where}: {words}' for words in broken(attack, measurement.figures, bounds)]
    return measurement.figures


def measure_rounds(programs, attack, backend, options, faults):
    """Returns one row."""
    measures = [a for a in ATTACKS if a.name in attack.measures()]
    rounds = []
    for _ in range(options.rounds):
        beside = {measure.name: measure_once(programs, measure, backend, options, faults)
                  for measure in measures if options.rounds > 1}
        rounds.append((measure_once(programs, attack, backend, options, faults), beside))
    row = median_of([figures for figures, _ in rounds])
    row['rounds'] = rounds
    return row


def main():
    options = parse()
    build = pathlib.Path(options.build)
    programs = {'bench': build / 'bench/load/spate-bench', 'attack': build / 'test/attack/attack',
                'holder': build / 'test/attack/holder'}
    for program in programs.values():
        if not program.exists():
            sys.exit(f'run.py: {program} is missing: build it first')
    # The measures come first, so that each row can be compared with one.
    named = [attack for attack in ATTACKS if not options.names or attack.name in options.names]
    measures = {'ordinary'}.union(*(attack.measures() for attack in named))
    chosen = [attack for attack in ATTACKS if attack in named or attack.name in measures]
    rows, faults = [], []
    for backend in options.backend or ['auto']:
        for attack in chosen:
            rows.append(measure_rounds(programs, attack, backend, options, faults))
    add_ratios(rows)
    print_table(rows)
    misses = [f'{row["attack"]}, {row["backend"]}, {of_server(row)}: {", ".join(words)}'
              for row in rows if (words := missed(row))]
    print('\ntargets that are missed:' if misses else '\nall targets are met')
    for line in misses:
        print(f'  {line}')
    for row in rows:
        for words in row.get('failures', []):
            print(f'honest client beside {row["attack"]}, {row["backend"]}, {of_server(row)}: '
                  f'{words}')
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=2), encoding='ascii')
    if options.canary:
        found = all(any(line.startswith(f'{row["attack"]}, ') and ' us of CPU ' in line
                        for line in faults) for row in rows)
        print('the canary was found out' if found else 'the canary was not found out')
        return 0 if found else 1
    for line in faults:
        print(f'FAILED {line}', file=sys.stderr)
    return 1 if faults or (options.strict and misses) else 0


if __name__ == '__main__':
    sys.exit(main())
