/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_VARINT_H
#define SPATE_HTTP3_VARINT_H

#include <stddef.h>
#include <stdint.h>

/* Numbers of variable length.  [RFC9000 16] */

/* Returns the size of the number at `data`, or 0 if there are too few bytes. */
static inline size_t varint_read(const uint8_t *data, size_t size, uint64_t *ret)
{
    if (size == 0 || size < (size_t)1 << (data[0] >> 6))
        return 0;
    size_t count = (size_t)1 << (data[0] >> 6);
    uint64_t number = data[0] & 0x3f;
    for (size_t i = 1; i < count; i++)
        number = number << 8 | data[i];
    *ret = number;
    return count;
}

/* Reads a number whose bytes may come one by one, from `at` on of those that are kept.
 *
 *   kept          With room for 8 bytes behind `at`.
 *   *kept_size    Becomes more by what is taken from *data, *size: no byte behind the number.
 *
 * Returns its size, or 0 if more bytes are needed. */
static inline size_t varint_collect(uint8_t *kept, size_t *kept_size, size_t at,
                                    const uint8_t **data, size_t *size, uint64_t *ret)
{
    for (;;) {
        size_t found = varint_read(kept + at, *kept_size - at, ret);
        if (found > 0 || *size == 0)
            return found;
        kept[(*kept_size)++] = *(*data)++;
        --*size;
    }
}

/* Writes a number of less than 2^62.  Returns its size, 1 to 8. */
static inline size_t varint_write(uint64_t number, uint8_t *ret)
{
    int bits = number < 64 ? 0 : number < 16384 ? 1 : number < 1 << 30 ? 2 : 3;
    size_t count = (size_t)1 << bits;
    for (size_t i = 0; i < count; i++)
        ret[i] = (uint8_t)(number >> 8 * (count - 1 - i));
    ret[0] |= (uint8_t)(bits << 6);
    return count;
}

#endif
