/* SPDX-License-Identifier: MIT */
/* spate_stream_reset_at() over real sockets: draft-ietf-quic-reliable-stream-reset. */

#include "test/support/spate_world.h"

#include <errno.h>

enum { BYTES = 1000000, HEADER = 100, STREAMS = 50, ERROR = 7 };

static uint8_t bytes[BYTES];

/* What the server got of each stream; the client's have the IDs 2, 6, 10, .. */
static struct {
    uint64_t size;
    uint64_t error;
    bool is_reset;
    bool is_closed;
} got[STREAMS];
static uint64_t back_bytes;
static uint32_t back_count;

static void on_server_event(struct pw_end *end, struct spate_event *event)
{
    uint64_t index = event->stream_id / 4;
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        assert_false(got[index].is_reset);
        assert_int_equal(event->u.data.offset, got[index].size);
        assert_memory_equal(event->u.data.slice.data, bytes + got[index].size,
                            event->u.data.slice.size);
        got[index].size += event->u.data.slice.size;
    }
    if (event->kind == SPATE_EVENT_STREAM_RESET) {
        got[index].is_reset = true;
        got[index].error = event->u.error;
    }
    if (event->kind == SPATE_EVENT_STREAM_CLOSED)
        got[index].is_closed = true;
    pw_default(end, event);
}

static void on_client_event(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_SENT) {
        back_bytes += event->u.sent.size;
        back_count++;
    }
    pw_default(end, event);
}

static struct pw *begin(struct spate_conn **ret)
{
    struct pw *w = pw_create(&(struct pw_config){.is_v6 = false});
    memset(got, 0, sizeof(got));
    back_bytes = back_count = 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = pw_byte(1, i);
    w->server.on_event = on_server_event;
    w->client.on_event = on_client_event;
    *ret = pw_connected(w);
    return w;
}

static bool all_are_reset(struct pw *w)
{
    (void)w;
    for (int i = 0; i < STREAMS; i++)
        if (!got[i].is_reset || !got[i].is_closed)
            return false;
    return back_count == STREAMS;
}

static uint64_t send_all(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, sizeof(bytes), false, id), 0);
    return id;
}

static void the_header_arrives_and_the_body_is_given_up(void **state)
{
    (void)state;
    struct spate_conn *conn;
    struct pw *w = begin(&conn);
    for (int i = 0; i < STREAMS; i++) {
        uint64_t id = send_all(conn);
        if (i % 3 == 0)
            pw_turn(w); /* part of the body has been sent */
        assert_int_equal(spate_stream_reset_at(conn, id, ERROR, HEADER + (uint64_t)i), 0);
        if (i % 5 == 0)
            assert_int_equal(spate_stream_reset_at(conn, id, ERROR, HEADER), 0);
    }
    pw_until(w, all_are_reset);
    for (int i = 0; i < STREAMS; i++) {
        assert_true(got[i].size >= HEADER && got[i].size < BYTES);
        assert_int_equal(got[i].error, ERROR);
    }
    assert_int_equal(back_bytes, (uint64_t)STREAMS * BYTES);
    assert_int_equal(w->server.closed_count, 0);
}

static void errors_are_those_of_the_header(void **state)
{
    (void)state;
    struct spate_conn *conn;
    struct pw *w = begin(&conn);
    uint64_t id = send_all(conn);
    assert_int_equal(spate_stream_reset_at(conn, id, UINT64_C(1) << 62, 1), -EINVAL);
    assert_int_equal(spate_stream_reset_at(conn, id, ERROR, BYTES + 1), -EINVAL);
    assert_int_equal(spate_stream_reset_at(conn, id + 4, ERROR, 1), -EPIPE);
    assert_int_equal(spate_stream_reset_at(conn, id, ERROR, 10), 0);
    assert_int_equal(spate_stream_reset_at(conn, id, ERROR, 11), -EINVAL);
    assert_int_equal(spate_stream_send(conn, id, bytes, 1, false, 0), -EPIPE);
    assert_int_equal(spate_stream_reset_at(conn, id, ERROR, 0), 0);
    assert_int_equal(spate_stream_reset_at(conn, id, ERROR, 1), -EPIPE);
    spate_conn_close(conn, 0, NULL);
    assert_int_equal(spate_stream_reset_at(conn, id, ERROR, 0), -ENOTCONN);
    (void)w;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, the_header_arrives_and_the_body_is_given_up),
        QT_TEST(owned, errors_are_those_of_the_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
