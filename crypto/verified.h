/* SPDX-License-Identifier: MIT */
#ifndef SC_VERIFIED_H
#define SC_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#include "proto/base/compiler.h"

/* Chains of certificates that were verified for a server's name, and until when that counts.
 * Bounded: SC_VERIFIED_MAX of them; beyond, one that ends soon makes room.
 *
 * An entry is known by a hash of the whole chain, as the server has sent it, and of the name, so
 * that it says nothing about another name, chain or order of certificates.  What else decides about
 * a chain, the certificates that are trusted and the purpose, is constant in a configuration, to
 * which these belong.  Times are seconds of the system's clock, as in certificates. */
struct sc_verified;

enum { SC_VERIFIED_MAX = 512, SC_VERIFIED_KEY_SIZE = 32, SC_VERIFIED_LIFE_S_MAX = 24 * 3600 };

/* `life_s` is 1 to SC_VERIFIED_LIFE_S_MAX.  NULL without memory. */
struct sc_verified *sc_verified_create(uint32_t life_s);
void sc_verified_destroy(struct sc_verified *verified); /* NULL is accepted */

/* Returns whether `key` was added and has not ended; false too if the clock was set back to before
 * it was added.  Threads: any, as the next. */
bool sc_verified_knows(struct sc_verified *verified, const uint8_t *key, int64_t now_s);
/* Adds `key` for `life_s`, or until `not_after_s` if that is sooner. */
void sc_verified_add(struct sc_verified *verified, const uint8_t *key, int64_t now_s,
                     int64_t not_after_s);

/* X509_verify_cert(), unless the chain of `store` is known for `name`; adds it if it is good. */
int sc_verified_check(struct sc_verified *verified, X509_STORE_CTX *store, const char *name,
                      int64_t now_s);

#endif
