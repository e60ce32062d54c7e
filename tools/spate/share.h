/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SHARE_H
#define SPATE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* Returns whether a connection may take `size` bytes more of a memory that all connections of a
 * server share.  It may have a third of what it leaves to the others: one by itself gets a quarter
 * of all, and some that take memory and give none back leave enough for the next one.  One that has
 * nothing may take what there is.
 *
 *   held_bytes  That the connection has.
 *   left_bytes  That nobody has. */
static inline bool share_allows(uint64_t held_bytes, uint64_t size, uint64_t left_bytes)
{
    if (size > left_bytes)
        return false;
    return held_bytes == 0 || held_bytes + size <= (left_bytes - size) / 3;
}

#endif
