#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a program under a seccomp profile of the form that docker and podman take.

usage: seccomp.py [--without NAME,...] PROFILE COMMAND...

The profile becomes a filter of classic BPF, as libseccomp would make one: the architecture is
checked first, then the number against each list in turn.  --without leaves system calls out, as a
stricter profile would.  Conditions on arguments, which our profile has none of, are refused.
"""
import ctypes
import errno
import json
import os
import platform
import re
import struct
import subprocess
import sys

LD_WORD, JUMP_EQUAL, JUMP_GREATER_EQUAL, RETURN = 0x20, 0x15, 0x35, 0x06
AT_NUMBER, AT_ARCH = 0, 4  # of struct seccomp_data
KILL, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7fff0000
X32 = 0x40000000  # numbers of the x32 ABI, which has the same architecture
ARCHS = {'x86_64': ('SCMP_ARCH_X86_64', 0xc000003e), 'aarch64': ('SCMP_ARCH_AARCH64', 0xc00000b7)}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def numbers():
    """System calls of this architecture: name -> number, as the C compiler sees them."""
    text = subprocess.run([os.environ.get('CC', 'cc'), '-dM', '-E', '-x', 'c', '-'],
                          input='#include <asm/unistd.h>\n', capture_output=True, text=True,
                          check=True).stdout
    return {name: int(number)
            for name, number in re.findall(r'#define __NR_(\w+) (\d+)$', text, re.MULTILINE)}


def action_of(profile, rule):
    action = rule['action']
    if action == 'SCMP_ACT_ALLOW':
        return ALLOW
    if action == 'SCMP_ACT_ERRNO':
        return ERRNO | rule.get('errnoRet', profile.get('defaultErrnoRet', errno.EPERM))
    if action in ('SCMP_ACT_KILL', 'SCMP_ACT_KILL_PROCESS'):
        return KILL
    raise SystemExit(f'seccomp.py: action {action} is not known here')


def filter_of(profile, without=()):
    """The instructions: (code, if true, if false, value)."""
    arch, audit = ARCHS[platform.machine()]
    assert arch in [one['architecture'] for one in profile['archMap']], arch
    known = numbers()
    code = [(LD_WORD, 0, 0, AT_ARCH), (JUMP_EQUAL, 1, 0, audit), (RETURN, 0, 0, KILL),
            (LD_WORD, 0, 0, AT_NUMBER)]
    if audit == ARCHS['x86_64'][1]:
        code += [(JUMP_GREATER_EQUAL, 0, 1, X32), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    for rule in profile['syscalls']:
        assert not rule.get('args'), 'conditions on arguments are not known here'
        for name in rule['names']:
            if name in known and name not in without:
                code += [(JUMP_EQUAL, 0, 1, known[name]), (RETURN, 0, 0, action_of(profile, rule))]
    default = {'action': profile['defaultAction']}
    return code + [(RETURN, 0, 0, action_of(profile, default))]


class Program(ctypes.Structure):
    _fields_ = [('size', ctypes.c_ushort), ('at', ctypes.c_void_p)]


def apply(code):
    packed = b''.join(struct.pack('<HBBI', *one) for one in code)
    held = ctypes.create_string_buffer(packed, len(packed))
    program = Program(len(code), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                      (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), 'prctl')


def main(words):
    without = []
    if words[0] == '--without':
        without = words[1].split(',')
        words = words[2:]
    with open(words[0], encoding='utf-8') as file:
        code = filter_of(json.load(file), without)
    apply(code)
    os.execvp(words[1], words[1:])


if __name__ == '__main__':
    main(sys.argv[1:])
