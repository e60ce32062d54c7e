/* SPDX-License-Identifier: MIT */
#include "tools/spate/stop.h"

#include <signal.h>
#include <stdatomic.h>

#include <spate/spate.h>

static _Atomic(struct spate_shard *) watched;
static atomic_int count;
static atomic_bool has_hung_up;

static void on_signal(int signal)
{
    if (signal == SIGHUP)
        atomic_store(&has_hung_up, true);
    else
        atomic_fetch_add(&count, 1);
    struct spate_shard *shard = atomic_load(&watched);
    if (shard != NULL)
        spate_shard_wake(shard);
}

void stop_watch(struct spate_shard *shard)
{
    struct sigaction action = {.sa_handler = on_signal};
    atomic_store(&watched, shard);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

void stop_watch_hangup(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGHUP, &action, NULL);
}

bool stop_take_hangup(void)
{
    return atomic_exchange(&has_hung_up, false);
}

void stop_forget(void)
{
    atomic_store(&watched, NULL);
}

int stop_count(void)
{
    return atomic_load(&count);
}
