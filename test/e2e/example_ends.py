#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Examples whose ring fails end and say so; where processes replace each other, one that says
nothing, and one for which there is no descriptor, cost no time and end nothing.

usage: example_ends.py SPATE CLIENT FAIL_RING HAND_OVER FLEET_SERVER EXAMPLE..."""
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import unittest

from processes import Processes, cpu_s
from slower import SLOWER

SPATE, CLIENT, FAIL_RING, HAND_OVER, FLEET = (os.path.abspath(sys.argv.pop(1)) for _ in range(5))
EXAMPLES = [os.path.abspath(path) for path in sys.argv[1:]]
del sys.argv[1:]
HANG_S = 20 * SLOWER
WATCHED_S = 1.5
WATCHED_CPU_S = 0.2 * SLOWER  # a loop that spins takes all of WATCHED_S
PATIENCE_S = 11  # beyond 10 s, which used to end a channel


class Ends(Processes):
    def setUp(self):
        self.path = str(self.make_certificate(SPATE, HANG_S) / 'next')

    def begin(self, *words, **more):
        server = self.start(*words, **more)
        words = server.stdout.readline().split()
        self.assertIn(words[:1], (['listening'], ['server']), words)
        return server, words[-1]

    def test_who_has_no_ring_any_more_says_so_and_ends(self):
        caps = subprocess.run([SPATE, 'caps', '--json'], capture_output=True, check=True)
        if json.loads(caps.stdout)['backend']['name'] != 'io_uring':
            self.skipTest('there is no io_uring')
        for example in EXAMPLES:
            with self.subTest(os.path.basename(example)):
                words = [self.path + '.d'] if example.endswith('file_receive') else []
                if words:
                    os.mkdir(words[0])
                server, port = self.begin(example, self.cert, self.key, '0', *words,
                                          env={**os.environ, 'LD_PRELOAD': FAIL_RING})
                if example.endswith('workers'):
                    subprocess.run([CLIENT, port, self.cert], timeout=HANG_S, check=True,
                                   stdout=subprocess.DEVNULL)
                server.send_signal(signal.SIGUSR1)
                # The loop of a program may have no reason to enter its ring before a packet.
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as poke:
                    end = time.monotonic() + HANG_S
                    while server.poll() is None and time.monotonic() < end:
                        poke.sendto(bytes(1200), ('127.0.0.1', int(port)))
                        time.sleep(0.05)
                _, said = server.communicate(timeout=HANG_S)
                self.assertEqual((server.returncode, said.count('\n')), (1, 1), said)
                self.assertIn('Input/output error', said)

    def begin_both(self):
        return (self.begin(HAND_OVER, self.cert, self.key, '0', self.path, '1')[0],
                self.begin(FLEET, self.cert, self.key, '127.0.0.1', '0', '11', self.path + 'f')[0])

    @staticmethod
    def wait_for(path):
        end = time.monotonic() + HANG_S
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.01)

    def connect(self, path):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(channel.close)
        channel.settimeout(HANG_S)
        self.wait_for(path)
        channel.connect(path)
        return channel

    @staticmethod
    def fds_of(server):
        return {int(fd) for fd in os.listdir(f'/proc/{server.pid}/fd')}

    def assert_quiet(self, server):
        before = cpu_s(server.pid)
        time.sleep(WATCHED_S)
        self.assertLessEqual(cpu_s(server.pid) - before, WATCHED_CPU_S)

    def test_a_process_that_finds_no_descriptor_waits_for_one(self):
        for server, path in zip(self.begin_both(), (self.path, self.path + 'f')):
            with self.subTest(path):
                self.wait_for(path)
                _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
                used = self.fds_of(server)
                free = min(set(range(len(used) + 1)) - used)
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (free, most))
                self.connect(path)
                self.assert_quiet(server)
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
                end = time.monotonic() + HANG_S
                while len(self.fds_of(server)) <= len(used) and time.monotonic() < end:
                    time.sleep(0.05)
                self.assertGreater(len(self.fds_of(server)), len(used))  # it has the channel
                server.send_signal(signal.SIGTERM)
                _, said = server.communicate(timeout=HANG_S)
                self.assertNotIn('Bad file descriptor', said)

    def test_a_process_that_says_nothing_holds_up_nothing(self):
        for server, path in zip(self.begin_both(), (self.path, self.path + 'f')):
            with self.subTest(path):
                channel = self.connect(path)
                self.connect(path)  # which waits until the first one is over
                time.sleep(0.2)
                self.assert_quiet(server)
                channel.settimeout(PATIENCE_S)
                with self.assertRaises(TimeoutError):  # and no end
                    while channel.recv(65536) != b'':
                        pass
                    self.fail('the channel was closed')
                before = time.monotonic()
                server.send_signal(signal.SIGTERM)
                server.communicate(timeout=HANG_S)
                self.assertLess(time.monotonic() - before, 3 * SLOWER)


if __name__ == '__main__':
    unittest.main(verbosity=2)
