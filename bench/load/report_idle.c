/* SPDX-License-Identifier: MIT */
/* The report of `idle`. */

#include "bench/load/report_idle.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>

#include "bench/load/clock.h"
#include "bench/load/idle.h"
#include "bench/load/json.h"
#include "bench/load/options.h"
#include "bench/load/result.h"

/* A side while there are only keep-alives. */
struct rest {
    double rss_per_conn_bytes;     /* what the process has grown by, for each connection */
    double heap_per_conn_bytes;    /* a part of that: free memory in the heap of the C library */
    double counted_per_conn_bytes; /* what the shard counts */
    double turns_per_s;
    double sleeps_per_s;
    double enters_per_s;
    double packets_per_s; /* in and out */
    double cpu_percent;   /* of one CPU */
};

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static double growth(uint64_t before, uint64_t after, uint64_t conns)
{
    return ratio((double)after - (double)before, (double)conns);
}

static struct rest rest_of(const struct sample *before, const struct sample span[2], uint64_t conns)
{
    const struct sample *a = &span[0];
    const struct sample *b = &span[1];
    double s = (double)(b->now_ns - a->now_ns) / (double)NS_PER_S;
    uint64_t cpu_ns = b->cpu_user_ns + b->cpu_sys_ns - a->cpu_user_ns - a->cpu_sys_ns;
    uint64_t packets =
        b->shard.packets_in + b->shard.packets_out - a->shard.packets_in - a->shard.packets_out;
    return (struct rest){
        .rss_per_conn_bytes = growth(before->rss_bytes, b->rss_bytes, conns),
        .heap_per_conn_bytes = growth(before->heap_free_bytes, b->heap_free_bytes, conns),
        .counted_per_conn_bytes =
            growth(before->shard.memory_bytes_now, b->shard.memory_bytes_now, conns),
        .turns_per_s = ratio((double)(b->shard.turns - a->shard.turns), s),
        .sleeps_per_s = ratio((double)(b->shard.sleeps - a->shard.sleeps), s),
        .enters_per_s = ratio((double)(b->shard.syscalls - a->shard.syscalls), s),
        .packets_per_s = ratio((double)packets, s),
        .cpu_percent = ratio((double)cpu_ns / 1e7, s),
    };
}

static double gbps(const struct idle_span *span)
{
    return ratio((double)span->bytes * 8, (double)span->duration_ns);
}

static uint64_t lost_packets(const struct idle *idle)
{
    const struct idle_span *s = &idle->parts[IDLE_REST];
    return s->client[1].shard.packets_lost - s->client[0].shard.packets_lost +
           s->server[1].shard.packets_lost - s->server[0].shard.packets_lost;
}

static void write_rest(struct json *j, const char *key, struct rest rest)
{
    json_begin(j, key);
    json_number(j, "rss_per_conn_bytes", rest.rss_per_conn_bytes);
    json_number(j, "heap_per_conn_bytes", rest.heap_per_conn_bytes);
    json_number(j, "counted_per_conn_bytes", rest.counted_per_conn_bytes);
    json_number(j, "turns_per_s", rest.turns_per_s);
    json_number(j, "sleeps_per_s", rest.sleeps_per_s);
    json_number(j, "syscalls_per_s", rest.enters_per_s);
    json_number(j, "packets_per_s", rest.packets_per_s);
    json_number(j, "cpu_percent", rest.cpu_percent);
    json_end(j);
}

void report_write_idle(struct json *j, const struct options *o, const struct result *r)
{
    const struct idle *idle = r->idle;
    const struct idle_span *rest = &idle->parts[IDLE_REST];
    json_begin(j, "idle");
    json_integer(j, "conns", idle->conns);
    json_number(j, "keep_alive_s", (double)o->keep_alive_ns / (double)NS_PER_S);
    json_number(j, "opened_per_s", ratio((double)idle->conns * 1e9, (double)idle->opening_ns));
    if (r->have_server)
        write_rest(j, "server", rest_of(&idle->server_before, rest->server, idle->conns));
    else
        json_null(j, "server");
    write_rest(j, "client", rest_of(&idle->client_before, rest->client, idle->conns));
    json_integer(j, "lost_packets", lost_packets(idle));
    json_number(j, "bulk_alone_gbps", gbps(&idle->parts[IDLE_ALONE]));
    json_number(j, "bulk_beside_gbps", gbps(&idle->parts[IDLE_BESIDE]));
    json_number(j, "bulk_share",
                ratio(gbps(&idle->parts[IDLE_BESIDE]), gbps(&idle->parts[IDLE_ALONE])));
    json_end(j);
}

static void print_rest(FILE *file, const char *name, struct rest rest)
{
    fprintf(file, "  %-6s %10.0f %10.0f %10.0f %10.1f %10.1f %10.1f %12.1f %8.2f\n", name,
            rest.rss_per_conn_bytes, rest.heap_per_conn_bytes, rest.counted_per_conn_bytes,
            rest.turns_per_s, rest.sleeps_per_s, rest.enters_per_s, rest.packets_per_s,
            rest.cpu_percent);
}

void report_print_idle(const struct options *o, const struct result *r, FILE *file)
{
    const struct idle *idle = r->idle;
    const struct idle_span *rest = &idle->parts[IDLE_REST];
    double opening_s = (double)idle->opening_ns / (double)NS_PER_S;
    fprintf(file,
            "  %" PRIu64 " connections opened in %.1f s, %.0f/s; keep-alive after %.3g s; %" PRIu64
            " packets lost\n",
            idle->conns, opening_s, ratio((double)idle->conns, opening_s),
            (double)o->keep_alive_ns / (double)NS_PER_S, lost_packets(idle));
    fprintf(file, "  %-6s %10s %10s %10s %10s %10s %10s %12s %8s\n", "", "rss/conn", "heap/conn",
            "count/conn", "turns/s", "sleeps/s", "calls/s", "packets/s", "cpu %");
    if (r->have_server)
        print_rest(file, "server", rest_of(&idle->server_before, rest->server, idle->conns));
    print_rest(file, "client", rest_of(&idle->client_before, rest->client, idle->conns));
    if (o->bulk)
        fprintf(file, "  a download alone: %.3f Gbit/s; beside them: %.3f Gbit/s, %.1f %%\n",
                gbps(&idle->parts[IDLE_ALONE]), gbps(&idle->parts[IDLE_BESIDE]),
                100 * ratio(gbps(&idle->parts[IDLE_BESIDE]), gbps(&idle->parts[IDLE_ALONE])));
}
