/* SPDX-License-Identifier: MIT */
/* Channels: how they begin and end, with commands in flight and without, and connections that a
 * server hands over to them. */

#include "test/support/channel_user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- The end ---- */

/* A close waits for the commands before it. */
static void a_close_comes_after_what_was_queued(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), 0);
        assert_int_equal(CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST,
                                cu_pattern, CU_PATTERN_SIZE, true),
                         0);
    }
    struct spate_connect_options options;
    cu_options(w, &options);
    assert_int_equal(CU_ASK(u, spate_channel_connect, &options, NULL), 0);
    uint64_t connect = u->next_tag - 1;
    spate_channel_close(u->channel, 9);
    spate_channel_close(u->channel, 10);
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), -ESHUTDOWN);
    cu_run_until_over(w, u);
    assert_int_equal(cu_result(u, connect), 0);
    assert_int_equal(u->kinds[SPATE_EVENT_CLOSED], 2);
    assert_int_equal(u->kinds[SPATE_EVENT_STREAM_CLOSED], 20);
    assert_int_equal(u->close.error, 9);
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), -ESHUTDOWN);
    pw_turn(w);
    assert_int_equal(cu_take(u), 0);
}

static bool server_heard_the_close(struct pw *w)
{
    return w->server.closed_count > 0;
}

/* Memory that was lent is not read any more when the function has returned. */
static void a_channel_is_destroyed_with_commands_in_flight(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    uint8_t *lent = malloc(CU_PATTERN_SIZE);
    assert_non_null(lent);
    memcpy(lent, cu_pattern, CU_PATTERN_SIZE);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), 0);
        assert_int_equal(CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST, lent,
                                CU_PATTERN_SIZE, true),
                         0);
        if (i == 5)
            for (int turn = 0; turn < 6; turn++)
                pw_turn(w); /* results come, and are not taken */
    }
    cu_destroy(u);
    memset(lent, 0xee, CU_PATTERN_SIZE);
    free(lent); /* the address sanitizer finds who reads it */
    pw_until(w, server_heard_the_close);
    assert_int_equal(w->server.close.kind, SPATE_CLOSE_APP);
    assert_int_equal(w->client.closed_count, 0);
    pw_for(w, 20000000);
    struct pw_end *end = &w->client;
    assert_int_equal(pw_stats(end).conns_now, 0);
}

static void the_end_of_the_shard_answers_all(void **state)
{
    (void)state;
    for (int turns = 0; turns < 12; turns++) {
        struct pw *w = cu_world(NULL);
        struct cu *u = cu_connected(w, NULL);
        uint64_t end = 0;
        for (int i = 0; i < 30; i++) {
            assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), 0);
            assert_int_equal(CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST,
                                    cu_pattern, CU_PATTERN_SIZE, true),
                             0);
            for (int turn = 0; turn < (i == 10 ? turns : 0); turn++)
                pw_turn(w);
        }
        end = u->next_tag - 1;
        spate_engine_destroy(w->client.engine);
        w->client.engine = NULL;
        u->holds = true;
        while (cu_take(u) > 0)
            continue;
        assert_true(u->is_over);
        assert_int_equal(u->end_result, -ESHUTDOWN);
        assert_int_equal(u->answered_count, u->asked_count);
        assert_int_equal(cu_result(u, end), -ESHUTDOWN);
        assert_int_equal(CU_ASK(u, spate_channel_stream_open, 1, false, NULL), -ESHUTDOWN);
        assert_int_equal(spate_channel_wait(u->channel, 0), -ETIMEDOUT);
        spate_channel_close(u->channel, 0);
        cu_release_all(u);
        owned_end_all();
    }
}

static void a_shutdown_waits_for_the_channels_of_a_shard(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    assert_int_equal(spate_shard_shutdown(w->client.shard, 0, 5, "bye"), 0);
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_CLOSED], 1);
    assert_int_equal(u->close.error, 5);
    struct spate_connect_options options;
    cu_options(w, &options);
    assert_int_equal(CU_ASK(u, spate_channel_connect, &options, NULL), 0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(cu_result(u, u->next_tag - 1), -ESHUTDOWN);
}

/* ---- Servers ---- */

struct giver {
    struct cu *user;
    int first;  /* what the first call returned */
    int second; /* .. and one after that */
};

static void give(struct pw_end *end, struct spate_event *event)
{
    struct giver *g = end->context;
    assert_int_equal(event->kind, SPATE_EVENT_CONNECTED); /* the rest is the channel's */
    spate_conn_set_user(event->conn, g);
    uint64_t id = spate_conn_id(event->conn);
    g->first = spate_conn_hand_over(event->conn, g->user->channel);
    assert_null(spate_shard_conn(end->shard, id));
    g->second = spate_conn_hand_over(event->conn, g->user->channel);
}

static void keep_handles(struct pw_end *end, struct spate_event *event)
{
    struct giver *g = end->context;
    uint64_t id;
    if (event->kind == SPATE_EVENT_CONNECTED) {
        assert_int_equal(spate_stream_open(event->conn, true, &id), 0);
        g->first = spate_conn_hand_over(event->conn, g->user->channel);
    } else if (event->kind == SPATE_EVENT_STREAM_OPENED) {
        g->second = spate_conn_hand_over(event->conn, g->user->channel);
    }
    pw_default(end, event);
}

static void a_server_hands_its_connections_over(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct giver g = {.user = cu_create(w->server.shard, NULL)};
    struct cu *u = g.user;
    uint64_t id;
    u->turns = w;
    u->is_pattern = true;
    w->server.on_event = give;
    w->server.context = &g;
    struct spate_conn *client = pw_connected(w);
    assert_int_equal(g.first, 0);
    assert_int_equal(g.second, -EBUSY);
    pw_turn(w);
    cu_take(u);
    assert_int_equal(u->kinds[SPATE_EVENT_CONNECTED], 1);
    assert_ptr_equal(u->conn_user, &g);
    assert_int_equal(spate_stream_open(client, false, &id), 0);
    assert_int_equal(spate_stream_send(client, id, cu_pattern, 5000, true, 0), 0);
    cu_run_until(w, u, &u->fin_count, 1);
    assert_int_equal(u->bytes_in, 5000);
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_send, u->conn_id, id, cu_pattern, CU_PATTERN_SIZE, true), 0);
    cu_run_until(w, u, &u->answered_count, 1);
    assert_int_equal(w->client.bytes_in, CU_PATTERN_SIZE);
    spate_conn_close(client, 1, "thanks");
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_CLOSED], 1);
    assert_string_equal(u->reason, "thanks");
}

static void a_connection_in_use_is_not_handed_over(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct giver g = {.user = cu_create(w->server.shard, NULL)};
    uint64_t id;
    w->server.on_event = keep_handles;
    w->server.context = &g;
    struct spate_conn *client = pw_connected(w);
    assert_int_equal(g.first, -EBUSY);
    assert_int_equal(spate_stream_open(client, false, &id), 0);
    assert_int_equal(spate_stream_send(client, id, cu_pattern, 5000, true, 0), 0);
    pw_for(w, 20000000);
    assert_int_equal(g.second, -EBUSY);
    assert_int_equal(spate_conn_hand_over(client, g.user->channel), -EINVAL);
    struct cu *mine = cu_user(w, NULL);
    assert_int_equal(spate_conn_hand_over(client, mine->channel), -EBUSY);
    spate_channel_close(mine->channel, 0);
    cu_run_until_over(w, mine);
    assert_int_equal(spate_conn_hand_over(client, mine->channel), -ESHUTDOWN);
}

static void take_messages(struct spate_config *config)
{
    config->message_frame_size_max = UINT16_MAX;
}

static void send_and_give(struct pw_end *end, struct spate_event *event)
{
    struct giver *g = end->context;
    if (event->kind == SPATE_EVENT_CONNECTED) {
        assert_int_equal(spate_conn_datagram_send(event->conn, "x", 1, UINT64_MAX, SPATE_FOREVER,
                                                  SPATE_DATAGRAM_COPY),
                         0);
        g->first = spate_conn_hand_over(event->conn, g->user->channel);
    }
    g->second += event->kind == SPATE_EVENT_DATAGRAMS_SENT;
    pw_default(end, event);
}

/* Its result would be taken for that of a command of the channel. */
static void a_connection_with_a_message_is_not_handed_over(void **state)
{
    (void)state;
    struct pw *w = cu_world(&(struct pw_config){.client = take_messages});
    struct giver g = {.user = cu_create(w->server.shard, NULL)};
    w->server.on_event = send_and_give;
    w->server.context = &g;
    (void)pw_connected(w);
    assert_int_equal(g.first, -EBUSY);
    for (int i = 0; i < 100 && g.second == 0; i++)
        pw_for(w, 1000000);
    assert_int_equal(g.second, 1);
}

/* Sends a message before CONNECTED is taken, which the queue has already, and lets it leave: no
 * message waits any more when CONNECTED is handled. */
static void a_connection_whose_message_has_left_is_not_handed_over(void **state)
{
    (void)state;
    struct pw *w = cu_world(&(struct pw_config){.client = take_messages, .server = take_messages});
    struct cu *mine = cu_user(w, NULL);
    struct spate_conn *conn = pw_connect(w);
    struct spate_conn_stats stats = {0};
    struct spate_event events[8];
    uint32_t given_count = 0, result_count = 0;
    int result = -ENOTCONN;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (stats.messages_out == 0) {
        assert_true(pw_now_ns() < end_ns);
        pw_wait(&w->server, 0);
        assert_true(spate_shard_turn(w->client.shard, 0) >= 0); /* its events stay in the queue */
        if (result == -ENOTCONN)
            result = spate_conn_datagram_send(conn, "x", 1, UINT64_MAX, SPATE_FOREVER,
                                              SPATE_DATAGRAM_COPY);
        spate_conn_stats(conn, &stats);
    }
    assert_int_equal(result, 0);
    while (result_count == 0) {
        assert_true(pw_now_ns() < end_ns);
        uint32_t count = spate_shard_events(w->client.shard, events, QT_COUNT(events));
        for (uint32_t i = 0; i < count; i++) {
            if (events[i].kind == SPATE_EVENT_CONNECTED) {
                assert_int_equal(spate_conn_hand_over(conn, mine->channel), -EBUSY);
                given_count++;
            }
            result_count += events[i].kind == SPATE_EVENT_DATAGRAMS_SENT;
            pw_default(&w->client, &events[i]);
        }
        pw_wait(&w->server, 0);
        assert_true(spate_shard_turn(w->client.shard, 0) >= 0);
    }
    assert_int_equal(given_count, 1);
}

/* ---- Making one ---- */

static void options_have_bounds_and_shards_have_64_channels(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct spate_channel *channels[65] = {NULL};
    struct spate_error error = {""};
    struct spate_channel_options options = {.size = sizeof(options), .commands_max = 65537};
    assert_int_equal(spate_channel_create(w->client.shard, &options, channels, &error), -EINVAL);
    assert_non_null(strstr(error.text, "commands_max"));
    options = (struct spate_channel_options){.size = sizeof(options), .results_max = 65537};
    assert_int_equal(spate_channel_create(w->client.shard, &options, channels, &error), -EINVAL);
    assert_non_null(strstr(error.text, "results_max"));
    options = (struct spate_channel_options){.size = 3};
    assert_int_equal(spate_channel_create(w->client.shard, &options, channels, &error), -EINVAL);
    assert_null(channels[0]);
    options = (struct spate_channel_options){
        .size = sizeof(options), .commands_max = 1, .results_max = 1};
    for (int i = 0; i < 64; i++)
        assert_int_equal(spate_channel_create(w->client.shard, &options, &channels[i], NULL), 0);
    assert_int_equal(spate_channel_create(w->client.shard, &options, &channels[64], &error),
                     -EMFILE);
    spate_channel_destroy(channels[30]);
    assert_int_equal(spate_channel_create(w->client.shard, &options, &channels[30], NULL), 0);
    for (int i = 0; i < 64; i++)
        spate_channel_destroy(channels[i]);
    spate_channel_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_close_comes_after_what_was_queued),
        QT_TEST(owned, a_channel_is_destroyed_with_commands_in_flight),
        QT_TEST(owned, the_end_of_the_shard_answers_all),
        QT_TEST(owned, a_shutdown_waits_for_the_channels_of_a_shard),
        QT_TEST(owned, a_server_hands_its_connections_over),
        QT_TEST(owned, a_connection_in_use_is_not_handed_over),
        QT_TEST(owned, a_connection_with_a_message_is_not_handed_over),
        QT_TEST(owned, a_connection_whose_message_has_left_is_not_handed_over),
        QT_TEST(owned, options_have_bounds_and_shards_have_64_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
