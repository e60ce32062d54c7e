#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Units of spate relay in network namespaces of the test, with real TUN and TAP interfaces.

Usage: spate_relay.py SPATE [TEST...].  Needs root, to make namespaces; exits with 77 without."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from processes import Processes
from slower import SLOWER

SPATE = os.path.abspath(sys.argv.pop(1))
HANG_S = 30 * SLOWER
TOKEN = 'a token that all units have\n'


def sh(*words, check=True):
    return subprocess.run(words, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)


class Relay(Processes):
    """Unit N lives in namespace N; its TUN has 10.9.N.1/24.  Links are veth pairs."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        with open(self.path('token'), 'w', encoding='utf-8') as file:
            file.write(TOKEN)
        self.names = {}
        self.link_count = 0

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def space(self, unit):
        if unit not in self.names:
            name = f'spate-relay-{os.getpid()}-{unit}'
            sh('ip', 'netns', 'add', name)
            self.addCleanup(sh, 'ip', 'netns', 'del', name, check=False)
            sh('ip', '-n', name, 'link', 'set', 'lo', 'up')
            self.names[unit] = name
        return self.names[unit]

    def ip(self, unit, *words):
        return sh('ip', '-n', self.space(unit), *words)

    def link(self, a, b):
        """A link; the address of unit U on it ends with U.  Returns the first three numbers."""
        self.link_count += 1
        net = f'10.8.{self.link_count}'
        ends = [f'l{self.link_count}-{unit}' for unit in (a, b)]
        sh('ip', 'link', 'add', ends[0], 'netns', self.space(a), 'type', 'veth', 'peer', 'name',
           ends[1], 'netns', self.space(b))
        for unit, end in zip((a, b), ends):
            self.ip(unit, 'addr', 'add', f'{net}.{unit}/24', 'dev', end)
            self.ip(unit, 'link', 'set', end, 'up')
        return net

    def inside(self, unit, *words):
        return ['ip', 'netns', 'exec', self.space(unit), *words]

    def unit(self, number, *words, device='--tun', trust=None):
        """Starts a unit and waits until it listens."""
        device_words = [device, 'tun0'] if device else []
        with open(self.path(f'err-{number}'), 'w', encoding='utf-8') as errors:
            process = self.start(*self.inside(
                number, SPATE, 'relay', '--unit', number, '--identity', self.path(f'id-{number}'),
                '--json', '--beat', '50', *(trust or ['--token', self.path('token')]),
                *device_words, *words), stderr=errors)
        fingerprint = re.match(r'fingerprint (\S+)', process.stdout.readline())
        self.assertTrue(fingerprint, self.errors(number))
        process.fingerprint = fingerprint[1]
        if device:
            self.assertEqual(process.stdout.readline(), 'device tun0\n', self.errors(number))
            if device == '--tun':
                self.ip(number, 'addr', 'add', f'10.9.{number}.1/24', 'dev', 'tun0')
            else:
                self.ip(number, 'addr', 'add', f'10.9.0.{number}/24', 'dev', 'tun0')
            self.ip(number, 'link', 'set', 'tun0', 'up')
            if device == '--tun':
                self.ip(number, 'route', 'add', '10.9.0.0/16', 'dev', 'tun0')
        if '--listen' in words:
            self.assertRegex(process.stdout.readline(), 'listening at', self.errors(number))
        return process

    def errors(self, number):
        with open(self.path(f'err-{number}'), encoding='utf-8') as file:
            return file.read()

    def ping(self, unit, address, count=1, size=56):
        """Returns the answers that came."""
        return int(sh(*self.inside(unit, sys.executable, '-c', PING, address, str(count),
                                   str(size))).stdout)

    def until_ping(self, unit, address):
        end = time.monotonic() + HANG_S
        while self.ping(unit, address) == 0:
            self.assertLess(time.monotonic(), end, f'{address} does not answer')

    def until_errors(self, number, pattern, count=1):
        end = time.monotonic() + HANG_S
        while len(re.findall(pattern, self.errors(number))) < count:
            self.assertLess(time.monotonic(), end, f'{pattern}: {self.errors(number)}')
            time.sleep(0.02)

    def stop(self, process):
        """Ends a unit in order.  Returns its report."""
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=HANG_S)
        self.assertEqual(process.returncode, 0)
        return json.loads(out.splitlines()[-1])

    def transfer(self, a, b, address, size):
        """Sends bytes from a to b by TCP through the tunnel; both hash them."""
        server = self.start(*self.inside(b, sys.executable, '-c', SERVER, address))
        port = server.stdout.readline().strip()
        client = self.start(*self.inside(a, sys.executable, '-c', CLIENT, address, port, str(size)))
        got, _ = server.communicate(timeout=HANG_S)
        sent, _ = client.communicate(timeout=HANG_S)
        self.assertEqual(got, sent)
        self.assertRegex(got, f'^{size} [0-9a-f]{{64}}\n$')

    def line(self, count, *words):
        """Units 1 to `count`, each a neighbour of the next one."""
        units, nets = [], [self.link(i, i + 1) for i in range(1, count)]
        for i in range(1, count + 1):
            more = ['--prefix', f'10.9.{i}.0/24', *words]
            if i < count:
                more += ['--listen', f'{nets[i - 1]}.{i}:4400']
            if i > 1:
                more += ['--connect', f'{nets[i - 2]}.{i - 1}:4400']
            units.append(self.unit(i, *more))
        return units


# An ICMP echo every few milliseconds; prints how many answers came within a second of the last.
PING = '''
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
count, body, number = int(sys.argv[2]), bytes(int(sys.argv[3])), time.monotonic_ns() & 0xffff
def check(data):
    data += b'\\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff
seen, end = set(), 0
for i in range(count + 1):
    if i < count:
        head = struct.pack('!BBHHH', 8, 0, 0, number, i)
        head = struct.pack('!BBHHH', 8, 0, check(head + body), number, i)
        try:
            s.sendto(head + body, (sys.argv[1], 0))
        except OSError:
            pass
    end = time.monotonic() + (0.004 if i < count else 1)
    while len(seen) < count and time.monotonic() < end:
        s.settimeout(max(end - time.monotonic(), 0.001))
        try:
            data = s.recv(65536)
        except OSError:
            continue
        kind, _, _, who, which = struct.unpack('!BBHHH', data[20:28])
        if kind == 0 and who == number and data[28:] == body:
            seen.add(which)
print(len(seen))
'''
SERVER = '''
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 0))
print(s.getsockname()[1], flush=True)
c, _ = s.accept()
h, n = hashlib.sha256(), 0
while True:
    b = c.recv(1 << 20)
    if not b:
        break
    h.update(b)
    n += len(b)
print(n, h.hexdigest())
'''
CLIENT = '''
import hashlib, random, socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30)
h, n, left = hashlib.sha256(), 0, int(sys.argv[3])
block = random.Random(5).randbytes(1 << 20)
while left:
    b = block[:min(left, len(block))]
    c.sendall(b)
    h.update(b)
    left -= len(b)
    n += len(b)
c.shutdown(socket.SHUT_WR)
c.recv(1)
print(n, h.hexdigest())
'''


class Lines(Relay):
    def test_two_units_ping_and_transfer(self):
        units = self.line(2)
        self.until_ping(1, '10.9.2.1')
        for size in (0, 56, 1372, 1472, 5000, 60000):
            self.assertEqual(self.ping(1, '10.9.2.1', 5, size), 5, size)
        self.transfer(1, 2, '10.9.2.1', 20_000_000)
        first, last = (self.stop(unit) for unit in units)
        self.assertGreater(first['paths']['device_cached'], 20)
        self.assertGreater(first['cut'], 0)
        self.assertGreater(last['paths']['delivered'], 20)
        self.assertEqual(last['device']['refused'], 0)
        self.assertEqual(first['drops']['malformed'] + last['drops']['malformed'], 0)
        self.assertGreater(first['neighbours'][0]['rtt_ms'], 0)
        self.assertEqual(first['neighbours'][0]['state'], 'alive')
        # Whole trains: TCP's segments do not come one by one.
        self.assertLess(first['device']['read'], first['device']['read_bytes'] / 3000)

    def test_three_hops_and_one_that_is_killed_and_comes_back(self):
        units = self.line(4)
        self.until_ping(1, '10.9.4.1')
        self.assertEqual(self.ping(1, '10.9.4.1', 10), 10)
        self.transfer(4, 1, '10.9.1.1', 5_000_000)
        units[1].kill()
        units[1].wait()
        self.until_errors(1, 'unit 2 has gone|unit 2 ', 2)
        self.assertEqual(self.ping(1, '10.9.4.1'), 0)
        self.ip(2, 'link', 'show')
        self.unit(2, '--prefix', '10.9.2.0/24', '--listen', '10.8.2.2:4400', '--connect',
                  '10.8.1.1:4400')
        self.until_ping(1, '10.9.4.1')
        self.transfer(1, 4, '10.9.4.1', 1_000_000)

    def test_without_trains(self):
        units = self.line(2, '--no-trains')
        self.until_ping(1, '10.9.2.1')
        self.transfer(1, 2, '10.9.2.1', 2_000_000)
        self.assertGreater(self.stop(units[0])['device']['read'], 2_000_000 / 1500)


class Networks(Relay):
    def test_a_square_is_routed_around_a_unit_that_is_killed(self):
        nets = {pair: self.link(*pair) for pair in ((1, 2), (2, 4), (1, 3), (3, 4))}
        units = {}
        for number, connects in ((1, []), (2, [1]), (3, [1]), (4, [2, 3])):
            listens = [f'{net}.{number}:4400' for pair, net in nets.items() if pair[0] == number]
            words = ['--prefix', f'10.9.{number}.0/24']
            for address in listens:
                words += ['--listen', address]
            for other in connects:
                words += ['--connect', f'{nets[other, number]}.{other}:4400']
            units[number] = self.unit_many(number, words, len(listens))
        self.until_ping(1, '10.9.4.1')
        # Whichever of the two is used: the other one takes over.
        for victim in (2, 3):
            units[victim].kill()
            units[victim].wait()
            self.until_ping(1, '10.9.4.1')
            nets_of = [net for pair, net in nets.items() if pair == (1, victim)]
            words = ['--prefix', f'10.9.{victim}.0/24', '--listen',
                     f'{nets[victim, 4]}.{victim}:4400', '--connect', f'{nets_of[0]}.1:4400']
            units[victim] = self.unit_many(victim, words, 1)
            self.until_errors(4, f'unit {victim} is a neighbour', 2)

    def unit_many(self, number, words, listen_count):
        process = self.unit(number, *words)
        for _ in range(listen_count - 1):
            process.stdout.readline()
        return process

    def test_on_board_units_reach_the_outside_through_upstream(self):
        nets = [self.link(1, 2), self.link(2, 3)]
        roadside = self.unit(3, '--listen', f'{nets[1]}.3:4400')
        middle = self.unit(2, '--role', 'onboard', '--prefix', '10.9.2.0/24', '--listen',
                           f'{nets[0]}.2:4400', '--upstream', f'{nets[1]}.3:4400')
        end = self.unit(1, '--role', 'onboard', '--prefix', '10.9.1.0/24', '--upstream',
                        f'{nets[0]}.2:4400')
        # 10.9.77.1 is behind unit 3, which announces nothing.
        self.ip(3, 'addr', 'add', '10.9.77.1/32', 'dev', 'lo')
        self.until_ping(1, '10.9.77.1')
        self.transfer(1, 3, '10.9.77.1', 3_000_000)
        self.transfer(3, 1, '10.9.1.1', 3_000_000)
        reports = [self.stop(unit) for unit in (end, middle, roadside)]
        self.assertGreater(reports[0]['paths']['device_up'], 0)
        self.assertGreater(reports[1]['paths']['up_forward'], 0)
        self.assertGreater(reports[1]['paths']['down_forward'], 0)
        self.assertGreater(reports[2]['paths']['control_broadcast'], 0)

    def test_frames_of_a_bridge_of_three(self):
        nets = [self.link(1, 2), self.link(2, 3)]
        middle = self.unit(2, '--listen', f'{nets[0]}.2:4400', '--listen', f'{nets[1]}.2:4400',
                           device='--tap')
        middle.stdout.readline()
        ends = [self.unit(n, '--connect', f'{net}.2:4400', device='--tap')
                for n, net in ((1, nets[0]), (3, nets[1]))]
        self.until_ping(1, '10.9.0.3')
        self.transfer(1, 3, '10.9.0.3', 2_000_000)
        reports = [self.stop(unit) for unit in (*ends, middle)]
        self.assertGreater(reports[0]['paths']['device_broadcast'], 0)  # ARP
        self.assertGreater(reports[0]['paths']['device_cached'], 0)  # learned

    def test_datagrams_of_a_socket_and_fan_out(self):
        """One unit sends to three; each datagram comes to each of them once."""
        nets = [self.link(9, n) for n in (1, 2, 3)]
        words = []
        for net in nets:
            words += ['--listen', f'{net}.9:4400']
        hub = self.unit(9, '--udp', '127.0.0.1:7000=127.0.0.1:7001', *words, device=None)
        for _ in nets[1:]:
            hub.stdout.readline()
        receivers = []
        for n, net in zip((1, 2, 3), nets):
            receivers.append(self.start(*self.inside(n, sys.executable, '-c', RECEIVE, '7001')))
            self.assertEqual(receivers[-1].stdout.readline(), 'ready\n')
            self.unit(n, '--udp', '127.0.0.1:7000=127.0.0.1:7001', '--connect', f'{net}.9:4400',
                      device=None)
        self.until_errors(9, 'is a neighbour', 3)
        sender = self.start(*self.inside(9, sys.executable, '-c', SEND, '7001', '7000'))
        sender.communicate(timeout=HANG_S)
        for receiver in receivers:
            out, _ = receiver.communicate(timeout=HANG_S)
            self.assertEqual(out, '200 200 4000\n')  # of 200, all different; the largest

    def test_a_silent_neighbour_stops_nobody_and_is_left(self):
        """One that is frozen keeps what was sent to it; the others go on, and its connection
        ends."""
        nets = [self.link(9, n) for n in (1, 2)]
        words = []
        for net in nets:
            words += ['--listen', f'{net}.9:4400']
        hub = self.unit(9, '--prefix', '10.9.9.0/24', *words)
        hub.stdout.readline()
        units = [self.unit(n, '--prefix', f'10.9.{n}.0/24', '--connect', f'{net}.9:4400')
                 for n, net in zip((1, 2), nets)]
        self.until_ping(9, '10.9.1.1')
        self.until_ping(9, '10.9.2.1')
        # It is ready before: a neighbour that has missed three heartbeats gets nothing to keep.
        burst = self.start(*self.inside(9, sys.executable, '-c', BURST, '10.9.2.1'),
                           stdin=subprocess.PIPE)
        self.assertEqual(burst.stdout.readline(), 'ready\n')
        units[1].send_signal(signal.SIGSTOP)
        try:
            burst.communicate('go\n', timeout=HANG_S)
            begin = time.monotonic()
            self.until_ping(9, '10.9.1.1')
            self.assertLess(time.monotonic() - begin, 5)  # not after the idle timeout of 10 s
            self.until_errors(9, 'unit 2 has gone: it is silent')
        finally:
            units[1].send_signal(signal.SIGCONT)
        self.until_ping(9, '10.9.2.1')  # it has come back
        self.stop(hub)


BURST = '''
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print('ready', flush=True)
sys.stdin.readline()
for i in range(1000):
    s.sendto(bytes(1400), (sys.argv[1], 9))
'''
RECEIVE = '''
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.settimeout(15)
print('ready', flush=True)
got = []
while len(got) < 200:
    got.append(s.recv(65536))
print(len(got), len(set(got)), max(map(len, got)))
'''
SEND = '''
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', int(sys.argv[1])))
for i in range(200):
    s.sendto(i.to_bytes(4, 'big') * (1 + i % 2 * 999), ('127.0.0.1', int(sys.argv[2])))
    time.sleep(0.002)
'''


class Trust(Relay):
    def test_only_trusted_fingerprints_and_tokens_join(self):
        net = self.link(1, 2)
        stranger = ['--peer', 'sha256:' + '0' * 64]
        first = self.unit(1, '--listen', f'{net}.1:4400', trust=stranger)
        second = self.unit(2, '--connect', f'{net}.1:4400', trust=stranger)
        self.until_errors(2, first.fingerprint)  # the client refuses it, and says what it is
        self.stop(first)
        self.stop(second)
        first = self.unit(1, '--listen', f'{net}.1:4400', trust=stranger)
        second = self.unit(2, '--connect', f'{net}.1:4400', trust=['--peer', first.fingerprint])
        self.until_errors(1, second.fingerprint)  # and so does the server
        self.assertNotIn('is a neighbour', self.errors(1))
        self.stop(first)
        first = self.unit(1, '--listen', f'{net}.1:4400', trust=['--peer', second.fingerprint])
        self.until_errors(1, 'unit 2 is a neighbour')
        self.stop(first)
        self.stop(second)
        with open(self.path('wrong'), 'w', encoding='utf-8') as file:
            file.write('another token of 16\n')
        self.unit(1, '--listen', f'{net}.1:4400')
        self.unit(2, '--connect', f'{net}.1:4400', trust=['--token', self.path('wrong')])
        self.until_errors(1, 'unit 2 does not prove the token')
        self.assertNotIn('is a neighbour', self.errors(1))

    def test_a_neighbour_is_held_to_its_limit(self):
        net = self.link(1, 2)
        first = self.unit(1, '--listen', f'{net}.1:4400', '--prefix', '10.9.1.0/24', '--limit',
                          '100K')
        second = self.unit(2, '--connect', f'{net}.1:4400', '--prefix', '10.9.2.0/24')
        self.until_ping(2, '10.9.1.1')
        self.assertLess(self.ping(2, '10.9.1.1', 1000, 1000), 700)
        report = self.stop(first)
        self.assertGreater(report['drops']['limited'], 100)
        self.assertGreater(report['paths']['delivered'], 50)
        self.stop(second)


class Options(unittest.TestCase):
    def test_what_is_missing_or_wrong_is_said(self):
        good = ['--unit', '1', '--identity', '/dev/null', '--token', '/dev/null', '--listen',
                '127.0.0.1:0']
        for words, why in (
                (['--help'], None),
                ([], '--unit is missing'),
                (good[:2], '--identity is missing'),
                (good[:4], 'whom to trust'),
                (good[:6], '--listen, --connect or --upstream'),
                ([*good, '--unit', '0'], '--unit must be'),
                ([*good, '--hops', '33'], '--hops must be'),
                ([*good, '--prefix', '10.0.0.0/40'], '--prefix must be'),
                ([*good, '--route', '10.0.0.0/8'], '--route must be'),
                ([*good, '--peer', 'abc'], '--peer must be'),
                ([*good, '--role', 'x'], '--role must be'),
                ([*good, '--udp', 'x'], '--udp must be'),
                ([*good, '--tun', 'a', '--tap', 'b'], 'is enough'),
                ([*good, 'more'], 'no arguments')):
            done = subprocess.run([SPATE, 'relay', *words], capture_output=True, text=True,
                                  check=False)
            self.assertEqual(done.returncode, 2 if why else 0, words)
            self.assertEqual(len(done.stderr.splitlines()), 1 if why else 0, done.stderr)
            self.assertIn(why or 'usage: spate relay', done.stderr + done.stdout)


def main():
    if os.geteuid() != 0 or not os.path.exists('/dev/net/tun'):
        print('namespaces and /dev/net/tun need root', file=sys.stderr)
        sys.exit(77)
    name = f'spate-relay-{os.getpid()}-try'
    if sh('ip', 'netns', 'add', name, check=False).returncode != 0:
        print('this system lets nobody make network namespaces', file=sys.stderr)
        sys.exit(77)
    sh('ip', 'netns', 'del', name)
    unittest.main(verbosity=2)


main()
