/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"

/* What a target defines.  Called by libFuzzer, or by fuzz_main.c without it.  A property that
 * does not hold is an SB_ASSERT. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Called by libFuzzer first: see fuzz_init.c. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A copy on the heap, of exactly that size: a sanitizer sees any step past it.  To be freed. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    SB_ASSERT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

#endif
