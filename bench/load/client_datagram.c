/* SPDX-License-Identifier: MIT */
/* datagram: messages of --size bytes in DATAGRAM frames, from the client to the server.
 *
 * Without --rate each connection has up to OUTSTANDING_MAX messages without a result, and sends one
 * more for each result: as many as pass.  With it R messages a second are sent in all, evenly; what
 * finds the queue full is given up and counts as sent, because a message that waits for long is
 * worth nothing.
 *
 * What counts is what has reached the receiver's application; the share is of what was sent. */

#include "bench/load/client_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/options.h"
#include "bench/load/payload.h"

/* Messages without a result per connection: some trains of small ones. */
#define OUTSTANDING_MAX 8192

struct datagrams {
    uint64_t sent_count;    /* queued */
    uint64_t result_count;  /* results that came */
    uint64_t refused_count; /* found the queue full, with --rate */
    uint64_t due_count;     /* with --rate: meant to be sent so far */
    uint64_t begin_ns;
    uint32_t next;           /* with --rate: the connection that sends next */
    uint64_t refused_before; /* refused_count when measuring began; see is_measured */
    bool is_measured;
    bool is_starved; /* -ENOBUFS: try again in the next turn */
};

static bool send_one(struct client *c, struct client_conn *conn, int *ret_status)
{
    struct datagrams *d = c->state;
    if (conn->conn == NULL)
        return false;
    *ret_status = spate_conn_datagram_send(conn->conn, payload_region(), c->options->message_bytes,
                                           d->sent_count, SPATE_FOREVER, 0);
    if (*ret_status == 0) {
        d->sent_count++;
        conn->running_count++;
        c->payload_out_bytes += c->options->message_bytes;
        return true;
    }
    if (*ret_status == -ENOBUFS) {
        d->is_starved = true;
    } else if (*ret_status == -EMSGSIZE && c->phase < PHASE_MEASURE) {
        d->is_starved = true; /* the path is still being searched for its largest datagrams */
    } else if (*ret_status != -EAGAIN) {
        (void)client_fail(c, "cannot send messages of %llu bytes: %s",
                          (unsigned long long)c->options->message_bytes, strerror(-*ret_status));
    }
    return false;
}

static void fill(struct client *c, struct client_conn *conn)
{
    int status;
    while (conn->running_count < OUTSTANDING_MAX && send_one(c, conn, &status))
        continue;
}

static bool datagram_open(struct client *c)
{
    c->state = calloc(1, sizeof(struct datagrams));
    c->is_waiting = true;
    return c->state != NULL || client_fail(c, "out of memory");
}

static void datagram_begin(struct client *c, uint64_t now_ns)
{
    struct datagrams *d = c->state;
    d->begin_ns = now_ns;
    for (uint32_t i = 0; c->options->rate <= 0 && i < c->conn_count; i++)
        fill(c, &c->conns[i]);
}

/* Sends what is due by now. */
static void send_due(struct client *c, uint64_t now_ns)
{
    struct datagrams *d = c->state;
    double passed_s = (double)(now_ns - d->begin_ns) / (double)NS_PER_S;
    uint64_t due_count = (uint64_t)(passed_s * c->options->rate);
    for (; d->due_count < due_count && !c->failure->is_set; d->due_count++) {
        int status;
        if (!send_one(c, &c->conns[d->next++ % c->conn_count], &status))
            d->refused_count++;
    }
}

static uint64_t datagram_on_turn(struct client *c, uint64_t now_ns)
{
    struct datagrams *d = c->state;
    if (c->phase == PHASE_MEASURE && !d->is_measured) {
        d->is_measured = true;
        d->refused_before = d->refused_count;
    }
    if (c->options->rate > 0) {
        if (c->phase != PHASE_DRAIN)
            send_due(c, now_ns);
        return c->phase == PHASE_DRAIN
                   ? SPATE_FOREVER
                   : d->begin_ns + (uint64_t)((double)(d->due_count + 1) * (double)NS_PER_S /
                                              c->options->rate);
    }
    if (!d->is_starved)
        return SPATE_FOREVER;
    d->is_starved = false;
    for (uint32_t i = 0; i < c->conn_count; i++)
        fill(c, &c->conns[i]);
    return d->is_starved ? now_ns + NS_PER_MS : SPATE_FOREVER;
}

static void datagram_on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    (void)now_ns;
    struct datagrams *d = c->state;
    struct client_conn *conn = e->conn_user;
    switch (e->kind) {
    case SPATE_EVENT_DATAGRAMS_SENT:
        d->result_count += e->u.datagrams_sent.count;
        c->finished_count += e->u.datagrams_sent.count;
        conn->running_count -= (uint32_t)e->u.datagrams_sent.count;
        if (c->options->rate <= 0 && c->phase >= PHASE_WARMUP && c->phase < PHASE_CLOSE)
            fill(c, conn);
        break;
    case SPATE_EVENT_STREAM_DATA: /* there is none: release it all the same */
        client_release(c, e, 0);
        break;
    case SPATE_EVENT_STREAM_BATCH:
        spate_slices_release(c->shard, e->u.batch.slices, e->u.batch.count);
        break;
    default:
        break;
    }
}

static bool datagram_is_done(const struct client *c)
{
    const struct datagrams *d = c->state;
    return d->result_count == d->sent_count;
}

/* Of the receiver, where its process has a sample: what its application got.  Otherwise of what was
 * acknowledged. */
static void datagram_finish(struct client *c, uint64_t now_ns)
{
    (void)now_ns;
    struct result *r = c->result;
    const struct datagrams *d = c->state;
    const struct spate_shard_stats *x = &r->server[0].shard, *y = &r->server[1].shard;

    uint64_t failed_count = r->client[1].conns.messages_lost - r->client[0].conns.messages_lost +
                            d->refused_count - d->refused_before;
    if (r->have_server) {
        r->datagrams =
            y->messages_in - y->messages_dropped - (x->messages_in - x->messages_dropped);
        failed_count += y->messages_dropped - x->messages_dropped;
        r->bytes = r->server[1].payload_in_bytes - r->server[0].payload_in_bytes;
        r->duration_ns = r->server[1].now_ns - r->server[0].now_ns;
    } else {
        r->datagrams = r->client[1].conns.messages_acked - r->client[0].conns.messages_acked;
        r->bytes = r->datagrams * c->options->message_bytes;
        r->is_measured_by_sender = true;
    }
    /* The sides' samples are not of one moment: what was sent is not what can have arrived. */
    r->datagrams_failed = failed_count;
}

static void datagram_close(struct client *c)
{
    free(c->state);
}

const struct client_ops client_datagram_ops = {
    .keeps_conns = true,
    .open = datagram_open,
    .begin = datagram_begin,
    .on_event = datagram_on_event,
    .on_turn = datagram_on_turn,
    .is_done = datagram_is_done,
    .finish = datagram_finish,
    .close = datagram_close,
};
