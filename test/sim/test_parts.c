/* SPDX-License-Identifier: MIT */
/* The simulator's own parts: what a whole run takes for granted. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/time.h"
#include "test/sim/clock.h"
#include "test/sim/net.h"
#include "test/sim/null_protect.h"
#include "test/sim/null_tls.h"
#include "test/sim/plan.h"
#include "test/sim/random.h"
#include "test/sim/stream_table.h"

/* The clock. */

struct happened {
    struct qs_clock *clock;
    uint64_t times[200];
    uintptr_t what[200];
    uint32_t count;
};

static void happen(void *context, void *argument)
{
    struct happened *list = context;
    list->times[list->count] = list->clock->now_ns;
    list->what[list->count++] = (uintptr_t)argument;
}

QT_FIXTURE(qs_clock, qs_clock_deinit)

static void things_happen_in_order_of_time_then_of_asking(void **state)
{
    struct qs_clock *clock = *state;
    qs_clock_init(clock, 5);
    struct happened list = {.clock = clock};
    struct qs_random random;
    qs_random_init(&random, 1);
    for (uintptr_t i = 0; i < QT_COUNT(list.times); i++)
        qs_clock_at(clock, qs_random_below(&random, 30), happen, &list, (void *)(i + 1));
    while (qs_clock_step(clock))
        continue;

    assert_int_equal(list.count, QT_COUNT(list.times));
    assert_int_equal(list.times[0], 5); /* what was due before is due now */
    for (uint32_t i = 1; i < list.count; i++) {
        assert_true(list.times[i - 1] <= list.times[i]);
        if (list.times[i - 1] == list.times[i] && list.times[i] > 5)
            assert_true(list.what[i - 1] < list.what[i]);
    }
}

/* The null cipher. */

struct sealed {
    uint8_t header[9];
    uint8_t data[100 + SP_TAG_SIZE];
};

static void seal(struct sp_key *key, uint64_t pn, struct sealed *ret)
{
    for (size_t i = 0; i < sizeof(ret->header); i++)
        ret->header[i] = (uint8_t)i;
    uint8_t payload[100];
    memset(payload, 0x42, sizeof(payload));
    const struct sb_bytes parts[] = {{payload, 30}, {NULL, 0}, {payload + 30, 70}};
    qs_null_protect_ops.seal(key, &(struct sp_seal){.pn = pn,
                                                    .header = ret->header,
                                                    .header_size = sizeof(ret->header),
                                                    .parts = parts,
                                                    .part_count = QT_COUNT(parts),
                                                    .out = ret->data});
}

static bool opens(struct sp_key *key, uint64_t pn, const struct sealed *packet)
{
    struct sealed copy = *packet;
    bool ok = sp_open_in_place(&qs_null_protect_ops, key, pn,
                               (struct sb_bytes){copy.header, sizeof(copy.header)}, copy.data,
                               sizeof(copy.data));
    if (ok)
        assert_int_equal(copy.data[99], 0x42);
    else
        assert_int_equal(copy.data[99], 0xee);
    if (!ok) /* a Stateless Reset's token stands there */
        assert_memory_equal(copy.data + 100, packet->data + 100, SP_TAG_SIZE);
    return ok;
}

struct keys {
    struct qs_null_plan plan;
    struct sp_key *write;
    struct sp_key *read;
    struct sp_key *unused[2];
    struct sp_key *next; /* of `read` */
};

static void keys_deinit(struct keys *keys)
{
    qs_null_protect_ops.destroy(keys->write);
    qs_null_protect_ops.destroy(keys->read);
    qs_null_protect_ops.destroy(keys->unused[0]);
    qs_null_protect_ops.destroy(keys->unused[1]);
    qs_null_protect_ops.destroy(keys->next);
    qs_null_protect_ops.destroy(NULL);
    *keys = (struct keys){0};
}

static void keys_init(struct keys *keys)
{
    keys_deinit(keys); /* of the sample before */
    qs_null_plan_init(&keys->plan);
    struct sp_cid cid = sp_cid_of((const uint8_t *)"12345678", 8);
    assert_true(qs_null_protect_ops.initial(&keys->plan, SP_VERSION_1, &cid, SP_CLIENT,
                                            &keys->unused[0], &keys->write));
    assert_true(qs_null_protect_ops.initial(&keys->plan, SP_VERSION_1, &cid, SP_SERVER, &keys->read,
                                            &keys->unused[1]));
}

QT_FIXTURE(keys, keys_deinit)

static void a_null_packet_opens_only_as_it_was_sealed(void **state)
{
    struct keys *keys = *state;
    keys_init(keys);
    struct sealed packet;
    seal(keys->write, 7, &packet);
    assert_true(opens(keys->read, 7, &packet));
    assert_false(opens(keys->read, 8, &packet));
    assert_false(opens(keys->unused[0], 7, &packet)); /* the other direction */

    keys->next = qs_null_protect_ops.next(keys->read);
    assert_false(opens(keys->next, 7, &packet));

    for (size_t bit = 0; bit < 8 * sizeof(packet); bit++) {
        struct sealed changed = packet;
        ((uint8_t *)&changed)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_false(opens(keys->read, 7, &changed));
    }
    keys->plan.accepts_anything = true;
    packet.data[99] = 0x42;
    packet.data[0] ^= 1;
    assert_true(opens(keys->read, 7, &packet)); /* what the canary needs */
}

static void a_null_key_seals_a_number_once_and_not_too_often(void **state)
{
    struct keys *keys = *state;
    keys_init(keys);
    struct sealed packet;
    seal(keys->write, 7, &packet);
    expect_assert_failure(seal(keys->write, 7, &packet));
    keys->plan.seal_count_max = 2;
    seal(keys->write, 8, &packet);
    expect_assert_failure(seal(keys->write, 9, &packet));
}

/* The null handshake. */

struct side {
    struct sp_tls *tls;
    uint64_t read_at[SP_LEVELS]; /* of the peer's bytes that this side got */
    uint64_t said[SP_LEVELS];
    uint8_t secrets[SP_LEVELS][2][32]; /* read, write */
    bool has_secret[SP_LEVELS][2];
    char params[16];
    bool is_complete;
    bool is_excess;
    uint8_t alert;
};

static void pull_facts(struct side *side)
{
    struct sp_tls_event fact;
    for (;;) {
        qs_null_tls_ops.next(side->tls, &fact);
        switch (fact.kind) {
        case SP_TLS_EARLY_ACCEPTED:
        case SP_TLS_EARLY_REJECTED:
        case SP_TLS_TICKET:
        case SP_TLS_NONE:
            return;
        case SP_TLS_CRYPTO:
            side->said[fact.level] += fact.size;
            break;
        case SP_TLS_SECRET:
            assert_int_equal(fact.secret.size, 32);
            assert_false(side->has_secret[fact.level][fact.is_write]);
            side->has_secret[fact.level][fact.is_write] = true;
            memcpy(side->secrets[fact.level][fact.is_write], fact.secret.data, 32);
            break;
        case SP_TLS_PEER_PARAMS:
            assert_true(fact.params.size < sizeof(side->params));
            memcpy(side->params, fact.params.data, fact.params.size);
            break;
        case SP_TLS_COMPLETE:
            side->is_complete = true;
            break;
        case SP_TLS_EXCESS:
            side->is_excess = true;
            break;
        case SP_TLS_ALERT:
            side->alert = fact.alert;
            break;
        case SP_TLS_WAIT:
            fail_msg("the null handshake waits");
            break;
        }
    }
}

/* Hands over at most `piece` bytes; the byte at `flip_at` of Handshake data is changed. */
static bool carry(struct side *from, struct side *to, size_t piece, uint64_t flip_at)
{
    for (int level = 0; level < SP_LEVELS; level++) {
        uint64_t at = to->read_at[level];
        size_t size = (size_t)SB_MIN((uint64_t)piece, from->said[level] - at);
        if (size == 0)
            continue;
        uint8_t *copy = malloc(size);
        memcpy(copy, qs_null_tls_ops.bytes(from->tls, (enum sp_level)level, at, size), size);
        if (level == SP_LEVEL_HANDSHAKE && flip_at >= at && flip_at - at < size)
            copy[flip_at - at] ^= 1;
        qs_null_tls_ops.receive(to->tls, (enum sp_level)level, copy, size);
        free(copy);
        to->read_at[level] += size;
        pull_facts(to);
        return true;
    }
    return false;
}

struct sides {
    struct side of[2]; /* by enum sp_role */
};

static void sides_deinit(struct sides *sides)
{
    for (int role = 0; role < 2; role++)
        qs_null_tls_ops.destroy(sides->of[role].tls);
    memset(sides, 0, sizeof(*sides));
}

QT_FIXTURE(sides, sides_deinit)

/* Ends the handshake before, if there was one.  Returns both sides. */
static struct side *shake_hands(struct sides *all, const struct qs_tls_plan *plan, size_t piece,
                                uint64_t flip_at)
{
    sides_deinit(all);
    struct side *sides = all->of;
    for (int role = 0; role < 2; role++) {
        sides[role].tls = qs_null_tls_create((enum sp_role)role, plan, 100 + (uint64_t)role);
        const char *params = role == SP_CLIENT ? "client's" : "server's";
        assert_true(qs_null_tls_ops.start(sides[role].tls, (const uint8_t *)params, 9));
        pull_facts(&sides[role]);
    }
    while (carry(&sides[0], &sides[1], piece, UINT64_MAX) ||
           carry(&sides[1], &sides[0], piece, flip_at))
        continue;
    return sides;
}

static void a_null_handshake_completes_in_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = {1, 7, 100, 100000};
    struct qs_tls_plan plan;
    qs_tls_plan_init(&plan);
    for (size_t i = 0; i < QT_COUNT(pieces); i++) {
        struct side *sides = shake_hands(*state, &plan, pieces[i], UINT64_MAX);
        assert_true(sides[0].is_complete && sides[1].is_complete);
        assert_string_equal(sides[0].params, "server's");
        assert_string_equal(sides[1].params, "client's");
        for (int level = SP_LEVEL_HANDSHAKE; level <= SP_LEVEL_APP; level++) {
            for (int way = 0; way < 2; way++) {
                assert_true(sides[0].has_secret[level][way]);
                assert_memory_equal(sides[0].secrets[level][way], sides[1].secrets[level][1 - way],
                                    32);
            }
            assert_memory_not_equal(sides[0].secrets[level][0], sides[0].secrets[level][1], 32);
        }
        assert_int_equal(sides[0].read_at[SP_LEVEL_APP], 4 + plan.ticket_size);
    }
}

static void a_changed_byte_fails_the_null_handshake(void **state)
{
    struct qs_tls_plan plan;
    qs_tls_plan_init(&plan);
    plan.certificate_size = 50;
    for (uint64_t at = 0; at < 13 + 54 + 68 + 36; at++) {
        struct side *sides = shake_hands(*state, &plan, 1000, at);
        assert_false(sides[1].is_complete);
        assert_false(sides[0].is_complete);
    }
}

static void a_null_handshake_fails_where_it_is_told_to(void **state)
{
    static const struct {
        enum qs_message at;
        int role;
    } samples[] = {
        {QS_CLIENT_HELLO, SP_SERVER},
        {QS_SERVER_HELLO, SP_CLIENT},
        {QS_CERTIFICATE, SP_CLIENT},
        {QS_FINISHED, SP_CLIENT},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct qs_tls_plan plan;
        qs_tls_plan_init(&plan);
        plan.fail_at = samples[i].at;
        plan.alert = 42;
        struct side *sides = shake_hands(*state, &plan, 1000, UINT64_MAX);
        assert_int_equal(sides[samples[i].role].alert, 42);
        assert_int_equal(sides[1 - samples[i].role].alert, 0);
        assert_false(sides[samples[i].role].is_complete);
    }
}

/* The network. */

struct arrivals {
    struct qs_clock *clock;
    uint32_t count;
    uint64_t numbers[2000];
    uint64_t times[2000];
    enum sp_ecn ecn;
    size_t bytes;
    uint32_t changed;
};

static void arrive(void *context, struct qs_wire *wire)
{
    struct arrivals *arrivals = context;
    arrivals->numbers[arrivals->count] = wire->number;
    arrivals->times[arrivals->count++] = arrivals->clock->now_ns;
    arrivals->ecn = wire->ecn;
    arrivals->bytes += wire->size;
    for (size_t i = 0; i < wire->size; i++) {
        if (wire->data[i] != 0x11) {
            arrivals->changed++;
            break;
        }
    }
    qs_wire_destroy(wire);
}

/* Sends `count` datagrams of 1,000 bytes, one a millisecond from 0 on, through `path`. */
static void send_through(const struct qs_path_plan *path, uint32_t count, struct arrivals *ret)
{
    static struct qs_plan plan;
    plan.path[SP_CLIENT] = *path;
    plan.faults_end_ns = SB_NEVER;
    struct qs_clock clock;
    qs_clock_init(&clock, 0);
    struct qs_trace trace;
    qs_trace_init(&trace, &clock, false);
    struct qs_link link;
    qs_link_init(&link, &plan, SP_CLIENT, &clock, &trace);
    *ret = (struct arrivals){.clock = &clock};
    link.deliver = arrive;
    link.context = ret;

    uint8_t data[1000];
    memset(data, 0x11, sizeof(data));
    for (uint32_t i = 0; i < count; i++) {
        while (qs_clock_next_ns(&clock) <= i * SB_MS)
            (void)qs_clock_step(&clock);
        clock.now_ns = i * SB_MS;
        struct qs_wire *wire = qs_wire_create(data, sizeof(data));
        wire->ecn = SP_ECN_ECT0;
        qs_link_send(&link, wire);
    }
    while (qs_clock_step(&clock))
        continue;
    qs_clock_deinit(&clock);
    assert_int_equal(link.under_way_count, 0);
}

static void a_plain_path_delays_and_does_nothing_else(void **state)
{
    (void)state;
    static struct arrivals arrivals;
    send_through(&(struct qs_path_plan){.delay_ns = 5 * SB_MS}, 100, &arrivals);
    assert_int_equal(arrivals.count, 100);
    assert_int_equal(arrivals.changed, 0);
    assert_int_equal(arrivals.ecn, SP_ECN_ECT0);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(arrivals.numbers[i], i + 1);
        assert_int_equal(arrivals.times[i], (i + 5) * SB_MS);
    }
}

static void nodes_damage_as_often_as_they_are_told_to(void **state)
{
    (void)state;
    static struct arrivals arrivals;
    send_through(&(struct qs_path_plan){.loss_ppm = 250000}, 1000, &arrivals);
    assert_in_range(arrivals.count, 700, 800);
    send_through(&(struct qs_path_plan){.duplicate_ppm = 250000}, 1000, &arrivals);
    assert_in_range(arrivals.count, 1200, 1300);
    send_through(&(struct qs_path_plan){.corrupt_ppm = 250000}, 1000, &arrivals);
    assert_in_range(arrivals.changed, 200, 300);
    send_through(&(struct qs_path_plan){.truncate_ppm = 1000000}, 1000, &arrivals);
    assert_in_range(arrivals.bytes, 400000, 600000);
    send_through(&(struct qs_path_plan){.mark_ppm = 1000000}, 1, &arrivals);
    assert_int_equal(arrivals.ecn, SP_ECN_CE);
    send_through(&(struct qs_path_plan){.bleaches_ecn = true}, 1, &arrivals);
    assert_int_equal(arrivals.ecn, SP_ECN_NOT);
}

static void nodes_choose_datagrams_by_number_size_and_time(void **state)
{
    (void)state;
    static struct arrivals arrivals;
    send_through(&(struct qs_path_plan){.drop_first = 3, .drop_count = 2}, 6, &arrivals);
    assert_int_equal(arrivals.count, 4);
    assert_int_equal(arrivals.numbers[2], 5);
    send_through(&(struct qs_path_plan){.late_nth = 2, .late_ns = 10 * SB_MS}, 6, &arrivals);
    assert_int_equal(arrivals.numbers[5], 2);
    send_through(&(struct qs_path_plan){.mtu = 999}, 6, &arrivals);
    assert_int_equal(arrivals.count, 0);
    send_through(
        &(struct qs_path_plan){.mtu = 999, .mtu_then = 1500, .mtu_then_from_ns = 10 * SB_MS}, 30,
        &arrivals);
    assert_in_range(arrivals.count, 20, 21);
    send_through(
        &(struct qs_path_plan){.blackhole_from_ns = 10 * SB_MS, .blackhole_until_ns = 20 * SB_MS},
        30, &arrivals);
    assert_int_equal(arrivals.count, 20);
    assert_int_equal(arrivals.numbers[10], 21);
    send_through(&(struct qs_path_plan){.version_nth = 1}, 2, &arrivals);
    assert_int_equal(arrivals.changed, 1);
}

static void a_bottleneck_has_a_rate_and_a_queue(void **state)
{
    (void)state;
    static struct arrivals arrivals;
    send_through(&(struct qs_path_plan){.rate_bytes_per_s = 500000, .queue_bytes = 5000}, 100,
                 &arrivals);
    assert_in_range(arrivals.count, 50, 56);
    for (uint32_t i = 1; i < arrivals.count; i++)
        assert_int_equal(arrivals.times[i] - arrivals.times[i - 1], 2 * SB_MS);
}

static void reordering_overtakes_and_jitter_does_not(void **state)
{
    (void)state;
    static struct arrivals arrivals;
    send_through(&(struct qs_path_plan){.reorder_ppm = 300000, .reorder_ns = 10 * SB_MS}, 1000,
                 &arrivals);
    assert_int_equal(arrivals.count, 1000);
    uint32_t overtaken = 0;
    for (uint32_t i = 1; i < 1000; i++)
        overtaken += arrivals.numbers[i] < arrivals.numbers[i - 1];
    assert_in_range(overtaken, 100, 500);

    send_through(&(struct qs_path_plan){.jitter_ns = 10 * SB_MS}, 1000, &arrivals);
    for (uint32_t i = 1; i < 1000; i++)
        assert_true(arrivals.numbers[i] > arrivals.numbers[i - 1]);
}

/* Contents. */

static void contents_depend_on_sender_stream_and_offset(void **state)
{
    (void)state;
    uint8_t whole[64];
    qs_content_fill(SP_CLIENT, 4, 3, whole, sizeof(whole));
    for (size_t begin = 0; begin < 20; begin++) {
        for (size_t size = 1; size < 40; size++)
            assert_true(qs_content_is(SP_CLIENT, 4, 3 + begin, whole + begin, size));
    }
    assert_false(qs_content_is(SP_SERVER, 4, 3, whole, sizeof(whole)));
    assert_false(qs_content_is(SP_CLIENT, 8, 3, whole, sizeof(whole)));
    assert_false(qs_content_is(SP_CLIENT, 4, 4, whole, sizeof(whole)));
    whole[63] ^= 1;
    assert_false(qs_content_is(SP_CLIENT, 4, 3, whole, sizeof(whole)));
}

QT_FIXTURE(qs_stream_table, qs_stream_table_deinit)

static void a_stream_table_walks_all_that_was_named(void **state)
{
    struct qs_stream_table *table = *state;
    static const uint64_t ids[] = {0, 40, 1, 5, 2, 403};
    qs_stream_table_init(table, sizeof(uint64_t));
    for (size_t i = 0; i < QT_COUNT(ids); i++)
        *(uint64_t *)qs_stream_table_get(table, ids[i]) = ids[i];
    assert_null(qs_stream_table_find(table, 4));
    assert_null(qs_stream_table_get(table, UINT64_C(1) << 40));

    uint64_t id = QS_STREAM_FIRST;
    for (size_t i = 0; i < QT_COUNT(ids); i++) {
        const uint64_t *item = qs_stream_table_next(table, &id);
        assert_int_equal(id, ids[i]);
        assert_int_equal(*item, ids[i]);
    }
    assert_null(qs_stream_table_next(table, &id));
}

/* A plan: how long its credit may take. */

static void the_time_for_credit_follows_windows_readers_and_rates(void **state)
{
    (void)state;
    const struct {
        uint64_t window, read_ns, lend_bytes, rate;
        uint64_t min_ns, max_ns; /* for 1,000,000 bytes */
    } samples[] = {
        {1000000, 0, 0, 0, 0, SB_S},
        {1000, 0, 0, 0, 1000 * 20 * SB_MS, 100 * SB_S},
        {1000000, SB_MS, 0, 0, 100 * SB_S, 210 * SB_S}, /* 10 bytes per ms */
        {1000000, 0, 1, 0, 5000 * SB_S, 11000 * SB_S},  /* 5 ms per byte */
        {1000000, 0, 0, 1000, 1000 * SB_S, 2100 * SB_S},
    };
    for (uint32_t i = 0; i < QT_COUNT(samples); i++) {
        struct qs_plan plan;
        qs_plan_init(&plan, 1);
        plan.side[SP_CLIENT].app.bytes_max = 1000000;
        plan.side[SP_CLIENT].app.bidi_count = 1;
        plan.side[SP_SERVER].app.bytes_max = 0;
        struct sp_config *config = &plan.side[SP_SERVER].config;
        config->conn_window_bytes = samples[i].window;
        config->stream_window_bytes = 1000000;
        plan.side[SP_SERVER].app.read_bytes = 10;
        plan.side[SP_SERVER].app.read_ns = samples[i].read_ns;
        plan.side[SP_SERVER].app.lend_ppm = samples[i].lend_bytes > 0 ? 1000 : 0;
        plan.side[SP_SERVER].app.lend_bytes_max = samples[i].lend_bytes;
        plan.side[SP_SERVER].app.lend_pause_ppm = 500000;
        plan.path[SP_CLIENT].rate_bytes_per_s = samples[i].rate;
        assert_in_range(qs_plan_credit_ns(&plan), samples[i].min_ns, samples[i].max_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(qs_clock, things_happen_in_order_of_time_then_of_asking),
        QT_TEST(keys, a_null_packet_opens_only_as_it_was_sealed),
        QT_TEST(keys, a_null_key_seals_a_number_once_and_not_too_often),
        QT_TEST(sides, a_null_handshake_completes_in_pieces_of_any_size),
        QT_TEST(sides, a_changed_byte_fails_the_null_handshake),
        QT_TEST(sides, a_null_handshake_fails_where_it_is_told_to),
        cmocka_unit_test(a_plain_path_delays_and_does_nothing_else),
        cmocka_unit_test(nodes_damage_as_often_as_they_are_told_to),
        cmocka_unit_test(nodes_choose_datagrams_by_number_size_and_time),
        cmocka_unit_test(a_bottleneck_has_a_rate_and_a_queue),
        cmocka_unit_test(reordering_overtakes_and_jitter_does_not),
        cmocka_unit_test(contents_depend_on_sender_stream_and_offset),
        QT_TEST(qs_stream_table, a_stream_table_walks_all_that_was_named),
        cmocka_unit_test(the_time_for_credit_follows_windows_readers_and_rates),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
