/* SPDX-License-Identifier: MIT */
#ifndef SE_PREFETCH_H
#define SE_PREFETCH_H

#include "engine/shard/shard.h"
#include "proto/conn/prefetch.h"

/* Where a shard goes through a list of connections, those that are next are fetched into the caches
 * while one is served.  With few connections that would be work without an effect: they are there.
 */

enum {
    SE_PREFETCH_CONNS = 128, /* take more than a second-level cache of 1 MiB has beside data */
};

static inline bool se_prefetch_pays(const struct spate_shard *shard)
{
    return shard->conn_count >= SE_PREFETCH_CONNS;
}

/* Fetches what the next three connections of `list` are for those before them: of the first what it
 * points to, of the second all of its own, of the third where that is.  `offset`: of the list's
 * links in struct spate_conn. */
static inline void se_prefetch_next(const struct spate_shard *shard, const struct sb_link *list,
                                    size_t offset)
{
    const struct sb_link *link = list->next;
    if (SB_LIKELY(!se_prefetch_pays(shard)) || link == list)
        return;
    const struct spate_conn *conn = (const void *)((const char *)link - offset);
    sp_conn_prefetch_rest(conn->proto);
    link = link->next;
    if (link == list)
        return;
    conn = (const void *)((const char *)link - offset);
    sp_conn_prefetch(conn->proto);
    if (link->next != list)
        __builtin_prefetch((const char *)link->next - offset);
}

#endif
