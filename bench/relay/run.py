#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Round trips and throughput through spate relay, beside a plain tunnel and openvpn.

Usage: run.py BUILD [--seconds S] [--pings N] [CASE...]

Cases: direct, plain, plain-trains, openvpn, 1-hop, 2-hops, 3-hops, fan-out.  Each makes namespaces
of its own in a row, with veth pairs of MTU 1500 between them, and prints a line.  Needs root,
iperf3, and openvpn and openssl for that case."""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

# An ICMP echo each millisecond; prints p50, p99 and the largest round trip in us, and the losses.
PING = '''
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(0.2)
def check(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff
times, lost = [], 0
for i in range(int(sys.argv[2])):
    begin = time.perf_counter_ns()
    body = bytes(56)
    head = struct.pack('!BBHHH', 8, 0, 0, 4711, i & 0xffff)
    head = struct.pack('!BBHHH', 8, 0, check(head + body), 4711, i & 0xffff)
    s.sendto(head + body, (sys.argv[1], 0))
    while True:
        try:
            data = s.recv(2048)
        except TimeoutError:
            lost += 1
            break
        kind, _, _, who, which = struct.unpack('!BBHHH', data[20:28])
        if (kind, who, which) == (0, 4711, i & 0xffff):
            times.append(time.perf_counter_ns() - begin)
            break
    time.sleep(max(0, 0.001 - (time.perf_counter_ns() - begin) / 1e9))
times.sort()
at = lambda q: times[min(len(times) - 1, int(len(times) * q))] / 1e3 if times else 0
print(f'{at(.5):.1f} {at(.99):.1f} {at(1):.1f} {lost}')
'''


def sh(*words, check=True):
    return subprocess.run([*map(str, words)], check=check, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


class Row:
    """Namespaces 1 to `count` in a row; what is started in them ends with it."""

    def __init__(self, count, folder):
        self.folder = folder
        self.processes = []
        self.names = {n: f'bench-relay-{os.getpid()}-{n}' for n in range(1, count + 1)}
        for name in self.names.values():
            sh('ip', 'netns', 'add', name)
            sh('ip', '-n', name, 'link', 'set', 'lo', 'up')
        for n in range(1, count):
            sh('ip', 'link', 'add', f'r{n}', 'netns', self.names[n], 'type', 'veth', 'peer',
               'name', f'l{n + 1}', 'netns', self.names[n + 1])
            for unit, device in ((n, f'r{n}'), (n + 1, f'l{n + 1}')):
                sh('ip', '-n', self.names[unit], 'addr', 'add', f'10.8.{n}.{unit}/24', 'dev',
                   device)
                sh('ip', '-n', self.names[unit], 'link', 'set', device, 'up')

    def start(self, unit, *words, wait=None):
        process = subprocess.Popen(['ip', 'netns', 'exec', self.names[unit], *map(str, words)],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.processes.append(process)
        while wait is not None and not process.stdout.readline().startswith(wait):
            if process.poll() is not None:
                sys.exit(f'{words}: ended')
        return process

    def up(self, unit, address, device='tun0'):
        for _ in range(100):
            shown = sh('ip', '-n', self.names[unit], 'link', 'show', device, check=False)
            if shown.returncode == 0:
                break
            time.sleep(0.05)
        sh('ip', '-n', self.names[unit], 'addr', 'add', address, 'dev', device)
        sh('ip', '-n', self.names[unit], 'link', 'set', device, 'up')
        sh('ip', '-n', self.names[unit], 'route', 'replace', '10.9.0.0/16', 'dev', device)

    def inside(self, unit, *words):
        return sh('ip', 'netns', 'exec', self.names[unit], *words, check=False).stdout

    def remove(self):
        for process in self.processes:
            process.kill()
            process.wait()
        for name in self.names.values():
            sh('ip', 'netns', 'del', name, check=False)


def measure(row, name, first, last, address, args):
    """Round trips, then TCP of one and of five connections."""
    for _ in range(50):
        if row.inside(first, sys.executable, '-c', PING, address, 1).split()[-1:] == ['0']:
            break
        time.sleep(0.1)
    pings = row.inside(first, sys.executable, '-c', PING, address, args.pings).split()
    rates = []
    for streams in (1, 5):
        server = row.start(last, 'iperf3', '-s', '-1', '-B', address, '--forceflush',
                           wait='Server listening')
        text = row.inside(first, 'iperf3', '-c', address, '-t', args.seconds, '-P', streams, '-J')
        try:
            rates.append(json.loads(text)['end']['sum_received']['bits_per_second'] / 1e9)
        except (ValueError, KeyError):
            rates.append(0)
        server.kill()
        server.wait()  # the next one takes its port
    print(f'{name:13} p50 {pings[0]:>7} us  p99 {pings[1]:>7} us  max {pings[2]:>8} us  lost '
          f'{pings[3]:>3}   1 flow {rates[0]:6.2f} Gbit/s   5 flows {rates[1]:6.2f} Gbit/s',
          flush=True)


def relay_line(row, count, args, *more):
    units = []
    for n in range(1, count + 1):
        words = ['--prefix', f'10.9.{n}.0/24', *more]
        if n < count:
            words += ['--listen', f'10.8.{n}.{n}:4400']
        if n > 1:
            words += ['--connect', f'10.8.{n - 1}.{n - 1}:4400']
        units.append(row.start(
            n, f'{args.build}/tools/spate', 'relay', '--unit', n, '--identity',
            f'{row.folder}/id-{n}', '--token', f'{row.folder}/token', '--tun', 'tun0', '--json',
            *words, wait='device'))
        row.up(n, f'10.9.{n}.1/24')
    return units


def case_hops(hops, args, folder):
    row = Row(hops + 1, folder)
    try:
        units = relay_line(row, hops + 1, args)
        measure(row, f'{hops} hop' + 's' * (hops > 1), 1, hops + 1, f'10.9.{hops + 1}.1', args)
        for unit in units:
            unit.send_signal(signal.SIGTERM)
            report = json.loads(unit.communicate(timeout=20)[0].splitlines()[-1])
            drops = {k: v for k, v in report['drops'].items() if v}
            print(f"              unit {report['unit']}: cut {report['cut']}, incomplete "
                  f"{report['incomplete']}, drops {drops}, device {report['device']}", flush=True)
    finally:
        row.remove()


def case_direct(args, folder):
    row = Row(2, folder)
    try:
        measure(row, 'direct', 1, 2, '10.8.1.2', args)
    finally:
        row.remove()


def case_plain(trains, args, folder):
    row = Row(2, folder)
    try:
        for n in (1, 2):
            row.start(n, f'{args.build}/bench/relay/plain', 'tun0', f'10.8.1.{n}', 4400,
                      f'10.8.1.{3 - n}', 4400, *(['trains'] if trains else []), wait='ready')
            row.up(n, f'10.9.{n}.1/24')
            if not trains:
                sh('ip', '-n', row.names[n], 'link', 'set', 'tun0', 'mtu', '1472')
        measure(row, 'plain-trains' if trains else 'plain', 1, 2, '10.9.2.1', args)
    finally:
        row.remove()


def case_openvpn(args, folder):
    row = Row(2, folder)
    try:
        prints = {}
        for n in (1, 2):
            sh('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
               '-nodes', '-days', '30', '-subj', f'/CN=unit{n}', '-keyout', f'{folder}/k{n}',
               '-out', f'{folder}/c{n}')
            text = sh('openssl', 'x509', '-in', f'{folder}/c{n}', '-noout', '-fingerprint',
                      '-sha256').stdout
            prints[n] = re.search('=(.*)', text)[1]
        for n in (1, 2):
            row.start(n, 'openvpn', '--dev', 'tun0', '--dev-type', 'tun', '--ifconfig',
                      f'10.9.{n}.1', f'10.9.{3 - n}.1', '--local', f'10.8.1.{n}', '--remote',
                      f'10.8.1.{3 - n}', '--port', 4400, '--cert', f'{folder}/c{n}', '--key',
                      f'{folder}/k{n}', '--peer-fingerprint', prints[3 - n], '--cipher',
                      'AES-128-GCM', '--data-ciphers', 'AES-128-GCM', '--sndbuf', 4194304,
                      '--rcvbuf', 4194304, '--txqueuelen', 1000,
                      *(['--tls-server', '--dh', 'none'] if n == 1 else ['--tls-client']))
        time.sleep(3)
        measure(row, 'openvpn', 1, 2, '10.9.2.1', args)
    finally:
        row.remove()


FLOOD = '''
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 7001))
s.connect(('127.0.0.1', 7000))
end, data = time.monotonic() + float(sys.argv[1]), bytes(int(sys.argv[2]))
while time.monotonic() < end:
    for i in range(64):
        s.send(data)
    time.sleep(float(sys.argv[3]))
'''


def ticks(stat):
    """The CPU time of a process."""
    with open(stat, encoding='utf-8') as file:
        return sum(map(int, file.read().split()[13:15]))


def case_fan_out(args, folder):
    """A unit with 64 neighbours, all on loopback; each datagram of its socket goes to all."""
    row = Row(1, folder)
    spate = f'{args.build}/tools/spate'
    common = ['--token', f'{folder}/token', '--json']
    try:
        hub = row.start(1, spate, 'relay', '--unit', 1000, '--identity', f'{folder}/id-hub',
                        '--listen', '127.0.0.1:4400', '--udp', '127.0.0.1:7000=127.0.0.1:7001',
                        *common, wait='listening')
        units = [row.start(1, spate, 'relay', '--unit', n, '--identity', f'{folder}/id-0',
                           '--connect', '127.0.0.1:4400', *common, wait='fingerprint')
                 for n in range(1, 65)]
        time.sleep(5)
        stat = f'/proc/{hub.pid}/stat'
        before = ticks(stat)
        row.inside(1, sys.executable, '-c', FLOOD, args.seconds, 100, args.pause)
        used = (ticks(stat) - before) / os.sysconf('SC_CLK_TCK')
        hub.send_signal(signal.SIGTERM)
        report = json.loads(hub.communicate(timeout=20)[0].splitlines()[-1])
        out = sum(n['out'] for n in report['neighbours'])
        received = 0
        for unit in units:
            unit.send_signal(signal.SIGTERM)
        for unit in units:
            received += json.loads(unit.communicate(timeout=20)[0].splitlines()[-1])['paths'][
                'delivered']
        print(f'fan-out       {len(report["neighbours"])} neighbours: {out / args.seconds:.0f} '
              f'datagrams a second out, {received / args.seconds:.0f} delivered, '
              f'{used / args.seconds:.2f} CPUs of the hub, {out / max(used, 0.01):.0f} a second of '
              f'CPU, drops {report["drops"]["full"]}', flush=True)
    finally:
        row.remove()


def main():
    cases = {
        'direct': case_direct,
        'plain': lambda *a: case_plain(False, *a),
        'plain-trains': lambda *a: case_plain(True, *a),
        'openvpn': case_openvpn,
        '1-hop': lambda *a: case_hops(1, *a),
        '2-hops': lambda *a: case_hops(2, *a),
        '3-hops': lambda *a: case_hops(3, *a),
        'fan-out': case_fan_out,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build')
    parser.add_argument('--seconds', type=float, default=5)
    parser.add_argument('--pings', type=int, default=2000)
    parser.add_argument('--pause', type=float, default=0.0005, help='fan-out: between 64 datagrams')
    parser.add_argument('cases', nargs='*', metavar='CASE')
    args = parser.parse_intermixed_args()
    args.build = os.path.abspath(args.build)
    with tempfile.TemporaryDirectory() as folder:
        with open(f'{folder}/token', 'w', encoding='utf-8') as file:
            file.write('a token for measuring\n')
        for case in args.cases or cases:
            if case not in cases:
                sys.exit(f'no such case: {case}')
            cases[case](args, folder)


main()
