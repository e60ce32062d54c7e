/* SPDX-License-Identifier: MIT */
#include "bench/load/sample.h"

#include <malloc.h>
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
    struct sample usage;
    sample_usage(&usage);
    sample_shard(ret, shard);
    ret->now_ns = usage.now_ns;
    ret->cpu_user_ns = usage.cpu_user_ns;
    ret->cpu_sys_ns = usage.cpu_sys_ns;
    read_memory(ret);
    usage_take(&ret->usage);
#ifdef __GLIBC__
    ret->heap_free_bytes = mallinfo2().fordblks;
#endif
}

void sample_shard(struct sample *ret, struct spate_shard *shard)
{
    memset(ret, 0, sizeof(*ret));
    spate_shard_stats(shard, &ret->shard);
    ret->shard_count = 1;
    ret->shards[0] = ret->shard;
}

void sample_add(struct sample *sample, const struct sample *other)
{
    uint64_t longest_ns = sample->shard.turn_longest_ns > other->shard.turn_longest_ns
                              ? sample->shard.turn_longest_ns
                              : other->shard.turn_longest_ns;
#define ADD(kind, name) sample->shard.name += other->shard.name;
    SPATE_SHARD_STATS(ADD)
#undef ADD
    sample->shard.turn_longest_ns = longest_ns;
    if (sample->shard_count < SAMPLE_SHARDS_MAX)
        sample->shards[sample->shard_count++] = other->shard;
    sample->payload_in_bytes += other->payload_in_bytes;
    sample->payload_out_bytes += other->payload_out_bytes;
    sample->conn_count += other->conn_count;
#define ADD(kind, name) sample->conns.name += other->conns.name;
    SPATE_CONN_STATS(ADD)
#undef ADD
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
