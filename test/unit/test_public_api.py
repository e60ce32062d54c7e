#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What programs link to: the headers, the version script and the library name the same functions.

usage: test_public_api.py SOURCE-DIR VERSION LIBSPATE.so VERSION.h CC...
"""
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(sys.argv[1])
VERSION, LIBRARY, HEADER, *CC = sys.argv[2:]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared():
    """The functions of the public headers."""
    names = []
    for header in (SOURCE / 'engine/include/spate').glob('*.h'):
        text = re.sub(r'/\*.*?\*/', '', header.read_text(), flags=re.DOTALL)
        found = re.findall(r'^SPATE_API\b[^;(]*?\b(spate_\w+)\(', text, re.MULTILINE)
        assert len(found) == len(re.findall(r'^SPATE_API\b', text, re.MULTILINE)), header
        names += found
    assert len(names) > 20, names
    return names


def nodes():
    """The version script as (node, the one that it inherits from, names) in its order."""
    text = re.sub(r'/\*.*?\*/', '', (SOURCE / 'engine/spate.map').read_text(), flags=re.DOTALL)
    found = re.findall(r'(SPATE_\d+\.\d+) \{\s*global:\s*(.*?)\s*'
                       r'(?:local:\s*\*;\s*)?\}(?: (SPATE_\d+\.\d+))?;', text, re.DOTALL)
    assert found, text
    return [(node, base, re.findall(r'(\w+);', names)) for node, names, base in found]


def the_map_lists_what_the_headers_declare():
    listed = [name for _, _, names in nodes() for name in names]
    assert len(set(listed)) == len(listed), 'a name stands twice in the map'
    assert set(listed) == set(declared()), sorted(set(listed) ^ set(declared()))


def the_nodes_are_sorted_and_each_inherits_from_the_one_before():
    before = ''
    for node, base, names in nodes():
        assert names == sorted(names), f'{node} is not sorted'
        assert base == before, f'{node} inherits from {base or "nothing"}, not from {before}'
        before = node


def the_library_exports_the_map_and_nothing_else():
    exported = set()
    for line in run('readelf', '--dyn-syms', '--wide', LIBRARY).splitlines():
        fields = line.split()
        if len(fields) == 8 and fields[4] in ('GLOBAL', 'WEAK') and fields[6] not in ('UND', 'ABS'):
            exported.add(fields[7])
    expected = {f'{name}@@{node}' for node, _, names in nodes() for name in names}
    assert exported == expected, sorted(exported ^ expected)


def the_soname_is_that_of_the_major_version():
    major = VERSION.split('.', maxsplit=1)[0]
    soname = re.search(r'\(SONAME\).*\[(.*)\]', run('readelf', '-d', LIBRARY))[1]
    assert soname == f'libspate.so.{major}', soname


def the_macros_are_the_version_of_the_project():
    macros = dict(re.findall(r'^#define (SPATE_VERSION\w*) (.*)$',
                             run(*CC, '-E', '-dM', HEADER), re.MULTILINE))
    assert macros['SPATE_VERSION'] == f'"{VERSION}"', macros
    parts = [macros[f'SPATE_VERSION_{part}'] for part in ('MAJOR', 'MINOR', 'PATCH')]
    assert '.'.join(parts) == VERSION, macros


def main():
    failed = 0
    for test in (the_map_lists_what_the_headers_declare,
                 the_nodes_are_sorted_and_each_inherits_from_the_one_before,
                 the_library_exports_the_map_and_nothing_else,
                 the_soname_is_that_of_the_major_version,
                 the_macros_are_the_version_of_the_project):
        try:
            test()
            print(f'ok - {test.__name__}')
        except AssertionError as error:
            print(f'not ok - {test.__name__}: {error}')
            failed += 1
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
