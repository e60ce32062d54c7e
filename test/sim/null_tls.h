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
 *                                         Certificate,
 *                                         CertificateVerify, Finished
 *     Finished                ----->                              Handshake
 *                             <-----      NewSessionTicket        1-RTT
 *
 * A message is a type, a length of 3 bytes and a body, as in TLS.  Each Finished carries a
 * hash of all earlier messages: bytes that were lost, moved or changed in CRYPTO frames fail the
 * handshake.  Secrets come from both sides' random numbers.
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

struct qs_tls_plan {
    size_t hello_size;       /* of the ClientHello; more than about 1,150 is two datagrams */
    size_t certificate_size; /* of the chain */
    size_t ticket_size;
    uint32_t ticket_count;
    enum qs_message fail_at; /* the side that receives this message fails with `alert` */
    uint8_t alert;           /* TLS alert for fail_at */
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

extern const struct sp_tls_ops qs_null_tls_ops;

#endif
