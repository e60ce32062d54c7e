/* SPDX-License-Identifier: MIT */
#ifndef SC_REMOTE_KEY_H
#define SC_REMOTE_KEY_H

#include <openssl/types.h>

#include "crypto/ossl_error.h"
#include "proto/base/bytes.h"
#include "proto/base/compiler.h"

/* A private key that is elsewhere.  OpenSSL takes it for an ordinary one; its signature is made
 * before OpenSSL asks for it. */

/* Makes the key for a certificate; the caller frees it.  `name` is that of the certificate, for
 * `error`.  Returns 0, or -EINVAL if TLS 1.3 has no signature for its kind, -ENOMEM. */
SB_MUST_USE int sc_remote_key_create(X509 *leaf, const char *name, EVP_PKEY **ret,
                                     struct sc_error *error);

/* What OpenSSL gets when it signs `data` by such a key in this thread: `signature`.  Other data is
 * refused. */
struct sc_remote_signature {
    struct sb_bytes data;
    struct sb_bytes signature;
};

/* Sets what this thread signs; NULL: nothing.  `signature` is borrowed until the next call. */
void sc_remote_key_lend(const struct sc_remote_signature *signature);

#endif
