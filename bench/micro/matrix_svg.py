#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws the matrix of spate-micro: MiB/s by size and batch, one field a size, one line a way.

usage: spate-micro --json matrix | matrix_svg.py > matrix.svg
"""
import json
import math
import re
import sys

WAYS = {'GSO': '#1b6ca8', 'sendmmsg': '#c8553d', 'io_uring': '#3a7d44'}
FIELD_WIDTH, FIELD_HEIGHT, GAP = 200, 260, 30
LEFT, TOP, BOTTOM = 62, 64, 52
INK, PALE = '#333', '#ddd'


def read_cells(file):
    """-> {way: {size: {batch: MiB/s}}}"""
    cells = {}
    for name, row in json.load(file)['matrix'].items():
        way, size, batch = re.fullmatch(r'(\S+) (\d+) B x (\d+)', name).groups()
        cells.setdefault(way, {}).setdefault(int(size), {})[int(batch)] = row['median']
    return cells


def text(x, y, words, anchor='middle', color=INK, size=12):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" '
            f'font-size="{size}">{words}</text>')


def line(x1, y1, x2, y2, color):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def ticks_of(low, high):
    """1, 2 and 5 times the powers of ten within the scale."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10 ** p for p in powers for m in (1, 2, 5) if low <= m * 10 ** p <= high]


def draw(cells):
    sizes = sorted({size for by_size in cells.values() for size in by_size})
    batches = sorted({b for by_size in cells.values() for row in by_size.values() for b in row})
    values = [v for by_size in cells.values() for row in by_size.values() for v in row.values()]
    low, high = min(values) / 1.3, max(values) * 1.3
    width = LEFT + len(sizes) * (FIELD_WIDTH + GAP)
    height = TOP + FIELD_HEIGHT + BOTTOM

    def y_of(value):
        return TOP + FIELD_HEIGHT * (1 - math.log(value / low) / math.log(high / low))

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        text(LEFT, 20, 'UDP over loopback: MiB/s at the receiver', 'start', size=15),
        text(LEFT + len(sizes) * (FIELD_WIDTH + GAP) / 2 - GAP / 2, height - 10,
             'datagrams a batch', size=12),
    ]
    for i, way in enumerate(w for w in WAYS if w in cells):
        x = width - GAP - 270 + i * 90
        out += [f'<circle cx="{x}" cy="16" r="4" fill="{WAYS[way]}"/>',
                text(x + 9, 20, way, 'start')]
    for i, size in enumerate(sizes):
        left = LEFT + i * (FIELD_WIDTH + GAP)
        step = FIELD_WIDTH / len(batches)
        out.append(text(left + FIELD_WIDTH / 2, TOP - 12, f'{size} bytes', size=13))
        for tick in ticks_of(low, high):
            out.append(line(left, y_of(tick), left + FIELD_WIDTH, y_of(tick), PALE))
            if i == 0:
                out.append(text(left - 8, y_of(tick) + 4, f'{tick:,.0f}', 'end'))
        for k, batch in enumerate(batches):
            out.append(text(left + (k + 0.5) * step, TOP + FIELD_HEIGHT + 18, batch))
        for way in (w for w in WAYS if w in cells):
            points = [(left + (k + 0.5) * step, y_of(cells[way][size][batch]))
                      for k, batch in enumerate(batches)]
            path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
            out.append(f'<polyline points="{path}" fill="none" stroke="{WAYS[way]}" '
                       'stroke-width="2"/>')
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{WAYS[way]}"/>'
                    for x, y in points]
        out.append(line(left, TOP + FIELD_HEIGHT, left + FIELD_WIDTH, TOP + FIELD_HEIGHT, INK))
    return '\n'.join(out + ['</svg>'])


if __name__ == '__main__':
    print(draw(read_cells(sys.stdin)))
