#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the cases of the QUIC interop runner: a client and a server, each an endpoint in the
runner's conventions, with a relay between them, in a network namespace.  What they did is read
from captures of both sides of the relay, with the runner's own criteria.

    cases.py --list
    cases.py CASE --relay PROGRAM --spate PROGRAM [--client ENDPOINT] [--server ENDPOINT]
    cases.py --table --relay PROGRAM --spate PROGRAM [--ngtcp2 PROGRAM --pairs A-to-B...]

An endpoint is "spate", "ngtcp2", or a program that takes the environment of endpoint.sh, such as
endpoint_aioquic.py and endpoint_openssl.sh, for machines that have aioquic or OpenSSL 3.5.  Exit
codes: 0 passed, or not supported where that is known; 1 failed; 77 this machine cannot run the case
(never with CI=true)."""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import capture
import case_checks as checks
import case_trace

HERE = pathlib.Path(__file__).resolve().parent
SKIP = 77
UNSUPPORTED = 127
HANG_S = 90
LEFT, RIGHT = 4430, 4440  # the ports of the relay and of the server
KB, MB = 1024, 1024 * 1024
# As the runner's simple-p2p: 15 ms, 10 Mbit/s, a queue of 25 packets.
BASE = ['--both', 'delay=15ms,rate=10mbit,queue=37500,mtu=1472']


@dataclasses.dataclass
class Case:
    files: list
    checks: list
    relay: list = dataclasses.field(default_factory=lambda: BASE)
    client: str = None  # TESTCASE of each side, if it is not the name of the case
    server: str = None
    host: str = '127.0.0.1'
    chain: int = 0        # certificates between the CA and the server's
    name_size: int = 12   # of each file
    client_fails: bool = False
    is_alone: bool = False  # nothing else runs beside it: its lost packets are sent again in time
    # A third of the datagrams is spoiled: a stack that doubles its PTO may lose the few that matter
    # until its patience ends (in 1 of 100 runs), so there is a second try.
    is_chance: bool = False


ONE = [checks.handshakes(1)]
CASES = {
    'handshake': Case([KB], [*ONE, checks.no_retry]),
    'transfer': Case([500 * KB, 700 * KB, MB], ONE),
    'longrtt': Case([KB], [*ONE, checks.repeated_hello], ['--both', 'delay=750ms,mtu=1472'],
                    client='handshake', server='handshake'),
    'chacha20': Case([MB], [*ONE, checks.chacha20]),
    'multiplexing': Case([32] * 600, [*ONE, checks.few_streams], client='transfer',
                         server='transfer'),
    'retry': Case([KB], [*ONE, checks.retry]),
    'resumption': Case([5 * KB, 10 * KB], [checks.handshakes(2), checks.resumed]),
    'zerortt': Case([32] * 40, [checks.handshakes(2), checks.early_data], name_size=250),
    'amplificationlimit': Case([5 * KB], [*ONE, checks.amplification],
                               [*BASE, '--up', 'drop=2+3+4+5+6+7'], client='transfer',
                               server='transfer', chain=9, is_alone=True),
    'blackhole': Case([3 * MB], ONE, [*BASE, '--both', 'outage=1s+2s'], client='transfer',
                      server='transfer'),
    'keyupdate': Case([MB], [*ONE, checks.key_update], server='transfer'),
    'handshakeloss': Case([KB] * 20, [checks.handshakes(20)],
                          [*BASE, '--both', 'loss=30%,bad-run=2'], client='multiconnect',
                          server='multiconnect', is_chance=True),
    'transferloss': Case([2 * MB], ONE, [*BASE, '--both', 'loss=2%'], client='transfer',
                         server='transfer'),
    'handshakecorruption': Case([KB] * 20, [checks.handshakes(20)],
                                [*BASE, '--both', 'corrupt=30%,bad-run=2'], client='multiconnect',
                                server='multiconnect', is_chance=True),
    'transfercorruption': Case([2 * MB], ONE, [*BASE, '--both', 'corrupt=2%'], client='transfer',
                               server='transfer'),
    'ecn': Case([KB], [*ONE, checks.ecn]),
    # The runner asks for "transfer" here: names of their own let an endpoint refuse them.
    'rebind-port': Case([3 * MB], [*ONE, checks.rebound_port], [*BASE, '--rebind', '500ms/1600ms']),
    'rebind-addr': Case([3 * MB], [*ONE, checks.rebound_address],
                        [*BASE, '--rebind', '500ms/1600ms', '--rebind-addr', '--via', '127.0.0.2',
                         '--via', '127.0.0.3']),
    'ipv6': Case([5 * KB, 10 * KB], [*ONE, checks.only_v6], client='transfer', server='transfer',
                 host='::1'),
    # The preferred address has the relay's port: the capture of the client's side shows it.  Here
    # too the runner asks the client for "transfer".
    'connectionmigration': Case([2 * MB], [*ONE, checks.migrated]),
    'v2': Case([KB], [*ONE, checks.version_2]),
    'versionnegotiation': Case([KB], [checks.version_negotiation], client_fails=True),
}
ENDPOINTS = {'spate': HERE / 'endpoint.sh', 'ngtcp2': HERE / 'endpoint_ngtcp2.sh'}
# What an endpoint answers with 127, and may.
NOT_YET = {
    ('ngtcp2', 'client'): {'keyupdate', 'v2', 'versionnegotiation'},
    # As a server it answers a new address now and then before it sends a PATH_CHALLENGE there.
    ('ngtcp2', 'server'): {'rebind-port', 'rebind-addr', 'v2'},
}


class Process:
    """One endpoint, or the relay."""

    def __init__(self, name, words, folder, environment=None):
        self.name = name
        self.words = [str(word) for word in words]
        self.environment = environment or {}
        self.log = folder / f'{name}.log'
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **{key: str(value) for key, value in
                                      self.environment.items()}})

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def show(self):
        settings = ' '.join(f'{key}={value}' for key, value in self.environment.items())
        print(f'---- {self.name}: exit code {self.process.returncode}\n$ {settings[:2000]} '
              f'{" ".join(self.words)}')
        lines = self.log.read_text(errors='replace').splitlines()
        print('\n'.join(lines if len(lines) <= 60 else lines[:30] + ['...'] + lines[-30:]))


def is_bound(port):
    """A UDP socket of this namespace has the port."""
    for path in ('/proc/net/udp', '/proc/net/udp6'):
        lines = pathlib.Path(path).read_text().splitlines()[1:]
        if any(int(line.split()[1].rpartition(':')[2], 16) == port for line in lines):
            return True
    return False


def wait_bound(port, process):
    give_up = time.monotonic() + 10
    while not is_bound(port):
        if process.process.poll() is not None or time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


def openssl(*words):
    subprocess.run(['openssl', *map(str, words)], check=True, stdin=subprocess.DEVNULL,
                   capture_output=True)


def make_certificates(folder, count):
    """cert.pem with its chain, priv.key and ca.pem, as the runner does it."""
    names = 'subjectAltName=DNS:server,DNS:localhost,IP:127.0.0.1,IP:::1'
    curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl('req', '-x509', *curve, '-days', 2, '-subj', '/CN=interop CA', '-keyout',
            folder / 'ca.key', '-out', folder / 'ca.pem')
    chain, signer = '', 'ca'
    for number in range(count + 1):
        is_leaf = number == count
        name = 'priv' if is_leaf else f'middle{number}'
        # Long names make the chain long, which is what the case with many of them is about.
        subject = 'interop' if is_leaf else f'interop {number}/OU=' + 'x' * 60
        openssl('req', *curve, '-subj', f'/CN={subject}', '-keyout', folder / f'{name}.key',
                '-out', folder / f'{name}.csr')
        (folder / 'more').write_text(names if is_leaf else
                                     'basicConstraints=critical,CA:TRUE\n' + ''.join(
                                         f'nsComment={"x" * 400}\n'))
        openssl('x509', '-req', '-in', folder / f'{name}.csr', '-CA', folder / f'{signer}.pem',
                '-CAkey', folder / f'{signer}.key', '-set_serial', number + 2, '-days', 2,
                '-extfile', folder / 'more', '-out', folder / f'{name}.pem')
        chain = (folder / f'{name}.pem').read_text() + chain
        signer = name
    (folder / 'cert.pem').write_text(chain)


class Run:
    """One run of a case; `problems` is empty after a good one."""

    def __init__(self, name, options, folder):
        self.name = name
        self.case = CASES[name]
        self.options = options
        self.folder = folder
        self.names = []
        self.left = self.right = None
        self.processes = []
        self.unsupported = set()
        self.problems = []

    def make_files(self):
        for sub in ('www', 'downloads', 'certs'):
            (self.folder / sub).mkdir()
        for number, size in enumerate(self.case.files):
            self.names.append(f'{number:0{self.case.name_size}}')
            (self.folder / 'www' / self.names[-1]).write_bytes(os.urandom(size))
        make_certificates(self.folder / 'certs', self.case.chain)

    def start(self, role, endpoint):
        program = ENDPOINTS.get(endpoint, endpoint)
        host = f'[{self.case.host}]' if ':' in self.case.host else self.case.host
        testcase = (self.case.client if role == 'client' else self.case.server) or self.name
        process = Process(role, [program], self.folder, {
            'ROLE': role, 'TESTCASE': testcase, 'SPATE': self.options.spate,
            'HQ_NGTCP2': self.options.ngtcp2, 'ADDRESS': host, 'PORT': RIGHT,
            'WWW': self.folder / 'www', 'DOWNLOADS': self.folder / 'downloads',
            'CERTS': self.folder / 'certs', 'SSLKEYLOGFILE': self.folder / f'{role}.keys',
            'QLOGDIR': self.folder / 'qlog', 'PREFERRED': f'127.0.0.3:{LEFT}',
            'REQUESTS': ' '.join(f'https://{host}:{LEFT}/{name}' for name in self.names)})
        self.processes.append(process)
        return process

    def start_relay(self):
        host = f'[{self.case.host}]' if ':' in self.case.host else self.case.host
        relay = Process('relay', [self.options.relay, '--map',
                                  f'{host}:{LEFT}={host}:{RIGHT}', *self.case.relay], self.folder)
        self.processes.append(relay)
        return relay

    def run_processes(self):
        server = self.start('server', self.options.server)
        if not wait_bound(RIGHT, server):
            if server.process.poll() == UNSUPPORTED:
                self.unsupported.add('server')
            else:
                self.problems.append('the server does not listen')
            return
        if not wait_bound(LEFT, self.start_relay()):
            self.problems.append('the relay does not listen')
            return
        client = self.start('client', self.options.client)
        try:
            status = client.process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            status = None
        if status == UNSUPPORTED:
            self.unsupported.add('client')
        elif (status != 0) != self.case.client_fails or status is None:
            self.problems.append(f'exit code {status} of the client')

    def check_files(self):
        for name in self.names:
            got = self.folder / 'downloads' / name
            if self.case.client_fails:
                continue
            if not got.exists() or got.read_bytes() != (self.folder / 'www' / name).read_bytes():
                self.problems.append(f'the file {name[-12:]} is not there, or not as it should be')
                return

    def check_traces(self, sniffers):
        for sniffer in sniffers:
            if not sniffer.is_complete():
                self.problems.append(f'a capture is not complete: {sniffer.log.read_text()}')
        self.left, self.right = (case_trace.read(sniffer, self.folder / 'client.keys')
                                 for sniffer in sniffers)
        if not self.left or not self.right:
            self.problems.append('nothing was captured')
            return
        for check in self.case.checks:
            self.problems += list(check(self))[:5]

    def run(self):
        self.make_files()
        sniffers = [capture.Sniffer('left', LEFT, self.folder),
                    capture.Sniffer('right', RIGHT, self.folder)]
        try:
            for sniffer in sniffers:
                sniffer.wait()
            self.run_processes()
        finally:
            for process in reversed(self.processes):
                process.stop()
            for sniffer in sniffers:
                sniffer.stop()
        if self.unsupported or self.problems:
            return
        self.check_files()
        self.check_traces(sniffers)


def run_case(name, options):
    """Returns "passed", "not supported" or "FAILED"."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='interop-') as folder:
        run = Run(name, options, pathlib.Path(folder))
        run.run()
        ends = {'client': (options.client, 'client'), 'server': (options.server, 'server')}
        if run.unsupported:
            known = all(name in NOT_YET.get(ends[side], CASES) for side in run.unsupported)
            print(f'{name}: not supported by the {" and the ".join(sorted(run.unsupported))}')
            return 'not supported' if known else 'FAILED'
        if not run.problems and any(name in NOT_YET.get(one, ()) for one in ends.values()):
            run.problems.append('it is supported: take it out of NOT_YET')
        if run.problems:
            for process in run.processes:
                process.show()
            for problem in run.problems:
                print(f'FAILED {name}: {problem}')
            if options.keep:
                shutil.copytree(folder, options.keep, dirs_exist_ok=True)
            return 'FAILED'
        lost = json.loads((run.folder / 'relay.log').read_text().splitlines()[-1])
        print(f'passed {name} in {time.monotonic() - start:.1f} s; '
              f'the relay saw {lost["up"]["seen"]} up, {lost["down"]["seen"]} down')
    return 'passed'


def run_apart(name, client, server, options):
    """Runs a case as a process, which has a namespace of its own: most of the time they wait."""
    words = [sys.executable, __file__, name, '--relay', options.relay, '--spate', options.spate,
             '--client', client, '--server', server]
    words += ['--ngtcp2', options.ngtcp2] if options.ngtcp2 else []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == SKIP:
        return 'skipped', done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith((name, 'passed'))]
    if done.returncode == 0 and lines:
        return ('passed' if lines[-1].startswith('passed') else 'not supported'), done.stdout
    return 'FAILED', done.stdout + done.stderr


def run_row(row, options):
    result, text = run_apart(*row, options)
    if result == 'FAILED' and CASES[row[0]].is_chance:
        print(f'{row[1]} to {row[2]}: {row[0]} has failed and is tried once more:\n{text}')
        result, text = run_apart(*row, options)
    return result, text


def print_table(options):
    """All cases of all pairs, a few at a time, and a table of the results."""
    pairs = [pair.split('-to-') for pair in options.pairs]
    rows = [(name, *pair) for name in CASES for pair in pairs]
    results = {}
    alone = {row: run_row(row, options) for row in rows if CASES[row[0]].is_alone}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        done = pool.map(lambda row: alone.get(row) or run_row(row, options), rows)
        for row, (result, text) in zip(rows, done):
            results[row] = result
            print(f'{"not ok" if result == "FAILED" else "ok"} - {row[1]} to {row[2]}: {row[0]}, '
                  f'{result}', flush=True)
            if result in ('FAILED', 'skipped'):
                print(text)
            if result == 'skipped':
                os._exit(SKIP)
    print('\n| case | ' + ' | '.join(' to '.join(pair) for pair in pairs) + ' |')
    print('|---' * (len(pairs) + 1) + '|')
    for name in CASES:
        print(f'| {name} | ' + ' | '.join(results[name, *pair] for pair in pairs) + ' |')
    return 1 if 'FAILED' in results.values() else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('case', nargs='?', choices=CASES, metavar='CASE')
    parser.add_argument('--list', action='store_true', help='print the names of the cases')
    parser.add_argument('--table', action='store_true', help='all cases, and a table of results')
    parser.add_argument('--relay', help='the program of test/interop/relay')
    parser.add_argument('--spate', help='the program of tools/spate')
    parser.add_argument('--client', default='spate', help='"spate", or a program')
    parser.add_argument('--server', default='spate')
    parser.add_argument('--ngtcp2', help='the program hq_ngtcp2 of test/interop')
    parser.add_argument('--pairs', nargs='+', default=['spate-to-spate'],
                        help='with --table: "spate-to-ngtcp2" and so on')
    parser.add_argument('--jobs', type=int, default=6, help='with --table: cases at a time')
    parser.add_argument('--keep', help='a folder for what a failed run leaves')
    options = parser.parse_args()
    if options.list:
        print('\n'.join(CASES))
        return 0
    if not (options.case or options.table) or not options.relay or not options.spate:
        parser.error('CASE or --table, --relay and --spate are needed')
    options.relay, options.spate = map(os.path.abspath, (options.relay, options.spate))
    options.ngtcp2 = options.ngtcp2 and os.path.abspath(options.ngtcp2)
    if options.table:
        return print_table(options)
    reason = capture.enter_namespace()
    if reason is not None:
        print(f'cannot capture: {reason}')
        return 1 if os.environ.get('CI') == 'true' else SKIP
    return 1 if run_case(options.case, options) == 'FAILED' else 0


if __name__ == '__main__':
    sys.exit(main())
