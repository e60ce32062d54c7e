/* SPDX-License-Identifier: MIT */
/* Received packet numbers and when they are acknowledged: RFC 9000, Section 13.2. */

#include "test/support/qt.h"

#include "proto/recovery/ack.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/random.h"
#include "test/support/heap.h"

enum { NUMBERS = 400 };

#define DELAY_NS (25 * SB_MS)

/* Room for all ranges. */
static struct sb_store *many_ranges(void)
{
    static struct heap heap;
    static struct sb_pool pool;
    static struct sb_store store;
    if (pool.memory == NULL) {
        heap_init(&heap);
        sb_pool_init(&pool, "acks", sizeof(struct sp_ack_many), 8, UINT32_MAX, &heap.memory);
        store.pool = &pool;
    }
    return &store;
}

static void receive(struct sp_ack *ack, uint64_t pn, bool is_eliciting)
{
    sp_ack_on_packet(ack, pn, is_eliciting, SP_ECN_NOT, 0);
    sp_ack_check(ack);
}

/* The peer confirms in a batch of its own. */
static void confirm(struct sp_ack *ack, uint64_t largest)
{
    sp_ack_on_confirmed(ack, largest);
    sp_ack_decide(ack, 0, 0, 0);
    sp_ack_check(ack);
}

/* Every number below the floor counts as received; above it the bits decide. */
static void assert_as_map(const struct sp_ack *ack, const bool map[NUMBERS])
{
    sp_ack_check(ack);
    uint32_t runs = 0;
    uint64_t next = 0;
    for (uint64_t pn = 0; pn < NUMBERS; pn++) {
        assert_int_equal(sp_ack_is_known(ack, pn), pn < ack->floor || map[pn]);
        bool begins = pn >= ack->floor && map[pn] && (pn == ack->floor || !map[pn - 1]);
        runs += begins;
        next = map[pn] ? pn + 1 : next;
    }
    assert_int_equal(ack->range_count, runs);
    assert_int_equal(sp_ack_next_pn(ack), next);
}

/* Nothing is processed twice, whatever is forgotten.  [RFC9000 12.3] */
static void any_order_of_numbers_matches_a_map(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        struct sp_ack ack;
        sp_ack_init(&ack, many_ranges());
        bool map[NUMBERS] = {false};
        uint64_t spread = 1 + seed * 15;
        for (uint64_t middle = 0; middle + spread < NUMBERS; middle++) {
            uint64_t pn = middle + qs_random_below(&random, spread);
            if (sp_ack_is_known(&ack, pn))
                continue;
            receive(&ack, pn, true);
            map[pn] = true;
            assert_as_map(&ack, map);
            if (qs_random_below(&random, 30) == 0) {
                confirm(&ack, qs_random_below(&random, NUMBERS));
                assert_as_map(&ack, map);
            }
        }
    }
}

/* [RFC9000 13.2.3] */
static void at_the_bound_the_oldest_range_is_forgotten(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    for (uint64_t i = 0; i <= SP_ACK_RANGES_MAX; i++) {
        receive(&ack, 10 + 2 * i, true);
        assert_int_equal(ack.range_count, SB_MIN(i + 1, SP_ACK_RANGES_MAX));
    }
    assert_int_equal(ack.floor, 11);
    assert_true(sp_ack_is_known(&ack, 9)); /* never came, and never will */
    assert_false(sp_ack_is_known(&ack, 11));
    receive(&ack, 11, true); /* joins the range above: needs no room */
    assert_int_equal(ack.range_count, SP_ACK_RANGES_MAX);

    /* One that would be the oldest is forgotten itself. */
    sp_ack_init(&ack, many_ranges());
    for (uint64_t i = 0; i < SP_ACK_RANGES_MAX; i++)
        receive(&ack, 10 + 2 * i, true);
    receive(&ack, 5, true);
    assert_int_equal(ack.range_count, SP_ACK_RANGES_MAX);
    assert_true(sp_ack_is_known(&ack, 5));
    assert_false(sp_ack_is_known(&ack, 6));
}

/* Room for many ranges is taken with the fourth, and given back with the last but one. */
static void few_ranges_take_no_memory(void **state)
{
    (void)state;
    struct sb_store *store = many_ranges();
    uint32_t before = store->count;
    struct sp_ack ack;
    sp_ack_init(&ack, store);
    for (uint64_t i = 0; i < SP_ACK_RANGES_FEW; i++)
        receive(&ack, 10 + 2 * i, true);
    assert_int_equal(store->count, before);
    receive(&ack, 1, true);
    assert_int_equal(store->count, before + 1);
    for (uint64_t pn = 0; pn < 20; pn++)
        assert_int_equal(sp_ack_is_known(&ack, pn), pn == 1 || pn == 10 || pn == 12 || pn == 14);

    confirm(&ack, 11);
    assert_int_equal(ack.range_count, 2);
    assert_int_equal(store->count, before + 1);
    confirm(&ack, 14);
    sp_ack_check(&ack);
    assert_int_equal(store->count, before);
    assert_true(sp_ack_is_known(&ack, 14));
    assert_int_equal(sp_ack_next_pn(&ack), 15);
}

static void without_memory_the_oldest_range_is_forgotten_sooner(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, NULL);
    for (uint64_t i = 0; i <= SP_ACK_RANGES_FEW; i++)
        receive(&ack, 10 + 2 * i, true);
    assert_int_equal(ack.range_count, SP_ACK_RANGES_FEW);
    assert_int_equal(ack.floor, 11);
    receive(&ack, 11, true); /* joins a range */
    receive(&ack, 30, true); /* a new one */
    assert_int_equal(ack.floor, 13);
    assert_true(sp_ack_is_known(&ack, 12));
    assert_false(sp_ack_is_known(&ack, 13));
}

static void the_end_gives_back_the_room_for_ranges(void **state)
{
    (void)state;
    struct sb_store *store = many_ranges();
    uint32_t before = store->count;
    struct sp_ack ack;
    sp_ack_init(&ack, store);
    for (uint64_t i = 0; i < 20; i++)
        receive(&ack, 10 + 2 * i, true);
    sp_ack_deinit(&ack);
    sp_ack_check(&ack);
    assert_int_equal(store->count, before);
    /* A packet whose frames have ended the space. */
    for (uint64_t i = 20; i < 30; i++)
        receive(&ack, 10 + 2 * i, true);
    assert_int_equal(store->count, before);
    assert_true(sp_ack_is_known(&ack, 10));
}

/* [RFC9000 13.2.4] */
static void what_the_peer_knows_to_be_received_is_not_repeated(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    static const uint64_t pns[] = {1, 2, 5, 6, 9};
    for (size_t i = 0; i < QT_COUNT(pns); i++)
        receive(&ack, pns[i], true);
    confirm(&ack, 5);
    assert_int_equal(ack.range_count, 2); /* 5 to 6 is not known in whole */
    assert_true(sp_ack_is_known(&ack, 1) && sp_ack_is_known(&ack, 0));
    confirm(&ack, 1000);
    assert_int_equal(ack.range_count, 1); /* the newest stays */
    assert_int_equal(sp_ack_next_pn(&ack), 10);
    sp_ack_check(&ack);
}

/* The ACK in a packet that comes late confirms ranges above that packet's own number. */
static void a_late_packet_that_confirms_later_ones_is_acknowledged(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    static const uint64_t pns[] = {1, 4, 5, 8};
    for (size_t i = 0; i < QT_COUNT(pns); i++)
        receive(&ack, pns[i], true);
    assert_false(sp_ack_is_known(&ack, 3));
    sp_ack_on_confirmed(&ack, 5); /* its frames */
    receive(&ack, 3, true);
    assert_int_equal(ack.range_count, 3);
    assert_int_equal(ack.ranges[1].smallest, 3);
    sp_ack_decide(&ack, 0, 0, 0);
    sp_ack_check(&ack);
    assert_true(sp_ack_is_known(&ack, 2) && sp_ack_is_known(&ack, 3));
}

/* [RFC9000 13.2.3] A round trip later than the peer's confirmation, so that a packet that comes in
 * between is no duplicate. */
static void where_packets_come_late_gaps_stay_open_for_a_round_trip(void **state)
{
    (void)state;
    struct sp_ack_lag lag = {0};
    uint64_t largest = 5;
    assert_true(sp_ack_lag_take(&lag, SB_MS, SB_S, &largest));
    assert_int_equal(largest, 0); /* nothing was confirmed before */
    largest = 9;
    assert_false(sp_ack_lag_take(&lag, SB_MS, SB_S + SB_MS - 1, &largest));
    largest = 7;
    assert_true(sp_ack_lag_take(&lag, SB_MS, SB_S + SB_MS, &largest));
    assert_int_equal(largest, 5);
    largest = 6; /* of an older ACK */
    assert_true(sp_ack_lag_take(&lag, SB_MS, SB_S + 2 * SB_MS, &largest));
    assert_int_equal(largest, 7);
    largest = 8;
    assert_true(sp_ack_lag_take(&lag, SB_MS, SB_S + 3 * SB_MS, &largest));
    assert_int_equal(largest, 7);
}

static void a_late_packet_is_remembered(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    receive(&ack, 1, true);
    receive(&ack, 3, true);
    assert_false(ack.has_late); /* a gap may be a loss */
    receive(&ack, 2, true);
    assert_true(ack.has_late);
}

struct arrival {
    uint64_t pn;
    bool is_eliciting;
    enum sp_ecn ecn;
};

enum verdict { NOTHING, LATER, NOW };

/* [RFC9000 13.2.1, 13.2.2] Packets 0 to 9 were acknowledged before. */
static void a_batch_is_acknowledged_by_what_is_in_it(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint64_t delay_ns_max;
        size_t count;
        struct arrival batch[4];
        enum verdict want;
    } samples[] = {
        {"one", DELAY_NS, 1, {{10, true, 0}}, LATER},
        {"two", DELAY_NS, 2, {{10, true, 0}, {11, true, 0}}, NOW},
        {"none that elicits", DELAY_NS, 2, {{10, false, 0}, {11, false, 0}}, NOTHING},
        {"one of two elicits", DELAY_NS, 2, {{10, false, 0}, {11, true, 0}}, LATER},
        {"above a gap", DELAY_NS, 1, {{11, true, 0}}, NOW},
        {"above a gap, not eliciting", DELAY_NS, 1, {{11, false, 0}}, NOTHING},
        {"below one that elicits", DELAY_NS, 2, {{11, false, 0}, {10, true, 0}}, LATER},
        {"reordered", DELAY_NS, 2, {{11, true, 0}, {10, true, 0}}, NOW},
        {"marked", DELAY_NS, 1, {{10, true, SP_ECN_CE}}, NOW},
        {"marked, not eliciting", DELAY_NS, 1, {{10, false, SP_ECN_CE}}, NOTHING},
        {"ECT only", DELAY_NS, 1, {{10, true, SP_ECN_ECT0}}, LATER},
        {"no delay promised", 0, 1, {{10, true, 0}}, NOW},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_ack ack;
        sp_ack_init(&ack, many_ranges());
        for (uint64_t pn = 0; pn < 10; pn++)
            receive(&ack, pn, true);
        sp_ack_decide(&ack, DELAY_NS, 0, 1000);
        sp_ack_on_sent(&ack, 2000);

        print_message("    %s\n", samples[i].what);
        for (size_t k = 0; k < samples[i].count; k++) {
            const struct arrival *a = &samples[i].batch[k];
            sp_ack_on_packet(&ack, a->pn, a->is_eliciting, a->ecn, 2000);
        }
        assert_false(sp_ack_is_due(&ack, 2000)); /* one decision for a batch */
        sp_ack_decide(&ack, samples[i].delay_ns_max, 0, 2000);
        assert_true(sp_ack_is_pending(&ack));
        assert_int_equal(sp_ack_is_due(&ack, 2000), samples[i].want == NOW);
        assert_int_equal(sp_ack_is_due(&ack, 2000 + DELAY_NS - 1), samples[i].want == NOW);
        assert_int_equal(sp_ack_is_due(&ack, 2000 + DELAY_NS), samples[i].want != NOTHING);
        sp_ack_on_sent(&ack, 2000);
        assert_false(sp_ack_is_pending(&ack));
        assert_false(sp_ack_is_due(&ack, SB_NEVER - 1));
    }
}

/* [RFC9000 13.2.1] The promise counts from the first packet that waits. */
static void later_packets_do_not_put_an_ack_off(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    receive(&ack, 0, true);
    sp_ack_decide(&ack, DELAY_NS, 0, 100);
    receive(&ack, 1, false);
    sp_ack_decide(&ack, DELAY_NS, 0, 200);
    assert_int_equal(ack.deadline_ns, 100 + DELAY_NS);
    receive(&ack, 2, true);
    sp_ack_decide(&ack, DELAY_NS, 0, 300);
    assert_true(sp_ack_is_due(&ack, 300)); /* the second that elicits */
}

/* Packets in order, a batch of `count` of them. */
static void receive_batch(struct sp_ack *ack, uint64_t *pn, uint32_t count, uint64_t rtt_ns,
                          uint64_t now_ns)
{
    for (uint32_t i = 0; i < count; i++)
        sp_ack_on_packet(ack, (*pn)++, true, SP_ECN_NOT, now_ns);
    sp_ack_decide(ack, DELAY_NS, rtt_ns, now_ns);
}

/* [RFC9000 13.2.2] */
static void an_in_order_flow_gets_eight_acks_a_round_trip(void **state)
{
    (void)state;
    enum { RTT_NS = 800 };
    struct sp_ack ack;
    uint64_t pn = 0;
    uint64_t now_ns = 1000;
    sp_ack_init(&ack, many_ranges());
    for (uint32_t i = 0; i < 64; i++) { /* every second packet, as long as it may be starting */
        receive_batch(&ack, &pn, 2, RTT_NS, now_ns);
        assert_true(sp_ack_is_due(&ack, now_ns) || i == 63);
        sp_ack_on_sent(&ack, now_ns);
    }
    receive_batch(&ack, &pn, 2, RTT_NS, now_ns + 99);
    assert_false(sp_ack_is_due(&ack, now_ns + 99));
    assert_true(sp_ack_is_due(&ack, now_ns + 100)); /* and if nothing more comes too */
    receive_batch(&ack, &pn, 2, RTT_NS, now_ns + 100);
    assert_true(sp_ack_is_due(&ack, now_ns + 100));
    sp_ack_on_sent(&ack, now_ns + 100);

    receive_batch(&ack, &pn, 255, RTT_NS, now_ns + 101);
    assert_false(sp_ack_is_due(&ack, now_ns + 101));
    receive_batch(&ack, &pn, 1, RTT_NS, now_ns + 101); /* no ACK sets more than that free */
    assert_true(sp_ack_is_due(&ack, now_ns + 101));
    sp_ack_on_sent(&ack, now_ns + 101);

    pn++; /* one is missing */
    receive_batch(&ack, &pn, 1, RTT_NS, now_ns + 102);
    assert_true(sp_ack_is_due(&ack, now_ns + 102));
    sp_ack_on_sent(&ack, now_ns + 102);
    receive_batch(&ack, &pn, 2, RTT_NS, now_ns + 103); /* somebody repairs it */
    assert_true(sp_ack_is_due(&ack, now_ns + 103));
}

/* [RFC9000 13.2.5] */
static void the_time_of_arrival_is_that_of_the_largest(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    sp_ack_on_packet(&ack, 5, true, SP_ECN_NOT, 100);
    sp_ack_on_packet(&ack, 4, true, SP_ECN_NOT, 200);
    assert_int_equal(ack.largest_at_ns, 100);
    sp_ack_on_packet(&ack, 6, false, SP_ECN_NOT, 300);
    assert_int_equal(ack.largest_at_ns, 300);
}

/* [RFC9000 13.4.1] */
static void marks_are_counted_by_kind(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    static const enum sp_ecn marks[] = {SP_ECN_NOT,  SP_ECN_ECT0, SP_ECN_ECT0, SP_ECN_ECT0,
                                        SP_ECN_ECT1, SP_ECN_CE,   SP_ECN_CE};
    for (size_t i = 0; i < QT_COUNT(marks); i++)
        sp_ack_on_packet(&ack, i, i % 2 == 0, marks[i], 0);
    assert_int_equal(ack.ecn.ect0, 3);
    assert_int_equal(ack.ecn.ect1, 1);
    assert_int_equal(ack.ecn.ce, 2);
}

/* ---- Wishes of the peer ---- */

static struct sp_ack_wish wished;

static void wish(struct sp_ack *ack, uint64_t sequence, uint64_t eliciting_max, uint64_t delay_us,
                 uint64_t reorder_threshold)
{
    const struct sp_frame_ack_frequency frame = {sequence, eliciting_max, delay_us,
                                                 reorder_threshold};
    wished = (struct sp_ack_wish){0};
    assert_int_equal(sp_ack_on_frequency(ack, &wished, &frame, 1000), SP_OK);
}

/* Receives one packet as a batch of its own; returns whether an ACK is wanted, and sends it. */
static bool is_acked(struct sp_ack *ack, uint64_t pn, enum sp_ecn ecn)
{
    sp_ack_on_packet(ack, pn, true, ecn, SB_S);
    sp_ack_decide(ack, 25 * SB_MS, 0, SB_S);
    sp_ack_check(ack);
    bool is_due = sp_ack_is_due(ack, SB_S);
    if (is_due)
        sp_ack_on_sent(ack, SB_S);
    return is_due;
}

/* The tables of section 6.2.1. */
static void reordering_is_reported_as_the_examples_say(void **state)
{
    (void)state;
    static const struct {
        uint64_t threshold;
        struct {
            uint64_t pn;
            bool is_acked;
        } packets[9];
    } tables[] = {
        {3, {{0, 0}, {1, 0}, {3, 0}, {4, 0}, {5, 1}, {8, 0}, {9, 1}, {10, 1}}},
        {5, {{0, 0}, {1, 0}, {3, 0}, {5, 0}, {6, 0}, {7, 1}, {8, 0}, {9, 1}}},
        {1, {{0, 0}, {1, 0}, {3, 1}, {4, 0}, {6, 1}, {5, 1}, {7, 0}, {8, 0}}},
        {0, {{0, 0}, {1, 0}, {3, 0}, {9, 0}, {5, 0}, {4, 0}, {20, 0}, {2, 0}}},
    };
    for (size_t i = 0; i < QT_COUNT(tables); i++) {
        struct sp_ack ack;
        sp_ack_init(&ack, many_ranges());
        wish(&ack, 0, 100, 20000, tables[i].threshold);
        for (size_t k = 0; k < 8; k++) {
            print_message("    threshold %d, packet %d\n", (int)tables[i].threshold,
                          (int)tables[i].packets[k].pn);
            assert_int_equal(is_acked(&ack, tables[i].packets[k].pn, SP_ECN_NOT),
                             tables[i].packets[k].is_acked);
        }
    }
}

/* [ack-frequency 6.2] It was reported as lost: the sender must learn that it was not. */
static void a_packet_that_was_reported_lost_is_acknowledged_at_once(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    wish(&ack, 0, 100, 20000, 3);
    for (uint64_t pn = 0; pn < 10; pn++)
        if (pn != 2 && pn != 8)
            (void)is_acked(&ack, pn, SP_ECN_NOT);
    sp_ack_on_sent(&ack, SB_S);
    assert_true(is_acked(&ack, 2, SP_ECN_NOT));
    assert_false(is_acked(&ack, 8, SP_ECN_NOT));
}

/* [ack-frequency 4, 6] And no more than 256 whatever it wishes: the burst stays bounded. */
static void the_peer_chooses_how_many_packets_need_no_ack(void **state)
{
    (void)state;
    static const uint64_t wishes[] = {0, 1, 10, 254, 255, 1000, SB_VARINT_MAX};
    for (size_t i = 0; i < QT_COUNT(wishes); i++) {
        struct sp_ack ack;
        sp_ack_init(&ack, many_ranges());
        wish(&ack, 0, wishes[i], 20000, 1);
        uint64_t count = SB_MIN(wishes[i] + 1, (uint64_t)256);
        uint64_t pn = 0;
        for (int round = 0; round < 3; round++) {
            for (uint64_t k = 1; k < count; k++)
                assert_false(is_acked(&ack, pn++, SP_ECN_NOT));
            assert_true(is_acked(&ack, pn++, SP_ECN_NOT));
        }
    }
}

static void the_peer_chooses_the_delay(void **state)
{
    (void)state;
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    wish(&ack, 7, 10, 5000, 1);
    sp_ack_on_packet(&ack, 0, true, SP_ECN_NOT, SB_S);
    sp_ack_decide(&ack, 25 * SB_MS, 0, SB_S);
    assert_int_equal(ack.deadline_ns, SB_S + 5 * SB_MS);
    sp_ack_on_immediate(&ack);
    sp_ack_on_packet(&ack, 1, true, SP_ECN_NOT, SB_S);
    sp_ack_decide(&ack, 25 * SB_MS, 0, SB_S);
    assert_true(sp_ack_is_due(&ack, SB_S)); /* [ack-frequency 5] */
    /* In the handshake there is no delay to choose. */
    struct sp_ack initial;
    sp_ack_init(&initial, many_ranges());
    sp_ack_on_packet(&initial, 0, true, SP_ECN_NOT, SB_S);
    sp_ack_decide(&initial, 0, 0, SB_S);
    assert_true(sp_ack_is_due(&initial, SB_S));
}

/* [ack-frequency 4] */
static void obsolete_and_invalid_wishes_are_not_taken(void **state)
{
    (void)state;
    static const struct {
        uint64_t sequence;
        uint64_t delay_us;
        enum sp_err want;
        bool is_taken;
    } samples[] = {
        {5, 1000, SP_OK, true},
        {5, 2000, SP_OK, false},
        {4, 2000, SP_OK, false},
        {6, 999, SP_ERR_PROTOCOL_VIOLATION, false},
        {3, 999, SP_ERR_PROTOCOL_VIOLATION, false},
        {6, 16383999, SP_OK, true},
        {7, 16384000, SP_ERR_PROTOCOL_VIOLATION, false},
        {SB_VARINT_MAX, 3000, SP_OK, true},
        {SB_VARINT_MAX, 4000, SP_OK, false},
    };
    struct sp_ack ack;
    sp_ack_init(&ack, many_ranges());
    wished = (struct sp_ack_wish){0};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        const struct sp_frame_ack_frequency frame = {samples[i].sequence, 1, samples[i].delay_us,
                                                     1};
        uint64_t before = wished.delay_us;
        assert_int_equal(sp_ack_on_frequency(&ack, &wished, &frame, 1000), samples[i].want);
        assert_int_equal(wished.delay_us, samples[i].is_taken ? samples[i].delay_us : before);
    }
}

/* [ack-frequency 6.3] */
static void the_first_mark_of_several_is_acknowledged_at_once(void **state)
{
    (void)state;
    static const enum sp_ecn marks[] = {SP_ECN_ECT0, SP_ECN_CE, SP_ECN_CE, SP_ECN_ECT0, SP_ECN_CE};
    for (uint64_t eliciting_max = 1; eliciting_max <= 50; eliciting_max += 49) {
        struct sp_ack ack;
        sp_ack_init(&ack, many_ranges());
        wish(&ack, 0, eliciting_max, 20000, 1);
        for (uint64_t pn = 0; pn < 5; pn++) {
            bool is_first = marks[pn] == SP_ECN_CE && marks[pn - 1] != SP_ECN_CE;
            bool is_second = marks[pn] == SP_ECN_CE && !is_first;
            bool want = is_first || (is_second && eliciting_max == 1);
            assert_int_equal(is_acked(&ack, pn, marks[pn]), want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reordering_is_reported_as_the_examples_say),
        cmocka_unit_test(a_packet_that_was_reported_lost_is_acknowledged_at_once),
        cmocka_unit_test(the_peer_chooses_how_many_packets_need_no_ack),
        cmocka_unit_test(the_peer_chooses_the_delay),
        cmocka_unit_test(obsolete_and_invalid_wishes_are_not_taken),
        cmocka_unit_test(the_first_mark_of_several_is_acknowledged_at_once),
        cmocka_unit_test(a_late_packet_that_confirms_later_ones_is_acknowledged),
        cmocka_unit_test(any_order_of_numbers_matches_a_map),
        cmocka_unit_test(at_the_bound_the_oldest_range_is_forgotten),
        cmocka_unit_test(few_ranges_take_no_memory),
        cmocka_unit_test(without_memory_the_oldest_range_is_forgotten_sooner),
        cmocka_unit_test(the_end_gives_back_the_room_for_ranges),
        cmocka_unit_test(what_the_peer_knows_to_be_received_is_not_repeated),
        cmocka_unit_test(where_packets_come_late_gaps_stay_open_for_a_round_trip),
        cmocka_unit_test(a_late_packet_is_remembered),
        cmocka_unit_test(a_batch_is_acknowledged_by_what_is_in_it),
        cmocka_unit_test(later_packets_do_not_put_an_ack_off),
        cmocka_unit_test(an_in_order_flow_gets_eight_acks_a_round_trip),
        cmocka_unit_test(the_time_of_arrival_is_that_of_the_largest),
        cmocka_unit_test(marks_are_counted_by_kind),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
