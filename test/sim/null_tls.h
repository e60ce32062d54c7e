/* SPDX-License-Identifier: MIT */
#ifndef QS_NULL_TLS_H
#define QS_NULL_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/packet/tls.h"

/* A handshake with the flow of TLS 1.3 and nothing of its security.
 *
 *     client                              server
 *     ClientHello             ----->                              Initial
 *                             <-----      ServerHello             Initial
 *                             <-----      EncryptedExtensions,    Handshake
 *                                         Certificate,            (not if it resumes)
 *                                         CertificateVerify, Finished
 *     Finished                ----->                              Handshake
 *                             <-----      NewSessionTicket        1-RTT
 *
 * A message is a type, a length of 3 bytes and a body, as in TLS.  Each Finished carries a
 * hash of all earlier messages: bytes that were lost, moved or changed in CRYPTO frames fail the
 * handshake.  Secrets come from both sides' random numbers.
 *
 * A ticket holds a secret, the server's transport parameters, and whether 0-RTT may be used with
 * it, under a hash.  0-RTT is accepted if the plan says so and no limit is lower than in the
 * ticket.
 *
 * Pointers that it returns are valid exactly as long as tls.h promises.  Then the bytes are wiped,
 * so that a connection that keeps a pointer for too long is found. */

enum qs_message {
    QS_MESSAGE_NONE = 0,
    QS_CLIENT_HELLO = 1,
    QS_SERVER_HELLO = 2,
    QS_SESSION_TICKET = 4,
    QS_ENCRYPTED_EXTENSIONS = 8,
    QS_CERTIFICATE = 11,
    QS_CERTIFICATE_VERIFY = 15,
    QS_FINISHED = 20,
};

/* What the server does about 0-RTT. */
enum qs_early {
    QS_EARLY_OFF,    /* its tickets do not allow it */
    QS_EARLY_ACCEPT, /* accepts it */
    QS_EARLY_REJECT, /* its tickets allow it, but it rejects it */
    QS_EARLY_FORCE,  /* accepts it under limits that are too low: breaks the protocol */
};

struct qs_tls_plan {
    size_t hello_size;       /* of the ClientHello; more than about 1,150 is two datagrams */
    size_t certificate_size; /* of the chain */
    size_t ticket_size;
    uint32_t ticket_count;
    enum qs_message fail_at; /* the side that receives this message fails with `alert` */
    uint8_t alert;           /* TLS alert for fail_at */
    bool forgets_tickets;    /* the server resumes nothing */
    enum qs_early early;
    bool write_secret_first; /* the order of the two secrets of a level */
    uint32_t waits;   /* a bit per enum qs_message: the side that receives it waits for an answer */
    uint64_t wait_ns; /* at most, until the answer; SB_NEVER: there is none */
};

void qs_tls_plan_init(struct qs_tls_plan *plan);

/* `plan` is borrowed until the end; `seed` gives this side's random number.  NULL without
 * memory. */
struct sp_tls *qs_null_tls_create(enum sp_role role, const struct qs_tls_plan *plan, uint64_t seed);

/* The answer for which the handshake waits. */
void qs_null_tls_answer(struct sp_tls *tls);
/* Client, before start(): resumes with a ticket, and offers 0-RTT if that allows it and
 * `wants_early`.  Returns false, and changes nothing, if the ticket cannot be read.  `ticket` is
 * copied. */
bool qs_null_tls_resume(struct sp_tls *tls, struct sb_bytes ticket, bool wants_early);
/* The transport parameters that 0-RTT packets keep to; empty if none is offered. */
struct sb_bytes qs_null_tls_early_params(const struct sp_tls *tls);
bool qs_null_tls_is_resumed(const struct sp_tls *tls);

extern const struct sp_tls_ops qs_null_tls_ops;

#endif
