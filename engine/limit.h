/* SPDX-License-Identifier: MIT */
#ifndef SE_LIMIT_H
#define SE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/recovery/pacer.h"

/* The rate limit of a shard: one bucket, and a line of the connections that wait for it.
 *
 * Each connection in the line gets one train when it is its turn, and goes to the end if it has
 * more, so that all get the same share.  A train may overdraw the bucket, and the next one waits
 * for that.  ACKs alone and probes neither wait nor count.
 *
 *     line is not empty  =>  has a limit */
struct se_limit {
    struct sp_pacer bucket; /* rate 0: no limit */
    struct sb_link line;    /* spate_conn.limit_link */
};

void se_limit_init(struct se_limit *limit);

/* Sets the limit; 0: none.  What was overdrawn before stays to be waited for. */
void se_limit_set(struct se_limit *limit, uint64_t bytes_per_s, uint64_t now_ns);

static inline bool se_limit_is_set(const struct se_limit *limit)
{
    return limit->bucket.rate_bytes_per_s != 0;
}

/* Returns whether a train may leave. */
bool se_limit_is_open(const struct se_limit *limit, uint64_t now_ns);

/* Returns the datagrams of a train at most: those of a millisecond, and at least two. */
uint32_t se_limit_train_count(const struct se_limit *limit);

void se_limit_on_sent(struct se_limit *limit, uint64_t bytes, uint64_t now_ns);

/* Returns when the line goes on, SB_NEVER if nobody waits. */
uint64_t se_limit_wake_ns(const struct se_limit *limit);

#endif
