/* SPDX-License-Identifier: MIT */
#ifndef SE_CLOCK_H
#define SE_CLOCK_H

#include <stdint.h>

/* Returns nanoseconds of the monotonic clock.  No other function reads it.  Threads: any. */
uint64_t se_clock_now_ns(void);

/* Returns nanoseconds since 1970, which may jump.  For times that other processes compare.
 * Threads: any. */
uint64_t se_clock_wall_ns(void);

/* Returns the nanoseconds of CPU time that the calling thread has used.  This is a system call,
 * unlike se_clock_now_ns().  Threads: any. */
uint64_t se_clock_thread_cpu_ns(void);

/* Blocks the thread for about `ns`, less than a second; a signal ends it early.  Only for functions
 * whose documentation says that they block.  Threads: any. */
void se_clock_sleep(uint64_t ns);

#endif
