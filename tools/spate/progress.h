/* SPDX-License-Identifier: MIT */
#ifndef SPATE_PROGRESS_H
#define SPATE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* One line on stderr that shows how far a transfer is.  Silent if stderr is no terminal. */
struct progress {
    bool is_on;
    bool is_visible;
    uint64_t shown_ns;
    uint64_t shown_bytes;
};

void progress_init(struct progress *progress, bool is_quiet, uint64_t now_ns);

/* Returns whether the line is to be printed now, which it is a few times a second.
 *
 *   bytes      That have been transferred.
 *   *ret_rate  Bytes per second since it was printed last. */
bool progress_is_due(struct progress *progress, uint64_t bytes, uint64_t now_ns, double *ret_rate);

/* Prints the line in the place of the one before. */
void progress_print(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Removes the line, so that another one can be printed. */
void progress_clear(struct progress *progress);

#endif
