/* SPDX-License-Identifier: MIT */
#ifndef SB_BYTES_H
#define SB_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

#define SB_VARINT_MAX      ((UINT64_C(1) << 62) - 1)
#define SB_VARINT_NONE     UINT64_MAX /* no number: above all of them */
#define SB_VARINT_SIZE_MAX 8

/* A range of bytes, borrowed from its owner. */
struct sb_bytes {
    const uint8_t *data;
    size_t size;
};

/* Big endian numbers at any address.  Compilers make one load and one swap of each. */

static inline uint16_t sb_load_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t sb_load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t sb_load_u64(const uint8_t *at)
{
    return (uint64_t)sb_load_u32(at) << 32 | sb_load_u32(at + 4);
}

static inline void sb_store_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void sb_store_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static inline void sb_store_u64(uint8_t *at, uint64_t value)
{
    sb_store_u32(at, (uint32_t)(value >> 32));
    sb_store_u32(at + 4, (uint32_t)value);
}

/* Reads the number at `at`, all of whose bytes must be there, and returns the address after it.
 * [RFC9000 16] The two high bits of the first byte give the length: 1, 2, 4, 8.  Longer forms
 * than necessary are valid.  Sizes are often the same from packet to packet, so a branch per size
 * is predicted well, and is faster than a computed size. */
static inline const uint8_t *sb_load_varint(const uint8_t *at, uint64_t *ret)
{
    if (*at < 0x40) {
        *ret = *at;
        return at + 1;
    }
    if (*at < 0x80) {
        *ret = sb_load_u16(at) & 0x3fff;
        return at + 2;
    }
    if (*at < 0xc0) {
        *ret = sb_load_u32(at) & 0x3fffffff;
        return at + 4;
    }
    *ret = sb_load_u64(at) & SB_VARINT_MAX;
    return at + 8;
}

/* A reader walks a range of bytes that it does not own.
 *
 * It fails once and stays failed: after the first read past the end every
 * further read yields zero or NULL.  A parser may therefore read all of its
 * fields in a row and look at `failed` once, before it uses any of them.
 *
 * Readers and writers are the only places in proto/ that add to a byte pointer
 * that came from or goes to the wire. */
struct sb_reader {
    const uint8_t *at;  /* next byte to read */
    const uint8_t *end; /* one past the last byte */
    bool failed;
};

static inline struct sb_reader sb_reader_of(const uint8_t *data, size_t size)
{
    SB_ASSERT(data != NULL || size == 0);
    if (size == 0)
        return (struct sb_reader){.at = data, .end = data};
    return (struct sb_reader){.at = data, .end = data + size};
}

static inline size_t sb_reader_left(const struct sb_reader *r)
{
    return (size_t)(r->end - r->at);
}

/* Returns the next `size` bytes and steps over them, or NULL if fewer remain.
 * `size` is 64 bits wide so that a length from the wire is compared as it is,
 * never narrowed first. */
static inline const uint8_t *sb_reader_take(struct sb_reader *r, uint64_t size)
{
    if (SB_UNLIKELY(r->failed || size > sb_reader_left(r))) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *taken = r->at;
    r->at += size;
    return taken;
}

static inline uint8_t sb_reader_u8(struct sb_reader *r)
{
    const uint8_t *byte = sb_reader_take(r, 1);
    return byte == NULL ? 0 : *byte;
}

uint16_t sb_reader_u16(struct sb_reader *r);
uint32_t sb_reader_u32(struct sb_reader *r);
uint64_t sb_reader_u64(struct sb_reader *r);

static inline uint64_t sb_reader_varint(struct sb_reader *r)
{
    if (SB_UNLIKELY(r->failed || r->at == r->end || sb_reader_left(r) < 1u << (*r->at >> 6))) {
        r->failed = true;
        return 0;
    }
    uint64_t value;
    r->at = sb_load_varint(r->at, &value);
    return value;
}

/* Reads `count` numbers in a row.  Where all of them could be of the longest form, which is so but
 * near the end of a packet, the end is looked at once. */
static inline void sb_reader_varints(struct sb_reader *r, uint64_t *ret, uint32_t count)
{
    if (SB_UNLIKELY(r->failed || sb_reader_left(r) < count * (size_t)SB_VARINT_SIZE_MAX)) {
        for (uint32_t i = 0; i < count; i++)
            ret[i] = sb_reader_varint(r);
        return;
    }
    const uint8_t *at = r->at;
    for (uint32_t i = 0; i < count; i++)
        at = sb_load_varint(at, &ret[i]);
    r->at = at;
}

/* Steps over bytes of zero, up to the first other one, and returns how many those were. */
size_t sb_reader_skip_zeros(struct sb_reader *r);

/* A writer fills a range of bytes that it does not own.  Like the reader it
 * fails once and stays failed; nothing is written past `end`. */
struct sb_writer {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    bool failed;
};

static inline struct sb_writer sb_writer_of(uint8_t *data, size_t size)
{
    SB_ASSERT(data != NULL);
    return (struct sb_writer){.start = data, .at = data, .end = data + size};
}

static inline size_t sb_writer_left(const struct sb_writer *w)
{
    return (size_t)(w->end - w->at);
}

static inline size_t sb_writer_used(const struct sb_writer *w)
{
    return (size_t)(w->at - w->start);
}

/* Returns room for `size` bytes and steps over it, or NULL if less is left. */
static inline uint8_t *sb_writer_room(struct sb_writer *w, uint64_t size)
{
    if (SB_UNLIKELY(w->failed || size > sb_writer_left(w))) {
        w->failed = true;
        return NULL;
    }
    uint8_t *room = w->at;
    w->at += size;
    return room;
}

static inline void sb_writer_u8(struct sb_writer *w, uint8_t value)
{
    uint8_t *room = sb_writer_room(w, 1);
    if (room != NULL)
        *room = value;
}

void sb_writer_u16(struct sb_writer *w, uint16_t value);
void sb_writer_u32(struct sb_writer *w, uint32_t value);
void sb_writer_u64(struct sb_writer *w, uint64_t value);
void sb_writer_bytes(struct sb_writer *w, const void *data, size_t size);
void sb_writer_zeros(struct sb_writer *w, size_t size);

/* Writes `value` in exactly `size` bytes: 1, 2, 4 or 8, and it must fit. */
void sb_writer_varint_sized(struct sb_writer *w, uint64_t value, uint32_t size);

/* The shortest encoding's size: 1, 2, 4 or 8. */
static inline uint32_t sb_varint_size(uint64_t value)
{
    SB_ASSERT(value <= SB_VARINT_MAX);
    return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x40000000 ? 4 : 8;
}

/* Writes the shortest form, for which there must be room, and returns the address after it. */
static inline uint8_t *sb_store_varint(uint8_t *at, uint64_t value)
{
    if (value < 0x40) {
        *at = (uint8_t)value;
        return at + 1;
    }
    if (value < 0x4000) {
        sb_store_u16(at, (uint16_t)(value | 0x4000));
        return at + 2;
    }
    if (value < 0x40000000) {
        sb_store_u32(at, (uint32_t)(value | 0x80000000));
        return at + 4;
    }
    SB_ASSERT(value <= SB_VARINT_MAX);
    sb_store_u64(at, value | UINT64_C(0xc000000000000000));
    return at + 8;
}

static inline void sb_writer_varint(struct sb_writer *w, uint64_t value)
{
    uint8_t *room = sb_writer_room(w, sb_varint_size(value));
    if (room != NULL)
        (void)sb_store_varint(room, value);
}

#endif
