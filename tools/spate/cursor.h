/* SPDX-License-Identifier: MIT */
#ifndef SPATE_CURSOR_H
#define SPATE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that are read from front to back: numbers in network byte order.  A cursor that has read
 * past the end stays failed, and its numbers are zero: each reader looks once, at its end. */
struct cursor {
    const uint8_t *data;
    size_t left;
    bool has_failed;
};

/* Returns the next bytes, or NULL. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t size)
{
    if (c->has_failed || size > c->left) {
        c->has_failed = true;
        return NULL;
    }
    const uint8_t *data = c->data;
    c->data += size;
    c->left -= size;
    return data;
}

static inline uint64_t cursor_number(struct cursor *c, size_t size)
{
    const uint8_t *data = cursor_take(c, size);
    uint64_t number = 0;
    for (size_t i = 0; data != NULL && i < size; i++)
        number = number << 8 | data[i];
    return number;
}

/* Writes a number of `size` bytes; returns what follows it. */
static inline uint8_t *number_write(uint8_t *at, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
    return at + size;
}

#endif
