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
    const char *name; /* NULL where there is no such type */
    uint8_t flags;    /* 0: not a frame type */
};

/* Types below this are one byte on the wire. */
#define SP_FRAME_SHORT_TYPES 0x40

/* By type, with holes. */
extern const struct sp_frame_rule sp_frame_rules[SP_FRAME_SHORT_TYPES];

/* All longer types.  The last row has flags of 0 and stands for every type without a row. */
struct sp_frame_long_rule {
    uint64_t type;
    struct sp_frame_rule rule;
};
extern const struct sp_frame_long_rule sp_frame_long_rules[];

/* Walks sp_frame_long_rules: extensions have few types, and their frames are few. */
const struct sp_frame_rule *sp_frame_long_rule_of(uint64_t type);

/* The rule of `type`; its flags are 0 where the type is unknown. */
static inline const struct sp_frame_rule *sp_frame_rule_of(uint64_t type)
{
    if (SB_UNLIKELY(type >= SP_FRAME_SHORT_TYPES))
        return sp_frame_long_rule_of(type);
    return &sp_frame_rules[type];
}

/* For people. */
static inline const char *sp_frame_name(uint64_t type)
{
    const char *name = sp_frame_rule_of(type)->name;
    return name != NULL ? name : "unknown";
}

static inline bool sp_frame_is_eliciting(uint64_t type)
{
    return (sp_frame_rule_of(type)->flags & SP_FRAME_NOT_ELICITING) == 0;
}

/* Returns whether a packet of such frames alone leaves the connection where it is.  [RFC9000 9.1]
 */
static inline bool sp_frame_is_probing(uint64_t type)
{
    return (sp_frame_rule_of(type)->flags & SP_FRAME_PROBING) != 0;
}

#endif
