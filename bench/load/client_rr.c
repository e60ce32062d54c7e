/* SPDX-License-Identifier: MIT */
/* rr: requests and responses, each on a stream of its own.
 *
 * Closed loop: --inflight requests on each connection; the end of one starts the next, and
 * latency counts from its start.
 *
 * Open loop (--rate): a schedule has the time at which each request should start, and latency
 * counts from that time, even if the request starts later.  This avoids coordinated omission.  The
 * measured requests are those that should start in the measured part; the client waits for them
 * afterwards.  Requests that never end are recorded with the age that they have reached, which
 * is less than their latency, and counted as unfinished.
 *
 * All requests are alike, so they are all lent from one buffer. */

#include "bench/load/client_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/arrivals.h"
#include "bench/load/clock.h"
#include "bench/load/endpoint.h"
#include "bench/load/options.h"
#include "bench/load/payload.h"

/* Open loop: requests in flight at once, over all connections. */
#define OPEN_LOOP_REQUESTS_MAX 65536
#define ARRIVALS_SEED          1

struct request {
    struct request *next_free;
    struct client_conn *conn;
    uint64_t id;
    uint64_t start_ns; /* open loop: when it was meant to start */
    uint64_t received_bytes;
    bool is_running;
    bool is_measured; /* open loop: meant to start in the measured part */
};

/* Invariant: running_count + length of the free list == capacity. */
struct rr {
    struct request *free;
    uint32_t capacity;
    uint32_t running_count;
    uint32_t next_conn;
    bool is_open_loop;
    struct arrivals arrivals;
    uint64_t measured_running; /* measured requests without a response */
    uint64_t measured_bytes;
    uint8_t *request_bytes; /* header and payload, options->request_bytes of them */
    struct request requests[];
};

/* Returns 0, -EAGAIN if the connection has too many streams already, or another errno, with the
 * failure set. */
static int start(struct client *c, struct client_conn *conn, uint64_t start_ns, bool is_measured)
{
    struct rr *rr = c->rr;
    struct request *r = rr->free;
    uint64_t id = 0;

    if (r == NULL)
        return -EAGAIN;
    int status = spate_stream_open(conn->conn, false, &id);
    if (status == -EAGAIN) {
        conn->is_blocked = true;
        return status;
    }
    if (status == 0)
        status = spate_stream_set_user(conn->conn, id, r);
    if (status == 0)
        status = spate_stream_send(conn->conn, id, rr->request_bytes, c->options->request_bytes,
                                   true, 0);
    if (status != 0) {
        (void)client_fail(c, "cannot send a request: %s", strerror(-status));
        return status;
    }

    rr->free = r->next_free;
    rr->running_count++;
    *r = (struct request){.conn = conn,
                          .id = id,
                          .start_ns = start_ns,
                          .is_running = true,
                          .is_measured = is_measured};
    rr->measured_running += is_measured;
    c->payload_out_bytes += c->options->request_bytes - ENDPOINT_HEADER_SIZE;
    c->is_waiting = true;
    return 0;
}

static void recycle(struct client *c, struct request *r)
{
    struct rr *rr = c->rr;
    r->is_running = false;
    r->next_free = rr->free;
    rr->free = r;
    rr->running_count--;
    c->is_waiting = rr->running_count > 0;
}

/* The next connection in turn that is not at its limit, or NULL. */
static struct client_conn *pick_conn(struct client *c)
{
    struct rr *rr = c->rr;
    for (uint32_t tries = c->bulk_count; tries < c->conn_count; tries++) {
        struct client_conn *conn = &c->conns[rr->next_conn];
        rr->next_conn = rr->next_conn + 1 == c->conn_count ? c->bulk_count : rr->next_conn + 1;
        if (conn->is_open && !conn->is_blocked)
            return conn;
    }
    return NULL;
}

/* Starts all that is due.  The schedule goes on only when a request has started, so what could
 * not start yet stays due with its own time. */
static uint64_t start_due(struct client *c, uint64_t now_ns)
{
    struct rr *rr = c->rr;
    uint64_t due_ns = arrivals_peek_ns(&rr->arrivals);

    while (due_ns <= now_ns && due_ns < c->measure_end_ns && !c->failure->is_set) {
        bool is_measured = client_is_measuring(c) && due_ns >= c->result->client[0].now_ns;
        struct client_conn *conn = pick_conn(c);
        int status = conn == NULL ? -EAGAIN : start(c, conn, due_ns, is_measured);
        if (status == -EAGAIN && conn != NULL && rr->free != NULL)
            continue; /* that one is blocked now: the others may not be */
        if (status != 0) {
            c->is_waiting = true;
            return SPATE_FOREVER; /* an event reports it */
        }
        arrivals_advance(&rr->arrivals);
        due_ns = arrivals_peek_ns(&rr->arrivals);
    }
    return due_ns < c->measure_end_ns ? due_ns : SPATE_FOREVER;
}

static bool rr_open(struct client *c)
{
    const struct options *o = c->options;
    bool is_open_loop = o->rate > 0;
    uint64_t capacity = is_open_loop ? OPEN_LOOP_REQUESTS_MAX : o->conns * o->inflight;
    struct rr *rr = calloc(1, sizeof(*rr) + capacity * sizeof(rr->requests[0]));
    if (rr == NULL)
        return client_fail(c, "out of memory for %" PRIu64 " requests at once", capacity);

    c->rr = rr;
    rr->is_open_loop = is_open_loop;
    rr->capacity = (uint32_t)capacity;
    rr->next_conn = c->bulk_count;
    for (uint32_t i = rr->capacity; i-- > 0;) {
        rr->requests[i].next_free = rr->free;
        rr->free = &rr->requests[i];
    }
    rr->request_bytes = malloc(o->request_bytes);
    if (rr->request_bytes == NULL)
        return client_fail(c, "out of memory for a request");
    endpoint_write_header(rr->request_bytes, o->response_bytes);
    for (uint64_t i = ENDPOINT_HEADER_SIZE; i < o->request_bytes; i++)
        rr->request_bytes[i] = payload_region()[(i - ENDPOINT_HEADER_SIZE) % PAYLOAD_SIZE];
    return true;
}

/* Closed loop: brings the connection to --inflight requests again. */
static void refill(struct client *c, struct client_conn *conn, uint64_t now_ns)
{
    conn->is_blocked = false;
    while (conn->running_count < c->options->inflight && !c->failure->is_set) {
        if (start(c, conn, now_ns, false) != 0)
            return;
        conn->running_count++;
    }
}

static void rr_begin(struct client *c, uint64_t now_ns)
{
    struct rr *rr = c->rr;
    if (rr->is_open_loop) {
        arrivals_init(&rr->arrivals, c->options->rate, c->options->arrivals == ARRIVALS_POISSON,
                      ARRIVALS_SEED, now_ns);
        return;
    }
    for (uint32_t i = c->bulk_count; i < c->conn_count; i++)
        refill(c, &c->conns[i], now_ns);
}

static void on_response(struct client *c, struct request *r, uint64_t now_ns)
{
    struct rr *rr = c->rr;
    struct client_conn *conn = r->conn;
    uint64_t latency_ns = now_ns > r->start_ns ? now_ns - r->start_ns : 0;
    bool counts = rr->is_open_loop ? r->is_measured : client_is_measuring(c);

    if (r->received_bytes != c->options->response_bytes) {
        (void)client_fail(c, "the server answered %" PRIu64 " bytes instead of %" PRIu64,
                          r->received_bytes, c->options->response_bytes);
        return;
    }
    if (counts)
        spate_histogram_record(&c->result->latency, latency_ns);
    if (counts && client_is_measuring(c)) { /* not what the drain or a backlog before adds */
        c->result->requests++;
        rr->measured_bytes += c->options->response_bytes + c->options->request_bytes;
    }
    rr->measured_running -= r->is_measured;
    c->finished_count++;
    recycle(c, r);
    if (!rr->is_open_loop) {
        conn->running_count--;
        refill(c, conn, now_ns);
    }
}

static void on_data(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    struct request *r = e->stream_user;
    size_t size = e->u.data.slice.size;
    bool is_mine = r != NULL && r->is_running && r->id == e->stream_id;
    bool is_good =
        !c->options->verify || payload_matches(e->u.data.offset, e->u.data.slice.data, size);

    client_release(c, e, is_mine ? size : 0);
    if (!is_good)
        (void)client_fail(c, "stream %" PRIu64 " differs from the pattern behind byte %" PRIu64,
                          e->stream_id, e->u.data.offset);
    if (!is_mine || c->phase >= PHASE_CLOSE)
        return;
    r->received_bytes += size;
    if (e->u.data.fin)
        on_response(c, r, now_ns);
}

static void rr_on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    const struct rr *rr = c->rr;
    bool is_over = c->phase >= PHASE_CLOSE;

    switch (e->kind) {
    case SPATE_EVENT_STREAM_DATA:
        on_data(c, e, now_ns);
        break;
    case SPATE_EVENT_STREAM_RESET:
    case SPATE_EVENT_STREAM_STOPPED:
        if (!is_over)
            (void)client_fail(c, "the server has given up stream %" PRIu64 " with code %" PRIu64,
                              e->stream_id, e->u.error);
        break;
    case SPATE_EVENT_STREAMS_AVAILABLE: {
        struct client_conn *conn = e->conn_user;
        conn->is_blocked = false;
        if (!rr->is_open_loop && c->phase != PHASE_CONNECT && !is_over)
            refill(c, conn, now_ns);
        break;
    }
    default: /* the request's buffer is lent for ever: SENT says nothing new */
        break;
    }
}

static uint64_t rr_on_turn(struct client *c, uint64_t now_ns)
{
    const struct rr *rr = c->rr;
    return rr->is_open_loop ? start_due(c, now_ns) : SPATE_FOREVER;
}

static bool rr_is_done(const struct client *c)
{
    const struct rr *rr = c->rr;
    return !rr->is_open_loop ||
           (rr->measured_running == 0 && arrivals_peek_ns(&rr->arrivals) >= c->measure_end_ns);
}

static void rr_finish(struct client *c, uint64_t now_ns)
{
    struct rr *rr = c->rr;
    struct result *result = c->result;

    result->bytes = rr->measured_bytes;
    if (!rr->is_open_loop)
        return;
    for (uint32_t i = 0; i < rr->capacity; i++) {
        struct request *r = &rr->requests[i];
        if (!r->is_running || !r->is_measured)
            continue;
        spate_histogram_record(&result->latency, now_ns - r->start_ns);
        result->unfinished++;
    }
    /* And those that could not even start. */
    for (uint64_t due_ns = arrivals_peek_ns(&rr->arrivals); due_ns < c->measure_end_ns;
         due_ns = arrivals_peek_ns(&rr->arrivals)) {
        spate_histogram_record(&result->latency, now_ns - due_ns);
        result->unfinished++;
        arrivals_advance(&rr->arrivals);
    }
}

static void rr_close(struct client *c)
{
    struct rr *rr = c->rr;
    if (rr != NULL)
        free(rr->request_bytes);
    free(rr);
}

const struct client_ops client_rr_ops = {
    .keeps_conns = true,
    .open = rr_open,
    .begin = rr_begin,
    .on_event = rr_on_event,
    .on_turn = rr_on_turn,
    .is_done = rr_is_done,
    .finish = rr_finish,
    .close = rr_close,
};
