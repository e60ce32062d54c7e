/* SPDX-License-Identifier: MIT */
#include "engine/net/early.h"

#include "proto/base/assert.h"

static bool is_of(const struct se_early_item *item, const struct sp_path *path,
                  const struct sp_cid *dcid)
{
    return sp_cid_equal(&item->dcid, dcid) && sp_path_equal(&item->path, path);
}

static void remove_at(struct se_early *early, uint32_t at)
{
    SB_ASSERT(at < early->count);
    early->count--;
    for (uint32_t i = at; i < early->count; i++)
        early->items[i] = early->items[i + 1];
}

bool se_early_keep(struct se_early *early, struct se_buffers *buffers,
                   const struct se_early_item *item)
{
    uint32_t count = 0;
    se_early_expire(early, item->since_ns);
    for (uint32_t i = 0; i < early->count; i++)
        count += sp_cid_equal(&early->items[i].dcid, &item->dcid);
    if (early->count == SE_EARLY_MAX || count >= SE_EARLY_PER_CLIENT_MAX ||
        item->size > SE_SMALL_SIZE)
        return false;
    struct se_early_item *kept = &early->items[early->count];
    *kept = *item;
    kept->copy = se_buffers_copy(buffers, item->data, item->size, &kept->data);
    early->count += kept->copy != NULL;
    return kept->copy != NULL;
}

bool se_early_take(struct se_early *early, const struct sp_path *path, const struct sp_cid *dcid,
                   struct se_early_item *ret)
{
    for (uint32_t i = 0; i < early->count; i++) {
        if (!is_of(&early->items[i], path, dcid))
            continue;
        *ret = early->items[i];
        remove_at(early, i);
        return true;
    }
    return false;
}

void se_early_expire(struct se_early *early, uint64_t now_ns)
{
    while (early->count > 0 && (now_ns == SB_NEVER ||
                                now_ns >= sb_time_add(early->items[0].since_ns, SE_EARLY_AGE_NS))) {
        sb_buffer_unref(early->items[0].copy);
        remove_at(early, 0);
    }
}
