/* SPDX-License-Identifier: MIT */
/* Messages on a live connection: RFC 9221, Sections 3 to 5. */

#include "test/support/qt.h"

#include "test/support/message_world.h"

QT_FIXTURE(message_world, message_world_deinit)

/* [RFC9221 5, 5.2] */
static void a_message_arrives_whole_and_is_reported_once(void **state)
{
    static const uint32_t sizes[] = {0, 1, 2, 63, 64, 65, 255, 256, 257, 1000};
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    for (uint32_t i = 0; i < QT_COUNT(sizes); i++)
        assert_int_equal(message_world_send(world, i % 2, sizes[i], i), SP_DONE);
    message_world_run(world);
    assert_int_equal(world->arrived_count, QT_COUNT(sizes));
    assert_int_equal(world->result_count, QT_COUNT(sizes));
    assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], QT_COUNT(sizes));
    uint64_t seen = 0;
    for (uint32_t i = 0; i < world->result_count; i++) {
        const struct sp_message_result *result = &world->results[i];
        assert_int_equal(result->size, sizes[result->tag]);
        seen |= UINT64_C(1) << result->tag;
    }
    assert_int_equal(seen, (1 << QT_COUNT(sizes)) - 1);
    assert_int_equal(message_world_server(world)->stats.messages_in, QT_COUNT(sizes) / 2);
    assert_int_equal(message_world_client(world)->stats.messages_out, QT_COUNT(sizes) / 2);
    assert_int_equal(message_world_client(world)->stats.messages_acked, QT_COUNT(sizes) / 2);
}

/* [RFC9221 5] They may be coalesced, and leave in their order. */
static void messages_share_packets_and_records(void **state)
{
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    uint32_t frames = message_world_client(world)->stores.frames.count;
    for (uint32_t i = 0; i < 26; i++)
        assert_int_equal(message_world_send(world, SP_CLIENT, 100, i), SP_DONE);
    struct pair_packet packets[2];
    assert_true(pair_take(&world->pair, SP_CLIENT, &packets[0]));
    assert_true(pair_take(&world->pair, SP_CLIENT, &packets[1]));
    assert_false(pair_take(&world->pair, SP_CLIENT, &packets[1]));
    assert_int_equal(message_world_client(world)->stores.frames.count, frames + 2);
    pair_deliver(&world->pair, SP_SERVER, &packets[0]);
    message_world_pull(world, SP_SERVER);
    assert_in_range(world->arrived_count, 13, 14);
    for (uint32_t i = 0; i < world->arrived_count; i++)
        assert_int_equal(world->sizes[i], 100);
    /* Tiny ones need no entry of the scatter list: as many fit as there is room for. */
    world->arrived_count = 0;
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(message_world_send(world, SP_SERVER, 2, i), SP_DONE);
    assert_int_equal(message_world_carry(world, SP_SERVER), 1);
    assert_int_equal(world->arrived_count, 300);
}

/* A train needs datagrams of one size, and messages rarely fill one.  Sizes of messages, and the
 * least datagrams of the first train. */
static void messages_leave_in_trains(void **state)
{
    static const struct {
        size_t smallest;
        size_t largest;
        uint32_t want;
    } rows[] = {{100, 100, 8}, {800, 800, 8}, {1400, 1400, 8}, {60, 140, 4}, {0, 5, 1}};
    struct message_world *world = *state;
    static uint8_t out[65536];
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        message_world_connect_with(world, 4000, 1 << 20);
        for (uint32_t k = 0; k < 1000; k++) {
            size_t size = rows[i].smallest + k * 7 % (rows[i].largest - rows[i].smallest + 1);
            if (message_world_send(world, SP_CLIENT, size, k) != SP_DONE)
                break;
        }
        struct sp_train train = {.data = out, .capacity = sizeof(out), .count_max = 64};
        uint32_t count = sp_conn_send(message_world_client(world), &train, world->pair.now_ns);
        assert_true(count >= rows[i].want);
        assert_true(train.segment_size <= message_world_client(world)->datagram_size);
        assert_true(train.size > (size_t)(count - 1) * train.segment_size);
        assert_true(train.size <= (size_t)count * train.segment_size);
        uint64_t sent = message_world_client(world)->stats.messages_out;
        for (uint32_t k = 0; k < count; k++) {
            struct pair_packet packet = {
                .size = SB_MIN(train.segment_size, train.size - k * train.segment_size)};
            memcpy(packet.data, out + k * train.segment_size, packet.size);
            pair_deliver(&world->pair, SP_SERVER, &packet);
            message_world_pull(world, SP_SERVER);
        }
        assert_int_equal(world->arrived_count, sent);
    }
}

/* [RFC9221 4, 5] The last sizes before the limit have no length, some have PADDING before them. */
static void the_largest_message_fills_a_datagram(void **state)
{
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    int64_t max = sp_conn_message_size_max(message_world_client(world));
    assert_int_equal(message_world_client(world)->datagram_size, 1472);
    assert_int_equal(max, 1472 - 1 - 8 - 4 - 16 - 1);
    for (uint32_t less = 0; less < 12; less++) {
        size_t size = (size_t)max - less;
        world->arrived_count = 0;
        message_world_run(world);
        assert_int_equal(message_world_send(world, SP_CLIENT, size, less), SP_DONE);
        assert_int_equal(message_world_carry(world, SP_CLIENT), 1);
        assert_int_equal(world->arrived_count, 1);
        assert_int_equal(world->sizes[0], size);
    }
    assert_int_equal(message_world_send(world, SP_CLIENT, (size_t)max + 1, 0), SP_INVALID);
    assert_int_equal(message_world_send(world, SP_CLIENT, 65535, 0), SP_INVALID);
    message_world_run(world);
    assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], 12);
}

/* [RFC9221 3] */
static void nothing_is_sent_that_the_peer_did_not_allow(void **state)
{
    static const struct {
        uint32_t frame_max;
        int64_t want;
    } rows[] = {{0, -1}, {1, -1}, {2, 0}, {3, 1}, {65, 63}, {66, 63}, {67, 64}, {1000, 997}};
    struct message_world *world = *state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        message_world_init(world);
        world->pair.config.message_frame_size_max = rows[i].frame_max;
        message_world_connect(world);
        assert_int_equal(sp_conn_message_size_max(message_world_client(world)), rows[i].want);
        if (rows[i].want < 0) {
            assert_int_equal(message_world_send(world, SP_CLIENT, 0, 0), SP_GONE);
            continue;
        }
        size_t max = (size_t)rows[i].want;
        assert_int_equal(message_world_send(world, SP_CLIENT, max + 1, 0), SP_INVALID);
        assert_int_equal(message_world_send(world, SP_CLIENT, max, 0), SP_DONE);
        message_world_run(world);
        assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], 1);
        assert_int_equal(message_world_server(world)->state, SP_CONN_OPEN);
    }
}

/* [RFC9221 3] The limit counts type and length. */
static void a_frame_above_the_limit_is_a_violation(void **state)
{
    static const struct {
        const char *frame;
        size_t size;
        uint64_t want;
    } rows[] = {
        {"\x30"
         "123456789",
         10, SP_OK},
        {"\x30"
         "1234567890",
         11, SP_ERR_PROTOCOL_VIOLATION},
        {"\x31\x08"
         "12345678",
         10, SP_OK},
        {"\x31\x09"
         "123456789",
         11, SP_ERR_PROTOCOL_VIOLATION},
        {"\x31\x40\x07"
         "1234567",
         10, SP_OK},
        {"\x31\x40\x08"
         "12345678",
         11, SP_ERR_PROTOCOL_VIOLATION},
    };
    struct message_world *world = *state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        message_world_init(world);
        world->pair.config.message_frame_size_max = 10;
        message_world_connect(world);
        pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)rows[i].frame,
                    rows[i].size, PAIR_FAULT_NONE);
        const struct sp_conn *server = message_world_server(world);
        assert_int_equal(server->state == SP_CONN_OPEN ? SP_OK : server->close.error, rows[i].want);
        assert_int_equal(server->stats.messages_in, rows[i].want == SP_OK);
    }
}

/* [RFC9221 5.2] */
static void a_lost_message_is_reported_and_not_sent_again(void **state)
{
    struct message_world *world = *state;
    struct pair_packet packet;
    message_world_connect_with(world, 1024, 1 << 20);
    assert_int_equal(message_world_send(world, SP_CLIENT, 100, 7), SP_DONE);
    assert_true(pair_take(&world->pair, SP_CLIENT, &packet)); /* and it is gone */
    message_world_pull(world, SP_CLIENT);
    assert_int_equal(world->result_count, 0);
    message_world_run(world); /* probes have an answer */
    assert_int_equal(world->arrived_count, 0);
    assert_int_equal(world->result_count, 1);
    assert_int_equal(world->results[0].fate, SP_MESSAGE_LOST);
    assert_int_equal(world->results[0].tag, 7);
    assert_int_equal(message_world_client(world)->stats.messages_lost, 1);
    assert_int_equal(message_world_client(world)->stats.messages_out, 1);
    /* What comes late is delivered all the same, and reported no second time. */
    pair_deliver(&world->pair, SP_SERVER, &packet);
    message_world_run(world);
    assert_int_equal(world->arrived_count, 1);
    assert_int_equal(world->result_count, 1);
}

static void the_queue_is_bounded_and_room_is_reported_once(void **state)
{
    static const struct {
        uint32_t count_max;
        uint64_t bytes_max;
        size_t size;
        uint32_t want;
    } rows[] = {
        {8, 1 << 20, 10, 8},
        {1024, 1000, 100, 10},
        {1, 1, 500, 1},
        {1024, 999, 500, 1},
    };
    struct message_world *world = *state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        uint32_t count = 0;
        message_world_connect_with(world, rows[i].count_max, rows[i].bytes_max);
        while (message_world_send(world, SP_CLIENT, rows[i].size, count) == SP_DONE)
            count++;
        assert_int_equal(count, rows[i].want);
        assert_int_equal(message_world_send(world, SP_CLIENT, rows[i].size, 0), SP_AGAIN);
        message_world_pull(world, SP_CLIENT);
        assert_int_equal(world->room_count, 0);
        message_world_run(world);
        assert_int_equal(world->room_count, 1);
        assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], count);
        assert_int_equal(message_world_send(world, SP_CLIENT, rows[i].size, 0), SP_DONE);
        message_world_run(world);
        assert_int_equal(world->room_count, 1); /* nobody asked */
    }
}

static void queue_with_deadline(struct message_world *world, uint64_t tag, uint64_t in_ns)
{
    const struct sp_message_args args = {
        .data = world->bytes,
        .size = 1000,
        .tag = tag,
        .deadline_ns = in_ns == SB_NEVER ? SB_NEVER : world->pair.now_ns + in_ns,
    };
    assert_int_equal(sp_conn_send_message(message_world_client(world), &args), SP_DONE);
}

/* [RFC9221 5.4] Blocked by the congestion window, in order of the deadlines and out of it. */
static void an_expired_message_is_reported_and_never_sent(void **state)
{
    static const uint64_t orders[2][3] = {{SB_MS, 2 * SB_MS, SB_NEVER},
                                          {SB_NEVER, 2 * SB_MS, SB_MS}};
    struct message_world *world = *state;
    for (uint32_t order = 0; order < 2; order++) {
        size_t size;
        message_world_init(world);
        world->pair.config.pacing = false;
        message_world_connect(world);
        for (uint32_t i = 0; i < 100; i++)
            assert_int_equal(message_world_send(world, SP_CLIENT, 1400, 200), SP_DONE);
        (void)pair_flush(&world->pair, SP_CLIENT, &size);
        assert_int_equal(
            sp_conn_send_wait(message_world_client(world), 1, world->pair.now_ns).reason,
            SP_WAIT_CWND);
        for (uint32_t i = 0; i < 3; i++)
            queue_with_deadline(world, i, orders[order][i]);
        world->pair.now_ns += SB_MS / 2;
        assert_true(sp_conn_deadline_ns(message_world_client(world)) > world->pair.now_ns);
        for (uint32_t i = 1; i <= 2; i++) {
            world->pair.now_ns += SB_MS;
            assert_true(sp_conn_deadline_ns(message_world_client(world)) <= world->pair.now_ns);
            sp_conn_on_deadline(message_world_client(world), world->pair.now_ns);
            message_world_pull(world, SP_CLIENT);
            assert_int_equal(world->result_counts[SP_MESSAGE_EXPIRED], i);
            assert_int_equal(world->results[world->result_count - 1].tag,
                             order == 0 ? i - 1 : 3 - i);
        }
        assert_int_equal(message_world_client(world)->stats.messages_expired, 2);
        assert_int_equal(message_world_client(world)->messages->expire_at_ns, SB_NEVER);
        message_world_run(world);
        assert_int_equal(world->result_count, 103);
        assert_int_equal(message_world_client(world)->stats.messages_out, 101);
    }
}

/* A message whose time is over is not sent either when no timer has run. */
static void a_late_sender_drops_what_has_expired(void **state)
{
    struct message_world *world = *state;
    struct pair_packet packet;
    message_world_connect_with(world, 1024, 1 << 20);
    queue_with_deadline(world, 1, SB_MS);
    queue_with_deadline(world, 2, SB_NEVER);
    world->pair.now_ns += SB_MS;
    assert_true(pair_take(&world->pair, SP_CLIENT, &packet));
    message_world_pull(world, SP_CLIENT);
    assert_int_equal(world->result_counts[SP_MESSAGE_EXPIRED], 1);
    assert_int_equal(world->results[0].tag, 1);
    queue_with_deadline(world, 3, 0);
    assert_false(pair_take(&world->pair, SP_CLIENT, &packet));
    message_world_pull(world, SP_CLIENT);
    assert_int_equal(world->result_counts[SP_MESSAGE_EXPIRED], 2);
}

/* Both have more to send than there is time for. */
static void messages_and_streams_get_equal_parts(void **state)
{
    static const size_t sizes[] = {100, 700, 800, 1400};
    struct message_world *world = *state;
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        uint64_t id, message_bytes = 0;
        message_world_connect_with(world, 1024, 1 << 20);
        assert_int_equal(sp_conn_open(message_world_client(world), true, &id), SP_DONE);
        struct sp_write write = {.data = world->bytes, .size = 65000};
        for (uint32_t k = 0; k < 10; k++)
            assert_int_equal(sp_conn_write(message_world_client(world), id, &write), SP_DONE);
        world->stream_bytes = 0;
        for (uint32_t round = 0; round < 10; round++) {
            while (message_world_send(world, SP_CLIENT, sizes[i], 0) == SP_DONE)
                continue;
            world->pair.now_ns += 10 * SB_MS;
            for (struct pair_packet packet; world->stream_bytes < 200000 &&
                                            message_world_client(world)->messages->out_count > 1 &&
                                            pair_take(&world->pair, SP_CLIENT, &packet);) {
                pair_deliver(&world->pair, SP_SERVER, &packet);
                message_world_pull(world, SP_SERVER);
            }
            (void)message_world_carry(world, SP_SERVER);
            world->arrived_count = world->result_count = 0;
        }
        message_bytes = message_world_server(world)->stats.messages_in * (sizes[i] + 3);
        assert_true(world->stream_bytes > 50000);
        assert_true(message_bytes * 10 > world->stream_bytes * 9);
        assert_true(message_bytes * 9 < world->stream_bytes * 10);
    }
}

/* An ACK that is pending would take a few bytes of the packet. */
static void a_pending_ack_does_not_hold_back_a_large_message(void **state)
{
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    size_t max = (size_t)sp_conn_message_size_max(message_world_client(world));
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(message_world_send(world, SP_SERVER, 10, 0), SP_DONE);
        struct pair_packet packet;
        assert_true(pair_take(&world->pair, SP_SERVER, &packet));
        pair_deliver(&world->pair, SP_CLIENT, &packet);
        message_world_pull(world, SP_CLIENT);
        uint32_t before = world->arrived_count;
        assert_int_equal(message_world_send(world, SP_CLIENT, max, i), SP_DONE);
        assert_in_range(message_world_carry(world, SP_CLIENT), 1, 2);
        assert_int_equal(world->arrived_count, before + 1);
    }
    message_world_run(world);
    assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], 20);
}

/* The path takes less than when the message was queued: nothing must wait for ever. */
static void a_message_that_fits_no_more_is_given_up(void **state)
{
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    size_t max = (size_t)sp_conn_message_size_max(message_world_client(world));
    assert_int_equal(message_world_send(world, SP_CLIENT, max, 1), SP_DONE);
    assert_int_equal(message_world_send(world, SP_CLIENT, 1000, 2), SP_DONE);
    sp_conn_on_too_large(message_world_client(world), 1472, world->pair.now_ns);
    assert_int_equal(sp_conn_message_size_max(message_world_client(world)),
                     1200 - 1 - 8 - 4 - 16 - 1);
    message_world_run(world);
    assert_int_equal(world->arrived_count, 1);
    assert_int_equal(world->result_counts[SP_MESSAGE_DROPPED], 1);
    assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], 1);
}

/* Copies are the library's, and silent ones end without a report. */
static void copied_bytes_may_change_at_once(void **state)
{
    static const size_t sizes[] = {0, 1, 256, 257, 1400};
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    uint64_t used = sp_pools_used(&world->pair.pools);
    for (uint32_t i = 0; i < 2 * QT_COUNT(sizes); i++) {
        uint8_t bytes[1400];
        memcpy(bytes, world->bytes, sizeof(bytes));
        const struct sp_message_args args = {.data = bytes,
                                             .size = sizes[i / 2],
                                             .tag = i,
                                             .deadline_ns = SB_NEVER,
                                             .is_copied = true,
                                             .is_silent = i % 2 == 1};
        assert_int_equal(sp_conn_send_message(message_world_client(world), &args), SP_DONE);
        memset(bytes, 0xee, sizeof(bytes));
    }
    assert_true(sp_conn_memory_bytes(message_world_client(world)) > 4 * 1400);
    message_world_run(world);
    assert_int_equal(world->arrived_count, 2 * QT_COUNT(sizes));
    assert_int_equal(world->result_count, QT_COUNT(sizes));
    for (uint32_t i = 0; i < world->result_count; i++)
        assert_int_equal(world->results[i].tag % 2, 0);
    /* The states of both sides, and their holdings, stay. */
    assert_int_equal(sp_pools_used(&world->pair.pools), used + 4);
}

/* Without memory for the record of a packet nothing is lost. */
static void a_message_waits_for_memory(void **state)
{
    struct message_world *world = *state;
    message_world_connect_with(world, 1024, 1 << 20);
    assert_int_equal(message_world_send(world, SP_CLIENT, 100, 1), SP_DONE);
    message_world_drain(world, &world->pair.pools.frames);
    struct pair_packet packet;
    assert_false(pair_take(&world->pair, SP_CLIENT, &packet));
    assert_int_equal(sp_conn_send_wait(message_world_client(world), 1, world->pair.now_ns).reason,
                     SP_WAIT_MEMORY);
    message_world_refill(world);
    message_world_run(world);
    assert_int_equal(world->result_counts[SP_MESSAGE_ACKED], 1);
    message_world_drain(world, &world->pair.pools.messages);
    assert_int_equal(message_world_send(world, SP_CLIENT, 100, 1), SP_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(message_world, a_message_arrives_whole_and_is_reported_once),
        QT_TEST(message_world, messages_share_packets_and_records),
        QT_TEST(message_world, messages_leave_in_trains),
        QT_TEST(message_world, the_largest_message_fills_a_datagram),
        QT_TEST(message_world, nothing_is_sent_that_the_peer_did_not_allow),
        QT_TEST(message_world, a_frame_above_the_limit_is_a_violation),
        QT_TEST(message_world, a_lost_message_is_reported_and_not_sent_again),
        QT_TEST(message_world, the_queue_is_bounded_and_room_is_reported_once),
        QT_TEST(message_world, an_expired_message_is_reported_and_never_sent),
        QT_TEST(message_world, a_late_sender_drops_what_has_expired),
        QT_TEST(message_world, messages_and_streams_get_equal_parts),
        QT_TEST(message_world, a_pending_ack_does_not_hold_back_a_large_message),
        QT_TEST(message_world, a_message_that_fits_no_more_is_given_up),
        QT_TEST(message_world, copied_bytes_may_change_at_once),
        QT_TEST(message_world, a_message_waits_for_memory),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
