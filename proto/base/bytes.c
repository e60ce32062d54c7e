/* SPDX-License-Identifier: MIT */
#include "proto/base/bytes.h"

/* The part of the readers and writers that is not inline: fixed sizes, copies, varints.
 *
 * Each function asks once for all bytes that it needs.  A reader or writer that has failed
 * gives none, so that nothing here can pass the end of a buffer; see the header. */

uint16_t sb_reader_u16(struct sb_reader *r)
{
    const uint8_t *bytes = sb_reader_take(r, 2);
    return bytes == NULL ? 0 : sb_load_u16(bytes);
}

uint32_t sb_reader_u32(struct sb_reader *r)
{
    const uint8_t *bytes = sb_reader_take(r, 4);
    return bytes == NULL ? 0 : sb_load_u32(bytes);
}

uint64_t sb_reader_u64(struct sb_reader *r)
{
    const uint8_t *bytes = sb_reader_take(r, 8);
    return bytes == NULL ? 0 : sb_load_u64(bytes);
}

size_t sb_reader_skip_zeros(struct sb_reader *r)
{
    if (r->failed)
        return 0;
    const uint8_t *start = r->at;
    uint64_t word = 0;
    while (sb_reader_left(r) >= sizeof(word)) {
        memcpy(&word, r->at, sizeof(word));
        if (word != 0)
            break;
        r->at += sizeof(word);
    }
    while (r->at < r->end && *r->at == 0)
        r->at++;
    return (size_t)(r->at - start);
}

void sb_writer_u16(struct sb_writer *w, uint16_t value)
{
    uint8_t *room = sb_writer_room(w, sizeof(value));
    if (room != NULL)
        sb_store_u16(room, value);
}

void sb_writer_u32(struct sb_writer *w, uint32_t value)
{
    uint8_t *room = sb_writer_room(w, sizeof(value));
    if (room != NULL)
        sb_store_u32(room, value);
}

void sb_writer_u64(struct sb_writer *w, uint64_t value)
{
    uint8_t *room = sb_writer_room(w, sizeof(value));
    if (room != NULL)
        sb_store_u64(room, value);
}

void sb_writer_bytes(struct sb_writer *w, const void *data, size_t size)
{
    SB_ASSERT(data != NULL || size == 0);
    uint8_t *room = sb_writer_room(w, size);
    if (room != NULL && size > 0)
        memcpy(room, data, size);
}

void sb_writer_zeros(struct sb_writer *w, size_t size)
{
    uint8_t *room = sb_writer_room(w, size);
    if (room != NULL)
        memset(room, 0, size);
}

void sb_writer_varint_sized(struct sb_writer *w, uint64_t value, uint32_t size)
{
    SB_ASSERT(size == 1 || size == 2 || size == 4 || size == 8);
    SB_ASSERT(size >= sb_varint_size(value));

    /* The length goes into the two high bits: 0, 1, 2 or 3. */
    uint64_t prefix = (uint64_t)__builtin_ctz(size) << (size * 8 - 2);
    value |= prefix;
    uint8_t *room = sb_writer_room(w, size);
    if (room == NULL)
        return;
    if (size == 1)
        *room = (uint8_t)value;
    else if (size == 2)
        sb_store_u16(room, (uint16_t)value);
    else if (size == 4)
        sb_store_u32(room, (uint32_t)value);
    else
        sb_store_u64(room, value);
}
