#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The relay of the interop tests, over real sockets: what it changes, and what it must not."""
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from slower import SLOWER

RELAY = os.path.abspath(sys.argv.pop(1))
HANG_S = 20 * SLOWER
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
ECT_0, CE = 2, 3


def udp(family=socket.AF_INET, host='127.0.0.1'):
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.settimeout(HANG_S)
    one.bind((host, 0))
    v6 = family == socket.AF_INET6
    one.setsockopt(*((socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS) if v6 else
                     (socket.IPPROTO_IP, socket.IP_RECVTOS)), 1)
    return one


def ecn_of(controls):
    for _, kind, data in controls:
        if kind in (socket.IP_TOS, socket.IPV6_TCLASS):
            return data[0] & 3
    return None


class Relay(unittest.TestCase):
    def setUp(self):
        self.server = udp()
        self.client = udp()
        self.addCleanup(self.server.close)
        self.addCleanup(self.client.close)

    def start(self, *options, listen='127.0.0.1:0', server=None):
        host, port = (server or self.server).getsockname()[:2]
        to = f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
        self.process = subprocess.Popen([RELAY, '--map', f'{listen}={to}', *options],
                                        stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end)
        match = re.fullmatch(r'listening at \[?(.*?)\]?:(\d+)\n', self.process.stdout.readline())
        return match[1], int(match[2])

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def report(self):
        self.process.send_signal(signal.SIGTERM)
        lines = self.process.stdout.read().splitlines()
        self.process.wait(HANG_S)
        self.assertEqual(self.process.returncode, 0)
        return lines[:-1], json.loads(lines[-1])

    def assert_silent(self, one, seconds=0.1):
        self.assertEqual(select.select([one], [], [], seconds)[0], [])

    def test_each_client_has_a_flow_of_its_own_both_ways(self):
        for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
            server = udp(family, host)
            clients = [udp(family, host) for _ in range(20)]
            where = self.start(server=server, listen=f'[{host}]:0' if ':' in host else f'{host}:0')
            for number, client in enumerate(clients):
                client.sendto(b'%d' % number, where)
                data, source = server.recvfrom(100)
                self.assertEqual(data, b'%d' % number)
                server.sendto(b'to ' + data, source)
            for number, client in enumerate(clients):
                data, source = client.recvfrom(100)
                self.assertEqual((data, source[:2]), (b'to %d' % number, where))
            self.assertEqual(self.report()[1]['flows'], 20)
            for one in (server, *clients):
                one.close()

    def test_the_delay_is_that_of_each_direction(self):
        where = self.start('--up', 'delay=60ms', '--down', 'delay=120ms')
        begin = time.monotonic()
        self.client.sendto(b'x', where)
        _, source = self.server.recvfrom(100)
        middle = time.monotonic()
        self.server.sendto(b'y', source)
        self.client.recvfrom(100)
        self.assertGreaterEqual(middle - begin, 0.06)
        self.assertGreaterEqual(time.monotonic() - middle, 0.12)
        self.assertLess(time.monotonic() - begin, 5)

    def test_marks_pass_and_are_made(self):
        for link, sent, wanted in (('delay=0ms', ECT_0, ECT_0), ('delay=0ms', 0, 0),
                                   ('ce=100%', ECT_0, CE), ('ecn=clear', ECT_0, 0)):
            where = self.start('--up', link)
            self.client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, sent)
            self.client.sendto(b'x', where)
            _, controls, _, source = self.server.recvmsg(100, 100)
            self.assertEqual(ecn_of(controls), wanted, link)
            self.server.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, sent)
            self.server.sendto(b'x', source)
            self.assertEqual(ecn_of(self.client.recvmsg(100, 100)[1]), sent)
            self.end()

    def send_train(self, where, count=10, size=1200):
        data = b''.join(bytes([i]) * size for i in range(count))
        self.client.sendmsg([data], [(SOL_UDP, UDP_SEGMENT, struct.pack('H', size))], 0, where)
        return data

    def test_trains_stay_whole_or_are_broken_on_purpose(self):
        self.server.setsockopt(SOL_UDP, UDP_GRO, 1)
        for options, count in (((), 1), (('--both', 'delay=5ms'), 1), (('--gso', 'off'), 10),
                               (('--both', 'rate=10mbit'), 10)):
            where = self.start(*options)
            data = self.send_train(where)
            got = [self.server.recv(65535)]
            while sum(map(len, got)) < len(data):
                got.append(self.server.recv(65535))
            self.assertEqual((b''.join(got), len(got)), (data, count), options)
            self.end()

    def test_faults_hit_single_datagrams_of_a_train(self):
        where = self.start('--up', 'drop=2+4,corrupt-list=3,duplicate=0%')
        self.send_train(where)
        got = [self.server.recv(65535) for _ in range(8)]
        self.assert_silent(self.server)
        self.assertEqual([data[600] for data in got if len(set(data)) == 1],
                         [0, 4, 5, 6, 7, 8, 9])
        self.assertEqual(sum(len(set(data)) == 2 for data in got), 1)
        counts = self.report()[1]['up']
        self.assertEqual((counts['seen'], counts['lost'], counts['corrupted']), (10, 2, 1))

    def test_duplicates_come_twice(self):
        where = self.start('--up', 'duplicate=100%')
        self.send_train(where)
        got = [self.server.recv(65535)[0] for _ in range(20)]
        self.assertEqual(got, [i // 2 for i in range(20)])

    def test_rebinding_changes_the_port_and_then_the_address(self):
        where = self.start('--rebind', '300ms/300ms')
        self.check_rebinding(where, {'127.0.0.1'})
        where = self.start('--rebind', '300ms/300ms', '--rebind-addr', '--via', '127.0.0.2',
                           '--via', '127.0.0.3')
        self.check_rebinding(where, {'127.0.0.2', '127.0.0.3'})

    def check_rebinding(self, where, hosts):
        sources = []
        for _ in range(2):
            self.client.sendto(b'x', where)
            sources.append(self.server.recvfrom(100)[1])
            self.server.sendto(b'y', sources[-1])
            self.client.recvfrom(100)
            self.assertRegex(self.process.stdout.readline(), r'^rebound 1$')
        self.server.sendto(b'late', sources[0])
        self.assert_silent(self.client)
        self.assertNotEqual(sources[0], sources[1])
        self.assertEqual({host for host, _ in sources}, hosts)
        self.end()

    def test_a_server_that_is_gone_ends_nothing(self):
        where = self.start()
        port = self.server.getsockname()[1]
        self.client.sendto(b'x', where)
        self.server.recvfrom(100)
        self.server.close()
        for _ in range(3):
            self.client.sendto(b'lost', where)
            time.sleep(0.05)
        self.server = udp()
        again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(again.close)
        again.settimeout(HANG_S)
        again.bind(('127.0.0.1', port))
        self.client.sendto(b'there', where)
        self.assertEqual(again.recv(100), b'there')

    def test_mistakes_are_one_line(self):
        for words in ((), ('--map', 'x'), ('--map', '127.0.0.1:0=name:1'), ('--frob',),
                      ('--up', 'speed=1'), ('--map', '[::1]:0=[::1]:1', '--rebind', 'soon'),
                      ('--map', '[::1]:0=[::1]:1', '--gso', 'on'), ('--seed', '-1'), ('here',)):
            done = subprocess.run([RELAY, *words], capture_output=True, text=True, timeout=HANG_S,
                                  check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ''), words)
            self.assertRegex(done.stderr, r'\Arelay: [^\n]+\n\Z')


if __name__ == '__main__':
    unittest.main(verbosity=2)
