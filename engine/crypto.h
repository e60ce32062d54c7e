/* SPDX-License-Identifier: MIT */
#ifndef SE_CRYPTO_H
#define SE_CRYPTO_H

#include <spate/engine.h>

#include "crypto/aead_fused.h"

/* Which AES-GCM an engine gets that asks for `asked`: `*ret` is what sc_protect() takes, NULL for
 * OpenSSL.  Returns 0, or -ENOTSUP with its reason in `error`. */
int se_crypto_choose(enum spate_crypto asked, const struct sc_fused **ret,
                     struct spate_error *error);

#endif
