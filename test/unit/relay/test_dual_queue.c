/* SPDX-License-Identifier: MIT */
/* A bottleneck with a queue for L4S: RFC 9332. */

#include "test/support/qt.h"

#include <string.h>

#include "test/support/dual_queue.h"

enum { ECN_NOT, ECN_ECT1, ECN_ECT0, ECN_CE, BYTES = 1250, ITEMS = 24000 };

#define MS UINT64_C(1000000)

static struct dual_queue queue; /* of the test that runs: 100 us per packet */
static struct dual_item items[ITEMS];
static bool were_l4s[ITEMS];
static uint32_t used;

static void begin(uint64_t bytes_max)
{
    used = 0;
    memset(items, 0, sizeof(items));
    dual_init(&queue, &(struct dual_config){.bits_per_s = 100000000, .bytes_max = bytes_max}, 1, 0);
}

static struct dual_item *add(uint8_t ecn, uint64_t now_ns)
{
    assert_true(used < ITEMS);
    struct dual_item *item = &items[used++];
    item->size = BYTES;
    item->ecn = ecn;
    were_l4s[item - items] = ecn == ECN_ECT1;
    return dual_add(&queue, item, now_ns) ? item : NULL;
}

static void a_lone_packet_leaves_at_once(void **state)
{
    (void)state;
    begin(1 << 20);
    assert_int_equal(dual_next_ns(&queue), UINT64_MAX);
    const struct dual_item *item = add(ECN_ECT1, MS);
    assert_int_equal(dual_next_ns(&queue), MS);
    assert_null(dual_take(&queue, MS - 1));
    assert_ptr_equal(dual_take(&queue, MS), item);
    assert_int_equal(item->begins_ns, MS);
    assert_int_equal(item->leaves_ns, MS + MS / 10);
    assert_int_equal(item->ecn, ECN_ECT1);
    assert_false(item->is_dropped);
    assert_int_equal(dual_next_ns(&queue), UINT64_MAX);
}

/* ECT(1) and CE go first, but leave one of sixteen to the others.  [RFC9332 2.5.1] */
static void l4s_goes_first_and_starves_nobody(void **state)
{
    (void)state;
    begin(1 << 20);
    for (uint32_t i = 0; i < 40; i++)
        assert_non_null(add(i % 2 == 0 ? ECN_NOT : i % 4 == 1 ? ECN_ECT1 : ECN_CE, 0));
    for (uint32_t i = 0; i < 40; i++) {
        const struct dual_item *item = dual_take(&queue, 10 * MS);
        bool is_l4s = (item - items) % 2 == 1;
        assert_int_equal(is_l4s, i < 15 || (i >= 16 && i < 21));
        assert_int_equal(item->begins_ns, i * MS / 10);
    }
    assert_null(dual_take(&queue, UINT64_MAX));
}

/* What waits for longer than a millisecond is marked. */
static void a_step_marks_l4s(void **state)
{
    (void)state;
    begin(1 << 20);
    for (uint32_t i = 0; i < 20; i++)
        assert_non_null(add(ECN_ECT1, 0));
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(dual_take(&queue, 10 * MS)->ecn, i <= 10 ? ECN_ECT1 : ECN_CE);
    assert_int_equal(queue.marked_count, 9);
    /* .. but no queue of two packets, on a slow link. */
    dual_init(&queue, &(struct dual_config){.bits_per_s = 1000000, .bytes_max = 1 << 20}, 1, 0);
    for (uint32_t i = 0; i < 5; i++)
        assert_non_null(add(ECN_ECT1, 0));
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(dual_take(&queue, 1000 * MS)->ecn, i <= 2 ? ECN_ECT1 : ECN_CE);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    begin(3 * BYTES);
    assert_true(add(ECN_ECT1, 0) != NULL && add(ECN_NOT, 0) != NULL && add(ECN_ECT0, 0) != NULL);
    assert_null(add(ECN_ECT1, 0));
    assert_null(add(ECN_NOT, 0));
    assert_non_null(dual_take(&queue, 0));
    assert_non_null(add(ECN_NOT, 0));
    for (uint32_t i = 0; i < 3; i++)
        assert_non_null(dual_take_back(&queue));
    assert_null(dual_take_back(&queue));
}

/* An eighth too much for the classic queue, which reacts to nothing, and L4S beside it.  Returns
 * the share that was dropped, and yields the share of L4S packets that were marked. */
static double overload(uint8_t ecn, double *ret_l4s_marked)
{
    double l4s_count = 0, l4s_marked = 0, dropped = 0, marked = 0, count = 0;
    begin(1 << 30);
    for (uint64_t i = 0; i < 18000; i++) {
        uint64_t now_ns = i * MS / 10;
        const struct dual_item *item;
        while ((item = dual_take(&queue, now_ns)) != NULL) {
            bool is_l4s = were_l4s[item - items];
            l4s_count += is_l4s;
            l4s_marked += is_l4s && item->ecn == ECN_CE;
            count += !is_l4s;
            dropped += item->is_dropped;
            marked += !is_l4s && item->ecn == ECN_CE;
        }
        assert_non_null(add(i % 10 == 0 ? ECN_ECT1 : ecn, now_ns));
        if (i % 8 == 1) /* 10 % of the link for L4S, and 102.5 % for the others */
            assert_non_null(add(ecn, now_ns));
    }
    *ret_l4s_marked = l4s_marked / l4s_count;
    return (ecn == ECN_NOT ? dropped : marked) / count;
}

/* The controller finds p, with p * p of the classic queue and 2 * p of the other.  [RFC9332 2.1] */
static void the_classic_queue_is_held_by_drops(void **state)
{
    (void)state;
    double l4s_marked;
    double dropped = overload(ECN_NOT, &l4s_marked);
    print_message("    p %.3f: %.3f dropped, %.3f of L4S marked, %.1f ms\n", queue.p, dropped,
                  l4s_marked, (double)queue.delay_ns / 1e6);
    assert_true(dropped > 0.08 && dropped < 0.15);
    assert_true(l4s_marked > 0.5 && l4s_marked < 0.8);
    assert_true(queue.delay_ns < 100 * MS);
    assert_int_equal(queue.dropped_count > 1000, true);
    begin(1 << 20); /* after that, nothing */
    assert_true(queue.p == 0);
}

/* ECT(0) is marked with the probability of a drop.  [RFC9332 2.4] */
static void the_classic_queue_marks_what_can_be_marked(void **state)
{
    (void)state;
    double l4s_marked;
    double marked = overload(ECN_ECT0, &l4s_marked);
    assert_int_equal(queue.dropped_count, 0);
    assert_true(marked > 0.1);
}

/* An hour without a packet is one update, and p is forgotten. */
static void silence_costs_nothing(void **state)
{
    (void)state;
    double l4s_marked;
    (void)overload(ECN_NOT, &l4s_marked);
    while (dual_take_back(&queue) != NULL)
        continue;
    assert_true(queue.p > 0);
    uint64_t now_ns = 3600 * 1000 * MS;
    used = 0;
    assert_non_null(add(ECN_NOT, now_ns));
    assert_true(queue.p == 0);
    assert_true(queue.update_ns > now_ns && queue.update_ns <= now_ns + 16 * MS);
    assert_false(dual_take(&queue, now_ns)->is_dropped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_packet_leaves_at_once),
        cmocka_unit_test(l4s_goes_first_and_starves_nobody),
        cmocka_unit_test(a_step_marks_l4s),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(the_classic_queue_is_held_by_drops),
        cmocka_unit_test(the_classic_queue_marks_what_can_be_marked),
        cmocka_unit_test(silence_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
