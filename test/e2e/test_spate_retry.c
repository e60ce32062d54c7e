/* SPDX-License-Identifier: MIT */
/* Retry, and the handshakes of clients that are not proven.  RFC 9000, Sections 8.1 and 17.2.5. */

#include "test/support/spate_world.h"

#include <string.h>

static void always(struct spate_config *config)
{
    config->retry = SPATE_RETRY_ALWAYS;
}

static bool both_are_connected(struct pw *w)
{
    return w->client.connected_count == 1 && w->server.connected_count == 1;
}

/* ---- Retry ---- */

static void every_client_proves_its_address_first(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        struct pw *w = pw_create(&(struct pw_config){.server = always, .is_v6 = is_v6 == 1});
        for (uint64_t i = 1; i <= 3; i++) {
            (void)pw_connected(w);
            struct spate_shard_stats stats = pw_stats(&w->server);
            assert_int_equal(stats.retries_sent, i);
            assert_int_equal(stats.tokens_accepted, i);
            assert_int_equal(stats.handshakes_done, i);
        }
        struct spate_shard_stats stats = pw_stats(&w->server);
        assert_int_equal(stats.handshakes_failed, 0);
        assert_int_equal(stats.tokens_refused, 0);
        assert_int_equal(stats.conns_accepted, 3);
    }
}

static void nobody_has_to_while_there_is_room(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    (void)pw_connected(w);
    assert_int_equal(pw_stats(&w->server).retries_sent, 0);
}

enum { CLIENTS = 20, BUDGET = 40, SHARE = BUDGET / 8 };

static void small_budget(struct spate_config *config)
{
    config->handshakes_max = BUDGET;
}

static bool all_are_connected(struct pw *w)
{
    return w->client.connected_count == CLIENTS && w->server.connected_count == CLIENTS;
}

/* All from one address: the budget lets so many of them in without a proof. */
static void auto_sends_retry_to_those_beyond_the_share(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = small_budget});
    for (int i = 0; i < CLIENTS; i++)
        (void)pw_connect(w);
    assert_true(spate_shard_turn(w->client.shard, 0) >= 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (pw_stats(&w->server).datagrams_in < CLIENTS && pw_now_ns() < end_ns)
        pw_wait(&w->server, 0);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(stats.handshakes_now, SHARE);
    assert_int_equal(stats.retries_sent, CLIENTS - SHARE);
    pw_until(w, all_are_connected);
    stats = pw_stats(&w->server);
    assert_int_equal(stats.tokens_accepted, CLIENTS - SHARE);
    assert_int_equal(stats.handshakes_now, 0);
    assert_int_equal(stats.handshakes_dropped, 0);
}

/* ---- tokens ---- */

/* Returns whether the datagram begins with an Initial that has a token. */
static bool has_token(const struct pw_sample *sample)
{
    const uint8_t *at = sample->data + 5;
    if (sample->size < 1200 || (sample->data[0] & 0xf0) != 0xc0)
        return false;
    at += 1 + at[0]; /* DCID */
    at += 1 + at[0]; /* SCID */
    return at[0] != 0;
}

static const struct pw_sample *sample_with_token(const struct pw_relay *r)
{
    for (uint32_t i = 0; i < r->sample_count; i++)
        if (has_token(&r->samples[i]))
            return &r->samples[i];
    fail_msg("no Initial had a token");
    return NULL;
}

static void pass_until(struct pw *w, struct pw_relay *r, bool (*is_done)(struct pw *w))
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_done(w)) {
        pw_turn(w);
        pw_relay_pass(r);
        if (pw_now_ns() > end_ns)
            fail_msg("it did not happen");
    }
}

/* Sends `sample` from `fd`, and returns the size of the server's answer; 0 if there is none. */
static size_t send_again(struct pw *w, int fd, const struct pw_sample *sample, uint8_t *ret)
{
    uint64_t before = pw_stats(&w->server).datagrams_in;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (recv(fd, ret, PW_DATAGRAM_MAX, 0) > 0)
        continue;
    assert_int_equal(send(fd, sample->data, sample->size, 0), sample->size);
    while (pw_stats(&w->server).datagrams_in == before && pw_now_ns() < end_ns)
        pw_turn(w);
    pw_turn(w);
    pw_turn(w);
    ssize_t got = recv(fd, ret, PW_DATAGRAM_MAX, 0);
    return got > 0 ? (size_t)got : 0;
}

static void always_with_few_slots(struct spate_config *config)
{
    config->retry = SPATE_RETRY_ALWAYS;
    config->transmit_slots = 8;
}

/* More first packets than slots come at once, again and again. */
static void retries_leave_transmit_slots_to_connections(void **state)
{
    (void)state;
    enum { ROUNDS = 20, AT_ONCE = 64 };
    struct pw *w = pw_create(&(struct pw_config){.server = always_with_few_slots});
    struct pw_relay *r = pw_relay_create(w);
    (void)pw_connect_through(w, r);
    pass_until(w, r, both_are_connected);
    int fd = pw_udp_socket();
    assert_int_equal(connect(fd, (const struct sockaddr *)&w->address, w->address_size), 0);
    uint64_t most = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < AT_ONCE; i++)
            assert_int_equal(send(fd, r->samples[0].data, r->samples[0].size, 0),
                             r->samples[0].size);
        uint64_t last = pw_stats(&w->server).retries_sent;
        pw_wait(&w->server, 0);
        struct spate_shard_stats stats = pw_stats(&w->server);
        assert_true(stats.transmit_slots_free >= 4);
        most = stats.retries_sent - last > most ? stats.retries_sent - last : most;
    }
    assert_int_equal(most, 4);
}

/* An Initial with CONNECTION_CLOSE is small, and the client's SCID comes back as its DCID. */
static void assert_refusal(const struct pw_sample *sample, const uint8_t *answer, size_t size)
{
    assert_in_range(size, 30, 100);
    assert_int_equal(answer[0] & 0xf0, 0xc0);
    const uint8_t *scid = sample->data + 6 + sample->data[5];
    assert_memory_equal(answer + 5, scid, 1 + (size_t)scid[0]);
}

static bool server_has_no_conn(struct pw *w)
{
    return pw_stats(&w->server).conns_now == 0;
}

/* [RFC9000 8.1.4] A token that was seen on its way helps nobody: not from another port, and not
 * again after it was used. */
static void a_stolen_or_repeated_token_is_refused(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = always});
    struct pw_relay *r = pw_relay_create(w);
    (void)pw_connect_through(w, r);
    pass_until(w, r, both_are_connected);
    const struct pw_sample *sample = sample_with_token(r);
    spate_conn_close(w->server.conn, 0, "");
    pass_until(w, r, server_has_no_conn);

    uint8_t answer[PW_DATAGRAM_MAX];
    int thief = pw_udp_socket();
    assert_int_equal(connect(thief, (const struct sockaddr *)&w->address, w->address_size), 0);
    size_t size = send_again(w, thief, sample, answer);
    assert_refusal(sample, answer, size);
    assert_int_equal(pw_stats(&w->server).tokens_refused, 1);

    size = send_again(w, r->to_server, sample, answer);
    assert_refusal(sample, answer, size);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(stats.tokens_refused, 2);
    assert_int_equal(stats.tokens_accepted, 1);
    assert_int_equal(stats.conns_now, 0);
}

static void with_key(struct spate_config *config)
{
    always(config);
    for (size_t i = 0; i < sizeof(config->token_key); i++)
        config->token_key[i] = (uint8_t)(i + 1);
}

static bool server_sent_a_retry(struct pw *w)
{
    return pw_stats(&w->server).retries_sent == 1;
}

/* A Retry of one process, and the answer reaches another one. */
static void retry_here_and_connect_there(struct pw *first, struct pw *second)
{
    struct pw_relay *r = pw_relay_create(first);
    (void)pw_connect_through(first, r);
    pass_until(first, r, server_sent_a_retry);
    for (int i = 0; i < 2; i++)
        pw_wait(&first->server, 0); /* the Retry leaves with the next turn */
    pw_relay_pass(r);
    assert_int_equal(
        connect(r->to_server, (const struct sockaddr *)&second->address, second->address_size), 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (second->server.connected_count == 0 && first->client.closed_count == 0 &&
           pw_now_ns() < end_ns) {
        pw_turn(first);
        pw_wait(&second->server, 0);
        pw_relay_pass(r);
    }
}

static void processes_with_one_key_accept_each_others_tokens(void **state)
{
    (void)state;
    struct pw *first = pw_create(&(struct pw_config){.server = with_key});
    struct pw *second = pw_create(&(struct pw_config){.server = with_key});
    struct spate_tls *tls = first->client.tls;
    first->client.tls = second->client.tls; /* which knows the second server's certificate */
    retry_here_and_connect_there(first, second);
    first->client.tls = tls;
    assert_int_equal(second->server.connected_count, 1);
    assert_int_equal(pw_stats(&second->server).tokens_accepted, 1);
    assert_int_equal(pw_stats(&second->server).retries_sent, 0);
    assert_int_equal(pw_stats(&first->server).tokens_accepted, 0);
}

static void short_handshake(struct spate_config *config)
{
    config->handshake_timeout_ns = 300000000;
}

/* Without a key in common the token counts as absent.  The client ignores a second Retry. */
static void engines_have_keys_of_their_own_otherwise(void **state)
{
    (void)state;
    struct pw *first = pw_create(&(struct pw_config){.server = always, .client = short_handshake});
    struct pw *second = pw_create(&(struct pw_config){.server = always});
    retry_here_and_connect_there(first, second);
    struct spate_shard_stats stats = pw_stats(&second->server);
    assert_int_equal(second->server.connected_count, 0);
    assert_int_equal(stats.tokens_accepted + stats.tokens_refused, 0);
    assert_true(stats.retries_sent > 0);
    assert_int_equal(first->client.close.kind, SPATE_CLOSE_HANDSHAKE_TIMEOUT);
}

/* ---- handshakes that fail ---- */

enum { REFUSERS = 30, PLACES = 4 };

static void few_places(struct spate_config *config)
{
    config->handshakes_max = PLACES;
    config->retry = SPATE_RETRY_NEVER;
}

static bool one_more_has_failed(struct pw *w)
{
    return pw_stats(&w->server).handshakes_failed == w->client.closed_count &&
           w->client.closed_count > w->closed_before;
}

/* Clients that do not trust the certificate close before the handshake is complete.  Their places
 * are free at once, although the connections are still draining. */
static void a_handshake_that_failed_gives_its_place_back_at_once(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = few_places});
    struct pw *other = pw_create(NULL);
    struct spate_tls *tls = w->client.tls;
    w->client.tls = other->client.tls;
    for (uint32_t i = 0; i < REFUSERS; i++) {
        w->closed_before = w->client.closed_count;
        (void)pw_connect(w);
        pw_until(w, one_more_has_failed);
        assert_int_equal(pw_stats(&w->server).handshakes_now, 0);
    }
    w->client.tls = tls;
    assert_int_equal(pw_stats(&w->server).handshakes_dropped, 0);
    assert_int_equal(pw_stats(&w->server).handshakes_failed, REFUSERS);

    (void)pw_connected(w);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(stats.handshakes_dropped, 0);
    assert_int_equal(stats.handshakes_done, 1);
    assert_int_equal(w->server.closed_count, 0); /* the application never heard of the others */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, every_client_proves_its_address_first),
        QT_TEST(owned, nobody_has_to_while_there_is_room),
        QT_TEST(owned, auto_sends_retry_to_those_beyond_the_share),
        QT_TEST(owned, retries_leave_transmit_slots_to_connections),
        QT_TEST(owned, a_stolen_or_repeated_token_is_refused),
        QT_TEST(owned, processes_with_one_key_accept_each_others_tokens),
        QT_TEST(owned, engines_have_keys_of_their_own_otherwise),
        QT_TEST(owned, a_handshake_that_failed_gives_its_place_back_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
