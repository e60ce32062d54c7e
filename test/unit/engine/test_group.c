/* SPDX-License-Identifier: MIT */
/* Flow groups, in virtual time: many senders and one socket that is emptied at a rate. */

#include "test/support/qt.h"

#include <string.h>

#include "bench/load/spread.h"
#include "engine/base/group.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/limits.h"

enum {
    MEMBERS_MAX = 1000,
    DATAGRAM = 1472,
    TRAIN_BYTES = 44 * DATAGRAM,
    BOUND_BYTES = 88 * 65507, /* of a limit: what a socket surely takes */
    TURN_NS = 50000,          /* of both ends */
    QUEUE_TRAINS = 4096,
};

struct member {
    struct se_group_member flow;
    uint64_t in_flight_bytes;
    uint64_t moved_bytes;
    uint64_t dropped_bytes; /* in flight, as it believes */
    uint64_t lost_count;    /* packets */
};

/* The trains in the socket's buffer, the oldest at `first`. */
struct world {
    struct se_groups groups;
    struct member members[MEMBERS_MAX];
    uint32_t member_count;
    uint64_t now_ns;
    uint64_t rate_bytes_per_s;
    uint64_t credit_bytes;
    uint64_t queued_bytes;
    uint64_t queued_bytes_max;
    uint64_t buffer_bytes; /* of the socket, which drops trains that do not fit; 0: endless */
    uint64_t dropped_count;
    bool is_dropping;
    uint64_t train_count;
    uint64_t train_bytes;
    struct {
        struct member *member;
        uint32_t bytes;
    } queue[QUEUE_TRAINS];
    uint32_t first;
    uint32_t queue_count;
};

static struct world world;

static const struct sp_path path = {.remote = {.ip = {10, 0, 0, 1}, .port = 4433, .family = 4},
                                    .local = {.ip = {10, 0, 0, 2}, .port = 50000, .family = 4}};

static void join(struct se_group_member *member, const struct sp_path *to, uint64_t rtt_min_ns,
                 uint64_t now_ns)
{
    const struct se_group_flight flight = {.rtt_min_ns = rtt_min_ns};
    se_group_join(&world.groups, member, to, &flight, now_ns);
}

static void report(struct member *member)
{
    const struct se_group_flight flight = {
        .bytes = member->in_flight_bytes,
        .rtt_min_ns = 20 * SB_US,
        .lost_count = member->lost_count,
    };
    se_group_update(&member->flow, &flight, world.now_ns);
}

static void open_world(uint32_t member_count, uint64_t rate_bytes_per_s)
{
    struct world *w = &world;
    memset(w, 0, sizeof(*w));
    w->now_ns = SB_S;
    w->rate_bytes_per_s = rate_bytes_per_s;
    w->member_count = member_count;
    se_groups_init(&w->groups, (struct se_siphash_key){{1, 2}});
    for (uint32_t i = 0; i < member_count; i++) {
        se_group_member_init(&w->members[i].flow);
        join(&w->members[i].flow, &path, 20 * SB_US, w->now_ns);
        assert_non_null(w->members[i].flow.group);
        assert_ptr_equal(w->members[i].flow.group, w->members[0].flow.group);
        se_group_wait(&w->groups, &w->members[i].flow);
    }
    se_groups_check(&w->groups);
}

static void close_world(void)
{
    struct se_group *group = world.members[0].flow.group;
    for (uint32_t i = 0; i < world.member_count; i++)
        se_group_leave(&world.groups, &world.members[i].flow);
    se_groups_check(&world.groups);
    assert_int_equal(group->member_count, 0);
    assert_int_equal(group->in_flight_bytes, 0);
}

static void send(struct member *member)
{
    struct world *w = &world;
    uint32_t count = SB_MIN(se_group_train_count(member->flow.group), 44u);
    assert_true(w->queue_count < QUEUE_TRAINS);
    w->train_count++;
    w->train_bytes += count * DATAGRAM;
    member->in_flight_bytes += count * DATAGRAM;
    se_group_on_sent(&member->flow, count * DATAGRAM);
    if (w->buffer_bytes > 0 && w->queued_bytes >= w->buffer_bytes) {
        w->dropped_count++;
        w->is_dropping = true;
        member->dropped_bytes += count * DATAGRAM;
        return;
    }
    uint32_t at = (w->first + w->queue_count++) % QUEUE_TRAINS;
    w->queue[at].member = member;
    w->queue[at].bytes = count * DATAGRAM;
    w->queued_bytes += count * DATAGRAM;
    w->queued_bytes_max = SB_MAX(w->queued_bytes_max, w->queued_bytes);
}

/* Members notice what was dropped, each in its time. */
static void notice(void)
{
    struct world *w = &world;
    w->is_dropping = false;
    for (uint32_t i = 0; i < w->member_count; i++) {
        struct member *member = &w->members[i];
        if (member->dropped_bytes == 0)
            continue;
        member->in_flight_bytes -= member->dropped_bytes;
        member->lost_count += member->dropped_bytes / DATAGRAM;
        member->dropped_bytes = 0;
        report(member);
    }
}

/* What the peer takes in a turn, and acknowledges at its end. */
static void receive(void)
{
    struct world *w = &world;
    w->credit_bytes += w->rate_bytes_per_s * TURN_NS / SB_S;
    while (w->queue_count > 0 && w->queue[w->first].bytes <= w->credit_bytes) {
        struct member *member = w->queue[w->first].member;
        uint32_t bytes = w->queue[w->first].bytes;
        w->first = (w->first + 1) % QUEUE_TRAINS;
        w->queue_count--;
        w->queued_bytes -= bytes;
        w->credit_bytes -= bytes;
        member->in_flight_bytes -= bytes;
        member->moved_bytes += bytes;
        report(member);
    }
    if (w->queue_count == 0)
        w->credit_bytes = 0;
    if (w->is_dropping)
        notice();
}

static void run(uint64_t ns)
{
    struct world *w = &world;
    for (uint64_t end_ns = w->now_ns + ns; w->now_ns < end_ns; w->now_ns += TURN_NS) {
        struct se_group *group = w->members[0].flow.group;
        struct se_group_member *flow;
        while (se_group_is_open(group) && (flow = se_group_pop(group)) != NULL) {
            uint32_t count = se_group_turn_count(group);
            for (uint32_t i = 0; i < count; i++)
                send(SB_CONTAINER_OF(flow, struct member, flow));
            se_group_wait(&w->groups, flow);
        }
        receive();
        se_groups_check(&w->groups);
    }
}

static struct spread spread_of_members(void)
{
    struct spread spread = {.count = 0};
    for (uint32_t i = 0; i < world.member_count; i++)
        spread_add(&spread, (double)world.members[i].moved_bytes);
    return spread;
}

/* The trains are whole ones, however many members there are. */
static void members_share_what_the_peer_takes_and_keep_its_queue_short(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 10, 100, 1000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const uint64_t rate = UINT64_C(2500) * 1000 * 1000;
        open_world(counts[i], rate);
        run(2 * SB_S);
        struct spread spread = spread_of_members();
        assert_true(spread_slowest_over_fastest(&spread) >= 0.95);
        assert_true(spread_jain(&spread) >= 0.999);
        assert_true(spread.sum >= 0.98 * 2 * (double)rate);
        assert_true(world.train_bytes / world.train_count == TRAIN_BYTES);
        assert_true(world.queued_bytes_max <= rate / 500); /* 2 ms */
        close_world();
    }
}

static void the_limit_follows_a_peer_that_becomes_slower_and_faster(void **state)
{
    (void)state;
    static const uint64_t rates[] = {4000, 1000, 4000, 1500};
    open_world(50, rates[0] * 1000000);
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        world.rate_bytes_per_s = rates[i] * 1000000;
        run(SB_S / 10); /* to adjust */
        uint64_t before = (uint64_t)spread_of_members().sum;
        world.queued_bytes_max = 0;
        run(SB_S);
        uint64_t moved = (uint64_t)spread_of_members().sum - before;
        assert_true(moved >= world.rate_bytes_per_s / 100 * 98);
        assert_true(world.queued_bytes_max <= world.rate_bytes_per_s / 500);
    }
    close_world();
}

/* A round of a thousand whole trains would take a minute. */
static void a_slow_peer_hears_of_everybody_in_time(void **state)
{
    (void)state;
    open_world(1000, 1000000);
    run(3 * SB_S);
    for (uint32_t i = 0; i < world.member_count; i++)
        world.members[i].moved_bytes = 0;
    run(4 * SB_S);
    assert_true(spread_of_members().least > 0);
    close_world();
}

/* Nobody waits for longer than a twentieth of a second because the turns of others are long. */
static void turns_have_several_trains_where_they_are_short(void **state)
{
    (void)state;
    static const struct {
        uint64_t rate_mb_per_s;
        uint32_t line_count, want;
        uint64_t limit_bytes;
    } samples[] = {
        {0, 1, 1, 1 << 20},       /* not measured yet */
        {125, 2, 1, 1 << 20},     /* a network card of 1 Gbit/s: a train takes half a millisecond */
        {1250, 10, 1, 1 << 20},   /* 10 Gbit/s */
        {2500, 10, 3, 2 << 20},   /* 20 Gbit/s */
        {5000, 700, 4, 4 << 20},  /* a round of 37 ms */
        {5000, 1000, 3, 4 << 20}, /* and of 39 ms */
        {5000, 1500, 2, 4 << 20}, {5000, 10000, 1, 4 << 20},
        {5000, 100, 1, 400000}, /* of a buffer without privileges */
    };
    for (size_t i = 0; i < SB_COUNT(samples); i++) {
        struct se_group group = {
            .rate_bytes_per_s = samples[i].rate_mb_per_s * 1000000,
            .line_count = samples[i].line_count,
            .limit_bytes = samples[i].limit_bytes,
        };
        se_group_begin_round(&group);
        assert_int_equal(se_group_turn_count(&group), samples[i].want);
        assert_int_equal(group.turns_left, samples[i].line_count);
    }
}

static void a_pause_of_the_peer_costs_little(void **state)
{
    (void)state;
    open_world(10, UINT64_C(2000) * 1000 * 1000);
    run(SB_S);
    uint64_t limit_bytes = world.members[0].flow.group->limit_bytes;
    uint64_t rate = world.rate_bytes_per_s;
    world.rate_bytes_per_s = 0;
    run(SB_S / 2);
    assert_int_equal(world.members[0].flow.group->limit_bytes, limit_bytes);
    world.rate_bytes_per_s = rate;
    run(10 * SB_MS);
    assert_true(world.members[0].flow.group->limit_bytes >= limit_bytes * 8 / 10);
    close_world();
}

/* All that was in flight is acknowledged at one time: the peer has not become faster. */
static void a_pause_of_the_sender_raises_nothing(void **state)
{
    (void)state;
    open_world(10, UINT64_C(2000) * 1000 * 1000);
    run(SB_S);
    struct se_group *group = world.members[0].flow.group;
    uint64_t limit_bytes = group->limit_bytes;
    uint64_t rate = world.rate_bytes_per_s;
    for (uint32_t i = 0; i < 5; i++) {
        world.now_ns += 5 * SB_MS;
        world.rate_bytes_per_s = 1000 * rate;
        receive();
        world.rate_bytes_per_s = rate;
        run(3 * SB_MS / 2);
        assert_true(group->limit_bytes <= limit_bytes * 6 / 5);
        run(10 * SB_MS);
    }
    close_world();
}

/* Nobody knows what buffer the peer's socket has. */
static void the_limit_has_a_bound(void **state)
{
    (void)state;
    open_world(100, UINT64_C(20000) * 1000 * 1000);
    run(SB_S);
    assert_int_equal(world.members[0].flow.group->limit_bytes, BOUND_BYTES);
    assert_true(world.queued_bytes_max <= BOUND_BYTES + SE_GROUP_TURN_TRAINS * TRAIN_BYTES);
    close_world();
}

/* Members hear of a lost train with their next ACK, which comes after a round. */
static void losses_of_whole_trains_lower_the_limit_to_what_fits(void **state)
{
    (void)state;
    static const uint64_t buffers[] = {5 << 19, 3 << 19, 425984}; /* the last: without privileges */
    for (size_t i = 0; i < SB_COUNT(buffers); i++) {
        open_world(100, UINT64_C(5000) * 1000 * 1000);
        world.buffer_bytes = buffers[i];
        run(3 * SB_S);
        const struct se_group *group = world.members[0].flow.group;
        assert_true(world.dropped_count > 0);
        assert_true(group->limit_bytes <= buffers[i] + buffers[i] / 8);
        assert_true(group->limit_bytes >= SB_MIN(buffers[i] / 2, 4 * UINT64_C(65507)));
        world.dropped_count = world.train_count = 0;
        run(2 * SB_S);
        assert_true(world.dropped_count < world.train_count / 1000);
        /* A peer that has more room now is found out. */
        world.buffer_bytes = 0;
        world.dropped_count = 0;
        run(45 * SB_S);
        assert_int_equal(world.dropped_count, 0);
        assert_int_equal(group->bound_bytes, BOUND_BYTES);
        close_world();
    }
}

/* A network loses packets, and probes of the MTU are lost. */
static void losses_of_single_packets_lower_nothing(void **state)
{
    (void)state;
    open_world(10, UINT64_C(2500) * 1000 * 1000);
    for (uint32_t i = 0; i < 100; i++) {
        world.members[i % 10].lost_count += 3;
        run(SB_MS);
    }
    const struct se_group *group = world.members[0].flow.group;
    assert_int_equal(group->bound_bytes, BOUND_BYTES);
    assert_true(group->limit_bytes >= 2500 * 1000);
    close_world();
}

/* Its peer may be the same one, if its own address has changed. */
static void a_member_on_another_path_or_with_another_peer_has_moved(void **state)
{
    (void)state;
    open_world(1, 1000000);
    const struct se_group_member *flow = &world.members[0].flow;
    struct sp_addr other = path.remote;
    other.port++;
    assert_false(se_group_has_moved(flow, &path.remote, 0));
    assert_true(se_group_has_moved(flow, &other, 0));
    assert_true(se_group_has_moved(flow, &path.remote, 1));
    close_world();
}

static void who_leaves_takes_its_bytes_along(void **state)
{
    (void)state;
    open_world(3, 1000000);
    struct se_group *group = world.members[0].flow.group;
    send(&world.members[0]);
    send(&world.members[1]);
    se_group_leave(&world.groups, &world.members[0].flow);
    assert_null(world.members[0].flow.group);
    assert_int_equal(group->in_flight_bytes, world.members[1].in_flight_bytes);
    assert_int_equal(group->line_count, 2);
    se_group_leave(&world.groups, &world.members[0].flow); /* no effect */
    assert_int_equal(group->member_count, 2);
    se_groups_check(&world.groups);
    se_group_leave(&world.groups, &world.members[1].flow);
    se_group_leave(&world.groups, &world.members[2].flow);
    assert_int_equal(group->in_flight_bytes, 0);
    assert_int_equal(group->line_count, 0);
    assert_true(sb_list_is_empty(&world.groups.waiting));
}

static void peers_have_groups_of_their_own_as_long_as_there_are_places(void **state)
{
    (void)state;
    static struct member members[200];
    struct world *w = &world;
    memset(w, 0, sizeof(*w));
    se_groups_init(&w->groups, (struct se_siphash_key){{3, 4}});
    uint32_t count = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct sp_path other = path;
        other.remote.port = (uint16_t)(1000 + i);
        se_group_member_init(&members[i].flow);
        join(&members[i].flow, &other, 0, SB_S);
        count += members[i].flow.group != NULL;
        for (uint32_t k = 0; k < i; k++)
            assert_true(members[i].flow.group == NULL ||
                        members[k].flow.group != members[i].flow.group);
    }
    assert_in_range(count, SE_GROUP_SETS * SE_GROUP_WAYS / 2, SE_GROUP_SETS * SE_GROUP_WAYS);
    for (uint32_t i = 0; i < 200; i++)
        se_group_leave(&world.groups, &members[i].flow);
    /* Places are free again, also for peers that had none. */
    for (uint32_t i = 0; i < 200; i++) {
        struct sp_path other = path;
        other.remote.port = (uint16_t)(1000 + i);
        join(&members[i].flow, &other, 0, 2 * SB_S);
        assert_non_null(members[i].flow.group);
        se_group_leave(&world.groups, &members[i].flow);
    }
    se_groups_check(&w->groups);
}

/* A connection that began while the machine was busy has measured a long round trip. */
static void who_is_near_is_told_by_round_trips_addresses_and_others(void **state)
{
    (void)state;
    struct world *w = &world;
    struct sp_path within = path;
    struct sp_path unknown = path;
    static const uint64_t far_ns = 20 * SB_MS;
    memset(w, 0, sizeof(*w));
    se_groups_init(&w->groups, (struct se_siphash_key){{7, 8}});
    for (uint32_t i = 0; i < 3; i++)
        se_group_member_init(&w->members[i].flow);

    join(&w->members[0].flow, &path, far_ns, SB_S);
    assert_null(w->members[0].flow.group);
    unknown.local.family = 0;
    memset(unknown.local.ip, 0, sizeof(unknown.local.ip));
    join(&w->members[0].flow, &unknown, SB_NEVER, SB_S);
    assert_null(w->members[0].flow.group);
    assert_int_equal(w->groups.active_count, 0);

    memcpy(within.local.ip, within.remote.ip, sizeof(within.local.ip));
    join(&w->members[0].flow, &within, far_ns, SB_S);
    assert_non_null(w->members[0].flow.group);
    assert_int_equal(w->members[0].flow.group->rtt_min_ns, SE_GROUP_NEAR_NS);
    join(&w->members[1].flow, &path, far_ns, SB_S);
    assert_ptr_equal(w->members[1].flow.group, w->members[0].flow.group);
    assert_ptr_equal(se_groups_find(&w->groups, &path.remote), w->members[0].flow.group);
    se_group_leave(&w->groups, &w->members[0].flow);
    se_group_leave(&w->groups, &w->members[1].flow);
    assert_null(se_groups_find(&w->groups, &path.remote));

    join(&w->members[2].flow, &path, SB_MS, SB_S);
    assert_non_null(w->members[2].flow.group);
    se_group_leave(&w->groups, &w->members[2].flow);
    se_groups_check(&w->groups);
}

/* Two peers, of which one takes nothing: the other one's members do not wait for it. */
static void groups_take_turns(void **state)
{
    (void)state;
    struct world *w = &world;
    memset(w, 0, sizeof(*w));
    se_groups_init(&w->groups, (struct se_siphash_key){{5, 6}});
    for (uint32_t i = 0; i < 2; i++) {
        struct sp_path other = path;
        other.remote.port = (uint16_t)(7 + i);
        se_group_member_init(&w->members[i].flow);
        join(&w->members[i].flow, &other, 0, SB_S);
        se_group_wait(&w->groups, &w->members[i].flow);
    }
    struct se_group *first = se_groups_next(&w->groups);
    struct se_group *second = se_groups_next(&w->groups);
    assert_ptr_equal(first, w->members[0].flow.group);
    assert_ptr_equal(second, w->members[1].flow.group);
    assert_ptr_equal(se_groups_next(&w->groups), first);
    assert_ptr_equal(se_group_pop(second), &w->members[1].flow);
    assert_null(se_group_pop(second));
    assert_ptr_equal(se_groups_next(&w->groups), first);
    assert_ptr_equal(se_groups_next(&w->groups), first);
    se_group_leave(&world.groups, &w->members[0].flow);
    se_group_leave(&world.groups, &w->members[1].flow);
    assert_null(se_groups_next(&w->groups));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_share_what_the_peer_takes_and_keep_its_queue_short),
        cmocka_unit_test(the_limit_follows_a_peer_that_becomes_slower_and_faster),
        cmocka_unit_test(a_slow_peer_hears_of_everybody_in_time),
        cmocka_unit_test(turns_have_several_trains_where_they_are_short),
        cmocka_unit_test(a_pause_of_the_peer_costs_little),
        cmocka_unit_test(a_pause_of_the_sender_raises_nothing),
        cmocka_unit_test(the_limit_has_a_bound),
        cmocka_unit_test(losses_of_whole_trains_lower_the_limit_to_what_fits),
        cmocka_unit_test(losses_of_single_packets_lower_nothing),
        cmocka_unit_test(a_member_on_another_path_or_with_another_peer_has_moved),
        cmocka_unit_test(who_leaves_takes_its_bytes_along),
        cmocka_unit_test(peers_have_groups_of_their_own_as_long_as_there_are_places),
        cmocka_unit_test(who_is_near_is_told_by_round_trips_addresses_and_others),
        cmocka_unit_test(groups_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
