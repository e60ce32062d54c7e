/* SPDX-License-Identifier: MIT */
#ifndef SC_CERT_H
#define SC_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "crypto/ossl_error.h"
#include "proto/base/compiler.h"

/* A certificate, its chain and its private key, or the promise of signatures by it.  Made once,
 * then constant and shared; reference counted. */
struct sc_cert;

enum {
    /* Bytes of a chain as DER: CRYPTO data of a level, less the other handshake messages. */
    SC_CERT_CHAIN_BYTES_MAX = 65536 - 8192,
    SC_CERT_APP_WORDS = 2,
};

/* Everything is copied.  Zero, then set what is needed. */
struct sc_cert_options {
    /* PEM, the leaf first, then its chain.  As a file or as text, not both. */
    const char *cert_file;
    const char *cert_pem;
    /* The leaf's key, PEM, as a file or as text; none with `is_remote`. */
    const char *key_file;
    const char *key_pem;
    const char *key_password; /* of an encrypted key; NULL: it must not be encrypted */
    /* The key is elsewhere: a handshake asks for a signature (SC_ASK_SIGN). */
    bool is_remote;
    void *app[SC_CERT_APP_WORDS]; /* kept for the caller */
};

/* Reads and checks everything now.  `*ret` has one reference.  Returns 0, or:
 *   -EINVAL  An option is missing or contradicts another, something cannot be decoded, the
 *            password is wrong, key and certificate do not match, or no kind of signature that
 *            TLS 1.3 has can be made by such a key elsewhere.
 *   -ENOENT, -EACCES, ...  A file cannot be read.
 *   -EFBIG, -ENOMEM
 * On failure `error` (which may be NULL) has the reason.  Threads: any. */
SB_MUST_USE int sc_cert_create(const struct sc_cert_options *options, struct sc_cert **ret,
                               struct sc_error *error);

/* Threads: any. */
struct sc_cert *sc_cert_ref(struct sc_cert *cert);
void sc_cert_unref(struct sc_cert *cert); /* NULL is accepted */

bool sc_cert_is_remote(const struct sc_cert *cert);
void *const *sc_cert_app(const struct sc_cert *cert);

/* Make a context, or one handshake, use the certificate and no other.  False without memory. */
SB_MUST_USE bool sc_cert_use_for_all(const struct sc_cert *cert, SSL_CTX *context);
SB_MUST_USE bool sc_cert_use(const struct sc_cert *cert, SSL *ssl);

#endif
