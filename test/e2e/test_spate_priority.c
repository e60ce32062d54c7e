/* SPDX-License-Identifier: MIT */
/* spate_stream_set_priority(): who comes first, over real sockets. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>

enum { STREAMS = 4, BYTES = 2000000 };

/* What the server has of each stream of the client, in the order of their IDs. */
struct arrivals {
    uint64_t bytes[STREAMS];
    uint32_t order[STREAMS]; /* which have ended, the first first */
    uint32_t ended_count;
    uint64_t of_first[STREAMS]; /* bytes of all when the first ended */
};

static void on_event(struct pw_end *end, struct spate_event *event)
{
    struct arrivals *a = end->context;
    uint64_t index = event->stream_id >> 2;
    if (event->kind == SPATE_EVENT_STREAM_DATA && index < STREAMS) {
        a->bytes[index] += event->u.data.slice.size;
        if (a->bytes[index] == BYTES) {
            if (a->ended_count == 0)
                memcpy(a->of_first, a->bytes, sizeof(a->bytes));
            a->order[a->ended_count++] = (uint32_t)index;
        }
    }
    pw_default(end, event);
}

static bool all_have_ended(struct pw *w)
{
    const struct arrivals *a = w->server.context;
    return a->ended_count == STREAMS;
}

static struct pw *begin(struct arrivals *a, struct spate_conn **ret, uint64_t ids[STREAMS])
{
    static const uint8_t bytes[BYTES];
    struct pw *w = pw_create(&(struct pw_config){0});
    w->server.context = a;
    w->server.on_event = on_event;
    *ret = pw_connected(w);
    for (uint32_t i = 0; i < STREAMS; i++) {
        assert_int_equal(spate_stream_open(*ret, true, &ids[i]), 0);
        assert_int_equal(spate_stream_send(*ret, ids[i], bytes, BYTES, true, i), 0);
    }
    return w;
}

static void the_most_urgent_stream_arrives_first(void **state)
{
    (void)state;
    static struct arrivals a;
    struct spate_conn *conn;
    uint64_t ids[STREAMS];
    struct pw *w = begin(&a, &conn, ids);
    assert_int_equal(spate_stream_set_priority(conn, ids[2], 0, true), 0);
    assert_int_equal(spate_stream_set_priority(conn, ids[0], SPATE_URGENCY_MAX, true), 0);
    pw_until(w, all_have_ended);
    assert_int_equal(a.order[0], 2);
    assert_int_equal(a.order[3], 0);
    /* A seventeenth, and what left before; yet nobody starves. */
    assert_in_range(a.of_first[0] + a.of_first[1] + a.of_first[3], 1, BYTES / 4);
}

static void streams_arrive_one_after_the_other_if_asked(void **state)
{
    (void)state;
    static struct arrivals a;
    struct spate_conn *conn;
    uint64_t ids[STREAMS];
    struct pw *w = begin(&a, &conn, ids);
    for (uint32_t i = STREAMS; i-- > 0;)
        assert_int_equal(spate_stream_set_priority(conn, ids[i], 1, false), 0);
    pw_until(w, all_have_ended);
    for (uint32_t i = 0; i < STREAMS; i++)
        assert_int_equal(a.order[i], i);
    assert_int_equal(a.of_first[2] + a.of_first[3], 0);
}

static bool server_has_some(struct pw *w)
{
    return w->server.bytes_in >= BYTES / 4;
}

static bool client_has_closed(struct pw *w)
{
    return w->client.closed_count == 1;
}

static void priorities_change_under_way_until_the_end(void **state)
{
    (void)state;
    static struct arrivals a;
    struct spate_conn *conn;
    uint64_t ids[STREAMS];
    struct pw *w = begin(&a, &conn, ids);
    assert_int_equal(spate_stream_set_priority(conn, ids[0], 0, false), 0);
    pw_until(w, server_has_some);
    assert_int_equal(spate_stream_set_priority(conn, ids[0], 7, false), 0);
    assert_int_equal(spate_stream_set_priority(conn, ids[3], 0, false), 0);
    assert_int_equal(spate_stream_set_priority(conn, ids[3], 8, false), -EINVAL);
    assert_int_equal(spate_stream_set_priority(conn, ids[3] + 4, 1, false), -EPIPE);
    pw_until(w, all_have_ended);
    assert_int_equal(a.order[0], 3);
    assert_int_equal(a.order[3], 0);
    spate_conn_close(conn, 0, NULL);
    assert_int_equal(spate_stream_set_priority(conn, ids[0], 1, false), -ENOTCONN);
    pw_until(w, client_has_closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, the_most_urgent_stream_arrives_first),
        QT_TEST(owned, streams_arrive_one_after_the_other_if_asked),
        QT_TEST(owned, priorities_change_under_way_until_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
