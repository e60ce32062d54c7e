/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_SOURCE_H
#define SPATE_FILES_SOURCE_H

#include "tools/spate/files/core.h"

/* Something to send: a folder, a symbolic link, a small file, or a piece of a large one. */
struct files_want {
    STAILQ_ENTRY(files_want) link;
    uint64_t bytes;         /* of the memory that it takes */
    uint64_t charged_bytes; /* .. that were taken from the core's: see files_source_add() */
    enum files_kind kind;
    bool is_pinned; /* the file must have `size` and `mtime_ns` */
    uint16_t mode;  /* folders and links; files have their own */
    int64_t mtime_ns;
    uint64_t size;
    uint64_t offset;
    uint64_t piece_size; /* at most; up to the end of the file */
    int root;            /* a folder, where `local` is; the owner's */
    const char *path;    /* that the peer sees */
    const char *local;
    const char *target; /* of a link; else "" */
};

STAILQ_HEAD(files_wants, files_want);

/* Returns a copy of the strings and zeros, or NULL without memory.  files_want_destroy() frees it.
 */
struct files_want *files_want_create(const char *path, const char *local, const char *target);
void files_want_destroy(struct files_want *want);

/* Sends items on a stream: what its list has, in order.
 *
 * Files are read by pread() into memory that is lent to the library until the peer has the bytes:
 * one copy, by the kernel.  The digest is computed while that copy is in the cache.  For large
 * files the worker does both.  A mapping would save the copy, but a file that becomes shorter
 * meanwhile would end the program by SIGBUS.
 */
struct files_source {
    struct files_waiter waiter;
    struct files_core *core;
    struct files_share *share; /* of the connection, on a server; or NULL */
    struct spate_conn *conn;
    uint64_t stream_id;
    struct files_wants wants;
    bool is_complete; /* no more is added: the stream ends after the list */
    bool has_ended;   /* the end is queued, or the stream is given up */
    bool has_chunk;   /* a piece of a large file was begun: the last item of the stream */
    bool answers;     /* what cannot be sent becomes a FILES_RESULT in its place */
    uint32_t index;   /* of the next item */
    /* Called for what cannot be sent if `answers` is false.  May be NULL. */
    void (*on_error)(void *user, enum files_status status);
    void *user;

    int fd; /* of the piece that is sent, until its last block is read; -1: none */
    struct files_item item;
    uint32_t extent; /* that is sent */
    uint64_t at;     /* the next byte of the file */
    bool is_asked;   /* all blocks of the piece were handed to the worker */
    struct files_lane lane;
    uint64_t reading_bytes; /* with the worker */
    struct files_buffer *batch;
    size_t batch_room;
    struct files_hash hash;
    uint64_t lent_bytes;
};

/* The connection has its protocol: see files_core_hash(). */
void files_source_init(struct files_source *ret, struct files_core *core, struct spate_conn *conn,
                       uint64_t stream_id);

/* Ends it.  What is lent to the library must have come back. */
void files_source_deinit(struct files_source *source);

/* Adds what a client asks for, which counts against its share and the memory.  Takes it; returns
 * false if that is too much. */
bool files_source_add(struct files_source *source, struct files_want *want);

/* Sends as much as memory and the peer allow. */
void files_source_pump(struct files_source *source);

/* Handles SPATE_EVENT_SENT, and goes on. */
void files_source_sent(struct files_source *source, const struct spate_event *event);

/* Sends nothing more: the stream is reset with `status`. */
void files_source_abort(struct files_source *source, enum files_status status);

#endif
