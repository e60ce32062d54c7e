/* SPDX-License-Identifier: MIT */
/* The timing wheel against a plain list of deadlines. */

#include "test/support/qt.h"

#include "engine/base/wheel.h"

#define TICK (UINT64_C(1) << SE_WHEEL_TICK_SHIFT)

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void an_empty_wheel_has_no_deadline(void **state)
{
    (void)state;
    struct se_wheel w;
    se_wheel_init(&w, 12345678);
    assert_true(se_wheel_next_ns(&w) == SB_NEVER);
    assert_null(se_wheel_pop(&w, 99999999));
    se_wheel_check(&w);
}

static void a_timer_pops_at_its_deadline_and_within_a_tick(void **state)
{
    (void)state;
    static const uint64_t delays[] = {
        0,           1,           TICK - 1,   TICK, TICK + 1,  63 * TICK,   64 * TICK,    65 * TICK,
        4095 * TICK, 4096 * TICK, 25 * SB_MS, SB_S, 30 * SB_S, 3600 * SB_S, 86400 * SB_S,
    };
    for (size_t i = 0; i < QT_COUNT(delays); i++) {
        for (uint64_t start = 0; start < 200 * TICK; start += 17 * TICK + 13) {
            struct se_wheel w;
            struct se_timer t;
            se_wheel_init(&w, start);
            se_timer_init(&t);
            uint64_t deadline = start + delays[i];
            se_wheel_set(&w, &t, deadline);
            if (deadline >= TICK && deadline / TICK > start / TICK)
                assert_null(se_wheel_pop(&w, deadline - 1));
            assert_ptr_equal(se_wheel_pop(&w, deadline + TICK), &t);
            assert_false(se_timer_is_armed(&t));
            assert_int_equal(w.count, 0);
            se_wheel_check(&w);
        }
    }
}

static void the_next_time_never_lies_behind_the_first_deadline(void **state)
{
    (void)state;
    struct se_wheel w;
    struct se_timer t;
    se_wheel_init(&w, 5 * SB_S);
    se_timer_init(&t);
    uint64_t deadline = 35 * SB_S + 17;
    se_wheel_set(&w, &t, deadline);
    uint32_t wakes = 0;
    struct se_timer *popped = NULL;
    while (popped == NULL) {
        uint64_t next = se_wheel_next_ns(&w);
        assert_true(next <= deadline + TICK);
        popped = se_wheel_pop(&w, next);
        wakes++;
        assert_true(wakes <= SE_WHEEL_LEVELS + 1);
    }
    assert_ptr_equal(popped, &t);
}

static void a_timer_that_is_moved_or_disarmed_leaves_its_old_place(void **state)
{
    (void)state;
    struct se_wheel w;
    struct se_timer t;
    se_wheel_init(&w, 0);
    se_timer_init(&t);
    se_wheel_set(&w, &t, SB_S);
    se_wheel_set(&w, &t, 2 * SB_S);
    assert_int_equal(w.count, 1);
    assert_null(se_wheel_pop(&w, SB_S + TICK));
    se_wheel_set(&w, &t, SB_NEVER);
    assert_false(se_timer_is_armed(&t));
    assert_true(se_wheel_next_ns(&w) == SB_NEVER);
    se_wheel_remove(&w, &t); /* twice is harmless */
    se_wheel_check(&w);
}

/* The clock counts from the start of the machine: its upper digits change every 34 ms, 2.1 s, 2.3
 * min, 2.4 h and 6.5 days, while timers of a server are armed. */
static void a_timer_behind_the_change_of_any_digit_pops_at_its_deadline(void **state)
{
    (void)state;
    static const uint64_t delays[] = {0, 1, TICK, 25 * SB_MS, 30 * SB_S, 7 * 86400 * SB_S};
    for (uint64_t border = TICK; border != 0; border <<= SE_WHEEL_SLOT_SHIFT) {
        for (size_t i = 0; i < QT_COUNT(delays); i++) {
            struct se_wheel w;
            struct se_timer t;
            uint64_t deadline = border + delays[i];
            se_wheel_init(&w, border - TICK / 2);
            se_timer_init(&t);
            se_wheel_set(&w, &t, deadline);
            se_wheel_check(&w);
            assert_null(se_wheel_pop(&w, border - 1));
            assert_true(se_wheel_next_ns(&w) <= deadline + TICK);
            assert_null(se_wheel_pop(&w, deadline - 1));
            assert_ptr_equal(se_wheel_pop(&w, deadline + TICK), &t);
            se_wheel_check(&w);
        }
    }
}

static void no_deadline_lies_beyond_the_wheel(void **state)
{
    (void)state;
    struct se_wheel w;
    struct se_timer t;
    se_wheel_init(&w, SB_S);
    se_timer_init(&t);
    se_wheel_set(&w, &t, SB_NEVER - 1);
    se_wheel_check(&w);
    assert_null(se_wheel_pop(&w, SB_NEVER / 2));
    se_wheel_check(&w);
    assert_ptr_equal(se_wheel_pop(&w, SB_NEVER), &t);
}

static void coarse_timers_pop_after_all_others(void **state)
{
    (void)state;
    struct se_wheel w;
    struct se_timer coarse[2];
    struct se_timer fine;
    uint64_t coarse_ns = TICK << 2 * SE_WHEEL_SLOT_SHIFT;
    se_wheel_init(&w, 0);
    for (uint32_t i = 0; i < 2; i++) {
        se_timer_init(&coarse[i]);
        se_wheel_set(&w, &coarse[i], 3 * coarse_ns);
    }
    se_timer_init(&fine);
    se_wheel_set(&w, &fine, 3 * coarse_ns + TICK);
    assert_true(se_timer_is_coarse(&coarse[0]));
    assert_false(se_timer_is_coarse(&fine));
    assert_null(se_wheel_pop(&w, 3 * coarse_ns - 1));
    assert_ptr_equal(se_wheel_pop(&w, 3 * coarse_ns), &coarse[0]);
    assert_true(se_wheel_next_ns(&w) == 0); /* the other one is due still */
    se_wheel_check(&w);
    assert_ptr_equal(se_wheel_pop(&w, 3 * coarse_ns + 2 * TICK), &fine);
    se_wheel_set(&w, &coarse[1], 5 * coarse_ns); /* one that is due may move */
    se_wheel_check(&w);
    assert_null(se_wheel_pop(&w, 4 * coarse_ns));
    assert_ptr_equal(se_wheel_pop(&w, 5 * coarse_ns), &coarse[1]);
    assert_int_equal(w.count, 0);
}

#define MODEL_COUNT 200

struct model {
    struct se_timer timer;
    uint64_t deadline; /* SB_NEVER: not armed */
};

static void pop_and_compare(struct se_wheel *w, struct model *models, uint64_t now)
{
    struct se_timer *t;
    while ((t = se_wheel_pop(w, now)) != NULL) {
        struct model *m = SB_CONTAINER_OF(t, struct model, timer);
        assert_true(m->deadline <= now);
        m->deadline = SB_NEVER;
    }
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        bool is_armed = models[i].deadline != SB_NEVER;
        assert_int_equal(se_timer_is_armed(&models[i].timer), is_armed);
        if (is_armed)
            assert_true(models[i].deadline + TICK > now); /* not overdue by a tick */
    }
    se_wheel_check(w);
}

static void many_timers_pop_as_a_plain_list_says(void **state)
{
    (void)state;
    struct se_wheel w;
    struct model models[MODEL_COUNT];
    uint64_t seed = 0x5eed;
    uint64_t now = 77 * SB_MS;

    se_wheel_init(&w, now);
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        se_timer_init(&models[i].timer);
        models[i].deadline = SB_NEVER;
    }
    uint32_t first_count = 0;
    for (uint32_t step = 0; step < 3000; step++) {
        for (uint32_t i = 0; i < 8; i++) {
            struct model *m = &models[random_next(&seed) % MODEL_COUNT];
            uint64_t spread = UINT64_C(1) << (random_next(&seed) % 45);
            m->deadline =
                random_next(&seed) % 5 == 0 ? SB_NEVER : now + random_next(&seed) % spread;
            se_wheel_set(&w, &m->timer, m->deadline);
        }
        uint64_t next = se_wheel_next_ns(&w);
        for (size_t i = 0; i < MODEL_COUNT; i++)
            assert_true(models[i].deadline == SB_NEVER || next <= models[i].deadline + TICK);
        const struct se_timer *first = se_wheel_first(&w);
        for (size_t i = 0; i < MODEL_COUNT && first != NULL; i++)
            assert_true(models[i].deadline == SB_NEVER ||
                        first->due_tick <= models[i].timer.due_tick);
        first_count += first != NULL;
        now += random_next(&seed) % (UINT64_C(1) << (random_next(&seed) % 38));
        pop_and_compare(&w, models, now);
    }
    assert_true(first_count > 1000);
}

static void the_first_of_a_few_timers_is_found_exactly(void **state)
{
    (void)state;
    enum { FEW = 8 };
    struct se_wheel w;
    struct se_timer timers[FEW + 1];
    se_wheel_init(&w, 0);
    assert_null(se_wheel_first(&w));
    for (uint32_t i = 0; i < FEW; i++) { /* one slot of the third level has them all */
        se_timer_init(&timers[i]);
        se_wheel_set(&w, &timers[i], 60 * SB_MS - i * TICK);
        assert_ptr_equal(se_wheel_first(&w), &timers[i]);
        assert_true(se_timer_due_ns(&timers[i]) - (60 * SB_MS - i * TICK) < TICK);
    }
    assert_true(se_wheel_next_ns(&w) < 34 * SB_MS);
    assert_null(se_wheel_pop(&w, se_timer_due_ns(&timers[FEW - 1]) - 1));
    assert_ptr_equal(se_wheel_pop(&w, se_timer_due_ns(&timers[FEW - 1])), &timers[FEW - 1]);

    assert_ptr_equal(se_wheel_first(&w), &timers[FEW - 2]);
    se_wheel_set(&w, &timers[FEW - 1], 60 * SB_MS - (FEW - 2) * TICK);
    assert_ptr_equal(se_wheel_pop(&w, 60 * SB_MS), &timers[FEW - 2]);
    assert_null(se_wheel_first(&w)); /* the other one is due */
    while (se_wheel_pop(&w, 61 * SB_MS) != NULL)
        continue;
    for (uint32_t i = 0; i <= FEW; i++) {
        se_timer_init(&timers[i]);
        se_wheel_set(&w, &timers[i], 10 * SB_S);
    }
    assert_null(se_wheel_first(&w)); /* too many to look at */
}

static void a_held_timer_pops_when_it_is_released(void **state)
{
    (void)state;
    struct se_wheel w;
    struct se_timer timers[2];
    se_wheel_init(&w, 0);
    for (size_t i = 0; i < 2; i++) {
        se_timer_init(&timers[i]);
        se_wheel_set(&w, &timers[i], TICK);
        assert_ptr_equal(se_wheel_pop(&w, 2 * TICK), &timers[i]);
        se_wheel_hold(&w, &timers[i]);
        assert_true(se_timer_is_armed(&timers[i]));
    }
    se_wheel_check(&w);
    assert_true(se_wheel_is_holding(&w));
    assert_null(se_wheel_pop(&w, SB_S));
    assert_true(se_wheel_next_ns(&w) == SB_NEVER);

    se_wheel_set(&w, &timers[0], 2 * SB_S); /* it may be moved all the same */
    se_wheel_release(&w);
    assert_false(se_wheel_is_holding(&w));
    se_wheel_check(&w);
    assert_ptr_equal(se_wheel_pop(&w, SB_S), &timers[1]);
    assert_null(se_wheel_pop(&w, SB_S));
    assert_ptr_equal(se_wheel_pop(&w, 3 * SB_S), &timers[0]);
    se_wheel_check(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_wheel_has_no_deadline),
        cmocka_unit_test(a_timer_pops_at_its_deadline_and_within_a_tick),
        cmocka_unit_test(the_next_time_never_lies_behind_the_first_deadline),
        cmocka_unit_test(a_timer_that_is_moved_or_disarmed_leaves_its_old_place),
        cmocka_unit_test(a_timer_behind_the_change_of_any_digit_pops_at_its_deadline),
        cmocka_unit_test(no_deadline_lies_beyond_the_wheel),
        cmocka_unit_test(coarse_timers_pop_after_all_others),
        cmocka_unit_test(many_timers_pop_as_a_plain_list_says),
        cmocka_unit_test(the_first_of_a_few_timers_is_found_exactly),
        cmocka_unit_test(a_held_timer_pops_when_it_is_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
