/* SPDX-License-Identifier: MIT */
#include "bench/load/report_usage.h"

#include <inttypes.h>
#include <math.h>

#include "bench/load/clock.h"
#include "bench/load/json.h"
#include "bench/load/result.h"

static double per(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

/* Requests, handshakes or messages, of which a run has one kind; 0: it moves bytes. */
static double operations_of(const struct result *r)
{
    return (double)(r->requests + r->handshakes + r->datagrams);
}

static double seconds_of(const struct sample samples[2])
{
    return (double)(samples[1].now_ns - samples[0].now_ns) / (double)NS_PER_S;
}

static double packets_of(const struct sample samples[2])
{
    const struct spate_shard_stats *x = &samples[0].shard;
    const struct spate_shard_stats *y = &samples[1].shard;
    return (double)(y->packets_in + y->packets_out - x->packets_in - x->packets_out);
}

static void write_or_null(struct json *j, const char *key, bool is_known, uint64_t value)
{
    if (is_known)
        json_integer(j, key, value);
    else
        json_null(j, key);
}

void report_write_usage(struct json *j, const struct result *r, const struct sample samples[2])
{
    const struct usage *a = &samples[0].usage;
    const struct usage *b = &samples[1].usage;
    double s = seconds_of(samples);
    double packets = packets_of(samples);
    double syscalls = (double)(samples[1].shard.syscalls - samples[0].shard.syscalls);

    json_number(j, "packets_per_s", per(packets, s));
    json_number(j, "syscalls_per_s", per(syscalls, s));
    json_integer(j, "switches_voluntary", b->switches_voluntary - a->switches_voluntary);
    json_integer(j, "switches_forced", b->switches_forced - a->switches_forced);
    json_integer(j, "faults_minor", b->faults_minor - a->faults_minor);
    json_integer(j, "faults_major", b->faults_major - a->faults_major);
    json_integer(j, "heap_used_bytes", b->heap_used_bytes);
    json_number(j, "heap_growth_bytes", (double)b->heap_used_bytes - (double)a->heap_used_bytes);
    json_integer(j, "fds", b->fds);
    write_or_null(j, "mallocs", b->has_mallocs, b->mallocs - a->mallocs);
    write_or_null(j, "malloc_bytes", b->has_mallocs, b->malloc_bytes - a->malloc_bytes);
    json_number(j, "mallocs_per_operation",
                b->has_mallocs ? per((double)(b->mallocs - a->mallocs), operations_of(r)) : NAN);
    for (int i = 0; i < USAGE_EVENT_COUNT; i++)
        write_or_null(j, usage_event_names[i], a->has_event[i] && b->has_event[i],
                      b->events[i] - a->events[i]);
}

void report_print_usage_head(FILE *file)
{
    fprintf(file, "  %-6s %12s %12s %12s %12s %12s %12s\n", "", "packets/s", "syscalls/s",
            "switches", "mallocs", "malloc MB", "cache misses");
}

void report_print_usage(const char *name, const struct result *r, const struct sample samples[2],
                        FILE *file)
{
    (void)r;
    const struct usage *a = &samples[0].usage;
    const struct usage *b = &samples[1].usage;
    double s = seconds_of(samples);
    double syscalls = (double)(samples[1].shard.syscalls - samples[0].shard.syscalls);
    uint64_t switches =
        b->switches_voluntary + b->switches_forced - a->switches_voluntary - a->switches_forced;
    fprintf(file, "  %-6s %12.0f %12.0f %12" PRIu64, name, per(packets_of(samples), s),
            per(syscalls, s), switches);
    if (b->has_mallocs)
        fprintf(file, " %12" PRIu64 " %12.2f", b->mallocs - a->mallocs,
                (double)(b->malloc_bytes - a->malloc_bytes) / 1e6);
    else
        fprintf(file, " %12s %12s", "-", "-");
    if (b->has_event[USAGE_CACHE_MISSES])
        fprintf(file, " %12" PRIu64 "\n",
                b->events[USAGE_CACHE_MISSES] - a->events[USAGE_CACHE_MISSES]);
    else
        fprintf(file, " %12s\n", "-");
}

void report_write_relay(struct json *j, const struct result *r)
{
    if (!r->have_relay) {
        json_null(j, "relay");
        return;
    }
    json_begin(j, "relay");
    json_integer(j, "passed", r->relay.passed);
    json_integer(j, "lost", r->relay.lost);
    json_integer(j, "late", r->relay.late);
    json_integer(j, "spilt", r->relay.spilt);
    json_end(j);
}

void report_print_relay(const struct result *r, FILE *file)
{
    if (r->have_relay)
        fprintf(file,
                "  the relay passed %" PRIu64 " datagrams, %" PRIu64 " of them late, lost %" PRIu64
                " and had no room for %" PRIu64 "\n",
                r->relay.passed, r->relay.late, r->relay.lost, r->relay.spilt);
}
