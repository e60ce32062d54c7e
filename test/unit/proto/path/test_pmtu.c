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

static struct sp_pmtu started_over(size_t size_max, size_t overhead)
{
    struct sp_pmtu pmtu;
    sp_pmtu_init(&pmtu);
    assert_int_equal(pmtu.size, BASE);
    assert_false(sp_pmtu_is_due(&pmtu));
    sp_pmtu_start(&pmtu, size_max, overhead, SB_S);
    return pmtu;
}

static struct sp_pmtu started(size_t size_max)
{
    return started_over(size_max, SP_PMTU_OVERHEAD_V4);
}

static void lose(struct sp_pmtu *pmtu, uint32_t count, uint64_t now_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_true(sp_pmtu_is_due(pmtu));
        sp_pmtu_on_sent(pmtu);
        sp_pmtu_on_lost(pmtu, pmtu->probe_size, now_ns);
    }
}

static void acknowledge(struct sp_pmtu *pmtu, uint64_t now_ns)
{
    assert_true(sp_pmtu_is_due(pmtu));
    sp_pmtu_on_sent(pmtu);
    assert_true(sp_pmtu_on_acked(pmtu, pmtu->probe_size, now_ns));
}

/* What is in the way of large datagrams. */
enum obstacle { DROPS, REFUSES };

/* Searches on a path that takes `mtu` bytes of UDP payload, until the search pauses.  Returns the
 * number of round trips, and those until `size` was within 3 % of `mtu` in `*ret_near`. */
static uint32_t search(struct sp_pmtu *pmtu, size_t mtu, enum obstacle obstacle, uint64_t now_ns,
                       uint32_t *ret_near)
{
    uint32_t rounds = 0;
    *ret_near = 0;
    for (uint32_t i = 0; i < 200; i++) {
        if (!sp_pmtu_is_due(pmtu)) {
            sp_pmtu_on_full(pmtu);
            if (!sp_pmtu_is_time(pmtu, now_ns))
                return rounds;
            sp_pmtu_on_time(pmtu);
        }
        assert_in_range(pmtu->probe_size, pmtu->size + 1, pmtu->size_max);
        if (pmtu->probe_size > mtu && obstacle == REFUSES) {
            sp_pmtu_on_sent(pmtu);
            assert_false(sp_pmtu_on_too_large(pmtu, pmtu->probe_size, now_ns));
            continue;
        }
        rounds++;
        if (pmtu->probe_size > mtu)
            lose(pmtu, 1, now_ns);
        else
            acknowledge(pmtu, now_ns);
        if (*ret_near == 0 && pmtu->size * 100 >= mtu * 97)
            *ret_near = rounds;
    }
    fail_msg("the search does not end");
    return 0;
}

static const size_t overheads[] = {SP_PMTU_OVERHEAD_V4, SP_PMTU_OVERHEAD_V6};

/* Usual MTUs are met exactly, and soon: a failing size costs three round trips. */
static void usual_paths_are_found_exactly(void **state)
{
    (void)state;
    static const struct {
        size_t mtu;
        uint32_t near_max;
    } rows[] = {{1280, 4}, {1400, 6}, {1420, 6}, {1450, 7},
                {1492, 7}, {1500, 1}, {9000, 3}, {65536, 5}};
    for (size_t i = 0; i < QT_COUNT(rows); i++)
        for (size_t k = 0; k < QT_COUNT(overheads); k++) {
            size_t size = SB_MIN(rows[i].mtu - overheads[k], 65507u);
            struct sp_pmtu pmtu = started_over(65507, overheads[k]);
            uint32_t near;
            (void)search(&pmtu, size, DROPS, SB_S, &near);
            assert_int_equal(pmtu.size, size);
            assert_in_range(near, 1, rows[i].near_max);
        }
}

/* Any path, any ceiling: within 1/128 of what is possible. */
static void every_path_is_found_closely(void **state)
{
    (void)state;
    static const size_t ceilings[] = {1201, 1300, 1452, 1472, 1480, 4096, 9000, 16000, 65507};
    for (size_t c = 0; c < QT_COUNT(ceilings); c++)
        for (size_t mtu = BASE; mtu <= 65507; mtu += mtu < 1600 ? 1 : 97)
            for (enum obstacle obstacle = DROPS; obstacle <= REFUSES; obstacle++) {
                struct sp_pmtu pmtu = started(ceilings[c]);
                uint32_t near, rounds = search(&pmtu, mtu, obstacle, SB_S, &near);
                size_t best = SB_MIN(mtu, ceilings[c]);
                assert_in_range(pmtu.size, best - best / 128 - 1, best);
                assert_in_range(rounds, 0, obstacle == DROPS ? 45 : 15);
                assert_int_equal(pmtu.next_from_ns == SB_NEVER, pmtu.size == ceilings[c]);
            }
}

/* The usual interface: one size too large is refused, and that ends the search. */
static void an_interface_that_refuses_costs_one_probe(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(65507);
    acknowledge(&pmtu, SB_S);
    assert_int_equal(pmtu.size, 1472);
    sp_pmtu_on_full(&pmtu);
    sp_pmtu_on_time(&pmtu);
    sp_pmtu_on_sent(&pmtu);
    assert_false(sp_pmtu_on_too_large(&pmtu, pmtu.probe_size, SB_S));
    assert_int_equal(pmtu.state, SP_PMTU_PROVED);
    sp_pmtu_on_full(&pmtu);
    assert_false(sp_pmtu_is_time(&pmtu, 2 * SB_S - 1));
}

static void there_is_nothing_to_prove_at_the_smallest_size(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(BASE);
    assert_int_equal(pmtu.state, SP_PMTU_BASE);
    sp_pmtu_on_full(&pmtu);
    assert_false(sp_pmtu_is_time(&pmtu, SB_NEVER - 1));
}

static void only_full_datagrams_ask_for_more(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(65507);
    acknowledge(&pmtu, SB_S);
    assert_false(sp_pmtu_is_time(&pmtu, SB_NEVER - 1));
    sp_pmtu_on_full(&pmtu);
    assert_true(sp_pmtu_is_time(&pmtu, SB_S));
    sp_pmtu_on_time(&pmtu);
    lose(&pmtu, 3, SB_S);
    assert_false(sp_pmtu_is_time(&pmtu, SB_NEVER - 1)); /* once for each size */
}

static void the_first_probe_waits_for_a_full_datagram_or_an_acknowledgment(void **state)
{
    (void)state;
    for (int is_full = 0; is_full < 2; is_full++) {
        struct sp_pmtu pmtu;
        sp_pmtu_init(&pmtu);
        sp_pmtu_prepare(&pmtu, 9000, SP_PMTU_OVERHEAD_V4, SB_S);
        assert_false(sp_pmtu_is_due(&pmtu));
        assert_true(sp_pmtu_is_time(&pmtu, SB_S));
        if (is_full)
            sp_pmtu_on_full(&pmtu);
        else
            sp_pmtu_on_time(&pmtu);
        assert_true(sp_pmtu_is_due(&pmtu));
        acknowledge(&pmtu, SB_S);
        assert_int_equal(sp_pmtu_is_time(&pmtu, SB_S), is_full);
        sp_pmtu_on_full(&pmtu);
        assert_false(sp_pmtu_is_due(&pmtu)); /* the next one is of sp_pmtu_is_time() alone */
    }
}

/* A lost probe may have been lost by chance: three of a size. */
static void sizes_are_given_up_one_after_the_other(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(9000);
    assert_int_equal(pmtu.probe_size, 1472);
    lose(&pmtu, 2, SB_S);
    assert_int_equal(pmtu.probe_size, 1472);
    lose(&pmtu, 1, SB_S);
    assert_int_equal(pmtu.state, SP_PMTU_BASE);
    assert_int_equal(pmtu.size, BASE);
    sp_pmtu_on_full(&pmtu);
    sp_pmtu_on_time(&pmtu);
    assert_int_equal(pmtu.probe_size, 1252);
    lose(&pmtu, 2, SB_S);
    acknowledge(&pmtu, SB_S);
    assert_int_equal(pmtu.size, 1252);
}

/* [RFC8899 5.1.1]  Each repetition is three probes, of the next size only. */
static void searches_come_at_growing_intervals(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(9000);
    uint32_t near;
    (void)search(&pmtu, 1472, DROPS, SB_S, &near);
    uint64_t now_ns = SB_S, before_ns = 0;
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t pause_ns = pmtu.next_from_ns - now_ns;
        assert_int_equal(pause_ns, i == 0 ? SB_S : SB_MIN(2 * before_ns, 600 * SB_S));
        assert_false(sp_pmtu_is_time(&pmtu, pmtu.next_from_ns - 1));
        before_ns = pause_ns;
        now_ns += pause_ns;
        assert_int_equal(search(&pmtu, 1472, DROPS, now_ns, &near), 3);
        assert_int_equal(pmtu.size, 1472);
    }
}

/* [RFC8899 5.1.1] PMTU_RAISE_TIMER */
static void a_path_that_grows_is_found_when_the_pause_is_over(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(65507);
    uint32_t near;
    (void)search(&pmtu, 1372, DROPS, SB_S, &near);
    assert_int_equal(pmtu.size, 1372);
    (void)search(&pmtu, 8972, DROPS, pmtu.next_from_ns, &near);
    assert_int_equal(pmtu.size, 8972);
    (void)search(&pmtu, 65507, DROPS, pmtu.next_from_ns, &near);
    assert_int_equal(pmtu.size, 65507);
    assert_int_equal(pmtu.next_from_ns, SB_NEVER);
}

/* An outage looks like a hole: one probe of the former size ends the fallback. */
static void a_hole_that_was_none_costs_one_probe(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(1452);
    assert_false(sp_pmtu_on_hole(&pmtu, SB_S)); /* 1,200 bytes is what every path takes */
    acknowledge(&pmtu, SB_S);
    assert_true(sp_pmtu_on_hole(&pmtu, 2 * SB_S));
    assert_int_equal(pmtu.state, SP_PMTU_HOLE);
    assert_int_equal(pmtu.size, BASE);
    assert_false(sp_pmtu_on_hole(&pmtu, 2 * SB_S)); /* what was in flight is lost, too */
    assert_true(sp_pmtu_is_time(&pmtu, 2 * SB_S));
    sp_pmtu_on_time(&pmtu);
    assert_int_equal(pmtu.probe_size, 1452);
    acknowledge(&pmtu, 2 * SB_S);
    assert_int_equal(pmtu.size, 1452);
    assert_int_equal(pmtu.next_from_ns, SB_NEVER);
}

static void a_hole_begins_a_search_below_it(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(65507);
    uint32_t near;
    (void)search(&pmtu, 8972, DROPS, SB_S, &near);
    assert_true(sp_pmtu_on_hole(&pmtu, SB_S));
    uint32_t rounds = search(&pmtu, 1472, DROPS, SB_S, &near);
    assert_int_equal(pmtu.size, 1472);
    assert_int_equal(near, 2); /* one for the former size, one for Ethernet's */
    assert_int_equal(rounds, 2 + 3);
}

/* Searches on the path before were rare in the end. */
static void a_search_after_a_hole_is_repeated_soon_again(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(9000);
    uint64_t now_ns = SB_S;
    uint32_t near;
    for (uint32_t i = 0; i < 8; i++, now_ns = pmtu.next_from_ns)
        (void)search(&pmtu, 1472, DROPS, now_ns, &near);
    assert_true(sp_pmtu_on_hole(&pmtu, now_ns));
    (void)search(&pmtu, BASE, DROPS, now_ns, &near);
    assert_int_equal(pmtu.size, BASE);
    assert_int_equal(pmtu.next_from_ns - now_ns, SB_S);
}

/* Who lets probes pass and drops what follows gets a fallback after 0, 1, 2, 4 s, and so on. */
static void holes_are_answered_at_growing_intervals(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(1472);
    uint64_t now_ns = SB_S;
    acknowledge(&pmtu, now_ns);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(sp_pmtu_on_hole(&pmtu, now_ns));
        uint64_t want_ns = i == 0 ? 0 : SB_MIN(SB_S << (i - 1), 600 * SB_S);
        assert_int_equal(pmtu.next_from_ns - now_ns, want_ns);
        now_ns = pmtu.next_from_ns;
        sp_pmtu_on_time(&pmtu);
        acknowledge(&pmtu, now_ns);
        assert_int_equal(pmtu.size, 1472);
    }
    now_ns += 600 * SB_S; /* a size that was good for so long deserves trust again */
    assert_true(sp_pmtu_on_hole(&pmtu, now_ns));
    assert_int_equal(pmtu.next_from_ns, now_ns);
}

/* A larger size is tried for while a smaller one is in use, and that one is lost meanwhile. */
static void a_hole_ends_an_attempt(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(9000);
    acknowledge(&pmtu, SB_S);
    sp_pmtu_on_full(&pmtu);
    sp_pmtu_on_time(&pmtu);
    uint32_t probe_size = pmtu.probe_size;
    sp_pmtu_on_sent(&pmtu);
    struct sp_pmtu kept = pmtu;
    assert_true(sp_pmtu_on_hole(&pmtu, SB_S));
    assert_int_equal(pmtu.size, BASE);
    sp_pmtu_on_lost(&pmtu, probe_size, SB_S);
    assert_false(sp_pmtu_on_acked(&pmtu, probe_size, SB_S));
    assert_int_equal(pmtu.state, SP_PMTU_HOLE);

    sp_pmtu_on_lost(&kept, probe_size, SB_S);
    lose(&kept, 2, SB_S);
    assert_int_equal(kept.state, SP_PMTU_PROVED);
    assert_int_equal(kept.size, 1472);
}

/* EMSGSIZE is certain: no second probe of that size, and no wait for the next. */
static void what_the_system_refuses_is_given_up_at_once(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(65507);
    sp_pmtu_on_sent(&pmtu);
    assert_false(sp_pmtu_on_too_large(&pmtu, 1472, SB_S));
    assert_int_equal(pmtu.probe_size, 1252);
    assert_true(sp_pmtu_is_due(&pmtu));
    sp_pmtu_on_lost(&pmtu, 1472, SB_S); /* that very probe: it changes nothing */
    assert_int_equal(pmtu.probe_count, 0);
    acknowledge(&pmtu, SB_S);

    assert_false(sp_pmtu_on_too_large(&pmtu, 1472, SB_S)); /* an old one */
    assert_int_equal(pmtu.size, 1252);
    assert_true(sp_pmtu_on_too_large(&pmtu, 1252, SB_S));
    assert_int_equal(pmtu.size, BASE);
    assert_false(sp_pmtu_on_too_large(&pmtu, BASE, SB_S));
    assert_int_equal(pmtu.size, BASE);
    sp_pmtu_on_time(&pmtu);
    assert_in_range(pmtu.probe_size, BASE + 1, 1251); /* that much is known */
}

/* Between 1,200 bytes and a refused size there may be nothing that is worth a probe. */
static void a_refused_size_near_the_smallest_begins_a_pause(void **state)
{
    (void)state;
    struct sp_pmtu pmtu = started(1205);
    acknowledge(&pmtu, SB_S);
    assert_int_equal(pmtu.size, 1205);
    assert_true(sp_pmtu_on_too_large(&pmtu, 1205, SB_S));
    assert_int_equal(pmtu.state, SP_PMTU_HOLE);
    assert_int_equal(pmtu.size, BASE);
    assert_int_equal(pmtu.next_from_ns, 2 * SB_S);
    sp_pmtu_on_full(&pmtu);
    assert_false(sp_pmtu_is_time(&pmtu, 2 * SB_S - 1));
    assert_true(sp_pmtu_is_time(&pmtu, 2 * SB_S));
    sp_pmtu_on_time(&pmtu);
    assert_int_equal(pmtu.probe_size, 1205);
    acknowledge(&pmtu, 2 * SB_S);
    assert_int_equal(pmtu.size, 1205);
}

/* Lets the path, the system and the connection do one of the things that they may do now. */
static void do_anything(struct sp_pmtu *pmtu, uint64_t random, uint64_t now_ns)
{
    uint32_t size = random % 3 == 0 ? pmtu->probe_size : pmtu->size;
    uint32_t before = pmtu->size;
    bool has_changed = false;
    switch ((random >> 8) % 8) {
    case 0:
    case 1:
        sp_pmtu_on_full(pmtu);
        if (sp_pmtu_is_time(pmtu, now_ns))
            sp_pmtu_on_time(pmtu);
        break;
    case 2:
    case 3:
        if (sp_pmtu_is_due(pmtu))
            sp_pmtu_on_sent(pmtu);
        break;
    case 4:
        has_changed = sp_pmtu_on_acked(pmtu, size, now_ns);
        break;
    case 5:
        sp_pmtu_on_lost(pmtu, size, now_ns);
        break;
    case 6:
        has_changed = sp_pmtu_on_too_large(pmtu, size, now_ns);
        break;
    default:
        has_changed = sp_pmtu_on_hole(pmtu, now_ns);
        break;
    }
    assert_int_equal(has_changed, pmtu->size != before);
}

/* Nothing that a path or a peer does, in whatever order, breaks an assertion or ends the search. */
static void a_search_bears_any_order_of_events(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (uint32_t run = 0; run < 2000; run++) {
        uint64_t now_ns = SB_S;
        struct sp_pmtu pmtu = started(1200 + (run % 2 == 0 ? run % 64 : run * 32));
        for (uint32_t step = 0; step < 200; step++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            do_anything(&pmtu, random >> 32, now_ns);
            now_ns += (random >> 60) * 100 * SB_MS;
            bool is_probing = pmtu.state == SP_PMTU_DUE || pmtu.state == SP_PMTU_PROBING;
            assert_in_range(pmtu.size, BASE, pmtu.size_max);
            assert_true(!is_probing ||
                        (pmtu.probe_size > pmtu.size && pmtu.probe_size < pmtu.limit));
            assert_true(pmtu.next_from_ns != SB_NEVER || is_probing || pmtu.size == pmtu.size_max);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_of_state_and_event_is_decided),
        cmocka_unit_test(usual_paths_are_found_exactly),
        cmocka_unit_test(every_path_is_found_closely),
        cmocka_unit_test(an_interface_that_refuses_costs_one_probe),
        cmocka_unit_test(there_is_nothing_to_prove_at_the_smallest_size),
        cmocka_unit_test(only_full_datagrams_ask_for_more),
        cmocka_unit_test(the_first_probe_waits_for_a_full_datagram_or_an_acknowledgment),
        cmocka_unit_test(sizes_are_given_up_one_after_the_other),
        cmocka_unit_test(searches_come_at_growing_intervals),
        cmocka_unit_test(a_path_that_grows_is_found_when_the_pause_is_over),
        cmocka_unit_test(a_hole_that_was_none_costs_one_probe),
        cmocka_unit_test(a_hole_begins_a_search_below_it),
        cmocka_unit_test(a_search_after_a_hole_is_repeated_soon_again),
        cmocka_unit_test(holes_are_answered_at_growing_intervals),
        cmocka_unit_test(a_hole_ends_an_attempt),
        cmocka_unit_test(what_the_system_refuses_is_given_up_at_once),
        cmocka_unit_test(a_refused_size_near_the_smallest_begins_a_pause),
        cmocka_unit_test(a_search_bears_any_order_of_events),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
