#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The HTML reference: what the filter makes of comments, and that doxygen takes it, where it is.

usage: test_reference.py ROOT
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv.pop()).resolve()
FILTER = ROOT / 'tools/man/reference_filter.py'
HEADER = r'''/* SPDX-License-Identifier: MIT */
#ifndef SPATE_ODD_H
#define SPATE_ODD_H

/* About <spate/odd.h>: 100 % of @all, #hashes and \slashes. */

#define ODD_LIST(X) \
    X(one) /* stays */ \
    X(two)

/* An opaque one. */
struct spate_odd;

struct spate_even {
    int first; /* behind a field,
                  in two lines */
    /* Before a field.  And more. */
    int second;
};

/* Does something.  See `struct spate_even`.
 *
 *   is_uni   True: one way.
 *            More of it.
 *   *ret_id  The ID.
 *
 * Returns 0, or:
 *   -EAGAIN  Later.
 *
 *     spate_odd_do(odd);
 *
 * Threads: shard. */
SPATE_API int spate_odd_do(struct spate_odd *odd, bool is_uni);

#endif
'''


class Filter(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, 'odd.h')
            path.write_text(HEADER)
            cls.shown = subprocess.run([sys.executable, FILTER, path], capture_output=True,
                                       text=True, check=True, timeout=60).stdout

    def test_the_header_has_a_page_of_its_own(self):
        self.assertIn('/** @file\nAbout \\<spate/odd.h\\>: 100 \\% of \\@all, \\#hashes and'
                      ' \\\\slashes. */', self.shown)

    def test_fields_are_described(self):
        self.assertIn('int first; /**< behind a field, in two lines */', self.shown)
        self.assertIn('/** Before a field.  And more. */\n    int second;', self.shown)

    def test_opaque_structs_are_described(self):
        self.assertIn('/** An opaque one. */\nstruct spate_odd {};', self.shown)

    def test_arguments_and_errors_become_lists(self):
        self.assertIn('See `struct spate_even`.\n\n- `is_uni`: True: one way. More of it.\n'
                      '- `*ret_id`: The ID.\n\nReturns 0, or:\n\n- `-EAGAIN`: Later.\n\n'
                      '~~~~\nspate_odd_do(odd);\n~~~~\n\n@par Threads\nshard. */\nSPATE_API',
                      self.shown)

    def test_what_is_no_declaration_stays(self):
        self.assertIn('    X(one) /* stays */ \\\n', self.shown)
        self.assertTrue(self.shown.startswith('/* SPDX'))

    def test_no_line_of_code_changes(self):
        def code(text):
            text = re.sub(r'/\*.*?\*/', '', text, flags=re.S)
            return re.sub(r'(struct \w+) \{\};', r'\1;', text).split()
        for path in (ROOT / 'engine/include/spate').glob('*.h'):
            shown = subprocess.run([sys.executable, FILTER, path], capture_output=True, text=True,
                                   check=True, timeout=60).stdout
            self.assertEqual(code(shown), code(path.read_text()), path)


@unittest.skipUnless(os.access(ROOT / 'tools/reference.sh', os.X_OK), 'no reference.sh')
class Whole(unittest.TestCase):
    def test_doxygen_makes_it_without_a_warning(self):
        if shutil.which('doxygen') is None:
            print('# not tried, the system lacks doxygen')
            return
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([ROOT / 'tools/reference.sh', folder], capture_output=True,
                                  text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            page = pathlib.Path(folder, 'stream_8h.html').read_text()
            self.assertIn('Queues bytes on a stream without copying them.', page)
            self.assertTrue(pathlib.Path(folder, 'structspate__stream__progress.html').exists())
            self.assertTrue(pathlib.Path(folder, 'structspate__engine.html').exists())


if __name__ == '__main__':
    unittest.main(verbosity=2)
