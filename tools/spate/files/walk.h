/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_WALK_H
#define SPATE_FILES_WALK_H

#include "tools/spate/files/wire.h"

/* A walk over what is at a path: a file alone, or a folder with all that is in it, each folder
 * before its contents.  It can stop after any entry: memory is needed for the depth alone. */
struct files_walk;

/* Begins.
 *
 *   root          A folder; the caller's.
 *   path          Below it; "" is the root itself.
 *   is_recursive  Whether the contents of a folder follow; if not, it is an entry alone.
 *
 * Returns 0 or a negative errno. */
int files_walk_create(int root, const char *path, bool is_recursive, struct files_walk **ret);

/* Writes the next entry as an item without a piece.  Its path begins with that of the walk.
 *
 * Returns 1; 0 at the end; or a negative errno that concerns ret->path alone: go on with the next.
 */
int files_walk_next(struct files_walk *walk, struct files_item *ret);

/* NULL is accepted. */
void files_walk_destroy(struct files_walk *walk);

#endif
