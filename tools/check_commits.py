#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks commit messages: the title, the width of the body, and that there is one.

usage: check_commits.py [ROOT [RANGE]]     the commits of RANGE; without it those since this check
       check_commits.py --message FILE     one message that is being written: the commit-msg hook

Without a history, as in a tarball or a shallow clone, there is nothing to check.  Tested by
test/unit/tools/test_check_commits.py.
"""
import re
import subprocess
import sys

TITLE_MAX = 65
BODY_MAX = 76
OF_GIT = re.compile(r'Merge |Revert "|fixup! |squash! |amend! ')
SCISSORS = '# ------------------------ >8 ------------------------'


def check(message, is_rename):
    """What is wrong with a message, one sentence each."""
    title, _, rest = message.partition('\n')
    body = [line for line in rest.strip().split('\n') if line]
    if OF_GIT.match(title):
        return
    if len(title) > TITLE_MAX:
        yield f'the title has {len(title)} columns, at most {TITLE_MAX}'
    if not re.match(r'[^\s:][^:]*: \S', title) or title.endswith('.'):
        yield 'the title is not "folder/noun: imperative" without a full stop'
    if rest.strip() and rest.split('\n')[0]:
        yield 'no empty line after the title'
    for line in body:
        if len(line) > BODY_MAX and ' ' in line.strip():
            yield f'a line of {len(line)} columns in the body, at most {BODY_MAX}: {line[:40]}...'
    if not body and not is_rename and not re.search(r'\brename\b', title):
        yield 'no body: say why; only a rename needs none'


def git(root, *args):
    run = subprocess.run(['git', '-C', root, *args], capture_output=True, text=True, check=False)
    return run.stdout.rstrip('\n') if run.returncode == 0 else None


def is_pure_rename(status):
    """From the output of git diff --name-status."""
    return status != '' and all(line.startswith('R100') for line in status.split('\n'))


def since_this_check(root):
    """The range of commits from the one that brought this file; None without a history."""
    if git(root, 'rev-parse', '--is-shallow-repository') != 'false' or \
            git(root, 'rev-parse', '--show-prefix') != '':
        return None
    first = git(root, 'log', '--diff-filter=A', '--format=%H', '-1', '--',
                'tools/check_commits.py')
    if not first:
        return None
    # A tree that was imported as one commit: its message is not ours.
    has_parent = git(root, 'rev-parse', '--verify', '--quiet', f'{first}^') is not None
    return f'{first}^..HEAD' if has_parent else f'{first}..HEAD'


def check_range(root, commits):
    ids = git(root, 'rev-list', '--no-merges', commits)
    if ids is None:
        print(f'{commits}: no such commits')
        return 1
    found = 0
    for commit in ids.split():
        message = git(root, 'log', '-1', '--format=%B', commit)
        status = git(root, 'show', '-M', '--format=', '--name-status', commit)
        for wrong in check(message, is_pure_rename(status)):
            print(f'{commit[:10]}: {wrong}')
            found += 1
    print(f'{len(ids.split())} commits, {found} findings')
    return 1 if found else 0


def check_message(file):
    with open(file, encoding='utf-8') as opened:
        text = opened.read().split(SCISSORS)[0]
    lines = [line.rstrip() for line in text.split('\n') if not line.startswith('#')]
    staged = git('.', 'diff', '--cached', '-M', '--name-status')
    found = list(check('\n'.join(lines).strip(), is_pure_rename(staged or '')))
    for wrong in found:
        print(f'commit message: {wrong}', file=sys.stderr)
    return 1 if found else 0


def main():
    args = sys.argv[1:]
    if len(args) == 2 and args[0] == '--message':
        return check_message(args[1])
    if len(args) > 2 or any(arg.startswith('-') for arg in args):
        print(__doc__.split('\n\n')[1], file=sys.stderr)
        return 2
    root = args[0] if args else '.'
    commits = args[1] if len(args) == 2 else since_this_check(root)
    if commits is None:
        print('no history here: nothing to check')
        return 0
    return check_range(root, commits)


if __name__ == '__main__':
    sys.exit(main())
