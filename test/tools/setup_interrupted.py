#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/deps.sh is killed, interrupted and watched: the next run takes up what is there."""
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import time

import setup_support
from setup_support import (HANG_S, Server, SetupTest, kill_session, session_processes, wait_for)

VERSION = '3.5.7-1~deb13u2'
ORIG = 'openssl_3.5.7.orig.tar.gz'


def is_alive(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


class CompileTest(SetupTest):
    """Stops in the compile of OpenSSL, with all else in the cache."""

    def setUp(self):
        super().setUp()
        self.add_liburing()
        self.main.add('trixie', 'openssl', VERSION)
        self.main.publish()
        self.gate = self.root / 'gate'
        self.make = self.root / 'make.pid'

    def build_all_but_openssl(self):
        self.assertEqual(self.run_deps().returncode, 0)
        shutil.rmtree(next(self.cache.glob('r*/openssl')))

    def start_until_compiling(self, **env):
        """Starts deps.sh and returns when the compile of OpenSSL is half done, and waits."""
        self.build_all_but_openssl()
        process = self.start_deps(STANDIN_GATE=str(self.gate), STANDIN_PID=str(self.make), **env)
        wait_for(lambda: self.make.exists() and self.make.read_text().strip(), 'the compile')
        return process, int(self.make.read_text())

    def assert_next_run_builds_without_network(self):
        """What was complete is used, and no lock is left."""
        shutil.rmtree(self.root / 'www')
        inode = next(self.cache.glob('r*/liburing/built-from')).stat().st_ino
        self.assert_built(self.run_deps(), liburing='2.9-1', openssl=VERSION)
        self.assertEqual(next(self.cache.glob('r*/liburing/built-from')).stat().st_ino, inode)


class Interrupted(CompileTest):
    def test_killed_in_the_compile(self):
        process, make = self.start_until_compiling()
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(make), 'the end of make')
        wait_for(lambda: not session_processes(process.pid), 'the end of all processes')
        self.assertEqual(len(list(self.cache.glob('work.*'))), 1)
        self.assert_next_run_builds_without_network()

    def test_killed_as_a_group_in_the_compile(self):
        process, make = self.start_until_compiling()
        os.killpg(process.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(make), 'the end of make')
        self.assert_next_run_builds_without_network()

    def test_a_surviving_make_does_not_keep_the_lock(self):
        process, make = self.start_until_compiling()
        # Nobody is left to end it.
        groups = (os.getpgid(process.pid), os.getpgid(make))
        survivors = [pid for pid, group in session_processes(process.pid) if group not in groups]
        self.assertEqual(len(survivors), 1, 'the watcher')
        os.kill(survivors[0], signal.SIGKILL)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        self.assertTrue(is_alive(make))
        self.assert_next_run_builds_without_network()

    def test_a_terminated_run_leaves_nothing(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                process, make = self.start_until_compiling()
                self.make.unlink()
                os.kill(process.pid, number)
                process.communicate(timeout=HANG_S)
                self.assertEqual(process.returncode, -number)
                self.assertFalse(is_alive(make))
                self.assertEqual(session_processes(process.pid), [])
                self.assertEqual(list(self.cache.glob('work.*')), [])
        self.assert_next_run_builds_without_network()

    def test_killed_in_the_download(self):
        server = Server(self.root / 'www')
        self.addCleanup(server.end)
        self.use_mirror(server.address())
        server.stall = ORIG
        process = self.start_deps()
        self.assertTrue(server.stalled.wait(HANG_S))
        part = self.cache / 'download' / ORIG
        wait_for(lambda: part.exists() and part.stat().st_size > 0, 'half a file')
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not session_processes(process.pid), 'the end of all processes')
        whole = {path.name for path in (self.cache / 'download').iterdir()} - {ORIG}
        self.assertIn(f'openssl_{VERSION}.dsc', whole)
        server.stall = None
        server.requests.clear()
        inode = next(self.cache.glob('r*/liburing/built-from')).stat().st_ino
        self.assert_built(self.run_deps(), openssl=VERSION)
        self.assertEqual(next(self.cache.glob('r*/liburing/built-from')).stat().st_ino, inode)
        asked = [path.rpartition('/')[2].replace('%7e', '~') for path, _ in server.requests]
        self.assertEqual([name for name in asked if name in whole], [])
        (begin,) = [begin for path, begin in server.requests if path.endswith(ORIG)]
        self.assertRegex(begin, r'^bytes=[1-9]\d*-$', 'it goes on at the end of what is there')

    def test_a_wrong_half_file_is_thrown_away(self):
        server = Server(self.root / 'www')
        self.addCleanup(server.end)
        self.use_mirror(server.address())
        (self.cache / 'download').mkdir(parents=True)
        (self.cache / 'download' / ORIG).write_bytes(b'x' * 100)
        (self.cache / 'download' / f'openssl_{VERSION}.dsc').write_bytes(b'x' * 100000)
        self.assert_built(self.run_deps(), openssl=VERSION)

    def test_two_runs_at_once_build_once(self):
        process, _ = self.start_until_compiling()
        second = self.start_deps()
        line = second.stderr.readline()
        self.assertIn('waiting for another run', line)
        self.gate.touch()
        first_out, _ = process.communicate(timeout=HANG_S)
        second_out, rest = second.communicate(timeout=HANG_S)
        self.assertEqual((second.returncode, second_out, rest), (0, first_out, ''))


class Progress(CompileTest):
    def test_a_log_gets_a_plain_line_now_and_then(self):
        process, _ = self.start_until_compiling(SPATE_PROGRESS_SECONDS='1')
        line = ''
        while not line.startswith('deps.sh: building') or ' files, ' not in line:
            line = process.stderr.readline()
            self.assertNotEqual(line, '')
        self.assertRegex(line, rf'^deps\.sh: building openssl_{re.escape(VERSION)}: '
                         r'2 of about 4 files, \d:\d\d\n$')
        self.gate.touch()
        out, rest = process.communicate(timeout=HANG_S)
        self.assertEqual(out.count('\n'), 1)
        self.assertNotIn('\r', rest)

    def test_a_terminal_shows_one_line_that_is_rewritten_and_ctrl_c_ends_all(self):
        self.build_all_but_openssl()
        out = self.root / 'stdout'
        pid, terminal = pty.fork()
        if pid == 0:
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT, 0o600), 1)
            os.execvpe('bash', self.command(), {
                **self.env, 'STANDIN_GATE': str(self.gate), 'STANDIN_PID': str(self.make)})
        self.addCleanup(os.close, terminal)
        self.addCleanup(kill_session, pid)
        shown = self.read_terminal(terminal, rb'files, \d:\d\d.*files, \d:\d\d')
        self.assertRegex(shown, rb'\r\x1b\[Kdeps\.sh: building openssl_\S+: 2 of about 4 files, '
                         rb'\d:\d\d\r\x1b\[Kdeps\.sh: building')
        make = int(self.make.read_text())
        os.write(terminal, b'\x03')
        self.read_terminal(terminal, None)
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.WTERMSIG(status), signal.SIGINT)
        self.assertFalse(is_alive(make))
        self.assertEqual(session_processes(pid), [])
        self.assertEqual(out.read_text(), '')
        self.assert_next_run_builds_without_network()

    def read_terminal(self, terminal, pattern):
        """Reads until the pattern is shown; without one, until the terminal is closed."""
        shown = b''
        end = time.monotonic() + HANG_S
        while pattern is None or not re.search(pattern, shown, re.DOTALL):
            self.assertLess(time.monotonic(), end, shown)
            if select.select([terminal], [], [], 1)[0]:
                try:
                    shown += os.read(terminal, 4096)
                except OSError:
                    break
        return shown


if __name__ == '__main__':
    setup_support.main()
