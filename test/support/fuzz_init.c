/* SPDX-License-Identifier: MIT */
/* Under libFuzzer: says which assertion failed, before the trap. */

#include <stdio.h>

#include "test/support/fuzz.h"

static void on_assert(const char *expr, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    sb_assert_handler = on_assert;
    return 0;
}
