/* SPDX-License-Identifier: MIT */
#include "tools/spate/get_file.h"

/* The bytes of a stream are decrypted straight into memory that is lent to the library, two buffers
 * in turn, and written to the file from there when an event reports them.  A mapping of the file
 * would save that copy by the kernel, but a full disk would end the program by SIGBUS. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/message.h"

/* Most files of many are small: the first buffer costs little. */
enum { BUFFER_SIZE_FIRST = 16 << 10, BUFFER_SIZE = 256 << 10 };

/* Memory that is lent: the tag of spate_stream_receive_into(). */
struct buffer {
    size_t size;
    uint8_t data[];
};

static void print_failure(struct get_file *file, const char *why)
{
    struct get *get = file->job->get;
    get->on_message(get);
    /* The request without "GET " and the line end: the path. */
    message("get", "https://%s%.*s: %s", file->url->server, (int)file->url->request_size - 6,
            file->url->request + 4, why);
}

void get_file_fail(struct get_file *file, const char *why)
{
    if (file->stage == GET_DONE || file->stage == GET_FAILED)
        return;
    if (file->stage == GET_OPEN)
        download_abort(&file->download);
    file->stage = GET_FAILED;
    file->job->left--;
    file->job->get->failed_count++;
    if (why != NULL)
        print_failure(file, why);
}

/* Takes the ownership of `buffer`. */
static int lend(struct get_file *file, struct buffer *buffer)
{
    int e = -ENOMEM;
    if (buffer != NULL)
        e = spate_stream_receive_into(file->job->conn, file->stream_id, buffer->data, buffer->size,
                                      (uintptr_t)buffer, NULL);
    if (e != 0)
        free(buffer);
    return e;
}

static struct buffer *buffer_create(size_t size)
{
    struct buffer *buffer = malloc(sizeof(*buffer) + size);
    if (buffer != NULL)
        buffer->size = size;
    return buffer;
}

/* Ends the stream from this side too: the rest of the file is of no use. */
static void give_up(struct get_file *file, const char *why)
{
    get_file_fail(file, why);
    (void)spate_stream_stop(file->job->conn, file->stream_id, HQ_CANCELLED);
}

int get_file_start(struct get_file *file)
{
    struct spate_conn *conn = file->job->conn;
    int e = spate_stream_open(conn, false, &file->stream_id);
    if (e == -EAGAIN || e == -ENOBUFS || e == -ENOTCONN)
        return -EAGAIN;
    if (e == 0)
        e = spate_stream_set_user(conn, file->stream_id, file);
    if (e != 0) {
        get_file_fail(file, strerror(-e));
        return e;
    }
    e = download_open(&file->download, file->job->get->folder, file->url->name);
    if (e == 0)
        file->stage = GET_OPEN;
    if (e == 0)
        e = lend(file, buffer_create(BUFFER_SIZE_FIRST));
    if (e == 0)
        e = lend(file, buffer_create(BUFFER_SIZE));
    if (e == 0)
        e = spate_stream_send(conn, file->stream_id, file->url->request, file->url->request_size,
                              true, 0);
    if (e != 0) {
        give_up(file, strerror(-e));
        (void)spate_stream_reset(conn, file->stream_id, HQ_CANCELLED);
    }
    return 0; /* the stream is open: its SPATE_EVENT_STREAM_CLOSED comes in any case */
}

static void take_bytes(struct get_file *file, const uint8_t *data, size_t size, bool fin)
{
    if (file->stage != GET_OPEN)
        return;
    int e = size > 0 ? download_write(&file->download, data, size) : 0;
    if (e != 0) {
        give_up(file, strerror(-e));
        return;
    }
    file->job->get->bytes += size;
    if (!fin)
        return;
    e = download_commit(&file->download);
    if (e != 0) {
        get_file_fail(file, strerror(-e));
        return;
    }
    file->stage = GET_DONE;
    file->job->left--;
    file->job->get->done_count++;
}

static void on_placed(struct get_file *file, const struct spate_event *event)
{
    take_bytes(file, event->u.placed.data, event->u.placed.size, event->u.placed.fin);
    if (!event->u.placed.is_returned)
        return;
    struct buffer *buffer = (struct buffer *)(uintptr_t)event->u.placed.tag;
    if (file->stage != GET_OPEN) {
        free(buffer);
        return;
    }
    if (buffer != NULL && buffer->size < BUFFER_SIZE) {
        free(buffer);
        buffer = buffer_create(BUFFER_SIZE);
    }
    int e = lend(file, buffer);
    /* -EPIPE and -ENOTCONN: it comes back because the stream ends, and an event says how. */
    if (e != 0 && e != -EPIPE && e != -ENOTCONN)
        give_up(file, strerror(-e));
}

void get_file_event(struct get_file *file, struct spate_event *event)
{
    char why[96];
    switch (event->kind) {
    case SPATE_EVENT_STREAM_PLACED:
        on_placed(file, event);
        break;
    case SPATE_EVENT_STREAM_DATA: /* what found no lent memory when the connection ended */
        take_bytes(file, event->u.data.slice.data, event->u.data.slice.size, event->u.data.fin);
        spate_slice_release(file->job->get->shard, &event->u.data.slice);
        break;
    case SPATE_EVENT_STREAM_RESET:
        (void)snprintf(why, sizeof(why), "%s (code %" PRIu64 ")", hq_status_text(event->u.error),
                       event->u.error);
        get_file_fail(file, why);
        break;
    default: /* SENT, STREAM_STOPPED: the request is static, and a reset follows */
        break;
    }
}
