/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_H
#define SC_AEAD_FUSED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/keys.h"
#include "crypto/memory.h"
#include "proto/base/pool.h"
#include "proto/packet/protect.h"

/* AES-GCM made for packets, on CPUs that have VAES and VPCLMULQDQ.
 *
 *     const struct sc_fused *fused = sc_fused_best();    NULL: none here
 *     fused->init_key(&key, ..)  ->  fused->seal(&key, ..) / open / peek  ->  OPENSSL_cleanse()
 *
 * A key is constant once it is made: any number of threads may use it at a time.
 * crypto/aead_fused_impl.h explains the algorithm. */

enum {
    SC_FUSED_ROUND_KEYS_MAX = 15, /* of AES-256 */
    /* Blocks that can be hashed with one reduction: a wide group of AVX-512's. */
    SC_FUSED_POWERS = 32,
    /* A vector that begins in the table, or right after it if there is no header, may extend past
     * its end: zeros follow. */
    SC_FUSED_POWERS_PADDING = 4,
};

/* The round keys of AES, in the order of use. */
struct sc_fused_schedule {
    uint8_t keys[SC_FUSED_ROUND_KEYS_MAX][16];
    uint32_t rounds; /* 10 or 14 */
};

/* A packet key.  Powers of the hash key H are in the form that a multiplication wants them
 * in, bytes reversed and times x, the highest first. */
struct sc_fused_key {
    uint8_t powers[SC_FUSED_POWERS + SC_FUSED_POWERS_PADDING][16];
    uint8_t folds[SC_FUSED_POWERS + SC_FUSED_POWERS_PADDING][16]; /* low half XOR high half */
    uint8_t iv[16];                                               /* SC_IV_SIZE of it, then zeros */
    struct sc_fused_schedule schedule;
};

/* One variant.  What is not said here is as in struct sp_protect_ops.  One without functions does
 * nothing, and OpenSSL all: it says where keys take their memory. */
struct sc_fused {
    const char *name;
    /* Where the small part of each key is, which stays while it rests.  NULL: on the heap. */
    struct sc_memory *memory;
    /* Where its keys and its schedules of header protection take their memory: pools of struct
     * sc_fused_key and struct sc_fused_schedule, in a copy of the variant that the owner of the
     * pools has made.  NULL: from the heap. */
    struct sb_pool *keys;
    struct sb_pool *schedules;
    /* `size` of an AES key is 16 or 32.  The owner of a key or a schedule wipes it. */
    void (*init_schedule)(struct sc_fused_schedule *schedule, const uint8_t *key, size_t size);
    void (*init_key)(struct sc_fused_key *key, const uint8_t *aes_key, size_t size,
                     const uint8_t iv[SC_IV_SIZE]);
    void (*seal)(const struct sc_fused_key *key, const struct sp_seal *packet);
    /* A packet that is not authentic leaves zeros where its plaintext would be.  Downwards too: all
     * is read in rising order, the header first, and a vector is hashed and loaded before its text
     * is stored, which is never above the place that it came from. */
    void (*open)(const struct sc_fused_key *key, struct sp_open *packets, size_t count);
    void (*peek)(const struct sc_fused_key *key, const struct sp_open *packet, size_t size,
                 uint8_t *ret);
    void (*masks)(const struct sc_fused_schedule *schedule, const uint8_t *const *samples,
                  size_t count, uint8_t (*ret)[SP_MASK_SIZE]);
};

/* Returns whether there is a cipher.  NULL is accepted. */
static inline bool sc_fused_is_able(const struct sc_fused *fused)
{
    return fused != NULL && fused->init_key != NULL;
}

static inline struct sc_memory *sc_fused_memory(const struct sc_fused *fused)
{
    return fused != NULL ? fused->memory : NULL;
}

/* Returns variant `index`, the best one first, and NULL after the last.  `*ret_reason` is the
 * reason why this CPU cannot run it, or NULL if it can.  The first call of a process asks the CPU
 * and tests the variants that it can run.  Threads: any. */
const struct sc_fused *sc_fused_at(size_t index, const char **ret_reason);

/* The first that can run, or NULL.  Threads: any. */
const struct sc_fused *sc_fused_best(void);

/* Takes memory for a key or a schedule: undefined content, or NULL. */
SB_MUST_USE struct sc_fused_key *sc_fused_key_take(const struct sc_fused *fused);
SB_MUST_USE struct sc_fused_schedule *sc_fused_schedule_take(const struct sc_fused *fused);
/* Wipe it and give it back.  NULL is accepted. */
void sc_fused_key_give(const struct sc_fused *fused, struct sc_fused_key *key);
void sc_fused_schedule_give(const struct sc_fused *fused, struct sc_fused_schedule *schedule);

/* Does `fused` give what has been published?  Needs a CPU that can run it. */
bool sc_fused_self_test(const struct sc_fused *fused);

/* Of variants: */

/* `size` is 16 or 32.  Needs AES-NI. */
void sc_fused_schedule_init(struct sc_fused_schedule *schedule, const uint8_t *key, size_t size);

extern const struct sc_fused sc_fused_avx2;
extern const struct sc_fused sc_fused_avx512;

#endif
