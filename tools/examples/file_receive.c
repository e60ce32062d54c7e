/* SPDX-License-Identifier: MIT */
/* Receives files from file_send.c: each stream becomes a file of FOLDER, 1, 2 and so on, which has
 * that name once it is whole.
 *
 *     file_receive CERT-FILE KEY-FILE PORT FOLDER */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/examples/echo.h"

/* A file that arrives: its stream's user pointer. */
struct incoming {
    int fd;
    int number;
};

static struct spate_shard *shard;
static atomic_bool is_over; /* a signal came */
static bool has_ended;      /* .. and the last connection is gone */
static int files;

static void on_signal(int signal)
{
    (void)signal;
    atomic_store(&is_over, true);
    spate_shard_wake(shard);
}

/* A stream whose file cannot be made has no user pointer, and is given up at its first bytes. */
static void begin(struct spate_event *event)
{
    char part[32];
    struct incoming *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return;
    file->number = ++files;
    (void)snprintf(part, sizeof(part), "%d.part", file->number);
    file->fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file->fd >= 0 && spate_stream_set_user(event->conn, event->stream_id, file) == 0)
        return;
    perror(part);
    free(file);
}

/* Writes all bytes: the kernel copies them out of the packets.  Returns false on an error. */
static bool put(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t count = pwrite(fd, data, size, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        data += count;
        size -= (size_t)count;
        offset += (size_t)count;
    }
    return true;
}

/* Gives the file its name, and tells the sender by ending the stream. */
static bool end(struct spate_event *event, struct incoming *file)
{
    char part[32], whole[32];
    (void)snprintf(part, sizeof(part), "%d.part", file->number);
    (void)snprintf(whole, sizeof(whole), "%d", file->number);
    return rename(part, whole) == 0 &&
           spate_stream_send(event->conn, event->stream_id, NULL, 0, true, 0) == 0;
}

static void take(struct spate_event *event)
{
    struct incoming *file = event->stream_user;
    struct spate_slice *slice = &event->u.data.slice;
    bool is_good = file != NULL && put(file->fd, slice->data, slice->size, event->u.data.offset) &&
                   (!event->u.data.fin || end(event, file));
    spate_slice_release(shard, slice);
    if (is_good)
        return;
    if (file != NULL)
        perror("file_receive");
    (void)spate_stream_stop(event->conn, event->stream_id, 1);
    (void)spate_stream_reset(event->conn, event->stream_id, 1);
}

static void handle(struct spate_event *event)
{
    struct incoming *file = event->stream_user;
    if (event->kind == SPATE_EVENT_STREAM_OPENED) {
        begin(event);
    } else if (event->kind == SPATE_EVENT_STREAM_DATA) {
        take(event);
    } else if (event->kind == SPATE_EVENT_STREAM_RESET) {
        (void)spate_stream_reset(event->conn, event->stream_id, 1);
    } else if (event->kind == SPATE_EVENT_STREAM_CLOSED && file != NULL) {
        char part[32];
        (void)snprintf(part, sizeof(part), "%d.part", file->number);
        (void)unlink(part); /* of a file that is not whole */
        (void)close(file->fd);
        free(file);
    } else if (event->kind == SPATE_EVENT_SHUTDOWN) {
        has_ended = true;
    }
}

int main(int argc, char **argv)
{
    const struct sigaction ends = {.sa_handler = on_signal};
    struct spate_event events[64];
    struct echo echo;
    if (argc != 5) {
        fprintf(stderr, "usage: %s CERT-FILE KEY-FILE PORT FOLDER\n", argv[0]);
        return 1;
    }
    int result = echo_open(&echo, 4, argv);
    if (result == 0 && chdir(argv[4]) != 0) {
        perror(argv[4]);
        result = 1;
    }
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
