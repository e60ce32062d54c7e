/* SPDX-License-Identifier: MIT */
/* Certificates of our own making, looked at with OpenSSL. */

#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "crypto/self_signed.h"
#include "test/support/owned.h"

static void cert_end(void *cert)
{
    X509_free(cert);
}

static void key_end(void *key)
{
    EVP_PKEY_free(key);
}

static void text_end(void *text)
{
    sc_self_signed_free(text);
}

static void time_end(void *time)
{
    ASN1_TIME_free(time);
}

static X509 *cert_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return owned_add(cert, cert_end);
}

static EVP_PKEY *key_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return owned_add(key, key_end);
}

static X509 *make(const struct sc_self_signed_options *options)
{
    char *cert_pem, *key_pem;
    assert_int_equal(sc_self_signed(options, &cert_pem, &key_pem, NULL), 0);
    (void)owned_add(cert_pem, text_end);
    (void)owned_add(key_pem, text_end);
    X509 *cert = cert_of(cert_pem);
    EVP_PKEY *key = key_of(key_pem);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(X509_verify(cert, key), 1); /* signed by itself */
    return cert;
}

static void each_key_type_signs_itself(void **state)
{
    (void)state;
    static const struct {
        enum sc_key_type type;
        const char *name;
        int bits;
    } types[] = {
        {SC_KEY_P256, "EC", 256},
        {SC_KEY_ED25519, "ED25519", 256},
        {SC_KEY_RSA2048, "RSA", 2048},
    };
    for (size_t i = 0; i < QT_COUNT(types); i++) {
        X509 *cert = make(&(struct sc_self_signed_options){.key_type = types[i].type});
        EVP_PKEY *key = X509_get0_pubkey(cert);
        assert_true(EVP_PKEY_is_a(key, types[i].name));
        assert_in_range(EVP_PKEY_get_bits(key), types[i].bits - 3, types[i].bits);
    }
}

static void without_names_it_is_for_this_machine(void **state)
{
    (void)state;
    X509 *cert = make(&(struct sc_self_signed_options){0});
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.2", 0), 0);
    assert_int_equal(X509_check_host(cert, "example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ca(cert), 0);
}

static void names_and_addresses_are_told_apart(void **state)
{
    (void)state;
    static const char *const names[] = {"a.example", "192.0.2.1", "*.b.example", "2001:db8::1"};
    X509 *cert = make(&(struct sc_self_signed_options){.names = names, .name_count = 4});
    assert_int_equal(X509_check_host(cert, "a.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "x.b.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "192.0.2.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "2001:db8::1", 0), 1);
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 0);
}

static void a_long_first_name_is_still_a_name(void **state)
{
    (void)state;
    static const char name[] = "a-name-of-more-than-64-bytes-does-not-fit-into-a-common-name"
                               ".but.it.fits.elsewhere.example";
    const char *const names[] = {name};
    X509 *cert = make(&(struct sc_self_signed_options){.names = names, .name_count = 1});
    assert_int_equal(X509_check_host(cert, name, 0, 0, NULL), 1);
}

static void validity_is_counted_in_days(void **state)
{
    (void)state;
    static const struct {
        uint32_t days;
        int32_t start;
        int day_min, day_max; /* from now until the end */
    } cases[] = {{0, 0, 30, 30}, {1, 0, 1, 1}, {365, 0, 365, 365}, {10, -20, -10, -10}};
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        X509 *cert = make(&(struct sc_self_signed_options){.days = cases[i].days,
                                                           .start_in_days = cases[i].start});
        ASN1_TIME *now = owned_add(X509_gmtime_adj(NULL, 0), time_end);
        int days, seconds;
        assert_int_equal(ASN1_TIME_diff(&days, &seconds, now, X509_get0_notAfter(cert)), 1);
        /* The clock may have passed a second meanwhile. */
        double exact = days + seconds / 86400.0;
        assert_true(exact > cases[i].day_min - 0.01 && exact < cases[i].day_max + 0.01);
        assert_int_equal(X509_cmp_current_time(X509_get0_notBefore(cert)), -1);
    }
}

static void two_certificates_differ_in_serial_and_key(void **state)
{
    (void)state;
    X509 *a = make(&(struct sc_self_signed_options){0});
    X509 *b = make(&(struct sc_self_signed_options){0});
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(a), X509_get0_serialNumber(b)), 0);
    assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(a), X509_get0_pubkey(b)), 1);
}

static void bad_names_and_numbers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t days;
        const char *error;
    } cases[] = {
        {"", 1, "'' is neither a DNS name nor an IP address"},
        {"a b", 1, "'a b' is neither a DNS name nor an IP address"},
        {"x\ny", 1, "'x?y' is neither a DNS name nor an IP address"},
        {"::1::2", 1, "'::1::2' is neither a DNS name nor an IP address"},
        {"ok", SC_SELF_SIGNED_DAYS_MAX + 1, "a certificate is valid for 1 to 36500 days"},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        const struct sc_self_signed_options options = {
            .names = &cases[i].name, .name_count = 1, .days = cases[i].days};
        char *cert = NULL, *key = NULL;
        struct sc_error error;
        int code = sc_self_signed(&options, &cert, &key, &error);
        (void)owned_add(cert, text_end);
        (void)owned_add(key, text_end);
        assert_int_equal(code, -EINVAL);
        assert_string_equal(error.text, cases[i].error);
        assert_null(cert);
        assert_null(key);
    }
    sc_self_signed_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_key_type_signs_itself),
        QT_TEST(owned, without_names_it_is_for_this_machine),
        QT_TEST(owned, names_and_addresses_are_told_apart),
        QT_TEST(owned, a_long_first_name_is_still_a_name),
        QT_TEST(owned, validity_is_counted_in_days),
        QT_TEST(owned, two_certificates_differ_in_serial_and_key),
        QT_TEST(owned, bad_names_and_numbers_are_refused),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
