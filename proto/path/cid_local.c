/* SPDX-License-Identifier: MIT */
#include "proto/path/cid_local.h"

/* Our connection IDs, numbered in the order in which they are issued, and no more of them at a time
 * than the peer takes.  [RFC9000 5.1.1] */

#include "proto/base/assert.h"

void sp_cid_local_init(struct sp_cid_local *ids, const struct sp_cid *first)
{
    *ids = (struct sp_cid_local){.next_sequence = 1, .count_max = 1};
    ids->entries[0] = (struct sp_cid_local_entry){.cid = *first, .is_used = true, .was_sent = true};
}

bool sp_cid_local_wants_more(const struct sp_cid_local *ids)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        used += ids->entries[i].is_used;
    return used < ids->count_max && used < SP_CIDS_MAX;
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
