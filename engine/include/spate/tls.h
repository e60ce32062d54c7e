/* SPDX-License-Identifier: MIT */
#ifndef SPATE_TLS_H
#define SPATE_TLS_H

#include <string.h>

#include <spate/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Keys, certificates and what to demand of the peer: prepared once, shared by
 * connections, constant from then on.  [RFC9001 4] */
struct spate_tls;

enum spate_client_auth {
    SPATE_CLIENT_AUTH_NONE,
    SPATE_CLIENT_AUTH_OPTIONAL, /* asked for; verified where given */
    SPATE_CLIENT_AUTH_REQUIRED,
};

/* Bits for `ciphers`. */
enum {
    SPATE_CIPHER_AES_128_GCM = 1 << 0,
    SPATE_CIPHER_AES_256_GCM = 1 << 1,
    SPATE_CIPHER_CHACHA20_POLY1305 = 1 << 2,
};

/* All strings are copied.  Initialise it with spate_tls_options_init(), or with `.size` in an
 * initialiser; then set what is needed.  Zero is the default of every field. */
struct spate_tls_options {
    size_t size; /* sizeof(struct spate_tls_options) */

    /* PEM, the leaf first, then its chain; and the leaf's key.  As files or as
     * text, not both.  A server needs them; a client may have them. */
    const char *cert_file;
    const char *key_file;
    const char *cert_pem;
    const char *key_pem;

    /* Whom to trust: a PEM file, PEM text, or neither: the system's store. */
    const char *ca_file;
    const char *ca_pem;

    bool insecure; /* client: do not verify the server.  For trying things only. */
    enum spate_client_auth client_auth; /* server */

    /* Application protocols, the preferred first.  At least one: QUIC demands it.
     * [RFC9001 8.1] */
    const char *const *alpn;
    size_t alpn_count;

    uint32_t ciphers;        /* SPATE_CIPHER_* bits; 0: all */
    const char *keylog_file; /* appended to, in NSS format: secrets in the clear */
};

/* Sets the size, and everything else to zero.  Threads: any. */
static inline void spate_tls_options_init(struct spate_tls_options *options)
{
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
}

/* Reads and checks everything now, so that no connection fails for it later.
 *
 *   *ret    Owned by the caller until spate_tls_destroy(); untouched on failure.
 *   error   Says which file or option is wrong.
 *
 * Returns 0, or:
 *   -EINVAL  An option is missing or contradicts another; a certificate or key cannot be
 *            parsed, or the key does not match; `options` was not initialised.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOENT, -EACCES, ...  A file cannot be read.
 *   -ENOMEM
 *
 * Threads: any. */
SPATE_API int spate_tls_server_create(const struct spate_tls_options *options,
                                      struct spate_tls **ret, struct spate_error *error);
SPATE_API int spate_tls_client_create(const struct spate_tls_options *options,
                                      struct spate_tls **ret, struct spate_error *error);

/* Gives up the caller's reference; connections and listeners keep theirs.  NULL is
 * accepted.  Threads: any. */
SPATE_API void spate_tls_destroy(struct spate_tls *tls);

enum spate_key_type {
    SPATE_KEY_P256,
    SPATE_KEY_ED25519,
    SPATE_KEY_RSA2048,
};

/* Initialise it with spate_self_signed_options_init(), or with `.size` in an initialiser.  Zero is
 * the default of every field. */
struct spate_self_signed_options {
    size_t size; /* sizeof(struct spate_self_signed_options) */
    enum spate_key_type key_type;
    const char *const *names; /* DNS names and IP addresses; the first is the subject */
    size_t name_count;        /* 0: localhost, 127.0.0.1, ::1 */
    uint32_t days;            /* of validity from now on; 0: 30 */
    uint32_t reserved;        /* no padding at the end; ignored */
};

/* Sets the size, and everything else to zero.  Threads: any. */
static inline void spate_self_signed_options_init(struct spate_self_signed_options *options)
{
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
}

/* Makes a self-signed certificate, for trying things and for tests.
 *
 *   *ret_cert_pem, *ret_key_pem   Strings that the caller frees with spate_free().
 *
 * Returns 0, or -EINVAL (a bad name, or `options` was not initialised), -E2BIG (a field is set that
 * this library is too old to know), -ENOMEM.  Threads: any. */
SPATE_API int spate_self_signed(const struct spate_self_signed_options *options,
                                char **ret_cert_pem, char **ret_key_pem, struct spate_error *error);

/* Wipes and frees a string that this library made.  NULL is accepted.  Threads: any. */
SPATE_API void spate_free(char *text);

#ifdef __cplusplus
}
#endif

#endif
