/* SPDX-License-Identifier: MIT */
/* mixed: bulk on --bulk-conns connections beside requests and responses on --conns others, over the
 * same sockets.  What is measured of each is what the other one leaves of it.
 *
 * The parts are those of bulk and rr, each with its own state and its own connections. */

#include "bench/load/client_impl.h"

#include "bench/load/options.h"

static bool is_of_bulk(const struct client *c, const struct spate_event *e)
{
    const struct client_conn *conn = e->conn_user;
    return conn->index < c->bulk_count;
}

static bool mixed_open(struct client *c)
{
    return client_bulk_ops.open(c) && client_rr_ops.open(c);
}

static void mixed_begin(struct client *c, uint64_t now_ns)
{
    client_bulk_ops.begin(c, now_ns);
    client_rr_ops.begin(c, now_ns);
}

static void mixed_on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    const struct client_ops *part = is_of_bulk(c, e) ? &client_bulk_ops : &client_rr_ops;
    part->on_event(c, e, now_ns);
    c->is_waiting |= c->bulk_count > 0; /* a pause of the requests is no pause of the rest */
}

static uint64_t mixed_on_turn(struct client *c, uint64_t now_ns)
{
    uint64_t bulk_ns = client_bulk_ops.on_turn(c, now_ns);
    uint64_t rr_ns = client_rr_ops.on_turn(c, now_ns);
    return bulk_ns < rr_ns ? bulk_ns : rr_ns;
}

/* Bulk has no end: what is waited for are responses. */
static bool mixed_is_done(const struct client *c)
{
    return client_rr_ops.is_done(c);
}

static void mixed_on_sample(struct client *c, uint32_t index)
{
    client_bulk_ops.on_sample(c, index);
}

/* Bytes are those of bulk.  The receiver of an upload counts all, so those are the sender's. */
static void mixed_finish(struct client *c, uint64_t now_ns)
{
    client_rr_ops.finish(c, now_ns);
    c->result->bytes = (uint64_t)c->result->conn_bytes.sum;
    c->result->is_measured_by_sender = c->options->direction == DIRECTION_UP;
}

static void mixed_close(struct client *c)
{
    client_bulk_ops.close(c);
    client_rr_ops.close(c);
}

const struct client_ops client_mixed_ops = {
    .keeps_conns = true,
    .open = mixed_open,
    .begin = mixed_begin,
    .on_event = mixed_on_event,
    .on_turn = mixed_on_turn,
    .is_done = mixed_is_done,
    .on_sample = mixed_on_sample,
    .finish = mixed_finish,
    .close = mixed_close,
};
