/* SPDX-License-Identifier: MIT */
/* Messages between two ends of which each stands still now and then, as on a busy machine: what the
 * windows allow comes in one turn, or with the end of the connection.  Nothing may wait for ever,
 * whatever the sizes of windows and messages.
 *
 *     SPATE_TEST_SEEDS=COUNT[,FIRST]     tries so many, or one again */

#include "test/support/messenger_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MS UINT64_C(1000000)

enum { COUNT = 60, SIZE_MAX_KB = 2000, KEEP_MAX = 8, CHANNELS = 3, WAIT_MOST_MS = 4 };

/* One run: what a seed has chosen. */
static struct {
    uint64_t seed;
    uint64_t windows[2][2]; /* of server and client: of a stream, of the connection */
    uint32_t streams[2];
    uint32_t slots[2];
    uint64_t size_max;
    uint32_t next[2]; /* number of the next message of each side */
} chosen;

static uint64_t roll(uint64_t below)
{
    uint64_t *seed = &chosen.seed;
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed % below;
}

/* A size of any magnitude, each as likely as the others. */
static uint64_t roll_size(uint64_t least, uint64_t most)
{
    uint32_t doublings = 0;
    while (least << doublings < most)
        doublings++;
    uint64_t size = least << roll(doublings + 1);
    size += roll(size);
    return size < most ? size : most;
}

static void configure(struct spate_config *config, uint32_t side)
{
    config->stream_window_bytes = config->stream_window_bytes_max = chosen.windows[side][0];
    config->conn_window_bytes = config->conn_window_bytes_max = chosen.windows[side][1];
    config->streams_uni_max = config->streams_bidi_max = chosen.streams[side];
    config->receive_slots = config->transmit_slots = chosen.slots[side];
}

static void configure_server(struct spate_config *config)
{
    configure(config, 0);
}

static void configure_client(struct spate_config *config)
{
    configure(config, 1);
}

static struct mw *make_world(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        chosen.windows[i][0] = roll_size(4096, 1 << 20);
        chosen.windows[i][1] = roll_size(chosen.windows[i][0], 2 << 20);
        chosen.streams[i] = 1 + (uint32_t)roll(roll(2) == 0 ? 3 : 40);
        chosen.slots[i] = 16u << roll(3);
        chosen.next[i] = 0;
    }
    chosen.size_max = roll_size(2000, SIZE_MAX_KB * UINT64_C(1000));
    struct mw *world = mw_make_with(configure_server, configure_client);
    struct mw_side *sides[] = {&world->server, &world->client};
    for (uint32_t i = 0; i < 2; i++) {
        sides[i]->replies = true;
        sides[i]->keeps = roll(2) == 0;
        sides[i]->options.send_bytes_max = roll_size(10000, 16 << 20);
    }
    mw_connect_both(world);
    return world;
}

static uint32_t received(const struct mw_side *side)
{
    return side->counts[SPATE_MESSAGE_RECEIVED] + side->counts[SPATE_MESSAGE_REQUEST];
}

/* Counts all that has been finished. */
static uint64_t finished(const struct mw *world)
{
    const struct mw_side *sides[] = {&world->server, &world->client};
    uint64_t count = 0;
    for (uint32_t i = 0; i < 2; i++)
        count += sides[i]->seen_count + sides[i]->released_count;
    return count;
}

static void send_some(struct mw_side *side, uint32_t *next)
{
    while (*next < COUNT && roll(3) != 0) {
        const struct spate_message_options options = {
            .size = sizeof(options),
            .channel = (uint32_t)roll(CHANNELS),
            .wants_reply = roll(4) == 0,
            .priority = (uint8_t)(roll(3) == 0 ? 1 + roll(8) : 0),
        };
        int e = mw_send_number(side, *next, 4 + roll_size(1, chosen.size_max - 4), &options);
        if (e != 0) {
            assert_int_equal(e, -EAGAIN);
            return;
        }
        (*next)++;
    }
}

/* One of both ends runs for a while and the other does not, or both wait. */
static void burst(struct mw *world)
{
    struct pw_end *ends[] = {&world->w->server, &world->w->client};
    struct pw_end *end = ends[roll(2)];
    for (uint64_t i = 1 + roll(roll(2) == 0 ? 2 : 30); i > 0; i--)
        pw_wait(end, roll(20) == 0 ? roll(WAIT_MOST_MS * MS) : 0);
    assert_int_equal(world->w->client.closed_count + world->w->server.closed_count, 0);
}

static void give_back(struct mw_side *side)
{
    uint32_t kept = side->kept_count - side->released_count;
    if (kept > 0 && (kept > KEEP_MAX || roll(10) == 0))
        (void)mw_release_oldest(side);
}

static bool is_over(const struct mw *world)
{
    const struct mw_side *sides[] = {&world->server, &world->client};
    for (uint32_t i = 0; i < 2; i++) {
        const struct mw_side *side = sides[i], *peer = sides[1 - i];
        if (side->counts[SPATE_MESSAGE_SENT] != COUNT + side->counts[SPATE_MESSAGE_REQUEST] ||
            received(side) != COUNT ||
            side->counts[SPATE_MESSAGE_REPLY] != peer->counts[SPATE_MESSAGE_REQUEST])
            return false;
    }
    return true;
}

static _Noreturn void say_where(const struct mw *world, uint64_t seed)
{
    const struct mw_side *sides[] = {&world->server, &world->client};
    for (uint32_t i = 0; i < 2; i++) {
        const struct mw_side *side = sides[i];
        struct spate_messenger_stats stats = mw_stats_of(side);
        print_message("%s: windows %llu and %llu, %u streams, %u slots; sent %u, back %u, "
                      "received %u, requests %u, replies %u, kept %u; %llu bytes in, %llu "
                      "incomplete, %llu waiting, %llu refused\n",
                      i == 0 ? "server" : "client", (unsigned long long)chosen.windows[i][0],
                      (unsigned long long)chosen.windows[i][1], chosen.streams[i], chosen.slots[i],
                      chosen.next[i], side->counts[SPATE_MESSAGE_SENT], received(side),
                      side->counts[SPATE_MESSAGE_REQUEST], side->counts[SPATE_MESSAGE_REPLY],
                      side->kept_count - side->released_count,
                      (unsigned long long)stats.receive_bytes_now,
                      (unsigned long long)stats.incomplete_now,
                      (unsigned long long)stats.waiting_now, (unsigned long long)stats.refused);
    }
    fail_msg("nothing moves: SPATE_TEST_SEEDS=1,%llu", (unsigned long long)seed);
    abort(); /* fail_msg() does not return */
}

/* Sends, receives and gives back until all is done, or `count_most` things are. */
static void run_until(struct mw *world, uint64_t seed, uint64_t count_most)
{
    uint64_t moved_ns = pw_now_ns(), count = 0;
    while (!is_over(world) && count < count_most) {
        send_some(&world->server, &chosen.next[0]);
        send_some(&world->client, &chosen.next[1]);
        burst(world);
        give_back(&world->server);
        give_back(&world->client);
        uint64_t now_ns = pw_now_ns();
        if (finished(world) != count)
            moved_ns = now_ns;
        count = finished(world);
        if (now_ns - moved_ns > PW_PATIENCE_NS / 4)
            say_where(world, seed);
    }
}

/* The connection ends, and what the peer has sent comes with the end. */
static void close_in_the_midst(struct mw *world)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    for (uint64_t i = roll(30); i > 0; i--)
        pw_wait(&world->w->client, 0);
    spate_conn_close(world->conn, 0, NULL);
    pw_wait(&world->w->client, 0);
    while (world->w->server.closed_count == 0 && pw_now_ns() < end_ns)
        pw_wait(&world->w->server, MS);
    assert_int_equal(world->w->server.closed_count, 1);
}

static void run_seed(uint64_t seed)
{
    chosen.seed = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (uint32_t i = 0; i < 10; i++)
        (void)roll(2);
    struct mw *world = make_world();
    bool is_closed = roll(3) == 0;
    run_until(world, seed, is_closed ? roll(COUNT) : UINT64_MAX);
    if (is_closed)
        close_in_the_midst(world);
    assert_false(world->server.has_wrong_bytes || world->client.has_wrong_bytes);
    owned_end_all();
}

static void nothing_waits_for_ever(void **state)
{
    (void)state;
    const char *seeds = getenv("SPATE_TEST_SEEDS");
    uint64_t count = 15, first = pw_now_ns() / 1000 % 1000000;
    if (seeds != NULL) {
        char *rest;
        count = strtoull(seeds, &rest, 10);
        first = *rest == ',' ? strtoull(rest + 1, NULL, 10) : first;
    }
    print_message("SPATE_TEST_SEEDS=%llu,%llu\n", (unsigned long long)count,
                  (unsigned long long)first);
    for (uint64_t i = 0; i < count; i++)
        run_seed(first + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, nothing_waits_for_ever),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(mw_pattern);
    return result;
}
