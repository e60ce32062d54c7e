#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows doxygen a public header with the comments as it wants them: a filter for Doxyfile.

usage: reference_filter.py HEADER

Ours are plain comments, written to be read in the header.  Those before a declaration, those behind
a field, and the one about the whole header become comments of doxygen's kind; lists of arguments
and errors become lists, and what doxygen would take for commands is escaped.
"""
import pathlib
import re
import sys

sys.dont_write_bytecode = True  # this runs in the source tree

import helptext

# A comment, what stands before it in its line, and what follows it.
COMMENT = re.compile(r'^(?P<before>[^\n]*?)/\*(?P<inner>.*?)\*/(?P<after>[^\n]*\n)'
                     r'(?=(?P<next>[^\n]*))',
                     re.S | re.M)
THREADS = re.compile(r'^Threads: ')


def escape(text):
    """Prose in which doxygen sees neither commands nor tags; `code` stays code."""
    parts = text.split('`')
    for n in range(0, len(parts), 2):
        parts[n] = re.sub(r'([\\@<>#&*_~$%])', r'\\\1', parts[n]).replace('::', r'\::')
        parts[n] = re.sub(r'\\_', '_', parts[n])  # names of functions become links
    return '`'.join(parts)


def code(text):
    return f'`{text}`' if '`' not in text else escape(text)


def body(text):
    """A comment's text as doxygen's Markdown."""
    for kind, content in helptext.read(text):
        if kind == 'prose':
            yield escape(THREADS.sub('', content)) if not THREADS.match(content) else \
                '@par Threads\n' + escape(THREADS.sub('', content))
        elif kind == 'heading':
            yield escape(content) + ':'
        elif kind == 'items':
            yield '\n'.join(f'- {code(left)}: {escape(right)}' if right else f'- {code(left)}'
                            for left, right in content)
        elif kind == 'usage':
            yield '\n'.join(map(escape, content))
        else:
            yield '\n'.join(['~~~~', *content, '~~~~'])


def documented(inner, mark, command=''):
    text = '\n'.join(line.lstrip() if n == 0 else re.sub(r'^\s*\*? ?', '', line, count=1)
                     for n, line in enumerate(inner.split('\n')))
    if mark == '/**<':
        text = ' '.join(text.split())
    return f'{mark} {command}' + '\n\n'.join(body(text)) + ' */'


def replace(match, state):
    before, inner, after, following = match.group('before', 'inner', 'after', 'next')
    whole = match[0]
    is_macro = before.lstrip().startswith('#') or after.rstrip().endswith('\\')
    if 'SPDX' in inner or is_macro:
        return whole
    if before.strip():
        return before + documented(inner, '/**<') + after
    if after.strip():
        return whole
    if following.strip() and not following.startswith('#endif'):
        return before + documented(inner, '/**') + after
    if not state.get('has_file'):
        state['has_file'] = True
        return before + documented(inner, '/**', '@file\n') + after
    return whole


def main():
    state = {}
    text = pathlib.Path(sys.argv[1]).read_text()
    text = COMMENT.sub(lambda match: replace(match, state), text)
    # A struct that nobody sees into is described where it is declared.
    sys.stdout.write(re.sub(r'(?<=\*/\n)(struct \w+);', r'\1 {};', text))


if __name__ == '__main__':
    main()
