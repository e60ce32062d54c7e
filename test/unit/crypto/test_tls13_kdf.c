/* SPDX-License-Identifier: MIT */
/* The key schedule of TLS 1.3 next to OpenSSL's own, and the library context that has it. */

#include "test/support/qt.h"

#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "crypto/library.h"
#include "crypto/tls_impl.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

enum { EXPORT_MAX = 255 * 32, SECRET_MAX = 48 };

/* A call of the KDF.  NULL data: the parameter is left out. */
struct call {
    const char *digest;
    int mode;
    struct sb_bytes key, salt, prefix, label, data;
    size_t size;
};

static const struct {
    const char *digest;
    size_t size;
} hashes[] = {{"SHA2-256", 32}, {"SHA2-384", 48}, {"SHA256", 32}, {"sha384", 48}};

static OSSL_PARAM *add_bytes(OSSL_PARAM *at, const char *name, struct sb_bytes bytes)
{
    if (bytes.data == NULL)
        return at;
    *at = OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)bytes.data, bytes.size);
    return at + 1;
}

static bool derive(OSSL_LIB_CTX *library, const char *properties, const struct call *call,
                   uint8_t *ret)
{
    OSSL_PARAM params[8];
    OSSL_PARAM *at = params;
    int mode = call->mode;
    *at++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    if (call->digest != NULL)
        *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                                 (char *)(uintptr_t)call->digest, 0);
    at = add_bytes(at, OSSL_KDF_PARAM_KEY, call->key);
    at = add_bytes(at, OSSL_KDF_PARAM_SALT, call->salt);
    at = add_bytes(at, OSSL_KDF_PARAM_PREFIX, call->prefix);
    at = add_bytes(at, OSSL_KDF_PARAM_LABEL, call->label);
    at = add_bytes(at, OSSL_KDF_PARAM_DATA, call->data);
    *at = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(library, OSSL_KDF_NAME_TLS1_3_KDF, properties);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    assert_non_null(context);
    bool done = EVP_KDF_derive(context, ret, call->size, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    ERR_clear_error();
    return done;
}

static bool derive_ours(const struct call *call, uint8_t *ret)
{
    return derive(sc_library(), "provider=spate", call, ret);
}

static void assert_as_openssl(const struct call *call)
{
    static uint8_t ours[EXPORT_MAX], theirs[EXPORT_MAX];
    memset(ours, 1, sizeof(ours));
    memset(theirs, 2, sizeof(theirs));
    assert_true(derive(NULL, "provider=default", call, theirs));
    assert_true(derive_ours(call, ours));
    assert_memory_equal(ours, theirs, call->size);
    if (call->size < sizeof(ours))
        assert_int_equal(ours[call->size], 1); /* and no byte more */
}

/* Different bytes for each call. */
static struct sb_bytes some(size_t size)
{
    static uint8_t bytes[4096];
    static uint32_t seed;
    assert_true(size <= sizeof(bytes) / 2);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    return (struct sb_bytes){.data = bytes + seed % (sizeof(bytes) / 2), .size = size};
}

static struct sb_bytes text(const char *text)
{
    return (struct sb_bytes){.data = (const uint8_t *)text, .size = strlen(text)};
}

static struct call expansion(size_t hash)
{
    return (struct call){
        .digest = hashes[hash].digest,
        .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
        .key = some(hashes[hash].size),
        .prefix = text("tls13 "),
        .label = text("c hs traffic"),
        .data = some(hashes[hash].size),
        .size = hashes[hash].size,
    };
}

static struct call extraction(size_t hash)
{
    return (struct call){
        .digest = hashes[hash].digest,
        .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
        .key = some(hashes[hash].size),
        .salt = some(hashes[hash].size),
        .prefix = text("tls13 "),
        .label = text("derived"),
        .size = hashes[hash].size,
    };
}

static void expansions_are_those_of_openssl(void **state)
{
    (void)state;
    for (size_t h = 0; h < QT_COUNT(hashes); h++) {
        struct call call = expansion(h);
        for (size_t size = 1; size <= EXPORT_MAX; size += size < 200 ? 1 : 97) {
            call.size = size;
            assert_as_openssl(&call);
        }
        call.size = EXPORT_MAX;
        assert_as_openssl(&call);
        call = expansion(h);
        for (size_t size = 0; size <= 249; size++) {
            call.label = some(size);
            assert_as_openssl(&call);
        }
        call = expansion(h);
        for (size_t size = 0; size <= 255; size++) {
            call.data = some(size);
            assert_as_openssl(&call);
        }
        call.data = (struct sb_bytes){0};
        assert_as_openssl(&call);
    }
}

static void secrets_are_those_of_openssl(void **state)
{
    (void)state;
    for (size_t h = 0; h < QT_COUNT(hashes); h++) {
        struct call call = extraction(h);
        for (size_t size = 1; size <= 300; size++) {
            call.key = some(size);
            assert_as_openssl(&call);
        }
        call.key = (struct sb_bytes){0};
        assert_as_openssl(&call);
        call.salt = (struct sb_bytes){0};
        assert_as_openssl(&call);
        call.key = some(64);
        assert_as_openssl(&call);
    }
}

/* [RFC8448 3] The early secret of a handshake without PSK, and what is derived from it. */
static void the_early_secret_is_that_of_the_rfc(void **state)
{
    static const uint8_t expected[32] = {0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b,
                                         0x09, 0xe6, 0xcd, 0x98, 0x93, 0x68, 0x0c, 0xe2,
                                         0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f, 0x26, 0x60,
                                         0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a};
    uint8_t secret[32];
    (void)state;
    struct call call = extraction(0);
    call.key = call.salt = (struct sb_bytes){0};
    assert_true(derive_ours(&call, secret));
    assert_memory_equal(secret, expected, sizeof(secret));
}

static void odd_calls_fail(void **state)
{
    uint8_t out[EXPORT_MAX + 1];
    (void)state;
    struct call call = expansion(0);
    assert_true(derive_ours(&call, out));
    const struct {
        const char *what;
        struct call call;
    } rows[] = {
#define ROW(change) \
    {#change, (call = expansion(0), change, call)}, \
    { \
        #change, (call = extraction(0), change, call) \
    }
        ROW(call.digest = NULL),
        ROW(call.digest = "SHA2-512"),
        ROW(call.digest = ""),
        ROW(call.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND),
        ROW(call.mode = -1),
        ROW(call.size = 0),
        ROW(call.size = EXPORT_MAX + 1),
        ROW(call.label = some(256)),
        ROW((call.prefix = some(7), call.label = some(249))),
#undef ROW
        {"no key", (call = expansion(0), call.key = (struct sb_bytes){0}, call)},
        {"a key of SHA-384", (call = expansion(0), call.key = some(48), call)},
        {"a key cut", (call = expansion(0), call.key = some(31), call)},
        {"much context", (call = expansion(0), call.data = some(256), call)},
        {"a salt of SHA-384", (call = extraction(0), call.salt = some(48), call)},
        {"an empty salt", (call = extraction(0), call.salt = some(0), call)},
        {"a cut secret", (call = extraction(0), call.size = 31, call)},
    };
    for (size_t i = 0; i < QT_COUNT(rows); i++)
        if (derive_ours(&rows[i].call, out))
            fail_msg("%s", rows[i].what);
}

/* ---- the context ---- */

static const OSSL_PROVIDER *provider_of(const char *name)
{
    EVP_KDF *kdf = EVP_KDF_fetch(sc_library(), name, NULL);
    const OSSL_PROVIDER *provider = EVP_KDF_get0_provider(kdf);
    EVP_KDF_free(kdf);
    return provider;
}

static void handshakes_use_our_key_schedule(void **state)
{
    struct qt_tls_pair pair;
    const struct qt_tls_args args = qt_tls_args();
    (void)state;
    assert_non_null(sc_library());
    assert_string_equal(OSSL_PROVIDER_get0_name(provider_of(OSSL_KDF_NAME_TLS1_3_KDF)), "spate");
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    /* A provider is of one context: the key of the peer shows that of the SSL. */
    const SSL *ssl = ((struct sc_tls *)(void *)pair.client.tls)->ssl;
    const EVP_PKEY *key = X509_get0_pubkey(SSL_get0_peer_certificate(ssl));
    assert_ptr_equal(EVP_PKEY_get0_provider(key), provider_of(OSSL_KDF_NAME_HKDF));
    /* And nothing has changed in the process's own. */
    assert_int_equal(OSSL_PROVIDER_available(NULL, "spate"), 0);
    assert_null(EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, "provider=spate"));
    ERR_clear_error();
}

static int empty_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
                      const OSSL_DISPATCH **ret, void **ret_provider)
{
    static const OSSL_DISPATCH functions[] = {OSSL_DISPATCH_END};
    (void)core;
    *ret = functions;
    *ret_provider = (void *)(uintptr_t)handle;
    return 1;
}

/* What a program or openssl.cnf has set up goes on to work. */
static void a_context_that_was_set_up_is_not_plain(void **state)
{
    (void)state;
    static const struct {
        const char *providers[2];
        const char *properties;
        bool is_plain;
    } rows[] = {
        {{"default", NULL}, NULL, true},        {{"default", "base"}, NULL, true},
        {{"default", "other"}, NULL, false},    {{"base", NULL}, NULL, false}, /* as beside FIPS */
        {{"default", NULL}, "fips=yes", false}, {{"default", NULL}, "?provider=other", false},
    };
    assert_true(sc_library_is_plain(NULL));
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
        OSSL_PROVIDER *loaded[2] = {NULL, NULL};
        assert_int_equal(OSSL_PROVIDER_add_builtin(context, "other", empty_init), 1);
        for (size_t n = 0; n < 2 && rows[i].providers[n] != NULL; n++)
            assert_non_null(loaded[n] = OSSL_PROVIDER_load(context, rows[i].providers[n]));
        if (rows[i].properties != NULL)
            assert_int_equal(EVP_set_default_properties(context, rows[i].properties), 1);
        bool is_plain = sc_library_is_plain(context);
        for (size_t n = 0; n < 2; n++)
            if (loaded[n] != NULL)
                (void)OSSL_PROVIDER_unload(loaded[n]);
        OSSL_LIB_CTX_free(context);
        if (is_plain != rows[i].is_plain)
            fail_msg("row %zu", i);
    }
}

/* .. also what it sets up later, for the configurations that come then. */
static void a_provider_that_comes_later_counts(void **state)
{
    (void)state;
    assert_non_null(sc_library());
    assert_int_equal(OSSL_PROVIDER_add_builtin(NULL, "other", empty_init), 1);
    OSSL_PROVIDER *other = OSSL_PROVIDER_try_load(NULL, "other", 1);
    assert_non_null(other);
    OSSL_LIB_CTX *library = sc_library();
    assert_int_equal(OSSL_PROVIDER_unload(other), 1);
    assert_null(library);
    assert_non_null(sc_library());
}

static void context_end(void *context)
{
    OSSL_LIB_CTX_free(context);
}

/* A thread may have a default context of its own, with FIPS perhaps.  Handshakes of the
 * configurations that it makes use that, on whichever thread they run. */
static void the_context_of_a_thread_is_used(void **state)
{
    (void)state;
    OSSL_LIB_CTX *context = owned_add(OSSL_LIB_CTX_new(), context_end);
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pairs[2];
    args.server.ticket_count = 1;
    args.params = (struct sb_bytes){(const uint8_t *)"\4\1\62", 3}; /* initial_max_data: 50 */
    OSSL_LIB_CTX *before = OSSL_LIB_CTX_set0_default(context);
    qt_tls_open(&pairs[0], &args);
    (void)OSSL_LIB_CTX_set0_default(before);
    qt_tls_run(&pairs[0]);
    qt_tls_assert_complete(&pairs[0]);
    EVP_KDF *kdf = EVP_KDF_fetch(context, OSSL_KDF_NAME_HKDF, NULL);
    const SSL *ssl = ((struct sc_tls *)(void *)pairs[0].client.tls)->ssl;
    const EVP_PKEY *key = X509_get0_pubkey(SSL_get0_peer_certificate(ssl));
    bool is_used = EVP_PKEY_get0_provider(key) == EVP_KDF_get0_provider(kdf);
    EVP_KDF_free(kdf);
    assert_true(is_used);
    assert_true(sc_tls_ops.ticket(pairs[0].client.tls, &args.ticket));
    args.client_config = pairs[0].client_config;
    args.server_config = pairs[0].server_config;
    qt_tls_open(&pairs[1], &args);
    qt_tls_run(&pairs[1]);
    qt_tls_assert_complete(&pairs[1]);
    assert_true(sc_tls_is_resumed(pairs[1].client.tls));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expansions_are_those_of_openssl),
        cmocka_unit_test(secrets_are_those_of_openssl),
        cmocka_unit_test(the_early_secret_is_that_of_the_rfc),
        cmocka_unit_test(odd_calls_fail),
        QT_TEST(owned, handshakes_use_our_key_schedule),
        cmocka_unit_test(a_context_that_was_set_up_is_not_plain),
        cmocka_unit_test(a_provider_that_comes_later_counts),
        QT_TEST(owned, the_context_of_a_thread_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
