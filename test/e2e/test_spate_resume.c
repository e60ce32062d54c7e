/* SPDX-License-Identifier: MIT */
/* Tickets, tokens and 0-RTT through the public API, over real sockets. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/time.h"

static const uint8_t text[1000] = "said before the handshake is complete";

/* A world with tickets, and what its client has got. */
struct resume {
    struct pw *w;
    uint8_t ticket[4096];
    size_t ticket_size;
    uint8_t token[256];
    size_t token_size;
    uint32_t server_zero_rtts; /* SPATE_EVENT_EARLY */
    uint32_t client_zero_rtts;
    uint64_t early_bytes; /* the server had them before CONNECTED */
    bool is_connected;    /* the server's connection */
    bool refuses;
    uint32_t asked_count;
};

static void on_client(struct pw_end *end, struct spate_event *event)
{
    struct resume *r = end->context;
    if (event->kind == SPATE_EVENT_EARLY)
        r->client_zero_rtts++;
    if (event->kind == SPATE_EVENT_TICKET) {
        assert_in_range(event->u.bytes.size, 1, sizeof(r->ticket));
        memcpy(r->ticket, event->u.bytes.data, event->u.bytes.size);
        r->ticket_size = event->u.bytes.size;
    }
    if (event->kind == SPATE_EVENT_NEW_TOKEN) {
        assert_in_range(event->u.bytes.size, 1, sizeof(r->token));
        memcpy(r->token, event->u.bytes.data, event->u.bytes.size);
        r->token_size = event->u.bytes.size;
    }
    pw_default(end, event);
}

static void on_server(struct pw_end *end, struct spate_event *event)
{
    struct resume *r = end->context;
    if (event->kind == SPATE_EVENT_EARLY) {
        r->server_zero_rtts++;
        assert_int_equal(spate_conn_early(event->conn), SPATE_EARLY_ACCEPTED);
        assert_string_equal(spate_conn_alpn(event->conn), "test");
    }
    if (event->kind == SPATE_EVENT_CONNECTED)
        r->is_connected = true;
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        const struct spate_slice *slice = &event->u.data.slice;
        assert_memory_equal(slice->data, text + event->u.data.offset, slice->size);
        if (!r->is_connected) {
            assert_true(event->u.data.early);
            r->early_bytes += slice->size;
        }
    }
    pw_default(end, event);
}

static bool on_early(void *user, const char *server_name, const uint8_t *alpn, size_t alpn_size)
{
    struct resume *r = user;
    assert_string_equal(server_name, PW_SERVER_NAME);
    assert_int_equal(alpn_size, 4);
    assert_memory_equal(alpn, "test", 4);
    r->asked_count++;
    return !r->refuses;
}

static struct resume *make(const struct pw_config *config)
{
    struct resume *r = owned_alloc(sizeof(*r));
    struct spate_error error = {""};
    r->w = pw_create(config);
    pw_accept_early(r->w, on_early, r);
    struct sockaddr_storage any = pw_loopback(false, 0, &r->w->address_size);
    if (spate_shard_listen(r->w->server.shard, (struct sockaddr *)&any, r->w->address_size,
                           r->w->server.tls, NULL, &r->w->listener, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(spate_listener_address(r->w->listener, &r->w->address, &r->w->address_size),
                     0);
    r->w->client.on_event = on_client;
    r->w->server.on_event = on_server;
    r->w->client.context = r->w->server.context = r;
    return r;
}

static bool has_both(struct pw *w)
{
    const struct resume *r = w->client.context;
    return r->ticket_size > 0 && r->token_size > 0;
}

/* A whole handshake; its ticket and token are kept. */
static void first(struct resume *r)
{
    struct spate_conn *conn = pw_connected(r->w);
    assert_false(spate_conn_is_resumed(conn));
    assert_int_equal(spate_conn_early(conn), SPATE_EARLY_NONE);
    pw_until(r->w, has_both);
    r->is_connected = false;
}

static struct spate_conn *again(struct resume *r, bool early)
{
    struct spate_error error = {""};
    struct spate_conn *conn;
    const struct spate_connect_options options = {
        .size = sizeof(options),
        .address = (struct sockaddr *)&r->w->address,
        .address_size = r->w->address_size,
        .early = early,
        .server_name = PW_SERVER_NAME,
        .tls = r->w->client.tls,
        .ticket = r->ticket,
        .ticket_size = r->ticket_size,
        .token = r->token,
        .token_size = r->token_size,
    };
    if (spate_shard_connect_with(r->w->client.shard, &options, &conn, &error) != 0)
        fail_msg("%s", error.text);
    return conn;
}

static bool two_are_connected(struct pw *w)
{
    return w->client.connected_count == 2 && w->server.connected_count == 2;
}

static bool text_has_come(struct pw *w)
{
    return two_are_connected(w) && w->server.bytes_in == sizeof(text) && w->server.fin_count == 1;
}

static uint64_t say(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, text, sizeof(text), true, 1), 0);
    return id;
}

static void a_ticket_saves_the_certificate(void **state)
{
    (void)state;
    struct resume *r = make(NULL);
    first(r);
    struct spate_conn *conn = again(r, false);
    pw_until(r->w, two_are_connected);
    assert_true(spate_conn_is_resumed(conn));
    assert_int_equal(spate_conn_early(conn), SPATE_EARLY_NONE);
    assert_int_equal(r->client_zero_rtts + r->server_zero_rtts, 0);
    say(conn);
    pw_until(r->w, text_has_come);
}

static void bytes_in_0_rtt_come_before_the_handshake_is_complete(void **state)
{
    (void)state;
    struct resume *r = make(NULL);
    first(r);
    struct spate_conn *conn = again(r, true);
    assert_int_equal(spate_conn_early(conn), SPATE_EARLY_OFFERED);
    say(conn);
    pw_until(r->w, text_has_come);
    assert_int_equal(r->early_bytes, sizeof(text));
    assert_int_equal(r->client_zero_rtts, 1);
    assert_int_equal(r->server_zero_rtts, 1);
    assert_int_equal(r->asked_count, 1);
    assert_int_equal(spate_conn_early(conn), SPATE_EARLY_ACCEPTED);
    assert_true(spate_conn_is_resumed(conn));
}

static void refused_0_rtt_is_sent_again_once(void **state)
{
    (void)state;
    struct resume *r = make(NULL);
    first(r);
    r->refuses = true;
    struct spate_conn *conn = again(r, true);
    say(conn);
    pw_until(r->w, text_has_come);
    assert_int_equal(r->early_bytes, 0);
    assert_int_equal(r->server_zero_rtts, 0);
    assert_int_equal(r->asked_count, 1);
    assert_int_equal(spate_conn_early(conn), SPATE_EARLY_REJECTED);
    pw_for(r->w, 20 * SB_MS);
    assert_int_equal(r->w->server.bytes_in, sizeof(text)); /* not twice */
}

/* [RFC9000 7.4.1] A server that allows less than when it gave the ticket rejects 0-RTT, which
 * relies on more. */
static void smaller_settings_of_a_listener_reject_0_rtt(void **state)
{
    (void)state;
    struct resume *r = make(NULL);
    struct spate_config config;
    struct spate_settings *settings;
    first(r);
    spate_engine_config(r->w->server.engine, &config);
    config.stream_window_bytes = 2000;
    assert_int_equal(spate_settings_create(r->w->server.engine, &config, &settings, NULL), 0);
    spate_listener_set_settings(r->w->listener, settings);
    spate_settings_destroy(settings);
    struct spate_conn *conn = again(r, true);
    say(conn);
    pw_until(r->w, text_has_come);
    assert_int_equal(r->early_bytes, 0);
    assert_true(spate_conn_is_resumed(conn));
    assert_int_equal(spate_conn_early(conn), SPATE_EARLY_REJECTED);
}

static struct spate_conn *connect_to(struct resume *r, const struct sockaddr_storage *address,
                                     socklen_t size)
{
    struct sockaddr_storage own = r->w->address;
    r->w->address = *address;
    r->w->address_size = size;
    struct spate_conn *conn = again(r, true);
    r->w->address = own;
    return conn;
}

static bool is_initial(const struct pw_sample *sample)
{
    return (sample->data[0] & 0xf0) == 0xc0; /* of version 1 */
}

/* A network that reorders the first datagrams of the client: its Initial comes last. */
static void bytes_in_0_rtt_that_overtake_the_initial_are_not_lost(void **state)
{
    (void)state;
    struct resume *r = make(NULL);
    struct pw_relay *relay = pw_relay_create(r->w);
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    struct pw_sample held[8];
    uint32_t count = 0, zero_rtt_count = 0;
    assert_int_equal(getsockname(relay->to_client, (struct sockaddr *)&address, &size), 0);
    first(r);
    say(connect_to(r, &address, size));
    for (int i = 0; i < 5; i++)
        pw_wait(&r->w->client, 0);
    relay->client_size = sizeof(relay->client);
    ssize_t got;
    while (count < QT_COUNT(held) &&
           (got = recvfrom(relay->to_client, held[count].data, sizeof(held[0].data), 0,
                           (struct sockaddr *)&relay->client, &relay->client_size)) > 0)
        held[count++].size = (size_t)got;
    for (uint32_t i = count; i-- > 0;) {
        zero_rtt_count += !is_initial(&held[i]);
        (void)send(relay->to_server, held[i].data, held[i].size, 0);
        pw_wait(&r->w->server, 0);
    }
    assert_true(zero_rtt_count > 0);
    assert_int_equal(pw_stats(&r->w->server).zero_rtt_kept, zero_rtt_count);
    assert_int_equal(pw_stats(&r->w->server).zero_rtt_used, zero_rtt_count);
    assert_int_equal(pw_stats(&r->w->server).unroutable, 0);
    for (int i = 0; i < 5; i++)
        pw_wait(&r->w->server, 0);
    assert_int_equal(r->early_bytes, sizeof(text)); /* the client has heard nothing yet */
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!text_has_come(r->w) && pw_now_ns() < end_ns) {
        pw_turn(r->w);
        pw_relay_pass(relay);
    }
    assert_true(text_has_come(r->w));
}

static void always_retry(struct spate_config *config)
{
    config->retry = SPATE_RETRY_ALWAYS;
}

/* [RFC9000 8.1.3, 8.1.4] A token saves the Retry, once. */
static void a_token_saves_one_retry(void **state)
{
    (void)state;
    struct resume *r = make(&(struct pw_config){.server = always_retry});
    first(r);
    assert_int_equal(pw_stats(&r->w->server).retries_sent, 1);
    uint8_t used[sizeof(r->token)];
    size_t used_size = r->token_size;
    memcpy(used, r->token, used_size);
    (void)again(r, true);
    pw_until(r->w, two_are_connected);
    assert_int_equal(pw_stats(&r->w->server).retries_sent, 1);
    assert_int_equal(pw_stats(&r->w->server).tokens_accepted, 2);
    memcpy(r->token, used, used_size);
    r->token_size = used_size;
    (void)again(r, false);
    pw_for(r->w, 50 * SB_MS);
    assert_int_equal(pw_stats(&r->w->server).retries_sent, 2);
    assert_int_equal(r->w->client.connected_count, 3);
}

static bool three_are_connected(struct pw *w)
{
    return w->client.connected_count == 3 && w->server.connected_count == 3;
}

/* [RFC9000 8.1.4] Also if it comes with two connections that the server sees at one time. */
static void a_token_that_comes_twice_at_once_saves_one_retry(void **state)
{
    (void)state;
    struct resume *r = make(&(struct pw_config){.server = always_retry});
    first(r);
    (void)again(r, false);
    (void)again(r, false);
    for (int i = 0; i < 5; i++)
        assert_true(spate_shard_turn(r->w->client.shard, 0) >= 0);
    pw_until(r->w, three_are_connected);
    assert_int_equal(pw_stats(&r->w->server).retries_sent, 2);
    assert_int_equal(pw_stats(&r->w->server).tokens_accepted, 3);
    assert_int_equal(pw_stats(&r->w->server).tokens_refused, 0);
}

/* Tickets and tokens that are cut, changed or of other keys cost a round trip and nothing else. */
static void bad_tickets_and_tokens_are_ignored(void **state)
{
    (void)state;
    struct resume *r = make(NULL);
    first(r);
    uint8_t ticket[sizeof(r->ticket)];
    size_t ticket_size = r->ticket_size;
    memcpy(ticket, r->ticket, ticket_size);
    for (uint32_t i = 0; i < 3; i++) {
        memcpy(r->ticket, ticket, ticket_size);
        r->ticket_size = i == 0 ? ticket_size / 2 : ticket_size;
        r->token_size = i + 1;
        uint8_t key[SPATE_KEY_SIZE] = {(uint8_t)(i + 1)};
        if (i == 1)
            assert_int_equal(spate_tls_set_ticket_keys(r->w->server.tls, key, 1), 0);
        if (i == 2)
            memset(r->ticket, 0xff, 30);
        struct spate_conn *conn = again(r, true);
        uint32_t before = r->w->client.connected_count;
        for (int turn = 0; turn < 200 && r->w->client.connected_count == before; turn++)
            pw_for(r->w, SB_MS);
        assert_int_equal(r->w->client.connected_count, before + 1);
        assert_false(spate_conn_is_resumed(conn));
        assert_true(spate_conn_early(conn) != SPATE_EARLY_ACCEPTED);
    }
    uint8_t keys[5][SPATE_KEY_SIZE] = {{0}};
    assert_int_equal(spate_tls_set_ticket_keys(r->w->server.tls, keys, 5), -EINVAL);
    assert_int_equal(spate_tls_set_ticket_keys(r->w->server.tls, keys, 0), -EINVAL);
    assert_int_equal(spate_tls_set_ticket_keys(r->w->client.tls, keys, 1), -ENOTSUP);
}

static void bad_connect_options_are_refused(void **state)
{
    (void)state;
    struct resume *r = make(NULL);
    struct spate_error error = {""};
    struct spate_conn *conn = NULL;
    struct spate_connect_options options = {.size = 8};
    struct spate_shard *shard = r->w->client.shard;
    assert_int_equal(spate_shard_connect_with(shard, NULL, &conn, &error), -EINVAL);
    assert_int_equal(spate_shard_connect_with(shard, &options, &conn, &error), -EINVAL);
    options.size = sizeof(options);
    assert_int_equal(spate_shard_connect_with(shard, &options, &conn, &error), -EINVAL);
    assert_null(conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_ticket_saves_the_certificate),
        QT_TEST(owned, bytes_in_0_rtt_come_before_the_handshake_is_complete),
        QT_TEST(owned, bytes_in_0_rtt_that_overtake_the_initial_are_not_lost),
        QT_TEST(owned, refused_0_rtt_is_sent_again_once),
        QT_TEST(owned, smaller_settings_of_a_listener_reject_0_rtt),
        QT_TEST(owned, a_token_saves_one_retry),
        QT_TEST(owned, a_token_that_comes_twice_at_once_saves_one_retry),
        QT_TEST(owned, bad_tickets_and_tokens_are_ignored),
        QT_TEST(owned, bad_connect_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
