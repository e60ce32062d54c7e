/* SPDX-License-Identifier: MIT */
#include "tools/spate/replace.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <spate/spate.h>

#include "tools/spate/message.h"

#define PATIENCE_NS UINT64_C(10000000000)
#define SLICE_NS    UINT64_C(500000000) /* of a wait that the end of the process cuts off */
#define RETRY_MS    100

static bool failed(const struct replace *h, const char *what)
{
    message("serve", "--hand-over %s: %s", h->path, what);
    return false;
}

/* .. where the error names the path. */
static bool failed_there(const struct spate_error *error)
{
    message("serve", "--hand-over %s", error->text);
    return false;
}

bool replace_take(struct replace *ret, const char *path, struct spate_engine *engine,
                  bool *ret_is_taken)
{
    struct spate_error error = {""};
    *ret = (struct replace){.path = path, .engine = engine, .listening = -1};
    ret->shard = spate_engine_shard(engine, 0);
    ret->channel = spate_hand_over_connect(path, &error);
    *ret_is_taken = false;
    if (ret->channel == -ENOENT)
        return true;
    if (ret->channel < 0)
        return failed_there(&error);
    *ret_is_taken = true;
    return spate_engine_take_over(engine, ret->channel, PATIENCE_NS, &error) == 0 ||
           failed(ret, error.text);
}

/* Returns the channel to a process that has come; -1: the server ends.  What else fails, as for
 * want of a descriptor, passes. */
static int next_channel(const struct replace *h)
{
    int channel;
    while ((channel = accept4(h->listening, NULL, NULL, SOCK_CLOEXEC)) < 0 &&
           !atomic_load(&h->is_ending))
        (void)poll(NULL, 0, RETRY_MS);
    return channel;
}

/* Gives the sockets to the first process that takes them. */
static void *wait_for_next(void *argument)
{
    struct replace *h = argument;
    int channel;
    while ((channel = next_channel(h)) >= 0) {
        struct spate_error error = {""};
        int result;
        do /* until the engine gives it up */
            result = spate_engine_hand_over(h->engine, channel, SLICE_NS, &error);
        while (result == -EAGAIN && !atomic_load(&h->is_ending));
        (void)close(channel);
        if (result == 0) {
            atomic_store(&h->is_given, true);
            spate_shard_wake(h->shard);
            break;
        }
        if (result != -EAGAIN)
            (void)failed(h, error.text);
    }
    return NULL;
}

/* A successor listens at the path before this process has read that it is replaced. */
static bool is_own_path(const struct replace *h)
{
    struct stat status;
    return lstat(h->path, &status) == 0 && status.st_dev == h->device && status.st_ino == h->inode;
}

bool replace_finish(struct replace *h)
{
    struct spate_error error = {""};
    struct stat status;
    if (h->channel >= 0 && spate_engine_take_over_finish(h->engine, PATIENCE_NS, &error) != 0)
        return failed(h, error.text);
    if (h->channel >= 0)
        (void)close(h->channel);
    h->channel = -1;
    h->listening = spate_hand_over_listen(h->path, &error);
    if (h->listening < 0)
        return failed_there(&error);
    if (lstat(h->path, &status) == 0) {
        h->device = status.st_dev;
        h->inode = status.st_ino;
    }
    int result = pthread_create(&h->thread, NULL, wait_for_next, h);
    h->has_thread = result == 0;
    return h->has_thread || failed(h, strerror(result));
}

bool replace_is_given(const struct replace *h)
{
    return h->has_thread && atomic_load(&h->is_given);
}

void replace_end(struct replace *h)
{
    if (h->has_thread) {
        if (is_own_path(h))
            (void)unlink(h->path);
        atomic_store(&h->is_ending, true);
        (void)shutdown(h->listening, SHUT_RDWR); /* ends the thread's accept4() */
        (void)pthread_join(h->thread, NULL);
    }
    if (h->listening >= 0)
        (void)close(h->listening);
    if (h->channel >= 0)
        (void)close(h->channel);
    h->has_thread = false;
    h->listening = h->channel = -1;
}
