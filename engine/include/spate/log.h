/* SPDX-License-Identifier: MIT */
#ifndef SPATE_LOG_H
#define SPATE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include <spate/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lines about what an operator should know: limits that are reached, datagrams that are lost, a
 * back-end that is not the best one, turns that take too long.  The library prints nothing by
 * itself: set `log` in struct spate_config.  Nothing that a peer chooses is in a line. */

enum spate_log_level {
    SPATE_LOG_ERROR = 1,   /* a part of the engine has ended: a ring has failed */
    SPATE_LOG_WARNING = 2, /* something is lost or refused, or slower than it could be */
    SPATE_LOG_INFO = 3,    /* what was chosen at the start; clients that are made to wait */
};

/* Who gets the lines.  Each comment ends with the default and the range. */
struct spate_log {
    size_t size; /* sizeof(struct spate_log): spate_log_init() sets it */

    /* Gets one line, without a newline at its end; valid during the call.  It must not block, and
     * may call nothing of the engine.  Called on the thread of the shard that a line is about, and
     * about all shards in spate_engine_create().  Default NULL, which must be changed. */
    void (*write)(enum spate_log_level level, const char *line, void *user);
    /* Passed to `write`; the library does not use it.  Default NULL. */
    void *user;
    /* Lines about each subject come at most once in this time, per shard; what happens meanwhile
     * is summed up in the next one.  A shard that sleeps reports with its next turn.
     * Default 10 s; 100 ms to 1 day. */
    uint64_t interval_ns;
    /* The least important level that is written.
     * Default SPATE_LOG_WARNING; SPATE_LOG_ERROR to SPATE_LOG_INFO. */
    enum spate_log_level level;
    uint8_t reserved[4]; /* no padding; ignored */
    /* A turn that takes longer is reported as a warning, and counted by turns_long.  A turn is the
     * time between two waits of a shard for its network, in which none of its connections sends or
     * receives: the application's handlers count.
     * Default 100 ms; 1 ms to 1 h, or 0 for none. */
    uint64_t turn_ns;
};

/* Fills in the first `size` bytes of the defaults.  For languages other than C and C++, whose
 * programs call spate_log_init().
 *
 *   log   At least `size` bytes, in any state.
 *   size  Bytes that the program knows: its sizeof(struct spate_log).
 *
 * Threads: any. */
SPATE_API void spate_log_init_sized(struct spate_log *log, size_t size);

/* Fills in the defaults.  It is inline, so that the size is the one that the program was compiled
 * with.
 *
 *   log  In any state; every field is overwritten.
 *
 * Threads: any. */
static inline void spate_log_init(struct spate_log *log)
{
    spate_log_init_sized(log, sizeof(*log));
}

/* Returns "error", "warning" or "info", and "unknown" for any other value.  The string is static.
 * Threads: any. */
SPATE_API const char *spate_log_level_name(enum spate_log_level level);

#ifdef __cplusplus
}
#endif

#endif
