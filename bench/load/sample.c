/* SPDX-License-Identifier: MIT */
#include "bench/load/sample.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/load/clock.h"

static uint64_t timeval_ns(struct timeval t)
{
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_usec * NS_PER_US;
}

/* VmHWM and not ru_maxrss: a fork inherits the latter from its parent. */
static void read_memory(struct sample *ret)
{
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL)
        return;

    char line[256];
    unsigned long long kib = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
            ret->rss_bytes = kib * 1024;
        else if (sscanf(line, "VmHWM: %llu kB", &kib) == 1)
            ret->rss_peak_bytes = kib * 1024;
    }
    (void)fclose(file);
}

void sample_usage(struct sample *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->now_ns = clock_now_ns();

    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        ret->cpu_user_ns = timeval_ns(usage.ru_utime);
        ret->cpu_sys_ns = timeval_ns(usage.ru_stime);
    }
}

void sample_take(struct sample *ret, struct spate_shard *shard)
{
    sample_usage(ret);
    spate_shard_stats(shard, &ret->shard);
    read_memory(ret);
}

void sample_add_conn(struct sample *sample, const struct spate_conn *conn)
{
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    sample->conn_count++;
#define ADD(kind, name) sample->conns.name += stats.name;
    SPATE_CONN_STATS(ADD)
#undef ADD
}
