# SPDX-License-Identifier: MIT
"""Tests that start programs: no process stays behind."""
import os
import pathlib
import subprocess
import tempfile
import unittest


def cpu_s(pid):
    """The CPU time that a process has taken."""
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Processes(unittest.TestCase):
    def start(self, *words, **more):
        """Starts a program that ends with the test.  It has pipes, but for those in `more`."""
        pipes = {name: subprocess.PIPE for name in ('stdin', 'stdout', 'stderr')}
        process = subprocess.Popen([*map(str, words)], text=True, **{**pipes, **more})
        self.addCleanup(self.end, process)
        return process

    def make_certificate(self, spate, timeout):
        """Makes the files `self.cert` and `self.key` in a folder that goes with the test.  Returns
        the folder."""
        folder = tempfile.TemporaryDirectory(prefix='spate-test-')
        self.addCleanup(folder.cleanup)
        self.cert, self.key = f'{folder.name}/cert.pem', f'{folder.name}/key.pem'
        subprocess.run([spate, 'cert', '--cert-out', self.cert, '--key-out', self.key], check=True,
                       timeout=timeout, stdout=subprocess.DEVNULL)
        return pathlib.Path(folder.name)

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()
