#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what a checker has found in the library, each finding once, without the exceptions.

usage: lint_findings.py EXCEPTIONS <LOG       for tools/lint.sh; tested by test_tools.py
"""
import re
import sys

FINDING = re.compile(r'(?:.*/)?((?:proto|engine|uring|crypto)/[^ :]+):(\d+):\d+: '
                     r'(?:warning|error|portability|performance): (.*?) \[([^\[\]]+)\]$')


def read_exceptions(text):
    """Pairs of a file and a check."""
    lines = [line for line in text.split('\n') if line and not line.startswith('#')]
    return {tuple(line.split()) for line in lines}


def findings(log, exceptions):
    seen = set()
    for line in log.split('\n'):
        match = FINDING.match(line)
        if match:
            file, number, message, check = match.groups()
            check = check.split(',')[0]
            if (file, check) not in exceptions:
                seen.add(f'{file}:{number}: {message} [{check}]')
    return sorted(seen)


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        exceptions = read_exceptions(file.read())
    for line in findings(sys.stdin.read(), exceptions):
        print(line)


if __name__ == '__main__':
    main()
