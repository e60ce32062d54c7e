/* SPDX-License-Identifier: MIT */
#ifndef SP_ECN_H
#define SP_ECN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/frame.h"
#include "proto/wire/types.h"

/* Whether a path passes ECN marks on.  [RFC9000 13.4.2, A.4] */
enum sp_ecn_state {
    SP_ECN_OFF,     /* not asked for */
    SP_ECN_TESTING, /* the first packets are marked, no verdict yet */
    SP_ECN_UNKNOWN, /* test packets are out: unmarked until the verdict */
    SP_ECN_CAPABLE,
    SP_ECN_FAILED,
};

/* The counts are those of the connection, because the peer's are: sp_ecn_move() takes them along.
 */
struct sp_ecn_path {
    enum sp_ecn_state state;
    enum sp_ecn mark;              /* ECT(0), or ECT(1) for a controller that asks for it */
    uint32_t tested_count;         /* marked packets sent while TESTING */
    uint32_t lost_count;           /* lost ones of tested_count */
    struct sp_ecn_counts reported; /* by the peer so far */
    uint64_t marked_count;         /* packets sent with `mark` in all */
};

/* `mark`: SP_ECN_NOT, SP_ECN_ECT0, or SP_ECN_ECT1 for L4S [RFC9331 4.1]. */
void sp_ecn_init(struct sp_ecn_path *path, enum sp_ecn mark);

/* Begins to test path `to`, which follows `from` as the path in use. */
void sp_ecn_move(struct sp_ecn_path *to, const struct sp_ecn_path *from);

/* How the next packet is to be marked. */
enum sp_ecn sp_ecn_mark(const struct sp_ecn_path *path);

/* `count` packets left with `mark`. */
void sp_ecn_on_sent(struct sp_ecn_path *path, enum sp_ecn mark, uint32_t count);
void sp_ecn_on_lost(struct sp_ecn_path *path, bool was_marked);

/* An ACK that moved the largest acknowledged number; `marked_count` of the packets that it
 * newly acknowledged were marked.  True if it reports new CE marks. [RFC9000 13.4.2.1] */
bool sp_ecn_on_ack(struct sp_ecn_path *path, const struct sp_frame_ack *ack, uint32_t marked_count);

/* Such an ACK that also acknowledges packets of other paths, so that its counts say nothing about
 * this one: only takes note of them. */
void sp_ecn_on_mixed_ack(struct sp_ecn_path *path, const struct sp_frame_ack *ack);

#endif
