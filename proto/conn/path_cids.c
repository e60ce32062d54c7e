/* SPDX-License-Identifier: MIT */
#include "proto/conn/path_cids.h"

/* Which CID of the peer the packets on a path go to.  [RFC9000 9.5]
 *
 * A peer that knows that it moves uses another CID of ours on its new path, and we another one of
 * theirs.  A peer that does not know it, because its NAT gave it another address, uses one CID of
 * ours on both, and so may we, but only from one address of ours: may_share() is that rule.
 *
 * What can be attacked: whoever sees packets can send copies from any number of addresses.  Copies
 * have the CID of ours that their originals have, so all those addresses share one CID of the peer.
 * If each took one, none would be left for the path of the peer itself, and without answers it
 * issues no more.  Such addresses also push the path of the peer out of the table, over and over:
 * its CID is kept for it.  So at most one CID is in use for each that we have issued and each
 * address of ours to which packets with it come.  What is kept is for one address of ours, the last
 * from which a path was pushed out: an attacker who has copies come to another one of them makes
 * the peer issue a CID more, and no path is without one. */

#include "proto/base/compiler.h"

uint32_t sp_conn_find_cid(const struct sp_conn *conn, const uint8_t *bytes, size_t size)
{
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        const struct sp_cid_local_entry *entry = &conn->local_ids.entries[i];
        if (entry->is_used && entry->cid.size == size && memcmp(entry->cid.bytes, bytes, size) == 0)
            return i;
    }
    bool is_first = sp_conn_is_server(conn) && conn->original_dcid_is_routed &&
                    conn->original_dcid.size == size &&
                    memcmp(conn->original_dcid.bytes, bytes, size) == 0;
    return is_first ? SP_CIDS_MAX : SP_CID_NONE;
}

/* Returns whether packets of the peer, which does not know that it uses two paths, come by both. */
static bool may_share(const struct sp_conn_path *a, const struct sp_conn_path *b)
{
    return a->lcid == b->lcid && a->lcid != SP_CID_NONE &&
           sp_addr_equal(&a->path.local, &b->path.local);
}

bool sp_path_owns_cid(const struct sp_conn *conn, const struct sp_conn_path *path)
{
    bool is_own = sp_path_has_cid(conn, path) && path->dcid != conn->remote_ids.active;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        is_own &=
            conn->paths[i] == NULL || conn->paths[i] == path || conn->paths[i]->dcid != path->dcid;
    return is_own;
}

static void give_back(struct sp_conn *conn, uint32_t dcid)
{
    sp_cid_remote_retire(&conn->remote_ids, dcid);
    conn->ids_changed = true;
}

/* Gives back what is kept for our CID `lcid`; SP_CID_NONE: for any. */
static void give_kept(struct sp_conn *conn, uint32_t lcid)
{
    uint32_t dcid;
    while ((dcid = sp_cid_remote_take_kept(&conn->remote_ids, lcid)) != SP_CID_NONE)
        give_back(conn, dcid);
}

static void keep(struct sp_conn *conn, const struct sp_conn_path *path)
{
    const struct sp_addr *local = &path->path.local;
    if (!sp_cid_remote_keeps_for(&conn->remote_ids, local))
        give_kept(conn, SP_CID_NONE);
    sp_cid_remote_keep(&conn->remote_ids, path->dcid, path->lcid, local);
}

void sp_path_give_cid(struct sp_conn *conn, struct sp_conn_path *path, bool is_proven)
{
    if (sp_path_owns_cid(conn, path)) {
        const struct sp_cid_local_entry *local =
            path->lcid < SP_CIDS_MAX ? &conn->local_ids.entries[path->lcid] : NULL;
        if (sp_conn_is_server(conn) && !is_proven && local != NULL && local->is_used)
            keep(conn, path);
        else
            give_back(conn, path->dcid);
    }
    path->dcid = SP_CID_NONE;
}

void sp_path_on_lcid_retired(struct sp_conn *conn, uint32_t lcid)
{
    give_kept(conn, lcid);
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if (conn->paths[i] != NULL && conn->paths[i]->lcid == lcid)
            conn->paths[i]->lcid = SP_CID_NONE; /* `lcid` will be another CID */
}

/* Returns the CID of a path from which the peer may have come to `path` without knowing it, also if
 * that path is no more; or SP_CID_NONE. */
static uint32_t shared_cid(struct sp_conn *conn, const struct sp_conn_path *path)
{
    if (may_share(conn->path, path) || sp_cid_remote_active(&conn->remote_ids)->size == 0)
        return conn->path->dcid;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        const struct sp_conn_path *other = conn->paths[i];
        if (other != NULL && other != path && sp_path_has_cid(conn, other) &&
            may_share(other, path))
            return other->dcid;
    }
    return path->lcid < SP_CIDS_MAX && sp_cid_remote_keeps_for(&conn->remote_ids, &path->path.local)
               ? sp_cid_remote_take_kept(&conn->remote_ids, path->lcid)
               : SP_CID_NONE;
}

bool sp_path_ensure_cid(struct sp_conn *conn, struct sp_conn_path *path)
{
    if (sp_path_has_cid(conn, path))
        return true;
    uint32_t dcid = shared_cid(conn, path);
    if (dcid == SP_CID_NONE)
        dcid = sp_cid_remote_take(&conn->remote_ids);
    if (dcid != SP_CID_NONE)
        sp_path_use_cid(conn, path, dcid);
    return dcid != SP_CID_NONE;
}

uint32_t sp_path_replace_cids(struct sp_conn *conn)
{
    const struct sp_conn_path *used = conn->path;
    uint32_t without = 0;
    bool has_changed = used->dcid != conn->remote_ids.active || !sp_path_has_cid(conn, used);
    sp_path_use_cid(conn, conn->path, conn->remote_ids.active);
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        if (path == NULL || path == used || path->state == SP_PATH_LEFT ||
            path->dcid == SP_CID_NONE)
            continue;
        bool has_cid = sp_path_has_cid(conn, path);
        if (has_cid && !(has_changed && path->dcid == used->dcid))
            continue; /* its own, or shared as before */
        uint32_t dcid = sp_cid_remote_take(&conn->remote_ids);
        if (dcid != SP_CID_NONE)
            sp_path_use_cid(conn, path, dcid);
        else if (!has_cid || !may_share(path, used))
            without |= UINT32_C(1) << i;
    }
    return without;
}
