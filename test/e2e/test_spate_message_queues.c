/* SPDX-License-Identifier: MIT */
/* Queues of messages: they push back and lose nothing, share packets, and give up what is late. */

#include "test/support/messenger_world.h"

#include <errno.h>
#include <stdlib.h>

#include "test/support/lossy_relay.h"

#define MS UINT64_C(1000000)

/* ---- a slow reader ---- */

enum { SLOW_COUNT = 600, WINDOW = 256 << 10, UNDER_WAY = 20, FIRST_BUFFER = 16384 };

struct slow {
    uint64_t receive_bytes_max;
    uint64_t size_max; /* of the messages, and message_size_max of the reader */
    uint32_t loss_per_thousand;
    uint32_t channel;
};

static uint32_t arrived(const struct mw *world)
{
    return world->server.counts[SPATE_MESSAGE_RECEIVED];
}

/* Each number once, with its bytes; in their order, if they have a channel. */
static void check_all(const struct mw *world, const struct slow *slow)
{
    static bool has[SLOW_COUNT];
    memset(has, 0, sizeof(has));
    for (uint32_t i = 0; i < world->server.seen_count; i++) {
        const struct mw_seen *seen = &world->server.seen[i];
        if (seen->kind != SPATE_MESSAGE_RECEIVED)
            continue;
        assert_true(seen->number < SLOW_COUNT);
        assert_false(has[seen->number]);
        has[seen->number] = true;
    }
    for (uint32_t i = 0; i < SLOW_COUNT && slow->channel != 0; i++)
        assert_int_equal(world->server.seen[i].number, i);
    assert_int_equal(arrived(world), SLOW_COUNT);
    assert_false(world->server.has_wrong_bytes);
    assert_int_equal(mw_stats_of(&world->server).refused, 0);
    assert_int_equal(mw_stats_of(&world->server).abandoned, 0);
}

/* Small messages are whole before anything can be held back: what bounds them is this window. */
static void small_window(struct spate_config *config)
{
    config->conn_window_bytes = config->conn_window_bytes_max = WINDOW;
    config->stream_window_bytes = config->stream_window_bytes_max = WINDOW;
    config->streams_uni_max = UNDER_WAY;
}

static struct mw *slow_world(const struct slow *slow)
{
    struct mw *world = mw_make_with(small_window, NULL);
    world->server.options.receive_bytes_max = slow->receive_bytes_max;
    world->server.options.message_size_max = slow->size_max;
    world->server.keeps = true;
    world->client.options.send_bytes_max = 256 << 10;
    if (slow->loss_per_thousand > 0) {
        const struct lossy_relay_config config = {
            .server = world->w->address,
            .server_size = world->w->address_size,
            .loss_per_thousand = slow->loss_per_thousand,
            .seed = 5,
        };
        struct lossy_relay *relay = lossy_relay_start(&config);
        world->w->address = lossy_relay_address(relay, &world->w->address_size);
    }
    mw_connect_both(world);
    return world;
}

/* The sender sends whenever it may; the reader gives back one message per millisecond. */
static void run_slow(const struct slow *slow)
{
    struct mw *world = slow_world(slow);
    const struct spate_message_options options = {.size = sizeof(options),
                                                  .channel = slow->channel};
    uint64_t next_ns = pw_now_ns(), end_ns = next_ns + PW_PATIENCE_NS;
    uint32_t sent = 0, refused = 0;
    uint64_t most = 0;
    while ((sent < SLOW_COUNT || arrived(world) < SLOW_COUNT) && pw_now_ns() < end_ns) {
        size_t size = 4 + (size_t)(sent * UINT64_C(7919) % (slow->size_max - 3));
        int result = sent == SLOW_COUNT ? 0 : mw_send_number(&world->client, sent, size, &options);
        assert_true(result == 0 || result == -EAGAIN);
        sent += sent < SLOW_COUNT && result == 0;
        refused += result == -EAGAIN;
        pw_turn(world->w);
        assert_int_equal(world->w->client.closed_count, 0);
        uint64_t held = mw_stats_of(&world->server).receive_bytes_now;
        most = held > most ? held : most;
        if (pw_now_ns() >= next_ns) {
            (void)mw_release_oldest(&world->server);
            next_ns += MS;
        }
    }
    print_message("receive_bytes_max %llu KB, messages up to %llu bytes, %u of 1,000 lost, channel "
                  "%u: sent %u, arrived %u; held at most %llu KB; pushed back %u times\n",
                  (unsigned long long)slow->receive_bytes_max >> 10,
                  (unsigned long long)slow->size_max, slow->loss_per_thousand, slow->channel, sent,
                  arrived(world), (unsigned long long)most >> 10, refused);
    check_all(world, slow);
    assert_true(refused > 0);
    /* What was lent, one message that may grow, first buffers, and what the window allows. */
    assert_true(most <=
                slow->receive_bytes_max + 2 * slow->size_max + UNDER_WAY * FIRST_BUFFER + WINDOW);
    while (mw_release_oldest(&world->server))
        continue;
    mw_until(world, mw_client_has_back, SLOW_COUNT);
    for (uint32_t i = 0; i < world->client.seen_count; i++)
        assert_true(world->client.seen[i].kind == SPATE_MESSAGE_ROOM ||
                    world->client.seen[i].fate == SPATE_MESSAGE_ACKED);
    owned_end_all();
}

static void a_slow_reader_loses_nothing(void **state)
{
    (void)state;
    static const struct slow samples[] = {
        {64 << 10, 2000, 0, 0},    {64 << 10, 2000, 0, 1},    {64 << 10, 60000, 0, 0},
        {64 << 10, 60000, 0, 1},   {256 << 10, 200000, 0, 0}, {256 << 10, 200000, 0, 1},
        {256 << 10, 60000, 30, 0}, {256 << 10, 60000, 30, 1},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++)
        run_slow(&samples[i]);
}

/* Whole messages behind one that is missing cannot be refused any more: the peer knows that they
 * have come.  A small receive_bytes_max must hold them back, not end the connection. */
static void a_missing_message_of_a_channel_does_not_end_a_small_receiver(void **state)
{
    (void)state;
    static const struct slow small = {64 << 10, 1000, 50, 1};
    run_slow(&small);
}

enum { BEHIND_MAX = 800, BEHIND_SIZE = 1000 };

/* A client without a messenger, and a server with little memory. */
static struct mw *plain_world(void)
{
    struct mw *world = mw_make_with(small_window, NULL);
    world->server.options.receive_bytes_max = 64 << 10;
    world->server.options.message_size_max = BEHIND_SIZE;
    world->client.is_plain = true;
    mw_connect_both(world);
    return world;
}

static void write_of_channel(uint8_t *message, size_t size, uint32_t number)
{
    memcpy(message + 3, mw_pattern, size - 3);
    message[0] = 1; /* channel */
    message[1] = (uint8_t)(0x40 | number >> 8);
    message[2] = (uint8_t)number;
}

/* Sends the message of channel 1 with that number.  Returns false if there may be no more streams
 * now. */
static bool send_of_channel(struct mw *world, uint32_t number)
{
    static uint8_t messages[BEHIND_MAX + 1][BEHIND_SIZE];
    uint8_t *message = messages[number];
    uint64_t id;
    if (spate_stream_open(world->conn, true, &id) != 0)
        return false;
    write_of_channel(message, BEHIND_SIZE, number);
    assert_int_equal(spate_stream_send(world->conn, id, message, BEHIND_SIZE, true, 0), 0);
    return true;
}

/* They hold more than receive_bytes_max, but not all of the peer's credit: the first one can come,
 * however late it is. */
static void messages_behind_a_late_one_wait_for_it(void **state)
{
    (void)state;
    enum { COUNT = 150 };
    struct mw *world = plain_world();
    for (uint32_t number = 1; number <= COUNT;) {
        number += send_of_channel(world, number);
        pw_turn(world->w);
    }
    pw_for(world->w, 1000 * MS);
    assert_int_equal(world->w->client.closed_count, 0);
    assert_int_equal(world->server.counts[SPATE_MESSAGE_RECEIVED], 0);
    assert_true(mw_stats_of(&world->server).receive_bytes_now > 64 << 10);
    assert_true(send_of_channel(world, 0));
    mw_until(world, mw_server_has, COUNT + 1);
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
}

/* What waits for a message that was never sent must neither fill the memory nor wait for ever. */
static void messages_behind_one_that_never_comes_end_the_connection(void **state)
{
    (void)state;
    struct mw *world = plain_world();
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint64_t most = 0;
    for (uint32_t number = 1; world->w->client.closed_count == 0 && pw_now_ns() < end_ns;) {
        number += number <= BEHIND_MAX && send_of_channel(world, number);
        pw_turn(world->w);
        uint64_t held = mw_stats_of(&world->server).receive_bytes_now;
        most = held > most ? held : most;
    }
    assert_int_equal(world->w->client.closed_count, 1);
    assert_int_equal(world->w->client.close.kind, SPATE_CLOSE_APP);
    assert_int_equal(world->w->client.close.error, SPATE_MESSAGE_ERROR_BUSY);
    assert_int_equal(world->server.counts[SPATE_MESSAGE_RECEIVED], 0);
    assert_in_range(most, 64 << 10, (64 << 10) + BEHIND_SIZE + WINDOW + UNDER_WAY * FIRST_BUFFER);
}

/* ---- much at once ---- */

/* The client runs often and the server seldom: all that the windows allow comes in one turn. */
static void turn_in_bursts(struct mw *world)
{
    for (uint32_t i = 0; i < 20; i++)
        pw_wait(&world->w->client, 0);
    pw_wait(&world->w->server, 0);
    assert_int_equal(world->w->client.closed_count, 0);
}

static void burst_until(struct mw *world, uint32_t count)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (arrived(world) < count && pw_now_ns() < end_ns)
        turn_in_bursts(world);
    assert_int_equal(arrived(world), count);
    assert_false(world->server.has_wrong_bytes);
}

/* Slices that are kept hold the credit without which the rest cannot come. */
static void a_window_that_comes_at_once_holds_up_no_message(void **state)
{
    (void)state;
    enum { COUNT = 20, SIZE = 1000000 };
    struct mw *world = mw_make_with(small_window, NULL);
    mw_connect_both(world);
    for (uint32_t number = 0; number < COUNT; number++) {
        assert_int_equal(mw_send_number(&world->client, number, SIZE, NULL), 0);
        burst_until(world, number + 1);
    }
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
}

/* The same where they are whole, and wait for an earlier message. */
static void what_comes_at_once_and_waits_leaves_the_credit(void **state)
{
    (void)state;
    enum { ROUNDS = 10, COUNT = 6, SIZE = 200000 };
    static uint8_t messages[COUNT][SIZE];
    struct mw *world = mw_make_with(small_window, NULL);
    world->client.is_plain = true;
    mw_connect_both(world);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = COUNT; i-- > 0;) { /* the first one last */
            uint64_t id;
            write_of_channel(messages[i], SIZE, round * COUNT + i);
            assert_int_equal(spate_stream_open(world->conn, true, &id), 0);
            assert_int_equal(spate_stream_send(world->conn, id, messages[i], SIZE, true, 0), 0);
            for (uint32_t k = 0; k < 20; k++)
                turn_in_bursts(world);
        }
        burst_until(world, (round + 1) * COUNT);
    }
}

/* ---- nothing moves ---- */

/* Messages of which none is whole, more than the server takes, with a peer that has no messenger:
 * of the first one comes `first_size`, of each further one `size`, and no end. */
static struct mw *standing_world(uint32_t count, size_t first_size, size_t size)
{
    static uint8_t data[1 << 20];
    struct mw *world = mw_make_with(small_window, NULL);
    world->server.options.receive_bytes_max = 64 << 10;
    world->client.is_plain = true;
    mw_connect_both(world);
    memcpy(data + 1, mw_pattern, sizeof(data) - 1); /* after the header */
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id;
        assert_int_equal(spate_stream_open(world->conn, true, &id), 0);
        assert_int_equal(
            spate_stream_send(world->conn, id, data, i == 0 ? first_size : size, false, 0), 0);
    }
    return world;
}

/* Sends the last byte of a message of `size` bytes. */
static void end_message(struct mw *world, uint64_t index, size_t size)
{
    assert_int_equal(
        spate_stream_send(world->conn, 4 * index + 2, mw_pattern + size - 1, 1, true, 0), 0);
}

/* The path is out, or the peer does nothing: it could go on, so nothing is refused, and when it
 * comes back it goes on where it was. */
static void silence_refuses_no_message(void **state)
{
    (void)state;
    enum { COUNT = 5, PART = 20000 }; /* together less than the window */
    struct mw *world = standing_world(COUNT, PART, PART);
    pw_for(world->w, 100 * MS);          /* each has its first memory of its own .. */
    for (uint64_t i = 0; i < COUNT; i++) /* .. and more than fits comes */
        assert_int_equal(
            spate_stream_send(world->conn, 4 * i + 2, mw_pattern + PART - 1, PART, false, 0), 0);
    mw_until(world, mw_server_waits, 1);
    uint64_t end_ns = pw_now_ns() + 1200 * MS;
    while (pw_now_ns() < end_ns) /* the client does not run: nothing arrives */
        pw_wait(&world->w->server, 10 * MS);
    struct spate_messenger_stats stats = mw_stats_of(&world->server);
    assert_int_equal(stats.refused, 0);
    assert_int_equal(stats.incomplete_now, COUNT);
    assert_true(stats.waiting_now > 0);
    for (uint64_t i = 0; i < COUNT; i++)
        end_message(world, i, 2 * PART);
    mw_until(world, mw_server_has, COUNT);
    assert_int_equal(mw_stats_of(&world->server).refused, 0);
}

/* The bytes of those that are not whole take all credit, whether they wait for memory or have some
 * that is not full: the first message, which may grow, cannot. */
static void messages_that_take_all_credit_give_way(void **state)
{
    (void)state;
    enum { COUNT = 12, FIRST = 20000, SIZE = 200000 };
    struct mw *world = standing_world(COUNT, FIRST, SIZE);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (mw_stats_of(&world->server).refused == 0 && pw_now_ns() < end_ns)
        pw_turn(world->w);
    assert_true(mw_stats_of(&world->server).refused > 0);
    assert_int_equal(world->w->client.closed_count, 0);
    end_message(world, 0, FIRST);
    mw_until(world, mw_server_has, 1); /* it has room now */
    assert_int_equal(world->server.seen[0].size, FIRST);
}

/* ---- deadlines ---- */

static uint32_t count_fate(const struct mw_side *side, enum spate_message_fate fate)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < side->seen_count; i++)
        count += side->seen[i].kind == SPATE_MESSAGE_SENT && side->seen[i].fate == fate;
    return count;
}

static bool has_expired(const struct mw *world, uint32_t count)
{
    return count_fate(&world->client, SPATE_MESSAGE_EXPIRED) >= count;
}

/* The first message fills the receiver, so that those behind it are late; one in a channel must not
 * hold up the next one of its channel. */
static void what_is_late_is_given_up_and_the_next_ones_arrive(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->server.options.receive_bytes_max = 64 << 10;
    world->server.keeps = true;
    mw_connect_both(world);
    struct spate_message_options options = {.size = sizeof(options)};
    assert_int_equal(mw_send_number(&world->client, 0, 60000, &options), 0);
    mw_until(world, mw_server_has, 1);
    options.deadline_ns = spate_shard_now_ns(world->w->client.shard) + 80 * MS;
    for (uint32_t i = 1; i <= 6; i++) {
        options.channel = i % 2;
        assert_int_equal(mw_send_number(&world->client, i, 2000000, &options), 0);
    }
    options.deadline_ns = 0;
    options.channel = 1;
    assert_int_equal(mw_send_number(&world->client, 7, 1000, &options), 0);
    uint64_t from_ns = pw_now_ns();
    mw_until(world, has_expired, 6);
    uint64_t took_ns = pw_now_ns() - from_ns;
    assert_in_range(took_ns, 60 * MS, QT_SLOWER * 600 * MS);
    mw_until(world, mw_server_has, 2);
    assert_int_equal(world->server.seen[1].number, 7);
    mw_until(world, mw_client_has_back, 8);
    assert_int_equal(count_fate(&world->client, SPATE_MESSAGE_ACKED), 2);
    assert_int_equal(mw_stats_of(&world->client).send_bytes_now, 0);
    mw_release_oldest(&world->server);
    mw_release_oldest(&world->server);
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
}

static void what_is_in_time_does_not_expire(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    for (uint32_t i = 0; i < 100; i++) {
        const struct spate_message_options options = {
            .size = sizeof(options),
            .channel = i % 3,
            .deadline_ns = spate_shard_now_ns(world->w->client.shard) + PW_PATIENCE_NS,
        };
        assert_int_equal(mw_send_number(&world->client, i, 2000, &options), 0);
    }
    mw_until(world, mw_server_has, 100);
    mw_until(world, mw_client_has_back, 100);
    assert_int_equal(count_fate(&world->client, SPATE_MESSAGE_ACKED), 100);
}

/* ---- packets ---- */

static void small_messages_of_a_turn_share_packets(void **state)
{
    (void)state;
    enum { COUNT = 60, SIZE = 40 };
    struct mw *world = mw_make();
    mw_connect_both(world);
    pw_for(world->w, 100 * MS); /* the path's size is found, the handshake is confirmed */
    uint64_t before = pw_stats(&world->w->client).packets_out;
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(mw_send_number(&world->client, i, SIZE, NULL), 0);
    pw_wait(&world->w->client, 0);
    uint64_t packets = pw_stats(&world->w->client).packets_out - before;
    mw_until(world, mw_server_has, COUNT);
    mw_until(world, mw_client_has_back, COUNT);
    print_message("%d messages of %d bytes in %llu packets\n", COUNT, SIZE,
                  (unsigned long long)packets);
    /* 56 bytes each, in three frames: a header and two pieces.  A packet has 1,200 or more. */
    assert_in_range(packets, 1, 4);
    assert_int_equal(mw_stats_of(&world->server).bytes_copied, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_slow_reader_loses_nothing),
        QT_TEST(owned, a_missing_message_of_a_channel_does_not_end_a_small_receiver),
        QT_TEST(owned, messages_behind_a_late_one_wait_for_it),
        QT_TEST(owned, messages_behind_one_that_never_comes_end_the_connection),
        QT_TEST(owned, a_window_that_comes_at_once_holds_up_no_message),
        QT_TEST(owned, what_comes_at_once_and_waits_leaves_the_credit),
        QT_TEST(owned, silence_refuses_no_message),
        QT_TEST(owned, messages_that_take_all_credit_give_way),
        QT_TEST(owned, what_is_late_is_given_up_and_the_next_ones_arrive),
        QT_TEST(owned, what_is_in_time_does_not_expire),
        QT_TEST(owned, small_messages_of_a_turn_share_packets),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(mw_pattern);
    return result;
}
