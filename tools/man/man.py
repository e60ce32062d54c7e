#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a manual page from what the program itself says: its --help is the one source.

usage: man.py command NAME VERSION PROGRAM ABOUT SEE-ALSO [COMMAND...]
       man.py library NAME VERSION TEXT-FILE ABOUT SEE-ALSO HEADER...

The page goes to stdout.  "command" asks PROGRAM --help, then PROGRAM COMMAND --help for each
COMMAND; "auto" stands for those that the first one lists as "NAME COMMAND".  "library" takes a
text in the form of --help, and lists the functions of the public headers with the first sentence
of their comments.  Tested by test/e2e/man_pages.py.
"""
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import time

sys.dont_write_bytecode = True  # this runs in the source tree

import headers
import helptext

# What has no --help of its own.
PLAIN_COMMANDS = ('version', 'help')
COLUMNS = 78
OPTION = re.compile(r'(?<![\w-])--?[a-z][\w-]*')
ARGUMENT = re.compile(r'(?<![\w-])[A-Z][A-Z0-9.:/|-]*(?![a-z])')


def escape(text):
    """Text in which roff sees neither escapes nor hyphens that it may turn into dashes."""
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return text.replace('"', '\\(dq').replace("'", '\\(aq').replace('`', '\\(ga')


def guarded(line):
    """A line that roff does not take for a request."""
    return '\\&' + line if line.startswith(('.', "'")) else line


def prose(text):
    """Text with options in bold, in lines that people can read as well."""
    result, end = [], 0
    for option in OPTION.finditer(text):
        result += [escape(text[end:option.start()]), '\\fB', escape(option[0]), '\\fR']
        end = option.end()
    lines = textwrap.wrap(''.join([*result, escape(text[end:])]), COLUMNS,
                          break_long_words=False, break_on_hyphens=False)
    return '\n'.join(map(guarded, lines))


def term(text):
    """The left side of a list, or a command line: options bold, arguments in italics."""
    result, end = [], 0
    found = re.compile(f'{OPTION.pattern}|{ARGUMENT.pattern}')
    for part in found.finditer(text):
        font = '\\fB' if part[0].startswith('-') else '\\fI'
        result += [escape(text[end:part.start()]), font, escape(part[0]), '\\fR']
        end = part.end()
    return guarded(''.join([*result, escape(text[end:])]))


def synopsis(lines):
    """Command lines.  One that does not begin with the program goes on the line before."""
    program = lines[0].split()[0]
    joined = []
    for line in lines:
        if joined and line.split()[0] != program:
            joined[-1] += ' ' + line
        else:
            joined.append(line)
    result = []
    for line in joined:
        head, *rest = line.split(' ', 1)
        result += ['.PP' if not result else '.br', f'\\fB{escape(head)}\\fR ' + term(*rest or [''])]
    return result


def body(blocks, heading):
    """The lines of blocks; `heading` makes the lines of a heading."""
    result = []
    for kind, content in blocks:
        if kind == 'usage':
            result += synopsis(content)
        elif kind == 'heading':
            result += heading(content)
        elif kind == 'prose':
            result += ['.PP', prose(content)]
        elif kind == 'code':
            result += ['.PP', '.RS 4', '.nf', *(guarded(escape(line)) for line in content),
                       '.fi', '.RE']
        else:
            for left, right in content:
                result += ['.TP', term(left), prose(right) or '\\&']
    return result


def section(title):
    return [f'.SH "{escape(title.upper())}"']


def subsection(title):
    return [f'.SS "{escape(title)}"']


def paragraph_heading(title):
    return ['.PP', f'\\fB{escape(title)}:\\fR']


def head(name, number, version, about):
    epoch = os.environ.get('SOURCE_DATE_EPOCH')
    date = time.strftime('%Y-%m-%d', time.gmtime(int(epoch))) if epoch else ''
    return ['.\\" Made by man.py: change the text that it reads.',
            f'.TH {name.upper()} {number} "{date}" "Spate {version}" "Spate"',
            '.nh', '.ad l', *section('name'), f'{escape(name)} \\- {escape(about)}']


def see_also(names):
    pages = (re.sub(r'(.*)\((\d)\)', r'\\fB\1\\fR(\2)', escape(name)) for name in names.split())
    return [*section('see also'), ',\n'.join(pages)]


def tidied(lines):
    """Without the paragraphs that begin where a section does."""
    return [line for before, line in zip(['', *lines], lines)
            if line != '.PP' or not before.startswith(('.SH', '.SS'))]


def ask(program, *words):
    """What PROGRAM WORDS --help prints.  A program that does not know --help is a mistake."""
    environment = dict(os.environ, COLUMNS='100', NO_COLOR='1', PYTHONDONTWRITEBYTECODE='1')
    done = subprocess.run([program, *words, '--help'], capture_output=True, text=True,
                          env=environment, check=False)
    if done.returncode != 0 or done.stderr or not done.stdout:
        sys.exit(f'man.py: {program} {" ".join(words)} --help: exit {done.returncode},'
                 f' {done.stderr.strip()}')
    return done.stdout


def commands_of(name, text):
    """The commands that a help text lists."""
    found = []
    for kind, content in helptext.read(text):
        for left, _ in content if kind == 'items' else ():
            words = left.split()
            if words[0] == name and len(words) == 2 and words[1] not in PLAIN_COMMANDS:
                found.append(words[1])
    return found


def command_page(name, version, program, about, also, commands):
    text = ask(program)
    blocks = list(helptext.read(text))
    usage = [content for kind, content in blocks if kind == 'usage']
    if not usage:  # then the first list has command lines
        usage = [[left for left, _ in next(c for k, c in blocks if k == 'items')]]
    if commands == ['auto']:
        commands = commands_of(name, text)
    lines = head(name, 1, version, about)
    lines += [*section('synopsis'), *synopsis(usage[0])]
    lines += [*section('description'),
              *body([block for block in blocks if block[0] != 'usage'], subsection)]
    lines += section('commands') if commands else []
    for command in commands:
        lines += subsection(f'{name} {command}')
        lines += body(helptext.read(ask(program, command)), paragraph_heading)
    return tidied(lines + see_also(also))


def library_page(name, version, file, about, also, paths):
    blocks = list(helptext.read(pathlib.Path(file).read_text().split('\n\n', 1)[1]))
    lines = head(name, 3, version, about)
    lines += [*section('synopsis'), '.PP', '.B #include <spate/spate.h>']
    lines += [*section('description'), *body(blocks, section)]
    lines += section('functions')
    for path in map(pathlib.Path, sorted(paths)):
        text = path.read_text()
        functions = list(headers.functions(text))
        if functions:
            lines += subsection(f'<spate/{path.name}>')
        for function, comment in functions:
            lines += ['.TP', f'\\fB{escape(function)}\\fR()',
                      prose(headers.first_sentence(comment))]
    return tidied(lines + see_also(also))


def main():
    kind, name, version, source, about, also, *rest = sys.argv[1:]
    page = command_page if kind == 'command' else library_page
    print('\n'.join(page(name, version, source, about, also, rest)))


if __name__ == '__main__':
    main()
