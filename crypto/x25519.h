/* SPDX-License-Identifier: MIT */
#ifndef SC_X25519_H
#define SC_X25519_H

/* Public keys of X25519 [RFC7748 5], in time that does not depend on the private ones. */

#include <stdint.h>

enum { SC_X25519_SIZE = 32 };

/* Makes the table that sc_x25519_public() needs, in half a millisecond.  Once per process, before
 * it. */
void sc_x25519_init(void);

/* The public key of a private one, which need not be clamped. */
void sc_x25519_public(const uint8_t secret[SC_X25519_SIZE], uint8_t ret[SC_X25519_SIZE]);

#endif
