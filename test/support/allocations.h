/* SPDX-License-Identifier: MIT */
#ifndef ALLOCATIONS_H
#define ALLOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

/* Requests for memory of one thread, whoever makes them: us, OpenSSL, liburing or the C library.
 *
 * Linking this puts malloc() and its family, and mmap(), of the whole program behind a counter.
 * glibc only; a sanitizer has an allocator of its own and cannot be linked with it. */

/* From here on requests of the calling thread count, beginning at 0, or do not any more.
 * Threads: any. */
void allocations_count(bool is_counting);

/* How many did, of the calling thread.  Threads: any. */
uint64_t allocations_counted(void);

/* Writes the call stacks of the first few to standard error.  Threads: the one that counted. */
void allocations_print(void);

#endif
