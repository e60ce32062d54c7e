/* SPDX-License-Identifier: MIT */
#ifndef SE_CIDS_H
#define SE_CIDS_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/quic_lb.h>

#include "proto/base/compiler.h"
#include "proto/wire/types.h"
#include "uring/steer.h"

/* The connection IDs that a shard issues: random ones, or ones that load balancers can read.
 *
 * All CIDs of an engine have one form for its life: how long they are, and where they name their
 * shard.  What is in them may change: spate_engine_set_quic_lb(). */

struct se_lb;
struct spate_conn;
struct spate_shard;

/* Where a CID names its shard, if it does: see uring/steer.h. */
struct se_cid_form {
    uint8_t size;
    bool has_byte;   /* at byte.at; with one shard too, so that all servers of a fleet look alike */
    bool has_shards; /* several: the byte leads to the others */
    bool has_tag;    /* the next byte tells processes apart: see engine/net/handover.h */
    struct su_steer_byte byte;
};

/* What all shards of an engine have in common for one configuration. */
struct se_lb_args {
    struct spate_quic_lb config;
    uint32_t shard_count;
    /* Random.  The first nonce; and in clear, where nonces must not look alike, the key that
     * encrypts them. */
    uint8_t first_nonce[18];
    uint8_t nonce_key[16];
};

/* One shard's CIDs. */
struct se_cids {
    struct se_cid_form form;
    struct se_lb *lb; /* owned; NULL: CIDs are random */
    uint16_t epoch;   /* rises with each configuration; connections have theirs */
    uint32_t renew_at;
    uint32_t renew_end; /* slots from renew_at to here were not looked at since the last change */
};

/* Returns the form of CIDs with this configuration; NULL: with none.  `mask_key` has 12 bytes. */
struct se_cid_form se_cid_form_of(const struct spate_quic_lb *lb, uint32_t shard_count,
                                  bool has_tag, const uint8_t *mask_key);

/* Makes a configuration's part for shard `index`.  NULL without memory. */
struct se_lb *se_lb_create(const struct se_lb_args *args, uint32_t index);
void se_lb_destroy(struct se_lb *lb); /* NULL is accepted */

void se_cids_init(struct se_cids *cids, const struct se_cid_form *form, struct se_lb *lb);
void se_cids_deinit(struct spate_shard *shard); /* accepts all zero */

/* Has the shard take `lb` in its next turn, instead of what was put before.  Threads: any. */
void se_cids_put(struct spate_shard *shard, struct se_lb *lb);
/* Takes what was put, if there is something. */
void se_cids_take(struct spate_shard *shard);

/* Makes a CID that the shard has not: of the configuration for a server, random for a client. */
void se_cids_make(struct spate_shard *shard, bool is_server, struct sp_cid *ret);

/* Makes a CID for a Retry packet.  It has no tag: if another process takes over, the client goes on
 * there.  Load balancers read it as the others. */
void se_cids_make_retry(struct spate_shard *shard, struct sp_cid *ret);

/* Returns cid_count_max of struct sp_conn_args for a server's connections. */
uint32_t se_cids_count_max(const struct se_cids *cids);

/* Returns the shard that a CID of this form names; it may be none. */
static inline uint32_t se_cid_shard(const struct se_cid_form *form, const uint8_t *cid)
{
    return cid[form->byte.at] ^ (uint32_t)(su_steer_mask(&form->byte, cid) >> 8);
}

/* Returns the tag that a CID of this form has. */
static inline uint8_t se_cid_tag(const struct se_cid_form *form, const uint8_t *cid)
{
    return (uint8_t)(cid[form->byte.at + 1] ^ su_steer_mask(&form->byte, cid));
}

/* Returns whether se_cids_run() has something to do. */
static inline bool se_cids_is_due(const struct se_cids *cids)
{
    return cids->renew_at < cids->renew_end;
}

/* Renews the CIDs of some connections, if they are old.  Returns true if there are more.  Call once
 * per turn, before events are drained. */
bool se_cids_run(struct spate_shard *shard);

/* Returns whether the peer has CIDs of an earlier configuration. */
bool se_conn_has_old_cids(const struct spate_conn *conn);

/* Returns the CIDs that may still be made with the configuration; 0 without one. */
uint64_t se_cids_nonces_left(const struct se_cids *cids);

#endif
