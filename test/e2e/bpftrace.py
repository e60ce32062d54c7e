#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The scripts of tools/bpftrace print what they are for while a load runs.

usage: bpftrace.py SPATE-BENCH SCRIPTS-DIR

In a mount namespace of its own, because bpftrace needs tracefs and debugfs.  Probes are attached by
the path of the program.  Exits with 77 where that cannot be tried: no bpftrace, no privileges, or a
kernel that refuses a probe that does nothing.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BENCH, SCRIPTS = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2])
PATIENCE_S = 60
# Script -> what it prints at the end of an "rr" without losses.
WANTED = {
    'turns.bt': [r'@longest_us\[0\]: \d+', r'@turn_us:', r'\|@+ *\|'],
    'rtt.bt': [r'@rtt_us:', r'@ack_delay_us:', r'\|@+ *\|'],
    'handshakes.bt': [r'@handshake_ms\[0\]:', r'@handshake_ms\[1\]:', r'\|@+ *\|'],
    'losses.bt': [r'\d\d:\d\d:\d\d'],
}


def mount(kind, where):
    if not any(pathlib.Path(where).glob('*')):
        subprocess.run(['mount', '-t', kind, 'none', where], check=False, capture_output=True)


def trace(program, load_s):
    """What bpftrace has printed about a load, after Ctrl-C."""
    with tempfile.NamedTemporaryFile('w+', suffix='.bt') as script, \
            tempfile.TemporaryFile('w+') as out:
        script.write(program)
        script.flush()
        tracer = subprocess.Popen(['bpftrace', '-B', 'line', script.name], stdout=out,
                                  stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + PATIENCE_S

            def said(text):
                out.seek(0)
                return text in out.read()
            while not said('attached') and tracer.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            if tracer.poll() is None and load_s:
                subprocess.run([BENCH, 'rr', '--seconds', str(load_s), '--warmup', '0'],
                               check=True, capture_output=True, timeout=PATIENCE_S)
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGINT)
            tracer.wait(PATIENCE_S)
        finally:
            if tracer.poll() is None:
                tracer.kill()
                tracer.wait()
        out.seek(0)
        return tracer.returncode, out.read()


# Says when all probes are attached: BEGIN runs before them, and an interval after.
READY = '\ninterval:ms:200 / !@is_ready / { @is_ready = 1; printf("attached\\n"); }\n'


def skip(why):
    print('skipped:', why)
    sys.exit(77)


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
    status, text = trace(f'usdt:{BENCH}:spate:turn {{ @turns = count(); }}' + READY, 0)
    if status != 0 or 'attached' not in text:
        skip('bpftrace cannot attach a probe here: ' + text.strip().replace('\n', ' | ')[-300:])
    for name, patterns in WANTED.items():
        program = (SCRIPTS / name).read_text().replace('usdt:*:', f'usdt:{BENCH}:')
        status, text = trace(program + READY, 1.2)
        assert status == 0, (name, text)
        for pattern in patterns:
            assert re.search(pattern, text), (name, pattern, text)
        print(f'ok - {name} prints what it is for')


main()
