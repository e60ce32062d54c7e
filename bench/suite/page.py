# SPDX-License-Identifier: MIT
"""One HTML page of a result: tables and pictures, dark and light, nothing from the network."""
import html
import math

import stats

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #c8ccd1; --a: #0b62c4;
  --b: #b3470b; --c: #6b2fa0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --paper: #15181b; --line: #454b52; --a: #6cb2ff; --b: #ff9d5c;
    --c: #c79bff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .5rem; text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2), .unit { text-align: left; }
th:first-child, td:first-child, .whole { white-space: nowrap; }
.failed { color: var(--b); text-align: left; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .axis { stroke: var(--line); } svg polyline { fill: none; stroke-width: 2; }
.a { stroke: var(--a); fill: var(--a); } .b { stroke: var(--b); fill: var(--b); }
.c { stroke: var(--c); fill: var(--c); } .far { fill: none; stroke: var(--b); }
svg text.a, svg text.b, svg text.c { stroke: none; }
"""


def text(value):
    return html.escape(str(value))


def number(value):
    if isinstance(value, str):
        return value
    return '' if value is None else f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'


def strip(samples, far):
    """The samples of a line as points; outliers are rings."""
    low, high = min(samples), max(samples)
    width = high - low or 1
    points = ''.join(f'<circle class="{"far" if value in far else "a"}" r="3" cy="9" '
                     f'cx="{5 + 90 * (value - low) / width:.1f}"/>' for value in samples)
    return f'<svg width="100" height="18" role="img" aria-label="samples">{points}</svg>'


def rows(result):
    for line in result['lines']:
        error = line.get('error')
        head = f'<td>{text(line["name"])}</td><td>{text(line["what"])}</td>'
        tail = f'<td>{text(number(line["write_up"]))}</td>'
        if line['samples']:
            far = stats.outliers(line['samples'])
            better = '\N{UPWARDS ARROW}' if line['more_is_better'] else '\N{DOWNWARDS ARROW}'
            yield (f'<tr>{head}<td>{number(line["median"])}</td>'
                   f'<td class="unit whole">{text(line["unit"])} {better}</td><td class="whole">'
                   f'{number(line["low"])} to {number(line["high"])}</td>{tail}'
                   f'<td>{strip(line["samples"], far)}</td><td>{len(far)}</td></tr>')
        else:
            yield (f'<tr>{head}<td></td><td class="unit">{text(line["unit"])}</td><td></td>{tail}'
                   '<td></td><td></td></tr>')
            error = error or 'no figure'
        if error:
            count = len(line['samples'])
            kept = f'; the figure is that of {count} other runs' if count else ''
            yield f'<tr><td></td><td class="failed" colspan="7">{text(error)}{kept}</td></tr>'


def sweep_picture(points, knee):
    """Latency over the rate that came through, both by their logarithms."""
    series = (('p50_us', 'a'), ('p99_us', 'b'), ('p999_us', 'c'))
    xs = [math.log10(point['done']) for point in points if point['done']]
    ys = [math.log10(point[key]) for point in points for key, _ in series if point[key]]
    if len(xs) < 2:
        return '<p>No sweep.</p>'
    x0, x1, y0, y1 = min(xs), max(xs), math.floor(min(ys)), math.ceil(max(ys))

    def place(x, y):
        return (60 + 560 * (x - x0) / (x1 - x0 or 1), 280 - 250 * (y - y0) / (y1 - y0 or 1))
    parts = []
    for decade in range(y0, y1 + 1):
        _, y = place(x0, decade)
        parts.append(f'<line class="axis" x1="60" x2="620" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="52" y="{y + 4:.1f}" text-anchor="end">{10 ** decade:,}</text>')
    for point in points:
        x, _ = place(math.log10(point['done']), y0)
        parts.append(f'<text x="{x:.1f}" y="298" text-anchor="middle">'
                     f'{point["done"] / 1000:,.0f}k</text>')
    for at, (key, kind) in enumerate(series):
        line = ' '.join('{:.1f},{:.1f}'.format(*place(math.log10(p['done']), math.log10(p[key])))
                        for p in points if p['done'] and p[key])
        parts.append(f'<polyline class="{kind}" style="fill:none" points="{line}"/>'
                     f'<text class="{kind}" x="{70 + 60 * at}" y="20">{key[:-3]}</text>')
    if knee:
        x, _ = place(min(x1, math.log10(knee)), y0)
        parts.append(f'<line class="b" stroke-dasharray="4" x1="{x:.1f}" x2="{x:.1f}" y1="30" '
                     f'y2="280"/>')
    return ('<svg viewBox="0 0 640 310" role="img" aria-label="latency over rate">'
            + ''.join(parts) + '</svg>')


def open_loop(result):
    if 'sweep' not in result:
        return ''
    knee = 'not found' if not result.get('knee') else f'{result["knee"]:,.0f} requests a second'
    return f"""<h2>Open loop</h2>
<p>Latency in microseconds over the rate that was answered, 64 bytes and 64 back on 16 connections.
The knee: {knee}.</p>
{sweep_picture(result['sweep'], result.get('knee'))}
"""


WRITE_UP_NOTE = 'The column of the write-ups is empty where no figure of them is known.'


def write(result, file):
    """`title`, `note`, `order`, `differences` and `reference`, the head of a column, may be in the
    result."""
    title = result.get('title', 'spate-bench suite')
    order = text(result.get('order', 'shuffled turns'))
    differences = ''.join(f'<li>{text(one)}</li>' for one in result.get('differences', []))
    differences = f'<ul>{differences}</ul>' if differences else ''
    note = text(result.get('note', WRITE_UP_NOTE))
    reference = text(result.get('reference', 'write-up'))
    machine = ''.join(f'<tr><td>{text(key)}</td><td>{text(value)}</td></tr>'
                      for key, value in result['machine'].items())
    noise = 'not measured' if result['noise'] is None else f'{100 * result["noise"]:.1f} %'
    file.write(f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE}</style></head><body>
<h1>{text(title)}</h1>
<p>{text(result['version'])}, {result['rounds']} rounds of {result['seconds_each']} s in
{order}; it took {result['duration_s']:.0f} s. Noise of this machine: {noise}. Intervals are of the
median, by bootstrap, 95 %. Rings are outliers; they count too. \N{UPWARDS ARROW} more is better,
\N{DOWNWARDS ARROW} less is. {note}</p>
{differences}
<table id="lines"><thead><tr><th>line</th><th>what</th><th>median</th>
<th class="unit">unit</th><th>interval</th><th>{reference}</th><th>samples</th>
<th>outliers</th></tr>
</thead>
<tbody>{''.join(rows(result))}</tbody></table>
{open_loop(result)}<h2>Machine</h2><table id="machine">{machine}</table>
</body></html>
""")
