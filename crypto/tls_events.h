/* SPDX-License-Identifier: MIT */
#ifndef SC_TLS_EVENTS_H
#define SC_TLS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/packet/tls.h"

/* The events of one handshake that wait to be pulled, first in, first out, and the secrets
 * that they speak of.
 *
 * The queue cannot overflow: a handshake raises each secret at most once, and COMPLETE,
 * PEER_PARAMS and ALERT at most once, and CRYPTO events of one level merge where they follow
 * each other; one WAIT can be the last, and there is one event about 0-RTT.  So there are at most
 * 2 * (2 * 4 + 3) + 3 events.  A TICKET comes after all these were pulled. */
enum { SC_TLS_EVENTS_MAX = 28 };

struct sc_tls_event {
    uint8_t kind; /* enum sp_tls_event_kind */
    uint8_t level;
    uint8_t alert;
    bool is_write;
    uint32_t size;
};

/* What is needed as long as OpenSSL is. */
struct sc_tls_events_store {
    struct sc_tls_event queue[SC_TLS_EVENTS_MAX];
    /* [level - 1][is_write]; zeros if none.  There is none of SP_LEVEL_INITIAL. */
    uint8_t secrets[SP_LEVELS - 1][2][SP_SECRET_SIZE_MAX];
};

struct sc_tls_events {
    struct sc_tls_events_store *store; /* owned; NULL after sc_tls_events_end() */
    struct sc_tls_event last;          /* the only event after that */
    uint32_t head;
    uint32_t count;
    enum sp_suite suite; /* of all secrets but that of 0-RTT */
    enum sp_suite early_suite;
    uint8_t secret_size;
    uint8_t early_size;
    bool is_secret_lent; /* the secret said last must be wiped */
    uint8_t lent_level;
    uint8_t lent_write;
    /* Not an event: kept for the life of the connection.  [RFC8446 7.5] */
    uint8_t exporter[SP_SECRET_SIZE_MAX];
};

/* `events` is zero.  False without memory. */
SB_MUST_USE bool sc_tls_events_init(struct sc_tls_events *events);

void sc_tls_events_push_crypto(struct sc_tls_events *events, enum sp_level level, size_t size);
/* Keeps a secret without reporting it.  The size must be the same for all secrets but that of
 * 0-RTT, whose suite is that of the ticket. */
void sc_tls_events_keep_secret(struct sc_tls_events *events, enum sp_level level, bool is_write,
                               enum sp_suite suite, struct sb_bytes secret);
/* Says a secret that is kept. */
void sc_tls_events_push_secret(struct sc_tls_events *events, enum sp_level level, bool is_write);
/* PEER_PARAMS, COMPLETE, ALERT, EXCESS, WAIT. */
void sc_tls_events_push(struct sc_tls_events *events, enum sp_tls_event_kind kind, uint8_t alert);

/* Wipes what the last event lent.  Every function of struct sp_tls_ops calls it first. */
void sc_tls_events_settle(struct sc_tls_events *events);

/* Returns the next event, or SP_TLS_NONE; `params` of PEER_PARAMS is left empty. */
void sc_tls_events_pop(struct sc_tls_events *events, struct sp_tls_event *ret);

/* Forgets all events and secrets. */
void sc_tls_events_wipe(struct sc_tls_events *events);

/* The last event was pulled and is settled: gives back the memory for events and secrets.  One
 * event more may follow, which is no secret.  May be called again. */
void sc_tls_events_end(struct sc_tls_events *events);

/* Wipes and frees all.  Accepts a zero one. */
void sc_tls_events_deinit(struct sc_tls_events *events);

#endif
