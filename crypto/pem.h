/* SPDX-License-Identifier: MIT */
#ifndef SC_PEM_H
#define SC_PEM_H

#include <openssl/types.h>
#include <openssl/x509.h>

#include "crypto/ossl_error.h"
#include "proto/base/compiler.h"

/* Certificates and keys in PEM form, from a file or from text. */
struct sc_pem {
    const char *file; /* one of the two */
    const char *text;
    const char *password; /* of an encrypted key; NULL: none */
};

/* Where it comes from, for messages: the file's name. */
const char *sc_pem_name(const struct sc_pem *pem);

/* Reads all certificates, at least one; the caller frees the stack with its members.
 *
 * Both return 0, or a file's negative errno, -EINVAL if it cannot be decoded,
 * -EFBIG if it is over 1 MB, -ENOMEM.  `what` is "certificate" or the like, for `error`. */
SB_MUST_USE int sc_pem_read_certs(const struct sc_pem *pem, const char *what, STACK_OF(X509) * *ret,
                                  struct sc_error *error);

/* Reads the first private key; the caller frees it.  -EINVAL too if it is encrypted and the
 * password is wrong or not given. */
SB_MUST_USE int sc_pem_read_key(const struct sc_pem *pem, EVP_PKEY **ret, struct sc_error *error);

#endif
