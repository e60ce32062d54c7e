/* SPDX-License-Identifier: MIT */
#include "proto/conn/mtu.h"

/* Carries what path.pmtu decides to those who use it: the packets, the congestion controller.
 *
 * Large datagrams that get lost while small ones come through are a hole, or a receiver that stands
 * still: the last room in its socket takes small ones alone.  So the first such losses are a
 * suspicion.  When a small one is acknowledged, the receiver reads again: a large probe and a small
 * one follow at once.  If the large one gets lost and the small one does not, it is a hole.  That
 * takes a round trip and an eighth. */

#include "proto/base/assert.h"

static void use_size(struct sp_conn *conn, struct sp_conn_path *path)
{
    path->loss.large_lost_count = 0;
    path->loss.is_suspected = false;
    sp_cc_set_datagram_bytes(&path->loss.cc, path->pmtu.size);
    if (path != conn->path)
        return;
    conn->stats.mtu_fallbacks += path->pmtu.size < conn->datagram_size;
    conn->datagram_size = path->pmtu.size;
}

/* Returns the path that a probe has tried, which may be another one than that in use: whoever makes
 * a server follow a copied packet for a round trip must not end the search.  NULL: it is no more.
 */
static struct sp_conn_path *path_of_probe(const struct sp_conn *conn, uint64_t path_number)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if (conn->paths[i] != NULL && conn->paths[i]->loss.number == path_number)
            return conn->paths[i];
    return NULL;
}

static size_t overhead_of(const struct sp_conn_path *path)
{
    return path->path.remote.family == 4 ? SP_PMTU_OVERHEAD_V4 : SP_PMTU_OVERHEAD_V6;
}

void sp_conn_mtu_start(struct sp_conn *conn, uint64_t now_ns)
{
    SB_ASSERT(conn->handshake != NULL && conn->handshake->has_peer_params);
    size_t size =
        SB_MIN(conn->config->datagram_size_max, conn->handshake->peer_udp_payload_size_max);
    sp_pmtu_prepare(&conn->path->pmtu, size, overhead_of(conn->path), now_ns);
    use_size(conn, conn->path); /* a long Retry token may have made the first datagrams larger */
}

void sp_conn_mtu_start_path(struct sp_conn_path *path, size_t size_max, uint64_t now_ns)
{
    sp_pmtu_start(&path->pmtu, size_max, overhead_of(path), now_ns);
}

void sp_conn_mtu_acked(struct sp_conn *conn, uint64_t path_number, uint64_t size, uint64_t now_ns)
{
    struct sp_conn_path *path = path_of_probe(conn, path_number);
    if (path != NULL && sp_pmtu_on_acked(&path->pmtu, size, now_ns))
        use_size(conn, path);
}

void sp_conn_mtu_lost(struct sp_conn *conn, uint64_t path_number, uint64_t size, uint64_t now_ns)
{
    struct sp_conn_path *path = path_of_probe(conn, path_number);
    if (path != NULL)
        sp_pmtu_on_lost(&path->pmtu, size, now_ns);
}

/* Asks for the probes that decide.  One more loss of a large datagram is a hole then. */
static void suspect(struct sp_conn *conn)
{
    struct sp_loss_path *path = conn->loss.path;
    path->is_suspected = true;
    path->large_acked_end = conn->loss.app.sent.next_pn;
    path->large_lost_count = SP_PMTU_HOLE_LOSSES - 1;
    conn->app.probe_count = SP_PMTU_HOLE_PROBES;
}

void sp_conn_mtu_decide(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_pmtu *pmtu = &conn->path->pmtu;
    bool is_hole = conn->loss.path->large_lost_count >= SP_PMTU_HOLE_LOSSES &&
                   pmtu->size > SP_DATAGRAM_SIZE_MIN;
    if (is_hole && !conn->loss.path->is_suspected)
        suspect(conn);
    else if (is_hole && sp_pmtu_on_hole(pmtu, now_ns))
        use_size(conn, conn->path);
    else if (sp_pmtu_is_time(pmtu, now_ns) && conn->handshake_state >= SP_HANDSHAKE_CONFIRMED)
        sp_pmtu_on_time(pmtu);
}

void sp_conn_mtu_fit(struct sp_conn *conn, size_t capacity, uint64_t now_ns)
{
    struct sp_pmtu *pmtu = &conn->path->pmtu;
    while (sp_pmtu_is_due(pmtu) && pmtu->probe_size > capacity) {
        bool is_smaller = sp_pmtu_on_too_large(pmtu, pmtu->probe_size, now_ns);
        SB_ASSERT(!is_smaller); /* what is in use is not affected */
    }
}

bool sp_conn_mtu_refused(struct sp_conn *conn, uint64_t size, uint64_t now_ns)
{
    if (!sp_pmtu_on_too_large(&conn->path->pmtu, size, now_ns))
        return false;
    use_size(conn, conn->path);
    return true;
}
