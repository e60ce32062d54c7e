/* SPDX-License-Identifier: MIT */
/* Messages through the public API, over real sockets and ciphers.  [RFC9221] */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>

#define FLOOD_COUNT 20000

struct talk {
    uint8_t bytes[65536]; /* lent; pw_byte(0, i) */
    uint64_t arrived_count;
    uint64_t arrived_bytes;
    uint64_t result_counts[SPATE_DATAGRAM_DROPPED + 1];
    uint64_t result_count;
    uint64_t results_event_count;
    uint64_t tag_sum;
    uint32_t room_count;
    uint64_t want_results; /* is_over() waits for */
    uint64_t want_arrived;
    bool holds; /* keeps slices */
    struct spate_slice held[64];
    uint32_t held_count;
};

/* Each message is a beginning of struct talk.bytes. */
static void check_message(const struct spate_slice *slice)
{
    for (size_t i = 0; i < slice->size; i++)
        if (slice->data[i] != pw_byte(0, i))
            fail_msg("byte %zu of a message of %zu is wrong", i, slice->size);
}

static void on_event(struct pw_end *end, struct spate_event *event)
{
    struct talk *t = end->context;
    switch (event->kind) {
    case SPATE_EVENT_DATAGRAM:
        check_message(&event->u.datagram.slice);
        t->arrived_count++;
        t->arrived_bytes += event->u.datagram.slice.size;
        if (t->holds && t->held_count < 64)
            t->held[t->held_count++] = event->u.datagram.slice;
        else
            spate_slice_release(end->shard, &event->u.datagram.slice);
        return;
    case SPATE_EVENT_DATAGRAMS_SENT:
        assert_true(event->u.datagrams_sent.count > 0);
        t->results_event_count++;
        for (size_t i = 0; i < event->u.datagrams_sent.count; i++) {
            const struct spate_datagram_result *result = &event->u.datagrams_sent.results[i];
            assert_in_range(result->fate, SPATE_DATAGRAM_ACKED, SPATE_DATAGRAM_DROPPED);
            t->result_counts[result->fate]++;
            t->result_count++;
            t->tag_sum += result->tag;
        }
        return;
    case SPATE_EVENT_DATAGRAM_ROOM:
        t->room_count++;
        return;
    default:
        pw_default(end, event);
    }
}

static void takes_messages(struct spate_config *config)
{
    config->message_frame_size_max = 65535;
}

static void takes_few(struct spate_config *config)
{
    config->message_frame_size_max = 65535;
    config->message_count_max = 4;
}

static struct talk *talk_create(struct pw_end *end)
{
    struct talk *t = owned_alloc(sizeof(*t));
    for (size_t i = 0; i < sizeof(t->bytes); i++)
        t->bytes[i] = pw_byte(0, i);
    end->on_event = on_event;
    end->context = t;
    return t;
}

static struct talk *talk_of(const struct pw_end *end)
{
    return end->context;
}

static struct pw *world_create(void (*server)(struct spate_config *config),
                               void (*client)(struct spate_config *config))
{
    struct pw_config config = {.server = server, .client = client};
    struct pw *w = pw_create(&config);
    (void)talk_create(&w->server);
    (void)talk_create(&w->client);
    return w;
}

static bool is_over(struct pw *w)
{
    const struct talk *client = talk_of(&w->client), *server = talk_of(&w->server);
    return client->result_count >= client->want_results &&
           server->result_count >= server->want_results &&
           client->arrived_count >= client->want_arrived &&
           server->arrived_count >= server->want_arrived;
}

static bool is_large(struct pw *w)
{
    return w->server.conn != NULL && spate_conn_datagram_size_max(w->server.conn) > 1400 &&
           spate_conn_datagram_size_max(w->client.conn) > 1400;
}

static void messages_of_every_size_arrive_both_ways(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 64, 65, 255, 256, 1000, 1400};
    struct pw *w = world_create(takes_messages, takes_messages);
    (void)pw_connected(w);
    pw_until(w, is_large);
    uint64_t bytes = 0, count = 0;
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned flags = 0; flags < 4; flags++) {
            assert_int_equal(spate_conn_datagram_send(w->client.conn, talk_of(&w->client)->bytes,
                                                      sizes[i], i, SPATE_FOREVER, flags),
                             0);
            assert_int_equal(spate_conn_datagram_send(w->server.conn, talk_of(&w->server)->bytes,
                                                      sizes[i], i, SPATE_FOREVER, flags),
                             0);
            bytes += sizes[i];
            count++;
        }
    }
    for (int i = 0; i < 2; i++) {
        struct talk *t = talk_of(i == 0 ? &w->client : &w->server);
        t->want_arrived = count;
        t->want_results = count / 2; /* the others are silent */
    }
    pw_until(w, is_over);
    pw_for(w, 50000000);
    for (int i = 0; i < 2; i++) {
        const struct pw_end *end = i == 0 ? &w->client : &w->server;
        const struct talk *t = end->context;
        struct spate_conn_stats stats;
        spate_conn_stats(end->conn, &stats);
        assert_int_equal(t->arrived_bytes, bytes);
        assert_int_equal(t->result_counts[SPATE_DATAGRAM_ACKED], count / 2);
        assert_int_equal(t->result_count, count / 2);
        assert_int_equal(t->tag_sum, 2 * (0 + 1 + 2 + 3 + 4 + 5 + 6 + 7));
        assert_int_equal(stats.messages_in, count);
        assert_int_equal(stats.messages_out, count);
        assert_int_equal(stats.messages_acked, count);
        assert_int_equal(pw_stats(end).messages_in, count);
    }
}

/* As fast as they are taken: each has a result, and many share an event. */
static void a_flood_is_bounded_and_reported_in_batches(void **state)
{
    (void)state;
    struct pw *w = world_create(takes_messages, takes_messages);
    struct spate_conn *conn = pw_connected(w);
    struct talk *client = talk_of(&w->client), *server = talk_of(&w->server);
    uint64_t tag_sum = 0;
    uint32_t again_count = 0;
    for (uint64_t i = 0; i < FLOOD_COUNT;) {
        int result = spate_conn_datagram_send(conn, client->bytes, 100, i, SPATE_FOREVER, 0);
        if (result == 0) {
            tag_sum += i++;
            continue;
        }
        assert_int_equal(result, -EAGAIN);
        again_count++;
        uint32_t room_count = client->room_count;
        while (client->room_count == room_count)
            pw_turn(w);
    }
    client->want_results = FLOOD_COUNT;
    pw_until(w, is_over);
    assert_true(again_count > 0);
    assert_int_equal(client->room_count, again_count);
    assert_int_equal(client->result_count, FLOOD_COUNT);
    assert_int_equal(client->tag_sum, tag_sum);
    assert_true(client->results_event_count < FLOOD_COUNT / 4);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_true(server->arrived_count + stats.messages_dropped >=
                client->result_counts[SPATE_DATAGRAM_ACKED]);
    assert_true(client->result_counts[SPATE_DATAGRAM_ACKED] > FLOOD_COUNT / 2);
    assert_true(stats.packets_in < FLOOD_COUNT / 4); /* many share a packet */
}

/* The two parts are a beginning of struct talk.bytes too, so check_message() sees a seam. */
static void a_message_of_two_parts_arrives_as_one(void **state)
{
    (void)state;
    static const size_t heads[] = {0, 1, 24, 30, SPATE_DATAGRAM_HEAD_SIZE_MAX};
    static const size_t sizes[] = {0, 1, 64, 65, 300, 1300};
    struct pw *w = world_create(takes_messages, takes_messages);
    struct spate_conn *conn = pw_connected(w);
    pw_until(w, is_large);
    struct talk *client = talk_of(&w->client), *server = talk_of(&w->server);
    uint64_t bytes = 0, count = 0, silent_count = 0;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            uint8_t head[SPATE_DATAGRAM_HEAD_SIZE_MAX]; /* the caller's again after the call */
            memcpy(head, client->bytes, heads[i]);
            struct spate_datagram d = {.size = sizeof(d),
                                       .head = head,
                                       .head_size = heads[i],
                                       .data = client->bytes + heads[i],
                                       .data_size = sizes[k],
                                       .flags = (uint32_t)(count % 4)};
            assert_int_equal(spate_conn_datagram_send_with(conn, &d), 0);
            memset(head, 0xee, sizeof(head));
            bytes += heads[i] + sizes[k];
            silent_count += (count++ & SPATE_DATAGRAM_SILENT) != 0;
        }
    }
    server->want_arrived = count;
    client->want_results = count - silent_count;
    pw_until(w, is_over);
    assert_int_equal(server->arrived_bytes, bytes);
    assert_int_equal(client->result_counts[SPATE_DATAGRAM_ACKED], count - silent_count);
}

static void two_parts_that_cannot_be_sent_are_refused(void **state)
{
    (void)state;
    struct pw *w = world_create(takes_messages, NULL);
    struct spate_conn *conn = pw_connected(w);
    const uint8_t *bytes = talk_of(&w->client)->bytes;
    size_t max = spate_conn_datagram_size_max(conn);
    const struct spate_datagram good = {
        .size = sizeof(good), .head = bytes, .head_size = 4, .data = bytes, .data_size = 4};
    assert_int_equal(spate_conn_datagram_send_with(conn, NULL), -EINVAL);
    struct spate_datagram bad = good;
    bad.size = 8;
    assert_int_equal(spate_conn_datagram_send_with(conn, &bad), -EINVAL);
    bad = good;
    bad.head_size = SPATE_DATAGRAM_HEAD_SIZE_MAX + 1;
    assert_int_equal(spate_conn_datagram_send_with(conn, &bad), -EINVAL);
    bad = good;
    bad.head = NULL;
    assert_int_equal(spate_conn_datagram_send_with(conn, &bad), -EINVAL);
    bad = good;
    bad.data = NULL;
    assert_int_equal(spate_conn_datagram_send_with(conn, &bad), -EINVAL);
    bad = good;
    bad.flags = 4;
    assert_int_equal(spate_conn_datagram_send_with(conn, &bad), -EINVAL);
    bad = good;
    bad.data_size = max - 3; /* alone it would fit */
    assert_int_equal(spate_conn_datagram_send_with(conn, &bad), -EMSGSIZE);
    bad.data_size = SIZE_MAX - 2; /* a sum that wraps */
    assert_int_equal(spate_conn_datagram_send_with(conn, &bad), -EMSGSIZE);
    assert_int_equal(spate_conn_datagram_send_with(conn, &good), 0);
}

static void what_cannot_be_sent_is_refused(void **state)
{
    (void)state;
    struct pw *w = world_create(takes_few, NULL);
    struct spate_conn *conn = pw_connect(w);
    const uint8_t *bytes = talk_of(&w->client)->bytes;
    assert_int_equal(spate_conn_datagram_send(conn, bytes, 1, 0, SPATE_FOREVER, 0), -ENOTCONN);
    while (w->client.conn == NULL || w->server.conn == NULL)
        pw_turn(w);
    size_t max = spate_conn_datagram_size_max(conn);
    assert_in_range(max, 1100, 1500);
    assert_int_equal(spate_conn_datagram_send(conn, NULL, 1, 0, SPATE_FOREVER, 0), -EINVAL);
    assert_int_equal(spate_conn_datagram_send(conn, bytes, 1, 0, SPATE_FOREVER, 4), -EINVAL);
    assert_int_equal(spate_conn_datagram_send(conn, bytes, max + 1, 0, SPATE_FOREVER, 0),
                     -EMSGSIZE);
    /* The client takes none. */
    assert_int_equal(spate_conn_datagram_size_max(w->server.conn), 0);
    assert_int_equal(spate_conn_datagram_send(w->server.conn, bytes, 1, 0, SPATE_FOREVER, 0),
                     -EOPNOTSUPP);
    for (uint64_t i = 0; i < 1024; i++) /* the client's own limit */
        assert_int_equal(spate_conn_datagram_send(conn, bytes, 1, i, SPATE_FOREVER, 0), 0);
    assert_int_equal(spate_conn_datagram_send(conn, bytes, 1, 0, SPATE_FOREVER, 0), -EAGAIN);
    spate_conn_close(conn, 0, NULL);
    assert_int_equal(spate_conn_datagram_send(conn, bytes, 1, 0, SPATE_FOREVER, 0), -ENOTCONN);
    talk_of(&w->client)->want_results = 1024;
    pw_until(w, is_over);
    assert_int_equal(talk_of(&w->client)->result_counts[SPATE_DATAGRAM_DROPPED], 1024);
}

static void a_message_that_is_late_is_not_sent(void **state)
{
    (void)state;
    struct pw *w = world_create(takes_messages, NULL);
    struct spate_conn *conn = pw_connected(w);
    struct talk *client = talk_of(&w->client);
    uint64_t now_ns = spate_shard_now_ns(w->client.shard);
    assert_int_equal(spate_conn_datagram_send(conn, client->bytes, 9, 5, now_ns, 0), 0);
    assert_int_equal(spate_conn_datagram_send(conn, client->bytes, 8, 6, now_ns + 10000000000, 0),
                     0);
    client->want_results = 2;
    pw_until(w, is_over);
    assert_int_equal(client->result_counts[SPATE_DATAGRAM_EXPIRED], 1);
    assert_int_equal(client->result_counts[SPATE_DATAGRAM_ACKED], 1);
    assert_int_equal(talk_of(&w->server)->arrived_bytes, 8);
}

/* Slices outlive their connection; lent memory comes back before CLOSED, or with the engine. */
static void the_end_leaves_nothing_behind(void **state)
{
    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        struct pw *w = world_create(takes_messages, takes_messages);
        struct spate_conn *conn = pw_connected(w);
        struct talk *client = talk_of(&w->client), *server = talk_of(&w->server);
        server->holds = true;
        for (uint64_t i = 0; i < 500; i++)
            assert_int_equal(spate_conn_datagram_send(conn, client->bytes, i % 2 == 0 ? 50 : 500, i,
                                                      SPATE_FOREVER, i % 3 == 0),
                             0);
        server->want_arrived = 64;
        pw_until(w, is_over);
        if (closes) {
            spate_conn_close(conn, 0, NULL);
            while (w->client.closed_count == 0 || w->server.closed_count == 0)
                pw_turn(w);
            assert_int_equal(client->result_count, 500);
        }
        for (uint32_t i = 0; i < server->held_count; i++) {
            check_message(&server->held[i]);
            spate_slice_release(w->server.shard, &server->held[i]);
        }
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, messages_of_every_size_arrive_both_ways),
        QT_TEST(owned, a_flood_is_bounded_and_reported_in_batches),
        QT_TEST(owned, a_message_of_two_parts_arrives_as_one),
        QT_TEST(owned, two_parts_that_cannot_be_sent_are_refused),
        QT_TEST(owned, what_cannot_be_sent_is_refused),
        QT_TEST(owned, a_message_that_is_late_is_not_sent),
        QT_TEST(owned, the_end_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
