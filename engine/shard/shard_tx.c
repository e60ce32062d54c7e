/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard.h"

/* Send: each connection that may have something to send fills trains in transmit
 * slots; each train is one sendmsg, and all of them are submitted by the turn's one system call.
 *
 * A connection gets SE_TRAINS_PER_TURN trains and goes to the end of the line, so that one
 * with much to send does not starve the others.  A turn fills SE_SEND_BYTES_PER_TURN at most:
 * the kernel reads the slots when the turn enters it, so they should still be in the cache then,
 * and packets that arrive meanwhile should not wait long.  Without a free slot all connections
 * wait, in their order, for the completions of earlier sends. */

#include <errno.h>
#include <string.h>

#include "engine/base/path.h"
#include "engine/config/config.h"
#include "proto/base/assert.h"
#include "proto/conn/message.h"

/* A train's tag names its connection and its port.
 *
 *      63            32 31      24 23                     0
 *     +----------------+----------+------------------------+
 *     |   generation   |   port   |  index, or NO_INDEX    |
 *     +----------------+----------+------------------------+ */
#define NO_INDEX UINT32_C(0xffffff)
_Static_assert(SE_CONNS_MAX < NO_INDEX, "an index fits the tag");
_Static_assert(SE_PORTS_MAX <= 0xff, "a port fits the tag");

static uint64_t tag_of(const struct se_port *port, uint32_t index, uint64_t generation)
{
    return generation << 32 | port->index << 24 | index; /* the generation's low 32 bits */
}

/* Returns the connection of a train, or NULL if it was freed. */
static struct spate_conn *conn_of_tag(const struct spate_shard *shard, uint64_t tag)
{
    struct spate_conn *conn = shard->slots[(uint32_t)tag & NO_INDEX].conn;
    bool is_it = conn != NULL && (uint32_t)se_id_generation(conn->id) == (uint32_t)(tag >> 32);
    return is_it ? conn : NULL;
}

static bool commit(struct se_port *port, struct su_send_slot *slot, const struct sp_train *built,
                   uint64_t tag)
{
    struct su_train train = {
        .socket = &port->socket,
        .size = (uint32_t)built->size,
        .segment_size = (uint32_t)SB_MIN(built->segment_size, built->size),
        .ecn = (uint8_t)built->ecn,
        .tag = tag,
        .depart_ns = built->depart_ns > port->shard->now_ns ? built->depart_ns : 0,
    };
    if (!port->socket.is_connected) {
        se_addr_to(&built->path.remote, &train.destination);
        se_addr_to(&built->path.local, &train.source);
    }
    if (su_send_commit(&port->shard->send, slot, &train) != 0)
        return false;
    port->send_count++;
    return true;
}

enum outcome {
    SENT_ALL,
    SENT_SOME, /* there may be more */
    NO_SLOT,
};

/* What a connection may send, when it is its turn. */
struct share {
    uint32_t train_count_max;
    uint32_t count_max; /* datagrams per train */
    bool is_held;       /* ACKs and probes only */
};

/* Adds what went out to `*bytes`, and ends when that is the turn's share. */
static enum outcome send_trains(struct spate_conn *conn, const struct share *share,
                                struct su_send_slot **slot, uint64_t *bytes)
{
    struct spate_shard *shard = conn->shard;
    for (uint32_t i = 0; i < share->train_count_max && *bytes < SE_SEND_BYTES_PER_TURN; i++) {
        if (*slot == NULL)
            *slot = su_send_take(&shard->send);
        if (*slot == NULL)
            return NO_SLOT;

        struct sp_train train = {
            .data = (*slot)->data,
            .capacity = SU_TRAIN_SIZE_MAX,
            .count_max = share->count_max,
            .is_held = share->is_held,
        };
        if (SB_UNLIKELY(shard->depart.is_on))
            se_depart_prepare(conn, &train);
        if (sp_conn_send(conn->proto, &train, shard->now_ns) == 0) {
            if (SB_UNLIKELY(shard->depart.is_on) && se_depart_look(conn))
                continue;
            return SENT_ALL;
        }
        *bytes += train.size;
        conn->depart.last_ns = train.depart_ns;
        /* If the kernel takes no submissions now, the datagrams count as lost, and loss recovery
         * repairs that.  ring_config() sizes the queue so that this cannot happen. */
        struct se_port *port = &shard->ports[train.path.socket]; /* of the path */
        if (commit(port, *slot, &train, tag_of(port, conn->index, se_id_generation(conn->id))))
            *slot = NULL;
    }
    return SENT_SOME;
}

static void move_all(struct sb_link *from, struct sb_link *to)
{
    struct sb_link *link;
    while ((link = sb_list_pop_front(from)) != NULL)
        sb_list_push_back(to, link);
}

static struct share share_of(const struct spate_shard *shard)
{
    return (struct share){
        .train_count_max = SE_TRAINS_PER_TURN,
        .count_max = shard->config->gso ? SB_MIN(SP_TRAIN_COUNT_MAX, SU_SEGMENT_COUNT_MAX) : 1,
    };
}

/* What follows from the packets of a connection that have left. */
static void after_trains(struct spate_conn *conn)
{
    se_conn_route(conn); /* the first packet to a CID makes its reset token count */
    if (SB_UNLIKELY(sp_conn_has_message_result(conn->proto)))
        se_conn_raise(conn);
    se_conn_rearm(conn);
    if (SB_UNLIKELY(sp_conn_is_closed(conn->proto))) {
        se_conn_raise(conn); /* CLOSED follows the CONNECTION_CLOSE that has left now */
        se_conn_end(conn);
    }
}

/* Sends for all that are pending.  Connections that were not served in this turn go first in the
 * next.  With a rate limit only what is not held leaves, and the others stand in line for the rest.
 */
static enum outcome send_pending(struct spate_shard *shard, const struct share *share,
                                 struct su_send_slot **slot, uint64_t *bytes)
{
    struct sb_link line;   /* send_pending at the start; later ones wait for the next turn */
    struct sb_link served; /* connections that were served and have more to send */
    struct sb_link *link;
    enum outcome outcome = SENT_ALL;

    sb_list_init(&line);
    sb_list_init(&served);
    move_all(&shard->send_pending, &line);
    while (*bytes < SE_SEND_BYTES_PER_TURN && (link = sb_list_pop_front(&line)) != NULL) {
        struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, send_pending_link);
        outcome = send_trains(conn, share, slot, bytes);
        if (outcome == NO_SLOT) {
            sb_list_push_front(&line, link);
            break; /* a completion will wake us, not its timer */
        }
        if (outcome == SENT_SOME)
            sb_list_push_back(&served, link);
        else if (SB_UNLIKELY(share->is_held) && !sb_link_is_in(&conn->limit_link) &&
                 sp_conn_is_held(conn->proto, SB_MAX(shard->now_ns, conn->depart.last_ns)))
            se_limit_join(&shard->limit, &conn->limit_link);
        after_trains(conn);
    }
    move_all(&line, &shard->send_pending);
    move_all(&served, &shard->send_pending);
    return outcome;
}

/* Sends a train for each connection in the line, as long as the rate limit is open. */
static enum outcome send_line(struct spate_shard *shard, struct su_send_slot **slot,
                              uint64_t *bytes)
{
    struct share share = share_of(shard);
    struct sb_link *link;
    share.train_count_max = 1;
    share.count_max = SB_MIN(share.count_max, se_limit_train_count(&shard->limit));
    while (*bytes < SE_SEND_BYTES_PER_TURN && se_limit_is_open(&shard->limit, shard->now_ns) &&
           (link = se_limit_pop(&shard->limit)) != NULL) {
        struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, limit_link);
        uint64_t before = *bytes;
        enum outcome outcome = send_trains(conn, &share, slot, bytes);
        if (outcome == NO_SLOT) {
            se_limit_rejoin(&shard->limit, link);
            return NO_SLOT;
        }
        se_limit_on_sent(&shard->limit, *bytes - before, shard->now_ns);
        if (outcome == SENT_SOME)
            se_limit_join(&shard->limit, link);
        after_trains(conn);
    }
    return SENT_ALL;
}

/* The rest of a turn's sending if the shard has a rate limit.  Returns true if there is more to
 * send now. */
static SB_NEVER_INLINE bool send_limited(struct spate_shard *shard)
{
    struct su_send_slot *slot = NULL;
    uint64_t bytes = 0;
    struct share share = share_of(shard);
    share.is_held = true;
    enum outcome outcome = send_pending(shard, &share, &slot, &bytes);
    if (outcome != NO_SLOT)
        outcome = send_line(shard, &slot, &bytes);
    if (slot != NULL)
        su_send_abandon(&shard->send, slot);
    se_limit_announce(&shard->limit);
    bool is_open =
        !sb_list_is_empty(&shard->limit.line) && se_limit_is_open(&shard->limit, shard->now_ns);
    return outcome != NO_SLOT && (is_open || !sb_list_is_empty(&shard->send_pending));
}

/* There is no limit any more. */
static SB_NEVER_INLINE void release_line(struct spate_shard *shard)
{
    struct sb_link *link;
    while ((link = se_limit_pop(&shard->limit)) != NULL)
        se_conn_want_send(SB_CONTAINER_OF(link, struct spate_conn, limit_link));
    se_limit_announce(&shard->limit);
}

bool se_shard_send(struct spate_shard *shard)
{
    if (SB_UNLIKELY(se_limit_is_set(&shard->limit)))
        return send_limited(shard);
    if (SB_UNLIKELY(!sb_list_is_empty(&shard->limit.line)))
        release_line(shard);
    struct su_send_slot *slot = NULL;
    uint64_t bytes = 0;
    const struct share share = share_of(shard);
    enum outcome outcome = send_pending(shard, &share, &slot, &bytes);
    if (slot != NULL)
        su_send_abandon(&shard->send, slot);
    return outcome != NO_SLOT && !sb_list_is_empty(&shard->send_pending);
}

int spate_shard_set_rate_limit(struct spate_shard *shard, uint64_t bytes_per_s)
{
    if (!se_config_is_rate(bytes_per_s))
        return -EINVAL;
    se_limit_set(&shard->limit, bytes_per_s, shard->now_ns);
    return 0;
}

void se_shard_send_stray(struct se_port *port, const struct sp_path *path, const uint8_t *data,
                         size_t size)
{
    struct spate_shard *shard = port->shard;
    SB_ASSERT(size > 0 && size <= SU_TRAIN_SIZE_MAX);
    struct su_send_slot *slot = su_send_take(&shard->send);
    if (slot == NULL)
        return;
    memcpy(slot->data, data, size);
    const struct sp_train train = {.size = size, .segment_size = size, .path = *path};
    if (!commit(port, slot, &train, tag_of(port, NO_INDEX, 0)))
        su_send_abandon(&shard->send, slot);
}

void se_shard_on_sent(struct spate_shard *shard, const struct su_sent *sent)
{
    uint32_t index = (uint32_t)sent->tag & NO_INDEX;
    uint32_t port_index = (uint32_t)(sent->tag >> 24) & 0xff;
    SB_ASSERT(port_index < SE_PORTS_MAX && shard->ports[port_index].send_count > 0);
    shard->ports[port_index].send_count--;
    if (SB_LIKELY(sent->error == 0) || index == NO_INDEX)
        return;

    struct spate_conn *conn = conn_of_tag(shard, sent->tag);
    bool is_absent = sent->error == -ECONNREFUSED || sent->error == -ENETUNREACH ||
                     sent->error == -EHOSTUNREACH || sent->error == -ENETDOWN;
    if (conn != NULL && is_absent)
        se_conn_unreachable(conn, -sent->error);
    if (conn != NULL && sent->error == -EMSGSIZE) {
        /* Of the interface: ICMP is not listened to, because anyone can forge it. */
        sp_conn_on_too_large(conn->proto, sent->segment_size, shard->now_ns);
        se_conn_touch(conn);
    }
}
