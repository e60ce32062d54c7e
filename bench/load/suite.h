/* SPDX-License-Identifier: MIT */
#ifndef LOAD_SUITE_H
#define LOAD_SUITE_H

#include <stdbool.h>

struct failure;

/* Returns whether the word is one of those that bench/suite does: suite or compare. */
bool suite_is_asked(const char *word);

/* Becomes the Python program of bench/suite, with the words of the command line.  Returns false and
 * sets `failure` if it cannot be started. */
bool suite_exec(int argc, char **argv, struct failure *failure);

#endif
