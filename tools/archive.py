#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes one static library of several, in which only the public symbols are visible.

A static library has no export list: all that its objects share with each other is there for the
program to collide with.  So the objects are linked into one, and every symbol that the version
script does not name is made local.  What is needed of those after the first "--" goes in as well: a
program may have another version of the same library beside it.

usage: archive.py OBJCOPY AR MAP OUT.a ARCHIVE... -- [ARCHIVE...] -- CC...
"""
import pathlib
import re
import subprocess
import sys


def public_symbols(version_script):
    text = re.sub(r'/\*.*?\*/', '', version_script.read_text(), flags=re.DOTALL)
    return re.findall(r'^\s*(\w+);', text, re.MULTILINE)  # not "} SPATE_0.1;"


def main():
    objcopy, ar, version_script, out, *lists = sys.argv[1:]
    first = lists.index('--')
    second = lists.index('--', first + 1)
    ours, needed, cc = lists[:first], lists[first + 1:second], lists[second + 1:]
    whole = pathlib.Path(out).with_suffix('.o')
    # -d: a common symbol of an assembler gets its place here, and not one that programs share.
    subprocess.run([*cc, '-r', '-nostdlib', '-Wl,-d', '-o', whole,
                    '-Wl,--whole-archive', *ours, '-Wl,--no-whole-archive',
                    '-Wl,--start-group', *needed, '-Wl,--end-group'], check=True)
    public = pathlib.Path(out).with_suffix('.symbols')
    public.write_text('\n'.join(public_symbols(pathlib.Path(version_script))) + '\n')
    subprocess.run([objcopy, f'--keep-global-symbols={public}', whole], check=True)
    pathlib.Path(out).unlink(missing_ok=True)
    subprocess.run([ar, 'rcs', out, whole], check=True)
    whole.unlink()
    public.unlink()


if __name__ == '__main__':
    main()
