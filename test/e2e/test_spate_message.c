/* SPDX-License-Identifier: MIT */
/* Messages between two real ends: whole, in order where that was asked for, bounded. */

#include "test/support/messenger_world.h"

#include <errno.h>
#include <stdlib.h>

#define MS UINT64_C(1000000)

static void messages_of_any_size_arrive_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {4,     5,      100,    1200,    5000,    16000,
                                   17000, 100000, 300000, 1 << 20, 5000000, 10000000};
    struct mw *world = mw_make();
    mw_connect_both(world);
    for (uint32_t i = 0; i < QT_COUNT(sizes); i++) {
        assert_int_equal(mw_send_number(&world->client, i, sizes[i], NULL), 0);
        mw_until(world, mw_server_has, i + 1);
        assert_int_equal(world->server.seen[i].size, sizes[i]);
        assert_int_equal(world->server.seen[i].number, i);
    }
    mw_until(world, mw_client_has_back, QT_COUNT(sizes));
    for (uint32_t i = 0; i < QT_COUNT(sizes); i++)
        assert_int_equal(world->client.seen[i].fate, SPATE_MESSAGE_ACKED);
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
    assert_int_equal(mw_stats_of(&world->client).send_bytes_now, 0);
    /* Of each large one what came before memory was lent, not all of it.  [message.h] */
    enum { KEPT_MAX = 1 << 20 }; /* what the window lets come in one turn */
    uint64_t copied = 0;
    for (uint32_t i = 0; i < QT_COUNT(sizes); i++)
        copied += sizes[i] < KEPT_MAX ? sizes[i] : KEPT_MAX;
    assert_true(mw_stats_of(&world->server).bytes_copied <= copied);
}

static void small_messages_are_slices_and_not_copied(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(mw_send_number(&world->client, i, 1000, NULL), 0);
        mw_until(world, mw_server_has, i + 1);
        /* Packets: where the machine is busy, a probe may bring a part once more. */
        assert_in_range(world->server.seen[i].piece_count, 1, 4);
    }
    assert_int_equal(mw_stats_of(&world->server).bytes_copied, 0);
}

static void an_empty_message_is_a_message(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    assert_int_equal(spate_message_send(world->client.messenger, NULL, 0, NULL, NULL), 0);
    mw_until(world, mw_server_has, 1);
    assert_int_equal(world->server.seen[0].size, 0);
    assert_int_equal(world->server.seen[0].piece_count, 0);
}

static void requests_get_their_own_replies(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->server.replies = true;
    mw_connect_both(world);
    for (uint32_t i = 0; i < 90; i++) {
        const struct spate_message_options options = {
            .size = sizeof(options), .tag = 1000 + i, .wants_reply = true, .priority = 1 + i % 8};
        assert_int_equal(mw_send_number(&world->client, i, 4 + i * 700, &options), 0);
    }
    mw_until(world, mw_client_has_replies, 90);
    mw_until(world, mw_client_has_back, 90);
    for (uint32_t i = 0; i < world->client.seen_count; i++) {
        const struct mw_seen *seen = &world->client.seen[i];
        if (seen->kind == SPATE_MESSAGE_REPLY) {
            assert_int_equal(seen->tag, 1000 + seen->number);
            assert_int_equal(seen->size, 4 + seen->number * 700);
        }
    }
}

static void channels_keep_the_order_and_others_do_not_wait(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    for (uint32_t i = 0; i < 60; i++) { /* every third is large: the small ones overtake it */
        const struct spate_message_options options = {.size = sizeof(options),
                                                      .channel = i % 2 == 0 ? 0 : 1 + i % 4 / 2,
                                                      .priority = i % 3 == 0 ? 0 : 2};
        assert_int_equal(mw_send_number(&world->client, i, i % 3 == 0 ? 200000 : 50, &options), 0);
    }
    mw_until(world, mw_server_has, 60);
    uint32_t last[3] = {0};
    bool has_overtaken = false;
    for (uint32_t i = 0; i < 60; i++) {
        const struct mw_seen *seen = &world->server.seen[i];
        if (seen->channel == 0 && seen->number < last[0])
            has_overtaken = true;
        if (seen->channel != 0)
            assert_true(seen->number > last[seen->channel]);
        last[seen->channel] = seen->number;
    }
    assert_true(has_overtaken);
}

static void unreliable_messages_are_datagrams_if_they_fit(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    pw_for(world->w, 100 * MS); /* the path's size is found */
    const struct spate_message_options options = {.size = sizeof(options), .is_unreliable = true};
    assert_int_equal(mw_send_number(&world->client, 1, 500, &options), 0);
    assert_int_equal(mw_send_number(&world->client, 2, 200000, &options), 0);
    mw_until(world, mw_server_has, 2);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(world->server.seen[i].is_unreliable, world->server.seen[i].number == 1);
    mw_until(world, mw_client_has_back, 2);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(world->client.seen[i].fate, SPATE_MESSAGE_ACKED);
    struct spate_message_options wrong = options;
    wrong.channel = 1;
    assert_int_equal(mw_send_number(&world->client, 3, 10, &wrong), -EINVAL);
    wrong = options;
    wrong.wants_reply = true;
    assert_int_equal(mw_send_number(&world->client, 3, 10, &wrong), -EINVAL);
}

static void a_larger_unreliable_message_is_dropped(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->server.options.message_size_max = 400;
    mw_connect_both(world);
    const struct spate_message_options options = {.size = sizeof(options), .is_unreliable = true};
    const uint32_t sizes[] = {401, 400};
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(mw_send_number(&world->client, i, sizes[i], &options), 0);
    mw_until(world, mw_client_has_back, 2);
    mw_until(world, mw_server_has, 1);
    assert_int_equal(world->server.seen[0].number, 1);
    assert_true(world->server.seen[0].is_unreliable);
    assert_int_equal(mw_stats_of(&world->server).refused, 1);
}

static void a_request_without_an_answer_expires(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    const struct spate_message_options options = {
        .size = sizeof(options),
        .tag = 5,
        .wants_reply = true,
        .deadline_ns = spate_shard_now_ns(world->w->client.shard) + 100 * MS};
    assert_int_equal(mw_send_number(&world->client, 1, 100, &options), 0);
    uint64_t from_ns = pw_now_ns();
    mw_until(world, mw_client_has_failures, 1);
    assert_true(pw_now_ns() - from_ns >= 90 * MS);
    const struct mw_seen *last = &world->client.seen[world->client.seen_count - 1];
    assert_int_equal(last->fate, SPATE_MESSAGE_EXPIRED);
    assert_int_equal(last->tag, 5);
    assert_int_equal(world->server.counts[SPATE_MESSAGE_REQUEST], 1);
    pw_for(world->w, 50 * MS);
    const struct iovec none = {NULL, 0};
    uint64_t id = 0; /* the client's first bidirectional stream */
    assert_int_equal(spate_message_reply(world->server.messenger, id, &none, 1, 0), -EPIPE);
}

/* Its time comes when nothing is left that could expire, and must not come for ever. */
static void a_deadline_after_the_connection_is_nothing(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    world->client.is_lazy = true;
    const struct spate_message_options options = {
        .size = sizeof(options),
        .wants_reply = true,
        .deadline_ns = spate_shard_now_ns(world->w->client.shard) + 100 * MS};
    assert_int_equal(mw_send_number(&world->client, 1, 100, &options), 0);
    mw_until(world, mw_server_has_requests, 1);
    spate_conn_close(world->conn, 0, NULL);
    mw_until(world, mw_client_is_closed, 1);
    uint64_t turns = pw_stats(&world->w->client).turns;
    pw_for(world->w, 200 * MS);
    assert_true(pw_stats(&world->w->client).turns > turns);
    mw_take_all(&world->client);
    assert_int_equal(world->client.counts[SPATE_MESSAGE_FAILED], 1);
}

static void a_cancelled_message_of_a_channel_holds_nobody_up(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->server.options.receive_bytes_max = 64 << 10; /* so that the large one cannot finish */
    world->server.keeps = true;
    mw_connect_both(world);
    const struct spate_message_options options = {.size = sizeof(options), .channel = 1};
    assert_int_equal(mw_send_number(&world->client, 0, 60000, &options),
                     0); /* kept: no more room */
    mw_until(world, mw_server_has, 1);
    uint32_t number = 1;
    uint64_t id;
    const struct iovec pieces[] = {{&number, 4}, {mw_pattern + 4, 5000000}};
    assert_int_equal(spate_message_send(world->client.messenger, pieces, 2, &options, &id), 0);
    assert_int_equal(mw_send_number(&world->client, 2, 1000, &options), 0);
    mw_until(world, mw_server_waits, 1);
    assert_int_equal(world->server.counts[SPATE_MESSAGE_RECEIVED], 1);
    assert_int_equal(spate_message_cancel(world->client.messenger, id), 0);
    mw_until(world, mw_server_has, 2);
    assert_int_equal(world->server.seen[1].number, 2);
    mw_until(world, mw_client_has_back, 3);
    uint32_t cancelled = 0;
    for (uint32_t i = 0; i < world->client.seen_count; i++)
        cancelled += world->client.seen[i].fate == SPATE_MESSAGE_CANCELLED;
    assert_int_equal(cancelled, 1);
    assert_int_equal(spate_message_cancel(world->client.messenger, id), -EPIPE);
}

static void a_request_can_be_refused(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    const struct spate_message_options options = {.size = sizeof(options), .wants_reply = true};
    assert_int_equal(mw_send_number(&world->client, 1, 100, &options), 0);
    mw_until(world, mw_server_has_requests, 1);
    assert_int_equal(spate_message_cancel(world->server.messenger, 0), 0);
    assert_int_equal(spate_message_cancel(world->server.messenger, 0), -EPIPE);
    mw_until(world, mw_client_has_failures, 1);
    const struct mw_seen *last = &world->client.seen[world->client.seen_count - 1];
    assert_int_equal(last->fate, SPATE_MESSAGE_REFUSED);
    assert_int_equal(last->error, SPATE_MESSAGE_ERROR_CANCELLED);
}

static void too_large_ones_are_refused_and_others_go_on(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->server.options.message_size_max = 50000;
    mw_connect_both(world);
    const struct spate_message_options options = {.size = sizeof(options), .channel = 3};
    assert_int_equal(mw_send_number(&world->client, 0, 50000, &options), 0);
    assert_int_equal(mw_send_number(&world->client, 1, 50001, &options), 0);
    assert_int_equal(mw_send_number(&world->client, 2, 4000000, &options), 0);
    assert_int_equal(mw_send_number(&world->client, 3, 10, &options), 0);
    mw_until(world, mw_server_has, 2);
    mw_until(world, mw_client_has_back, 4);
    assert_int_equal(world->server.seen[0].number, 0);
    assert_int_equal(world->server.seen[1].number, 3);
    assert_int_equal(mw_stats_of(&world->server).refused, 2);
    uint32_t refused = 0;
    for (uint32_t i = 0; i < world->client.seen_count; i++)
        if (world->client.seen[i].fate == SPATE_MESSAGE_REFUSED) {
            assert_int_equal(world->client.seen[i].error, SPATE_MESSAGE_ERROR_TOO_LARGE);
            refused++;
        }
    assert_true(refused >= 1); /* the smaller one may have been acknowledged before that */
}

static void a_sender_that_is_too_fast_is_held_back_and_told_when_to_go_on(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->client.options.send_bytes_max = 100000;
    mw_connect_both(world);
    uint32_t sent = 0;
    for (uint32_t rooms = 0; sent < 300; rooms++) {
        int result;
        while (sent < 300 && (result = mw_send_number(&world->client, sent, 9000, NULL)) == 0)
            sent++;
        assert_true(mw_stats_of(&world->client).send_bytes_now <= 100000);
        if (sent == 300)
            break;
        assert_int_equal(result, -EAGAIN);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (world->client.counts[SPATE_MESSAGE_ROOM] <= rooms && pw_now_ns() < end_ns)
            pw_turn(world->w);
        assert_int_equal(world->client.counts[SPATE_MESSAGE_ROOM], rooms + 1);
    }
    mw_until(world, mw_server_has, 300);
}

static void a_receiver_that_releases_nothing_is_not_overrun(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->server.options.receive_bytes_max = 1 << 20;
    world->server.keeps = true;
    world->client.options.send_bytes_max = 1 << 30;
    mw_connect_both(world);
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(mw_send_number(&world->client, i, 400000, NULL), 0);
    mw_until(world, mw_server_waits, 1);
    pw_for(world->w, 200 * MS);
    uint64_t first_buffers = 40 * 65536; /* a receive slot each, where the machine is busy */
    assert_true(mw_stats_of(&world->server).receive_bytes_now <= (1 << 20) + first_buffers);
    assert_true(world->server.counts[SPATE_MESSAGE_RECEIVED] < 10);
    world->server.keeps = false;
    for (uint32_t i = 0; i < world->server.kept_count; i++)
        spate_message_release(world->server.messenger, &world->server.kept[i]);
    mw_until(world, mw_server_has, 40);
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
}

static uint64_t memory_of(const struct spate_conn *conn)
{
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    return stats.memory_bytes;
}

/* When memory becomes short, the connection that holds most is closed: it must be known. */
static void a_connection_owns_what_its_messages_hold(void **state)
{
    (void)state;
    enum { SIZE = 5000000 };
    struct mw *world = mw_make();
    world->server.keeps = true;
    mw_connect_both(world);
    uint64_t before = memory_of(world->w->server.conn);
    assert_true(before < SIZE / 10);
    assert_int_equal(mw_send_number(&world->client, 1, SIZE, NULL), 0);
    mw_until(world, mw_server_has, 1);
    assert_in_range(memory_of(world->w->server.conn), SIZE, SIZE / 4 * 5);
    spate_message_release(world->server.messenger, &world->server.kept[0]);
    mw_until(world, mw_client_has_back, 1);
    assert_true(memory_of(world->w->server.conn) < before + 20000);
}

static void messages_that_fill_all_memory_still_finish(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->server.options.receive_bytes_max = 256 << 10;
    world->client.options.send_bytes_max = 1 << 30;
    mw_connect_both(world);
    for (uint32_t i = 0; i < 50; i++) { /* in one channel, so that whole ones wait as well */
        const struct spate_message_options options = {.size = sizeof(options), .channel = 1};
        assert_int_equal(mw_send_number(&world->client, i, 150000, &options), 0);
    }
    mw_until(world, mw_server_has, 50);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(world->server.seen[i].number, i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, messages_of_any_size_arrive_whole),
        QT_TEST(owned, small_messages_are_slices_and_not_copied),
        QT_TEST(owned, an_empty_message_is_a_message),
        QT_TEST(owned, requests_get_their_own_replies),
        QT_TEST(owned, channels_keep_the_order_and_others_do_not_wait),
        QT_TEST(owned, unreliable_messages_are_datagrams_if_they_fit),
        QT_TEST(owned, a_larger_unreliable_message_is_dropped),
        QT_TEST(owned, a_request_without_an_answer_expires),
        QT_TEST(owned, a_deadline_after_the_connection_is_nothing),
        QT_TEST(owned, a_cancelled_message_of_a_channel_holds_nobody_up),
        QT_TEST(owned, a_request_can_be_refused),
        QT_TEST(owned, too_large_ones_are_refused_and_others_go_on),
        QT_TEST(owned, a_sender_that_is_too_fast_is_held_back_and_told_when_to_go_on),
        QT_TEST(owned, a_receiver_that_releases_nothing_is_not_overrun),
        QT_TEST(owned, a_connection_owns_what_its_messages_hold),
        QT_TEST(owned, messages_that_fill_all_memory_still_finish),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(mw_pattern);
    return result;
}
