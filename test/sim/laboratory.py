#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes test/sim/README.md and its pictures from the laboratory of the simulator:

    test/sim/laboratory.py BUILD           runs sim --paths all, and writes the page
    test/sim/laboratory.py BUILD --check   runs nothing: is the page that of this simulator?
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
from html import escape

FOLDER = pathlib.Path(__file__).resolve().parent
PICTURES = 'pictures'
CONTROLLERS = ('cubic', 'bbr')  # that are drawn
# What is run; a controller that is not drawn as one flow only.
RUNS = (('cubic',), ('newreno', '--flows', '1'), ('bbr',))
# .. and on paths with a queue for L4S, or with marks.
L4S_PATHS = ('l4s', 'l4s-near', 'classic-ecn')
L4S_RUN = ('prague',)

WIDTH, PANEL, RATE, QUEUE, MARGIN, LEFT = 640, 150, 84, 30, 10, 40
COLOURS = ('#1f5fa8', '#d0722c', '#4a9a56', '#8a5ab0')
GREY, QUEUE_COLOUR = '#777', '#999'

HEAD = """# The laboratory

    test/sim/laboratory.py build-test     # sim --paths all; makes this page and its pictures

A server sends without an end to a client through one bottleneck, in virtual time: the same seed
gives the same figures on every machine. The paths are those of `test/sim/paths.c`; what the
controllers must reach on them is in `test_paths.c`. The same over real sockets, beside the
kernel's TCP and another stack, is in `bench/README.md`.

*Utilisation*, losses and queueing delays count from a quarter of the run on, or from when the last
flow has begun. *Jain* (1: all flows got the same) and the first flow's share are those of the last
third. The second of two flows begins 2 s after the first, four begin 0.5 s apart, sixteen 0.1 s.
*Spurious*: of the packets that counted as lost.

In the pictures the lines are the rates of two flows, and below them is the longest queueing delay.

All flows share a clock, as those of one host do: on paths below 25 ms BBR measures the round trip
at times that it sets (`bbr_model.c`).

`sim --transfers` times a number of bytes. Where a tenth of the packets comes a round trip late
(`reorder-10`), 5 MB take CUBIC 29.0 ms instead of 24.5. The path itself costs 15 %: a sender that
never counts a packet as lost takes 28.1, because the last packets are late, and a tenth of each
round trip's growth is. The first loss, which proves spurious, is the rest: 3 %.
"""


def runs_of(sim):
    """All paths by their names, with what they are."""
    done = subprocess.run([sim, '--paths', 'list'], capture_output=True, text=True, check=True)
    return dict(line.split(None, 1) for line in done.stdout.splitlines())


def parse_rows(text):
    rows = [[cell.strip() for cell in line.strip('| \n').split('|')]
            for line in text.splitlines() if line.startswith('|')]
    return rows[0], rows[2:]


# ---- Pictures ----


def line_of(points, colour, width=1.2):
    words = ' '.join(f'{x:.0f},{y:.0f}' for x, y in points)
    return (f'<polyline points="{words}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def words_at(x, y, words, more=''):
    return f'<text x="{x}" y="{y}"{more}>{escape(words)}</text>'


def nice(value):
    """The scale's end: 1, 2 or 5 times a power of ten, not below the value."""
    scale = 1.0
    while scale < value:
        scale *= 10
    while scale / 10 >= value:
        scale /= 10
    return next(scale * part for part in (0.1, 0.2, 0.5, 1) if scale * part >= value)


def panel(top, title, series):
    """Rates of the flows, and the queue below them."""
    most = nice(max(max(point[2:]) for point in series))
    longest = nice(max(max(point[1] for point in series), 0.01))
    end = series[-1][0]

    def x_of(second):
        return LEFT + (WIDTH - LEFT - MARGIN) * second / end

    rate_end, queue_end = top + 18 + RATE, top + 18 + RATE + 8 + QUEUE
    yield words_at(LEFT, top + 12, title, ' font-weight="bold"')
    for y, label in ((top + 26, f'{most:g}'), (rate_end, 'Mbit/s'),
                     (rate_end + 16, f'{longest:g}'), (queue_end, 'ms')):
        yield words_at(LEFT - 4, y, label, f' text-anchor="end" fill="{GREY}"')
    for y in (rate_end, queue_end):
        yield f'<path d="M{LEFT} {y}H{WIDTH - MARGIN}" stroke="#ccc"/>'
    for flow in range(len(series[0]) - 2):
        yield line_of([(x_of(point[0]), rate_end - RATE * min(point[2 + flow] / most, 1))
                       for point in series], COLOURS[flow % len(COLOURS)])
    yield line_of([(x_of(point[0]), queue_end - QUEUE * point[1] / longest) for point in series],
                  QUEUE_COLOUR)
    yield words_at(WIDTH - MARGIN, top + 12, f'{end:.0f} s', f' text-anchor="end" fill="{GREY}"')


def draw(name, panels):
    parts, top = [], MARGIN
    for controller, series in panels:
        parts.extend(panel(top, f'{name}: {controller}', series))
        top += PANEL
    return '\n'.join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>', *parts, '</svg>']) + '\n'


def read_series(path):
    return [[float(word) for word in line.split(',')]
            for line in path.read_text(encoding='ascii').splitlines()]


def controllers_of(name):
    """Those that are drawn."""
    return CONTROLLERS + L4S_RUN if name in L4S_PATHS else CONTROLLERS


def pictures(names, folder):
    """The pictures by their names: of two flows, or of one where there are no two."""
    ret = {}
    for name in names:
        panels = []
        for controller in controllers_of(name):
            for count in (2, 1):
                path = folder / f'{name}-{count}-{controller}.csv'
                if path.exists():
                    who = f'{count} flows of ' if count > 1 else ''
                    panels.append((who + controller, read_series(path)))
                    break
        ret[name] = draw(name, panels)
    return ret


# ---- The page ----


def page(paths, head, rows):
    parts = [HEAD]
    for name, what in paths.items():
        mine = [row for row in rows if row[0] == name]
        parts.append(f'## {name}: {what}\n')
        parts.append(f'![rates and queue on {name}]({PICTURES}/{name}.svg)\n')
        parts.append('\n'.join('| ' + ' | '.join(row[1:]) + ' |' for row in
                               [head, ['---'] * len(head), *mine]) + '\n')
    return '\n'.join(parts)


def make(sim, paths):
    with tempfile.TemporaryDirectory(prefix='spate-laboratory-') as folder:
        rows = []
        runs = [('all', words) for words in RUNS] + [(path, L4S_RUN) for path in L4S_PATHS]
        for path, words in runs:
            done = subprocess.run([sim, '--paths', path, '--series', folder, '--cc', *words],
                                  text=True, stdout=subprocess.PIPE, check=False)
            head, more = parse_rows(done.stdout)
            rows += more
            if done.returncode != 0:
                print('\n'.join(line for line in done.stdout.splitlines() if 'FAILED' in line),
                      file=sys.stderr)
                return 1
        drawn = pictures(paths, pathlib.Path(folder))
    (FOLDER / PICTURES).mkdir(exist_ok=True)
    for old in (FOLDER / PICTURES).glob('*.svg'):
        old.unlink()
    for name, picture in drawn.items():
        (FOLDER / PICTURES / f'{name}.svg').write_text(picture, encoding='utf-8')
    (FOLDER / 'README.md').write_text(page(paths, head, rows), encoding='utf-8')
    return 0


def faults(paths):
    """What of the page is not of these paths."""
    text = (FOLDER / 'README.md').read_text(encoding='utf-8')
    if not text.startswith(HEAD):
        yield 'the head of README.md is another one'
    titles = re.findall(r'^## (.*)$', text, re.MULTILINE)
    if titles != [f'{name}: {what}' for name, what in paths.items()]:
        yield f'README.md has the paths {titles}'
    for part in text.split('\n## ')[1:]:
        name = part.split(':')[0]
        head, rows = parse_rows(part)
        runs = RUNS + (L4S_RUN,) if name in L4S_PATHS else RUNS
        missing = {f'1 {words[0]}' for words in runs} - {row[0] for row in rows}
        if missing:
            yield f'{name} has no row of {sorted(missing)}'
        if any(len(row) != len(head) or not re.fullmatch(r'[\d.]+', row[1]) for row in rows):
            yield f'{name} has a row that is none'
    drawn = {path.stem for path in (FOLDER / PICTURES).glob('*.svg')}
    if drawn != set(paths):
        yield f'there are pictures of {sorted(drawn)}'
    for name in drawn & set(paths):
        picture = (FOLDER / PICTURES / f'{name}.svg').read_text(encoding='utf-8')
        if any(f'{name}: ' not in picture or controller not in picture
               for controller in controllers_of(name)):
            yield f'the picture of {name} lacks a controller'
        if len(picture) > 20000:
            yield f'the picture of {name} is large'


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', type=pathlib.Path, help='the folder of a build, or its sim')
    parser.add_argument('--check', action='store_true', help='only compare the page')
    args = parser.parse_args()
    sim = args.build / 'test/sim/sim' if args.build.is_dir() else args.build
    paths = runs_of(sim.resolve())
    if not args.check:
        return make(sim.resolve(), paths)
    found = list(faults(paths))
    for fault in found:
        print(f'not ok - {fault}')
    if not found:
        print(f'ok - the page has all {len(paths)} paths')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
