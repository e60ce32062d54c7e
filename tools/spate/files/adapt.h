/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_ADAPT_H
#define SPATE_FILES_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

enum { ADAPT_MIN = 1, ADAPT_MAX = 16 };

/* How many streams to use at a time: a climb on the measured bandwidth.  It goes on in one
 * direction while that helps; where the bandwidth stays the same it goes down, because a stream
 * that brings nothing costs memory; where it falls it turns round. */
struct adapt {
    uint32_t width;
    uint32_t width_max; /* that was used so far */
    bool is_rising;
    uint64_t window_ns;
    uint64_t since_ns;
    uint64_t since_bytes;
    uint64_t rate_before; /* bytes per second, with the width before */
};

/* `width`: to begin with, ADAPT_MIN to ADAPT_MAX. */
void adapt_init(struct adapt *ret, uint32_t width, uint64_t window_ns, uint64_t now_ns);

/* Looks at the bytes that have been moved in all.  Changes the width once per window at most. */
void adapt_look(struct adapt *adapt, uint64_t bytes, uint64_t now_ns);

#endif
