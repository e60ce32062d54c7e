#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads meson's testlog.json, shows what failed and counts single tests.

A test program that prints cmocka's lines ("[       OK ] name") or TAP lines ("ok 1 - name")
counts as that many tests; any other counts as one.  Never trusts a program's exit status
alone, nor its output alone: either may say that something failed.
"""
import argparse
import glob
import json
import pathlib
import re
import sys

TAIL_LINES = 120
# What no machine must have: a browser, and a kernel that loads BPF programs.
MAY_SKIP = ('bench_suite', 'bpftrace')
CMOCKA_START = re.compile(r'^\[=+\] (?:[^\n]*: )?Running (\d+) test\(s\)', re.MULTILINE)
CMOCKA_OK = re.compile(r'^\[ +OK \] ', re.MULTILINE)
CMOCKA_SKIPPED = re.compile(r'^\[ +SKIPPED +\] (?:[^\n]*: )?(\d+) test\(s\)', re.MULTILINE)
TAP = re.compile(r'^(ok|not ok) (?:\d+|-)([^\n#]*)(# SKIP)?', re.MULTILINE)


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def count_cmocka(output):
    """What was announced and neither passed nor was skipped has failed, or never ran."""
    counts = Counts()
    counts.passed = len(CMOCKA_OK.findall(output))
    counts.skipped = sum(map(int, CMOCKA_SKIPPED.findall(output)))
    announced = sum(map(int, CMOCKA_START.findall(output)))
    counts.failed = max(0, announced - counts.passed - counts.skipped)
    return counts


def count_tap(output):
    counts = Counts()
    for verdict, _, skip in TAP.findall(output):
        if skip:
            counts.skipped += 1
        elif verdict == 'ok':
            counts.passed += 1
        else:
            counts.failed += 1
    return counts


def count(test):
    """Counts one meson test; returns the counts and what is wrong with it, or None."""
    output = test.get('stdout', '') + '\n' + test.get('stderr', '')
    counts = Counts()
    started = CMOCKA_START.search(output)
    if started:
        counts = count_cmocka(output)
    elif TAP.search(output):
        counts = count_tap(output)

    result = test['result']
    if result == 'SKIP':
        counts = Counts()
        counts.skipped = 1
        return counts, None
    if result == 'EXPECTEDFAIL':
        counts = Counts()
        counts.passed = 1
        return counts, None
    if result != 'OK':
        if counts.failed == 0:
            counts.failed = 1  # it crashed, hung or leaked
        return counts, result.lower()
    if counts.failed > 0:
        return counts, f'{counts.failed} failed, but the program says that it succeeded'
    if started and counts.passed + counts.skipped == 0:
        counts.failed = 1
        return counts, 'it has no test in it'
    if counts.passed + counts.skipped == 0:
        counts.passed = 1
    return counts, None


def show(test, wrong):
    lines = (test.get('stdout', '') + test.get('stderr', '')).rstrip().split('\n')
    print(f'\n=== {test["name"]}: {wrong} (exit {test.get("returncode")},'
          f' {test.get("duration", 0):.1f} s)')
    if len(lines) > TAIL_LINES:
        print(f'... {len(lines) - TAIL_LINES} lines before')
    for line in lines[-TAIL_LINES:]:
        print(f'    {line}')
    print(f'    command: {" ".join(test.get("command", []))}')


def show_sanitizer_reports(prefix):
    """Returns how many processes have written one: each is a failure, whatever their test says."""
    paths = sorted(glob.glob(glob.escape(prefix) + '.*')) if prefix else []
    for path in paths:
        print(f'\n=== {path}')
        for line in pathlib.Path(path).read_text(errors='replace').split('\n')[:TAIL_LINES]:
            print(f'    {line}')
    return len(paths)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--no-skip', action='store_true', help='a skipped test is a failure')
    parser.add_argument('--sanitizer-reports', metavar='PREFIX',
                        help='the log_path of the sanitizers: each file is a failure')
    parser.add_argument('log')
    args = parser.parse_args()
    path = pathlib.Path(args.log)
    tests = [json.loads(line) for line in path.read_text().split('\n') if line] \
        if path.exists() else []

    total = Counts()
    for test in tests:
        counts, wrong = count(test)
        may_skip = test['name'].split()[-1] in MAY_SKIP
        if counts.skipped and args.no_skip and not wrong and not may_skip:
            wrong = 'skipped, which is not allowed here'
            counts.failed += counts.skipped
            counts.skipped = 0
        elif counts.skipped:
            print(f'skipped: {test["name"]} ({counts.skipped})')
        if wrong:
            show(test, wrong)
        total.add(counts)
    total.failed += show_sanitizer_reports(args.sanitizer_reports)
    ran = total.passed + total.failed
    if ran == 0:
        print('no test ran')
    if total.skipped:
        print(f'{total.skipped} skipped')
    print(f'{total.passed} passed, {total.failed} failed')
    return 1 if total.failed or ran == 0 else 0


if __name__ == '__main__':
    sys.exit(main())
