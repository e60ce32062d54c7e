/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

enum { HEAD_SIZE = 320 }; /* of a slot: what is before the payload */

/* What can go wrong on the way in: no buffers, lost F_MORE, lost datagrams, wrong lengths, late
 * completions, a peer that is not there. */

/* Commits `count` single datagrams numbered from `first`; nothing is submitted yet. */
static void commit_singles(struct sw *w, uint32_t from, uint32_t to, uint32_t count, uint32_t first,
                           uint32_t size)
{
    struct su_train train = {
        .socket = &w->sockets[from],
        .destination = w->sockets[to].local,
        .size = size,
        .segment_size = size,
    };
    for (uint32_t i = 0; i < count; i++)
        sw_commit(w, &train, first + i);
}

static void a_flooded_buffer_ring_loses_nothing(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 4, .send_count = 200});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    (void)sw_turn(w, 0);

    commit_singles(w, client, server, 200, 0, 500);
    sw_until(w, 200, 200);
    (void)sw_turn(w, 0);
    for (uint32_t i = 0; i < 200; i++)
        assert_true(sw_is_filled(&w->log[i], i)); /* all of them, in order */
    const struct su_recv_counts *counts = &w->receivers[server].counts;
    assert_true(counts->receive_enobufs > 0);
    assert_int_equal(counts->arms, counts->receive_enobufs + 1);
    assert_int_equal(counts->kernel_drops, 0);
    assert_int_equal(w->bufring.held_count, 0);
}

static void it_is_not_armed_again_before_a_buffer_is_back(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 4, .send_count = 16});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    (void)sw_turn(w, 0);

    w->is_holding = true;
    commit_singles(w, client, server, 10, 0, 500);
    for (uint32_t i = 0; i < 5; i++)
        (void)sw_turn(w, SB_MS);
    const struct su_recv *recv = &w->receivers[server];
    assert_int_equal(w->log_count, 4);
    assert_int_equal(w->held_count, 4);
    assert_int_equal(su_bufring_free_count(&w->bufring), 0);
    assert_true(recv->is_starved);
    assert_false(recv->is_armed);
    assert_int_equal(recv->counts.arms, 1);
    assert_int_equal(recv->counts.receive_enobufs, 1);

    /* One buffer back: one datagram more, and starved again. */
    sb_buffer_unref(w->held[--w->held_count]);
    for (uint32_t i = 0; i < 5; i++)
        (void)sw_turn(w, SB_MS);
    assert_int_equal(w->log_count, 5);
    assert_int_equal(recv->counts.arms, 2);
    assert_int_equal(recv->counts.receive_enobufs, 2);

    w->is_holding = false;
    sw_let_go(w);
    sw_until(w, 10, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_true(sw_is_filled(&w->log[i], i));
    assert_int_equal(w->bufring.held_count_max, 4);
}

static void a_slice_keeps_its_slot_away_from_the_kernel(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 2, .send_count = 16});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    w->is_holding = true;
    commit_singles(w, client, server, 1, 42, 500);
    sw_until(w, 1, 1);
    w->is_holding = false;

    /* Two more references to the held slot: a slice and a part of it. */
    struct sb_buffer *buffer = w->held[0];
    struct su_bufring_slot *slot = SB_CONTAINER_OF(buffer, struct su_bufring_slot, buffer);
    struct sb_slice whole = {
        .data = su_bufring_data(&w->bufring, slot) + HEAD_SIZE, .size = 500, .buffer = buffer};
    struct sb_slice part = {.data = whole.data + 100, .size = 50, .buffer = buffer};
    sb_buffer_ref(buffer);
    sb_buffer_unref(buffer);
    w->held_count = 0;
    assert_int_equal(w->bufring.held_count, 1);

    for (uint32_t i = 0; i < 10; i++) {
        commit_singles(w, client, server, 1, i, 500);
        sw_until(w, 2 + i, 2 + i);
        for (uint32_t at = 0; at < part.size; at++)
            assert_int_equal(part.data[at], sw_byte(42, 100 + at));
    }
    sb_buffer_unref(part.buffer);
    assert_int_equal(w->bufring.held_count, 0);
}

/* ---- injected ---- */

struct fault {
    uint8_t kind;
    uint32_t skip;  /* completions of that kind to let pass */
    uint32_t count; /* to change */
    int32_t result;
    bool has_result;
    uint32_t clear_flags;
    uint32_t set_flags;
    struct su_completion last; /* as it was */
};

static void inject(void *context, struct su_completion *completion)
{
    struct fault *fault = context;
    if (completion->op.kind != fault->kind)
        return;
    if (fault->skip != 0) {
        fault->skip--;
        return;
    }
    if (fault->count == 0)
        return;
    fault->count--;
    fault->last = *completion;
    if (fault->has_result)
        completion->result = fault->result;
    completion->flags &= ~fault->clear_flags;
    completion->flags |= fault->set_flags;
}

static void lengths_that_make_no_sense_drop_the_datagram(void **state)
{
    (void)state;
    /* A completion's result: the bytes in the slot.  The head comes first. */
    static const int32_t results[] = {
        0, 15, 16, HEAD_SIZE - 1, HEAD_SIZE + 499, INT32_MAX, SU_BUFRING_SLOT_SIZE_DEFAULT + 1};
    for (size_t i = 0; i < QT_COUNT(results); i++) {
        struct sw *w = sw_create((struct sw_config){.slot_count = 4});
        uint32_t server = sw_open_at(w, "127.0.0.1:0");
        uint32_t client = sw_open_at(w, "127.0.0.1:0");
        struct fault fault = {
            .kind = SU_OP_RECEIVE, .count = 1, .result = results[i], .has_result = true};
        w->ring.inject = inject;
        w->ring.inject_context = &fault;
        commit_singles(w, client, server, 3, 0, 500);
        sw_until(w, 2, 3);
        assert_true(sw_is_filled(&w->log[0], 1)); /* the others are not harmed */
        assert_true(sw_is_filled(&w->log[1], 2));
        assert_int_equal(w->receivers[server].counts.malformed, 1);
        assert_int_equal(w->bufring.held_count, 0); /* and the slot went home */
        owned_end_all();
    }
}

static void a_buffer_number_that_makes_no_sense_drops_the_datagram(void **state)
{
    (void)state;
    static const struct {
        uint32_t clear_flags;
        uint32_t set_flags;
    } cases[] = {
        {IORING_CQE_F_BUFFER, 0},  /* none */
        {0, 0xffffu << 16},        /* far out of range */
        {0xffffu << 16, 4u << 16}, /* one past the last */
        {0xffffu << 16, 1u << 16}, /* held by us */
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct sw *w = sw_create((struct sw_config){.slot_count = 4});
        uint32_t server = sw_open_at(w, "127.0.0.1:0");
        uint32_t client = sw_open_at(w, "127.0.0.1:0");
        w->is_holding = true; /* slots 0 and 1 */
        commit_singles(w, client, server, 2, 0, 500);
        sw_until(w, 2, 2);
        struct fault fault = {.kind = SU_OP_RECEIVE,
                              .count = 1,
                              .clear_flags = cases[i].clear_flags,
                              .set_flags = cases[i].set_flags};
        w->ring.inject = inject;
        w->ring.inject_context = &fault;
        commit_singles(w, client, server, 1, 2, 500);
        sw_until(w, 2, 3);
        (void)sw_turn(w, SB_MS);
        assert_int_equal(fault.count, 0);
        assert_int_equal(w->log_count, 2);
        assert_int_equal(w->receivers[server].counts.malformed, 1);
        assert_int_equal(w->bufring.held_count, 2);
        owned_end_all();
    }
}

/* The kernel has really ended it: F_MORE is missing because the test cancelled it. */
static void an_end_without_a_reason_is_armed_again(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){0});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    struct su_recv *recv = &w->receivers[server];
    (void)sw_turn(w, 0);

    for (uint32_t i = 0; i < 5; i++) {
        struct io_uring_sqe *sqe = su_ring_sqe(&w->ring);
        io_uring_prep_cancel64(sqe,
                               su_op_pack((struct su_op){.index = server,
                                                         .generation = recv->generation,
                                                         .kind = SU_OP_RECEIVE}),
                               0);
        sqe->user_data = su_op_pack((struct su_op){.kind = SU_OP_APP});
        (void)sw_turn(w, 0);
        assert_int_equal(recv->counts.ends, i + 1);
        assert_false(recv->is_armed);

        commit_singles(w, client, server, 1, i, 500);
        sw_until(w, i + 1, i + 1);
        assert_true(sw_is_filled(&w->log[i], i));
        assert_int_equal(recv->counts.arms, i + 2);
    }
    assert_int_equal(recv->counts.receive_enobufs, 0);
    assert_int_equal(w->socket_error_count, 0);
}

static void a_completion_of_an_earlier_life_gives_its_slot_back(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 4});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    struct su_recv *recv = &w->receivers[server];
    (void)sw_turn(w, 0);

    struct su_received received;
    struct su_completion late = {
        .op = {.index = server,
               .generation = (recv->generation - 1) & SU_GENERATION_MASK,
               .kind = SU_OP_RECEIVE},
        .result = 300,
        .flags = IORING_CQE_F_MORE | IORING_CQE_F_BUFFER | 2u << IORING_CQE_BUFFER_SHIFT,
    };
    assert_int_equal(su_recv_take(recv, &late, &received), 0);
    assert_int_equal(recv->counts.stale, 1);
    assert_int_equal(w->bufring.held_count, 0);
    assert_int_equal(w->bufring.provided_count, 3); /* it is on its way home */
    assert_true(recv->is_armed);

    late.flags = 0; /* nor does its end end the present one */
    late.result = -ECANCELED;
    assert_int_equal(su_recv_take(recv, &late, &received), 0);
    assert_int_equal(recv->counts.stale, 2);
    assert_true(recv->is_armed);
}

/* ---- real ---- */

static void a_datagram_larger_than_its_slot_is_dropped(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 4, .slot_size = HEAD_SIZE + 1000});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    commit_singles(w, client, server, 1, 0, 1001);
    commit_singles(w, client, server, 1, 1, 1000);
    commit_singles(w, client, server, 1, 2, 60000);
    commit_singles(w, client, server, 1, 3, 999);
    sw_until(w, 2, 4);
    assert_int_equal(w->log_count, 2);
    assert_true(sw_is_filled(&w->log[0], 1));
    assert_true(sw_is_filled(&w->log[1], 3));
    assert_int_equal(w->receivers[server].counts.receive_truncated, 2);
    assert_int_equal(w->bufring.held_count, 0);
}

static void what_the_kernel_drops_is_counted(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 2, .send_count = 300});
    uint32_t server = sw_open(
        w, &(struct su_socket_config){.local = sw_address("127.0.0.1:0"), .receive_bytes = 16384});
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    w->is_holding = true; /* nobody reads after the second */
    commit_singles(w, client, server, 299, 0, 1200);
    sw_until(w, 2, 299);
    w->is_holding = false;
    sw_let_go(w);
    while (sw_turn(w, SB_MS) != 0)
        ;
    assert_true(w->log_count < 299);
    /* The kernel tells the count with the next datagram that it queues. */
    uint32_t before = w->log_count;
    commit_singles(w, client, server, 1, 299, 1200);
    sw_until(w, before + 1, 300);
    assert_true(sw_is_filled(&w->log[before], 299));
    assert_int_equal(w->receivers[server].counts.kernel_drops + w->log_count, 300);
}

static void a_refused_peer_is_told_and_receiving_goes_on(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){0});
    static struct su_socket gone;
    assert_int_equal(
        su_socket_open(&gone, &(struct su_socket_config){.local = sw_address("127.0.0.1:0")}, NULL),
        0);
    (void)owned_add(&gone, sw_socket_end);
    struct su_address peer = gone.local;
    uint32_t client =
        sw_open(w, &(struct su_socket_config){.local = sw_address("127.0.0.1:0"), .peer = peer});
    (void)sw_turn(w, 0);
    su_socket_close(&gone);

    struct su_train train = {.socket = &w->sockets[client], .size = 100, .segment_size = 100};
    sw_commit(w, &train, 0);
    sw_until(w, 0, 1);
    for (uint32_t i = 0; i < 50 && w->socket_error_count == 0; i++)
        (void)sw_turn(w, SB_MS);
    assert_int_equal(w->socket_error_count, 1);
    assert_int_equal(w->socket_error, -ECONNREFUSED);
    assert_int_equal(w->receivers[client].counts.socket_errors, 1);

    /* The peer comes back at the same port, and is heard. */
    uint32_t back = sw_open(w, &(struct su_socket_config){.local = peer});
    (void)sw_turn(w, 0);
    commit_singles(w, back, client, 1, 5, 100);
    sw_until(w, 1, 2);
    assert_true(sw_is_filled(&w->log[0], 5));
}

static void a_stopped_receiver_ends_and_can_start_again(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){0});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    struct su_recv *recv = &w->receivers[server];
    (void)sw_turn(w, 0);
    assert_true(recv->is_armed);

    su_recv_stop(recv);
    for (uint32_t i = 0; i < 50 && recv->is_armed; i++)
        (void)sw_turn(w, SB_MS);
    assert_false(recv->is_armed);
    commit_singles(w, client, server, 1, 7, 100);
    sw_until(w, 0, 1);
    (void)sw_turn(w, SB_MS);
    assert_int_equal(w->log_count, 0);
    assert_int_equal(recv->counts.arms, 1);

    assert_int_equal(su_recv_start(recv), 0);
    sw_until(w, 1, 1);
    assert_true(sw_is_filled(&w->log[0], 7));
    assert_int_equal(w->socket_error_count, 0);
}

static void without_gro_each_datagram_comes_alone(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){0});
    uint32_t server = sw_open(
        w, &(struct su_socket_config){.local = sw_address("127.0.0.1:0"), .is_gro_off = true});
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    struct su_train train = {.socket = &w->sockets[client],
                             .destination = w->sockets[server].local,
                             .size = 9 * 1200 + 1,
                             .segment_size = 1200};
    sw_commit(w, &train, 0);
    sw_until(w, 10, 1);
    sw_check_train(w, 0, &train, 0);
    assert_int_equal(w->receivers[server].counts.receives, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_flooded_buffer_ring_loses_nothing),
        QT_TEST(owned, it_is_not_armed_again_before_a_buffer_is_back),
        QT_TEST(owned, a_slice_keeps_its_slot_away_from_the_kernel),
        QT_TEST(owned, lengths_that_make_no_sense_drop_the_datagram),
        QT_TEST(owned, a_buffer_number_that_makes_no_sense_drops_the_datagram),
        QT_TEST(owned, an_end_without_a_reason_is_armed_again),
        QT_TEST(owned, a_completion_of_an_earlier_life_gives_its_slot_back),
        QT_TEST(owned, a_datagram_larger_than_its_slot_is_dropped),
        QT_TEST(owned, what_the_kernel_drops_is_counted),
        QT_TEST(owned, a_refused_peer_is_told_and_receiving_goes_on),
        QT_TEST(owned, a_stopped_receiver_ends_and_can_start_again),
        QT_TEST(owned, without_gro_each_datagram_comes_alone),
    };
    sw_require_ring();
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
