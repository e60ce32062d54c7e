/* SPDX-License-Identifier: MIT */
#include "engine/message/segments.h"

/* Runs come from a pool of the shard, and buffers from the heap; a run owns its slice or buffer. */

#include <string.h>

#include "engine/shard/shard.h"
#include "proto/base/assert.h"

static bool is_large(size_t bytes)
{
    return bytes >= SE_LARGE_SIZE_MIN && bytes <= SE_LARGE_SIZE_MAX;
}

struct se_message_buffer *se_message_buffer_make(struct spate_messenger *messenger, size_t size)
{
    struct se_memory *memory = &messenger->shard->memory;
    size_t bytes = sizeof(struct se_message_buffer) + size;
    if (is_large(bytes))
        bytes = se_large_size_for(bytes);
    struct se_message_buffer *buffer =
        is_large(bytes) ? se_memory_take_large(memory, bytes) : se_memory_take_heap(memory, bytes);
    if (buffer == NULL)
        return NULL;
    buffer->bytes = bytes;
    se_messenger_count(messenger, (int64_t)bytes);
    return buffer;
}

void se_message_buffer_free(struct spate_messenger *messenger, struct se_message_buffer *buffer)
{
    if (buffer == NULL)
        return;
    struct se_memory *memory = &messenger->shard->memory;
    size_t bytes = buffer->bytes;
    se_messenger_count(messenger, -(int64_t)bytes);
    if (is_large(bytes))
        se_memory_give_large(memory, buffer, bytes);
    else
        se_memory_give_heap(memory, buffer, bytes);
}

struct se_segment *se_segment_append(struct se_exchange *exchange, const uint8_t *data, size_t size)
{
    struct se_segment *segment = sb_pool_take(&exchange->messenger->shard->segment_pool);
    if (segment == NULL)
        return NULL;
    *segment = (struct se_segment){.data = data, .size = size};
    if (exchange->last != NULL)
        exchange->last->next = segment;
    else
        exchange->first = segment;
    exchange->last = segment;
    exchange->segment_count++;
    exchange->in_size += size;
    return segment;
}

bool se_segment_append_slice(struct se_exchange *exchange, const struct spate_slice *slice)
{
    struct se_segment *segment = se_segment_append(exchange, slice->data, slice->size);
    if (segment == NULL)
        return false;
    segment->slice = *slice;
    exchange->slice_count++;
    exchange->slice_bytes += slice->size;
    return true;
}

static void free_segment(struct spate_messenger *messenger, struct se_segment *segment)
{
    if (segment->buffer != NULL)
        se_message_buffer_free(messenger, segment->buffer);
    else if (segment->slice.buffer != NULL)
        spate_slice_release(messenger->shard, &segment->slice);
    sb_pool_give(&messenger->shard->segment_pool, segment);
}

void se_segments_free(struct se_exchange *exchange)
{
    if (exchange->lent_has_segment) { /* the connection still writes there */
        exchange->last->buffer = NULL;
        exchange->lent_has_segment = false;
    }
    for (struct se_segment *segment = exchange->first; segment != NULL;) {
        struct se_segment *next = segment->next;
        free_segment(exchange->messenger, segment);
        segment = next;
    }
    exchange->first = exchange->last = NULL;
    exchange->segment_count = 0;
    exchange->in_size = 0;
    exchange->slice_count = 0;
    exchange->slice_bytes = 0;
}

static bool is_slice(const struct se_segment *segment)
{
    return segment != NULL && segment->buffer == NULL;
}

/* Copies the slices that begin at `link`, up to the first segment that is none. */
static bool compact_run(struct se_exchange *exchange, struct se_segment **link)
{
    struct spate_messenger *messenger = exchange->messenger;
    size_t size = 0, at = 0;
    for (const struct se_segment *run = *link; is_slice(run); run = run->next)
        size += run->size;
    struct se_message_buffer *buffer = se_message_buffer_make(messenger, size);
    if (buffer == NULL)
        return false;
    struct se_segment *next = *link, *run = NULL;
    while (is_slice(next)) {
        run = next;
        next = run->next;
        memcpy(buffer->data + at, run->data, run->size);
        at += run->size;
        if (!is_slice(next))
            break;
        free_segment(messenger, run);
        exchange->segment_count--;
        exchange->slice_count--;
    }
    SB_ASSERT(at == size);
    if (run->slice.buffer != NULL)
        spate_slice_release(messenger->shard, &run->slice);
    *run = (struct se_segment){.next = next, .data = buffer->data, .size = size, .buffer = buffer};
    *link = run; /* the last of them, which is exchange->last if nothing follows */
    exchange->slice_count--;
    exchange->slice_bytes -= size;
    messenger->counts.bytes_copied += size;
    return true;
}

bool se_segments_compact(struct se_exchange *exchange)
{
    struct se_segment **link = &exchange->first;
    for (; exchange->slice_count > 0; link = &(*link)->next)
        if (is_slice(*link) && !compact_run(exchange, link))
            return false;
    return true;
}
