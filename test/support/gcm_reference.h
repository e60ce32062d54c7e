/* SPDX-License-Identifier: MIT */
#ifndef QT_GCM_REFERENCE_H
#define QT_GCM_REFERENCE_H

#include <stdint.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "crypto/keys.h"
#include "proto/wire/quic.h"

/* AES-GCM by OpenSSL, in its simplest use: the reference for the fused AES-GCM.
 *
 * `key_size` is 16 or 32; `out` gets `size` bytes of ciphertext and the tag. */
static inline void qt_gcm_seal(const uint8_t *key, size_t key_size, const uint8_t iv[SC_IV_SIZE],
                               uint64_t pn, const uint8_t *header, size_t header_size,
                               const uint8_t *plain, size_t size, uint8_t *out)
{
    uint8_t nonce[SC_IV_SIZE];
    for (int i = 0; i < SC_IV_SIZE; i++)
        nonce[i] = (uint8_t)(iv[i] ^ (i < 4 ? 0 : pn >> (8 * (SC_IV_SIZE - 1 - i))));
    static EVP_CIPHER *ciphers[2];
    static EVP_CIPHER_CTX *context;
    EVP_CIPHER **cipher = &ciphers[key_size == 32];
    if (context == NULL)
        context = EVP_CIPHER_CTX_new();
    if (*cipher == NULL)
        *cipher = EVP_CIPHER_fetch(NULL, key_size == 32 ? "AES-256-GCM" : "AES-128-GCM", NULL);
    int part;
    if (EVP_EncryptInit_ex2(context, *cipher, key, nonce, NULL) != 1 ||
        EVP_EncryptUpdate(context, NULL, &part, header, (int)header_size) != 1 ||
        EVP_EncryptUpdate(context, out, &part, plain, (int)size) != 1 ||
        EVP_EncryptFinal_ex(context, out + size, &part) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SP_TAG_SIZE, out + size) != 1)
        abort();
}

#endif
