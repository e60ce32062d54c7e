/* SPDX-License-Identifier: MIT */
/* Who is trusted: server certificates, names, client certificates.  RFC 9001, section 4.4. */

#include "test/support/qt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "test/support/owned.h"
#include "test/support/tls_pair.h"

/* TLS alerts.  [RFC8446 6] */
enum {
    BAD_CERTIFICATE = 42,
    CERTIFICATE_EXPIRED = 45,
    UNKNOWN_CA = 48,
    CERTIFICATE_REQUIRED = 116,
};

struct identity {
    char *cert, *key;
};

static void text_end(void *text)
{
    sc_self_signed_free(text);
}

static void cert_end(void *cert)
{
    X509_free(cert);
}

static void key_end(void *key)
{
    EVP_PKEY_free(key);
}

static void bio_end(void *bio)
{
    BIO_free(bio);
}

static struct identity make(const struct sc_self_signed_options *options)
{
    struct identity id;
    assert_int_equal(sc_self_signed(options, &id.cert, &id.key, NULL), 0);
    (void)owned_add(id.cert, text_end);
    (void)owned_add(id.key, text_end);
    return id;
}

static X509 *cert_of(const struct identity *id)
{
    BIO *bio = BIO_new_mem_buf(id->cert, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return owned_add(cert, cert_end);
}

static EVP_PKEY *key_of(const struct identity *id)
{
    BIO *bio = BIO_new_mem_buf(id->key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return owned_add(key, key_end);
}

/* Appends the PEM of `cert` to the string `pem`. */
static void append(char *pem, size_t capacity, X509 *cert)
{
    BIO *bio = owned_add(BIO_new(BIO_s_mem()), bio_end);
    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    size_t used = strlen(pem);
    int size = BIO_read(bio, pem + used, (int)(capacity - used - 1));
    assert_true(size > 0);
    pem[used + (size_t)size] = '\0';
}

static void assert_client_refuses(const struct qt_tls_args *args, int alert, const char *error)
{
    struct qt_tls_pair pair;
    qt_tls_open(&pair, args);
    qt_tls_run(&pair);
    assert_int_equal(pair.client.alert, alert);
    assert_false(pair.client.is_complete);
    assert_string_equal(sc_tls_error(pair.client.tls), error);
    /* It said nothing that could complete the server. */
    assert_int_equal(pair.client.said[SP_LEVEL_HANDSHAKE], 0);
    assert_false(pair.server.is_complete);
    assert_false(pair.client.has_secret[SP_LEVEL_APP][true]);
    qt_tls_close(&pair);
}

static void assert_completes(const struct qt_tls_args *args)
{
    struct qt_tls_pair pair;
    qt_tls_open(&pair, args);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    qt_tls_close(&pair);
}

static void a_server_that_is_not_trusted_is_refused(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.server.cert_pem = qt_other_cert();
    args.server.key_pem = qt_other_key();
    assert_client_refuses(&args, UNKNOWN_CA, "the peer's certificate: self-signed certificate");
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"example.org", "localhost.example", "127.0.0.2", "::2"};
    for (size_t i = 0; i < QT_COUNT(names); i++) {
        struct qt_tls_args args = qt_tls_args();
        args.name = names[i];
        bool is_ip = i >= 2;
        assert_client_refuses(&args, BAD_CERTIFICATE,
                              is_ip ? "the peer's certificate: IP address mismatch"
                                    : "the peer's certificate: hostname mismatch");
    }
}

static void names_and_addresses_of_the_certificate_are_accepted(void **state)
{
    (void)state;
    static const char *const names[] = {"localhost", "LOCALHOST", "localhost.",
                                        "127.0.0.1", "::1",       "0:0:0:0:0:0:0:1"};
    for (size_t i = 0; i < QT_COUNT(names); i++) {
        struct qt_tls_args args = qt_tls_args();
        args.name = names[i];
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        /* [RFC6066 3] No address, and no dot at the end. */
        const char *told = sc_tls_server_name(pair.server.tls);
        if (i < 3)
            assert_int_equal(strlen(told), strlen("localhost"));
        else
            assert_null(told);
        qt_tls_close(&pair);
    }
}

static void the_common_name_is_no_name(void **state)
{
    (void)state;
    /* The subject of the first is its first name; take that out of the alternative names. */
    static const char *const names[] = {"common.example", "other.example"};
    struct identity id = make(&(struct sc_self_signed_options){.names = names, .name_count = 2});
    X509 *cert = cert_of(&id);
    EVP_PKEY *key = key_of(&id);
    int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
    X509_EXTENSION_free(X509_delete_ext(cert, at));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    char pem[4096] = "";
    append(pem, sizeof(pem), cert);

    struct qt_tls_args args = qt_tls_args();
    args.client.ca_pem = args.server.cert_pem = pem;
    args.server.key_pem = id.key;
    args.name = "common.example";
    assert_client_refuses(&args, BAD_CERTIFICATE, "the peer's certificate: hostname mismatch");
}

static void a_certificate_out_of_its_time_is_refused(void **state)
{
    (void)state;
    static const struct {
        int32_t start;
        int alert;
        const char *error;
    } cases[] = {
        {-60, CERTIFICATE_EXPIRED, "the peer's certificate: certificate has expired"},
        {60, BAD_CERTIFICATE, "the peer's certificate: certificate is not yet valid"},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct identity id =
            make(&(struct sc_self_signed_options){.start_in_days = cases[i].start});
        struct qt_tls_args args = qt_tls_args();
        args.client.ca_pem = args.server.cert_pem = id.cert;
        args.server.key_pem = id.key;
        assert_client_refuses(&args, cases[i].alert, cases[i].error);
    }
}

static void an_insecure_client_takes_anybody(void **state)
{
    (void)state;
    struct identity id = make(&(struct sc_self_signed_options){.start_in_days = -60});
    struct qt_tls_args args = qt_tls_args();
    args.client.insecure = true;
    args.client.ca_pem = NULL;
    args.server.cert_pem = id.cert;
    args.server.key_pem = id.key;
    args.name = "somewhere.example";
    assert_completes(&args);
    args.no_name = true;
    assert_completes(&args);
}

/* Takes back what the_system_store_is_used_where_none_is_given() has set up. */
static void store_end(void *file)
{
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    unlink(file);
}

static void the_system_store_is_used_where_none_is_given(void **state)
{
    (void)state;
    static char file[] = "/tmp/spate-test-XXXXXX"; /* its end comes after this frame's */
    int fd = owned_fd(mkstemp(file));
    (void)owned_add(file, store_end);
    assert_int_equal(write(fd, qt_cert(), strlen(qt_cert())), strlen(qt_cert()));
    assert_int_equal(setenv("SSL_CERT_FILE", file, 1), 0);
    assert_int_equal(setenv("SSL_CERT_DIR", "/nowhere", 1), 0);

    struct qt_tls_args args = qt_tls_args();
    args.client.ca_pem = NULL;
    assert_completes(&args);
    args.server.cert_pem = qt_other_cert();
    args.server.key_pem = qt_other_key();
    assert_client_refuses(&args, UNKNOWN_CA, "the peer's certificate: self-signed certificate");
}

/* Whether the client has the one that the server trusts, one it does not, or none. */
enum given { GOOD, BAD, NONE };

static void client_certificates_are_asked_for_as_configured(void **state)
{
    (void)state;
    static const struct {
        enum sc_client_auth auth;
        enum given given;
        int alert; /* -1: completes */
        bool is_seen;
    } cases[] = {
        {SC_CLIENT_AUTH_NONE, GOOD, -1, false},
        {SC_CLIENT_AUTH_NONE, NONE, -1, false},
        {SC_CLIENT_AUTH_OPTIONAL, GOOD, -1, true},
        {SC_CLIENT_AUTH_OPTIONAL, NONE, -1, false},
        {SC_CLIENT_AUTH_OPTIONAL, BAD, UNKNOWN_CA, true},
        {SC_CLIENT_AUTH_REQUIRED, GOOD, -1, true},
        {SC_CLIENT_AUTH_REQUIRED, NONE, CERTIFICATE_REQUIRED, false},
        {SC_CLIENT_AUTH_REQUIRED, BAD, UNKNOWN_CA, true},
    };
    struct identity good = make(&(struct sc_self_signed_options){.key_type = SC_KEY_ED25519});
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct qt_tls_args args = qt_tls_args();
        args.server.client_auth = cases[i].auth;
        if (cases[i].auth != SC_CLIENT_AUTH_NONE)
            args.server.ca_pem = good.cert;
        if (cases[i].given != NONE) {
            args.client.cert_pem = cases[i].given == GOOD ? good.cert : qt_other_cert();
            args.client.key_pem = cases[i].given == GOOD ? good.key : qt_other_key();
        }
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        if (cases[i].alert == -1) {
            qt_tls_assert_complete(&pair);
        } else {
            assert_int_equal(pair.server.alert, cases[i].alert);
            assert_false(pair.server.is_complete);
            assert_false(pair.server.has_secret[SP_LEVEL_APP][false]);
        }
        if (cases[i].alert == -1)
            assert_int_equal(sc_tls_peer_certificate(pair.server.tls).size > 0, cases[i].is_seen);
        qt_tls_close(&pair);
    }
}

/* A certificate that `issuer` signed; a CA or not. */
static X509 *issue(struct identity *id, const char *name, X509 *issuer, EVP_PKEY *issuer_key,
                   bool is_ca)
{
    const char *const names[] = {name};
    *id = make(&(struct sc_self_signed_options){.names = names, .name_count = 1});
    X509 *cert = cert_of(id);
    static const int replaced[] = {NID_basic_constraints, NID_key_usage, NID_ext_key_usage};
    for (size_t i = 0; i < QT_COUNT(replaced) && is_ca; i++) {
        int at = X509_get_ext_by_NID(cert, replaced[i], -1);
        X509_EXTENSION_free(X509_delete_ext(cert, at));
    }
    if (is_ca) {
        X509_EXTENSION *ca =
            X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
        int added = X509_add_ext(cert, ca, -1); /* a copy */
        X509_EXTENSION_free(ca);
        assert_int_equal(added, 1);
    }
    assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)), 1);
    assert_true(X509_sign(cert, issuer_key ? issuer_key : key_of(id), EVP_sha256()) > 0);
    return cert;
}

static void a_chain_is_followed_to_its_root(void **state)
{
    (void)state;
    struct identity root_id, middle_id, leaf_id;
    X509 *root = issue(&root_id, "root.example", NULL, NULL, true);
    EVP_PKEY *root_key = key_of(&root_id);
    X509 *middle = issue(&middle_id, "middle.example", root, root_key, true);
    EVP_PKEY *middle_key = key_of(&middle_id);
    X509 *leaf = issue(&leaf_id, "localhost", middle, middle_key, false);

    char root_pem[4096] = "", middle_pem[4096] = "", chain_pem[8192] = "", leaf_pem[4096] = "";
    append(root_pem, sizeof(root_pem), root);
    append(middle_pem, sizeof(middle_pem), middle);
    append(leaf_pem, sizeof(leaf_pem), leaf);
    append(chain_pem, sizeof(chain_pem), leaf);
    append(chain_pem, sizeof(chain_pem), middle);

    struct qt_tls_args args = qt_tls_args();
    args.server.key_pem = leaf_id.key;
    args.client.ca_pem = root_pem;
    args.server.cert_pem = chain_pem;
    assert_completes(&args);
    /* Without the link between, nobody knows the issuer .. */
    args.server.cert_pem = leaf_pem;
    assert_client_refuses(&args, UNKNOWN_CA,
                          "the peer's certificate: unable to get local issuer certificate");
    /* .. unless that one is what is trusted. */
    args.client.ca_pem = middle_pem;
    assert_completes(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_server_that_is_not_trusted_is_refused),
        QT_TEST(owned, a_certificate_for_another_name_is_refused),
        QT_TEST(owned, names_and_addresses_of_the_certificate_are_accepted),
        QT_TEST(owned, the_common_name_is_no_name),
        QT_TEST(owned, a_certificate_out_of_its_time_is_refused),
        QT_TEST(owned, an_insecure_client_takes_anybody),
        QT_TEST(owned, the_system_store_is_used_where_none_is_given),
        QT_TEST(owned, client_certificates_are_asked_for_as_configured),
        QT_TEST(owned, a_chain_is_followed_to_its_root),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
