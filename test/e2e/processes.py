# SPDX-License-Identifier: MIT
"""Tests that start programs: no process stays behind."""
import subprocess
import unittest


class Processes(unittest.TestCase):
    def start(self, *words, **more):
        """Starts a program that ends with the test.  It has pipes, but for those in `more`."""
        pipes = {name: subprocess.PIPE for name in ('stdin', 'stdout', 'stderr')}
        process = subprocess.Popen([*map(str, words)], text=True, **{**pipes, **more})
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()
