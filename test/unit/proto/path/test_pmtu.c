/* SPDX-License-Identifier: MIT */
/* The datagram size that a path has proved: RFC 9000, Section 14; RFC 8899, Section 5. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/path/pmtu.h"

#define BASE 1200

/* NONE stands for a pair that our own code must not raise. */
static const enum sp_pmtu_state want[SP_PMTU_STATES][SP_PMTU_EVENTS] = {
    [SP_PMTU_BASE] = {[SP_PMTU_ON_START] = SP_PMTU_DUE},
    [SP_PMTU_DUE] = {[SP_PMTU_ON_SENT] = SP_PMTU_PROBING,
                     [SP_PMTU_ON_FAILED] = SP_PMTU_DUE,
                     [SP_PMTU_ON_GIVEN_UP] = SP_PMTU_BASE,
                     [SP_PMTU_ON_KEPT] = SP_PMTU_PROVED,
                     [SP_PMTU_ON_HOLE] = SP_PMTU_HOLE},
    [SP_PMTU_PROBING] = {[SP_PMTU_ON_ACKED] = SP_PMTU_PROVED,
                         [SP_PMTU_ON_FAILED] = SP_PMTU_DUE,
                         [SP_PMTU_ON_GIVEN_UP] = SP_PMTU_BASE,
                         [SP_PMTU_ON_KEPT] = SP_PMTU_PROVED,
                         [SP_PMTU_ON_HOLE] = SP_PMTU_HOLE},
    [SP_PMTU_PROVED] = {[SP_PMTU_ON_START] = SP_PMTU_DUE, [SP_PMTU_ON_HOLE] = SP_PMTU_HOLE},
    [SP_PMTU_HOLE] = {[SP_PMTU_ON_START] = SP_PMTU_DUE},
};

static void assert_next(enum sp_pmtu_state from, enum sp_pmtu_event event, enum sp_pmtu_state next)
{
    if (next != SP_PMTU_NONE) {
        assert_int_equal(sp_pmtu_next(from, event), next);
        return;
    }
    expect_assert_failure(sp_pmtu_next(from, event));
}

static void each_pair_of_state_and_event_is_decided(void **state)
{
    (void)state;
    for (enum sp_pmtu_state from = 0; from <= SP_PMTU_STATES; from++)
        for (enum sp_pmtu_event event = 0; event <= SP_PMTU_EVENTS; event++) {
            bool exists = from < SP_PMTU_STATES && event < SP_PMTU_EVENTS;
            assert_next(from, event, exists ? want[from][event] : SP_PMTU_NONE);
        }
}

static struct sp_pmtu started(size_t size_max)
{
    struct sp_pmtu pmtu;
    sp_pmtu_init(&pmtu);
    assert_int_equal(pmtu.size, BASE);
    assert_false(sp_pmtu_is_due(&pmtu));
    sp_pmtu_start(&pmtu, size_max, SB_S);
    return pmtu;
}

static void lose(struct sp_pmtu *pmtu, uint32_t count, uint64_t now_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_true(sp_pmtu_is_due(pmtu));
        sp_pmtu_on_sent(pmtu);
        sp_pmtu_on_lost(pmtu, pmtu->probe_size, now_ns);
    }
}

static void one_probe_proves_the_largest_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1201, 1452, 1472, 65507};
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        struct sp_pmtu pmtu = started(sizes[i]);
        assert_true(sp_pmtu_is_due(&pmtu));
        assert_int_equal(pmtu.probe_size, sizes[i]);
        sp_pmtu_on_sent(&pmtu);
        assert_int_equal(pmtu.size, BASE);
        assert_true(sp_pmtu_on_acked(&pmtu, sizes[i]));
        assert_int_equal(pmtu.size, sizes[i]);
        assert_int_equal(pmtu.state, SP_PMTU_PROVED);
        assert_false(sp_pmtu_is_time(&pmtu, SB_NEVER - 1));
    }
}

static void there_is_nothing_to_prove_at_the_smallest_size(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(BASE);
    assert_int_equal(pmtu.state, SP_PMTU_BASE);
    assert_false(sp_pmtu_is_time(&pmtu, SB_NEVER - 1));
}

/* A lost probe may have been lost by chance: three of a size, then Ethernet's, then none. */
static void sizes_are_given_up_one_after_the_other(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(9000);
    lose(&pmtu, 3, SB_S);
    assert_int_equal(pmtu.probe_size, 1452);
    lose(&pmtu, 2, SB_S);
    sp_pmtu_on_sent(&pmtu);
    assert_true(sp_pmtu_on_acked(&pmtu, 1452));
    assert_int_equal(pmtu.size, 1452);

    pmtu = started(1452);
    lose(&pmtu, 3, SB_S);
    assert_int_equal(pmtu.state, SP_PMTU_BASE);
    assert_int_equal(pmtu.size, BASE);
}

/* [RFC8899 5.1.1] */
static void attempts_come_at_growing_intervals(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(1452);
    uint64_t now_ns = SB_S, before_ns = 0;
    for (uint32_t i = 0; i < 20; i++) {
        lose(&pmtu, 3, now_ns);
        uint64_t pause_ns = pmtu.next_from_ns - now_ns;
        assert_int_equal(pause_ns, i == 0 ? SB_S : SB_MIN(2 * before_ns, 600 * SB_S));
        assert_false(sp_pmtu_is_time(&pmtu, pmtu.next_from_ns - 1));
        before_ns = pause_ns;
        now_ns += pause_ns;
        assert_true(sp_pmtu_is_time(&pmtu, now_ns));
        sp_pmtu_on_time(&pmtu);
    }
}

static void a_hole_takes_the_size_back_and_is_tried_again(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(1452);
    assert_false(sp_pmtu_on_hole(&pmtu, SB_S)); /* 1,200 bytes is what every path takes */
    sp_pmtu_on_sent(&pmtu);
    assert_true(sp_pmtu_on_acked(&pmtu, 1452));
    assert_true(sp_pmtu_on_hole(&pmtu, 2 * SB_S));
    assert_int_equal(pmtu.state, SP_PMTU_HOLE);
    assert_int_equal(pmtu.size, BASE);
    assert_false(sp_pmtu_on_hole(&pmtu, 2 * SB_S)); /* what was in flight is lost, too */
    sp_pmtu_on_time(&pmtu);
    sp_pmtu_on_sent(&pmtu);
    assert_true(sp_pmtu_on_acked(&pmtu, 1452));
    assert_int_equal(pmtu.size, 1452);
}

/* A larger size is tried for while a smaller one is in use, and that one is lost meanwhile. */
static void a_hole_ends_an_attempt(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(9000);
    lose(&pmtu, 3, SB_S);
    sp_pmtu_on_sent(&pmtu);
    assert_true(sp_pmtu_on_acked(&pmtu, 1452));
    sp_pmtu_on_time(&pmtu);
    assert_int_equal(pmtu.probe_size, 9000);
    sp_pmtu_on_sent(&pmtu);
    struct sp_pmtu kept = pmtu;
    assert_true(sp_pmtu_on_hole(&pmtu, SB_S));
    assert_int_equal(pmtu.size, BASE);
    sp_pmtu_on_lost(&pmtu, 9000, SB_S);
    assert_false(sp_pmtu_on_acked(&pmtu, 9000));
    assert_int_equal(pmtu.state, SP_PMTU_HOLE);

    sp_pmtu_on_lost(&kept, 9000, SB_S);
    lose(&kept, 2, SB_S);
    assert_int_equal(kept.state, SP_PMTU_PROVED);
    assert_int_equal(kept.size, 1452);
}

/* EMSGSIZE is certain: no second probe of that size. */
static void what_the_system_refuses_is_given_up_at_once(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(65507);
    sp_pmtu_on_sent(&pmtu);
    assert_false(sp_pmtu_on_too_large(&pmtu, 65507, SB_S));
    assert_int_equal(pmtu.probe_size, 1452);
    assert_true(sp_pmtu_is_due(&pmtu));
    sp_pmtu_on_lost(&pmtu, 65507, SB_S); /* that very probe: it changes nothing */
    assert_int_equal(pmtu.probe_count, 0);
    sp_pmtu_on_sent(&pmtu);
    assert_true(sp_pmtu_on_acked(&pmtu, 1452));

    assert_false(sp_pmtu_on_too_large(&pmtu, 65507, SB_S)); /* an old one */
    assert_int_equal(pmtu.size, 1452);
    assert_true(sp_pmtu_on_too_large(&pmtu, 1452, SB_S));
    assert_int_equal(pmtu.size, BASE);
    assert_false(sp_pmtu_on_too_large(&pmtu, BASE, SB_S));
    assert_int_equal(pmtu.size, BASE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_of_state_and_event_is_decided),
        cmocka_unit_test(one_probe_proves_the_largest_size),
        cmocka_unit_test(there_is_nothing_to_prove_at_the_smallest_size),
        cmocka_unit_test(sizes_are_given_up_one_after_the_other),
        cmocka_unit_test(attempts_come_at_growing_intervals),
        cmocka_unit_test(a_hole_takes_the_size_back_and_is_tried_again),
        cmocka_unit_test(a_hole_ends_an_attempt),
        cmocka_unit_test(what_the_system_refuses_is_given_up_at_once),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
