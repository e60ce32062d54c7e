/* SPDX-License-Identifier: MIT */
/* The nonce of a packet from its number, next to a random one: out of OpenSSL's generator, and
 * out of the kernel. */

#include <string.h>
#include <sys/random.h>

#include <openssl/rand.h>

#include "bench/micro/benches.h"
#include "crypto/aead.h"
#include "proto/base/compiler.h"
#include "proto/wire/quic.h"

static const uint8_t iv[SC_IV_SIZE] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 254};

/* [RFC9001 5.3] in its own words: the number in network order, left-padded with zeros. */
static void reference_nonce(uint64_t pn, uint8_t ret[SC_IV_SIZE])
{
    uint8_t padded[SC_IV_SIZE] = {0};
    for (size_t i = SC_IV_SIZE; i-- > 0; pn >>= 8)
        padded[i] = (uint8_t)pn;
    for (size_t i = 0; i < SC_IV_SIZE; i++)
        ret[i] = padded[i] ^ iv[i];
}

static void check(void)
{
    for (uint64_t i = 0; i < 62; i++) {
        const uint64_t numbers[] = {i, (UINT64_C(1) << i) + i, SP_PN_MAX - i};
        for (size_t k = 0; k < SB_COUNT(numbers); k++) {
            uint8_t got[SC_IV_SIZE], want[SC_IV_SIZE];
            sc_nonce_make(iv, numbers[k], got);
            reference_nonce(numbers[k], want);
            micro_check(memcmp(got, want, sizeof(want)) == 0, "a nonce");
        }
    }
}

static void run_by_number(void *context, uint64_t count)
{
    uint8_t nonce[SC_IV_SIZE];
    (void)context;
    for (uint64_t i = 0; i < count; i++) {
        sc_nonce_make(iv, i, nonce);
        micro_use_at(nonce);
    }
}

static void run_random(void *context, uint64_t count)
{
    uint8_t nonce[SC_IV_SIZE];
    int done = 1;
    (void)context;
    for (uint64_t i = 0; i < count; i++)
        done &= RAND_bytes(nonce, sizeof(nonce));
    micro_check(done == 1, "random bytes");
}

static void run_getrandom(void *context, uint64_t count)
{
    uint8_t nonce[SC_IV_SIZE];
    bool done = true;
    (void)context;
    for (uint64_t i = 0; i < count; i++)
        done &= getrandom(nonce, sizeof(nonce), 0) == (ssize_t)sizeof(nonce);
    micro_check(done, "random bytes");
}

static void time_all(struct micro *m)
{
    static const struct micro_subject subjects[] = {
        {"by packet number", run_by_number, NULL, 1},
        {"random, RAND_bytes()", run_random, NULL, 1},
        {"random, getrandom()", run_getrandom, NULL, 1},
    };
    struct micro_sample s[SB_COUNT(subjects)];
    micro_time(m, subjects, SB_COUNT(subjects), s);
    micro_row_ns(m, subjects[0].name, &s[0], MICRO_AT_MOST, 2);
    micro_row_ns(m, subjects[1].name, &s[1], MICRO_REPORTED, 0);
    micro_row_ns(m, subjects[2].name, &s[2], MICRO_REPORTED, 0);
}

const struct micro_bench micro_nonce = {
    .name = "nonce",
    .what = "P5: a nonce by packet number, next to a random one",
    .check = check,
    .time = time_all,
};
