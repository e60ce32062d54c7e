/* SPDX-License-Identifier: MIT */
/* Writes of many pieces, and the progress of a stream, over real sockets. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>

enum { TAG = 77, PIECES = 100 };

static bool server_has_all(struct pw *w)
{
    return w->server.fin_count > 0 && w->client.sent_count > 0;
}

static bool server_has_some(struct pw *w)
{
    return w->server.bytes_in > 0;
}

static void on_sent(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_SENT) {
        struct spate_event *ret = end->context;
        *ret = *event;
    }
    pw_default(end, event);
}

static void on_data(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        const struct spate_slice *slice = &event->u.data.slice;
        for (size_t i = 0; i < slice->size; i++)
            assert_int_equal(slice->data[i], pw_byte(1, event->u.data.offset + i));
    }
    pw_default(end, event);
}

static void many_pieces_come_back_by_one_event(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_event sent = {.kind = SPATE_EVENT_NONE};
    w->client.on_event = on_sent;
    w->client.context = &sent;
    w->server.on_event = on_data;
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);

    struct iovec pieces[PIECES];
    size_t size = 0;
    for (size_t i = 0; i < PIECES; i++) { /* sizes from 0 to some packets */
        size_t piece_size = i * i;
        uint8_t *bytes = owned_alloc(piece_size + 1);
        for (size_t k = 0; k < piece_size; k++)
            bytes[k] = pw_byte(1, size + k);
        pieces[i] = (struct iovec){.iov_base = bytes, .iov_len = piece_size};
        size += piece_size;
    }
    assert_int_equal(spate_stream_sendv(conn, id, pieces, PIECES, true, TAG), 0);
    memset(pieces, 0xdd, sizeof(pieces)); /* the array is not lent */
    struct spate_stream_progress progress;
    assert_int_equal(spate_stream_progress(conn, id, &progress), 0);
    assert_int_equal(progress.queued_bytes, size);
    assert_int_equal(progress.sent_bytes, 0);
    assert_true(progress.fin_queued && !progress.fin_acked);
    assert_int_equal(spate_stream_sendv(conn, id, NULL, 0, true, 0), -EPIPE);
    pw_until(w, server_has_all);
    assert_int_equal(w->client.sent_count, 1);
    assert_int_equal(w->server.bytes_in, size);
    assert_int_equal(sent.u.sent.tag, TAG);
    assert_int_equal(sent.u.sent.size, size);
    assert_true(sent.u.sent.is_acked);
}

static void progress_says_what_the_peer_has(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    struct spate_stream_progress progress = {.queued_bytes = 1};
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_progress(conn, id, &progress), 0);
    assert_int_equal(progress.queued_bytes, 0);
    assert_true(progress.credit_bytes > 0);
    char text[] = "abcde";
    struct iovec pieces[] = {{text, 3}, {NULL, 0}, {text + 3, 2}};
    assert_int_equal(spate_stream_sendv(conn, id, pieces, 3, false, TAG), 0);
    pw_until(w, server_has_some);
    pw_for(w, 60000000); /* the peer acknowledges late */
    assert_int_equal(spate_stream_progress(conn, id, &progress), 0);
    assert_int_equal(progress.acked_bytes, 5);
    assert_int_equal(progress.sent_bytes, 5);
    assert_false(progress.fin_queued);
    assert_int_equal(spate_stream_progress(conn, id + 400, &progress), -EPIPE);
    spate_conn_close(conn, 0, NULL);
    assert_int_equal(spate_stream_progress(conn, id, &progress), -ENOTCONN);
    assert_int_equal(spate_stream_sendv(conn, id, pieces, 3, false, TAG), -ENOTCONN);
}

static void writes_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    static char byte;
    struct iovec many[SPATE_SENDV_COUNT_MAX + 1];
    for (size_t i = 0; i <= SPATE_SENDV_COUNT_MAX; i++)
        many[i] = (struct iovec){&byte, 1};
    const struct iovec nothing = {NULL, 1}, huge[] = {{&byte, SPATE_SEND_SIZE_MAX}, {&byte, 1}};
    assert_int_equal(spate_stream_sendv(conn, id, many, SPATE_SENDV_COUNT_MAX + 1, true, 0),
                     -EINVAL);
    assert_int_equal(spate_stream_sendv(conn, id, &nothing, 1, true, 0), -EINVAL);
    assert_int_equal(spate_stream_sendv(conn, id, huge, 2, true, 0), -EINVAL);
    assert_int_equal(spate_stream_sendv(conn, id, many, 0, false, 0), -EINVAL);
    assert_int_equal(spate_stream_sendv(conn, id, many, SPATE_SENDV_COUNT_MAX, true, TAG), 0);
    pw_until(w, server_has_all);
    assert_int_equal(w->server.bytes_in, SPATE_SENDV_COUNT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, many_pieces_come_back_by_one_event),
        QT_TEST(owned, progress_says_what_the_peer_has),
        QT_TEST(owned, writes_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
