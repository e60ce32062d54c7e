/* SPDX-License-Identifier: MIT */
#include "crypto/aead_fused_vec256.h"

/* The fused AES-GCM for AVX2 with VAES and VPCLMULQDQ: Zen 3, Alder Lake and later. */

#include "crypto/aead_fused_impl.h"

const struct sc_fused sc_fused_avx2 = SC_FUSED_OF("fused-avx2");
