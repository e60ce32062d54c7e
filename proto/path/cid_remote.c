/* SPDX-License-Identifier: MIT */
#include "proto/path/cid_remote.h"

/* The peer's connection IDs.
 *
 * What can be attacked: a peer that issues and retires without end makes us owe it
 * RETIRE_CONNECTION_ID frames; they are bounded, and the connection ends at the bound. */

#include "proto/base/assert.h"

void sp_cid_remote_init(struct sp_cid_remote *ids, const struct sp_cid *first)
{
    *ids = (struct sp_cid_remote){0};
    ids->entries[0] =
        (struct sp_cid_remote_entry){.cid = *first, .is_used = true, .is_taken = true};
}

void sp_cid_remote_replace_first(struct sp_cid_remote *ids, const struct sp_cid *cid)
{
    SB_ASSERT(ids->entries[0].is_used && ids->entries[0].sequence == 0);
    ids->entries[0].cid = *cid;
    ids->entries[0].was_sent_to = false;
}

void sp_cid_remote_set_first_token(struct sp_cid_remote *ids,
                                   const uint8_t token[SP_RESET_TOKEN_SIZE])
{
    if (!ids->entries[0].is_used || ids->entries[0].sequence != 0)
        return;
    memcpy(ids->entries[0].reset_token, token, SP_RESET_TOKEN_SIZE);
    ids->entries[0].has_token = true;
}

static bool retire(struct sp_cid_remote *ids, uint64_t sequence)
{
    struct sp_cid_retired *empty = NULL;
    for (uint32_t i = 0; i < SP_RETIRED_CIDS_MAX; i++) {
        if (ids->retired[i].is_used && ids->retired[i].sequence == sequence)
            return true;
        if (!ids->retired[i].is_used)
            empty = &ids->retired[i];
    }
    if (empty == NULL)
        return false;
    *empty = (struct sp_cid_retired){
        .sequence = sequence & SB_VARINT_MAX, .is_used = true, .wants_send = true};
    ids->may_want_send = true;
    return true;
}

/* Returns the index of the oldest CID that is left, or SP_CID_NONE. */
static uint32_t oldest(const struct sp_cid_remote *ids, bool or_taken)
{
    uint32_t found = SP_CID_NONE;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        const struct sp_cid_remote_entry *entry = &ids->entries[i];
        if (entry->is_used && (or_taken || !entry->is_taken) &&
            (found == SP_CID_NONE || entry->sequence < ids->entries[found].sequence))
            found = i;
    }
    return found;
}

uint32_t sp_cid_remote_take(struct sp_cid_remote *ids)
{
    uint32_t index = oldest(ids, false);
    if (index != SP_CID_NONE)
        ids->entries[index].is_taken = true;
    return index;
}

void sp_cid_remote_retire(struct sp_cid_remote *ids, uint32_t index)
{
    struct sp_cid_remote_entry *entry = &ids->entries[index];
    SB_ASSERT(index != ids->active && entry->is_taken);
    if (!entry->is_used || !retire(ids, entry->sequence))
        return;
    entry->is_used = false;
    ids->retired_bits |= UINT64_C(1) << entry->sequence % 64;
}

void sp_cid_remote_keep(struct sp_cid_remote *ids, uint32_t index, uint32_t lcid,
                        const struct sp_addr *local)
{
    struct sp_cid_remote_entry *entry = &ids->entries[index];
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        SB_ASSERT(!ids->entries[i].is_used || !ids->entries[i].is_kept ||
                  sp_cid_remote_keeps_for(ids, local));
    ids->kept_local = *local;
    SB_ASSERT(index != ids->active && entry->is_taken && lcid < SP_CIDS_MAX);
    entry->is_kept = true;
    entry->lcid = (uint8_t)lcid;
}

uint32_t sp_cid_remote_take_kept(struct sp_cid_remote *ids, uint32_t lcid)
{
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        struct sp_cid_remote_entry *entry = &ids->entries[i];
        if (!entry->is_used || !entry->is_kept || (lcid != SP_CID_NONE && entry->lcid != lcid))
            continue;
        entry->is_kept = false;
        return i;
    }
    return SP_CID_NONE;
}

/* Returns whether a NEW_CONNECTION_ID is a repeat that comes after we have retired its CID. */
static bool was_retired(struct sp_cid_remote *ids, uint64_t sequence)
{
    uint64_t bit = UINT64_C(1) << sequence % 64;
    if (sequence <= ids->sequence_max)
        return ids->sequence_max - sequence >= 64 || (ids->retired_bits & bit) != 0;
    if (sequence - ids->sequence_max >= 64)
        ids->retired_bits = 0;
    for (uint64_t s = ids->sequence_max + 1; s <= sequence && s <= ids->sequence_max + 64; s++)
        ids->retired_bits &= ~(UINT64_C(1) << s % 64);
    ids->sequence_max = sequence;
    return false;
}

/* Moves away from `old_sequence` if that was retired, before RETIRE_CONNECTION_ID is sent
 * [RFC9000 19.16], to the lowest that is left: the CIDs of a
 * peer are used in the order in which it issued them.  The old one's place may have been
 * taken meanwhile. */
static void choose_active(struct sp_cid_remote *ids, uint64_t old_sequence)
{
    const struct sp_cid_remote_entry *active = &ids->entries[ids->active];
    if (active->is_used && active->sequence == old_sequence)
        return;
    uint32_t index = sp_cid_remote_take(ids);
    /* Rather another path's than none: that one has to stop. */
    ids->active = index != SP_CID_NONE ? index : oldest(ids, true);
    /* The frame that asked to retire all others brought one: see the caller. */
    SB_ASSERT(ids->active != SP_CID_NONE);
    ids->entries[ids->active].is_kept = false;
}

/* What we hold already with this sequence or CID must be the very same.  [RFC9000 19.15] */
static bool contradicts(const struct sp_cid_remote_entry *entry,
                        const struct sp_frame_new_cid *frame)
{
    bool same_sequence = entry->sequence == frame->sequence;
    bool same_cid = sp_cid_equal(&entry->cid, &frame->cid);
    bool same_token = !entry->has_token ||
                      memcmp(entry->reset_token, frame->reset_token, SP_RESET_TOKEN_SIZE) == 0;
    if (same_sequence)
        return !same_cid || !same_token;
    return same_cid;
}

enum sp_err sp_cid_remote_add(struct sp_cid_remote *ids, const struct sp_frame_new_cid *frame)
{
    /* [RFC9000 19.15] A peer to which we send zero-length CIDs must not issue any. */
    if (sp_cid_remote_active(ids)->size == 0)
        return SP_ERR_PROTOCOL_VIOLATION;

    bool is_known = false;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        const struct sp_cid_remote_entry *entry = &ids->entries[i];
        if (!entry->is_used)
            continue;
        if (contradicts(entry, frame))
            return SP_ERR_PROTOCOL_VIOLATION;
        is_known |= entry->sequence == frame->sequence;
    }

    /* [RFC9000 5.1.2] First what is to be retired, then the new one. */
    uint64_t old_sequence = ids->entries[ids->active].sequence;
    ids->retire_prior_to = SB_MAX(ids->retire_prior_to, frame->retire_prior_to);
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        struct sp_cid_remote_entry *entry = &ids->entries[i];
        if (!entry->is_used || entry->sequence >= ids->retire_prior_to)
            continue;
        if (!retire(ids, entry->sequence))
            return SP_ERR_CONNECTION_ID_LIMIT;
        entry->is_used = false;
    }

    if (frame->sequence < ids->retire_prior_to) {
        /* Came late: retired before it was ever used. */
        if (!retire(ids, frame->sequence))
            return SP_ERR_CONNECTION_ID_LIMIT;
    } else if (!is_known && !was_retired(ids, frame->sequence)) {
        uint32_t i = 0;
        while (i < SP_CIDS_MAX && ids->entries[i].is_used)
            i++;
        if (i == SP_CIDS_MAX) /* [RFC9000 5.1.1] */
            return SP_ERR_CONNECTION_ID_LIMIT;
        ids->entries[i] = (struct sp_cid_remote_entry){
            .cid = frame->cid, .sequence = frame->sequence, .is_used = true, .has_token = true};
        memcpy(ids->entries[i].reset_token, frame->reset_token, SP_RESET_TOKEN_SIZE);
    }

    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        if (ids->entries[i].is_used) {
            choose_active(ids, old_sequence);
            return SP_OK;
        }
    }
    /* Only a late frame with everything else retired leaves nothing to send to. */
    return SP_ERR_PROTOCOL_VIOLATION;
}

struct sp_cid_retired *sp_cid_remote_next_retired(struct sp_cid_remote *ids)
{
    for (uint32_t i = 0; ids->may_want_send && i < SP_RETIRED_CIDS_MAX; i++)
        if (ids->retired[i].is_used && ids->retired[i].wants_send)
            return &ids->retired[i];
    ids->may_want_send = false;
    return NULL;
}

static struct sp_cid_retired *find_retired(struct sp_cid_remote *ids, uint64_t sequence)
{
    for (uint32_t i = 0; i < SP_RETIRED_CIDS_MAX; i++)
        if (ids->retired[i].is_used && ids->retired[i].sequence == sequence)
            return &ids->retired[i];
    return NULL;
}

void sp_cid_remote_on_retired_lost(struct sp_cid_remote *ids, uint64_t sequence)
{
    struct sp_cid_retired *retired = find_retired(ids, sequence);
    if (retired == NULL)
        return;
    retired->wants_send = true;
    ids->may_want_send = true;
}

void sp_cid_remote_on_retired_acked(struct sp_cid_remote *ids, uint64_t sequence)
{
    struct sp_cid_retired *retired = find_retired(ids, sequence);
    if (retired != NULL)
        *retired = (struct sp_cid_retired){0};
}

bool sp_cid_remote_has_token(const struct sp_cid_remote *ids,
                             const uint8_t token[SP_RESET_TOKEN_SIZE])
{
    bool found = false;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        const struct sp_cid_remote_entry *entry = &ids->entries[i];
        uint8_t difference = 0;
        for (uint32_t k = 0; k < SP_RESET_TOKEN_SIZE; k++)
            difference |= (uint8_t)(entry->reset_token[k] ^ token[k]);
        found |= sp_cid_remote_token_counts(entry) && difference == 0;
    }
    return found;
}
