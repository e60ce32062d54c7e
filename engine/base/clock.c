/* SPDX-License-Identifier: MIT */
#include "engine/base/clock.h"

#include <time.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    int error = clock_gettime(clock, &now);
    SB_ASSERT(error == 0);
    return (uint64_t)now.tv_sec * SB_S + (uint64_t)now.tv_nsec;
}

uint64_t se_clock_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t se_clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t se_clock_thread_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void se_clock_sleep(uint64_t ns)
{
    SB_ASSERT(ns < SB_S);
    const struct timespec pause = {.tv_nsec = (long)ns};
    (void)nanosleep(&pause, NULL);
}
