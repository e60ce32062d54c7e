/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_CORE_H
#define SPATE_FILES_CORE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <spate/spate.h>

#include "tools/spate/files/wire.h"

struct files_source;

/* What all streams of one side share.  Invariant: the buffers that are lent to the library have
 * memory_max - memory_left bytes. */
struct files_core {
    struct spate_shard *shard;
    EVP_MD *digest;
    uint64_t memory_max;
    uint64_t memory_left;
    uint64_t bytes_in; /* of files */
    uint64_t bytes_out;
    uint64_t queued_bytes; /* given to the library to be sent */
    /* Sources that have something to send and no memory, the oldest first. */
    TAILQ_HEAD(files_waiting, files_source) waiting;
};

/* Returns false without OpenSSL's digest. */
bool files_core_init(struct files_core *ret, uint64_t memory_max);
void files_core_deinit(struct files_core *core);

/* Bytes that are lent to the library, the tag of a send. */
struct files_buffer {
    uint64_t size; /* that count against the memory */
    size_t used;
    uint8_t data[];
};

/* Returns a buffer with room for `size` bytes, or NULL if the memory does not allow it now.  Small
 * buffers (below 64 KiB) are always allowed: answers must go out. */
struct files_buffer *files_buffer_create(struct files_core *core, size_t size);
void files_buffer_destroy(struct files_core *core, struct files_buffer *buffer);

/* Sends the `used` bytes of a buffer, which the library owns then until SPATE_EVENT_SENT; on
 * failure it is destroyed.  Returns what spate_stream_send() returns. */
int files_buffer_send(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                      struct files_buffer *buffer, bool fin);

/* Sends an answer as files_buffer_send() does.  One that cannot be queued, or whose buffer is NULL
 * for want of memory, must not be taken for one that said nothing: the stream is reset with
 * FILES_BUSY.  Returns false then: nothing more can be sent on the stream. */
bool files_buffer_answer(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                         struct files_buffer *buffer, bool fin);

/* Answers with a result; `fin`: as the last message.  Returns what files_buffer_answer() does. */
bool files_answer(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                  uint32_t index, enum files_status status, bool fin);

#endif
