#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes flame graphs and the table of stages from the samples of perf: see tools/profile.sh.

usage: perf script -F comm,pid,ip,sym | profile.py draw FOLDER
       profile.py watch PID FILE      a table of how long the threads of its children were off the
                                      CPU, until they have ended
"""
import collections
import html
import pathlib
import re
import sys
import time

# The first that fits the innermost function of a sample decides.  'k' is the kernel's code.
STAGES = [
    ('kernel: copying', 'k', r'copy|memcpy|movs|csum_partial'),
    ('kernel: waking and switching', 'k', r'wake|schedule|switch|futex|idle'),
    ('kernel: UDP, IP, socket buffers, io_uring', 'k', ''),
    ('header protection', 'u', r'mask'),
    ('cipher: seal, open', 'u', r'seal|open_many|^open|fused|gcm|aes|ghash|chacha|poly|EVP|aead'),
    ('records, ACKs, loss, windows', 'u',
     r'sp_(loss|sent|ack|cc|rtt|pacer|ecn|reorder|keyphase)|ack_|detect|lose_|cubic|bbr'),
    ('streams: reassembly, credit, events', 'u',
     r'stream|reassembly|piece|delivery|window|schedule|event|copies'),
    ('packets: headers, frames, runs', 'u', r'sp_|sb_|frame|packet|receive_|fill|run_|process'),
    ('engine: turn, routing, slots, API', 'u',
     r'se_|su_|spate_|turn|ring|drain|wait|clock|syscall'),
    ('copying and the C library', 'u', r'^_*mem|malloc|free|str'),
    ('the application', 'u', ''),
]
KERNEL = 1 << 63


def stage_of(address, symbol):
    where = 'k' if address & KERNEL else 'u'
    return next(name for name, space, pattern in STAGES
                if space == where and re.search(pattern, symbol))


def samples_of(lines):
    """Each sample: the process, and its frames from the outermost, as (address, symbol)."""
    pid, frames = None, []
    for line in [*lines, '\n']:
        if not line.strip():
            if pid is not None and frames:
                yield pid, frames[::-1]
            pid, frames = None, []
        elif not line.startswith(('\t', ' ' * 8)):
            pid = int(line.split()[-1])
        else:
            address, symbol = line.split(None, 1)
            frames.append((int(address, 16), symbol.strip()))


def svg(title, stacks):
    """A flame graph: the width of a function is its share of samples, callers stand below."""
    total = sum(stacks.values())
    width, row = 1200, 17
    boxes = []

    def place(depth, start, members):
        groups = collections.OrderedDict()
        for frames, count in members:
            if len(frames) > depth:
                groups.setdefault(frames[depth], []).append((frames, count))
        at = start
        for name, inside in groups.items():
            count = sum(n for _, n in inside)
            if count * width / total >= 0.5:
                boxes.append((depth, at, count, name))
                place(depth + 1, at, inside)
            at += count

    sys.setrecursionlimit(5000)
    place(0, 0, sorted(stacks.items()))
    height = (max((depth for depth, *_ in boxes), default=0) + 3) * row
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           'font-family="monospace" font-size="11">',
           f'<text x="4" y="12">{html.escape(title)}: {total} samples</text>']
    for depth, at, count, name in boxes:
        x, w = at * width / total, count * width / total
        y = height - (depth + 1) * row
        hue = 20 + sum(map(ord, name)) % 35
        text = html.escape(name[:int(w / 6.7)]) if w > 20 else ''
        out.append(f'<g><title>{html.escape(name)}: {count * 100 / total:.2f} %</title>'
                   f'<rect x="{x:.2f}" y="{y}" width="{max(w - 0.3, 0.1):.2f}" height="{row - 1}" '
                   f'fill="hsl({hue},80%,65%)"/>'
                   f'<text x="{x + 2:.2f}" y="{y + 12}">{text}</text></g>')
    return '\n'.join([*out, '</svg>', ''])


def table(sides):
    """The stages of both sides, in percent of their samples."""
    lines = ['| stage | ' + ' | '.join(sides) + ' |', '|---|' + '---:|' * len(sides)]
    for name, *_ in STAGES:
        shares = [f'{100 * side[name] / max(sum(side.values()), 1):.1f} %'
                  for side in sides.values()]
        lines.append(f'| {name} | ' + ' | '.join(shares) + ' |')
    return '\n'.join(lines) + '\n'


def sides_of(pids):
    """Names of processes: the client forks the server off, so that its number is the lower one."""
    return dict(zip(sorted(pids), ('client', 'server')))


def draw(folder, lines):
    stacks = collections.defaultdict(collections.Counter)
    stages = collections.defaultdict(collections.Counter)
    for pid, frames in samples_of(lines):
        stacks[pid][tuple(symbol for _, symbol in frames)] += 1
        stages[pid][stage_of(*frames[-1])] += 1
    if not stacks:
        sys.exit('profile.py: no samples')
    names = sides_of(stacks)
    for pid, name in names.items():
        (folder / f'{name}.svg').write_text(svg(name, stacks[pid]))
        (folder / f'{name}.folded').write_text(
            ''.join(f'{";".join(frames)} {count}\n' for frames, count in stacks[pid].items()))
    (folder / 'stages.md').write_text(
        table({name: stages[pid] for pid, name in sorted(names.items(), reverse=True)}))


def threads_below(pid):
    """All threads of the processes that descend from one, but not its own."""
    try:
        for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
            for child in (task / 'children').read_text().split():
                for thread in pathlib.Path(f'/proc/{child}/task').iterdir():
                    yield int(child), thread
                yield from threads_below(child)
    except OSError:
        pass  # it has ended


def is_alive(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().split()[2] != 'Z'
    except OSError:
        return False


def watch(pid, file):
    start = time.monotonic()
    last = {}
    while is_alive(pid):
        for process, thread in threads_below(pid):
            try:
                ran, waited, _ = map(int, (thread / 'schedstat').read_text().split())
                name = (thread / 'comm').read_text().strip()
            except OSError:
                continue
            last[thread.name] = (process, name, ran, waited, time.monotonic() - start)
        time.sleep(0.05)
    lines = ['', '| process | thread | on the CPU, s | ready and waiting, s | asleep, s |',
             '|---:|---|---:|---:|---:|']
    sides = sides_of({process for process, *_ in last.values()})
    for process, name, ran, waited, until in last.values():
        asleep = max(until - (ran + waited) / 1e9, 0)
        side = sides.get(process, '')
        lines.append(f'| {side} {process} | {name} | {ran / 1e9:.2f} | {waited / 1e9:.2f} '
                     f'| {asleep:.2f} |')
    pathlib.Path(file).write_text('\n'.join(lines) + '\n')


def main():
    if sys.argv[1:2] == ['draw'] and len(sys.argv) == 3:
        draw(pathlib.Path(sys.argv[2]), sys.stdin)
    elif sys.argv[1:2] == ['watch'] and len(sys.argv) == 4:
        watch(int(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main()
