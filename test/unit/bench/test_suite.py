#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench suite: its numbers, what compare finds, and its page.

usage: test_suite.py SUITE-FOLDER
"""
import html.parser
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

SUITE = os.path.abspath(sys.argv.pop(1))
sys.path.insert(0, SUITE)
import compare  # noqa: E402
import measure  # noqa: E402
import page  # noqa: E402
import plan  # noqa: E402
import stats  # noqa: E402
import suite  # noqa: E402

TRIES = 20
START_S = 0.3  # of two processes, and their end
MICRO_S = 1    # of one bench of spate-micro
LINES = 30


def result(samples, pair=None, noise=0.0):
    """A result of lines with these samples."""
    lines = [{'name': name, 'what': 'what <it> is', 'unit': 'ns', 'more_is_better': name[0] == 'm',
              'samples': values, 'median': stats.median(values), 'low': min(values),
              'high': max(values), 'outliers': stats.outliers(values), 'write_up': None,
              'error': None} for name, values in samples.items()]
    return {'format': compare.FORMAT, 'pair': pair, 'noise': noise, 'lines': lines,
            'machine': {'cpu': 'one & only'}, 'version': 'spate-bench 0', 'rounds': 5,
            'seconds_each': 1, 'duration_s': 1.0}


def in_turns(draw, slowdown, rounds=10):
    """Two results of one run: the machine's speed moves by a fifth from round to round, and each
    run has a per cent of its own."""
    before, after = {}, {}
    for at in range(LINES):
        name = f'{"m" if at % 2 else "l"}{at}'
        cost = slowdown if at == 7 else 1.0
        speeds = [draw.uniform(0.9, 1.1) for _ in range(rounds)]
        sign = -1 if name[0] == 'm' else 1
        before[name] = [100 * (s * draw.gauss(1, 0.01)) ** sign for s in speeds]
        after[name] = [100 * (s * cost * draw.gauss(1, 0.01)) ** sign for s in speeds]
    return result(before, 'x'), result(after, 'x')


class Numbers(unittest.TestCase):
    def test_an_interval_holds_the_median_in_most_cases(self):
        draw = random.Random(3)
        held = 0
        for at in range(100):
            low, high = stats.interval([draw.gauss(10, 1) for _ in range(20)], 0.95, at)
            held += low <= 10 <= high
        self.assertGreaterEqual(held, 88)
        self.assertEqual(stats.interval([4.0]), (4.0, 4.0))

    def test_outliers_are_far_from_the_quartiles(self):
        self.assertEqual(stats.outliers([10, 11, 10, 12, 11, 40]), [40])
        self.assertEqual(stats.outliers([10, 11, 10, 12, 11, 12]), [])

    def test_the_knee_is_before_what_does_not_come_through(self):
        def point(rate, done, p99):
            return {'rate': rate, 'done': done, 'p50_us': p99 / 2, 'p99_us': p99,
                    'p999_us': p99 * 2}
        points = [point(1000, 1000, 50), point(2000, 1990, 60), point(4000, 3900, 90)]
        self.assertEqual(measure.knee(points), 4000)
        self.assertEqual(measure.knee(points + [point(8000, 6000, 90)]), 4000)
        self.assertEqual(measure.knee(points + [point(8000, 7990, 900)]), 4000)
        self.assertIsNone(measure.knee([point(1000, 500, 50)]))

    def test_lines_of_one_run_share_it_and_their_names_are_unique(self):
        for is_quick in (False, True):
            lines = list(plan.lines(is_quick))
            names = [line.name for line in lines]
            self.assertEqual(len(names), len(set(names)))
            for group, count in ('P', 5), ('C', 4), ('E', 5), ('S', 4):
                for number in range(1, count + 1):
                    self.assertIn(f'{group}{number}', {name.split()[0] for name in names})
            for wanted in ('S4 full', 'S4 resumed', 'S4 0-RTT', 'response 1 KB', 'response 1000 KB',
                           '512 x 1', '8192 x 500'):
                self.assertIn(wanted, names)
            self.assertLessEqual(set(plan.WRITE_UP), set(names))
            groups = measure.groups_of(lines)
            self.assertEqual(sum(len(members) for _, _, members in groups), len(lines))
            self.assertLess(len(groups), len(lines))


    def test_messages_have_all_sizes_peers_and_losses(self):
        names = {line.name for line in plan.lines(False)}
        for wanted in ('M req 1K x1', 'M req 1K x1 p99', 'M req 1000K x100', 'M pub 1K x100 even',
                       'M pub 1000K x10 5%', 'M ord 1K x10 1%', 'M cut'):
            self.assertIn(wanted, names)
        for line in plan.lines(False):
            if line.name.startswith('M ') and '%' in line.name:
                self.assertIn('--loss', line.words)
        self.assertLessEqual({line.name for line in plan.lines(True)
                              if line.name.startswith('M ')}, names)

    def test_the_suite_ends_in_time(self):
        """10 minutes, with --quick 2: more lines need fewer rounds."""
        for how, is_quick, most_s in ((suite.FULL, False, 600), (suite.QUICK, True, 120)):
            groups = measure.groups_of(list(plan.lines(is_quick)))
            run_s = how['seconds'] + how['warmup'] + START_S

            def spent(words, usual_s=run_s):
                if '--seconds' not in words:
                    return usual_s
                return START_S + sum(float(words[words.index(option) + 1])
                                     for option in ('--seconds', '--warmup'))
            round_s = sum(MICRO_S if is_micro else spent(words) for is_micro, words, _ in groups)
            spent_s = how['rounds'] * round_s + (12 + len(how['rates'])) * run_s
            self.assertLess(spent_s, most_s)

    def test_a_figure_of_a_bench_is_in_the_unit_of_its_line(self):
        line = plan.micro('M', 'what', 'us', 'split', 'row', scale=1e-3)
        self.assertAlmostEqual(measure.value_of({'split': {'row': {'median': 880}}}, line), 0.88)

    def test_what_write_ups_say_belongs_to_a_line(self):
        names = {line.name for line in plan.lines(False)}
        self.assertLessEqual(set(plan.WRITE_UP), names)
        self.assertEqual(page.number(plan.WRITE_UP['M cut']), '37.7 ms, 13.9 us, 3.4 us')
        made = result({'M cut': [0.9, 0.8, 0.9]})
        made['lines'][0]['write_up'] = plan.WRITE_UP['M cut']
        file = io.StringIO()
        page.write(made, file)
        self.assertIn('<td>37.7 ms, 13.9 us, 3.4 us</td>', file.getvalue())


class Comparison(unittest.TestCase):
    def test_five_per_cent_are_found_in_each_of_20_tries(self):
        draw = random.Random(11)
        for _ in range(TRIES):
            found = compare.compare(*in_turns(draw, 1.05))
            slower = [row['name'] for row in found if row['verdict'] == 'slower']
            self.assertEqual(slower, ['m7'])

    def test_nothing_is_found_among_equals_but_once_in_20_tries(self):
        draw = random.Random(12)
        wrong = sum(any(row['verdict'] for row in compare.compare(*in_turns(draw, 1.0)))
                    for _ in range(TRIES))
        self.assertLessEqual(wrong, 1)

    def test_more_of_a_rate_is_faster(self):
        before = result({'m': [100.0] * 5, 'l': [100.0] * 5})
        after = result({'m': [150.0] * 5, 'l': [150.0] * 5})
        found = {row['name']: row['verdict'] for row in compare.compare(before, after)}
        self.assertEqual(found, {'m': 'faster', 'l': 'slower'})

    def test_a_line_of_too_few_samples_is_not_judged(self):
        before = result({'l': [100.0], 'm': [100.0] * 5})
        after = result({'l': [200.0] * 5, 'm': [100.0] * 5})
        found = {row['name']: row['verdict'] for row in compare.compare(before, after)}
        self.assertEqual(found, {'l': compare.TOO_FEW, 'm': ''})
        self.assertEqual(compare.status(compare.compare(before, after)), 0)
        after['lines'][1]['samples'] = [50.0] * 5  # 'm': more is better
        self.assertEqual(compare.status(compare.compare(before, after)), 1)
        for few in (before, after):
            for line in few['lines']:
                line['samples'] = line['samples'][:2]
        self.assertEqual(compare.status(compare.compare(before, after)), 3)

    def test_the_program_says_that_it_cannot_judge(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for at, count in enumerate((1, 5)):
                paths.append(os.path.join(folder, f'{at}.json'))
                with open(paths[-1], 'w', encoding='utf-8') as file:
                    json.dump(result({'l': [100.0 * (at + 1)] * count}), file)
            done = subprocess.run([sys.executable, os.path.join(SUITE, 'suite.py'), '/none',
                                   'compare', *paths], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
            self.assertIn('cannot judge', done.stderr)

    def test_what_is_below_the_noise_of_the_machine_does_not_count(self):
        before = result({'l': [100.0, 101.0, 99.0, 100.0]}, noise=0.2)
        after = result({'l': [110.0, 111.0, 109.0, 110.0]})
        self.assertEqual(compare.compare(before, after)[0]['verdict'], '')
        before['noise'] = 0.0
        self.assertEqual(compare.compare(before, after)[0]['verdict'], 'slower')


class WithoutMicro(unittest.TestCase):
    def test_its_lines_are_left_out_in_one_line(self):
        """An installed spate-bench has no spate-micro beside it."""
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, 'bin', 'spate-bench')
            os.mkdir(os.path.dirname(program))
            with open(program, 'w', encoding='utf-8') as file:
                file.write('#!/bin/sh\n[ "$1" = --version ] && echo 0 || '
                           'echo \'{"gbps": 2.5, "machine": {}}\'\n')
            os.chmod(program, 0o755)
            for only, status, lines in ((['P1', 'E3'], 0, '1 lines in'), (['P'], 0, None)):
                words = [word for name in only for word in ('--only', name)]
                done = subprocess.run(
                    [sys.executable, os.path.join(SUITE, 'suite.py'), program, 'suite', '--quick',
                     '--no-noise', *words], capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (status, ''))
                self.assertEqual(done.stdout.splitlines()[0].split(':')[0], 'left out')
                self.assertIn('P1', done.stdout.splitlines()[0])
                if lines:
                    self.assertIn(lines, done.stdout)
                    self.assertNotIn('P1 ', done.stdout.split('\n', 1)[1])


class CommandLine(unittest.TestCase):
    """What is wrong is said in one line, before anything is measured."""

    def test_what_is_wrong_is_said_in_one_line(self):
        for words, status, part in (
                (['suite', '--rounds', '0'], 2, '--rounds'),
                (['suite', '--rounds', '-3'], 2, '--rounds'),
                (['suite', '--bogus'], 2, '--bogus'),
                (['suite', '--against', '/x'], 2, '--json-against'),
                (['suite', '--html', '/nowhere/x'], 1, '/nowhere/x: No such file'),
                (['suite', '--json', '/'], 1, '/: Is a directory'),
                (['suite', '--against', '/nowhere/x', '--json-against', '/dev/null'], 1,
                 '/nowhere/x: is no program'),
                (['compare', 'a'], 2, 'after'),
                (['compare', '/nowhere/a', '/nowhere/b'], 2, '/nowhere/a')):
            done = subprocess.run([sys.executable, os.path.join(SUITE, 'suite.py'), '/bin/false',
                                   *words], capture_output=True, text=True, check=False, timeout=20)
            self.assertEqual((done.returncode, done.stdout), (status, ''), (words, done.stderr))
            self.assertRegex(done.stderr, r'\Aspate-bench[^\n]+\n\Z')
            self.assertIn(part, done.stderr)


class Page(unittest.TestCase):
    def write(self):
        made = result({'P1': [1.0, 2.0, 1.5, 1.4, 9.0], 'm2': [5.0]}, noise=0.03)
        made['sweep'] = [{'rate': r, 'done': r, 'p50_us': 20.0, 'p99_us': 50.0 + r / 100,
                          'p999_us': 900.0} for r in (1000, 5000, 20000)]
        made['knee'] = 5000
        file = io.StringIO()
        page.write(made, file)
        return file.getvalue()

    def test_it_is_whole_and_asks_for_nothing(self):
        text = self.write()

        class Reader(html.parser.HTMLParser):
            open_tags = []
            asks = []

            def handle_starttag(self, tag, attrs):
                self.asks += [value for key, value in attrs if key in ('src', 'href')]
                if tag != 'meta':
                    self.open_tags.append(tag)

            def handle_startendtag(self, tag, attrs):
                self.asks += [value for key, value in attrs if key in ('src', 'href')]

            def handle_endtag(self, tag):
                assert self.open_tags.pop() == tag, tag
        reader = Reader()
        reader.feed(text)
        self.assertEqual((reader.open_tags, reader.asks), ([], []))
        self.assertNotIn('url(', text)
        self.assertNotIn('@import', text)
        self.assertIn('what &lt;it&gt; is', text)
        self.assertIn('prefers-color-scheme: dark', text)

    def test_a_run_that_failed_is_shown_beside_the_figure_of_the_others(self):
        made = result({'l1': [1.0, 2.0, 1.5], 'm2': [1.0]})
        made['lines'][0]['error'] = 'it <broke>'
        made['lines'][1]['samples'] = []
        file = io.StringIO()
        page.write(made, file)
        text = file.getvalue()
        self.assertIn('it &lt;broke&gt;; the figure is that of 3 other runs', text)
        self.assertIn('no figure', text)
        self.assertIn('>ns \N{DOWNWARDS ARROW}<', text)

    def test_a_browser_shows_it(self):
        browser = shutil.which('chromium') or shutil.which('chromium-browser')
        if browser is None or os.geteuid() != 0:
            self.skipTest('no chromium, or no network namespace to start it in')
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'page.html')
            with open(path, 'w', encoding='utf-8') as file:
                file.write(self.write())
            shot = os.path.join(folder, 'page.png')
            done = subprocess.run(
                ['unshare', '-n', browser, '--headless', '--no-sandbox', '--disable-gpu',
                 '--disable-background-networking', '--disable-component-update',
                 '--no-first-run', f'--user-data-dir={folder}/user', '--no-proxy-server',
                 f'--screenshot={shot}', '--dump-dom', f'file://{path}'],
                capture_output=True, text=True, check=False, timeout=100)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue('<table id="lines">' in done.stdout or os.path.getsize(shot) > 5000)


if __name__ == '__main__':
    program = unittest.main(verbosity=2, exit=False)
    done = program.result
    # A line for each test that the count of all tests understands: one that was skipped is none.
    for test, why in done.skipped:
        print(f'ok - {test.id()} # SKIP {why}')
    for test, _ in done.failures + done.errors:
        print(f'not ok - {test.id()}')
    passed = done.testsRun - len(done.skipped) - len(done.failures) - len(done.errors)
    for number in range(passed):
        print(f'ok - bench_suite {number + 1}')
    sys.exit(not done.wasSuccessful())
