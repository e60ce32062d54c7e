/* SPDX-License-Identifier: MIT */
/* A program whose loop is libevent's.  One event is the shard's descriptor and its time-out.  A
 * callback of the program that calls the library activates it, so that a turn follows.
 *
 *     host_libevent CERT-FILE KEY-FILE PORT */

#include <signal.h>
#include <stdio.h>

#include <event2/event.h>

#include "tools/examples/echo.h"

struct host {
    struct echo echo;
    struct event_base *base;
    struct event *shard_event;
    struct event *interrupt;
    struct event *terminate;
    int result;
};

/* Waits for the descriptor, or until the shard is due. */
static void wait_again(struct host *host)
{
    struct timespec wait = {0};
    bool is_limited = spate_shard_timeout(host->echo.shard, &wait) != NULL;
    const struct timeval wait_us = {wait.tv_sec, wait.tv_nsec / 1000}; /* a turn may come early */
    (void)event_del(host->shard_event); /* with the time-out of before */
    (void)event_add(host->shard_event, is_limited ? &wait_us : NULL);
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

/* Makes what the loop consists of.  Returns false without memory. */
static bool make_loop(struct host *host)
{
    struct event_config *precise = event_config_new();
    if (precise == NULL)
        return false;
    (void)event_config_set_flag(precise, EVENT_BASE_FLAG_PRECISE_TIMER);
    host->base = event_base_new_with_config(precise);
    event_config_free(precise);
    if (host->base == NULL)
        return false;
    host->interrupt = evsignal_new(host->base, SIGINT, on_signal, host);
    host->terminate = evsignal_new(host->base, SIGTERM, on_signal, host);
    host->shard_event = event_new(host->base, spate_shard_fd(host->echo.shard),
                                  EV_READ | EV_PERSIST, on_ready, host);
    return host->shard_event != NULL && host->interrupt != NULL && host->terminate != NULL &&
           event_add(host->interrupt, NULL) == 0 && event_add(host->terminate, NULL) == 0;
}

static void free_loop(struct host *host)
{
    struct event *const events[] = {host->shard_event, host->terminate, host->interrupt};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (host->base != NULL)
        event_base_free(host->base);
}

int main(int argc, char **argv)
{
    static struct host host;
    host.result = echo_open(&host.echo, argc, argv);
    if (host.result == 0 && !make_loop(&host)) {
        fprintf(stderr, "host_libevent: no loop\n");
        host.result = 1;
    } else if (host.result == 0) {
        wait_again(&host);
        (void)event_base_dispatch(host.base);
    }
    free_loop(&host);
    echo_close(&host.echo);
    return host.result;
}
