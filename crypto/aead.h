/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_H
#define SC_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <openssl/types.h>

#include "crypto/aead_fused.h"
#include "crypto/keys.h"
#include "crypto/memory.h"
#include "crypto/suite.h"
#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/packet/protect.h"

/* [RFC9001 5.3] The packet number, big endian and padded on the left, XOR the IV. */
static inline void sc_nonce_make(const uint8_t iv[SC_IV_SIZE], uint64_t pn, uint8_t ret[SC_IV_SIZE])
{
    enum { PAD_SIZE = SC_IV_SIZE - sizeof(pn) };
    memcpy(ret, iv, PAD_SIZE);
    sb_store_u64(ret + PAD_SIZE, sb_load_u64(iv + PAD_SIZE) ^ pn);
}

/* Packet protection with one packet key.  [RFC9001 5.3]  One owner, one thread.
 * It is OpenSSL's or a fused one. */
struct sc_aead {
    EVP_CIPHER_CTX *cipher; /* OpenSSL's, keyed once: only the nonce changes; NULL while it rests */
    uint8_t iv[SC_IV_SIZE];
    const struct sc_fused *fused;   /* NULL: it is OpenSSL's */
    struct sc_fused_key *fused_key; /* ours; NULL while it rests */
    const struct sc_suite *suite;
    struct sc_memory *memory;
    uint8_t key[SC_KEY_SIZE_MAX]; /* to make either again */
};

/* Takes key and IV from `keys`, which stay the caller's.  With `fused` AES-GCM is done by it,
 * and anything else by OpenSSL.  False, and nothing to deinit, without memory. */
SB_MUST_USE bool sc_aead_init(struct sc_aead *aead, const struct sc_suite *suite,
                              const struct sc_keys *keys, const struct sc_fused *fused);

/* See struct sp_protect_ops for these. */
size_t sc_aead_seal(struct sc_aead *aead, const struct sp_seal *packet);
void sc_aead_open(struct sc_aead *aead, struct sp_open *packets, size_t count);
void sc_aead_peek(struct sc_aead *aead, const struct sp_open *packet, size_t size, uint8_t *ret);

/* Frees the larger part of a key, which can be made again.  Nothing else may be called but wake()
 * and deinit(), until wake() returns true; false: there is no memory now.  Both may be called at
 * any time. */
void sc_aead_rest(struct sc_aead *aead);
SB_MUST_USE bool sc_aead_wake(struct sc_aead *aead);

/* Wipes; harmless on a zeroed one. */
void sc_aead_deinit(struct sc_aead *aead);

#endif
