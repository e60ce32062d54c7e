/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SECRET_FILE_H
#define SPATE_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Files with secrets: text, read as a whole, written as a whole or not at all. */

/* Reads a regular file.
 *
 *   *ret       Its bytes and a zero byte.  The caller frees it with secret_free().
 *   *ret_size  Without the zero byte.
 *
 * Returns 0, or:
 *   -ENOENT  There is no such file.
 *   -EFBIG   It has more than `size_max` bytes.
 *   -EINVAL  It is no regular file.
 * Other negative errnos are passed on.  The outputs are untouched on failure. */
int secret_file_read(const char *path, size_t size_max, char **ret, size_t *ret_size);

/* Writes a file that the owner alone can read and write: first under another name in the folder,
 * then it gets its own.  What crashes in between leaves the old file.  A symbolic link is replaced,
 * not followed.
 *
 *   replaces  Whether an existing file is replaced; if not, -EEXIST is returned for one.
 *
 * Returns 0 or a negative errno. */
int secret_file_write(const char *path, const char *text, size_t size, bool replaces);

/* Wipes and frees `size` bytes; NULL is accepted. */
void secret_free(void *data, size_t size);

#endif
