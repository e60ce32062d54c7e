#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The probes are in the library and in programs, with their arguments, and the scripts for bpftrace
use no others.

usage: probes.py READELF SOURCE-DIR FILE...
"""
import pathlib
import platform
import re
import subprocess
import sys

READELF, SOURCE, *FILES = sys.argv[1:]
# name -> arguments
PROBES = {
    'conn_started': 2,     # connection, role
    'conn_closed': 4,      # connection, kind, is it ours, error
    'handshake_done': 3,   # connection, role, nanoseconds
    'packet_sent': 4,      # connection, space, number, bytes
    'packet_received': 4,  # connection, space, number, bytes
    'packet_dropped': 4,   # connection, type, bytes, reason
    'packet_lost': 3,      # loss recovery of a connection, number, cause
    'rtt_sample': 3,       # round trip of a path, nanoseconds, of them the peer's delay
    'congestion': 5,       # controller, window after it, lost bytes, is it a mark, window before
    'stream_opened': 2,    # connection, ID
    'stream_closed': 2,    # connection, ID
    'turn': 2,             # shard, nanoseconds between two waits
}


def notes(file):
    """All probes of a file: name -> list of arguments, address and base of each place."""
    out = subprocess.run([READELF, '--notes', '--wide', file], check=True, capture_output=True,
                         text=True).stdout
    found = {}
    for provider, name, location, base, arguments in re.findall(
            r'Provider: (\w+)\n\s+Name: (\w+)\n\s+Location: (0x\w+), Base: (0x\w+), '
            r'Semaphore: 0x0+\n\s+Arguments: (.*)', out):
        if provider == 'spate':
            found.setdefault(name, []).append((arguments.split(), int(location, 16),
                                               int(base, 16)))
    return found


def code_of(file):
    """The ranges of addresses that can be executed."""
    out = subprocess.run([READELF, '--program-headers', '--wide', file], check=True,
                         capture_output=True, text=True).stdout
    return [(int(at, 16), int(at, 16) + int(size, 16)) for at, size in re.findall(
        r'LOAD\s+0x\w+ (0x\w+) 0x\w+ 0x\w+ (0x\w+) R E', out)]


def check(file):
    found, code = notes(file), code_of(file)
    assert set(found) == set(PROBES), (file, set(found) ^ set(PROBES))
    for name, places in found.items():
        for arguments, location, base in places:
            assert len(arguments) == PROBES[name], (file, name, arguments)
            assert all(re.fullmatch(r'8@\S+', one) for one in arguments), (file, name, arguments)
            assert any(start <= location < end for start, end in code), (file, name, location)
            assert base != 0, (file, name)
    print(f'ok - {pathlib.Path(file).name}: {sum(map(len, found.values()))} places, '
          f'{len(found)} probes with their arguments')


def scripts():
    used = set()
    for script in sorted(pathlib.Path(SOURCE, 'tools/bpftrace').glob('*.bt')):
        text = re.sub(r'/\*.*?\*/', '', script.read_text(), flags=re.DOTALL)
        places = re.split(r'^usdt:\$1:spate:(\w+)', text, flags=re.MULTILINE)[1:]
        assert places, script
        assert 'bpftrace -p PID' in script.read_text() and '/PATH/PROGRAM' in script.read_text()
        for name, body in zip(places[::2], places[1::2]):
            assert name in PROBES, (script, name)
            body = re.split(r'^\}', body, flags=re.MULTILINE)[0]
            most = max((int(n) for n in re.findall(r'\barg(\d)', body)), default=0)
            assert most < PROBES[name], (script, name, most)
            used.add(name)
    assert {'handshake_done', 'packet_lost', 'turn', 'rtt_sample'} <= used, used
    print('ok - the scripts use probes that exist')


if platform.machine() not in ('x86_64', 'aarch64'):
    print('no probes on this machine')
    sys.exit(77)
for one in FILES:
    check(one)
scripts()
