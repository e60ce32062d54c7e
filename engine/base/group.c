/* SPDX-License-Identifier: MIT */
#include "engine/base/group.h"

/* The limit follows the rate as in FAST TCP (D. Wei and others, 2006): the window that has emptied
 * a queue in a round trip R becomes window * T / R, and so R becomes T.  It needs neither losses
 * nor the round trips of members, of which each has its own.  Half of each step is taken at a time,
 * because a socket's owner reads in batches.  While nobody has to wait the limit says nothing, and
 * stays.
 *
 * Time counts from acknowledgment to acknowledgment: a peer that does not run for a while lowers
 * the limit once and not all the time.  Acknowledgments that are read at one time belong to the
 * time before it, all of them: what has piled up while we did not run is no higher rate.
 *
 * What the socket's buffer takes is not known: ours is as large, if its owner has asked for as much
 * as we do by default and got it.  One that is full drops whole trains, and so does nothing else
 * nearby.  Then the limit is bounded by less than it was, and the bound rises slowly.
 *
 * What can be attacked: a peer that acknowledges late, or not all, gets less, and it alone. */

#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/limits.h"

#define TRAIN_BYTES 65507

/* How long the queue is that the limit leaves: long enough that both ends work in batches. */
#define DELAY_NS (1 * SB_MS)

/* Several times what a receiver takes for one ACK at most (256 packets), or the sender would wait
 * for its delay; and enough for both ends to work in batches. */
#define LIMIT_BYTES_MIN   (UINT64_C(16) * TRAIN_BYTES)
#define LIMIT_BYTES_FIRST (UINT64_C(16) * TRAIN_BYTES)
/* Of 8 MiB that the kernel grants for the 4 MiB that we ask for by default: it counts what was read
 * as still there until that is a quarter of the buffer, and takes 98 trains then.  A turn of
 * several trains may exceed the limit, as may who sends little.  With less, one connection is
 * slower: 46 instead of 48 Gbit/s with 4 MiB. */
#define LIMIT_BYTES_MAX (UINT64_C(88) * TRAIN_BYTES)

/* After losses: no less than a few turns of a train. */
#define BOUND_BYTES_MIN (UINT64_C(4) * TRAIN_BYTES)
/* All losses of an overflow have been noticed after the first of them, and without further ones the
 * bound rises by a train after the second, again and again. */
#define NOTICE_NS (100 * SB_MS)
#define RAISE_NS  (500 * SB_MS)

/* A limit that is older is not used for new members. */
#define KEEP_NS (10 * SB_S)

/* A round of all members that wait takes no longer, as far as trains may be shorter. */
#define ROUND_NS        (2 * SB_S)
#define TRAIN_COUNT_MIN 2

/* With turns of several trains it takes no longer than this, and a turn no longer than that.  Who
 * has had a turn more than others within a second has 1/20 more. */
#define ROUND_SHORT_NS (50 * SB_MS)
#define TURN_NS        (80 * SB_US)

void se_groups_init(struct se_groups *groups, struct se_siphash_key key)
{
    memset(groups, 0, sizeof(*groups));
    groups->key = key;
    sb_list_init(&groups->waiting);
    for (uint32_t i = 0; i < SE_GROUP_SETS * SE_GROUP_WAYS; i++) {
        sb_list_init(&groups->groups[i].line);
        sb_list_init(&groups->groups[i].waiting_link);
    }
}

void se_group_member_init(struct se_group_member *member)
{
    *member = (struct se_group_member){.group = NULL};
    sb_list_init(&member->line_link);
}

static struct se_group *set_of(struct se_groups *groups, const struct sp_addr *peer)
{
    uint8_t bytes[sizeof(*peer)];
    memcpy(bytes, peer, sizeof(bytes));
    uint64_t set = se_siphash(&groups->key, bytes, sizeof(bytes)) % SE_GROUP_SETS;
    return &groups->groups[set * SE_GROUP_WAYS];
}

struct se_group *se_groups_find(struct se_groups *groups, const struct sp_addr *peer)
{
    if (SB_LIKELY(groups->active_count == 0))
        return NULL;
    struct se_group *set = set_of(groups, peer);
    for (uint32_t i = 0; i < SE_GROUP_WAYS; i++)
        if (set[i].member_count > 0 && sp_addr_equal(&set[i].peer, peer))
            return &set[i];
    return NULL;
}

static bool is_near(const struct sp_path *path, uint64_t rtt_min_ns)
{
    bool is_within = path->remote.family != 0 && path->remote.family == path->local.family &&
                     memcmp(path->remote.ip, path->local.ip, sizeof(path->local.ip)) == 0;
    return is_within || rtt_min_ns <= SE_GROUP_NEAR_NS;
}

/* Returns the group of `peer`, or the place for it, or NULL. */
static struct se_group *find_place(struct se_group *set, const struct sp_addr *peer)
{
    struct se_group *place = NULL;
    for (uint32_t i = 0; i < SE_GROUP_WAYS; i++) {
        if (sp_addr_equal(&set[i].peer, peer))
            return &set[i];
        bool is_better = place == NULL || set[i].since_ns < place->since_ns;
        if (set[i].member_count == 0 && is_better)
            place = &set[i];
    }
    return place;
}

static void begin(struct se_group *group, const struct sp_addr *peer)
{
    SB_ASSERT(group->in_flight_bytes == 0 && group->line_count == 0);
    group->peer = *peer;
    group->limit_bytes = LIMIT_BYTES_FIRST;
    group->bound_bytes = LIMIT_BYTES_MAX;
    group->lowered_ns = 0;
    group->raised_ns = 0;
    group->rtt_min_ns = SE_GROUP_NEAR_NS;
    group->rate_bytes_per_s = 0;
    group->turn_trains = 1;
    group->turns_left = 0;
}

static void restart(struct se_group *group, uint64_t now_ns)
{
    group->since_ns = now_ns;
    group->last_ns = now_ns;
    group->acked_bytes = 0;
    group->was_full = false;
}

void se_group_join(struct se_groups *groups, struct se_group_member *member,
                   const struct sp_path *path, const struct se_group_flight *flight,
                   uint64_t now_ns)
{
    SB_ASSERT(member->group == NULL && member->in_flight_bytes == 0);
    const struct sp_addr *peer = &path->remote;
    struct se_group *group = se_groups_find(groups, peer);
    if (group == NULL && is_near(path, flight->rtt_min_ns))
        group = find_place(set_of(groups, peer), peer);
    if (group == NULL)
        return;
    if (group->member_count == 0) {
        if (!sp_addr_equal(&group->peer, peer) || now_ns - group->since_ns > KEEP_NS)
            begin(group, peer);
        restart(group, now_ns);
        groups->active_count++;
    }
    group->rtt_min_ns = SB_MIN(group->rtt_min_ns, flight->rtt_min_ns);
    group->member_count++;
    member->group = group;
    member->lost_count = flight->lost_count;
    member->path_number = flight->path_number;
}

static void leave_line(struct se_group_member *member)
{
    struct se_group *group = member->group;
    if (!sb_link_is_in(&member->line_link))
        return;
    sb_list_remove(&member->line_link);
    SB_ASSERT(group->line_count > 0);
    if (--group->line_count == 0)
        sb_list_remove(&group->waiting_link);
}

void se_group_leave(struct se_groups *groups, struct se_group_member *member)
{
    struct se_group *group = member->group;
    if (group == NULL)
        return;
    leave_line(member);
    SB_ASSERT(group->member_count > 0 && group->in_flight_bytes >= member->in_flight_bytes);
    group->in_flight_bytes -= member->in_flight_bytes;
    if (--group->member_count == 0)
        groups->active_count--;
    member->in_flight_bytes = 0;
    member->group = NULL;
}

static uint64_t bounded(const struct se_group *group, uint64_t bytes)
{
    return SB_MIN(SB_MAX(bytes, LIMIT_BYTES_MIN), group->bound_bytes);
}

/* A member has lost as much as a full socket drops.  The members notice their losses of one
 * overflow one after the other. */
static void on_overflow(struct se_group *group, uint64_t now_ns)
{
    if (now_ns - group->lowered_ns < NOTICE_NS)
        return;
    group->bound_bytes = SB_MAX(group->limit_bytes * 3 / 4, BOUND_BYTES_MIN);
    group->lowered_ns = group->raised_ns = now_ns;
    group->limit_bytes = bounded(group, group->limit_bytes);
}

static void raise_bound(struct se_group *group, uint64_t now_ns)
{
    if (SB_LIKELY(group->bound_bytes == LIMIT_BYTES_MAX) || now_ns - group->raised_ns < RAISE_NS)
        return;
    group->bound_bytes = SB_MIN(group->bound_bytes + TRAIN_BYTES, LIMIT_BYTES_MAX);
    group->raised_ns = now_ns;
}

/* The measurement is over. */
static void adjust(struct se_group *group, uint64_t passed_ns, uint64_t aim_ns)
{
    unsigned __int128 acked = group->acked_bytes;
    if (!group->was_full)
        return; /* what the members had to send limited it */
    uint64_t rate = (uint64_t)(acked * SB_S / passed_ns);
    uint64_t before = group->rate_bytes_per_s == 0 ? rate : group->rate_bytes_per_s;
    group->rate_bytes_per_s = before - before / 8 + rate / 8;
    uint64_t aim = (uint64_t)(acked * aim_ns / passed_ns) + TRAIN_BYTES;
    uint64_t limit = group->limit_bytes / 2 + aim / 2;
    group->limit_bytes = bounded(group, limit);
}

void se_group_update(struct se_group_member *member, const struct se_group_flight *flight,
                     uint64_t now_ns)
{
    struct se_group *group = member->group;
    uint64_t before = member->in_flight_bytes;
    uint64_t in_flight_bytes = flight->bytes;
    uint64_t lost_count = flight->lost_count - member->lost_count;
    SB_ASSERT(flight->path_number == member->path_number);
    SB_ASSERT(group->in_flight_bytes >= before);
    group->in_flight_bytes = group->in_flight_bytes - before + in_flight_bytes;
    member->in_flight_bytes = in_flight_bytes;
    member->lost_count = flight->lost_count;
    if (SB_UNLIKELY(lost_count >= SE_GROUP_TRAIN_MIN))
        on_overflow(group, now_ns);
    if (in_flight_bytes >= before)
        return;
    group->rtt_min_ns = SB_MIN(group->rtt_min_ns, flight->rtt_min_ns);
    uint64_t aim_ns = group->rtt_min_ns + DELAY_NS;
    uint64_t passed_ns = group->last_ns - group->since_ns;
    if (now_ns > group->last_ns && passed_ns >= aim_ns) {
        raise_bound(group, now_ns);
        adjust(group, passed_ns, aim_ns);
        restart(group, group->last_ns);
    }
    group->last_ns = SB_MAX(group->last_ns, now_ns);
    group->acked_bytes += before - in_flight_bytes;
}

static void stand(struct se_groups *groups, struct se_group *group)
{
    if (group->line_count++ == 0)
        sb_list_push_back(&groups->waiting, &group->waiting_link);
}

void se_group_wait(struct se_groups *groups, struct se_group_member *member)
{
    struct se_group *group = member->group;
    group->was_full = true;
    if (sb_link_is_in(&member->line_link))
        return;
    sb_list_push_back(&group->line, &member->line_link);
    stand(groups, group);
}

void se_group_rewait(struct se_groups *groups, struct se_group_member *member)
{
    sb_list_push_front(&member->group->line, &member->line_link);
    stand(groups, member->group);
}

struct se_group_member *se_group_pop(struct se_group *group)
{
    if (group->line_count == 0)
        return NULL;
    if (group->turns_left == 0)
        se_group_begin_round(group);
    group->turns_left--;
    struct sb_link *link = group->line.next;
    struct se_group_member *member = SB_CONTAINER_OF(link, struct se_group_member, line_link);
    leave_line(member);
    return member;
}

struct se_group *se_groups_next(struct se_groups *groups)
{
    struct sb_link *link = sb_list_pop_front(&groups->waiting);
    if (link == NULL)
        return NULL;
    sb_list_push_back(&groups->waiting, link);
    return SB_CONTAINER_OF(link, struct se_group, waiting_link);
}

uint32_t se_group_train_count(const struct se_group *group)
{
    if (group->rate_bytes_per_s == 0)
        return SP_TRAIN_COUNT_MAX;
    uint64_t round_bytes = group->rate_bytes_per_s * (ROUND_NS / SB_S);
    uint64_t count = round_bytes / (group->line_count + 1) / SP_DATAGRAM_SIZE_MIN;
    return (uint32_t)SB_MIN(SB_MAX(count, TRAIN_COUNT_MIN), (uint64_t)SP_TRAIN_COUNT_MAX);
}

void se_group_begin_round(struct se_group *group)
{
    SB_ASSERT(group->line_count > 0);
    uint64_t round_bytes = group->rate_bytes_per_s / (SB_S / ROUND_SHORT_NS);
    uint64_t turn_bytes = group->rate_bytes_per_s / (SB_S / TURN_NS);
    turn_bytes = SB_MIN(turn_bytes, group->limit_bytes / 4);
    uint64_t count = SB_MIN(round_bytes / group->line_count, turn_bytes) / TRAIN_BYTES;
    group->turn_trains = (uint32_t)SB_MIN(SB_MAX(count, 1u), (uint64_t)SE_GROUP_TURN_TRAINS);
    group->turns_left = group->line_count;
}

void se_groups_check(const struct se_groups *groups)
{
    uint32_t waiting_count = 0;
    uint32_t active_count = 0;
    SB_LIST_EACH(link, &groups->waiting)
        waiting_count++;
    for (uint32_t i = 0; i < SE_GROUP_SETS * SE_GROUP_WAYS; i++) {
        const struct se_group *group = &groups->groups[i];
        uint32_t line_count = 0;
        uint64_t line_bytes = 0;
        SB_LIST_EACH(link, &group->line) {
            const struct se_group_member *member =
                SB_CONTAINER_OF(link, struct se_group_member, line_link);
            SB_ASSERT(member->group == group);
            line_bytes += member->in_flight_bytes;
            line_count++;
        }
        SB_ASSERT(line_count == group->line_count && line_count <= group->member_count);
        SB_ASSERT(line_bytes <= group->in_flight_bytes);
        SB_ASSERT(sb_link_is_in(&group->waiting_link) == (line_count > 0));
        SB_ASSERT(group->member_count > 0 || group->in_flight_bytes == 0);
        waiting_count -= line_count > 0;
        active_count += group->member_count > 0;
    }
    SB_ASSERT(active_count == groups->active_count);
    SB_ASSERT(waiting_count == 0);
}
