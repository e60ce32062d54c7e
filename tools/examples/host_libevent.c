/* SPDX-License-Identifier: MIT */
/* A program whose loop is libevent's.  One event is the shard's descriptor and its time-out.  A
 * callback of the program that calls the library activates it, so that a turn follows.
 *
 *     host_libevent CERT-FILE KEY-FILE PORT */

#include <signal.h>
#include <stdio.h>
#include <time.h>

#include <event2/event.h>

#include "tools/examples/echo.h"

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_US UINT64_C(1000)

struct host {
    struct echo echo;
    struct event_base *base;
    struct event *shard_event;
    int result;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Waits for the descriptor, or until the shard is due. */
static void wait_again(struct host *host)
{
    uint64_t due_ns = spate_shard_deadline_ns(host->echo.shard);
    uint64_t from_ns = now_ns();
    uint64_t wait_us = due_ns > from_ns ? (due_ns - from_ns) / NS_PER_US + 1 : 0;
    const struct timeval wait = {
        .tv_sec = (time_t)(wait_us / 1000000),
        .tv_usec = (suseconds_t)(wait_us % 1000000),
    };
    (void)event_del(host->shard_event); /* with the time-out of before */
    (void)event_add(host->shard_event, due_ns == SPATE_FOREVER ? NULL : &wait);
}

static void on_ready(evutil_socket_t fd, short events, void *argument)
{
    struct host *host = argument;
    (void)fd;
    (void)events;
    host->result = echo_turn(&host->echo);
    if (host->result == 0)
        wait_again(host);
    else
        (void)event_base_loopbreak(host->base);
}

static void on_signal(evutil_socket_t number, short events, void *argument)
{
    struct host *host = argument;
    (void)number;
    (void)events;
    (void)event_base_loopbreak(host->base);
}

int main(int argc, char **argv)
{
    static struct host host;
    host.result = echo_open(&host.echo, argc, argv);
    if (host.result == 0) {
        struct event_config *precise = event_config_new();
        (void)event_config_set_flag(precise, EVENT_BASE_FLAG_PRECISE_TIMER);
        host.base = event_base_new_with_config(precise);
        event_config_free(precise);
        struct event *interrupt = evsignal_new(host.base, SIGINT, on_signal, &host);
        struct event *terminate = evsignal_new(host.base, SIGTERM, on_signal, &host);
        host.shard_event = event_new(host.base, spate_shard_fd(host.echo.shard),
                                     EV_READ | EV_PERSIST, on_ready, &host);
        (void)event_add(interrupt, NULL);
        (void)event_add(terminate, NULL);
        wait_again(&host);
        (void)event_base_dispatch(host.base);
        event_free(host.shard_event);
        event_free(terminate);
        event_free(interrupt);
        event_base_free(host.base);
    }
    echo_close(&host.echo);
    return host.result;
}
