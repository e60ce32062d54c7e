/* SPDX-License-Identifier: MIT */
/* The server.  Each connection has a list of its streams, because the end of a connection is the
 * only event that is certain to come for all of them.  Objects are recycled through
 * free lists, so that a steady load allocates nothing.
 *
 * What can be attacked: a client can ask for 2^64 bytes (costs it as much as us: flow control),
 * never end its upload (holds one small object), send less than 8 bytes (its stream is reset).  The
 * library bounds the number of streams and connections. */

#include "bench/load/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

#include "bench/load/burden.h"
#include "bench/load/clock.h"
#include "bench/load/endpoint.h"
#include "bench/load/host_loop.h"
#include "bench/load/failure.h"
#include "bench/load/landing.h"
#include "bench/load/messages.h"
#include "bench/load/options.h"
#include "bench/load/payload.h"
#include "bench/load/server_messages.h"

#define EVENTS_PER_BATCH 64
#define EARLY_HELLOS_MAX (1 << 20) /* in 12 s: more than a CPU can do */

/* Application error codes of ours. */
enum {
    PERF_OK,
    PERF_NO_HEADER,
    PERF_BAD_PAYLOAD,
    PERF_NO_MEMORY,
};

/* One request and its response.
 * Invariant: queued_bytes <= wanted_bytes. */
struct server_stream {
    struct server_stream *next;
    struct server_stream *previous; /* unused in the free list */
    uint64_t wanted_bytes;
    uint64_t received_bytes; /* of the upload, without the header */
    uint64_t queued_bytes;
    uint32_t lent_count;
    uint32_t header_count;
    bool is_answering;
    bool is_done;           /* the last piece is queued, or it was reset */
    struct landing landing; /* stays when the stream is recycled */
    uint8_t header[ENDPOINT_HEADER_SIZE];
};

struct server_conn {
    struct server_conn *next;
    struct server_conn *previous; /* unused in the free list */
    struct spate_conn *conn;
    struct server_stream *streams;
    struct message_peer *peer; /* NULL: it speaks ENDPOINT_ALPN */
};

struct server {
    const struct options *options;
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct host_loop loop;
    struct burden burden;
    struct spate_tls *tls;
    struct spate_engine_listener *listener; /* NULL: of another server */
    bool is_beside;                         /* engine and TLS belong to another server */
    struct address address;
    char *cert_pem;
    char *key_pem;
    struct server_conn *conns;
    struct server_conn *free_conns;
    struct server_stream *free_streams;
    struct server_messages *messages; /* NULL: nobody has spoken MESSAGES_ALPN yet */
    uint64_t payload_in_bytes;
    uint64_t payload_out_bytes;
};

static struct server_stream *stream_add(struct server *s, struct server_conn *owner)
{
    struct server_stream *stream = s->free_streams;
    if (stream != NULL)
        s->free_streams = stream->next;
    else
        stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;

    struct landing landing = stream->landing;
    *stream = (struct server_stream){.next = owner->streams, .landing = landing};
    if (owner->streams != NULL)
        owner->streams->previous = stream;
    owner->streams = stream;
    return stream;
}

static void stream_remove(struct server *s, struct server_conn *owner, struct server_stream *stream)
{
    if (stream->previous != NULL)
        stream->previous->next = stream->next;
    else
        owner->streams = stream->next;
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
    stream->next = s->free_streams;
    s->free_streams = stream;
}

/* Makes a peer of a connection that speaks MESSAGES_ALPN.  Returns false without memory. */
static bool accept_messages(struct server *s, struct server_conn *c)
{
    if (strcmp(spate_conn_alpn(c->conn), MESSAGES_ALPN) != 0)
        return true;
    if (s->messages == NULL)
        s->messages =
            server_messages_create(s->options, &s->payload_in_bytes, &s->payload_out_bytes);
    c->peer = s->messages == NULL ? NULL : server_messages_accept(s->messages, c->conn);
    return c->peer != NULL;
}

static void on_connected(struct server *s, struct spate_conn *conn)
{
    struct server_conn *c = s->free_conns;
    if (c != NULL)
        s->free_conns = c->next;
    else
        c = malloc(sizeof(*c));
    if (c == NULL) {
        spate_conn_set_user(conn, NULL);
        spate_conn_close(conn, PERF_NO_MEMORY, "out of memory");
        return;
    }

    *c = (struct server_conn){.next = s->conns, .conn = conn};
    if (s->conns != NULL)
        s->conns->previous = c;
    s->conns = c;
    spate_conn_set_user(conn, c);
    if (!accept_messages(s, c))
        spate_conn_close(conn, PERF_NO_MEMORY, "out of memory");
}

static void on_closed(struct server *s, struct server_conn *c)
{
    if (c == NULL)
        return;
    while (c->streams != NULL)
        stream_remove(s, c, c->streams);
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        s->conns = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    c->next = s->free_conns;
    s->free_conns = c;
}

static void abandon(struct server_stream *stream, const struct spate_event *e, uint64_t error)
{
    stream->is_done = true;
    /* Their results say only that a direction is closed already. */
    (void)spate_stream_stop(e->conn, e->stream_id, error);
    (void)spate_stream_reset(e->conn, e->stream_id, error);
}

/* Lends as much of the response as may be lent at once. */
static void answer(struct server *s, struct server_stream *stream, const struct spate_event *e)
{
    while (!stream->is_done && endpoint_may_lend(e->conn, e->stream_id, stream->lent_count)) {
        uint64_t left = stream->wanted_bytes - stream->queued_bytes;
        size_t size = left < PAYLOAD_SIZE ? (size_t)left : PAYLOAD_SIZE;
        bool is_last = size == left;
        int status = spate_stream_send(e->conn, e->stream_id, payload_region(), size, is_last, 0);
        if (status == -ENOBUFS && stream->lent_count > 0)
            return; /* what is lent comes back and calls again */
        if (status != 0) {
            abandon(stream, e, PERF_NO_MEMORY);
            return;
        }
        stream->lent_count++;
        stream->queued_bytes += size;
        stream->is_done = is_last;
        s->payload_out_bytes += size;
    }
}

static void take_upload(struct server *s, struct server_stream *stream, const struct spate_event *e,
                        const uint8_t *data, size_t size)
{
    while (size > 0 && stream->header_count < ENDPOINT_HEADER_SIZE) {
        stream->header[stream->header_count++] = *data++;
        size--;
    }
    if (s->options->verify && !payload_matches(stream->received_bytes, data, size))
        spate_conn_close(e->conn, PERF_BAD_PAYLOAD, "the upload differs from the pattern");
    stream->received_bytes += size;
    s->payload_in_bytes += size;
}

/* The request has arrived to its end. */
static void on_fin(struct server *s, struct server_stream *stream, const struct spate_event *e)
{
    bool is_uni = (e->stream_id & 2) != 0; /* [RFC9000 2.1] nothing can go back on it */
    if (is_uni)
        return;
    if (stream->header_count < ENDPOINT_HEADER_SIZE) {
        abandon(stream, e, PERF_NO_HEADER);
        return;
    }
    stream->wanted_bytes = endpoint_read_header(stream->header);
    stream->is_answering = true;
    answer(s, stream, e);
}

static void on_data(struct server *s, const struct spate_event *e)
{
    struct server_stream *stream = e->stream_user;
    struct spate_slice slice = e->u.data.slice;
    if (stream != NULL) {
        take_upload(s, stream, e, slice.data, slice.size);
        if (s->options->app_copies)
            landing_copy(&stream->landing, slice.data, slice.size);
    }
    spate_slice_release(s->shard, &slice);
    if (stream != NULL && e->u.data.fin)
        on_fin(s, stream, e);
}

static void on_batch(struct server *s, const struct spate_event *e)
{
    struct server_stream *stream = e->stream_user;
    const struct spate_slice *slices = e->u.batch.slices;
    for (size_t i = 0; i < e->u.batch.count && stream != NULL; i++) {
        take_upload(s, stream, e, slices[i].data, slices[i].size);
        if (s->options->app_copies)
            landing_copy(&stream->landing, slices[i].data, slices[i].size);
    }
    spate_slices_release(s->shard, slices, e->u.batch.count);
    if (stream != NULL && e->u.batch.fin)
        on_fin(s, stream, e);
}

static void on_placed(struct server *s, const struct spate_event *e)
{
    struct server_stream *stream = e->stream_user;
    if (stream == NULL)
        return;
    take_upload(s, stream, e, e->u.placed.data, e->u.placed.size);
    landing_on_placed(&stream->landing, e);
    if (e->u.placed.fin)
        on_fin(s, stream, e);
    else if (e->u.placed.is_returned)
        landing_lend(&stream->landing, e->conn, e->stream_id);
}

/* The shard counts them. */
static void on_datagram(struct server *s, const struct spate_event *e)
{
    struct spate_slice slice = e->u.datagram.slice;
    if (s->options->verify && !payload_matches(0, slice.data, slice.size))
        spate_conn_close(e->conn, PERF_BAD_PAYLOAD, "a message differs from the pattern");
    s->payload_in_bytes += slice.size;
    spate_slice_release(s->shard, &slice);
}

static void on_datagram_batch(struct server *s, const struct spate_event *e)
{
    const struct spate_slice *slices = e->u.batch.slices;
    for (size_t i = 0; i < e->u.batch.count && s->options->verify; i++)
        if (!payload_matches(0, slices[i].data, slices[i].size))
            spate_conn_close(e->conn, PERF_BAD_PAYLOAD, "a message differs from the pattern");
    s->payload_in_bytes += e->u.batch.size_bytes;
    spate_slices_release(s->shard, slices, e->u.batch.count);
}

static void on_stream_opened(struct server *s, const struct spate_event *e)
{
    struct server_conn *c = e->conn_user;
    struct server_stream *stream = c == NULL ? NULL : stream_add(s, c);
    if (stream == NULL)
        spate_conn_close(e->conn, PERF_NO_MEMORY, "out of memory");
    else if (spate_stream_set_user(e->conn, e->stream_id, stream) != 0)
        stream_remove(s, c, stream);
    else if (s->options->app_buffers)
        landing_lend(&stream->landing, e->conn, e->stream_id);
}

static void on_stream_event(struct server *s, const struct spate_event *e)
{
    struct server_stream *stream = e->stream_user;
    if (stream == NULL)
        return;
    if (e->kind == SPATE_EVENT_SENT) {
        stream->lent_count--;
        if (stream->is_answering)
            answer(s, stream, e);
    } else if (e->kind == SPATE_EVENT_STREAM_CLOSED) {
        stream_remove(s, e->conn_user, stream);
    } else {
        abandon(stream, e, PERF_OK); /* the client has lost interest */
    }
}

static bool is_of_messages(const struct server *s, const struct spate_event *e)
{
    const struct server_conn *c = e->conn_user;
    return s->messages != NULL && c != NULL && c->peer != NULL;
}

static void on_message_event(struct server *s, const struct spate_event *e)
{
    struct server_conn *c = e->conn_user;
    server_messages_event(c->peer, e);
    if (e->kind == SPATE_EVENT_CLOSED) {
        c->peer = NULL;
        on_closed(s, c);
    }
}

static void on_event(struct server *s, const struct spate_event *e)
{
    if (is_of_messages(s, e)) {
        on_message_event(s, e);
        return;
    }
    switch (e->kind) {
    case SPATE_EVENT_EARLY: /* a request may be answered twice: it changes nothing */
    case SPATE_EVENT_CONNECTED:
        if (e->conn_user == NULL)
            on_connected(s, e->conn);
        break;
    case SPATE_EVENT_STREAM_OPENED:
        on_stream_opened(s, e);
        break;
    case SPATE_EVENT_STREAM_DATA:
        on_data(s, e);
        break;
    case SPATE_EVENT_STREAM_PLACED:
        on_placed(s, e);
        break;
    case SPATE_EVENT_STREAM_RESET:
    case SPATE_EVENT_STREAM_STOPPED:
    case SPATE_EVENT_SENT:
    case SPATE_EVENT_STREAM_CLOSED:
        on_stream_event(s, e);
        break;
    case SPATE_EVENT_DATAGRAM:
        on_datagram(s, e);
        break;
    case SPATE_EVENT_STREAM_BATCH:
        on_batch(s, e);
        break;
    case SPATE_EVENT_DATAGRAM_BATCH:
        on_datagram_batch(s, e);
        break;
    case SPATE_EVENT_CLOSED:
        on_closed(s, e->conn_user);
        break;
    case SPATE_EVENT_NONE:
    case SPATE_EVENT_STREAMS_AVAILABLE:
    case SPATE_EVENT_SHUTDOWN:
    case SPATE_EVENT_PATH:
    case SPATE_EVENT_DATAGRAMS_SENT:
    case SPATE_EVENT_DATAGRAM_ROOM:
    case SPATE_EVENT_TICKET:
    case SPATE_EVENT_NEW_TOKEN:
        break;
    }
}

bool server_turn(struct server *s, uint64_t wait_ns, struct failure *failure)
{
    int status = host_loop_turn(&s->loop, s->shard, wait_ns);
    if (status < 0 && status != -EINTR)
        return failure_set(failure, "the server's ring has failed: %s", strerror(-status));

    struct spate_event events[EVENTS_PER_BATCH];
    uint32_t count = 0;
    do {
        count = spate_shard_events(s->shard, events, EVENTS_PER_BATCH);
        for (uint32_t i = 0; i < count; i++)
            on_event(s, &events[i]);
    } while (count > 0);
    burden_bear(&s->burden, s->shard);
    return true;
}

uint64_t server_payload_bytes(const struct server *s)
{
    return s->payload_in_bytes + s->payload_out_bytes;
}

/* Adds to a sample of the shard what the application has counted. */
static void complete(const struct server *s, struct sample *ret)
{
    ret->payload_in_bytes = s->payload_in_bytes;
    ret->payload_out_bytes = s->payload_out_bytes;
    for (const struct server_conn *c = s->conns; c != NULL && s->options->kind != SCENARIO_IDLE;
         c = c->next)
        sample_add_conn(ret, c->conn);
}

void server_sample(struct server *s, struct sample *ret)
{
    sample_take(ret, s->shard);
    complete(s, ret);
}

void server_sample_shard(struct server *s, struct sample *ret)
{
    sample_shard(ret, s->shard);
    complete(s, ret);
}

static bool open_tls(struct server *s, struct failure *failure)
{
    const struct options *o = s->options;
    struct spate_error error = {.text = ""};
    struct spate_tls_options tls = endpoint_tls_options(o, false);
    tls.cert_file = o->cert;
    tls.key_file = o->key;
    tls.ticket_count = o->resume;
    tls.early_data = o->early;
    tls.early_hellos_max = EARLY_HELLOS_MAX;

    int status = 0;
    if (o->cert == NULL) {
        struct spate_self_signed_options self = {.size = sizeof(self), .key_type = SPATE_KEY_P256};
        status = spate_self_signed(&self, &s->cert_pem, &s->key_pem, &error);
        tls.cert_pem = s->cert_pem;
        tls.key_pem = s->key_pem;
    }
    if (status == 0)
        status = spate_tls_server_create(&tls, &s->tls, &error);
    return status == 0 ||
           failure_set(failure, "%s", error.text[0] != 0 ? error.text : strerror(-status));
}

static bool listen_at(struct server *s, const struct address_list *list, struct failure *failure)
{
    struct spate_error error = {.text = ""};
    const struct address *a = &list->items[0];
    const struct spate_listen_options options = {
        .size = sizeof(options),
        .address = (const struct sockaddr *)&a->storage,
        .address_size = a->size,
        .tls = s->tls,
    };
    int status = spate_engine_listen(s->engine, &options, &s->listener, &error);
    if (status == 0)
        status = spate_engine_listener_address(s->listener, &s->address.storage, &s->address.size);
    if (status == 0)
        return true;
    char text[ADDRESS_TEXT_SIZE];
    address_format(a, text);
    return failure_set(failure, "cannot listen at %s: %s", text,
                       error.text[0] != 0 ? error.text : strerror(-status));
}

bool server_open(const struct options *o, struct server **ret, struct failure *failure)
{
    struct address_list list;
    if (!address_resolve(o->listen, "--listen", 0, &list, failure))
        return false;
    struct server *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return failure_set(failure, "out of memory");

    s->options = o;
    s->loop.is_epoll = o->epoll;
    s->burden.percent = o->burden_percent;
    const struct endpoint_role role = {
        .is_v6 = address_is_v6(&list.items[0]),
        .shards = (uint32_t)o->shards,
        .loop = &s->loop,
    };
    bool is_open = open_tls(s, failure) && endpoint_open(o, &role, &s->engine, failure);
    if (is_open) {
        s->shard = spate_engine_shard(s->engine, 0);
        is_open = listen_at(s, &list, failure);
    }
    if (!is_open) {
        server_close(s);
        return false;
    }
    *ret = s;
    return true;
}

bool server_open_beside(const struct server *first, uint32_t index, struct server **ret,
                        struct failure *failure)
{
    struct server *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return failure_set(failure, "out of memory");
    s->options = first->options;
    s->engine = first->engine;
    s->shard = spate_engine_shard(first->engine, index);
    s->loop.is_epoll = first->loop.is_epoll;
    s->burden.percent = first->burden.percent;
    s->is_beside = true;
    *ret = s;
    return true;
}

struct spate_shard *server_shard(const struct server *s)
{
    return s->shard;
}

const struct spate_engine *server_engine(const struct server *s)
{
    return s->engine;
}

const struct address *server_address(const struct server *s)
{
    return &s->address;
}

const char *server_certificate(const struct server *s)
{
    return s->cert_pem == NULL ? "" : s->cert_pem;
}

void server_say_goodbye(struct server *s, uint64_t wait_ns)
{
    struct failure ignored = {.is_set = false};
    uint64_t end_ns = clock_now_ns() + wait_ns;

    if (s->listener != NULL)
        spate_engine_listener_close(s->listener);
    s->listener = NULL;
    for (struct server_conn *c = s->conns; c != NULL; c = c->next)
        spate_conn_close(c->conn, PERF_OK, "the server stops");
    while (s->conns != NULL && clock_now_ns() < end_ns) {
        if (!server_turn(s, 10 * NS_PER_MS, &ignored))
            return;
    }
}

void server_close(struct server *s)
{
    if (s == NULL)
        return;
    if (!s->is_beside)
        spate_engine_destroy(s->engine);
    host_loop_close(&s->loop);
    spate_tls_destroy(s->tls);
    spate_free(s->cert_pem);
    spate_free(s->key_pem);
    while (s->conns != NULL) {
        server_messages_forget(s->conns->peer);
        on_closed(s, s->conns);
    }
    server_messages_destroy(s->messages);
    while (s->free_conns != NULL) {
        struct server_conn *c = s->free_conns;
        s->free_conns = c->next;
        free(c);
    }
    while (s->free_streams != NULL) {
        struct server_stream *stream = s->free_streams;
        s->free_streams = stream->next;
        landing_free(&stream->landing);
        free(stream);
    }
    free(s);
}
