/* SPDX-License-Identifier: MIT */
#ifndef LOAD_LEAKS_H
#define LOAD_LEAKS_H

#include <stdbool.h>

struct failure;
struct result;

/* Looks whether a side has kept memory or descriptors of connections that came and went in the
 * measured part.  Returns false and sets `failure` if it has. */
bool leaks_check(const struct result *r, struct failure *failure);

#endif
