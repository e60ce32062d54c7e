/* SPDX-License-Identifier: MIT */
#ifndef QS_NULL_TLS_IMPL_H
#define QS_NULL_TLS_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "test/sim/null_ticket.h"
#include "test/sim/null_tls.h"
#include "test/sim/random.h"

/* The state of the null handshake: for null_tls.c alone. */

enum {
    RANDOM_SIZE = 32,
    SECRET_SIZE = QS_TICKET_SECRET_SIZE,
    VERIFY_SIZE = 64,
    HEAD_SIZE = 4,
    FACTS_MAX = 32,
    TICKETS_MAX = 8,
    MESSAGE_SIZE_MAX = 1 << 17,
    ALERT_DECODE_ERROR = 50,
    ALERT_DECRYPT_ERROR = 51,
};

/* The bytes of one level. */
struct flight {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool is_dropped;
};

static inline void flight_add(struct flight *flight, const void *data, size_t size)
{
    SB_ASSERT(!flight->is_dropped);
    if (flight->size + size > flight->capacity) {
        flight->capacity = 2 * (flight->size + size);
        flight->data = realloc(flight->data, flight->capacity);
        SB_ASSERT(flight->data != NULL);
    }
    if (size > 0)
        memcpy(flight->data + flight->size, data, size);
    flight->size += size;
}

struct sp_tls {
    enum sp_role role;
    const struct qs_tls_plan *plan;
    sp_tls_answer answer;
    void *answer_context;
    struct qs_random random;
    bool is_started;
    bool is_complete;
    bool has_failed;
    bool is_waiting; /* for an answer; the message about which it is comes first in `in` */
    uint32_t waited; /* bits as of qs_tls_plan.waits: answered */
    enum qs_message next_in;
    enum sp_level level_in;          /* at which it must come */
    uint8_t randoms[2][RANDOM_SIZE]; /* of client and server */
    uint64_t transcript;
    struct flight in; /* of one level: the next begins when it is used up */
    struct flight out[SP_LEVELS];
    uint8_t *params; /* ours until they are written, then the peer's */
    size_t params_size;
    struct sb_bytes own; /* server: a copy of our parameters, for tickets */

    /* Resumption: the ticket that the client has given, and its parts. */
    struct sb_bytes ticket;
    struct qs_ticket parts;
    bool offers_early;
    bool is_resumed;
    struct sb_bytes tickets[TICKETS_MAX]; /* client: got, not taken */
    uint32_t ticket_count;
    struct sb_bytes taken;

    struct sp_tls_event facts[FACTS_MAX];
    uint32_t fact_first;
    uint32_t fact_count;

    /* Handed out until the next call; of bytes() until that of another function. */
    uint8_t secret[SECRET_SIZE];
    struct lent *lent;
};

struct lent {
    struct lent *next;
    uint8_t *bytes;
    size_t size;
};

static inline void *copy_of(const void *data, size_t size)
{
    void *copy = malloc(size > 0 ? size : 1);
    SB_ASSERT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* Ends the life of what the call before handed out. */
static inline void settle(struct sp_tls *tls)
{
    memset(tls->secret, 0xdd, sizeof(tls->secret));
    while (tls->lent != NULL) {
        struct lent *lent = tls->lent;
        tls->lent = lent->next;
        memset(lent->bytes, 0xdd, lent->size);
        free(lent->bytes);
        free(lent);
    }
}

static inline const uint8_t *lend(struct sp_tls *tls, uint8_t *bytes, size_t size)
{
    struct lent *lent = malloc(sizeof(*lent));
    SB_ASSERT(lent != NULL);
    *lent = (struct lent){.next = tls->lent, .bytes = bytes, .size = size};
    tls->lent = lent;
    return bytes;
}

#endif
