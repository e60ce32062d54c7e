/* SPDX-License-Identifier: MIT */
#include "crypto/mask.h"

/* Header protection masks.
 *
 * AES: the mask is one block of ECB, so a batch is gathered and goes through the
 * cipher in one call: 64 masks cost 0.1 us at once and 1 us one by one.
 * ChaCha20 takes each sample as counter and nonce, so each is a call of its own:
 * 64 masks cost 8 us. */

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

struct sc_mask {
    EVP_CIPHER_CTX *cipher; /* OpenSSL's; NULL while it rests */
    uint32_t ref_count;
    bool is_block_cipher;               /* AES-ECB; otherwise ChaCha20 */
    const struct sc_fused *fused;       /* NULL: it is OpenSSL's */
    struct sc_fused_schedule *schedule; /* with `fused`: ours; NULL while it rests */
    const struct sc_suite *suite;
    struct sc_memory *memory;
    uint8_t key[SC_KEY_SIZE_MAX]; /* to make either again */
};

/* What OpenSSL allocates for a context and its key. */
enum { EVP_KEY_BYTES = 944 };

static bool wake_fused(struct sc_mask *mask)
{
    mask->schedule = sc_fused_schedule_take(mask->fused);
    if (mask->schedule == NULL)
        return false;
    mask->fused->init_schedule(mask->schedule, mask->key, mask->suite->key_size);
    mask->is_block_cipher = true;
    return true;
}

static bool wake_openssl(struct sc_mask *mask)
{
    const struct sc_suite *suite = mask->suite;
    if (!sc_memory_charge(mask->memory, EVP_KEY_BYTES))
        return false;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    if (cipher == NULL || EVP_EncryptInit_ex2(cipher, suite->mask, mask->key, NULL, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(cipher, 0) != 1) {
        EVP_CIPHER_CTX_free(cipher);
        sc_memory_refund(mask->memory, EVP_KEY_BYTES);
        return false;
    }
    SB_ASSERT(EVP_CIPHER_CTX_get_key_length(cipher) == suite->key_size);
    mask->is_block_cipher = EVP_CIPHER_CTX_get_block_size(cipher) == SP_SAMPLE_SIZE;
    mask->cipher = cipher;
    return true;
}

bool sc_mask_wake(struct sc_mask *mask)
{
    if (mask->schedule != NULL || mask->cipher != NULL)
        return true;
    return mask->fused != NULL ? wake_fused(mask) : wake_openssl(mask);
}

void sc_mask_rest(struct sc_mask *mask)
{
    if (mask->schedule != NULL)
        sc_fused_schedule_give(mask->fused, mask->schedule);
    if (mask->cipher != NULL) {
        EVP_CIPHER_CTX_free(mask->cipher);
        sc_memory_refund(mask->memory, EVP_KEY_BYTES);
    }
    mask->schedule = NULL;
    mask->cipher = NULL;
}

struct sc_mask *sc_mask_create(const struct sc_suite *suite, const uint8_t *hp,
                               const struct sc_fused *fused)
{
    struct sc_memory *memory = sc_fused_memory(fused);
    struct sc_mask *mask = sc_memory_take(memory, sizeof(*mask));
    if (mask == NULL)
        return NULL;
    *mask = (struct sc_mask){
        .suite = suite,
        .memory = memory,
        .fused = sc_fused_is_able(fused) && suite->is_aes ? fused : NULL,
        .ref_count = 1,
    };
    memcpy(mask->key, hp, suite->key_size);
    if (sc_mask_wake(mask))
        return mask;
    sc_memory_give(memory, mask, sizeof(*mask));
    return NULL;
}

struct sc_mask *sc_mask_ref(struct sc_mask *mask)
{
    SB_ASSERT(mask->ref_count > 0);
    mask->ref_count++;
    return mask;
}

void sc_mask_unref(struct sc_mask *mask)
{
    if (mask == NULL)
        return;
    SB_ASSERT(mask->ref_count > 0);
    if (--mask->ref_count > 0)
        return;
    sc_mask_rest(mask);
    sc_memory_give(mask->memory, mask, sizeof(*mask));
}

/* [RFC9001 5.4.3] */
static void make_aes(struct sc_mask *mask, const uint8_t *const *samples, size_t count,
                     uint8_t (*ret)[SP_MASK_SIZE])
{
    enum { BATCH = 64 }; /* datagrams of one GRO buffer: 1 KB of stack */
    uint8_t blocks[BATCH][SP_SAMPLE_SIZE];
    while (count > 0) {
        size_t now = SB_MIN(count, (size_t)BATCH);
        for (size_t i = 0; i < now; i++)
            memcpy(blocks[i], samples[i], SP_SAMPLE_SIZE);
        int size = 0;
        bool done = EVP_EncryptUpdate(mask->cipher, blocks[0], &size, blocks[0],
                                      (int)(now * SP_SAMPLE_SIZE)) == 1;
        SB_ASSERT(done && (size_t)size == now * SP_SAMPLE_SIZE);
        for (size_t i = 0; i < now; i++)
            memcpy(ret[i], blocks[i], SP_MASK_SIZE);
        samples += now;
        ret += now;
        count -= now;
    }
}

/* [RFC9001 5.4.4] The sample is the block counter, little endian, and the nonce: the
 * very layout that OpenSSL's IV for ChaCha20 has. */
static void make_chacha20(struct sc_mask *mask, const uint8_t *const *samples, size_t count,
                          uint8_t (*ret)[SP_MASK_SIZE])
{
    static const uint8_t zeros[SP_MASK_SIZE];
    for (size_t i = 0; i < count; i++) {
        int size = 0;
        bool done = EVP_EncryptInit_ex2(mask->cipher, NULL, NULL, samples[i], NULL) == 1 &&
                    EVP_EncryptUpdate(mask->cipher, ret[i], &size, zeros, SP_MASK_SIZE) == 1;
        SB_ASSERT(done && size == SP_MASK_SIZE);
    }
}

void sc_mask_make(struct sc_mask *mask, const uint8_t *const *samples, size_t count,
                  uint8_t (*ret)[SP_MASK_SIZE])
{
    if (mask->fused != NULL)
        mask->fused->masks(mask->schedule, samples, count, ret);
    else if (mask->is_block_cipher)
        make_aes(mask, samples, count, ret);
    else
        make_chacha20(mask, samples, count, ret);
}
