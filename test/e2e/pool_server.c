/* SPDX-License-Identifier: MIT */
/* A server for the example of a pool, in whose bad hour no request is answered: it resets one, and
 * closes the connection of the next a moment after it has acknowledged it.
 *
 *     pool_server CERT-FILE KEY-FILE BAD-REQUESTS */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/examples/server.h"

#define MOMENT_NS UINT64_C(100000000)

static struct spate_shard *shard;
static struct spate_conn *closing; /* after a moment */
static uint64_t close_ns;

static void answer(struct spate_event *event, unsigned long *bad_requests)
{
    bool is_bad = *bad_requests > 0;
    if (!event->u.data.fin)
        return;
    *bad_requests -= is_bad;
    if (!is_bad) {
        (void)spate_stream_send(event->conn, event->stream_id, "good", 4, true, 0);
    } else if (*bad_requests % 2 == 1 || closing != NULL) {
        (void)spate_stream_reset(event->conn, event->stream_id, 1);
    } else {
        closing = event->conn;
        close_ns = spate_shard_now_ns(shard) + MOMENT_NS;
    }
}

static int serve(unsigned long bad_requests)
{
    struct spate_event events[64];
    for (;;) {
        if (spate_shard_turn(shard, MOMENT_NS / 10) < 0)
            return 1;
        uint32_t count = spate_shard_events(shard, events, 64);
        for (uint32_t i = 0; i < count; i++) {
            if (events[i].kind == SPATE_EVENT_STREAM_DATA) {
                answer(&events[i], &bad_requests);
                spate_slice_release(shard, &events[i].u.data.slice);
            }
            if (events[i].kind == SPATE_EVENT_CLOSED && events[i].conn == closing)
                closing = NULL;
        }
        if (closing != NULL && spate_shard_now_ns(shard) >= close_ns)
            spate_conn_close(closing, 1, "a bad hour");
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct sockaddr_storage bound;
    socklen_t bound_size;
    struct spate_error error = {""};
    struct spate_listener *listener;
    struct spate_config config;
    struct server server;
    spate_config_init(&config);
    if (argc != 4 || server_create(&server, &config, "echo", argv[1], argv[2]) != 0)
        return 1;
    shard = spate_engine_shard(server.engine, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (spate_shard_listen(shard, (struct sockaddr *)&address, sizeof(address), server.tls, NULL,
                           &listener, &error) != 0 ||
        spate_listener_address(listener, &bound, &bound_size) != 0)
        return 1;
    memcpy(&address, &bound, sizeof(address));
    printf("listening at port %u\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    return serve(strtoul(argv[3], NULL, 10));
}
