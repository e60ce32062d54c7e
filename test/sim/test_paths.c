/* SPDX-License-Identifier: MIT */
/* What congestion controllers must reach, on paths of the laboratory (sim --paths). */

#include "test/support/qt.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/paths.h"

static struct qs_path_figures figures_of(const struct qs_path_run *run)
{
    struct qs_path_figures figures;
    qs_path_run(run, &figures);
    print_message(
        "    %s: %u %s%s%s: %.1f %% used, %.2f %% lost, waits %.2f and %.2f ms, 90 %% after "
        "%.2f s, Jain %.3f, first %.1f %%\n",
        run->kind->name, run->flow_count, sp_cc_ops_of(run->first)->name,
        run->first == run->later ? "" : " and ",
        run->first == run->later ? "" : sp_cc_ops_of(run->later)->name, figures.utilisation * 100,
        figures.loss * 100, (double)figures.wait_p50_ns / SB_MS,
        (double)figures.wait_p99_ns / SB_MS, (double)figures.to_90_ns / SB_S, figures.fairness,
        figures.first_share * 100);
    if (figures.has_failed)
        fail_msg("%s", figures.failure);
    return figures;
}

static struct qs_path_figures alone_for(uint32_t seconds, const char *path, enum sp_cc_kind kind,
                                        uint64_t seed)
{
    const struct qs_path_run run = {
        .kind = qs_path_kind_named(path),
        .first = kind,
        .later = kind,
        .flow_count = 1,
        .seed = seed,
        .seconds = seconds,
    };
    return figures_of(&run);
}

static struct qs_path_figures alone(const char *path, enum sp_cc_kind kind, uint64_t seed)
{
    return alone_for(0, path, kind, seed);
}

/* The use counts from the first packet: on the long fat path a third of its seven seconds pass
 * while windows grow from a mebibyte. */
static void an_empty_link_is_full_within_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint32_t seconds, within_s;
        double utilisation;
    } samples[] = {{"lan", 2, 1, 0.9}, {"wan", 12, 3, 0.9}, {"long-fat", 7, 5, 0.8}};
    static const enum sp_cc_kind kinds[] = {SP_CC_CUBIC, SP_CC_BBR};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        for (size_t k = 0; k < QT_COUNT(kinds); k++) {
            struct qs_path_figures figures =
                alone_for(samples[i].seconds, samples[i].path, kinds[k], 1);
            assert_true(figures.to_90_ns <= samples[i].within_s * SB_S);
            assert_true(figures.utilisation >= samples[i].utilisation);
        }
    }
}

static struct qs_path_figures flows(const char *path, enum sp_cc_kind kind, uint32_t count,
                                    uint32_t seconds, uint64_t seed)
{
    const struct qs_path_run run = {
        .kind = qs_path_kind_named(path),
        .first = kind,
        .later = kind,
        .flow_count = count,
        .flow_interval_ns = 2 * SB_S / (count - 1),
        .seed = seed,
        .seconds = seconds,
    };
    return figures_of(&run);
}

/* The last begins 2 s after the first. */
static void flows_become_equal(void **state)
{
    (void)state;
    static const enum sp_cc_kind kinds[] = {SP_CC_CUBIC, SP_CC_BBR};
    for (size_t k = 0; k < QT_COUNT(kinds); k++) {
        double share = flows("bursts", kinds[k], 2, 120, 1).first_share;
        assert_true(share > 0.46 && share < 0.54); /* within 15 % of each other */
        assert_true(flows("wan", kinds[k], 4, 60, 1).fairness > 0.9);
    }
    assert_true(flows("wan", SP_CC_CUBIC, 2, 60, 1).fairness > 0.95);
}

/* Half a minute after the second has begun.  Where each loss comes from a full queue, it hits now
 * one and now the other; but the first one has no advantage. */
static void two_bbr_flows_become_equal_soon(void **state)
{
    (void)state;
    double larger = 0, first = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        double share = flows("wan", SP_CC_BBR, 2, 30, seed).first_share;
        assert_true(share > 0.25 && share < 0.75);
        larger += SB_MAX(share, 1 - share);
        first += share;
    }
    assert_true(larger < 10 * 0.57);
    assert_true(first > 10 * 0.44 && first < 10 * 0.56);
}

/* Sixteen share a queue of one bandwidth-delay product: it is full, but for little loss.  Those
 * that begin in the queue of others learn the shortest round trip in the ProbeRTTs of the first
 * seconds. */
static void many_bbr_flows_lose_little(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct qs_path_figures figures = flows("wan", SP_CC_BBR, 16, 30, seed);
        assert_true(figures.loss < 0.04);
        assert_true(figures.fairness > 0.95);
        assert_true(figures.utilisation > 0.95);
    }
}

/* Those that begin in the queue of others soon know the path without it: they look for it together,
 * three times a second.  The last begins 2 s after the first, and the queue is not full. */
static void bbr_flows_on_a_lan_become_equal_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct qs_path_figures four = flows("lan", SP_CC_BBR, 4, 4, seed);
        assert_true(four.fairness > 0.95);
        assert_true(four.loss < 0.005);
        assert_true(four.wait_p50_ns < 2 * SB_MS);
        assert_true(four.utilisation > 0.97);
    }
    struct qs_path_figures sixteen = flows("lan", SP_CC_BBR, 16, 4, 1);
    assert_true(sixteen.fairness > 0.95);
    assert_true(sixteen.loss < 0.05);
}

/* A rate that changes several times in the time between two probes. */
static void bbr_follows_a_rate_that_varies(void **state)
{
    (void)state;
    double used = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        double one = alone("phone", SP_CC_BBR, seed).utilisation;
        assert_true(one > 0.8);
        used += one;
    }
    assert_true(used > 10 * 0.86);
}

static void bbr_holds_links_that_lose(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        assert_true(alone("radio", SP_CC_BBR, seed).utilisation >= 0.8);
        assert_true(alone("bursts", SP_CC_BBR, seed).utilisation >= 0.8);
    }
    /* In seed 4 losses in a row meet the first round trips. */
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_true(alone("bursts-wan", SP_CC_BBR, seed).utilisation >= 0.85);
    assert_true(alone("radio", SP_CC_NEWRENO, 1).utilisation < 0.4);
}

/* 5 % of the packets come 3 ms late: a third of a round trip, 500 packets. */
static void a_path_that_reorders_is_as_fast_as_one_that_does_not(void **state)
{
    (void)state;
    static const enum sp_cc_kind kinds[] = {SP_CC_CUBIC, SP_CC_BBR};
    for (size_t k = 0; k < QT_COUNT(kinds); k++) {
        struct qs_path_run run = {
            .kind = qs_path_kind_named("fast-late-5"),
            .first = kinds[k],
            .later = kinds[k],
            .flow_count = 1,
            .seed = 1,
            .seconds = 1,
        };
        struct qs_path_figures figures = figures_of(&run);
        assert_true(figures.utilisation >= 0.9);
        assert_true(figures.spurious <= 0.05);
    }
}

static void bbr_keeps_a_deep_queue_short(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_true(alone("wan-deep", SP_CC_BBR, seed).wait_p99_ns < 50 * SB_MS);
}

/* A queue of a millisecond is enough for a path that is nearly full. */
static void prague_keeps_a_queue_for_l4s_short(void **state)
{
    (void)state;
    static const char *const paths[] = {"l4s", "l4s-near"};
    for (size_t i = 0; i < QT_COUNT(paths); i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct qs_path_figures figures = alone(paths[i], SP_CC_PRAGUE, seed);
            assert_true(figures.utilisation >= 0.9);
            assert_true(figures.wait_p99_ns < 3 * SB_MS);
            assert_true(figures.loss == 0);
        }
        struct qs_path_figures four = flows(paths[i], SP_CC_PRAGUE, 4, 20, 1);
        assert_true(four.utilisation >= 0.9 && four.fairness > 0.9);
        assert_true(four.wait_p99_ns < 3 * SB_MS);
    }
    assert_true(alone("l4s", SP_CC_CUBIC, 1).wait_p50_ns > 5 * SB_MS); /* the other queue */
}

static double share_beside_cubic(const char *path, uint64_t seed)
{
    const struct qs_path_run run = {
        .kind = qs_path_kind_named(path),
        .first = SP_CC_PRAGUE,
        .later = SP_CC_CUBIC,
        .flow_count = 2,
        .flow_interval_ns = 2 * SB_S,
        .seed = seed,
        .seconds = 40,
    };
    return figures_of(&run).first_share;
}

/* [RFC9332 2.1] The queues are coupled so that flows of both kinds get about the same: within a
 * factor of two.  In one classic queue, which is recognised, both are CUBIC. */
static void prague_and_cubic_share_a_path(void **state)
{
    (void)state;
    static const char *const paths[] = {"l4s", "l4s-near", "classic-ecn"};
    for (size_t i = 0; i < QT_COUNT(paths); i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            double share = share_beside_cubic(paths[i], seed);
            assert_true(share > 1.0 / 3 && share < 2.0 / 3);
        }
    }
}

/* Without any marks it fills a path as CUBIC does. */
static void prague_fills_a_classic_path(void **state)
{
    (void)state;
    struct qs_path_figures figures = alone("wan", SP_CC_PRAGUE, 1);
    assert_true(figures.utilisation >= 0.9);
    assert_true(figures.to_90_ns <= 3 * SB_S);
    assert_true(alone_for(2, "lan", SP_CC_PRAGUE, 1).utilisation >= 0.9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_link_is_full_within_seconds),
        cmocka_unit_test(bbr_holds_links_that_lose),
        cmocka_unit_test(a_path_that_reorders_is_as_fast_as_one_that_does_not),
        cmocka_unit_test(bbr_keeps_a_deep_queue_short),
        cmocka_unit_test(bbr_follows_a_rate_that_varies),
        cmocka_unit_test(flows_become_equal),
        cmocka_unit_test(prague_keeps_a_queue_for_l4s_short),
        cmocka_unit_test(prague_and_cubic_share_a_path),
        cmocka_unit_test(prague_fills_a_classic_path),
        cmocka_unit_test(two_bbr_flows_become_equal_soon),
        cmocka_unit_test(many_bbr_flows_lose_little),
        cmocka_unit_test(bbr_flows_on_a_lan_become_equal_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
