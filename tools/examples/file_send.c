/* SPDX-License-Identifier: MIT */
/* Sends files to file_receive.c without copying them: each is mapped, and lent to the library as
 * one piece, on a stream of its own.
 *
 *     file_send PORT CA-FILE FILE... */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/examples/client.h"

struct file {
    void *data;
    size_t size;
};

/* Maps a file; an empty one has no bytes to map.  Returns 0, or 1 after it has said why not. */
static int map(const char *path, struct file *ret)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *ret = (struct file){NULL, 0};
    if (fd >= 0 && fstat(fd, &status) == 0) {
        ret->size = (size_t)status.st_size;
        if (ret->size > 0)
            ret->data = mmap(NULL, ret->size, PROT_READ, MAP_SHARED, fd, 0);
    }
    if (fd < 0 || ret->data == MAP_FAILED) {
        perror(path);
        if (fd >= 0)
            (void)close(fd);
        return 1;
    }
    (void)close(fd);
    return 0;
}

struct sender {
    struct client client;
    char **paths;
    int count, begun, closed, whole;
    bool has_ended;
};

/* Begins with as many files as the server has given streams for. */
static void send_some(struct sender *sender, struct spate_conn *conn)
{
    struct file file;
    uint64_t id;
    while (sender->begun < sender->count && spate_stream_open(conn, false, &id) == 0) {
        if (map(sender->paths[sender->begun++], &file) == 0) {
            /* Lent until SENT, whose tag says where the mapping is. */
            if (spate_stream_send(conn, id, file.data, file.size, true, (uintptr_t)file.data) == 0)
                continue;
            fprintf(stderr, "cannot send\n");
            if (file.data != NULL)
                (void)munmap(file.data, file.size);
        }
        (void)spate_stream_reset(conn, id, 1);
        (void)spate_stream_stop(conn, id, 1);
    }
}

static void handle(struct sender *sender, struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
    case SPATE_EVENT_STREAMS_AVAILABLE:
        send_some(sender, event->conn);
        break;
    case SPATE_EVENT_SENT:
        if (event->u.sent.size > 0)
            (void)munmap((void *)(uintptr_t)event->u.sent.tag, event->u.sent.size);
        break;
    case SPATE_EVENT_STREAM_DATA: /* the server ends the stream when the file is written */
        sender->whole += event->u.data.fin;
        spate_slice_release(sender->client.shard, &event->u.data.slice);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        if (++sender->closed == sender->count)
            spate_conn_close(event->conn, 0, "all sent");
        break;
    case SPATE_EVENT_CLOSED:
        sender->has_ended = true;
        if (sender->closed < sender->count || event->u.close.kind != SPATE_CLOSE_APP)
            fprintf(stderr, "the connection has ended: %s\n", event->u.close.reason);
        break;
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    struct sender sender = {.paths = argv + 3, .count = argc - 3};
    struct spate_event events[64];
    struct spate_config config;
    if (argc < 4) {
        fprintf(stderr, "usage: %s PORT CA-FILE FILE...\n", argv[0]);
        return 1;
    }
    spate_config_init(&config);
    int result = client_open(&sender.client, &config, argv[1], argv[2]);
    while (result == 0 && !sender.has_ended) {
        result = client_turn(&sender.client, SPATE_FOREVER);
        uint32_t count = spate_shard_events(sender.client.shard, events, 64);
        for (uint32_t i = 0; i < count; i++)
            handle(&sender, &events[i]);
    }
    client_close(&sender.client);
    return result == 0 && sender.whole == sender.count ? 0 : 1;
}
