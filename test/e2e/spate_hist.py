#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate hist: logs of HdrHistogram, written and read here by its description, in other precisions
and compressed in each way that zlib has.

usage: spate_hist.py SPATE
"""
import base64
import os
import pathlib
import re
import resource
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
import zlib

from slower import SLOWER

SPATE = sys.argv[1]


def run(*command, status=0):
    done = subprocess.run([SPATE, 'hist', *map(str, command)], capture_output=True, text=True,
                          check=False, timeout=20)
    assert done.returncode == status, (command, done.returncode, done.stderr)
    return done.stdout


def number(value):
    """ZigZag LEB128 of at most 9 bytes."""
    left = (value << 1) if value >= 0 else (-value << 1) - 1
    out = b''
    while len(out) < 8 and left >= 0x80:
        out += bytes([left & 0x7f | 0x80])
        left >>= 7
    return out + bytes([left])


def numbers(payload):
    at = 0
    while at < len(payload):
        left = count = 0
        while True:
            byte = payload[at]
            at += 1
            left |= (byte & 0x7f if count < 8 else byte) << 7 * count
            count += 1
            if count == 9 or byte < 0x80:
                break
        yield left >> 1 if left % 2 == 0 else -((left + 1) >> 1)


def half_bits(digits):
    bits = 0
    while 2 << bits < 2 * 10**digits:
        bits += 1
    return bits


def index_of(value, digits):
    bits = half_bits(digits)
    shift = max(value.bit_length() - bits - 1, 0)
    return (shift << bits) + (value >> shift)


def line_of(values, tag='', digits=2, pack=zlib.compress):
    counts = {}
    for value in values:
        counts[index_of(value, digits)] = counts.get(index_of(value, digits), 0) + 1
    payload, at = b'', 0
    for index in sorted(counts):
        if index > at:
            payload += number(at - index)
        payload += number(counts[index])
        at = index + 1
    plain = struct.pack('>IIIIQQd', 0x1c849313, len(payload), 0, digits, 1, 1 << 40, 1.0) + payload
    packed = pack(plain)
    coded = base64.b64encode(struct.pack('>II', 0x1c849314, len(packed)) + packed).decode()
    return f'{"Tag=" + tag + "," if tag else ""}0.100,1.000,{max(values) / 1e6:.3f},{coded}\n'


def decoded(line):
    """The counts of a line, by index."""
    packed = base64.b64decode(line.strip().split(',')[-1])
    cookie, size = struct.unpack('>II', packed[:8])
    assert cookie == 0x1c849314 and size == len(packed) - 8
    plain = zlib.decompress(packed[8:])
    cookie, size, _, digits, lowest, _, ratio = struct.unpack('>IIIIQQd', plain[:40])
    assert (cookie, digits, lowest, ratio) == (0x1c849313, 2, 1, 1.0)
    assert size == len(plain) - 40
    counts, at = {}, 0
    for value in numbers(plain[40:]):
        if value > 0:
            counts[at] = value
        at += -value if value < 0 else 1
    return counts


def values_of(seed, count):
    x = seed
    for _ in range(count):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        yield x >> 34 + x % 20


def wrapped(level, strategy):
    def pack(plain):
        packer = zlib.compressobj(level, zlib.DEFLATED, 15, 8, strategy)
        return packer.compress(plain) + packer.flush()
    return pack


def rows(text):
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def logs_of_each_compression_are_read(folder):
    log = folder / 'a.hlog'
    values = list(values_of(1, 20000))
    for level, strategy in ((0, 0), (1, 0), (9, 0), (6, zlib.Z_FIXED), (6, zlib.Z_HUFFMAN_ONLY),
                            (6, zlib.Z_RLE)):
        log.write_text('#[Start]\n"StartTimestamp","x"\n'
                       + line_of(values, 'one', pack=wrapped(level, strategy)))
        row = rows(run('print', log, '--unit', '1'))['one']
        assert int(row[0]) == 20000, row
        exact = sorted(values)
        for shown, share in zip(row[1:], (0.5, 0.9, 0.95, 0.99, 0.999)):
            wanted = exact[int(20000 * share) - 1]
            assert wanted * 0.99 - 1 <= float(shown) <= wanted * 1.01 + 1, (shown, wanted)


def other_precisions_are_read(folder):
    log = folder / 'b.hlog'
    for digits in (1, 3, 4):
        log.write_text(line_of([1000, 20000, 300000], digits=digits))
        row = rows(run('print', log, '--unit', '1'))['-']
        error = 0.11 if digits == 1 else 0.01
        assert abs(float(row[1]) / 20000 - 1) < error, (digits, row)


def merged_logs_have_the_sum(folder):
    first, second = list(values_of(2, 3000)), list(values_of(3, 500))
    (folder / 'c.hlog').write_text(line_of(first, 'x') + line_of(first, 'y'))
    (folder / 'd.hlog').write_text(line_of(second, 'x'))
    merged = run('merge', folder / 'c.hlog', folder / 'd.hlog')
    lines = {line[4]: decoded(line) for line in merged.splitlines() if line.startswith('Tag=')}
    wanted = {}
    for value in first + second:
        wanted[index_of(value, 2)] = wanted.get(index_of(value, 2), 0) + 1
    assert lines['x'] == wanted
    assert sum(lines['y'].values()) == 3000
    (folder / 'e.hlog').write_text(merged)
    assert rows(run('print', folder / 'e.hlog'))['x'][0] == '3500'


def two_files_are_compared(folder):
    (folder / 'f.hlog').write_text(line_of([100000] * 100, 'x'))
    (folder / 'g.hlog').write_text(line_of([200000] * 100, 'x'))
    text = run('compare', folder / 'f.hlog', folder / 'g.hlog')
    ratios = [float(n) for n in re.search(r'ratio +(.*)', text)[1].split()]
    assert all(abs(ratio - 2) < 0.03 for ratio in ratios), text


def counts_of_an_engine_are_no_times(folder):
    """The same in a file of counters; this is what "merge" keeps of one."""
    log = folder / 'k.hlog'
    log.write_text(line_of([44] * 10, 'train_datagrams') + line_of([7000] * 10, 'turn_ns'))
    text = run('print', log)
    shown = rows(text)
    assert shown['train_datagrams'] == ['10'] + ['44'] * 6, text
    assert shown['turn_ns'][-1] == 'us' and abs(float(shown['turn_ns'][1]) - 7) < 0.1, text
    full = run('print', log, '--full', '--tag', 'train_datagrams')
    assert re.search(r'Max +=  +44\.000,', full), full
    run('draw', log, '-o', folder / 'k.svg')
    drawn = (folder / 'k.svg').read_text()
    assert 'turn_ns' in drawn and 'train_datagrams' not in drawn and drawn.count('<polyline') == 1
    run('draw', log, '-o', folder / 'k.svg', '--tag', 'train_datagrams')
    drawn = (folder / 'k.svg').read_text()
    assert drawn.count('<polyline') == 1 and ' us<' not in drawn, drawn


def a_picture_is_drawn(folder):
    (folder / 'h.hlog').write_text(line_of(list(values_of(4, 900)), 'a<b') + line_of([5], 'c'))
    run('draw', folder / 'h.hlog', '-o', folder / 'h.svg')
    root = xml.etree.ElementTree.parse(folder / 'h.svg').getroot()
    space = '{http://www.w3.org/2000/svg}'
    lines = root.findall(space + 'polyline')
    assert len(lines) == 2 and len(lines[0].get('points').split()) > 20
    assert 'a<b' in [text.text for text in root.findall(space + 'text')]


def names_are_inside_the_picture(folder):
    """However long they are, and however many: there may be 64."""
    log = folder / 'l.hlog'
    log.write_text(''.join(line_of([i + 1], f'{i:02}-' + 40 * 'm') for i in range(64)))
    run('draw', log, '-o', folder / 'l.svg')
    root = xml.etree.ElementTree.parse(folder / 'l.svg').getroot()
    names = [text for text in root if text.text is not None and text.text.endswith('m')]
    assert len(names) == 64
    for name in names:  # a letter of 12 pixels has 7 in the mean
        assert int(name.get('x')) + 7 * 43 <= int(root.get('width')), name.attrib
        assert int(name.get('y')) + 4 <= int(root.get('height')), name.attrib


def what_is_broken_is_refused(folder):
    log = folder / 'i.hlog'
    good = line_of(list(values_of(5, 300)), 'x')
    for size in range(10, len(good) - 1, 7):
        log.write_text(good[:size] + '\n')
        run('print', log, status=1)
    for text in ('nonsense\n', '1,2,3,AAAA\n', 'Tag=x\n', good.replace('HISTF', 'HISTG')):
        log.write_text(text)
        run('print', log, status=1)
    run('print', folder / 'missing', status=1)
    run('print', folder, status=1)
    log.write_text(''.join(line_of([i + 1], f'tag{i}') for i in range(65)))
    run('print', log, status=1)  # not 64 of them without a word
    log.write_text(line_of([7], 'a\x1b[2Jb'))
    shown = run('print', log)
    assert '\x1b' not in shown and 'a?[2Jb' in shown, shown
    run('print', status=2)
    run('compare', log, status=2)
    run('paint', log, status=2)


def a_line_of_any_length_takes_bounded_memory(folder):
    """A gigabyte without an end of a line, of zeros and of letters, is refused at once."""
    def limited():
        if SLOWER > 1:  # a sanitizer takes terabytes of addresses
            return
        resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))

    def said(path, **more):
        done = subprocess.run([SPATE, 'hist', 'print', path], capture_output=True, text=True,
                              check=False, timeout=20, preexec_fn=limited, **more)
        return done.returncode, done.stderr
    log = folder / 'j.hlog'
    log.touch()
    os.truncate(log, 1 << 30)
    assert said(log) == (1, f'spate hist: {log}, line 1: it is longer than a histogram can be\n')
    with subprocess.Popen(['yes', 'x' * 4000], stdout=subprocess.PIPE) as endless:
        with subprocess.Popen(['tr', '-d', '\\n'], stdin=endless.stdout,
                              stdout=subprocess.PIPE) as letters:
            status, text = said('/dev/stdin', stdin=letters.stdout)
            letters.stdout.close()
            letters.kill()
        endless.kill()
    assert status == 1 and 'line 1: it is longer' in text, (status, text)
    good = line_of(list(values_of(6, 300)), 'x')
    log.write_text('#' + 'c' * ((1 << 20) - 1) + '\n' + good)
    assert rows(run('print', log))['x'][0] == '300'
    log.write_text('#' + 'c' * (1 << 20) + '\n' + good)
    assert said(log)[0] == 1
    log.write_text(good + good[:-1])  # the last line without its end
    assert rows(run('print', log))['x'][0] == '600'


def main():
    failed = 0
    for test in (logs_of_each_compression_are_read, other_precisions_are_read,
                 merged_logs_have_the_sum, two_files_are_compared,
                 counts_of_an_engine_are_no_times, a_picture_is_drawn,
                 names_are_inside_the_picture, what_is_broken_is_refused,
                 a_line_of_any_length_takes_bounded_memory):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(pathlib.Path(folder))
                print(f'ok - {test.__name__}')
            except (AssertionError, ValueError, KeyError, TypeError) as error:
                print(f'not ok - {test.__name__}: {error!r}')
                failed += 1
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
