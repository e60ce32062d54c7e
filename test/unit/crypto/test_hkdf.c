/* SPDX-License-Identifier: MIT */
/* HKDF next to OpenSSL's own. */

#include "test/support/qt.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "crypto/hkdf.h"

static const struct {
    size_t hash_size;
    const char *digest;
} hashes[] = {{32, "SHA2-256"}, {48, "SHA2-384"}};

struct reference {
    const char *digest;
    int mode;
    struct sb_bytes key;
    struct sb_bytes salt_or_info;
};

static void make_reference(const struct reference *r, uint8_t *ret, size_t size)
{
    bool expands = r->mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    int mode = r->mode;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)r->digest, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)r->key.data,
                                          r->key.size),
        OSSL_PARAM_construct_octet_string(expands ? OSSL_KDF_PARAM_INFO : OSSL_KDF_PARAM_SALT,
                                          (void *)(uintptr_t)r->salt_or_info.data,
                                          r->salt_or_info.size),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    assert_int_equal(EVP_KDF_derive(context, ret, size, params), 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

static void fill(uint8_t *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 37 + seed * 101);
}

static void extract_is_that_of_openssl(void **state)
{
    (void)state;
    for (size_t h = 0; h < QT_COUNT(hashes); h++) {
        for (unsigned n = 0; n <= 64; n++) {
            uint8_t salt[64], ikm[64], ours[64], theirs[64];
            fill(salt, sizeof(salt), n);
            fill(ikm, sizeof(ikm), n + 1);
            struct reference r = {.digest = hashes[h].digest,
                                  .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
                                  .key = {ikm, n == 0 ? 1 : n},
                                  .salt_or_info = {salt, 65 - (n == 0 ? 1 : n)}};
            make_reference(&r, theirs, hashes[h].hash_size);
            sc_hkdf_extract(hashes[h].hash_size, r.salt_or_info, r.key, ours);
            assert_memory_equal(ours, theirs, hashes[h].hash_size);
        }
    }
}

static void expand_is_that_of_openssl(void **state)
{
    (void)state;
    static const char *const labels[] = {"quic key", "quic iv", "quic hp", "server in"};
    for (size_t h = 0; h < QT_COUNT(hashes); h++) {
        uint8_t secret[48], ours[48], theirs[48], info[64];
        struct sc_hkdf hkdf;
        fill(secret, sizeof(secret), (unsigned)h);
        sc_hkdf_open(&hkdf, hashes[h].hash_size, secret);
        for (size_t l = 0; l < QT_COUNT(labels); l++) {
            for (size_t size = 1; size <= hashes[h].hash_size; size++) {
                size_t label_size = strlen(labels[l]);
                const uint8_t head[] = {0, (uint8_t)size, (uint8_t)(6 + label_size)};
                memcpy(info, head, 3);
                memcpy(info + 3, "tls13 ", 6);
                memcpy(info + 9, labels[l], label_size);
                info[9 + label_size] = 0;
                struct reference r = {.digest = hashes[h].digest,
                                      .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                                      .key = {secret, hashes[h].hash_size},
                                      .salt_or_info = {info, 10 + label_size}};
                make_reference(&r, theirs, size);
                sc_hkdf_expand(&hkdf, labels[l], ours, size);
                assert_memory_equal(ours, theirs, size);
            }
        }
        sc_hkdf_close(&hkdf);
    }
}

static void a_closed_one_holds_nothing(void **state)
{
    (void)state;
    static const uint8_t zeros[sizeof(struct sc_hkdf)];
    static const uint8_t secret[48] = {1};
    struct sc_hkdf hkdf;
    sc_hkdf_open(&hkdf, 48, secret);
    sc_hkdf_close(&hkdf);
    assert_memory_equal(&hkdf, zeros, sizeof(zeros));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extract_is_that_of_openssl),
        cmocka_unit_test(expand_is_that_of_openssl),
        cmocka_unit_test(a_closed_one_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
