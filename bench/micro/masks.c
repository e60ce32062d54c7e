/* SPDX-License-Identifier: MIT */
/* Header protection masks: alone and for a batch in one call.  The reference is one new context
 * per mask. */

#include <string.h>

#include <openssl/evp.h>

#include "bench/micro/benches.h"
#include "crypto/keys.h"
#include "crypto/protect.h"
#include "crypto/suite.h"
#include "proto/base/compiler.h"

enum { BATCH_MAX = 64 };

static const uint32_t batches[] = {1, 8, BATCH_MAX};
static const uint8_t secret[SP_SECRET_SIZE_MAX] = {42};
static uint8_t samples[BATCH_MAX][SP_SAMPLE_SIZE];
static const uint8_t *sample_at[BATCH_MAX];
static uint8_t masks[BATCH_MAX][SP_MASK_SIZE];

struct work {
    struct sp_key *key;
    uint32_t batch;
};

static void run_masks(void *context, uint64_t count)
{
    const struct work *w = context;
    for (uint64_t i = 0; i < count; i++)
        sc_protect_ops.masks(w->key, sample_at, w->batch, masks);
}

/* [RFC9001 5.4.3, 5.4.4] as it stands there. */
static void reference_mask(const struct sc_suite *suite, const uint8_t *hp, const uint8_t *sample,
                           uint8_t ret[SP_MASK_SIZE])
{
    static const uint8_t zeros[SP_MASK_SIZE];
    bool is_chacha = suite->id == SP_SUITE_CHACHA20_POLY1305;
    uint8_t block[2 * SP_SAMPLE_SIZE];
    int size = 0;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    micro_check(EVP_EncryptInit_ex2(cipher, suite->mask, hp, is_chacha ? sample : NULL, NULL) ==
                        1 &&
                    EVP_EncryptUpdate(cipher, block, &size, is_chacha ? zeros : sample,
                                      is_chacha ? SP_MASK_SIZE : SP_SAMPLE_SIZE) == 1,
                "the reference itself");
    memcpy(ret, block, SP_MASK_SIZE);
    EVP_CIPHER_CTX_free(cipher);
}

/* `fused` as sc_protect() takes it. */
static struct sp_key *key_of(const struct sc_suite *suite, const struct sc_fused *fused)
{
    void *context = sc_protect(fused).context;
    struct sp_key *key =
        sc_protect_ops.key(context, SP_VERSION_1, suite->id, secret, suite->secret_size);
    micro_check(key != NULL, "a key");
    return key;
}

static void check_suite(const struct sc_suite *suite, const struct sc_fused *fused)
{
    struct sc_keys keys;
    sc_keys_derive(SP_VERSION_1, suite, secret, &keys);
    struct sp_key *key = key_of(suite, fused);
    for (size_t b = 0; b < SB_COUNT(batches); b++) {
        memset(masks, 0, sizeof(masks));
        run_masks(&(struct work){key, batches[b]}, 1);
        for (uint32_t i = 0; i < batches[b]; i++) {
            uint8_t want[SP_MASK_SIZE];
            reference_mask(suite, keys.hp, samples[i], want);
            micro_check(memcmp(masks[i], want, sizeof(want)) == 0, "a mask");
        }
    }
    sc_protect_ops.destroy(key);
}

static void time_suite(struct micro *m, const struct sc_suite *suite, const struct sc_fused *fused)
{
    struct sp_key *key = key_of(suite, fused);
    char names[SB_COUNT(batches)][64];
    struct work works[SB_COUNT(batches)];
    struct micro_subject subjects[SB_COUNT(batches)];
    struct micro_sample sample[SB_COUNT(batches)];
    for (size_t b = 0; b < SB_COUNT(batches); b++) {
        (void)snprintf(names[b], sizeof(names[b]), "%s%s, a mask of %u",
                       fused != NULL ? "fused " : "", suite->name, batches[b]);
        works[b] = (struct work){key, batches[b]};
        subjects[b] = (struct micro_subject){names[b], run_masks, &works[b], batches[b]};
    }
    micro_time(m, subjects, SB_COUNT(batches), sample);
    for (size_t b = 0; b < SB_COUNT(batches); b++)
        micro_row_ns(m, names[b], &sample[b], MICRO_REPORTED, 0);
    sc_protect_ops.destroy(key);
}

/* Each suite by OpenSSL, and where there is one by the fused cipher. */
static void check(void)
{
    for (size_t i = 0; i < BATCH_MAX; i++) {
        memset(samples[i], (int)i, SP_SAMPLE_SIZE);
        sample_at[i] = samples[i];
    }
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        check_suite(sc_suite_at(s), NULL);
        if (sc_suite_at(s)->is_aes && sc_fused_best() != NULL)
            check_suite(sc_suite_at(s), sc_fused_best());
    }
}

static void time_all(struct micro *m)
{
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        time_suite(m, sc_suite_at(s), NULL);
        if (sc_suite_at(s)->is_aes && sc_fused_best() != NULL)
            time_suite(m, sc_suite_at(s), sc_fused_best());
    }
}

const struct micro_bench micro_masks = {
    .name = "masks",
    .what = "header protection masks, a mask out of a batch",
    .check = check,
    .time = time_all,
};
