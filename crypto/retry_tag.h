/* SPDX-License-Identifier: MIT */
#ifndef SC_RETRY_TAG_H
#define SC_RETRY_TAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/wire/types.h"

/* The Retry integrity tag.  [RFC9001 5.8, RFC9369 3.3.3]  Threads: any. */

/* Writes to `ret` the tag of a Retry `packet` of `version` (`size` bytes, without the tag) that
 * answers an Initial packet for `original_dcid`.  Returns false without memory. */
SB_MUST_USE bool sc_retry_tag_make(uint32_t version, const struct sp_cid *original_dcid,
                                   const uint8_t *packet, size_t size, uint8_t ret[SP_TAG_SIZE]);

/* True if the last SP_TAG_SIZE of the `size` bytes at `packet` are that tag. */
SB_MUST_USE bool sc_retry_tag_is_authentic(uint32_t version, const struct sp_cid *original_dcid,
                                           const uint8_t *packet, size_t size);

#endif
