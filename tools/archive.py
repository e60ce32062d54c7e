#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes one static library of several, in which only the public symbols are visible.

A static library has no export list: all that its objects share with each other is there for the
program to collide with.  So the objects are linked into one, whose hidden symbols (everything
that is not SPATE_API) are made local.

usage: archive.py CC OBJCOPY AR OUT.a ARCHIVE...
"""
import pathlib
import subprocess
import sys


def main():
    cc, objcopy, ar, out, *archives = sys.argv[1:]
    whole = pathlib.Path(out).with_suffix('.o')
    subprocess.run([*cc.split(), '-r', '-nostdlib', '-o', whole, '-Wl,--whole-archive', *archives,
                    '-Wl,--no-whole-archive'], check=True)
    subprocess.run([objcopy, '--localize-hidden', whole], check=True)
    pathlib.Path(out).unlink(missing_ok=True)
    subprocess.run([ar, 'rcs', out, whole], check=True)
    whole.unlink()


if __name__ == '__main__':
    main()
