# SPDX-License-Identifier: MIT
"""What became slower or faster from one result of the suite to another one."""
import json

import stats
from page import number

FORMAT = 1
# Of a line, in both results: an interval of fewer says nothing.
SAMPLES_MIN = 3
TOO_FEW = 'too few samples'
# A change below this is never reported, however still the machine was.
LEAST_CHANGE = 0.02
ERROR_RATE = 0.05  # of all lines together


def load(path):
    with open(path, encoding='utf-8') as file:
        result = json.load(file)
    if result.get('format') != FORMAT:
        raise ValueError(f'{path} is no result of spate-bench suite')
    return result


def compare(before, after):
    """A list of dicts, one for each line that both have.

    The intervals are wider the more lines there are (Bonferroni), so that a comparison of equals
    finds nothing in 19 of 20 tries.  A change counts if its whole interval is beyond the noise.
    Where both were measured in turns, round by round, what counts is the ratio in each round.
    A line with fewer than SAMPLES_MIN samples in either result is not judged: TOO_FEW.
    """
    is_paired = before.get('pair') is not None and before.get('pair') == after.get('pair')
    others = {line['name']: line for line in after['lines']}
    both = [(line, others[line['name']]) for line in before['lines'] if line['name'] in others
            and line['samples'] and others[line['name']]['samples']
            and stats.median(line['samples']) > 0
            and stats.median(others[line['name']]['samples']) > 0]
    is_judged = {a['name']: min(len(a['samples']), len(b['samples'])) >= SAMPLES_MIN
                 for a, b in both}
    level = 1 - ERROR_RATE / max(1, sum(is_judged.values()))
    # Runs in turns share most of the machine's noise; others have all of it.
    noise = LEAST_CHANGE if is_paired else \
        max(LEAST_CHANGE, before.get('noise') or 0, after.get('noise') or 0)
    found = []
    for a, b in both:
        ratio, low, high = stats.ratio_interval(a['samples'], b['samples'], is_paired, level)
        if a['more_is_better']:  # as cost: more than 1 is slower
            ratio, low, high = 1 / ratio, 1 / high, 1 / low
        verdict = 'slower' if low > 1 + noise else 'faster' if high < 1 / (1 + noise) else ''
        if not is_judged[a['name']]:
            verdict = TOO_FEW
        found.append({'name': a['name'], 'unit': a['unit'], 'before': stats.median(a['samples']),
                      'after': stats.median(b['samples']), 'cost': ratio, 'low': low,
                      'high': high, 'verdict': verdict})
    return found


def print_table(found, file):
    print(f'{"":20} {"before":>10} {"after":>10} {"":10} {"cost":>7}  interval', file=file)
    for row in found:
        print(f'{row["name"]:20} {number(row["before"]):>10} {number(row["after"]):>10} '
              f'{row["unit"]:10} '
              f'{row["cost"]:7.3f}  {row["low"]:.3f} to {row["high"]:.3f}  {row["verdict"]}',
              file=file)
    slower = sum(row['verdict'] == 'slower' for row in found)
    faster = sum(row['verdict'] == 'faster' for row in found)
    unknown = sum(row['verdict'] == TOO_FEW for row in found)
    print(f'cost: above 1 is slower.  {len(found)} lines: {slower} slower, {faster} faster' +
          (f', {unknown} not judged' if unknown else ''), file=file)


def status(found):
    """The exit status: 1 if anything became slower, 3 if no line can be judged."""
    if all(row['verdict'] == TOO_FEW for row in found):
        return 3
    return 1 if any(row['verdict'] == 'slower' for row in found) else 0
