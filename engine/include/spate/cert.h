/* SPDX-License-Identifier: MIT */
#ifndef SPATE_CERT_H
#define SPATE_CERT_H

#include <string.h>

#include <spate/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Certificates that are shared, chosen by name and replaced while a server runs, and handshakes
 * that wait for the application: for a certificate, a signature, or a verdict about the peer.
 *
 *     spate_cert_create() -> spate_tls_options.cert, spate_tls_set_certs() -> spate_cert_destroy()
 *     spate_tls_options.on_cert, .on_verify, spate_cert_options.on_sign -> spate_shard_answer_*()
 */

struct spate_shard;
struct spate_tls;

/* A certificate with its chain, and its private key or a function that signs instead.  Created
 * once, shared by TLS configurations and handshakes, never changed.  [RFC8446 4.4.2] */
struct spate_cert;

/* A certificate in the encoding DER. */
struct spate_der {
    const uint8_t *data;
    size_t size; /* bytes at `data` */
};

/* A question of a handshake that waits for the answer.  It is valid until the function that got it
 * returns, with all that it points to: copy what is needed later.  For the answer, `shard` and
 * `conn_id` are needed. */
struct spate_ask {
    size_t size;               /* bytes of the struct in the library: later versions add fields */
    struct spate_shard *shard; /* that owns the connection */
    uint64_t conn_id;          /* of the connection, as spate_conn_id() returns it */
    void *conn_user;           /* `user` of spate_shard_listen() or spate_shard_connect() */
    const char *server_name;   /* that the client requests (SNI), or "".  It may be the peer's: do
                                  not trust it */
    const char *alpn;          /* the application protocol that was negotiated, or "" before */

    /* on_cert: the signature schemes that the peer accepts, as TLS numbers them.
     * [RFC8446 4.2.3] */
    const uint16_t *schemes;
    size_t scheme_count; /* entries in `schemes` */

    /* on_sign */
    const uint8_t *data; /* to be hashed and signed as `scheme` says */
    size_t data_size;    /* bytes at `data`, at most 146 */

    /* on_verify */
    const struct spate_der *chain; /* the peer's certificates, its own first */
    size_t chain_count;            /* entries in `chain` */
    const char *chain_error;       /* why the chain was not accepted; NULL: it was */

    uint16_t scheme;     /* on_sign: SignatureScheme, like 0x0403 (ecdsa_secp256r1_sha256), 0x0804
                            (rsa_pss_rsae_sha256) or 0x0807 (ed25519).  [RFC8446 4.2.3] */
    bool is_server;      /* a listener accepted the connection */
    uint8_t reserved[5]; /* zero */
};

/* A function of the application that gets a question.  It answers by spate_shard_answer_cert(),
 * spate_shard_answer_sign() or spate_shard_answer_verify(), before it returns or at any time later;
 * other threads use spate_shard_post() to call them.  A handshake without an answer ends by
 * handshake_timeout_ns.  The function runs on the shard's thread, outside of all other work of the
 * shard: it may call every function with "Threads: shard" but spate_shard_turn().
 *
 *   ask   See struct spate_ask.
 *   user  From the options that the function came with. */
typedef void (*spate_ask_function)(const struct spate_ask *ask, void *user);

/* Options of spate_cert_create().  Initialise it with spate_cert_options_init(), or with `.size` in
 * an initialiser.  Zero is the default of every field. */
struct spate_cert_options {
    size_t size; /* sizeof(struct spate_cert_options) */

    /* The certificate (the leaf first, then its chain), in PEM form, as a file or as text, not
     * both. */
    const char *cert_file; /* path of a PEM file */
    const char *cert_pem;  /* PEM text */

    /* The leaf's private key, in PEM form, as a file or as text, not both.  None with on_sign. */
    const char *key_file;     /* path of a PEM file */
    const char *key_pem;      /* PEM text */
    const char *key_password; /* of an encrypted key; NULL: the key is not encrypted */

    /* The private key is elsewhere: each handshake asks for one signature.  The key may be an RSA,
     * an ECDSA or an Ed25519 key.  The signature is in the form that OpenSSL's EVP_DigestSign()
     * makes; it is not checked here, but the peer refuses a wrong one. */
    spate_ask_function on_sign; /* NULL: the key is given above */
    void *on_sign_user;         /* passed to on_sign; not used by the library */
};

/* Sets `size`, and every other field to zero.
 *
 *   options  In any state.
 *
 * Threads: any. */
static inline void spate_cert_options_init(struct spate_cert_options *options)
{
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
}

/* Creates a certificate.  Reads and checks all files now.
 *
 *   options  Strings and files are copied.
 *   *ret     Owned by the caller until spate_cert_destroy().  Untouched on failure.
 *   error    Names the file or the option on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL  An option is missing or contradicts another, or spate_cert_options_init() was not
 *            called.  Or a certificate or key cannot be decoded, the password is wrong, or they do
 *            not match.  Or OpenSSL refuses the kind or the size of the key.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOENT  A file does not exist.
 *   -EACCES  A file cannot be read.
 *   -EFBIG   A file is too large.
 *   -ENOMEM  There is not enough memory.
 * Other negative errnos of reading a file are passed on.
 *
 * Threads: any. */
SPATE_API int spate_cert_create(const struct spate_cert_options *options, struct spate_cert **ret,
                                struct spate_error *error);

/* Gives up the caller's reference.  TLS configurations and handshakes keep theirs.
 *
 *   cert  NULL is accepted.
 *
 * Threads: any. */
SPATE_API void spate_cert_destroy(struct spate_cert *cert);

/* The certificate for a name. */
struct spate_cert_entry {
    const char *name; /* as clients request it (SNI), or "*.example.org", which stands for one label
                         more [RFC9525 6.3].  NULL: for clients without a name, and for other names
                         with SPATE_UNKNOWN_NAME_DEFAULT */
    struct spate_cert *cert;
};

/* Replaces all certificates of a TLS configuration at once.  Handshakes that begin after the call
 * use the new ones, those that have begun before end with the old ones, and connections are not
 * touched.  On failure the old ones stay.
 *
 *   tls      From spate_tls_server_create() or spate_tls_client_create().
 *   entries  Copied, with references to the certificates.  For a client: one without a name.
 *   count    Entries in `entries`, at most 1,048,576.  May be 0 for a client, or with on_cert.
 *   error    Names the entry on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL  A name is not a server's name or comes twice, or an entry has no certificate.  Or a
 *            server would be left without one, or a client would get one by name.
 *   -ENOMEM  There is not enough memory, or there are too many entries.
 *
 * Threads: any. */
SPATE_API int spate_tls_set_certs(struct spate_tls *tls, const struct spate_cert_entry *entries,
                                  size_t count, struct spate_error *error);

/* Answers on_cert of spate_tls_options: the handshake goes on with this certificate.
 *
 *   conn_id  From the question.
 *   cert     A reference is taken.  NULL: there is none.  Then a server does what unknown_name
 * says, and a client sends no certificate.
 *
 * Returns 0, or:
 *   -ENOENT  The connection has gone or is closed, or it does not wait for this answer: it may have
 *            got it before.
 *
 * Threads: shard. */
SPATE_API int spate_shard_answer_cert(struct spate_shard *shard, uint64_t conn_id,
                                      struct spate_cert *cert);

/* Answers on_sign of spate_cert_options: the handshake goes on with this signature.
 * [RFC8446 4.4.3]
 *
 *   conn_id    From the question.
 *   signature  Copied.  NULL: there is none, and the handshake fails.
 *   size       Bytes at `signature`, at most 2,048.
 *
 * Returns 0, or:
 *   -ENOENT  The connection has gone or is closed, or it does not wait for this answer: it may have
 *            got it before.
 *   -EINVAL  The signature is too large; the handshake still waits.
 *
 * Threads: shard. */
SPATE_API int spate_shard_answer_sign(struct spate_shard *shard, uint64_t conn_id,
                                      const void *signature, size_t size);

/* Answers on_verify of spate_tls_options: the peer is accepted or refused.
 *
 *   conn_id  From the question.
 *   alert    0: the peer is accepted.  Otherwise the alert with which the handshake fails, for
 *            example 42 (bad_certificate) or 46 (certificate_unknown).  [RFC8446 6.2]
 *   reason   Text for a person, which becomes part of the reason of SPATE_EVENT_CLOSED on this
 *            side.  May be NULL; not used if the peer is accepted.
 *
 * Returns 0, or:
 *   -ENOENT  The connection has gone or is closed, or it does not wait for this answer: it may have
 *            got it before.
 *
 * Threads: shard. */
SPATE_API int spate_shard_answer_verify(struct spate_shard *shard, uint64_t conn_id, uint8_t alert,
                                        const char *reason);

#ifdef __cplusplus
}
#endif

#endif
