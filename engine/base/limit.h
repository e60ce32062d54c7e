/* SPDX-License-Identifier: MIT */
#ifndef SE_LIMIT_H
#define SE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/recovery/pacer.h"

/* The rate limit of an engine: one bucket for all shards, which borrow from it, a bounded number of
 * bytes at a time.  Any thread.  All accesses are relaxed: only the values count, no other memory
 * goes with them. */
struct se_engine_limit {
    _Atomic uint64_t bytes_per_s; /* 0: no limit */
    /* When the bytes that were borrowed so far are due: a borrower adds their time. */
    _Atomic uint64_t next_ns;
    _Atomic uint32_t waiting_count; /* sum of what shards have announced */
};

/* Sets the limit; 0: none.  What was overdrawn before stays to be waited for. */
void se_engine_limit_set(struct se_engine_limit *limit, uint64_t bytes_per_s, uint64_t now_ns);

/* Forgets what was borrowed: another clock begins. */
void se_engine_limit_begin(struct se_engine_limit *limit);

/* The rate limit of a shard: one bucket, and a line of the connections that wait for it or for the
 * bucket of the engine.
 *
 * Each connection in the line gets one train when it is its turn, and goes to the end if it has
 * more, so that all get the same share.  A train may overdraw the bucket, and the next one waits
 * for that.  ACKs alone and probes neither wait nor count.
 *
 *     line is not empty  =>  has a limit, or the engine's limit has just ended
 *     line_count = connections in `line` */
struct se_limit {
    struct sp_pacer bucket;         /* rate 0: no limit */
    struct sb_link line;            /* spate_conn.limit_link */
    struct se_engine_limit *engine; /* borrowed */
    uint32_t line_count;
    uint32_t announced_count; /* the part of engine->waiting_count that is ours */
    int64_t borrowed_bytes;   /* from `engine`, left; negative: overdrawn */
    uint64_t share_ns;        /* when what we have borrowed is due at our share of the rate, .. */
    uint64_t share_rate;      /* .. of this engine's limit; 0: nothing was borrowed yet */
    uint64_t engine_at_ns;    /* when borrowing is tried again, after it failed */
};

/* `engine` is borrowed. */
void se_limit_init(struct se_limit *limit, struct se_engine_limit *engine);

/* Sets the limit; 0: none.  What was overdrawn before stays to be waited for. */
void se_limit_set(struct se_limit *limit, uint64_t bytes_per_s, uint64_t now_ns);

static inline bool se_limit_is_set(const struct se_limit *limit)
{
    return limit->bucket.rate_bytes_per_s != 0 ||
           atomic_load_explicit(&limit->engine->bytes_per_s, memory_order_relaxed) != 0;
}

/* Adds a connection to the end of the line, or to its beginning. */
void se_limit_join(struct se_limit *limit, struct sb_link *link);
void se_limit_rejoin(struct se_limit *limit, struct sb_link *link);

/* Takes the first connection out of the line.  Returns NULL if nobody waits. */
struct sb_link *se_limit_pop(struct se_limit *limit);

/* Takes a connection out of the line that may be in it. */
void se_limit_leave(struct se_limit *limit, struct sb_link *link);

/* Takes all connections out of the line, because the shard has failed. */
void se_limit_clear(struct se_limit *limit);

/* Makes the number of connections that wait here known to other shards: the share of the engine's
 * rate follows from it.  Call it at the end of a turn's sending. */
void se_limit_announce(struct se_limit *limit);

/* Returns whether a train may leave.  Borrows from the engine's limit if that is necessary. */
bool se_limit_is_open(struct se_limit *limit, uint64_t now_ns);

/* Returns the datagrams of a train at most: those of a millisecond, and at least two. */
uint32_t se_limit_train_count(const struct se_limit *limit);

void se_limit_on_sent(struct se_limit *limit, uint64_t bytes, uint64_t now_ns);

/* Returns when the line goes on, SB_NEVER if nobody waits. */
uint64_t se_limit_wake_ns(const struct se_limit *limit);

#endif
