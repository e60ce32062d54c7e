/* SPDX-License-Identifier: MIT */
#include "crypto/suite.h"

/* The table of cipher suites.
 *
 * OpenSSL looks an algorithm up by its name under a lock each time that it is
 * named implicitly.  So each is fetched once a process, here, and packets and keys
 * only ever use the result.  This is the only mutable global of crypto/; the
 * references are never given back: OpenSSL's own clean-up at exit takes them. */

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* [RFC9001 6.6] The limits for packets of any size: 2^23 sealed and 2^52 refused
 * for AES-GCM; 2^36 refused for ChaCha20-Poly1305, of which more packets may be
 * sealed than there are packet numbers. */
static struct sc_suite suites[SC_SUITE_COUNT] = {
    {
        .id = SP_SUITE_AES_128_GCM,
        .name = "aes-128-gcm",
        .tls_name = "TLS_AES_128_GCM_SHA256",
        .aead_name = "AES-128-GCM",
        .mask_name = "AES-128-ECB",
        .is_aes = true,
        .key_size = 16,
        .secret_size = 32,
        .limits = {.seal_count_max = UINT64_C(1) << 23, .fail_count_max = UINT64_C(1) << 52},
    },
    {
        .id = SP_SUITE_AES_256_GCM,
        .name = "aes-256-gcm",
        .tls_name = "TLS_AES_256_GCM_SHA384",
        .aead_name = "AES-256-GCM",
        .mask_name = "AES-256-ECB",
        .is_aes = true,
        .key_size = 32,
        .secret_size = 48,
        .limits = {.seal_count_max = UINT64_C(1) << 23, .fail_count_max = UINT64_C(1) << 52},
    },
    {
        .id = SP_SUITE_CHACHA20_POLY1305,
        .name = "chacha20-poly1305",
        .tls_name = "TLS_CHACHA20_POLY1305_SHA256",
        .aead_name = "ChaCha20-Poly1305",
        .mask_name = "ChaCha20",
        .key_size = 32,
        .secret_size = 32,
        .limits = {.seal_count_max = UINT64_C(1) << 62, .fail_count_max = UINT64_C(1) << 36},
    },
};

static EVP_MAC *hmac;
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

static void fetch_all(void)
{
    for (size_t i = 0; i < SB_COUNT(suites); i++) {
        suites[i].aead = EVP_CIPHER_fetch(NULL, suites[i].aead_name, NULL);
        suites[i].mask = EVP_CIPHER_fetch(NULL, suites[i].mask_name, NULL);
    }
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

const struct sc_suite *sc_suite_at(unsigned index)
{
    SB_ASSERT(index < SC_SUITE_COUNT);
    if (CRYPTO_THREAD_run_once(&once, fetch_all) != 1)
        return NULL;
    const struct sc_suite *suite = &suites[index];
    return suite->aead != NULL && suite->mask != NULL && hmac != NULL ? suite : NULL;
}

const struct sc_suite *sc_suite_find(enum sp_suite id)
{
    for (unsigned i = 0; i < SC_SUITE_COUNT; i++) {
        if (suites[i].id == id)
            return sc_suite_at(i);
    }
    return NULL;
}

EVP_MAC *sc_suite_hmac(void)
{
    return CRYPTO_THREAD_run_once(&once, fetch_all) == 1 ? hmac : NULL;
}
