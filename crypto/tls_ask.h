/* SPDX-License-Identifier: MIT */
#ifndef SC_TLS_ASK_H
#define SC_TLS_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/cert.h"
#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/packet/tls.h"

/* Questions of a handshake that waits for the answer.
 *
 *     SP_TLS_WAIT -> sc_tls_ask() -> any time later: sc_tls_answer_*() -> sp_conn_resume_tls()
 *
 * At most one question waits, and each is asked at most once per handshake.  While it waits,
 * the handshake does nothing; bytes that the peer sends then belong to no message and fail it. */
enum sc_ask_kind {
    SC_ASK_NONE,
    SC_ASK_CERT,   /* which certificate: server, for a name that the table does not have; client,
                      when the server asks for one */
    SC_ASK_SIGN,   /* a signature by a key that is elsewhere.  [RFC8446 4.4.3] */
    SC_ASK_VERIFY, /* whether the peer is the right one.  A client has verified the server's
                      Finished and said nothing since; a server that of the client */
};

struct sc_ask {
    enum sc_ask_kind kind;
    const char *server_name; /* what the client said or says; NULL: nothing */
    struct sb_bytes alpn;    /* what was negotiated */
    /* CERT: the signature schemes that the peer accepts.  [RFC8446 4.2.3] */
    const uint16_t *schemes;
    size_t scheme_count;
    /* SIGN */
    const struct sc_cert *cert;
    uint16_t scheme;      /* SignatureScheme: decides padding and hash */
    struct sb_bytes data; /* to be hashed and signed as the scheme says */
    /* VERIFY */
    const struct sb_bytes *chain; /* DER, the leaf first */
    size_t chain_count;
    const char *chain_error; /* why the chain was not accepted; NULL: it was */
};

/* What the handshake waits for. */
enum sc_ask_kind sc_tls_ask_kind(const struct sp_tls *tls);

/* Writes the question that waits.  What it points to is valid until the answer or destroy().
 * Returns 0, or -ENOENT if none waits, -ENOMEM. */
SB_MUST_USE int sc_tls_ask(struct sp_tls *tls, struct sc_ask *ret);

/* Answer it and let the handshake go on: the events that follow can be pulled.  Each returns 0, or
 * -ENOENT if the handshake does not wait for this answer; then nothing happened. */

/* `cert`: a reference is taken.  NULL: a server does as without this question (unknown_name), a
 * client sends none. */
SB_MUST_USE int sc_tls_answer_cert(struct sp_tls *tls, struct sc_cert *cert);
/* `signature` is copied; -EINVAL if it is larger than SC_SIGNATURE_SIZE_MAX.  Size 0: there is
 * none, and the handshake fails with internal_error. */
SB_MUST_USE int sc_tls_answer_sign(struct sp_tls *tls, struct sb_bytes signature);
/* `alert` 0: the peer is accepted.  Otherwise the handshake fails with it, and `reason`, which may
 * be NULL, is the error. */
SB_MUST_USE int sc_tls_answer_verify(struct sp_tls *tls, uint8_t alert, const char *reason);

enum { SC_SIGNATURE_SIZE_MAX = 2048 }; /* RSA with 16,384 bits */

#endif
