/* SPDX-License-Identifier: MIT */
#ifndef MOVING_WORLD_H
#define MOVING_WORLD_H

#include "test/support/spate_world.h"

/* A server of several shards at one address, and clients behind relays, whose addresses change.
 * Each client has a stream, on which it sends pieces. */

enum {
    MV_SHARDS_MAX = 4,
    MV_CLIENTS = 12, /* so that they do not all begin at one shard: once in 16 million runs */
    MV_PIECE = 3000,
};

#define MV_MS UINT64_C(1000000)

struct mv_client {
    struct pw_relay *relay;
    struct spate_conn *conn;
    uint64_t stream_id;
};

struct mv_world {
    struct pw *w;
    uint32_t shard_count;
    struct spate_shard *shards[MV_SHARDS_MAX];
    struct spate_listener *listeners[MV_SHARDS_MAX];
    struct mv_client clients[MV_CLIENTS];
    uint32_t conns_of[MV_SHARDS_MAX]; /* that have been accepted */
    uint64_t accepted;
    uint64_t bytes;
    uint32_t closed;
};

/* `configure` sets the server's shard_count, which is `shard_count`.  All shards listen; owned by
 * the test. */
struct mv_world *mv_make(uint32_t shard_count, void (*configure)(struct spate_config *config));
/* Makes the shards from `from` on listen, of the engine that is there now. */
void mv_listen(struct mv_world *world, uint32_t from);

/* One turn of all. */
void mv_turn(struct mv_world *world);
/* Turns until `*value` is `wanted`, or fails the test. */
void mv_turn_until(struct mv_world *world, const uint64_t *value, uint64_t wanted);
void mv_turn_for(struct mv_world *world, uint64_t ns);

/* Connects all clients, and opens their streams. */
void mv_connect_all(struct mv_world *world);
/* Each client sends a piece, after its port has changed if it `moves`; all arrive, and no
 * connection ends. */
void mv_send_all(struct mv_world *world, bool moves);

/* The sum over all shards. */
struct spate_shard_stats mv_stats(const struct mv_world *world);

#endif
