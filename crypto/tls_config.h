/* SPDX-License-Identifier: MIT */
#ifndef SC_TLS_CONFIG_H
#define SC_TLS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "crypto/cert_table.h"
#include "crypto/ossl_error.h"
#include "proto/base/compiler.h"
#include "proto/packet/protect.h"
#include "proto/wire/types.h"

/* What all connections of one kind have in common: keys, certificates, and rules for the peer.
 * Made once, then constant and shared; reference counted.
 *
 *     create() -> ref() per further owner -> unref() by each owner */
struct sc_tls_config;

enum sc_client_auth {
    SC_CLIENT_AUTH_NONE,
    SC_CLIENT_AUTH_OPTIONAL, /* asked for; verified where given */
    SC_CLIENT_AUTH_REQUIRED, /* without: alert certificate_required */
};

/* What decides about a peer's chain. */
enum sc_verify {
    SC_VERIFY_CHAIN,       /* the CA certificates, and the server's name */
    SC_VERIFY_ASK_AFTER,   /* the same, and then the answer to SC_ASK_VERIFY */
    SC_VERIFY_ASK_INSTEAD, /* the answer alone; with CA certificates it gets their verdict */
};

enum { SC_TLS_APP_WORDS = 4 };

struct sc_resumption;
struct sc_verified;

/* Returns whether 0-RTT of a client may be accepted.  `server_name`: what it asked for, or NULL.
 * Threads: that of the handshake. */
typedef bool (*sc_allow_early)(void *context, const char *server_name, const uint8_t *alpn,
                               size_t alpn_size);

/* Everything is copied.  Zero, then set what is needed. */
struct sc_tls_options {
    enum sp_role role;

    /* PEM, the leaf first, then its chain; and the leaf's key, without a passphrase.  As a
     * file or as text, not both.  A server needs them, a client may have them. */
    const char *cert_file;
    const char *cert_pem;
    const char *key_file;
    const char *key_pem;

    /* The certificates to trust.  With one of these: exactly the certificates in it, be they roots,
     * intermediates or the peer's own.  With neither: the system's store. */
    const char *ca_file;
    const char *ca_pem;

    bool insecure;                   /* client: verify nothing */
    enum sc_client_auth client_auth; /* server */

    /* Application protocols, the preferred first; 1 to 255 bytes each.  At least one.
     * The server's order decides.  [RFC9001 8.1] */
    const char *const *alpn;
    size_t alpn_count;

    /* The preferred first.  0: all that we have, AES-128 first.  A server puts ChaCha20
     * first for clients that do: they have no AES instructions. */
    const enum sp_suite *suites;
    size_t suite_count;

    /* As SSL_CTX_set1_groups_list() takes them.  NULL: X25519 first, of which alone a
     * client sends a key share: a ClientHello with an ML-KEM share takes two datagrams.
     * A server accepts X25519MLKEM768 from clients that prefer it. */
    const char *groups;

    /* Instead of cert_file and so on; a reference is taken.  It may be of a key elsewhere. */
    struct sc_cert *cert;
    const struct sc_cert_entry *certs; /* server: by name */
    size_t cert_count;
    bool refuses_unknown; /* server: a name without certificate fails; else it gets `cert` */
    bool asks_cert;       /* SC_ASK_CERT; then no certificate is needed here */
    enum sc_verify verify;
    uint32_t verified_life_s;    /* client: see crypto/verified.h; 0: each chain is verified */
    bool keeps_peer_chain;       /* for sc_tls_peer_chain() */
    void *app[SC_TLS_APP_WORDS]; /* kept for the caller */

    const char *keylog_file; /* NULL: none */
    uint32_t ticket_count;   /* server: session tickets after a handshake */

    /* Server with tickets.  Their life in seconds, 0: a day, 7 days at most; the keys that seal
     * them, 32 bytes each, the one that seals first, 0: a random one that is replaced once in a
     * life of a ticket. */
    uint32_t ticket_lifetime_s;
    const uint8_t *ticket_keys;
    size_t ticket_key_count;
    /* Server with tickets: accepts 0-RTT.  ClientHellos that are remembered against replays, 0:
     * 65,536; and who may refuse, or NULL. */
    bool accepts_early;
    uint32_t strike_count;
    sc_allow_early on_early;
    void *allow_early_context;
};

enum {
    /* Bytes of CRYPTO data that we send at one level: bounds our own certificate chain. */
    SC_TLS_SEND_BYTES_MAX = 65536,
    /* Bytes of the peer's certificate chain.  Beyond: alert illegal_parameter. */
    SC_TLS_PEER_CHAIN_BYTES_MAX = 65536,
};

/* Reads and checks everything now, so that no connection fails because of it later.  `*ret` has
 * one reference.  Returns 0, or:
 *   -EINVAL  An option is missing or contradicts another, something cannot be decoded,
 *            or key and certificate do not match.
 *   -ENOENT, -EACCES, ...  A file cannot be read, or written.
 *   -EFBIG, -ENOMEM
 * On failure `error` (which may be NULL) names the file or option.  Threads: any. */
SB_MUST_USE int sc_tls_config_create(const struct sc_tls_options *options,
                                     struct sc_tls_config **ret, struct sc_error *error);

/* Threads: any. */
struct sc_tls_config *sc_tls_config_ref(struct sc_tls_config *config);
void sc_tls_config_unref(struct sc_tls_config *config); /* NULL is accepted */

/* Replaces the keys of tickets; see sc_tls_options.ticket_keys.  Returns 0, -EINVAL for a bad
 * count, or -ENOTSUP without tickets.  Threads: any. */
SB_MUST_USE int sc_tls_config_set_ticket_keys(struct sc_tls_config *config, const uint8_t *keys,
                                              size_t count);
bool sc_tls_config_accepts_early(const struct sc_tls_config *config);
bool sc_tls_config_has_tickets(const struct sc_tls_config *config); /* server */
/* For crypto/tls_resume.c. */
const struct sc_resumption *sc_tls_config_resumption(const struct sc_tls_config *config);

enum sp_role sc_tls_config_role(const struct sc_tls_config *config);

void *const *sc_tls_config_app(const struct sc_tls_config *config);

/* Replaces all certificates, for handshakes that begin from now on.  A server's entries may be any;
 * a client's is one without a name, or none.  On failure nothing has changed.  Returns 0, -EINVAL,
 * -ENOMEM.  Threads: any. */
SB_MUST_USE int sc_tls_config_set_certs(struct sc_tls_config *config,
                                        const struct sc_cert_entry *entries, size_t count,
                                        struct sc_error *error);

/* The present certificates, with a reference for the caller; NULL: that of the context. */
struct sc_cert_table *sc_tls_config_certs(struct sc_tls_config *config);

bool sc_tls_config_asks_cert(const struct sc_tls_config *config);
bool sc_tls_config_refuses_unknown(const struct sc_tls_config *config);
bool sc_tls_config_keeps_peer_chain(const struct sc_tls_config *config);
bool sc_tls_config_has_trust(const struct sc_tls_config *config); /* CA certificates */
enum sc_verify sc_tls_config_verify(const struct sc_tls_config *config);
OSSL_LIB_CTX *sc_tls_config_library(const struct sc_tls_config *config);        /* of its SSL_CTX */
struct sc_verified *sc_tls_config_verified(const struct sc_tls_config *config); /* or NULL */

/* In crypto/tls_ask.c, for the context: SSL_CTX_set_cert_cb() and the like. */
int sc_tls_on_cert(SSL *ssl, void *arg);
int sc_tls_on_chain(X509_STORE_CTX *store, void *arg);
void sc_tls_on_keylog(const SSL *ssl, const char *line);

/* For crypto/tls*.c.  Each SSL made of it must have sc_tls.alert as its app data, which
 * is -1, and takes the alert with which a ClientHello is refused. */
SSL_CTX *sc_tls_config_context(const struct sc_tls_config *config);
bool sc_tls_config_is_insecure(const struct sc_tls_config *config);
/* Our copy of the protocol that is equal to `name`, with a zero after it; NULL data if it is none
 * of ours. */
struct sb_bytes sc_tls_config_alpn(const struct sc_tls_config *config, struct sb_bytes name);

#endif
