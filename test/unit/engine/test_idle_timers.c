/* SPDX-License-Identifier: MIT */
/* What timers of idle connections cost a shard, in virtual time: a wheel with one for each, which
 * is due as proto/ says, and armed again when it was. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "engine/base/wheel.h"
#include "engine/shard/shard.h"
#include "proto/conn/alive.h"

enum { CONNS = 100000 };

#define KEEP_NS   (10 * SB_S)
#define PASSES_NS (60 * SB_S)

/* A timer may be early by two parts of 16, and pops within a tick. */
#define EARLY_NS (KEEP_NS / 8)
#define TICK_NS  (UINT64_C(1) << SE_WHEEL_TICK_SHIFT)

struct idle_conn {
    struct se_timer timer;
    uint64_t from_ns; /* when it was last heard */
    uint16_t phase;
};

struct cost {
    uint32_t wake_ups;
    uint32_t pops;
    uint32_t most_at_once;
};

static void arm(struct se_wheel *wheel, struct idle_conn *conn)
{
    se_wheel_set(wheel, &conn->timer, sp_conn_alive_at_ns(conn->from_ns, KEEP_NS, conn->phase));
}

/* Makes connections that were quiet from moments on that are evenly spread over `spread_ns`. */
static struct idle_conn *make(struct se_wheel *wheel, uint64_t start_ns, uint64_t spread_ns)
{
    struct idle_conn *conns = calloc(CONNS, sizeof(*conns));
    assert_non_null(conns);
    se_wheel_init(wheel, start_ns);
    for (uint32_t i = 0; i < CONNS; i++) {
        se_timer_init(&conns[i].timer);
        conns[i].phase = (uint16_t)(i * 40503);
        conns[i].from_ns = start_ns + spread_ns / CONNS * i;
        arm(wheel, &conns[i]);
    }
    return conns;
}

/* Sleeps until the wheel wants to be looked at, again and again, as a shard does. */
static struct cost run(struct se_wheel *wheel, uint64_t start_ns, uint64_t end_ns)
{
    struct cost cost = {0};
    uint64_t now_ns = start_ns;
    for (;;) {
        uint64_t next_ns = se_wheel_next_ns(wheel);
        if (next_ns >= end_ns)
            return cost;
        now_ns = SB_MAX(next_ns, now_ns);
        struct se_timer *timer;
        uint32_t count = 0;
        while ((timer = se_wheel_pop(wheel, now_ns)) != NULL) {
            struct idle_conn *conn = SB_CONTAINER_OF(timer, struct idle_conn, timer);
            uint64_t quiet_ns = now_ns - conn->from_ns;
            assert_in_range(quiet_ns, KEEP_NS - EARLY_NS, KEEP_NS + TICK_NS);
            conn->from_ns = now_ns; /* its PING was answered */
            arm(wheel, conn);
            count++;
        }
        cost.wake_ups++;
        cost.pops += count;
        cost.most_at_once = SB_MAX(cost.most_at_once, count);
    }
}

static void a_hundred_thousand_keep_alives_wake_thirty_times_a_second(void **state)
{
    (void)state;
    static struct se_wheel wheel;
    uint64_t start_ns = 12345 * SB_S + 678;
    struct idle_conn *conns = make(&wheel, start_ns, KEEP_NS);
    (void)run(&wheel, start_ns, start_ns + 2 * KEEP_NS); /* until all have begun */
    struct cost cost = run(&wheel, start_ns + 2 * KEEP_NS, start_ns + 2 * KEEP_NS + PASSES_NS);
    print_message("%u wake-ups and %u PINGs a second, %u at once\n",
                  cost.wake_ups / (uint32_t)(PASSES_NS / SB_S),
                  cost.pops / (uint32_t)(PASSES_NS / SB_S), cost.most_at_once);
    free(conns);
    /* 29.8 multiples of SP_COARSE_NS, and one slot of the wheel's fourth level in two seconds. */
    assert_in_range(cost.wake_ups, PASSES_NS / SB_S, 31 * PASSES_NS / SB_S);
    assert_in_range(cost.pops, CONNS / (KEEP_NS / SB_S) * (PASSES_NS / SB_S) / 10 * 9,
                    CONNS / (KEEP_NS / SB_S) * (PASSES_NS / SB_S) / 10 * 12);
    assert_true(cost.most_at_once < 1000); /* of 5,000 that a socket holds */
}

/* Connections that were all heard at one moment, as after a pause of the host, do not stay in step.
 */
static void what_was_in_step_drifts_apart(void **state)
{
    (void)state;
    static struct se_wheel wheel;
    uint64_t start_ns = 77 * SB_S;
    struct idle_conn *conns = make(&wheel, start_ns, 0);
    uint32_t most[3];
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t from_ns = start_ns + i * 3 * KEEP_NS;
        most[i] = run(&wheel, from_ns, from_ns + 3 * KEEP_NS).most_at_once;
    }
    free(conns);
    print_message("at once: %u, then %u, then %u\n", most[0], most[1], most[2]);
    assert_true(most[0] <= CONNS / 16);
    assert_true(most[2] < most[0] / 3 * 2);
}

/* The shorter the wait, the finer; never too late, and never more than an eighth too early. */
static void any_wait_is_kept_to_an_eighth(void **state)
{
    (void)state;
    for (uint64_t quiet_ns = SB_MS; quiet_ns < 365 * 86400 * SB_S; quiet_ns += quiet_ns / 3) {
        for (uint32_t i = 0; i < 2000; i++) {
            uint64_t from_ns = 5 * SB_S + i * 1234567;
            uint64_t at_ns = sp_conn_alive_at_ns(from_ns, quiet_ns, (uint16_t)i);
            assert_in_range(at_ns, from_ns + quiet_ns - quiet_ns / 8, from_ns + quiet_ns);
            assert_true(quiet_ns < 16 * SP_COARSE_NS || at_ns % SP_COARSE_NS == 0);
        }
    }
    assert_true(sp_conn_alive_at_ns(SB_S, SB_NEVER, 0) == SB_NEVER);
}

static uint32_t task_count;

static void count_task(struct se_task *task, uint64_t now_ns)
{
    (void)task, (void)now_ns;
    task_count++;
}

/* What is due in between does not wait for them, and they are done in a few turns. */
static void hundreds_at_once_are_spread_over_turns(void **state)
{
    (void)state;
    enum { TASKS = 300 };
    static struct spate_shard shard;
    static struct se_task tasks[TASKS];
    static struct se_task urgent = {.run = count_task};
    struct sb_link list;
    uint32_t turns = 0;
    sb_list_init(&list);
    se_wheel_init(&shard.wheel, SB_S);
    uint64_t due_ns = sb_time_ceil(2 * SB_S, SP_COARSE_NS);
    for (uint32_t i = 0; i < TASKS; i++) {
        tasks[i].run = count_task;
        se_task_join(&list, &tasks[i]);
        se_wheel_set(&shard.wheel, &tasks[i].timer, due_ns);
    }
    se_task_join(&list, &urgent);
    for (shard.now_ns = due_ns; task_count < TASKS + turns; shard.now_ns += 100 * SB_US, turns++) {
        uint32_t before = task_count;
        se_wheel_set(&shard.wheel, &urgent.timer, shard.now_ns - TICK_NS);
        assert_true(se_wheel_next_ns(&shard.wheel) <= shard.now_ns); /* it does not sleep */
        se_shard_run_timers(&shard);
        assert_false(se_timer_is_armed(&urgent.timer));
        assert_in_range(task_count - before, 2, 50);
    }
    assert_in_range(turns, TASKS / 50, TASKS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_thousand_keep_alives_wake_thirty_times_a_second),
        cmocka_unit_test(what_was_in_step_drifts_apart),
        cmocka_unit_test(any_wait_is_kept_to_an_eighth),
        cmocka_unit_test(hundreds_at_once_are_spread_over_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
