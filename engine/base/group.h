/* SPDX-License-Identifier: MIT */
#ifndef SE_GROUP_H
#define SE_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/siphash.h"
#include "proto/base/list.h"
#include "proto/wire/types.h"

/* Flow groups: the connections of a shard that send much to one socket nearby.
 *
 * They share the buffer of that socket, which is the narrow place on a path without a network.  By
 * itself each congestion controller fills it: then the queue there is as long as the buffer, and of
 * n connections each has 1/n of it in flight, in short trains.  So the group as a whole has a limit
 * of bytes in flight, and its members take turns with whole trains.  The limit is what the
 * socket's owner takes in a short time, as measured by acknowledgments:
 *
 *     limit = rate * (shortest round trip + a delay that both ends need) + a train
 *
 * and no more than what the socket's buffer is believed to take, which losses lower.
 *
 * The window of each member is still a limit of its own.  Who sends little is in no group, and
 * waits for nobody.  What is shared here by the flows to one peer is in the spirit of RFC 3124 and
 * of the flow groups of RFC 8699.
 *
 *     in_flight_bytes of a group = sum of in_flight_bytes of its members
 *     line_count = length of `line`;  line is not empty <=> the group is among `waiting`
 *     a member that is in a line is in that of its group */

enum {
    SE_GROUP_SETS = 16,
    SE_GROUP_WAYS = 4, /* peers that may share a place; members of further ones are in no group */
    SE_GROUP_TRAIN_MIN = 8,   /* datagrams of a train whose connection sends much */
    SE_GROUP_FREE_COUNT = 2,  /* that leave at once, of a connection which may send little */
    SE_GROUP_TURN_TRAINS = 4, /* at most, and no more than a quarter of the limit */
};

/* Paths whose shortest round trip is longer are not near, but for those within the machine, whose
 * round trip may have been measured while it was busy. */
#define SE_GROUP_NEAR_NS UINT64_C(1000000)

struct se_group {
    struct sp_addr peer; /* with its port: one socket */
    uint32_t member_count;
    uint32_t line_count;
    uint32_t turns_left;  /* of the round: as many as were in the line at its beginning */
    uint32_t turn_trains; /* of each turn of the round */
    uint64_t in_flight_bytes;
    uint64_t limit_bytes;
    uint64_t bound_bytes; /* of the limit: more is believed not to fit the peer's buffer */
    uint64_t lowered_ns;  /* when losses have lowered the bound last */
    uint64_t raised_ns;   /* .. and when it was changed last */
    uint64_t rtt_min_ns;
    uint64_t rate_bytes_per_s; /* 0: not measured yet */
    uint64_t since_ns;         /* of the measurement that runs: .. */
    uint64_t last_ns;          /* .. the latest acknowledgment in it */
    uint64_t acked_bytes;      /* .. what has left the network since then */
    bool was_full;             /* .. and whether a member had to wait */
    struct sb_link line;       /* members that wait, by `line_link` */
    struct sb_link waiting_link;
};

/* A connection's part. */
struct se_group_member {
    struct se_group *group; /* NULL: none */
    uint64_t in_flight_bytes;
    uint64_t lost_count;  /* packets, as of the last update */
    uint32_t path_number; /* of the path that all of this is about */
    struct sb_link line_link;
};

struct se_groups {
    struct se_siphash_key key;
    struct sb_link waiting; /* groups with a line */
    uint32_t active_count;  /* groups with members */
    struct se_group groups[SE_GROUP_SETS * SE_GROUP_WAYS];
};

/* `key` is random, so that nobody chooses whom it shares a place with. */
void se_groups_init(struct se_groups *groups, struct se_siphash_key key);

void se_group_member_init(struct se_group_member *member);

/* Returns the group of `peer`, if it has members, or NULL. */
struct se_group *se_groups_find(struct se_groups *groups, const struct sp_addr *peer);

/* What a member tells about itself. */
struct se_group_flight {
    uint64_t bytes;       /* in flight */
    uint64_t rtt_min_ns;  /* its shortest round trip; SB_NEVER: not measured yet */
    uint64_t lost_count;  /* packets that it has lost on this path, ever */
    uint32_t path_number; /* of the path in use: each has one of its own */
};

/* Makes `member`, which is in no group, one of the group of the path's peer.  It stays in none if
 * the path is not near, or if there is no place.  One of whose peer there is a group is near.  What
 * it has in flight is not counted yet.  A member is so with one path. */
void se_group_join(struct se_groups *groups, struct se_group_member *member,
                   const struct sp_path *path, const struct se_group_flight *flight,
                   uint64_t now_ns);

/* No effect if it is in none. */
void se_group_leave(struct se_groups *groups, struct se_group_member *member);

/* Bytes of a member leave. */
static inline void se_group_on_sent(struct se_group_member *member, uint64_t bytes)
{
    member->in_flight_bytes += bytes;
    member->group->in_flight_bytes += bytes;
}

/* Returns whether a member uses another path than when it joined, or its peer another port.  What
 * it had in flight there was neither acknowledged nor lost: it can only leave. */
static inline bool se_group_has_moved(const struct se_group_member *member,
                                      const struct sp_addr *peer, uint32_t path_number)
{
    return member->path_number != path_number || !sp_addr_equal(&member->group->peer, peer);
}

/* Takes over what a member has in flight now, its shortest round trip, and its losses.  Call it
 * after its ACKs and losses, before it sends; not for one that has moved. */
void se_group_update(struct se_group_member *member, const struct se_group_flight *flight,
                     uint64_t now_ns);

/* Returns whether a train may leave. */
static inline bool se_group_is_open(const struct se_group *group)
{
    return group->in_flight_bytes < group->limit_bytes;
}

/* Returns whether a train of somebody who is not in the line may leave. */
static inline bool se_group_is_free(const struct se_group *group)
{
    return group->line_count == 0 && se_group_is_open(group);
}

/* Puts a member at the end of the line of its group; no effect if it is in it. */
void se_group_wait(struct se_groups *groups, struct se_group_member *member);
/* Puts it back to the beginning. */
void se_group_rewait(struct se_groups *groups, struct se_group_member *member);

/* Takes the first member out of the line.  Returns NULL if nobody waits. */
struct se_group_member *se_group_pop(struct se_group *group);

/* Returns the group with a line whose turn it is, and puts it behind the others; NULL: none. */
struct se_group *se_groups_next(struct se_groups *groups);

/* Returns the datagrams of a train at most, so that nobody waits long for its turn where little
 * gets through. */
uint32_t se_group_train_count(const struct se_group *group);

/* Returns the trains of a turn at most, 1 to SE_GROUP_TURN_TRAINS, which are the same for all turns
 * of a round: several where the peer takes them in a moment and nobody waits long for its turn.
 * Where members are many, each turn finds the state of its connection outside of the caches, at
 * both ends, and costs an ACK. */
static inline uint32_t se_group_turn_count(const struct se_group *group)
{
    return group->turn_trains;
}

/* Chooses the length of turns for those that wait, at least one; se_group_pop() does it when they
 * have had theirs. */
void se_group_begin_round(struct se_group *group);

/* Walks a group and asserts the equations above; for tests. */
void se_groups_check(const struct se_groups *groups);

#endif
