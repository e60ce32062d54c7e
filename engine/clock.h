/* SPDX-License-Identifier: MIT */
#ifndef SE_CLOCK_H
#define SE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of the monotonic clock: the only place that reads it.  Threads: any. */
uint64_t se_clock_now_ns(void);

#endif
