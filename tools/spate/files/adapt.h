/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_ADAPT_H
#define SPATE_FILES_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

enum { ADAPT_MIN = 1, ADAPT_MAX = 16 };

/* How many streams to use at a time: a climb on the measured bandwidth.
 *
 * One more or one less is tried, for several windows, and compared with several windows without it:
 * single windows swing by more than a stream brings.  One more stays if it brings more than noise
 * does.  One less stays if it costs no more, because a stream that brings nothing costs memory; it
 * is compared with the best of late as well, so that several steps do not cost what one may not.
 * What stays is tried again in the same direction.  What does not is taken back, and the other
 * direction is next; where neither has helped, it rests for a while.  The first window after a
 * change does not count: streams of before are still under way then. */
struct adapt {
    uint32_t width;
    uint32_t width_max; /* that was used so far */
    bool is_rising;     /* the direction that is tried, or comes next */
    bool is_trying;     /* `width` is one from that of `rate_before`, in this direction */
    uint32_t failed;    /* tries in turn that were taken back */
    uint32_t windows;   /* with this width so far */
    uint64_t rate_sum;  /* of those that count, bytes per second */
    uint64_t window_ns;
    uint64_t since_ns;
    uint64_t since_bytes;
    uint64_t rate_before; /* the average before the try */
    uint64_t rate_best;   /* the highest average; 2 % less with each that is lower */
};

/* `width`: to begin with, ADAPT_MIN to ADAPT_MAX. */
void adapt_init(struct adapt *ret, uint32_t width, uint64_t window_ns, uint64_t now_ns);

/* Looks at the bytes that have been moved in all.  Changes the width once in several windows. */
void adapt_look(struct adapt *adapt, uint64_t bytes, uint64_t now_ns);

#endif
