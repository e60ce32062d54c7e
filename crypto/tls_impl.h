/* SPDX-License-Identifier: MIT */
#ifndef SC_TLS_IMPL_H
#define SC_TLS_IMPL_H

/* What the parts of crypto/tls*.c share: nobody else includes it. */

#include <openssl/core.h>
#include <openssl/types.h>

#include "crypto/cert_table.h"
#include "crypto/memory.h"
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

/* A ticket for the application: owned. */
struct sc_tls_ticket {
    uint8_t *data;
    size_t size;
};

enum { SC_TLS_TICKETS_MAX = 4 }; /* that a client keeps; beyond: the oldest is dropped */

/* Follows the framing of handshake messages. */
struct sc_tls_guard {
    uint8_t head[4]; /* type, 24 bits of size */
    uint32_t head_size;
    uint32_t left; /* bytes of the message's body still to come */
};

/* The definition of struct sp_tls, which proto/ only declares. */
struct sc_tls {
    struct sc_memory *memory;     /* of this, and of what stays after the handshake */
    struct sc_tls_config *config; /* one reference */
    SSL *ssl;                     /* NULL once it is not needed any more */
    uint8_t *params;              /* ours; OpenSSL reads them from here */
    size_t params_size;
    uint8_t *peer_params; /* until `ssl` is freed */
    size_t peer_params_size;
    struct sb_bytes in;        /* lent by the caller of receive(), during it */
    bool in_is_lent;           /* `in` is lent to OpenSSL */
    struct sc_tls_guard guard; /* of the hello; client: then of what comes after the handshake */
    enum sp_level read_level;
    enum sp_level write_level;
    bool has_exporter;
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

    /* Resumption: see crypto/tls_resume.c. */
    uint32_t version;        /* of QUIC that the handshake begins with; 0: it does not matter */
    bool offers_early;       /* client */
    bool has_reported_early; /* what became of 0-RTT */
    bool is_paused; /* server: SSL_do_handshake() is done, the client's Finished is missing */
    bool is_resumed;
    uint8_t *early_params; /* client: of the ticket */
    size_t early_params_size;
    struct sc_tls_ticket tickets[SC_TLS_TICKETS_MAX]; /* not taken, the oldest first */
    size_t ticket_count;
    struct sc_tls_ticket taken;   /* lent until the next is taken */
    struct sc_cert_table *certs;  /* as they were at the start; NULL: that of the SSL_CTX */
    struct sc_tls_asking *asking; /* NULL if this handshake never asks, and after it */

    struct sb_bytes alpn; /* points into the configuration */
    const char *group;    /* points into its SSL_CTX */
    char *server_name;
    uint8_t *peer_chain; /* see sc_tls_peer_chain_write() */
    size_t peer_chain_size;
    struct sc_leaf *ticket_leaf; /* client: the server's certificate of the ticket; NULL: none */
    char *error;
};

/* A certificate as DER, on the heap. */
struct sc_leaf {
    size_t size;
    uint8_t der[];
};

/* It is kept as long as the connection, in pieces of powers of two. */
_Static_assert(sizeof(struct sc_tls) <= 512, "the next piece is of 1,024 bytes");

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

/* Returns the seconds of the clock by which OpenSSL judges tickets and certificates. */
uint64_t sc_tls_now_s(void);

/* Takes the oldest ticket; it is lent until the next call.  False if there is none. */
bool sc_tls_take_ticket(struct sc_tls *tls, struct sb_bytes *ret);
/* Frees all of resumption. */
void sc_tls_free_tickets(struct sc_tls *tls);
/* A HelloRetryRequest has come: it rejects 0-RTT, and the second ClientHello must not offer it.
 * [RFC8446 4.2.10] */
void sc_tls_take_early_back(struct sc_tls *tls);

/* For SSL_set_quic_tls_cbs(), with a struct sc_tls as its argument. */
extern const OSSL_DISPATCH sc_tls_callbacks[];

/* The first alert wins: those that OpenSSL raises because a callback failed are
 * only echoes.  `error` is copied. */
void sc_tls_note_alert(struct sc_tls *tls, int alert, const char *error);

/* Lets OpenSSL do what it can. */
void sc_tls_drive(struct sc_tls *tls);
/* Ends the handshake by the alert that was noted, or internal_error. */
void sc_tls_fail(struct sc_tls *tls);

/* ---- crypto/tls_ask.c ---- */

/* Makes `asking` if this handshake may ask.  False without memory. */
SB_MUST_USE bool sc_tls_asking_init(struct sc_tls *tls);
void sc_tls_asking_free(struct sc_tls *tls);
/* Looks at the messages of the handshake: for the transcript of a remote key, and for the
 * HelloRetryRequest that ends 0-RTT.  An SSL has one callback for both.  Before the first. */
void sc_tls_follow_messages(struct sc_tls *tls);
/* SSL_do_handshake(). */
int sc_tls_call_openssl(struct sc_tls *tls);
/* Whether OpenSSL may hold what it was lent for longer than a call, so that the bytes of the peer
 * have to be copied: a client that is asked for a certificate in the middle of the server's
 * messages. */
bool sc_tls_keeps_input(const struct sc_tls *tls);
/* Copies bytes of the peer; on_receive() and on_release() use the next two.  False without memory,
 * or if they are too many. */
SB_MUST_USE bool sc_tls_keep_input(struct sc_tls *tls, struct sb_bytes data);
void sc_tls_lend_kept(struct sc_tls *tls);
void sc_tls_free_kept(struct sc_tls *tls);
/* Whether a question waits. */
bool sc_tls_waits(const struct sc_tls *tls);
/* Whether the handshake may not go on yet to where it accepts the peer; then a question waits. */
bool sc_tls_holds_completion(struct sc_tls *tls);
/* Whether bytes for the present write level may go out now.  Otherwise OpenSSL offers them again
 * when it is called again, and a question waits or an alert was noted. */
bool sc_tls_may_send(struct sc_tls *tls, struct sb_bytes data);

/* ---- crypto/tls_peer.c ---- */

/* A chain is kept as one piece of memory: the size of each certificate in 3 bytes, then its DER,
 * the leaf first.  Gives the bytes that this takes, and the number of certificates. */
void sc_tls_peer_chain_size(SSL *ssl, size_t *ret_size, size_t *ret_count);
void sc_tls_peer_chain_write(SSL *ssl, uint8_t *ret);
/* The certificate at `*at`, which moves on; NULL data at the end. */
struct sb_bytes sc_tls_chain_next(const uint8_t *chain, size_t size, size_t *at);
/* Keeps the application protocol, once it is chosen. */
void sc_tls_learn_alpn(struct sc_tls *tls);
/* Keeps the chain of the peer, or its leaf, for the life of the connection. */
void sc_tls_learn_peer(struct sc_tls *tls);

#endif
