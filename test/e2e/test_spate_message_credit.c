/* SPDX-License-Identifier: MIT */
/* Credit that slices of messages hold: it comes back in time, and no more is given than the limit
 * of memory allows. */

#include "test/support/messenger_world.h"

#include <errno.h>
#include <stdlib.h>

#include "test/support/lossy_relay.h"

#define MS UINT64_C(1000000)

enum { WINDOW = 256 << 10, UNDER_WAY = 20, FIRST_BUFFER = 16384, BEHIND_SIZE = 1000 };

static void small_window(struct spate_config *config)
{
    config->conn_window_bytes = config->conn_window_bytes_max = WINDOW;
    config->stream_window_bytes = config->stream_window_bytes_max = WINDOW;
    config->streams_uni_max = UNDER_WAY;
}

static uint32_t arrived(const struct mw *world)
{
    return world->server.counts[SPATE_MESSAGE_RECEIVED];
}

/* A server, and a client without a messenger. */
static struct mw *plain_world(uint64_t receive_bytes_max, uint64_t message_size_max)
{
    struct mw *world = mw_make_with(small_window, NULL);
    world->server.options.receive_bytes_max = receive_bytes_max;
    world->server.options.message_size_max = message_size_max;
    world->client.is_plain = true;
    mw_connect_both(world);
    return world;
}

static uint64_t open_stream(struct mw *world)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(world->conn, true, &id), 0);
    return id;
}

static void send_part(struct mw *world, uint64_t id, const uint8_t *data, size_t size, bool fin)
{
    assert_int_equal(spate_stream_send(world->conn, id, data, size, fin, 0), 0);
}

/* A message of channel 1. */
static void write_of_channel(uint8_t *message, size_t size, uint32_t number)
{
    memcpy(message + 3, mw_pattern, size - 3);
    message[0] = 1; /* channel */
    message[1] = (uint8_t)(0x40 | number >> 8);
    message[2] = (uint8_t)number;
}

/* ---- what waits for an earlier message ---- */

/* Slices of messages that wait have all credit, because the application had all memory: when it has
 * given that back, the missing one gets credit and comes. */
static void messages_that_wait_give_credit_back_once_there_is_room(void **state)
{
    (void)state;
    enum { LIMIT = 300 << 10, LARGE = 290 << 10, COUNT = 300, BEGIN = 5000 };
    static uint8_t large[LARGE], first[BEHIND_SIZE];
    static uint8_t behind[COUNT][BEHIND_SIZE];
    struct mw *world = plain_world(LIMIT, LARGE);
    world->server.keeps = true;
    uint64_t large_id = open_stream(world), first_id = open_stream(world);
    memcpy(large + 1, mw_pattern, LARGE - 1); /* after the header */
    send_part(world, large_id, large, BEGIN, false);
    pw_for(world->w, 20 * MS); /* it is no slice any more */
    send_part(world, large_id, large + BEGIN, LARGE - BEGIN, true);
    mw_until(world, mw_server_has, 1);
    uint32_t number = 1;
    for (uint32_t turn = 0; turn < 10 * COUNT && number < COUNT; turn++) {
        uint64_t id;
        if (spate_stream_open(world->conn, true, &id) == 0) {
            write_of_channel(behind[number], BEHIND_SIZE, number);
            send_part(world, id, behind[number++], BEHIND_SIZE, true);
        }
        pw_turn(world->w);
    }
    write_of_channel(first, BEHIND_SIZE, 0);
    send_part(world, first_id, first, BEHIND_SIZE, true);
    pw_for(world->w, 300 * MS);
    assert_int_equal(arrived(world), 1);
    assert_true(mw_stats_of(&world->server).receive_bytes_now > LARGE + WINDOW / 2);
    world->server.keeps = false;
    assert_true(mw_release_oldest(&world->server));
    mw_until(world, mw_server_has, 1 + number);
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
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

/* Sends bytes of a stream, the last of them or not, while the server stands still. */
static void send_at_once(struct mw *world, uint64_t id, const uint8_t *data, size_t size, bool fin)
{
    send_part(world, id, data, size, fin);
    struct spate_stream_progress progress;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    do {
        pw_wait(&world->w->client, 0);
        assert_int_equal(spate_stream_progress(world->conn, id, &progress), 0);
    } while (progress.sent_bytes < progress.queued_bytes && pw_now_ns() < end_ns);
    assert_int_equal(progress.sent_bytes, progress.queued_bytes);
}

static uint64_t cwnd_of(const struct mw *world)
{
    struct spate_conn_stats stats;
    spate_conn_stats(world->conn, &stats);
    return stats.cwnd_bytes;
}

/* Makes the congestion window of a plain client larger than `size`, by messages without a channel.
 * Returns how many. */
static uint32_t widen(struct mw *world, uint64_t size)
{
    static uint8_t data[WINDOW - 1000];
    memcpy(data + 1, mw_pattern, sizeof(data) - 1); /* after the header */
    uint32_t count = 0;
    while (cwnd_of(world) <= size) {
        assert_true(count < 200);
        send_part(world, open_stream(world), data, sizeof(data), true);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        for (count++; arrived(world) < count && pw_now_ns() < end_ns;)
            turn_in_bursts(world);
        assert_int_equal(arrived(world), count);
    }
    pw_for(world->w, 5 * MS); /* all is acknowledged */
    return count;
}

/* Slices are kept, bytes follow in lent memory, and the end of the connection leaves the rest in
 * slices, because no more memory can be lent.  The message waits for an earlier one. */
static void slices_on_both_sides_of_lent_memory_make_one_message(void **state)
{
    (void)state;
    enum { ROUNDS = 20, FIRST = 20000, SIZE = 60000 };
    static uint8_t message[SIZE];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct mw *world = plain_world(1 << 20, WINDOW);
        uint32_t before = widen(world, 2 * SIZE);
        write_of_channel(message, SIZE, 1);
        uint64_t id = open_stream(world);
        send_at_once(world, id, message, FIRST, false);
        pw_wait(&world->w->server, 0);
        send_at_once(world, id, message + FIRST, SIZE - FIRST, true);
        spate_conn_close(world->conn, 3, NULL);
        pw_wait(&world->w->client, 0);
        while (world->w->server.closed_count == 0)
            pw_turn(world->w);
        mw_take_all(&world->server);
        assert_int_equal(arrived(world), before + 1);
        assert_int_equal(world->server.seen[before].size, SIZE - 3);
        assert_false(world->server.has_wrong_bytes);
        assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
        owned_end_all();
    }
}

/* A window of each message comes at once, and none of them ends: what is kept of them stays within
 * what message.h says. */
static void windows_that_come_at_once_stay_within_the_limit(void **state)
{
    (void)state;
    enum { LIMIT = 64 << 10, COUNT = UNDER_WAY / 2, SIZE = 200000 };
    static uint8_t data[SIZE];
    struct mw *world = plain_world(LIMIT, WINDOW);
    uint32_t before = widen(world, SIZE + SIZE / 8);
    memcpy(data + 1, mw_pattern, SIZE - 1); /* after the header */
    uint64_t first = 0, most = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint64_t id = open_stream(world);
        first = i == 0 ? id : first;
        send_part(world, id, data, SIZE, false);
        uint64_t end_ns = pw_now_ns() + 20 * MS;
        while (pw_now_ns() < end_ns) {
            turn_in_bursts(world);
            uint64_t held = mw_stats_of(&world->server).receive_bytes_now;
            most = held > most ? held : most;
        }
    }
    print_message("at most %llu KB of %d messages\n", (unsigned long long)most >> 10, COUNT);
    assert_in_range(most, LIMIT, LIMIT + 2 * WINDOW + 2 * COUNT * FIRST_BUFFER);
    for (uint64_t i = 0; i < COUNT; i++)
        (void)spate_stream_send(world->conn, first + 4 * i, NULL, 0, true, 0); /* or refused */
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (arrived(world) - before + mw_stats_of(&world->server).refused < COUNT &&
           pw_now_ns() < end_ns)
        pw_turn(world->w);
    assert_int_equal(arrived(world) - before + mw_stats_of(&world->server).refused, COUNT);
    assert_true(arrived(world) > before);
    assert_false(world->server.has_wrong_bytes);
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
}

/* ---- any windows ---- */

enum { ANY_COUNT = 60, ANY_SEEDS = 8 };

struct any {
    uint64_t random;
    uint64_t stream_window, conn_window, receive_bytes_max;
    uint64_t size_max;
    uint32_t channels;
    bool is_seldom; /* the server runs seldom */
    bool keeps;
};

static struct any any_now;

static uint64_t draw(uint64_t count)
{
    any_now.random = any_now.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (any_now.random >> 40) % count;
}

static void any_window(struct spate_config *config)
{
    config->stream_window_bytes = config->stream_window_bytes_max = any_now.stream_window;
    config->conn_window_bytes = config->conn_window_bytes_max = any_now.conn_window;
    config->streams_uni_max = config->streams_bidi_max = UNDER_WAY;
}

static struct mw *any_world(uint64_t seed)
{
    any_now = (struct any){.random = seed * 0x9e3779b97f4a7c15};
    any_now.stream_window = (uint64_t)16384 << draw(6);
    any_now.conn_window = any_now.stream_window * (2 + draw(4)) / 2;
    any_now.receive_bytes_max = (uint64_t)65536 << draw(3);
    any_now.size_max = (uint64_t)5000 << draw(8);
    any_now.channels = (uint32_t)draw(3);
    any_now.is_seldom = draw(2) == 0;
    any_now.keeps = draw(3) == 0;
    struct mw *world = mw_make_with(any_window, any_window);
    world->server.options.receive_bytes_max = any_now.receive_bytes_max;
    world->server.options.message_size_max = any_now.size_max;
    world->client.options.receive_bytes_max = any_now.receive_bytes_max;
    world->client.options.message_size_max = any_now.size_max;
    world->server.keeps = any_now.keeps;
    world->server.replies = true;
    const struct lossy_relay_config config = {
        .server = world->w->address,
        .server_size = world->w->address_size,
        .loss_per_thousand = (uint32_t)draw(3) * 20,
        .seed = seed,
    };
    struct lossy_relay *relay = lossy_relay_start(&config);
    world->w->address = lossy_relay_address(relay, &world->w->address_size);
    mw_connect_both(world);
    return world;
}

static void any_turn(struct mw *world)
{
    for (uint32_t i = 0; any_now.is_seldom && i < 20; i++)
        pw_wait(&world->w->client, 0);
    pw_turn(world->w);
    if (draw(10) == 0)
        (void)mw_release_oldest(&world->server);
}

static bool any_are_done(const struct mw *world, uint32_t requests)
{
    const uint32_t *counts = world->client.counts;
    return counts[SPATE_MESSAGE_SENT] == ANY_COUNT &&
           counts[SPATE_MESSAGE_REPLY] + counts[SPATE_MESSAGE_FAILED] == requests;
}

/* Each message arrives or is refused, whatever the windows and limits are: nothing stands still. */
static void any_windows_and_limits_let_messages_through(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ANY_SEEDS; seed++) {
        struct mw *world = any_world(seed);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        uint32_t sent = 0, requests = 0;
        while ((sent < ANY_COUNT || !any_are_done(world, requests)) &&
               world->w->client.closed_count == 0 && pw_now_ns() < end_ns) {
            struct spate_message_options options = {.size = sizeof(options)};
            options.channel = (uint32_t)draw(any_now.channels + 1);
            options.wants_reply = draw(4) == 0;
            options.priority = options.channel == 0 ? (uint8_t)draw(9) : 0;
            size_t size = 4 + (size_t)draw(any_now.size_max - 4);
            if (sent < ANY_COUNT && mw_send_number(&world->client, sent, size, &options) == 0) {
                sent++;
                requests += options.wants_reply;
            }
            any_turn(world);
        }
        print_message("seed %llu: windows %llu and %llu KB, at most %llu KB, messages of %llu, %u "
                      "channels: %llu refused\n",
                      (unsigned long long)seed, (unsigned long long)any_now.stream_window >> 10,
                      (unsigned long long)any_now.conn_window >> 10,
                      (unsigned long long)any_now.receive_bytes_max >> 10,
                      (unsigned long long)any_now.size_max, any_now.channels,
                      (unsigned long long)mw_stats_of(&world->server).refused);
        /* The end of the connection is allowed where a channel needs more memory than there is. */
        if (world->w->client.closed_count > 0 && any_now.channels > 0)
            assert_int_equal(world->w->client.close.error, SPATE_MESSAGE_ERROR_BUSY);
        else
            assert_true(any_are_done(world, requests));
        assert_false(world->server.has_wrong_bytes);
        assert_false(world->client.has_wrong_bytes);
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, messages_that_wait_give_credit_back_once_there_is_room),
        QT_TEST(owned, slices_on_both_sides_of_lent_memory_make_one_message),
        QT_TEST(owned, windows_that_come_at_once_stay_within_the_limit),
        QT_TEST(owned, any_windows_and_limits_let_messages_through),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(mw_pattern);
    return result;
}
