#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of requirements: where each MUST of an RFC is implemented, and where it is tested.

usage: musts.py [--write | --table] [ROOT]
  (nothing)  check the lists in test/rfc/ against the tree, and test/rfc/README.md against both
  --write    write test/rfc/README.md anew
  --table    print every requirement with its files and tests

test/rfc/rfcNNNN.txt has one entry per requirement, in the order of the RFC:

  4.1-1 MUST NOT | send more than either limit allows
      code: proto/conn/fill.c
      test: unit/proto/conn/test_send_wait.c:every_wait_has_a_reason_and_an_end

A draft has the name of its tags, such as [reliable-reset 5.2], instead of rfcNNNN.

`4.1-1` is the first sentence of section 4.1 with MUST, MUST NOT, SHALL or REQUIRED; then what it
requires, in our words.  A file of `code:` has a tag with the section, such as [RFC9000 4.1].  A
name after the colon of `test:` is in that file, below test/.  `none:` instead of both gives the
reason why a requirement is not for us; `open:` beside or instead of them says what is missing.
"""
import argparse
import pathlib
import re
import sys

TITLES = {
    'rfc9000': 'QUIC: A UDP-Based Multiplexed and Secure Transport',
    'rfc9001': 'Using TLS to Secure QUIC',
    'rfc9002': 'QUIC Loss Detection and Congestion Control',
    'rfc9221': 'An Unreliable Datagram Extension to QUIC',
    'rfc9287': 'Greasing the QUIC Bit',
    'rfc9368': 'Compatible Version Negotiation for QUIC',
    'rfc9369': 'QUIC Version 2',
    'ack-frequency': 'draft-ietf-quic-ack-frequency, QUIC Acknowledgment Frequency',
    'quic-lb': 'draft-ietf-quic-load-balancers, QUIC-LB: Generating Routable QUIC Connection IDs',
    'reliable-reset': 'draft-ietf-quic-reliable-stream-reset, Resets with Partial Delivery',
}
PAGE = """# Requirements of the RFCs

Written by `tools/musts.py --write` from the lists beside it: do not edit. Each entry of a list is
one MUST or MUST NOT, with the files that implement it and the tests that try it;
`tools/musts.py --table` prints all of them. A test checks that every named file, tag and test
exists.
"""
HEAD = re.compile(r'((?:\d+|[A-Z])(?:\.\d+)*)-(\d+) (MUST NOT|MUST) \| (\S.*)')
DETAIL = re.compile(r'    (code|test|none|open): (\S.*)')


class Entry:
    def __init__(self, rfc, line, section, number, level, text):
        self.rfc, self.line, self.section, self.number = rfc, line, section, int(number)
        self.level, self.text = level, text
        self.code, self.test, self.none, self.open = [], [], '', ''

    def name(self):
        return f'{self.section}-{self.number}'

    def state(self):
        if self.none:
            return 'not ours'
        if self.open:
            return 'open'
        return 'tested' if self.test else 'not tested'


class BadList(Exception):
    pass


def section_key(section):
    return [(part.isdigit(), int(part) if part.isdigit() else part) for part in section.split('.')]


def parse(rfc, text):
    """Returns the entries of one list.  Raises BadList with one line about the first error."""
    entries = []
    for line, content in enumerate(text.split('\n'), 1):
        where = f'test/rfc/{rfc}.txt:{line}'
        if not content.strip() or content.startswith('#'):
            continue
        if found := HEAD.fullmatch(content):
            entry = Entry(rfc, line, *found.groups())
            before = entries[-1] if entries else None
            if before and (section_key(entry.section), entry.number) <= (
                    section_key(before.section), before.number):
                raise BadList(f'{where}: {entry.name()} is not after {before.name()}')
            entries.append(entry)
        elif (found := DETAIL.fullmatch(content)) and entries:
            key, value = found.groups()
            old = getattr(entries[-1], key)
            setattr(entries[-1], key, old + value.split() if isinstance(old, list) else value)
        else:
            raise BadList(f'{where}: neither an entry nor a detail of one: "{content}"')
    return entries


def tag_of(rfc):
    return rfc.upper() if rfc.startswith('rfc') else rfc


def has_tag(text, rfc, section):
    """Returns whether `text` has a tag of that section, such as [RFC9000 4.1, 4.2]."""
    name = tag_of(rfc)
    for tag in re.findall(rf'\[[^\]]*\b{name} [^\]]*\]', text):
        for part in re.split(r'(?=RFC\d)|(?=\b[a-z]+-[a-z]+ )', tag):
            if part.startswith(f'{name} ') and section in re.findall(
                    r'[A-Z0-9][\d.]*\d|\d', part[len(name):]):
                return True
    return False


def check(root, entry):
    """All errors of one entry, each a line."""
    where = f'test/rfc/{entry.rfc}.txt:{entry.line}: {entry.name()}'
    if entry.none and (entry.code or entry.test or entry.open):
        yield f'{where} is not for us, and yet has code, tests or something open'
    if not entry.none and not entry.open and not entry.code:
        yield f'{where} names no code: add `code:`, `none:` or `open:`'
    for name in entry.code:
        path = root / name
        if not path.is_file():
            yield f'{where} names {name}, which does not exist'
        elif not has_tag(path.read_text(), entry.rfc, entry.section):
            yield f'{where}: {name} has no tag [{tag_of(entry.rfc)} {entry.section}]'
    for name in entry.test:
        file, _, function = name.partition(':')
        path = root / 'test' / file
        if not path.is_file():
            yield f'{where} names test/{file}, which does not exist'
        elif function and not re.search(rf'\b{re.escape(function)}\b', path.read_text()):
            yield f'{where}: test/{file} has no {function}'


def readme(lists):
    states = ['tested', 'not tested', 'open', 'not ours']
    out = [PAGE,
           '| RFC | requirements | ' + ' | '.join(states) + ' |',
           '|---|---|' + '---|' * len(states)]
    for rfc, entries in lists.items():
        counts = [sum(e.state() == state for e in entries) for state in states]
        out.append(f'| {tag_of(rfc)}, {TITLES[rfc]} | {len(entries)} | '
                   + ' | '.join(map(str, counts)) + ' |')
    for title, state in (('Open', 'open'), ('Without a test of its own', 'not tested')):
        rows = [e for entries in lists.values() for e in entries if e.state() == state]
        if rows:
            out += ['', f'## {title}', '', '| requirement | text | note |', '|---|---|---|']
            out += [f'| {tag_of(e.rfc)} {e.name()} | {e.level} {e.text} '
                    f'| {e.open or ", ".join(e.code)} |' for e in rows]
    return '\n'.join(out) + '\n'


def read_lists(root):
    lists = {}
    for rfc in TITLES:
        lists[rfc] = parse(rfc, (root / 'test/rfc' / f'{rfc}.txt').read_text())
    return lists


def main(argv):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('--write', action='store_true')
    parser.add_argument('--table', action='store_true')
    parser.add_argument('root', nargs='?', default='.', type=pathlib.Path)
    args = parser.parse_args(argv)
    try:
        lists = read_lists(args.root)
    except (BadList, OSError) as error:
        print(f'musts.py: {error}', file=sys.stderr)
        return 1
    if args.table:
        for entries in lists.values():
            for e in entries:
                print(f'{tag_of(e.rfc)} {e.name()} {e.level} {e.text}\n    {e.state()}: '
                      f'{e.none or e.open or " ".join(e.code + e.test)}')
        return 0
    page = args.root / 'test/rfc/README.md'
    if args.write:
        page.write_text(readme(lists))
    errors = [line for entries in lists.values() for e in entries for line in check(args.root, e)]
    if not page.is_file() or page.read_text() != readme(lists):
        errors.append('test/rfc/README.md is old: run tools/musts.py --write')
    for line in errors:
        print(line)
    print(f'musts.py: {sum(map(len, lists.values()))} requirements, {len(errors)} errors')
    return 1 if errors else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
