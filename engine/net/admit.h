/* SPDX-License-Identifier: MIT */
#ifndef SE_ADMIT_H
#define SE_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/stateless.h"
#include "proto/wire/types.h"

struct se_port;
struct spate_conn;
struct spate_shard;

/* Handles datagrams that belong to no connection: answers, drops or admits them. */

/* A token bucket: `rate` tokens per second, `burst` of them at once. */
struct se_bucket {
    uint64_t interval_ns; /* between two tokens */
    uint64_t burst_ns;    /* time to fill an empty bucket */
    uint64_t full_at_ns;  /* when it will be full again */
};

void se_bucket_init(struct se_bucket *bucket, uint32_t rate, uint32_t burst);
/* Takes a token.  Returns false if there is none. */
bool se_bucket_take(struct se_bucket *bucket, uint64_t now_ns);

struct se_admit {
    struct se_bucket answers; /* limits the packets that are sent without a connection, but Retry */
    struct se_bucket retries; /* limits Retry packets */
};

void se_admit_init(struct se_admit *admit);

/* A datagram that belongs to no connection. */
struct se_unmatched {
    struct se_port *port;
    const struct sp_path *path;
    uint8_t *data;
    size_t size;
    struct sp_peek peek;
    enum sp_ecn ecn;
};

/* Returns a new connection for the datagram.  Returns NULL if the datagram was answered without a
 * connection, or dropped. */
struct spate_conn *se_admit(struct spate_shard *shard, const struct se_unmatched *unmatched);

#endif
