/* SPDX-License-Identifier: MIT */
/* How memory that was lent for received bytes comes back; and all that can happen to it at once. */

#include "test/support/qt.h"

#include "test/sim/random.h"
#include "test/support/place_world.h"

QT_FIXTURE(place_world, place_end)

/* ---- The end ---- */

static void the_end_of_the_stream_gives_memory_back(void **state)
{
    struct place_world *world = *state;
    for (int i = 0; i < 3; i++) {
        place_begin(world);
        assert_int_equal(place_lend(world, 1000), SP_DONE);
        assert_int_equal(place_lend(world, 1000), SP_DONE);
        assert_int_equal(place_lend(world, 1000), SP_DONE);
        place_inject(world, 0, 1500, i == 0 ? PLACE_FIN : 0); /* with the last bytes, or alone */
        if (i == 1)
            place_pull(world);
        if (i > 0)
            place_inject(world, 1500, 0, PLACE_FIN);
        place_pull(world);
        assert_true(world->fin);
        assert_int_equal(world->delivered_end, 1500);
        assert_int_equal(world->returned_count, 3);
        assert_int_equal(world->returned_tag, 102);
        assert_int_equal(place_server(world)->pieces.lent_count, 0);
    }
}

static void an_end_without_bytes_needs_no_memory(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    assert_int_equal(place_lend(world, 1000), SP_DONE);
    place_inject(world, 0, 1000, 0);
    place_pull(world);
    assert_int_equal(world->returned_count, 1);
    place_inject(world, 1000, 0, PLACE_FIN);
    assert_false(world->fin);
    place_pull(world);
    assert_true(world->fin);
    assert_int_equal(world->placed_count, 2);
}

static void a_reset_and_a_stop_give_memory_back(void **state)
{
    struct place_world *world = *state;
    for (int i = 0; i < 2; i++) {
        place_begin(world);
        assert_int_equal(place_lend(world, 5000), SP_DONE);
        assert_int_equal(place_lend(world, 5000), SP_DONE);
        place_inject(world, 0, 1000, 0);
        place_pull(world);
        place_inject(world, 2000, 1000, 0);
        if (i == 0) {
            static const uint8_t reset[] = {SP_FRAME_RESET_STREAM, PLACE_ID, 7, 0x50, 0};
            pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, reset, sizeof(reset),
                        PAIR_FAULT_NONE);
        } else {
            assert_int_equal(sp_conn_stop(place_server(world), PLACE_ID, 7), SP_DONE);
        }
        place_pull(world);
        assert_int_equal(world->is_reset, i == 0);
        assert_int_equal(world->returned_count, 2);
        assert_int_equal(world->delivered_end, 1000);
        uint8_t before = world->memory[1000];
        place_inject(world, 1000, 1000, 0); /* it is not lent any more */
        assert_int_equal(world->memory[1000], before);
    }
}

/* A reset, or the end of the connection, in the batch that also has bytes for the memory. */
static void an_end_in_the_middle_of_a_batch_leaves_nothing_behind(void **state)
{
    struct place_world *world = *state;
    static const struct {
        uint8_t frame[5];
        size_t size;
    } ends[] = {
        {{SP_FRAME_RESET_STREAM, PLACE_ID, 7, 0x50, 0}, 5},
        {{SP_FRAME_CONNECTION_CLOSE_APP, 1, 0}, 3},
        {{0x20}, 1}, /* no frame: our error */
    };
    for (size_t i = 0; i < QT_COUNT(ends); i++) {
        struct pair_packet packets[3];
        place_begin(world);
        assert_int_equal(place_lend(world, 5000), SP_DONE);
        place_make(world, 0, 1000, 0, PAIR_FAULT_NONE, &packets[0]);
        pair_make(&world->pair, SP_SERVER, SP_SPACE_APP, ends[i].frame, ends[i].size,
                  PAIR_FAULT_NONE, &packets[1]);
        place_make(world, 1000, 1000, 0, PAIR_FAULT_NONE, &packets[2]);
        const struct pair_packet *const batch[] = {&packets[0], &packets[1], &packets[2]};
        pair_give(&world->pair, SP_SERVER, batch, 3);
        place_pull(world);
        assert_int_equal(world->returned_count, 1);
        assert_int_equal(world->delivered_end, i == 1 ? 1000 : 0); /* what came before its end */
        assert_int_equal(world->is_closed, i > 0);
    }
}

static void bytes_behind_a_gap_are_dropped_with_the_memory(void **state)
{
    struct place_world *world = *state;
    static const uint8_t frame[] = {SP_FRAME_CONNECTION_CLOSE_APP, 1, 0};
    place_begin(world);
    assert_int_equal(place_lend(world, 5000), SP_DONE);
    place_inject(world, 0, 1000, 0);
    place_inject(world, 2000, 1000, 0);
    pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE);
    place_pull(world);
    assert_true(world->is_closed);
    assert_int_equal(world->delivered_end, 1000);
    assert_int_equal(world->returned_count, 1);
    assert_int_equal(place_server(world)->pieces.count, 0);
}

static void closing_gives_memory_back_before_it_is_told(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    assert_int_equal(place_lend(world, 5000), SP_DONE);
    place_inject(world, 0, 1000, 0);
    sp_conn_close(place_server(world), 0, NULL, 0, world->pair.now_ns);
    place_pull(world); /* where PLACED behind CLOSED is a failure */
    assert_true(world->is_closed);
    assert_int_equal(world->returned_count, 1);
}

/* ---- Without memory of our own ---- */

static void without_memory_nothing_is_lent_and_nothing_is_lost(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    world->pair.memory_left = 0;
    assert_int_equal(place_lend(world, 1000), SP_AGAIN);
    world->pair.memory_left = UINT64_MAX;
    place_inject(world, 500, 1000, 0);
    struct sp_piece_store *pieces = &place_server(world)->pieces;
    uint32_t count_max = pieces->count_max;
    pieces->count_max = pieces->count;
    assert_int_equal(place_lend(world, 1000), SP_AGAIN); /* it would cut what waits in two */
    assert_int_equal(place_lend(world, 1500), SP_DONE);
    assert_int_equal(place_lend(world, 2500), SP_DONE);

    struct pair_packet packet;
    place_make(world, 2000, 1000, 0, PAIR_FAULT_NONE, &packet);
    place_give(world, &packet); /* no piece for it: dropped, not acknowledged */
    place_inject(world, 0, 500, 0);
    place_inject(world, 1500, 500, 0); /* joins a piece that is there */
    place_pull(world);
    assert_int_equal(world->delivered_end, 2000);
    pieces->count_max = count_max;
    place_give(world, &packet);
    place_pull(world);
    assert_int_equal(world->delivered_end, 3000);
}

/* ---- All at once ---- */

enum { STORM_PACKETS = 400, STORM_ORDER = 3 * STORM_PACKETS };

struct storm {
    struct place_world world;
    struct qs_random random;
    struct pair_packet packets[STORM_PACKETS];
    struct pair_packet changed[STORM_PACKETS]; /* .. on their way */
    uint32_t packet_count;
    const struct pair_packet *order[STORM_ORDER]; /* in which they come */
    uint32_t order_count;
    uint64_t total; /* bytes of the stream */
};

static void storm_end(struct storm *storm)
{
    place_end(&storm->world);
}

QT_FIXTURE(storm, storm_end)

static uint64_t below(struct storm *storm, uint64_t end)
{
    return qs_random_below(&storm->random, end);
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return SB_MIN(a, b);
}

/* The stream, cut anyhow; in between parts of it cut otherwise, and lies about it. */
static void make_storm(struct storm *storm)
{
    uint64_t total = 20000 + below(storm, 30000);
    storm->packet_count = 0;
    storm->total = total;
    for (uint64_t at = 0; at < total;) {
        uint64_t size = at_most(300 + below(storm, 1100), total - at);
        int how = (below(storm, 2) ? PLACE_LEN : 0) | (below(storm, 6) == 0 ? PLACE_PINGING : 0) |
                  (at + size == total ? PLACE_FIN : 0);
        assert_true(storm->packet_count + 2 <= STORM_PACKETS);
        place_make(&storm->world, at, size, how, PAIR_FAULT_NONE,
                   &storm->packets[storm->packet_count++]);
        at += size;

        uint64_t near = at - at_most(at, below(storm, 3000));
        size = at_most(1 + below(storm, 1400), total - near);
        bool lies = below(storm, 2) == 0;
        place_make(&storm->world, near, size, lies ? PLACE_LIES : 0,
                   lies ? PAIR_FAULT_TAG : PAIR_FAULT_NONE, &storm->packets[storm->packet_count++]);
    }
}

/* Each packet once and some twice; some come changed before; and many overtake others. */
static void stir(struct storm *storm)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < storm->packet_count; i++) {
        const struct pair_packet *packet = &storm->packets[i];
        if (below(storm, 4) == 0) {
            storm->changed[i] = *packet;
            uint64_t at = 40 + below(storm, packet->size);
            storm->changed[i].data[SB_MIN(at, packet->size - 1)] ^= 4;
            storm->order[count++] = &storm->changed[i];
        }
        if (below(storm, 5) == 0)
            storm->order[count++] = packet;
        storm->order[count++] = packet;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = i + (uint32_t)below(storm, SB_MIN(count - i, 20u));
        const struct pair_packet *packet = storm->order[i];
        storm->order[i] = storm->order[k];
        storm->order[k] = packet;
    }
    storm->order_count = count;
}

static void let_it_rage(struct storm *storm)
{
    struct place_world *world = &storm->world;
    for (uint32_t at = 0; at < storm->order_count;) {
        uint32_t count = 1 + (uint32_t)below(storm, PAIR_BATCH_MAX);
        count = SB_MIN(count, storm->order_count - at);
        if (below(storm, 3) != 0)
            (void)place_lend(world, 1 + below(storm, 8000));
        pair_give(&world->pair, SP_SERVER, &storm->order[at], count);
        if (below(storm, 3) != 0)
            place_pull(world);
        place_check(world);
        at += count;
    }
    /* So many holes among the numbers make some packets look old: they are repeated. */
    for (uint64_t at = 0; at <= storm->total && !world->fin; at += 1000)
        place_inject(world, at, SB_MIN(1000, storm->total - at),
                     at + 1000 > storm->total ? PLACE_FIN : 0);
    place_pull(world);
    while (!world->fin) {
        assert_int_equal(place_lend(world, 8000), SP_DONE);
        place_pull(world);
    }
}

/* Forged, changed, repeated, overlapping and reordered packets in batches of any size, and memory
 * that is lent whenever: every byte comes once, in order, unchanged, and stays so. */
static void every_byte_comes_once_whatever_the_network_does(void **state)
{
    struct storm *storm = *state;
    struct place_world *world = &storm->world;
    uint64_t placed_bytes = 0, copied_bytes = 0, sliced_bytes = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        qs_random_init(&storm->random, seed);
        place_begin(world);
        make_storm(storm);
        stir(storm);
        let_it_rage(storm);
        assert_true(world->fin);
        assert_int_equal(world->returned_count, world->lent_count);
        placed_bytes += place_server(world)->stats.placed_in_bytes;
        copied_bytes += place_copied(world);
        sliced_bytes += world->sliced_bytes;
    }
    /* All ways were gone. */
    assert_true(copied_bytes > 0 && sliced_bytes > 0);
    assert_true(placed_bytes > copied_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(place_world, the_end_of_the_stream_gives_memory_back),
        QT_TEST(place_world, an_end_without_bytes_needs_no_memory),
        QT_TEST(place_world, a_reset_and_a_stop_give_memory_back),
        QT_TEST(place_world, an_end_in_the_middle_of_a_batch_leaves_nothing_behind),
        QT_TEST(place_world, bytes_behind_a_gap_are_dropped_with_the_memory),
        QT_TEST(place_world, closing_gives_memory_back_before_it_is_told),
        QT_TEST(place_world, without_memory_nothing_is_lent_and_nothing_is_lost),
        QT_TEST(storm, every_byte_comes_once_whatever_the_network_does),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
