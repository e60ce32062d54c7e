/* SPDX-License-Identifier: MIT */
#ifndef LIMIT_TURN_H
#define LIMIT_TURN_H

/* A shard's turn below a rate limit, in virtual time, with connections that always have more to
 * send: trains leave as engine/shard/shard_tx.c has them leave. */

#include "engine/base/limit.h"

enum { LIMIT_TURN_BYTES = 256 * 1024 };

struct limited_conn {
    struct sb_link link;
    uint64_t bytes; /* that it has sent */
};

/* Sends trains until the limit is reached, or LIMIT_TURN_BYTES.  Returns the bytes. */
static inline uint64_t limit_turn(struct se_limit *limit, uint64_t datagram_bytes, uint64_t now_ns)
{
    struct sb_link *link;
    uint64_t bytes = 0;
    while (bytes < LIMIT_TURN_BYTES && se_limit_is_open(limit, now_ns) &&
           (link = se_limit_pop(limit)) != NULL) {
        struct limited_conn *conn = SB_CONTAINER_OF(link, struct limited_conn, link);
        uint64_t train = se_limit_train_count(limit) * datagram_bytes;
        se_limit_on_sent(limit, train, now_ns);
        conn->bytes += train;
        bytes += train;
        se_limit_join(limit, link);
    }
    se_limit_announce(limit);
    return bytes;
}

#endif
