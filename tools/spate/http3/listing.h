/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_LISTING_H
#define SPATE_HTTP3_LISTING_H

#include <stddef.h>

/* Makes a page with the names in a folder, sorted, without those that begin with '.'.
 *
 *   path  Below the root, "" for the root itself.
 *   *ret  The page; the caller frees it by free().
 *
 * Returns 0, or a negative errno: those of root_open_folder(), -ENOMEM, and -E2BIG for a folder of
 * more than 10,000 names. */
int listing_make(int root, const char *path, char **ret, size_t *ret_size);

#endif
