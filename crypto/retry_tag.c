/* SPDX-License-Identifier: MIT */
#include "crypto/retry_tag.h"

/* The Retry integrity tag: AES-128-GCM of an empty text, with a public key, over a
 * pseudo-packet.  It protects only against accidents and against attackers that did not see
 * the Initial packet. */

#include <limits.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/suite.h"
#include "crypto/version.h"
#include "proto/base/assert.h"

bool sc_retry_tag_make(uint32_t version, const struct sp_cid *original_dcid, const uint8_t *packet,
                       size_t size, uint8_t ret[SP_TAG_SIZE])
{
    SB_ASSERT(original_dcid->size <= SP_CID_SIZE_MAX && size <= INT_MAX);
    const struct sc_suite *suite = sc_suite_find(SP_SUITE_AES_128_GCM);
    EVP_CIPHER_CTX *cipher = suite == NULL ? NULL : EVP_CIPHER_CTX_new();
    if (cipher == NULL)
        return false;

    const struct sc_version *row = sc_version_of(version);
    /* The pseudo-packet: the CID with its size before the packet. */
    uint8_t head[1 + SP_CID_SIZE_MAX];
    head[0] = original_dcid->size;
    memcpy(head + 1, original_dcid->bytes, original_dcid->size);

    uint8_t tag[SP_TAG_SIZE];
    OSSL_PARAM tag_params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, sizeof(tag)),
        OSSL_PARAM_construct_end(),
    };
    uint8_t end[EVP_MAX_BLOCK_LENGTH];
    int out_size = 0;
    bool done =
        EVP_EncryptInit_ex2(cipher, suite->aead, row->retry_key, row->retry_nonce, NULL) == 1 &&
        EVP_EncryptUpdate(cipher, NULL, &out_size, head, 1 + original_dcid->size) == 1 &&
        EVP_EncryptUpdate(cipher, NULL, &out_size, packet, (int)size) == 1 &&
        EVP_EncryptFinal_ex(cipher, end, &out_size) == 1 &&
        EVP_CIPHER_CTX_get_params(cipher, tag_params) == 1;
    EVP_CIPHER_CTX_free(cipher);
    if (done)
        memcpy(ret, tag, sizeof(tag));
    return done;
}

bool sc_retry_tag_is_authentic(uint32_t version, const struct sp_cid *original_dcid,
                               const uint8_t *packet, size_t size)
{
    uint8_t tag[SP_TAG_SIZE];
    if (size < sizeof(tag) || size > INT_MAX)
        return false;
    size_t tag_at = size - sizeof(tag);
    return sc_retry_tag_make(version, original_dcid, packet, tag_at, tag) &&
           CRYPTO_memcmp(tag, packet + tag_at, sizeof(tag)) == 0;
}
