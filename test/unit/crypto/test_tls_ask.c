/* SPDX-License-Identifier: MIT */
/* Handshakes that wait for a certificate, a signature or a verdict.  RFC 8446, 4.4. */

#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "crypto/tls_ask.h"
#include "proto/wire/tparam.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

/* TLS alerts.  [RFC8446 6] */
enum {
    CERTIFICATE_UNKNOWN = 46,
    INTERNAL_ERROR = 80,
    UNRECOGNIZED_NAME = 112,
};

static void key_end(void *key)
{
    EVP_PKEY_free(key);
}

/* Signs as a key elsewhere would: by what the question says, and nothing else. */
static size_t sign_elsewhere(const struct qt_identity *id, const struct sc_ask *ask, uint8_t *ret,
                             size_t capacity)
{
    BIO *bio = BIO_new_mem_buf(id->key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    (void)owned_add(key, key_end);
    const EVP_MD *md = NULL;
    bool is_rsa = false;
    switch (ask->scheme) {
    case 0x0403:
        md = EVP_sha256();
        break;
    case 0x0804:
        md = EVP_sha256();
        is_rsa = true;
        break;
    case 0x0807:
        break;
    default:
        fail_msg("scheme 0x%04x", ask->scheme);
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *params;
    assert_int_equal(EVP_DigestSignInit(context, &params, md, NULL, key), 1);
    if (is_rsa) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(params, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(params, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    size_t size = capacity;
    assert_int_equal(EVP_DigestSign(context, ret, &size, ask->data.data, ask->data.size), 1);
    EVP_MD_CTX_free(context);
    return size;
}

/* Runs until nothing moves; expects that `end` waits for `kind` then. */
static struct sc_ask run_to(struct qt_tls_pair *pair, struct qt_tls_end *end, enum sc_ask_kind kind)
{
    struct sc_ask ask = {.kind = SC_ASK_NONE};
    qt_tls_run(pair);
    if (end->alert >= 0)
        fail_msg("alert %d: %s", end->alert, sc_tls_error(end->tls));
    assert_int_equal(sc_tls_ask_kind(end->tls), kind);
    assert_int_equal(sc_tls_ask(end->tls, &ask), 0);
    assert_int_equal(ask.kind, kind);
    assert_false(end->is_complete);
    return ask;
}

static void answer_sign(struct qt_tls_end *end, const struct qt_identity *id,
                        const struct sc_ask *ask)
{
    uint8_t signature[512];
    size_t size = sign_elsewhere(id, ask, signature, sizeof(signature));
    assert_int_equal(sc_tls_answer_sign(end->tls, (struct sb_bytes){signature, size}), 0);
    memset(signature, 0xdd, sizeof(signature)); /* it was copied */
    qt_tls_pull(end);
}

static void assert_nothing_waits(struct qt_tls_end *end)
{
    struct sc_ask ask;
    assert_int_equal(sc_tls_ask_kind(end->tls), SC_ASK_NONE);
    assert_int_equal(sc_tls_ask(end->tls, &ask), -ENOENT);
    assert_int_equal(sc_tls_answer_cert(end->tls, NULL), -ENOENT);
    assert_int_equal(sc_tls_answer_sign(end->tls, (struct sb_bytes){(const uint8_t *)"x", 1}),
                     -ENOENT);
    assert_int_equal(sc_tls_answer_verify(end->tls, 0, NULL), -ENOENT);
}

static void a_key_elsewhere_signs_for_a_server(void **state)
{
    (void)state;
    static const enum sc_key_type types[] = {SC_KEY_P256, SC_KEY_ED25519, SC_KEY_RSA2048};
    static const enum sp_suite suites[] = {SP_SUITE_AES_128_GCM, SP_SUITE_AES_256_GCM};
    for (size_t i = 0; i < QT_COUNT(types) * QT_COUNT(suites) * 2; i++) {
        struct qt_identity id = qt_identity(types[i / 4], "localhost");
        struct qt_tls_args args = qt_tls_args_without_cert();
        args.server.cert = qt_identity_cert(&id, true);
        args.server.suites = &suites[i / 2 % 2];
        args.server.suite_count = 1;
        args.client.ca_pem = id.cert;
        if (i % 2 != 0) { /* [RFC8446 4.1.4] a HelloRetryRequest changes the transcript */
            args.client.groups = "P-256:X25519";
            args.server.groups = "X25519";
        }
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        struct sc_ask ask = run_to(&pair, &pair.server, SC_ASK_SIGN);
        assert_ptr_equal(ask.cert, args.server.cert);
        assert_string_equal(ask.server_name, "localhost");
        assert_int_equal(pair.server.wait_count, 1);
        answer_sign(&pair.server, &id, &ask);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        assert_nothing_waits(&pair.server);
        qt_tls_close(&pair);
    }
}

static void a_key_elsewhere_signs_for_a_client(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "client.example");
    struct qt_tls_args args = qt_tls_args();
    args.client.cert = qt_identity_cert(&id, true);
    args.server.client_auth = SC_CLIENT_AUTH_REQUIRED;
    args.server.ca_pem = id.cert;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    struct sc_ask ask = run_to(&pair, &pair.client, SC_ASK_SIGN);
    answer_sign(&pair.client, &id, &ask);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    assert_true(sc_tls_peer_certificate(pair.server.tls).size > 0);
    assert_nothing_waits(&pair.client);
}

/* Parameters of a server, which a ticket needs. */
static struct sb_bytes server_params(void)
{
    static uint8_t bytes[256];
    struct sp_tparams params;
    struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
    sp_tparams_init(&params);
    sp_tparams_write(&w, &params, 0);
    return (struct sb_bytes){bytes, sb_writer_used(&w)};
}

/* A client resumes, or wants to, at a server that does not know the ticket: that one asks for the
 * certificate again.  What is to be signed has the ClientHello with the ticket in it. */
static void a_key_elsewhere_signs_where_a_ticket_is_refused(void **state)
{
    (void)state;
    enum { WANTS_EARLY = 1, GETS_RETRY = 2, ALL = 4 };
    static const char *const groups[] = {NULL, "P-384"};
    struct qt_identity id = qt_identity(SC_KEY_P256, "client.example");
    struct qt_tls_args args = qt_tls_args();
    args.client.cert = qt_identity_cert(&id, true);
    args.server.client_auth = SC_CLIENT_AUTH_REQUIRED;
    args.server.ca_pem = id.cert;
    args.server.ticket_count = 1;
    args.server.accepts_early = true;
    args.params = server_params();
    struct qt_tls_pair first;
    qt_tls_open(&first, &args);
    struct sc_ask ask = run_to(&first, &first.client, SC_ASK_SIGN);
    answer_sign(&first.client, &id, &ask);
    qt_tls_run(&first);
    qt_tls_assert_complete(&first);
    assert_true(sc_tls_ops.ticket(first.client.tls, &args.ticket));
    args.client_config = first.client_config;
    for (unsigned i = 0; i < ALL; i++) {
        struct qt_tls_pair pair;
        args.wants_early = (i & WANTS_EARLY) != 0;
        args.server.groups = groups[(i & GETS_RETRY) != 0];
        qt_tls_open(&pair, &args);
        assert_int_equal(pair.client.has_secret[SP_LEVEL_EARLY][true], args.wants_early);
        ask = run_to(&pair, &pair.client, SC_ASK_SIGN);
        answer_sign(&pair.client, &id, &ask);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        assert_false(sc_tls_is_resumed(pair.server.tls));
    }
}

/* A client that asks about its peer, and no other key, has no transcript. */
static void a_client_that_waits_for_a_verdict_may_send_0_rtt(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.client.verify = SC_VERIFY_ASK_AFTER;
    args.server.ticket_count = 1;
    args.server.accepts_early = true;
    args.params = server_params();
    struct qt_tls_pair pairs[2];
    for (int i = 0; i < 2; i++) {
        qt_tls_open(&pairs[i], &args);
        (void)run_to(&pairs[i], &pairs[i].client, SC_ASK_VERIFY);
        assert_int_equal(sc_tls_answer_verify(pairs[i].client.tls, 0, NULL), 0);
        qt_tls_pull(&pairs[i].client);
        qt_tls_run(&pairs[i]);
        qt_tls_assert_complete(&pairs[i]);
        if (i == 0)
            assert_true(sc_tls_ops.ticket(pairs[i].client.tls, &args.ticket));
        args.client_config = pairs[i].client_config;
        args.wants_early = true; /* at another server */
    }
    assert_true(pairs[1].client.has_secret[SP_LEVEL_EARLY][true]);
}

/* A chain that OpenSSL sends in several pieces. */
static void a_key_elsewhere_signs_after_a_large_chain(void **state)
{
    (void)state;
    enum { COUNT = 60, PEM_MAX = 1 << 16 };
    struct qt_identity id = qt_identity(SC_KEY_P256, "localhost");
    struct qt_identity filler = qt_identity(SC_KEY_RSA2048, "filler.example");
    char *chain = owned_alloc(PEM_MAX * 2);
    strcpy(chain, id.cert);
    for (int i = 0; i < COUNT; i++)
        strcat(chain, filler.cert);
    struct qt_identity large = {.cert = chain, .key = id.key};
    struct qt_tls_args args = qt_tls_args_without_cert();
    args.server.cert = qt_identity_cert(&large, true);
    args.client.ca_pem = id.cert;
    args.client.keeps_peer_chain = true;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    struct sc_ask ask = run_to(&pair, &pair.server, SC_ASK_SIGN);
    answer_sign(&pair.server, &id, &ask);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    assert_true(pair.server.said[SP_LEVEL_HANDSHAKE] > 2 * 16384);
    for (size_t i = 0; i <= COUNT; i++)
        assert_true(sc_tls_peer_chain(pair.client.tls, i).size > 0);
    assert_int_equal(sc_tls_peer_chain(pair.client.tls, COUNT + 1).size, 0);
    assert_int_equal(sc_tls_peer_chain(pair.client.tls, 1).size,
                     sc_tls_peer_chain(pair.client.tls, 2).size);
}

static void a_signature_that_is_none_fails_the_handshake(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "localhost");
    for (size_t size = 0; size <= 64; size += 64) {
        struct qt_tls_args args = qt_tls_args_without_cert();
        args.server.cert = qt_identity_cert(&id, true);
        args.client.ca_pem = id.cert;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        (void)run_to(&pair, &pair.server, SC_ASK_SIGN);
        static const uint8_t garbage[SC_SIGNATURE_SIZE_MAX + 1];
        assert_int_equal(
            sc_tls_answer_sign(pair.server.tls, (struct sb_bytes){garbage, sizeof(garbage)}),
            -EINVAL);
        assert_int_equal(sc_tls_answer_sign(pair.server.tls, (struct sb_bytes){garbage, size}), 0);
        qt_tls_pull(&pair.server);
        qt_tls_run(&pair);
        if (size == 0) {
            assert_int_equal(pair.server.alert, INTERNAL_ERROR);
            assert_string_equal(sc_tls_error(pair.server.tls),
                                "the private key, which is elsewhere, did not sign");
        } else {
            assert_true(pair.client.alert >= 0); /* it does not verify */
        }
        assert_nothing_waits(&pair.server);
        qt_tls_close(&pair);
    }
}

static void a_waiting_handshake_can_be_destroyed(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "localhost");
    for (int i = 0; i < 3; i++) {
        struct qt_tls_args args = qt_tls_args_without_cert();
        args.client.ca_pem = id.cert;
        args.server.cert = i == 0 ? NULL : qt_identity_cert(&id, i == 1);
        args.server.asks_cert = i == 0;
        if (i == 2)
            args.client.verify = SC_VERIFY_ASK_AFTER;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        (void)run_to(&pair, i == 2 ? &pair.client : &pair.server,
                     i == 0   ? SC_ASK_CERT
                     : i == 1 ? SC_ASK_SIGN
                              : SC_ASK_VERIFY);
        qt_tls_close(&pair);
    }
}

static void a_certificate_may_come_later(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "localhost");
    for (int is_remote = 0; is_remote < 2; is_remote++) {
        struct qt_tls_args args = qt_tls_args_without_cert();
        args.server.asks_cert = true;
        args.client.ca_pem = id.cert;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        struct sc_ask ask = run_to(&pair, &pair.server, SC_ASK_CERT);
        assert_string_equal(ask.server_name, "localhost");
        assert_int_equal(ask.alpn.size, 4);
        bool has_p256 = false;
        for (size_t i = 0; i < ask.scheme_count; i++)
            has_p256 |= ask.schemes[i] == 0x0403;
        assert_true(has_p256);
        assert_int_equal(pair.server.said[SP_LEVEL_INITIAL], 0);
        assert_int_equal(sc_tls_answer_verify(pair.server.tls, 0, NULL), -ENOENT);
        assert_int_equal(sc_tls_answer_cert(pair.server.tls, qt_identity_cert(&id, is_remote != 0)),
                         0);
        assert_int_equal(sc_tls_answer_cert(pair.server.tls, NULL), -ENOENT); /* twice */
        qt_tls_pull(&pair.server);
        if (is_remote != 0) {
            ask = run_to(&pair, &pair.server, SC_ASK_SIGN);
            answer_sign(&pair.server, &id, &ask);
        }
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        qt_tls_close(&pair);
    }
}

static void an_unknown_name_is_refused_when_the_answer_is_none(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args_without_cert();
    args.server.asks_cert = true;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    (void)run_to(&pair, &pair.server, SC_ASK_CERT);
    assert_int_equal(sc_tls_answer_cert(pair.server.tls, NULL), 0);
    qt_tls_pull(&pair.server);
    assert_int_equal(pair.server.alert, UNRECOGNIZED_NAME);
    assert_string_equal(sc_tls_error(pair.server.tls),
                        "there is no certificate for the server 'localhost'");
    assert_nothing_waits(&pair.server);
}

static void a_client_chooses_its_certificate_later(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "client.example");
    for (int has_cert = 0; has_cert < 2; has_cert++) {
        struct qt_tls_args args = qt_tls_args();
        args.client.asks_cert = true;
        args.server.client_auth = SC_CLIENT_AUTH_OPTIONAL;
        args.server.ca_pem = id.cert;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        (void)run_to(&pair, &pair.client, SC_ASK_CERT);
        assert_int_equal(sc_tls_answer_cert(pair.client.tls,
                                            has_cert != 0 ? qt_identity_cert(&id, false) : NULL),
                         0);
        qt_tls_pull(&pair.client);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        assert_int_equal(sc_tls_peer_certificate(pair.server.tls).size > 0, has_cert);
        qt_tls_close(&pair);
    }
}

/* ---- verdicts ---- */

static void a_client_says_nothing_before_the_verdict(void **state)
{
    (void)state;
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        struct qt_tls_args args = qt_tls_args();
        args.client.verify = SC_VERIFY_ASK_AFTER;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        struct sc_ask ask = run_to(&pair, &pair.client, SC_ASK_VERIFY);
        assert_int_equal(ask.chain_count, 1);
        assert_null(ask.chain_error);
        assert_true(ask.chain[0].size > 100 && ask.chain[0].data[0] == 0x30);
        assert_int_equal(pair.client.said[SP_LEVEL_HANDSHAKE], 0);
        assert_false(pair.server.is_complete);
        assert_int_equal(sc_tls_answer_verify(pair.client.tls,
                                              is_refused != 0 ? CERTIFICATE_UNKNOWN : 0, "\nno"),
                         0);
        qt_tls_pull(&pair.client);
        qt_tls_run(&pair);
        if (is_refused != 0) {
            assert_int_equal(pair.client.alert, CERTIFICATE_UNKNOWN);
            assert_string_equal(sc_tls_error(pair.client.tls),
                                "the application refused the peer's certificate: ?no");
            assert_false(pair.server.is_complete);
        } else {
            qt_tls_assert_complete(&pair);
        }
        assert_nothing_waits(&pair.client);
        qt_tls_close(&pair);
    }
}

static void a_chain_that_fails_is_not_asked_about_unless_the_application_decides(void **state)
{
    (void)state;
    for (int instead = 0; instead < 3; instead++) {
        struct qt_tls_args args = qt_tls_args();
        args.client.verify = instead != 0 ? SC_VERIFY_ASK_INSTEAD : SC_VERIFY_ASK_AFTER;
        args.client.ca_pem = instead == 2 ? NULL : qt_other_cert();
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        if (instead == 0) {
            assert_string_equal(sc_tls_error(pair.client.tls),
                                "the peer's certificate: self-signed certificate");
            qt_tls_close(&pair);
            continue;
        }
        struct sc_ask ask = run_to(&pair, &pair.client, SC_ASK_VERIFY);
        assert_string_equal(ask.chain_error, instead == 1 ? "self-signed certificate"
                                                          : "no CA certificate is given");
        assert_int_equal(sc_tls_answer_verify(pair.client.tls, 0, NULL), 0);
        qt_tls_pull(&pair.client);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        qt_tls_close(&pair);
    }
}

static void a_server_gives_nothing_before_its_verdict(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "client.example");
    for (int i = 0; i < 4; i++) {
        bool is_refused = i % 2 != 0;
        struct qt_tls_args args = qt_tls_args();
        args.client.cert_pem = id.cert;
        args.client.key_pem = id.key;
        args.server.client_auth = SC_CLIENT_AUTH_REQUIRED;
        args.server.verify = SC_VERIFY_ASK_INSTEAD;
        args.server.ticket_count = i / 2 == 0 ? 0 : 2;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        struct sc_ask ask = run_to(&pair, &pair.server, SC_ASK_VERIFY);
        assert_int_equal(ask.chain_count, 1);
        /* No ticket either: it would let the client in next time. */
        assert_int_equal(pair.server.said[SP_LEVEL_APP], 0);
        assert_false(pair.server.has_secret[SP_LEVEL_APP][false]);
        assert_int_equal(
            sc_tls_answer_verify(pair.server.tls, is_refused ? CERTIFICATE_UNKNOWN : 0, NULL), 0);
        qt_tls_pull(&pair.server);
        qt_tls_run(&pair);
        if (is_refused) {
            assert_int_equal(pair.server.alert, CERTIFICATE_UNKNOWN);
            assert_false(pair.server.is_complete);
            assert_int_equal(pair.server.said[SP_LEVEL_APP], 0);
        } else {
            qt_tls_assert_complete(&pair);
            assert_int_equal(pair.server.said[SP_LEVEL_APP] > 0, i / 2);
        }
        qt_tls_close(&pair);
    }
}

static void a_client_without_certificate_is_not_asked_about(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.server.client_auth = SC_CLIENT_AUTH_OPTIONAL;
    args.server.verify = SC_VERIFY_ASK_INSTEAD;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    assert_int_equal(pair.server.wait_count, 0);
}

static void bytes_that_come_while_a_handshake_waits_fail_it(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "localhost");
    for (int i = 0; i < 2; i++) {
        struct qt_tls_args args = qt_tls_args_without_cert();
        args.server.asks_cert = i == 0;
        args.server.cert = i == 0 ? NULL : qt_identity_cert(&id, true);
        args.client.ca_pem = id.cert;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        (void)run_to(&pair, &pair.server, i == 0 ? SC_ASK_CERT : SC_ASK_SIGN);
        qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, "\1", 1);
        assert_true(pair.server.is_excess);
        assert_nothing_waits(&pair.server);
        qt_tls_close(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_key_elsewhere_signs_for_a_server),
        QT_TEST(owned, a_key_elsewhere_signs_for_a_client),
        QT_TEST(owned, a_key_elsewhere_signs_where_a_ticket_is_refused),
        QT_TEST(owned, a_client_that_waits_for_a_verdict_may_send_0_rtt),
        QT_TEST(owned, a_key_elsewhere_signs_after_a_large_chain),
        QT_TEST(owned, a_signature_that_is_none_fails_the_handshake),
        QT_TEST(owned, a_waiting_handshake_can_be_destroyed),
        QT_TEST(owned, a_certificate_may_come_later),
        QT_TEST(owned, an_unknown_name_is_refused_when_the_answer_is_none),
        QT_TEST(owned, a_client_chooses_its_certificate_later),
        QT_TEST(owned, a_client_says_nothing_before_the_verdict),
        QT_TEST(owned, a_chain_that_fails_is_not_asked_about_unless_the_application_decides),
        QT_TEST(owned, a_server_gives_nothing_before_its_verdict),
        QT_TEST(owned, a_client_without_certificate_is_not_asked_about),
        QT_TEST(owned, bytes_that_come_while_a_handshake_waits_fail_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
