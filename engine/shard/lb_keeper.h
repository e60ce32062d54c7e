/* SPDX-License-Identifier: MIT */
#ifndef SE_LB_KEEPER_H
#define SE_LB_KEEPER_H

#include "engine/conn/cids.h"
#include "proto/base/compiler.h"

struct spate_shard;

/* An engine's configuration of connection IDs that load balancers can read: the first, and those
 * that follow.  Usage order:
 *
 *     open() -> set_mask() -> begin() for each shard -> change() -> close()
 *
 * The caller sees to it that one thread at a time uses it. */

enum {
    SE_LB_KEYS_MAX = 64, /* keys that are remembered; the oldest is forgotten */
    SE_LB_MASK_KEY_SIZE = 12,
};

struct se_lb_keeper {
    bool is_used; /* there was a configuration from the beginning */
    bool has_tag; /* connection IDs have the engine's tag: set before open() */
    struct se_lb_args args;
    uint8_t mask_key[SE_LB_MASK_KEY_SIZE];
    uint8_t keys[SE_LB_KEYS_MAX][SPATE_QUIC_LB_KEY_SIZE];
    uint32_t key_count; /* in all; the n-th is in row n % SE_LB_KEYS_MAX */
};

/* Takes the configuration of a new engine; NULL: it has none.  Returns 0, or the error that
 * spate_engine_create() returns, with one line in `error`. */
SB_MUST_USE int se_lb_keeper_open(struct se_lb_keeper *keeper, const struct spate_quic_lb *given,
                                  uint32_t shard_count, struct spate_error *error);
void se_lb_keeper_close(struct se_lb_keeper *keeper); /* wipes; accepts all zero */

/* Derives what masks the shard in a CID from the engine's reset key, so that it survives a restart
 * as the reset tokens do. */
void se_lb_keeper_set_mask(struct se_lb_keeper *keeper, const uint8_t *reset_key);

/* Returns the form of the engine's CIDs. */
struct se_cid_form se_lb_keeper_form(const struct se_lb_keeper *keeper);

/* Has a new shard make CIDs.  Returns 0 or -ENOMEM. */
SB_MUST_USE int se_lb_keeper_begin(const struct se_lb_keeper *keeper, struct spate_shard *shard);

/* Gives all shards another configuration: see spate_engine_set_quic_lb(). */
SB_MUST_USE int se_lb_keeper_change(struct se_lb_keeper *keeper, struct spate_shard **shards,
                                    const struct spate_quic_lb *given, struct spate_error *error);

#endif
