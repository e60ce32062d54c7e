/* SPDX-License-Identifier: MIT */
#ifndef SPATE_READ_ALL_H
#define SPATE_READ_ALL_H

#include <stddef.h>
#include <stdint.h>

/* Reads `size` bytes of a file from `offset` on.  Returns 0 or a negative errno; -ENODATA: the file
 * has become shorter. */
int read_all(int fd, void *ret, size_t size, uint64_t offset);

#endif
