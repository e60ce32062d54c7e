#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pacing by the kernel: two network namespaces with an Ethernet pair between them that has the
queueing discipline fq, and a capture of what arrives.

usage: bench_fq.py BENCH

Without namespaces it is skipped.  Without fq in the kernel (CONFIG_NET_SCH_FQ) the tests that want
it are, with the reason."""
import ctypes
import functools
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import unittest

from slower import SLOWER

BENCH = sys.argv.pop()
HANG_S = 60 * SLOWER
CLONE_NEWNET = 0x40000000
ETH_P_IP = 0x0800
SO_TIMESTAMPNS = 35
LEFT, RIGHT = '10.78.0.1', '10.78.0.2'
RATE = 12_500_000  # bytes per second: a datagram of 1,200 bytes in 96 us
SECONDS = '1'


class Missing(Exception):
    """Why this cannot be tried here."""


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S, check=False)
    if done.returncode != 0:
        raise Missing(f'{" ".join(words)}: {done.stderr.strip()}')
    return done.stdout


class World:
    """The namespaces, which end with this object: a child sleeps in each."""

    def __init__(self, qdisc):
        self.holders = []
        try:
            self.make(qdisc)
        except (Missing, OSError) as error:
            self.close()
            raise Missing(str(error)) from error

    def make(self, qdisc):
        for _ in range(2):
            self.holders.append(subprocess.Popen(
                ['unshare', '--net', 'sh', '-c', 'echo; exec cat'], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
            if self.holders[-1].stdout.readline() == b'':
                raise Missing('no network namespace: run it as root')
        self.run(0, 'ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v0', 'netns',
                 str(self.holders[1].pid))
        for side, address in enumerate((LEFT, RIGHT)):
            self.run(side, 'ip', 'address', 'add', address + '/24', 'dev', 'v0')
            self.run(side, 'ip', 'link', 'set', 'v0', 'up')
            self.run(side, 'ip', 'link', 'set', 'lo', 'up')
        if qdisc:
            self.run(0, 'tc', 'qdisc', 'replace', 'dev', 'v0', 'root', *qdisc.split())

    def words(self, side, *words):
        return ['nsenter', f'--net=/proc/{self.holders[side].pid}/ns/net', '--', *words]

    def run(self, side, *words):
        return run(self.words(side, *words))

    def popen(self, side, *words):
        return subprocess.Popen(self.words(side, *words), stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.DEVNULL)

    def capture(self, side):
        """A socket that gets all IPv4 packets of that side, with the kernel's time of each."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open('/proc/thread-self/ns/net', 'rb') as own, \
                open(f'/proc/{self.holders[side].pid}/ns/net', 'rb') as other:
            if libc.setns(other.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), 'setns')
            try:
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
                sock.bind(('v0', ETH_P_IP))
            finally:
                libc.setns(own.fileno(), CLONE_NEWNET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setblocking(False)
        return sock

    def close(self):
        for holder in self.holders:
            holder.stdin.close()
            holder.wait(HANG_S)
            holder.stdout.close()
        self.holders = []


def arrivals(sock):
    """(time in ns, bytes) of the large packets in a capture, in their order."""
    found = []
    while True:
        try:
            data, control, _, source = sock.recvmsg(128, 64, socket.MSG_TRUNC)
        except BlockingIOError:
            return found
        if source[2] == socket.PACKET_OUTGOING or len(data) < 28:
            continue
        size = struct.unpack_from('!H', data, 2)[0]
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and size > 1000:
                seconds, ns = struct.unpack('qq', value[:16])
                found.append((seconds * 10**9 + ns, size))


def transfer(world, *words, backend='auto'):
    """Sends at RATE from left to right.  Returns what arrived, and the receiver's JSON."""
    server = world.popen(0, BENCH, 'serve', '--listen', f'{LEFT}:0', '--backend', backend,
                         '--rate-limit', str(RATE), '--mtu', '1200', '--seconds', '30', *words)
    try:
        address = server.stdout.readline().split()[2]
        sock = world.capture(1)
        out = world.run(1, BENCH, 'bulk', '--connect', address, '--insecure', '--seconds', SECONDS,
                        '--warmup', '0.3', '--mtu', '1200', '--json', '-')
        with sock:
            packets = arrivals(sock)
    finally:
        server.terminate()
        server.communicate(timeout=HANG_S)
    return packets, json.loads(out)


def datagrams(packet):
    """How many there are in what the capture got as one: trains are not cut on this path."""
    return max(1, packet[1] // 1200)


def bursts(packets):
    """The mean length of the run of datagrams, with less than 10 us between them, that a datagram
    finds itself in."""
    sizes, run_size = [], datagrams(packets[0])
    for before, after in zip(packets, packets[1:]):
        if after[0] - before[0] < 10_000:
            run_size += datagrams(after)
        else:
            sizes.append(run_size)
            run_size = datagrams(after)
    return statistics.mean(size for size in sizes for _ in range(size))


def gaps_us(packets):
    return [(after[0] - before[0]) / 1000 for before, after in zip(packets, packets[1:])]


@functools.cache
def no_fq():
    """Why there is no fq; empty if there is."""
    try:
        World('fq').close()
        return ''
    except Missing as reason:
        return str(reason).split(': ', 1)[-1]


class Fq(unittest.TestCase):
    def setUp(self):
        self.world = World('' if no_fq() else 'fq')
        self.addCleanup(lambda: self.world.close())

    def check(self, backend):
        figures = {}
        for pacing in ('auto', 'off'):
            packets, report = transfer(self.world, '--kernel-pacing', pacing, backend=backend)
            self.assertGreater(sum(map(datagrams, packets)), 1000)
            cut = packets[len(packets) // 4:-10]  # without the start
            seconds = (cut[-1][0] - cut[0][0]) / 1e9
            rate = sum(size - 28 for _, size in cut[1:]) / seconds
            gaps = sorted(gaps_us(cut))
            figures[pacing] = bursts(cut)
            print(f'{backend}, kernel pacing {pacing}: {rate / RATE:.3f} of the limit, '
                  f'runs of {figures[pacing]:.1f} packets, gaps p10 {gaps[len(gaps) // 10]:.0f} '
                  f'p50 {gaps[len(gaps) // 2]:.0f} p90 {gaps[len(gaps) * 9 // 10]:.0f} us, '
                  f'{report["gbps"]:.3f} Gbit/s')
            self.assertTrue(0.8 < rate / RATE < 1.02, rate)
        self.assertLess(figures['auto'], figures['off'] / 2)

    @unittest.skipIf(no_fq(), f'no fq: {no_fq()}')
    def test_packets_leave_evenly_over_io_uring(self):
        self.check('auto')

    @unittest.skipIf(no_fq(), f'no fq: {no_fq()}')
    def test_packets_leave_evenly_over_mmsg(self):
        self.check('mmsg')

    def test_an_interface_without_fq_is_paced_by_the_shard(self):
        self.world.close()
        self.world = World('')
        packets, report = transfer(self.world)
        self.assertGreater(sum(map(datagrams, packets)), 1000)
        self.assertTrue(0.5 < report['gbps'] * 1e9 / 8 / RATE < 1.02, report['gbps'])


if __name__ == '__main__':
    try:
        World('').close()
    except Missing as reason:
        print(f'skipped: {reason}')
        sys.exit(77)
    unittest.main(verbosity=2)
