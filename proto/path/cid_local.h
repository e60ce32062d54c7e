/* SPDX-License-Identifier: MIT */
#ifndef SP_CID_LOCAL_H
#define SP_CID_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* Connection IDs that we gave to the peer: packets to them are ours.  [RFC9000 5.1.1]
 *
 *     used entries have distinct sequences below next_sequence
 *     retire_prior_to <= next_sequence */
struct sp_cid_local_entry {
    uint64_t sequence;
    struct sp_cid cid;
    uint8_t reset_token[SP_RESET_TOKEN_SIZE];
    bool is_used;
    bool wants_send; /* NEW_CONNECTION_ID is to be sent (again) */
    bool was_sent;   /* the peer may use it */
};

struct sp_cid_local {
    struct sp_cid_local_entry entries[SP_CIDS_MAX];
    uint64_t next_sequence;
    uint64_t retire_prior_to; /* those with smaller sequences are old: the peer is to retire them */
    uint32_t count_max;       /* the peer's active_connection_id_limit, bounded by SP_CIDS_MAX */
    uint16_t own_max;         /* of those that are not old: the most that we issue */
    bool may_want_send;       /* false: no entry has wants_send */
};

/* Sequence 0 is the CID of the handshake; it needs no frame. */
void sp_cid_local_init(struct sp_cid_local *ids, const struct sp_cid *first);

/* Makes all CIDs old: the next ones replace them.  Of those there are at most `own_max`; one less
 * than SP_CIDS_MAX leaves room for the first of them while the peer has not retired any.
 * [RFC9000 5.1.2] */
void sp_cid_local_renew(struct sp_cid_local *ids, uint32_t own_max);

/* Returns whether there are old ones that the peer has not retired yet. */
bool sp_cid_local_has_old(const struct sp_cid_local *ids);

/* Returns the Retire Prior To of an entry's NEW_CONNECTION_ID, which is at most its sequence.  An
 * old entry gets lost as any other, and the peer retires it when it comes.  [RFC9000 19.15] */
static inline uint64_t sp_cid_local_retires(const struct sp_cid_local *ids,
                                            const struct sp_cid_local_entry *entry)
{
    return entry->sequence < ids->retire_prior_to ? entry->sequence : ids->retire_prior_to;
}

/* Room for one more? */
bool sp_cid_local_wants_more(const struct sp_cid_local *ids);

struct sp_cid_local_entry *sp_cid_local_add(struct sp_cid_local *ids, const struct sp_cid *cid,
                                            const uint8_t reset_token[SP_RESET_TOKEN_SIZE]);

/* The next entry whose NEW_CONNECTION_ID is to be sent; NULL if none. */
struct sp_cid_local_entry *sp_cid_local_next_unsent(struct sp_cid_local *ids);
/* Records that a NEW_CONNECTION_ID was lost. */
void sp_cid_local_on_lost(struct sp_cid_local *ids, uint64_t sequence);

/* By sequence; NULL if it is not in use (any more). */
struct sp_cid_local_entry *sp_cid_local_find(struct sp_cid_local *ids, uint64_t sequence);

#endif
