/* SPDX-License-Identifier: MIT */
/* Public keys of X25519 next to OpenSSL's own, and the keys that handshakes make of them. */

#include "test/support/qt.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "crypto/library.h"
#include "crypto/tls_impl.h"
#include "crypto/x25519.h"
#include "crypto/x25519_keys.h"
#include "crypto/x25519_table.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

enum { SIZE = SC_X25519_SIZE, RANDOM_KEYS = 1000, PAIRS = 20 };

static void key_end(void *key)
{
    EVP_PKEY_free(key);
}

static void provider_end(void *provider)
{
    (void)OSSL_PROVIDER_unload(provider);
}

static void context_end(void *context)
{
    OSSL_LIB_CTX_free(context);
}

static void read_hex(const char *hex, uint8_t ret[SIZE])
{
    assert_int_equal(strlen(hex), 2 * SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        const char digits[] = {hex[2 * i], hex[2 * i + 1], 0};
        ret[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

/* The portable one and that of this CPU, which may be the same. */
static void assert_public_key(const uint8_t secret[SIZE], const uint8_t expected[SIZE])
{
    const sc_x25519_public_key makers[] = {sc_x25519_public, sc_x25519_public_here()};
    for (size_t i = 0; i < QT_COUNT(makers); i++) {
        uint8_t public[SIZE];
        makers[i](secret, public);
        assert_memory_equal(public, expected, SIZE);
    }
}

static void assert_as_openssl(const uint8_t secret[SIZE])
{
    uint8_t theirs[SIZE];
    size_t size = SIZE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, secret, SIZE);
    assert_non_null(key);
    int done = EVP_PKEY_get_raw_public_key(key, theirs, &size);
    EVP_PKEY_free(key);
    assert_int_equal(done, 1);
    assert_public_key(secret, theirs);
}

/* The first test: there is no table yet. */
static void a_table_is_needed_first(void **state)
{
    static const uint8_t secret[SIZE];
    uint8_t public[SIZE];
    (void)state;
    expect_assert_failure(sc_x25519_public(secret, public));
    expect_assert_failure(sc_x25519_public_ifma(secret, public));
    sc_x25519_init();
    sc_x25519_public(secret, public);
}

/* [RFC7748 6.1] */
static void public_keys_are_those_of_the_rfc(void **state)
{
    static const struct {
        const char *secret, *public;
    } rows[] = {
        {"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
         "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"},
        {"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
         "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"},
    };
    (void)state;
    sc_x25519_init();
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        uint8_t secret[SIZE], expected[SIZE];
        read_hex(rows[i].secret, secret);
        read_hex(rows[i].public, expected);
        assert_public_key(secret, expected);
    }
}

/* Digits of all values at all places, with and without carries. */
static void public_keys_are_those_of_openssl(void **state)
{
    uint8_t secret[SIZE];
    (void)state;
    sc_x25519_init();
    for (int byte = 0; byte < 256; byte++) {
        memset(secret, byte, SIZE);
        assert_as_openssl(secret);
    }
    for (int bit = 0; bit < 8 * SIZE; bit++)
        for (int rest = 0; rest < 256; rest += 255) {
            memset(secret, rest, SIZE);
            secret[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_as_openssl(secret);
        }
    for (int i = 0; i < RANDOM_KEYS; i++) {
        assert_int_equal(RAND_bytes(secret, SIZE), 1);
        assert_as_openssl(secret);
    }
}

/* A fast one that fails its own check is left out, and so are the tests of it. */
static void a_cpu_with_ifma_uses_it(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512ifma"))
        skip();
    sc_x25519_init();
    assert_ptr_equal(sc_x25519_public_here(), sc_x25519_public_ifma);
    assert_ptr_equal(sc_x25519_shared_here(), sc_x25519_shared_ifma);
}

/* ---- what stays on the stack ---- */

enum { STACK_BYTES = 256 << 10, PAINT = 0xa5, SEEN_BYTES = 8192, FRAMES_BYTES = 512 };

struct painted {
    uint8_t *stack;
    const uint8_t *top; /* an address of the frame that called */
    void (*run)(const uint8_t secret[SIZE]);
};

static void run_public(const uint8_t secret[SIZE])
{
    uint8_t public[SIZE];
    sc_x25519_public(secret, public);
}

static void run_public_here(const uint8_t secret[SIZE])
{
    uint8_t public[SIZE];
    sc_x25519_public_here()(secret, public);
}

static void run_shared_here(const uint8_t secret[SIZE])
{
    static const uint8_t peer[SIZE] = {9};
    uint8_t shared[SIZE];
    if (sc_x25519_shared_here() != NULL)
        (void)sc_x25519_shared_here()(secret, peer, shared);
}

static void *run_painted(void *argument)
{
    struct painted *painted = argument;
    static uint8_t secret[SIZE];
    painted->top = __builtin_frame_address(0);
    memset(secret, 0x5c, SIZE);
    memset(painted->stack, PAINT, (size_t)(painted->top - painted->stack) - FRAMES_BYTES);
    painted->run(secret);
    return NULL;
}

/* Below the frames of the test there is what has been wiped, and then what was never written. */
static void nothing_stays_on_the_stack(void **state)
{
    static void (*const runs[])(const uint8_t secret[SIZE]) = {run_public, run_public_here,
                                                               run_shared_here};
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* they put more there */
#endif
    sc_x25519_init();
    for (size_t i = 0; i < QT_COUNT(runs); i++) {
        struct painted painted = {.stack = aligned_alloc(4096, STACK_BYTES), .run = runs[i]};
        pthread_attr_t attr;
        pthread_t thread;
        assert_non_null(painted.stack);
        assert_int_equal(pthread_attr_init(&attr), 0);
        assert_int_equal(pthread_attr_setstack(&attr, painted.stack, STACK_BYTES), 0);
        assert_int_equal(pthread_create(&thread, &attr, run_painted, &painted), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        (void)pthread_attr_destroy(&attr);
        size_t used = 0;
        for (const uint8_t *at = painted.top - FRAMES_BYTES - SEEN_BYTES;
             at < painted.top - FRAMES_BYTES; at++) {
            used += *at != 0 && *at != PAINT;
        }
        size_t deep = 0; /* the frames that wipe, and nothing else, are below that */
        for (const uint8_t *at = painted.stack;
             at < painted.top - 2 * FRAMES_BYTES - SC_X25519_STACK_BYTES; at++)
            deep += *at != PAINT;
        free(painted.stack);
        assert_int_equal(used, 0);
        assert_int_equal(deep, 0);
    }
}

static EVP_PKEY *make_key(OSSL_LIB_CTX *library, const char *properties)
{
    return owned_add(EVP_PKEY_Q_keygen(library, properties, "X25519"), key_end);
}

static const char *provider_of(const EVP_PKEY *key)
{
    return OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key));
}

static void derive(OSSL_LIB_CTX *library, EVP_PKEY *key, EVP_PKEY *peer, uint8_t ret[SIZE])
{
    size_t size = SIZE;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(library, key, NULL);
    bool done = context != NULL && EVP_PKEY_derive_init(context) == 1 &&
                EVP_PKEY_derive_set_peer(context, peer) == 1 &&
                EVP_PKEY_derive(context, ret, &size) == 1;
    EVP_PKEY_CTX_free(context);
    assert_true(done && size == SIZE);
}

/* OpenSSL's own, in a context that has nothing of ours; false: it refuses. */
static bool shared_of_openssl(const uint8_t secret[SIZE], const uint8_t peer[SIZE],
                              uint8_t ret[SIZE])
{
    size_t size = SIZE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, secret, SIZE);
    EVP_PKEY *peer_key = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer, SIZE);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool done = EVP_PKEY_derive_init(context) == 1 &&
                EVP_PKEY_derive_set_peer(context, peer_key) == 1 &&
                EVP_PKEY_derive(context, ret, &size) == 1;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer_key);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return done;
}

static void assert_shared_as_openssl(const uint8_t secret[SIZE], const uint8_t peer[SIZE])
{
    static const uint8_t zero[SIZE];
    uint8_t ours[SIZE], theirs[SIZE];
    bool is_expected = shared_of_openssl(secret, peer, theirs);
    assert_int_equal(sc_x25519_shared_here()(secret, peer, ours), is_expected);
    assert_memory_equal(ours, is_expected ? theirs : zero, SIZE);
}

/* Points of low order, numbers that are p or more, and all that is near. */
static void shared_secrets_are_those_of_openssl(void **state)
{
    uint8_t secret[SIZE], peer[SIZE];
    (void)state;
    if (sc_x25519_shared_here() == NULL)
        skip();
    for (int i = 0; i < RANDOM_KEYS; i++) {
        assert_int_equal(RAND_bytes(secret, SIZE), 1);
        assert_int_equal(RAND_bytes(peer, SIZE), 1);
        assert_shared_as_openssl(secret, peer);
        memset(peer, i % 2 == 0 ? 0 : 0xff, SIZE); /* near 0, and near 2^255 and 2^256 */
        peer[0] = (uint8_t)(i / 4);
        peer[31] = i % 2 == 0 ? 0 : i % 4 == 1 ? 0x7f : 0xff;
        assert_shared_as_openssl(secret, peer);
    }
    for (int bit = 0; bit < 8 * SIZE; bit++) {
        memset(peer, 0, SIZE);
        peer[bit / 8] = (uint8_t)(1 << bit % 8);
        assert_shared_as_openssl(secret, peer);
        assert_shared_as_openssl(peer, secret);
    }
}

/* [RFC7748 5.2] */
static void a_thousand_exchanges_are_those_of_the_rfc(void **state)
{
    uint8_t key[SIZE] = {9}, point[SIZE] = {9}, next[SIZE], expected[SIZE];
    (void)state;
    if (sc_x25519_shared_here() == NULL)
        skip();
    for (int i = 0; i < 1000; i++) {
        assert_true(sc_x25519_shared_here()(key, point, next));
        memcpy(point, key, SIZE);
        memcpy(key, next, SIZE);
        if (i > 0)
            continue;
        read_hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079", expected);
        assert_memory_equal(key, expected, SIZE);
    }
    read_hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", expected);
    assert_memory_equal(key, expected, SIZE);
}

static void exchanges_refuse_what_is_incomplete(void **state)
{
    uint8_t bytes[SIZE], copy[SIZE];
    size_t size = 0;
    (void)state;
    EVP_PKEY *key = make_key(sc_library(), NULL);
    EVP_PKEY *peer = make_key(sc_library(), NULL);
    assert_int_equal(EVP_PKEY_get_raw_public_key(peer, NULL, &size), 1);
    assert_int_equal(EVP_PKEY_get_raw_public_key(peer, bytes, &size), 1);
    EVP_PKEY *public = owned_add(
        EVP_PKEY_new_raw_public_key_ex(sc_library(), "X25519", NULL, bytes, SIZE), key_end);
    EVP_PKEY_CTX *of_public = EVP_PKEY_CTX_new_from_pkey(sc_library(), public, NULL);
    bool is_refused = EVP_PKEY_derive_init(of_public) != 1 ||
                      EVP_PKEY_derive_set_peer(of_public, key) != 1 ||
                      EVP_PKEY_derive(of_public, bytes, &size) != 1;
    EVP_PKEY_CTX_free(of_public);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(sc_library(), key, NULL);
    bool is_begun = EVP_PKEY_derive_init(context) == 1;
    size = SIZE;
    bool is_alone = EVP_PKEY_derive(context, bytes, &size) == 1;
    bool is_whole = EVP_PKEY_derive_set_peer(context, peer) == 1;
    size = SIZE - 1;
    bool is_short = EVP_PKEY_derive(context, bytes, &size) == 1;
    EVP_PKEY_CTX *second = EVP_PKEY_CTX_dup(context);
    size = SIZE;
    is_whole = is_whole && EVP_PKEY_derive(context, bytes, &size) == 1 && size == SIZE &&
               EVP_PKEY_derive(second, copy, &size) == 1;
    EVP_PKEY_CTX_free(second);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    assert_true(is_refused && is_begun && !is_alone && !is_short && is_whole);
    assert_memory_equal(bytes, copy, SIZE);
}

static void keys_are_new_and_fit_together(void **state)
{
    uint8_t secrets[2][SIZE], publics[PAIRS][SIZE], shared[3][SIZE];
    (void)state;
    for (size_t i = 0; i < PAIRS; i++) {
        EVP_PKEY *ours = make_key(sc_library(), NULL);
        EVP_PKEY *theirs = make_key(sc_library(), "provider=default");
        size_t size = SIZE;
        assert_string_equal(provider_of(ours), "spate");
        assert_string_equal(provider_of(theirs), "default");
        assert_int_equal(EVP_PKEY_get_raw_private_key(ours, secrets[i % 2], &size), 1);
        assert_int_equal(EVP_PKEY_get_raw_public_key(ours, publics[i], &size), 1);
        for (size_t before = 0; before < i; before++)
            assert_memory_not_equal(publics[before], publics[i], SIZE);
        assert_memory_not_equal(secrets[0], secrets[1], SIZE);
        assert_as_openssl(secrets[i % 2]);
        derive(sc_library(), ours, theirs, shared[0]);
        derive(sc_library(), theirs, ours, shared[1]);
        derive(sc_library(), owned_add(EVP_PKEY_dup(ours), key_end), theirs, shared[2]);
        assert_memory_equal(shared[0], shared[1], SIZE);
        assert_memory_equal(shared[0], shared[2], SIZE);
    }
}

/* [RFC7748 6.1, RFC8446 7.4.2] */
static void a_shared_secret_of_zero_fails(void **state)
{
    static const uint8_t zero[SIZE];
    uint8_t secret[SIZE];
    size_t size = SIZE;
    (void)state;
    EVP_PKEY *key = make_key(sc_library(), NULL);
    EVP_PKEY *peer = owned_add(
        EVP_PKEY_new_raw_public_key_ex(sc_library(), "X25519", NULL, zero, SIZE), key_end);
    assert_non_null(peer);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(sc_library(), key, NULL);
    bool is_set =
        EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, peer) == 1;
    int result = EVP_PKEY_derive(context, secret, &size);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    assert_true(is_set);
    assert_true(result <= 0);
}

static void only_our_group_is_made(void **state)
{
    static const struct {
        const char *name;
        bool is_ours;
    } rows[] = {{"x25519", true}, {"X25519", true}, {"x448", false}, {"", false}};
    (void)state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(sc_library(), "X25519", NULL);
        EVP_PKEY *key = NULL;
        assert_int_equal(EVP_PKEY_keygen_init(context), 1);
        bool is_set = EVP_PKEY_CTX_set_group_name(context, rows[i].name) == 1;
        bool is_made = is_set && EVP_PKEY_keygen(context, &key) == 1;
        EVP_PKEY_free(key);
        EVP_PKEY_CTX_free(context);
        ERR_clear_error();
        assert_int_equal(is_set, rows[i].is_ours);
        assert_int_equal(is_made, rows[i].is_ours);
    }
}

/* A key without bytes, which is what a server reads the client's share into. */
static void a_key_of_parameters_only_is_blank(void **state)
{
    uint8_t bytes[SIZE];
    size_t size = SIZE;
    EVP_PKEY *key = NULL;
    (void)state;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(sc_library(), "X25519", NULL);
    bool done = EVP_PKEY_paramgen_init(context) == 1 && EVP_PKEY_paramgen(context, &key) == 1;
    EVP_PKEY_CTX_free(context);
    (void)owned_add(key, key_end);
    assert_true(done);
    assert_int_equal(EVP_PKEY_get_raw_private_key(key, bytes, &size), 0);
    ERR_clear_error();
    memset(bytes, 9, SIZE);
    assert_int_equal(EVP_PKEY_set1_encoded_public_key(key, bytes, SIZE), 1);
}

/* Both ends, also where the key is a part of a hybrid one. */
static void handshakes_use_our_keys(void **state)
{
    static const char *const groups[] = {NULL, "X25519", "X25519MLKEM768"};
    (void)state;
    for (size_t i = 0; i < QT_COUNT(groups); i++) {
        struct qt_tls_args args = qt_tls_args();
        struct qt_tls_pair pair;
        EVP_PKEY *share = NULL;
        args.client.groups = args.server.groups = groups[i];
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        SSL *ssl = ((struct sc_tls *)(void *)pair.client.tls)->ssl;
        assert_int_equal(SSL_get_tmp_key(ssl, &share), 1);
        (void)owned_add(share, key_end);
        bool is_hybrid = EVP_PKEY_is_a(share, "X25519MLKEM768") == 1;
        assert_true(is_hybrid || EVP_PKEY_is_a(share, "X25519") == 1);
        assert_string_equal(provider_of(share), is_hybrid ? "default" : "spate");
        owned_end_all();
    }
    EVP_PKEY *others = make_key(NULL, NULL);
    assert_string_equal(provider_of(others), "default"); /* of the process's own context */
}

static void a_provider_without_it_is_refused(void **state)
{
    (void)state;
    struct sc_x25519_keys keys;
    OSSL_LIB_CTX *context = owned_add(OSSL_LIB_CTX_new(), context_end);
    OSSL_PROVIDER *base = owned_add(OSSL_PROVIDER_load(context, "base"), provider_end);
    assert_non_null(base);
    assert_false(sc_x25519_keys_init(base, context, &keys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_needed_first),
        cmocka_unit_test(public_keys_are_those_of_the_rfc),
        cmocka_unit_test(public_keys_are_those_of_openssl),
        cmocka_unit_test(a_cpu_with_ifma_uses_it),
        cmocka_unit_test(nothing_stays_on_the_stack),
        cmocka_unit_test(shared_secrets_are_those_of_openssl),
        cmocka_unit_test(a_thousand_exchanges_are_those_of_the_rfc),
        QT_TEST(owned, exchanges_refuse_what_is_incomplete),
        QT_TEST(owned, keys_are_new_and_fit_together),
        QT_TEST(owned, a_shared_secret_of_zero_fails),
        QT_TEST(owned, only_our_group_is_made),
        QT_TEST(owned, a_key_of_parameters_only_is_blank),
        QT_TEST(owned, handshakes_use_our_keys),
        QT_TEST(owned, a_provider_without_it_is_refused),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
