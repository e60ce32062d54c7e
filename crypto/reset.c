/* SPDX-License-Identifier: MIT */
#include "crypto/reset.h"

/* Stateless reset tokens.  The one HMAC context is keyed once and rewound for each CID. */

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/hkdf.h"
#include "crypto/suite.h"
#include "proto/base/assert.h"

struct sc_reset {
    EVP_MAC_CTX *mac;
};

void sc_reset_derive_key(const uint8_t key[SC_RESET_KEY_SIZE], uint32_t index,
                         uint8_t ret[SC_RESET_KEY_SIZE])
{
    uint8_t salt[32];
    struct sb_writer w = sb_writer_of(salt, sizeof(salt));
    sb_writer_bytes(&w, (const uint8_t *)"spate stateless reset", 21);
    sb_writer_u32(&w, index);
    SB_ASSERT(!w.failed);
    sc_hkdf_extract(SC_RESET_KEY_SIZE, (struct sb_bytes){salt, sb_writer_used(&w)},
                    (struct sb_bytes){key, SC_RESET_KEY_SIZE}, ret);
}

struct sc_reset *sc_reset_create(const uint8_t key[SC_RESET_KEY_SIZE])
{
    EVP_MAC *hmac = sc_suite_hmac();
    EVP_MAC_CTX *mac = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
    struct sc_reset *reset = OPENSSL_zalloc(sizeof(*reset));
    char digest[] = "SHA2-256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (mac == NULL || reset == NULL || EVP_MAC_init(mac, key, SC_RESET_KEY_SIZE, params) != 1) {
        EVP_MAC_CTX_free(mac);
        OPENSSL_free(reset);
        return NULL;
    }
    reset->mac = mac;
    return reset;
}

void sc_reset_token(struct sc_reset *reset, const struct sp_cid *cid,
                    uint8_t ret[SP_RESET_TOKEN_SIZE])
{
    SB_ASSERT(cid->size <= SP_CID_SIZE_MAX);
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t size = 0;
    bool done = EVP_MAC_init(reset->mac, NULL, 0, NULL) == 1 &&
                EVP_MAC_update(reset->mac, cid->bytes, cid->size) == 1 &&
                EVP_MAC_final(reset->mac, digest, &size, sizeof(digest)) == 1;
    SB_ASSERT(done && size >= SP_RESET_TOKEN_SIZE);
    memcpy(ret, digest, SP_RESET_TOKEN_SIZE);
    OPENSSL_cleanse(digest, sizeof(digest));
}

bool sc_reset_token_equal(const uint8_t a[SP_RESET_TOKEN_SIZE],
                          const uint8_t b[SP_RESET_TOKEN_SIZE])
{
    return CRYPTO_memcmp(a, b, SP_RESET_TOKEN_SIZE) == 0;
}

void sc_reset_destroy(struct sc_reset *reset)
{
    if (reset == NULL)
        return;
    EVP_MAC_CTX_free(reset->mac);
    OPENSSL_free(reset);
}
