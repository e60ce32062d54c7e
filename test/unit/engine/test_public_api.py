#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What programs link to: the headers, the version script and the library name the same functions.

usage: test_public_api.py SOURCE-DIR VERSION LIBSPATE.so VERSION.h CC...
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(sys.argv[1])
VERSION, LIBRARY, HEADER, *CC = sys.argv[2:]
HEADERS = SOURCE / 'engine/include/spate'


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared():
    """The functions of the public headers."""
    names = []
    for header in HEADERS.glob('*.h'):
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


def public_headers():
    """The text of the public headers as the compiler sees it: lists that are macros are fields."""
    said = run(*CC, '-std=gnu17', '-E', '-I', HEADERS.parent, '-I',
               pathlib.Path(HEADER).parent.parent, HEADERS / 'spate.h')
    ours = ''
    is_ours = False
    for line in said.splitlines():
        mark = re.match(r'# \d+ "(.*?)"', line)
        if mark:
            is_ours = '/spate/' in mark[1]
        elif is_ours:
            ours += line + '\n'
    return ours


def documented():
    """Each public function, inline or not: its name, declaration and the comment directly above."""
    for header in sorted(HEADERS.glob('*.h')):
        text = header.read_text()
        found = re.findall(
            r'(?:^/\*((?:(?!\*/).)*)\*/\n)?^((?:SPATE_API|static inline) [^;{]*\))',
            text, re.MULTILINE | re.DOTALL)
        count = len(re.findall(r'^(?:SPATE_API|static inline) ', text, re.MULTILINE))
        assert len(found) == count, header
        for comment, declaration in found:
            name = re.search(r'\b(spate_\w+)\(', declaration)[1]
            yield name, declaration, re.sub(r'\n \* ?', '\n', comment)


def each_function_has_a_comment_of_its_own():
    functions = list(documented())
    assert len(functions) > 50, functions
    for name, _, comment in functions:
        # It begins with a verb, and needs no other function's comment to be understood.
        assert re.match(r' [A-Z][a-z]+s ', comment), f'{name} has no comment of its own: {comment}'
        assert not re.search(r'[Tt]he same (?:as|for)|[Rr]eturns as|[Aa]s for', comment), \
            f'{name} leans on the comment of another function: {comment}'
        assert re.search(r'\bThreads: (?:any|shard)\b[^.]*\.', comment), f'{name} has no Threads:'


def each_error_has_a_cause():
    """Errors stand in a list: each errno at the beginning of a line, then its cause."""
    for name, declaration, comment in documented():
        returned = r'Returns (?:0|the descriptor|how many were taken|the number of events), or'
        returns = re.split(returned, comment, maxsplit=1)[1:]
        returns = ''.join(returns)
        causes = dict(re.findall(r'^  (-E[A-Z0-9]+) +(\S.*)', returns, re.MULTILINE))
        assert set(re.findall(r'-E[A-Z0-9]+\b', returns)) == set(causes), f'{name}: {comment}'
        for error, cause in causes.items():
            assert len(cause.split()) >= 3, f'{name}: {error} has no cause: {cause}'
        can_fail = declaration.startswith('SPATE_API int ') and name != 'spate_shard_turn'
        assert can_fail == bool(causes), f'{name}: {comment}'
        missing = raised(name) - set(causes) if can_fail else set()
        assert not missing, f'{name} can return {sorted(missing)}'


def raised(name):
    """The errors that a function of engine/ names itself, or that its helpers in that file do."""
    # What is common to several functions and cannot happen to each of them.
    not_here = {'spate_stream_reset': {'-ENOBUFS'},
                'spate_stream_reset_at': {'-ENOBUFS'},
                'spate_stream_stop': {'-ENOBUFS'},
                'spate_engine_take_over_finish': {'-EALREADY', '-EBUSY', '-ECONNRESET',
                                                  '-ENOMEM'}}
    for source in sorted((SOURCE / 'engine').glob('*/*.c')):
        text = re.sub(r'/\*.*?\*/', '', source.read_text(), flags=re.DOTALL)
        bodies = dict(re.findall(r'^\w[\w *]*?(\w+)\([^;{]*?\)\n\{\n(.*?)^\}', text,
                                 re.MULTILINE | re.DOTALL))
        if name not in bodies:
            continue
        errors = set()
        seen = {name}
        left = [name]
        while left:
            body = bodies[left.pop()]
            errors |= set(re.findall(r'(?:return|[=?:]) (-E[A-Z0-9]+)\b', body))
            if re.search(r'\bse_(?:sized|config)_take\(', body):
                errors |= {'-EINVAL', '-E2BIG'}
            more = (set(re.findall(r'\b(\w+)\(', body)) & set(bodies)) - seen
            seen |= more
            left += more
        return errors - not_here.get(name, set())
    raise AssertionError(f'{name} is not in engine/')


def compile_abi(include):
    """What the compiler says of engine/abi.c with the headers in this folder."""
    return subprocess.run([*CC, '-std=gnu17', '-fsyntax-only', '-I', include,
                           '-I', pathlib.Path(HEADER).parent.parent, SOURCE / 'engine/abi.c'],
                          capture_output=True, text=True, check=False).stderr


def each_field_and_enumerator_is_frozen():
    frozen = (SOURCE / 'engine/abi.c').read_text()
    text = public_headers()
    structs = re.findall(r'^struct (spate_\w+) \{\n(.*?)^\};', text, re.MULTILINE | re.DOTALL)
    assert len(structs) >= 12, [name for name, _ in structs]
    wanted = []
    for name, body in structs:
        body = re.sub(r'union \{.*\}', '', body, flags=re.DOTALL)  # each member has its own line
        if name != 'spate_error':  # its size says it all
            for field in body.split(';')[:-1]:
                member = re.search(r'\(\*(\w+)\)|(\w+)(?:\[\w+\])?$', field.strip())
                wanted.append(f'(struct {name}, {member[1] or member[2]}, ')
    for body in re.findall(r'^enum (?:\w+ )?\{(.*?)\}', text, re.MULTILINE | re.DOTALL):
        wanted += [f'FROZEN_VALUE({name}, ' for name in re.findall(r'\bSPATE_\w+', body)]
    assert len(wanted) > 150, wanted
    missing = [line for line in wanted if line not in frozen]
    assert not missing, missing


def what_is_moved_or_made_larger_does_not_compile():
    said = compile_abi(HEADERS.parent)
    assert said == '', said
    for name, old, new in (
            ('config.h', r'\bpacing;(.*?)\becn;', r'ecn;\1pacing;'),
            ('config.h', r'uint32_t shard_count;', 'uint64_t shard_count;'),
            ('config.h', r'(SPATE_CRYPTO_OPENSSL,)(.*?)(SPATE_CRYPTO_FUSED,)', r'\3\2\1'),
            ('tls.h', r'(\*ca_)file;(.*?\*ca_)pem;', r'\1pem;\2file;'),
            ('config.h', r'(uint8_t reserved\[4\];)', r'\1 bool more;'),
            ('tls.h', r'1 << 1', '1 << 3'),
            ('counters.h', r'(COUNTER, acks_)in(.*?acks_)out', r'\1out\2in'),
            ('event.h', r'SPATE_CLOSE_TRANSPORT = 1', 'SPATE_CLOSE_TRANSPORT'),
            ('counters.h', r'uint64_t name;', 'uint32_t name;')):
        with tempfile.TemporaryDirectory() as folder:
            copies = pathlib.Path(folder) / 'spate'
            shutil.copytree(HEADERS, copies)
            header = copies / name
            changed = re.sub(old, new, header.read_text(), count=1, flags=re.DOTALL)
            assert changed != header.read_text(), f'{name} has no {old}'
            header.write_text(changed)
            said = compile_abi(folder)
            assert re.search(r'error: static.*frozen', said), f'{name}, {old} -> {new}: {said}'


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
    for test in (each_function_has_a_comment_of_its_own,
                 each_error_has_a_cause,
                 each_field_and_enumerator_is_frozen,
                 what_is_moved_or_made_larger_does_not_compile,
                 the_map_lists_what_the_headers_declare,
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
