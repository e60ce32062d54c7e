/* SPDX-License-Identifier: MIT */
#ifndef SC_RESET_H
#define SC_RESET_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/wire/types.h"

/* Stateless reset tokens from a static key.  [RFC9000 10.3.2]
 *
 * The token of a CID is the first 16 bytes of HMAC-SHA256(key, CID).  With the key it can be made
 * again without any state, after a restart or on another machine. */
struct sc_reset;

enum { SC_RESET_KEY_SIZE = 32 };

/* Writes the key of shard `index`, derived from the engine's `key`.
 *
 * Shards must not share a key.  Anyone may send a packet with the CID of another's connection, and
 * from another port it may reach a shard that does not know the connection.  That shard answers
 * with a Stateless Reset, which must not be the one that ends the connection.
 * [RFC9000 5.2.3, 10.3.2, 21.11] */
void sc_reset_derive_key(const uint8_t key[SC_RESET_KEY_SIZE], uint32_t index,
                         uint8_t ret[SC_RESET_KEY_SIZE]);

/* `key` is a shard's, and stays the caller's.  NULL without memory.  One owner, one thread. */
struct sc_reset *sc_reset_create(const uint8_t key[SC_RESET_KEY_SIZE]);

void sc_reset_token(struct sc_reset *reset, const struct sp_cid *cid,
                    uint8_t ret[SP_RESET_TOKEN_SIZE]);

/* Compares in constant time, so that tokens cannot be guessed byte by byte.
 * [RFC9000 10.3.1] */
bool sc_reset_token_equal(const uint8_t a[SP_RESET_TOKEN_SIZE],
                          const uint8_t b[SP_RESET_TOKEN_SIZE]);

void sc_reset_destroy(struct sc_reset *reset); /* wipes; NULL is accepted */

#endif
