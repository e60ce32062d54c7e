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

/* Rules for every function of this API:
 *
 *   - A function that can fail returns 0 (or a count) or a negative errno.
 *   - Times and durations are uint64_t nanoseconds.  Sizes are bytes.
 *   - Strings that are passed in are copied, unless the function says otherwise.
 *   - Outputs are named `ret` and are untouched on failure.
 *   - "Threads: any" means: any thread, at any time.
 *   - "Threads: shard" means: only the thread that runs the shard.  That is the thread that calls
 *     spate_shard_turn(), or the engine's own thread inside a handler.
 *   - No function prints, exits or starts a thread unless its comment says so. */

/* A duration without end. */
#define SPATE_FOREVER UINT64_MAX

/* One line of text for a person: what is wrong and what to do.  Functions that take a spate_error
 * fill it in on failure and leave it alone on success; they accept NULL.  The layout is frozen. */
struct spate_error {
    char text[256]; /* ends with a zero byte */
};

/* Returns the version of the library that the program runs with, like "0.1.0".  SPATE_VERSION is
 * the version of the headers that it was compiled with.  The string is static.  Threads: any. */
SPATE_API const char *spate_version(void);

/* Returns the version of the library that the program runs with as one number.  Compare it with
 * SPATE_VERSION_MAKE().  Threads: any. */
SPATE_API uint32_t spate_version_number(void);

#ifdef __cplusplus
}
#endif

#endif
