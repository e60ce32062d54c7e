/* SPDX-License-Identifier: MIT */
#ifndef SC_MASK_H
#define SC_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/aead_fused.h"
#include "crypto/suite.h"
#include "proto/wire/quic.h"

/* Header protection with one header key.  [RFC9001 5.4]
 *
 * The keys of all key phases of one direction share it, because a key update
 * does not change it [RFC9001 6.1].  So it has a reference count.  The count is not atomic, because
 * all of the keys belong to one connection. */
struct sc_mask;

/* `hp` has suite->key_size bytes and stays the caller's.  With `fused` AES is done by it.
 * One reference; NULL without memory. */
struct sc_mask *sc_mask_create(const struct sc_suite *suite, const uint8_t *hp,
                               const struct sc_fused *fused);
struct sc_mask *sc_mask_ref(struct sc_mask *mask);
void sc_mask_unref(struct sc_mask *mask); /* the last one wipes and frees; NULL is accepted */

/* As sc_aead_rest() and sc_aead_wake(), for all keys that share it. */
void sc_mask_rest(struct sc_mask *mask);
SB_MUST_USE bool sc_mask_wake(struct sc_mask *mask);

/* The masks of `count` samples of SP_SAMPLE_SIZE bytes each. */
void sc_mask_make(struct sc_mask *mask, const uint8_t *const *samples, size_t count,
                  uint8_t (*ret)[SP_MASK_SIZE]);

#endif
