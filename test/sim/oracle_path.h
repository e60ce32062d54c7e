/* SPDX-License-Identifier: MIT */
#ifndef QS_ORACLE_PATH_H
#define QS_ORACLE_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/path/cid_remote.h"
#include "proto/wire/types.h"
#include "test/sim/trace.h"

/* What leaves on which path.  No CID is sent to from two addresses of the sender.  [RFC9000 9.5]
 *
 * What a server sends to each address of its client: at most three times what came from there,
 * until the address has proved that it receives.  [RFC9000 8, 8.2, 9.3]
 *
 * The first address is proved by the handshake, others by a PATH_RESPONSE with the bytes of a
 * PATH_CHALLENGE that was sent there. */

enum { QS_CHALLENGES_MAX = 64 }; /* the newest that may be answered */

struct qs_oracle_addr;
struct qs_oracle_cid;

struct qs_oracle_path {
    struct qs_trace *trace;
    const char *who;
    struct qs_oracle_addr *addrs; /* of `count`; the first is that of the handshake */
    uint32_t count;
    struct {
        uint8_t data[SP_PATH_DATA_SIZE];
        uint32_t addr; /* index; UINT32_MAX: it has not left yet */
    } challenges[QS_CHALLENGES_MAX];
    uint64_t challenge_count;
    struct qs_oracle_cid *cids; /* of the peer, of `cid_count`: packets were sent to them */
    uint32_t cid_count;
};

void qs_oracle_path_init(struct qs_oracle_path *oracle, struct qs_trace *trace, const char *who);
void qs_oracle_path_deinit(struct qs_oracle_path *oracle);

/* `size` bytes of a datagram came from `remote`. */
void qs_oracle_path_in(struct qs_oracle_path *oracle, const struct sp_addr *remote, uint64_t size);
/* `size` bytes leave for `remote`. */
void qs_oracle_path_out(struct qs_oracle_path *oracle, const struct sp_addr *remote, uint64_t size);
/* A datagram leaves from `local`.  `cid_size`: of the peer's CIDs, `ids`: what is left of them. */
void qs_oracle_path_cid(struct qs_oracle_path *oracle, const struct sp_cid_remote *ids,
                        const uint8_t *datagram, size_t cid_size, const struct sp_addr *local);
/* A packet was sealed, which leaves with the next qs_oracle_path_out(), or opened. */
void qs_oracle_path_packet(struct qs_oracle_path *oracle, const struct qs_packet *packet);
/* `remote` has proved that it receives, by bytes that the oracle does not see. */
void qs_oracle_path_is_valid(struct qs_oracle_path *oracle, const struct sp_addr *remote);
/* The handshake has proved the first address. */
void qs_oracle_path_first_is_valid(struct qs_oracle_path *oracle);

#endif
