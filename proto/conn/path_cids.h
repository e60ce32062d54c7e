/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_PATH_CIDS_H
#define SP_CONN_PATH_CIDS_H

#include "proto/conn/impl.h"

/* Which CID of the peer the packets on a path go to.  No two paths have one, unless the peer does
 * not know that its address changed.  [RFC9000 9.5] */

/* Returns whether the CID of a path is still there: the peer may have it retired. */
static inline bool sp_path_has_cid(const struct sp_conn *conn, const struct sp_conn_path *path)
{
    if (path->dcid == SP_CID_NONE)
        return false;
    const struct sp_cid_remote_entry *entry = &conn->remote_ids.entries[path->dcid];
    return entry->is_used && entry->sequence == path->dcid_sequence;
}

static inline void sp_path_use_cid(struct sp_conn *conn, struct sp_conn_path *path, uint32_t index)
{
    path->dcid = index;
    path->dcid_sequence = conn->remote_ids.entries[index].sequence;
}

/* Gives back the CID that packets on `path` went to, unless another path has it too. */
static inline void sp_path_give_cid(struct sp_conn *conn, struct sp_conn_path *path)
{
    bool is_own = sp_path_has_cid(conn, path) && path->dcid != conn->remote_ids.active;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        is_own &=
            conn->paths[i] == NULL || conn->paths[i] == path || conn->paths[i]->dcid != path->dcid;
    if (is_own)
        sp_cid_remote_retire(&conn->remote_ids, path->dcid);
    conn->ids_changed |= is_own;
    path->dcid = SP_CID_NONE;
}

#endif
