/* SPDX-License-Identifier: MIT */
#ifndef QS_NULL_PROTECT_H
#define QS_NULL_PROTECT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/packet/protect.h"

/* Packet protection without a cipher.
 *
 * All bytes of the payload are veiled alike: a token in it must not be one where the packet is cut.
 * A keyed 16-byte tag covers key, packet number, header and payload, so that damage and wrong keys
 * are detected as with an AEAD.  A packet that fails to open is overwritten, as an AEAD may leave
 * it.  Neither secret nor safe: for tests only. */

#define QS_NULL_VEIL 0xa5

struct qs_null_plan {
    uint64_t seal_count_max; /* small ones force key updates. [RFC9001 6.6] */
    uint64_t fail_count_max;
    bool is_out_of_memory; /* no key wakes */
    bool accepts_anything; /* the canary: a tag that is never looked at */
};

/* The limits of AES-GCM. */
void qs_null_plan_init(struct qs_null_plan *plan);

/* Makes the integrity tag of a Retry packet that answers an Initial for `original_dcid`.  Never
 * fails. */
bool qs_null_retry_tag(uint32_t version, const struct sp_cid *original_dcid, const uint8_t *packet,
                       size_t size, uint8_t ret[SP_TAG_SIZE]);

/* `context` of sp_protect is a const struct qs_null_plan *, borrowed by all keys. */
extern const struct sp_protect_ops qs_null_protect_ops;

#endif
