/* SPDX-License-Identifier: MIT */
/* A server whose connections are served by worker threads: the main thread turns the shard and does
 * what QUIC needs, and hands each connection to the next worker.  A worker owns a channel, by which
 * it gets events and sends; it may block for as long as it likes without holding up the others.
 *
 *     workers CERT-FILE KEY-FILE PORT */

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tools/examples/echo.h"

enum { WORKERS = 4 };

struct worker {
    pthread_t thread;
    struct spate_channel *channel;
    struct spate_shard *shard;
};

static int stop_fd;               /* readable once a signal has come */
static atomic_int running;        /* workers that have not ended */
static struct spate_shard *woken; /* by the signal handler */

static void on_signal(int signal)
{
    uint64_t one = 1;
    (void)signal;
    if (write(stop_fd, &one, sizeof(one)) == sizeof(one))
        spate_shard_wake(woken);
}

/* Sends the bytes back without a copy: the slice is kept until the answer. */
static void answer(struct spate_channel *channel, const struct spate_result *result)
{
    struct spate_slice slice = result->event.u.data.slice;
    struct spate_slice *kept = malloc(sizeof(*kept));
    if (kept != NULL) {
        *kept = slice;
        if (spate_channel_stream_send(channel, result->conn_id, result->event.stream_id, slice.data,
                                      slice.size, result->event.u.data.fin, (uintptr_t)kept) == 0)
            return;
        free(kept);
    }
    (void)spate_channel_release(channel, &slice);
    (void)spate_channel_stream_reset(channel, result->conn_id, result->event.stream_id, 1, 0);
}

/* Returns false after the last result. */
static bool handle(struct spate_channel *channel, const struct spate_result *result)
{
    if (result->command == SPATE_COMMAND_SEND) {
        struct spate_slice *kept = (struct spate_slice *)(uintptr_t)result->tag;
        (void)spate_channel_release(channel, kept);
        free(kept);
    } else if (result->event.kind == SPATE_EVENT_STREAM_DATA) {
        answer(channel, result);
    } else if (result->event.kind == SPATE_EVENT_STREAM_RESET) { /* the client gives up: so do we */
        (void)spate_channel_stream_reset(channel, result->conn_id, result->event.stream_id, 1, 0);
    }
    return result->event.kind != SPATE_EVENT_SHUTDOWN;
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct pollfd polled[] = {
        {.fd = spate_channel_fd(worker->channel), .events = POLLIN},
        {.fd = stop_fd, .events = POLLIN},
    };
    bool goes_on = true;
    while (goes_on) {
        uint32_t count;
        if (!spate_channel_prepare(worker->channel))
            (void)poll(polled, 2, -1);
        if (polled[1].revents != 0) {
            spate_channel_close(worker->channel, 0);
            polled[1] = (struct pollfd){.fd = -1};
        }
        const struct spate_result *results = spate_channel_results(worker->channel, &count);
        for (uint32_t i = 0; i < count; i++)
            goes_on = handle(worker->channel, &results[i]) && goes_on;
    }
    (void)atomic_fetch_sub(&running, 1);
    spate_shard_wake(worker->shard);
    return NULL;
}

/* Returns how many workers were started. */
static int start(struct worker *workers, struct spate_shard *shard)
{
    for (int i = 0; i < WORKERS; i++) {
        workers[i].shard = shard;
        if (spate_channel_create(shard, NULL, &workers[i].channel, NULL) != 0)
            return i;
        (void)atomic_fetch_add(&running, 1);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            (void)atomic_fetch_sub(&running, 1);
            spate_channel_destroy(workers[i].channel);
            return i;
        }
    }
    return WORKERS;
}

int main(int argc, char **argv)
{
    struct worker workers[WORKERS] = {0};
    struct spate_event events[64];
    unsigned next = 0;
    struct echo echo;
    const struct sigaction ends = {.sa_handler = on_signal};
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (echo_open(&echo, argc, argv) != 0) {
        echo_close(&echo);
        return 1;
    }
    woken = echo.shard;
    (void)sigaction(SIGINT, &ends, NULL);
    (void)sigaction(SIGTERM, &ends, NULL);
    int count = start(workers, echo.shard);
    if (count < WORKERS) {
        fprintf(stderr, "workers: only %d of %d threads\n", count, WORKERS);
        on_signal(SIGTERM);
    }
    int result = 0;
    while (atomic_load(&running) > 0 && result == 0) {
        result = server_turn(echo.shard, SPATE_FOREVER);
        uint32_t taken = spate_shard_events(echo.shard, events, 64);
        for (uint32_t i = 0; i < taken; i++)
            if (events[i].kind == SPATE_EVENT_CONNECTED &&
                spate_conn_hand_over(events[i].conn, workers[next++ % WORKERS].channel) != 0)
                spate_conn_close(events[i].conn, 1, "no worker");
    }
    for (int i = 0; i < count; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        spate_channel_destroy(workers[i].channel);
    }
    echo_close(&echo);
    (void)close(stop_fd);
    return count == WORKERS ? result : 1;
}
