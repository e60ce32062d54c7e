/* SPDX-License-Identifier: MIT */
/* Chains that a client remembers.
 *
 * Whether a chain was verified again shows by the clock: the context's is set to the year 2100,
 * when the certificate has ended. */

#include "test/support/qt.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "crypto/self_signed.h"
#include "crypto/tls_ask.h"
#include "crypto/verified.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

#define YEAR_2100 INT64_C(4102444800)

enum { NOW_S = 1000000, LIFE_S = 600, NEVER_S = 2000000 };

static void verified_end(void *verified)
{
    sc_verified_destroy(verified);
}

static struct sc_verified *make(void)
{
    struct sc_verified *verified = sc_verified_create(LIFE_S);
    assert_non_null(verified);
    return owned_add(verified, verified_end);
}

/* Keys that differ in the last byte have the same places. */
static const uint8_t *key(uint8_t first, uint8_t second, uint8_t last)
{
    static uint8_t bytes[SC_VERIFIED_KEY_SIZE];
    memset(bytes, 7, sizeof(bytes));
    bytes[0] = first;
    bytes[1] = second;
    bytes[SC_VERIFIED_KEY_SIZE - 1] = last;
    return bytes;
}

static void an_entry_ends(void **state)
{
    (void)state;
    static const struct {
        int64_t now_s, not_after_s;
        bool is_known;
    } rows[] = {
        {NOW_S, NEVER_S, true},
        {NOW_S + LIFE_S - 1, NEVER_S, true},
        {NOW_S + LIFE_S, NEVER_S, false},
        {NOW_S - 1, NEVER_S, false}, /* the clock was set back */
        {NOW_S + 9, NOW_S + 10, true},
        {NOW_S + 10, NOW_S + 10, false},
        {NOW_S, NOW_S, false},
        {NOW_S, NOW_S - 1, false},
        {NOW_S, -1, false},
    };
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        struct sc_verified *verified = make();
        assert_false(sc_verified_knows(verified, key(1, 2, 3), rows[i].now_s));
        sc_verified_add(verified, key(1, 2, 3), NOW_S, rows[i].not_after_s);
        if (sc_verified_knows(verified, key(1, 2, 3), rows[i].now_s) != rows[i].is_known)
            fail_msg("row %zu", i);
        assert_false(sc_verified_knows(verified, key(1, 2, 4), rows[i].now_s));
        owned_end(verified);
    }
}

static void a_key_of_zeros_is_not_known(void **state)
{
    static const uint8_t zeros[SC_VERIFIED_KEY_SIZE];
    (void)state;
    struct sc_verified *verified = make();
    assert_false(sc_verified_knows(verified, zeros, 0));
    assert_false(sc_verified_knows(verified, zeros, NOW_S));
}

static void the_one_that_ends_first_makes_room(void **state)
{
    (void)state;
    struct sc_verified *verified = make();
    sc_verified_add(verified, key(1, 2, 0), NOW_S + 1, NEVER_S);
    sc_verified_add(verified, key(1, 2, 1), NOW_S, NEVER_S);
    assert_true(sc_verified_knows(verified, key(1, 2, 0), NOW_S + 2));
    assert_true(sc_verified_knows(verified, key(1, 2, 1), NOW_S + 2));
    sc_verified_add(verified, key(1, 2, 2), NOW_S + 2, NEVER_S);
    assert_true(sc_verified_knows(verified, key(1, 2, 0), NOW_S + 2));
    assert_false(sc_verified_knows(verified, key(1, 2, 1), NOW_S + 2));
    assert_true(sc_verified_knows(verified, key(1, 2, 2), NOW_S + 2));
    /* Again: in its own place. */
    sc_verified_add(verified, key(1, 2, 2), NOW_S + 3, NEVER_S);
    assert_true(sc_verified_knows(verified, key(1, 2, 0), NOW_S + 3));
    assert_true(sc_verified_knows(verified, key(1, 2, 2), NOW_S + LIFE_S + 2));
}

/* ---- handshakes ---- */

static void config_end(void *config)
{
    sc_tls_config_unref(config);
}

static struct sc_tls_config *config_of(const struct sc_tls_options *options)
{
    struct sc_tls_config *config;
    struct sc_error error = {""};
    if (sc_tls_config_create(options, &config, &error) != 0)
        fail_msg("%s", error.text);
    return owned_add(config, config_end);
}

static void move_to(struct sc_tls_config *config, int64_t time_s)
{
    X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(sc_tls_config_context(config)), (time_t)time_s);
}

static void move_to_2100(struct sc_tls_config *config)
{
    move_to(config, YEAR_2100);
}

static bool completes(const struct qt_tls_args *args)
{
    struct qt_tls_pair pair;
    qt_tls_open(&pair, args);
    qt_tls_run(&pair);
    bool is_complete = pair.client.is_complete;
    assert_true(is_complete || pair.client.alert != -1);
    owned_end(pair.client.tls); /* the configurations stay */
    owned_end(pair.server.tls);
    return is_complete;
}

static void a_chain_is_verified_once(void **state)
{
    (void)state;
    for (int has_life = 0; has_life <= 1; has_life++) {
        struct qt_tls_args args = qt_tls_args();
        args.client.verified_life_s = has_life ? LIFE_S : 0;
        args.client_config = config_of(&args.client);
        args.server_config = config_of(&args.server);
        assert_true(completes(&args));
        move_to_2100(args.client_config);
        assert_int_equal(completes(&args), has_life);
        assert_int_equal(completes(&args), has_life);
    }
}

/* A client that remembers chains for LIFE_S, and its server. */
static struct qt_tls_args remembering(void)
{
    struct qt_tls_args args = qt_tls_args();
    args.client.verified_life_s = LIFE_S;
    args.client_config = config_of(&args.client);
    args.server_config = config_of(&args.server);
    return args;
}

static void another_name_is_verified(void **state)
{
    (void)state;
    struct qt_tls_args args = remembering();
    assert_true(completes(&args));
    args.name = "127.0.0.1";
    assert_true(completes(&args)); /* the certificate has that too */
    args.name = "elsewhere.example";
    assert_false(completes(&args));
    move_to_2100(args.client_config);
    args.name = "127.0.0.1";
    assert_true(completes(&args));
    args.name = "::1"; /* has it as well, but was not met */
    assert_false(completes(&args));
    args.name = "elsewhere.example";
    assert_false(completes(&args));
}

static void another_chain_is_verified(void **state)
{
    (void)state;
    struct qt_tls_args args = remembering();
    assert_true(completes(&args));
    /* One that is not trusted is refused each time: it was not remembered as good. */
    args.server.cert_pem = qt_other_cert();
    args.server.key_pem = qt_other_key();
    args.server_config = config_of(&args.server);
    assert_false(completes(&args));
    assert_false(completes(&args));
}

static void pem_end(void *pem)
{
    sc_self_signed_free(pem);
}

/* A certificate that has ended, and is good all the same: OpenSSL is told that it is 45 days ago.
 * Its end is before now, so it is verified each time. */
static void a_chain_is_not_remembered_beyond_its_end(void **state)
{
    (void)state;
    static const struct sc_self_signed_options dates[] = {
        {.start_in_days = -60, .days = 30},
        {.start_in_days = -60, .days = 90},
    };
    for (int has_not_ended = 0; has_not_ended < 2; has_not_ended++) {
        char *cert, *key;
        assert_int_equal(sc_self_signed(&dates[has_not_ended], &cert, &key, NULL), 0);
        (void)owned_add(cert, pem_end);
        (void)owned_add(key, pem_end);
        struct qt_tls_args args = qt_tls_args();
        args.client.ca_pem = args.server.cert_pem = cert;
        args.server.key_pem = key;
        args.client.verified_life_s = LIFE_S;
        args.client_config = config_of(&args.client);
        args.server_config = config_of(&args.server);
        move_to(args.client_config, (int64_t)time(NULL) - INT64_C(45) * 24 * 3600);
        assert_true(completes(&args));
        move_to_2100(args.client_config);
        assert_int_equal(completes(&args), has_not_ended);
    }
}

/* Whom the application wants is its own question. */
static void the_application_is_asked_about_each_peer(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.client.verified_life_s = LIFE_S;
    args.client.verify = SC_VERIFY_ASK_AFTER;
    args.client_config = config_of(&args.client);
    args.server_config = config_of(&args.server);
    for (int i = 0; i < 3; i++) {
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        assert_int_equal(pair.client.wait_count, 1);
        assert_false(pair.client.is_complete);
        assert_int_equal(sc_tls_ask_kind(pair.client.tls), SC_ASK_VERIFY);
        assert_int_equal(sc_tls_answer_verify(pair.client.tls, 0, NULL), 0);
        qt_tls_pull(&pair.client);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        move_to_2100(args.client_config);
    }
}

static void only_clients_that_verify_remember(void **state)
{
    (void)state;
    struct sc_tls_config *config;
    struct qt_tls_args args = qt_tls_args();
    struct sc_tls_options options = args.server;
    options.verified_life_s = LIFE_S;
    assert_int_equal(sc_tls_config_create(&options, &config, NULL), -EINVAL);
    options = args.client;
    options.verified_life_s = SC_VERIFIED_LIFE_S_MAX + 1;
    assert_int_equal(sc_tls_config_create(&options, &config, NULL), -EINVAL);
    options.verified_life_s = SC_VERIFIED_LIFE_S_MAX;
    options.verify = SC_VERIFY_ASK_INSTEAD;
    assert_int_equal(sc_tls_config_create(&options, &config, NULL), -EINVAL);
    options.verify = SC_VERIFY_CHAIN;
    options.ca_pem = NULL;
    options.insecure = true;
    assert_int_equal(sc_tls_config_create(&options, &config, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, an_entry_ends),
        QT_TEST(owned, a_key_of_zeros_is_not_known),
        QT_TEST(owned, the_one_that_ends_first_makes_room),
        QT_TEST(owned, a_chain_is_verified_once),
        QT_TEST(owned, another_name_is_verified),
        QT_TEST(owned, another_chain_is_verified),
        QT_TEST(owned, a_chain_is_not_remembered_beyond_its_end),
        QT_TEST(owned, the_application_is_asked_about_each_peer),
        QT_TEST(owned, only_clients_that_verify_remember),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
