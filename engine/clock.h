/* SPDX-License-Identifier: MIT */
#ifndef SE_CLOCK_H
#define SE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of the monotonic clock: the only place that reads it.  Threads: any. */
uint64_t se_clock_now_ns(void);

/* Nanoseconds of CPU that the calling thread has used.  A system call, unlike the other.
 * Threads: any. */
uint64_t se_clock_thread_cpu_ns(void);

#endif
