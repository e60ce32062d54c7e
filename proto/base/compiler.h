/* SPDX-License-Identifier: MIT */
#ifndef SB_COMPILER_H
#define SB_COMPILER_H

#include <stddef.h>

/* The caller must look at the result; ignoring it takes a cast to void. */
#define SB_MUST_USE __attribute__((warn_unused_result))

#define SB_LIKELY(cond)   __builtin_expect(!!(cond), 1)
#define SB_UNLIKELY(cond) __builtin_expect(!!(cond), 0)

/* Keeps a rarely called function out of its callers' code. */
#define SB_NEVER_INLINE __attribute__((noinline))

#define SB_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SB_CACHE_LINE 64

/* The struct of which `member` is a part.  Casts through void so that no
 * alignment is claimed that the struct does not have. */
#define SB_CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* One of the two arguments is evaluated twice: no calls with effects in them. */
#define SB_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SB_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
