/* SPDX-License-Identifier: MIT */
#ifndef SC_X25519_KEYS_H
#define SC_X25519_KEYS_H

/* X25519 for a provider: that of another one, but for how keys are made, and for the exchange where
 * there is a faster one for this CPU. */

#include <stdbool.h>

#include <openssl/core.h>
#include <openssl/types.h>

#include "proto/base/compiler.h"

/* What a provider has to offer as "X25519"; both are as long as the process. */
struct sc_x25519_keys {
    const OSSL_DISPATCH *keys;     /* OSSL_OP_KEYMGMT */
    const OSSL_DISPATCH *exchange; /* OSSL_OP_KEYEXCH */
};

/* Takes them from `provider`, for the context that it is loaded into.  Its own provider context is
 * the one that they want.  Returns false if it has not all that is needed.  Once per process. */
SB_MUST_USE bool sc_x25519_keys_init(OSSL_PROVIDER *provider, OSSL_LIB_CTX *context,
                                     struct sc_x25519_keys *ret);

#endif
