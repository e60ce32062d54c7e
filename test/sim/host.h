/* SPDX-License-Identifier: MIT */
#ifndef QS_HOST_H
#define QS_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/token.h"
#include "proto/conn/conn.h"
#include "test/sim/crypto.h"
#include "test/sim/end.h"
#include "test/sim/kept.h"
#include "test/sim/net.h"
#include "test/sim/plan.h"

/* A machine with one socket, in the place of a shard: reads datagrams in batches, finds
 * their connections, makes new ones, and answers what belongs to none. */

enum { QS_ENDS_MAX = 512 };

struct qs_host {
    enum sp_role role;
    const struct qs_plan *plan;
    const struct qs_side_plan *side;
    struct qs_clock *clock;
    struct qs_trace *trace;
    struct qs_link *out;
    struct qs_host *peer;
    struct qs_random random;
    struct qs_crypto crypto;
    struct sb_memory memory;
    uint32_t negotiations_forged;
    uint64_t memory_bytes;     /* taken and not given back */
    uint64_t memory_bytes_max; /* largest memory_bytes so far */
    bool was_refused;          /* memory, since the last qs_host_share_memory() */
    uint64_t step_count;
    struct sp_pools pools;
    struct sc_tokens *tokens; /* server that sends Retry or NEW_TOKEN */
    uint8_t *ticket;          /* client: the newest that was not used; NULL: none */
    size_t ticket_size;
    bool ticket_is_later;                 /* of a connection with the later configuration */
    uint8_t token[SP_NEW_TOKEN_SIZE_MAX]; /* client: likewise */
    size_t token_size;
    uint32_t ticket_version, token_version; /* of the connections that they came from */
    uint64_t buffer_count;                  /* receive buffers that someone holds */
    struct sp_careful_saved measured;       /* of its path; until_ns 0: nothing */

    struct qs_end *ends[QS_ENDS_MAX];
    uint32_t end_count;
    uint64_t serial; /* of the next end */

    struct qs_wire **arrived; /* not read yet */
    uint32_t arrived_count;
    uint32_t arrived_size;
    uint64_t overflow_count; /* datagrams that the socket had no room for */
    struct qs_kept kept;     /* server: 0-RTT that has no connection yet */
};

void qs_host_init(struct qs_host *host, const struct qs_plan *plan, enum sp_role role,
                  struct qs_clock *clock, struct qs_trace *trace);
/* Divides memory between the connections, as the engine does once per turn: see
 * engine/shard/shard_memory.c. */
void qs_host_share_memory(struct qs_host *host);
/* Every object in use belongs to a connection. */
void qs_host_check_stores(struct qs_host *host);
/* Everything must have come back; what has not fails the run. */
void qs_host_deinit(struct qs_host *host);

/* Takes a datagram for this host, and owns it from then on.  The `deliver` of a link. */
void qs_host_deliver(void *host, struct qs_wire *wire);

/* Client: opens its next connection. */
void qs_host_connect(struct qs_host *host);

/* Loses all connections, without a word. */
void qs_host_crash(struct qs_host *host);

/* Returns the number of connections that exist. */
uint32_t qs_host_live_count(const struct qs_host *host);

/* The end of connection `conn_index` that is not stray, or NULL. */
struct qs_end *qs_host_end_of(const struct qs_host *host, uint64_t conn_index);

void qs_host_reset_token(const struct qs_host *host, const struct sp_cid *cid,
                         uint8_t ret_token[SP_RESET_TOKEN_SIZE]);

#endif
