/* SPDX-License-Identifier: MIT */
/* Channels, with both shards and the channel on the test's own thread: what is answered, and what
 * waits where. */

#include "test/support/channel_user.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* ---- Requests ---- */

static void a_request_and_its_response_go_through_a_channel(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    static int stream;
    assert_int_not_equal(u->conn_id, 0);
    assert_ptr_equal(u->conn_user, w);
    assert_null(spate_shard_conn(w->client.shard, u->conn_id)); /* it is not the application's */

    /* Both commands before the stream exists. */
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, &stream), 0);
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST, cu_pattern, 9000, true),
        0);
    uint64_t sent = u->next_tag - 1;
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_STREAM_CLOSED], 1);
    assert_int_equal(u->bytes_in, 9000);
    assert_int_equal(u->fin_count, 1);
    assert_ptr_equal(u->stream_user, &stream);
    assert_int_equal(cu_result(u, sent), 0);
    assert_true(u->acked[sent]);
    assert_int_equal(u->answered_count, u->asked_count);
    assert_int_equal(w->client.connected_count, 0); /* no event went to the application */

    assert_int_equal(CU_ASK(u, spate_channel_conn_close, u->conn_id, 7, "enough"), 0);
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_CLOSED], 1);
    assert_int_equal(u->close.kind, SPATE_CLOSE_APP);
    assert_int_equal(u->close.error, 7);
    assert_string_equal(u->reason, "enough");
    spate_channel_close(u->channel, 0);
    cu_run_until_over(w, u);
    assert_int_equal(u->end_result, 0);
    assert_true(pw_stats(&w->client).channel_commands >= 4);
}

/* A thread that queues many has the first ones executed meanwhile. */
static void commands_are_seen_when_they_are_flushed(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_user(w, NULL);
    u->is_lazy = true;
    for (uint64_t i = 1; i <= 33; i++) {
        assert_int_equal(CU_ASK(u, spate_channel_stream_open, 0, false, NULL), 0);
        pw_turn(w);
        assert_int_equal(pw_stats(&w->client).channel_commands, i < 32 ? 0 : 32);
    }
    spate_channel_flush(u->channel);
    spate_channel_flush(u->channel);
    pw_turn(w);
    assert_int_equal(pw_stats(&w->client).channel_commands, 33);
    cu_take(u);
    assert_int_equal(u->answered_count, 33);
}

static void one_stream_carries_many_writes_in_order(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    const struct spate_channel_options few = {
        .size = sizeof(few), .commands_max = 5, .results_max = 3};
    struct cu *u = cu_connected(w, &few);
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), 0);
    for (size_t at = 0; at < CU_PATTERN_SIZE;) {
        size_t size = SPATE_DATAGRAM_COPY_SIZE_MAX / 2 + at % 7;
        size = size < CU_PATTERN_SIZE - at ? size : CU_PATTERN_SIZE - at;
        int result = CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST,
                            cu_pattern + at, size, at + size == CU_PATTERN_SIZE);
        if (result == 0) {
            at += size;
            continue;
        }
        assert_int_equal(result, -EAGAIN);
        pw_turn(w);
        cu_take(u);
    }
    cu_run_until(w, u, &u->fin_count, 1);
    assert_int_equal(u->bytes_in, CU_PATTERN_SIZE);
    spate_channel_close(u->channel, 0);
    cu_run_until_over(w, u);
}

/* What cannot be done is an answer, with the errno of the function that does it. */
static void what_cannot_be_done_is_answered(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    struct spate_connect_options bad;
    struct spate_error error = {""};
    cu_options(w, &bad);
    bad.tls = NULL;
    uint64_t id = u->conn_id;
    uint64_t first = u->next_tag;
    assert_int_equal(CU_ASK(u, spate_channel_stream_send, id, SPATE_STREAM_LAST, "x", 1, false), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_send, id + 1, 0, "x", 1, false), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_send, id, 400, "x", 1, false), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_reset, id, 400, 0), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_stop, id, 400, UINT64_MAX), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_set_user, id, 400, NULL), 0);
    assert_int_equal(CU_ASK(u, spate_channel_datagram_send, id, "x", 1, SPATE_FOREVER, 0), 0);
    assert_int_equal(CU_ASK(u, spate_channel_conn_close, UINT64_MAX, 0, NULL), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, 0, false, NULL), 0);
    assert_int_equal(CU_ASK(u, spate_channel_connect, &bad, &error), 0);
    const int wanted[] = {-EPIPE, -ENOTCONN,   -EPIPE,    -EPIPE,    -EINVAL,
                          -EPIPE, -EOPNOTSUPP, -ENOTCONN, -ENOTCONN, -EINVAL};
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    for (size_t i = 0; i < QT_COUNT(wanted); i++)
        assert_int_equal(cu_result(u, first + i), wanted[i]);
    assert_string_not_equal(error.text, "");
}

static void what_no_command_can_be_is_refused(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_user(w, NULL);
    struct spate_channel *c = u->channel;
    const unsigned both = SPATE_DATAGRAM_COPY | SPATE_DATAGRAM_SILENT;
    struct spate_slice none = {0};
    assert_int_equal(spate_channel_connect(c, NULL, NULL, 0), -EINVAL);
    assert_int_equal(spate_channel_stream_send(c, 1, 0, NULL, 1, false, 0), -EINVAL);
    assert_int_equal(spate_channel_stream_send(c, 1, 0, "", 0, false, 0), -EINVAL);
    assert_int_equal(spate_channel_stream_send(c, 1, 0, "", SPATE_SEND_SIZE_MAX + 1, false, 0),
                     -EINVAL);
    assert_int_equal(spate_channel_datagram_send(c, 1, NULL, 1, 0, 0, 0), -EINVAL);
    assert_int_equal(spate_channel_datagram_send(c, 1, "x", 1, 0, both, 0), -EINVAL);
    assert_int_equal(spate_channel_datagram_send(c, 1, "x", 1, 0, 8, 0), -EINVAL);
    assert_int_equal(spate_channel_release(c, &none), 0);
    pw_turn(w);
    assert_int_equal(cu_take(u), 0);
}

static void a_reset_and_a_stop_reach_the_peer(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    w->server.on_event = NULL;
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST, cu_pattern,
                            CU_PATTERN_SIZE, false),
                     0);
    uint64_t sent = u->next_tag - 1;
    assert_int_equal(CU_ASK(u, spate_channel_stream_reset, u->conn_id, SPATE_STREAM_LAST, 3), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_stop, u->conn_id, SPATE_STREAM_LAST, 4), 0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(cu_result(u, sent), 0);
    assert_false(u->acked[sent]); /* it came back by the reset */
    assert_int_equal(cu_result(u, sent + 1), 0);
    assert_int_equal(cu_result(u, sent + 2), 0);
}

/* ---- What waits ---- */

static void commands_without_an_answer_have_a_bound(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    const struct spate_channel_options few = {.size = sizeof(few), .commands_max = 3};
    struct cu *u = cu_user(w, &few);
    for (int lap = 0; lap < 5; lap++) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(CU_ASK(u, spate_channel_stream_open, 0, false, NULL), 0);
        assert_int_equal(CU_ASK(u, spate_channel_stream_open, 0, false, NULL), -EAGAIN);
        pw_turn(w); /* they are answered, and the answers not taken */
        assert_int_equal(CU_ASK(u, spate_channel_stream_open, 0, false, NULL), -EAGAIN);
        while (cu_take(u) > 0)
            continue;
        assert_int_equal(u->answered_count, u->asked_count);
    }
}

/* Commands without an answer fill the queue as well.  A wait ends when there is room. */
static void a_wait_after_a_full_queue_ends_with_room(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    const struct spate_channel_options few = {.size = sizeof(few), .commands_max = 4};
    struct cu *u = cu_user(w, &few);
    const unsigned silent = SPATE_DATAGRAM_SILENT;
    for (int i = 0; i < 4; i++)
        assert_int_equal(spate_channel_datagram_send(u->channel, 1, "", 0, 0, silent, 0), 0);
    assert_int_equal(spate_channel_wait(u->channel, 0), -ETIMEDOUT);
    assert_int_equal(spate_channel_datagram_send(u->channel, 1, "", 0, 0, silent, 0), -EAGAIN);
    struct pollfd polled = {.fd = spate_channel_fd(u->channel), .events = POLLIN};
    assert_false(spate_channel_prepare(u->channel));
    assert_int_equal(poll(&polled, 1, 0), 0);
    pw_turn(w);
    assert_int_equal(poll(&polled, 1, 0), 1);
    assert_int_equal(spate_channel_wait(u->channel, 0), 0);
    assert_int_equal(cu_take(u), 0);
    assert_int_equal(spate_channel_wait(u->channel, 0), -ETIMEDOUT);
    assert_int_equal(poll(&polled, 1, 0), 0);
}

static void small_windows(struct spate_config *config)
{
    config->stream_window_bytes = 65536;
    config->stream_window_bytes_max = 65536;
    config->conn_window_bytes = 65536;
    config->conn_window_bytes_max = 65536;
}

static void send_much(struct pw_end *end, struct spate_event *event)
{
    uint64_t id;
    if (event->kind == SPATE_EVENT_CONNECTED)
        for (int i = 0; i < 8; i++) {
            assert_int_equal(spate_stream_open(event->conn, true, &id), 0);
            assert_int_equal(
                spate_stream_send(event->conn, id, cu_pattern, CU_PATTERN_SIZE, true, 0), 0);
        }
    pw_default(end, event);
}

/* A thread that takes nothing: the shard keeps a bounded part of it, and the peer is stopped by its
 * credit.  Answers still have room.  When the thread goes on, all bytes are there. */
static void events_that_find_no_room_wait_and_stop_the_peer(void **state)
{
    (void)state;
    struct pw *w = cu_world(&(struct pw_config){.client = small_windows});
    const struct spate_channel_options few = {.size = sizeof(few), .results_max = 2};
    struct cu *u = cu_user(w, &few);
    struct spate_connect_options options;
    w->server.on_event = send_much;
    u->is_pattern = true;
    cu_options(w, &options);
    assert_int_equal(CU_ASK(u, spate_channel_connect, &options, NULL), 0);
    pw_for(w, 100000000);
    struct spate_shard_stats stats = pw_stats(&w->client);
    assert_true(stats.channel_waits > 0);
    assert_true(stats.bytes_in < 2 * 65536 + 32768); /* the window, and the handshake */
    for (int i = 0; i < 20; i++)
        assert_int_equal(CU_ASK(u, spate_channel_stream_open, 0, false, NULL), 0);
    pw_for(w, 10000000);
    uint64_t turns = pw_stats(&w->client).turns;
    assert_int_equal(spate_shard_turn(w->client.shard, 20000000), 0); /* it can sleep meanwhile */
    assert_true(pw_stats(&w->client).turns - turns == 1);
    assert_int_equal(u->bytes_in, 0);
    cu_run_until(w, u, &u->fin_count, 8);
    assert_int_equal(u->bytes_in, 8 * CU_PATTERN_SIZE);
    assert_int_equal(u->answered_count, u->asked_count);
}

static void slices_that_are_kept_stop_the_peer_until_they_are_released(void **state)
{
    (void)state;
    struct pw *w = cu_world(&(struct pw_config){.client = small_windows});
    struct cu *u = cu_user(w, NULL);
    struct spate_connect_options options;
    w->server.on_event = send_much;
    u->is_pattern = true;
    u->holds = true;
    cu_options(w, &options);
    assert_int_equal(CU_ASK(u, spate_channel_connect, &options, NULL), 0);
    cu_run_until(w, u, &u->bytes_in, 65536);
    uint64_t end_ns = pw_now_ns() + 20000000;
    while (pw_now_ns() < end_ns) {
        pw_turn(w);
        cu_take(u);
    }
    assert_int_equal(u->bytes_in, 65536);
    end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (u->fin_count < 8) {
        cu_release_all(u);
        pw_turn(w);
        cu_take(u);
        assert_true(pw_now_ns() < end_ns);
    }
    assert_int_equal(u->bytes_in, 8 * CU_PATTERN_SIZE);
    spate_channel_close(u->channel, 0);
    for (int i = 0; i < 100; i++) { /* the last slices are not released yet */
        pw_turn(w);
        cu_take(u);
    }
    assert_false(u->is_over);
    cu_release_all(u);
    cu_run_until_over(w, u);
}

/* ---- Messages ---- */

static void takes_messages(struct spate_config *config)
{
    config->message_frame_size_max = 65535;
}

static void mirror_messages(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_DATAGRAM) {
        assert_int_equal(spate_conn_datagram_send(event->conn, event->u.datagram.slice.data,
                                                  event->u.datagram.slice.size, 0, SPATE_FOREVER,
                                                  SPATE_DATAGRAM_COPY),
                         0);
        spate_slice_release(end->shard, &event->u.datagram.slice);
    }
}

static void each_message_gets_its_fate(void **state)
{
    (void)state;
    struct pw *w =
        cu_world(&(struct pw_config){.server = takes_messages, .client = takes_messages});
    struct cu *u = cu_connected(w, NULL);
    w->server.on_event = mirror_messages;
    uint64_t first = u->next_tag;
    for (int i = 0; i < 100; i++)
        assert_int_equal(CU_ASK(u, spate_channel_datagram_send, u->conn_id, cu_pattern, 50,
                                SPATE_FOREVER, i % 2 == 0 ? 0 : SPATE_DATAGRAM_COPY),
                         0);
    assert_int_equal(CU_ASK(u, spate_channel_datagram_send, u->conn_id, cu_pattern, 50, 1, 0), 0);
    assert_int_equal(
        CU_ASK(u, spate_channel_datagram_send, u->conn_id, cu_pattern, 60000, SPATE_FOREVER, 0), 0);
    assert_int_equal(spate_channel_datagram_send(u->channel, u->conn_id, cu_pattern, 50,
                                                 SPATE_FOREVER, SPATE_DATAGRAM_SILENT, 12345),
                     0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_DATAGRAM], 101);
    for (uint64_t tag = first; tag < first + 100; tag++) {
        assert_int_equal(cu_result(u, tag), 0);
        assert_int_equal(u->fates[tag], SPATE_DATAGRAM_ACKED);
    }
    assert_int_equal(u->fates[first + 100], SPATE_DATAGRAM_EXPIRED);
    assert_int_equal(cu_result(u, first + 101), -EMSGSIZE);
    assert_int_equal(u->bytes_in, 101 * 50);
}

/* ---- Tickets ---- */

/* The bytes of an event are valid until the next call, whatever the shard does meanwhile. */
static void a_ticket_resumes_a_session(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    spate_listener_close(w->listener);
    pw_accept_early(w, NULL, NULL);
    w->address = pw_loopback(false, 0, &w->address_size);
    assert_int_equal(spate_shard_listen(w->server.shard, (struct sockaddr *)&w->address,
                                        w->address_size, w->server.tls, NULL, &w->listener, NULL),
                     0);
    assert_int_equal(spate_listener_address(w->listener, &w->address, &w->address_size), 0);
    struct cu *u = cu_connected(w, NULL);
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_TICKET], 1);

    struct spate_connect_options options;
    cu_options(w, &options);
    options.ticket = u->ticket;
    options.ticket_size = u->ticket_size;
    options.early = true;
    assert_int_equal(CU_ASK(u, spate_channel_connect, &options, NULL), 0);
    uint64_t connect = u->next_tag - 1;
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_EARLY], 1);
    assert_int_equal(u->tags[connect], CU_TAG_ANSWERED); /* before any event of the connection */
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), 0);
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST, cu_pattern, 100, true),
        0);
    cu_run_until(w, u, &u->fin_count, 1);
    assert_int_equal(u->bytes_in, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_request_and_its_response_go_through_a_channel),
        QT_TEST(owned, commands_are_seen_when_they_are_flushed),
        QT_TEST(owned, one_stream_carries_many_writes_in_order),
        QT_TEST(owned, what_cannot_be_done_is_answered),
        QT_TEST(owned, what_no_command_can_be_is_refused),
        QT_TEST(owned, a_reset_and_a_stop_reach_the_peer),
        QT_TEST(owned, commands_without_an_answer_have_a_bound),
        QT_TEST(owned, a_wait_after_a_full_queue_ends_with_room),
        QT_TEST(owned, events_that_find_no_room_wait_and_stop_the_peer),
        QT_TEST(owned, slices_that_are_kept_stop_the_peer_until_they_are_released),
        QT_TEST(owned, each_message_gets_its_fate),
        QT_TEST(owned, a_ticket_resumes_a_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
