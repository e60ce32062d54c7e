/* SPDX-License-Identifier: MIT */
#include "proto/path/cid_local.h"

/* Our connection IDs, numbered in the order in which they are issued, and no more of them at a time
 * than the peer takes.  [RFC9000 5.1.1] */

#include "proto/base/assert.h"

void sp_cid_local_init(struct sp_cid_local *ids, const struct sp_cid *first)
{
    *ids = (struct sp_cid_local){.next_sequence = 1, .count_max = 1, .own_max = SP_CIDS_MAX};
    ids->entries[0] = (struct sp_cid_local_entry){.cid = *first, .is_used = true, .was_sent = true};
}

bool sp_cid_local_wants_more(const struct sp_cid_local *ids)
{
    uint32_t used = 0;
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        const struct sp_cid_local_entry *entry = &ids->entries[i];
        used += entry->is_used;
        fresh += entry->is_used && entry->sequence >= ids->retire_prior_to;
    }
    return fresh < ids->count_max && fresh < ids->own_max && used < SP_CIDS_MAX;
}

void sp_cid_local_renew(struct sp_cid_local *ids, uint32_t own_max)
{
    SB_ASSERT(own_max > 0 && own_max <= SP_CIDS_MAX);
    ids->retire_prior_to = ids->next_sequence;
    ids->own_max = (uint16_t)own_max;
}

bool sp_cid_local_has_old(const struct sp_cid_local *ids)
{
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        if (ids->entries[i].is_used && ids->entries[i].sequence < ids->retire_prior_to)
            return true;
    return false;
}

struct sp_cid_local_entry *sp_cid_local_add(struct sp_cid_local *ids, const struct sp_cid *cid,
                                            const uint8_t reset_token[SP_RESET_TOKEN_SIZE])
{
    SB_ASSERT(sp_cid_local_wants_more(ids));
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        struct sp_cid_local_entry *entry = &ids->entries[i];
        if (entry->is_used)
            continue;
        *entry = (struct sp_cid_local_entry){
            .cid = *cid, .sequence = ids->next_sequence++, .is_used = true, .wants_send = true};
        memcpy(entry->reset_token, reset_token, SP_RESET_TOKEN_SIZE);
        ids->may_want_send = true;
        return entry;
    }
    SB_ASSERT(false);
    return NULL;
}

struct sp_cid_local_entry *sp_cid_local_find(struct sp_cid_local *ids, uint64_t sequence)
{
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        if (ids->entries[i].is_used && ids->entries[i].sequence == sequence)
            return &ids->entries[i];
    return NULL;
}

struct sp_cid_local_entry *sp_cid_local_next_unsent(struct sp_cid_local *ids)
{
    for (uint32_t i = 0; ids->may_want_send && i < SP_CIDS_MAX; i++)
        if (ids->entries[i].is_used && ids->entries[i].wants_send)
            return &ids->entries[i];
    ids->may_want_send = false;
    return NULL;
}

void sp_cid_local_on_lost(struct sp_cid_local *ids, uint64_t sequence)
{
    struct sp_cid_local_entry *entry = sp_cid_local_find(ids, sequence);
    if (entry == NULL)
        return; /* the peer has retired it meanwhile */
    entry->wants_send = true;
    ids->may_want_send = true;
}
