/* SPDX-License-Identifier: MIT */
#ifndef SC_HKDF_H
#define SC_HKDF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/sha.h>

#include "crypto/suite.h"
#include "proto/base/bytes.h"

/* HKDF with SHA-256 or SHA-384.  [RFC5869, RFC8446 7.1]  Usage order:
 *
 *     open() -> expand() for each label -> close()
 *
 * It is a value and asks for no memory, so nothing of it can fail.  One open() and three expand()
 * cost 0.6 us; the same through EVP_MAC 1.3, through EVP_KDF 3.1. */

union sc_hash {
    SHA256_CTX sha256;
    SHA512_CTX sha512; /* SHA-384 too */
};

/* HMAC with one key. */
struct sc_hkdf {
    size_t hash_size;    /* decides which hash it is */
    union sc_hash inner; /* has taken the key, as the next */
    union sc_hash outer;
};

/* PRK = HKDF-Extract(salt, ikm).  `ret` takes `hash_size` bytes: 32 or 48.  `salt` has at most 64
 * bytes, the block of SHA-256. */
void sc_hkdf_extract(size_t hash_size, struct sb_bytes salt, struct sb_bytes ikm, uint8_t *ret);

/* `secret` has `hash_size` bytes and stays the caller's. */
void sc_hkdf_open(struct sc_hkdf *hkdf, size_t hash_size, const uint8_t *secret);

/* HKDF-Expand-Label(secret, label, "", size); QUIC uses no context.  [RFC9001 5.1]
 * `label` is without "tls13 "; `size` is at most that of the hash: no more is ever needed. */
void sc_hkdf_expand(const struct sc_hkdf *hkdf, const char *label, uint8_t *ret, size_t size);

/* What HKDF-Expand-Label() gets beside the secret.  NULL data: empty. */
struct sc_hkdf_label {
    struct sb_bytes prefix; /* "tls13 " */
    struct sb_bytes label;
    struct sb_bytes context;
};

/* Returns whether TLS 1.3 has such a label: prefix and label of at most 255 bytes together, a
 * context of at most 255, and 1 to 255 hashes to be expanded. */
bool sc_hkdf_label_fits(const struct sc_hkdf_label *label, size_t hash_size, size_t size);
/* HKDF-Expand-Label() in general, for what sc_hkdf_label_fits() allows.  [RFC8446 7.1] */
void sc_hkdf_expand_label(const struct sc_hkdf *hkdf, const struct sc_hkdf_label *label,
                          uint8_t *ret, size_t size);

/* Writes the hash of no bytes, `hash_size` bytes of it. */
void sc_hkdf_hash_of_nothing(size_t hash_size, uint8_t *ret);

/* Wipes the key. */
void sc_hkdf_close(struct sc_hkdf *hkdf);

#endif
