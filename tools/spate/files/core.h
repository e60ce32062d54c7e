/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_CORE_H
#define SPATE_FILES_CORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <spate/spate.h>

#include "tools/spate/files/hash.h"
#include "tools/spate/files/share.h"
#include "tools/spate/files/wire.h"
#include "tools/spate/files/worker.h"

/* Who waits for memory, and what it does then. */
struct files_waiter {
    TAILQ_ENTRY(files_waiter) link;
    bool is_waiting;
    void (*go_on)(struct files_waiter *waiter);
};

/* What all streams of one side share.  Invariant: the buffers that are lent to the library, and on
 * a server what is asked for, have memory_max - memory_left bytes. */
struct files_core {
    struct spate_shard *shard;
    struct files_hashes hashes;
    uint64_t memory_max;
    uint64_t memory_left;
    uint64_t bytes_in; /* of files */
    uint64_t bytes_out;
    uint64_t queued_bytes; /* given to the library to be sent */
    /* Who has something to send and no memory, the oldest first. */
    TAILQ_HEAD(files_waiting, files_waiter) waiting;
    struct files_worker worker;
};

/* `shard` is to be set before a large file is moved, and files_core_stop() called before it is
 * destroyed. */
void files_core_init(struct files_core *ret, uint64_t memory_max);
void files_core_stop(struct files_core *core);
void files_core_deinit(struct files_core *core);

/* Returns how the items of a connection are hashed, which its protocol says: of a client from
 * SPATE_EVENT_CONNECTED on, of a server from its first event on. */
enum files_hash_kind files_core_hash(const struct spate_conn *conn);

/* A range of a large file, in a buffer, on the worker's thread. */
struct files_block {
    struct files_job job;
    void *owner;         /* a source or a sink */
    const uint8_t *data; /* to be written: in the buffer */
    size_t size;
    uint64_t at;  /* of the file */
    bool is_last; /* of those to be read */
    int error;    /* 0 or a negative errno */
};

/* Bytes that are lent to the library, the tag of a send. */
struct files_buffer {
    struct files_block block;  /* what the worker does with them */
    struct files_share *share; /* or NULL */
    uint64_t size;             /* that count against the memory, with these fields */
    size_t used;
    uint8_t data[];
};

/* Returns a buffer with room for `size` bytes, or NULL if the memory does not allow it now. */
struct files_buffer *files_buffer_create(struct files_core *core, size_t size);

/* .. or the share of a connection does not.  NULL: it is the only one.  files_core_allows() says
 * whether it would. */
struct files_buffer *files_buffer_create_for(struct files_core *core, struct files_share *share,
                                             size_t size);
bool files_core_allows(const struct files_core *core, const struct files_share *share, size_t size);

/* Returns a buffer for a message that must go out: a request of a client, or an answer of a few
 * bytes.  NULL only if malloc() fails. */
struct files_buffer *files_buffer_message(struct files_core *core, size_t size);
void files_buffer_destroy(struct files_core *core, struct files_buffer *buffer);

/* Gives the block of a buffer to the worker: `work` runs there, `done` in the shard's thread, in
 * the order of these calls.  files_buffer_of() returns the buffer of their argument. */
void files_core_work(struct files_core *core, struct files_lane *lane, struct files_buffer *buffer,
                     void (*work)(struct files_job *job), void (*done)(struct files_job *job));
struct files_buffer *files_buffer_of(struct files_job *job);

/* Sends the `used` bytes of a buffer, which the library owns then until SPATE_EVENT_SENT; on
 * failure it is destroyed.  Returns what spate_stream_send() returns. */
int files_buffer_send(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                      struct files_buffer *buffer, bool fin);

/* Sends an answer as files_buffer_send() does.  One that cannot be queued, or whose buffer is NULL
 * for want of memory, must not be taken for one that said nothing: the stream is reset with
 * FILES_BUSY.  Returns false then: nothing more can be sent on the stream. */
bool files_buffer_answer(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                         struct files_buffer *buffer, bool fin);

/* Waits until files_core_retry() calls go_on(), and stops waiting. */
void files_core_wait(struct files_core *core, struct files_waiter *waiter);
void files_core_leave(struct files_core *core, struct files_waiter *waiter);

/* Goes on with blocks that the worker is done with, and lets some of those go on that wait for
 * memory.  Returns true if some still do. */
bool files_core_retry(struct files_core *core);

/* Answers with a result; `fin`: as the last message.  Returns what files_buffer_answer() does. */
bool files_answer(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                  uint32_t index, enum files_status status, bool fin);

/* .. of which a stream may have many, within the share of its connection; more messages follow. */
bool files_answer_for(struct files_core *core, struct files_share *share, struct spate_conn *conn,
                      uint64_t stream_id, uint32_t index, enum files_status status);

#endif
