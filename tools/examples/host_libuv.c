/* SPDX-License-Identifier: MIT */
/* A program whose loop is libuv's.  "Prepare" runs right before each poll: it asks when the shard
 * is due, also for what other callbacks have asked of it.  The timers of libuv are whole
 * milliseconds, so one that must not be late is a timerfd.
 *
 *     host_libuv CERT-FILE KEY-FILE PORT */

#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <uv.h>

#include "tools/examples/echo.h"

#define NS_PER_S UINT64_C(1000000000)

struct host {
    struct echo echo;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_poll_t packets;
    uv_poll_t due;
    uv_signal_t signals[2];
    int timer_fd;
    int result;
};

static void on_prepare(uv_prepare_t *handle)
{
    struct host *host = handle->data;
    uint64_t due_ns = spate_shard_deadline_ns(host->echo.shard);
    uint64_t at_ns = due_ns == 0 ? 1 : due_ns; /* 0 would stop the timer */
    struct itimerspec at = {.it_value.tv_sec = 0};
    if (due_ns != SPATE_FOREVER) {
        at.it_value.tv_sec = (time_t)(at_ns / NS_PER_S);
        at.it_value.tv_nsec = (long)(at_ns % NS_PER_S);
    }
    (void)timerfd_settime(host->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct host *host = handle->data;
    (void)status;
    (void)events;
    host->result = echo_turn(&host->echo);
    if (host->result != 0)
        uv_stop(&host->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_stop(handle->loop);
}

static void close_handle(uv_handle_t *handle, void *argument)
{
    (void)argument;
    uv_close(handle, NULL);
}

static int start(struct host *host)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    int error = uv_prepare_init(&host->loop, &host->prepare);
    if (error == 0)
        error = uv_poll_init(&host->loop, &host->packets, spate_shard_fd(host->echo.shard));
    if (error == 0)
        error = uv_poll_init(&host->loop, &host->due, host->timer_fd);
    if (error != 0)
        return error;
    host->prepare.data = host->packets.data = host->due.data = host;
    (void)uv_prepare_start(&host->prepare, on_prepare);
    (void)uv_poll_start(&host->packets, UV_READABLE, on_ready);
    (void)uv_poll_start(&host->due, UV_READABLE, on_ready);
    for (int i = 0; i < 2 && error == 0; i++) {
        (void)uv_signal_init(&host->loop, &host->signals[i]);
        error = uv_signal_start(&host->signals[i], on_signal, numbers[i]);
    }
    return error;
}

int main(int argc, char **argv)
{
    static struct host host;
    host.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    host.result = echo_open(&host.echo, argc, argv);
    if (host.result == 0 && uv_loop_init(&host.loop) == 0) {
        int error = start(&host);
        if (error == 0) {
            (void)uv_run(&host.loop, UV_RUN_DEFAULT);
        } else {
            fprintf(stderr, "host_libuv: %s\n", uv_strerror(error));
            host.result = 1;
        }
        uv_walk(&host.loop, close_handle, NULL);
        (void)uv_run(&host.loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&host.loop);
    }
    echo_close(&host.echo);
    (void)close(host.timer_fd);
    return host.result;
}
