/* SPDX-License-Identifier: MIT */
#ifndef LOAD_FAILURE_H
#define LOAD_FAILURE_H

#include <stdbool.h>
#include <stddef.h>

/* Why the program cannot go on: one line for a person, which says what is wrong and
 * what to do.  The first reason wins, because later ones are mostly its consequences.
 * Invariant: is_set == (text[0] != 0). */
struct failure {
    bool is_set;
    char text[512];
};

/* Always returns false, so that `return failure_set(...)` ends a function that failed.
 * Line ends and other control characters become spaces. */
bool failure_set(struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Copies `text` without anything that could disturb a terminal: it may be the peer's. */
void failure_clean(char *ret, size_t ret_size, const char *text);

#endif
