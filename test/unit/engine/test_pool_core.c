/* SPDX-License-Identifier: MIT */
/* The decisions of a connection pool, in virtual time with invented servers: which connection gets
 * work, who is tried when, what is given up. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "engine/pool/core.h"
#include "proto/base/time.h"

enum { PEERS = 4, MEMBERS = 3 };

enum mode { WORKS, REFUSES, SILENT, CLOSES, MODE_COUNT }; /* of a server */

/* An invented connection. */
struct link {
    struct se_member *member;
    bool is_used;
    bool is_connected;
    bool is_closing;
    uint64_t at_ns; /* when the next thing happens to it */
    uint64_t streams;
    uint64_t packets_in;
    uint64_t in_flight;
};

struct world {
    struct se_pool pool;
    struct se_pool_peer peers[PEERS];
    struct se_member members[PEERS][MEMBERS];
    enum mode modes[PEERS];
    uint64_t rtt_ns[PEERS];
    struct link links[PEERS * MEMBERS];
    uint64_t now_ns;
    uint64_t random;
    uint64_t attempts[PEERS];
    uint64_t last_attempt_ns[PEERS];
};

static const struct se_pool_config config = {
    .backoff_ns = 10 * SB_MS,
    .backoff_ns_max = 200 * SB_MS,
    .hang_ns = 400 * SB_MS,
    .check_ns = 50 * SB_MS,
    .breaker =
        {
            .failures_max = 4,
            .trials_max = 1,
            .successes_min = 1,
            .open_ns = 500 * SB_MS,
            .open_ns_max = 4 * SB_S,
        },
};

static uint64_t draw(struct world *w)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return w->random ^ w->random >> 32;
}

static uint64_t op_random(void *context)
{
    return draw(context);
}

static uint32_t index_of(const struct world *w, const struct se_member *member)
{
    return (uint32_t)(member->peer - w->peers);
}

static int op_connect(void *context, struct se_member *member, void **ret_handle)
{
    struct world *w = context;
    uint32_t peer = index_of(w, member);
    w->attempts[peer]++;
    w->last_attempt_ns[peer] = w->now_ns;
    for (uint32_t i = 0; i < QT_COUNT(w->links); i++) {
        struct link *link = &w->links[i];
        if (link->is_used)
            continue;
        *link = (struct link){.member = member, .is_used = true, .at_ns = w->now_ns + 2 * SB_MS};
        if (w->modes[peer] == SILENT)
            link->at_ns = w->now_ns + 300 * SB_MS; /* the handshake's time-out */
        *ret_handle = link;
        return 0;
    }
    fail_msg("more connections than members");
    return -1;
}

static void op_close(void *context, void *handle, bool is_fault)
{
    struct world *w = context;
    struct link *link = handle;
    (void)is_fault;
    assert_true(link->is_used);
    link->is_closing = true;
    link->at_ns = w->now_ns;
}

static void op_look(void *context, void *handle, struct se_member_load *ret)
{
    const struct world *w = context;
    const struct link *link = handle;
    assert_true(link->is_used);
    *ret = (struct se_member_load){
        .is_open = !link->is_closing,
        .streams = link->streams,
        .rtt_ns = w->rtt_ns[index_of(w, link->member)],
        .packets_in = link->packets_in,
        .in_flight_bytes = link->in_flight,
    };
}

static const struct se_pool_ops ops = {op_connect, op_close, op_look, op_random};

static void end_link(struct world *w, struct link *link, bool is_fault)
{
    struct se_member *member = link->member;
    link->is_used = false;
    se_pool_on_closed(member, is_fault, w->now_ns);
}

/* What a server in its mode does to a connection, whose time has come. */
static void step_link(struct world *w, struct link *link)
{
    enum mode mode = w->modes[index_of(w, link->member)];
    if (link->is_closing) {
        end_link(w, link, false);
    } else if (!link->is_connected && mode != WORKS && mode != CLOSES) {
        end_link(w, link, true);
    } else if (!link->is_connected) {
        link->is_connected = true;
        link->packets_in = 1;
        link->at_ns = w->now_ns + 20 * SB_MS;
        se_pool_on_connected(link->member, w->now_ns);
    } else if (mode == WORKS) {
        link->packets_in++;
        link->in_flight = 0;
        link->at_ns = w->now_ns + 20 * SB_MS;
    } else if (mode == SILENT) { /* as a PING that nobody answers */
        link->in_flight = 30;
        link->at_ns = w->now_ns + 20 * SB_MS;
    } else {
        end_link(w, link, mode == REFUSES);
    }
}

static void remove_gone(struct world *w)
{
    for (uint32_t i = 0; i < PEERS; i++)
        if (w->peers[i].pool != NULL && se_pool_is_gone(&w->peers[i])) {
            se_pool_remove(&w->peers[i]);
            w->peers[i].pool = NULL;
        }
}

static void run_until(struct world *w, uint64_t until_ns)
{
    while (w->now_ns < until_ns) {
        uint64_t next_ns = sb_time_min(w->pool.next_ns, until_ns);
        for (uint32_t i = 0; i < QT_COUNT(w->links); i++)
            if (w->links[i].is_used)
                next_ns = sb_time_min(next_ns, w->links[i].at_ns);
        w->now_ns = SB_MAX(w->now_ns, next_ns);
        for (uint32_t i = 0; i < QT_COUNT(w->links); i++)
            if (w->links[i].is_used && w->links[i].at_ns <= w->now_ns)
                step_link(w, &w->links[i]);
        uint64_t due_ns = se_pool_run(&w->pool, w->now_ns);
        assert_int_equal(due_ns, w->pool.next_ns);
        se_pool_check(&w->pool);
        remove_gone(w);
    }
}

static void run_for(struct world *w, uint64_t ns)
{
    run_until(w, w->now_ns + ns);
}

static struct world *make_with(uint32_t peer_count, uint64_t seed,
                               const struct se_pool_config *with)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->now_ns = SB_S;
    w->random = seed;
    se_pool_init(&w->pool, with, &ops, w);
    for (uint32_t i = 0; i < peer_count; i++) {
        w->rtt_ns[i] = (i + 1) * SB_MS;
        se_pool_add(&w->pool, &w->peers[i], w->members[i], MEMBERS, w->now_ns);
    }
    return w;
}

static struct world *make(uint32_t peer_count, uint64_t seed)
{
    return make_with(peer_count, seed, &config);
}

static uint32_t ready(const struct world *w, uint32_t peer)
{
    return se_pool_peer_count(&w->peers[peer], SE_MEMBER_READY);
}

static struct link *link_of(const struct se_member *member)
{
    return member->handle;
}

static void connections_are_opened_before_anybody_asks(void **state)
{
    (void)state;
    struct world *w = make(2, 1);
    assert_null(se_pool_acquire(&w->pool, NULL));
    run_for(w, 5 * SB_MS);
    assert_int_equal(ready(w, 0), MEMBERS);
    assert_int_equal(ready(w, 1), MEMBERS);
    assert_int_equal(w->pool.counts.connects, 2 * MEMBERS);
    assert_int_equal(w->pool.counts.acquires_failed, 1);
    run_for(w, 10 * SB_S);
    assert_int_equal(w->pool.counts.connects, 2 * MEMBERS);
    free(w);
}

static void the_least_loaded_is_chosen_and_then_the_fastest(void **state)
{
    (void)state;
    struct world *w = make(2, 2);
    run_for(w, 5 * SB_MS);
    for (uint32_t i = 0; i < MEMBERS; i++) { /* peer 0 is the faster one */
        struct se_member *member = se_pool_acquire(&w->pool, NULL);
        assert_non_null(member);
        assert_int_equal(index_of(w, member), 0);
        assert_int_equal(link_of(member)->streams, 0);
        link_of(member)->streams++;
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct se_member *member = se_pool_acquire(&w->pool, NULL);
        assert_int_equal(index_of(w, member), 1);
        link_of(member)->streams++;
    }
    link_of(&w->members[1][1])->streams = 0;
    assert_ptr_equal(se_pool_acquire(&w->pool, NULL), &w->members[1][1]);
    assert_int_equal(index_of(w, se_pool_acquire(&w->pool, &w->peers[0])), 0);
    free(w);
}

static void full_and_closing_connections_are_not_chosen(void **state)
{
    (void)state;
    struct se_pool_config limited = config;
    limited.streams_max = 2;
    struct world *w = make_with(1, 3, &limited);
    run_for(w, 5 * SB_MS);
    for (uint32_t i = 0; i < 2 * MEMBERS; i++)
        link_of(se_pool_acquire(&w->pool, NULL))->streams++;
    assert_null(se_pool_acquire(&w->pool, NULL));
    link_of(&w->members[0][0])->streams = 0;
    link_of(&w->members[0][0])->is_closing = true;
    assert_null(se_pool_acquire(&w->pool, NULL));
    free(w);
}

static void a_server_that_refuses_is_left_alone_more_and_more(void **state)
{
    (void)state;
    struct world *w = make(2, 4);
    w->modes[1] = REFUSES;
    run_for(w, SB_S);
    assert_int_equal(w->peers[1].breaker.state, SE_BREAKER_OPEN);
    assert_int_equal(ready(w, 0), MEMBERS);
    run_for(w, 20 * SB_S); /* one attempt per open time, which grows to 4 to 6 s */
    uint64_t before = w->attempts[1];
    run_for(w, 40 * SB_S);
    assert_in_range(w->attempts[1] - before, 40 / 7, 40 / 4);
    assert_in_range(before, 4, 20);
    for (uint32_t i = 0; i < 10; i++) /* nobody waits for it */
        assert_int_equal(index_of(w, se_pool_acquire(&w->pool, NULL)), 0);
    free(w);
}

static void a_server_that_comes_back_gets_all_its_connections(void **state)
{
    (void)state;
    struct world *w = make(1, 5);
    w->modes[0] = REFUSES;
    run_for(w, 10 * SB_S);
    assert_int_equal(ready(w, 0), 0);
    w->modes[0] = WORKS;
    run_for(w, 7 * SB_S); /* the longest open time, and a little */
    assert_int_equal(w->peers[0].breaker.state, SE_BREAKER_CLOSED);
    assert_int_equal(ready(w, 0), MEMBERS);
    assert_non_null(se_pool_acquire(&w->pool, NULL));
    run_for(w, 2 * SB_S); /* they have lived: the next pause is short again */
    for (uint32_t i = 0; i < MEMBERS; i++)
        assert_int_equal(w->peers[0].members[i].backoff.failures, 0);
    free(w);
}

static void half_open_is_one_attempt_at_a_time(void **state)
{
    (void)state;
    struct world *w = make(1, 6);
    w->modes[0] = SILENT;
    run_for(w, 10 * SB_S);
    while (w->peers[0].breaker.state != SE_BREAKER_HALF_OPEN)
        run_for(w, SB_MS);
    for (uint32_t i = 0; i < 200 && w->peers[0].breaker.state == SE_BREAKER_HALF_OPEN; i++) {
        assert_int_equal(se_pool_peer_count(&w->peers[0], SE_MEMBER_CONNECTING), 1);
        run_for(w, SB_MS);
    }
    free(w);
}

static void a_connection_that_hangs_is_avoided_then_closed(void **state)
{
    (void)state;
    struct world *w = make(2, 7);
    run_for(w, 2 * SB_S);
    w->modes[0] = SILENT; /* the faster one, which is chosen otherwise */
    uint64_t from_ns = w->now_ns;
    while (!w->members[0][0].is_suspect && w->now_ns < from_ns + SB_S)
        run_for(w, SB_MS);
    assert_in_range(w->now_ns - from_ns, config.hang_ns / 4, config.hang_ns / 4 + 150 * SB_MS);
    run_for(w, 60 * SB_MS);
    assert_int_equal(index_of(w, se_pool_acquire(&w->pool, NULL)), 1);
    assert_non_null(se_pool_acquire(&w->pool, &w->peers[0])); /* there is no other one */
    run_until(w, from_ns + config.hang_ns + 200 * SB_MS);
    assert_int_equal(w->pool.counts.hangs, MEMBERS);
    assert_int_equal(w->pool.counts.conns_lost, MEMBERS);
    assert_int_equal(ready(w, 0), 0);
    assert_int_equal(ready(w, 1), MEMBERS);
    free(w);
}

static void an_idle_connection_that_owes_nothing_does_not_hang(void **state)
{
    (void)state;
    struct world *w = make(1, 8);
    run_for(w, 5 * SB_MS);
    for (uint32_t i = 0; i < MEMBERS; i++)
        link_of(&w->members[0][i])->at_ns = SB_NEVER; /* not a packet for a minute */
    run_for(w, 60 * SB_S);
    assert_int_equal(w->pool.counts.hangs, 0);
    assert_int_equal(ready(w, 0), MEMBERS);
    free(w);
}

static void a_slow_connection_is_chosen_last(void **state)
{
    (void)state;
    struct se_pool_config limited = config;
    limited.rtt_ns_max = 100 * SB_MS;
    struct world *w = make_with(2, 9, &limited);
    w->rtt_ns[0] = 101 * SB_MS;
    run_for(w, 200 * SB_MS);
    for (uint32_t i = 0; i < MEMBERS; i++)
        link_of(&w->members[1][i])->streams = 50;
    assert_int_equal(index_of(w, se_pool_acquire(&w->pool, NULL)), 1);
    w->rtt_ns[0] = 100 * SB_MS;
    run_for(w, 200 * SB_MS);
    assert_int_equal(index_of(w, se_pool_acquire(&w->pool, NULL)), 0);
    free(w);
}

static void a_server_that_accepts_and_closes_is_in_trouble_too(void **state)
{
    (void)state;
    struct world *w = make(1, 10);
    w->modes[0] = CLOSES;
    run_for(w, 30 * SB_S);
    assert_in_range(w->attempts[0], 5, 120); /* without pauses: 1,300 per member */
    assert_true(w->pool.counts.breaker_openings > 0);
    free(w);
}

static void reports_open_the_breaker_and_trials_close_it(void **state)
{
    (void)state;
    struct world *w = make(1, 11);
    run_for(w, 2 * SB_S);
    for (uint32_t i = 0; i < config.breaker.failures_max; i++) {
        struct se_member *member = se_pool_acquire(&w->pool, NULL);
        assert_non_null(member);
        se_pool_report(member, false, w->now_ns);
    }
    assert_int_equal(w->peers[0].breaker.state, SE_BREAKER_OPEN);
    assert_null(se_pool_acquire(&w->pool, NULL));
    run_for(w, 760 * SB_MS);
    struct se_member *member = se_pool_acquire(&w->pool, NULL);
    assert_non_null(member);
    assert_null(se_pool_acquire(&w->pool, NULL)); /* one trial */
    se_pool_report(member, true, w->now_ns);
    assert_int_equal(w->peers[0].breaker.state, SE_BREAKER_CLOSED);
    assert_int_equal(w->pool.counts.connects, MEMBERS); /* none was given up for that */
    free(w);
}

static void a_breaker_closes_although_nobody_reports(void **state)
{
    (void)state;
    struct se_pool_config three = config;
    three.breaker.successes_min = 3;
    struct world *w = make_with(1, 12, &three);
    w->modes[0] = REFUSES;
    run_for(w, 3 * SB_S);
    w->modes[0] = WORKS;
    run_for(w, 20 * SB_S);
    assert_int_equal(w->peers[0].breaker.state, SE_BREAKER_CLOSED);
    assert_int_equal(ready(w, 0), MEMBERS);
    free(w);
}

/* However seldom connections are looked at, one that has lived for a second is a success. */
static void failures_of_connections_that_have_lived_are_not_in_a_row(void **state)
{
    (void)state;
    struct se_pool_config rare = config;
    rare.hang_ns = 480 * SB_S;
    rare.check_ns = 60 * SB_S;
    struct world *w = make_with(1, 14, &rare);
    for (uint32_t i = 0; i < 5; i++) {
        run_for(w, 3 * SB_S);
        assert_int_equal(ready(w, 0), MEMBERS);
        for (uint32_t k = 0; k < MEMBERS; k++)
            end_link(w, link_of(&w->members[0][k]), true);
        assert_int_equal(w->peers[0].breaker.state, SE_BREAKER_CLOSED);
    }
    free(w);
}

/* The connection that lives is the last one, so that the others were looked at before it. */
static void a_breaker_that_closes_brings_back_the_other_connections(void **state)
{
    (void)state;
    struct se_pool_config rare = config;
    rare.hang_ns = 480 * SB_S;
    rare.check_ns = 60 * SB_S;
    rare.breaker.open_ns = 600 * SB_MS;
    struct world *w = make_with(1, 15, &rare);
    run_for(w, 5 * SB_MS);
    for (uint32_t i = 0; i < config.breaker.failures_max; i++)
        se_pool_report(se_pool_acquire(&w->pool, NULL), false, w->now_ns);
    assert_int_equal(w->peers[0].breaker.state, SE_BREAKER_OPEN);
    run_for(w, 300 * SB_MS);
    for (uint32_t k = 0; k + 1 < MEMBERS; k++)
        end_link(w, link_of(&w->members[0][k]), true);
    run_for(w, 650 * SB_MS);
    assert_int_equal(w->peers[0].breaker.state, SE_BREAKER_HALF_OPEN);
    run_for(w, 100 * SB_MS);
    assert_int_equal(w->peers[0].breaker.state, SE_BREAKER_CLOSED);
    assert_int_equal(ready(w, 0), MEMBERS);
    free(w);
}

static void draining_waits_for_streams_and_then_for_nothing(void **state)
{
    (void)state;
    struct world *w = make(2, 13);
    run_for(w, 5 * SB_MS);
    link_of(&w->members[0][0])->streams = 1;
    link_of(&w->members[0][1])->streams = 1;
    se_pool_drain_peer(&w->peers[0], w->now_ns + SB_S);
    assert_int_equal(index_of(w, se_pool_acquire(&w->pool, NULL)), 1);
    run_for(w, 100 * SB_MS);
    assert_int_equal(ready(w, 0), 2);
    link_of(&w->members[0][0])->streams = 0;
    run_for(w, 20 * SB_MS);
    assert_int_equal(ready(w, 0), 1);
    run_for(w, SB_S);
    assert_int_equal(w->pool.peer_count, 1); /* the time-out ended the last one */
    assert_int_equal(w->attempts[0], MEMBERS);

    se_pool_drain(&w->pool, w->now_ns);
    run_for(w, 20 * SB_MS);
    assert_int_equal(w->pool.peer_count, 0);
    assert_int_equal(w->pool.next_ns, SB_NEVER);
    free(w);
}

static void the_end_of_all_leaves_the_time_of_those_that_were_removed(void **state)
{
    (void)state;
    struct world *w = make(2, 4);
    run_for(w, 20 * SB_MS);
    for (uint32_t i = 0; i < QT_COUNT(w->links); i++)
        w->links[i].streams = w->links[i].is_used;
    se_pool_drain_peer(&w->peers[0], w->now_ns + SB_S);
    se_pool_drain_others(&w->pool);
    run_for(w, 2 * SB_S);
    assert_null(se_pool_find(&w->pool, w->peers[0].id));
    assert_int_equal(w->pool.peer_count, 1);
    assert_int_equal(w->peers[1].drain_ns, SB_NEVER);
    free(w);
}

static void attempts_of_many_clients_are_spread(void **state)
{
    (void)state;
    uint32_t counts[4] = {0};
    for (uint32_t seed = 0; seed < 400; seed++) {
        struct world *w = make(1, seed * 7919 + 1);
        w->modes[0] = REFUSES;
        run_for(w, 3 * SB_MS);
        uint64_t due_ns = w->members[0][0].due_ns - w->now_ns; /* 0 to 10 ms from the failure */
        counts[SB_MIN(due_ns / (5 * SB_MS / 2), 3)]++;
        free(w);
    }
    for (uint32_t i = 0; i < 4; i++)
        assert_in_range(counts[i], 50, 160);
}

/* Anything may happen at any time; in the end everything works, and then nothing is missing. */
static void swarm(uint64_t seed)
{
    struct world *w = make(PEERS, seed);
    for (uint32_t i = 0; i < 150; i++) {
        uint64_t choice = draw(w);
        uint32_t peer = (uint32_t)(choice >> 8) % PEERS;
        struct link *link = &w->links[(choice >> 16) % QT_COUNT(w->links)];
        switch (choice % 8) {
        case 0:
        case 1:
            w->modes[peer] = (enum mode)((choice >> 24) % MODE_COUNT);
            break;
        case 2:
            if (link->is_used)
                end_link(w, link, (choice >> 24) % 2 == 0);
            break;
        case 3: {
            struct se_member *member = se_pool_acquire(&w->pool, NULL);
            if (member != NULL) {
                assert_int_not_equal(member->peer->breaker.state, SE_BREAKER_OPEN);
                assert_int_equal(member->state, SE_MEMBER_READY);
                link_of(member)->streams++;
                se_pool_report(member, (choice >> 24) % 3 != 0, w->now_ns);
            }
            break;
        }
        case 4:
            link->streams = 0;
            break;
        default:
            run_for(w, (choice >> 24) % (400 * SB_MS));
            break;
        }
        se_pool_check(&w->pool);
    }
    for (uint32_t i = 0; i < PEERS; i++)
        w->modes[i] = WORKS;
    run_for(w, 15 * SB_S);
    for (uint32_t i = 0; i < PEERS; i++) {
        if (ready(w, i) != MEMBERS || w->peers[i].breaker.state != SE_BREAKER_CLOSED)
            fail_msg("seed %llu: server %u did not come back", (unsigned long long)seed, i);
    }
    se_pool_drain(&w->pool, w->now_ns + SB_S);
    run_for(w, 2 * SB_S);
    if (w->pool.peer_count != 0)
        fail_msg("seed %llu: it does not drain", (unsigned long long)seed);
    free(w);
}

static void whatever_happens_it_recovers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++)
        swarm(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_opened_before_anybody_asks),
        cmocka_unit_test(the_least_loaded_is_chosen_and_then_the_fastest),
        cmocka_unit_test(full_and_closing_connections_are_not_chosen),
        cmocka_unit_test(a_server_that_refuses_is_left_alone_more_and_more),
        cmocka_unit_test(a_server_that_comes_back_gets_all_its_connections),
        cmocka_unit_test(half_open_is_one_attempt_at_a_time),
        cmocka_unit_test(a_connection_that_hangs_is_avoided_then_closed),
        cmocka_unit_test(an_idle_connection_that_owes_nothing_does_not_hang),
        cmocka_unit_test(a_slow_connection_is_chosen_last),
        cmocka_unit_test(a_server_that_accepts_and_closes_is_in_trouble_too),
        cmocka_unit_test(reports_open_the_breaker_and_trials_close_it),
        cmocka_unit_test(a_breaker_closes_although_nobody_reports),
        cmocka_unit_test(failures_of_connections_that_have_lived_are_not_in_a_row),
        cmocka_unit_test(a_breaker_that_closes_brings_back_the_other_connections),
        cmocka_unit_test(draining_waits_for_streams_and_then_for_nothing),
        cmocka_unit_test(the_end_of_all_leaves_the_time_of_those_that_were_removed),
        cmocka_unit_test(attempts_of_many_clients_are_spread),
        cmocka_unit_test(whatever_happens_it_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
