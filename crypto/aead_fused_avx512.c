/* SPDX-License-Identifier: MIT */
#include "crypto/aead_fused_vec512.h"

/* The fused AES-GCM for AVX-512 with VAES and VPCLMULQDQ: Ice Lake, Zen 4 and later. */

#include "crypto/aead_fused_impl.h"

const struct sc_fused sc_fused_avx512 = SC_FUSED_OF("fused-avx512");
