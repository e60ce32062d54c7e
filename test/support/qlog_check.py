#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks files of qlog: JSON text sequences [RFC7464], and every record against the CDDL of the
drafts, qlog.cddl beside this file.  What the drafts leave open to extensions counts as an error:
we write none, but fields beside `data`.

usage: qlog_check.py FILE...     prints what is wrong, and how often each event occurs
"""
import collections
import json
import pathlib
import re
import sys

TOKEN = re.compile(r'\s+|;[^\n]*|("(?:[^"\\]|\\.)*"|/=|=>|\.[a-z]+|\d+\*\d+|[$~]*[A-Za-z_][\w-]*'
                   r'|\$\$?[\w-]+|\d+|[=/{}\[\]():?*+,])')


class Cddl:
    """The part of CDDL that the drafts use.  A type is a tuple: its kind, and its parts."""

    def __init__(self, text):
        self.tokens = []
        at = 0
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise ValueError(f'cannot read {text[at:at + 40]!r}')
            at = found.end()
            if found[1]:
                self.tokens.append(found[1])
        self.at = 0
        self.rules = {}
        while self.at < len(self.tokens):
            name = self.take()
            operator = self.take()
            if operator not in ('=', '/='):
                raise ValueError(f'{name} {operator}: no rule')
            self.rules.setdefault(name, []).extend(self.choice())

    def peek(self, ahead=0):
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else None

    def take(self, *expected):
        token = self.peek()
        if expected and token not in expected:
            raise ValueError(f'{token} where {expected} should be')
        self.at += 1
        return token

    def choice(self):
        types = [self.one()]
        while self.peek() == '/':
            self.take()
            types.append(self.one())
        return types

    def one(self):
        token = self.take()
        if token == '{':
            kind = ('map', self.group('}'))
        elif token == '[':
            kind = ('array', self.group(']'))
        elif token == '(':
            kind = ('any of', self.choice())
            self.take(')')
        elif token[0] == '"':
            kind = ('text', json.loads(token))
        elif token[0].isdigit():
            kind = ('number', int(token))
        else:
            kind = ('name', token)
        if self.peek() and re.fullmatch(r'\.[a-z]+', self.peek()):
            control = self.take()
            kind = ('control', control, kind, self.one())
        return kind

    def group(self, end):
        entries = []
        while self.peek() != end:
            occurrence = '1'
            if self.peek() in ('?', '*', '+') or re.fullmatch(r'\d+\*\d+', self.peek()):
                occurrence = self.take()
            key = None
            if self.peek(1) == ':':
                key = ('key', self.take().strip('"'))
                self.take(':')
            elif self.peek(1) == '=>':
                key = ('any key', self.take())
                self.take('=>')
            entries.append((occurrence, key, ('any of', self.choice())))
            if self.peek() == ',':
                self.take()
        self.take(end)
        return entries

    def entries(self, group):
        """The members of a map, with those of maps that it takes over."""
        for occurrence, key, kind in group:
            first = kind[1][0]
            if key is None and first[0] == 'name' and first[1].startswith('~'):
                taken = self.rules[first[1][1:]][0]
                yield from self.entries(taken[1])
            elif key is None and first[0] == 'name' and first[1].startswith('$$'):
                continue  # what may extend the draft: nothing does
            else:
                yield occurrence, key, kind

    def errors(self, kind, value, where):
        """What is wrong with a value: a list, empty if nothing is."""
        return getattr(self, 'errors_of_' + kind[0].replace(' ', '_'))(kind, value, where)

    def errors_of_text(self, kind, value, where):
        return [] if value == kind[1] else [f'{where}: {value!r} is not {kind[1]!r}']

    errors_of_number = errors_of_text

    def errors_of_any_of(self, kind, value, where):
        all_errors = []
        for one in kind[1]:
            all_errors.append(self.errors(one, value, where))
            if not all_errors[-1]:
                return []
        # The likeliest one is the one of which least is wrong, and that says most.
        return min(all_errors, key=lambda errors: (len(errors), -len(errors[0])))

    def errors_of_name(self, kind, value, where):
        name = kind[1]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        simple = {'any': True, 'text': isinstance(value, str), 'bool': isinstance(value, bool),
                  'uint': is_number and isinstance(value, int) and value >= 0,
                  'float32': is_number, 'float64': is_number}
        if name in simple:
            return [] if simple[name] else [f'{where}: {value!r} is no {name}']
        if name not in self.rules:
            return [f'{where}: there is no rule {name}']
        return self.errors(('any of', self.rules[name]), value, where)

    def errors_of_control(self, kind, value, where):
        _, control, inner, argument = kind
        found = self.errors(inner, value, where)
        if not found and control == '.regexp' and not re.fullmatch(argument[1], value):
            found = [f'{where}: {value!r} does not match {argument[1]}']
        if not found and control == '.size' and isinstance(value, int):
            if value >= 1 << (8 * argument[1]):
                found = [f'{where}: {value} has more than {argument[1]} bytes']
        return found

    def errors_of_array(self, kind, value, where):
        if not isinstance(value, list):
            return [f'{where}: {value!r} is no array']
        (occurrence, _, inner), = kind[1]
        least, most = {'*': (0, None), '+': (1, None), '?': (0, 1), '1': (1, 1)}.get(
            occurrence, (0, 0)) if '*' not in occurrence[1:] else map(int, occurrence.split('*'))
        if len(value) < least or (most is not None and len(value) > most):
            return [f'{where}: {len(value)} elements']
        return [e for i, one in enumerate(value)
                for e in self.errors(inner, one, f'{where}[{i}]')]

    def errors_of_map(self, kind, value, where):
        if not isinstance(value, dict):
            return [f'{where}: {value!r} is no object']
        found = []
        left = dict(value)
        is_open = False
        for occurrence, key, inner in self.entries(kind[1]):
            if key[0] == 'any key':
                is_open = True
            elif key[1] in value:
                left.pop(key[1], None)
                errors = self.errors(inner, value[key[1]], f'{where}.{key[1]}')
                if errors and key[1] == 'frame_type':  # it is another frame
                    return errors * 10
                found += errors
            elif occurrence == '1':
                found.append(f'{where}: {key[1]} is missing')
        if not is_open:
            found += [f'{where}: {name} is not in the draft' for name in left]
        return found


CDDL = Cddl((pathlib.Path(__file__).parent / 'qlog.cddl').read_text())
# quic:packet_sent -> QUICPacketSent
RULES = {name.lower(): name for name in CDDL.rules}


def rule_of(event):
    return RULES.get(event.replace(':', '').replace('_', ''))


def records_of(data):
    """The JSON texts of a sequence.  Asserts its form."""
    assert data.startswith(b'\x1e'), 'no record separator at the start'
    for number, text in enumerate(data[1:].split(b'\x1e'), 1):
        assert text.endswith(b'\n') and text.count(b'\n') == 1, f'record {number}: no line'
        yield json.loads(text.decode('ascii'))


def check_event(event, number):
    """What is wrong with an event."""
    found = CDDL.errors(('name', 'Event'), {**event, 'data': {'message': ''}}, f'record {number}')
    rule = rule_of(event.get('name', ''))
    if rule is None:
        return found + [f'record {number}: no event {event.get("name")}']
    return found + CDDL.errors(('name', rule), event.get('data'), f'record {number} {rule}')


def check(data):
    """All that is wrong with a file's bytes, and its records."""
    records = list(records_of(data))
    found = CDDL.errors(('name', 'QlogFileSeq'), records[0], 'head')
    last = 0
    for number, event in enumerate(records[1:], 2):
        found += check_event(event, number)
        if event.get('time', 0) < last:
            found.append(f'record {number}: time goes backwards')
        last = event.get('time', 0)
    return found, records


def main():
    counts = collections.Counter()
    found = []
    for name in sys.argv[1:]:
        errors, records = check(pathlib.Path(name).read_bytes())
        found += [f'{name}: {error}' for error in errors]
        counts.update(event.get('name') for event in records[1:])
    print('\n'.join(found[:50]))
    for event, count in sorted(counts.items()):
        print(f'{count:8} {event}')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
