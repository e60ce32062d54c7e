/* SPDX-License-Identifier: MIT */
/* Tickets, resumption and 0-RTT on OpenSSL, and those who misuse them. */

#include "test/support/qt.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto/strikes.h"
#include "crypto/ticket_keys.h"
#include "proto/wire/tparam.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

enum { TICKET_MAX = 4096 };

static uint8_t ticket[TICKET_MAX];
static size_t ticket_size;
static uint8_t params[256];
static const uint8_t keys[3][SC_TICKET_KEY_SIZE] = {{1}, {2}, {3}};

static struct sb_bytes params_of(uint64_t max_data)
{
    struct sp_tparams all;
    struct sb_writer w = sb_writer_of(params, sizeof(params));
    sp_tparams_init(&all);
    all.initial_max_data = max_data;
    sp_tparams_write(&w, &all, 0);
    return (struct sb_bytes){params, sb_writer_used(&w)};
}

static struct qt_tls_args args_of(bool accepts_early)
{
    struct qt_tls_args args = qt_tls_args();
    args.server.ticket_count = 1;
    args.server.accepts_early = accepts_early;
    args.params = params_of(1000);
    return args;
}

/* A whole handshake; keeps the ticket that it gives. */
static void shake(struct qt_tls_pair *pair, const struct qt_tls_args *args)
{
    struct sb_bytes got;
    qt_tls_open(pair, args);
    qt_tls_run(pair);
    qt_tls_assert_complete(pair);
    assert_int_equal(pair->client.ticket_count, 1);
    assert_true(sc_tls_ops.ticket(pair->client.tls, &got));
    assert_true(got.size <= sizeof(ticket));
    memcpy(ticket, got.data, got.size);
    ticket_size = got.size;
    assert_false(sc_tls_ops.ticket(pair->client.tls, &got));
}

/* The arguments of a handshake that resumes, between the configurations of `pair`. */
static struct qt_tls_args again(const struct qt_tls_pair *pair, bool wants_early)
{
    struct qt_tls_args args = args_of(true);
    args.client_config = pair->client_config;
    args.server_config = pair->server_config;
    args.ticket = (struct sb_bytes){ticket, ticket_size};
    args.wants_early = wants_early;
    return args;
}

static void assert_resumed(struct qt_tls_pair *pair, bool want)
{
    assert_int_equal(sc_tls_is_resumed(pair->client.tls), want);
    assert_int_equal(sc_tls_is_resumed(pair->server.tls), want);
}

static void assert_early(struct qt_tls_pair *pair, bool is_accepted)
{
    assert_true(pair->client.has_secret[SP_LEVEL_EARLY][true]);
    assert_int_equal(pair->client.early,
                     is_accepted ? SP_TLS_EARLY_ACCEPTED : SP_TLS_EARLY_REJECTED);
    assert_int_equal(pair->server.has_secret[SP_LEVEL_EARLY][false], is_accepted);
    if (is_accepted)
        assert_memory_equal(pair->client.secrets[SP_LEVEL_EARLY][true],
                            pair->server.secrets[SP_LEVEL_EARLY][false], 32);
}

static void a_ticket_resumes(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    struct qt_tls_args args = args_of(false);
    shake(&first, &args);
    assert_resumed(&first, false);
    args = again(&first, true); /* the ticket does not allow 0-RTT */
    shake(&second, &args);
    assert_resumed(&second, true);
    assert_false(second.client.has_secret[SP_LEVEL_EARLY][true]);
    assert_int_equal(sc_tls_early_params(second.client.tls).size, 0);
    args = again(&second, false); /* .. and its new ticket resumes again */
    shake(&first, &args);
    assert_resumed(&first, true);
}

/* [RFC9001 4.6] */
/* OpenSSL would keep the certificate in its session, and decode it with that: the ticket is smaller
 * and the resumption quicker without, and the application gets the certificate all the same. */
static void the_certificate_is_kept_beside_the_session(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    struct qt_tls_args args = args_of(true);
    shake(&first, &args);
    struct sb_bytes cert = sc_tls_peer_certificate(first.client.tls);
    assert_true(cert.size > 0);
    uint8_t want[TICKET_MAX];
    memcpy(want, cert.data, cert.size);
    const size_t want_size = cert.size;
    for (int i = 0; i < 3; i++) { /* each with the ticket of the one before */
        bool is_even = i % 2 == 0;
        const struct qt_tls_pair *before = is_even ? &first : &second;
        args = again(before, true);
        size_t count = 0;
        for (size_t at = 0; at + want_size <= ticket_size; at++)
            count += memcmp(ticket + at, want, want_size) == 0;
        assert_int_equal(count, 1);
        assert_true(ticket_size < want_size + 1000);
        shake(is_even ? &second : &first, &args);
        const struct qt_tls_pair *now = is_even ? &second : &first;
        assert_resumed((struct qt_tls_pair *)(uintptr_t)now, true);
        cert = sc_tls_peer_certificate(now->client.tls);
        assert_int_equal(cert.size, want_size);
        assert_memory_equal(cert.data, want, want_size);
    }
}

static void early_secrets_are_equal_and_come_first(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    struct qt_tls_args args = args_of(true);
    shake(&first, &args);
    args = again(&first, true);
    qt_tls_open(&second, &args);
    assert_int_equal(sc_tls_early_params(second.client.tls).size, args.params.size);
    assert_true(second.client.has_secret[SP_LEVEL_EARLY][true]); /* before any answer */
    qt_tls_run(&second);
    qt_tls_assert_complete(&second);
    assert_early(&second, true);
    assert_resumed(&second, true);
    /* [RFC9001 8.3] Finished follows on the ClientHello: no EndOfEarlyData. */
    assert_int_equal(second.client.said[SP_LEVEL_EARLY], 0);
    assert_int_equal(*sc_tls_ops.bytes(second.client.tls, SP_LEVEL_HANDSHAKE, 0, 1), 20);
    /* [RFC9001 5.6] */
    assert_false(second.server.has_secret[SP_LEVEL_EARLY][true]);
}

/* [RFC9001 4.6.1] All of 0-RTT or, without the extension early_data, nothing. */
static void tickets_say_whether_0_rtt_is_accepted(void **state)
{
    (void)state;
    static const uint8_t whole[] = {0, 42, 0, 4, 0xff, 0xff, 0xff, 0xff}; /* the last extension */
    for (int accepts = 0; accepts < 2; accepts++) {
        struct qt_tls_pair pair;
        struct qt_tls_args args = args_of(accepts);
        shake(&pair, &args);
        size_t size = (size_t)pair.server.said[SP_LEVEL_APP];
        const uint8_t *bytes = sc_tls_ops.bytes(pair.server.tls, SP_LEVEL_APP, 0, size);
        const uint8_t *end = bytes + size;
        assert_int_equal(bytes[0], 4);
        if (accepts)
            assert_memory_equal(end - sizeof(whole), whole, sizeof(whole));
        else
            assert_memory_equal(end - 2, "\0\0", 2); /* no extensions */
    }
}

/* A server that accepts 0-RTT and meets a client that sends none. */
static void a_server_with_0_rtt_completes_without_it(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    struct qt_tls_args args = args_of(true);
    shake(&first, &args);
    args = again(&first, false);
    for (size_t step = 0; step < 3; step++) {
        qt_tls_open(&second, &args);
        second.step_max = 50 * step;
        qt_tls_run(&second);
        qt_tls_assert_complete(&second);
        assert_resumed(&second, true);
    }
}

/* [RFC8446 8.2] The very ClientHello a second time. */
static void a_replayed_hello_gets_no_0_rtt(void **state)
{
    (void)state;
    struct qt_tls_pair first, second, third;
    uint8_t hello[2048];
    struct qt_tls_args args = args_of(true);
    shake(&first, &args);
    args = again(&first, true);
    qt_tls_open(&second, &args);
    size_t size = (size_t)second.client.said[SP_LEVEL_INITIAL];
    assert_true(size <= sizeof(hello));
    memcpy(hello, sc_tls_ops.bytes(second.client.tls, SP_LEVEL_INITIAL, 0, size), size);
    qt_tls_run(&second);
    assert_early(&second, true);

    args = again(&first, false);
    qt_tls_open(&third, &args);
    qt_tls_inject(&third.server, SP_LEVEL_INITIAL, hello, size);
    assert_int_equal(third.server.alert, -1);
    assert_false(third.server.has_secret[SP_LEVEL_EARLY][false]);
    assert_int_equal(third.server.early, SP_TLS_EARLY_REJECTED);
}

/* [RFC9000 7.4.1] */
static void lower_limits_reject_0_rtt(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    struct qt_tls_args args = args_of(true);
    shake(&first, &args);
    args = again(&first, true);
    args.params = params_of(999);
    qt_tls_open(&second, &args);
    qt_tls_run(&second);
    qt_tls_assert_complete(&second);
    assert_early(&second, false);
    assert_resumed(&second, true);
    args = again(&first, true);
    args.params = params_of(1001);
    qt_tls_open(&second, &args);
    qt_tls_run(&second);
    assert_early(&second, true);
}

static bool refuse(void *context, const char *server_name, const uint8_t *alpn, size_t alpn_size)
{
    assert_string_equal(server_name, "localhost");
    assert_int_equal(alpn_size, 4);
    assert_memory_equal(alpn, "test", 4);
    ++*(int *)context;
    return false;
}

static void the_application_can_refuse_0_rtt(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    struct qt_tls_args args = args_of(true);
    int count = 0;
    args.server.on_early = refuse;
    args.server.allow_early_context = &count;
    shake(&first, &args);
    args = again(&first, true);
    qt_tls_open(&second, &args);
    qt_tls_run(&second);
    qt_tls_assert_complete(&second);
    assert_early(&second, false);
    assert_int_equal(count, 1);
}

/* A HelloRetryRequest rejects 0-RTT, and the second ClientHello is an Initial.  [RFC9001 4.6.2] */
static void a_hello_retry_request_rejects_0_rtt(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    struct qt_tls_args args = args_of(true);
    args.server.ticket_keys = keys[0];
    args.server.ticket_key_count = 1;
    shake(&first, &args);
    struct qt_tls_args other = args_of(true);
    other.server.ticket_keys = keys[0];
    other.server.ticket_key_count = 1;
    other.server.groups = "P-384";
    other.ticket = (struct sb_bytes){ticket, ticket_size};
    other.wants_early = true;
    qt_tls_open(&second, &other);
    qt_tls_run(&second);
    qt_tls_assert_complete(&second);
    assert_early(&second, false);
    assert_int_equal(second.client.said[SP_LEVEL_EARLY], 0);
}

/* Keys that are replaced: the one before still opens, the one before that does not. */
static void ticket_keys_rotate(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    uint8_t both[2][SC_TICKET_KEY_SIZE];
    struct qt_tls_args args = args_of(true);
    args.server.ticket_keys = keys[0];
    args.server.ticket_key_count = 1;
    shake(&first, &args);
    for (size_t i = 1; i < 3; i++) {
        memcpy(both[0], keys[i], sizeof(both[0]));
        memcpy(both[1], keys[i - 1], sizeof(both[1]));
        assert_int_equal(sc_tls_config_set_ticket_keys(first.server_config, both[0], 2), 0);
        args = again(&first, true);
        uint8_t before[TICKET_MAX];
        size_t before_size = ticket_size;
        memcpy(before, ticket, ticket_size);
        shake(&second, &args);
        assert_resumed(&second, i == 1);
        memcpy(ticket, before, before_size);
        ticket_size = before_size;
    }
    assert_int_equal(sc_tls_config_set_ticket_keys(first.server_config, both[0], 0), -EINVAL);
    assert_int_equal(sc_tls_config_set_ticket_keys(first.server_config, both[0], 5), -EINVAL);
    assert_int_equal(sc_tls_config_set_ticket_keys(first.client_config, both[0], 1), -ENOTSUP);
}

/* Tickets that were changed anywhere never resume, and never harm. */
static void forged_tickets_lead_to_a_whole_handshake(void **state)
{
    (void)state;
    struct qt_tls_pair first, second;
    struct qt_tls_args args = args_of(true);
    shake(&first, &args);
    args = again(&first, true);
    uint8_t *last = &ticket[ticket_size - 40]; /* in the session: of the sealed ticket or after */
    for (size_t i = 0; i < 3; i++) {
        uint8_t *at = i == 0 ? last : &ticket[ticket_size - 60 - 50 * i];
        *at ^= 1;
        struct sp_tls *client;
        assert_int_equal(sc_tls_create(first.client_config, "localhost", &client, NULL), 0);
        int result = sc_tls_resume(client, args.ticket, true);
        sc_tls_ops.destroy(client);
        args.resume_result = result;
        qt_tls_open(&second, &args);
        qt_tls_run(&second);
        if (second.client.alert < 0 && second.server.alert < 0)
            qt_tls_assert_complete(&second);
        *at ^= 1;
    }
}

static int resume_as(struct sc_tls_config *config, const char *name, uint32_t version,
                     struct sb_bytes bytes)
{
    struct sp_tls *client;
    uint8_t *exact = malloc(bytes.size + 1);
    assert_non_null(exact);
    memcpy(exact, bytes.data, bytes.size);
    assert_int_equal(sc_tls_create(config, name, &client, NULL), 0);
    sc_tls_set_version(client, version);
    int result = sc_tls_resume(client, (struct sb_bytes){exact, bytes.size}, true);
    sc_tls_ops.destroy(client);
    free(exact);
    return result;
}

static void a_cut_ticket_is_refused(void **state)
{
    (void)state;
    struct qt_tls_pair first;
    struct qt_tls_args args = args_of(true);
    shake(&first, &args);
    for (size_t size = 0; size < ticket_size; size += size < 120 ? 1 : 37)
        assert_int_equal(
            resume_as(first.client_config, "localhost", 0, (struct sb_bytes){ticket, size}),
            -EINVAL);
    assert_int_equal(
        resume_as(first.client_config, "localhost", 0, (struct sb_bytes){ticket, ticket_size}), 0);
}

static void a_ticket_is_for_its_server_and_time(void **state)
{
    (void)state;
    struct qt_tls_pair first;
    struct qt_tls_args args = args_of(true);
    const struct sb_bytes all = {ticket, sizeof(ticket)};
    struct sb_bytes bytes = all;
    shake(&first, &args);
    bytes.size = ticket_size;
    assert_int_equal(resume_as(first.client_config, "127.0.0.1", 0, bytes), -ESTALE);
    ticket[9]--; /* 2^56 seconds: in the future, or long ago */
    assert_int_equal(resume_as(first.client_config, "localhost", 0, bytes), -ESTALE);
    ticket[9]++;
    sb_store_u64(ticket + 9, sb_load_u64(ticket + 9) - 24 * 3600); /* its lifetime */
    assert_int_equal(resume_as(first.client_config, "localhost", 0, bytes), -ESTALE);
    sb_store_u64(ticket + 9, sb_load_u64(ticket + 9) + 24 * 3600);
    ticket[4] = 0; /* from an insecure configuration */
    assert_int_equal(resume_as(first.client_config, "localhost", 0, bytes), -ESTALE);
    ticket[4] = 1;
    ticket[8] = 1; /* [RFC9369 5] of version 1 */
    assert_int_equal(resume_as(first.client_config, "localhost", 2, bytes), -ESTALE);
    assert_int_equal(resume_as(first.client_config, "localhost", 1, bytes), 0);
}

/* [RFC9369 5] A server finds out by itself. */
static void a_server_takes_no_ticket_of_another_version(void **state)
{
    (void)state;
    static const uint8_t versions[] = {0x6b, 0x33, 0x43, 0xcf, 0, 0, 0, 1};
    struct sp_tparams all;
    struct qt_tls_args args = args_of(true);
    struct sb_writer w = sb_writer_of(params, sizeof(params));
    sp_tparams_init(&all);
    all.chosen_version = 1;
    all.available_versions = (struct sb_bytes){versions, sizeof(versions)};
    sp_tparams_write(&w, &all, 0);
    args.params = (struct sb_bytes){params, sb_writer_used(&w)};
    struct qt_tls_pair first, second;
    shake(&first, &args);
    for (int is_2 = 0; is_2 < 2; is_2++) {
        args.client_config = first.client_config;
        args.server_config = first.server_config;
        args.ticket = (struct sb_bytes){ticket, ticket_size};
        args.wants_early = true;
        qt_tls_open(&second, &args);
        sc_tls_set_version(second.server.tls, is_2 ? 0x6b3343cf : 1);
        qt_tls_run(&second);
        qt_tls_assert_complete(&second);
        assert_resumed(&second, !is_2);
        assert_early(&second, !is_2);
    }
}

/* [RFC9368 6] After a Version Negotiation packet the client offers all its protocols, not that of
 * the ticket alone. */
static void a_new_beginning_forgets_the_protocol_of_the_ticket(void **state)
{
    (void)state;
    static const char *const both[] = {"one", "two"};
    struct qt_tls_args args = args_of(true);
    args.client.alpn = both;
    args.client.alpn_count = 2;
    args.server.alpn = both + 1;
    args.server.alpn_count = 1;
    struct qt_tls_pair first, second;
    shake(&first, &args);
    assert_memory_equal(sc_tls_alpn(first.client.tls).data, "two", 3);

    args.client_config = first.client_config;
    args.server.alpn = both;
    args.ticket = (struct sb_bytes){ticket, ticket_size};
    args.wants_early = true;
    for (int restarts = 0; restarts < 2; restarts++) {
        qt_tls_open(&second, &args);
        if (restarts) {
            struct qt_tls_end *client = &second.client;
            assert_true(sc_tls_ops.restart(client->tls));
            *client = (struct qt_tls_end){.tls = client->tls, .alert = -1, .is_client = true};
            assert_true(sc_tls_ops.start(client->tls, (const uint8_t *)"abc", 3));
            qt_tls_pull(client);
        }
        qt_tls_run(&second);
        if (restarts) {
            qt_tls_assert_complete(&second);
            assert_memory_equal(sc_tls_alpn(second.client.tls).data, "one", 3);
        } else {                                        /* it offers nothing but "two" */
            assert_int_equal(second.server.alert, 120); /* no_application_protocol */
        }
    }
}

static void strikes_end(void *strikes)
{
    sc_strikes_destroy(strikes);
}

static void a_strike_register_forgets_after_its_window(void **state)
{
    (void)state;
    struct sc_strikes *strikes = owned_add(sc_strikes_create(64, 1000), strikes_end);
    uint8_t random[32] = {0};
    /* From before it began, perhaps in that same second. */
    assert_false(sc_strikes_add(strikes, random, false, 999, 1000));
    assert_false(sc_strikes_add(strikes, random, false, 1000, 1000));
    assert_false(sc_strikes_add(strikes, random, false, 1000, 999 + SC_STRIKES_WINDOW_S));
    assert_true(sc_strikes_add(strikes, random, true, 1000, 1000));
    assert_false(sc_strikes_add(strikes, random, true, 1000, 1000 + SC_STRIKES_WINDOW_S));
    assert_true(sc_strikes_add(strikes, random, false, 999, 1001 + SC_STRIKES_WINDOW_S));
    random[0] = 1;
    assert_true(sc_strikes_add(strikes, random, false, 1001, 1001)); /* of one that began later */

    /* A flood is refused, never forgotten. */
    uint32_t count = 0;
    for (uint32_t i = 1; i < 2000; i++) {
        memcpy(random, &i, sizeof(i));
        count += sc_strikes_add(strikes, random, false, 2000, 2000);
    }
    assert_in_range(count, 40, 72);
    for (uint32_t i = 1; i < 2000; i++) {
        memcpy(random, &i, sizeof(i));
        assert_false(sc_strikes_add(strikes, random, false, 2000, 2001));
    }
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    struct sc_tls_config *config;
    struct qt_tls_args args = args_of(true);
    args.server.ticket_count = 0;
    assert_int_equal(sc_tls_config_create(&args.server, &config, NULL), -EINVAL);
    args = args_of(true);
    args.server.ticket_lifetime_s = 7 * 24 * 3600 + 1;
    assert_int_equal(sc_tls_config_create(&args.server, &config, NULL), -EINVAL);
    args = args_of(true);
    args.server.ticket_keys = keys[0];
    args.server.ticket_key_count = 5;
    assert_int_equal(sc_tls_config_create(&args.server, &config, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_ticket_resumes),
        QT_TEST(owned, the_certificate_is_kept_beside_the_session),
        QT_TEST(owned, early_secrets_are_equal_and_come_first),
        QT_TEST(owned, tickets_say_whether_0_rtt_is_accepted),
        QT_TEST(owned, a_server_with_0_rtt_completes_without_it),
        QT_TEST(owned, a_replayed_hello_gets_no_0_rtt),
        QT_TEST(owned, lower_limits_reject_0_rtt),
        QT_TEST(owned, the_application_can_refuse_0_rtt),
        QT_TEST(owned, a_hello_retry_request_rejects_0_rtt),
        QT_TEST(owned, ticket_keys_rotate),
        QT_TEST(owned, forged_tickets_lead_to_a_whole_handshake),
        QT_TEST(owned, a_cut_ticket_is_refused),
        QT_TEST(owned, a_ticket_is_for_its_server_and_time),
        QT_TEST(owned, a_server_takes_no_ticket_of_another_version),
        QT_TEST(owned, a_new_beginning_forgets_the_protocol_of_the_ticket),
        QT_TEST(owned, a_strike_register_forgets_after_its_window),
        QT_TEST(owned, bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
