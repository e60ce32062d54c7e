#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tidy.py must find what it is for, and nothing else.

usage: test_tidy.py TOOLS       the folder with the tools
"""
import pathlib
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(TOOLS))
sys.dont_write_bytecode = True
import tap  # noqa: E402
import tidy  # noqa: E402
import tidy_names  # noqa: E402
import tidy_words  # noqa: E402

SPDX = '/* SPDX-License-Identifier: MIT */\n'


def findings(path, body):
    return [message for _, message in tidy.check(path, SPDX + body)]


def a_file_of_the_library_is_in_a_room():
    assert findings('proto/x.c', 'int x;\n') == ['not in one of the rooms of proto/']
    assert findings('proto/new/x.c', 'int x;\n') == ['not in one of the rooms of proto/']
    assert findings('proto/base/x.c', 'int x;\n') == []
    assert findings('engine/x.c', 'int x;\n') == ['not in one of the rooms of engine/']
    assert findings('engine/abi.c', 'int x;\n') == []
    assert findings('uring/x.c', 'int x;\n') == []


def files_of_the_connection_use_lower_layers_only():
    head = {'conn.h': 'bool sp_conn_send(int x);\n', 'close.h': '#include "proto/conn/impl.h"\n',
            'close.c': '#include "proto/conn/close.h"\nvoid sp_conn_end(int x,\n    int y)\n{\n}\n',
            'recovery.c': 'static int own(int x)\n{\n    return own(x);\n}\n'}
    table = [
        # file, text, line of the finding or None
        ('send.c', '#include "proto/conn/close.h"\n\n    sp_conn_end(1, 2);\n', None),
        ('send.c', '    own(1);\n', None),
        ('fill.c', '    /* as in\n     * sp_conn_end(1, 2) */\n', None),
        ('streams.c', '#include "proto/conn/conn.h"\n', None),
        ('streams.c', '\n#include "proto/conn/close.h"\n', 2),
        ('streams.h', '#include "proto/conn/close.h"\n', 1),
        ('fill.c', '#include "proto/conn/close.h"\n', 1),
        ('recovery.c', '#include "proto/conn/conn.h"\n\n    sp_conn_end(1, 2);\n', 3),
        ('fill.c', '    if (x)\n        return sp_conn_end(1, 2);\n', 2),
        ('fill.c', '/* a\n * b */\n    sp_conn_end(1, 2);\n', 3),
        ('other.c', '', 1),
    ]
    for name, text, line in table:
        found = list(tidy.check_layers({**head, name: text}))
        assert [number for _, number, _ in found] == ([line] if line else []), (name, text, found)
    root = TOOLS.parent / tidy.CONN
    texts = {file.name: file.read_text() for file in root.glob('*.[ch]')}
    assert 'receive.c' in texts and list(tidy.check_layers(texts)) == []


def includes_go_downwards_only():
    table = [
        # path, include, allowed
        ('proto/base/x.c', '"proto/base/time.h"', True),
        ('proto/base/x.c', '"proto/recovery/loss.h"', False),
        ('proto/base/x.c', '<stdio.h>', False),
        ('proto/base/x.c', '"proto/wire/quic.h"', False),
        ('proto/wire/x.c', '"proto/base/time.h"', True),
        ('proto/wire/x.c', '"proto/recovery/ranges.h"', False),
        ('proto/recovery/x.c', '"proto/wire/frame.h"', True),
        ('proto/recovery/x.c', '"proto/path/path.h"', False),
        ('proto/path/x.c', '"proto/wire/frame.h"', True),
        ('proto/path/x.c', '"proto/stream/window.h"', False),
        ('proto/stream/x.c', '"proto/recovery/ranges.h"', True),
        ('proto/stream/x.c', '"proto/packet/build.h"', False),
        ('proto/packet/x.c', '"proto/recovery/sent.h"', True),
        ('proto/packet/x.c', '"proto/stream/stream.h"', False),
        ('proto/packet/x.c', '"proto/conn/conn.h"', False),
        ('proto/conn/x.c', '"proto/stream/stream.h"', True),
        ('proto/conn/x.c', '"proto/path/path.h"', True),
        ('proto/conn/x.c', '<string.h>', True),
        ('proto/conn/x.c', '<stdlib.h>', False),
        ('proto/conn/x.c', '<time.h>', False),
        ('proto/conn/x.c', '<openssl/evp.h>', False),
        ('proto/conn/x.c', '<sys/socket.h>', False),
        ('proto/conn/x.c', '"crypto/aead.h"', False),
        ('proto/conn/x.c', '"receive.h"', False),
        ('crypto/x.c', '"proto/conn/conn.h"', False),
        ('crypto/x.c', '"proto/packet/protect.h"', True),
        ('crypto/x.c', '<openssl/evp.h>', True),
        ('crypto/x.c', '"uring/ring.h"', False),
        ('crypto/x.c', '<liburing.h>', False),
        ('uring/x.c', '"proto/base/time.h"', True),
        ('uring/x.c', '<liburing.h>', True),
        ('uring/x.c', '<sys/socket.h>', True),
        ('uring/x.c', '"proto/conn/conn.h"', False),
        ('uring/x.c', '"crypto/aead.h"', False),
        ('uring/x.c', '<openssl/evp.h>', False),
        ('engine/shard/x.c', '"proto/conn/conn.h"', True),
        ('engine/shard/x.c', '"crypto/tls.h"', True),
        ('engine/shard/x.c', '"uring/ring.h"', True),
        ('engine/shard/x.c', '<spate/engine.h>', True),
        ('engine/base/x.c', '"engine/config/config.h"', False),
        ('engine/config/x.c', '"engine/base/clock.h"', True),
        ('engine/config/x.h', '"engine/shard/shard.h"', False),
        ('engine/conn/x.c', '"engine/shard/shard.h"', True),
        ('engine/conn/x.h', '"engine/shard/shard.h"', False),
        ('engine/conn/x.h', '"engine/net/budget.h"', True),
        ('engine/net/x.h', '"engine/conn/conn.h"', False),
        ('engine/message/x.c', '"engine/shard/shard.h"', True),
        ('engine/pool/x.c', '"engine/shard/shard.h"', True),
        ('engine/base/x.h', '"engine/pool/core.h"', False),
        ('engine/shard/x.c', '<openssl/evp.h>', False),
        ('engine/shard/x.c', '"tools/cert.h"', False),
        ('engine/shard/x.c', '"test/support/hex.h"', False),
        ('engine/include/spate/x.h', '<spate/base.h>', True),
        ('engine/include/spate/x.h', '<stdint.h>', True),
        ('engine/include/spate/x.h', '"engine/shard/shard.h"', False),
        ('engine/include/spate/x.h', '"proto/wire/quic.h"', False),
        ('engine/include/spate/x.h', '<openssl/ssl.h>', False),
        ('tools/spate/x.c', '<spate/spate.h>', True),
        ('tools/spate/x.c', '<getopt.h>', True),
        ('tools/spate/x.c', '"engine/shard/shard.h"', False),
        ('tools/spate/x.c', '"proto/wire/quic.h"', False),
        ('bench/load/x.c', '<spate/spate.h>', True),
        ('bench/load/x.c', '"bench/load/options.h"', True),
        ('bench/load/x.c', '"uring/ring.h"', False),
        ('bench/load/x.c', '"engine/base/clock.h"', False),
        ('bench/micro/x.c', '"proto/wire/header.h"', True),
        ('test/unit/x.c', '"engine/shard/shard.h"', True),
    ]
    for path, target, allowed in table:
        found = findings(path, f'#include {target}\n')
        assert (found == []) == allowed, (path, target, found)
        # However it is written.
        found = findings(path, f'  #  include   {target}\n')
        assert (found == []) == allowed, (path, target, found)


def calls_with_one_home_are_found_elsewhere():
    for call, (home, use) in tidy_words.HOMES.items():
        body = f'x = {call}(1);\n'
        for one in home.split(' or '):
            assert findings(one, body) == [], one
        for path in ('proto/wire/x.c', 'uring/x.c', 'crypto/x.c', 'engine/shard/shard.c'):
            assert findings(path, body) == [f'{call}() belongs to {home}: use {use}'], path
        for path in ('test/unit/x.c', 'bench/load/x.c', 'tools/spate/x.c'):
            assert findings(path, body) == [], path
        assert findings('engine/shard/x.c', f'x = my_{call}(1);\n') == []


def banned_calls_name_what_to_use():
    for call, use in tidy_words.BANNED.items():
        found = findings('engine/shard/x.c', f'x = {call}(1);\n')
        assert found == [f'{call}() is not for the library: use {use}'], found
        assert findings('test/unit/x.c', f'x = {call}(1);\n') == []
        for body in (f'x = my_{call}(1);', f'x = {call}_more(1);', f'ops->{call}(1);',
                     f'ops.{call}(1);', f'/* as {call}() does */', f'x = "{call}(1)";',
                     f'int {call};'):
            assert findings('engine/shard/x.c', body + '\n') == [], body


def names_that_were_replaced_are_found():
    table = [
        # name, found
        ('su_ring_has_news', True),
        ('conn_talking', True),
        ('is_dirty', True),
        ('dirty_link', True),
        ('sp_told_cids', True),
        ('told_count', True),
        ('sp_stranger', True),
        ('sp_tls_fact_kind', True),
        ('su_recv_tend', True),
        ('su_bufring_home_count', True),
        ('sp_conn_repeat_all', True),
        ('SP_EARLY_PACKETS_MAX', True),
        ('EVENTS_A_BATCH', True),
        ('calm', True),
        ('was_told', True),
        ('is_shown_now', True),
        ('tend', True),
        ('use_verb', True),
        ('SP_LEVEL_EARLY', False),
        ('newsletter', False),
        ('extend', False),
        ('intend_to', False),
        ('a_b_a_c', False),
        ('DATA_ACK', False),
        ('SP_GONE', False),
        ('home', False),
    ]
    for name, found in table:
        got = findings('proto/wire/x.c', f'int {name};\n')
        assert len(got) == found, (name, got)
        assert findings('proto/wire/x.c', f'/* {name} */\n') == [], name
    assert findings('test/unit/x.c', 'int sp_told;\n') == [
        'sp_told: the word is announced, or delivered']
    assert findings('test/unit/x.c', 'int was_told, tend;\n') == []


def an_abstract_has_one_place():
    own = '#include "proto/wire/x.h"\n'
    abstract = '/* What it is for,\n * and how. */\n'
    more = '#include <stdint.h>\n'
    code = 'int x;\n' * 60
    table = [
        # body, found
        (f'{own}\n{abstract}\n{more}\n{code}', 0),
        (f'{own}\n/* On one line. */\n\n{more}\n{code}', 0),
        (f'#define X\n\n{own}\n{abstract}\n{more}\n{code}', 0),
        (f'{own}\n{more}\n{code}', 1),
        (f'{own}{more}\n{abstract}\n{code}', 1),
        (f'{own}\n{abstract}{code}', 1),
        (f'{abstract}\n{own}\n{more}\n{code}', 2),
        (f'{own}\n{more}\nint x;\n', 0),
        (f'{abstract}\n{own}\n{more}\nint x;\n', 1),
    ]
    for body, count in table:
        found = findings('proto/wire/x.c', body)
        assert len(found) == count, (body[:80], found)
        assert findings('test/unit/x.c', body) == []
        assert findings('proto/wire/x.h', body) == []


def markdown_is_wrapped_but_for_tables():
    table = [
        ('word ' * 20 + 'x', 1),
        ('word ' * 19 + 'x', 0),
        ('| ' + 'cell | ' * 20, 1),  # ends with a space
        ('| ' + 'cell | ' * 20 + '|', 0),
        ('    ' + '44.0 Gbit/s   ' * 10 + '1', 0),
        ('    a command with one  # comment ' + 'x' * 80, 1),
    ]
    for line, count in table:
        found = list(tidy.check('x.md', line + '\n'))
        assert len(found) == count, (line, found)
    assert list(tidy.check('x.md', 'x\n' * 1000)) == []


NAMING = {
    'meson.build': "x = ['proto/wire/x.c', 'engine/conn/conn.c']\n",
    'proto/wire/x.h': '#define SP_X_MAX 3\nint sp_x_take(int count);\n'
                      'struct sp_x { int (*find)(int); int size_max; };\n',
    'engine/conn/conn.c': '#include "proto/wire/x.h"\nstatic void grow(void);\n',
    'tools/x.py': 'def look(): pass\n',
    'README.md': 'tools/x.py\n',
}


def what_a_comment_names_exists():
    table = [
        # comment, finding
        ('sp_x_take() is called', None),
        ('take() -> look()', None),
        ('sp_x_give() is called', 'there is no function sp_x_give()'),
        ('give() first', 'there is no function give()'),
        ('find() of the caller', None),
        ('memcpy() would do', 'there is no function memcpy()'),
        ('SSL_read() and io_uring_enter()', None),
        ('at most SP_X_MAX', None),
        ('at most SP_Y_MAX', 'nothing is called SP_Y_MAX'),
        ('any of SP_X_*', None),
        ('any of SP_Y_*', 'nothing is called SP_Y_'),
        ('in struct sp_x', None),
        ('in struct sp_y', 'nothing is called sp_y'),
        ('`size_max` and `x->size_max`', None),
        ('`size_min`', 'nothing is called size_min'),
        ('see x.h, wire/x.h, proto/wire/x.h and conn.c', None),
        ('see y.h', 'there is no file y.h'),
        ('see engine/x.h', 'there is no file engine/x.h'),
        ('see proto/*/x.h', None),
        ('see <linux/udp.h>', None),
        ('x.pyramid, e.g. 3.c4, a.b.c.d', None),
        ('f(x) of g (y)', None),
    ]
    for comment, want in table:
        tree = {**NAMING, 'proto/wire/x.c': f'#include "proto/wire/x.h"\n\n/* So\n'
                                            f' * {comment}. */\nint sp_x_take(int n);\n'}
        found = list(tidy_names.check(tree))
        assert found == ([] if want is None else [('proto/wire/x.c', 4, want)]), (comment, found)
        # What is not a comment is the compiler's business.
        tree['proto/wire/x.c'] = f'#include "proto/wire/x.h"\nconst char *x = "{comment}";\n'
        assert [line for line in tidy_names.check(tree) if want != line[2]] == [], comment


def what_markdown_names_exists():
    for text, want in (('See `conn.c`.', None), ('See `sp_x_take()`.', None),
                       ('See `gone.c`.', 'there is no file gone.c'),
                       ('See `sp_x_give()`.', 'there is no function sp_x_give()'),
                       ('Do:\n\n    cc gone.c\n', None),
                       ('```c\ngone.c sp_x_give()\n```\n', None)):
        tree = {**NAMING, 'proto/wire/x.c': '', 'test/README.md': text}
        found = [message for path, _, message in tidy_names.check(tree)]
        assert found == ([] if want is None else [want]), (text, found)
        # A change log is about what was.
        tree = {**NAMING, 'proto/wire/x.c': '', 'CHANGELOG.md': text}
        assert list(tidy_names.check(tree)) == []


def files_without_use_are_found():
    table = [
        # path, what else is there, used
        ('a/x.c', {'a/meson.build': "'x.c'"}, True),
        ('a/b/x.c', {'a/meson.build': "'b/x.c'"}, True),
        ('a/b/x.c', {'a/meson.build': "'x.c'"}, False),
        ('a/x.c', {'b/meson.build': "'../a/x.c'"}, True),
        ('a/test_x.c', {'a/meson.build': "t = {'one/x': []}\n'test_@0@.c'.format(n)"}, True),
        ('a/test_x.c', {'a/meson.build': "t = {'one/y': []}\n'test_@0@.c'.format(n)"}, False),
        ('a/x.c', {'a/y.md': 'compiles x.c'}, True),
        ('a/x.c', {'a/x.md': '', 'a/y.h': '/* x.c */', 'a/z.md': 'y.h'}, False),
        ('a/x.h', {'a/y.c': '#include "a/x.h"', 'a/z.md': 'y.c'}, True),
        ('a/x.h', {'a/y.c': '#include "b/x.h"', 'a/z.md': 'y.c'}, False),
        ('a/x.h', {'a/meson.build': "'x.h'"}, False),  # listed to be compiled alone
        ('a/x.h', {'a/x.c': '  #  include "a/x.h"', 'meson.build': "'a/x.c'"}, True),
        ('e/include/spate/x.h', {'a/y.c': '#include <spate/x.h>', 'a/z.md': 'y.c'}, True),
        ('a/x.py', {'a/y.sh': 'run x.py', 'z.md': 'y.sh'}, True),
        ('a/x.py', {'a/y.py': 'import x', 'z.md': 'y.py'}, True),
        ('a/x.py', {'a/y.py': 'import xy', 'z.md': 'y.py'}, False),
        ('a/x.py', {}, False),
        ('a/x.sh', {}, False),
        ('a/x.txt', {}, True),
    ]
    for path, others, used in table:
        tree = {path: '# x.py x.sh\n' if path.endswith(('.py', '.sh')) else '', **others}
        found = [where for where, _, message in tidy_names.check_unused(tree)]
        assert found == ([] if used else [path]), (path, others, found)


def each_source_names_its_licence():
    assert list(tidy.check('proto/wire/x.c', 'int x;\n')) != []
    assert list(tidy.check('tools/x.sh', '#!/bin/sh\n# SPDX-License-Identifier: MIT\n')) == []
    assert list(tidy.check('tools/x.sh', '#!/bin/sh\n\n# SPDX-License-Identifier: MIT\n')) != []


def long_lines_tabs_and_spaces_at_the_end_are_found():
    assert findings('proto/wire/x.c', 'x' * 100 + '\n') == []
    assert len(findings('proto/wire/x.c', 'x' * 101 + '\n')) == 1
    assert findings('proto/wire/x.c', 'ü' * 100 + '\n') == []
    assert len(findings('proto/wire/x.c', '\tint x;\n')) == 1
    assert len(findings('proto/wire/x.c', 'int x; \n')) == 1
    assert len(findings('proto/wire/x.c', 'int x;')) == 1


def unfinished_work_and_scratch_comments_are_found():
    for word in ('TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'):
        assert len(findings('proto/wire/x.c', f'/* {word}: later */\n')) == 1
        assert findings('proto/wire/x.c', f'int {word}_x;\n') == []
    assert len(findings('proto/wire/x.c', '// why\n')) == 1
    assert len(findings('proto/wire/x.c', 'int x; // why\n')) == 1
    assert findings('proto/wire/x.c', '/* http://example.org/ */\n') == []
    assert findings('proto/wire/x.c', 'x = "a//b";\n') == []


def long_files_and_functions_are_found():
    assert findings('proto/wire/x.c', 'int x;\n' * 599) == []
    assert len(findings('proto/wire/x.c', 'int x;\n' * 600)) == 1
    assert findings('tools/examples/x.c', 'int x;\n' * 148) == []
    assert len(findings('tools/examples/x.c', 'int x;\n' * 149)) == 1
    assert findings('proto/wire/x.c', 'int f(void)\n{\n' + '    g();\n' * 70 + '}\n') == []
    assert len(findings('proto/wire/x.c', 'int f(void)\n{\n' + '    g();\n' * 71 + '}\n')) == 1
    two = 'int f(void)\n{\n' + '    g();\n' * 50 + '}\n'
    assert findings('proto/wire/x.c', two + two) == []
    table = 'static const int x[] = {\n' + '    1,\n' * 100 + '};\n'
    assert findings('proto/wire/x.c', table) == []
    inner = ('    static const struct {\n        int a;\n    } x[] = {\n' + '        {1},\n' * 100
             + '    };\n')
    for count, found in ((70, 0), (71, 1)):
        body = 'int f(void)\n{\n' + inner + '    g();\n' * count + '}\n'
        assert len(findings('proto/wire/x.c', body)) == found, count


def exceptions_bind_to_their_number():
    tidy.LONGER = {'proto/wire/x.c': 700, 'proto/wire/y.c:int f(void)': 80}
    try:
        assert findings('proto/wire/x.c', 'int x;\n' * 699) == []
        assert len(findings('proto/wire/x.c', 'int x;\n' * 700)) == 1
        assert findings('proto/wire/y.c', 'int f(void)\n{\n' + '    g();\n' * 80 + '}\n') == []
        assert len(findings('proto/wire/y.c', 'int f(void)\n{\n' + '    g();\n' * 81 + '}\n')) == 1
        assert len(findings('proto/wire/y.c', 'int h(void)\n{\n' + '    g();\n' * 71 + '}\n')) == 1
    finally:
        tidy.LONGER = {}


def a_bad_tree_and_an_empty_tree_fail():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        run = [sys.executable, TOOLS / 'tidy.py', root]
        assert subprocess.run(run, capture_output=True).returncode == 1
        (root / 'proto/wire').mkdir(parents=True)
        (root / 'proto/wire/x.c').write_text(SPDX + 'int x;\n')
        (root / 'README').write_text('x.c\n')
        assert subprocess.run(run, capture_output=True).returncode == 0
        (root / 'proto/wire/x.c').write_text(SPDX + '#include "engine/shard/shard.h"\n')
        shown = subprocess.run(run, capture_output=True, text=True)
        assert shown.returncode == 1
        finding = 'proto/wire/ may not include engine/shard/shard.h'
        assert shown.stdout == f'proto/wire/x.c:2: {finding}\n'


def a_header_that_no_build_file_lists_is_found():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for folder in 'base', 'recovery':
            (root / 'proto' / folder).mkdir(parents=True)
        for name in ('proto/recovery/loss.h', 'proto/base/time.h'):
            (root / name).write_text(SPDX + 'int x;\n')
        build = root / 'proto/meson.build'

        def found():
            return [name for name in ('proto/recovery/loss.h', 'proto/base/time.h')
                    if list(tidy.check_listed(root, name))]

        assert found() == ['proto/recovery/loss.h', 'proto/base/time.h']
        build.write_text("x = ['recovery/loss.h', 'time.h']\n")
        assert found() == ['proto/base/time.h']
        build.write_text("x = ['recovery/loss.h', 'base/time.h']\n")
        assert found() == []
        assert list(tidy.check_listed(root, 'test/support/qt.h')) == []


def main():
    return tap.run([
        a_file_of_the_library_is_in_a_room,
        files_of_the_connection_use_lower_layers_only,
        includes_go_downwards_only,
        calls_with_one_home_are_found_elsewhere,
        banned_calls_name_what_to_use,
        names_that_were_replaced_are_found,
        an_abstract_has_one_place,
        markdown_is_wrapped_but_for_tables,
        what_a_comment_names_exists,
        what_markdown_names_exists,
        files_without_use_are_found,
        each_source_names_its_licence,
        long_lines_tabs_and_spaces_at_the_end_are_found,
        unfinished_work_and_scratch_comments_are_found,
        long_files_and_functions_are_found,
        exceptions_bind_to_their_number,
        a_bad_tree_and_an_empty_tree_fail,
        a_header_that_no_build_file_lists_is_found,
    ])


if __name__ == '__main__':
    sys.exit(main())
