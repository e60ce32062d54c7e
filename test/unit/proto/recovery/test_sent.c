/* SPDX-License-Identifier: MIT */
/* Sent packets by number, against an array of all that were ever sent. */

#include "test/support/qt.h"

#include "proto/recovery/sent.h"
#include "test/sim/random.h"
#include "test/support/heap.h"

enum { PACKETS = 1000 };

struct world {
    struct heap heap;
    struct sb_pool pool;
    struct sb_store store;
    struct sp_sent sent;
    enum sp_sent_state states[PACKETS];
    struct sp_sent_frame frames[PACKETS];
};

static void add(struct world *world, bool is_eliciting)
{
    uint64_t pn = world->sent.next_pn;
    struct sp_sent_packet packet = {
        .frames = &world->frames[pn],
        .sent_ns = pn * 10,
        .size = 1200,
        .state = SP_SENT_OUT,
        .is_eliciting = is_eliciting,
    };
    sp_sent_add(&world->sent, &packet);
    world->states[pn] = SP_SENT_OUT;
}

static void settle(struct world *world, uint64_t pn, enum sp_sent_state state)
{
    assert_ptr_equal(sp_sent_settle(&world->sent, pn, state), &world->frames[pn]);
    world->states[pn] = state;
}

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    for (uint64_t pn = 0; pn < world->sent.next_pn; pn++)
        if (world->states[pn] == SP_SENT_OUT)
            settle(world, pn, SP_SENT_SKIPPED);
    sp_sent_deinit(&world->sent);
    heap_pool_deinit(&world->pool);
    heap_deinit(&world->heap);
}

static void world_init(struct world *world, uint32_t blocks_max)
{
    world_deinit(world); /* of the sample before */
    *world = (struct world){0};
    heap_init(&world->heap);
    sb_pool_init(&world->pool, "blocks", sizeof(struct sp_sent_block), 2, blocks_max,
                 &world->heap.memory);
    world->store = (struct sb_store){.pool = &world->pool};
    sp_sent_init(&world->sent, &world->store);
}

QT_FIXTURE(world, world_deinit)

/* Looks at all packets, in an order that lets the cursor jump. */
static void assert_as_array(struct world *world, struct qs_random *random)
{
    struct sp_sent *sent = &world->sent;
    sp_sent_check(sent);
    uint32_t out = 0;
    for (uint64_t pn = 0; pn < sent->next_pn; pn++)
        out += world->states[pn] == SP_SENT_OUT;
    assert_int_equal(sent->out_count, out);

    for (int i = 0; i < 50; i++) {
        uint64_t pn = qs_random_below(random, sent->next_pn + 40);
        const struct sp_sent_packet *found = sp_sent_find(sent, pn);
        bool is_out = pn < sent->next_pn && world->states[pn] == SP_SENT_OUT;
        if (is_out) {
            assert_non_null(found);
            assert_ptr_equal(found->frames, &world->frames[pn]);
            assert_int_equal(found->sent_ns, pn * 10);
        } else if (found != NULL) {
            assert_int_equal(found->state, world->states[pn]);
        }

        uint64_t want = pn;
        while (want < sent->next_pn && world->states[want] != SP_SENT_OUT)
            want++;
        uint64_t got;
        found = sp_sent_next(sent, pn, false, &got);
        assert_int_equal(found != NULL, want < sent->next_pn);
        if (found != NULL)
            assert_int_equal(got, want);
        /* With the lost ones: those that are known still, and none is left out that is out. */
        found = sp_sent_next(sent, pn, true, &got);
        if (found != NULL)
            assert_true(got >= pn && got <= want && world->states[got] != SP_SENT_SKIPPED);
        else
            assert_int_equal(want, SB_MAX(sent->next_pn, pn));
    }
}

static void any_order_of_sending_and_settling_matches_an_array(void **state)
{
    struct world *world = *state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        world_init(world, 100);
        while (world->sent.next_pn < PACKETS) {
            if (qs_random_below(&random, 20 - seed) > 0) {
                assert_true(sp_sent_reserve(&world->sent));
                add(world, qs_random_below(&random, 2) == 0);
            }
            uint64_t pn = qs_random_below(&random, world->sent.next_pn + 1);
            for (uint64_t left = qs_random_below(&random, 5); left > 0; left--, pn++) {
                if (pn < world->sent.next_pn && world->states[pn] == SP_SENT_OUT)
                    settle(world, pn,
                           qs_random_below(&random, 2) == 0 ? SP_SENT_LOST : SP_SENT_SKIPPED);
            }
            assert_as_array(world, &random);
        }
    }
}

/* The bound of what an ACK frame may cost rests on it: see conn/frames.c. */
static void a_search_begins_at_the_cursor_or_at_the_nearer_end(void **state)
{
    struct world *world = *state;
    enum { LAST = PACKETS / SP_SENT_BLOCK_PACKETS - 1 };
    world_init(world, 64);
    for (uint64_t pn = 0; pn < (LAST + 1) * SP_SENT_BLOCK_PACKETS; pn++) {
        assert_true(sp_sent_reserve(&world->sent));
        add(world, true);
    }
    for (uint64_t from = 0; from <= LAST; from++) {
        for (uint64_t to = 0; to <= LAST; to++) {
            assert_non_null(sp_sent_find(&world->sent, from * SP_SENT_BLOCK_PACKETS));
            uint64_t walked = world->sent.walk_count;
            assert_non_null(sp_sent_find(&world->sent, to * SP_SENT_BLOCK_PACKETS + 5));
            uint64_t most = to > from ? SB_MIN(to - from, LAST - to) : SB_MIN(from - to, to);
            assert_int_equal(world->sent.walk_count - walked, most);
        }
    }
}

static void memory_follows_what_is_in_flight(void **state)
{
    struct world *world = *state;
    world_init(world, 100);
    for (int i = 0; i < 10 * SP_SENT_BLOCK_PACKETS; i++) {
        assert_true(sp_sent_reserve(&world->sent));
        add(world, true);
    }
    assert_int_equal(world->pool.used_count, 10);
    for (uint64_t pn = 0; pn < 10 * SP_SENT_BLOCK_PACKETS; pn++)
        if (pn % SP_SENT_BLOCK_PACKETS != 7 || pn < 3 * SP_SENT_BLOCK_PACKETS)
            settle(world, pn, SP_SENT_SKIPPED);
    assert_int_equal(world->pool.used_count, 7); /* one packet holds a block */
    for (uint64_t pn = 3 * SP_SENT_BLOCK_PACKETS + 7; pn < 10 * SP_SENT_BLOCK_PACKETS;
         pn += SP_SENT_BLOCK_PACKETS)
        settle(world, pn, SP_SENT_LOST);
    assert_int_equal(world->pool.used_count, 1); /* the last one, for what it still knows */

    assert_true(sp_sent_reserve(&world->sent));
    assert_int_equal(world->pool.used_count, 1);
    sp_sent_check(&world->sent); /* the tear-down asserts that this one goes as well */
}

static void reserving_makes_room_for_one_more_and_can_fail(void **state)
{
    struct world *world = *state;
    world_init(world, 1);
    expect_assert_failure(add(world, true)); /* without it */
    assert_true(sp_sent_reserve(&world->sent));
    assert_true(sp_sent_reserve(&world->sent)); /* the same room */
    for (int i = 0; i < SP_SENT_BLOCK_PACKETS; i++) {
        assert_true(sp_sent_reserve(&world->sent));
        add(world, true);
    }
    assert_false(sp_sent_reserve(&world->sent));
    expect_assert_failure(add(world, true));
    assert_int_equal(world->sent.next_pn, SP_SENT_BLOCK_PACKETS);
    sp_sent_check(&world->sent);
}

static void a_packet_settles_once(void **state)
{
    struct world *world = *state;
    world_init(world, 1);
    assert_true(sp_sent_reserve(&world->sent));
    add(world, true);
    assert_int_equal(world->sent.eliciting_count, 1);
    expect_assert_failure(sp_sent_settle(&world->sent, 0, SP_SENT_OUT));
    expect_assert_failure(sp_sent_settle(&world->sent, 1, SP_SENT_LOST)); /* never sent */
    expect_assert_failure(sp_sent_deinit(&world->sent));                  /* one is out */
    settle(world, 0, SP_SENT_LOST);
    assert_int_equal(world->sent.eliciting_count, 0);
    expect_assert_failure(sp_sent_settle(&world->sent, 0, SP_SENT_SKIPPED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, any_order_of_sending_and_settling_matches_an_array),
        QT_TEST(world, a_search_begins_at_the_cursor_or_at_the_nearer_end),
        QT_TEST(world, memory_follows_what_is_in_flight),
        QT_TEST(world, reserving_makes_room_for_one_more_and_can_fail),
        QT_TEST(world, a_packet_settles_once),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
