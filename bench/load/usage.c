/* SPDX-License-Identifier: MIT */
#include "bench/load/usage.h"

#include <dirent.h>
#include <linux/perf_event.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct usage_mallocs usage_mallocs;

const char *const usage_event_names[USAGE_EVENT_COUNT] = {
    [USAGE_CYCLES] = "cycles",
    [USAGE_INSTRUCTIONS] = "instructions",
    [USAGE_CACHE_REFERENCES] = "cache_references",
    [USAGE_CACHE_MISSES] = "cache_misses",
};

static const uint64_t event_configs[USAGE_EVENT_COUNT] = {
    [USAGE_CYCLES] = PERF_COUNT_HW_CPU_CYCLES,
    [USAGE_INSTRUCTIONS] = PERF_COUNT_HW_INSTRUCTIONS,
    [USAGE_CACHE_REFERENCES] = PERF_COUNT_HW_CACHE_REFERENCES,
    [USAGE_CACHE_MISSES] = PERF_COUNT_HW_CACHE_MISSES,
};

/* The process's own: descriptors, or -1. */
static int event_fds[USAGE_EVENT_COUNT] = {-1, -1, -1, -1};

void usage_open(void)
{
    for (int i = 0; i < USAGE_EVENT_COUNT; i++) {
        struct perf_event_attr attr = {
            .type = PERF_TYPE_HARDWARE,
            .size = sizeof(attr),
            .config = event_configs[i],
            .inherit = 1, /* by threads */
            .exclude_hv = 1,
        };
        long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
        if (fd < 0) { /* without privileges perhaps only what user space does */
            attr.exclude_kernel = 1;
            fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
        }
        event_fds[i] = (int)fd;
    }
}

void usage_close(void)
{
    for (int i = 0; i < USAGE_EVENT_COUNT; i++) {
        if (event_fds[i] >= 0)
            (void)close(event_fds[i]);
        event_fds[i] = -1;
    }
}

static uint64_t count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (folder == NULL)
        return 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        count += entry->d_name[0] != '.';
    (void)closedir(folder);
    return count - 1; /* without that of the folder */
}

void usage_take(struct usage *ret)
{
    memset(ret, 0, sizeof(*ret));
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        ret->switches_voluntary = (uint64_t)usage.ru_nvcsw;
        ret->switches_forced = (uint64_t)usage.ru_nivcsw;
        ret->faults_minor = (uint64_t)usage.ru_minflt;
        ret->faults_major = (uint64_t)usage.ru_majflt;
    }
#ifdef __GLIBC__
    struct mallinfo2 heap = mallinfo2();
    ret->heap_used_bytes = heap.uordblks + heap.hblkhd;
#endif
    ret->fds = count_fds();
    ret->has_mallocs = usage_mallocs.is_on;
    ret->mallocs = atomic_load_explicit(&usage_mallocs.count, memory_order_relaxed);
    ret->malloc_bytes = atomic_load_explicit(&usage_mallocs.bytes, memory_order_relaxed);
    for (int i = 0; i < USAGE_EVENT_COUNT; i++)
        ret->has_event[i] =
            event_fds[i] >= 0 &&
            read(event_fds[i], &ret->events[i], sizeof(ret->events[i])) == sizeof(ret->events[i]);
}
