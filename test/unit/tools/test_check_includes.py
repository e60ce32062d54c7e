#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_includes.py on what ninja prints.

usage: test_check_includes.py TOOLS      the folder with the tools
"""
import pathlib
import sys

TOOLS = pathlib.Path(sys.argv[1])
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))
import check_includes  # noqa: E402
import tap  # noqa: E402


def deps_of(*objects):
    """The text for objects, each a name and its headers."""
    return ''.join(f'{name}: #deps {len(headers)}, deps mtime 1 (VALID)\n'
                   + ''.join(f'    {header}\n' for header in headers) + '\n'
                   for name, headers in objects)


def one_place_is_fine():
    text = deps_of(('a.o', ['../a.c', '/usr/include/openssl/ssl.h',
                            '/usr/include/x86_64-linux-gnu/openssl/configuration.h']),
                   ('b.o', ['../b.c', '/usr/include/openssl/evp.h', '/opt/x/include/liburing.h']),
                   ('c.o', ['/usr/include/stdio.h']))
    assert not list(check_includes.find(text))
    assert not list(check_includes.find(''))


def another_place_is_found_with_its_objects():
    text = deps_of(('a.o', ['/opt/x/include/openssl/ssl.h', '/opt/x/include/openssl/evp.h']),
                   ('b.o', ['/opt/x/include/openssl/ssl.h']),
                   ('test/c.o', ['../c.c', '/usr/include/openssl/types.h']),
                   ('d.o', ['/opt/x/include/liburing.h']),
                   ('e.o', ['/opt/x/include/liburing/io_uring.h']))
    found = list(check_includes.find(text))
    assert len(found) == 1, found
    assert 'openssl of /usr/include' in found[0] and 'test/c.o' in found[0], found


sys.exit(tap.run([
    one_place_is_fine,
    another_place_is_found_with_its_objects,
]))
