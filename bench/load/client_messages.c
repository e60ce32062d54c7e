/* SPDX-License-Identifier: MIT */
/* messages: whole messages of --size bytes through the messengers of <spate/message.h>.
 *
 * request: --inflight requests on each connection, each answered by as many bytes; the reply of one
 * starts the next.  Latency is from the call that sends the request to its whole reply.
 *
 * publish: each connection subscribes, and the server publishes to all of them: server_messages.c.
 * Latency is from the beginning of a publication, which it carries, to the whole message here.
 * That is only known where the server is a process of our own, with the same clock.
 *
 * Every message is checked for its size, and with --ordered for its place; with --verify for every
 * byte.  What counts is what the application has got. */

#include "bench/load/client_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/messages.h"
#include "bench/load/options.h"

/* Requests that have their reply may still wait for an acknowledgement: until then they keep their
 * heads. */
enum { CALLS_PER_INFLIGHT = 4 };

struct call {
    struct call *next_free;
    uint64_t start_ns;
    bool is_sent;     /* its bytes have come back */
    bool is_answered; /* its reply has come */
    uint8_t head[MESSAGES_HEAD_SIZE];
};

/* What the scenario knows of a connection. */
struct peer {
    struct spate_messenger *messenger; /* NULL: not open */
    struct call *free;
    struct call *calls;   /* of request */
    uint64_t next_number; /* of the next request, or of the next publication with --ordered */
    bool has_number;      /* publish: the first publication has come */
    uint64_t measured_bytes;
    uint8_t subscription[MESSAGES_HEAD_SIZE];
};

struct messages {
    struct peer *peers; /* by index of the connection */
    uint64_t measured_count;
    uint64_t measured_bytes;
    uint64_t copied_bytes[2]; /* by all messengers, at the two samples */
};

static bool is_publish(const struct client *c)
{
    return c->options->pattern == PATTERN_PUBLISH;
}

static bool messages_open(struct client *c)
{
    const struct options *o = c->options;
    struct messages *m = calloc(1, sizeof(*m));
    c->state = m;
    c->is_waiting = true;
    if (m != NULL)
        m->peers = calloc(c->conn_count, sizeof(*m->peers));
    if (m == NULL || m->peers == NULL)
        return client_fail(c, "out of memory");
    for (uint32_t i = 0; i < c->conn_count && !is_publish(c); i++) {
        size_t count = (size_t)o->inflight * CALLS_PER_INFLIGHT;
        struct peer *peer = &m->peers[i];
        peer->calls = calloc(count, sizeof(*peer->calls));
        if (peer->calls == NULL)
            return client_fail(c, "out of memory for %zu requests", count);
        for (size_t k = count; k-- > 0;) {
            peer->calls[k].next_free = peer->free;
            peer->free = &peer->calls[k];
        }
    }
    return true;
}

static void on_conn(struct client *c, const struct spate_event *e)
{
    struct messages *m = c->state;
    const struct client_conn *conn = e->conn_user;
    struct peer *peer = &m->peers[conn->index];
    const struct spate_messenger_options options = messages_options();
    struct spate_error error = {.text = ""};
    if (e->kind == SPATE_EVENT_CLOSED) {
        if (peer->messenger != NULL)
            (void)spate_messenger_event(peer->messenger, e);
        spate_messenger_destroy(peer->messenger);
        peer->messenger = NULL;
    } else if (spate_messenger_create(e->conn, &options, &peer->messenger, &error) != 0) {
        (void)client_fail(c, "no messenger: %s", error.text);
    }
}

/* ---- requests ---- */

/* Returns 0, -EAGAIN if the connection takes no more now, or another errno, with the failure set.
 */
static int start(struct client *c, struct peer *peer, uint64_t now_ns)
{
    const struct options *o = c->options;
    struct call *call = peer->free;
    struct iovec pieces[MESSAGES_PIECES_MAX];
    if (call == NULL)
        return -EAGAIN;
    const struct messages_head head = {.value = o->message_bytes, .number = peer->next_number};
    const struct spate_message_options options = {
        .size = sizeof(options),
        .tag = (uintptr_t)call,
        .channel = o->ordered ? MESSAGES_CHANNEL : 0,
        .wants_reply = true,
    };
    messages_write_head(call->head, &head);
    size_t count = messages_pieces(call->head, o->message_bytes, pieces);
    int status = spate_message_send(peer->messenger, pieces, count, &options, NULL);
    if (status == -EAGAIN)
        return status;
    if (status != 0) {
        (void)client_fail(c, "cannot send a request: %s", strerror(-status));
        return status;
    }
    peer->free = call->next_free;
    peer->next_number++;
    call->start_ns = now_ns;
    call->is_sent = call->is_answered = false;
    c->payload_out_bytes += o->message_bytes;
    return 0;
}

static void refill(struct client *c, struct client_conn *conn, uint64_t now_ns)
{
    struct messages *m = c->state;
    struct peer *peer = &m->peers[conn->index];
    while (conn->running_count < c->options->inflight && !c->failure->is_set &&
           c->phase < PHASE_CLOSE && peer->messenger != NULL) {
        if (start(c, peer, now_ns) != 0)
            return; /* ROOM, or the next SENT, calls again */
        conn->running_count++;
    }
}

static void recycle(struct peer *peer, struct call *call)
{
    if (!call->is_sent || !call->is_answered)
        return;
    call->next_free = peer->free;
    peer->free = call;
}

/* ---- what arrives ---- */

static void count(struct client *c, struct peer *peer, uint64_t bytes, uint64_t latency_ns)
{
    struct messages *m = c->state;
    c->finished_count++;
    if (!client_is_measuring(c))
        return;
    spate_histogram_record(&c->result->latency, latency_ns);
    m->measured_count++;
    m->measured_bytes += bytes;
    peer->measured_bytes += bytes;
}

static bool check(struct client *c, const struct spate_message *message, size_t skip)
{
    if (message->size_bytes != c->options->message_bytes)
        return client_fail(c, "a message has %zu bytes instead of %" PRIu64, message->size_bytes,
                           c->options->message_bytes);
    if (c->options->verify && !messages_match(message, skip))
        return client_fail(c, "a message differs from the pattern");
    return true;
}

static void on_reply(struct client *c, struct client_conn *conn, const struct spate_message *reply,
                     uint64_t now_ns)
{
    struct messages *m = c->state;
    struct peer *peer = &m->peers[conn->index];
    struct call *call = (struct call *)(uintptr_t)reply->tag;
    uint64_t latency_ns = now_ns > call->start_ns ? now_ns - call->start_ns : 0;
    conn->running_count--;
    call->is_answered = true;
    recycle(peer, call);
    if (check(c, reply, 0))
        count(c, peer, 2 * c->options->message_bytes, latency_ns);
}

static void on_publication(struct client *c, struct client_conn *conn,
                           const struct spate_message *message, uint64_t now_ns)
{
    struct messages *m = c->state;
    struct peer *peer = &m->peers[conn->index];
    struct messages_head head;
    if (!check(c, message, MESSAGES_HEAD_SIZE))
        return;
    if (!messages_read_head(message, &head) || head.value != c->options->message_bytes) {
        (void)client_fail(c, "a message is no publication");
        return;
    }
    if (c->options->ordered && peer->has_number && head.number != peer->next_number) {
        (void)client_fail(c, "publication %" PRIu64 " came in the place of %" PRIu64, head.number,
                          peer->next_number);
        return;
    }
    peer->has_number = true;
    peer->next_number = head.number + 1;
    count(c, peer, message->size_bytes, now_ns > head.time_ns ? now_ns - head.time_ns : 0);
}

static void on_sent(struct client *c, struct peer *peer, const struct spate_message *message)
{
    struct call *call = (struct call *)(uintptr_t)message->tag;
    if (call == NULL) { /* the subscription */
        if (message->fate == SPATE_MESSAGE_REFUSED)
            (void)client_fail(c, "the server refuses a subscription: code 0x%" PRIx64,
                              message->error);
        return;
    }
    call->is_sent = true;
    recycle(peer, call);
}

static void on_failed(struct client *c, const struct spate_message *message)
{
    (void)client_fail(c, "a request gets no reply: fate %d, code 0x%" PRIx64, (int)message->fate,
                      message->error);
}

static void take(struct client *c, struct client_conn *conn, const struct spate_message *message,
                 uint64_t now_ns)
{
    struct messages *m = c->state;
    c->payload_in_bytes += message->size_bytes;
    if (message->kind == SPATE_MESSAGE_REPLY)
        on_reply(c, conn, message, now_ns);
    else if (message->kind == SPATE_MESSAGE_RECEIVED)
        on_publication(c, conn, message, now_ns);
    else if (message->kind == SPATE_MESSAGE_SENT)
        on_sent(c, &m->peers[conn->index], message);
    else if (message->kind == SPATE_MESSAGE_FAILED)
        on_failed(c, message);
}

/* When the connections are closed, what is not whole is given up: a channel then has gaps. */
static void messages_on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    struct messages *m = c->state;
    struct client_conn *conn = e->conn_user;
    struct peer *peer = conn == NULL ? NULL : &m->peers[conn->index];
    struct spate_message message;
    if (peer == NULL || peer->messenger == NULL || !spate_messenger_event(peer->messenger, e))
        return;
    while (spate_messenger_next(peer->messenger, &message)) {
        if (c->phase < PHASE_CLOSE)
            take(c, conn, &message, now_ns);
        spate_message_release(peer->messenger, &message);
    }
    if (!is_publish(c) && c->phase >= PHASE_WARMUP)
        refill(c, conn, now_ns);
}

/* ---- the run ---- */

static void subscribe(struct client *c, struct peer *peer)
{
    const struct options *o = c->options;
    const struct messages_head head = {
        .value = o->message_bytes, .number = o->inflight, .time_ns = o->ordered};
    const struct iovec piece = {peer->subscription, sizeof(peer->subscription)};
    messages_write_head(peer->subscription, &head);
    int status = spate_message_send(peer->messenger, &piece, 1, NULL, NULL);
    if (status != 0)
        (void)client_fail(c, "cannot subscribe: %s", strerror(-status));
}

static void messages_begin(struct client *c, uint64_t now_ns)
{
    struct messages *m = c->state;
    for (uint32_t i = 0; i < c->conn_count && !c->failure->is_set; i++) {
        if (is_publish(c))
            subscribe(c, &m->peers[i]);
        else
            refill(c, &c->conns[i], now_ns);
    }
}

static uint64_t messages_on_turn(struct client *c, uint64_t now_ns)
{
    (void)c;
    (void)now_ns;
    return SPATE_FOREVER;
}

static bool messages_is_done(const struct client *c)
{
    (void)c;
    return true; /* there is no open loop */
}

static void messages_on_sample(struct client *c, uint32_t index)
{
    struct messages *m = c->state;
    for (uint32_t i = 0; i < c->conn_count; i++) {
        struct spate_messenger_stats stats;
        if (m->peers[i].messenger == NULL)
            continue;
        spate_messenger_stats(m->peers[i].messenger, &stats);
        m->copied_bytes[index] += stats.bytes_copied;
    }
}

static void messages_finish(struct client *c, uint64_t now_ns)
{
    (void)now_ns;
    const struct messages *m = c->state;
    struct result *r = c->result;
    r->messages = m->measured_count;
    r->bytes = m->measured_bytes;
    r->messages_copied_bytes = m->copied_bytes[1] - m->copied_bytes[0];
    for (uint32_t i = 0; i < c->conn_count; i++)
        spread_add(&r->conn_bytes, (double)m->peers[i].measured_bytes);
    if (is_publish(c) && c->setup->control < 0) /* another machine has another clock */
        spate_histogram_init(&r->latency);
}

static void messages_close(struct client *c)
{
    struct messages *m = c->state;
    for (uint32_t i = 0; m->peers != NULL && i < c->conn_count; i++)
        free(m->peers[i].calls);
    free(m->peers);
    free(m);
}

const struct client_ops client_messages_ops = {
    .keeps_conns = true,
    .open = messages_open,
    .on_conn = on_conn,
    .begin = messages_begin,
    .on_event = messages_on_event,
    .on_turn = messages_on_turn,
    .is_done = messages_is_done,
    .on_sample = messages_on_sample,
    .finish = messages_finish,
    .close = messages_close,
};
