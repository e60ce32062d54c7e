/* SPDX-License-Identifier: MIT */
/* Received messages, their bounds, and what becomes of messages when a connection ends. */

#include "test/support/qt.h"

#include "proto/base/steps.h"
#include "test/support/message_world.h"

QT_FIXTURE(message_world, message_world_deinit)

/* Carries what the client has to send, and lets the server's application sleep. */
static void carry_unseen(struct message_world *world)
{
    for (struct pair_packet packet; pair_take(&world->pair, SP_CLIENT, &packet);)
        pair_deliver(&world->pair, SP_SERVER, &packet);
}

/* [RFC9221 5.3] */
static void the_oldest_message_gives_way(void **state)
{
    static const struct {
        uint32_t count_max;
        uint64_t bytes_max;
        uint32_t kept; /* of the last sizes */
    } rows[] = {{4, 1 << 20, 4}, {1024, 1000, 2}, {1, 1 << 20, 1}, {1024, 1, 1}};
    static const uint32_t sizes[] = {300, 10, 400, 0, 300, 500, 20, 200, 800};
    struct message_world *world = *state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        message_world_connect_with(world, 1024, 1 << 20);
        uint64_t memory = sp_conn_memory_bytes(message_world_server(world));
        for (uint32_t k = 0; k < QT_COUNT(sizes); k++)
            assert_int_equal(message_world_send(world, SP_CLIENT, sizes[k], k), SP_DONE);
        struct sp_config *config = &world->pair.ends[SP_SERVER].config;
        config->message_count_max = rows[i].count_max;
        config->message_bytes_max = rows[i].bytes_max;
        carry_unseen(world);
        assert_true(sp_conn_memory_bytes(message_world_server(world)) > memory);
        message_world_pull(world, SP_SERVER);
        assert_int_equal(world->arrived_count, rows[i].kept);
        for (uint32_t k = 0; k < rows[i].kept; k++)
            assert_int_equal(world->sizes[k], sizes[QT_COUNT(sizes) - rows[i].kept + k]);
        assert_int_equal(message_world_server(world)->stats.messages_in, QT_COUNT(sizes));
        assert_int_equal(message_world_server(world)->stats.messages_dropped,
                         QT_COUNT(sizes) - rows[i].kept);
        message_world_run(world); /* acknowledged all the same */
        assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], QT_COUNT(sizes));
    }
}

/* A packet is dropped when a later frame of it finds no memory: its messages would come twice if it
 * came again.  Swarm seed 179577129114328. */
static void messages_of_a_dropped_packet_are_taken_back(void **state)
{
    static const uint32_t sizes[] = {300, 10, 400, 0, 300};
    static const uint32_t counts[] = {0, 1, 3, 5, 100}; /* more: the others had given way */
    struct message_world *world = *state;
    for (size_t i = 0; i < QT_COUNT(counts); i++) {
        message_world_connect_with(world, 1024, 1 << 20);
        for (uint32_t k = 0; k < QT_COUNT(sizes); k++)
            assert_int_equal(message_world_send(world, SP_CLIENT, sizes[k], k), SP_DONE);
        carry_unseen(world);
        uint32_t stay = (uint32_t)QT_COUNT(sizes) - SB_MIN(counts[i], (uint32_t)QT_COUNT(sizes));
        sp_conn_take_messages_back(message_world_server(world), counts[i]);
        assert_int_equal(message_world_server(world)->stats.messages_dropped,
                         QT_COUNT(sizes) - stay);
        message_world_pull(world, SP_SERVER);
        assert_int_equal(world->arrived_count, stay);
        for (uint32_t k = 0; k < stay; k++)
            assert_int_equal(world->sizes[k], sizes[k]);
        assert_int_equal(message_world_server(world)->messages->in_bytes, 0);
        assert_int_equal(message_world_server(world)->messages->in_pinned_bytes, 0);
    }
}

/* However many wait: a peer would choose that otherwise, for each of its packets. */
static void taking_back_costs_what_is_taken_back(void **state)
{
    enum { WAITING = 2000, COUNT = 3 };
    struct message_world *world = *state;
    message_world_connect_with(world, MESSAGES_MAX, 1 << 20);
    for (uint32_t k = 0; k < WAITING; k++) {
        assert_int_equal(message_world_send(world, SP_CLIENT, k % 7, k), SP_DONE);
        if (k % 50 == 49)
            carry_unseen(world);
    }
    struct sp_conn *server = message_world_server(world);
    uint32_t waiting = server->messages->in_count; /* the congestion window ends it */
    assert_true(waiting > WAITING / 2);
    uint64_t before = SB_STEPS_COUNT();
    for (uint32_t taken = 0; taken < waiting / 2; taken += COUNT)
        sp_conn_take_messages_back(server, COUNT);
    sp_conn_messages_check(server);
    uint32_t stay = server->messages->in_count;
    assert_int_equal(SB_STEPS_COUNT() - before, SB_STEPS_ARE_COUNTED ? waiting - stay : 0);
    message_world_pull(world, SP_SERVER);
    assert_int_equal(world->arrived_count, stay);
    for (uint32_t k = 0; k < stay; k++)
        assert_int_equal(world->sizes[k], k % 7);
}

/* A few bytes must not keep a receive buffer; from SP_PAGE_SIZE bytes on nothing is copied. */
static void short_messages_do_not_keep_their_buffer(void **state)
{
    static const struct {
        size_t size;
        uint32_t count;
        bool is_copied;
    } rows[] = {{1, 1, true}, {100, 13, true}, {255, 5, true}, {256, 5, false}, {1400, 1, false}};
    struct message_world *world = *state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        struct sp_stats stats;
        message_world_connect_with(world, 1024, 1 << 20);
        world->holds = true;
        sp_conn_stats(message_world_server(world), &stats);
        uint64_t before = stats.copied_in_bytes;
        for (uint32_t k = 0; k < rows[i].count; k++)
            assert_int_equal(message_world_send(world, SP_CLIENT, rows[i].size, k), SP_DONE);
        assert_int_equal(message_world_carry(world, SP_CLIENT), 1);
        assert_int_equal(world->arrived_count, rows[i].count);
        sp_conn_stats(message_world_server(world), &stats);
        assert_int_equal(stats.copied_in_bytes - before,
                         rows[i].is_copied ? rows[i].size * rows[i].count : 0);
        message_world_deinit(world);
    }
}

/* Memory that is short is for streams and acknowledgments. */
static void without_memory_a_message_is_dropped_and_acknowledged(void **state)
{
    struct message_world *world = *state;
    for (uint32_t what = 0; what < 4; what++) {
        message_world_connect_with(world, 1024, 1 << 20);
        struct sp_pools *pools = &world->pair.pools;
        /* The client's own objects are there already. */
        assert_int_equal(message_world_send(world, SP_CLIENT, what == 3 ? 300 : 100, 1), SP_DONE);
        struct sb_pool *const lacking[] = {&pools->message_states, &pools->messages,
                                           &pools->copies.small};
        if (what < QT_COUNT(lacking))
            message_world_drain(world, lacking[what]);
        world->pair.is_transient = what == 3;
        message_world_run(world);
        assert_int_equal(world->arrived_count, 0);
        assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], 1);
        assert_int_equal(message_world_server(world)->stats.messages_dropped, 1);
        assert_int_equal(message_world_server(world)->stats.packets_dropped, 0);
        message_world_refill(world);
        world->pair.is_transient = false;
        assert_int_equal(message_world_send(world, SP_CLIENT, 100, 2), SP_DONE);
        message_world_run(world);
        assert_int_equal(world->arrived_count, 1);
    }
}

/* While memory is short, who holds more than a share gets none. */
static void a_connection_above_its_share_receives_no_messages(void **state)
{
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    world->pair.pools.share_bytes = 1;
    message_world_run(world);
    assert_int_equal(message_world_send(world, SP_CLIENT, 100, 1), SP_DONE);
    (void)message_world_carry(world, SP_SERVER); /* it decides when it sends */
    message_world_run(world);
    assert_int_equal(world->arrived_count, 0);
    assert_int_equal(message_world_server(world)->stats.messages_dropped, 1);
    world->pair.pools.share_bytes = UINT64_MAX;
    message_world_run(world);
    assert_int_equal(message_world_send(world, SP_CLIENT, 100, 2), SP_DONE);
    message_world_run(world);
    assert_int_equal(world->arrived_count, 1);
}

/* What the application holds counts as the connection's memory until it is released. */
static void held_messages_are_accounted_until_they_are_released(void **state)
{
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    assert_int_equal(message_world_send(world, SP_CLIENT, 1000, 1), SP_DONE);
    message_world_run(world);
    uint64_t before = sp_conn_memory_bytes(message_world_server(world));
    world->holds = true;
    world->arrived_count = 0;
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(message_world_send(world, SP_CLIENT, i % 2 == 0 ? 1000 : 100, i), SP_DONE);
    message_world_run(world);
    assert_int_equal(world->arrived_count, 20);
    assert_true(sp_conn_memory_bytes(message_world_server(world)) >= before + 20000 / 2);
    for (uint32_t i = 0; i < 20; i++) {
        sp_conn_release_message(message_world_server(world), world->held[i].size);
        sb_buffer_unref(world->held[i].buffer);
    }
    world->holds = false;
    assert_int_equal(sp_conn_memory_bytes(message_world_server(world)), before);
}

/* A flood of messages does not hide a stream, nor a flood of streams a message. */
static void events_of_messages_and_streams_take_turns(void **state)
{
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t id;
        struct sp_write write = {.data = "x", .size = 1, .fin = true};
        assert_int_equal(sp_conn_open(message_world_client(world), true, &id), SP_DONE);
        assert_int_equal(sp_conn_write(message_world_client(world), id, &write), SP_DONE);
        assert_int_equal(message_world_send(world, SP_CLIENT, 10, i), SP_DONE);
        assert_int_equal(message_world_send(world, SP_CLIENT, 10, i), SP_DONE);
    }
    carry_unseen(world);
    struct sp_event event;
    uint32_t run[2] = {0}, longest[2] = {0}, count[2] = {0};
    bool are_opened = false;
    while (sp_conn_next_event(message_world_server(world), &event)) {
        message_world_on_event(world, message_world_server(world), &event);
        are_opened |= event.kind == SP_EVENT_STREAM_DATA;
        if (!are_opened)
            continue; /* STREAM_OPENED come in a row: the others follow */
        bool is_message = event.kind == SP_EVENT_MESSAGE;
        run[is_message]++;
        run[!is_message] = 0;
        count[is_message]++;
        if (count[0] < 100 && count[1] < 50)
            longest[is_message] = SB_MAX(longest[is_message], run[is_message]);
    }
    assert_int_equal(world->arrived_count, 200);
    assert_in_range(longest[false], 1, 20);
    assert_in_range(longest[true], 1, 20);
}

/* All lent memory is back before CLOSED, with one result for each message. */
static void the_end_returns_every_message(void **state)
{
    struct message_world *world = *state;
    for (uint32_t how = 0; how < 3; how++) {
        struct sp_event event;
        size_t size;
        message_world_init(world);
        world->pair.config.pacing = false;
        message_world_connect(world);
        for (uint32_t i = 0; i < 50; i++)
            assert_int_equal(message_world_send(world, SP_CLIENT, 1400, i), SP_DONE);
        const struct sp_message_args silent = {
            .data = "x", .size = 1, .deadline_ns = SB_NEVER, .is_silent = true};
        assert_int_equal(sp_conn_send_message(message_world_client(world), &silent), SP_DONE);
        uint32_t sent = pair_flush(&world->pair, SP_CLIENT, &size);
        assert_in_range(sent, 5, 45);
        if (how == 0)
            sp_conn_close(message_world_client(world), 0, "", 0, world->pair.now_ns);
        else if (how == 1)
            sp_conn_on_stateless_reset(message_world_client(world), world->pair.now_ns);
        else
            sp_conn_abandon(message_world_client(world), SP_ERR_INTERNAL, "", world->pair.now_ns);
        assert_int_equal(message_world_send(world, SP_CLIENT, 1, 1), SP_CLOSED);
        (void)pair_flush(&world->pair, SP_CLIENT, &size);
        while (sp_conn_next_event(message_world_client(world), &event)) {
            if (event.kind == SP_EVENT_CLOSED)
                assert_int_equal(world->result_count, 50);
            message_world_on_event(world, message_world_client(world), &event);
        }
        assert_int_equal(world->result_counts[SP_MESSAGE_LOST], sent);
        assert_int_equal(world->result_counts[SP_MESSAGE_DROPPED], 50 - sent);
        uint64_t tags = 0;
        for (uint32_t i = 0; i < 50; i++)
            tags |= UINT64_C(1) << world->results[i].tag;
        assert_int_equal(tags, (UINT64_C(1) << 50) - 1);
        assert_null(message_world_client(world)->messages->out.first);
    }
}

/* Received messages have been acknowledged: they are delivered, unless we closed. */
static void received_messages_outlive_the_peers_end(void **state)
{
    struct message_world *world = *state;
    for (uint32_t is_ours = 0; is_ours < 2; is_ours++) {
        message_world_connect_with(world, 1024, 1 << 20);
        for (uint32_t i = 0; i < 20; i++)
            assert_int_equal(message_world_send(world, SP_CLIENT, 300, i), SP_DONE);
        carry_unseen(world);
        sp_conn_close(is_ours ? message_world_server(world) : message_world_client(world), 0, "", 0,
                      world->pair.now_ns);
        carry_unseen(world);
        message_world_pull(world, SP_SERVER);
        assert_int_equal(world->arrived_count, is_ours ? 0 : 20);
    }
}

/* Destroyed at any moment, nothing is left behind: pair_deinit() looks. */
static void a_connection_can_be_destroyed_with_messages_everywhere(void **state)
{
    struct message_world *world = *state;
    for (uint32_t steps_at_once = 1; steps_at_once < 400; steps_at_once += 133) {
        struct pair_packet packet;
        message_world_connect_with(world, 1024, 1 << 20);
        for (uint32_t i = 0; i < 60; i++) {
            assert_int_equal(message_world_send(world, SP_CLIENT, 300, i), SP_DONE);
            assert_int_equal(message_world_send(world, SP_SERVER, 30, i), SP_DONE);
        }
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(pair_take(&world->pair, SP_CLIENT, &packet));
            pair_deliver(&world->pair, SP_SERVER, &packet);
        }
        for (uint32_t role = 0; role < 2; role++) {
            uint32_t rounds = 0;
            for (uint32_t steps = 0; !sp_conn_destroy_some(pair_conn(&world->pair, role), &steps);
                 rounds++)
                steps = steps_at_once;
            world->pair.ends[role].conn = NULL;
            assert_true(rounds > 50 / steps_at_once);
        }
        assert_int_equal(sp_pools_used(&world->pair.pools), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(message_world, the_oldest_message_gives_way),
        QT_TEST(message_world, messages_of_a_dropped_packet_are_taken_back),
        QT_TEST(message_world, taking_back_costs_what_is_taken_back),
        QT_TEST(message_world, short_messages_do_not_keep_their_buffer),
        QT_TEST(message_world, without_memory_a_message_is_dropped_and_acknowledged),
        QT_TEST(message_world, a_connection_above_its_share_receives_no_messages),
        QT_TEST(message_world, held_messages_are_accounted_until_they_are_released),
        QT_TEST(message_world, events_of_messages_and_streams_take_turns),
        QT_TEST(message_world, the_end_returns_every_message),
        QT_TEST(message_world, received_messages_outlive_the_peers_end),
        QT_TEST(message_world, a_connection_can_be_destroyed_with_messages_everywhere),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
