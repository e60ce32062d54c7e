/* SPDX-License-Identifier: MIT */
/* Certificates: what is refused and why, and which one a name gets.  RFC 6066, 3; RFC 9525, 6.3. */

#include "test/support/qt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "crypto/cert_table.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

static void cert_end(void *cert)
{
    sc_cert_unref(cert);
}

static void table_end(void *table)
{
    sc_cert_table_unref(table);
}

static void text_end(void *text)
{
    OPENSSL_clear_free(text, strlen(text));
}

static struct sc_cert *make_cert(void)
{
    const struct sc_cert_options options = {.cert_pem = qt_cert(), .key_pem = qt_key()};
    struct sc_cert *cert;
    assert_int_equal(sc_cert_create(&options, &cert, NULL), 0);
    return owned_add(cert, cert_end);
}

static struct sc_cert_table *make_table(const struct sc_cert_entry *entries, size_t count)
{
    struct sc_cert_table *table;
    struct sc_error error = {""};
    if (sc_cert_table_create(entries, count, &table, &error) != 0)
        fail_msg("%s", error.text);
    return owned_add(table, table_end);
}

static void a_name_gets_its_own_certificate_or_that_of_its_wildcard(void **state)
{
    (void)state;
    struct sc_cert *exact = make_cert(), *wild = make_cert(), *other = make_cert();
    const struct sc_cert_entry entries[] = {
        {"www.Example.org", exact},
        {"*.example.org", wild},
        {"single", exact},
        {NULL, other},
    };
    const struct sc_cert_table *table = make_table(entries, QT_COUNT(entries));
    const struct {
        const char *name;
        const struct sc_cert *cert;
    } cases[] = {
        {"www.example.org", exact},
        {"WWW.EXAMPLE.ORG", exact},
        {"www.example.org.", exact},
        {"a.example.org", wild},
        {"A.example.ORG.", wild},
        {"a.b.example.org", NULL},
        {"example.org", NULL},
        {".example.org", NULL},
        {"*.example.org", NULL},
        {"xexample.org", NULL},
        {"single", exact},
        {"SINGLE", exact},
        {"", NULL},
        {".", NULL},
        {"org", NULL},
        {"www.example.org.x", NULL},
        {"..", NULL},
        {"a..example.org", NULL},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++)
        if (sc_cert_table_find(table, cases[i].name) != cases[i].cert)
            fail_msg("'%s' gets another certificate", cases[i].name);
    assert_ptr_equal(sc_cert_table_default(table), other);
    assert_true(sc_cert_table_has_names(table));
    assert_false(sc_cert_table_has_remote(table));

    char longest[600];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (size_t size = 0; size < sizeof(longest) - 1; size++)
        assert_null(sc_cert_table_find(table, longest + size));
}

static void many_names_are_all_found(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct sc_cert *cert = make_cert();
    struct sc_cert_entry entries[COUNT];
    static char names[COUNT][32];
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%sn%zu.example", i % 2 == 0 ? "" : "*.", i);
        entries[i] = (struct sc_cert_entry){names[i], cert};
    }
    const struct sc_cert_table *table = make_table(entries, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        char name[40];
        (void)snprintf(name, sizeof(name), "x.n%zu.example", i);
        assert_ptr_equal(sc_cert_table_find(table, name + (i % 2 == 0 ? 2 : 0)), cert);
        assert_null(sc_cert_table_find(table, name + (i % 2 == 0 ? 0 : 2)));
    }
}

static void a_table_with_a_bad_entry_is_refused(void **state)
{
    (void)state;
    struct sc_cert *cert = make_cert();
    const struct {
        struct sc_cert_entry entries[2];
        const char *error;
    } cases[] = {
        {{{"a.example", cert}, {"A.EXAMPLE.", cert}}, "two certificates are given for a.example"},
        {{{NULL, cert}, {NULL, cert}}, "two certificates are given for all other names"},
        {{{"a.example", cert}, {"b.example", NULL}}, "the certificate for b.example is not given"},
        {{{"a.example", cert}, {"", cert}}, "'' is not a server's name"},
        {{{"a.example", cert}, {"*", cert}}, "'*' is not a server's name"},
        {{{"a.example", cert}, {"*.", cert}}, "'*.' is not a server's name"},
        {{{"a.example", cert}, {"a.*.example", cert}}, "'a.*.example' is not a server's name"},
        {{{"a.example", cert}, {"x*.example", cert}}, "'x*.example' is not a server's name"},
        {{{"a.example", cert}, {"a..example", cert}}, "'a..example' is not a server's name"},
        {{{"a.example", cert}, {".example", cert}}, "'.example' is not a server's name"},
        {{{"a.example", cert}, {"a b.example", cert}}, "'a b.example' is not a server's name"},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct sc_cert_table *table = NULL;
        struct sc_error error = {""};
        assert_int_equal(sc_cert_table_create(cases[i].entries, 2, &table, &error), -EINVAL);
        assert_null(table);
        assert_string_equal(error.text, cases[i].error);
    }
}

/* `key` in PEM, encrypted. */
static char *encrypt(const char *key_pem, const char *password)
{
    BIO *in = BIO_new_mem_buf(key_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(out, key, EVP_aes_128_cbc(), password,
                                                   (int)strlen(password), NULL, NULL),
                     1);
    char *data;
    long size = BIO_get_mem_data(out, &data);
    char *text = OPENSSL_strndup(data, (size_t)size);
    BIO_free(in);
    BIO_free(out);
    EVP_PKEY_free(key);
    return owned_add(text, text_end);
}

static void each_bad_certificate_has_one_clear_line(void **state)
{
    (void)state;
    const char *encrypted = encrypt(qt_key(), "open sesame");
    const struct {
        struct sc_cert_options options;
        int code;
        const char *error; /* its beginning */
    } cases[] = {
        {{.cert_pem = qt_cert()},
         -EINVAL,
         "certificate given as text: its private key is not given"},
        {{.key_pem = qt_key()}, -EINVAL, "a private key without its certificate"},
        {{.cert_pem = NULL}, -EINVAL, "the certificate is not given"},
        {{.cert_pem = qt_cert(), .key_pem = qt_other_key()},
         -EINVAL,
         "the private key given as text does not match the certificate given as text"},
        {{.cert_pem = qt_cert(), .key_pem = encrypted},
         -EINVAL,
         "private key given as text: it is encrypted; it must be without a passphrase"},
        {{.cert_pem = qt_cert(), .key_pem = encrypted, .key_password = "open"},
         -EINVAL,
         "private key given as text: it is encrypted; the password is wrong"},
        {{.cert_pem = qt_cert(), .key_pem = encrypted, .key_password = ""},
         -EINVAL,
         "private key given as text: it is encrypted; the password is wrong"},
        {{.cert_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
          .key_pem = qt_key()},
         -EINVAL,
         "certificate given as text: number 1 in it cannot be decoded: "},
        {{.cert_pem = "garbage", .key_pem = qt_key()},
         -EINVAL,
         "certificate given as text: there is no certificate in PEM form in it"},
        {{.cert_pem = qt_cert(), .key_pem = qt_cert()},
         -EINVAL,
         "private key given as text: there is no private key in PEM form in it"},
        {{.cert_pem = qt_cert(), .key_pem = qt_key(), .is_remote = true},
         -EINVAL,
         "certificate given as text: its private key is given, and a function to sign"},
        {{.cert_file = "/nowhere/cert.pem", .key_pem = qt_key()},
         -ENOENT,
         "cannot read certificate /nowhere/cert.pem: "},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct sc_cert *cert = NULL;
        struct sc_error error = {""};
        assert_int_equal(sc_cert_create(&cases[i].options, &cert, &error), cases[i].code);
        assert_null(cert);
        if (strncmp(error.text, cases[i].error, strlen(cases[i].error)) != 0)
            fail_msg("'%s' instead of '%s'", error.text, cases[i].error);
        assert_null(strchr(error.text, '\n'));
    }
    struct sc_cert *cert = NULL;
    const struct sc_cert_options good = {
        .cert_pem = qt_cert(), .key_pem = encrypted, .key_password = "open sesame"};
    assert_int_equal(sc_cert_create(&good, &cert, NULL), 0);
    sc_cert_unref(cert);
}

/* Cuts and changes must give a certificate or an error, and never anything else. */
static void a_cut_or_changed_text_is_refused_or_read(void **state)
{
    (void)state;
    char *copies[2];
    for (int which = 0; which < 2; which++) {
        size_t size = strlen(which == 0 ? qt_cert() : qt_key());
        copies[0] = owned_add(strdup(qt_cert()), free);
        copies[1] = owned_add(strdup(qt_key()), free);
        uint32_t accepted_count = 0;
        for (size_t i = 0; i < 2 * size; i++) {
            char *at = &copies[which][i % size];
            char before = *at;
            *at = i < size ? '\0' : (char)(before ^ 1);
            const struct sc_cert_options options = {.cert_pem = copies[0], .key_pem = copies[1]};
            struct sc_cert *cert = NULL;
            struct sc_error error = {""};
            int code = sc_cert_create(&options, &cert, &error);
            assert_true((code == 0) == (cert != NULL));
            assert_true(code == 0 || error.text[0] != '\0');
            accepted_count += code == 0 && i < size;
            sc_cert_unref(cert);
            *at = before;
        }
        assert_true(accepted_count <= 2); /* without the newline, and perhaps the last dash */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_name_gets_its_own_certificate_or_that_of_its_wildcard),
        QT_TEST(owned, many_names_are_all_found),
        QT_TEST(owned, a_table_with_a_bad_entry_is_refused),
        QT_TEST(owned, each_bad_certificate_has_one_clear_line),
        QT_TEST(owned, a_cut_or_changed_text_is_refused_or_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
