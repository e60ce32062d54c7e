/* SPDX-License-Identifier: MIT */
/* One packet, from the application to the socket.
 *
 * A server and a client on loopback, both run by this thread.  Timed are the call that lends the
 * bytes to a stream and the turn of the shard that makes a packet of them and hands it to the
 * kernel, which on loopback puts it into the other socket's queue before it returns.  What the
 * server then does, and its ACK, are not in it; each packet leaves alone.  Next to it sendto() of a
 * datagram of the same size on a plain socket: what of it is the kernel's.
 *
 * The reference for the check is the bytes: what the application sent arrives, in order. */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <spate/spate.h>

#include "bench/micro/benches.h"
#include "proto/base/compiler.h"

enum { SIZE_MAX_SENT = 1200, WARM_UP = 500, SAMPLES = 200, OVERHEAD = 37, EVENTS = 16 };
#define PATIENCE_NS UINT64_C(5000000000)

struct end {
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls;
    struct spate_conn *conn; /* once it is connected */
    uint64_t bytes_in;
    uint64_t sent_count; /* SPATE_EVENT_SENT */
    bool is_wrong;       /* a byte was another one than was sent */
};

struct world {
    struct end server;
    struct end client;
    uint64_t stream;
    uint64_t bytes_out;
    int from; /* plain sockets, connected to each other */
    int to;
};

static uint8_t content[SIZE_MAX_SENT];

static uint8_t content_at(uint64_t offset)
{
    return (uint8_t)(offset % 251);
}

static void take_event(struct end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CONNECTED)
        end->conn = event->conn;
    if (event->kind == SPATE_EVENT_SENT)
        end->sent_count++;
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    const uint8_t *data = event->u.data.slice.data;
    for (size_t i = 0; i < event->u.data.slice.size; i++)
        end->is_wrong |= data[i] != content_at(end->bytes_in++);
    spate_slice_release(end->shard, &event->u.data.slice);
}

static void take_events(struct end *end)
{
    struct spate_event events[EVENTS];
    uint32_t count;
    while ((count = spate_shard_events(end->shard, events, EVENTS)) > 0) {
        for (uint32_t i = 0; i < count; i++)
            take_event(end, &events[i]);
    }
}

static void turn(struct end *end)
{
    micro_check(spate_shard_turn(end->shard, 0) >= 0, "a turn");
    take_events(end);
}

static void make_end(struct end *end)
{
    struct spate_config config;
    struct spate_error error = {""};
    spate_config_init(&config);
    config.pacing = false;
    config.ack_delay_ns_max = 0; /* the next packet waits for the ACK of the last one */
    config.idle_timeout_ns = 0;
    micro_check(spate_engine_create(&config, &end->engine, &error) == 0, error.text);
    end->shard = spate_engine_shard(end->engine, 0);
}

static void make_tls(struct world *w)
{
    static const char *const alpn[] = {"micro"};
    struct spate_error error = {""};
    char *cert = NULL, *key = NULL;
    const struct spate_self_signed_options self = {.size = sizeof(self),
                                                   .key_type = SPATE_KEY_P256};
    micro_check(spate_self_signed(&self, &cert, &key, &error) == 0, error.text);
    const struct spate_tls_options server = {.size = sizeof(server),
                                             .cert_pem = cert,
                                             .key_pem = key,
                                             .alpn = alpn,
                                             .alpn_count = 1,
                                             .ciphers = SPATE_CIPHER_AES_128_GCM};
    const struct spate_tls_options client = {
        .size = sizeof(client), .ca_pem = cert, .alpn = alpn, .alpn_count = 1};
    micro_check(spate_tls_server_create(&server, &w->server.tls, &error) == 0, error.text);
    micro_check(spate_tls_client_create(&client, &w->client.tls, &error) == 0, error.text);
    spate_free(cert);
    spate_free(key);
}

/* A connection that is complete on both sides, and a stream. */
static void connect_ends(struct world *w)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage address;
    socklen_t size = sizeof(any);
    struct spate_listener *listener;
    struct spate_conn *conn;
    struct spate_error error = {""};
    micro_check(spate_shard_listen(w->server.shard, (const struct sockaddr *)&any, size,
                                   w->server.tls, NULL, &listener, &error) == 0,
                error.text);
    micro_check(spate_listener_address(listener, &address, &size) == 0, "an address");
    micro_check(spate_shard_connect(w->client.shard, (const struct sockaddr *)&address, size,
                                    "localhost", w->client.tls, NULL, &conn, &error) == 0,
                error.text);
    uint64_t until_ns = micro_now_ns() + PATIENCE_NS;
    while (w->client.conn == NULL || w->server.conn == NULL) {
        micro_check(micro_now_ns() < until_ns, "a connection");
        turn(&w->client);
        turn(&w->server);
    }
    micro_check(spate_stream_open(w->client.conn, true, &w->stream) == 0, "a stream");
}

static void make_sockets(struct world *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    w->to = socket(AF_INET, SOCK_DGRAM, 0);
    w->from = socket(AF_INET, SOCK_DGRAM, 0);
    micro_check(bind(w->to, (const struct sockaddr *)&address, size) == 0 &&
                    getsockname(w->to, (struct sockaddr *)&address, &size) == 0 &&
                    connect(w->from, (const struct sockaddr *)&address, size) == 0,
                "plain sockets");
}

static struct world *world_create(void)
{
    struct world *w = calloc(1, sizeof(*w));
    micro_check(w != NULL, "memory");
    make_tls(w);
    make_end(&w->server);
    make_end(&w->client);
    connect_ends(w);
    make_sockets(w);
    return w;
}

static void world_destroy(struct world *w)
{
    spate_engine_destroy(w->client.engine);
    spate_engine_destroy(w->server.engine);
    spate_tls_destroy(w->client.tls);
    spate_tls_destroy(w->server.tls);
    (void)close(w->from);
    (void)close(w->to);
    free(w);
}

struct times {
    double call_ns;
    double turn_ns;
    double plain_ns;
};

static struct times send_one(struct world *w, size_t size)
{
    uint8_t plain[SIZE_MAX_SENT + OVERHEAD] = {0};
    for (size_t i = 0; i < size; i++)
        content[i] = content_at(w->bytes_out++);

    uint64_t start_ns = micro_now_ns();
    int queued = spate_stream_send(w->client.conn, w->stream, content, size, false, 0);
    uint64_t called_ns = micro_now_ns();
    int turned = spate_shard_turn(w->client.shard, 0);
    uint64_t sent_ns = micro_now_ns();
    micro_check(queued == 0 && turned >= 0, "a packet is sent");

    /* The bytes are lent until the peer has them, so they are not touched before. */
    uint64_t until_ns = sent_ns + PATIENCE_NS;
    uint64_t sent_count = w->client.sent_count;
    take_events(&w->client);
    while (w->client.sent_count == sent_count) {
        micro_check(micro_now_ns() < until_ns, "an acknowledgment");
        turn(&w->server);
        turn(&w->client);
    }

    uint64_t plain_start_ns = micro_now_ns();
    ssize_t plain_size = send(w->from, plain, size + OVERHEAD, 0);
    uint64_t plain_ns = micro_now_ns() - plain_start_ns;
    micro_check(plain_size == (ssize_t)(size + OVERHEAD) &&
                    recv(w->to, plain, sizeof(plain), 0) == plain_size,
                "a plain datagram");
    return (struct times){.call_ns = (double)(called_ns - start_ns),
                          .turn_ns = (double)(sent_ns - called_ns),
                          .plain_ns = (double)plain_ns};
}

static void check(void)
{
    struct world *w = world_create();
    struct spate_conn_stats before, after;
    spate_conn_stats(w->client.conn, &before);
    for (uint32_t i = 0; i < 20; i++)
        (void)send_one(w, 64 + i);
    spate_conn_stats(w->client.conn, &after);
    micro_check(w->server.bytes_in == w->bytes_out && !w->server.is_wrong, "what arrives");
    micro_check(after.packets_out - before.packets_out >= 20, "each leaves in a packet");
    world_destroy(w);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *figures)
{
    qsort(figures, SAMPLES, sizeof(figures[0]), compare);
    return figures[SAMPLES / 2];
}

/* One figure a repetition: the median of SAMPLES packets. */
static void time_size(struct micro *m, struct world *w, size_t size)
{
    double call[MICRO_REPETITIONS_MAX], whole[MICRO_REPETITIONS_MAX], plain[MICRO_REPETITIONS_MAX];
    for (uint32_t r = 0; r < m->repetitions; r++) {
        double calls[SAMPLES], wholes[SAMPLES], plains[SAMPLES];
        for (uint32_t i = 0; i < SAMPLES; i++) {
            struct times t = send_one(w, size);
            calls[i] = t.call_ns;
            wholes[i] = t.call_ns + t.turn_ns;
            plains[i] = t.plain_ns;
        }
        call[r] = median(calls);
        whole[r] = median(wholes);
        plain[r] = median(plains);
    }
    char name[64];
    struct micro_sample sample = micro_sample_of(whole, m->repetitions);
    (void)snprintf(name, sizeof(name), "%zu bytes, application to socket", size);
    micro_row_ns(m, name, &sample, MICRO_REPORTED, 0);
    sample = micro_sample_of(call, m->repetitions);
    (void)snprintf(name, sizeof(name), "%zu bytes, of it spate_stream_send()", size);
    micro_row_ns(m, name, &sample, MICRO_REPORTED, 0);
    sample = micro_sample_of(plain, m->repetitions);
    (void)snprintf(name, sizeof(name), "%zu bytes, send() on a plain socket", size);
    micro_row_ns(m, name, &sample, MICRO_REPORTED, 0);
}

static void time_all(struct micro *m)
{
    if (m->is_counting)
        return; /* valgrind does not know all of io_uring */
    struct world *w = world_create();
    for (uint32_t i = 0; i < WARM_UP; i++)
        (void)send_one(w, 64);
    time_size(m, w, 64);
    time_size(m, w, SIZE_MAX_SENT);
    world_destroy(w);
}

const struct micro_bench micro_packet = {
    .name = "packet",
    .what = "C1: one packet, from the application to the socket",
    .check = check,
    .time = time_all,
};
