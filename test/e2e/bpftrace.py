#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The scripts of tools/bpftrace print what the program itself counts, while a load runs.

usage: bpftrace.py SCRIPTS-DIR SPATE-BENCH SPATE-BENCH-SHARED LIBSPATE

Each script runs as its head says: with the path of a program that has the library inside, with that
of libspate.so for one that links to it, and with a process ID for both.  In a mount namespace of
its own, because bpftrace needs tracefs and debugfs.  Exits with 77 where that cannot be tried: no
bpftrace, no privileges, or a kernel that refuses a probe that does nothing.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SCRIPTS = pathlib.Path(sys.argv[1]).resolve()
STATIC, SHARED, LIBRARY = (os.path.abspath(path) for path in sys.argv[2:5])
PATIENCE_S = 60
IN_FLIGHT = 4  # handshakes
# Says when all probes are attached: BEGIN runs before them, and an interval after.
READY = '\ninterval:ms:200 / !@is_ready / { @is_ready = 1; printf("attached\\n"); }\n'


def skip(why):
    print('skipped:', why)
    sys.exit(77)


def mount(kind, where):
    if not any(pathlib.Path(where).glob('*')):
        subprocess.run(['mount', '-t', kind, 'none', where], check=False, capture_output=True)


def bench(program, *options):
    """What a load has counted."""
    done = subprocess.run([program, *options, '--warmup', '0', '--json', '-'], check=True,
                          capture_output=True, text=True, timeout=PATIENCE_S)
    return json.loads(done.stdout)


def trace(program, options, parameters, load=lambda: None):
    """Runs a script beside a load.  Returns the exit status of bpftrace, what it has printed until
    Ctrl-C, and what `load` returned."""
    with tempfile.NamedTemporaryFile('w+', suffix='.bt') as script, \
            tempfile.TemporaryFile('w+') as out:
        script.write(program + READY)
        script.flush()
        tracer = subprocess.Popen(['bpftrace', '-B', 'line', *options, script.name, *parameters],
                                  stdout=out, stderr=subprocess.STDOUT)
        loaded = None
        try:
            end = time.monotonic() + PATIENCE_S

            def said(text):
                out.seek(0)
                return text in out.read()
            while not said('attached') and tracer.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            if tracer.poll() is None:
                loaded = load()
                tracer.send_signal(signal.SIGINT)
            tracer.wait(PATIENCE_S)
        finally:
            if tracer.poll() is None:
                tracer.kill()
                tracer.wait()
        out.seek(0)
        return tracer.returncode, out.read(), loaded


def values(text, name):
    """The figures of a map: key -> figure; the key of a plain one is ''."""
    return {key: int(value) for key, value in
            re.findall(rf'^@{name}(?:\[(.*?)\])?: (\d+)$', text, flags=re.MULTILINE)}


def buckets(text, name):
    """Of a histogram: (least value, count) of each line with a count."""
    block = re.search(rf'^@{name}(?:\[\w+\])?: *\n((?:[\[(].*\n?)+)', text, flags=re.MULTILINE)
    assert block, (name, text)
    found = []
    for least, unit, count in re.findall(r'^[\[(](\d+)([KM]?)[,\]].*?(\d+) \|', block[1],
                                         flags=re.MULTILINE):
        if int(count) > 0:
            found.append((int(least) * {'': 1, 'K': 1 << 10, 'M': 1 << 20}[unit], int(count)))
    return found


def both(loaded, name):
    return loaded['server'][name] + loaded['client'][name]


def check_turns(text, loaded):
    turns, longest = values(text, 'turns'), values(text, 'longest_us')
    assert len(turns) == len(longest) == 2, text
    # A turn is counted at its end by the program, and where it has worked by the probe.
    assert 0 < sum(turns.values()) <= both(loaded, 'turns') * 1.05 + 100, (text, loaded)
    assert sum(count for _, count in buckets(text, 'turn_us')) == sum(turns.values()), text
    for side in ('server', 'client'):
        counted_us = loaded[side]['turn_longest_ns'] // 1000
        assert any(counted_us <= us <= counted_us + 500_000 for us in longest.values()), \
            (counted_us, text)


def check_rtt(text, loaded):
    count, mean_us = map(int, re.search(r'^@samples_and_mean_us: count (\d+), average (\d+)', text,
                                        flags=re.MULTILINE).groups())
    assert 20_000 <= mean_us < 1_000_000, text  # the relay delays by 10 ms, each way
    assert 0 < count <= both(loaded, 'acks_in') + 20, (text, loaded)
    samples, delays = buckets(text, 'rtt_us'), buckets(text, 'ack_delay_us')
    assert sum(n for _, n in samples) == sum(n for _, n in delays) == count, text
    assert samples[0][0] >= 16 << 10, text
    assert delays[-1][0] < 1 << 20, text


def check_handshakes(text, loaded):
    counts = values(text, 'handshakes')
    done = loaded['handshakes']
    assert set(counts) == {'client', 'server'} and done > 0, (text, loaded)
    for role, count in counts.items():
        # Those in flight when the time is over are done at one end, or at both.
        assert done - IN_FLIGHT <= count <= done + 4 * IN_FLIGHT, (text, done)
        slow = [int(ms) for ms in re.findall(rf'^\S+ \d+: {role} 0x[0-9a-f]+ took (\d+) ms$', text,
                                             flags=re.MULTILINE)]
        # The relay delays by 60 ms, each way: all of them are slow.  Lines may be lost at the end.
        assert count - IN_FLIGHT <= len(slow) <= count and min(slow) >= 110, (role, count, text)
    assert buckets(text, 'handshake_us')[0][0] >= 64 << 10, text


def check_losses(text, loaded):
    lost, reductions = values(text, 'lost'), values(text, 'reductions')
    assert set(lost) <= {'reordering', 'time'} and set(reductions) == {'loss'}, text
    counted = both(loaded, 'packets_lost')
    assert counted <= sum(lost.values()) <= counted * 1.1 + 10, (text, counted)
    each_second = sum(int(n) for n in re.findall(r'^@new_lost\[\w+\]: (\d+)$', text,
                                                 flags=re.MULTILINE))
    assert 0 < each_second <= sum(lost.values()), text
    # At most one in a round trip, which takes 20 ms at least: further losses keep the window.
    assert reductions['loss'] <= (loaded['seconds'] + 1) / 0.02 + 5, text
    assert values(text, 'kept')[''] > 0, text
    assert sum(n for _, n in buckets(text, 'cwnd_after_bytes')) == reductions['loss'], text


# Beside losses.bt: what it must not count.
KEPT = '\nusdt:$1:spate:congestion / arg1 == arg4 / { @kept = count(); }\n'
# Script -> load, check
LOADS = {
    'turns.bt': (['rr', '--seconds', '0.7'], check_turns),
    'rtt.bt': (['rr', '--seconds', '1', '--delay', '0.01'], check_rtt),
    'handshakes.bt': (['handshake', '--seconds', '1', '--delay', '0.06', '--inflight',
                       str(IN_FLIGHT)], check_handshakes),
    # So many that a round trip has several, which are one reduction.
    'losses.bt': (['bulk', '--seconds', '2', '--delay', '0.01', '--loss', '12'], check_losses),
}


def try_path(program, traced):
    for name, (load, check) in LOADS.items():
        script = (SCRIPTS / name).read_text() + (KEPT if name == 'losses.bt' else '')
        status, text, loaded = trace(script, [], [traced],
                                     lambda load=load: bench(program, *load))
        assert status == 0, (name, text)
        check(text, loaded)
        print(f'ok - {name} {os.path.basename(traced)} prints what the program counts')


def try_process(program):
    """Only the server is looked at."""
    server = subprocess.Popen([program, 'serve', '--listen', '127.0.0.1:0'],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        address = re.search(r'(127\.0\.0\.1:\d+)', server.stdout.readline())[1]
        load = ['rr', '--connect', address, '--insecure', '--seconds', '0.5']
        status, text, _ = trace((SCRIPTS / 'turns.bt').read_text(), ['-p', str(server.pid)], [],
                                lambda: bench(program, *load))
        assert status == 0, text
        assert list(values(text, 'turns')) == [f'{server.pid}, 0'], text
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE_S)
    print(f'ok - -p PID: {os.path.basename(program)}')


def main():
    if shutil.which('bpftrace') is None:
        skip('there is no bpftrace')
    if os.geteuid() != 0:
        skip('bpftrace needs root')
    if 'SPATE_TEST_IN_NAMESPACE' not in os.environ:
        done = subprocess.run(['unshare', '--mount', 'true'], check=False, capture_output=True)
        if done.returncode != 0:
            skip('no mount namespace can be made')
        os.execvpe('unshare', ['unshare', '--mount', sys.executable, *sys.argv],
                   {**os.environ, 'SPATE_TEST_IN_NAMESPACE': '1'})
    mount('tracefs', '/sys/kernel/tracing')
    mount('debugfs', '/sys/kernel/debug')
    status, text, _ = trace('usdt:$1:spate:turn { @turns = count(); }', [], [STATIC])
    if status != 0 or 'attached' not in text:
        skip('bpftrace cannot attach a probe here: ' + text.strip().replace('\n', ' | ')[-300:])
    try_path(STATIC, STATIC)
    try_path(SHARED, LIBRARY)
    try_process(STATIC)
    try_process(SHARED)


main()
