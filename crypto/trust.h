/* SPDX-License-Identifier: MIT */
#ifndef SC_TRUST_H
#define SC_TRUST_H

#include <stdbool.h>

#include <openssl/types.h>

#include "crypto/ossl_error.h"
#include "crypto/pem.h"
#include "proto/base/compiler.h"

/* Makes `context` trust the system's store of CA certificates.  Returns 0, or -ENOENT if there is
 * none. */
SB_MUST_USE int sc_trust_system(SSL_CTX *context, struct sc_error *error);

/* Makes `context` trust exactly the certificates in `pem`; a server names them to its clients.
 * Returns 0, -EINVAL, -ENOMEM, or what reading a file returns. */
SB_MUST_USE int sc_trust_given(SSL_CTX *context, bool is_server, const struct sc_pem *pem,
                               struct sc_error *error);

#endif
