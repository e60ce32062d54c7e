/* SPDX-License-Identifier: MIT */
#ifndef SB_ASSERT_H
#define SB_ASSERT_H

/* Assertions state what our own code guarantees.  A byte from the network must
 * never make one fail: input from the peer is checked with an `if`, and a
 * violation is an error of the connection. */

/* Always on, in release builds too: O(1) checks of memory safety and state. */
#define SB_ASSERT(cond) \
    do { \
        if (__builtin_expect(!(cond), 0)) \
            sb_assert_fail(#cond, __FILE__, __LINE__); \
    } while (0)

/* On in debug, test, fuzz and simulator builds: may walk a whole structure. */
#ifdef SB_DEBUG
#define SB_DEBUG_ASSERT(cond) SB_ASSERT(cond)
#else
#define SB_DEBUG_ASSERT(cond) ((void)sizeof(cond))
#endif

/* Called with the failed expression.  Traps unless a test or a program put a
 * handler of its own in place; the handler may print or longjmp. */
extern void (*sb_assert_handler)(const char *expr, const char *file, int line);

_Noreturn void sb_assert_fail(const char *expr, const char *file, int line);

#endif
