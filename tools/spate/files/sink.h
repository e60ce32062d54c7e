/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_SINK_H
#define SPATE_FILES_SINK_H

#include "tools/spate/files/beneath.h"
#include "tools/spate/files/core.h"
#include "tools/spate/files/inbox.h"
#include "tools/spate/files/target.h"

struct files_sink;

/* What the owner of a sink decides. */
struct files_sink_owner {
    void *user;
    /* Is asked about each item.  Returns FILES_OK to take it; for a piece of a large file with
     * `*ret_target` set, whose `users` the sink counts.  Other statuses refuse it.  The path may be
     * changed: it says where the item is written. */
    enum files_status (*on_head)(void *user, struct files_item *item,
                                 struct files_target **ret_target);
    /* Hears what became of the item at an index of the stream. */
    void (*on_item)(void *user, const struct files_item *item, uint32_t index,
                    enum files_status status);
    /* Gets every other message.  Returns false to end the stream with FILES_BAD_MESSAGE. */
    bool (*on_message)(void *user, const struct files_message *message);
    /* The worker is done with a block, and the sink may have ended by that.  May destroy it. */
    void (*on_step)(void *user);
};

enum { FILES_LENT_MAX = 6 }; /* of the 8 that the library allows */

/* Receives items from a stream.  Small files are written when they are there.  A piece of a large
 * file is decrypted into a few buffers that are used again and again, so that they stay in the
 * cache, and hashed and written from there, by the worker. */
struct files_sink {
    struct files_core *core;
    struct files_beneath *beneath;
    struct files_share *share; /* of the connection, on a server */
    struct spate_conn *conn;
    uint64_t stream_id;
    struct files_sink_owner owner;
    struct files_inbox inbox;
    struct files_hash hash; /* its kind is known with the first bytes */
    bool has_ended;         /* the end has come, or it was given up */
    bool in_data;           /* of `item`; else between items */
    bool has_piece;         /* one has come: the last item of the stream, memory is lent for it */
    bool is_refused;        /* the item's data is dropped */
    enum files_status refusal;
    uint32_t index; /* of the item */
    struct files_item item;
    uint64_t taken; /* bytes of the item's data and digest */
    uint8_t *small; /* data and digest so far, of an item that does not lie in one slice */
    uint8_t digest[FILES_DIGEST_SIZE];

    struct files_target *target; /* of a piece */
    bool writes;                 /* its chunk, which nobody else does then */
    uint32_t extent;             /* where the data goes */
    uint64_t extent_taken;
    const uint8_t *unwritten; /* data that was taken, in a buffer that is lent */
    size_t unwritten_size;
    uint64_t unwritten_at;                     /* of the file */
    uint64_t offset;                           /* of the stream: bytes taken */
    uint64_t data_at;                          /* of the stream: where the data begins */
    uint64_t lent_to;                          /* of data and digest: memory was lent up to here */
    struct files_buffer *lent[FILES_LENT_MAX]; /* or with the worker */
    struct files_lane lane;
    bool is_draining; /* done() of blocks does nothing more than take them back */
    bool is_taken;    /* data and digest of the piece are there, but for the worker */
    bool has_fin;     /* .. and the end of the stream */
    bool is_closed;   /* the stream */
    int error;        /* of the worker: 0 or a negative errno */
};

/* `share` is NULL on a client. */
void files_sink_init(struct files_sink *ret, struct files_core *core, struct files_beneath *beneath,
                     struct files_share *share, struct spate_conn *conn, uint64_t stream_id,
                     const struct files_sink_owner *owner);

/* Notes SPATE_EVENT_STREAM_CLOSED.  Returns whether the piece is complete but for the worker:
 * on_step() follows, and files_sink_deinit() may wait until the sink has ended. files_sink_settle()
 * waits for that, without on_step(). */
bool files_sink_closed(struct files_sink *sink);
void files_sink_settle(struct files_sink *sink);

/* After SPATE_EVENT_STREAM_CLOSED. */
void files_sink_deinit(struct files_sink *sink);

/* Take bytes of the stream: of STREAM_DATA, whose slice stays the caller's, and of STREAM_PLACED.
 */
void files_sink_data(struct files_sink *sink, const uint8_t *data, size_t size, bool fin);
void files_sink_placed(struct files_sink *sink, const struct spate_event *event);

/* Gives up: what is half goes, and the item hears `status`. */
void files_sink_fail(struct files_sink *sink, enum files_status status);

#endif
