/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SERVE_STREAM_H
#define SPATE_SERVE_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <spate/spate.h>

#include "tools/spate/body.h"

struct serve_stream;

/* What the streams of a server share. */
struct serve_files {
    int root; /* from root_open() */
    struct body_memory memory;
    LIST_HEAD(, serve_conn) conns;
    uint32_t partial_count; /* streams that hold a part of their request */
    /* Streams that have a request, and no memory or descriptor to answer it, the oldest first. */
    TAILQ_HEAD(serve_waiting, serve_stream) waiting;
    bool is_verbose; /* print a line for each request */
};

void serve_files_init(struct serve_files *files, int root, bool is_verbose);

/* After the engine's end, which tells nobody of connections that live: frees what they have. */
void serve_files_deinit(struct serve_files *files);

/* Handles an event of a connection that speaks HTTP/0.9, whose user pointer is this function's.
 * Releases the slice of STREAM_DATA. */
void serve_stream_event(struct serve_files *files, struct spate_event *event);

/* Goes on with streams that wait.  Returns true if some still do: try again soon. */
bool serve_files_retry(struct serve_files *files);

#endif
