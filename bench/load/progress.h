/* SPDX-License-Identifier: MIT */
#ifndef LOAD_PROGRESS_H
#define LOAD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/options.h"

/* One line on standard error that is written over four times a second, if that is a
 * terminal; otherwise nothing at all. */
struct progress {
    enum scenario scenario;
    bool is_on;
    uint64_t start_ns; /* 0: not yet */
    uint64_t shown_ns;
    uint64_t shown_bytes;
    uint64_t shown_count;
};

struct progress progress_of(enum scenario scenario);

/*   bytes, count  Moved and finished since the program's start. */
void progress_show(struct progress *p, bool is_measuring, uint64_t bytes, uint64_t count,
                   uint64_t now_ns);

/* Takes the line away, so that other output can follow. */
void progress_clear(struct progress *p);

#endif
