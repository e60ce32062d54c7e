#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that all object files of a build include each library's headers from one place.

usage: check_includes.py NINJA BUILD

A target whose dependencies lack OpenSSL still compiles where the system has headers of its own, of
another version; on a bare machine it does not.  Tested by test/unit/tools/test_check_includes.py.
"""
import collections
import subprocess
import sys

LIBRARIES = ['openssl/', 'liburing.h', 'liburing/']


def objects_of(text):
    """Each object file of `ninja -t deps` with the headers that it was made from."""
    name = None
    for line in text.split('\n'):
        if line.startswith(' '):
            yield name, line.strip()
        elif ': #deps' in line:
            name = line.split(': #deps')[0]


def find(text):
    """One sentence for each library that comes from more than one place."""
    for library in LIBRARIES:
        users = collections.defaultdict(set)
        for name, header in objects_of(text):
            folder, found, rest = header.rpartition('/include/' + library)
            if found and '/' not in rest:
                users[folder + '/include'].add(name)
        few = sorted(users, key=lambda folder: len(users[folder]))[:-1]
        for folder in few:
            yield (f'{library.rstrip("/")} of {folder}, not of the build, is in '
                   f'{", ".join(sorted(users[folder]))}: name the dependency in meson.build')


def main():
    if len(sys.argv) != 3:
        print(__doc__.split('\n\n')[1], file=sys.stderr)
        return 2
    done = subprocess.run([sys.argv[1], '-C', sys.argv[2], '-t', 'deps'], capture_output=True,
                          text=True, check=True)
    found = list(find(done.stdout))
    for line in found:
        print(f'check_includes.py: {line}', file=sys.stderr)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
