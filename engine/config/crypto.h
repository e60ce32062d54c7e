/* SPDX-License-Identifier: MIT */
#ifndef SE_CRYPTO_H
#define SE_CRYPTO_H

#include <spate/engine.h>

#include "crypto/aead_fused.h"

/* Chooses the AES-GCM for a configuration of `asked`.  `*ret` is the argument for sc_protect():
 * NULL for OpenSSL.  Returns 0, or -ENOTSUP with the reason in `error`. */
int se_crypto_choose(enum spate_crypto asked, const struct sc_fused **ret,
                     struct spate_error *error);

#endif
