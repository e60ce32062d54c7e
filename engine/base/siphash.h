/* SPDX-License-Identifier: MIT */
#ifndef SE_SIPHASH_H
#define SE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash whose values cannot be predicted without the
 * key, so that an unauthenticated peer that chooses CIDs cannot make them collide. */
struct se_siphash_key {
    uint64_t word[2];
};

uint64_t se_siphash(const struct se_siphash_key *key, const uint8_t *data, size_t size);

#endif
