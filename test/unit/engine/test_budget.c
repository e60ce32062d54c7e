/* SPDX-License-Identifier: MIT */
/* The handshake budget: who gets a place, who must prove its address, and who gives way. */

#include "test/support/qt.h"

#include <string.h>

#include "engine/net/budget.h"

enum { MAX = 80, ENTRIES = 4 * MAX };

struct table {
    struct se_budget budget;
    struct se_budget_entry entries[ENTRIES];
    uint32_t count;
    uint64_t now_ns;
    enum spate_retry retry;
    bool lacks_conn;
};

static struct table table;

static void make(enum spate_retry retry)
{
    const struct se_budget_limits limits = {MAX, 1000, 1000};
    table = (struct table){.now_ns = SB_S, .retry = retry};
    se_budget_init(&table.budget, &limits, (struct se_siphash_key){{5, 8}});
}

/* Address `host` of prefix `net`. */
static struct sp_addr v4(uint32_t net, uint8_t host)
{
    return (struct sp_addr){
        .ip = {10, (uint8_t)(net >> 8), (uint8_t)net, host}, .port = 1000, .family = 4};
}

static enum se_admission ask(struct sp_addr address, bool is_proven,
                             struct se_budget_entry **ret_victim)
{
    const struct se_newcomer newcomer = {
        .address = &address,
        .is_proven = is_proven,
        .lacks_conn = table.lacks_conn,
        .retry = table.retry,
        .now_ns = table.now_ns,
    };
    return se_budget_ask(&table.budget, &newcomer, ret_victim);
}

/* Asks, and does what the answer says. */
static enum se_admission arrive(struct sp_addr address, bool is_proven)
{
    struct se_budget_entry *victim = NULL;
    enum se_admission admission = ask(address, is_proven, &victim);
    assert_int_equal(admission == SE_ADMISSION_EVICT, victim != NULL);
    if (victim != NULL)
        se_budget_leave(&table.budget, victim);
    if (admission == SE_ADMISSION_ACCEPT || admission == SE_ADMISSION_EVICT) {
        assert_true(table.count < ENTRIES);
        se_budget_join(&table.budget, &table.entries[table.count++], &address, is_proven,
                       table.now_ns);
    }
    se_budget_check(&table.budget);
    return admission;
}

static void auto_asks_for_proof_from_a_quarter_of_the_budget_on(void **state)
{
    (void)state;
    make(SPATE_RETRY_AUTO);
    for (uint32_t i = 0; i < MAX / 4; i++)
        assert_int_equal(arrive(v4(i, 1), false), SE_ADMISSION_ACCEPT);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(arrive(v4(1000 + i, 1), false), SE_ADMISSION_RETRY);
    assert_int_equal(table.budget.count, MAX / 4);
    /* Those who prove their address get the other three quarters. */
    for (uint32_t i = MAX / 4; i < MAX; i++)
        assert_int_equal(arrive(v4(i, 1), true), SE_ADMISSION_ACCEPT);
}

static void auto_stops_when_half_of_them_have_gone(void **state)
{
    (void)state;
    make(SPATE_RETRY_AUTO);
    uint32_t from = MAX / 4;
    for (uint32_t i = 0; i < from; i++)
        assert_int_equal(arrive(v4(i, 1), false), SE_ADMISSION_ACCEPT);
    for (uint32_t i = 0; i < from / 2; i++) {
        assert_int_equal(arrive(v4(500, 1), false), SE_ADMISSION_RETRY);
        if (i % 2 == 0)
            se_budget_leave(&table.budget, &table.entries[i]);
        else
            se_budget_prove(&table.budget, &table.entries[i]); /* it has its place, but is proven */
        se_budget_check(&table.budget);
    }
    assert_int_equal(arrive(v4(500, 1), false), SE_ADMISSION_ACCEPT);
}

static void always_and_never_do_what_they_say(void **state)
{
    (void)state;
    make(SPATE_RETRY_ALWAYS);
    assert_int_equal(arrive(v4(1, 1), false), SE_ADMISSION_RETRY);
    assert_int_equal(arrive(v4(1, 1), true), SE_ADMISSION_ACCEPT);
    make(SPATE_RETRY_NEVER);
    for (uint32_t i = 0; i < MAX; i++)
        assert_int_equal(arrive(v4(i, 1), false), SE_ADMISSION_ACCEPT);
    assert_int_equal(arrive(v4(MAX, 1), false), SE_ADMISSION_DROP); /* all have just begun */
}

/* A burst of honest clients is not thrown out by those who come after it. */
static void the_oldest_unproven_gives_way_but_not_at_once(void **state)
{
    (void)state;
    make(SPATE_RETRY_NEVER);
    for (uint32_t i = 0; i < MAX; i++) {
        assert_int_equal(arrive(v4(i, 1), i < 2), SE_ADMISSION_ACCEPT); /* two are proven */
        table.now_ns += SB_US;
    }
    struct se_budget_entry *victim = NULL;
    table.now_ns = table.entries[2].since_ns + SE_EVICT_AGE_NS - 1;
    assert_int_equal(ask(v4(500, 1), false, &victim), SE_ADMISSION_DROP);
    table.now_ns++;
    for (uint32_t i = 2; i < MAX; i++) {
        assert_int_equal(ask(v4(500 + i, 1), i % 2 == 0, &victim), SE_ADMISSION_EVICT);
        assert_ptr_equal(victim, &table.entries[i]);
        assert_int_equal(arrive(v4(500 + i, 1), i % 2 == 0), SE_ADMISSION_EVICT);
        table.now_ns += SB_US;
    }
}

static void a_proven_handshake_stays_while_there_are_unproven_ones(void **state)
{
    (void)state;
    make(SPATE_RETRY_NEVER);
    for (uint32_t i = 0; i < MAX; i++)
        assert_int_equal(arrive(v4(i, 1), false), SE_ADMISSION_ACCEPT);
    for (uint32_t i = 0; i < MAX - 1; i++)
        se_budget_prove(&table.budget, &table.entries[i]);
    table.now_ns += SB_S;
    struct se_budget_entry *victim = NULL;
    assert_int_equal(ask(v4(500, 1), true, &victim), SE_ADMISSION_EVICT);
    assert_ptr_equal(victim, &table.entries[MAX - 1]);
    se_budget_prove(&table.budget, &table.entries[MAX - 1]);
    /* Nobody has more than a share: a newcomer waits. */
    assert_int_equal(ask(v4(500, 1), true, &victim), SE_ADMISSION_DROP);
}

/* A network of real addresses, whose owner begins handshakes and leaves them. */
static void a_prefix_with_too_much_gives_way_to_others_only(void **state)
{
    (void)state;
    make(SPATE_RETRY_AUTO);
    for (uint32_t i = 0; i < MAX; i++)
        assert_int_equal(arrive(v4(7, (uint8_t)i), true), SE_ADMISSION_ACCEPT);
    table.now_ns += SE_EVICT_AGE_NS;
    assert_int_equal(arrive(v4(7, 200), true), SE_ADMISSION_DROP);
    for (uint32_t i = 0; i < MAX * 3 / 4; i++)
        assert_int_equal(arrive(v4(100 + i, 1), true), SE_ADMISSION_EVICT);
    assert_int_equal(arrive(v4(900, 1), true), SE_ADMISSION_DROP); /* what is left is fair */
}

static void one_prefix_cannot_take_the_unproven_places(void **state)
{
    (void)state;
    enum { SHARE = MAX / 8 };
    make(SPATE_RETRY_AUTO);
    for (uint32_t i = 0; i < SHARE; i++)
        assert_int_equal(arrive(v4(7, (uint8_t)i), false), SE_ADMISSION_ACCEPT);
    assert_int_equal(arrive(v4(7, 200), false), SE_ADMISSION_RETRY);
    assert_int_equal(arrive(v4(8, 200), false), SE_ADMISSION_ACCEPT); /* others need no proof */
    assert_int_equal(arrive(v4(7, 200), true), SE_ADMISSION_ACCEPT);

    make(SPATE_RETRY_NEVER);
    for (uint32_t i = 0; i < SHARE; i++)
        assert_int_equal(arrive(v4(7, (uint8_t)i), false), SE_ADMISSION_ACCEPT);
    assert_int_equal(arrive(v4(7, 200), false), SE_ADMISSION_DROP);
    table.now_ns += SE_EVICT_AGE_NS;
    assert_int_equal(arrive(v4(7, 200), false), SE_ADMISSION_EVICT);
    assert_int_equal(table.budget.count, SHARE);
    assert_int_equal(arrive(v4(8, 200), false), SE_ADMISSION_ACCEPT);
}

static void prefixes_are_24_bits_of_ipv4_and_56_of_ipv6(void **state)
{
    (void)state;
    static const struct {
        struct sp_addr a, b;
        bool is_same;
    } rows[] = {
        {{.ip = {10, 1, 2, 3}, .family = 4}, {.ip = {10, 1, 2, 250}, .family = 4}, true},
        {{.ip = {10, 1, 2, 3}, .family = 4}, {.ip = {10, 1, 3, 3}, .family = 4}, false},
        {{.ip = {10, 1, 2, 3}, .family = 4}, {.ip = {10, 1, 2}, .family = 6}, false},
        {{.ip = {10, 1, 2, 3}, .family = 4},
         {.ip = {[10] = 0xff, 0xff, 10, 1, 2, 9}, .family = 6},
         true}, /* IPv4 that came by an IPv6 socket */
        {{.ip = {32, 1, 13, 184, 0, 0, 7, 1}, .family = 6},
         {.ip = {32, 1, 13, 184, 0, 0, 7, 2, 5}, .family = 6},
         true},
        {{.ip = {32, 1, 13, 184, 0, 0, 7, 1}, .family = 6},
         {.ip = {32, 1, 13, 184, 0, 0, 8, 1}, .family = 6},
         false},
    };
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        make(SPATE_RETRY_NEVER);
        (void)arrive(rows[i].a, false);
        (void)arrive(rows[i].b, false);
        assert_int_equal(table.entries[0].prefix == table.entries[1].prefix, rows[i].is_same);
    }
}

/* At conns_max an unproven handshake gives way, although the budget has places. */
static void an_unproven_handshake_gives_way_at_conns_max(void **state)
{
    (void)state;
    make(SPATE_RETRY_AUTO);
    assert_int_equal(arrive(v4(1, 1), false), SE_ADMISSION_ACCEPT);
    table.lacks_conn = true;
    assert_int_equal(arrive(v4(2, 1), false), SE_ADMISSION_DROP);
    table.now_ns += SE_EVICT_AGE_NS;
    assert_int_equal(arrive(v4(2, 1), false), SE_ADMISSION_EVICT);
}

/* Places that connections or memory would not suffice for do not count. */
static void the_smallest_limit_decides_when_auto_begins(void **state)
{
    (void)state;
    static const struct se_budget_limits rows[] = {
        {1000, 40, 1000}, {1000, 1000, 40}, {40, 1000, 1000}, {40, 40, 40}};
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        make(SPATE_RETRY_AUTO);
        se_budget_init(&table.budget, &rows[i], (struct se_siphash_key){{5, 8}});
        for (uint32_t j = 0; j < 10; j++)
            assert_int_equal(arrive(v4(j, 1), false), SE_ADMISSION_ACCEPT);
        assert_int_equal(arrive(v4(100, 1), false), SE_ADMISSION_RETRY);
    }
    /* The smallest budget still lets one in, then asks for proof. */
    make(SPATE_RETRY_AUTO);
    se_budget_init(&table.budget, &(struct se_budget_limits){1, 1, 0},
                   (struct se_siphash_key){{5, 8}});
    assert_int_equal(arrive(v4(1, 1), false), SE_ADMISSION_ACCEPT);
    assert_int_equal(arrive(v4(2, 1), false), SE_ADMISSION_RETRY);
    assert_int_equal(arrive(v4(2, 1), true), SE_ADMISSION_DROP);
    table.now_ns += SE_EVICT_AGE_NS;
    assert_int_equal(arrive(v4(2, 1), true), SE_ADMISSION_EVICT);
}

static void leaving_twice_does_no_harm(void **state)
{
    (void)state;
    make(SPATE_RETRY_AUTO);
    assert_int_equal(arrive(v4(1, 1), false), SE_ADMISSION_ACCEPT);
    se_budget_prove(&table.budget, &table.entries[0]);
    se_budget_prove(&table.budget, &table.entries[0]);
    se_budget_leave(&table.budget, &table.entries[0]);
    se_budget_leave(&table.budget, &table.entries[0]);
    se_budget_check(&table.budget);
    assert_int_equal(table.budget.count, 0);
    assert_int_equal(table.budget.unproven_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_asks_for_proof_from_a_quarter_of_the_budget_on),
        cmocka_unit_test(auto_stops_when_half_of_them_have_gone),
        cmocka_unit_test(always_and_never_do_what_they_say),
        cmocka_unit_test(the_oldest_unproven_gives_way_but_not_at_once),
        cmocka_unit_test(a_proven_handshake_stays_while_there_are_unproven_ones),
        cmocka_unit_test(a_prefix_with_too_much_gives_way_to_others_only),
        cmocka_unit_test(one_prefix_cannot_take_the_unproven_places),
        cmocka_unit_test(prefixes_are_24_bits_of_ipv4_and_56_of_ipv6),
        cmocka_unit_test(an_unproven_handshake_gives_way_at_conns_max),
        cmocka_unit_test(the_smallest_limit_decides_when_auto_begins),
        cmocka_unit_test(leaving_twice_does_no_harm),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
