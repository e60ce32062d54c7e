/* SPDX-License-Identifier: MIT */
/* TLS configuration: what is refused and in which words; files; key log; many threads. */

#include "test/support/qt.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "crypto/suite.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/spate-test-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : chdir(folder);
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const files[] = {"cert.pem", "key.pem",    "both.pem", "other-key.pem",
                                        "empty",    "locked.pem", "cut.pem",  "huge",
                                        "keys.log", "junk.pem"};
    for (size_t i = 0; i < QT_COUNT(files); i++)
        (void)unlink(files[i]);
    (void)rmdir("folder");
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static void write_file(const char *name, const char *a, const char *b)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(a, f) >= 0 && fputs(b, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Our key, behind a passphrase. */
static void write_locked_key(const char *name)
{
    char passphrase[] = "secret";
    BIO *bio = BIO_new_mem_buf(qt_key(), -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    FILE *f = fopen(name, "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), NULL, 0, NULL, passphrase), 1);
    assert_int_equal(fclose(f), 0);
    EVP_PKEY_free(key);
}

static void write_files(void)
{
    write_file("cert.pem", qt_cert(), "");
    write_file("key.pem", qt_key(), "");
    write_file("both.pem", qt_key(), qt_cert());
    write_file("other-key.pem", qt_other_key(), "");
    write_file("empty", "", "");
    write_locked_key("locked.pem");
    char cut[400];
    (void)snprintf(cut, sizeof(cut), "%.200s\n-----END CERTIFICATE-----\n", qt_cert());
    write_file("cut.pem", qt_cert(), cut);
    write_file("junk.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "");
    char *huge = malloc(1200000);
    memset(huge, ' ', 1200000 - 1);
    huge[1200000 - 1] = '\0';
    write_file("huge", huge, "");
    free(huge);
    (void)mkdir("folder", 0700);
}

static const char *const no_alpn[] = {"ok", ""};
static const enum sp_suite strange_suite = (enum sp_suite)0x1304;
static const enum sp_suite suite_twice[] = {SP_SUITE_AES_128_GCM, SP_SUITE_AES_128_GCM,
                                            SP_SUITE_AES_128_GCM, SP_SUITE_AES_128_GCM};

/* The options that a case sets; NULL or 0: as in the server that works. */
static const struct bad_server {
    struct sc_tls_options set;
    bool no_cert, no_key, no_alpn;
    int code;
    const char *error;
} bad_servers[] = {
    {.set = {.cert_file = "none.pem"},
     .code = -ENOENT,
     .error = "cannot read certificate none.pem: No such file or directory"},
    {.set = {.key_file = "none.pem"},
     .code = -ENOENT,
     .error = "cannot read private key none.pem: No such file or directory"},
    {.set = {.cert_file = "folder"},
     .code = -EISDIR,
     .error = "cannot read certificate folder: Is a directory"},
    {.set = {.cert_file = "huge"}, .code = -EFBIG, .error = "certificate huge is larger than 1 MB"},
    {.set = {.cert_file = "empty"},
     .code = -EINVAL,
     .error = "certificate empty: there is no certificate in PEM form in it"},
    {.set = {.cert_file = "key.pem"},
     .code = -EINVAL,
     .error = "certificate key.pem: there is no certificate in PEM form in it"},
    {.set = {.key_file = "cert.pem"},
     .code = -EINVAL,
     .error = "private key cert.pem: there is no private key in PEM form in it"},
    {.set = {.key_file = "locked.pem"},
     .code = -EINVAL,
     .error = "private key locked.pem: it is encrypted; it must be without a passphrase"},
    {.set = {.key_file = "other-key.pem"},
     .code = -EINVAL,
     .error = "the private key other-key.pem does not match the certificate cert.pem"},
    {.no_cert = true, .code = -EINVAL, .error = "a server needs a certificate"},
    {.no_key = true,
     .code = -EINVAL,
     .error = "certificate cert.pem: its private key is not given"},
    {.set = {.cert_pem = "x"},
     .code = -EINVAL,
     .error = "the certificate is given both as a file and as text"},
    {.set = {.key_pem = "x"},
     .code = -EINVAL,
     .error = "the private key is given both as a file and as text"},
    {.set = {.cert_pem = "x"},
     .no_cert = true,
     .code = -EINVAL,
     .error = "certificate given as text: there is no certificate in PEM form in it"},
    {.no_alpn = true, .code = -EINVAL, .error = "QUIC needs an application protocol (ALPN)"},
    {.set = {.alpn = no_alpn, .alpn_count = 2},
     .code = -EINVAL,
     .error = "application protocol '': it must have 1 to 255 bytes"},
    {.set = {.suites = &strange_suite, .suite_count = 1},
     .code = -EINVAL,
     .error = "cipher suite 0x1304 is not one for QUIC"},
    {.set = {.suites = suite_twice, .suite_count = 4},
     .code = -EINVAL,
     .error = "a cipher suite is given twice"},
    {.set = {.groups = "no-group"},
     .code = -EINVAL,
     .error = "key exchange groups 'no-group': OpenSSL cannot read that"},
    {.set = {.insecure = true}, .code = -EINVAL, .error = "'insecure' is for clients"},
    {.set = {.ca_file = "none.pem", .client_auth = SC_CLIENT_AUTH_REQUIRED},
     .code = -ENOENT,
     .error = "cannot read CA certificate none.pem: No such file or directory"},
    {.set = {.ca_file = "a", .ca_pem = "b", .client_auth = SC_CLIENT_AUTH_REQUIRED},
     .code = -EINVAL,
     .error = "the CA certificates are given both as a file and as text"},
    {.set = {.keylog_file = "folder"},
     .code = -EISDIR,
     .error = "cannot write key log folder: Is a directory"},
    {.set = {.keylog_file = "none/keys.log"},
     .code = -ENOENT,
     .error = "cannot write key log none/keys.log: No such file or directory"},
};

static void what_is_wrong_with_a_server_is_said_in_one_line(void **state)
{
    (void)state;
    static const char *const alpn[] = {"test"};
    write_files();
    for (size_t i = 0; i < QT_COUNT(bad_servers); i++) {
        const struct bad_server *bad = &bad_servers[i];
        struct sc_tls_options options = bad->set;
        options.role = SP_SERVER;
        if (options.cert_file == NULL && !bad->no_cert)
            options.cert_file = "cert.pem";
        if (options.key_file == NULL && !bad->no_key && !(bad->no_cert && !options.cert_pem))
            options.key_file = "key.pem";
        if (options.alpn_count == 0 && !bad->no_alpn) {
            options.alpn = alpn;
            options.alpn_count = 1;
        }
        struct sc_tls_config *config = NULL;
        struct sc_error error = {""};
        int code = sc_tls_config_create(&options, &config, &error);
        assert_string_equal(error.text, bad->error);
        assert_int_equal(code, bad->code);
        assert_null(config);
        assert_int_equal(sc_tls_config_create(&options, &config, NULL), bad->code);
    }
}

/* The words are OpenSSL's; that there are some, and the file, is ours. */
static void what_openssl_does_not_like_is_said_with_its_words(void **state)
{
    (void)state;
    static const struct {
        const char *cert, *key, *start;
    } cases[] = {
        {"cut.pem", "key.pem", "certificate cut.pem: number 2 in it cannot be decoded: "},
        {"cert.pem", "junk.pem", "private key junk.pem: it cannot be decoded: "},
    };
    write_files();
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct sc_tls_options options = qt_tls_args().server;
        options.cert_pem = options.key_pem = NULL;
        options.cert_file = cases[i].cert;
        options.key_file = cases[i].key;
        struct sc_tls_config *config;
        struct sc_error error;
        assert_int_equal(sc_tls_config_create(&options, &config, &error), -EINVAL);
        size_t size = strlen(cases[i].start);
        assert_memory_equal(error.text, cases[i].start, size);
        assert_true(strlen(error.text) > size);
        assert_string_not_equal(error.text + size, "no reason given");
    }
}

static void a_client_is_checked_too(void **state)
{
    (void)state;
    struct sc_tls_config *config;
    struct sc_error error;
    struct sc_tls_options options = qt_tls_args().client;
    options.key_pem = qt_key();
    assert_int_equal(sc_tls_config_create(&options, &config, &error), -EINVAL);
    assert_string_equal(error.text, "a private key without its certificate");
    options = qt_tls_args().client;
    options.client_auth = SC_CLIENT_AUTH_REQUIRED;
    assert_int_equal(sc_tls_config_create(&options, &config, &error), -EINVAL);
    assert_string_equal(error.text, "client certificates are demanded by servers");
    options = qt_tls_args().client;
    options.ca_pem = "nothing";
    assert_int_equal(sc_tls_config_create(&options, &config, &error), -EINVAL);
    assert_string_equal(error.text,
                        "CA certificate given as text: there is no certificate in PEM form in it");
}

static void a_chain_that_cannot_be_sent_is_refused_at_once(void **state)
{
    (void)state;
    size_t size = strlen(qt_cert());
    enum { COUNT = 200 };
    char *chain = malloc(COUNT * size + 1);
    for (size_t i = 0; i < COUNT; i++)
        memcpy(chain + i * size, qt_cert(), size);
    chain[COUNT * size] = '\0';
    struct sc_tls_options options = qt_tls_args().server;
    options.cert_pem = chain;
    struct sc_tls_config *config;
    struct sc_error error;
    assert_int_equal(sc_tls_config_create(&options, &config, &error), -EINVAL);
    assert_non_null(strstr(error.text, "certificate given as text: the chain has "));
    assert_non_null(strstr(error.text, " bytes, at most 57344 are possible"));
    free(chain);
}

static void files_work_as_texts_do(void **state)
{
    (void)state;
    static const char *const files[][2] = {{"cert.pem", "key.pem"}, {"both.pem", "both.pem"}};
    write_files();
    for (size_t i = 0; i < QT_COUNT(files); i++) {
        struct qt_tls_args args = qt_tls_args();
        args.server.cert_pem = args.server.key_pem = args.client.ca_pem = NULL;
        args.server.cert_file = files[i][0];
        args.server.key_file = files[i][1];
        args.client.ca_file = "cert.pem";
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        qt_tls_close(&pair);
    }
}

/* "LABEL <client random> <secret>", with that secret. */
static void assert_logged(const char *log, const char *label, const uint8_t *secret, size_t size)
{
    const char *line = strstr(log, label);
    assert_non_null(line);
    const char *end = strchr(line, '\n');
    assert_non_null(end);
    assert_int_equal(end - line, strlen(label) + 1 + 64 + 1 + 2 * size);
    for (size_t i = 0; i < size; i++) {
        char digits[3];
        (void)snprintf(digits, sizeof(digits), "%02x", secret[i]);
        assert_memory_equal(end - 2 * size + 2 * i, digits, 2);
    }
}

static void the_key_log_has_a_line_for_each_secret(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.server.keylog_file = "keys.log";
    struct qt_tls_pair pair;
    for (int i = 0; i < 2; i++) { /* the second is appended */
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        if (i == 0)
            qt_tls_close(&pair);
    }
    struct stat status;
    assert_int_equal(stat("keys.log", &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    char log[8192];
    FILE *f = fopen("keys.log", "r");
    size_t size = fread(log, 1, sizeof(log) - 1, f);
    (void)fclose(f);
    log[size] = '\0';
    size_t lines = 0;
    const char *second = NULL;
    for (const char *c = log; *c != '\0'; c++) {
        if (*c == '\n' && ++lines == 5)
            second = c + 1;
    }
    assert_int_equal(lines, 10);
    const struct qt_tls_end *s = &pair.server;
    assert_logged(second, "SERVER_HANDSHAKE_TRAFFIC_SECRET", s->secrets[SP_LEVEL_HANDSHAKE][1],
                  s->secret_size);
    assert_logged(second, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", s->secrets[SP_LEVEL_HANDSHAKE][0],
                  s->secret_size);
    assert_logged(second, "SERVER_TRAFFIC_SECRET_0", s->secrets[SP_LEVEL_APP][1], s->secret_size);
    assert_logged(second, "CLIENT_TRAFFIC_SECRET_0", s->secrets[SP_LEVEL_APP][0], s->secret_size);
    assert_non_null(strstr(second, "EXPORTER_SECRET"));
}

enum { HANDSHAKES = 25 };

/* A thread's own handshakes with shared configurations; cmocka's asserts are not for threads. */
struct worker {
    pthread_t thread;
    struct sc_tls_config *client_config, *server_config;
    int completed;
};

static void pump(struct sp_tls *from, struct sp_tls *to, int *completed)
{
    uint64_t said[SP_LEVELS] = {0};
    struct sp_tls_event fact;
    for (sc_tls_ops.next(from, &fact); fact.kind != SP_TLS_NONE; sc_tls_ops.next(from, &fact)) {
        if (fact.kind == SP_TLS_CRYPTO)
            said[fact.level] += fact.size;
        *completed += fact.kind == SP_TLS_COMPLETE;
    }
    for (unsigned l = 0; l < SP_LEVELS; l++) {
        enum sp_level level = (enum sp_level)l;
        if (said[l] > 0)
            sc_tls_ops.receive(to, level, sc_tls_ops.bytes(from, level, 0, (size_t)said[l]),
                               (size_t)said[l]);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < HANDSHAKES; i++) {
        struct sp_tls *client = NULL, *server = NULL;
        if (sc_tls_create(w->client_config, "localhost", &client, NULL) == 0 &&
            sc_tls_create(w->server_config, NULL, &server, NULL) == 0 &&
            sc_tls_ops.start(client, NULL, 0) && sc_tls_ops.start(server, NULL, 0)) {
            for (int turn = 0; turn < 3; turn++) {
                pump(client, server, &w->completed);
                pump(server, client, &w->completed);
            }
        }
        sc_tls_ops.destroy(client);
        sc_tls_ops.destroy(server);
    }
    return NULL;
}

static void one_configuration_serves_many_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    static struct worker workers[THREADS];
    struct qt_tls_args args = qt_tls_args();
    struct sc_tls_config *client, *server;
    args.server.keylog_file = "keys.log";
    assert_int_equal(sc_tls_config_create(&args.client, &client, NULL), 0);
    assert_int_equal(sc_tls_config_create(&args.server, &server, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].client_config = client;
        workers[i].server_config = server;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].completed, 2 * HANDSHAKES);
    }
    sc_tls_config_unref(client);
    sc_tls_config_unref(server);
    sc_tls_config_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, what_is_wrong_with_a_server_is_said_in_one_line),
        QT_TEST(owned, what_openssl_does_not_like_is_said_with_its_words),
        QT_TEST(owned, a_client_is_checked_too),
        QT_TEST(owned, a_chain_that_cannot_be_sent_is_refused_at_once),
        QT_TEST(owned, files_work_as_texts_do),
        QT_TEST(owned, the_key_log_has_a_line_for_each_secret),
        QT_TEST(owned, one_configuration_serves_many_threads),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
