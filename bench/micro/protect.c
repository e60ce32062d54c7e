/* SPDX-License-Identifier: MIT */
/* Sealing and opening a packet by OpenSSL, next to its bare calls.  (By the fused cipher: fused.c.)
 *
 * The reference is the shortest sequence that EVP allows: one context that was keyed once, a
 * nonce and a parameter array that lie ready, one update for the header and one for the
 * payload.  It makes no nonce and checks nothing; our additional time is the cost
 * of our interface.
 *
 * Opening works in place, so each packet is brought back first; that copy is timed by itself
 * and taken off, of ours and of OpenSSL's. */

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

enum { SIZE_MAX_TIMED = 8900, PN = 7 };

static const size_t sizes[] = {64, 256, 1024, 1350, SIZE_MAX_TIMED};
static const uint8_t header[] = {0x43, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9};
static const uint8_t secret[SP_SECRET_SIZE_MAX] = {42};
static const struct sp_protect_ops *const ops = &sc_protect_ops;

static uint8_t plain[SIZE_MAX_TIMED];
static uint8_t packet[SIZE_MAX_TIMED + SP_TAG_SIZE];
static uint8_t sealed[SIZE_MAX_TIMED + SP_TAG_SIZE];

/* One cipher at one size, ours and theirs. */
struct work {
    struct sp_key *key;
    EVP_CIPHER_CTX *cipher;
    uint8_t nonce[SC_IV_SIZE];
    OSSL_PARAM tag[2]; /* in `packet`, after the payload */
    size_t size;
    size_t first; /* of the first of two parts; 0: one part */
    size_t sealed_size;
};

static void seal_once(const struct work *w, uint64_t pn)
{
    const struct sb_bytes two[] = {{.data = plain, .size = w->first},
                                   {.data = plain + w->first, .size = w->size - w->first}};
    bool is_one = w->first == 0;
    (void)ops->seal(w->key, &(struct sp_seal){
                                .pn = pn,
                                .header = header,
                                .header_size = sizeof(header),
                                .parts = is_one ? two + 1 : two,
                                .part_count = is_one ? 1 : 2,
                                .out = packet,
                            });
}

static void run_seal(void *context, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        seal_once(context, i);
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

static bool open_once(const struct work *w, uint64_t pn)
{
    const struct sb_bytes head = {.data = header, .size = sizeof(header)};
    return sp_open_in_place(ops, w->key, pn, head, packet, w->sealed_size);
}

static void bring_back(const struct work *w)
{
    memcpy(packet, sealed, w->sealed_size);
    __asm__ volatile("" : : : "memory");
}

static void run_copy(void *context, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        bring_back(context);
}

static void run_open(void *context, uint64_t count)
{
    const struct work *w = context;
    bool opened = true;
    for (uint64_t i = 0; i < count; i++) {
        bring_back(w);
        opened &= open_once(w, PN);
    }
    micro_check(opened, "an opened packet");
}

static void run_open_bare(void *context, uint64_t count)
{
    struct work *w = context;
    int done = 1, size = 0;
    for (uint64_t i = 0; i < count; i++) {
        bring_back(w);
        done &= EVP_DecryptInit_ex2(w->cipher, NULL, NULL, w->nonce, w->tag);
        done &= EVP_DecryptUpdate(w->cipher, NULL, &size, header, sizeof(header));
        done &= EVP_DecryptUpdate(w->cipher, packet, &size, packet, (int)w->size);
        done &= EVP_DecryptFinal_ex(w->cipher, packet + size, &size);
    }
    micro_check(done == 1, "OpenSSL opens");
}

/* Checks the input that an unauthenticated peer controls. */
static void run_open_forged(void *context, uint64_t count)
{
    const struct work *w = context;
    bool opened = false;
    for (uint64_t i = 0; i < count; i++)
        opened |= open_once(w, PN + 1);
    micro_check(!opened, "a forged packet is refused");
}

static struct work work_create(const struct sc_suite *suite)
{
    void *context = sc_protect(NULL).context;
    struct work w = {.key = ops->key(context, SP_VERSION_1, suite->id, secret, suite->secret_size),
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

/* Brings `sealed` to this size, by the reference. */
static void work_resize(struct work *w, size_t size, size_t first)
{
    w->size = size;
    w->first = first;
    w->sealed_size = size + SP_TAG_SIZE;
    w->tag[0] =
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, packet + size, SP_TAG_SIZE);
    w->tag[1] = OSSL_PARAM_construct_end();
    run_seal_bare(w, 1);
    memcpy(sealed, packet, w->sealed_size);
}

static void check_size(struct work *w, size_t size, size_t first)
{
    work_resize(w, size, first);
    memset(packet, 0, sizeof(packet));
    seal_once(w, PN);
    micro_check(memcmp(packet, sealed, w->sealed_size) == 0, "a sealed packet");
    run_open(w, 1);
    micro_check(memcmp(packet, plain, size) == 0, "what an opened packet holds");
    for (size_t i = 0; i < w->sealed_size; i += 97) {
        bring_back(w);
        packet[i] ^= 1;
        micro_check(!open_once(w, PN), "a changed byte is noticed");
    }
}

static void check_suite(const struct sc_suite *suite)
{
    struct work w = work_create(suite);
    for (size_t i = 0; i < SB_COUNT(sizes); i++) {
        check_size(&w, sizes[i], 0);
        check_size(&w, sizes[i], 13);
    }
    work_destroy(&w);
}

static void check(void)
{
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7);
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        const struct sc_suite *suite = sc_suite_at(s);
        micro_check(suite != NULL, "this OpenSSL lacks a cipher");
        check_suite(suite);
    }
}

/* Prints the ratio, then the nanoseconds of both. */
static void compare_rows(struct micro *m, const char *name, const struct micro_sample *ours,
                         const struct micro_sample *theirs, size_t size)
{
    char text[64], note[64];
    struct micro_sample ratio = micro_ratio(ours, theirs);
    (void)snprintf(text, sizeof(text), "%s / bare EVP", name);
    micro_row(
        m, &(struct micro_row){
               .name = text, .unit = "x", .sample = &ratio, .goal = MICRO_AT_MOST, .target = 1.1});
    (void)snprintf(note, sizeof(note), "%.2f Gbit/s; bare EVP %.1f ns",
                   (double)size * 8 / ours->median, theirs->median);
    micro_row(m, &(struct micro_row){.name = name, .unit = "ns", .sample = ours, .note = note});
}

static void time_size(struct micro *m, struct work *w, const char *suite, size_t size)
{
    char names[2][64];
    work_resize(w, size, 0);
    (void)snprintf(names[0], sizeof(names[0]), "%s seal %zu", suite, size);
    (void)snprintf(names[1], sizeof(names[1]), "%s open %zu", suite, size);
    const struct micro_subject subjects[] = {
        {names[0], run_seal, w, 1},   {"bare EVP", run_seal_bare, w, 1},
        {names[1], run_open, w, 1},   {"bare EVP, with the copy", run_open_bare, w, 1},
        {"the copy", run_copy, w, 1},
    };
    struct micro_sample s[SB_COUNT(subjects)];
    micro_time(m, subjects, SB_COUNT(subjects), s);
    if (m->is_counting)
        return;
    compare_rows(m, names[0], &s[0], &s[1], size);
    s[2] = micro_difference(&s[2], &s[4]);
    s[3] = micro_difference(&s[3], &s[4]);
    compare_rows(m, names[1], &s[2], &s[3], size);
}

static void time_others(struct micro *m, struct work *w)
{
    const struct micro_subject subjects[] = {
        {"seal 13 + 1337, two parts", run_seal, w, 1},
        {"open 1350, forged", run_open_forged, w, 1},
    };
    struct micro_sample s[SB_COUNT(subjects)];
    work_resize(w, 1350, 13);
    micro_time(m, subjects, SB_COUNT(subjects), s);
    for (size_t i = 0; i < SB_COUNT(subjects); i++)
        micro_row_ns(m, subjects[i].name, &s[i], MICRO_REPORTED, 0);
}

static void time_all(struct micro *m)
{
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        const struct sc_suite *suite = sc_suite_at(s);
        struct work w = work_create(suite);
        bool is_first = suite->id == SP_SUITE_AES_128_GCM;
        for (size_t i = 0; i < SB_COUNT(sizes); i++) {
            if (is_first || sizes[i] == 1350)
                time_size(m, &w, suite->name, sizes[i]);
        }
        if (is_first)
            time_others(m, &w);
        work_destroy(&w);
    }
}

const struct micro_bench micro_protect = {
    .name = "protect",
    .what = "P1/P2: seal and open a packet, next to OpenSSL's bare calls",
    .check = check,
    .time = time_all,
};
