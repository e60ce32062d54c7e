/* SPDX-License-Identifier: MIT */
/* From samples to numbers.  All are of the measured part; gigabytes are 10^9 bytes of payload. */

#include "bench/load/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <spate/base.h>

#include "bench/load/clock.h"
#include "bench/load/json.h"
#include "bench/load/machine.h"
#include "bench/load/options.h"
#include "bench/load/report_idle.h"
#include "bench/load/report_limit.h"
#include "bench/load/report_soak.h"
#include "bench/load/report_usage.h"
#include "bench/load/result.h"

/* What a process did between two samples. */
struct side {
    double cpu_user_s;
    double cpu_sys_s;
    double cpu_s_per_gb;
    double cpu_us_per_request; /* or per handshake */
    double datagrams_per_send;
    double datagrams_per_receive;
    double packets_per_ack;
    double packets_per_call; /* in and out, a system call */
    struct sample delta;
    const struct sample *end;
};

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static struct side side_of(const struct result *r, const struct sample samples[2])
{
    const struct sample *a = &samples[0];
    const struct sample *b = &samples[1];
    const struct spate_shard_stats *x = &a->shard;
    const struct spate_shard_stats *y = &b->shard;
    struct side side = {.end = b};
    uint64_t cpu_ns = b->cpu_user_ns - a->cpu_user_ns + b->cpu_sys_ns - a->cpu_sys_ns;
    uint64_t operations =
        r->requests + r->handshakes + r->datagrams + r->messages; /* one kind per run */

    side.cpu_user_s = seconds(b->cpu_user_ns - a->cpu_user_ns);
    side.cpu_sys_s = seconds(b->cpu_sys_ns - a->cpu_sys_ns);
    side.cpu_s_per_gb = ratio(seconds(cpu_ns), (double)r->bytes / 1e9);
    side.cpu_us_per_request = ratio(seconds(cpu_ns) * 1e6, (double)operations);
    side.datagrams_per_send =
        ratio((double)(y->datagrams_out - x->datagrams_out), (double)(y->sends - x->sends));
    side.datagrams_per_receive =
        ratio((double)(y->datagrams_in - x->datagrams_in), (double)(y->receives - x->receives));
    side.packets_per_ack =
        ratio((double)(y->packets_in - x->packets_in), (double)(y->acks_out - x->acks_out));
    side.packets_per_call =
        ratio((double)(y->packets_in + y->packets_out) - (double)(x->packets_in + x->packets_out),
              (double)(y->syscalls - x->syscalls));
    side.delta.payload_in_bytes = b->payload_in_bytes - a->payload_in_bytes;
    side.delta.payload_out_bytes = b->payload_out_bytes - a->payload_out_bytes;
    return side;
}

static uint64_t lost_packets(const struct result *r)
{
    return r->client[1].shard.packets_lost - r->client[0].shard.packets_lost +
           r->server[1].shard.packets_lost - r->server[0].shard.packets_lost;
}

/* Packets that the client has sent and received; of a server alone, its own. */
static double packets_per_s(const struct options *o, const struct result *r)
{
    const struct sample *samples = o->kind == SCENARIO_SERVE ? r->server : r->client;
    const struct spate_shard_stats *x = &samples[0].shard;
    const struct spate_shard_stats *y = &samples[1].shard;
    return ratio((double)(y->packets_in + y->packets_out) -
                     (double)(x->packets_in + x->packets_out),
                 seconds(samples[1].now_ns - samples[0].now_ns));
}

static double delivered_share(const struct result *r)
{
    return ratio((double)r->datagrams, (double)(r->datagrams + r->datagrams_failed));
}

/* Of the bytes of messages that the client has received. */
static double copied_share(const struct result *r)
{
    return ratio((double)r->messages_copied_bytes,
                 (double)(r->client[1].payload_in_bytes - r->client[0].payload_in_bytes));
}

double report_gbps(const struct result *r)
{
    return ratio((double)r->bytes * 8e-9, seconds(r->duration_ns));
}

double report_cpu_s_per_gb(const struct result *r)
{
    return side_of(r, r->client).cpu_s_per_gb +
           (r->have_server ? side_of(r, r->server).cpu_s_per_gb : NAN);
}

double report_cpu_us_per_operation(const struct result *r, bool is_server)
{
    return side_of(r, is_server ? r->server : r->client).cpu_us_per_request;
}

static double percentile_us(const struct spate_histogram *histogram, double percentile)
{
    if (histogram->count == 0)
        return NAN;
    return (double)spate_histogram_percentile(histogram, percentile) / 1e3;
}

double report_percentile_us(const struct result *r, double percentile)
{
    return percentile_us(&r->latency, percentile);
}

/* ---- JSON ---- */

/* Every field of the public structs: counters as the difference of two samples, gauges as they are
 * in the later one, which has the sum of `count`: the mean. */
#define VALUE_GAUGE(name)   (after->name / count)
#define VALUE_COUNTER(name) (after->name - before->name)
#define VALUE_WAKE          VALUE_COUNTER
#define VALUE_WAIT          VALUE_COUNTER
#define VALUE_SHARD         VALUE_COUNTER
#define VALUE_RING          VALUE_COUNTER
#define VALUE_RECEIVE       VALUE_COUNTER
#define VALUE_SEND          VALUE_COUNTER
#define VALUE_CONNS         VALUE_COUNTER
#define VALUE_MEMORY        VALUE_COUNTER
#define WRITE(kind, name)   json_integer(j, #name, VALUE_##kind(name));

/* A side's connections: the sums of counters, the means of gauges; null where they come and go. */
static void write_conns(struct json *j, const struct options *o, const struct sample samples[2])
{
    bool keeps_conns = o->kind != SCENARIO_HANDSHAKE && o->kind != SCENARIO_SERVE;
    const struct spate_conn_stats *before = &samples[0].conns;
    const struct spate_conn_stats *after = &samples[1].conns;
    uint32_t count = samples[1].conn_count;
    if (!keeps_conns || count == 0 || count < samples[0].conn_count) {
        json_null(j, "conns");
        return;
    }
    json_begin(j, "conns");
    json_integer(j, "count", count);
    SPATE_CONN_STATS(WRITE)
    json_end(j);
}

/* The counters of each shard of the server. */
static void write_shards(struct json *j, const struct sample samples[2])
{
    const uint32_t count = 1;
    json_begin_list(j, "shards");
    for (uint32_t i = 0; i < samples[1].shard_count; i++) {
        const struct spate_shard_stats *before = &samples[0].shards[i];
        const struct spate_shard_stats *after = &samples[1].shards[i];
        json_begin(j, NULL);
        SPATE_SHARD_STATS(WRITE)
        json_end(j);
    }
    json_end_list(j);
}

static void write_side(struct json *j, const char *key, const struct options *o,
                       const struct result *r, const struct sample samples[2])
{
    struct side side = side_of(r, samples);
    const struct spate_shard_stats *before = &samples[0].shard;
    const struct spate_shard_stats *after = &samples[1].shard;
    const uint32_t count = 1;
    bool is_handshake = o->kind == SCENARIO_HANDSHAKE;

    json_begin(j, key);
    json_number(j, "cpu_user_s", side.cpu_user_s);
    json_number(j, "cpu_sys_s", side.cpu_sys_s);
    json_number(j, "cpu_s_per_gb", side.cpu_s_per_gb);
    json_number(j, "cpu_us_per_request",
                is_handshake || o->kind == SCENARIO_MIXED ? NAN : side.cpu_us_per_request);
    json_number(j, "cpu_us_per_handshake", is_handshake ? side.cpu_us_per_request : NAN);
    json_number(j, "datagrams_per_send", side.datagrams_per_send);
    json_number(j, "datagrams_per_receive", side.datagrams_per_receive);
    json_number(j, "packets_per_ack", side.packets_per_ack);
    json_number(j, "packets_per_call", side.packets_per_call);
    json_number(j, "enters_per_packet", ratio(1, side.packets_per_call));
    SPATE_SHARD_STATS(WRITE)
    if (samples == r->server)
        write_shards(j, samples);
    write_conns(j, o, samples);
    json_integer(j, "payload_in_bytes", side.delta.payload_in_bytes);
    json_integer(j, "payload_out_bytes", side.delta.payload_out_bytes);
    json_integer(j, "rss_bytes", side.end->rss_bytes);
    json_integer(j, "rss_peak_bytes", side.end->rss_peak_bytes);
    report_write_usage(j, r, samples);
    json_end(j);
}

static const char *const direction_names[] = {
    [DIRECTION_DOWN] = "down",
    [DIRECTION_UP] = "up",
    [DIRECTION_BOTH] = "both",
};

static void write_config(struct json *j, const struct options *o, const struct result *r)
{
    bool is_bulk = o->kind == SCENARIO_BULK || o->kind == SCENARIO_MIXED;
    bool is_open_loop = o->rate > 0;

    json_begin(j, "config");
    json_text(j, "version", spate_version());
    json_text(j, "peer", o->connect != NULL ? o->connect : "own process");
    json_text(j, "direction", is_bulk ? direction_names[o->direction] : "");
    json_text(j, "cipher", r->cipher);
    json_integer(j, "mtu", r->mtu);
    json_text(j, "crypto", r->crypto);
    json_text(j, "backend", spate_backend_name(r->backend));
    if (r->have_server)
        json_integer(j, "shards", r->server[1].shard_count);
    else
        json_null(j, "shards");
    json_integer(j, "sockets", options_sockets(o));
    json_integer(j, "streams", o->streams);
    json_integer(j, "conns", o->conns);
    json_integer(j, "bulk_conns", o->kind == SCENARIO_MIXED ? o->bulk_conns : 0);
    json_integer(j, "inflight", is_open_loop ? 0 : o->inflight);
    json_integer(j, "request_bytes", o->request_bytes);
    json_integer(j, "response_bytes", o->response_bytes);
    json_integer(j, "message_bytes", o->message_bytes);
    json_text(j, "pattern",
              o->kind != SCENARIO_MESSAGES    ? ""
              : o->pattern == PATTERN_PUBLISH ? "publish"
                                              : "request");
    json_bool(j, "ordered", o->ordered);
    json_number(j, "rate", is_open_loop ? o->rate : NAN);
    json_text(j, "arrivals",
              !is_open_loop                     ? ""
              : o->arrivals == ARRIVALS_POISSON ? "poisson"
                                                : "uniform");
    json_number(j, "warmup_s", seconds(o->warmup_ns));
    json_bool(j, "verify", o->verify);
    json_bool(j, "resume", o->resume);
    json_bool(j, "early", o->early);
    json_bool(j, "first_byte", o->first_byte);
    json_bool(j, "app_buffers", o->app_buffers);
    json_bool(j, "app_copies", o->app_copies);
    json_bool(j, "batches", o->batches);
    json_bool(j, "busy_poll", o->busy_poll);
    json_bool(j, "epoll", o->epoll);
    json_bool(j, "own_ring", o->own_ring);
    json_bool(j, "zero_copy", o->zero_copy);
    json_number(j, "loss_percent", o->loss_percent);
    json_number(j, "late_percent", o->late_percent);
    json_number(j, "late_by_s", seconds(o->late_ns));
    json_number(j, "delay_s", seconds(o->delay_ns));
    json_number(j, "hold_s", seconds(o->hold_ns));
    json_integer(j, "memory_bytes", o->memory_bytes);
    json_integer(j, "slots", o->slots);
    json_number(j, "burden_percent", o->burden_percent);
    if (o->spin_us == SPIN_DEFAULT)
        json_null(j, "spin_us");
    else
        json_integer(j, "spin_us", o->spin_us);
    json_end(j);
}

void report_write_json(const struct options *o, const struct result *r, FILE *file)
{
    bool is_rr = options_has_requests(o);
    bool is_handshake = o->kind == SCENARIO_HANDSHAKE;
    bool is_datagram = o->kind == SCENARIO_DATAGRAM;
    bool is_messages = o->kind == SCENARIO_MESSAGES;
    bool is_both = o->direction == DIRECTION_BOTH;
    double duration_s = seconds(r->duration_ns);
    struct json j = json_of(file);

    json_begin(&j, NULL);
    json_text(&j, "scenario", options_scenario_name(o->scenario));
    json_number(&j, "seconds", duration_s);
    json_integer(&j, "bytes", r->bytes);
    json_number(&j, "gbps", report_gbps(r));
    json_number(&j, "gbps_up", is_both ? ratio((double)r->bytes_up * 8e-9, duration_s) : NAN);
    json_number(&j, "packets_per_s", packets_per_s(o, r));
    json_text(&j, "measured_at", r->is_measured_by_sender ? "sender" : "receiver");
    json_number(&j, "requests_per_s", is_rr ? ratio((double)r->requests, duration_s) : NAN);
    json_number(&j, "p50_us", report_percentile_us(r, 50));
    json_number(&j, "p90_us", report_percentile_us(r, 90));
    json_number(&j, "p95_us", report_percentile_us(r, 95));
    json_number(&j, "p99_us", report_percentile_us(r, 99));
    json_number(&j, "p999_us", report_percentile_us(r, 99.9));
    json_number(&j, "max_us", report_percentile_us(r, 100));
    json_number(&j, "handshakes_per_s",
                is_handshake ? ratio((double)r->handshakes, duration_s) : NAN);
    json_number(&j, "datagrams_per_s", is_datagram ? ratio((double)r->datagrams, duration_s) : NAN);
    json_number(&j, "messages_per_s", is_messages ? ratio((double)r->messages, duration_s) : NAN);
    json_number(&j, "messages_copied_share", is_messages ? copied_share(r) : NAN);
    json_number(&j, "delivered_share", is_datagram ? delivered_share(r) : NAN);
    json_integer(&j, "lost_packets", lost_packets(r));
    json_number(&j, "conns_slowest_over_fastest", spread_slowest_over_fastest(&r->conn_bytes));
    json_number(&j, "conns_jain", spread_jain(&r->conn_bytes));
    json_number(&j, "streams_slowest_over_fastest", spread_slowest_over_fastest(&r->stream_bytes));
    json_number(&j, "streams_jain", spread_jain(&r->stream_bytes));
    json_integer(&j, "requests", r->requests);
    json_integer(&j, "requests_unfinished", r->unfinished);
    json_integer(&j, "handshakes", r->handshakes);
    json_integer(&j, "handshakes_failed", r->handshakes_failed);
    json_integer(&j, "handshakes_resumed", r->handshakes_resumed);
    json_integer(&j, "handshakes_early", r->handshakes_early);
    json_number(&j, "first_byte_p50_us", percentile_us(&r->first_byte, 50));
    json_number(&j, "first_byte_p99_us", percentile_us(&r->first_byte, 99));
    if (r->idle != NULL)
        report_write_idle(&j, o, r);
    if (r->versus != NULL)
        report_write_versus(&j, r->versus);
    if (r->versus_bare != NULL)
        report_write_bare(&j, r->versus_bare);
    if (r->soak != NULL)
        report_write_soak(&j, o, r->soak);
    report_write_relay(&j, r);
    write_config(&j, o, r);
    machine_write(&j);
    if (r->have_server)
        write_side(&j, "server", o, r, r->server);
    else
        json_null(&j, "server");
    if (o->kind != SCENARIO_SERVE)
        write_side(&j, "client", o, r, r->client);
    else
        json_null(&j, "client");
    json_end(&j);
}

/* ---- The table ---- */

static void print_number(FILE *file, int width, int decimals, double value)
{
    if (isfinite(value))
        fprintf(file, " %*.*f", width, decimals, value);
    else
        fprintf(file, " %*s", width, "-");
}

static void print_side(FILE *file, const char *name, const struct options *o,
                       const struct result *r, const struct sample samples[2])
{
    struct side side = side_of(r, samples);
    bool is_by_bytes = options_moves_bytes(o);

    fprintf(file, "  %-6s", name);
    print_number(file, 9, 2, side.cpu_user_s);
    print_number(file, 9, 2, side.cpu_sys_s);
    print_number(file, 9, 3, is_by_bytes ? side.cpu_s_per_gb : side.cpu_us_per_request);
    fprintf(file, " %12" PRIu64 " %12" PRIu64,
            samples[1].shard.packets_in - samples[0].shard.packets_in,
            samples[1].shard.packets_out - samples[0].shard.packets_out);
    print_number(file, 10, 1, side.datagrams_per_send);
    print_number(file, 10, 1, side.packets_per_ack);
    print_number(file, 10, 1, side.packets_per_call);
    print_number(file, 8, 1, (double)side.end->rss_bytes / 1e6);
    fputc('\n', file);
}

/* What is zero as long as nothing goes wrong, and what copies cost. */
static void print_shards(FILE *file, const struct sample samples[2])
{
    fprintf(file, "  packets of the server's %u shards:", samples[1].shard_count);
    for (uint32_t i = 0; i < samples[1].shard_count; i++) {
        const struct spate_shard_stats *before = &samples[0].shards[i];
        const struct spate_shard_stats *after = &samples[1].shards[i];
        fprintf(file, " %" PRIu64,
                after->packets_in + after->packets_out - before->packets_in - before->packets_out);
    }
    fputc('\n', file);
}

static void print_waste(FILE *file, const char *name, const struct sample samples[2])
{
    const struct spate_shard_stats *x = &samples[0].shard;
    const struct spate_shard_stats *y = &samples[1].shard;

    fprintf(file, "  %-6s", name);
    print_number(file, 14, 1, (double)(y->copied_in_bytes - x->copied_in_bytes) / 1e6);
    print_number(file, 14, 1, (double)(y->copied_out_bytes - x->copied_out_bytes) / 1e6);
    fprintf(file, " %11" PRIu64 " %12" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 "\n",
            y->allocations - x->allocations, y->kernel_drops - x->kernel_drops,
            y->receive_enobufs - x->receive_enobufs, y->receive_rearms - x->receive_rearms,
            y->packets_lost - x->packets_lost);
}

static void print_head(const struct options *o, const struct result *r, FILE *file)
{
    fprintf(file, "%s", options_scenario_name(o->scenario));
    if (o->kind == SCENARIO_BULK)
        fprintf(file, " %s, %" PRIu64 " stream%s on %" PRIu64 " connection%s",
                direction_names[o->direction], o->streams, o->streams == 1 ? "" : "s each",
                o->conns, o->conns == 1 ? "" : "s");
    else if (o->kind == SCENARIO_RR && o->rate > 0)
        fprintf(file, ", open loop at %.6g/s on %" PRIu64 " connection%s", o->rate, o->conns,
                o->conns == 1 ? "" : "s");
    else if (o->kind == SCENARIO_RR)
        fprintf(file, ", %" PRIu64 " in flight on %" PRIu64 " connection%s", o->inflight, o->conns,
                o->conns == 1 ? "" : "s each");
    else if (o->kind == SCENARIO_HANDSHAKE)
        fprintf(file, "%s, %" PRIu64 " at once",
                o->early    ? " with 0-RTT"
                : o->resume ? " resumed"
                            : "",
                o->inflight);
    else if (o->kind == SCENARIO_MIXED)
        fprintf(file, ", bulk %s on %" PRIu64 " connections beside requests on %" PRIu64,
                o->direction == DIRECTION_UP ? "up" : "down", o->bulk_conns, o->conns);
    else if (o->kind == SCENARIO_DATAGRAM)
        fprintf(file, ", %" PRIu64 " bytes each on %" PRIu64 " connection%s", o->message_bytes,
                o->conns, o->conns == 1 ? "" : "s");
    else if (o->kind == SCENARIO_MESSAGES)
        fprintf(file, ", %s%s, %" PRIu64 " bytes each, %" PRIu64 " at once, %" PRIu64 " peer%s",
                o->pattern == PATTERN_PUBLISH ? "publish" : "request",
                o->ordered ? " in order" : "", o->message_bytes, o->inflight, o->conns,
                o->conns == 1 ? "" : "s");
    else if (o->kind == SCENARIO_IDLE && o->bulk)
        fputs(" beside a download", file);
    fprintf(file, ", %" PRIu32 "-byte datagrams", r->mtu);
    if (r->cipher[0] != 0)
        fprintf(file, ", %s by %s", r->cipher,
                strstr(r->cipher, "AES") != NULL ? r->crypto : "openssl");
    fprintf(file, ", %s\n", spate_backend_name(r->backend));
}

static void print_latency(const struct result *r, FILE *file)
{
    if (r->latency.count == 0) {
        fputs("  no latency: nothing has finished in the measured part\n", file);
        return;
    }
    fprintf(file, "  latency us: p50 %.1f  p90 %.1f  p95 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n",
            report_percentile_us(r, 50), report_percentile_us(r, 90), report_percentile_us(r, 95),
            report_percentile_us(r, 99), report_percentile_us(r, 99.9),
            report_percentile_us(r, 100));
}

static void print_first_byte(const struct result *r, FILE *file)
{
    fprintf(file,
            "  first byte us: p50 %.1f  p99 %.1f; %.1f %% resumed, 0-RTT of %.1f %% accepted\n",
            percentile_us(&r->first_byte, 50), percentile_us(&r->first_byte, 99),
            100 * ratio((double)r->handshakes_resumed, (double)r->handshakes),
            100 * ratio((double)r->handshakes_early, (double)r->handshakes));
}

static void print_spread(const struct result *r, FILE *file)
{
    fprintf(file,
            "  slowest over fastest: connections %.2f (Jain's index %.4f), streams %.2f (%.4f)\n",
            spread_slowest_over_fastest(&r->conn_bytes), spread_jain(&r->conn_bytes),
            spread_slowest_over_fastest(&r->stream_bytes), spread_jain(&r->stream_bytes));
}

/* What was done, without the time that it took. */
static void print_amount(const struct options *o, const struct result *r, FILE *file)
{
    double duration_s = seconds(r->duration_ns);
    if (options_has_requests(o))
        fprintf(file, "  %.0f requests/s, ", ratio((double)r->requests, duration_s));
    if (o->kind == SCENARIO_HANDSHAKE)
        fprintf(file, "  %.0f handshakes/s (%" PRIu64 " failed), ",
                ratio((double)r->handshakes, duration_s), r->handshakes_failed);
    else if (o->kind == SCENARIO_DATAGRAM)
        fprintf(file, "  %.0f messages/s, %.2f %% delivered, ",
                ratio((double)r->datagrams, duration_s), 100 * delivered_share(r));
    else if (o->kind == SCENARIO_MESSAGES)
        fprintf(file, "  %.0f messages/s, %.1f %% of their bytes copied, %.3f Gbit/s in ",
                ratio((double)r->messages, duration_s), 100 * copied_share(r), report_gbps(r));
    else if (o->kind != SCENARIO_RR)
        fprintf(file, "%s%.3f Gbit/s, %.3f GB in ", options_has_requests(o) ? "" : "  ",
                report_gbps(r), (double)r->bytes / 1e9);
}

void report_print(const struct options *o, const struct result *r, FILE *file)
{
    double duration_s = seconds(r->duration_ns);
    bool is_messages = o->kind == SCENARIO_MESSAGES;
    bool has_latency = options_has_requests(o) || o->kind == SCENARIO_HANDSHAKE ||
                       (is_messages && r->latency.count > 0);

    print_head(o, r, file);
    if (o->kind == SCENARIO_IDLE) {
        report_print_idle(o, r, file);
        return;
    }
    print_amount(o, r, file);
    fprintf(file, "%.3f s, %" PRIu64 " packets lost%s\n", duration_s, lost_packets(r),
            r->is_measured_by_sender ? ", measured by acknowledgements" : "");
    if (o->connect != NULL)
        fputs("  the server is another program: its CPU time, system calls, allocations and what "
              "it has lost are unknown\n",
              file);
    if (has_latency)
        print_latency(r, file);
    if (r->first_byte.count > 0)
        print_first_byte(r, file);
    if (r->stream_bytes.count > 1)
        print_spread(r, file);
    if (is_messages && r->conn_bytes.count > 1)
        fprintf(file, "  slowest over fastest peer: %.2f (Jain's index %.4f)\n",
                spread_slowest_over_fastest(&r->conn_bytes), spread_jain(&r->conn_bytes));
    if (r->unfinished > 0)
        fprintf(file,
                "  overload: %" PRIu64 " requests had no answer when the run ended; they "
                "count with the age they had\n",
                r->unfinished);
    fprintf(file, "  %-6s %9s %9s %9s %12s %12s %10s %10s %10s %8s\n", "", "cpu usr s", "cpu sys s",
            options_moves_bytes(o) ? "cpu s/GB" : "cpu us/op", "packets in", "packets out",
            "dgram/send", "pkts/ack", "pkts/call", "rss MB");
    if (r->have_server)
        print_side(file, "server", o, r, r->server);
    if (o->kind != SCENARIO_SERVE)
        print_side(file, "client", o, r, r->client);
    if (r->have_server && r->server[1].shard_count > 1)
        print_shards(file, r->server);
    fprintf(file, "  %-6s %14s %14s %11s %12s %8s %8s %8s\n", "", "copied in MB", "copied out MB",
            "allocations", "kernel drops", "enobufs", "re-arms", "lost");
    if (r->have_server)
        print_waste(file, "server", r->server);
    if (o->kind != SCENARIO_SERVE)
        print_waste(file, "client", r->client);
    report_print_usage_head(file);
    if (r->have_server)
        report_print_usage("server", r, r->server, file);
    if (o->kind != SCENARIO_SERVE)
        report_print_usage("client", r, r->client, file);
    report_print_relay(r, file);
    if (r->soak != NULL)
        report_print_soak(r->soak, file);
    if (r->versus != NULL)
        report_print_versus(o, r->versus, file);
    if (r->versus_bare != NULL)
        report_print_bare(r->versus_bare, file);
}
