/* SPDX-License-Identifier: MIT */
/* Certificates by name, and replaced; the exporter; options.  RFC 6066, 3; RFC 8446, 7.5. */

#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "crypto/tls_ask.h"
#include "crypto/tls_impl.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

/* TLS alerts.  [RFC8446 6] */
enum {
    MISSING_EXTENSION = 109,
    UNRECOGNIZED_NAME = 112,
};

/* ---- certificates by name ---- */

static void each_name_gets_its_certificate(void **state)
{
    (void)state;
    struct qt_identity ids[] = {qt_identity(SC_KEY_P256, "a.example"),
                                qt_identity(SC_KEY_ED25519, "*.b.example"),
                                qt_identity(SC_KEY_RSA2048, "localhost")};
    const struct sc_cert_entry entries[] = {{"a.example", qt_identity_cert(&ids[0], false)},
                                            {"*.b.example", qt_identity_cert(&ids[1], false)}};
    static const struct {
        const char *name;
        size_t id;
        bool refuses;
        int alert;
    } cases[] = {
        {"a.example", 0, false, -1},
        {"x.b.example", 1, true, -1},
        {"localhost", 2, false, -1},
        {"127.0.0.1", 2, true, -1}, /* named nobody */
        {"localhost", 2, true, UNRECOGNIZED_NAME},
        {"b.example", 2, true, UNRECOGNIZED_NAME},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct qt_tls_args args = qt_tls_args_without_cert();
        args.server.cert = qt_identity_cert(&ids[2], false);
        args.server.certs = entries;
        args.server.cert_count = QT_COUNT(entries);
        args.server.refuses_unknown = cases[i].refuses;
        args.client.ca_pem = ids[cases[i].id].cert;
        args.client.verify = SC_VERIFY_ASK_INSTEAD; /* the name does not count here */
        args.name = cases[i].name;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        if (cases[i].alert >= 0) {
            assert_int_equal(pair.server.alert, cases[i].alert);
            assert_non_null(strstr(sc_tls_error(pair.server.tls), cases[i].name));
            qt_tls_close(&pair);
            continue;
        }
        assert_int_equal(sc_tls_ask_kind(pair.client.tls), SC_ASK_VERIFY);
        assert_int_equal(sc_tls_answer_verify(pair.client.tls, 0, NULL), 0);
        qt_tls_pull(&pair.client);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        struct sb_bytes got = sc_tls_peer_certificate(pair.client.tls);
        BIO *bio = BIO_new_mem_buf(ids[cases[i].id].cert, -1);
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        unsigned char *der = NULL;
        assert_int_equal(i2d_X509(cert, &der), got.size);
        assert_memory_equal(der, got.data, got.size);
        OPENSSL_free(der);
        X509_free(cert);
        BIO_free(bio);
        qt_tls_close(&pair);
    }
}

/* [RFC8446 9.2] */
static void
a_client_that_names_nobody_is_refused_where_there_is_no_certificate_for_all(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "localhost");
    const struct sc_cert_entry entry = {"localhost", qt_identity_cert(&id, false)};
    struct qt_tls_args args = qt_tls_args_without_cert();
    args.server.certs = &entry;
    args.server.cert_count = 1;
    args.client.ca_pem = id.cert;
    args.name = "127.0.0.1";
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    assert_int_equal(pair.server.alert, MISSING_EXTENSION);
    assert_string_equal(sc_tls_error(pair.server.tls),
                        "the client named no server, and there is no certificate for all");
}

static void a_handshake_keeps_the_certificates_that_it_began_with(void **state)
{
    (void)state;
    struct qt_identity old = qt_identity(SC_KEY_P256, "localhost"),
                       new = qt_identity(SC_KEY_RSA2048, "localhost");
    struct qt_tls_args args = qt_tls_args();
    args.server.cert_pem = old.cert;
    args.server.key_pem = old.key;
    args.client.ca_pem = old.cert;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    struct sc_error error = {""};
    const struct sc_cert_entry bad[] = {{"a.example", qt_identity_cert(&new, false)},
                                        {"a.example", NULL}};
    assert_int_equal(sc_tls_config_set_certs(pair.server_config, bad, 2, &error), -EINVAL);
    assert_string_equal(error.text, "the certificate for a.example is not given");
    assert_int_equal(sc_tls_config_set_certs(pair.server_config, NULL, 0, &error), -EINVAL);
    assert_string_equal(error.text, "a server needs a certificate");
    assert_int_equal(sc_tls_config_set_certs(pair.client_config, bad, 1, &error), -EINVAL);
    const struct sc_cert_entry good = {NULL, qt_identity_cert(&new, false)};
    assert_int_equal(sc_tls_config_set_certs(pair.server_config, &good, 1, &error), 0);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair); /* by the old one */

    struct sp_tls *tls = NULL;
    assert_int_equal(sc_tls_create(pair.server_config, NULL, &tls, NULL), 0);
    assert_non_null(((struct sc_tls *)(void *)tls)->certs);
    sc_tls_ops.destroy(tls);
}

/* ---- the exporter ---- */

static void both_ends_export_the_same_bytes_as_openssl(void **state)
{
    (void)state;
    static const enum sp_suite suites[] = {SP_SUITE_AES_128_GCM, SP_SUITE_AES_256_GCM};
    for (size_t i = 0; i < QT_COUNT(suites); i++) {
        struct qt_tls_args args = qt_tls_args();
        args.server.suites = &suites[i];
        args.server.suite_count = 1;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        static const struct sb_bytes label = {(const uint8_t *)"EXPORTER-test", 13};
        uint8_t ours[3][100], theirs[100];
        assert_int_equal(sc_tls_export(pair.client.tls, label, (struct sb_bytes){0}, ours[0], 100),
                         -ENOTCONN);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        struct sc_tls *client = (struct sc_tls *)(void *)pair.client.tls;
        for (size_t size = 0; size <= 5; size += 5) {
            const struct sb_bytes context = {(const uint8_t *)"12345", size};
            for (size_t out = 1; out <= 100; out += 33) {
                assert_int_equal(sc_tls_export(pair.client.tls, label, context, ours[0], out), 0);
                assert_int_equal(sc_tls_export(pair.server.tls, label, context, ours[1], out), 0);
                assert_int_equal(SSL_export_keying_material(client->ssl, theirs, out,
                                                            (const char *)label.data, label.size,
                                                            context.data, size, 1),
                                 1);
                assert_memory_equal(ours[0], theirs, out);
                assert_memory_equal(ours[1], theirs, out);
            }
        }
        uint8_t large[SC_EXPORT_BYTES_MAX];
        const struct sb_bytes nothing = {0};
        assert_int_equal(sc_tls_export(pair.server.tls, label, nothing, large, sizeof(large)), 0);
        assert_int_equal(sc_tls_export(pair.server.tls, label, nothing, large, sizeof(large) + 1),
                         -EINVAL);
        assert_int_equal(sc_tls_export(pair.server.tls, label, nothing, large, 0), -EINVAL);
        assert_int_equal(sc_tls_export(pair.server.tls, nothing, nothing, large, 10), -EINVAL);
        const struct sb_bytes longest = {large, 249}, longer = {large, 250};
        assert_int_equal(sc_tls_export(pair.server.tls, longest, nothing, ours[2], 10), 0);
        assert_int_equal(sc_tls_export(pair.server.tls, longer, nothing, ours[2], 10), -EINVAL);
        qt_tls_close(&pair);
    }
}

/* ---- options ---- */

static void options_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    struct qt_identity id = qt_identity(SC_KEY_P256, "localhost");
    struct sc_cert *cert = qt_identity_cert(&id, false);
    const struct sc_cert_entry entry = {"localhost", cert};
    struct qt_tls_args good = qt_tls_args();
    struct sc_tls_options cases[6] = {good.server, good.client, good.server,
                                      good.server, good.client, good.client};
    static const char *const errors[] = {
        "the certificate is given twice",
        "certificates by name are for servers",
        "a server that asks for client certificates needs the CA certificates to trust: give a CA "
        "file",
        "a function is to verify the peer, which needs no certificate",
        "a function is to verify the peer, which 'insecure' accepts unseen",
        "certificates by name are for servers",
    };
    cases[0].cert = cert;
    cases[1].certs = &entry;
    cases[1].cert_count = 1;
    cases[2].client_auth = SC_CLIENT_AUTH_OPTIONAL;
    cases[3].verify = SC_VERIFY_ASK_AFTER;
    cases[4].verify = SC_VERIFY_ASK_INSTEAD;
    cases[4].insecure = true;
    cases[5].refuses_unknown = true;
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct sc_tls_config *config = NULL;
        struct sc_error error = {""};
        assert_int_equal(sc_tls_config_create(&cases[i], &config, &error), -EINVAL);
        assert_string_equal(error.text, errors[i]);
        assert_null(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_name_gets_its_certificate),
        QT_TEST(owned, a_client_that_names_nobody_is_refused_where_there_is_no_certificate_for_all),
        QT_TEST(owned, a_handshake_keeps_the_certificates_that_it_began_with),
        QT_TEST(owned, both_ends_export_the_same_bytes_as_openssl),
        QT_TEST(owned, options_that_contradict_each_other_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
