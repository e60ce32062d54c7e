/* SPDX-License-Identifier: MIT */
/* Credit that an event gives the peer leaves in the turn that brings the event, however late that
 * is: perhaps nothing else is sent for long. */

#include "test/support/spate_world.h"

#include <errno.h>

#define MS UINT64_C(1000000)

enum { STREAMS = 4, QUEUE = 256 /* events of a shard that nobody has taken */ };

static void few_streams(struct spate_config *config)
{
    config->streams_uni_max = STREAMS;
    config->message_frame_size_max = 1200;
    config->idle_timeout_ns = 60000 * MS;
}

/* A turn of both ends in which the server's events stay where they are. */
static void turn_untaken(struct pw *w)
{
    pw_wait(&w->client, 0);
    assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
}

/* The server's queue of events fills with datagrams. */
static void fill_queue(struct pw *w, struct spate_conn *conn)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (spate_shard_turn(w->server.shard, 0) < QUEUE) {
        assert_true(pw_now_ns() < end_ns);
        (void)spate_conn_datagram_send(conn, "x", 1, 0, SPATE_FOREVER, SPATE_DATAGRAM_COPY);
        pw_wait(&w->client, 0);
    }
}

static void a_stream_that_ends_late_lets_the_peer_open_another(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = few_streams, .client = few_streams});
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    pw_for(w, 100 * MS);
    fill_queue(w, conn);
    for (uint32_t i = 0; i < STREAMS; i++) {
        assert_int_equal(spate_stream_open(conn, true, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, NULL, 0, true, 0), 0);
    }
    for (uint64_t end_ns = pw_now_ns() + 300 * MS; pw_now_ns() < end_ns;)
        turn_untaken(w); /* all is acknowledged */
    assert_int_equal(spate_stream_open(conn, true, &id), -EAGAIN);
    for (uint64_t end_ns = pw_now_ns() + 300 * MS; pw_now_ns() < end_ns;)
        turn_untaken(w); /* STREAMS_BLOCKED as well */

    pw_hand_out(&w->server);
    for (uint32_t i = 0; i < 4; i++) { /* OPENED, the end, CLOSED: the server alone runs */
        assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
        pw_hand_out(&w->server);
    }
    for (uint32_t i = 0; i < 100; i++)
        pw_wait(&w->client, 0);
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_stream_that_ends_late_lets_the_peer_open_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
