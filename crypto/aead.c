/* SPDX-License-Identifier: MIT */
#include "crypto/aead.h"

/* Sealing and opening of packets: through OpenSSL's EVP, or by the fused AES-GCM where there is one
 * (crypto/aead_fused.h).  The fused AES-GCM follows the same rules as this file.
 *
 * The nonce is the IV of the key, exclusive-or the packet number: it is never drawn at
 * random, and proto/ never uses a packet number twice with one key.  [RFC9001 5.3]
 *
 * EVP costs about as much as the cipher for small packets, so each call counts.
 * Measured with AES-128-GCM (EPYC, OpenSSL 3.5.7, 20 bytes header, warm), in ns per packet;
 * `spate-micro protect` times the variants that are used:
 *
 *                                               40 bytes   1150 bytes
 *   one part, tag by EVP_CIPHER_CTX_ctrl             206          475
 *   one part, tag by OSSL_PARAM (used)               167          449
 *   a part of 13 bytes and a second, two updates     +27          +33
 *   two equal parts, two updates                                  +71
 *   two parts copied to the output, in place (used)   +7           +8
 *
 * A second update costs more than a copy, because a part that does not end on a
 * cipher block leaves the fast path; so several parts are gathered in the output first.
 *
 * An unauthenticated peer controls `data` and `header` of open(), any bytes of any size: nothing is
 * asserted about them. */

#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "proto/base/assert.h"

/* What OpenSSL allocates for a context and its key, in 3 pieces. */
enum { EVP_KEY_BYTES = 944 };

static bool wake_fused(struct sc_aead *aead)
{
    aead->fused_key = sc_fused_key_take(aead->fused);
    if (aead->fused_key == NULL)
        return false;
    aead->fused->init_key(aead->fused_key, aead->key, aead->suite->key_size, aead->iv);
    return true;
}

/* One context does both directions: CTR mode and ChaCha20 have no key of their own for opening. */
static bool wake_openssl(struct sc_aead *aead)
{
    const struct sc_suite *suite = aead->suite;
    if (!sc_memory_charge(aead->memory, EVP_KEY_BYTES))
        return false;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    if (cipher == NULL || EVP_EncryptInit_ex2(cipher, suite->aead, aead->key, NULL, NULL) != 1) {
        EVP_CIPHER_CTX_free(cipher);
        sc_memory_refund(aead->memory, EVP_KEY_BYTES);
        return false;
    }
    SB_ASSERT(EVP_CIPHER_CTX_get_key_length(cipher) == suite->key_size);
    SB_ASSERT(EVP_CIPHER_CTX_get_iv_length(cipher) == SC_IV_SIZE);
    aead->cipher = cipher;
    return true;
}

bool sc_aead_wake(struct sc_aead *aead)
{
    if (aead->fused_key != NULL || aead->cipher != NULL)
        return true;
    return aead->fused != NULL ? wake_fused(aead) : wake_openssl(aead);
}

void sc_aead_rest(struct sc_aead *aead)
{
    if (aead->fused_key != NULL)
        sc_fused_key_give(aead->fused, aead->fused_key);
    if (aead->cipher != NULL) {
        EVP_CIPHER_CTX_free(aead->cipher); /* cleanses its key schedule */
        sc_memory_refund(aead->memory, EVP_KEY_BYTES);
    }
    aead->fused_key = NULL;
    aead->cipher = NULL;
}

bool sc_aead_init(struct sc_aead *aead, const struct sc_suite *suite, const struct sc_keys *keys,
                  const struct sc_fused *fused)
{
    *aead = (struct sc_aead){
        .suite = suite,
        .memory = sc_fused_memory(fused),
        .fused = sc_fused_is_able(fused) && suite->is_aes ? fused : NULL,
    };
    memcpy(aead->key, keys->key, suite->key_size);
    memcpy(aead->iv, keys->iv, sizeof(aead->iv));
    if (sc_aead_wake(aead))
        return true;
    OPENSSL_cleanse(aead, sizeof(*aead));
    return false;
}

/* Brings the plaintext to where one update can take it; `*ret_copied` bytes of it by a copy. */
static struct sb_bytes gather(const struct sp_seal *packet, size_t *ret_copied)
{
    *ret_copied = 0;
    if (packet->part_count == 1)
        return packet->parts[0];

    struct sb_bytes all = {.data = packet->out};
    for (size_t i = 0; i < packet->part_count; i++) {
        const struct sb_bytes *part = &packet->parts[i];
        /* A part may stand where it belongs already. */
        if (part->size > 0 && part->data != packet->out + all.size) {
            memcpy(packet->out + all.size, part->data, part->size);
            *ret_copied += part->size;
        }
        all.size += part->size;
    }
    return all;
}

size_t sc_aead_seal(struct sc_aead *aead, const struct sp_seal *packet)
{
    if (aead->fused != NULL) {
        aead->fused->seal(aead->fused_key, packet);
        return 0;
    }
    SB_ASSERT(packet->part_count >= 1);
    SB_ASSERT(packet->header_size > 0 && packet->header_size <= INT_MAX);
    SB_ASSERT(packet->pn <= SP_PN_MAX);
    size_t copied = 0;
    const struct sb_bytes plain = gather(packet, &copied);
    SB_ASSERT(plain.size <= INT_MAX - SP_TAG_SIZE);

    uint8_t nonce[SC_IV_SIZE];
    sc_nonce_make(aead->iv, packet->pn, nonce);
    OSSL_PARAM tag[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, packet->out + plain.size, SP_TAG_SIZE),
        OSSL_PARAM_END,
    };
    int size = 0;
    int size_end = 0;
    bool sealed =
        EVP_EncryptInit_ex2(aead->cipher, NULL, NULL, nonce, NULL) == 1 &&
        EVP_EncryptUpdate(aead->cipher, NULL, &size, packet->header, (int)packet->header_size) ==
            1 &&
        EVP_EncryptUpdate(aead->cipher, packet->out, &size, plain.data, (int)plain.size) == 1 &&
        EVP_EncryptFinal_ex(aead->cipher, packet->out + size, &size_end) == 1 &&
        EVP_CIPHER_CTX_get_params(aead->cipher, tag) == 1;
    SB_ASSERT(sealed); /* nothing above allocates, and every argument is ours */
    SB_ASSERT((size_t)size == plain.size && size_end == 0);
    return copied;
}

static void open_one(struct sc_aead *aead, struct sp_open *packet)
{
    SB_ASSERT(packet->header_size > 0 && packet->header_size <= INT_MAX);
    SB_ASSERT(packet->size <= INT_MAX);
    packet->is_authentic = false;
    if (packet->size < SP_TAG_SIZE)
        return;
    size_t plain_size = packet->size - SP_TAG_SIZE;
    size_t head_size = packet->body == NULL ? plain_size : packet->head_size;
    SB_ASSERT(head_size <= plain_size);

    uint8_t nonce[SC_IV_SIZE];
    sc_nonce_make(aead->iv, packet->pn, nonce);
    const OSSL_PARAM tag[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, packet->data + plain_size, SP_TAG_SIZE),
        OSSL_PARAM_END,
    };
    int out_size = 0;
    bool ready = EVP_DecryptInit_ex2(aead->cipher, NULL, NULL, nonce, tag) == 1 &&
                 EVP_DecryptUpdate(aead->cipher, NULL, &out_size, packet->header,
                                   (int)packet->header_size) == 1;
    SB_ASSERT(ready);
    uint8_t *head = sp_open_head(packet);
    bool opened =
        EVP_DecryptUpdate(aead->cipher, head, &out_size, packet->data, (int)head_size) == 1;
    if (head_size < plain_size)
        opened = opened &&
                 EVP_DecryptUpdate(aead->cipher, packet->body, &out_size, packet->data + head_size,
                                   (int)(plain_size - head_size)) == 1;
    uint8_t nothing[SP_TAG_SIZE];
    packet->is_authentic = opened && EVP_DecryptFinal_ex(aead->cipher, nothing, &out_size) == 1;
    if (SB_UNLIKELY(!packet->is_authentic) && ERR_peek_error() != 0)
        ERR_clear_error(); /* a provider may leave an error in the queue, and forgeries cost nothing
                            */
}

void sc_aead_open(struct sc_aead *aead, struct sp_open *packets, size_t count)
{
    if (aead->fused != NULL) {
        aead->fused->open(aead->fused_key, packets, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        open_one(aead, &packets[i]);
}

void sc_aead_peek(struct sc_aead *aead, const struct sp_open *packet, size_t size, uint8_t *ret)
{
    if (aead->fused != NULL) {
        aead->fused->peek(aead->fused_key, packet, size, ret);
        return;
    }
    SB_ASSERT(size <= SP_PEEK_SIZE_MAX && packet->size >= SP_TAG_SIZE + size);
    uint8_t nonce[SC_IV_SIZE];
    sc_nonce_make(aead->iv, packet->pn, nonce);
    int out_size = 0;
    bool peeked = EVP_DecryptInit_ex2(aead->cipher, NULL, NULL, nonce, NULL) == 1 &&
                  EVP_DecryptUpdate(aead->cipher, ret, &out_size, packet->data, (int)size) == 1;
    SB_ASSERT(peeked && (size_t)out_size == size);
}

void sc_aead_deinit(struct sc_aead *aead)
{
    sc_aead_rest(aead);
    OPENSSL_cleanse(aead, sizeof(*aead));
}
