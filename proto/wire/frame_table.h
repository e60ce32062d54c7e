/* SPDX-License-Identifier: MIT */
#ifndef SP_FRAME_TABLE_H
#define SP_FRAME_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/frame.h"

/* What holds for every frame of a type: Table 3 of RFC 9000 as data.  [RFC9000 12.4] */

enum {
    SP_IN_INITIAL = 1 << 0,
    SP_IN_ZERO_RTT = 1 << 1,
    SP_IN_HANDSHAKE = 1 << 2,
    SP_IN_ONE_RTT = 1 << 3,
    SP_FRAME_NOT_ELICITING = 1 << 4, /* N */
    SP_FRAME_NOT_IN_FLIGHT = 1 << 5, /* C: does not count for congestion control */
    SP_FRAME_PROBING = 1 << 6,       /* P */
};

struct sp_frame_rule {
    const char *name;
    uint8_t flags; /* 0: not a frame type */
};

/* By type; what stands behind the last type is for all others. */
extern const struct sp_frame_rule sp_frame_rules[SP_FRAME_TYPES + 1];

/* The rule of `type`; its flags are 0 for types that are not of version 1. */
static inline const struct sp_frame_rule *sp_frame_rule_of(uint64_t type)
{
    return &sp_frame_rules[SB_MIN(type, (uint64_t)SP_FRAME_TYPES)];
}

static inline bool sp_frame_is_eliciting(uint64_t type)
{
    return (sp_frame_rule_of(type)->flags & SP_FRAME_NOT_ELICITING) == 0;
}

#endif
