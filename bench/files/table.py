#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate cp beside what people use, and on a link of 1 Gbit/s: `table.py BUILD [PART...]`.

The parts are `loopback`, `small`, `link` and `idle`; without one: all.  BUILD is a folder that
tools/build.sh has made; `idle` needs -Dtests=enabled.  `link` needs root.  Files
are in /dev/shm.  Each line has the wall time and the CPU seconds of both sides; what is compared
runs in turns: `loopback` beside cp, rsync's daemon, nginx with curl, and scp, `small` beside
rsync's daemon.  Where the machine has other work, only the CPU seconds say something.  What is not
installed is left out.
"""
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import beside

TICK = os.sysconf('SC_CLK_TCK')
LINK_BITS = 1_000_000_000
# Bytes of a stream in a packet of 1,472 bytes, in a frame of 1,514: header, offset, tag.
LINK_SHARE = (1472 - 36) / 1514
RUNS = 3


def cpu_of(pid):
    """CPU seconds of a process and of its children that have ended."""
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / TICK


def memory_of(pid):
    """Bytes that a process has in memory."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+)', status)[1]) * 1024


class Bench:
    def __init__(self, build, top, stack):
        self.spate = os.path.abspath(f'{build}/tools/spate')
        self.peer = os.path.abspath(f'{build}/test/e2e/files_peer')
        self.top, self.stack = top, stack
        self.www = top / 'www'
        (self.www / 'in').mkdir(parents=True)
        self.out = top / 'out'

    def start(self, words, **more):
        pipes = {'stdin': subprocess.DEVNULL, 'text': True, **more}
        process = subprocess.Popen([*map(str, words)], **pipes)
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        return process

    def serve(self, address='127.0.0.1', before=(), more=()):
        server = self.start([*before, self.spate, 'serve', '--cp', '--listen', f'{address}:0',
                             '--root', self.www, '--writable', 'in', '--early',
                             '--identity', self.top / 'identity', *more], stdout=subprocess.PIPE)
        for line in server.stdout:
            if match := re.fullmatch(r'listening at \S+:(\d+)\n', line):
                return server, match[1]
        sys.exit('spate serve does not start')

    def clean(self):
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.rmtree(self.www / 'in')
        self.out.mkdir()
        (self.www / 'in').mkdir()

    def run(self, words, server=None):
        """Returns wall seconds, CPU seconds of both sides, and what was printed."""
        self.clean()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        served = cpu_of(server.pid) if server else 0
        start = time.monotonic()
        done = subprocess.run([*map(str, words)], check=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if server:
            time.sleep(0.1)  # a daemon takes the times of its children when they have ended
            served = cpu_of(server.pid) - served
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, used + served, done.stdout

    def compare(self, title, size, rows):
        """Runs the rows in turns and prints their medians."""
        print(f'\n{title}\n\n| what | wall, s | CPU of both, s | {"MB/s" if size else "files/s"} |')
        print('|---|---|---|---|')
        found = [[self.run(words, server) for _, words, server in rows] for _ in range(RUNS)]
        for i, (name, _, _) in enumerate(rows):
            wall = statistics.median(run[i][0] for run in found)
            cpu = statistics.median(run[i][1] for run in found)
            rate = size / wall / 1e6 if size else 10_000 / wall
            print(f'| {name} | {wall:.2f} | {cpu:.2f} | {rate:.0f} |')

    def cp(self, port, *words, address='127.0.0.1', before=()):
        return [*before, self.spate, 'cp', '--port', port, '--known', self.top / 'known', '--json',
                *(str(word).replace('@', address) for word in words)]


def fill(path, size):
    with open(path, 'wb') as file:
        for at in range(0, size, 1 << 20):
            file.write(os.urandom(min(size - at, 1 << 20)))


def loopback(bench):
    size = 1 << 30
    fill(bench.www / 'big', size)
    server, port = bench.serve()
    big = bench.www / 'big'
    rows = [('`spate cp` from the server', bench.cp(port, '@:big', bench.out), server),
            ('`spate cp` to the server', bench.cp(port, big, '@:in'), server),
            ('`cp`', ['cp', big, bench.out], None)]
    daemon, address = beside.rsync(bench)
    if daemon:
        rows.append(("rsync's daemon", ['rsync', '-a', '--whole-file', f'{address}/big', bench.out],
                     daemon))
    rows += beside.nginx(bench, big) + beside.scp(bench, big)
    bench.compare('1 GiB over loopback', size, rows)
    big.unlink()


def small(bench):
    folder = bench.www / 'small'
    folder.mkdir()
    for i in range(10_000):
        (folder / f'{i:05}').write_bytes(os.urandom(4096))
    server, port = bench.serve()
    rows = [('`spate cp -r` from the server', bench.cp(port, '-r', '@:small', bench.out), server),
            ('`spate cp -r` to the server', bench.cp(port, '-r', folder, '@:in'), server)]
    daemon, address = beside.rsync(bench)
    if daemon:
        rows += [('rsync from its daemon', ['rsync', '-a', f'{address}/small', bench.out], daemon),
                 ('rsync to its daemon', ['rsync', '-a', folder, f'{address}/in/'], daemon)]
    bench.compare('10,000 files of 4 KB over loopback', 0, rows)
    shutil.rmtree(folder)


@contextlib.contextmanager
def shaped_link():
    """Two namespaces with a link between them; yields the words that run a command in each."""
    names = [f'spate-{os.getpid()}-{side}' for side in 'ab']
    try:
        for name in names:
            subprocess.run(['ip', 'netns', 'add', name], check=True)
        subprocess.run(['ip', 'link', 'add', 'v0', 'netns', names[0], 'type', 'veth', 'peer',
                        'name', 'v0', 'netns', names[1]], check=True)
        for i, name in enumerate(names):
            for words in (f'ip addr add 10.77.0.{i + 1}/24 dev v0', 'ip link set v0 up',
                          f'tc qdisc add dev v0 root tbf rate {LINK_BITS} burst 256k latency 20ms'):
                subprocess.run(['ip', 'netns', 'exec', name, *words.split()], check=True)
        yield [['ip', 'netns', 'exec', name] for name in names]
    finally:
        for name in names:
            subprocess.run(['ip', 'netns', 'del', name], check=False)


def link(bench):
    with shaped_link() as (here, there), contextlib.ExitStack() as bench.stack:
        _, port = bench.serve('10.77.0.2', there)
        print('\nA link of 1 Gbit/s\n\n| from the server | ms, with the connection | ms, without '
              '| of the link |\n|---|---|---|---|')
        for name, size in (('1 KB', 1000), ('100 KB', 100_000), ('1 MB', 1_000_000),
                           ('10 MB', 10_000_000), ('100 MB', 100_000_000), ('1 GB', 1 << 30)):
            fill(bench.www / 'file', size)
            whole, rest = [], []
            for _ in range(RUNS + 2 if size < 1e7 else 2):
                words = bench.cp(port, '@:file', bench.out, address='10.77.0.2', before=here)
                found = json.loads(bench.run(words)[2])
                if found['bytes'] != size:
                    sys.exit(f"{name}: {found['bytes']} bytes came")
                whole.append(found['seconds'] * 1e3)
                rest.append(found['seconds'] * 1e3 - found['connect_ms'])
            ms, rest_ms = statistics.median(whole), statistics.median(rest)
            share = size * 8 / (rest_ms / 1e3) / (LINK_BITS * LINK_SHARE)
            print(f'| {name} | {ms:.1f} | {rest_ms:.1f} | {share:.1%} |', flush=True)
    (bench.www / 'file').unlink()


def idle(bench):
    """Clients that have a file and stay: what the server has of them."""
    count = 10_000
    (bench.www / 'one').write_bytes(os.urandom(1000))
    # A WANT: flags, permissions, time, size of the file, offset and size of the piece, path.
    body = struct.pack('>BHqQQQ', 0, 0, 0, 0, 0, 1 << 40) + struct.pack('>H', 3) + b'one'
    request = bench.top / 'request'
    request.write_bytes(struct.pack('>BI', 3, len(body)) + body)
    server, port = bench.serve(more=['--conns', count + 100])
    before = memory_of(server.pid)
    client = bench.start([bench.peer, 'hold', port, count, request], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    if client.stdout.readline() != 'held\n':
        sys.exit('idle: the clients were lost')
    time.sleep(5)  # a connection is idle after a second, and the heap is looked at after two
    after = memory_of(server.pid)
    client.stdin.close()
    print(f'\n{count} clients that have a file and stay: the server has {after / 1e6:.1f} MB, '
          f'{before / 1e6:.1f} MB before, {(after - before) / count:.0f} bytes for each')


def main():
    parts = {'loopback': loopback, 'small': small, 'link': link, 'idle': idle}
    chosen = sys.argv[2:] or list(parts)
    if '--help' in sys.argv:
        print(__doc__)
        return
    if len(sys.argv) < 2 or not os.access(f'{sys.argv[1]}/tools/spate', os.X_OK) or \
            not set(chosen) <= set(parts):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix='spate-files-', dir='/dev/shm') as folder:
        for name in chosen:
            with contextlib.ExitStack() as stack:
                top = pathlib.Path(folder) / name
                top.mkdir()
                parts[name](Bench(sys.argv[1], top, stack))


if __name__ == '__main__':
    main()
