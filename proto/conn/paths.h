/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_PATHS_H
#define SP_CONN_PATHS_H

#include "proto/conn/impl.h"

/* The paths of a connection: which exist, which one is used, and the change from one to another.
 * [RFC9000 8.2, 9] */

/* Makes the first path, which is in use.  sp_loss_init() follows. */
void sp_conn_paths_init(struct sp_conn *conn, const struct sp_path *path, bool is_valid);
/* Frees all paths. */
void sp_conn_paths_deinit(struct sp_conn *conn);

/* Returns the path with these addresses, or NULL. */
static inline struct sp_conn_path *sp_conn_path_find(const struct sp_conn *conn,
                                                     const struct sp_path *path)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if (conn->paths[i] != NULL && sp_path_equal(&conn->paths[i]->path, path))
            return conn->paths[i];
    return NULL;
}

/* Returns whether a datagram that came by another path than the one in use may be of this
 * connection.  [RFC9000 9] */
static inline bool sp_conn_may_come_by(const struct sp_conn *conn, const struct sp_path *path)
{
    if (sp_addr_equal(&path->remote, &conn->path->path.remote))
        return true;
    if (sp_conn_is_server(conn))
        return conn->handshake_state >= SP_HANDSHAKE_CONFIRMED;
    /* [RFC9000 9] A server does not move. */
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if (conn->paths[i] != NULL && sp_addr_equal(&conn->paths[i]->path.remote, &path->remote))
            return true;
    return false;
}

/* Counts a datagram of `size` bytes that came by `path`.  [RFC9000 8.1] */
void sp_conn_path_credit(struct sp_conn *conn, const struct sp_path *path, size_t size);

/* An authentic packet has arrived in `datagram`, with the CID `lcid` of ours.  Returns its path.  A
 * server makes one for an address that it does not know yet, which is left again if nothing comes
 * of it.  Returns NULL if the connection does not follow there. */
struct sp_conn_path *sp_conn_path_of_packet(struct sp_conn *conn,
                                            const struct sp_datagram *datagram, uint32_t lcid,
                                            uint64_t now_ns);

/* The newest packet so far that is more than a probe came by `path`: a server sends there from now
 * on.  [RFC9000 9.2, 9.3] */
void sp_conn_path_follow(struct sp_conn *conn, struct sp_conn_path *path, uint64_t now_ns);

/* PATH_CHALLENGE and PATH_RESPONSE frames came.  `path`: of the packet, or NULL. */
void sp_conn_on_path_challenge(struct sp_conn *conn, struct sp_conn_path *path,
                               const uint8_t data[SP_PATH_DATA_SIZE], uint64_t now_ns);
void sp_conn_on_path_response(struct sp_conn *conn, const uint8_t data[SP_PATH_DATA_SIZE],
                              uint64_t now_ns);

/* The peer has issued or retired CIDs: each path gets one, or ends. */
void sp_conn_on_remote_cids(struct sp_conn *conn);

/* Returns the path on which a datagram with PATH_CHALLENGE or PATH_RESPONSE frames is to be sent
 * now, or NULL. */
struct sp_conn_path *sp_conn_path_to_probe(const struct sp_conn *conn);

/* Returns the size of that datagram: 1,200 bytes, or what the amplification limit leaves.
 * [RFC9000 8.2.1, 8.2.2] */
static inline size_t sp_conn_path_probe_size(const struct sp_conn_path *path)
{
    return (size_t)SB_MIN(sp_path_budget(path), (uint64_t)SP_DATAGRAM_SIZE_MIN);
}

/* A datagram of `size` bytes left on `path`; with `challenge`, if it is not NULL. */
void sp_conn_path_on_probed(struct sp_conn *conn, struct sp_conn_path *path, size_t size,
                            const uint8_t *challenge, uint64_t now_ns);

/* Acts on deadlines of validations: conn->paths_at_ns has passed.  Returns false if no path is
 * left. */
SB_MUST_USE bool sp_conn_paths_on_time(struct sp_conn *conn, uint64_t now_ns);

/* Frees paths that were left and on which nothing is in flight any more. */
void sp_conn_paths_sweep(struct sp_conn *conn);

#endif
