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

/* `key` stays the caller's.  NULL without memory.  One owner, one thread: make one
 * for each shard from the same key. */
struct sc_reset *sc_reset_create(const uint8_t key[SC_RESET_KEY_SIZE]);

void sc_reset_token(struct sc_reset *reset, const struct sp_cid *cid,
                    uint8_t ret[SP_RESET_TOKEN_SIZE]);

/* Compares in constant time, so that tokens cannot be guessed byte by byte.
 * [RFC9000 10.3.1] */
bool sc_reset_token_equal(const uint8_t a[SP_RESET_TOKEN_SIZE],
                          const uint8_t b[SP_RESET_TOKEN_SIZE]);

void sc_reset_destroy(struct sc_reset *reset); /* wipes; NULL is accepted */

#endif
