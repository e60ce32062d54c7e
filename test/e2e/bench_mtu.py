#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Links that take less than datagram_size_max, as tunnels do, between two network namespaces.

Requests of which each answer is a dozen large packets and a small one, 100 a second: the small one
gets through, so that neither the idle timeout nor a count of probe timeouts ends the silence.  The
narrow side of a veth pair drops in silence what its peer sends; the wide side of a narrow link
refuses it (EMSGSIZE).

And transfers of which nobody knows the MTU: soon their datagrams are as large as the link takes."""
import json
import os
import re
import subprocess
import sys
import time
import unittest

import bench_support as support
from slower import SLOWER

RATE = 100
SECONDS = 3
SERVER, CLIENT = 0, 1
ADDRESSES = '10.77.9.1:0', '[fd77:9::1]:0'
OVERHEADS = 28, 48  # of IP and UDP
WIDE = '9500'
SEARCH_SECONDS = 0.5 * SLOWER


def sh(*words, check=True):
    return subprocess.run(words, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Link:
    """Two namespaces and a pair of devices."""

    def __init__(self):
        self.names = [f'spate-mtu-{os.getpid()}-{i}' for i in range(2)]
        self.devices = [f'smtu{os.getpid() % 100000}{side}' for side in 'ab']
        for name in self.names:
            sh('ip', 'netns', 'add', name)
        sh('ip', 'link', 'add', self.devices[0], 'netns', self.names[0], 'type', 'veth', 'peer',
           'name', self.devices[1], 'netns', self.names[1])
        for i in range(2):
            # Segments are made before the link, as on a real one, or it would not see their size.
            self.set(i, 'gso_max_segs', '1')
            sh('ip', '-n', self.names[i], 'addr', 'add', f'10.77.9.{i + 1}/24', 'dev',
               self.devices[i])
            sh('ip', '-n', self.names[i], 'addr', 'add', f'fd77:9::{i + 1}/64', 'dev',
               self.devices[i], 'nodad')
            self.set(i, 'up')

    def set(self, side, *words):
        sh('ip', '-n', self.names[side], 'link', 'set', self.devices[side], *words)

    def inside(self, side, words):
        return ['ip', 'netns', 'exec', self.names[side], support.BENCH, *words]

    def remove(self):
        for name in self.names:
            sh('ip', 'netns', 'del', name, check=False)


class Mtu(support.BenchTest):

    def setUp(self):
        super().setUp()
        self.link = Link()
        self.addCleanup(self.link.remove)

    def start(self, side, words):
        process = subprocess.Popen(self.link.inside(side, words), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.addCleanup(self.end, process)
        return process

    def run_requests(self, backend, narrow=None):
        """Runs the load; after a while the link becomes what `narrow` says.  Returns the JSON."""
        common = ['--backend', backend, '--mtu', '1452']
        server = self.start(SERVER, ['serve', '--listen', '10.77.9.1:0', '--server-cpu', 'any',
                                     *common])
        address = re.match(r'listening at ([^\s,]+)', server.stdout.readline())[1]
        path = self.path('result.json')
        client = self.start(CLIENT, ['rr', '--connect', address, '--insecure', '--rate',
                                     str(RATE), '--response', '20000', '--seconds', str(SECONDS),
                                     '--warmup', '0', '--timeout', '10', '--client-cpu', 'any',
                                     '--json', path, *common])
        if narrow is not None:
            time.sleep(SECONDS / 4)
            narrow()
        _, errors = client.communicate(timeout=support.HANG_S)
        self.end(server)
        self.assertEqual((client.returncode, errors), (0, ''))
        with open(path, encoding='utf-8') as file:
            return json.load(file)

    def check(self, result):
        # A few seconds of silence would show: nearly all requests have their answer.
        self.assertGreater(result['requests'], RATE * SECONDS * 0.7)

    def upload(self, family, *words):
        """Sends for a while as fast as the link takes it.  Returns the client's part of the JSON,
        and the Gbit/s."""
        server = self.start(SERVER, ['serve', '--listen', ADDRESSES[family], '--server-cpu', 'any'])
        address = re.match(r'listening at ([^\s,]+)', server.stdout.readline())[1]
        path = self.path('result.json')
        client = self.start(CLIENT, ['bulk', '--connect', address, '--insecure', '--json', path,
                                     '--direction', 'up', '--seconds', str(SEARCH_SECONDS),
                                     '--warmup', '0', '--client-cpu', 'any', *words])
        _, errors = client.communicate(timeout=support.HANG_S)
        self.end(server)
        self.assertEqual((client.returncode, errors), (0, ''))
        with open(path, encoding='utf-8') as file:
            result = json.load(file)
        return result['client']['conns'], result['gbps']

    def check_search(self, family, mtu):
        conns, _ = self.upload(family, '--mtu', '65507')
        best = mtu - OVERHEADS[family]
        self.assertLessEqual(conns['datagram_bytes'], best)
        self.assertGreaterEqual(conns['datagram_bytes'], best * 0.97)
        self.assertEqual(conns['mtu_fallbacks'], 0)

    def test_a_transfer_finds_what_a_link_drops(self):
        self.link.set(CLIENT, 'mtu', WIDE)
        for mtu in 1280, 1400, 1420, 1500, 4000, 9000:
            for family in range(2):
                with self.subTest(mtu=mtu, family=family):
                    self.link.set(SERVER, 'mtu', str(mtu))
                    self.check_search(family, mtu)

    def test_a_transfer_finds_what_an_interface_refuses(self):
        self.link.set(SERVER, 'mtu', WIDE)
        for mtu in 1280, 1420, 1500, 4000, 9000:
            for family in range(2):
                with self.subTest(mtu=mtu, family=family):
                    self.link.set(CLIENT, 'mtu', str(mtu))
                    self.check_search(family, mtu)

    def test_a_link_that_drops_from_the_start(self):
        for backend in 'io_uring', 'mmsg':
            for side in SERVER, CLIENT:
                with self.subTest(backend=backend, narrow=side):
                    self.link.set(side, 'mtu', '1400')
                    self.check(self.run_requests(backend))
                    self.link.set(side, 'mtu', '1500')

    def test_a_link_that_begins_to_drop(self):
        for backend in 'io_uring', 'mmsg':
            with self.subTest(backend=backend):
                self.check(self.run_requests(
                    backend, lambda: self.link.set(CLIENT, 'mtu', '1400')))
                self.link.set(CLIENT, 'mtu', '1500')

    def test_an_interface_that_begins_to_refuse(self):
        for backend in 'io_uring', 'mmsg':
            with self.subTest(backend=backend):
                self.check(self.run_requests(
                    backend, lambda: self.link.set(SERVER, 'mtu', '1400')))
                self.link.set(SERVER, 'mtu', '1500')


if __name__ == '__main__':
    try:
        Link().remove()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f'skipped: no network namespaces: {error}', file=sys.stderr)
        sys.exit(77)
    support.main()
