/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_PATH_CIDS_H
#define SP_CONN_PATH_CIDS_H

#include "proto/conn/impl.h"

/* Which CID of the peer the packets on a path go to.  No two paths have one, unless the peer does
 * not know that its address changed, and ours did not.  [RFC9000 9.5] */

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

/* Returns whether `path` alone uses its CID. */
bool sp_path_owns_cid(const struct sp_conn *conn, const struct sp_conn_path *path);

/* Gives back the CID that packets on `path` went to, unless another path has it too.  `is_proven`:
 * the path has served its purpose.  Otherwise a server keeps the CID for the address that its
 * client has, which may be pushed out and come again. */
void sp_path_give_cid(struct sp_conn *conn, struct sp_conn_path *path, bool is_proven);

/* The peer has retired our CID `lcid`: gives back what is kept for it. */
void sp_path_on_lcid_retired(struct sp_conn *conn, uint32_t lcid);

/* Gives a path of a server a CID, once it needs one: packets that come late from here and there
 * take none.  Returns false if there is none. */
bool sp_path_ensure_cid(struct sp_conn *conn, struct sp_conn_path *path);

/* The CIDs of the peer have changed: gives each path that has lost its own another one.  Returns
 * the paths that got none, a bit each. */
uint32_t sp_path_replace_cids(struct sp_conn *conn);

/* Returns the index of a CID of ours; SP_CIDS_MAX for the one that the client chose first, and
 * SP_CID_NONE for others.  [RFC9000 5.1.1]  Each CID that we issued is ours until the peer retires
 * it. */
uint32_t sp_conn_find_cid(const struct sp_conn *conn, const uint8_t *bytes, size_t size);

#endif
