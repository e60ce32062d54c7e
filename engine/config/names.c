/* SPDX-License-Identifier: MIT */
#include <spate/stats.h>

/* The counters and histograms by name, for programs that print all that there is: the lists of
 * counters.h as tables. */

#include <stddef.h>
#include <string.h>

#include <spate/conn.h>

#include "engine/config/sized.h"
#include "proto/base/compiler.h"

#define IS_GAUGE_OF(kind) (#kind[0] == 'G')
#define COUNTER_OF(type, kind, field) \
    {.name = #field, .unit = "", .offset = offsetof(type, field), .is_gauge = IS_GAUGE_OF(kind)},
#define SHARD_COUNTER(kind, field) COUNTER_OF(struct spate_shard_stats, kind, field)
#define CONN_COUNTER(kind, field)  COUNTER_OF(struct spate_conn_stats, kind, field)
#define NAME(field)                #field,

/* The unit is in the name: turn_longest_ns, memory_bytes_now. */
static const char *unit_of(const char *name)
{
    size_t size = strlen(name);
    if (size > 3 && strcmp(name + size - 3, "_ns") == 0)
        return "ns";
    if (strcmp(name, "pacing_rate") == 0)
        return "bytes/s";
    return strstr(name, "bytes") != NULL ? "bytes" : "";
}

static size_t give(const struct spate_counter *table, size_t count, struct spate_counter *ret,
                   size_t count_max, size_t size)
{
    for (size_t i = 0; i < count && i < count_max; i++) {
        struct spate_counter counter = table[i];
        counter.unit = unit_of(counter.name);
        se_sized_give(&counter, sizeof(counter), (char *)ret + i * size, size);
    }
    return count;
}

size_t spate_shard_counters_sized(struct spate_counter *ret, size_t count_max, size_t size)
{
    static const struct spate_counter table[] = {SPATE_SHARD_STATS(SHARD_COUNTER)};
    return give(table, SB_COUNT(table), ret, count_max, size);
}

size_t spate_conn_counters_sized(struct spate_counter *ret, size_t count_max, size_t size)
{
    static const struct spate_counter table[] = {SPATE_CONN_STATS(CONN_COUNTER)};
    return give(table, SB_COUNT(table), ret, count_max, size);
}

const char *spate_shard_histogram_name(uint32_t index)
{
    static const char *const names[] = {SPATE_SHARD_HISTOGRAMS(NAME)};
    return index < SB_COUNT(names) ? names[index] : NULL;
}
