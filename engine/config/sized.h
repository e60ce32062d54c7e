/* SPDX-License-Identifier: MIT */
#ifndef SE_SIZED_H
#define SE_SIZED_H

#include <stddef.h>

#include <spate/base.h>

#include "proto/base/compiler.h"

/* Describes a struct of the public API.  Its first member is a size_t that the program sets to the
 * size of the struct in its own headers.
 *
 * A release adds fields without padding between them or after the last one; it adds explicit
 * `reserved` bytes instead.  An older library checks that every byte that it does not know is zero,
 * and bytes that a program leaves in padding would look like a field that is set. */
struct se_sized {
    const char *name;  /* "spate_config": the function that sets `size` is this and _init */
    size_t size_first; /* up to the last field of the first release: SE_SIZE_THROUGH() */
    size_t size;       /* of the struct in this library */
};

#define SE_SIZE_THROUGH(type, field) (offsetof(type, field) + sizeof(((type *)NULL)->field))

enum {
    SE_SIZED_MAX = 4096, /* no program sets a larger size: it is garbage */
};

/* Copies the struct that a program filled in to `own`, which holds the defaults: a field that the
 * program does not know keeps its default.
 *
 * Returns 0, or with one line in `error` and `own` untouched:
 *   -EINVAL  `given` is NULL, or its size is less than that of the first release or absurd.
 *   -E2BIG   The program set a field that this library does not know. */
SB_MUST_USE int se_sized_take(const struct se_sized *shape, const void *given, void *own,
                              struct spate_error *error);

/* Writes `ret_size` bytes to a struct of the program: a prefix of `own`, or `own` and then zeroes
 * for the fields that this library does not know. */
void se_sized_give(const void *own, size_t own_size, void *ret, size_t ret_size);

#endif
