/* SPDX-License-Identifier: MIT */
#ifndef SE_HELD_H
#define SE_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"

struct se_rx;
struct spate_conn;
struct spate_shard;

/* Datagrams of handshakes that wait for a later turn, in se_rx.held: at most SE_RX_HELD_MAX, each a
 * copy in the shard's buffers, which are in its memory budget.  engine/net/rx.c decides which. */

/* Returns true for a connection whose datagrams may wait. */
bool se_held_is_handshake(const struct spate_conn *conn);

/* Returns how many items the connections of a list have; its links are spate_conn.rx_link. */
uint32_t se_held_count(const struct se_rx *rx, const struct sb_link *conns);

/* Keeps the items of a connection; the caller has seen that there is room.  Returns false without
 * memory: then they are still the turn's. */
SB_MUST_USE bool se_held_keep(struct spate_shard *shard, struct spate_conn *conn);

/* Makes all that is kept items of this delivery: of each connection before those that came since,
 * and these connections in their order at the front of `handshakes`.  Where the handshake has ended
 * meanwhile, that is the front of se_rx.conns. */
void se_held_give(struct spate_shard *shard, struct sb_link *handshakes);

/* Drops the items of a connection, kept or not. */
void se_held_forget(struct se_rx *rx, struct spate_conn *conn);

#endif
