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

/* What a shard does with datagrams that belong to no connection. */

/* A token bucket: `rate` a second, `burst` at once. */
struct se_bucket {
    uint64_t interval_ns; /* between two tokens */
    uint64_t burst_ns;
    uint64_t full_at_ns; /* when it will be full again */
};

void se_bucket_init(struct se_bucket *bucket, uint32_t rate, uint32_t burst);
/* True if there was a token. */
bool se_bucket_take(struct se_bucket *bucket, uint64_t now_ns);

struct se_admit {
    struct se_bucket answers; /* of all kinds that are sent without a connection */
};

void se_admit_init(struct se_admit *admit);

struct se_unmatched {
    struct se_port *port;
    const struct sp_path *path;
    uint8_t *data;
    size_t size;
    struct sp_peek peek;
};

/* A new connection for the datagram, or NULL: it was answered without one, or dropped. */
struct spate_conn *se_admit(struct spate_shard *shard, const struct se_unmatched *unmatched);

#endif
