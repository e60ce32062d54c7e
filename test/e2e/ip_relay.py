#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ip-relay between two network namespaces, with the kernel's UDP and TCP on both sides.

usage: ip_relay.py PROGRAM      skipped where it may not make namespaces
"""
import hashlib
import pathlib
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'relay'))
import namespaces  # noqa: E402
from slower import SLOWER  # noqa: E402

PROGRAM = sys.argv.pop()
HANG_S = 20 * SLOWER
SOL_UDP, UDP_SEGMENT, UDP_GRO, SO_TIMESTAMPNS = 17, 103, 104, 35
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
CE, ECT_0, ECT_1 = 3, 2, 1
BUFFER_BYTES = 64 << 20
SO_RCVBUFFORCE = 33
HEADERS = 28  # IPv4 and UDP

# What is measured against the clock gets another chance: the machine may be busy.
ATTEMPTS = 4

V4 = (namespaces.LEFT, namespaces.RIGHT)
V6 = ('fd77::1', 'fd77::2')


def send_train(one, where, count, size, first=0):
    """Sends `count` datagrams with their numbers, as one train."""
    data = b''.join(struct.pack('>I', first + i) + bytes(size - 4) for i in range(count))
    one.sendmsg([data], [(SOL_UDP, UDP_SEGMENT, struct.pack('H', size))], 0, where)


class Test(unittest.TestCase):
    def setUp(self):
        self.paths = namespaces.Paths(PROGRAM)
        self.addCleanup(self.paths.close)
        self.paths.__enter__()

    def start(self, *options):
        self.paths.start(*options)
        self.left, self.right = (self.udp(side) for side in range(2))

    def udp(self, side, family=socket.AF_INET, host=V4):
        one = self.paths.socket(side, family, socket.SOCK_DGRAM)
        self.addCleanup(one.close)
        one.settimeout(HANG_S)
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        one.bind((host[side], 0))
        return one

    def again(self, try_once):
        """Until it returns None, which means that all is well; or its last complaint."""
        for _ in range(ATTEMPTS):
            wrong = try_once()
            if wrong is None:
                return
            print('once more:', wrong, file=sys.stderr)
        self.fail(wrong)

    def receive(self, count):
        """The numbers of so many datagrams, and when the kernel got each, ns."""
        numbers, times = [], []
        self.right.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        while len(numbers) < count:
            data, controls, _, _ = self.right.recvmsg(65535, 100)
            seconds, nanoseconds = struct.unpack('qq', controls[0][2])
            numbers.append(struct.unpack('>I', data[:4])[0])
            times.append(seconds * 10**9 + nanoseconds)
        return numbers, times

    def send_many(self, count, size=1000):
        for first in range(0, count, 20):
            send_train(self.left, self.right.getsockname(), min(20, count - first), size, first)

    def arrived(self):
        """The numbers of what is there; nothing more comes."""
        numbers = []
        while select.select([self.right], [], [], 0.3)[0]:
            numbers.append(struct.unpack('>I', self.right.recv(65535)[:4])[0])
        return numbers

    def test_the_rate_is_kept_within_2_percent(self):
        self.start('--to-right', 'rate=40mbit,delay=5ms')
        self.right.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

        def try_once():
            self.send_many(3000)
            numbers, times = self.receive(3000)
            rate = 2999 * (1000 + HEADERS) * 8e9 / (times[-1] - times[0])
            self.assertEqual(numbers, list(range(3000)))
            return None if 0.98 * 40e6 < rate < 1.02 * 40e6 else f'{rate / 1e6} Mbit/s'
        self.again(try_once)
        counts = self.paths.stop()['to_right']
        self.assertGreater(counts['trains_in'], 100)
        self.assertEqual(counts['trains_out'], 0)  # 200 us between two
        self.assertGreater(counts['queue_p99_us'], 500000)

    def test_the_delays_are_those_of_each_direction(self):
        self.start('--to-right', 'delay=20ms', '--to-left', 'delay=30ms')

        def try_once():
            shortest = HANG_S
            for _ in range(20):
                begin = time.monotonic()
                self.left.sendto(b'x', self.right.getsockname())
                self.right.sendto(b'y', self.right.recvfrom(100)[1])
                self.left.recv(100)
                shortest = min(shortest, time.monotonic() - begin)
            self.assertGreaterEqual(shortest, 0.05)
            return None if shortest < 0.052 else f'{shortest} s'
        self.again(try_once)

    def test_the_share_of_losses_is_that_of_the_link(self):
        self.start('--to-right', 'loss=10%', '--seed', '5')
        self.send_many(6000)
        numbers = self.arrived()
        counts = self.paths.stop()['to_right']
        self.assertEqual((counts['seen'], len(numbers)), (6000, 6000 - counts['lost']))
        self.assertTrue(500 < counts['lost'] < 700, counts)  # four deviations are 93
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_reordering_is_by_datagram(self):
        self.start('--to-right', 'delay=5ms,reorder-every=7,reorder-by=100ms')
        self.send_many(700)
        numbers = self.arrived()
        late = [number for number in range(700) if number % 7 == 6]
        self.assertEqual(sorted(numbers), list(range(700)))
        self.assertEqual([n for n in numbers if n in set(late)], late)
        others = [n for n in numbers if n % 7 != 6]
        self.assertEqual(others, sorted(others))
        self.assertLess(numbers.index(13), numbers.index(699))
        self.assertGreater(numbers.index(6), numbers.index(100))

    def test_an_outage_lasts_as_long_as_it_should(self):
        self.start('--to-right', 'outage=300ms+400ms')
        begin = time.monotonic()
        passed = []
        for number in range(1000):
            now = time.monotonic() - begin
            self.left.sendto(struct.pack('>I', number), self.right.getsockname())
            passed.append(now)
            if now > 1.1:
                break
            time.sleep(0.002)
        arrived = set(self.arrived())
        lost = [when for number, when in enumerate(passed) if number not in arrived]
        self.assertGreaterEqual(lost[0], 0.299)
        self.assertLess(lost[-1], 0.8)
        self.assertGreater(len(lost), 20)

    def test_trains_stay_whole_or_are_broken_on_purpose(self):
        for options, count in (((), 1), (('--both', 'delay=5ms'), 1), (('--gro', 'off'), 10),
                               (('--gso', 'off'), 10), (('--both', 'rate=10mbit'), 10),
                               (('--both', 'every=5'), 2)):
            self.start(*options)
            self.right.setsockopt(SOL_UDP, UDP_GRO, 1)
            send_train(self.left, self.right.getsockname(), 10, 1200)
            got = [self.right.recv(65535)]
            while select.select([self.right], [], [], 0.2)[0]:
                got.append(self.right.recv(65535))
            self.assertEqual(len(got), count, options)
            self.assertEqual(sum(map(len, got)), (8 if 'every=5' in options else 10) * 1200)
            counts = self.paths.stop()
            self.assertEqual(counts['to_right']['trains_in'], 0 if '--gso' in options else 1)
            self.assertEqual(counts['refused'], 0)

    def test_marks_are_made_behind_a_queue(self):
        self.start('--to-right', 'rate=8mbit,ce-queue=5000')
        self.left.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ECT_0)
        self.right.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        send_train(self.left, self.right.getsockname(), 10, 1000)
        marks = [self.right.recvmsg(2000, 100)[1][0][2][0] & 3 for _ in range(10)]
        self.assertEqual(marks, [ECT_0] * 5 + [CE] * 5)

    def test_a_queue_for_l4s_marks_what_waits_for_a_millisecond(self):
        self.start('--to-right', 'rate=8mbit,queue=100k,l4s=on')
        self.right.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        self.left.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ECT_1)
        send_train(self.left, self.right.getsockname(), 20, 1000)
        marks = [self.right.recvmsg(2000, 100)[1][0][2][0] & 3 for _ in range(20)]
        # Each takes a millisecond, and two of them are no queue.
        self.assertEqual(marks, [ECT_1] * 3 + [CE] * 17)
        counts = self.paths.stop()['to_right']
        self.assertEqual((counts['marked'], counts['overflowed']), (17, 0))

    def test_the_mtu_is_that_of_the_devices(self):
        self.start('--mtu', '1400')
        self.left.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        self.left.sendto(bytes(1400 - HEADERS), self.right.getsockname())
        self.assertEqual(len(self.right.recv(2000)), 1400 - HEADERS)
        with self.assertRaises(OSError):
            self.left.sendto(bytes(1401 - HEADERS), self.right.getsockname())

    def transfer(self, family, hosts, data):
        """What the right side gets of `data` over TCP."""
        listener = self.paths.socket(1, family, socket.SOCK_STREAM)
        sender = self.paths.socket(0, family, socket.SOCK_STREAM)
        got = []

        def take():
            with listener.accept()[0] as one:
                one.settimeout(HANG_S)
                while part := one.recv(1 << 20):
                    got.append(part)
        with listener, sender:
            listener.settimeout(HANG_S)
            sender.settimeout(HANG_S)
            listener.bind((hosts[1], 0))
            listener.listen()
            thread = threading.Thread(target=take)
            thread.start()
            sender.connect(listener.getsockname())
            sender.sendall(data)
            sender.shutdown(socket.SHUT_WR)
            thread.join(HANG_S)
        return b''.join(got)

    def test_tcp_gets_every_byte_over_any_path(self):
        data = random.Random(1).randbytes(3000000)
        digest = hashlib.sha256(data).digest()
        bad = 'rate=200mbit,queue=200k,delay=2ms,loss=1%,duplicate=1%,reorder=3%,reorder-by=1ms'
        for options in ((), ('--both', 'delay=2ms'), ('--both', bad), ('--both', bad + ',ce=5%'),
                        ('--gro', 'off', '--both', bad), ('--gso', 'off', '--both', bad),
                        ('--whole', '--both', 'loss=1%,delay=1ms'),
                        ('--both', 'corrupt=0.5%,delay=1ms')):
            for family, hosts in ((socket.AF_INET, V4), (socket.AF_INET6, V6)):
                self.paths.start(*options)
                got = self.transfer(family, hosts, data)
                self.assertEqual(hashlib.sha256(got).digest(), digest, options)
                counts = self.paths.stop()
                self.assertEqual(counts['refused'], 0)
                whole = counts['to_right']['trains_in'] > 0
                self.assertEqual(whole, '--gso' not in options)
                if options in ((), ('--both', 'delay=2ms')):
                    self.assertGreater(counts['to_right']['trains_out'], 0)
                if '--gro' in options:
                    self.assertEqual(counts['to_right']['trains_out'], 0)

    def test_mistakes_are_one_line(self):
        for words in ((), ('--left', 'a'), ('--left', '/none', '--right', '/none'), ('--frob',),
                      ('--left', 'a', '--right', 'b', '--both', 'speed=1'), ('here',),
                      ('--left', 'a', '--right', 'b', '--mtu', '9'),
                      ('--left', 'a', '--right', 'b', '--join', '5'),
                      ('--left', 'a', '--right', 'b', '--gso', 'on')):
            done = subprocess.run([PROGRAM, *words], capture_output=True, text=True,
                                  timeout=HANG_S, check=False)
            self.assertEqual((done.returncode, done.stdout), (1 if '/none' in words else 2, ''))
            self.assertRegex(done.stderr, r'\Aip-relay: [^\n]+\n\Z')


def main():
    try:
        namespaces.enter_user_namespace([sys.executable, __file__, *sys.argv[1:], PROGRAM])
        with namespaces.Paths(PROGRAM) as paths:
            paths.start()
    except namespaces.Missing as error:
        print('skipped:', error)
        return 77
    return unittest.main(verbosity=2)


if __name__ == '__main__':
    sys.exit(main())
