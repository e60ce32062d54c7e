/* SPDX-License-Identifier: MIT */
/* A client of several servers at once: a pool keeps connections to all of them, and each request
 * goes to the one that is least busy.  Kill a server and start it again meanwhile: no request goes
 * to it until it is back.
 *
 *     pool CERT-FILE COUNT PORT...      # COUNT requests to echo servers on this machine */

#include <stdio.h>

#include "tools/examples/client.h"
#include "tools/examples/number.h"

enum { IN_FLIGHT = 8 };

static const char greeting[] = "good morning";

struct requests {
    struct client client;
    struct spate_pool *pool;
    uint64_t wanted, under_way, answered; /* under way: streams that are not closed */
};

static int open_pool(struct requests *requests, const char *cert_file)
{
    struct spate_error error = {""};
    struct spate_config config;
    struct spate_pool_options options;
    spate_config_init(&config);
    if (client_create(&requests->client, &config, "echo", cert_file) != 0)
        return 1;
    spate_pool_options_init(&options);
    options.tls = requests->client.tls;
    int result = spate_pool_create(requests->client.shard, &options, &requests->pool, &error);
    return result == 0 ? 0 : client_failed("spate_pool_create", result, &error);
}

static int add_server(struct requests *requests, const char *port)
{
    struct spate_error error = {""};
    struct sockaddr_in address;
    if (client_localhost(port, &address) != 0)
        return 1;
    const struct spate_pool_peer peer = {
        .size = sizeof(peer),
        .address = (const struct sockaddr *)&address,
        .address_size = sizeof(address),
        .server_name = "localhost",
    };
    int result = spate_pool_add(requests->pool, &peer, NULL, &error);
    return result == 0 ? 0 : client_failed("spate_pool_add", result, &error);
}

/* Sends requests as long as there is a connection for them.  One whose stream has closed without an
 * answer, with its connection or by a reset, is sent again: these may be asked twice. */
static void send_some(struct requests *requests)
{
    struct spate_conn *conn;
    uint64_t stream_id;
    while (requests->under_way < IN_FLIGHT &&
           requests->answered + requests->under_way < requests->wanted &&
           spate_pool_acquire(requests->pool, SPATE_POOL_ANY, &conn) == 0 &&
           spate_stream_open(conn, false, &stream_id) == 0) {
        requests->under_way++;
        if (spate_stream_send(conn, stream_id, greeting, sizeof(greeting), true, 0) != 0) {
            (void)spate_stream_reset(conn, stream_id, 0); /* for lack of memory */
            (void)spate_stream_stop(conn, stream_id, 0);
            return;
        }
    }
}

static void handle(struct requests *requests, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        if (event->u.data.fin) {
            requests->answered++;
            spate_pool_report(event->conn, true);
        }
        spate_slice_release(requests->client.shard, &event->u.data.slice);
    } else if (event->kind == SPATE_EVENT_STREAM_RESET) {
        spate_pool_report(event->conn, false);
    } else if (event->kind == SPATE_EVENT_STREAM_CLOSED) {
        requests->under_way--;
    }
}

static int run(struct requests *requests)
{
    struct spate_event events[64];
    struct spate_pool_stats stats;
    while (requests->answered < requests->wanted) {
        send_some(requests);
        if (client_turn(&requests->client, SPATE_FOREVER) != 0)
            return 1;
        uint32_t count = spate_shard_events(requests->client.shard, events, 64);
        for (uint32_t i = 0; i < count; i++)
            handle(requests, &events[i]);
    }
    spate_pool_stats(requests->pool, &stats);
    printf("%lu answers over %lu connections; servers: %lu\n", (unsigned long)requests->answered,
           (unsigned long)stats.conns_ready_now, (unsigned long)stats.peers_now);
    return 0;
}

int main(int argc, char **argv)
{
    struct requests requests = {0};
    if (argc < 4) {
        fprintf(stderr, "usage: %s CERT-FILE COUNT PORT...\n", argv[0]);
        return 1;
    }
    if (!number_read(argv[2], UINT32_MAX, &requests.wanted))
        return 1;
    int result = open_pool(&requests, argv[1]);
    for (int i = 3; i < argc && result == 0; i++)
        result = add_server(&requests, argv[i]);
    if (result == 0)
        result = run(&requests);
    client_close(&requests.client); /* and the pool */
    return result;
}
