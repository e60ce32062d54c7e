/* SPDX-License-Identifier: MIT */
#ifndef QS_CRYPTO_H
#define QS_CRYPTO_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/packet/protect.h"
#include "proto/packet/tls.h"
#include "test/sim/plan.h"

/* The pair of protection and handshake that a run uses. */
struct qs_crypto {
    struct sp_protect protect;
    const struct sp_tls_ops *tls_ops;
    /* NULL without memory. */
    struct sp_tls *(*make_tls)(const struct qs_crypto *crypto, enum sp_role role, uint64_t seed);
    /* Gives a handshake the answer for which it waits. */
    void (*answer)(struct sp_tls *tls);
    /* Client, before its start: resumes with a ticket of SP_EVENT_TICKET, with 0-RTT or not.  False
     * if it cannot. */
    bool (*resume)(struct sp_tls *tls, struct sb_bytes ticket, bool wants_early);
    /* The parameters for 0-RTT; empty: none. */
    struct sb_bytes (*early_params)(const struct sp_tls *tls);
    bool (*is_resumed)(const struct sp_tls *tls);
    /* Makes the integrity tag of a Retry packet.  False without memory. */
    bool (*retry_tag)(uint32_t version, const struct sp_cid *original_dcid, const uint8_t *packet,
                      size_t size, uint8_t ret[SP_TAG_SIZE]);
    const struct qs_plan *plan;
};

/* Null cipher, null handshake.  `plan` is borrowed. */
struct qs_crypto qs_crypto_null(const struct qs_plan *plan);

/* AES-GCM and TLS 1.3 of crypto/.  Keys and hellos then differ from run to run, so there is
 * no replay to the byte, and what the plan says of the null handshake is ignored. */
struct qs_crypto qs_crypto_real(const struct qs_plan *plan);
/* Frees what the real one keeps from run to run. */
void qs_crypto_real_deinit(void);

#endif
