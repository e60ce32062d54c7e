# SPDX-License-Identifier: MIT
"""Two network namespaces with a path between them: what test/e2e and bench/peers run programs on.

The namespaces end with this process: a child sleeps in each until its standard input closes."""
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess

LEFT, RIGHT = '10.77.0.1', '10.77.0.2'
HANG_S = 20
CLONE_NEWNET = 0x40000000


class Missing(Exception):
    """Why there can be no namespaces here."""


def enter_user_namespace(argv):
    """Begins this program again as root of a user namespace, if it is not root.  Raises Missing if
    it may not."""
    if os.geteuid() == 0:
        return
    words = ['unshare', '--user', '--map-root-user', '--net']
    if subprocess.run([*words, 'true'], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Missing('no user namespace: run it as root')
    os.execvp('unshare', [*words, *argv])


class Paths:
    """Namespaces `left` and `right`, and ip-relay between them once start() was called."""

    def __init__(self, relay):
        self.relay_program = relay
        self.holders = []
        self.relay = None
        if not os.access('/dev/net/tun', os.R_OK | os.W_OK):
            raise Missing('no /dev/net/tun that can be opened')

    def __enter__(self):
        try:
            for _ in range(2):
                self.holders.append(subprocess.Popen(
                    ['unshare', '--net', 'sh', '-c', 'echo; exec cat'], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
                if self.holders[-1].stdout.readline() == b'':
                    raise Missing('no network namespace: run it as root')
        except Missing:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.relay is not None:
            self.relay.kill()
            self.relay.communicate()
        for holder in self.holders:
            holder.stdin.close()
            holder.wait(HANG_S)
            holder.stdout.close()
        self.holders = []

    def words(self, side, command):
        """The command, run on `side` (0 or 1)."""
        return ['nsenter', f'--net=/proc/{self.holders[side].pid}/ns/net', '--',
                *map(str, command)]

    def popen(self, side, command, **options):
        return subprocess.Popen(self.words(side, command), **options)

    def socket(self, side, family, kind):
        """A socket of that side, for this process.  The calling thread visits the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open('/proc/thread-self/ns/net', 'rb') as own, \
                open(f'/proc/{self.holders[side].pid}/ns/net', 'rb') as other:
            if libc.setns(other.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), 'setns')
            try:
                return socket.socket(family, kind)
            finally:
                if libc.setns(own.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), 'setns')

    def start(self, *options):
        """Starts the relay; whatever one was there is ended by stop()."""
        words = [self.relay_program]
        for name, holder in zip(('--left', '--right'), self.holders):
            words += [name, f'/proc/{holder.pid}/ns/net']
        self.relay = subprocess.Popen([*words, *map(str, options)], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
        if self.relay.stdout.readline() != 'ready\n':
            error = self.relay.communicate()[1].strip()
            self.relay = None
            raise Missing(error or 'the relay does not start')

    def stop(self):
        """Ends the relay.  Returns its counters."""
        relay, self.relay = self.relay, None
        relay.send_signal(signal.SIGTERM)
        out, error = relay.communicate(timeout=HANG_S)
        if relay.returncode != 0:
            raise RuntimeError(f'{pathlib.Path(self.relay_program).name}: {error.strip()}')
        return json.loads(out)
