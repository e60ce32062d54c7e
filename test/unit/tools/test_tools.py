#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The checkers are programs too: each must find what it is for, and nothing else.

usage: test_tools.py TOOLS CC       the folder with the tools and a C compiler
"""
import json
import pathlib
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(sys.argv[1])
CC = sys.argv[2:]
sys.path.insert(0, str(TOOLS))
sys.dont_write_bytecode = True
import archive  # noqa: E402
import lint_findings  # noqa: E402
import tap  # noqa: E402
import test_report  # noqa: E402

def archive_of(root, body):
    source, thing, archive = root / 'x.c', root / 'x.o', root / 'x.a'
    source.write_text(body)
    subprocess.run([*CC, '-c', source, '-o', thing], check=True)
    archive.unlink(missing_ok=True)
    subprocess.run(['ar', 'rc', archive, thing], check=True)
    return archive


def impure_archives_are_found():
    table = [
        ('#include <string.h>\nvoid f(char *a, char *b) { memmove(a, b, 300); }', True),
        ('static int g(void) { return 1; }\nint f(void) { return g(); }', True),
        ('#include <stdlib.h>\nvoid *f(void) { return malloc(3); }', False),
        ('#include <time.h>\nlong f(void) { return time(0); }', False),
        ('#include <stdio.h>\nvoid f(int x) { printf("%d", x); }', False),
        ('int elsewhere(void);\nint f(void) { return elsewhere(); }', False),
        ('extern int x;', False),  # no symbol at all: looked at the wrong thing
    ]
    with tempfile.TemporaryDirectory() as folder:
        for body, pure in table:
            archive = archive_of(pathlib.Path(folder), body)
            run = subprocess.run([sys.executable, TOOLS / 'check_pure.py', archive],
                                 capture_output=True, text=True)
            assert (run.returncode == 0) == pure, (body, run.stdout, run.stderr)


def a_finding_is_shown_once_and_an_exception_not():
    log = """[1/9] Compiling C object x
../proto/wire/x.h:60:24: warning: use of uninitialized value ‘*b.size’ [CWE-457] [-Wanalyzer-x]
../proto/wire/x.h:60:24: warning: use of uninitialized value ‘*b.size’ [CWE-457] [-Wanalyzer-x]
/home/me/build/../uring/y.c:7:1: error: Dereference of null [clang-analyzer-z,-warnings-as-errors]
crypto/z.c:9:2: performance: Slow [slow]
bench/load/z.c:9:2: warning: Not ours [slow]
crypto/z.c:9:2: note: calling [slow]
    7 |  x[0]
"""
    exceptions = lint_findings.read_exceptions('# why\n\ncrypto/z.c slow\ncrypto/y.c other\n')
    want = ['proto/wire/x.h:60: use of uninitialized value ‘*b.size’ [CWE-457] [-Wanalyzer-x]',
            'uring/y.c:7: Dereference of null [clang-analyzer-z]']
    assert lint_findings.findings(log, exceptions) == want
    assert len(lint_findings.findings(log, set())) == 3


CMOCKA_GOOD = '''[==========] Running 2 test(s).
[ RUN      ] one
[       OK ] one
[ RUN      ] two
[       OK ] two
[==========] 2 test(s) run.
[  PASSED  ] 2 test(s).
'''
CMOCKA_BAD = '''[==========] tests: Running 4 test(s).
[ RUN      ] one
[       OK ] one
[ RUN      ] two
[  FAILED  ] two
[ RUN      ] three
[  SKIPPED ] three
[ RUN      ] four
[  ERROR   ] --- 0x1 != 0x2
[  FAILED  ] four
[==========] tests: 4 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] tests: 1 test(s), listed below:
[  SKIPPED ] three
[  FAILED  ] tests: 2 test(s), listed below:
[  FAILED  ] two
[  FAILED  ] four
'''


def names_are_read_from_a_version_script_and_nodes_are_not():
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / 'x.map'
        script.write_text('/* not; */\nX_0.1 {\n    global:\n        one;\n        two;\n'
                          '    local:\n        *;\n};\nX_0.2 {\n    global:\n        three;\n'
                          '} X_0.1;\nX_1 {\n        four;\n} X_0.2;\n')
        names = archive.public_symbols(script)
        assert names == ['one', 'two', 'three', 'four'], names


def an_archive_shows_what_the_script_names():
    """With a compiler whose path has a space."""
    with tempfile.TemporaryDirectory(suffix=' with a space') as folder:
        folder = pathlib.Path(folder)
        compiler = folder / 'cc'
        compiler.write_text(f'#!/bin/sh\nexec {" ".join(CC)} "$@"\n')
        compiler.chmod(0o755)
        (folder / 'x.c').write_text('int one(void); int two(void);\n'
                                    'int one(void) { return two(); }\n'
                                    'int two(void) { return 2; }\n')
        (folder / 'x.map').write_text('X_0.1 {\n    global:\n        one;\n};\n')
        subprocess.run([*CC, '-c', '-o', folder / 'x.o', folder / 'x.c'], check=True)
        subprocess.run(['ar', 'rcs', folder / 'x.a', folder / 'x.o'], check=True)
        made = subprocess.run([sys.executable, TOOLS / 'archive.py', 'objcopy', 'ar',
                               folder / 'x.map', folder / 'y.a', folder / 'x.a', '--', '--',
                               compiler], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        shown = subprocess.run(['nm', '--extern-only', '--defined-only', folder / 'y.a'],
                               capture_output=True, text=True, check=True).stdout
        assert [line.split()[-1] for line in shown.splitlines() if ' T ' in line] == ['one'], shown


def the_report_counts_single_tests():
    table = [
        # result, output -> passed, failed, skipped
        ('OK', CMOCKA_GOOD, (2, 0, 0)),
        ('OK', CMOCKA_GOOD + CMOCKA_GOOD, (4, 0, 0)),
        ('FAIL', CMOCKA_BAD, (1, 2, 1)),
        ('OK', CMOCKA_BAD, (1, 2, 1)),  # whatever it says itself
        ('FAIL', CMOCKA_GOOD, (2, 1, 0)),  # a leak found at the end, for example
        ('FAIL', ''.join(CMOCKA_GOOD.splitlines(True)[:4]), (1, 1, 0)),  # a crash
        ('OK', ''.join(CMOCKA_GOOD.splitlines(True)[:4]), (1, 1, 0)),  # exit(0) on the way
        ('OK', '[==========] Running 0 test(s).\n', (0, 1, 0)),
        ('OK', '', (1, 0, 0)),
        ('OK', 'ok this is prose\n', (1, 0, 0)),
        ('FAIL', '', (0, 1, 0)),
        ('TIMEOUT', '', (0, 1, 0)),
        ('SKIP', '', (0, 0, 1)),
        ('OK', 'ok 1 - one\nok 2 - two # SKIP why\nok - three\n', (2, 0, 1)),
        ('FAIL', 'ok - one\nnot ok - two\n', (1, 1, 0)),
        ('OK', 'ok - one\nnot ok - two\n', (1, 1, 0)),
    ]
    for result, output, want in table:
        test = {'name': 'x', 'result': result, 'stdout': output}
        counts, wrong = test_report.count(test)
        got = (counts.passed, counts.failed, counts.skipped)
        assert got == want, (result, output, got, want)
        assert (wrong is not None) == (got[1] > 0), (result, output, wrong)


def the_report_fails_when_it_should():
    def run(tests, *args):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / 'log.json'
            log.write_text(''.join(json.dumps(test) + '\n' for test in tests))
            done = subprocess.run([sys.executable, TOOLS / 'test_report.py', *args, log],
                                  capture_output=True, text=True)
            return done.returncode, done.stdout.splitlines()[-1]

    good = {'name': 'good', 'result': 'OK', 'stdout': ''}
    bad = {'name': 'bad', 'result': 'FAIL', 'stdout': 'why', 'returncode': 1}
    skip = {'name': 'skip', 'result': 'SKIP', 'stdout': ''}
    assert run([good, good]) == (0, '2 passed, 0 failed')
    assert run([good, bad]) == (1, '1 passed, 1 failed')
    assert run([good, skip]) == (0, '1 passed, 0 failed')
    assert run([good, skip], '--no-skip') == (1, '1 passed, 1 failed')
    browser = {'name': 'spate:e2e / bench_suite', 'result': 'SKIP', 'stdout': ''}
    assert run([good, browser], '--no-skip') == (0, '1 passed, 0 failed')
    assert run([skip]) == (1, '0 passed, 0 failed')
    assert run([]) == (1, '0 passed, 0 failed')
    with tempfile.TemporaryDirectory() as folder:
        prefix = pathlib.Path(folder) / 'report'
        assert run([good], '--sanitizer-reports', prefix) == (0, '1 passed, 0 failed')
        for pid in 12, 345:
            prefix.with_suffix(f'.{pid}').write_text('WARNING: a race')
        assert run([good], '--sanitizer-reports', prefix) == (1, '1 passed, 2 failed')


def the_demo_shows_what_was_measured():
    def side(scale):
        return {'cpu_s_per_gb': 0.25 * scale, 'cpu_us_per_request': 12.5 * scale,
                'cpu_us_per_handshake': 350 * scale, 'datagrams_per_send': 32.0 * scale}

    def result(scenario, **values):
        nothing = dict.fromkeys(['gbps', 'requests_per_s', 'handshakes_per_s', 'p50_us', 'p90_us',
                                 'p99_us', 'p999_us', 'max_us'])
        return {'scenario': scenario, 'seconds': 5.0, 'lost_packets': 7, 'server': side(1),
                'client': side(2), 'config': {'cipher': 'AES', 'mtu': 1472}, **nothing, **values}

    with tempfile.TemporaryDirectory() as folder:
        for name, values in (
                ('bulk-down', result('bulk', gbps=4.567)),
                ('bulk-up', result('bulk', gbps=123.4)),
                ('rr-1', result('rr', requests_per_s=12345.6, p50_us=61.2, p99_us=1234.5)),
                ('rr-100', result('rr', requests_per_s=0.0)),
                ('handshake', result('handshake', handshakes_per_s=890.1))):
            (pathlib.Path(folder) / f'{name}.json').write_text(json.dumps(values))
        for at, wait in enumerate(('adaptive', 'sleep', 'spin')):
            for inflight in (1, 10, 100):
                values = result('rr', requests_per_s=1000.0 * inflight + at, p50_us=20.5 + at,
                                p99_us=300.0 + at)
                (pathlib.Path(folder) / f'wait-{wait}-{inflight}.json').write_text(
                    json.dumps(values))
        run = [sys.executable, TOOLS / 'demo_table.py', folder]
        lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split('\n')
        got = [line.split('  ') for line in lines]
        got = [[cell.strip() for cell in line if cell.strip()] for line in got]
        assert got[1] == ['bulk, server to client', '4.57 Gbit/s', '-', '-', '-', '-', '-',
                          '0.25 s/GB', '0.50 s/GB', '32.0', '7'], got[1]
        assert got[2][1] == '123 Gbit/s' and got[2][-2] == '64.0', got[2]
        assert got[3] == ['requests, 1 in flight', '12,346 req/s', '61.2', '-', '1,234', '-', '-',
                          '12.5 us', '25.0 us', '32.0', '7'], got[3]
        assert got[5][1] == '890 hs/s' and got[5][-4:-2] == ['350 us', '700 us'], got[5]
        waits = [line for line in got if line and 'ing (--' in line[0]]
        assert waits == [
            ['sleeping (--spin 0)', '21.5', '301', '12.5 us', '10,001 req/s', '12.5 us',
             '100,001 req/s', '12.5 us'],
            ['spinning (--busy-poll)', '22.5', '302', '12.5 us', '10,002 req/s', '12.5 us',
             '100,002 req/s', '12.5 us']], waits
        (pathlib.Path(folder) / 'rr-1.json').unlink()
        assert subprocess.run(run, capture_output=True, check=False).returncode != 0


def main():
    return tap.run([
        impure_archives_are_found,
        a_finding_is_shown_once_and_an_exception_not,
        names_are_read_from_a_version_script_and_nodes_are_not,
        an_archive_shows_what_the_script_names,
        the_report_counts_single_tests,
        the_report_fails_when_it_should,
        the_demo_shows_what_was_measured,
    ])


if __name__ == '__main__':
    sys.exit(main())
