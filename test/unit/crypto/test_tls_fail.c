/* SPDX-License-Identifier: MIT */
/* TLS handshakes that must fail, and how: ALPN, extensions, garbage, damage. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "test/support/owned.h"
#include "test/support/tls_pair.h"

static const struct sp_tls_ops *const ops = &sc_tls_ops;

/* TLS alerts.  [RFC8446 6] */
enum {
    UNEXPECTED_MESSAGE = 10,
    HANDSHAKE_FAILURE = 40,
    ILLEGAL_PARAMETER = 47,
    DECODE_ERROR = 50,
    MISSING_EXTENSION = 109,
    NO_APPLICATION_PROTOCOL = 120,
};

/* [RFC9001 8.1] */
static void no_common_protocol_is_an_alert(void **state)
{
    (void)state;
    static const char *const alpn[] = {"other"};
    struct qt_tls_args args = qt_tls_args();
    args.client.alpn = alpn;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    assert_int_equal(pair.server.alert, NO_APPLICATION_PROTOCOL);
    assert_string_equal(sc_tls_error(pair.server.tls), "TLS: no application protocol");
    assert_int_equal(pair.server.said[SP_LEVEL_INITIAL], 0);
}

static void no_common_cipher_suite_is_an_alert(void **state)
{
    (void)state;
    static const enum sp_suite aes = SP_SUITE_AES_128_GCM, chacha = SP_SUITE_CHACHA20_POLY1305;
    struct qt_tls_args args = qt_tls_args();
    args.client.suites = &aes;
    args.server.suites = &chacha;
    args.client.suite_count = args.server.suite_count = 1;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    assert_int_equal(pair.server.alert, HANDSHAKE_FAILURE);
}

static int select_nothing(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                          const unsigned char *offered, unsigned int size, void *arg)
{
    (void)ssl, (void)ret, (void)ret_size, (void)offered, (void)size, (void)arg;
    return SSL_TLSEXT_ERR_NOACK;
}

static int select_own(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                      const unsigned char *offered, unsigned int size, void *arg)
{
    (void)ssl, (void)offered, (void)size, (void)arg;
    *ret = (const unsigned char *)"strange";
    *ret_size = 7;
    return SSL_TLSEXT_ERR_OK;
}

/* [RFC9001 8.1] The client must not take part in a connection without ALPN, so it must not
 * complete the server either. */
static void a_client_without_a_protocol_stops_before_its_finished(void **state)
{
    (void)state;
    static const struct {
        SSL_CTX_alpn_select_cb_func select;
        int alert;
        const char *error;
    } cases[] = {
        {select_nothing, NO_APPLICATION_PROTOCOL,
         "the server chose none of our application protocols"},
        {select_own, DECODE_ERROR, "TLS: bad extension"}, /* OpenSSL looks for itself */
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct qt_tls_args args = qt_tls_args();
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        SSL_CTX_set_alpn_select_cb(sc_tls_config_context(pair.server_config), cases[i].select,
                                   NULL);
        qt_tls_run(&pair);
        assert_int_equal(pair.client.alert, cases[i].alert);
        assert_string_equal(sc_tls_error(pair.client.tls), cases[i].error);
        assert_int_equal(pair.client.said[SP_LEVEL_HANDSHAKE], 0);
        assert_false(pair.client.has_secret[SP_LEVEL_APP][true]);
        assert_false(pair.server.is_complete);
        /* But it can say so: it has the keys for Handshake packets. */
        assert_true(pair.client.has_secret[SP_LEVEL_HANDSHAKE][true]);
        qt_tls_close(&pair);
    }
}

/* A ClientHello, to be changed. */
struct hello {
    uint8_t bytes[2048];
    size_t size;
};

static struct hello hello_of(struct qt_tls_pair *pair)
{
    struct hello hello = {.size = (size_t)pair->client.said[SP_LEVEL_INITIAL]};
    assert_true(hello.size <= sizeof(hello.bytes) - 64);
    memcpy(hello.bytes, ops->bytes(pair->client.tls, SP_LEVEL_INITIAL, 0, hello.size), hello.size);
    return hello;
}

/* Where the extension of `type` starts. */
static size_t extension_at(const struct hello *hello, unsigned type)
{
    size_t at = 4 + 2 + 32;                                            /* head, version, random */
    at += 1u + hello->bytes[at];                                       /* session ID */
    at += 2u + ((size_t)hello->bytes[at] << 8 | hello->bytes[at + 1]); /* suites */
    at += 1u + hello->bytes[at];                                       /* compression */
    at += 2;
    while (at + 4 <= hello->size) {
        if (((unsigned)hello->bytes[at] << 8 | hello->bytes[at + 1]) == type)
            return at;
        at += 4u + ((size_t)hello->bytes[at + 2] << 8 | hello->bytes[at + 3]);
    }
    fail_msg("the ClientHello has no extension %u", type);
    return 0;
}

static void a_client_hello_without_what_quic_needs_is_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned extension;
        int alert;
        const char *error;
    } cases[] = {
        {16, NO_APPLICATION_PROTOCOL,
         "TLS: the client named no application protocol"},                       /* [RFC9001 8.1] */
        {57, MISSING_EXTENSION, "TLS: the client sent no transport parameters"}, /* 8.2 */
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct qt_tls_args args = qt_tls_args();
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        struct hello hello = hello_of(&pair);
        size_t at = extension_at(&hello, cases[i].extension);
        hello.bytes[at] = 0x7a; /* reserved: nobody knows it */
        hello.bytes[at + 1] = 0x7a;
        qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, hello.bytes, hello.size);
        assert_int_equal(pair.server.alert, cases[i].alert);
        assert_string_equal(sc_tls_error(pair.server.tls), cases[i].error);
        assert_false(pair.server.has_params);
        assert_int_equal(pair.server.said[SP_LEVEL_INITIAL], 0);
        qt_tls_close(&pair);
    }
}

/* [RFC9001 8.4] */
static void compatibility_mode_is_refused(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    struct hello hello = hello_of(&pair);
    enum { ID_AT = 4 + 2 + 32, ID_SIZE = 32 };
    assert_int_equal(hello.bytes[ID_AT], 0); /* ours has none */
    memmove(hello.bytes + ID_AT + 1 + ID_SIZE, hello.bytes + ID_AT + 1, hello.size - ID_AT - 1);
    memset(hello.bytes + ID_AT + 1, 0x11, ID_SIZE);
    hello.bytes[ID_AT] = ID_SIZE;
    hello.size += ID_SIZE;
    size_t body_size = hello.size - 4;
    hello.bytes[2] = (uint8_t)(body_size >> 8);
    hello.bytes[3] = (uint8_t)body_size;
    qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, hello.bytes, hello.size);
    assert_int_equal(pair.server.alert, ILLEGAL_PARAMETER);
}

/* Without the guard OpenSSL would allocate what the first four bytes of a stranger say. */
static void a_hello_that_claims_to_be_huge_is_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        uint8_t head[4];
        int alert; /* -1: waits for more */
    } cases[] = {
        {{1, 0x00, 0x40, 0x00}, -1}, /* 16 KB */
        {{1, 0x00, 0x40, 0x01}, ILLEGAL_PARAMETER},
        {{1, 0x02, 0x00, 0x00}, ILLEGAL_PARAMETER},
        {{1, 0xff, 0xff, 0xff}, ILLEGAL_PARAMETER},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        for (size_t first = 1; first <= 4; first++) {
            struct qt_tls_args args = qt_tls_args();
            struct qt_tls_pair pair;
            qt_tls_open(&pair, &args);
            qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, cases[i].head, first);
            if (first < 4)
                qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, cases[i].head + first, 4 - first);
            assert_int_equal(pair.server.alert, cases[i].alert);
            qt_tls_close(&pair);
        }
    }
}

/* Runs until the end that is to get garbage reads at `level`. */
static struct qt_tls_end *run_to(struct qt_tls_pair *pair, bool is_server, enum sp_level level)
{
    if (is_server && level == SP_LEVEL_HANDSHAKE)
        assert_true(qt_tls_step(pair)); /* the ClientHello */
    if (!is_server && level == SP_LEVEL_HANDSHAKE) {
        assert_true(qt_tls_step(pair));
        assert_true(qt_tls_step(pair)); /* the ServerHello */
    }
    struct qt_tls_end *end = is_server ? &pair->server : &pair->client;
    assert_true(level == SP_LEVEL_INITIAL || end->has_secret[level][false]);
    return end;
}

static void garbage_of_every_message_type_is_an_alert(void **state)
{
    (void)state;
    static const enum sp_level levels[] = {SP_LEVEL_INITIAL, SP_LEVEL_HANDSHAKE};
    for (int is_server = 0; is_server < 2; is_server++) {
        for (size_t l = 0; l < QT_COUNT(levels); l++) {
            for (unsigned type = 0; type < 256; type++) {
                struct qt_tls_args args = qt_tls_args();
                struct qt_tls_pair pair;
                qt_tls_open(&pair, &args);
                struct qt_tls_end *end = run_to(&pair, is_server, levels[l]);
                /* Two messages and a piece of a third. */
                uint8_t bytes[45];
                memset(bytes, (int)type, sizeof(bytes));
                memcpy(bytes + 1, "\0\0\x10", 3);
                memcpy(bytes + 21, "\0\0\x10", 3);
                qt_tls_inject(end, levels[l], bytes, sizeof(bytes));
                assert_in_range(end->alert, 1, 120);
                assert_non_null(sc_tls_error(end->tls));
                assert_false(end->is_complete);
                qt_tls_close(&pair);
            }
        }
    }
}

/* Whatever byte is damaged, nobody completes with anybody. */
static void a_damaged_byte_anywhere_fails_the_handshake(void **state)
{
    (void)state;
    static const struct {
        bool from_server;
        enum sp_level level;
        size_t step; /* try each n-th byte */
    } flights[] = {
        {false, SP_LEVEL_INITIAL, 3},
        {true, SP_LEVEL_INITIAL, 2},
        {true, SP_LEVEL_HANDSHAKE, 11},
        {false, SP_LEVEL_HANDSHAKE, 3},
    };
    for (size_t f = 0; f < QT_COUNT(flights); f++) {
        for (size_t at = 0;; at += flights[f].step) {
            struct qt_tls_args args = qt_tls_args();
            struct qt_tls_pair pair;
            qt_tls_open(&pair, &args);
            struct qt_tls_end *from = flights[f].from_server ? &pair.server : &pair.client;
            struct qt_tls_end *to = flights[f].from_server ? &pair.client : &pair.server;
            enum sp_level level = flights[f].level;
            /* Up to where that flight is to be delivered. */
            while (from->said[level] == 0 ||
                   (level != SP_LEVEL_INITIAL && !to->has_secret[level][false]))
                assert_true(qt_tls_step(&pair));
            size_t size = (size_t)from->said[level];
            bool is_end = at >= size;
            if (!is_end) {
                uint8_t *copy = malloc(size);
                memcpy(copy, ops->bytes(from->tls, level, 0, size), size);
                copy[at] ^= 0x04;
                from->delivered[level] = size;
                qt_tls_inject(to, level, copy, size);
                free(copy);
                qt_tls_run(&pair);
                /* A client is done before the server has checked its Finished. */
                assert_false(pair.client.is_complete && pair.server.is_complete);
                assert_false(pair.server.has_secret[SP_LEVEL_APP][false]);
            }
            qt_tls_close(&pair);
            if (is_end)
                break;
        }
    }
}

static void nothing_is_said_after_an_alert(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    struct hello hello = hello_of(&pair);
    qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, "\x02\0\0\x01\0", 5); /* a ServerHello */
    assert_int_equal(pair.server.alert, UNEXPECTED_MESSAGE);
    size_t fact_count = pair.server.fact_count;
    qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, hello.bytes, hello.size);
    qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, "\xff", 1);
    assert_int_equal(pair.server.fact_count, fact_count);
    ops->drop(pair.server.tls, SP_LEVEL_INITIAL);
}

static void bad_server_names_are_refused(void **state)
{
    (void)state;
    char long_name[300];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    const char *const names[] = {"",
                                 ".",
                                 "two words",
                                 "tab\t",
                                 "b\xc3\xbc"
                                 "cher.example",
                                 long_name};
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    struct sc_error error;
    struct sp_tls *tls = NULL;
    for (size_t i = 0; i < QT_COUNT(names); i++) {
        assert_true(sc_tls_create(pair.client_config, names[i], &tls, &error) < 0);
        assert_non_null(strstr(error.text, "is not a server's name"));
    }
    assert_true(sc_tls_create(pair.client_config, NULL, &tls, &error) < 0);
    assert_string_equal(error.text, "a server's name is needed to verify it");
    assert_null(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, no_common_protocol_is_an_alert),
        QT_TEST(owned, no_common_cipher_suite_is_an_alert),
        QT_TEST(owned, a_client_without_a_protocol_stops_before_its_finished),
        QT_TEST(owned, a_client_hello_without_what_quic_needs_is_refused),
        QT_TEST(owned, compatibility_mode_is_refused),
        QT_TEST(owned, a_hello_that_claims_to_be_huge_is_refused_at_once),
        QT_TEST(owned, garbage_of_every_message_type_is_an_alert),
        QT_TEST(owned, a_damaged_byte_anywhere_fails_the_handshake),
        QT_TEST(owned, nothing_is_said_after_an_alert),
        QT_TEST(owned, bad_server_names_are_refused),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
