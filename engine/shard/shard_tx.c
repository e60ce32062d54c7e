/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard.h"

/* Send: each connection that may have something to send fills trains in transmit
 * slots; each train is one sendmsg, and all of them are submitted by the turn's one system call.
 *
 * A connection gets SE_TRAINS_PER_TURN trains and goes to the end of the line, so that one
 * with much to send does not starve the others.  A turn begins no train after
 * SE_SEND_BYTES_PER_TURN, but for the rest of a connection's turn in the line of a flow group: the
 * kernel reads the slots when the turn enters it, so they should still be in the cache then, and
 * packets that arrive meanwhile should not wait long.  Without a free slot all connections wait, in
 * their order, for the completions of earlier sends.
 *
 * Connections that send much to one peer nearby are a flow group (engine/base/group.h).  When it
 * has as much in flight as the peer takes, they stand in its line and get some trains in turn. */

#include <errno.h>
#include <string.h>

#include "engine/base/path.h"
#include "engine/config/config.h"
#include "engine/shard/prefetch.h"
#include "proto/base/assert.h"
#include "proto/conn/message.h"

_Static_assert((int)SP_TRAIN_COUNT_MAX < (int)SE_STAGES_COUNT_END, "a bucket of its own");

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
    NO_SLOT,   /* or the queue of a lent ring is full */
};

/* What a connection may send, when it is its turn. */
struct share {
    uint32_t train_count_max;
    uint32_t count_max;  /* datagrams per train */
    uint32_t join_count; /* datagrams of a train that makes it a member of a flow group */
    bool is_held;        /* ACKs and probes only */
    bool is_whole;       /* what it has begun is not cut by the ends of the turn or of the group */
};

/* ---- Flow groups ---- */

/* Lets a connection wait in the line of its group.  Where others are in it too, the pacer must not
 * cut the trains of its turn: the group's limit bounds what is in flight, and a round trip is long
 * because others are served in between.  One that is alone may have a slow path. */
static void line_up(struct spate_conn *conn)
{
    se_group_wait(&conn->shard->groups, &conn->flow);
    const struct se_group *group = conn->flow.group;
    sp_conn_set_turns(conn->proto, group->member_count > 1 ? se_group_turn_count(group) : 0);
}

static void leave_flow(struct spate_conn *conn)
{
    se_group_leave(&conn->shard->groups, &conn->flow);
    sp_conn_set_turns(conn->proto, 0);
}

static struct se_group_flight flight_of(const struct spate_conn *conn)
{
    struct sp_flight flight = sp_conn_flight(conn->proto);
    return (struct se_group_flight){flight.bytes, flight.rtt_min_ns, flight.lost_count,
                                    sp_conn_path_number(conn->proto)};
}

/* Tells the connection's group what the last ACKs and losses have changed.  On another path it is
 * no longer a part of it.  One that the others have left may never stand in the line again. */
static void update_flow(struct spate_conn *conn)
{
    struct se_group_flight flight = flight_of(conn);
    if (SB_UNLIKELY(se_group_has_moved(&conn->flow, &sp_conn_path(conn->proto)->remote,
                                       flight.path_number))) {
        leave_flow(conn);
        return;
    }
    se_group_update(&conn->flow, &flight, conn->shard->now_ns);
    if (conn->flow.group->member_count == 1)
        sp_conn_set_turns(conn->proto, 0);
}

/* Lowers a connection's share to what its group allows.  Who is in no group, but has a peer whose
 * group waits, may send a little, and becomes a member if that was not all. */
static void limit_flow(struct spate_conn *conn, struct share *share)
{
    struct se_groups *groups = &conn->shard->groups;
    if (conn->flow.group != NULL)
        update_flow(conn);
    if (conn->flow.group != NULL) {
        share->is_held = !se_group_is_free(conn->flow.group);
    } else if (groups->active_count > 0) {
        const struct se_group *group = se_groups_find(groups, &sp_conn_path(conn->proto)->remote);
        if (group == NULL || se_group_is_free(group))
            return;
        share->train_count_max = 2;
        share->count_max = SB_MIN(share->count_max, (uint32_t)SE_GROUP_FREE_COUNT);
        share->join_count = share->count_max;
    }
}

/* A train has left. */
static void flow_on_sent(struct spate_conn *conn, const struct sp_train *train, uint32_t join_count)
{
    struct spate_shard *shard = conn->shard;
    if (conn->flow.group != NULL) {
        se_group_on_sent(&conn->flow, train->size);
    } else if (SB_UNLIKELY(train->count >= join_count)) {
        struct se_group_flight flight = flight_of(conn);
        se_group_join(&shard->groups, &conn->flow, &train->path, &flight, shard->now_ns);
        if (conn->flow.group != NULL)
            se_group_on_sent(&conn->flow, flight.bytes);
    }
}

static bool is_flow_open(const struct spate_conn *conn)
{
    return conn->flow.group == NULL || se_group_is_open(conn->flow.group);
}

/* Returns whether a connection that has sent `train_count` trains may send one more. */
static bool may_go_on(const struct spate_conn *conn, const struct share *share,
                      uint32_t train_count, uint64_t bytes)
{
    if (train_count >= share->train_count_max)
        return false;
    return (share->is_whole && train_count > 0) ||
           (bytes < SE_SEND_BYTES_PER_TURN && (share->is_held || is_flow_open(conn)));
}

/* Adds what went out to `*bytes`, and ends when that is the turn's share. */
static enum outcome send_trains(struct spate_conn *conn, const struct share *share,
                                struct su_send_slot **slot, uint64_t *bytes)
{
    struct spate_shard *shard = conn->shard;
    for (uint32_t i = 0; may_go_on(conn, share, i, *bytes); i++) {
        if (*slot == NULL)
            *slot = su_send_take(&shard->send);
        if (*slot == NULL || !su_ring_has_room(&shard->ring))
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
        se_stages_record_count(&shard->stages, SE_HISTOGRAM_train_datagrams, train.count);
        conn->depart.last_ns = train.depart_ns;
        flow_on_sent(conn, &train, share->join_count);
        /* If the kernel takes no submissions now, the datagrams count as lost, and loss recovery
         * repairs that.  ring_config() sizes a queue of our own so that this cannot happen, but
         * for trains that are split where GSO does not work. */
        struct se_port *port = &shard->ports[train.path.socket]; /* of the path */
        if (commit(port, *slot, &train, tag_of(port, conn->index, se_id_generation(conn->id))))
            *slot = NULL;
        if (SB_LIKELY(train.is_last))
            return SENT_ALL;
    }
    return SENT_SOME;
}

/* Appends all of `from` to `to`. */
static void move_all(struct sb_link *from, struct sb_link *to)
{
    if (sb_list_is_empty(from))
        return;
    struct sb_link *first = from->next, *last = from->prev;
    first->prev = to->prev;
    to->prev->next = first;
    last->next = to;
    to->prev = last;
    sb_list_init(from);
}

static struct share share_of(const struct spate_shard *shard)
{
    return (struct share){
        .train_count_max = SE_TRAINS_PER_TURN,
        .join_count = se_limit_is_set(&shard->limit) ? UINT32_MAX : SE_GROUP_TRAIN_MIN,
        .count_max = shard->config->gso ? SB_MIN(SP_TRAIN_COUNT_MAX, SU_SEGMENT_COUNT_MAX) : 1,
    };
}

/* Accounts for what the connection waits for after it was served. */
static void note_wait(struct spate_conn *conn, enum outcome outcome)
{
    if (SB_LIKELY(outcome == SENT_ALL))
        se_waits_look(conn);
    else if (sb_link_is_in(&conn->flow.line_link) || sb_link_is_in(&conn->limit_link))
        se_waits_hold_back(conn, SPATE_WAIT_LIMIT);
    else if (outcome == NO_SLOT)
        se_waits_hold_back(conn, SPATE_WAIT_SLOT);
    else
        se_waits_set(&conn->waits, SPATE_WAIT_SHARD, conn->shard->now_ns);
}

/* What follows from the packets of a connection that have left. */
static void after_trains(struct spate_conn *conn, enum outcome outcome)
{
    note_wait(conn, outcome);
    se_conn_route(conn); /* the first packet to a CID makes its reset token count */
    if (SB_UNLIKELY(sp_conn_has_message_result(conn->proto)))
        se_conn_raise(conn);
    se_conn_rearm(conn);
    if (SB_UNLIKELY(sp_conn_is_closed(conn->proto))) {
        se_conn_raise(conn); /* CLOSED follows the CONNECTION_CLOSE that has left now */
        se_conn_end(conn);
    }
}

/* Returns whether a connection that was served has nothing in flight and nothing to send. */
static bool is_flow_over(const struct spate_conn *conn, enum outcome outcome)
{
    return outcome == SENT_ALL && conn->flow.group != NULL && conn->flow.in_flight_bytes == 0 &&
           !sb_link_is_in(&conn->flow.line_link);
}

/* Returns whether a connection, after its turn, has more to send than its group lets it. */
static bool must_wait(const struct spate_conn *conn, const struct share *part, enum outcome outcome)
{
    if (conn->flow.group == NULL)
        return false;
    if (outcome == SENT_SOME)
        return !part->is_held && !se_group_is_free(conn->flow.group);
    return part->is_held &&
           sp_conn_is_held(conn->proto, SB_MAX(conn->shard->now_ns, conn->depart.last_ns));
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
        struct share part = *share;
        se_prefetch_next(shard, &line, offsetof(struct spate_conn, send_pending_link));
        if (SB_LIKELY(!share->is_held))
            limit_flow(conn, &part);
        outcome = send_trains(conn, &part, slot, bytes);
        if (outcome == NO_SLOT) {
            sb_list_push_front(&line, link);
            note_wait(conn, outcome);
            break; /* a completion will wake us, not its timer */
        }
        if (!share->is_held && must_wait(conn, &part, outcome))
            line_up(conn);
        else if (outcome == SENT_SOME)
            sb_list_push_back(&served, link);
        else if (SB_UNLIKELY(share->is_held) && !sb_link_is_in(&conn->limit_link) &&
                 sp_conn_is_held(conn->proto, SB_MAX(shard->now_ns, conn->depart.last_ns)))
            se_limit_join(&shard->limit, &conn->limit_link);
        if (is_flow_over(conn, outcome))
            leave_flow(conn);
        after_trains(conn, outcome);
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
        after_trains(conn, outcome);
    }
    return SENT_ALL;
}

/* Sends some trains for each connection in the line of a group, as long as it is open; more if
 * nobody else waits. */
static enum outcome send_group(struct spate_shard *shard, struct se_group *group,
                               struct su_send_slot **slot, uint64_t *bytes)
{
    struct share share = share_of(shard);
    struct se_group_member *member;
    uint32_t count_max = share.count_max;
    while (*bytes < SE_SEND_BYTES_PER_TURN && se_group_is_open(group) &&
           (member = se_group_pop(group)) != NULL) {
        struct spate_conn *conn = SB_CONTAINER_OF(member, struct spate_conn, flow);
        se_prefetch_next(shard, &group->line, offsetof(struct spate_conn, flow.line_link));
        share.is_whole = group->line_count > 0;
        share.train_count_max = share.is_whole ? se_group_turn_count(group) : SE_TRAINS_PER_TURN;
        share.count_max = SB_MIN(count_max, se_group_train_count(group));
        enum outcome outcome = send_trains(conn, &share, slot, bytes);
        if (outcome == NO_SLOT) {
            se_group_rewait(&shard->groups, member);
            return NO_SLOT;
        }
        if (outcome == SENT_SOME)
            line_up(conn);
        after_trains(conn, outcome);
    }
    return SENT_ALL;
}

/* Goes on with the lines of all groups that are open.  Sets `*ret_is_more` if one is open still. */
static SB_NEVER_INLINE enum outcome send_groups(struct spate_shard *shard,
                                                struct su_send_slot **slot, uint64_t *bytes,
                                                bool *ret_is_more)
{
    struct se_group *group;
    uint32_t count = 0;
    SB_LIST_EACH(link, &shard->groups.waiting)
        count++;
    for (; count > 0 && (group = se_groups_next(&shard->groups)) != NULL; count--) {
        if (send_group(shard, group, slot, bytes) == NO_SLOT)
            return NO_SLOT;
        *ret_is_more |= group->line_count > 0 && se_group_is_open(group);
    }
    return SENT_ALL;
}

/* With a rate limit of the shard there is a line already, and nobody joins a group. */
static SB_NEVER_INLINE void release_groups(struct spate_shard *shard)
{
    SB_LIST_EACH(link, &shard->all) {
        struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, all_link);
        if (conn->flow.group == NULL)
            continue;
        leave_flow(conn);
        se_conn_want_send(conn);
    }
    SB_ASSERT(shard->groups.active_count == 0);
}

/* The rest of a turn's sending if the shard has a rate limit.  Sets `*ret_is_more` if the line has
 * more to send now. */
static SB_NEVER_INLINE enum outcome send_limited(struct spate_shard *shard, bool *ret_is_more)
{
    struct su_send_slot *slot = NULL;
    uint64_t bytes = 0;
    struct share share = share_of(shard);
    share.is_held = true;
    if (SB_UNLIKELY(shard->groups.active_count > 0))
        release_groups(shard);
    enum outcome outcome = send_pending(shard, &share, &slot, &bytes);
    if (outcome != NO_SLOT)
        outcome = send_line(shard, &slot, &bytes);
    if (slot != NULL)
        su_send_abandon(&shard->send, slot);
    se_limit_announce(&shard->limit);
    *ret_is_more =
        !sb_list_is_empty(&shard->limit.line) && se_limit_is_open(&shard->limit, shard->now_ns);
    return outcome;
}

/* There is no limit any more. */
static SB_NEVER_INLINE void release_line(struct spate_shard *shard)
{
    struct sb_link *link;
    while ((link = se_limit_pop(&shard->limit)) != NULL)
        se_conn_want_send(SB_CONTAINER_OF(link, struct spate_conn, limit_link));
    se_limit_announce(&shard->limit);
}

static enum outcome send_all(struct spate_shard *shard, bool *ret_is_more)
{
    if (SB_UNLIKELY(se_limit_is_set(&shard->limit)))
        return send_limited(shard, ret_is_more);
    if (SB_UNLIKELY(!sb_list_is_empty(&shard->limit.line)))
        release_line(shard);
    struct su_send_slot *slot = NULL;
    uint64_t bytes = 0;
    const struct share share = share_of(shard);
    enum outcome outcome = send_pending(shard, &share, &slot, &bytes);
    if (outcome != NO_SLOT && !sb_list_is_empty(&shard->groups.waiting))
        outcome = send_groups(shard, &slot, &bytes, ret_is_more);
    if (slot != NULL)
        su_send_abandon(&shard->send, slot);
    return outcome;
}

void se_shard_send(struct spate_shard *shard)
{
    bool is_more = false;
    shard->is_short_of_slots = send_all(shard, &is_more) == NO_SLOT;
    shard->has_more_in_line = is_more;
}

bool se_shard_has_more_to_send(const struct spate_shard *shard)
{
    return !shard->is_short_of_slots &&
           (shard->has_more_in_line || !sb_list_is_empty(&shard->send_pending));
}

int spate_shard_set_rate_limit(struct spate_shard *shard, uint64_t bytes_per_s)
{
    if (!se_config_is_rate(bytes_per_s))
        return -EINVAL;
    se_shard_catch_up(shard);
    se_limit_set(&shard->limit, bytes_per_s, shard->now_ns);
    return 0;
}

bool se_shard_has_stray_slot(const struct spate_shard *shard)
{
    return shard->strays_sending < SB_MAX(shard->send.slot_count / 2, 1u) &&
           su_send_free_count(&shard->send) > 0;
}

bool se_shard_send_stray(struct se_port *port, const struct sp_path *path, const uint8_t *data,
                         size_t size)
{
    struct spate_shard *shard = port->shard;
    SB_ASSERT(size > 0 && size <= SU_TRAIN_SIZE_MAX);
    if (!se_shard_has_stray_slot(shard))
        return false;
    struct su_send_slot *slot = su_send_take(&shard->send);
    SB_ASSERT(slot != NULL);
    memcpy(slot->data, data, size);
    const struct sp_train train = {.size = size, .segment_size = size, .path = *path};
    if (!commit(port, slot, &train, tag_of(port, NO_INDEX, 0))) {
        su_send_abandon(&shard->send, slot);
        return false;
    }
    shard->strays_sending++;
    return true;
}

void se_shard_on_sent(struct spate_shard *shard, const struct su_sent *sent)
{
    uint32_t index = (uint32_t)sent->tag & NO_INDEX;
    uint32_t port_index = (uint32_t)(sent->tag >> 24) & 0xff;
    SB_ASSERT(port_index < SE_PORTS_MAX && shard->ports[port_index].send_count > 0);
    shard->ports[port_index].send_count--;
    if (SB_UNLIKELY(index == NO_INDEX)) {
        SB_ASSERT(shard->strays_sending > 0);
        shard->strays_sending--;
        return;
    }
    if (SB_LIKELY(sent->error == 0))
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
