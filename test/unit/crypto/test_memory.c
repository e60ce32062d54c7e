/* SPDX-License-Identifier: MIT */
/* Memory: none is asked for a packet, and every request of the rest may be refused.
 * Runs with OpenSSL's allocator in our hands. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "crypto/protect.h"
#include "crypto/reset.h"
#include "crypto/retry_tag.h"
#include "crypto/token.h"
#include "crypto/suite.h"
#include "test/support/ciphers.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

static uint64_t asked_count;          /* requests so far, of those that count */
static uint64_t fail_at = UINT64_MAX; /* the request that is refused */
static const char *only_from;         /* requests of files with this name count; NULL: all */

static bool is_refused(const char *file)
{
    if (only_from != NULL && (file == NULL || strstr(file, only_from) == NULL))
        return false;
    return asked_count++ == fail_at;
}

/* Memory of the fused AES-GCM's keys, from this file; and how much of it came back wiped: both
 * kinds end with round keys. */
enum { WATCHED_MAX = 64 };
static const char watched_file[] = "crypto/fused_memory.c";
static struct {
    uint8_t *at;
    size_t size;
} watched[WATCHED_MAX];
static size_t watched_count;
static size_t wiped_count;
static bool is_watching;

static void watch(void *at, size_t size, const char *file)
{
    if (!is_watching || file == NULL || strstr(file, watched_file) == NULL)
        return;
    assert_true(watched_count < WATCHED_MAX && size >= sizeof(struct sc_fused_schedule));
    watched[watched_count].at = at;
    watched[watched_count++].size = size;
}

static void look_at(const uint8_t *at)
{
    static const uint8_t zeros[sizeof(struct sc_fused_schedule)];
    for (size_t i = 0; i < watched_count; i++) {
        if (watched[i].at == NULL || watched[i].at != at)
            continue;
        wiped_count += memcmp(at + watched[i].size - sizeof(zeros), zeros, sizeof(zeros)) == 0;
        watched[i].at = NULL;
    }
}

static void *counting_malloc(size_t size, const char *file, int line)
{
    (void)line;
    void *at = is_refused(file) ? NULL : malloc(size);
    watch(at, size, file);
    return at;
}

static void *counting_realloc(void *old, size_t size, const char *file, int line)
{
    (void)line;
    return is_refused(file) ? NULL : realloc(old, size);
}

static void counting_free(void *old, const char *file, int line)
{
    (void)file, (void)line;
    look_at(old);
    free(old);
}

static const struct sp_protect_ops *const ops = &sc_protect_ops;

static int memory_setup(void **state)
{
    return owned_setup(state);
}

/* Grants each request again, and releases what the test owns. */
static int memory_teardown(void **state)
{
    fail_at = UINT64_MAX;
    only_from = NULL;
    is_watching = false;
    return owned_teardown(state);
}

static void key_end(void *key)
{
    ops->destroy(key);
}

static void reset_end(void *reset)
{
    sc_reset_destroy(reset);
}

static void text_end(void *text)
{
    sc_self_signed_free(text);
}

static void config_end(void *config)
{
    sc_tls_config_unref(config);
}

static void a_packet_asks_for_no_memory(void **state)
{
    (void)state;
    static const uint8_t secret[SP_SECRET_SIZE_MAX];
    static const uint8_t header[] = {0x40, 1, 2, 3};
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        const struct sc_suite *suite = sc_suite_at(s);
        struct sp_key *key =
            ops->key(qt_cipher, SP_VERSION_1, suite->id, secret, suite->secret_size);
        (void)owned_add(key, key_end);
        uint8_t packet[100 + SP_TAG_SIZE] = {0};
        const uint8_t *sample = packet;
        uint8_t mask[1][SP_MASK_SIZE];
        uint64_t before = asked_count;
        for (uint64_t pn = 0; pn < 10; pn++) {
            const struct sb_bytes parts[] = {{.data = packet, .size = 30},
                                             {.data = packet + 30, .size = 70}};
            ops->seal(key, &(struct sp_seal){.pn = pn,
                                             .header = header,
                                             .header_size = sizeof(header),
                                             .parts = parts,
                                             .part_count = 2,
                                             .out = packet});
            ops->masks(key, &sample, 1, mask);
            if (pn % 2 != 0)
                packet[5] ^= 1; /* a forgery */
            bool opened = sp_open_in_place(ops, key, pn, (struct sb_bytes){header, sizeof(header)},
                                           packet, sizeof(packet));
            assert_int_equal(opened, pn % 2 == 0);
        }
        assert_int_equal(asked_count, before);
        owned_end(key);
    }
}

static void fused_keys_are_wiped(void **state)
{
    (void)state;
    static const uint8_t secret[SP_SECRET_SIZE_MAX] = {1};
    if (qt_cipher == NULL)
        return; /* OpenSSL's are its own affair */
    watched_count = wiped_count = 0;
    is_watching = true;
    struct sp_key *key = ops->key(qt_cipher, SP_VERSION_1, SP_SUITE_AES_128_GCM, secret, 32);
    struct sp_key *next = ops->next(key);
    assert_int_equal(watched_count, 3); /* two packet keys, one header key */
    ops->rest(key);
    ops->rest(next);
    assert_int_equal(wiped_count, 3);
    assert_true(ops->wake(key) && ops->wake(next));
    assert_int_equal(watched_count, 6);
    ops->destroy(key);
    ops->destroy(next);
    is_watching = false;
    assert_int_equal(wiped_count, 6);
}

static void a_reset_token_asks_for_no_memory(void **state)
{
    (void)state;
    static const uint8_t key[SC_RESET_KEY_SIZE];
    struct sc_reset *reset = owned_add(sc_reset_create(key), reset_end);
    struct sp_cid cid = sp_cid_of(key, 8);
    uint8_t token[SP_RESET_TOKEN_SIZE];
    uint64_t before = asked_count;
    sc_reset_token(reset, &cid, token);
    assert_int_equal(asked_count, before);
}

static bool try_key(void)
{
    static const uint8_t secret[SP_SECRET_SIZE_MAX];
    struct sp_key *key = ops->key(qt_cipher, SP_VERSION_1, SP_SUITE_AES_256_GCM, secret, 48);
    struct sp_key *next = key == NULL ? NULL : ops->next(key);
    bool done = next != NULL;
    ops->destroy(key);
    ops->destroy(next);
    return done;
}

static bool try_initial(void)
{
    struct sp_cid dcid = sp_cid_of((const uint8_t *)"abcdefgh", 8);
    struct sp_key *read = NULL, *write = NULL;
    bool done = ops->initial(qt_cipher, SP_VERSION_1, &dcid, SP_SERVER, &read, &write);
    (void)owned_add(read, key_end);
    (void)owned_add(write, key_end);
    assert_int_equal(read != NULL, done);
    assert_int_equal(write != NULL, done);
    owned_end(write);
    owned_end(read);
    return done;
}

static bool try_retry(void)
{
    struct sp_cid dcid = sp_cid_of((const uint8_t *)"abcdefgh", 8);
    uint8_t tag[SP_TAG_SIZE];
    return sc_retry_tag_make(SP_VERSION_1, &dcid, (const uint8_t *)"packet", 6, tag);
}

static bool try_reset(void)
{
    static const uint8_t key[SC_RESET_KEY_SIZE];
    struct sc_reset *reset = sc_reset_create(key);
    bool done = reset != NULL;
    sc_reset_destroy(reset);
    return done;
}

static bool try_token(void)
{
    static const uint8_t key[SC_TOKEN_KEY_SIZE];
    static const uint8_t nonce[SC_TOKEN_NONCE_SIZE];
    static const struct sp_addr address = {.family = 4};
    const struct sc_token token = {.kind = SC_TOKEN_RETRY};
    uint8_t bytes[SC_TOKEN_SIZE];
    struct sc_token got;
    struct sc_tokens *sealer = sc_tokens_create(key);
    struct sc_tokens *opener = sc_tokens_create(key);
    bool done = sealer != NULL && opener != NULL &&
                sc_token_seal(sealer, &token, &address, nonce, bytes) &&
                sc_token_open(opener, (struct sb_bytes){bytes, sizeof(bytes)}, &address, 0, &got) ==
                    SC_TOKEN_VALID;
    sc_tokens_destroy(sealer);
    sc_tokens_destroy(opener);
    return done;
}

static bool try_self_signed(void)
{
    char *cert = NULL, *key = NULL;
    struct sc_error error = {""};
    int code = sc_self_signed(&(struct sc_self_signed_options){0}, &cert, &key, &error);
    (void)owned_add(cert, text_end);
    (void)owned_add(key, text_end);
    assert_int_equal(code == 0, cert != NULL && key != NULL);
    assert_true(code == 0 || error.text[0] != '\0');
    owned_end(key);
    owned_end(cert);
    return code == 0;
}

static bool try_config(void)
{
    struct qt_tls_args args = qt_tls_args();
    struct sc_tls_config *server = NULL, *client = NULL;
    struct sc_error error = {""};
    int code = sc_tls_config_create(&args.server, &server, &error);
    if (code == 0)
        code = sc_tls_config_create(&args.client, &client, &error);
    (void)owned_add(server, config_end);
    (void)owned_add(client, config_end);
    assert_true(code == 0 || error.text[0] != '\0');
    owned_end(client);
    owned_end(server);
    return code == 0;
}

/* Shared by the attempts: made while memory was there. */
static struct qt_tls_pair configs;

static void pump(struct sp_tls *from, struct sp_tls *to, int *completed)
{
    uint64_t said[SP_LEVELS] = {0};
    struct sp_tls_event fact;
    for (sc_tls_ops.next(from, &fact); fact.kind != SP_TLS_NONE; sc_tls_ops.next(from, &fact)) {
        if (fact.kind == SP_TLS_CRYPTO)
            said[fact.level] += fact.size;
        *completed += fact.kind == SP_TLS_COMPLETE;
        if (fact.kind == SP_TLS_ALERT || fact.kind == SP_TLS_EXCESS)
            return;
    }
    for (unsigned l = 0; l < SP_LEVELS; l++) {
        enum sp_level level = (enum sp_level)l;
        if (said[l] > 0)
            sc_tls_ops.receive(to, level, sc_tls_ops.bytes(from, level, 0, (size_t)said[l]),
                               (size_t)said[l]);
    }
}

static bool try_handshake(void)
{
    struct sp_tls *client = NULL, *server = NULL;
    int completed = 0;
    if (sc_tls_create(configs.client_config, "localhost", &client, NULL) == 0 &&
        sc_tls_create(configs.server_config, NULL, &server, NULL) == 0 &&
        sc_tls_ops.start(client, NULL, 0) && sc_tls_ops.start(server, NULL, 0)) {
        for (int turn = 0; turn < 3; turn++) {
            pump(client, server, &completed);
            pump(server, client, &completed);
        }
    }
    sc_tls_ops.destroy(client);
    sc_tls_ops.destroy(server);
    return completed == 2;
}

/* Refuses each request of an attempt in its turn. */
static void refuse_each(bool (*attempt)(void))
{
    assert_true(attempt()); /* fills OpenSSL's caches */
    uint64_t refused_count = 0, failed_count = 0;
    for (bool was_refused = true; was_refused; refused_count++) {
        uint64_t at = asked_count + refused_count;
        fail_at = at;
        failed_count += !attempt();
        was_refused = asked_count > at;
        fail_at = UINT64_MAX;
        ERR_clear_error();
    }
    assert_true(refused_count > 2);
    assert_true(failed_count > 0);
    assert_true(attempt()); /* and nothing is broken afterwards */
}

static void every_request_for_memory_may_be_refused(void **state)
{
    (void)state;
    static bool (*const attempts[])(void) = {
        try_key, try_initial, try_retry, try_reset, try_token, try_self_signed, try_config,
    };
    for (size_t i = 0; i < QT_COUNT(attempts); i++)
        refuse_each(attempts[i]);
}

/* Ours only: OpenSSL 3.5 itself does not survive it, SSL_set_quic_tls_cbs() dereferences
 * the record layer that it could not allocate. */
static void every_request_of_a_handshake_may_be_refused(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    qt_tls_open(&configs, &args);
    only_from = "crypto/tls";
    refuse_each(try_handshake);
}

int main(void)
{
    /* Before OpenSSL's first request; later it refuses. */
    if (CRYPTO_set_mem_functions(counting_malloc, counting_realloc, counting_free) != 1)
        return 1;
    const struct CMUnitTest tests[] = {
        QT_TEST(memory, a_packet_asks_for_no_memory),
        QT_TEST(memory, fused_keys_are_wiped),
        QT_TEST(memory, a_reset_token_asks_for_no_memory),
        QT_TEST(memory, every_request_for_memory_may_be_refused),
        QT_TEST(memory, every_request_of_a_handshake_may_be_refused),
    };

    sb_assert_handler = qt_on_assert;
    return qt_run_with_each_cipher(tests, QT_COUNT(tests));
}
