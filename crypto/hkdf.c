/* SPDX-License-Identifier: MIT */
/* HKDF-Extract and HKDF-Expand-Label.
 *
 * Every output in QUIC is at most as long as the hash, so the expansion is its first
 * block: HMAC(secret, HkdfLabel || 0x01).  One HMAC context serves all labels of
 * a secret: keying it again costs two hash blocks less than making another. */

#include "crypto/hkdf.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "proto/base/assert.h"

static EVP_MAC_CTX *hmac_of(const struct sc_suite *suite, const uint8_t *key, size_t key_size)
{
    EVP_MAC *hmac = sc_suite_hmac();
    EVP_MAC_CTX *mac = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
    if (mac == NULL)
        return NULL;

    char digest[16]; /* OSSL_PARAM wants it writable, and does not write */
    SB_ASSERT(strlen(suite->digest_name) < sizeof(digest));
    strcpy(digest, suite->digest_name);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_MAC_init(mac, key, key_size, params) != 1) {
        EVP_MAC_CTX_free(mac);
        return NULL;
    }
    return mac;
}

bool sc_hkdf_extract(const struct sc_suite *suite, struct sb_bytes salt, struct sb_bytes ikm,
                     uint8_t *ret)
{
    EVP_MAC_CTX *mac = hmac_of(suite, salt.data, salt.size);
    if (mac == NULL)
        return false;
    size_t size = 0;
    bool done = EVP_MAC_update(mac, ikm.data, ikm.size) == 1 &&
                EVP_MAC_final(mac, ret, &size, suite->secret_size) == 1;
    SB_ASSERT(!done || size == suite->secret_size);
    EVP_MAC_CTX_free(mac);
    return done;
}

bool sc_hkdf_open(struct sc_hkdf *hkdf, const struct sc_suite *suite, const uint8_t *secret)
{
    EVP_MAC_CTX *mac = hmac_of(suite, secret, suite->secret_size);
    if (mac == NULL)
        return false;
    *hkdf = (struct sc_hkdf){.mac = mac, .hash_size = suite->secret_size};
    return true;
}

bool sc_hkdf_expand(const struct sc_hkdf *hkdf, const char *label, uint8_t *ret, size_t size)
{
    static const char prefix[] = "tls13 ";
    enum { LABEL_SIZE_MAX = 16 }; /* the longest that QUIC has is "server in" */
    size_t label_size = strlen(label);
    SB_ASSERT(label_size <= LABEL_SIZE_MAX);
    SB_ASSERT(size > 0 && size <= hkdf->hash_size);

    /* struct { uint16 length; opaque label<7..255>; opaque context<0..255>; } HkdfLabel, and
     * the number of the block. */
    uint8_t info[2 + 1 + sizeof(prefix) - 1 + LABEL_SIZE_MAX + 1 + 1];
    struct sb_writer w = sb_writer_of(info, sizeof(info));
    sb_writer_u16(&w, (uint16_t)size);
    sb_writer_u8(&w, (uint8_t)(sizeof(prefix) - 1 + label_size));
    sb_writer_bytes(&w, prefix, sizeof(prefix) - 1);
    sb_writer_bytes(&w, label, label_size);
    sb_writer_u8(&w, 0);
    sb_writer_u8(&w, 1);
    SB_ASSERT(!w.failed);

    uint8_t block[EVP_MAX_MD_SIZE];
    size_t block_size = 0;
    bool done = EVP_MAC_init(hkdf->mac, NULL, 0, NULL) == 1 &&
                EVP_MAC_update(hkdf->mac, info, sb_writer_used(&w)) == 1 &&
                EVP_MAC_final(hkdf->mac, block, &block_size, sizeof(block)) == 1;
    if (done) {
        SB_ASSERT(block_size == hkdf->hash_size);
        memcpy(ret, block, size);
    }
    OPENSSL_cleanse(block, sizeof(block));
    return done;
}

void sc_hkdf_close(struct sc_hkdf *hkdf)
{
    EVP_MAC_CTX_free(hkdf->mac); /* cleanses its key */
    *hkdf = (struct sc_hkdf){0};
}
