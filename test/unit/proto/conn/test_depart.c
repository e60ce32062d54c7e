/* SPDX-License-Identifier: MIT */
/* Trains that the host holds until they are due: when they depart, and what is recorded of them. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/support/conn_pair.h"

enum { BYTES = 1 << 20, RATE = 12500000, BURST = 14720, RTT_NS = 20 * SB_MS };

static const uint8_t bytes[BYTES];
static uint8_t data[1 << 17];

QT_FIXTURE(conn_pair, pair_deinit)

static struct sp_conn *client_of(struct conn_pair *pair)
{
    return pair_conn(pair, SP_CLIENT);
}

/* A connected client whose pacer allows RATE, with bytes to send. */
static struct sp_conn *begin(struct conn_pair *pair)
{
    uint64_t stream;
    pair_init(pair);
    pair_connect(pair);
    for (int i = 0; i < 3; i++) {
        pair->now_ns += 30 * SB_MS;
        pair_shuttle(pair);
    }
    struct sp_conn *conn = client_of(pair);
    conn->loss.path->cc.cwnd_bytes = BYTES;
    conn->loss.path->rtt.min_ns = conn->loss.path->rtt.smoothed_ns = RTT_NS;
    conn->loss.path->pacer = (struct sp_pacer){.rate_bytes_per_s = RATE, .burst_bytes = BURST};
    assert_int_equal(sp_conn_open(conn, false, &stream), SP_DONE);
    struct sp_write write = {.data = bytes, .size = BYTES};
    assert_int_equal(sp_conn_write(conn, stream, &write), SP_DONE);
    return conn;
}

static struct sp_train train_of(uint64_t ahead_ns, uint64_t depart_min_ns)
{
    return (struct sp_train){
        .data = data,
        .capacity = sizeof(data),
        .count_max = 64,
        .ahead_ns = ahead_ns,
        .depart_min_ns = depart_min_ns,
    };
}

/* Sends all that it can.  Returns when the last train departs, 0 if there was none. */
static uint64_t send_all(struct conn_pair *pair, uint64_t ahead_ns, uint64_t *last_ns,
                         uint32_t *ret_count)
{
    uint64_t depart_ns = 0;
    *ret_count = 0;
    for (;;) {
        struct sp_train train = train_of(ahead_ns, *last_ns);
        if (sp_conn_send(client_of(pair), &train, pair->now_ns) == 0)
            return depart_ns;
        assert_true(train.depart_ns >= *last_ns);
        *last_ns = depart_ns = train.depart_ns;
        *ret_count += train.count;
        struct sp_sent *sent = &client_of(pair)->loss.app.sent;
        uint64_t pn = sent->next_pn - 1;
        const struct sp_sent_packet *packet = sp_sent_next(sent, pn, false, &pn);
        assert_non_null(packet);
        assert_int_equal(packet->sent_ns, SB_MAX(train.depart_ns, pair->now_ns));
    }
}

/* The first burst leaves at once; then trains of two datagrams depart at the pacer's times, up to
 * the end of what the host may hold, and the next wake-up comes when half of that is used. */
static void trains_depart_at_the_times_of_the_pacer(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *conn = begin(pair);
    uint64_t last_ns = 0, start_ns = pair->now_ns, sent = 0;
    uint32_t count;
    (void)send_all(pair, 2 * SB_MS, &last_ns, &count);
    for (uint32_t i = 0; i < 20; i++) {
        sent += count * (uint64_t)conn->datagram_size;
        assert_in_range(last_ns, pair->now_ns + 1 * SB_MS, pair->now_ns + 2 * SB_MS);
        uint64_t allowed = BURST + (last_ns - start_ns) * RATE / SB_S + conn->datagram_size;
        assert_true(sent <= allowed);
        assert_true(sent + 3 * conn->datagram_size >= allowed);
        uint64_t wake_ns = sp_conn_deadline_ns(conn);
        assert_in_range(wake_ns, pair->now_ns + 1, last_ns);
        pair->now_ns = wake_ns;
        sp_conn_on_deadline(conn, pair->now_ns);
        (void)send_all(pair, 2 * SB_MS, &last_ns, &count);
        assert_true(count >= 2);
    }
}

/* Whoever does not hold trains gets none for later. */
static void without_a_host_that_holds_trains_none_is_made_ahead(void **state)
{
    struct conn_pair *pair = *state;
    (void)begin(pair);
    uint64_t last_ns = 0;
    uint32_t count;
    assert_int_equal(send_all(pair, 0, &last_ns, &count), 0);
    /* A burst; a probe of the path's MTU does not wait for the pacer. */
    uint32_t burst_count = BURST / (uint32_t)client_of(pair)->datagram_size;
    assert_in_range(count, burst_count, burst_count + 2);
    assert_true(sp_conn_deadline_ns(client_of(pair)) > pair->now_ns + 500 * SB_US);
}

/* At most half a round trip, and at most 4 ms: so whoever holds nothing in fact does not spoil the
 * samples. */
static void the_time_ahead_is_bounded(void **state)
{
    struct conn_pair *pair = *state;
    static const struct {
        uint64_t ahead_ns, rtt_ns, want_ns;
    } samples[] = {
        {2 * SB_MS, 100 * SB_MS, 2 * SB_MS},
        {2 * SB_MS, 2 * SB_MS, 1 * SB_MS},
        {SB_S, 100 * SB_MS, 4 * SB_MS},
        {SB_S, 100, 50},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_conn *conn = begin(pair);
        conn->loss.path->rtt.min_ns = samples[i].rtt_ns;
        uint64_t last_ns = 0;
        uint32_t count;
        (void)send_all(pair, samples[i].ahead_ns, &last_ns, &count);
        assert_int_equal(conn->ahead_ns, samples[i].want_ns);
        assert_true(last_ns <= pair->now_ns + samples[i].want_ns);
    }
}

/* An ACK that is due does not overtake what is held: the peer would take that for lost. */
static void nothing_overtakes_what_is_held(void **state)
{
    struct conn_pair *pair = *state;
    (void)begin(pair);
    uint64_t last_ns = 0;
    uint32_t count;
    (void)send_all(pair, 2 * SB_MS, &last_ns, &count);
    assert_true(last_ns > pair->now_ns);
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE);
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE);
    struct sp_train train = train_of(2 * SB_MS, last_ns);
    assert_true(sp_conn_send(client_of(pair), &train, pair->now_ns) > 0);
    assert_true(train.depart_ns >= last_ns);
}

/* The horizon may shrink below what is held already, as when a shorter round trip was measured:
 * the next train then departs with the last one at the earliest, and time is not spun away. */
static void a_horizon_that_shrinks_is_no_endless_wake_up(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *conn = begin(pair);
    uint64_t last_ns = 0;
    uint32_t count;
    (void)send_all(pair, 2 * SB_MS, &last_ns, &count);
    conn->loss.path->rtt.min_ns = 20 * SB_US;
    (void)send_all(pair, 2 * SB_MS, &last_ns, &count);
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t wake_ns = sp_conn_deadline_ns(conn);
        assert_true(wake_ns > pair->now_ns);
        pair->now_ns = wake_ns;
        sp_conn_on_deadline(conn, pair->now_ns);
        (void)send_all(pair, 2 * SB_MS, &last_ns, &count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, trains_depart_at_the_times_of_the_pacer),
        QT_TEST(conn_pair, without_a_host_that_holds_trains_none_is_made_ahead),
        QT_TEST(conn_pair, the_time_ahead_is_bounded),
        QT_TEST(conn_pair, nothing_overtakes_what_is_held),
        QT_TEST(conn_pair, a_horizon_that_shrinks_is_no_endless_wake_up),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
