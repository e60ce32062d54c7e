/* SPDX-License-Identifier: MIT */
#ifndef FRAME_SAMPLES_H
#define FRAME_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/frame.h"

/* At least one good frame of every type: read, written and truncated by the tests, and
 * the seed of the fuzzers. */
struct frame_sample {
    const char *name;
    const uint8_t *bytes;
    size_t size;
    bool has_no_end; /* its data runs to the end of the packet, so that a part of it is valid */
    struct sp_frame want;
};

extern const struct frame_sample frame_samples[];
extern const size_t frame_sample_count;

/* The content is the same; where it lies does not matter. */
bool frame_equal(const struct sp_frame *a, const struct sp_frame *b);

/* Writes any frame that was read.  The reader takes more than one form of a frame, the
 * writer makes one: what comes out may be shorter. */
void frame_write(struct sb_writer *w, const struct sp_frame *frame);

#endif
