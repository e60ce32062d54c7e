# SPDX-License-Identifier: MIT
"""What the tests of spate-bench share: how to run it, and what it must always do."""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

from slower import SLOWER

BENCH = None  # the program; see main()
# Much longer than any run here: whoever needs it hangs.
HANG_S = 60 * SLOWER

# A certificate for localhost, 127.0.0.1 and ::1 that is good for a hundred years, its key, and a
# key that is not its own.  They guard nothing.
CERT = """-----BEGIN CERTIFICATE-----
MIIBrzCCAVSgAwIBAgIUTH/+XvYa/oK1mi9vVeuKc+xkQy0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA0NDg1N1oYDzIxMjYxMDI4
MDQ0ODU3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATngrrqYqBPnLnNSOZ7uxVWsCfredH7TmB/RV0CnFnrx4XEeRmhb1fi
qaBnSZXuYDsi1t+FXZzfUc2LTlxkECnGo4GBMH8wHQYDVR0OBBYEFELYznTVd5YK
fHYxsW6Ysa8C6BrCMB8GA1UdIwQYMBaAFELYznTVd5YKfHYxsW6Ysa8C6BrCMA8G
A1UdEwEB/wQFMAMBAf8wLAYDVR0RBCUwI4IJbG9jYWxob3N0hwR/AAABhxAAAAAA
AAAAAAAAAAAAAAABMAoGCCqGSM49BAMCA0kAMEYCIQDJC8HoieZ3F8emDxZC9iG2
ljleXzPQoXJPKiC9AzEiowIhALv+Nuiy70FHCSjm/+UOypSSW0kqgbwUPZVTPzhF
vMTi
-----END CERTIFICATE-----
"""
KEY = """-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIMKcprab4XKaANxnnEKGA+UZDnfl8Om9ya0c3WtxhwqgoAoGCCqGSM49
AwEHoUQDQgAE54K66mKgT5y5zUjme7sVVrAn63nR+05gf0VdApxZ68eFxHkZoW9X
4qmgZ0mV7mA7ItbfhV2c31HNi05cZBApxg==
-----END EC PRIVATE KEY-----
"""
OTHER_KEY = """-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIL1j0ZCxSW38SHMe/PHmbgJcmSEA1WhWFLglpmutX2yboAoGCCqGSM49
AwEHoUQDQgAEdTO2y7TdrU1HaXqD1ObeFF4KTDJ9qEe8qUsi0Yp5JcjMfgjSkOry
HSF3k7frRBZCT2LtiFn/Pky2XaqUvmGe8A==
-----END EC PRIVATE KEY-----
"""


class BenchTest(unittest.TestCase):
    """Each test has a folder of its own and leaves no process behind."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix='spate-bench-')
        self.addCleanup(self.folder.cleanup)

    def path(self, name, text=None):
        path = os.path.join(self.folder.name, name)
        if text is not None:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
        return path

    def run_bench(self, *words):
        return subprocess.run([BENCH, *words], capture_output=True, text=True, timeout=HANG_S,
                              stdin=subprocess.DEVNULL, check=False)

    def start_bench(self, *words):
        process = subprocess.Popen([BENCH, *words], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def start_server(self, *words, listen='127.0.0.1:0'):
        """A server alone; returns its process and its address."""
        process = self.start_bench('serve', '--listen', listen, *words)
        line = process.stdout.readline()
        match = re.match(r'listening at (\S+)', line)
        self.assertTrue(match, f'{line!r}: {process.stderr.read() if not line else ""}')
        return process, match[1]

    def assert_one_line(self, stderr, *parts):
        """An error is one line that begins with the program's name and says these things."""
        self.assertRegex(stderr, r'\Aspate-bench: [^\n]+\n\Z')
        for part in parts:
            self.assertIn(part, stderr)

    def assert_fails(self, words, *parts, code=1):
        done = self.run_bench(*words)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assert_one_line(done.stderr, *parts)
        self.assertEqual(done.stdout, '')

    def run_json(self, *words):
        """Runs a scenario, which must succeed without a word on stderr, and returns its JSON."""
        path = self.path('result.json')
        done = self.run_bench(*words, '--json', path)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        with open(path, encoding='utf-8') as file:
            return json.load(file)


def child_of(process):
    """The process that a running spate-bench has forked."""
    path = f'/proc/{process.pid}/task/{process.pid}/children'
    end = time.monotonic() + HANG_S
    while time.monotonic() < end:
        with open(path, encoding='ascii') as file:
            children = file.read().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError('no child')


def is_alive(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def wait_until_gone(pid, seconds):
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not is_alive(pid)


def main():
    global BENCH
    BENCH = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
