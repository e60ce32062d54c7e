/* SPDX-License-Identifier: MIT */
#ifndef SC_X25519_H
#define SC_X25519_H

/* X25519 [RFC7748 5], in time that does not depend on the private keys. */

#include <stdbool.h>
#include <stdint.h>

enum { SC_X25519_SIZE = 32 };

/* Makes the table that public keys need, in half a millisecond.  Once per process, before them. */
void sc_x25519_init(void);

/* The public key of a private one, which need not be clamped. */
void sc_x25519_public(const uint8_t secret[SC_X25519_SIZE], uint8_t ret[SC_X25519_SIZE]);

typedef void (*sc_x25519_public_key)(const uint8_t secret[SC_X25519_SIZE],
                                     uint8_t ret[SC_X25519_SIZE]);

/* Returns the fastest one for this CPU.  It has made the same key as sc_x25519_public(). */
sc_x25519_public_key sc_x25519_public_here(void);

/* The shared secret.  Returns false if it is zero, which the public key of the peer alone decides;
 * `ret` is zero then.  [RFC7748 6.1] */
typedef bool (*sc_x25519_shared)(const uint8_t secret[SC_X25519_SIZE],
                                 const uint8_t peer[SC_X25519_SIZE], uint8_t ret[SC_X25519_SIZE]);

/* Returns the one for this CPU, or NULL: there is none that is faster than OpenSSL's.  It has made
 * a shared secret of the RFC. */
sc_x25519_shared sc_x25519_shared_here(void);

/* With AVX-512 IFMA, which the CPU must have. */
void sc_x25519_public_ifma(const uint8_t secret[SC_X25519_SIZE], uint8_t ret[SC_X25519_SIZE]);
bool sc_x25519_shared_ifma(const uint8_t secret[SC_X25519_SIZE], const uint8_t peer[SC_X25519_SIZE],
                           uint8_t ret[SC_X25519_SIZE]);

/* The scalar that a private key stands for. */
void sc_x25519_clamp(const uint8_t secret[SC_X25519_SIZE], uint8_t ret[SC_X25519_SIZE]);

#endif
