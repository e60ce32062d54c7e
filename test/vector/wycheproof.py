#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns Wycheproof's aes_gcm_test.json into lines of aes_gcm.txt.

usage: wycheproof.py aes_gcm_test.json      prints the lines and says what it left out

What packets of QUIC cannot have is left out: a nonce that is not 96 bits, a tag that is not 128
bits, a key of 192 bits.  Nothing else is.
"""
import json
import sys


def line(name, test):
    fields = (test[field] or '-' for field in ('key', 'iv', 'aad', 'msg', 'ct', 'tag'))
    return f"{name} {test['result']} {' '.join(fields)}"


def main():
    tests = 0
    kept = 0
    with open(sys.argv[1], encoding='utf-8') as file:
        groups = json.load(file)['testGroups']
    for group in groups:
        tests += len(group['tests'])
        if group['ivSize'] != 96 or group['tagSize'] != 128 or group['keySize'] not in (128, 256):
            continue
        for test in group['tests']:
            print(line(f"wycheproof-{test['tcId']}", test))
            kept += 1
    print(f'{kept} of {tests}', file=sys.stderr)


if __name__ == '__main__':
    main()
