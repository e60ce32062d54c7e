/* SPDX-License-Identifier: MIT */
#include "tools/spate/process.h"

#include <sys/resource.h>

void process_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

double process_cpu_s(long *ret_rss_kib)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    *ret_rss_kib = usage.ru_maxrss;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
