/* SPDX-License-Identifier: MIT */
#ifndef INTEROP_NG_TLS_H
#define INTEROP_NG_TLS_H

#include <gnutls/gnutls.h>
#include <stdio.h>

#include "test/interop/ng_compat.h"
#include "test/interop/peer_options.h"

/* GnuTLS as ngtcp2 wants it: what all connections of the peer share, and the session of one. */
struct ng_tls {
    const struct peer_options *options;
    gnutls_certificate_credentials_t credentials;
    gnutls_datum_t ticket_key;        /* server */
    gnutls_anti_replay_t anti_replay; /* server with 0-RTT, or NULL */
    FILE *keylog;                     /* or NULL */
    char priority[256];
};

struct ng_tls_session {
    ngtcp2_crypto_conn_ref ref; /* first: it is what GnuTLS keeps a pointer to */
    struct ng_tls *tls;
    gnutls_session_t gnutls;
    bool wants_ticket; /* client: one is waited for */
    bool is_early;     /* client: requests may go as 0-RTT */
};

/* Returns 0, or -1 after one line on standard error. `options` must outlive `tls`. */
int ng_tls_init(struct ng_tls *tls, const struct peer_options *options);
void ng_tls_deinit(struct ng_tls *tls);

/* Makes a session; `session->ref` is set by the caller, and `session` must not move.  Returns 0, or
 * -1 after one line on standard error. */
int ng_tls_session_init(struct ng_tls_session *session, struct ng_tls *tls);
void ng_tls_session_deinit(struct ng_tls_session *session);

/* Prints the line `cipher NAME`. */
void ng_tls_print_cipher(const struct ng_tls_session *session);

#endif
