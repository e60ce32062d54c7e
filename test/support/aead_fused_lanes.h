/* SPDX-License-Identifier: MIT */
#ifndef QT_AEAD_FUSED_LANES_H
#define QT_AEAD_FUSED_LANES_H

#include "crypto/aead_fused.h"

/* The fused AES-GCM's algorithm in plain AES-NI, with vectors of two blocks as AVX2 has them, and
 * of four as AVX-512. */
extern const struct sc_fused fused_lanes_2;
extern const struct sc_fused fused_lanes_4;

#endif
