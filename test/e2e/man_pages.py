#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The manual pages say what --help says, word for word, and roff understands them.

usage: man_pages.py ROOT SPATE SPATE-BENCH FOLDER-OF-PAGES...
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT, SPATE, BENCH, *FOLDERS = sys.argv[1:]
del sys.argv[1:]
MAN = os.path.join(ROOT, 'tools/man/man.py')
# A build is no release: it has no date.
TOLERATED = re.compile(r'missing date')
HOSTILE = r'''usage: tool COMMAND [OPTIONS]
       tool --other

.Looks like a request, has a \backslash, a "quote", it's an 'apostrophe' and a --dash.
'Another request.

Its options:
  -x, --extra FILE  text with \fBfonts\fR.  Two spaces after a sentence
                    .and a line that begins with a dot
  --longer-than-its-column
                    text below it.  More of it
  --bare

Exits with 0.
'''


def page(name):
    for folder in FOLDERS:
        path = pathlib.Path(folder, name)
        if path.exists():
            return path
    raise FileNotFoundError(name)


def unescaped(text):
    """What roff prints for `text`."""
    text = re.sub(r'\\f[BIR]|\\&', '', text)
    for escape, character in ((r'\-', '-'), (r'\(dq', '"'), (r'\(aq', "'"), (r'\(ga', '`'),
                              (r'\e', '\\')):
        text = text.replace(escape, character)
    return text


def sections(text, level):
    """Title -> what roff prints of it, as words.  Titles of lower levels count as text."""
    found, title = {}, None
    for line in text.split('\n'):
        request = re.match(r'\.(SH|SS) "(.*)"$', line)
        if request and (request[1] == 'SH' or level == 'SS'):
            title = unescaped(request[2])
            found[title] = []
        elif request:
            found[title] += (unescaped(request[2]) + ':').split()
        elif title and not line.startswith('.'):
            found[title] += unescaped(line).split()
    return found


def help_of(program, *words):
    done = subprocess.run([program, *words, '--help'], capture_output=True, text=True,
                          timeout=60, env=dict(os.environ, COLUMNS='100', NO_COLOR='1'))
    assert (done.returncode, done.stderr) == (0, ''), done
    return done.stdout


def without_usage(text):
    return re.sub(r'\Ausage: .*?\n\n', '', text, flags=re.S).split()


def write_page(folder, text):
    """Runs man.py over a program that prints `text`."""
    program = pathlib.Path(folder, 'tool')
    pathlib.Path(folder, 'text').write_text(text)
    program.write_text(f'#!/bin/sh\nexec cat {folder}/text\n')
    program.chmod(0o755)
    return subprocess.run([sys.executable, MAN, 'command', 'tool', '1.2', program, 'does it',
                           'a(1)'], capture_output=True, text=True, timeout=60)


class Pages(unittest.TestCase):
    def test_each_command_has_the_words_of_its_help(self):
        text = page('spate.1').read_text()
        commands = re.findall(r'^  spate (\w+)', help_of(SPATE), re.M)
        commands = [name for name in commands if name not in ('version', 'help')]
        self.assertGreater(len(commands), 7)
        found = sections(text, 'SS')
        self.assertEqual([title for title in found if title.startswith('spate ')],
                         [f'spate {name}' for name in commands])
        for name in commands:
            wanted = help_of(SPATE, name).replace('usage: ', '', 1).split()
            self.assertEqual(found[f'spate {name}'], wanted, name)
        self.assertEqual(sections(text, 'SH')['DESCRIPTION'], without_usage(help_of(SPATE)))

    def test_every_option_that_the_command_takes_is_on_the_page(self):
        text = unescaped(page('spate.1').read_text())
        options = set()
        for path in pathlib.Path(ROOT, 'tools/spate').rglob('*.c'):
            options.update(re.findall(r'\{"([a-z-]+)", (?:required|no)_argument, NULL, ',
                                      path.read_text()))
        self.assertGreater(len(options), 50)
        absent = [name for name in sorted(options - {'help'})
                  if not re.search(rf'(?<![\w-])--{name}(?![\w-])', text)]
        self.assertEqual(absent, [])

    def test_the_load_generator_has_the_words_of_its_help(self):
        text = page('spate-bench.1').read_text()
        self.assertEqual(sections(text, 'SH')['DESCRIPTION'], help_of(BENCH).split())
        for name in 'suite', 'compare':
            self.assertEqual(sections(text, 'SS')[f'spate-bench {name}'],
                             help_of(BENCH, name).replace('usage: ', '', 1).split())

    def test_the_page_of_the_library_has_every_function_once(self):
        exported = set(re.findall(r'^\s+(spate_\w+);', pathlib.Path(
            ROOT, 'engine/spate.map').read_text(), re.M))
        listed = [unescaped(name) for name in re.findall(
            r'^\.TP\n\\fB(spate_[\w\\]+)\\fR\(\)\n(?=\S)', page('spate.3').read_text(), re.M)]
        self.assertGreater(len(exported), 100)
        self.assertEqual(exported - set(listed), set())
        self.assertEqual(len(listed), len(set(listed)))

    def test_a_long_option_keeps_the_name_of_its_value(self):
        with tempfile.TemporaryDirectory() as folder:
            done = write_page(folder, 'usage: tool\n\nWorks.\n\n'
                              '  --name NAME         the name\n'
                              '  --handshake-timeout SECONDS\n'
                              '                      takes no longer\n'
                              '  --long-without-one3 what it does\n')
        text = unescaped(done.stdout)
        self.assertRegex(text, r'(?m)^\.TP\n.*--handshake-timeout.* .*SECONDS.*\ntakes no longer$')
        self.assertRegex(text, r'(?m)^\.TP\n.*--long-without-one3\S*\nwhat it does$')

    def test_roff_has_nothing_to_say(self):
        for name in 'spate.1', 'spate-bench.1', 'spate.3':
            tried = False
            for tool in (['mandoc', '-T', 'lint', '-W', 'warning'],
                         ['groff', '-man', '-Tutf8', '-ww', '-z']):
                if shutil.which(tool[0]) is None:
                    print(f'# not tried, the system lacks {tool[0]}', file=sys.stderr)
                    continue
                done = subprocess.run([*tool, page(name)], capture_output=True, text=True,
                                      timeout=60)
                said = [line for line in (done.stdout + done.stderr).splitlines()
                        if not TOLERATED.search(line)]
                self.assertEqual(said, [])
                tried = True
            if tried and shutil.which('groff'):
                shown = subprocess.run(['groff', '-man', '-Tutf8', page(name)],
                                       capture_output=True, text=True, timeout=60).stdout
                self.assertIn('SEE ALSO', re.sub('\x1b\\[[0-9;]*m|.\b', '', shown))


class Script(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_no_word_is_lost_or_taken_for_a_request(self):
        done = write_page(self.folder, HOSTILE)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        found = sections(done.stdout, 'SH')
        self.assertEqual(found['DESCRIPTION'], without_usage(HOSTILE))
        self.assertEqual(found['SYNOPSIS'], 'tool COMMAND [OPTIONS] tool --other'.split())

    def test_terms_and_texts_are_told_apart(self):
        done = write_page(self.folder, 'usage: tool\n\n'
                          '  --a FILE       first.  Second\n'
                          '                 third\n'
                          '  --a-long-one N where it fits\n'
                          '  --very-long [--with] [--more]   after it\n')
        terms = [unescaped(term) for term in re.findall(r'\.TP\n(.*)\n(?!\\&)', done.stdout)]
        self.assertEqual(terms, ['--a FILE', '--a-long-one N', '--very-long [--with] [--more]'])

    def test_a_program_without_help_fails_the_build(self):
        program = pathlib.Path(self.folder, 'tool')
        program.write_text('#!/bin/sh\necho unknown option >&2\nexit 2\n')
        program.chmod(0o755)
        done = subprocess.run([sys.executable, MAN, 'command', 'tool', '1.2', program, 'does it',
                               'a(1)'], capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('unknown option', done.stderr)
        self.assertEqual(done.stdout, '')


if __name__ == '__main__':
    unittest.main(verbosity=2)
