/* SPDX-License-Identifier: MIT */
/* The fused AES-GCM, next to OpenSSL's bare calls.
 *
 * The reference is what bench/micro/protect.c takes too, the shortest sequence that EVP allows.
 * Opening goes to another place, as into the application's memory, so that the packet stays
 * and need not be brought back. */

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "bench/micro/benches.h"
#include "crypto/keys.h"
#include "crypto/protect.h"
#include "crypto/suite.h"
#include "proto/base/compiler.h"

enum { SIZE_MAX_TIMED = 65000, HEAD_SIZE = 8, MASKS = 64, PN = 7 };

/* What the issue of a fused cipher was: at most so much of what OpenSSL takes. */
static const struct {
    size_t size;
    double target; /* 0: only shown */
} sizes[] = {
    {16, 0},
    {64, 0.40},
    {128, 0},
    {256, 0},
    {512, 0},
    {1024, 0},
    {1350, 0.72},
    {2048, 0},
    {4096, 0},
    {8192, 0},
    {8900, 0.8},
    {16384, 0},
    {SIZE_MAX_TIMED, 0.95},
};
static const uint8_t header[] = {0x43, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 9};
static const uint8_t secret[SP_SECRET_SIZE_MAX] = {42};
static const struct sp_protect_ops *const ops = &sc_protect_ops;

static uint8_t plain[SIZE_MAX_TIMED];
static uint8_t packet[SIZE_MAX_TIMED + SP_TAG_SIZE];
static uint8_t sealed[SIZE_MAX_TIMED + SP_TAG_SIZE];
static uint8_t opened[SIZE_MAX_TIMED];

struct work {
    struct sp_key *key;
    EVP_CIPHER_CTX *cipher;
    uint8_t nonce[SC_IV_SIZE];
    OSSL_PARAM tag[2];
    OSSL_PARAM sealed_tag[2];
    size_t size;
};

static void seal(const struct work *w, size_t first, uint64_t pn)
{
    const struct sb_bytes parts[] = {{.data = plain, .size = first},
                                     {.data = plain + first, .size = w->size - first}};
    bool is_one = first == 0;
    (void)ops->seal(w->key, &(struct sp_seal){
                                .pn = pn,
                                .header = header,
                                .header_size = sizeof(header),
                                .parts = is_one ? parts + 1 : parts,
                                .part_count = is_one ? 1 : 2,
                                .out = packet,
                            });
}

static void run_seal(void *context, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        seal(context, 0, i);
}

/* As packets of bulk are: the head of a frame, and data from the application's memory. */
static void run_seal_parts(void *context, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        seal(context, HEAD_SIZE, i);
}

static void run_seal_bare(void *context, uint64_t count)
{
    struct work *w = context;
    int done = 1, size = 0;
    for (uint64_t i = 0; i < count; i++) {
        done &= EVP_EncryptInit_ex2(w->cipher, NULL, NULL, w->nonce, NULL);
        done &= EVP_EncryptUpdate(w->cipher, NULL, &size, header, sizeof(header));
        done &= EVP_EncryptUpdate(w->cipher, packet, &size, plain, (int)w->size);
        done &= EVP_EncryptFinal_ex(w->cipher, packet + size, &size);
        done &= EVP_CIPHER_CTX_get_params(w->cipher, w->tag);
    }
    micro_check(done == 1, "OpenSSL seals");
}

static bool open_sealed(const struct work *w, size_t head_size, uint8_t *body)
{
    struct sp_open open = {
        .pn = PN,
        .header = header,
        .header_size = sizeof(header),
        .data = sealed,
        .size = w->size + SP_TAG_SIZE,
        .body = body,
        .head_size = head_size,
    };
    ops->open(w->key, &open, 1);
    return open.is_authentic;
}

static void run_open(void *context, uint64_t count)
{
    bool good = true;
    for (uint64_t i = 0; i < count; i++)
        good &= open_sealed(context, 0, opened);
    micro_check(good, "an opened packet");
}

static void run_open_bare(void *context, uint64_t count)
{
    struct work *w = context;
    int done = 1, size = 0;
    for (uint64_t i = 0; i < count; i++) {
        done &= EVP_DecryptInit_ex2(w->cipher, NULL, NULL, w->nonce, w->sealed_tag);
        done &= EVP_DecryptUpdate(w->cipher, NULL, &size, header, sizeof(header));
        done &= EVP_DecryptUpdate(w->cipher, opened, &size, sealed, (int)w->size);
        done &= EVP_DecryptFinal_ex(w->cipher, opened + size, &size);
    }
    micro_check(done == 1, "OpenSSL opens");
}

static void tag_at(OSSL_PARAM ret[2], uint8_t *at)
{
    ret[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, at, SP_TAG_SIZE);
    ret[1] = OSSL_PARAM_construct_end();
}

/* Brings `sealed` to this size, by the reference. */
static void work_resize(struct work *w, size_t size)
{
    w->size = size;
    tag_at(w->tag, packet + size);
    tag_at(w->sealed_tag, sealed + size);
    run_seal_bare(w, 1);
    memcpy(sealed, packet, size + SP_TAG_SIZE);
}

static struct work work_create(const struct sc_suite *suite, const struct sc_fused *fused)
{
    const struct sp_protect protect = sc_protect(fused);
    struct work w = {
        .key = ops->key(protect.context, SP_VERSION_1, suite->id, secret, suite->secret_size),
        .cipher = EVP_CIPHER_CTX_new()};
    struct sc_keys keys;
    micro_check(w.key != NULL && w.cipher != NULL, "a key");
    sc_keys_derive(SP_VERSION_1, suite, secret, &keys);
    micro_check(EVP_EncryptInit_ex2(w.cipher, suite->aead, keys.key, NULL, NULL) == 1, "a cipher");
    memcpy(w.nonce, keys.iv, sizeof(w.nonce));
    w.nonce[SC_IV_SIZE - 1] ^= PN;
    return w;
}

static void work_destroy(struct work *w)
{
    ops->destroy(w->key);
    EVP_CIPHER_CTX_free(w->cipher);
}

static void check_size(struct work *w, size_t size)
{
    work_resize(w, size);
    for (size_t first = 0; first <= HEAD_SIZE; first += HEAD_SIZE) {
        memset(packet, 0, size + SP_TAG_SIZE);
        seal(w, first, PN);
        micro_check(memcmp(packet, sealed, size + SP_TAG_SIZE) == 0, "a sealed packet");
    }
    memset(opened, 0, size);
    run_open(w, 1);
    micro_check(memcmp(opened, plain, size) == 0, "what an opened packet holds");
    sealed[size / 2] ^= 1;
    micro_check(!open_sealed(w, 0, opened), "a changed byte is noticed");
}

static const struct sc_suite *suite_at(unsigned i)
{
    static const enum sp_suite ids[] = {SP_SUITE_AES_128_GCM, SP_SUITE_AES_256_GCM};
    return i < SB_COUNT(ids) ? sc_suite_find(ids[i]) : NULL;
}

static void check(void)
{
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7);
    const struct sc_suite *suite;
    for (unsigned s = 0; sc_fused_best() != NULL && (suite = suite_at(s)) != NULL; s++) {
        struct work w = work_create(suite, sc_fused_best());
        for (size_t i = 0; i < SB_COUNT(sizes); i++)
            check_size(&w, sizes[i].size);
        work_destroy(&w);
    }
}

/* Prints a line per direction: the ratio, then the nanoseconds of both. */
static void compare(struct micro *m, const char *name, const struct micro_sample *ours,
                    const struct micro_sample *theirs, double target)
{
    char note[64];
    struct micro_sample ratio = micro_ratio(ours, theirs);
    (void)snprintf(note, sizeof(note), "%.1f ns; bare EVP %.1f ns", ours->median, theirs->median);
    micro_row(m, &(struct micro_row){.name = name,
                                     .unit = "x",
                                     .sample = &ratio,
                                     .goal = target > 0 ? MICRO_AT_MOST : MICRO_REPORTED,
                                     .target = target,
                                     .note = note});
}

static void time_size(struct micro *m, struct work *w, const char *suite, size_t i)
{
    static const char *const kinds[] = {"seal", "seal 8 +", "open"};
    char names[SB_COUNT(kinds)][64];
    work_resize(w, sizes[i].size);
    for (size_t k = 0; k < SB_COUNT(kinds); k++)
        (void)snprintf(names[k], sizeof(names[k]), "%s %s %zu", suite, kinds[k],
                       sizes[i].size - (k == 1 ? HEAD_SIZE : 0));
    const struct micro_subject subjects[] = {
        {names[0], run_seal, w, 1},
        {names[1], run_seal_parts, w, 1},
        {names[2], run_open, w, 1},
        {"bare EVP seals", run_seal_bare, w, 1},
        {"bare EVP opens", run_open_bare, w, 1},
    };
    struct micro_sample s[SB_COUNT(subjects)];
    micro_time(m, subjects, SB_COUNT(subjects), s);
    for (size_t k = 0; k < SB_COUNT(kinds) && !m->is_counting; k++)
        compare(m, names[k], &s[k], &s[k == 2 ? 4 : 3], sizes[i].target);
}

static void run_masks(void *context, uint64_t count)
{
    const struct work *w = context;
    const uint8_t *samples[MASKS];
    uint8_t masks[MASKS][SP_MASK_SIZE];
    for (size_t i = 0; i < MASKS; i++)
        samples[i] = plain + 1200 * i % SIZE_MAX_TIMED;
    for (uint64_t i = 0; i < count; i++)
        ops->masks(w->key, samples, MASKS, masks);
    micro_use_at(masks);
}

static void time_all(struct micro *m)
{
    const struct sc_fused *fused = sc_fused_best();
    const struct sc_suite *suite;
    for (unsigned s = 0; fused != NULL && (suite = suite_at(s)) != NULL; s++) {
        struct work w = work_create(suite, fused);
        char name[64];
        for (size_t i = 0; i < SB_COUNT(sizes); i++)
            time_size(m, &w, suite->name, i);
        (void)snprintf(name, sizeof(name), "%s, a mask of %d", suite->name, MASKS);
        const struct micro_subject subject = {name, run_masks, &w, MASKS};
        struct micro_sample sample;
        micro_time(m, &subject, 1, &sample);
        micro_row_ns(m, name, &sample, MICRO_AT_MOST, 2.5);
        work_destroy(&w);
    }
}

const struct micro_bench micro_fused = {
    .name = "fused",
    .what = "the fused AES-GCM from 16 bytes to 65 KB, next to OpenSSL's bare calls",
    .check = check,
    .time = time_all,
};
