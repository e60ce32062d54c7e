# SPDX-License-Identifier: MIT
"""How many times slower than others this build is: 1, or what meson.build says of sanitizers."""
import os

SLOWER = int(os.environ.get('SPATE_TEST_SLOWER', '1'))
