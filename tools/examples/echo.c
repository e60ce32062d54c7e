/* SPDX-License-Identifier: MIT */
#include "tools/examples/echo.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/examples/number.h"

int echo_listen(struct echo *echo, uint16_t port)
{
    struct spate_error error = {""};
    struct spate_listener *listener;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct sockaddr_storage bound;
    socklen_t bound_size;
    int result = spate_shard_listen(echo->shard, (struct sockaddr *)&address, sizeof(address),
                                    echo->server.tls, NULL, &listener, &error);
    if (result == 0)
        result = spate_listener_address(listener, &bound, &bound_size);
    if (result != 0)
        return server_failed("spate_shard_listen", result, &error);
    memcpy(&address, &bound, sizeof(address));
    printf("listening at port %u\n", ntohs(address.sin_port));
    return fflush(stdout) == 0 ? 0 : 1;
}

int echo_create_with(struct echo *echo, const struct spate_config *config, const char *cert_file,
                     const char *key_file)
{
    memset(echo, 0, sizeof(*echo));
    if (server_create(&echo->server, config, "echo", cert_file, key_file) != 0)
        return 1;
    echo->shard = spate_engine_shard(echo->server.engine, 0);
    return 0;
}

int echo_create(struct echo *echo, const struct spate_config *config, int argc, char **argv)
{
    memset(echo, 0, sizeof(*echo));
    if (argc != 4) {
        fprintf(stderr, "usage: %s CERT-FILE KEY-FILE PORT\n", argv[0]);
        return 1;
    }
    uint16_t port;
    if (!number_read_port(argv[3], &port))
        return 1;
    int result = echo_create_with(echo, config, argv[1], argv[2]);
    echo->port = port;
    return result;
}

int echo_open(struct echo *echo, int argc, char **argv)
{
    struct spate_config config;
    spate_config_init(&config);
    int result = echo_create(echo, &config, argc, argv);
    return result == 0 ? echo_listen(echo, echo->port) : result;
}

/* Sends the bytes back without a copy: the slice is kept until they are acknowledged. */
static void answer(struct spate_shard *shard, struct spate_event *event)
{
    struct spate_slice *kept = malloc(sizeof(*kept));
    if (kept != NULL) {
        *kept = event->u.data.slice;
        if (spate_stream_send(event->conn, event->stream_id, kept->data, kept->size,
                              event->u.data.fin, (uintptr_t)kept) == 0)
            return;
        free(kept);
    }
    spate_slice_release(shard, &event->u.data.slice);
    (void)spate_stream_reset(event->conn, event->stream_id, 1);
}

static void handle(struct echo *echo, struct spate_event *event)
{
    struct spate_shard *shard = echo->shard;
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        answer(shard, event);
    } else if (event->kind == SPATE_EVENT_SENT) {
        struct spate_slice *kept = (struct spate_slice *)(uintptr_t)event->u.sent.tag;
        spate_slice_release(shard, kept);
        free(kept);
    } else if (event->kind == SPATE_EVENT_STREAM_RESET) { /* the client gives up: so do we */
        (void)spate_stream_reset(event->conn, event->stream_id, 1);
    } else if (event->kind == SPATE_EVENT_SHUTDOWN) {
        echo->has_ended = true;
    }
}

int echo_turn(struct echo *echo)
{
    struct spate_event events[64];
    uint32_t count;
    if (server_turn(echo->shard, 0) != 0)
        return 1;
    while ((count = spate_shard_events(echo->shard, events, 64)) > 0) {
        for (uint32_t i = 0; i < count; i++)
            handle(echo, &events[i]);
    }
    return 0;
}

void echo_close(struct echo *echo)
{
    server_destroy(&echo->server);
}
