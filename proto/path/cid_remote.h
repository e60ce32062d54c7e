/* SPDX-License-Identifier: MIT */
#ifndef SP_CID_REMOTE_H
#define SP_CID_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/wire/frame.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* Connection IDs that the peer gave to us, and those that we are giving back.
 * [RFC9000 5.1.2] */
struct sp_cid_remote_entry {
    uint64_t sequence;
    struct sp_cid cid;
    uint8_t reset_token[SP_RESET_TOKEN_SIZE];
    bool is_used : 1;
    bool has_token : 1;
    bool is_taken : 1; /* a path uses it, or has used it: no other one may [RFC9000 9.5] */
    bool is_kept : 1;  /* no path uses it now: it is for packets that come to `lcid`, at
                          sp_cid_remote.kept_local */
    bool was_sent_to;  /* a packet was sent to the CID: its token counts [RFC9000 10.3.1] */
    uint8_t lcid;      /* index in sp_cid_local, if it is kept */
};

/* There are many of them, and a sequence has 62 bits at most.  [RFC9000 16] */
struct sp_cid_retired {
    uint64_t sequence : 62;
    uint64_t is_used : 1;
    uint64_t wants_send : 1; /* RETIRE_CONNECTION_ID is to be sent (again) */
};

struct sp_cid_remote {
    struct sp_cid_remote_entry entries[SP_CIDS_MAX];
    struct sp_cid_retired retired[SP_RETIRED_CIDS_MAX];
    bool may_want_send;        /* false: nothing of `retired` has wants_send */
    uint32_t active;           /* index of the entry that the path in use takes */
    struct sp_addr kept_local; /* address of ours from which all that are kept were sent to */
    uint64_t retire_prior_to;  /* the largest seen */
    /* Bit `sequence % 64`: we have retired it.  For the 64 sequences up to the largest seen. */
    uint64_t retired_bits;
    uint64_t sequence_max;
};

/* The CID of the handshake: sequence 0. */
void sp_cid_remote_init(struct sp_cid_remote *ids, const struct sp_cid *first);

/* The server's first CID may still be replaced: by its first packet or a Retry. */
void sp_cid_remote_replace_first(struct sp_cid_remote *ids, const struct sp_cid *cid);
/* Sets the reset token of the server's first CID, from the transport parameters. */
void sp_cid_remote_set_first_token(struct sp_cid_remote *ids,
                                   const uint8_t token[SP_RESET_TOKEN_SIZE]);

static inline const struct sp_cid *sp_cid_remote_active(const struct sp_cid_remote *ids)
{
    return &ids->entries[ids->active].cid;
}

/* Records that a packet leaves for CID `index`.  Returns true if it is the first one: the CID's
 * reset token counts from now on. */
static inline bool sp_cid_remote_on_sent(struct sp_cid_remote *ids, uint32_t index)
{
    struct sp_cid_remote_entry *entry = &ids->entries[index];
    bool is_first = !entry->was_sent_to;
    entry->was_sent_to = true;
    return is_first;
}

#define SP_CID_NONE UINT32_MAX

/* Takes a CID that no path has used, the oldest, for another path.  Returns its index, or
 * SP_CID_NONE if there is none.  [RFC9000 9.5] */
SB_MUST_USE uint32_t sp_cid_remote_take(struct sp_cid_remote *ids);

/* Retires a CID that sp_cid_remote_take() has returned, so that the peer issues another one.
 * Without room for its RETIRE_CONNECTION_ID it only stays unused.  [RFC9000 5.1.2] */
void sp_cid_remote_retire(struct sp_cid_remote *ids, uint32_t index);

/* Keeps a CID that sp_cid_remote_take() has returned and that no path uses now, for the next path
 * whose packets come to our CID `lcid` at our address `local`.  What is kept for another address
 * must have been taken before. */
void sp_cid_remote_keep(struct sp_cid_remote *ids, uint32_t index, uint32_t lcid,
                        const struct sp_addr *local);

/* Returns the index of a CID that is kept for `lcid`, SP_CID_NONE: for any, or SP_CID_NONE if there
 * is none.  It is the caller's now. */
SB_MUST_USE uint32_t sp_cid_remote_take_kept(struct sp_cid_remote *ids, uint32_t lcid);

static inline bool sp_cid_remote_keeps_for(const struct sp_cid_remote *ids,
                                           const struct sp_addr *local)
{
    return sp_addr_equal(&ids->kept_local, local);
}

/* Takes a NEW_CONNECTION_ID frame: adds the CID, retires what it asks for.  Returns SP_OK,
 * PROTOCOL_VIOLATION or CONNECTION_ID_LIMIT_ERROR.  [RFC9000 19.15] */
SB_MUST_USE enum sp_err sp_cid_remote_add(struct sp_cid_remote *ids,
                                          const struct sp_frame_new_cid *frame);

/* The next sequence to send RETIRE_CONNECTION_ID for; NULL if none. */
struct sp_cid_retired *sp_cid_remote_next_retired(struct sp_cid_remote *ids);
void sp_cid_remote_on_retired_lost(struct sp_cid_remote *ids, uint64_t sequence);
void sp_cid_remote_on_retired_acked(struct sp_cid_remote *ids, uint64_t sequence);

/* Returns whether the entry has a reset token that counts: the peer gave one, and its CID was sent
 * to and is not retired.  [RFC9000 10.3.1] */
static inline bool sp_cid_remote_token_counts(const struct sp_cid_remote_entry *entry)
{
    return entry->is_used && entry->has_token && entry->was_sent_to;
}

/* Returns whether `token` is one of the peer's that count.  Takes the same time for any token. */
bool sp_cid_remote_has_token(const struct sp_cid_remote *ids,
                             const uint8_t token[SP_RESET_TOKEN_SIZE]);

#endif
