/* SPDX-License-Identifier: MIT */
/* What sealing, opening and masking a packet costs.
 *
 * Each subject is first checked against OpenSSL used in the plainest way, with a context
 * of its own for every packet; then it is timed, warm: the best of some rounds, because what
 * disturbs only ever adds. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "crypto/keys.h"
#include "crypto/protect.h"
#include "crypto/suite.h"
#include "proto/base/compiler.h"

enum { SIZE_MAX_TIMED = 1350, BATCH = 64, ROUNDS = 9, CALLS = 20000 };

static const struct sp_protect_ops *const ops = &sc_protect_ops;
static const uint8_t header[] = {0x43, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9};
static const uint8_t secret[SP_SECRET_SIZE_MAX] = {42};

static uint8_t plain[SIZE_MAX_TIMED];
static uint8_t packet[SIZE_MAX_TIMED + SP_TAG_SIZE];
static uint8_t sealed[SIZE_MAX_TIMED + SP_TAG_SIZE]; /* what run_open() opens */
static uint8_t samples[BATCH][SP_SAMPLE_SIZE];
static const uint8_t *sample_at[BATCH];
static uint8_t masks[BATCH][SP_MASK_SIZE];

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "wrong: %s\n", what);
    exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* What is timed: one packet, or one batch of masks. */
struct subject {
    const char *name;
    void (*run)(const struct subject *subject, uint64_t pn);
    struct sp_key *key;
    size_t size;  /* of the payload */
    size_t first; /* of its first part; 0: there is one part only */
};

static void run_seal(const struct subject *s, uint64_t pn)
{
    const struct sb_bytes two[] = {{.data = plain, .size = s->first},
                                   {.data = plain + s->first, .size = s->size - s->first}};
    bool is_one = s->first == 0;
    ops->seal(s->key, &(struct sp_seal){
                          .pn = pn,
                          .header = header,
                          .header_size = sizeof(header),
                          .parts = is_one ? two + 1 : two,
                          .part_count = is_one ? 1 : 2,
                          .out = packet,
                      });
}

/* In place, so the packet is brought back first: that copy is in the time. */
static void run_open(const struct subject *s, uint64_t pn)
{
    (void)pn;
    memcpy(packet, sealed, s->size + SP_TAG_SIZE);
    check(sp_open_in_place(ops, s->key, 7, (struct sb_bytes){header, sizeof(header)}, packet,
                           s->size + SP_TAG_SIZE),
          "an opened packet");
}

/* What a stranger can make us do. */
static void run_open_forged(const struct subject *s, uint64_t pn)
{
    (void)sp_open_in_place(ops, s->key, pn, (struct sb_bytes){header, sizeof(header)}, packet,
                           s->size + SP_TAG_SIZE);
}

static void run_masks_at_once(const struct subject *s, uint64_t pn)
{
    (void)pn;
    ops->masks(s->key, sample_at, BATCH, masks);
}

static void run_masks_singly(const struct subject *s, uint64_t pn)
{
    (void)pn;
    for (size_t i = 0; i < BATCH; i++)
        ops->masks(s->key, &sample_at[i], 1, &masks[i]);
}

static void time_it(const struct subject *s)
{
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = clock_ns();
        for (uint64_t i = 0; i < CALLS; i++)
            s->run(s, i);
        best = SB_MIN(best, clock_ns() - start);
    }
    double ns = (double)best / CALLS;
    printf("  %-36s %8.1f ns", s->name, ns);
    if (s->size > 0)
        printf("  %6.2f Gbit/s", (double)s->size * 8 / ns);
    printf("\n");
}

static void reference_seal(const struct sc_suite *suite, uint64_t pn, size_t size, uint8_t *out)
{
    struct sc_keys keys;
    check(sc_keys_derive(suite, secret, &keys), "key derivation");
    for (unsigned i = 0; i < 8; i++)
        keys.iv[SC_IV_SIZE - 1 - i] ^= (uint8_t)(pn >> (8 * i));
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int part;
    check(EVP_EncryptInit_ex(cipher, suite->aead, NULL, keys.key, keys.iv) == 1 &&
              EVP_EncryptUpdate(cipher, NULL, &part, header, sizeof(header)) == 1 &&
              EVP_EncryptUpdate(cipher, out, &part, plain, (int)size) == 1 &&
              EVP_EncryptFinal_ex(cipher, out + part, &part) == 1 &&
              EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, SP_TAG_SIZE, out + size) == 1,
          "the reference itself");
    EVP_CIPHER_CTX_free(cipher);
}

static void check_suite(const struct sc_suite *suite, struct sp_key *key)
{
    static uint8_t want[SIZE_MAX_TIMED + SP_TAG_SIZE];
    static const size_t sizes[] = {40, SIZE_MAX_TIMED};
    for (size_t i = 0; i < SB_COUNT(sizes); i++) {
        for (size_t first = 0; first <= 13; first += 13) {
            struct subject s = {.key = key, .size = sizes[i], .first = first};
            run_seal(&s, 7);
            reference_seal(suite, 7, s.size, want);
            check(memcmp(packet, want, s.size + SP_TAG_SIZE) == 0, "a sealed packet");
            check(sp_open_in_place(ops, key, 7, (struct sb_bytes){header, sizeof(header)}, packet,
                                   s.size + SP_TAG_SIZE) &&
                      memcmp(packet, plain, s.size) == 0,
                  "an opened packet");
        }
    }
    uint8_t at_once[BATCH][SP_MASK_SIZE];
    struct subject s = {.key = key};
    run_masks_at_once(&s, 0);
    memcpy(at_once, masks, sizeof(at_once));
    run_masks_singly(&s, 0);
    check(memcmp(at_once, masks, sizeof(at_once)) == 0, "masks");
}

int main(void)
{
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < BATCH; i++) {
        memset(samples[i], (int)i, SP_SAMPLE_SIZE);
        sample_at[i] = samples[i];
    }
    for (unsigned i = 0; i < SC_SUITE_COUNT; i++) {
        const struct sc_suite *suite = sc_suite_at(i);
        check(suite != NULL, "this OpenSSL lacks a cipher");
        struct sp_key *key = ops->key(NULL, suite->id, secret, suite->secret_size);
        check(key != NULL, "a key");
        check_suite(suite, key);
        printf("%s\n", suite->name);
        const struct subject subjects[] = {
            {"seal 40 bytes", run_seal, key, 40, 0},
            {"seal 1350 bytes", run_seal, key, SIZE_MAX_TIMED, 0},
            {"seal 13 + 1337 bytes", run_seal, key, SIZE_MAX_TIMED, 13},
            {"open 40 bytes", run_open, key, 40, 0},
            {"open 1350 bytes", run_open, key, SIZE_MAX_TIMED, 0},
            {"open 1350 bytes, forged", run_open_forged, key, SIZE_MAX_TIMED, 0},
            {"64 masks at once", run_masks_at_once, key, 0, 0},
            {"64 masks one by one", run_masks_singly, key, 0, 0},
        };
        for (size_t s = 0; s < SB_COUNT(subjects); s++) {
            if (subjects[s].size > 0)
                reference_seal(suite, 7, subjects[s].size, sealed);
            time_it(&subjects[s]);
        }
        ops->destroy(key);
    }
    return 0;
}
