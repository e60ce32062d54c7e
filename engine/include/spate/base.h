/* SPDX-License-Identifier: MIT */
#ifndef SPATE_BASE_H
#define SPATE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPATE_API __attribute__((visibility("default")))

/* What holds for every function of this API:
 *
 *   - Functions that can fail return 0 (or a count) or a negative errno.
 *   - Times and durations are uint64_t nanoseconds, sizes are bytes.
 *   - "Threads: shard" means: only the thread that runs the shard, which is the one
 *     that calls spate_shard_turn(), or the engine's own thread inside a handler.
 *   - Nothing prints, exits or starts a thread unless it says so. */

#define SPATE_FOREVER UINT64_MAX

/* One clear line for a person: what is wrong and what to do.  Filled in on failure by
 * the functions that take it, left alone on success; NULL is accepted there.  The layout is
 * frozen. */
struct spate_error {
    char text[256];
};

/* Returns the version of the library that the program runs with, like "0.1.0"; SPATE_VERSION is
 * that of its headers.  Threads: any. */
SPATE_API const char *spate_version(void);
/* Returns that version as one number, to compare with SPATE_VERSION_MAKE().  Threads: any. */
SPATE_API uint32_t spate_version_number(void);

#ifdef __cplusplus
}
#endif

#endif
