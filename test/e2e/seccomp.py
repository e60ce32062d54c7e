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
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.request

LOADER, PROFILE, SPATE, BENCH = (os.path.abspath(sys.argv.pop(1)) for _ in range(4))
sys.path.insert(0, os.path.dirname(LOADER))
import seccomp  # noqa: E402
HANG_S = 60
# A sanitizer looks for leaks by means that no profile allows.
os.environ['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0'
SIZE = 1_000_000
# Functions that make other calls than they are named after; and what the README says of.
OF_LIBRARY = {'eventfd': 'eventfd2', 'fork': 'clone', 'futimens': 'utimensat', 'lutimes':
              'utimensat', 'posix_fallocate': 'fallocate', 'setrlimit': 'prlimit64',
              'signalfd': 'signalfd4', 'time': 'clock_gettime'}
UNLISTED = {'perf_event_open'}
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

    def test_what_the_programs_call_is_listed(self):
        """Functions of the C library that are named as their system calls."""
        known = seccomp.numbers()
        listed = {name for rule in json.loads(pathlib.Path(PROFILE).read_text())['syscalls']
                  for name in rule['names']}
        unlisted, count = set(), 0
        for folder in 'engine', 'uring', 'crypto', 'tools/spate', 'tools/histogram', 'bench/load':
            for file in (pathlib.Path(PROFILE).parents[2] / folder).rglob('*.c'):
                text = re.sub(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', '', file.read_text(), flags=re.S)
                for called, number in re.findall(r'\b([a-z]\w+)\(|\b(?:__NR|SYS)_(\w+)', text):
                    name = called or number
                    name = OF_LIBRARY.get(name, name)
                    count += name in listed
                    if name in known and name not in listed | UNLISTED:
                        unlisted.add((name, str(file)))
        self.assertEqual(unlisted, set())
        self.assertGreater(count, 300)

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

    def start(self, *words, without=None, **more):
        process = subprocess.Popen(under(*words, without=without), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                                   **more)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def folder(self):
        folder = tempfile.TemporaryDirectory(prefix='spate-seccomp-')
        self.addCleanup(folder.cleanup)
        return pathlib.Path(folder.name)

    def wait_for(self, process, pattern):
        """Reads up to a line that matches."""
        lines = []
        for line in process.stdout:
            if found := re.fullmatch(pattern + '\n', line):
                return found
            lines.append(line)
        raise AssertionError((lines, process.stderr.read()))

    def end(self, process):
        process.terminate()
        out, errors = process.communicate(timeout=HANG_S)
        self.assertEqual(process.returncode, 0, errors)
        return out

    def assert_done(self, done):
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_trees_are_copied_under_it(self):
        """Links, times, permissions and holes; the identity that the server makes."""
        top = self.folder()
        tree, back = top / 'tree', top / 'back'
        (tree / 'deep').mkdir(parents=True)
        (top / 'root/in').mkdir(parents=True)
        (tree / 'deep/file').write_bytes(os.urandom(SIZE))
        (tree / 'holes').write_bytes(b'x')
        os.truncate(tree / 'holes', 8 * SIZE)
        (tree / 'link').symlink_to('deep/file')
        (tree / 'deep/file').chmod(0o640)
        os.utime(tree / 'deep/file', ns=(1, 981173106987654321))
        server = self.start(SPATE, 'serve', '--cp', '--listen', '127.0.0.1:0', '--root',
                            top / 'root', '--identity', top / 'identity', '--writable', 'in')
        port = self.wait_for(server, r'listening at \S+:(\d+)')[1]
        words = ['--port', port, '--known', top / 'known']
        for command, option in ('cp', ['-r']), ('sync', []):
            done = run(SPATE, command, *option, *words, tree, f'127.0.0.1:in/{command}')
            self.assertEqual(done.returncode, 0, done.stderr)
            copy = top / 'root/in' / command
            copy = copy if (copy / 'link').is_symlink() else copy / 'tree'
            self.assertEqual(os.readlink(copy / 'link'), 'deep/file')
            status = (copy / 'deep/file').stat()
            self.assertEqual((status.st_mode & 0o777, status.st_mtime_ns),
                             (0o640, 981173106987654321))
            self.assertEqual((copy / 'deep/file').read_bytes(), (tree / 'deep/file').read_bytes())
        self.assert_done(run(SPATE, 'cp', '-r', *words, '127.0.0.1:in/cp', back))
        self.assertEqual(len(list(back.rglob('link'))), 1)
        self.end(server)

    def test_a_swarm_runs_under_it(self):
        """Also one whose file is there under its name, with a piece that is wrong: it is copied."""
        top = self.folder()
        (top / 'seed').mkdir()
        (top / 'seed/file').write_bytes(os.urandom(4 * SIZE))
        (top / 'got').mkdir()
        wrong = bytearray((top / 'seed/file').read_bytes())
        wrong[3 * SIZE] ^= 1
        (top / 'got/file').write_bytes(wrong)
        self.assert_done(run(SPATE, 'swarm', 'make', top / 'seed/file', top / 'meta'))
        seeder = self.start(SPATE, 'swarm', 'seed', '--listen', '127.0.0.1:0', '--identity',
                            top / 'identity', top / 'meta', top / 'seed')
        address = self.wait_for(seeder, r'listening at (\S+)')[1]
        done = run(SPATE, 'swarm', 'fetch', '--peer', address, '--known', top / 'known', '--json',
                   top / 'meta', top / 'got')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((top / 'got/file').read_bytes(), (top / 'seed/file').read_bytes())
        self.end(seeder)

    def test_units_pass_datagrams_on_under_it(self):
        top = self.folder()
        (top / 'token').write_text('a token that all units have\n')
        ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for end in ends:
            self.addCleanup(end.close)
            end.bind(('127.0.0.1', 0))
            end.settimeout(0.2)
        devices = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for device in devices:
            device.bind(('127.0.0.1', 0))
        ports = [device.getsockname()[1] for device in devices]
        for device in devices:
            device.close()
        units = []
        for i, more in enumerate((['--listen', '127.0.0.1:0'], None)):
            more = more or ['--connect', address]
            unit = self.start(SPATE, 'relay', '--unit', i + 1, '--identity', top / f'id{i}',
                              '--token', top / 'token', '--udp',
                              f'127.0.0.1:{ports[i]}=127.0.0.1:{ends[i].getsockname()[1]}',
                              '--json', *more)
            if i == 0:
                address = self.wait_for(unit, r'listening at (\S+)')[1]
            units.append(unit)
        for _ in range(100):
            ends[0].sendto(b'to the other side', ('127.0.0.1', ports[0]))
            try:
                self.assertEqual(ends[1].recv(100), b'to the other side')
                break
            except TimeoutError:
                continue
        else:
            self.fail('nothing comes through')
        for unit in units:
            self.end(unit)

    def test_counters_are_read_under_it(self):
        top = self.folder()
        server = self.start(BENCH, 'serve', '--listen', '127.0.0.1:0',
                            env={**os.environ, 'SPATE_STAT_DIR': str(top)})
        self.wait_for(server, r'listening at (\S+).*')
        file, = top.glob('*.stat')
        for words in (['--json'], ['--once', '--interval', '100'], ['--prometheus']):
            self.assert_done(run(SPATE, 'stat', file, *words))
        self.assert_done(run(SPATE, 'hist', 'print', file))
        exporter = self.start(SPATE, 'stat', file, '--listen', '127.0.0.1:0')
        host, port = self.wait_for(exporter, r'listening at (\S+):(\d+)').groups()
        with urllib.request.urlopen(f'http://{host}:{port}/metrics', timeout=HANG_S) as answer:
            self.assertIn(b'spate_turns_total', answer.read())
        self.end(exporter)

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
