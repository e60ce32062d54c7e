/* SPDX-License-Identifier: MIT */
#ifndef SPATE_DOWNLOAD_H
#define SPATE_DOWNLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "tools/spate/hq.h"

/* A file on its way into a folder.  It has a temporary name until it is complete: a file under its
 * final name is whole.
 *
 *     open -> write ... -> commit, or abort */

struct download {
    int folder; /* descriptor; the caller's */
    int fd;     /* -1: not open */
    uint64_t size;
    char name[HQ_NAME_SIZE]; /* the final name */
    char temporary[64];
};

/* Opens the temporary file.  Returns 0 or a negative errno. */
int download_open(struct download *ret, int folder, const char *name);

/* Appends bytes.  Returns 0 or a negative errno, such as -ENOSPC. */
int download_write(struct download *download, const void *data, size_t size);

/* Gives the file its final name; a file that had it before is replaced.  Returns 0, or a negative
 * errno, and then the file is gone as after download_abort(). */
int download_commit(struct download *download);

/* Removes the temporary file.  Does nothing after a commit or an abort. */
void download_abort(struct download *download);

#endif
