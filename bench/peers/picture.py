# SPDX-License-Identifier: MIT
"""The medians of side_by_side.py as bars, one panel a load, as an SVG."""
from html import escape

WIDTH = 760
LABELS = 210   # room for the names, on the left
NOTES = 190    # for the figures, on the right
ROW = 20
BAR = 13
HEAD = 34
MARGIN = 14

OURS = '#1f5fa8'
VARIANT = '#8fb4dd'  # ours with an option
LIMIT = '#e0c58a'
OTHERS = '#b9bdc4'


def colour(name):
    if name == 'limit':
        return LIMIT
    return OURS if name == 'spate' else VARIANT if name.startswith('spate') else OTHERS


def note(load, median):
    if load.startswith('bulk'):
        return f'{median["gbps"]:.1f} Gbit/s, {median["cpu"]:.2f} CPU s/GB'
    if load == 'rr-1':
        return f'{median["p50_us"]:.1f} us, p99 {median["p99_us"]:.1f} us'
    return f'{median["requests_per_s"] / 1e3:,.0f} k/s, {median["cpu"]:.2f} CPU us'


def key_of(load):
    """What the bars show, and what to say about it."""
    if load.startswith('bulk'):
        return 'gbps', 'Gbit/s, longer is better'
    if load == 'rr-1':
        return 'p50_us', 'p50 latency, shorter is better'
    return 'requests_per_s', 'requests a second, longer is better'


def text(x, y, words, more=''):
    return f'<text x="{x}" y="{y}"{more}>{escape(words)}</text>'


def panel(entry, top):
    key, axis = key_of(entry['load'])
    most = max(row['median'][key] for row in entry['rows'])
    yield text(MARGIN, top + 16, entry['title'], ' font-weight="bold"')
    yield text(WIDTH - MARGIN, top + 16, axis, ' text-anchor="end" fill="#666"')
    for i, row in enumerate(entry['rows']):
        y = top + HEAD - 8 + i * ROW
        width = (WIDTH - LABELS - NOTES - MARGIN) * row['median'][key] / most
        yield text(LABELS - 8, y + 11, row['title'], ' text-anchor="end"')
        yield (f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" '
               f'fill="{colour(row["stack"])}"/>')
        yield text(f'{LABELS + width + 6:.1f}', y + 11, note(entry['load'], row['median']),
                   ' fill="#444"')


def draw(report):
    parts = []
    top = MARGIN
    for entry in report['loads']:
        parts.extend(panel(entry, top))
        top += HEAD + ROW * len(entry['rows']) + 8
    parts.append(text(MARGIN, top + 10, f'Medians of {report["rounds"]} interleaved rounds of '
                      f'{report["seconds"]:g} s; loopback, one CPU a side, AES-128-GCM.',
                      ' fill="#666"'))
    height = top + 24
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">')
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return '\n'.join([head, ground, *parts, '</svg>']) + '\n'
