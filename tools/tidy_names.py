# SPDX-License-Identifier: MIT
"""The part of tidy.py that looks at the whole tree: what comments name, and files without use.

A `tree` is a dict from path (from the root) to text.  Findings are (path, line, message).
"""
import fnmatch
import posixpath
import re

# What comments may name although no code of ours does: functions and files of others.
FOREIGN_CALLS = re.compile(
    r'(SSL|EVP|ERR|OPENSSL|CRYPTO|X509|BIO|io_uring|ngtcp2|pthread)_\w+|setjmp'
    r'|copy_struct_from_user'  # Linux
    r'|DecodePacketNumber'  # RFC 9000 A.3
    r'|outputPercentileDistribution'  # HdrHistogram
)
FOREIGN_FILES = {
    'cmocka.h',
    'timeout.c',  # William Ahern's timing wheel
    'vectors.h',  # the reference implementation of SipHash
}
OUR_NAMES = r'(?:s[bpeuc]|spate)_\w+|(?:S[BPEUC]|SPATE)_[A-Z0-9]\w*'
FILE_SUFFIXES = r'(?:c|h|py|sh|md|build|map|in|txt|svg)'

COMMENT = re.compile(r'/\*.*?\*/', re.S)
TOKEN = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*', re.S)
CALL = re.compile(r'(?<![\w.>-])([A-Za-z_]\w+)\(\)')
NAME = re.compile(rf'(?<![\w.-])({OUR_NAMES})(\*?)')
QUOTED = re.compile(r'`([A-Za-z_][\w.>-]*)`')
FILE = re.compile(rf'(?<![\w./<*-])((?:[\w.*-]+/)*[\w*-][\w.*-]*\.{FILE_SUFFIXES})(?![\w/(.-]*\w)')
CODE_BLOCK = re.compile(r'```.*?```|^    [^\n]*$', re.S | re.M)


def is_c(path):
    return path.endswith(('.c', '.h', '.c.in', '.h.in'))


def split_c(text):
    """The code without comments and strings, and the comments as (line, text)."""
    comments = []

    def take(match):
        if match[0].startswith('/'):
            comments.append((text.count('\n', 0, match.start()) + 1, match[0]))
        return ' ' + '\n' * match[0].count('\n')

    return TOKEN.sub(take, text), comments


class Names:
    """Everything that the tree has a name for."""

    def __init__(self, tree):
        self.paths = set(tree) | {path.removesuffix('.in') for path in tree}
        self.calls = set()
        self.words = set()
        self.comments = {}
        self.tails = {}  # path -> the last words of what its code calls or declares
        for path, text in tree.items():
            if is_c(path):
                code, self.comments[path] = split_c(text)
                calls = set(re.findall(r'\b([A-Za-z_]\w+)\s*\(', code))
                calls.update(re.findall(r'\(\*([a-z_]\w+)\)\s*\(', code))
                self.calls |= calls
                self.tails[path] = {name[at.end():] for name in calls
                                    for at in re.finditer('_', name)}
                # Strings count: constants of the build and of the environment are in them.
                text = COMMENT.sub(' ', text)
            elif path.endswith('.py'):
                self.calls.update(re.findall(r'\bdef (\w+)', text))
            if not path.endswith('.md'):
                self.words.update(re.findall(r'[A-Za-z_]\w*', text.replace('-D', ' ')))

    def has_file(self, name):
        if '*' in name:
            return bool(fnmatch.filter(self.paths, name) or fnmatch.filter(self.paths, f'*/{name}'))
        return name in self.paths or any(path.endswith('/' + name) for path in self.paths)

    def has_name(self, name, is_prefix):
        if is_prefix:
            return any(word.startswith(name) for word in self.words)
        return name in self.words

    def has_call(self, name, path):
        """Beside the full name, "expand()" stands for sc_hkdf_expand() in a file that has it."""
        return (name in self.calls or name in self.tails.get(path, ())
                or bool(FOREIGN_CALLS.fullmatch(name)))

    def unknown(self, path, text):
        """(offset, message) for each thing that `text` in `path` names and that is nowhere."""
        seen = set()
        for match in CALL.finditer(text):
            seen.add(match.start())
            if not self.has_call(match[1], path):
                yield match.start(), f'there is no function {match[1]}()'
        for match in NAME.finditer(text):
            is_prefix = match[2] == '*' or match[1].endswith('_')
            if match.start() not in seen and not self.has_name(match[1], is_prefix):
                seen.add(match.start())
                yield match.start(), f'nothing is called {match[1]}'
        for match in QUOTED.finditer(text) if is_c(path) else ():
            if match.start() + 1 not in seen and not all(
                    part in self.words for part in re.split(r'->|\.', match[1]) if part):
                yield match.start(), f'nothing is called {match[1]}'
        for match in FILE.finditer(text):
            name = match[1].removeprefix('./')
            if name not in FOREIGN_FILES and not self.has_file(name):
                yield match.start(), f'there is no file {name}'


def check_comments(tree, names):
    """What the comments of C and the prose of Markdown name must exist."""
    for path, text in tree.items():
        if is_c(path):
            parts = names.comments[path]
        elif path.endswith('.md') and path != 'CHANGELOG.md':
            parts = [(1, CODE_BLOCK.sub(lambda m: '\n' * m[0].count('\n'), text))]
        else:
            continue
        for first, part in parts:
            for offset, message in names.unknown(path, part):
                yield path, first + part.count('\n', 0, offset), message


def listed_by(path, text):
    """What a meson.build names: paths, and (folder, name) for what a '@0@' stands in."""
    folder = posixpath.dirname(path)
    strings = re.findall(r"'([^'\n]*)'", text)
    for name in strings:
        yield posixpath.normpath(posixpath.join(folder, name))
    for template in {posixpath.basename(name) for name in strings if '@0@.' in name}:
        for name in strings:
            yield folder, template.replace('@0@', posixpath.basename(name))


def check_unused(tree):
    """A source that no build file lists, no file includes, and no script or text names."""
    included = {}
    listed = set()
    words = {}
    for path, text in tree.items():
        if is_c(path):
            for name in re.findall(r'^\s*#\s*include\s+[<"]([^">]+)[">]', text, re.M):
                included.setdefault(name, set()).add(path)
        elif path.endswith('meson.build'):
            listed.update(listed_by(path, text))
        else:
            for word in re.findall(r'[\w-]+(?:\.\w+)?', text):
                words.setdefault(word, set()).add(path)
    for path in tree:
        if path.endswith(('.c', '.h', '.py', '.sh')) and not (
                included.get(re.sub('^.*/include/', '', path), set()) - {path}
                or not path.endswith('.h') and is_listed(path, listed)
                or is_named(path, words)):
            yield path, 1, 'nothing lists, includes or names it'


def is_listed(path, listed):
    """A header is listed to be compiled alone: that is no use of it."""
    folder = path
    while folder:
        folder = posixpath.dirname(folder)
        if (folder, posixpath.basename(path)) in listed:
            return True
    return path in listed


def is_named(path, words):
    name = posixpath.basename(path)
    wanted = [name, name.removesuffix('.py')] if not path.endswith(('.c', '.h')) else [name]
    return any(words.get(word, set()) - {path} for word in wanted)


def check(tree):
    yield from check_comments(tree, Names(tree))
    yield from check_unused(tree)
