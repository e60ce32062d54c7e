#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The seccomp profile for containers: servers, clients and loads run under it with both back-ends,
and what it does not list is refused.

usage: seccomp.py LOADER PROFILE SPATE SPATE-BENCH
"""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import unittest

LOADER, PROFILE, SPATE, BENCH = (os.path.abspath(sys.argv.pop(1)) for _ in range(4))
HANG_S = 60
SIZE = 1_000_000
RING = 'io_uring_setup,io_uring_enter,io_uring_register'


def under(*words, without=None):
    """A command line that runs `words` under the profile."""
    options = ['--without', without] if without else []
    return [sys.executable, LOADER, *options, PROFILE, *map(str, words)]


def run(*words, without=None):
    return subprocess.run(under(*words, without=without), capture_output=True, text=True,
                          timeout=HANG_S, check=False, stdin=subprocess.DEVNULL)


def has_ring():
    caps = json.loads(subprocess.run([SPATE, 'caps', '--json'], check=True, capture_output=True,
                                     text=True).stdout)
    return caps['backend']['name'] == 'io_uring'


class Profile(unittest.TestCase):
    def test_the_list_is_sorted_and_names_nothing_twice(self):
        profile = json.loads(pathlib.Path(PROFILE).read_text())
        names = [name for rule in profile['syscalls'] for name in rule['names']]
        self.assertEqual(len(names), len(set(names)))
        for rule in profile['syscalls']:
            self.assertEqual(rule['names'], sorted(rule['names']))
            self.assertTrue(rule['comment'])
        self.assertEqual(profile['defaultAction'], 'SCMP_ACT_ERRNO')
        for forbidden in ('ptrace', 'mount', 'bpf', 'keyctl', 'process_vm_readv', 'reboot',
                          'init_module', 'unshare', 'setns', 'pivot_root', 'userfaultfd'):
            self.assertNotIn(forbidden, names)

    def test_what_it_does_not_list_is_refused(self):
        """ptrace (PTRACE_TRACEME): EPERM, and the program goes on."""
        ask = ('import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True);'
               'print(libc.syscall(int(sys.argv[1]), 0, 0, 0, 0), ctypes.get_errno())')
        ptrace = {'x86_64': 101, 'aarch64': 117}[platform.machine()]
        plain = subprocess.run([sys.executable, '-c', ask, str(ptrace)], capture_output=True,
                               text=True, check=True).stdout
        done = run(sys.executable, '-c', ask, ptrace)
        self.assertEqual((done.returncode, done.stdout), (0, '-1 1\n'), done.stderr)
        self.assertNotEqual(plain, done.stdout)  # nobody but the filter refuses it

    def test_files_come_through_it(self):
        with tempfile.TemporaryDirectory(prefix='spate-seccomp-') as folder:
            top = pathlib.Path(folder)
            (top / 'root').mkdir()
            (top / 'root/file').write_bytes(os.urandom(SIZE))
            for without in None, RING:
                server = subprocess.Popen(
                    under(SPATE, 'serve', '--listen', '127.0.0.1:0', '--root', top / 'root',
                          '--cert-out', top / 'ca.pem', without=without),
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                    env={**os.environ, 'SPATE_STAT_DIR': folder})
                try:
                    line = server.stdout.readline()
                    address = re.fullmatch(r'listening at (\S+)\n', line)
                    self.assertTrue(address, line or server.stderr.read())
                    out = top / f'out-{without is None}'
                    (top / out.name).mkdir()
                    done = run(SPATE, 'get', '--ca', top / 'ca.pem', '-o', out, '--tickets',
                               top / 'tickets', '--qlog', out, f'https://{address[1]}/file',
                               without=without)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    if without or not has_ring():  # spate get says which back-end it has, and why
                        self.assertRegex(done.stderr, r'\Aspate get: io_uring cannot be used.*\n\Z')
                    else:
                        self.assertEqual(done.stderr, '')
                    self.assertEqual((out / 'file').read_bytes(),
                                     (top / 'root/file').read_bytes())
                    server.terminate()
                    self.assertEqual(server.wait(HANG_S), 0)
                finally:
                    server.kill()
                    server.communicate()

    def bench(self, scenario, *words, without=None):
        done = run(BENCH, scenario, '--seconds', '0.2', '--warmup', '0', *words, '--json', '-',
                   without=without)
        self.assertEqual(done.returncode, 0, (scenario, words, done.stderr))
        return json.loads(done.stdout)

    def test_loads_run_with_each_backend(self):
        backends = ['io_uring', 'mmsg'] if has_ring() else ['mmsg']
        for backend in backends:
            for scenario in 'rr', 'bulk', 'handshake':
                self.bench(scenario, '--backend', backend)

    def test_a_profile_without_io_uring_falls_back(self):
        """AUTO chooses mmsg, says why, and works; asking for io_uring names the filter."""
        caps = run(SPATE, 'caps', '--json', without=RING)
        found = json.loads(caps.stdout)
        self.assertEqual(found['backend']['name'], 'mmsg', found['backend'])
        if has_ring():
            self.assertIn('seccomp', found['backend']['reason'])
        self.assertEqual(self.bench('rr', without=RING)['config']['backend'], 'mmsg')
        done = run(BENCH, 'rr', '--seconds', '0.1', '--backend', 'io_uring', without=RING)
        self.assertNotEqual(done.returncode, 0)
        if has_ring():
            self.assertIn('seccomp', done.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
