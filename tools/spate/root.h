/* SPDX-License-Identifier: MIT */
#ifndef SPATE_ROOT_H
#define SPATE_ROOT_H

#include <stdint.h>
#include <sys/stat.h>

/* The folder whose files are served.  No request leaves it: the kernel resolves each path below it,
 * and follows no symbolic link. */

/* Opens the folder.  Returns its descriptor or a negative errno. */
int root_open(const char *path);

/* Opens what is at a path, with the flags of the system call openat2, O_CLOEXEC included.  "" is
 * the root.  Returns a descriptor or a negative errno; -ELOOP and -EXDEV: a symbolic link, or out
 * of the root. */
int root_open_beneath(int root, const char *path, int flags);

/* Opens a file below the root for reading.
 *
 *   path       From hq_request_parse().
 *   *ret_size  Its size in bytes.
 *
 * Returns its descriptor, or a negative errno.  Beside those of the system call openat2:
 *   -EACCES  The path has a symbolic link, or does not name a regular file. */
int root_open_file(int root, const char *path, uint64_t *ret_size);

/* Does the same, and writes all that fstat() says. */
int root_open_regular(int root, const char *path, struct stat *ret);

/* Opens a folder below the root, or the root itself ("").  Returns as root_open_file() does, and
 * -ENOTDIR. */
int root_open_folder(int root, const char *path);

#endif
