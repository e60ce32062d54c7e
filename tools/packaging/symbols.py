#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the symbols file of a Debian package from the map of what the library exports.

usage: symbols.py MAP SONAME PACKAGE

A node SPATE_X.Y of the map is of version X.Y.0: a program that uses one of its functions depends on
a package of at least that version.
"""
import pathlib
import re
import sys

NODE = re.compile(r'(SPATE_(\d+\.\d+)) \{(.*?)\}', re.S)


def symbols(text, soname, package):
    """The lines of the file."""
    yield f'{soname} {package} #MINVER#'
    for node, version, body in NODE.findall(re.sub(r'/\*.*?\*/', '', text, flags=re.S)):
        names = re.findall(r'\b(spate_\w+);', body)
        for name in sorted([node, *names]):
            yield f' {name}@{node} {version}.0'


def main():
    path, soname, package = sys.argv[1:]
    print('\n'.join(symbols(pathlib.Path(path).read_text(), soname, package)))


if __name__ == '__main__':
    main()
