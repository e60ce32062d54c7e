/* SPDX-License-Identifier: MIT */
/* A server of a fleet: it answers each stream with its server ID, and has that ID in its connection
 * IDs.
 *
 *     fleet_server ADDRESS PORT SERVER-ID [KEY]
 *
 * SERVER-ID is a byte and KEY are 16, in hexadecimal.  SIGHUP replaces the configuration by one of
 * the other config ID, 1 or 2, as in a rotation; SIGTERM ends the server. */

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

enum { SHARDS = 2, NONCE_SIZE = 8 };

struct server {
    struct sockaddr_in address;
    struct spate_tls *tls;
    char answer[8]; /* the server ID, as text */
};

static void die(const char *what, const struct spate_error *error)
{
    fprintf(stderr, "fleet_server: %s: %s\n", what, error->text);
    exit(1);
}

static bool read_hex(const char *text, uint8_t *ret, size_t size)
{
    if (strlen(text) != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        ret[i] = (uint8_t)byte;
    }
    return true;
}

/* Every shard listens at the address. */
static int on_start(struct spate_shard *shard, void *user)
{
    struct server *server = user;
    struct spate_listener *listener;
    return spate_shard_listen(shard, (struct sockaddr *)&server->address, sizeof(server->address),
                              server->tls, NULL, &listener, NULL);
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    const struct server *server = user;
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].kind != SPATE_EVENT_STREAM_DATA)
            continue;
        struct spate_slice slice = events[i].u.data.slice;
        spate_slice_release(shard, &slice);
        if (events[i].u.data.fin)
            (void)spate_stream_send(events[i].conn, events[i].stream_id, server->answer,
                                    strlen(server->answer), true, 0);
    }
}

static void make_tls(struct server *server)
{
    static const char *const alpn[] = {"fleet"};
    struct spate_error error = {""};
    struct spate_self_signed_options self;
    struct spate_tls_options options;
    char *cert;
    char *key;
    spate_self_signed_options_init(&self);
    if (spate_self_signed(&self, &cert, &key, &error) != 0)
        die("certificate", &error);
    spate_tls_options_init(&options);
    options.cert_pem = cert;
    options.key_pem = key;
    options.alpn = alpn;
    options.alpn_count = 1;
    if (spate_tls_server_create(&options, &server->tls, &error) != 0)
        die("tls", &error);
    spate_free(cert);
    spate_free(key);
}

static struct spate_engine *start(struct server *server, const struct spate_quic_lb *lb)
{
    struct spate_error error = {""};
    struct spate_config config;
    struct spate_engine *engine;
    struct spate_handlers handlers;
    spate_config_init(&config);
    config.shard_count = SHARDS;
    config.receive_slots = 64;
    config.transmit_slots = 64;
    config.idle_timeout_ns = UINT64_C(60000000000);
    config.quic_lb = lb;
    if (spate_engine_create(&config, &engine, &error) != 0)
        die("engine", &error);
    spate_handlers_init(&handlers);
    handlers.on_start = on_start;
    handlers.on_events = on_events;
    handlers.user = server;
    if (spate_engine_start(engine, &handlers, &error) != 0)
        die("start", &error);
    return engine;
}

/* Takes another config ID; with a key, another key too.  Balancers must know both before. */
static void rotate(struct spate_engine *engine, struct spate_quic_lb *lb)
{
    struct spate_error error = {""};
    lb->config_id = lb->config_id == 1 ? 2 : 1;
    for (size_t i = 0; i < sizeof(lb->key); i++)
        lb->key[i] = (uint8_t)(lb->key[i] + 1);
    if (spate_engine_set_quic_lb(engine, lb, &error) != 0)
        die("rotation", &error);
    printf("config ID %u\n", lb->config_id);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    struct server server = {.address.sin_family = AF_INET};
    struct spate_quic_lb lb;
    sigset_t signals;
    int signal_number;
    spate_quic_lb_init(&lb);
    lb.config_id = 1;
    lb.server_id_size = 1;
    lb.nonce_size = NONCE_SIZE;
    lb.is_encrypted = argc == 5;
    if (argc < 4 || argc > 5 || inet_pton(AF_INET, argv[1], &server.address.sin_addr) != 1 ||
        !read_hex(argv[3], lb.server_id, 1) || (argc == 5 && !read_hex(argv[4], lb.key, 16))) {
        fprintf(stderr, "usage: fleet_server ADDRESS PORT SERVER-ID [KEY]\n");
        return 1;
    }
    server.address.sin_port = htons((uint16_t)atoi(argv[2]));
    (void)snprintf(server.answer, sizeof(server.answer), "%s", argv[3]);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);

    make_tls(&server);
    struct spate_engine *engine = start(&server, &lb);
    printf("server %s listens\n", server.answer);
    (void)fflush(stdout);
    while (sigwait(&signals, &signal_number) == 0 && signal_number == SIGHUP)
        rotate(engine, &lb);
    spate_engine_destroy(engine);
    spate_tls_destroy(server.tls);
    return 0;
}
