/* SPDX-License-Identifier: MIT */
/* A client of several servers at once: a pool keeps connections to all of them, and each request
 * goes to the one that is least busy.  Kill a server and start it again meanwhile: no request goes
 * to it until it is back.
 *
 *     pool CERT-FILE COUNT PORT...      # COUNT requests to echo servers on this machine */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

enum { IN_FLIGHT = 8 };

static const char greeting[] = "good morning";

struct client {
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls;
    struct spate_pool *pool;
    unsigned long wanted, sent, answered;
};

static int failed(const char *call, int result, const struct spate_error *error)
{
    fprintf(stderr, "%s: %s\n", call, error->text[0] != 0 ? error->text : strerror(-result));
    return 1;
}

static int open_pool(struct client *client, const char *cert_file)
{
    static const char *const alpn[] = {"echo"};
    struct spate_error error = {""};
    struct spate_config config;
    struct spate_tls_options tls;
    struct spate_pool_options pool;
    spate_tls_options_init(&tls);
    tls.ca_file = cert_file;
    tls.alpn = alpn;
    tls.alpn_count = 1;
    int result = spate_tls_client_create(&tls, &client->tls, &error);
    if (result != 0)
        return failed("spate_tls_client_create", result, &error);
    spate_config_init(&config);
    result = spate_engine_create(&config, &client->engine, &error);
    if (result != 0)
        return failed("spate_engine_create", result, &error);
    client->shard = spate_engine_shard(client->engine, 0);
    spate_pool_options_init(&pool);
    pool.tls = client->tls;
    result = spate_pool_create(client->shard, &pool, &client->pool, &error);
    return result == 0 ? 0 : failed("spate_pool_create", result, &error);
}

static int add_server(struct client *client, const char *port)
{
    struct spate_error error = {""};
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const struct spate_pool_peer peer = {
        .size = sizeof(peer),
        .address = (const struct sockaddr *)&address,
        .address_size = sizeof(address),
        .server_name = "localhost",
    };
    int result = spate_pool_add(client->pool, &peer, NULL, &error);
    return result == 0 ? 0 : failed("spate_pool_add", result, &error);
}

/* Sends requests as long as there is a connection for them. */
static void send_some(struct client *client)
{
    struct spate_conn *conn;
    uint64_t stream_id;
    while (client->sent < client->wanted && client->sent < client->answered + IN_FLIGHT &&
           spate_pool_acquire(client->pool, SPATE_POOL_ANY, &conn) == 0) {
        if (spate_stream_open(conn, false, &stream_id) != 0 ||
            spate_stream_send(conn, stream_id, greeting, sizeof(greeting), true, 0) != 0)
            return;
        client->sent++;
    }
}

static void handle(struct client *client, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        if (event->u.data.fin) {
            client->answered++;
            spate_pool_report(event->conn, true);
        }
        spate_slice_release(client->shard, &event->u.data.slice);
    } else if (event->kind == SPATE_EVENT_SENT && !event->u.sent.is_acked) {
        client->sent--; /* its connection has ended: send it again, elsewhere */
    }
}

static int run(struct client *client)
{
    struct spate_error error = {""};
    struct spate_event events[64];
    struct spate_pool_stats stats;
    while (client->answered < client->wanted) {
        send_some(client);
        int result = spate_shard_turn(client->shard, SPATE_FOREVER);
        if (result < 0)
            return failed("spate_shard_turn", result, &error);
        uint32_t count = spate_shard_events(client->shard, events, 64);
        for (uint32_t i = 0; i < count; i++)
            handle(client, &events[i]);
    }
    spate_pool_stats(client->pool, &stats);
    printf("%lu answers over %lu connections to %lu servers\n", client->answered,
           (unsigned long)stats.conns_ready_now, (unsigned long)stats.peers_now);
    return 0;
}

int main(int argc, char **argv)
{
    struct client client = {0};
    if (argc < 4) {
        fprintf(stderr, "usage: %s CERT-FILE COUNT PORT...\n", argv[0]);
        return 1;
    }
    client.wanted = strtoul(argv[2], NULL, 10);
    int result = open_pool(&client, argv[1]);
    for (int i = 3; i < argc && result == 0; i++)
        result = add_server(&client, argv[i]);
    if (result == 0)
        result = run(&client);
    spate_engine_destroy(client.engine); /* and the pool */
    spate_tls_destroy(client.tls);
    return result;
}
