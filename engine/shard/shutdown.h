/* SPDX-License-Identifier: MIT */
#ifndef SE_SHUTDOWN_H
#define SE_SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/wire/limits.h"

struct spate_shard;

/* How a shard ends in order.  The states only go forward:
 *
 *     NONE --begin--> FINISHING --deadline--> CLOSING --no connection left--> DONE
 *                         \--no connection left-----------------------------/
 *
 * From FINISHING on the shard refuses new connections: see se_shutdown_refuses(). */
enum se_shutdown_state {
    SE_SHUTDOWN_NONE,
    SE_SHUTDOWN_FINISHING, /* connections may finish what they do */
    SE_SHUTDOWN_CLOSING,   /* the deadline has passed: all connections are closed, and drain */
    SE_SHUTDOWN_DONE,      /* there are no connections */
};

struct se_shutdown_args {
    uint64_t deadline_ns; /* SB_NEVER: none */
    uint64_t error;       /* the application's code for those that are closed; below 2^62 */
    bool wants_event;     /* SPATE_EVENT_SHUTDOWN reports DONE */
    uint32_t reason_size;
    char reason[SP_REASON_SIZE_MAX];
};

struct se_shutdown {
    enum se_shutdown_state state;
    uint32_t visits_left; /* connections that se_shutdown_run() has yet to look at */
    struct se_shutdown_args args;
};

/* Fills in `ret`.  `timeout_ns` counts from `now_ns`; `reason` may be NULL.  Returns 0, or -EINVAL
 * if `error` is too large. */
SB_MUST_USE int se_shutdown_args_init(struct se_shutdown_args *ret, uint64_t now_ns,
                                      uint64_t timeout_ns, uint64_t error, const char *reason);

/* Begins, or changes the deadline, the code and the reason of what has begun. */
void se_shutdown_begin(struct spate_shard *shard, const struct se_shutdown_args *args);

/* Returns whether se_shutdown_run() may have something to do. */
bool se_shutdown_is_begun(const struct spate_shard *shard);

/* Closes connections that must not continue: some in each turn.  Returns true if there are more.
 * Call it before connections send. */
bool se_shutdown_run(struct spate_shard *shard);

/* Goes to DONE when no connection is left and there is room for the event.  Call it at the end of
 * the turn. */
void se_shutdown_finish(struct spate_shard *shard);

/* Returns when se_shutdown_run() or se_shutdown_finish() has something to do by itself; SB_NEVER:
 * not before an event. */
uint64_t se_shutdown_wake_ns(const struct spate_shard *shard);

/* Returns true if connections that begin get no place: they are refused or, after a hand-over, left
 * to the process that has taken over.  Those that still come here after it get a place until the
 * deadline. */
bool se_shutdown_refuses(const struct spate_shard *shard);

/* Returns true if it has begun: the application can begin no connections. */
static inline bool se_shutdown_has_begun(const struct se_shutdown *shutdown)
{
    return shutdown->state != SE_SHUTDOWN_NONE;
}

#endif
