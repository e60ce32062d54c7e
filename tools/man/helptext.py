# SPDX-License-Identifier: MIT
"""Reads text as --help prints it, and as comments of the headers have it, into blocks.

A block is a tuple whose first element is its kind:

    ('usage', lines)     the command lines after "usage:", without that word
    ('heading', text)    a short line that ends with ":" and has others below it
    ('prose', text)      lines without indentation, as one paragraph
    ('items', pairs)     indented lines: (term, text) each; the text may be empty
    ('code', lines)      lines that are all indented by 4 or more, and none of them an item
"""
import collections
import re

INDENT_OF_CODE = 4
HEADING_COLUMNS = 30
GAP = re.compile(r'(?<=[^\s.:?!]) {2,}(?=\S)')  # two spaces after a sentence are none


def indent_of(line):
    return len(line) - len(line.lstrip(' '))


def text_column(lines, indent):
    """Where the texts of items begin: the column that most lines agree on; None: there is none."""
    columns = collections.Counter()
    for line in lines:
        gap = GAP.search(line.rstrip(), indent)
        if indent_of(line) > indent:
            columns[indent_of(line)] += 1
        elif gap:
            columns[gap.end()] += 1
    return columns.most_common(1)[0][0] if columns else None


def split_item(line, column):
    """(term, text) of the first line of an item."""
    gap = GAP.search(line, indent_of(line))
    if gap:
        return line[:gap.start()].strip(), line[gap.end():].strip()
    is_long = column is not None and line[column - 1:column] == ' '  # one space follows
    if is_long and not re.fullmatch(r'[A-Z:|-]+', line[column:]):  # .. and it is not its value
        return line[:column].strip(), line[column:].strip()
    return line.strip(), ''


def read_items(lines):
    indent = min(map(indent_of, lines))
    column = text_column(lines, indent)
    items = []
    for line in lines:
        if indent_of(line) > indent and items:
            term, text = items[-1]
            items[-1] = term, f'{text} {line.strip()}'.strip()
        else:
            items.append(split_item(line, column))
    return ('items', items)


def read_indented(lines):
    if min(map(indent_of, lines)) >= INDENT_OF_CODE:
        margin = min(map(indent_of, lines))
        return ('code', [line[margin:] for line in lines])
    return read_items(lines)


def read_paragraph(lines):
    """The blocks of lines without an empty one between them."""
    if lines[0].startswith('usage: '):
        yield 'usage', [lines[0].removeprefix('usage: ').strip(), *map(str.strip, lines[1:])]
        return
    while lines:
        is_indented = lines[0].startswith(' ')
        end = next((n for n, line in enumerate(lines) if line.startswith(' ') != is_indented),
                   len(lines))
        part, lines = lines[:end], lines[end:]
        if is_indented:
            yield read_indented(part)
            continue
        if part[0].endswith(':') and len(part[0]) <= HEADING_COLUMNS and (part[1:] or lines):
            yield 'heading', part.pop(0)[:-1]
        if part:
            yield 'prose', ' '.join(part)


def read(text):
    """All blocks of `text`, in their order."""
    paragraph = []
    for line in [*text.expandtabs().split('\n'), '']:
        if line.strip():
            paragraph.append(line.rstrip())
        elif paragraph:
            yield from read_paragraph(paragraph)
            paragraph = []
