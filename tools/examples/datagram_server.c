/* SPDX-License-Identifier: MIT */
/* Sends back each message (DATAGRAM frame) that it receives: datagram_client.c measures with it.
 *
 *     datagram_server CERT-FILE KEY-FILE PORT */

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/examples/echo.h"

static struct spate_shard *shard;
static atomic_bool is_over; /* a signal came */
static bool has_ended;      /* .. and the last connection is gone */

static void on_signal(int signal)
{
    (void)signal;
    atomic_store(&is_over, true);
    spate_shard_wake(shard);
}

/* Small messages are copied, so that the slice is free at once.  One that cannot be sent now is
 * dropped: the next one is newer.  Nobody asks what became of it (SILENT). */
static void answer(struct spate_event *event)
{
    struct spate_slice *slice = &event->u.datagram.slice;
    if (slice->size <= SPATE_DATAGRAM_COPY_SIZE_MAX)
        (void)spate_conn_datagram_send(event->conn, slice->data, slice->size, 0, SPATE_FOREVER,
                                       SPATE_DATAGRAM_COPY | SPATE_DATAGRAM_SILENT);
    spate_slice_release(shard, slice);
}

/* A peer that sends streams is told so. */
static void handle(struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_DATAGRAM) {
        answer(event);
    } else if (event->kind == SPATE_EVENT_STREAM_DATA) {
        spate_slice_release(shard, &event->u.data.slice);
        spate_conn_close(event->conn, 1, "messages only");
    } else if (event->kind == SPATE_EVENT_SHUTDOWN) {
        has_ended = true;
    }
}

int main(int argc, char **argv)
{
    const struct sigaction ends = {.sa_handler = on_signal};
    struct spate_config config;
    struct spate_event events[64];
    struct echo echo;
    spate_config_init(&config);
    config.message_frame_size_max = 65535; /* without it no peer may send one */
    int result = echo_create(&echo, &config, argc, argv);
    if (result == 0)
        result = echo_listen(&echo, echo.port);
    shard = echo.shard;
    if (result == 0) {
        (void)sigaction(SIGINT, &ends, NULL);
        (void)sigaction(SIGTERM, &ends, NULL);
    }
    while (result == 0 && !has_ended) {
        if (atomic_exchange(&is_over, false))
            (void)spate_shard_shutdown(shard, 0, 0, "the server ends");
        result = server_turn(shard, SPATE_FOREVER);
        uint32_t count = spate_shard_events(shard, events, 64);
        for (uint32_t i = 0; i < count; i++)
            handle(&events[i]);
    }
    echo_close(&echo);
    return result;
}
