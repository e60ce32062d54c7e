/* SPDX-License-Identifier: MIT */
#ifndef SB_SLICE_H
#define SB_SLICE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/assert.h"

/* A block of memory that slices point into: a receive slot, for example.
 *
 * The count is plain, not atomic: a buffer and all slices of it belong to one
 * shard.  A new buffer has one reference; the last unref calls `release`,
 * which frees the memory.
 *
 * `queued_bytes` counts the bytes of those slices that wait in reassembly queues.  If they are few
 * against `size`, they are copied, so that the buffer is freed: see proto/stream/compact.h. */
struct sb_buffer {
    uint32_t ref_count;
    uint32_t queued_bytes;
    void (*release)(struct sb_buffer *buffer);
    uint32_t size; /* bytes of memory that the buffer occupies; 0: its slices are never copied */
};

/* A part of a buffer.  The owner of a slice owns one reference to its buffer;
 * `buffer` is NULL for bytes that need not be released. */
struct sb_slice {
    const uint8_t *data;
    size_t size;
    struct sb_buffer *buffer;
};

static inline void sb_buffer_ref(struct sb_buffer *buffer)
{
    if (buffer == NULL)
        return;
    SB_ASSERT(buffer->ref_count > 0);
    buffer->ref_count++;
}

/* May release the buffer: no slice of it that the caller does not hold by a
 * reference of its own may be touched after this. */
static inline void sb_buffer_unref(struct sb_buffer *buffer)
{
    if (buffer == NULL)
        return;
    SB_ASSERT(buffer->ref_count > 0);
    if (--buffer->ref_count == 0)
        buffer->release(buffer);
}

#endif
