/* SPDX-License-Identifier: MIT */
#ifndef HISTOGRAM_INFLATE_H
#define HISTOGRAM_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decompresses a zlib stream [RFC1950, RFC1951] into `out`.  Returns the size of what came out, or
 * -1 if the stream is broken, is cut off or does not fit. */
ptrdiff_t histogram_inflate(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size);

/* Wraps `in` as a zlib stream without compressing it.  `out` has room for in_size + 5 bytes per
 * 65,535 of them, and 11 more.  Returns the size. */
size_t histogram_store(const uint8_t *in, size_t in_size, uint8_t *out);

#endif
