/* SPDX-License-Identifier: MIT */
#ifndef OWNED_H
#define OWNED_H

#include "test/support/qt.h"

/* What a test has made and must give back: engines, sockets, threads, memory.
 *
 *     QT_TEST(owned, name)  ->  owned_add(), owned_fd(), owned_alloc(), and what calls them
 *     ->  the tear-down releases all of it, whether the test passed or failed
 *
 * The last object that was added is released first, but all memory of owned_alloc() after the
 * objects that may still use it.  Threads: the test's own. */

/* Releases `object` with release(object) after the test.  Returns `object`. */
void *owned_add(void *object, void (*release)(void *object));
/* Returns zeroed memory that is freed after the test, or fails the test. */
void *owned_alloc(size_t size);
/* Closes `fd` after the test; fails the test if it is negative.  Returns `fd`. */
int owned_fd(int fd);

/* Releases one object now. */
void owned_end(void *object);
/* Releases all of them now, for a test that loops over samples. */
void owned_end_all(void);

/* Releases what a tear-down that failed has left. */
int owned_setup(void **state);
int owned_teardown(void **state);

#endif
