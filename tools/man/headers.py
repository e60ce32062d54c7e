# SPDX-License-Identifier: MIT
"""Reads the public headers: their functions, each with its comment."""
import re

COMMENT = re.compile(r'^/\*(.*?)\*/\n', re.S | re.M)
FUNCTION = re.compile(r'(?:SPATE_API|static inline) [^;{(]*?\b(spate_\w+)\(')


def comment_text(inner):
    """The text of a comment, given what is between its marks: lines without their asterisks."""
    lines = inner.split('\n')
    rest = [re.sub(r'^ \* ?', '', line) for line in lines[1:]]
    return '\n'.join([lines[0].removeprefix(' '), *rest]).rstrip()


def first_sentence(text):
    """The first sentence of a comment, without the sections of RFCs."""
    paragraph = ' '.join(text.split('\n\n')[0].split())
    end = re.search(r'(?<!e\.g)(?:\.(?= |$)|:(?= [A-Z]|$))', paragraph)
    sentence = paragraph[:end.start()] + '.' if end else paragraph
    return re.sub(r' ?\[[^]]*\]', '', sentence)


def functions(text):
    """(name, comment) of each function of a header, in its order."""
    for match in COMMENT.finditer(text):
        declared = FUNCTION.match(text, match.end())
        if declared:
            yield declared[1], comment_text(match[1])
