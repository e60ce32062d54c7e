#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_commits.py on messages, and on repositories that are made here.

usage: test_check_commits.py TOOLS       the folder with the tools
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(sys.argv[1])
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))
import check_commits  # noqa: E402
import tap  # noqa: E402

GOOD = 'proto/loss: arm the timer\n\nIt was late.\n'


def messages_are_judged_by_title_and_body():
    title = 'proto/loss: ' + 'x' * 53
    table = [
        # message, is a pure rename, count of findings
        (GOOD, False, 0),
        (f'{title}\n\nWhy.', False, 0),
        (f'{title}x\n\nWhy.', False, 1),
        ('proto/loss: arm the timer', False, 1),
        ('proto/loss: arm the timer\n\n\n', False, 1),
        ('proto/loss: arm the timer', True, 0),
        ('proto/loss: rename arm to set', False, 0),
        ('proto/loss: do not prerename', False, 1),
        ('proto/loss: arm the timer\nWhy.', False, 1),
        ('proto/loss: arm the timer.\n\nWhy.', False, 1),
        ('arm the timer\n\nWhy.', False, 1),
        ('proto/loss:arm\n\nWhy.', False, 1),
        ('proto/loss: arm\n\n' + 'word ' * 15 + 'x', False, 0),
        ('proto/loss: arm\n\n' + 'word ' * 15 + 'xx', False, 1),
        ('proto/loss: arm\n\nhttps://example.org/' + 'x' * 90, False, 0),
        (f'{title}xx', False, 2),
        ('Revert "' + 'x' * 80 + '"', False, 0),
        ('fixup! proto/loss: arm the timer', False, 0),
    ]
    for message, is_rename, count in table:
        found = list(check_commits.check(message, is_rename))
        assert len(found) == count, (message, found)


def git(root, *args, text=None):
    env = {**os.environ, 'CLANG_FORMAT': '/no/format',
           'GIT_CONFIG_GLOBAL': os.devnull, 'GIT_CONFIG_NOSYSTEM': '1',
           'GIT_AUTHOR_NAME': 'a', 'GIT_AUTHOR_EMAIL': 'a@example.org',
           'GIT_COMMITTER_NAME': 'a', 'GIT_COMMITTER_EMAIL': 'a@example.org'}
    for name in ('GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE'):
        env.pop(name, None)
    return subprocess.run(['git', '-C', root, *args], env=env, check=True, capture_output=True,
                          input=text, text=True).stdout.strip()


def commit(root, message):
    git(root, 'add', '-A')
    git(root, 'commit', '-q', '--allow-empty', '-F', '-', text=message)
    return git(root, 'rev-parse', 'HEAD')


def run(root, *args):
    env = {name: value for name, value in os.environ.items() if not name.startswith('GIT_')}
    done = subprocess.run([sys.executable, root / 'tools/check_commits.py', *args], cwd=root,
                          env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def made_tree(folder):
    root = pathlib.Path(folder)
    (root / 'tools').mkdir(parents=True)
    shutil.copy(TOOLS / 'check_commits.py', root / 'tools')
    return root


def made_repository(folder):
    """Two commits that nobody checked, and the one that brings the check."""
    root = made_tree(folder)
    git(root, 'init', '-q')
    (root / 'a').write_text('a\n')
    git(root, 'add', 'a')
    git(root, 'commit', '-q', '-m', 'before')
    git(root, 'commit', '-q', '-m', 'before that', '--allow-empty')
    commit(root, 'tools: check commits\n\nWhy.\n')
    return root


def commits_since_the_check_are_checked():
    with tempfile.TemporaryDirectory() as folder:
        root = made_repository(folder)
        assert run(root) == (0, '1 commits, 0 findings\n')
        commit(root, GOOD)
        (root / 'a').rename(root / 'b')
        commit(root, 'tree: move a\n')
        assert run(root) == (0, '3 commits, 0 findings\n')
        (root / 'b').write_text('b\n')
        bad = commit(root, 'tree: change b\n')
        code, output = run(root)
        assert code == 1 and output.startswith(f'{bad[:10]}: no body'), output
        assert run(root, '.', 'HEAD~2..HEAD~1')[0] == 0
        assert run(root, '.', 'HEAD~1..')[0] == 1
        assert run(root, '.', 'nowhere..HEAD')[0] == 1
        # Whatever the folder is called from.
        assert run(root, root)[0] == 1


def a_tree_that_was_imported_as_one_commit_is_not_checked():
    with tempfile.TemporaryDirectory() as folder:
        root = made_tree(f'{folder}/imported')
        git(root, 'init', '-q')
        commit(root, 'Import')
        assert run(root) == (0, '0 commits, 0 findings\n')
        commit(root, 'no colon\n\nWhy.\n')
        assert run(root)[0] == 1


def without_a_history_there_is_nothing_to_check():
    nothing = (0, 'no history here: nothing to check\n')
    with tempfile.TemporaryDirectory() as folder:
        assert run(made_tree(f'{folder}/tarball')) == nothing
        root = made_repository(f'{folder}/whole')
        git(folder, 'clone', '-q', '--depth', '1', f'file://{root}', f'{folder}/shallow')
        assert run(pathlib.Path(f'{folder}/shallow')) == nothing
        # A tarball inside of another repository.
        assert run(made_tree(root / 'inside')) == nothing


def the_hook_reads_what_git_will_keep():
    table = [
        # message, accepted
        (GOOD, True),
        ('proto/loss: arm\n# Please enter\n', False),
        ('proto/loss: arm\n\nWhy.\n# Please enter ' + 'x ' * 80, True),
        (f'proto/loss: arm\n\nWhy.\n{check_commits.SCISSORS}\n' + 'x ' * 80, True),
    ]
    with tempfile.TemporaryDirectory() as folder:
        root = made_repository(folder)
        message = root / '.git/COMMIT_EDITMSG'
        for text, accepted in table:
            message.write_text(text)
            assert (run(root, '--message', message)[0] == 0) == accepted, text
        message.write_text('tree: move a\n')
        assert run(root, '--message', message)[0] == 1
        git(root, 'mv', 'a', 'b')
        assert run(root, '--message', message)[0] == 0


def the_hooks_refuse_what_tidy_or_the_message_check_finds():
    with tempfile.TemporaryDirectory() as folder:
        root = made_repository(folder)
        for name in ('tidy.py', 'tidy_names.py', 'tidy_words.py', 'pre-commit'):
            shutil.copy(TOOLS / name, root / 'tools')
        for hook in ('pre-commit', 'commit-msg'):
            (root / '.git/hooks' / hook).symlink_to('../../tools/pre-commit')
        table = [
            # README.md, message, accepted
            ('check_commits.py tidy.py', GOOD, True),
            ('check_commits.py tidy.py ', GOOD, False),
            ('check_commits.py tidy.py gone.c', GOOD, False),
            ('check_commits.py, tidy.py', 'tree: say why', False),
            ('check_commits.py, tidy.py', GOOD, True),
        ]
        for text, message, accepted in table:
            (root / 'README.md').write_text(text + '\n')
            before = git(root, 'rev-parse', 'HEAD')
            try:
                commit(root, message)
            except subprocess.CalledProcessError:
                pass
            assert (git(root, 'rev-parse', 'HEAD') != before) == accepted, (text, message)


def main():
    return tap.run([
        messages_are_judged_by_title_and_body,
        commits_since_the_check_are_checked,
        a_tree_that_was_imported_as_one_commit_is_not_checked,
        without_a_history_there_is_nothing_to_check,
        the_hook_reads_what_git_will_keep,
        the_hooks_refuse_what_tidy_or_the_message_check_finds,
    ])


if __name__ == '__main__':
    sys.exit(main())
