/* SPDX-License-Identifier: MIT */
/* Trains whose bytes are brought together while they are opened, and what comes in between. */

#include "test/support/qt.h"

#include <string.h>

#include "test/sim/random.h"
#include "test/support/place_world.h"

enum { COUNT_MAX = 8 };

QT_FIXTURE(place_world, place_end)

static void give_train(struct place_world *world, const struct pair_packet *packets, uint32_t count)
{
    const struct pair_packet *train[COUNT_MAX];
    for (uint32_t i = 0; i < count; i++)
        train[i] = &packets[i];
    pair_give_train(&world->pair, SP_SERVER, train, count);
}

/* A train of `count` packets in order, 1000 bytes each; `how` of the one at `odd`. */
static void make_train(struct place_world *world, struct pair_packet *packets, uint32_t count,
                       uint32_t odd, int how, enum pair_fault fault)
{
    for (uint32_t i = 0; i < count; i++)
        place_make(world, world->delivered_end + UINT64_C(1000) * i, 1000, i == odd ? how : 0,
                   i == odd ? fault : PAIR_FAULT_NONE, &packets[i]);
}

static void a_train_is_one_slice(void **state)
{
    struct place_world *world = *state;
    struct pair_packet packets[COUNT_MAX];
    place_begin(world);
    for (uint32_t round = 1; round <= 2; round++) {
        /* The first frame has no offset that takes as many bytes as the others': it is shorter. */
        make_train(world, packets, COUNT_MAX, UINT32_MAX, 0, PAIR_FAULT_NONE);
        give_train(world, packets, COUNT_MAX);
        assert_int_equal(place_server(world)->pieces.count, round == 1 ? 2 : 1);
        place_pull(world);
        assert_int_equal(world->delivered_end, COUNT_MAX * 1000 * round);
        assert_int_equal(world->slice_count, 1 + round);
    }
}

static void packets_that_are_no_train_stay_where_they_are(void **state)
{
    struct place_world *world = *state;
    struct pair_packet packets[3];
    place_begin(world);
    make_train(world, packets, 3, UINT32_MAX, 0, PAIR_FAULT_NONE);
    const struct pair_packet *const batch[] = {&packets[0], &packets[1], &packets[2]};
    pair_give(&world->pair, SP_SERVER, batch, 3);
    assert_int_equal(place_server(world)->pieces.count, 3);
    place_pull(world);
    assert_int_equal(world->delivered_end, 3000);
}

/* The guess about the next head is wrong, or it is no STREAM frame alone. */
static void what_is_no_lone_frame_goes_back_to_its_place(void **state)
{
    struct place_world *world = *state;
    static const int hows[] = {PLACE_PINGING, PLACE_LEN, PLACE_LEN | PLACE_PADDED,
                               PLACE_PINGING | PLACE_LEN | PLACE_PADDED};
    for (uint32_t i = 0; i < QT_COUNT(hows); i++)
        for (uint32_t odd = 0; odd < 5; odd++) {
            struct pair_packet packets[5];
            place_begin(world);
            place_inject(world, 0, 1000, 0);
            place_pull(world);
            make_train(world, packets, 5, odd, hows[i], PAIR_FAULT_NONE);
            give_train(world, packets, 5);
            place_pull(world);
            assert_int_equal(world->delivered_end, 6000);
            assert_int_equal(world->sliced_bytes, 6000);
        }
}

/* A look costs something: after three that are no lone frame, and one that continues none, the run
 * is opened as it is. */
static void a_run_that_is_no_train_is_not_looked_at(void **state)
{
    struct place_world *world = *state;
    for (uint32_t odd_count = 0; odd_count < 5; odd_count++) {
        struct pair_packet packets[COUNT_MAX];
        place_begin(world);
        place_inject(world, 0, 1000, 0);
        place_pull(world);
        for (uint32_t i = 0; i < COUNT_MAX; i++)
            place_make(world, UINT64_C(1000) * (i + 1), 1000, i < odd_count ? PLACE_PINGING : 0,
                       PAIR_FAULT_NONE, &packets[i]);
        give_train(world, packets, COUNT_MAX);
        uint32_t count = place_server(world)->pieces.count;
        assert_int_equal(count, odd_count < 3 ? odd_count + 1 : COUNT_MAX);
        place_pull(world);
        assert_int_equal(world->delivered_end, 1000 * (COUNT_MAX + 1));
    }
}

static void a_forged_packet_harms_none_of_its_train(void **state)
{
    struct place_world *world = *state;
    for (uint32_t odd = 0; odd < 5; odd++) {
        struct pair_packet packets[5];
        place_begin(world);
        make_train(world, packets, 5, odd, PLACE_LIES, PAIR_FAULT_TAG);
        give_train(world, packets, 5);
        place_pull(world);
        assert_int_equal(world->delivered_end, 1000 * odd);
        assert_int_equal(place_server(world)->stats.packets_dropped, 1);
        place_inject(world, UINT64_C(1000) * odd, 1000, 0);
        place_pull(world);
        assert_int_equal(world->delivered_end, 5000);
    }
}

/* [RFC9000 10.3.1] Its token stands where a tag would, and must outlive the attempt to open it. */
static void a_reset_behind_a_train_is_seen(void **state)
{
    struct place_world *world = *state;
    struct pair_packet packets[3];
    static const uint8_t token[SP_RESET_TOKEN_SIZE] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    place_begin(world);
    make_train(world, packets, 3, 1, PLACE_LIES, PAIR_FAULT_TAG);
    struct sp_cid_remote *ids = &place_server(world)->remote_ids;
    struct sp_cid_remote_entry *entry = &ids->entries[ids->active];
    entry->has_token = entry->was_sent_to = true;
    memcpy(entry->reset_token, token, sizeof(token));
    memcpy(packets[1].data + packets[1].size - sizeof(token), token, sizeof(token));
    give_train(world, packets, 3);
    assert_true(sp_conn_is_closed(place_server(world)));
}

static void a_copy_in_a_train_counts_once(void **state)
{
    struct place_world *world = *state;
    for (uint32_t i = 0; i < 4; i++) {
        struct pair_packet packets[5];
        place_begin(world);
        make_train(world, packets, 4, UINT32_MAX, 0, PAIR_FAULT_NONE);
        packets[4] = packets[3];
        for (uint32_t j = 3; j > i; j--)
            packets[j] = packets[j - 1];
        packets[i] = packets[i == 0 ? 1 : i - 1];
        give_train(world, packets, 5);
        place_pull(world);
        assert_int_equal(world->delivered_end, 4000);
        assert_int_equal(place_server(world)->stats.packets_duplicate, 1);
    }
}

static void an_end_and_a_key_update_in_a_train_change_nothing(void **state)
{
    struct place_world *world = *state;
    struct pair_packet packets[5];
    place_begin(world);
    struct sp_conn *client = pair_conn(&world->pair, SP_CLIENT);
    for (uint32_t i = 0; i < 5; i++) {
        if (i == 2)
            assert_true(sp_keyphase_update_write(&client->keys, client->loss.app.sent.next_pn));
        place_make(world, UINT64_C(1000) * i, 1000, i == 4 ? PLACE_FIN : 0, PAIR_FAULT_NONE,
                   &packets[i]);
    }
    give_train(world, packets, 5);
    place_pull(world);
    assert_int_equal(world->delivered_end, 5000);
    assert_true(world->fin);
    assert_int_equal(place_server(world)->stats.key_updates, 1);
}

/* A buffer that is wanted back keeps no bytes, beside a train in one that is not. */
static void a_transient_packet_before_a_train_is_dropped(void **state)
{
    struct place_world *world = *state;
    struct pair_packet packets[3];
    place_begin(world);
    place_inject(world, 0, 1000, 0);
    make_train(world, packets, 3, UINT32_MAX, 0, PAIR_FAULT_NONE);
    world->pair.is_transient = true;
    give_train(world, packets, 3);
    world->pair.is_transient = false;
    assert_int_equal(place_server(world)->pieces.count, 1);
    place_pull(world);
    assert_int_equal(world->delivered_end, 1000);
}

/* [RFC9000 19.16] The packet's own header is overwritten by the bytes of the one before. */
static void a_packet_of_a_train_may_not_retire_its_own_cid(void **state)
{
    struct place_world *world = *state;
    for (uint32_t is_train = 0; is_train < 2; is_train++) {
        struct pair_packet packets[2];
        uint8_t frames[1000];
        struct sb_writer w = sb_writer_of(frames, sizeof(frames));
        place_begin(world);
        place_make(world, 0, 1000, 0, PAIR_FAULT_NONE, &packets[0]);
        sb_writer_u8(&w, SP_FRAME_STREAM | SP_STREAM_OFF | SP_STREAM_LEN);
        sb_writer_varint(&w, PLACE_ID);
        sb_writer_varint(&w, 1000);
        sb_writer_varint(&w, 900);
        for (uint64_t i = 0; i < 900; i++)
            sb_writer_u8(&w, place_byte(1000 + i));
        sp_frame_write_number(&w, SP_FRAME_RETIRE_CONNECTION_ID, 0);
        pair_make(&world->pair, SP_SERVER, SP_SPACE_APP, frames, sb_writer_used(&w),
                  PAIR_FAULT_NONE, &packets[1]);
        const struct pair_packet *const both[] = {&packets[0], &packets[1]};
        if (is_train)
            give_train(world, packets, 2);
        else
            pair_give(&world->pair, SP_SERVER, both, 2);
        assert_true(sp_conn_is_closed(place_server(world)));
    }
}

/* In any order, with all that may be among them; what is forged or left out comes again. */
static void bytes_of_any_train_are_right(void **state)
{
    struct place_world *world = *state;
    struct qs_random random;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        qs_random_init(&random, seed);
        place_begin(world);
        while (world->delivered_end < 20000) {
            struct pair_packet packets[COUNT_MAX];
            uint32_t count = 2 + (uint32_t)qs_random_below(&random, COUNT_MAX - 1);
            uint64_t at = world->delivered_end;
            for (uint32_t i = 0; i < count; i++) {
                static const int hows[] = {
                    0, 0, 0, PLACE_LEN, PLACE_PINGING, PLACE_LEN | PLACE_PADDED};
                uint64_t size =
                    qs_random_below(&random, 5) == 0 ? 1 + qs_random_below(&random, 1000) : 1000;
                bool is_forged = qs_random_below(&random, 10) == 0;
                int how = hows[qs_random_below(&random, QT_COUNT(hows))];
                if (qs_random_below(&random, 6) == 0)
                    at = world->delivered_end + qs_random_below(&random, 4000);
                place_make(world, at, size, how | (is_forged ? PLACE_LIES : 0),
                           is_forged ? PAIR_FAULT_TAG : PAIR_FAULT_NONE, &packets[i]);
                at += size;
            }
            give_train(world, packets, count);
            if (qs_random_below(&random, 3) != 0)
                place_pull(world);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(place_world, a_train_is_one_slice),
        QT_TEST(place_world, packets_that_are_no_train_stay_where_they_are),
        QT_TEST(place_world, what_is_no_lone_frame_goes_back_to_its_place),
        QT_TEST(place_world, a_run_that_is_no_train_is_not_looked_at),
        QT_TEST(place_world, a_forged_packet_harms_none_of_its_train),
        QT_TEST(place_world, a_reset_behind_a_train_is_seen),
        QT_TEST(place_world, a_copy_in_a_train_counts_once),
        QT_TEST(place_world, an_end_and_a_key_update_in_a_train_change_nothing),
        QT_TEST(place_world, a_transient_packet_before_a_train_is_dropped),
        QT_TEST(place_world, a_packet_of_a_train_may_not_retire_its_own_cid),
        QT_TEST(place_world, bytes_of_any_train_are_right),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
