/* SPDX-License-Identifier: MIT */
#include "proto/path/validation.h"

/* Each PATH_CHALLENGE has random bytes of its own, and any of the last ones may be answered.  They
 * are repeated after a PTO, then after twice the time, like the first packets of a connection.
 *
 * What can be attacked: an attacker who copies packets from another address makes us challenge it.
 * The host bounds how many paths exist, and the amplification limit what each gets. */

#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/recovery/rtt.h"

/* [RFC9000 8.2.4, 9.4] Three times the larger of the PTO and that of a path of unknown round trip.
 */
#define END_PTOS       3
#define INITIAL_PTO_NS (3 * SP_RTT_INITIAL_NS)

static uint64_t end_ns(uint64_t pto_ns, uint64_t now_ns)
{
    return sb_time_add(now_ns, END_PTOS * SB_MAX(pto_ns, INITIAL_PTO_NS));
}

void sp_validation_begin(struct sp_validation *validation, uint64_t pto_ns, uint64_t now_ns)
{
    *validation = (struct sp_validation){
        .state = SP_VALIDATION_DUE,
        .pause_ns = SB_MAX(pto_ns, SP_RTT_GRANULARITY_NS),
        .end_at_ns = end_ns(pto_ns, now_ns),
    };
}

void sp_validation_on_sent(struct sp_validation *validation, const uint8_t data[SP_PATH_DATA_SIZE],
                           size_t size, uint64_t now_ns)
{
    SB_ASSERT(validation->state == SP_VALIDATION_DUE);
    uint32_t at = validation->sent_count++ % SP_CHALLENGES_MAX;
    memcpy(validation->sent[at].data, data, SP_PATH_DATA_SIZE);
    validation->sent[at].sent_ns = now_ns;
    validation->sent[at].is_full = size >= SP_DATAGRAM_SIZE_MIN;
    validation->state = SP_VALIDATION_SENT;
    validation->again_at_ns = sb_time_add(now_ns, validation->pause_ns);
    validation->pause_ns *= 2;
}

enum sp_validation_result sp_validation_on_response(struct sp_validation *validation,
                                                    const uint8_t data[SP_PATH_DATA_SIZE],
                                                    uint64_t now_ns, uint64_t *ret_delay_ns)
{
    uint32_t count = SB_MIN(validation->sent_count, (uint32_t)SP_CHALLENGES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(validation->sent[i].data, data, SP_PATH_DATA_SIZE) != 0)
            continue;
        *ret_delay_ns = sb_time_since(now_ns, validation->sent[i].sent_ns);
        if (validation->sent[i].is_full)
            return SP_VALIDATED_PATH;
        if (!validation->wants_full) { /* [RFC9000 8.2.1, 8.2.3] */
            validation->wants_full = true;
            validation->state = SP_VALIDATION_DUE;
            validation->pause_ns = SB_MAX(*ret_delay_ns, SP_RTT_GRANULARITY_NS) * 2;
            validation->end_at_ns = end_ns(validation->pause_ns, now_ns);
        }
        return SP_VALIDATED_ADDRESS;
    }
    return SP_VALIDATED_NONE;
}

uint64_t sp_validation_deadline_ns(const struct sp_validation *validation)
{
    if (validation->state == SP_VALIDATION_DUE)
        return validation->end_at_ns;
    return sb_time_min(validation->again_at_ns, validation->end_at_ns);
}

bool sp_validation_on_time(struct sp_validation *validation, uint64_t now_ns)
{
    if (validation->end_at_ns <= now_ns)
        return false;
    if (validation->state == SP_VALIDATION_SENT && validation->again_at_ns <= now_ns)
        validation->state = SP_VALIDATION_DUE;
    return true;
}
