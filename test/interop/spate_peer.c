/* SPDX-License-Identifier: MIT */
/* The interop peer on spate's public API, with the command line of peer_options.h.
 *
 * It drives one shard from its own thread.  The payload is lent straight from the pattern's table,
 * and received slices are given back as soon as they are checked.  What the API promises is held
 * against it on the way: offsets without gaps, and every lent piece back before its stream and
 * connection end. */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spate/spate.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "proto/base/time.h"
#include "test/interop/pattern.h"
#include "test/interop/peer_options.h"
#include "test/interop/perf_stream.h"

#define EVENTS_MAX      64
#define LENT_MAX        16            /* pieces of a stream that are lent at once */
#define WINDOW_GROWTH   16            /* how far a window may grow from --window */
#define TURN_WAIT       (100 * SB_MS) /* so that a signal is noticed */
#define CONNS_MAX       64
#define PERF_ERROR_CODE 1

/* One process: a shard, and the connections on it. */
struct peer {
    const struct peer_options *options;
    struct pattern pattern;
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls;
    struct sb_link conns;   /* struct peer_conn.link */
    uint64_t closed_count;  /* connections that we saw come and go */
    uint64_t refused_count; /* failed handshakes, of which a server hears in the statistics only */
    bool has_failed;
};

struct peer_conn {
    struct sb_link link; /* in peer.conns */
    struct peer *peer;
    struct spate_conn *spate;
    struct sb_link streams; /* struct peer_stream.link */
    uint64_t opened_count;
    uint64_t finished_count;
    uint64_t answered_count; /* streams that were received to their end */
    bool is_connected;
    bool is_closing; /* we said so */
};

struct peer_stream {
    struct sb_link link; /* in peer_conn.streams */
    struct perf_stream perf;
    uint32_t lent_count; /* pieces whose SENT event is still to come */
};

__attribute__((format(printf, 2, 3))) static void fail(struct peer *peer, const char *format, ...)
{
    char line[400];
    if (peer->has_failed)
        return;
    peer->has_failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    peer_error("%s", line);
}

static uint64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SB_S + (uint64_t)now.tv_nsec;
}

/* ---- Connections and streams ---- */

static struct peer_conn *conn_create(struct peer *peer, struct spate_conn *spate)
{
    struct peer_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        fail(peer, "out of memory");
        return NULL;
    }
    conn->peer = peer;
    conn->spate = spate;
    sb_list_init(&conn->streams);
    sb_list_init(&conn->link);
    sb_list_push_back(&peer->conns, &conn->link);
    return conn;
}

static void stream_destroy(struct peer_stream *stream)
{
    sb_list_remove(&stream->link);
    perf_stream_deinit(&stream->perf);
    free(stream);
}

static void conn_destroy(struct peer_conn *conn)
{
    SB_LIST_EACH(link, &conn->streams)
        stream_destroy(SB_CONTAINER_OF(link, struct peer_stream, link));
    sb_list_remove(&conn->link);
    free(conn);
}

static struct peer_conn *conn_find(struct peer *peer, const struct spate_conn *spate)
{
    SB_LIST_EACH(link, &peer->conns) {
        struct peer_conn *conn = SB_CONTAINER_OF(link, struct peer_conn, link);
        if (conn->spate == spate)
            return conn;
    }
    return NULL;
}

static struct peer_stream *stream_create(struct peer_conn *conn, uint64_t id)
{
    const struct peer_options *o = conn->peer->options;
    const struct pattern *pattern = &conn->peer->pattern;
    struct peer_stream *stream = calloc(1, sizeof(*stream));
    int e = -1;
    if (stream != NULL)
        e = o->is_server ? perf_stream_init_server(&stream->perf, pattern, id)
                         : perf_stream_init_client(&stream->perf, pattern, id, o->upload_bytes,
                                                   o->download_bytes);
    if (e < 0) {
        free(stream);
        fail(conn->peer, "out of memory");
        return NULL;
    }
    sb_list_init(&stream->link);
    sb_list_push_back(&conn->streams, &stream->link);
    return stream;
}

static struct peer_stream *stream_find(const struct peer_conn *conn, uint64_t id)
{
    SB_LIST_EACH(link, &conn->streams) {
        struct peer_stream *stream = SB_CONTAINER_OF(link, struct peer_stream, link);
        if (stream->perf.id == id)
            return stream;
    }
    return NULL;
}

/* Lends what may be lent now; more follows when pieces come back. */
static void stream_send(struct peer_conn *conn, struct peer_stream *stream)
{
    while (stream->lent_count < LENT_MAX && perf_stream_has_more(&stream->perf)) {
        struct perf_piece piece;
        bool fin;
        perf_stream_next(&stream->perf, &piece, &fin);
        int e = spate_stream_send(conn->spate, stream->perf.id, piece.data, piece.size, fin,
                                  piece.size);
        if (e == -ENOBUFS && stream->lent_count > 0)
            return; /* tried again when a piece comes back */
        if (e < 0) {
            if (!conn->is_closing)
                fail(conn->peer, "send on stream %" PRIu64 ": %s", stream->perf.id, strerror(-e));
            return;
        }
        stream->lent_count++;
        perf_stream_advance(&stream->perf, piece.size, fin);
    }
}

static void open_streams(struct peer_conn *conn)
{
    const struct peer_options *o = conn->peer->options;
    while (!o->is_server && conn->is_connected && conn->opened_count < o->stream_count) {
        uint64_t id;
        int e = spate_stream_open(conn->spate, false, &id);
        if (e == -EAGAIN)
            return; /* until STREAMS_AVAILABLE */
        if (e < 0) {
            fail(conn->peer, "open a stream: %s", strerror(-e));
            return;
        }
        struct peer_stream *stream = stream_create(conn, id);
        if (stream == NULL)
            return;
        conn->opened_count++;
        stream_send(conn, stream);
    }
}

/* Closes if all is done that this side is here for, or if it cannot be done any more. */
static void close_if_done(struct peer_conn *conn)
{
    const struct peer_options *o = conn->peer->options;
    bool is_done = o->is_server ? o->has_close_code && conn->finished_count > 0
                                : conn->finished_count == o->stream_count && !o->waits_for_close;
    if (conn->is_closing || (!is_done && !conn->peer->has_failed))
        return;
    conn->is_closing = true;
    spate_conn_close(conn->spate, conn->peer->has_failed ? PERF_ERROR_CODE : o->close_code, NULL);
}

/* ---- Events ---- */

static void print_cipher(const char *suite)
{
    static const struct {
        const char *suite;
        const char *name;
    } names[] = {
        {"TLS_AES_128_GCM_SHA256", "aes-128-gcm"},
        {"TLS_AES_256_GCM_SHA384", "aes-256-gcm"},
        {"TLS_CHACHA20_POLY1305_SHA256", "chacha20-poly1305"},
    };
    for (size_t i = 0; i < SB_COUNT(names); i++) {
        if (strcmp(suite, names[i].suite) == 0)
            suite = names[i].name;
    }
    printf("cipher %s\n", suite);
}

static void on_connected(struct peer_conn *conn)
{
    conn->is_connected = true;
    print_cipher(spate_conn_cipher(conn->spate));
    if (strcmp(spate_conn_alpn(conn->spate), conn->peer->options->alpn) != 0)
        fail(conn->peer, "the protocol is \"%s\"", spate_conn_alpn(conn->spate));
    open_streams(conn);
}

static void on_data(struct peer_conn *conn, struct peer_stream *stream, struct spate_event *event)
{
    struct perf_stream *perf = &stream->perf;
    const struct spate_slice *slice = &event->u.data.slice;
    if (event->u.data.offset != perf->head_received + perf->payload_received || perf->fin_received)
        fail(conn->peer, "stream %" PRIu64 ": bytes out of order", perf->id);
    else
        perf_stream_receive(perf, slice->data, slice->size, event->u.data.fin);
    if (event->u.data.fin && !perf_stream_report(perf))
        fail(conn->peer, "stream %" PRIu64 ": not the expected bytes", perf->id);
    stream_send(conn, stream);
}

static void on_stream_closed(struct peer_conn *conn, struct peer_stream *stream)
{
    if (stream->lent_count != 0)
        fail(conn->peer, "stream %" PRIu64 ": closed with %" PRIu32 " pieces still lent",
             stream->perf.id, stream->lent_count);
    /* A stream that is not finished is closed by the end of the connection: on_closed() judges. */
    conn->finished_count += stream->perf.fin_received && stream->perf.fin_sent;
    conn->answered_count += stream->perf.fin_received;
    stream_destroy(stream);
}

/* An event of a stream that we know. */
static void on_stream_event(struct peer_conn *conn, struct peer_stream *stream,
                            struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_STREAM_DATA:
        on_data(conn, stream, event);
        break;
    case SPATE_EVENT_SENT:
        stream->lent_count--;
        if (!conn->is_closing && event->u.sent.is_acked)
            stream_send(conn, stream);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        on_stream_closed(conn, stream);
        break;
    case SPATE_EVENT_STREAM_RESET:
    case SPATE_EVENT_STREAM_STOPPED:
        fail(conn->peer, "stream %" PRIu64 ": given up by the other side with code %" PRIu64,
             event->stream_id, event->u.error);
        break;
    default: /* of the connection, or of a later version */
        break;
    }
}

static void on_closed(struct peer_conn *conn, const struct spate_close *close)
{
    struct peer *peer = conn->peer;
    bool is_transport = close->kind == SPATE_CLOSE_TRANSPORT;
    if (!sb_list_is_empty(&conn->streams))
        fail(peer, "connection closed before its streams");
    if (is_transport || close->kind == SPATE_CLOSE_APP)
        printf("closed %s %s %" PRIu64 "\n", close->is_local ? "local" : "remote",
               is_transport ? "transport" : "application", close->error);
    if (close->kind != SPATE_CLOSE_APP)
        fail(peer, "connection failed: kind %d, error %" PRIu64 " %s", (int)close->kind,
             close->error, close->reason);
    /* The other side may close without a last ACK, when it has said all and heard all. */
    else if (!peer->options->is_server && conn->answered_count != peer->options->stream_count)
        fail(peer, "the connection was closed before all streams were done");
    peer->closed_count++;
    conn_destroy(conn);
}

static void on_event(struct peer *peer, struct spate_event *event)
{
    struct peer_conn *conn = conn_find(peer, event->conn);
    if (conn == NULL && event->kind == SPATE_EVENT_CONNECTED)
        conn = conn_create(peer, event->conn);
    if (conn == NULL) {
        fail(peer, "event %d of a connection that is not known", (int)event->kind);
        return;
    }
    struct peer_stream *stream = NULL;
    switch (event->kind) {
    case SPATE_EVENT_NONE:
        return;
    case SPATE_EVENT_CONNECTED:
        on_connected(conn);
        break;
    case SPATE_EVENT_STREAM_OPENED:
        if ((event->stream_id & 2) == 0)
            (void)stream_create(conn, event->stream_id);
        break;
    case SPATE_EVENT_STREAMS_AVAILABLE:
        open_streams(conn);
        break;
    case SPATE_EVENT_CLOSED:
        on_closed(conn, &event->u.close);
        return;
    default:
        stream = stream_find(conn, event->stream_id);
        if (stream != NULL)
            on_stream_event(conn, stream, event);
        else if ((event->stream_id & 2) == 0) /* unidirectional: not of this protocol, ignored */
            fail(peer, "event %d of a stream that is not known", (int)event->kind);
    }
    close_if_done(conn);
}

static void handle_events(struct peer *peer)
{
    struct spate_event events[EVENTS_MAX];
    uint32_t count = spate_shard_events(peer->shard, events, EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        on_event(peer, &events[i]);
        if (events[i].kind == SPATE_EVENT_STREAM_DATA)
            spate_slice_release(peer->shard, &events[i].u.data.slice);
    }
}

/* ---- The program ---- */

static void notice_refusals(struct peer *peer)
{
    struct spate_shard_stats stats;
    if (!peer->options->is_server)
        return;
    spate_shard_stats(peer->shard, &stats);
    if (stats.handshakes_failed != 0)
        fail(peer, "a handshake failed");
    peer->refused_count = stats.handshakes_failed;
}

static bool has_ended(const struct peer *peer)
{
    const struct peer_options *o = peer->options;
    uint64_t count = o->is_server ? o->conn_count : 1;
    return count != 0 && peer->closed_count + peer->refused_count >= count;
}

static bool was_interrupted(const sigset_t *signals)
{
    return sigtimedwait(signals, NULL, &(struct timespec){0}) > 0;
}

static void run(struct peer *peer, const sigset_t *signals)
{
    const struct peer_options *o = peer->options;
    uint64_t give_up_ns = clock_now_ns() + o->seconds_max * SB_S;
    for (;;) {
        int e = spate_shard_turn(peer->shard, TURN_WAIT);
        if (e < 0) {
            fail(peer, "turn: %s", strerror(-e));
            return;
        }
        handle_events(peer);
        notice_refusals(peer);
        if (has_ended(peer)) {
            (void)spate_shard_turn(peer->shard, 0); /* the close may still have to be sent */
            return;
        }
        if (was_interrupted(signals)) {
            if (!o->is_server)
                fail(peer, "interrupted");
            return;
        }
        if (clock_now_ns() >= give_up_ns) {
            fail(peer, "not done after %" PRIu64 " seconds", o->seconds_max);
            return;
        }
    }
}

static uint32_t cipher_bits(const char *name)
{
    if (name == NULL)
        return 0;
    if (strcmp(name, "aes-128-gcm") == 0)
        return SPATE_CIPHER_AES_128_GCM;
    if (strcmp(name, "aes-256-gcm") == 0)
        return SPATE_CIPHER_AES_256_GCM;
    return SPATE_CIPHER_CHACHA20_POLY1305;
}

static int create_tls(struct peer *peer, struct spate_error *error)
{
    const struct peer_options *o = peer->options;
    const struct spate_tls_options options = {
        .size = sizeof(options),
        .cert_file = o->cert_path,
        .key_file = o->key_path,
        .ca_file = o->ca_path,
        .insecure = o->is_insecure,
        .alpn = &o->alpn,
        .alpn_count = 1,
        .ciphers = cipher_bits(o->cipher),
        .keylog_file = o->keylog_path,
    };
    return o->is_server ? spate_tls_server_create(&options, &peer->tls, error)
                        : spate_tls_client_create(&options, &peer->tls, error);
}

static int create_engine(struct peer *peer, struct spate_error *error)
{
    const struct peer_options *o = peer->options;
    struct spate_config config;
    spate_config_init(&config);
    config.conns_max = CONNS_MAX;
    config.handshakes_max = CONNS_MAX;
    config.handshake_timeout_ns = o->seconds_max * SB_S;
    config.stream_window_bytes = o->window_bytes;
    config.stream_window_bytes_max = o->window_bytes * WINDOW_GROWTH;
    config.conn_window_bytes = o->window_bytes;
    config.conn_window_bytes_max = o->window_bytes * WINDOW_GROWTH;
    config.streams_bidi_max = (uint32_t)o->stream_count_max;
    config.retry = o->sends_retry ? SPATE_RETRY_ALWAYS : SPATE_RETRY_AUTO;
    int e = spate_engine_create(&config, &peer->engine, error);
    if (e == 0)
        peer->shard = spate_engine_shard(peer->engine, 0);
    return e;
}

/* Every client that got in has come by a Retry. */
static void check_retries(struct peer *peer)
{
    struct spate_shard_stats stats;
    spate_shard_stats(peer->shard, &stats);
    if (peer->options->sends_retry &&
        (stats.tokens_accepted < stats.handshakes_done || stats.tokens_refused > 0))
        fail(peer, "a client got in without a Retry, or its token was refused");
}

/* Starts to listen or to connect. */
static int begin(struct peer *peer, struct spate_error *error)
{
    const struct peer_options *o = peer->options;
    const struct sockaddr *address = (const struct sockaddr *)&o->address;
    if (o->is_server) {
        struct spate_listener *listener;
        struct sockaddr_storage bound = {0};
        socklen_t bound_size = sizeof(bound);
        int e = spate_shard_listen(peer->shard, address, o->address_size, peer->tls, NULL,
                                   &listener, error);
        if (e == 0)
            e = spate_listener_address(listener, &bound, &bound_size);
        if (e == 0)
            peer_print_listening(&bound);
        return e;
    }
    struct spate_conn *spate;
    const char *name = o->sni == NULL ? "localhost" : o->sni;
    int e = spate_shard_connect(peer->shard, address, o->address_size, name, peer->tls, NULL,
                                &spate, error);
    if (e == 0 && conn_create(peer, spate) == NULL)
        e = -ENOMEM;
    return e;
}

int main(int argc, char **argv)
{
    static struct peer peer;
    struct peer_options options;
    struct spate_error error = {.text = ""};
    sigset_t signals;
    if (peer_options_parse(&options, argc, argv) < 0)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    peer.options = &options;
    pattern_init(&peer.pattern);
    sb_list_init(&peer.conns);

    int e = create_tls(&peer, &error);
    if (e == 0)
        e = create_engine(&peer, &error);
    if (e == 0)
        e = begin(&peer, &error);
    if (e == 0)
        run(&peer, &signals);
    if (e == 0)
        check_retries(&peer);
    else
        fail(&peer, "%s: %s", strerror(-e), error.text);

    spate_engine_destroy(peer.engine);
    spate_tls_destroy(peer.tls);
    SB_LIST_EACH(link, &peer.conns)
        conn_destroy(SB_CONTAINER_OF(link, struct peer_conn, link));
    return peer.has_failed ? 1 : 0;
}
