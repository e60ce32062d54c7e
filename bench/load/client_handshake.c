/* SPDX-License-Identifier: MIT */
/* handshake: handshakes, --inflight at once, as many as there can be.
 *
 * A handshake lasts from spate_shard_connect() to SPATE_EVENT_CONNECTED.  With --first-byte a
 * request follows, or goes ahead in 0-RTT, and the connection is in use until its answer comes.
 * Then the next one begins, and the connection is closed with code 0, but one turn later: our last
 * flight must leave first, or the server would see a handshake that is broken off and not one that
 * is complete.  The connection's own end is not waited for.
 *
 * With --resume all connections use the newest ticket that has come.  Most are closed before theirs
 * comes: so it is that of the first connection, which has waited for it. */

#include "bench/load/client_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/endpoint.h"
#include "bench/load/options.h"

enum { ANSWER_BYTES = 64 };

/* A connection from its first packet to SPATE_EVENT_CLOSED. */
struct attempt {
    struct attempt *next; /* among the open ones, or the free ones */
    struct attempt *previous;
    struct attempt *next_done; /* see struct handshakes */
    struct spate_conn *conn;
    uint64_t start_ns;
    bool is_connected;
    bool has_asked;
    bool has_answer; /* its first byte */
    bool is_listed;  /* as done or ripe: its own end does not recycle it yet */
    bool is_over;
};

struct handshakes {
    struct attempt *open;
    struct attempt *free;
    struct attempt *done;   /* connected since the last turn's send */
    struct attempt *ripe;   /* connected before it: to be closed */
    uint32_t running_count; /* not complete yet: --inflight of them */
    uint64_t success_ns;    /* when the last one has succeeded, or the load began */
    uint64_t next_ns;       /* when the next one may begin */
    uint8_t request[ENDPOINT_HEADER_SIZE];
};

static struct attempt *attempt_add(struct handshakes *h)
{
    struct attempt *a = h->free;
    if (a != NULL)
        h->free = a->next;
    else
        a = malloc(sizeof(*a));
    if (a == NULL)
        return NULL;
    *a = (struct attempt){.next = h->open};
    if (h->open != NULL)
        h->open->previous = a;
    h->open = a;
    return a;
}

static void attempt_remove(struct handshakes *h, struct attempt *a)
{
    if (a->previous != NULL)
        a->previous->next = a->next;
    else
        h->open = a->next;
    if (a->next != NULL)
        a->next->previous = a->previous;
    a->next = h->free;
    h->free = a;
}

/* Brings the handshakes in progress to --inflight. */
static void refill(struct client *c)
{
    struct handshakes *h = c->state;
    while (h->running_count < c->options->inflight) {
        struct spate_error error = {.text = ""};
        struct attempt *a = attempt_add(h);
        if (a == NULL) {
            (void)client_fail(c, "out of memory");
            return;
        }
        a->start_ns = clock_now_ns();
        int status = client_connect(c, a, &a->conn, &error);
        if (status == 0) {
            h->running_count++;
            continue;
        }
        attempt_remove(h, a);
        if (status != -ENOBUFS) { /* that one passes when closed connections are gone */
            char peer[CLIENT_PEER_SIZE];
            client_peer_text(c, peer, sizeof(peer));
            (void)client_fail(c, "cannot connect to %s: %s", peer,
                              error.text[0] != 0 ? error.text : strerror(-status));
        }
        return;
    }
}

static bool handshake_open(struct client *c)
{
    c->state = calloc(1, sizeof(struct handshakes));
    c->is_waiting = true;
    if (c->state == NULL)
        return client_fail(c, "out of memory");
    struct handshakes *h = c->state;
    endpoint_write_header(h->request, ANSWER_BYTES);
    return true;
}

static void handshake_begin(struct client *c, uint64_t now_ns)
{
    struct handshakes *h = c->state;
    h->success_ns = now_ns;
    refill(c);
}

static void ask(struct client *c, struct attempt *a)
{
    const struct handshakes *h = c->state;
    uint64_t id;
    if (a->has_asked || !c->options->first_byte)
        return;
    a->has_asked = true;
    int e = spate_stream_open(a->conn, false, &id);
    if (e == 0)
        e = spate_stream_send(a->conn, id, h->request, sizeof(h->request), true, 0);
    if (e != 0 && e != -ENOTCONN)
        (void)client_fail(c, "cannot send a request: %s", strerror(-e));
}

static bool is_complete(const struct client *c, const struct attempt *a)
{
    return a->is_connected && (a->has_answer || !c->options->first_byte);
}

/* Nothing is missing: the next one may begin. */
static void complete(struct client *c, struct attempt *a, uint64_t now_ns)
{
    struct handshakes *h = c->state;
    h->success_ns = now_ns;
    h->next_ns = now_ns + c->options->pause_ns;
    h->running_count--;
    c->finished_count++;
    if (client_is_measuring(c)) {
        c->result->handshakes++;
        c->result->handshakes_resumed += spate_conn_is_resumed(a->conn);
        c->result->handshakes_early += spate_conn_early(a->conn) == SPATE_EARLY_ACCEPTED;
    }
    a->is_listed = true;
    a->next_done = h->done;
    h->done = a;
}

static void on_connected(struct client *c, struct attempt *a, uint64_t now_ns)
{
    a->is_connected = true;
    if (client_is_measuring(c))
        spate_histogram_record(&c->result->latency, now_ns - a->start_ns);
    ask(c, a);
    if (is_complete(c, a))
        complete(c, a, now_ns);
}

static void on_answer(struct client *c, struct attempt *a, uint64_t now_ns)
{
    if (a->has_answer)
        return;
    a->has_answer = true;
    if (client_is_measuring(c))
        spate_histogram_record(&c->result->first_byte, now_ns - a->start_ns);
    if (is_complete(c, a))
        complete(c, a, now_ns);
}

/* Closes the connections whose last flight has been sent. */
static void close_ripe(struct handshakes *h)
{
    while (h->ripe != NULL) {
        struct attempt *a = h->ripe;
        h->ripe = a->next_done;
        a->is_listed = false;
        if (a->is_over)
            attempt_remove(h, a);
        else
            spate_conn_close(a->conn, 0, "done");
    }
    h->ripe = h->done;
    h->done = NULL;
}

/* A server that refuses or loses some handshakes is overloaded; without any success it has ended.
 * */
static void on_failed(struct client *c, const struct spate_close *close)
{
    struct handshakes *h = c->state;
    h->running_count--;
    c->result->handshakes_failed += client_is_measuring(c);
    if (close->kind == SPATE_CLOSE_UNREACHABLE && c->phase < PHASE_CLOSE)
        client_fail_closed(c, close);
}

static void handshake_on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    struct handshakes *h = c->state;
    struct attempt *a = e->conn_user;

    if (e->kind == SPATE_EVENT_STREAM_DATA) {
        client_release(c, e, 0);
        on_answer(c, a, now_ns);
    } else if (e->kind == SPATE_EVENT_EARLY) {
        ask(c, a);
    } else if (e->kind == SPATE_EVENT_CONNECTED) {
        on_connected(c, a, now_ns);
    } else if (e->kind == SPATE_EVENT_CLOSED) {
        if (!is_complete(c, a))
            on_failed(c, &e->u.close);
        a->is_over = true;
        if (!a->is_listed)
            attempt_remove(h, a);
    }
}

static uint64_t handshake_on_turn(struct client *c, uint64_t now_ns)
{
    struct handshakes *h = c->state;
    close_ripe(h);
    if (now_ns > h->success_ns + c->options->timeout_ns) {
        char peer[CLIENT_PEER_SIZE];
        client_peer_text(c, peer, sizeof(peer));
        (void)client_fail(c, "no handshake with %s has succeeded for %.3g s (--timeout)", peer,
                          (double)c->options->timeout_ns / (double)NS_PER_S);
    }
    if (now_ns >= h->next_ns)
        refill(c);
    else if (h->ripe == NULL)
        return h->next_ns;
    return h->ripe != NULL ? now_ns : SPATE_FOREVER; /* the turn sends and does not wait */
}

static bool handshake_is_done(const struct client *c)
{
    (void)c;
    return true;
}

static void handshake_finish(struct client *c, uint64_t now_ns)
{
    (void)now_ns;
    const struct handshakes *h = c->state;
    for (const struct attempt *a = h->open; a != NULL; a = a->next) {
        if (!a->is_over)
            spate_conn_close(a->conn, 0, "done");
    }
}

static void free_all(struct attempt *a)
{
    while (a != NULL) {
        struct attempt *next = a->next;
        free(a);
        a = next;
    }
}

static void handshake_close(struct client *c)
{
    struct handshakes *h = c->state;
    free_all(h->open);
    free_all(h->free);
    free(h);
}

const struct client_ops client_handshake_ops = {
    .keeps_conns = false,
    .open = handshake_open,
    .begin = handshake_begin,
    .on_event = handshake_on_event,
    .on_turn = handshake_on_turn,
    .is_done = handshake_is_done,
    .finish = handshake_finish,
    .close = handshake_close,
};
