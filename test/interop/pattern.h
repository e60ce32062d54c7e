/* SPDX-License-Identifier: MIT */
#ifndef INTEROP_PATTERN_H
#define INTEROP_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The payload of the interop tests.  Both sides compute it, and check every byte that they get.
 *
 * With way = 0 for an upload (client to server) and 1 for a download, and `offset` counted from the
 * first payload byte (the 8-byte head of an upload does not count):
 *
 *     x    = (offset + 4099 * stream_id + 32749 * way) mod 65521
 *     byte = (31 * x) xor (17 * (x >> 8))      mod 256
 *
 * So every stream and every direction is another window into one table.  The period is prime and
 * close to 64 KiB: data that is displaced by a packet, a slot or a window does not match.  And the
 * table may be lent to a stack as it is: no run of it ever changes. */
#define PATTERN_PERIOD  65521
#define PATTERN_RUN_MAX 65536 /* bytes that may be read from where pattern_at() points */

struct pattern {
    uint8_t bytes[PATTERN_PERIOD + PATTERN_RUN_MAX];
};

static inline void pattern_init(struct pattern *p)
{
    for (uint32_t i = 0; i < sizeof(p->bytes); i++) {
        uint32_t x = i % PATTERN_PERIOD;
        p->bytes[i] = (uint8_t)((31 * x) ^ (17 * (x >> 8)));
    }
}

/* Returns PATTERN_RUN_MAX bytes that begin with the one at `offset`; they live as long as `p`. */
static inline const uint8_t *pattern_at(const struct pattern *p, bool is_download,
                                        uint64_t stream_id, uint64_t offset)
{
    uint64_t start = offset % PATTERN_PERIOD + stream_id % PATTERN_PERIOD * 4099;
    return &p->bytes[(start + (is_download ? 32749 : 0)) % PATTERN_PERIOD];
}

#endif
