/* SPDX-License-Identifier: MIT */
/* idle: --conns connections that only keep each other alive; with --bulk beside a download.
 *
 *     ALONE    --bulk: a download on the first connection, before there are others
 *     OPEN     the other connections, --inflight handshakes at a time, or --rate a second
 *     SETTLE   until connections have given back what they need only for packets
 *     REST     memory, turns and CPU time while nothing but keep-alives goes on
 *     BESIDE   --bulk: the download again
 *
 * Samples walk over all connections of a side, which takes milliseconds where there are many.  So
 * the bytes of a part are counted between the end of its first sample and the beginning of its
 * second one. */

#include "bench/load/client_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/endpoint.h"
#include "bench/load/idle.h"
#include "bench/load/options.h"

#define ENDLESS_BYTES (UINT64_C(1) << 40)
#define RAMP_NS       (500 * NS_PER_MS) /* of a download, before its part begins */

enum stage {
    STAGE_ALONE_RAMP,
    STAGE_ALONE,
    STAGE_BEFORE, /* the download ends; then the state with one connection is read */
    STAGE_OPEN,
    STAGE_SETTLE,
    STAGE_REST,
    STAGE_BESIDE_RAMP,
    STAGE_BESIDE,
    STAGE_OVER,
};

struct idle_run {
    enum stage stage;
    uint64_t stage_ns; /* when it began */
    uint64_t end_ns;   /* when it is over; OPEN and OVER do not end by time */
    uint64_t from_ns;  /* of the bytes of the present part */
    uint64_t from_bytes;
    uint64_t bulk_id;
    bool is_bulk; /* a download runs */
    uint8_t header[ENDPOINT_HEADER_SIZE];
};

/* ---- the download ---- */

static void bulk_start(struct client *c)
{
    struct idle_run *r = c->state;
    struct spate_conn *conn = c->conns[0].conn;
    endpoint_write_header(r->header, ENDLESS_BYTES);
    int status = spate_stream_open(conn, false, &r->bulk_id);
    if (status == 0)
        status = spate_stream_send(conn, r->bulk_id, r->header, sizeof(r->header), true, 0);
    r->is_bulk = status == 0;
    if (status != 0)
        (void)client_fail(c, "cannot start a download: %s", strerror(-status));
}

static void bulk_stop(struct client *c)
{
    struct idle_run *r = c->state;
    if (r->is_bulk)
        (void)spate_stream_stop(c->conns[0].conn, r->bulk_id, 0);
    r->is_bulk = false;
}

/* ---- parts ---- */

static void part_begin(struct client *c, enum idle_part part)
{
    struct idle_run *r = c->state;
    struct idle_span *span = &c->result->idle->parts[part];
    (void)client_sample(c, &span->client[0], &span->server[0]);
    r->from_ns = clock_now_ns();
    r->from_bytes = c->payload_in_bytes;
}

static void part_end(struct client *c, enum idle_part part)
{
    const struct idle_run *r = c->state;
    struct idle_span *span = &c->result->idle->parts[part];
    span->duration_ns = clock_now_ns() - r->from_ns;
    span->bytes = c->payload_in_bytes - r->from_bytes;
    (void)client_sample(c, &span->client[1], &span->server[1]);
}

/* ---- stages ---- */

static void enter(struct client *c, enum stage stage, uint64_t lasts_ns)
{
    struct idle_run *r = c->state;
    r->stage = stage;
    r->stage_ns = clock_now_ns();
    r->end_ns = lasts_ns == SPATE_FOREVER ? SPATE_FOREVER : r->stage_ns + lasts_ns;
}

static void end_opening(struct client *c)
{
    struct idle_run *r = c->state;
    c->result->idle->conns = c->conn_count - 1;
    c->result->idle->opening_ns = clock_now_ns() - r->stage_ns;
    enter(c, STAGE_SETTLE, c->options->warmup_ns);
}

/* What follows when the present stage is over. */
static void go_on(struct client *c)
{
    struct idle_run *r = c->state;
    struct idle *idle = c->result->idle;
    const struct options *o = c->options;
    switch (r->stage) {
    case STAGE_ALONE_RAMP:
        part_begin(c, IDLE_ALONE);
        enter(c, STAGE_ALONE, o->duration_ns);
        break;
    case STAGE_ALONE:
        part_end(c, IDLE_ALONE);
        bulk_stop(c);
        enter(c, STAGE_BEFORE, o->warmup_ns);
        break;
    case STAGE_BEFORE:
        (void)client_sample(c, &idle->client_before, &idle->server_before);
        enter(c, STAGE_OPEN, SPATE_FOREVER);
        break;
    case STAGE_OPEN:
        end_opening(c);
        break;
    case STAGE_SETTLE:
        part_begin(c, IDLE_REST);
        enter(c, STAGE_REST, o->duration_ns);
        break;
    case STAGE_REST:
        part_end(c, IDLE_REST);
        if (o->bulk)
            bulk_start(c);
        enter(c, o->bulk ? STAGE_BESIDE_RAMP : STAGE_OVER, RAMP_NS);
        break;
    case STAGE_BESIDE_RAMP:
        part_begin(c, IDLE_BESIDE);
        enter(c, STAGE_BESIDE, o->duration_ns);
        break;
    case STAGE_BESIDE:
        part_end(c, IDLE_BESIDE);
        bulk_stop(c);
        enter(c, STAGE_OVER, SPATE_FOREVER);
        break;
    case STAGE_OVER:
        break;
    }
}

/* Begins handshakes, as many as are due and may run at a time.  Returns when the next one is due.
 */
static uint64_t open_more(struct client *c, uint64_t now_ns)
{
    struct idle_run *r = c->state;
    const struct options *o = c->options;
    while (c->begun_count < c->conn_count && c->begun_count < c->open_count + o->inflight) {
        uint64_t due_ns = r->stage_ns;
        if (o->rate > 0)
            due_ns += (uint64_t)((double)(c->begun_count - 1) / o->rate * (double)NS_PER_S);
        if (due_ns > now_ns)
            return due_ns;
        if (!client_connect_one(c, c->begun_count++))
            return SPATE_FOREVER;
    }
    return SPATE_FOREVER;
}

/* ---- what client.c calls ---- */

static bool idle_open(struct client *c)
{
    static struct idle idle; /* 600 KB, of the one run */
    c->result->idle = &idle;
    c->state = calloc(1, sizeof(struct idle_run));
    return c->state != NULL || client_fail(c, "out of memory");
}

static void idle_begin(struct client *c, uint64_t now_ns)
{
    (void)now_ns;
    if (c->options->bulk)
        bulk_start(c);
    if (c->options->bulk)
        enter(c, STAGE_ALONE_RAMP, RAMP_NS);
    else
        enter(c, STAGE_BEFORE, c->options->warmup_ns);
}

static void idle_on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    (void)now_ns;
    const struct idle_run *r = c->state;
    if (e->kind == SPATE_EVENT_STREAM_DATA) {
        client_release(c, e, e->u.data.slice.size);
    } else if (e->kind == SPATE_EVENT_STREAM_BATCH) {
        spate_slices_release(c->shard, e->u.batch.slices, e->u.batch.count);
        c->payload_in_bytes += e->u.batch.size_bytes;
    } else if (e->kind == SPATE_EVENT_STREAM_RESET && r->is_bulk && e->stream_id == r->bulk_id) {
        (void)client_fail(c, "the server has given up the download");
    }
}

static uint64_t idle_on_turn(struct client *c, uint64_t now_ns)
{
    struct idle_run *r = c->state;
    bool has_all = c->open_count == c->conn_count;
    if (now_ns >= r->end_ns || (r->stage == STAGE_OPEN && has_all))
        go_on(c);
    c->finished_count = c->open_count;
    c->is_waiting = r->is_bulk || r->stage == STAGE_OPEN;
    return r->stage == STAGE_OPEN ? open_more(c, now_ns) : r->end_ns;
}

static bool idle_is_done(const struct client *c)
{
    const struct idle_run *r = c->state;
    return r->stage == STAGE_OVER;
}

static void idle_finish(struct client *c, uint64_t now_ns)
{
    (void)now_ns;
    const struct idle *idle = c->result->idle;
    c->result->handshakes = idle->conns;
    c->result->bytes = idle->parts[IDLE_ALONE].bytes + idle->parts[IDLE_BESIDE].bytes;
}

static void idle_close(struct client *c)
{
    free(c->state);
}

const struct client_ops client_idle_ops = {
    .keeps_conns = true,
    .opens_conns = true,
    .waits_for_samples = true,
    .open = idle_open,
    .begin = idle_begin,
    .on_event = idle_on_event,
    .on_turn = idle_on_turn,
    .is_done = idle_is_done,
    .finish = idle_finish,
    .close = idle_close,
};
