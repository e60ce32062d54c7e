/* SPDX-License-Identifier: MIT */
#ifndef SC_TLS_IMPL_H
#define SC_TLS_IMPL_H

/* What the parts of crypto/tls*.c share: nobody else includes it. */

#include <openssl/core.h>
#include <openssl/types.h>

#include "crypto/tls.h"
#include "crypto/tls_events.h"

enum { SC_TLS_NO_ALERT = -1 }; /* see sc_tls_config_context() */

/* What we have to send at one level. */
struct sc_tls_out {
    uint8_t *data;
    uint32_t size;
    uint32_t capacity;
    bool is_dropped;
};

/* Follows the framing of handshake messages. */
struct sc_tls_guard {
    uint8_t head[4]; /* type, 24 bits of size */
    uint32_t head_size;
    uint32_t left; /* bytes of the message's body still to come */
};

/* The definition of struct sp_tls, which proto/ only declares. */
struct sc_tls {
    struct sc_tls_config *config; /* one reference */
    SSL *ssl;                     /* NULL once it is not needed any more */
    uint8_t *params;              /* ours; OpenSSL reads them from here */
    uint8_t *peer_params;         /* until `ssl` is freed */
    size_t peer_params_size;
    struct sb_bytes in; /* lent by the caller of receive(), during it */
    bool in_is_lent;    /* `in` is lent to OpenSSL */
    struct sc_tls_guard guard;
    enum sp_level read_level;
    enum sp_level write_level;
    bool has_app_read; /* the 1-RTT read secret is kept, not yet said */
    bool is_complete;
    bool is_failed;
    bool is_excess; /* it failed by bytes after the last message of a level */
    int alert;      /* the first one, or SC_TLS_NO_ALERT */
    struct sc_tls_out out[SP_LEVELS];
    struct sc_tls_events events;
    sp_tls_answer answer; /* server: or NULL */
    void *answer_context;
    char *peer_name; /* client: to connect to; or NULL */

    struct sb_bytes alpn; /* points into the configuration */
    const char *group;    /* points into its SSL_CTX */
    char *server_name;
    uint8_t *peer_cert;
    size_t peer_cert_size;
    char *error;
};

static inline struct sc_tls *sc_tls_of(struct sp_tls *tls)
{
    return (struct sc_tls *)(void *)tls;
}

static inline const struct sc_tls *sc_tls_of_const(const struct sp_tls *tls)
{
    return (const struct sc_tls *)(const void *)tls;
}

/* Makes `ssl`, for the beginning of a handshake.  Returns 0 or what sc_tls_create() does. */
SB_MUST_USE int sc_tls_open(struct sc_tls *tls, struct sc_error *error);

/* For SSL_set_quic_tls_cbs(), with a struct sc_tls as its argument. */
extern const OSSL_DISPATCH sc_tls_callbacks[];

/* The first alert wins: those that OpenSSL raises because a callback failed are
 * only echoes.  `error` is copied. */
void sc_tls_note_alert(struct sc_tls *tls, int alert, const char *error);

#endif
