#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""musts.py on small lists, and on a tree that is made here.

usage: test_musts.py TOOLS       the folder with the tools
"""
import contextlib
import io
import pathlib
import sys
import tempfile

TOOLS = pathlib.Path(sys.argv[1])
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))
import musts  # noqa: E402
import tap  # noqa: E402

GOOD = ('# a comment\n\n'
        '4.1-1 MUST NOT | send more than the limits allow\n'
        '    code: proto/fill.c\n'
        '    test: unit/test_fill.c:limits_hold\n'
        '4.1-2 MUST | ignore a limit that does not grow\n'
        '    code: proto/fill.c\n'
        '10.2-1 MUST | keep state\n'
        '    open: there is none\n'
        '21.5-1 MUST | be careful\n'
        '    none: for deployments\n')
EMPTY = '1-1 MUST | exist\n    none: it does\n'


def error_of(text):
    try:
        musts.parse('rfc9000', text)
    except musts.BadList as error:
        return str(error)
    return ''


def lists_are_parsed():
    entries = musts.parse('rfc9000', GOOD)
    assert [e.name() for e in entries] == ['4.1-1', '4.1-2', '10.2-1', '21.5-1']
    assert [e.state() for e in entries] == ['tested', 'not tested', 'open', 'not ours']
    assert entries[0].level == 'MUST NOT' and entries[0].test == ['unit/test_fill.c:limits_hold']


def bad_lists_name_the_line():
    for text, wanted in [
        ('    code: a.c\n', 'rfc9000.txt:1: neither'),
        ('4.1-1 SHOULD | x\n', 'rfc9000.txt:1: neither'),
        ('4.1-1 MUST |\n', 'rfc9000.txt:1: neither'),
        ('4.1-1 MUST | x\n  code: a.c\n', 'rfc9000.txt:2: neither'),
        ('4.1-1 MUST | x\n    codes: a.c\n', 'rfc9000.txt:2: neither'),
        ('4.1-2 MUST | x\n4.1-2 MUST | x\n', 'rfc9000.txt:2: 4.1-2 is not after 4.1-2'),
        ('10-1 MUST | x\n9-1 MUST | x\n', 'rfc9000.txt:2: 9-1 is not after 10-1'),
    ]:
        assert wanted in error_of(text), (text, error_of(text))


def tags_match_whole_sections():
    for text, section, wanted in [
        ('[RFC9000 4.1]', '4.1', True),
        ('[RFC9000 4.1, 4.2]', '4.2', True),
        ('[RFC9000 4]', '4', True),
        ('[RFC9000 14.1]', '4.1', False),
        ('[RFC9000 4.1.1]', '4.1', False),
        ('[RFC9001 4.1]', '4.1', False),
        ('[RFC9001 5.2, RFC9000 4.1]', '4.1', True),
        ('[RFC9000 5.2, RFC9001 4.1]', '4.1', False),
        ('[RFC9000 A.3]', 'A.3', True),
        ('RFC9000 4.1', '4.1', False),
        ('[reliable-reset 3, RFC9000 4.1]', '4.1', True),
        ('[RFC9000 3, reliable-reset 4.1]', '4.1', False),
    ]:
        assert musts.has_tag(text, 'rfc9000', section) == wanted, (text, section)
    for text, section, wanted in [
        ('[reliable-reset 5.2]', '5.2', True),
        ('[RFC9000 3.5, reliable-reset 3, 5.2]', '5.2', True),
        ('[RFC9000 5.2, reliable-reset 3]', '5.2', False),
        ('[reliable-reset 3, ack-frequency 5.2]', '5.2', False),
        ('[unreliable-reset 5.2]', '5.2', False),
    ]:
        assert musts.has_tag(text, 'reliable-reset', section) == wanted, (text, section)


def make_tree(root, text):
    for name, content in [
        ('proto/fill.c', '/* [RFC9000 4.1] */\n'),
        ('test/unit/test_fill.c', 'static void limits_hold(void **state)\n'),
        *((f'test/rfc/{rfc}.txt', EMPTY) for rfc in musts.TITLES),
        ('test/rfc/rfc9000.txt', text),
    ]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def run(root, *options):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = musts.main([*options, str(root)])
    return status, out.getvalue()


def a_tree_is_checked():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        make_tree(root, GOOD)
        status, out = run(root)
        assert status == 1 and 'README.md is old' in out, out
        assert run(root, '--write')[0] == 0
        assert run(root)[0] == 0
        for old, new, wanted in [
            ('fill.c\n    test', 'full.c\n    test', 'proto/full.c, which does not exist'),
            ('4.1-2', '4.2-2', 'proto/fill.c has no tag [RFC9000 4.2]'),
            ('c:limits_hold', 'c:limits_hol', 'test/unit/test_fill.c has no limits_hol'),
            ('    open: there is none\n', '', '10.2-1 names no code'),
            ('none: for', 'code: proto/fill.c\n    none: for', 'is not for us, and yet'),
            ('10.2-1', '1.2-1', '1.2-1 is not after 4.1-2'),
        ]:
            make_tree(root, GOOD.replace(old, new))
            status, out = run(root, '--write')
            assert status == 1 and wanted in out, (wanted, out)


def the_page_counts_and_lists_what_is_missing():
    lists = {rfc: musts.parse(rfc, EMPTY) for rfc in musts.TITLES}
    lists['rfc9000'] = musts.parse('rfc9000', GOOD)
    page = musts.readme(lists)
    assert 'Transport | 4 | 1 | 1 | 1 | 1 |' in page, page
    assert '| RFC9000 10.2-1 | MUST keep state | there is none |' in page
    assert '| RFC9000 4.1-2 | MUST ignore a limit that does not grow | proto/fill.c |' in page


if __name__ == '__main__':
    sys.exit(tap.run([lists_are_parsed, bad_lists_name_the_line, tags_match_whole_sections,
                      a_tree_is_checked, the_page_counts_and_lists_what_is_missing]))
