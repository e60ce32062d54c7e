/* SPDX-License-Identifier: MIT */
/* TLS handshakes that work: what is negotiated and what is said.  RFC 9001, section 4. */

#include "test/support/qt.h"

#include <stdio.h>

#include "crypto/suite.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

static const struct sp_tls_ops *const ops = &sc_tls_ops;

static bool text_is(struct sb_bytes bytes, const char *text)
{
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

static void each_suite_completes_with_equal_secrets(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SC_SUITE_COUNT; i++) {
        const struct sc_suite *suite = sc_suite_at(i);
        struct qt_tls_args args = qt_tls_args();
        args.server.suites = &suite->id;
        args.server.suite_count = 1;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        assert_int_equal(sc_tls_suite(pair.client.tls), suite->id);
        assert_int_equal(sc_tls_suite(pair.server.tls), suite->id);
        assert_int_equal(pair.client.secret_size, suite->secret_size);
        qt_tls_close(&pair);
    }
}

static void the_client_alone_may_restrict_the_suites_too(void **state)
{
    (void)state;
    static const enum sp_suite suites[] = {SP_SUITE_CHACHA20_POLY1305, SP_SUITE_AES_256_GCM};
    struct qt_tls_args args = qt_tls_args();
    args.client.suites = suites;
    args.client.suite_count = 2;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    assert_int_equal(pair.server.suite, SP_SUITE_CHACHA20_POLY1305); /* it has no AES */
}

static void both_ends_know_what_was_negotiated(void **state)
{
    (void)state;
    static const char *const client_alpn[] = {"h3", "perf", "hq"};
    static const char *const server_alpn[] = {"none", "hq", "perf"};
    struct qt_tls_args args = qt_tls_args();
    args.client.alpn = client_alpn;
    args.client.alpn_count = 3;
    args.server.alpn = server_alpn;
    args.server.alpn_count = 3;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    /* The server's preference decides. */
    assert_true(text_is(sc_tls_alpn(pair.client.tls), "hq"));
    assert_true(text_is(sc_tls_alpn(pair.server.tls), "hq"));
    assert_string_equal(sc_tls_alpn(pair.client.tls).data, "hq"); /* with a zero after it */
    assert_string_equal(sc_tls_alpn(pair.server.tls).data, "hq");
    assert_int_equal(pair.client.suite, SP_SUITE_AES_128_GCM);
    assert_string_equal(sc_tls_group(pair.client.tls), "x25519");
    assert_string_equal(sc_tls_group(pair.server.tls), "x25519");
    assert_string_equal(sc_tls_server_name(pair.server.tls), "localhost");
    assert_true(sc_tls_peer_certificate(pair.client.tls).size > 0);
    assert_int_equal(sc_tls_peer_certificate(pair.server.tls).size, 0);
    assert_null(sc_tls_error(pair.client.tls));
    assert_null(sc_tls_error(pair.server.tls));
}

/* [RFC9001 8.2] */
static void transport_parameters_reach_the_other_end_unchanged(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    assert_true(qt_tls_step(&pair));
    /* The server has the client's before it says any secret for 1-RTT packets. */
    assert_true(pair.server.has_params);
    assert_int_equal(pair.server.facts[0].kind, SP_TLS_PEER_PARAMS);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    static const uint8_t client_params[] = {1, 2, 3, 4, 5};
    static const uint8_t server_params[] = {9, 8, 7};
    assert_int_equal(pair.server.params_size, sizeof(client_params));
    assert_memory_equal(pair.server.params, client_params, sizeof(client_params));
    assert_int_equal(pair.client.params_size, sizeof(server_params));
    assert_memory_equal(pair.client.params, server_params, sizeof(server_params));
}

static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 3, 5, 100};
    for (size_t i = 0; i < QT_COUNT(steps); i++) {
        struct qt_tls_args args = qt_tls_args();
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        pair.step_max = steps[i];
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        qt_tls_close(&pair);
    }
}

static void bytes_can_be_read_again_until_they_are_dropped(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    size_t hello_size = (size_t)pair.client.said[SP_LEVEL_INITIAL];
    uint8_t hello[2048];
    assert_true(hello_size <= sizeof(hello));
    memcpy(hello, ops->bytes(pair.client.tls, SP_LEVEL_INITIAL, 0, hello_size), hello_size);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    for (size_t at = 0; at < hello_size; at += 50) {
        size_t size = hello_size - at;
        assert_memory_equal(ops->bytes(pair.client.tls, SP_LEVEL_INITIAL, at, size), hello + at,
                            size);
    }
    expect_assert_failure((void)ops->bytes(pair.client.tls, SP_LEVEL_INITIAL, 1, hello_size));
    ops->drop(pair.client.tls, SP_LEVEL_INITIAL);
    expect_assert_failure((void)ops->bytes(pair.client.tls, SP_LEVEL_INITIAL, 0, 1));
    /* The others are still there. */
    assert_non_null(ops->bytes(pair.client.tls, SP_LEVEL_HANDSHAKE, 0, 1));
}

static void text_end(void *text)
{
    sc_self_signed_free(text);
}

/* Makes a certificate and its key, owned by the test. */
static void make_identity(const struct sc_self_signed_options *options, char **ret_cert,
                          char **ret_key)
{
    assert_int_equal(sc_self_signed(options, ret_cert, ret_key, NULL), 0);
    (void)owned_add(*ret_cert, text_end);
    (void)owned_add(*ret_key, text_end);
}

static void a_large_certificate_chain_passes(void **state)
{
    (void)state;
    enum { NAMES = 400 };
    static char texts[NAMES][64];
    const char *names[NAMES + 1] = {"localhost"};
    for (int i = 0; i < NAMES; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%040d.example.net", i);
        names[i + 1] = texts[i];
    }
    const struct sc_self_signed_options options = {.names = names, .name_count = NAMES + 1};
    char *cert, *key;
    make_identity(&options, &cert, &key);

    static const size_t steps[] = {0, 1100};
    for (size_t i = 0; i < QT_COUNT(steps); i++) {
        struct qt_tls_args args = qt_tls_args();
        args.server.cert_pem = cert;
        args.server.key_pem = key;
        args.client.ca_pem = cert;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        pair.step_max = steps[i];
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        assert_true(pair.server.said[SP_LEVEL_HANDSHAKE] > 16384);
        qt_tls_close(&pair);
    }
}

static void each_kind_of_key_works(void **state)
{
    (void)state;
    static const enum sc_key_type types[] = {SC_KEY_P256, SC_KEY_ED25519, SC_KEY_RSA2048};
    for (size_t i = 0; i < QT_COUNT(types); i++) {
        const struct sc_self_signed_options options = {.key_type = types[i]};
        char *cert, *key;
        make_identity(&options, &cert, &key);
        struct qt_tls_args args = qt_tls_args();
        args.server.cert_pem = args.client.ca_pem = cert;
        args.server.key_pem = key;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        qt_tls_close(&pair);
    }
}

/* A ClientHello must fit into one datagram: 1,200 bytes, less the heads. */
static void the_client_hello_is_small(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    assert_in_range(pair.client.said[SP_LEVEL_INITIAL], 100, 600);
}

static void a_client_that_sends_only_an_ml_kem_share_is_served_at_once(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.client.groups = "X25519MLKEM768:X25519";
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    assert_true(pair.client.said[SP_LEVEL_INITIAL] > 1200);
    uint64_t hello_size = pair.client.said[SP_LEVEL_INITIAL];
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    assert_string_equal(sc_tls_group(pair.server.tls), "X25519MLKEM768");
    assert_int_equal(pair.client.said[SP_LEVEL_INITIAL], hello_size); /* no HelloRetryRequest */
}

/* [RFC9001 4.7] */
static void a_hello_retry_request_costs_a_turn_and_nothing_else(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.client.groups = "P-521:X25519";
    args.server.groups = "X25519:P-256";
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    uint64_t hello_size = pair.client.said[SP_LEVEL_INITIAL];
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair); /* asserts that parameters are said once, too */
    assert_string_equal(sc_tls_group(pair.client.tls), "x25519");
    assert_true(pair.client.said[SP_LEVEL_INITIAL] > hello_size);
}

static void many_handshakes_at_once_do_not_disturb_each_other(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    static struct qt_tls_pair pairs[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        struct qt_tls_args args = qt_tls_args();
        const struct sc_suite *suite = sc_suite_at(i % SC_SUITE_COUNT);
        args.server.suites = &suite->id;
        args.server.suite_count = 1;
        qt_tls_open(&pairs[i], &args);
        pairs[i].step_max = 40 + i;
    }
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned i = 0; i < COUNT; i++)
            busy = qt_tls_step(&pairs[i]) || busy;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        qt_tls_assert_complete(&pairs[i]);
        assert_int_equal(pairs[i].client.suite, sc_suite_at(i % SC_SUITE_COUNT)->id);
        qt_tls_close(&pairs[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_suite_completes_with_equal_secrets),
        QT_TEST(owned, the_client_alone_may_restrict_the_suites_too),
        QT_TEST(owned, both_ends_know_what_was_negotiated),
        QT_TEST(owned, transport_parameters_reach_the_other_end_unchanged),
        QT_TEST(owned, bytes_may_come_one_by_one),
        QT_TEST(owned, bytes_can_be_read_again_until_they_are_dropped),
        QT_TEST(owned, a_large_certificate_chain_passes),
        QT_TEST(owned, each_kind_of_key_works),
        QT_TEST(owned, the_client_hello_is_small),
        QT_TEST(owned, a_client_that_sends_only_an_ml_kem_share_is_served_at_once),
        QT_TEST(owned, a_hello_retry_request_costs_a_turn_and_nothing_else),
        QT_TEST(owned, many_handshakes_at_once_do_not_disturb_each_other),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
