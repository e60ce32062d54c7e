/* SPDX-License-Identifier: MIT */
#include "engine/conn/depart.h"

/* The kernel's queue of a path holds what is made ahead: at most SE_DEPART_AHEAD_NS of the pacer's
 * rate, in trains of a quarter of a millisecond, so about ten of the hundred packets that fq takes
 * of a flow.  No packet of a connection may overtake those that are held, because the peer would
 * take them for lost; so ACKs wait with them, no longer than that. */

#include "engine/base/path.h"
#include "engine/conn/conn.h"
#include "engine/shard/shard.h"

/* Trains after which the shard asks whether there is any fq, so that one that lives long and is
 * never paced does not come here for ever. */
enum { TRAINS_MAX = 64 };

void se_depart_init(struct se_depart *depart, bool is_wanted)
{
    *depart = (struct se_depart){.is_on = is_wanted, .qdisc.fd = -1};
}

void se_depart_deinit(struct se_depart *depart)
{
    if (depart->is_asked && depart->is_on)
        su_qdisc_deinit(&depart->qdisc);
    depart->is_on = false;
}

void se_depart_ask(struct se_depart *depart)
{
    if (depart->is_asked || !depart->is_on)
        return;
    depart->is_asked = true;
    depart->is_on = su_qdisc_any_is_timed() == 0 && su_qdisc_init(&depart->qdisc) == 0;
}

static uint32_t path_number(const struct spate_conn *conn)
{
    return sp_conn_path_number(conn->proto) + 1;
}

void se_depart_prepare(const struct spate_conn *conn, struct sp_train *train)
{
    const struct se_conn_depart *depart = &conn->depart;
    struct se_depart *of_shard = &conn->shard->depart;
    if (SB_UNLIKELY(!of_shard->is_asked) && ++of_shard->train_count == TRAINS_MAX)
        se_depart_ask(of_shard);
    train->depart_min_ns = depart->last_ns;
    if (depart->is_held && depart->path_number == path_number(conn))
        train->ahead_ns = SE_DEPART_AHEAD_NS;
}

bool se_depart_look(struct spate_conn *conn)
{
    struct spate_shard *shard = conn->shard;
    struct se_conn_depart *depart = &conn->depart;
    if (depart->path_number == path_number(conn) || !sp_conn_is_pacer_blocked(conn->proto))
        return false;
    se_depart_ask(&shard->depart);
    if (!shard->depart.is_on)
        return false;
    const struct sp_path *path = sp_conn_path(conn->proto);
    struct su_address local, remote;
    se_addr_to(&path->local, &local);
    se_addr_to(&path->remote, &remote);
    depart->path_number = path_number(conn);
    depart->is_held = shard->ports[path->socket].socket.is_timed &&
                      su_qdisc_route_is_timed(&shard->depart.qdisc, &local, &remote, shard->now_ns);
    return depart->is_held;
}
