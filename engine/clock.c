/* SPDX-License-Identifier: MIT */
#include "engine/clock.h"

#include <time.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

uint64_t se_clock_now_ns(void)
{
    struct timespec now;
    int error = clock_gettime(CLOCK_MONOTONIC, &now);
    SB_ASSERT(error == 0);
    return (uint64_t)now.tv_sec * SB_S + (uint64_t)now.tv_nsec;
}
