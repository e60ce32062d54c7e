/* SPDX-License-Identifier: MIT */
/* Credit that slices of messages hold: it comes back in time, and no more is given than the limit
 * of memory allows. */

#include "test/support/messenger_world.h"

#include <stdlib.h>

#define MS UINT64_C(1000000)

enum { WINDOW = 256 << 10, UNDER_WAY = 20 };

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, slices_on_both_sides_of_lent_memory_make_one_message),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(mw_pattern);
    return result;
}
