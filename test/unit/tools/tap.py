# SPDX-License-Identifier: MIT
"""Runs functions as tests, and prints a line for each that tools/test_report.py counts."""


def run(tests):
    """Returns the exit status: 1 if any test failed an assertion."""
    failed = 0
    for test in tests:
        try:
            test()
            print(f'ok - {test.__name__}')
        except AssertionError as error:
            print(f'not ok - {test.__name__}: {error}')
            failed += 1
    return 1 if failed else 0
