/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/hash.h"

/* GMAC is AES-GCM with associated data alone, which OpenSSL computes at four to ten times the rate
 * of SHA-256.  The key lives as long as a stream; the nonce is the index of the item. */

#include <limits.h>

enum { NONCE_SIZE = 12, GMAC_SIZE = 16, SHA256_SIZE = 32 };

_Static_assert((int)GMAC_SIZE <= (int)FILES_DIGEST_SIZE, "there is room for each digest");
_Static_assert((int)SHA256_SIZE <= (int)FILES_DIGEST_SIZE, "there is room for each digest");

bool files_hashes_find(struct files_hashes *hashes, enum files_hash_kind kind)
{
    if (kind == FILES_GMAC && hashes->gcm == NULL)
        hashes->gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    if (kind == FILES_SHA256 && hashes->sha256 == NULL)
        hashes->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    return kind == FILES_GMAC ? hashes->gcm != NULL : hashes->sha256 != NULL;
}

void files_hashes_deinit(struct files_hashes *hashes)
{
    EVP_MD_free(hashes->sha256);
    EVP_CIPHER_free(hashes->gcm);
    *hashes = (struct files_hashes){.sha256 = NULL};
}

void files_hash_init(struct files_hash *ret, enum files_hash_kind kind)
{
    *ret = (struct files_hash){.kind = kind};
}

void files_hash_deinit(struct files_hash *hash)
{
    EVP_MD_CTX_free(hash->md);
    EVP_CIPHER_CTX_free(hash->mac); /* wipes the key */
    *hash = (struct files_hash){.kind = hash->kind};
}

size_t files_hash_size(const struct files_hash *hash)
{
    return hash->kind == FILES_GMAC ? GMAC_SIZE : SHA256_SIZE;
}

bool files_hash_set_key(struct files_hash *hash, struct files_hashes *hashes,
                        const uint8_t key[FILES_KEY_SIZE])
{
    if (hash->has_key)
        return false;
    if (hash->mac == NULL)
        hash->mac = EVP_CIPHER_CTX_new();
    hash->has_key = hash->mac != NULL && files_hashes_find(hashes, FILES_GMAC) &&
                    EVP_EncryptInit_ex2(hash->mac, hashes->gcm, key, NULL, NULL) == 1;
    return hash->has_key;
}

bool files_hash_begin(struct files_hash *hash, struct files_hashes *hashes, uint32_t index)
{
    if (hash->kind == FILES_GMAC) {
        const uint8_t nonce[NONCE_SIZE] = {(uint8_t)(index >> 24), (uint8_t)(index >> 16),
                                           (uint8_t)(index >> 8), (uint8_t)index};
        return hash->has_key && EVP_EncryptInit_ex2(hash->mac, NULL, NULL, nonce, NULL) == 1;
    }
    if (hash->md == NULL)
        hash->md = EVP_MD_CTX_new();
    return hash->md != NULL && files_hashes_find(hashes, FILES_SHA256) &&
           EVP_DigestInit_ex2(hash->md, hashes->sha256, NULL) == 1;
}

bool files_hash_add(struct files_hash *hash, const uint8_t *data, size_t size)
{
    int none;
    if (hash->kind == FILES_SHA256)
        return EVP_DigestUpdate(hash->md, data, size) == 1;
    while (size > 0) {
        int now = size < INT_MAX / 2 ? (int)size : INT_MAX / 2;
        if (EVP_EncryptUpdate(hash->mac, NULL, &none, data, now) != 1)
            return false;
        data += now;
        size -= (size_t)now;
    }
    return true;
}

bool files_hash_end(struct files_hash *hash, uint8_t ret[FILES_DIGEST_SIZE])
{
    unsigned int size;
    int none;
    if (hash->kind == FILES_SHA256)
        return EVP_DigestFinal_ex(hash->md, ret, &size) == 1;
    return EVP_EncryptFinal_ex(hash->mac, ret, &none) == 1 &&
           EVP_CIPHER_CTX_ctrl(hash->mac, EVP_CTRL_AEAD_GET_TAG, GMAC_SIZE, ret) == 1;
}
