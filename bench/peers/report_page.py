# SPDX-License-Identifier: MIT
"""A comparison of side_by_side.py as the page of spate-bench suite: a line for each figure of each
stack, every sample, and how often spate's figure that is."""
import os
import platform
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'suite'))
import page  # noqa: E402
import stats  # noqa: E402

# What is shown of a run: key, unit for bulk and for requests, whether more of it is better.
FIGURES = [('gbps', 'Gbit/s', True), ('requests_per_s', '1/s', True), ('p50_us', 'us', False),
           ('p99_us', 'us', False), ('cpu', None, False)]


def lines_of(load):
    for row in load['rows']:
        for key, unit, more_is_better in FIGURES:
            samples = [run[key] for run in row['runs'] if run.get(key) is not None]
            if not samples:
                continue
            low, high = stats.interval(samples)
            is_bulk = row['runs'][0].get('gbps') is not None
            yield {'name': f'{load["load"]} {row["stack"]} {key}', 'what': row['title'],
                   'unit': unit or ('CPU s/GB' if is_bulk else 'CPU us'),
                   'more_is_better': more_is_better, 'samples': samples,
                   'median': stats.median(samples), 'low': low, 'high': high,
                   'outliers': stats.outliers(samples), 'error': None,
                   'write_up': row['of_spate'].get(key)}


def result_of(report, duration_s):
    return {'title': 'Spate beside other stacks', 'reference': 'x spate',
            'note': 'x spate is the median of the rounds\' multiples of spate\'s figure.',
            'differences': [' '.join(one.split())
                            for one in ('\n' + report['differences']).split('\n- ')[1:]],
            'order': 'turns',
            'version': 'side_by_side', 'rounds': report['rounds'],
            'seconds_each': report['seconds'], 'duration_s': duration_s, 'noise': None,
            'machine': {'architecture': platform.machine(), 'kernel': platform.release(),
                        'server CPU': report['server_cpu'], 'client CPU': report['client_cpu']},
            'lines': [line for load in report['loads'] for line in lines_of(load)]}


def write(report, duration_s, path):
    with open(path, 'w', encoding='utf-8') as file:
        page.write(result_of(report, duration_s), file)
