/* SPDX-License-Identifier: MIT */
#include "proto/base/bytes.h"

static uint64_t big_endian(const uint8_t *bytes, uint32_t size)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void write_big_endian(struct sb_writer *w, uint64_t value, uint32_t size)
{
    uint8_t *room = sb_writer_room(w, size);
    if (room == NULL)
        return;
    for (uint32_t i = size; i-- > 0; value >>= 8)
        room[i] = (uint8_t)value;
}

uint16_t sb_reader_u16(struct sb_reader *r)
{
    const uint8_t *bytes = sb_reader_take(r, 2);
    return bytes == NULL ? 0 : (uint16_t)big_endian(bytes, 2);
}

uint32_t sb_reader_u32(struct sb_reader *r)
{
    const uint8_t *bytes = sb_reader_take(r, 4);
    return bytes == NULL ? 0 : (uint32_t)big_endian(bytes, 4);
}

uint64_t sb_reader_u64(struct sb_reader *r)
{
    const uint8_t *bytes = sb_reader_take(r, 8);
    return bytes == NULL ? 0 : big_endian(bytes, 8);
}

/* [RFC9000 16] The two high bits of the first byte give the length: 1, 2, 4, 8. */
uint64_t sb_reader_varint(struct sb_reader *r)
{
    const uint8_t *first = sb_reader_take(r, 1);
    if (first == NULL)
        return 0;

    uint32_t rest_size = (1u << (*first >> 6)) - 1;
    if (rest_size == 0)
        return *first;
    const uint8_t *rest = sb_reader_take(r, rest_size);
    if (rest == NULL)
        return 0;

    uint64_t value = *first & 0x3f;
    for (uint32_t i = 0; i < rest_size; i++)
        value = value << 8 | rest[i];

    SB_ASSERT(value <= SB_VARINT_MAX);
    return value;
}

void sb_writer_u16(struct sb_writer *w, uint16_t value)
{
    write_big_endian(w, value, 2);
}

void sb_writer_u32(struct sb_writer *w, uint32_t value)
{
    write_big_endian(w, value, 4);
}

void sb_writer_u64(struct sb_writer *w, uint64_t value)
{
    write_big_endian(w, value, 8);
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

void sb_writer_varint(struct sb_writer *w, uint64_t value)
{
    sb_writer_varint_sized(w, value, sb_varint_size(value));
}

void sb_writer_varint_sized(struct sb_writer *w, uint64_t value, uint32_t size)
{
    SB_ASSERT(size == 1 || size == 2 || size == 4 || size == 8);
    SB_ASSERT(size >= sb_varint_size(value));

    /* The length goes into the two high bits: 0, 1, 2 or 3. */
    uint64_t prefix = (uint64_t)__builtin_ctz(size) << (size * 8 - 2);
    write_big_endian(w, value | prefix, size);
}
