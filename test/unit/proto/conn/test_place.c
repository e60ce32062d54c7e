/* SPDX-License-Identifier: MIT */
/* Packets that are opened straight into the application's memory, and packets that would like to
 * be. */

#include "test/support/qt.h"

#include "test/support/place_world.h"

QT_FIXTURE(place_world, place_end)

/* ---- What goes where ---- */

static void a_packet_of_one_stream_frame_is_opened_into_lent_memory(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    assert_int_equal(place_lend(world, 10000), SP_DONE);
    place_inject(world, 0, 1000, 0);
    place_inject(world, 1000, 1000, PLACE_LEN);
    place_pull(world);
    assert_int_equal(world->delivered_end, 2000);
    assert_int_equal(world->placed_count, 1); /* in order is one event */
    assert_int_equal(place_copied(world), 0);
    place_inject(world, 3000, 1000, 0);
    place_pull(world);
    assert_int_equal(world->delivered_end, 2000); /* a gap */
    place_inject(world, 2000, 1000, 0);
    place_pull(world);
    assert_int_equal(world->delivered_end, 4000);
    assert_int_equal(place_copied(world), 0);
    assert_int_equal(place_server(world)->pieces.count, 0);
}

static void other_packets_are_copied_to_it(void **state)
{
    struct place_world *world = *state;
    static const int ways[] = {PLACE_LEN | PLACE_PADDED, PLACE_PINGING,
                               PLACE_PINGING | PLACE_LEN | PLACE_PADDED};
    for (size_t i = 0; i < QT_COUNT(ways); i++) {
        place_begin(world);
        assert_int_equal(place_lend(world, 10000), SP_DONE);
        place_inject(world, 0, 1000, ways[i]);
        place_pull(world);
        assert_int_equal(world->delivered_end, 1000);
        assert_int_equal(place_copied(world), 1000);
    }
}

static void small_packets_are_copied(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    assert_int_equal(place_lend(world, 10000), SP_DONE);
    for (uint64_t size = 1; size < 100; size++) {
        place_inject(world, world->delivered_end, size, PLACE_LEN);
        place_pull(world);
    }
    assert_int_equal(world->delivered_end, 4950);
    assert_int_equal(place_copied(world), 4950);
}

/* Memory is filled up to its last byte; what goes beyond waits until more is lent. */
static void what_spans_the_end_of_a_buffer_is_copied(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    assert_int_equal(place_lend(world, 2000), SP_DONE);
    place_inject(world, 0, 1000, 0);
    place_inject(world, 500, 1501, 0);
    place_pull(world);
    assert_int_equal(world->delivered_end, 2000);
    assert_int_equal(place_copied(world), 1000);
    assert_int_equal(world->returned_count, 1);

    place_inject(world, 2001, 999, 0); /* nobody lends */
    place_inject(world, 3500, 1000, 0);
    place_pull(world);
    assert_int_equal(world->delivered_end, 2000);
    assert_int_equal(place_lend(world, 2000), SP_DONE); /* 2000 to 3000, 3500 to 4000 */
    assert_int_equal(place_copied(world), 2500);
    place_inject(world, 3000, 500, 0);
    assert_int_equal(place_copied(world), 2500);
    place_pull(world);
    assert_int_equal(world->delivered_end, 4000);
    assert_int_equal(world->returned_count, 2);
    assert_int_equal(place_lend(world, 2000), SP_DONE);
    place_pull(world);
    assert_int_equal(world->delivered_end, 4500);
    assert_int_equal(place_copied(world), 3000);
}

/* Only where they stand side by side in memory, too, may one packet go across several. */
static void a_packet_goes_across_buffers_without_a_seam(void **state)
{
    struct place_world *world = *state;
    struct sp_event event;
    place_begin(world);
    assert_int_equal(place_lend(world, 1500), SP_DONE);
    assert_int_equal(place_lend(world, 100), SP_DONE);
    assert_int_equal(place_lend(world, 400), SP_DONE);
    place_inject(world, 0, 1000, 0);
    place_inject(world, 1000, 1000, 0);
    place_pull(world);
    assert_int_equal(world->delivered_end, 2000);
    assert_int_equal(place_copied(world), 0);
    assert_int_equal(world->returned_count, 3);
    assert_int_equal(world->returned_tag, 102);

    uint8_t elsewhere[500];
    uint64_t offset;
    struct sp_lend args = {.data = elsewhere, .size = sizeof(elsewhere)};
    assert_int_equal(place_lend(world, 1000), SP_DONE);
    assert_int_equal(sp_conn_receive_into(place_server(world), PLACE_ID, &args, &offset), SP_DONE);
    assert_int_equal(offset, 3000);
    place_inject(world, 2000, 1200, 0);
    assert_int_equal(place_copied(world), 1200);
    while (sp_conn_next_event(place_server(world), &event) && event.placed.offset < 3000)
        continue;
    assert_ptr_equal(event.placed.data, elsewhere);
    assert_int_equal(event.placed.size, 200);
    for (uint64_t i = 0; i < 200; i++)
        assert_int_equal(elsewhere[i], place_byte(3000 + i));
}

static void until_memory_is_lent_bytes_come_as_slices(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    place_inject(world, 0, 1000, 0);
    place_pull(world);
    assert_int_equal(world->sliced_bytes, 1000);
    place_inject(world, 1000, 1000, 0); /* not told yet */
    assert_int_equal(place_lend(world, 5000), SP_DONE);
    assert_int_equal(world->lent_end, 6000);
    place_inject(world, 2000, 1000, PLACE_FIN);
    place_pull(world);
    assert_int_equal(world->delivered_end, 3000);
    assert_int_equal(world->sliced_bytes, 1000);
    assert_int_equal(place_copied(world), 1000);
}

static void lending_is_bounded_and_refused_where_nothing_can_come(void **state)
{
    struct place_world *world = *state;
    uint64_t offset;
    place_begin(world);
    struct sp_lend args = {.data = world->memory, .size = 0};
    assert_int_equal(sp_conn_receive_into(place_server(world), PLACE_ID, &args, &offset),
                     SP_INVALID);
    args.size = UINT64_MAX;
    assert_int_equal(sp_conn_receive_into(place_server(world), PLACE_ID, &args, &offset),
                     SP_INVALID);
    args = (struct sp_lend){.data = NULL, .size = 1};
    assert_int_equal(sp_conn_receive_into(place_server(world), PLACE_ID, &args, &offset),
                     SP_INVALID);
    args.data = world->memory;
    assert_int_equal(sp_conn_receive_into(place_server(world), 4, &args, &offset), SP_GONE);
    uint64_t own;
    assert_int_equal(sp_conn_open(place_server(world), true, &own), SP_DONE);
    assert_int_equal(sp_conn_receive_into(place_server(world), own, &args, &offset), SP_INVALID);
    for (int i = 0; i < SP_LENT_BUFFERS_MAX; i++)
        assert_int_equal(place_lend(world, 10), SP_DONE);
    assert_int_equal(place_lend(world, 10), SP_AGAIN);
    place_inject(world, 0, 10, 0);
    place_pull(world);
    assert_int_equal(world->returned_count, 1);
    assert_int_equal(place_lend(world, 10), SP_DONE);
    assert_int_equal(sp_conn_stop(place_server(world), PLACE_ID, 1), SP_DONE);
    assert_int_equal(place_lend(world, 10), SP_GONE);
    sp_conn_close(place_server(world), 0, NULL, 0, world->pair.now_ns);
    assert_int_equal(place_lend(world, 10), SP_CLOSED);
}

/* Credit follows what is told, without a word of the application. */
static void bytes_in_place_give_credit_by_themselves(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    struct sp_stream *stream = sp_stream_map_find(&place_server(world)->streams, PLACE_ID);
    assert_int_equal(place_lend(world, PLACE_MEMORY_SIZE), SP_DONE);
    place_inject(world, 0, 1000, 0);
    assert_int_equal(stream->recv.window.consumed, 0);
    place_pull(world);
    assert_int_equal(stream->recv.window.consumed, 1000);
    assert_int_equal(place_server(world)->window.consumed, 1000);
}

/* ---- Packets that lie ---- */

static void a_forged_packet_changes_only_what_nobody_was_told(void **state)
{
    struct place_world *world = *state;
    struct pair_packet forged;
    place_begin(world);
    assert_int_equal(place_lend(world, 10000), SP_DONE);
    place_inject(world, 0, 1000, 0);
    place_inject(world, 2000, 1000, 0); /* received, not told */
    place_make(world, 1000, 1000, PLACE_LIES, PAIR_FAULT_TAG, &forged);
    place_give(world, &forged);
    place_pull(world);
    assert_int_equal(world->delivered_end, 1000);
    assert_int_not_equal(world->memory[1000], 0xaa); /* it was there */

    static const uint64_t at[] = {0, 500, 999, 1500, 1999, 2000, 2500, 2999};
    for (size_t i = 0; i < QT_COUNT(at); i++) {
        place_make(world, at[i], 1000, PLACE_LIES, PAIR_FAULT_TAG, &forged);
        place_give(world, &forged);
        place_pull(world);
    }
    place_inject(world, 1000, 1000, 0);
    place_pull(world);
    assert_int_equal(world->delivered_end, 3000);
    assert_int_equal(place_copied(world), 0);
}

/* Both want the same bytes: all of them, or some. */
static void a_forged_and_a_true_packet_of_one_batch_do_not_meet(void **state)
{
    struct place_world *world = *state;
    static const struct {
        uint64_t offset, size;
    } claims[] = {{0, 1000}, {500, 1000}, {0, 500}, {250, 500}, {0, 1500}, {999, 600}};
    for (size_t i = 0; i < 2 * QT_COUNT(claims); i++) {
        struct pair_packet forged, true_one;
        place_begin(world);
        assert_int_equal(place_lend(world, 10000), SP_DONE);
        place_make(world, claims[i / 2].offset, claims[i / 2].size, PLACE_LIES, PAIR_FAULT_TAG,
                   &forged);
        place_make(world, 0, 1000, 0, PAIR_FAULT_NONE, &true_one);
        if (i % 2 == 0)
            place_give_two(world, &forged, &true_one);
        else
            place_give_two(world, &true_one, &forged);
        place_pull(world);
        assert_int_equal(world->delivered_end, 1000);
        assert_int_equal(place_copied(world), i % 2 == 0 ? 1000 : 0);
        place_inject(world, 1000, 1000, 0);
        place_pull(world);
        assert_int_equal(world->delivered_end, 2000);
    }
}

/* A packet that is not one frame is no claim, but its bytes count as much. */
static void a_forged_claim_loses_against_a_copy_of_the_same_batch(void **state)
{
    struct place_world *world = *state;
    for (int i = 0; i < 2; i++) {
        struct pair_packet forged, true_one;
        place_begin(world);
        assert_int_equal(place_lend(world, 10000), SP_DONE);
        place_make(world, 0, 1000, PLACE_LIES, PAIR_FAULT_TAG, &forged);
        place_make(world, 0, 1000, PLACE_PINGING, PAIR_FAULT_NONE, &true_one);
        if (i == 0)
            place_give_two(world, &forged, &true_one);
        else
            place_give_two(world, &true_one, &forged);
        place_pull(world);
        assert_int_equal(world->delivered_end, 1000);
    }
}

/* The same number twice in a batch: one of them may be changed, and which comes first is up to
 * whoever changed it. */
static void copies_of_a_packet_in_one_batch_count_once(void **state)
{
    struct place_world *world = *state;
    for (int i = 0; i < 3; i++) {
        struct pair_packet first, second;
        place_begin(world);
        assert_int_equal(place_lend(world, 10000), SP_DONE);
        place_make(world, 0, 1000, 0, PAIR_FAULT_NONE, &first);
        second = first;
        if (i == 1)
            first.data[first.size - 100] ^= 1;
        if (i == 2)
            second.data[second.size - 100] ^= 1;
        place_give_two(world, &first, &second);
        place_pull(world);
        assert_int_equal(world->delivered_end, 1000);
        assert_int_equal(place_copied(world), i == 1 ? 1000 : 0);
        place_give_two(world, &second, &first);
        place_pull(world);
        assert_int_equal(world->delivered_end, 1000);
    }
}

/* [RFC9000 4.1, 4.5] What the frame would be refused for, it may not write before. */
static void what_breaks_a_limit_is_not_written(void **state)
{
    struct place_world *world = *state;
    static const struct {
        uint64_t offset;
        int how;
        bool has_end; /* a PLACE_FIN at 2000 came before */
        enum sp_err want;
    } samples[] = {
        {4500, 0, false, SP_ERR_FLOW_CONTROL},
        {3000, 0, true, SP_ERR_FINAL_SIZE},
        {500, PLACE_FIN, true, SP_ERR_FINAL_SIZE},
    };
    for (size_t i = 0; i < 2 * QT_COUNT(samples); i++) {
        enum pair_fault fault = i % 2 == 0 ? PAIR_FAULT_TAG : PAIR_FAULT_NONE;
        struct pair_packet packet;
        place_begin(world);
        struct sp_stream *stream = sp_stream_map_find(&place_server(world)->streams, PLACE_ID);
        stream->recv.window.limit = 5000;
        assert_int_equal(place_lend(world, 10000), SP_DONE);
        if (samples[i / 2].has_end)
            place_inject(world, 2000, 0, PLACE_FIN);
        place_make(world, samples[i / 2].offset, 1000, samples[i / 2].how, fault, &packet);
        place_give(world, &packet);
        for (size_t k = 0; k < PLACE_MEMORY_SIZE; k++)
            assert_int_equal(world->memory[k], 0xaa);
        place_pull(world);
        assert_int_equal(world->is_closed, fault == PAIR_FAULT_NONE);
        if (fault == PAIR_FAULT_NONE)
            assert_int_equal(place_server(world)->close.error, samples[i / 2].want);
    }
}

static void the_connection_window_holds_writes_back_as_well(void **state)
{
    struct place_world *world = *state;
    struct pair_packet packet;
    place_begin(world);
    place_server(world)->window.limit = 5000;
    assert_int_equal(place_lend(world, 10000), SP_DONE);
    place_make(world, 4500, 1000, PLACE_LIES, PAIR_FAULT_TAG, &packet);
    place_give(world, &packet);
    assert_int_equal(world->memory[4500], 0xaa);
    place_inject(world, 4000, 1000, 0);
    assert_int_equal(world->memory[4000], place_byte(4000));
}

/* [RFC9001 6] The batch goes across a change of the key phase. */
static void a_key_update_in_the_middle_of_a_batch_changes_nothing(void **state)
{
    struct place_world *world = *state;
    struct pair_packet packets[4];
    place_begin(world);
    assert_int_equal(place_lend(world, 10000), SP_DONE);
    struct sp_conn *client = pair_conn(&world->pair, SP_CLIENT);
    place_make(world, 0, 1000, 0, PAIR_FAULT_NONE, &packets[0]);
    place_make(world, 1000, 1000, PLACE_LIES, PAIR_FAULT_TAG, &packets[1]);
    assert_true(sp_keyphase_update_write(&client->keys, client->loss.app.sent.next_pn));
    place_make(world, 1000, 1000, 0, PAIR_FAULT_NONE, &packets[2]);
    place_make(world, 2000, 1000, 0, PAIR_FAULT_NONE, &packets[3]);
    const struct pair_packet *const batch[] = {&packets[0], &packets[1], &packets[2], &packets[3]};
    pair_give(&world->pair, SP_SERVER, batch, 4);
    place_pull(world);
    assert_int_equal(world->delivered_end, 3000);
    assert_int_equal(place_copied(world), 0); /* the old key's packets were judged by then */
    assert_int_equal(place_server(world)->stats.key_updates, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(place_world, a_packet_of_one_stream_frame_is_opened_into_lent_memory),
        QT_TEST(place_world, other_packets_are_copied_to_it),
        QT_TEST(place_world, small_packets_are_copied),
        QT_TEST(place_world, what_spans_the_end_of_a_buffer_is_copied),
        QT_TEST(place_world, a_packet_goes_across_buffers_without_a_seam),
        QT_TEST(place_world, until_memory_is_lent_bytes_come_as_slices),
        QT_TEST(place_world, lending_is_bounded_and_refused_where_nothing_can_come),
        QT_TEST(place_world, bytes_in_place_give_credit_by_themselves),
        QT_TEST(place_world, a_forged_packet_changes_only_what_nobody_was_told),
        QT_TEST(place_world, a_forged_and_a_true_packet_of_one_batch_do_not_meet),
        QT_TEST(place_world, a_forged_claim_loses_against_a_copy_of_the_same_batch),
        QT_TEST(place_world, copies_of_a_packet_in_one_batch_count_once),
        QT_TEST(place_world, what_breaks_a_limit_is_not_written),
        QT_TEST(place_world, the_connection_window_holds_writes_back_as_well),
        QT_TEST(place_world, a_key_update_in_the_middle_of_a_batch_changes_nothing),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
