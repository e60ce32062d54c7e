/* SPDX-License-Identifier: MIT */
#ifndef LOAD_PAYLOAD_H
#define LOAD_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all streams carry: one static region, again and again, lent to the library from the
 * same place and never copied.  The byte at payload offset x is region[x % PAYLOAD_SIZE], so a
 * receiver can check any piece that it gets. */
#define PAYLOAD_SIZE ((size_t)1 << 20)

/* Pieces of the region that a stream has lent at once, at least: see endpoint_may_lend(). */
#define PAYLOAD_LENT_MIN 16

/* Fills the region with a pattern that does not repeat within it. */
void payload_init(void);

const uint8_t *payload_region(void);

/* Returns true if `data` is the payload of a stream at `offset`. */
bool payload_matches(uint64_t offset, const uint8_t *data, size_t size);

#endif
