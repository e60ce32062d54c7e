/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

/* Which slots the kernel gets, and how many: warm ones, few, more under pressure. */

static void send_singles(struct sw *w, uint32_t from, uint32_t to, uint32_t count, uint32_t size)
{
    struct su_train train = {
        .socket = &w->sockets[from],
        .destination = w->sockets[to].local,
        .size = size,
        .segment_size = size,
    };
    for (uint32_t i = 0; i < count; i++)
        sw_commit(w, &train, w->log_count + i);
    sw_until(w, w->log_count + count, w->sent_count + count);
}

static const struct su_bufring_slot *slot_of(struct sb_buffer *buffer)
{
    return SB_CONTAINER_OF(buffer, struct su_bufring_slot, buffer);
}

/* Taken one at a time, datagrams go round in as many slots as the depth, however many there are. */
static void few_slots_go_round(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 64, .depth = 4});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    for (uint32_t i = 0; i < 100; i++)
        send_singles(w, client, server, 1, 500);
    assert_int_equal(w->bufring.depth, 4);
    assert_int_equal(w->bufring.slab.clean_count, 60); /* never touched */
}

static void the_slot_that_came_home_last_is_shown_next(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 8, .depth = 1});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    w->is_holding = true;
    for (uint32_t i = 0; i < 3; i++)
        send_singles(w, client, server, 1, 500);
    uint32_t last = slot_of(w->held[1])->index;
    if (w->bufring.provided_count == 0) /* mmsg was so quick that no turn has followed */
        su_bufring_flush(&w->bufring);
    /* A fourth slot lies with the kernel already; behind it comes the one that is freed last. */
    sb_buffer_unref(w->held[0]);
    sb_buffer_unref(w->held[1]);
    w->held[0] = w->held[2];
    w->held_count = 1;
    send_singles(w, client, server, 2, 500);
    assert_int_equal(slot_of(w->held[2])->index, last);
}

/* Slots that are lent do not thin out what the kernel has. */
static void held_slots_are_replaced_by_spare_ones(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 16, .depth = 4});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    w->is_holding = true;
    for (uint32_t i = 0; i < 12; i++)
        send_singles(w, client, server, 1, 500);
    su_bufring_flush(&w->bufring);
    assert_int_equal(w->bufring.held_count, 12);
    assert_int_equal(w->bufring.provided_count, 4);
    send_singles(w, client, server, 2, 500);
    su_bufring_flush(&w->bufring);
    assert_int_equal(w->bufring.provided_count, 2); /* all the rest */
    assert_int_equal(w->receivers[server].counts.receive_enobufs, 0);
}

static void many_small_datagrams_make_the_ring_grow_and_quiet_shrinks_it(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 32, .depth = 2, .send_count = 64});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    for (uint32_t i = 0; i < 4; i++)
        send_singles(w, client, server, 64, 500);
    assert_int_equal(w->bufring.depth, 32);
    assert_true(w->receivers[server].counts.receive_enobufs >= 4);

    for (uint32_t i = 0; i < 10 * 16384; i++)
        su_bufring_flush(&w->bufring);
    assert_int_equal(w->bufring.depth, 2);
    while (w->bufring.provided_count > 2) /* those that the kernel had leave one by one */
        send_singles(w, client, server, 1, 500);
    for (uint32_t i = 0; i < 2 * 16384; i++)
        su_bufring_flush(&w->bufring);
    assert_int_equal(w->bufring.slab.clean_count, 30);
    send_singles(w, client, server, 3, 500);
    for (uint32_t i = 0; i < w->log_count; i++)
        assert_int_equal(w->log[i].size, 500);
}

/* The bytes wait in the socket as well as they would in more slots. */
static void full_slots_do_not_make_the_ring_grow(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 16, .depth = 2});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    for (uint32_t i = 0; i < 4; i++) {
        w->log_size = 0;
        send_singles(w, client, server, 8, 60000);
    }
    assert_int_equal(w->bufring.depth, 2);
    assert_true(w->receivers[server].counts.receive_enobufs > 0);
    assert_int_equal(w->receivers[server].counts.kernel_drops, 0);
}

/* .. and shrink one that has grown for small datagrams. */
static void full_slots_shrink_a_ring_that_has_grown(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 16, .depth = 2, .send_count = 64});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    for (uint32_t i = 0; i < 4; i++)
        send_singles(w, client, server, 64, 500);
    assert_int_equal(w->bufring.depth, 16);
    for (uint32_t i = 0; i < 8; i++) {
        w->log_size = 0;
        send_singles(w, client, server, 16, 60000);
    }
    su_bufring_flush(&w->bufring);
    assert_int_equal(w->bufring.depth, 2);
}

/* Nothing but the slots that were shown may come back, or one would have two owners. */
static void a_slot_that_the_kernel_does_not_have_cannot_come_from_it(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 8, .depth = 2});
    struct su_completion completion = {.result = 300};
    uint32_t provided_count = 0;
    for (uint32_t i = 0; i < 10; i++) {
        completion.flags = IORING_CQE_F_BUFFER | i << IORING_CQE_BUFFER_SHIFT;
        struct su_bufring_slot *slot = su_bufring_hold(&w->bufring, &completion);
        provided_count += slot != NULL;
        assert_null(su_bufring_hold(&w->bufring, &completion)); /* nor twice */
        if (slot != NULL)
            sb_buffer_unref(&slot->buffer);
    }
    assert_int_equal(provided_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, few_slots_go_round),
        QT_TEST(owned, the_slot_that_came_home_last_is_shown_next),
        QT_TEST(owned, held_slots_are_replaced_by_spare_ones),
        QT_TEST(owned, many_small_datagrams_make_the_ring_grow_and_quiet_shrinks_it),
        QT_TEST(owned, full_slots_do_not_make_the_ring_grow),
        QT_TEST(owned, full_slots_shrink_a_ring_that_has_grown),
        QT_TEST(owned, a_slot_that_the_kernel_does_not_have_cannot_come_from_it),
    };
    sw_require_ring();
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
