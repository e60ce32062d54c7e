/* SPDX-License-Identifier: MIT */
/* The relay's invented path, in virtual time. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "test/interop/relay/link.h"
#include "test/interop/relay/parcels.h"

enum { ECT_0 = 2, ECT_1 = 1, CE = 3, SIZE = 1000 };

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

static struct link link_of(const char *text)
{
    struct link_config config = {0};
    struct link link;
    const char *wrong = text[0] != 0 ? link_parse(text, &config) : NULL;
    if (wrong != NULL)
        fail_msg("%s %s", text, wrong);
    link_init(&link, &config, 1, 10 * S);
    return link;
}

/* Passes `count` datagrams at one time, and returns which were dropped: one bit each. */
static uint64_t dropped(struct link *link, uint32_t count)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < count; i++)
        bits |= (uint64_t)link_pass(link, 10 * S, SIZE, 0).is_dropped << i;
    return bits;
}

static void a_link_without_faults_changes_nothing(void **state)
{
    (void)state;
    struct link link = link_of("");
    for (uint64_t i = 0; i < 1000; i++) {
        struct link_verdict verdict = link_pass(&link, 10 * S + i, SIZE, (uint8_t)(i % 4));
        assert_false(verdict.is_dropped || verdict.is_corrupted || verdict.is_duplicated);
        assert_int_equal(verdict.due_ns, 10 * S + i);
        assert_int_equal(verdict.ecn, i % 4);
    }
    assert_int_equal(link.counts.seen, 1000);
    assert_int_equal(link.counts.bytes, 1000 * SIZE);
}

static void patterns_drop_the_datagrams_that_they_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bits; /* of 16 datagrams, the first one lowest */
    } table[] = {
        {"first=3", 0x0007},         {"every=4", 0x8888},   {"drop=2+3+16", 0x8006},
        {"drop=1,every=16", 0x8001}, {"loss=100%", 0xffff}, {"loss=1", 0xffff},
        {"loss=0", 0x0000},          {"mtu=999", 0xffff},   {"mtu=1000", 0x0000},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        struct link link = link_of(table[i].text);
        uint64_t bits = dropped(&link, 16);
        if (bits != table[i].bits)
            fail_msg("%s: %#lx", table[i].text, (unsigned long)bits);
        assert_int_equal(link.counts.lost + link.counts.oversized,
                         (uint64_t)__builtin_popcountll(bits));
    }
}

static void shares_are_kept_and_depend_on_the_seed_only(void **state)
{
    (void)state;
    struct link link = link_of("loss=10%,corrupt=5%,duplicate=2%,ce=20%,reorder=1%,reorder-by=5ms");
    struct link twin = link;
    for (uint32_t i = 0; i < 100000; i++) {
        struct link_verdict a = link_pass(&link, 10 * S, SIZE, ECT_0);
        struct link_verdict b = link_pass(&twin, 10 * S, SIZE, ECT_0);
        assert_true(a.is_dropped == b.is_dropped && a.is_corrupted == b.is_corrupted &&
                    a.corrupt_at == b.corrupt_at && a.due_ns == b.due_ns && a.ecn == b.ecn);
        assert_true(!a.is_corrupted || (a.corrupt_at < SIZE && a.corrupt_with != 0));
    }
    assert_in_range(link.counts.lost, 9500, 10500);
    assert_in_range(link.counts.corrupted, 4200, 4800);
    assert_in_range(link.counts.duplicated, 1600, 2000);
    assert_in_range(link.counts.marked, 17500, 18500);
    assert_in_range(link.counts.reordered, 800, 1000);
}

static void only_datagrams_that_can_be_marked_are_marked(void **state)
{
    (void)state;
    struct link link = link_of("ce=100%");
    assert_int_equal(link_pass(&link, 10 * S, SIZE, 0).ecn, 0);
    assert_int_equal(link_pass(&link, 10 * S, SIZE, ECT_0).ecn, CE);
    assert_int_equal(link_pass(&link, 10 * S, SIZE, ECT_1).ecn, CE);
    assert_int_equal(link_pass(&link, 10 * S, SIZE, CE).ecn, CE);
    assert_int_equal(link.counts.marked, 2);
    link = link_of("ce=100%,ecn=clear");
    assert_int_equal(link_pass(&link, 10 * S, SIZE, CE).ecn, 0);
}

static void outages_come_when_they_are_due(void **state)
{
    (void)state;
    struct link once = link_of("outage=2s+1s");
    struct link again = link_of("outage=2s+1s/5s");
    for (uint64_t ms = 0; ms < 20000; ms += 100) {
        bool is_out = ms >= 2000 && ms < 3000;
        bool is_out_again = ms >= 2000 && (ms - 2000) % 5000 < 1000;
        assert_true(link_pass(&once, 10 * S + ms * MS, SIZE, 0).is_dropped == is_out);
        assert_true(link_pass(&again, 10 * S + ms * MS, SIZE, 0).is_dropped == is_out_again);
    }
}

/* Chance would lose all five of a client's first packets once in 400 times at 30 %. */
static void no_flow_loses_more_in_a_row_than_asked(void **state)
{
    (void)state;
    struct link link = link_of("loss=60%,corrupt=30%,bad-run=3");
    struct link free_link = link_of("loss=60%,corrupt=30%");
    uint64_t runs[2] = {0}, bad = 0, longest = 0, longest_free = 0, free_bad = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t *run = &runs[i % 2];
        struct link_verdict verdict = link_pass_flow(&link, run, 10 * S, SIZE, 0);
        bool is_bad = verdict.is_dropped || verdict.is_corrupted;
        bad += is_bad;
        longest = *run > longest ? *run : longest;
        assert_true(is_bad == (*run != 0));
        verdict = link_pass(&free_link, 10 * S, SIZE, 0);
        free_bad = verdict.is_dropped || verdict.is_corrupted ? free_bad + 1 : 0;
        longest_free = free_bad > longest_free ? free_bad : longest_free;
    }
    assert_int_equal(longest, 3);
    assert_in_range(bad, 5500, 6500); /* 58 % */
    assert_true(longest_free > 6);
}

/* Each 10 ms until 2 s, then probes at 3.5 and 5.1 s, and then each 10 ms again. */
static void the_time_until_much_passes_after_an_outage_is_recorded(void **state)
{
    (void)state;
    struct link link = link_of("outage=2s+3s");
    for (uint64_t ms = 0; ms < 2500; ms += 10)
        (void)link_pass(&link, 10 * S + ms * MS, SIZE, 0);
    (void)link_pass(&link, 10 * S + 3500 * MS, SIZE, 0);
    (void)link_pass(&link, 10 * S + 5100 * MS, SIZE, 0);
    assert_int_equal(link.gap_ns, 3110 * MS);
    assert_int_equal(link.back_ns, 0);
    for (uint64_t i = 0; i < 100; i++)
        (void)link_pass(&link, 10 * S + (5200 + i * 10) * MS, SIZE, 0);
    assert_int_equal(link.gap_ns, 3110 * MS);
    assert_int_equal(link.back_ns, (5200 - 1990 + (LINK_BACK_COUNT - 2) * 10) * MS);
}

static void jitter_and_reordering_delay_some_datagrams_only(void **state)
{
    (void)state;
    struct link link = link_of("delay=10ms,jitter=2ms");
    struct link reordering = link_of("delay=10ms,reorder=50%,reorder-by=7ms");
    uint32_t late = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_in_range(link_pass(&link, 0, SIZE, 0).due_ns, 10 * MS, 12 * MS);
        uint64_t due_ns = link_pass(&reordering, 0, SIZE, 0).due_ns;
        assert_true(due_ns == 10 * MS || due_ns == 17 * MS);
        late += due_ns == 17 * MS;
    }
    assert_in_range(late, 450, 550);
}

static void every_nth_datagram_is_late(void **state)
{
    (void)state;
    struct link link = link_of("delay=20ms,reorder-every=7,reorder-by=4ms");
    for (uint32_t i = 1; i <= 100; i++)
        assert_int_equal(link_pass(&link, 0, SIZE, 0).due_ns, (i % 7 == 0 ? 24 : 20) * MS);
    assert_int_equal(link.counts.reordered, 14);
}

static void jitter_keeps_the_order_if_asked(void **state)
{
    (void)state;
    struct link link = link_of("delay=10ms,jitter=5ms,order=keep");
    uint64_t last_ns = 0;
    uint64_t longest_ns = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t now_ns = i * MS / 10;
        uint64_t due_ns = link_pass(&link, now_ns, SIZE, 0).due_ns;
        assert_true(due_ns >= last_ns && due_ns >= now_ns + 10 * MS && due_ns <= now_ns + 15 * MS);
        longest_ns = due_ns - now_ns > longest_ns ? due_ns - now_ns : longest_ns;
        last_ns = due_ns;
    }
    assert_true(longest_ns > 14 * MS);
}

/* Bad for 4 datagrams on average and good for 96, and half of the former are lost. */
static void bursts_lose_datagrams_that_follow_each_other(void **state)
{
    (void)state;
    struct link link = link_of("bursts=1.0417%:25%:50%");
    uint32_t pairs = 0;
    bool was_lost = false;
    for (uint32_t i = 0; i < 200000; i++) {
        bool is_lost = link_pass(&link, 0, SIZE, 0).is_dropped;
        pairs += is_lost && was_lost;
        was_lost = is_lost;
    }
    assert_in_range(link.counts.lost, 3600, 4400);
    /* After a loss the next one follows with 75 % * 50 %, not with 2 %. */
    assert_in_range(pairs * 1000 / link.counts.lost, 340, 410);

    link = link_of("bursts=100%:0%");
    assert_int_equal(dropped(&link, 16), 0xffff);
}

static void what_is_no_link_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const table[] = {
        "",
        "delay",
        "delay=",
        "delay=5",
        "delay=-5ms",
        "delay=5 ms",
        "delay=0x5s",
        "speed=5mbit",
        "rate=5",
        "loss=101%",
        "loss=1.5",
        "loss=x",
        "drop=",
        "drop=0",
        "drop=2+2",
        "drop=3+2",
        "drop=1+",
        "drop=a",
        "outage=1s",
        "outage=1s+0s",
        "outage=1s+2s/1s",
        "ecn=on",
        "delay=5ms,",
        "first=1.x",
        "bursts=1%",
        "bursts=1%:2%:3%:4%",
        "bursts=1%:x",
        "policer=5mbit",
        "policer=5mbit:x",
        "policer=0bit:5",
        "order=any",
        "steps=",
        "steps=5mbit",
        "steps=5mbit/0s",
        "steps=0bit/1s",
        "steps=5mbit/1s+",
        "rate=5mbit,steps=5mbit/1s",
        "trace=/no/such/file",
        "queue-bdp=1",
        "queue-bdp=1,rate=5mbit",
        "queue-bdp=1,rtt=5ms",
        "reorder-every=x",
        "l4s=on",
        "l4s=on,rate=5mbit",
        "l4s=on,queue=5k",
        "l4s=5,rate=5mbit,queue=5k",
    };
    struct link_config config = {.delay_ns = 77};
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        if (link_parse(table[i], &config) == NULL)
            fail_msg("accepted: %s", table[i]);
        assert_int_equal(config.delay_ns, 77);
    }
    assert_null(link_parse("loss=1%", &config)); /* beside what it has */
    assert_int_equal(config.delay_ns, 77);
    assert_int_equal(config.loss_share, 10000);
}

static void parcels_come_out_by_time_and_then_in_their_order(void **state)
{
    (void)state;
    struct parcels parcels;
    parcels_init(&parcels, 1000000);
    uint64_t random = 1;
    for (uint32_t i = 0; i < 5000; i++) {
        struct parcel *parcel = parcel_create(10);
        assert_non_null(parcel);
        random = random * UINT64_C(6364136223846793005) + 1;
        parcel->due_ns = (random >> 33) % 50;
        parcel->flow = i;
        assert_true(parcels_add(&parcels, parcel));
    }
    uint64_t due_ns = 0;
    uint32_t flow = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        struct parcel *parcel = parcels_take(&parcels);
        assert_true(parcel->due_ns > due_ns || (parcel->due_ns == due_ns && parcel->flow >= flow));
        due_ns = parcel->due_ns;
        flow = parcel->flow;
        free(parcel);
    }
    assert_null(parcels_first(&parcels));
    assert_int_equal(parcels.bytes, 0);
    parcels_deinit(&parcels);
}

static void parcels_beyond_the_memory_are_not_taken(void **state)
{
    (void)state;
    struct parcels parcels;
    parcels_init(&parcels, 100);
    assert_true(parcels_add(&parcels, parcel_create(60)));
    assert_false(parcels_add(&parcels, parcel_create(41)));
    assert_true(parcels_add(&parcels, parcel_create(40)));
    assert_int_equal(parcels.bytes, 100);
    parcels_deinit(&parcels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_without_faults_changes_nothing),
        cmocka_unit_test(patterns_drop_the_datagrams_that_they_name),
        cmocka_unit_test(shares_are_kept_and_depend_on_the_seed_only),
        cmocka_unit_test(only_datagrams_that_can_be_marked_are_marked),
        cmocka_unit_test(outages_come_when_they_are_due),
        cmocka_unit_test(no_flow_loses_more_in_a_row_than_asked),
        cmocka_unit_test(the_time_until_much_passes_after_an_outage_is_recorded),
        cmocka_unit_test(jitter_and_reordering_delay_some_datagrams_only),
        cmocka_unit_test(every_nth_datagram_is_late),
        cmocka_unit_test(jitter_keeps_the_order_if_asked),
        cmocka_unit_test(bursts_lose_datagrams_that_follow_each_other),
        cmocka_unit_test(what_is_no_link_is_refused_and_changes_nothing),
        cmocka_unit_test(parcels_come_out_by_time_and_then_in_their_order),
        cmocka_unit_test(parcels_beyond_the_memory_are_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
