/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_SERVER_IMPL_H
#define SPATE_FILES_SERVER_IMPL_H

#include "tools/spate/files/server.h"
#include "tools/spate/files/sink.h"
#include "tools/spate/files/walk.h"

/* A connection. */
struct files_session {
    SLIST_ENTRY(files_session) link; /* while it is unused */
    struct files_server *server;
    struct spate_conn *conn;
    bool is_proven; /* the client has the token, or none is needed */
    struct share_source *source;
    struct files_share share;
    LIST_HEAD(, files_stream) streams;
};

/* Where they lie. */
struct files_sessions {
    SLIST_ENTRY(files_sessions) link;
    struct files_session items[255]; /* 26 KiB */
};

enum files_mode {
    MODE_NEW,  /* its first message is not complete */
    MODE_LIST, /* sends a list */
    MODE_PULL, /* sends what is asked for */
    MODE_PUSH, /* takes in items */
    MODE_DONE, /* the answer is queued, or it is refused */
};

/* A stream: one request, or many of a kind. */
struct files_stream {
    LIST_ENTRY(files_stream) link;
    struct files_session *session;
    uint64_t id;
    enum files_mode mode;
    bool has_source;
    bool has_sink;
    bool is_closed; /* .. but its last blocks are with the worker */
    struct files_inbox inbox;
    struct files_walk *walk;
    uint32_t list_count;        /* items of the list so far */
    uint64_t lent_bytes;        /* of the list */
    struct files_waiter waiter; /* for memory for the list */
    struct files_source source;
    struct files_sink sink;
};

/* Begins to take in items. */
void files_push_begin(struct files_stream *stream);

/* Answers at the end of the items. */
void files_push_end(struct files_stream *stream);

/* Frees a stream that has ended. */
void files_stream_end(struct files_stream *stream);

/* Returns FILES_OK if the server takes in something at a path. */
enum files_status files_push_may_write(const struct files_server *server, const char *path);

/* Answers FILES_PROBE, and ends the stream. */
void files_push_probe(struct files_stream *stream, const struct files_request *request);

/* Closes targets of a connection that it has asked about and does not write to: the oldest, beyond
 * some.  They are opened again when it does. */
void files_push_trim(struct files_server *server, const struct files_session *session);

/* Closes targets that nobody writes to.  `session`: those of that connection too that are not
 * whole; NULL: only the others. */
void files_push_sweep(struct files_server *server, const struct files_session *session);

#endif
