/* SPDX-License-Identifier: MIT */
#ifndef SPATE_TLS_H
#define SPATE_TLS_H

#include <string.h>

#include <spate/base.h>
#include <spate/cert.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Keys, certificates and rules for the peer.  Created once, shared by connections, never changed
 * but by spate_tls_set_certs().  [RFC9001 4]
 *
 * A program that loads providers of OpenSSL, or sets default properties, for the handshakes of
 * Spate does so before it creates one of these: then its handshakes use the process's own library
 * context.  What openssl.cnf sets up counts as well.  Where the thread that creates one has another
 * context as its default (OSSL_LIB_CTX_set0_default()), they use that, which must outlive it.
 * Otherwise they use one of Spate, which has only what OpenSSL's default provider has. */
struct spate_tls;

/* Whether a server asks clients for a certificate. */
enum spate_client_auth {
    SPATE_CLIENT_AUTH_NONE,     /* does not ask */
    SPATE_CLIENT_AUTH_OPTIONAL, /* asks; a certificate that the client sends is verified */
    SPATE_CLIENT_AUTH_REQUIRED, /* asks; refuses clients without a valid certificate */
};

/* What a server does for a client whose server name (SNI) has no certificate.  [RFC6066 3] */
enum spate_unknown_name {
    SPATE_UNKNOWN_NAME_DEFAULT, /* uses the certificate without a name; without one, refuses */
    SPATE_UNKNOWN_NAME_REFUSE,  /* refuses with the alert unrecognized_name.  A client without a
                                   name still gets the certificate without a name */
};

/* What on_verify is asked about. */
enum spate_verify {
    SPATE_VERIFY_AFTER_CHAIN, /* peers whose chain, and for a client whose name, was accepted */
    SPATE_VERIFY_INSTEAD,     /* all peers: on_verify alone decides.  CA certificates are not
                                 needed; if they are given, chain_error has their verdict */
};

/* Bits for `ciphers` of spate_tls_options.  [RFC9001 5.3] */
enum {
    SPATE_CIPHER_AES_128_GCM = 1 << 0,
    SPATE_CIPHER_AES_256_GCM = 1 << 1,
    SPATE_CIPHER_CHACHA20_POLY1305 = 1 << 2,
};

/* Options of spate_tls_server_create() and spate_tls_client_create().  Initialise it with
 * spate_tls_options_init(), or with `.size` in an initialiser.  Zero is the default of every
 * field. */
struct spate_tls_options {
    size_t size; /* sizeof(struct spate_tls_options) */

    /* The certificate (the leaf first, then its chain) and the leaf's private key, both in PEM
     * form.  Each as a file or as text, not both.  A server needs them; a client may have them. */
    const char *cert_file; /* path of a PEM file */
    const char *key_file;  /* path of a PEM file, without a passphrase */
    const char *cert_pem;  /* PEM text */
    const char *key_pem;   /* PEM text */

    /* The CA certificates to trust, as a file or as text, not both.  With neither, a client uses
     * the system's certificate store.  A server that asks for certificates needs them, because the
     * system's CAs give one to everybody. */
    const char *ca_file; /* path of a PEM file */
    const char *ca_pem;  /* PEM text */

    bool insecure; /* client: does not verify the server.  For experiments only */
    enum spate_client_auth client_auth; /* server; NONE for a client */

    /* Application protocols, the preferred one first, 1 to 255 bytes each.  QUIC needs at least
     * one.  [RFC9001 8.1] */
    const char *const *alpn;
    size_t alpn_count; /* entries in `alpn` */

    uint32_t ciphers;        /* SPATE_CIPHER_* bits; 0 allows all */
    const char *keylog_file; /* path; secrets are appended in clear text, in NSS format.  NULL: no
                                file */

    /* More about certificates: <spate/cert.h>. */
    struct spate_cert *cert; /* instead of cert_file and the three others; a reference is taken */
    const struct spate_cert_entry *certs; /* server: by name; copied */
    size_t cert_count;                    /* entries in `certs` */
    enum spate_unknown_name unknown_name; /* server */
    enum spate_verify verify;             /* with on_verify only */
    /* Is asked which certificate to use: on a server for clients whose server name is not in
     * `certs`, on a client when the server asks for a certificate.  NULL: nobody is asked. */
    spate_ask_function on_cert;
    /* Is asked whether the peer is the right one, after it has proved that the certificate is its
     * own, and before it gets anything.  Not asked about a client without certificate, and not
     * again when a handshake resumes an earlier one.  NULL: nobody is asked. */
    spate_ask_function on_verify;
    void *ask_user;       /* passed to on_cert and on_verify; not used by the library */
    bool keep_peer_chain; /* for spate_conn_peer_certificate(); otherwise the peer's own certificate
                             alone is kept */
    uint8_t reserved[7];  /* ignored */

    /* Resumption and 0-RTT of a server: <spate/resume.h>. */
    const uint8_t *ticket_keys; /* SPATE_KEY_SIZE bytes each, shared with other processes; the first
                                   seals, all open.  NULL: a random one, which is replaced once in
                                   the life of a ticket */
    size_t ticket_key_count;    /* keys at `ticket_keys`, at most 4 */
    /* Is asked on the shard's thread whether to accept the 0-RTT of a client, and must not call the
     * library.  `server_name` may be NULL; `alpn` has `alpn_size` bytes.  NULL: all is accepted. */
    bool (*on_early)(void *early_user, const char *server_name, const uint8_t *alpn,
                     size_t alpn_size);
    void *early_user;           /* passed to on_early */
    uint32_t ticket_count;      /* tickets per connection, and a token.  Default 0: none */
    uint32_t ticket_lifetime_s; /* default 0: a day; at most 7 days [RFC8446 4.6.1] */
    uint32_t early_hellos_max;  /* ClientHellos with 0-RTT in 12 s that are remembered, 16 bytes
                                   each; beyond, 0-RTT is rejected.  Default 0: 65,536 */
    bool early_data;            /* accept 0-RTT.  Default false */
    uint8_t reserved_2[3];      /* ignored */

    /* Client that verifies chains, alone or before on_verify: for how many seconds it accepts a
     * chain for a server's name again without verifying it, but not beyond the life of its
     * certificates.  The server still proves in each handshake that the leaf's key is its own.
     * Up to 512 chains are remembered.  At most 86,400; default 0: each chain is verified. */
    uint32_t verified_life_s;
    uint8_t reserved_3[4]; /* ignored */
};

/* Sets `size`, and every other field to zero.
 *
 *   options  In any state.
 *
 * Threads: any. */
static inline void spate_tls_options_init(struct spate_tls_options *options)
{
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
}

/* Creates the TLS configuration of a server.  Reads and checks all files now, so that no connection
 * fails because of them later.  [RFC9001 4]
 *
 *   options  Strings and files are copied.
 *   *ret     Owned by the caller until spate_tls_destroy().  Untouched on failure.
 *   error    Names the file or the option on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL  An option is missing, unknown or contradicts another, or spate_tls_options_init() was
 *            not called.  Or a certificate or key cannot be decoded, or they do not match.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOENT  A file does not exist, or the system has no certificate store.
 *   -EACCES  A file cannot be read, or keylog_file cannot be written.
 *   -EFBIG   A file is too large.
 *   -ENOMEM  There is not enough memory.
 * Other negative errnos of reading a file are passed on.
 *
 * Threads: any. */
SPATE_API int spate_tls_server_create(const struct spate_tls_options *options,
                                      struct spate_tls **ret, struct spate_error *error);

/* Creates the TLS configuration of a client.  Reads and checks all files now, so that no connection
 * fails because of them later.  [RFC9001 4]
 *
 *   options  Strings and files are copied.
 *   *ret     Owned by the caller until spate_tls_destroy().  Untouched on failure.
 *   error    Names the file or the option on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL  An option is missing, unknown or contradicts another, or spate_tls_options_init() was
 *            not called.  Or a certificate or key cannot be decoded, or they do not match.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOENT  A file does not exist, or the system has no certificate store.
 *   -EACCES  A file cannot be read, or keylog_file cannot be written.
 *   -EFBIG   A file is too large.
 *   -ENOMEM  There is not enough memory.
 * Other negative errnos of reading a file are passed on.
 *
 * Threads: any. */
SPATE_API int spate_tls_client_create(const struct spate_tls_options *options,
                                      struct spate_tls **ret, struct spate_error *error);

/* Gives up the caller's reference.  Listeners and connections keep theirs.
 *
 *   tls  NULL is accepted.
 *
 * Threads: any. */
SPATE_API void spate_tls_destroy(struct spate_tls *tls);

/* The kind of key of a self-signed certificate. */
enum spate_key_type {
    SPATE_KEY_P256,
    SPATE_KEY_ED25519,
    SPATE_KEY_RSA2048,
};

/* Options of spate_self_signed().  Initialise it with spate_self_signed_options_init(), or with
 * `.size` in an initialiser.  Zero is the default of every field. */
struct spate_self_signed_options {
    size_t size; /* sizeof(struct spate_self_signed_options) */
    enum spate_key_type key_type;
    const char *const *names; /* DNS names and IP addresses; the first is the subject */
    size_t name_count;        /* entries in `names`; 0: localhost, 127.0.0.1 and ::1 */
    uint32_t days;            /* days for which the certificate is valid; 0: 30 */
    uint32_t reserved;        /* ignored; fills the padding at the end */
};

/* Sets `size`, and every other field to zero.
 *
 *   options  In any state.
 *
 * Threads: any. */
static inline void spate_self_signed_options_init(struct spate_self_signed_options *options)
{
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
}

/* Makes a self-signed certificate and its private key, for experiments and tests.
 *
 *   options        Names, key type and validity.
 *   *ret_cert_pem  The certificate as PEM text.  The caller frees it with spate_free().
 *   *ret_key_pem   The private key as PEM text.  The caller frees it with spate_free().
 *   error          Names the option on failure; may be NULL.
 *
 * Both outputs are untouched on failure.
 *
 * Returns 0, or:
 *   -EINVAL  A name is neither a DNS name nor an IP address.  Or there are too many names or days.
 *            Or spate_self_signed_options_init() was not called.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOMEM  There is not enough memory.
 *
 * Threads: any. */
SPATE_API int spate_self_signed(const struct spate_self_signed_options *options,
                                char **ret_cert_pem, char **ret_key_pem, struct spate_error *error);

/* Wipes and frees a string that this library made.
 *
 *   text  NULL is accepted.
 *
 * Threads: any. */
SPATE_API void spate_free(char *text);

#ifdef __cplusplus
}
#endif

#endif
