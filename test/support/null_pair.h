/* SPDX-License-Identifier: MIT */
#ifndef NULL_PAIR_H
#define NULL_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/conn/conn.h"
#include "test/sim/null_protect.h"
#include "test/sim/null_tls.h"
#include "test/sim/random.h"
#include "test/support/heap.h"

/* A client and a server over the null cipher and the null handshake, without a network: what
 * one sends is handed to the other at once, each datagram in memory of its own. */
struct null_end {
    struct null_pair *pair;
    enum sp_role role;
    struct sp_conn *conn; /* NULL: not made yet */
    struct qs_random random;
};

struct null_pair {
    struct heap heap;
    struct sp_pools pools;
    struct sp_config config; /* of both */
    struct qs_null_plan protect_plan;
    struct qs_tls_plan tls_plan;
    struct null_end ends[2]; /* by enum sp_role */
    uint64_t now_ns;
    uint64_t datagram_count; /* not released yet */
};

/* Prepares everything, with small limits; the client's connection is made.  `pair->config` may
 * still be changed in what proto/ reads late. */
void null_pair_init(struct null_pair *pair, uint64_t seed);
/* Destroys both and asserts that nothing is left. */
void null_pair_deinit(struct null_pair *pair);

/* Hands over one train of `from`, dropping its events before.  False when there was none. */
bool null_pair_step(struct null_pair *pair, enum sp_role from);

/* Gives `to` a datagram of these bytes. */
void null_pair_give(struct null_pair *pair, enum sp_role to, const uint8_t *data, size_t size,
                    enum sp_ecn ecn);

enum { NULL_PAIR_BATCH_MAX = 8 };

/* Gives `to` several at once. */
void null_pair_give_batch(struct null_pair *pair, enum sp_role to, const struct sb_bytes *datagrams,
                          uint32_t count, enum sp_ecn ecn);

#endif
