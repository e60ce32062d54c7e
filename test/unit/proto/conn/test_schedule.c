/* SPDX-License-Identifier: MIT */
/* Which stream sends next: RFC 9218, Sections 4 and 10. */

#include "test/support/qt.h"

#include "proto/base/steps.h"
#include "proto/base/time.h"
#include "proto/conn/recovery.h"
#include "proto/conn/schedule.h"
#include "proto/conn/streams.h"
#include "test/support/conn_pair.h"

enum { STREAMS_MAX = 10000, BYTES = 4000000, TRAIN_SIZE = 65507 };

static const uint8_t bytes[BYTES];

QT_FIXTURE(conn_pair, pair_deinit)

static struct sp_conn *client_of(struct conn_pair *pair)
{
    return pair_conn(pair, SP_CLIENT);
}

static struct sp_stream *stream_of(struct conn_pair *pair, uint64_t id)
{
    struct sp_stream *stream = sp_stream_map_find(&client_of(pair)->streams, id);
    assert_non_null(stream);
    return stream;
}

/* A client that nothing but the schedule holds back. */
static void connect_freely(struct conn_pair *pair)
{
    pair_init(pair);
    pair->config.streams_uni_max = pair->config.streams_local_max = STREAMS_MAX;
    pair->config.stream_window_bytes = pair->config.stream_window_bytes_max = 4 * BYTES;
    pair->config.conn_window_bytes = pair->config.conn_window_bytes_max = UINT64_C(1) << 40;
    pair->memory_left = UINT64_MAX;
    pair_connect(pair);
    client_of(pair)->loss.path->cc.cwnd_bytes = UINT64_C(1) << 40;
    client_of(pair)->loss.path->pacer.rate_bytes_per_s = 0;
}

static uint64_t begin(struct conn_pair *pair, uint64_t size)
{
    uint64_t id;
    struct sp_write write = {.data = bytes, .size = size};
    assert_int_equal(sp_conn_open(client_of(pair), true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(client_of(pair), id, &write), SP_DONE);
    return id;
}

static void prioritize(struct conn_pair *pair, uint64_t id, uint32_t urgency, bool is_incremental)
{
    assert_int_equal(sp_conn_stream_set_priority(client_of(pair), id, urgency, is_incremental),
                     SP_DONE);
}

/* Sends `count` trains of one datagram, or of as many as fit.  They go nowhere. */
static void send_trains(struct conn_pair *pair, uint32_t count, uint32_t datagrams)
{
    static uint8_t data[TRAIN_SIZE];
    struct sp_conn *conn = client_of(pair);
    for (uint32_t i = 0; i < count; i++) {
        struct sp_train train = {.data = data, .capacity = TRAIN_SIZE, .count_max = datagrams};
        assert_true(sp_conn_send(conn, &train, pair->now_ns) > 0);
    }
    sp_conn_check(conn);
}

static uint64_t sent(struct conn_pair *pair, uint64_t id)
{
    return stream_of(pair, id)->send.delivery.sent_end;
}

static void streams_share_until_someone_has_a_preference(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    uint64_t a = begin(pair, BYTES), b = begin(pair, BYTES);
    prioritize(pair, a, SP_URGENCY_FIRST, true); /* what it has already */
    assert_null(client_of(pair)->priorities);
    send_trains(pair, 100, 1);
    assert_in_range(sent(pair, a), sent(pair, b) - 1500, sent(pair, b) + 1500);
}

/* [RFC9218 4.1] Of 17 bytes a less urgent stream has one, in packets and in runs. */
static void the_most_urgent_stream_has_nearly_all(void **state)
{
    struct conn_pair *pair = *state;
    static const uint32_t datagrams[] = {1, 64};
    connect_freely(pair);
    uint64_t low = begin(pair, BYTES), high = begin(pair, BYTES), lowest = begin(pair, BYTES);
    prioritize(pair, high, 0, true);
    prioritize(pair, lowest, 7, false);
    uint64_t low_before = 0, high_before = 0, lowest_before = 0;
    for (size_t i = 0; i < QT_COUNT(datagrams); i++) {
        send_trains(pair, 680 / datagrams[i], datagrams[i]);
        uint64_t high_sent = sent(pair, high) - high_before;
        uint64_t low_sent = sent(pair, low) - low_before;
        uint64_t lowest_sent = sent(pair, lowest) - lowest_before;
        assert_in_range((low_sent + lowest_sent) * 17, high_sent / 2, high_sent * 3 / 2);
        assert_in_range(lowest_sent, low_sent / 2, low_sent * 2);
        high_before += high_sent;
        low_before += low_sent;
        lowest_before += lowest_sent;
    }
}

/* [RFC9218 4.2, 10] In the order of their IDs, and before the incremental ones. */
static void streams_that_are_not_incremental_come_one_after_the_other(void **state)
{
    struct conn_pair *pair = *state;
    enum { SIZE = 30000 };
    connect_freely(pair);
    uint64_t shared = begin(pair, BYTES), a = begin(pair, SIZE), b = begin(pair, SIZE),
             c = begin(pair, SIZE);
    prioritize(pair, c, 3, false);
    prioritize(pair, b, 3, false);
    prioritize(pair, a, 3, false);
    for (int i = 0; i < 100 && sent(pair, c) < SIZE; i++) {
        send_trains(pair, 1, 1);
        assert_true(sent(pair, b) == 0 || sent(pair, a) == SIZE);
        assert_true(sent(pair, c) == 0 || sent(pair, b) == SIZE);
    }
    assert_int_equal(sent(pair, c), SIZE);
    assert_in_range(sent(pair, shared), 1, 3 * SIZE / 10);
}

/* One that wrote all it had, and writes more, goes on before those after it. */
static void a_stream_that_pauses_keeps_its_place(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    uint64_t a = begin(pair, 2000), b = begin(pair, BYTES);
    prioritize(pair, a, 3, false);
    prioritize(pair, b, 3, false);
    send_trains(pair, 3, 1);
    assert_int_equal(sent(pair, a), 2000);
    uint64_t before = sent(pair, b);
    assert_true(before > 0);
    struct sp_write write = {.data = bytes, .size = 20000};
    assert_int_equal(sp_conn_write(client_of(pair), a, &write), SP_DONE);
    send_trains(pair, 8, 1);
    assert_int_equal(sent(pair, b), before);
    assert_in_range(sent(pair, a), 2000 + 8 * 1000, 22000);
}

static void a_priority_may_change_at_any_time(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    uint64_t a = begin(pair, BYTES), b = begin(pair, BYTES);
    for (int i = 0; i < 20; i++) {
        uint64_t high = i % 2 == 0 ? a : b, low = i % 2 == 0 ? b : a;
        prioritize(pair, high, 1, i % 3 == 0);
        prioritize(pair, low, 2, i % 5 == 0);
        uint64_t high_before = sent(pair, high), low_before = sent(pair, low);
        send_trains(pair, 17, 1);
        assert_true(sent(pair, high) - high_before >= 15 * 1000);
        assert_true(sent(pair, low) - low_before <= 2 * 1472);
    }
    /* Before there is anything to send, and after all was. */
    uint64_t id;
    assert_int_equal(sp_conn_open(client_of(pair), true, &id), SP_DONE);
    prioritize(pair, id, 0, false);
    struct sp_write write = {.data = bytes, .size = 100, .fin = true};
    assert_int_equal(sp_conn_write(client_of(pair), id, &write), SP_DONE);
    send_trains(pair, 2, 1);
    assert_int_equal(sent(pair, id), 100);
    prioritize(pair, id, 7, true);
}

/* Lost bytes of a stream that nobody hurries go out within the turns of one round. */
static void retransmissions_have_their_share(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    uint64_t low = begin(pair, 5000), high = begin(pair, BYTES);
    prioritize(pair, low, 7, true);
    send_trains(pair, 6 * 17, 1);
    assert_int_equal(sent(pair, low), 5000);
    prioritize(pair, high, 0, true);
    struct sp_conn *conn = client_of(pair);
    const struct sp_stream *stream = stream_of(pair, low);
    sp_conn_retransmit_probed(conn, SP_SPACE_APP, 1000);
    assert_int_equal(sp_stream_send_want(&stream_of(pair, low)->send, 0), SP_WANT_SEND);
    uint32_t refs = stream->sent_refs;
    send_trains(pair, SP_SCHEDULE_SHARE + 2, 1);
    assert_true(stream->sent_refs > refs);
}

/* 10,000 streams of all priorities: a packet costs what it costs with 16. */
static void the_cost_does_not_depend_on_the_number_of_streams(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    uint64_t steps[2] = {0};
    for (uint32_t i = 0; i < STREAMS_MAX - 1; i++) {
        uint64_t id = begin(pair, 100000);
        prioritize(pair, id, i % 8, i / 8 % 2 == 0);
        if (i != 15 && i != STREAMS_MAX - 2)
            continue;
        uint64_t before = SB_STEPS_COUNT();
        send_trains(pair, 100, 1);
        steps[i != 15] = SB_STEPS_COUNT() - before;
    }
    assert_in_range(steps[1], 1, steps[0] * 11 / 10);
    assert_in_range(steps[1], 1, 100 * 10 * SP_PRIORITIES);
    uint64_t before = SB_STEPS_COUNT();
    prioritize(pair, 1000 << 2 | SP_STREAM_IS_UNI, 0, false);
    assert_in_range(SB_STEPS_COUNT() - before, 0, 20);
}

/* Whoever may change priorities changes them all the time: others send nearly as before. */
static void endless_changes_win_no_turns(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    uint64_t hostile = begin(pair, BYTES), a = begin(pair, BYTES), b = begin(pair, BYTES);
    prioritize(pair, a, 2, true);
    prioritize(pair, b, 2, true);
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < 50; k++) /* ends among its equals */
            prioritize(pair, hostile, (uint32_t)(k % 2) + 1, true);
        send_trains(pair, 1, 1);
    }
    assert_in_range(sent(pair, a), sent(pair, b) - 1500, sent(pair, b) + 1500);
    assert_true(sent(pair, hostile) <= sent(pair, a) + 1500);

    /* Saying the same again keeps its place: it neither loses nor wins. */
    uint64_t a_before = sent(pair, a), hostile_before = sent(pair, hostile);
    prioritize(pair, hostile, 2, true);
    for (int i = 0; i < 300; i++) {
        prioritize(pair, hostile, 2, true);
        send_trains(pair, 1, 1);
    }
    uint64_t a_sent = sent(pair, a) - a_before, hostile_sent = sent(pair, hostile) - hostile_before;
    assert_in_range(hostile_sent, a_sent - 3000, a_sent + 3000);
}

/* A thousand streams at the greatest urgency do not starve one at the least. */
static void a_flood_of_urgent_streams_starves_nobody(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    uint64_t low = begin(pair, BYTES);
    prioritize(pair, low, 7, true);
    for (int i = 0; i < 1000; i++)
        prioritize(pair, begin(pair, 10000), 0, i % 2 == 0);
    send_trains(pair, 340, 1);
    /* Half of a seventeenth, where a turn may be but the rest of a packet. */
    assert_in_range(sent(pair, low), 7 * 1472, 12 * 1472);
}

/* Credit of the connection that comes late goes to the most urgent streams first. */
static void credit_goes_to_the_most_urgent(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    struct sp_conn *conn = client_of(pair);
    conn->max_data = conn->data_sent + 3000;
    uint64_t low = begin(pair, BYTES), high = begin(pair, BYTES);
    prioritize(pair, low, 5, true);
    prioritize(pair, high, 4, true);
    send_trains(pair, 3, 1);
    assert_int_equal(sent(pair, high) + sent(pair, low), 3000);
    assert_true(sent(pair, high) >= sent(pair, low));
    uint64_t before = sent(pair, low);
    sp_conn_on_max_data(conn, conn->max_data + 12000);
    send_trains(pair, 8, 1);
    assert_in_range(sent(pair, low) - before, 0, 1472);
}

static void wrong_arguments_are_refused(void **state)
{
    struct conn_pair *pair = *state;
    connect_freely(pair);
    struct sp_conn *conn = client_of(pair);
    uint64_t id = begin(pair, 100);
    assert_int_equal(sp_conn_stream_set_priority(conn, id, 8, true), SP_INVALID);
    assert_int_equal(sp_conn_stream_set_priority(conn, id + 400, 1, true), SP_GONE);
    pair->memory_left = 0;
    assert_int_equal(sp_conn_stream_set_priority(conn, id, 1, true), SP_NO_MEMORY);
    assert_int_equal(stream_of(pair, id)->priority, SP_PRIORITY_FIRST);
    pair->memory_left = UINT64_MAX;
    assert_int_equal(sp_conn_stream_set_priority(conn, id, 1, true), SP_DONE);
    uint64_t with = sp_conn_memory_bytes(conn);
    assert_true(with >= sizeof(struct sp_priorities));

    struct sp_stream *theirs;
    uint64_t uni = SP_STREAM_IS_UNI | SP_STREAM_BY_SERVER;
    assert_int_equal(sp_conn_stream_of_frame(conn, uni, false, &theirs), SP_OK);
    assert_int_equal(sp_conn_stream_set_priority(conn, uni, 1, true), SP_INVALID);
    assert_int_equal(sp_conn_reset(conn, id, 1), SP_DONE);
    sp_conn_close(conn, 0, NULL, 0, pair->now_ns);
    assert_int_equal(sp_conn_stream_set_priority(conn, id, 1, true), SP_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, streams_share_until_someone_has_a_preference),
        QT_TEST(conn_pair, the_most_urgent_stream_has_nearly_all),
        QT_TEST(conn_pair, streams_that_are_not_incremental_come_one_after_the_other),
        QT_TEST(conn_pair, a_stream_that_pauses_keeps_its_place),
        QT_TEST(conn_pair, a_priority_may_change_at_any_time),
        QT_TEST(conn_pair, retransmissions_have_their_share),
        QT_TEST(conn_pair, the_cost_does_not_depend_on_the_number_of_streams),
        QT_TEST(conn_pair, endless_changes_win_no_turns),
        QT_TEST(conn_pair, a_flood_of_urgent_streams_starves_nobody),
        QT_TEST(conn_pair, credit_goes_to_the_most_urgent),
        QT_TEST(conn_pair, wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
