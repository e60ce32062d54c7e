/* SPDX-License-Identifier: MIT */
#ifndef SPATE_PROGRESS_H
#define SPATE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* One line on stderr that shows how far a transfer is.  Silent if stderr is no terminal. */
struct progress {
    bool is_on;
    bool is_visible;
    uint64_t start_ns;
    uint64_t shown_ns;
    uint64_t shown_bytes;
};

void progress_init(struct progress *progress, uint64_t now_ns);

/* Shows the state, a few times a second at most. */
void progress_show(struct progress *progress, uint64_t bytes, uint32_t done, uint32_t count,
                   uint64_t now_ns);

/* Removes the line, so that another one can be printed. */
void progress_clear(struct progress *progress);

#endif
