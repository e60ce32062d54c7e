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

struct sp_ecn_path {
    enum sp_ecn_state state;
    enum sp_ecn mark;      /* ECT(0), or ECT(1) for a controller that asks for it */
    uint32_t tested_count; /* marked packets sent while TESTING */
    uint32_t lost_count;   /* lost ones of tested_count */
};

/* The counts of one packet number space, over all paths: so the peer counts.  [RFC9000 13.4.1] */
struct sp_ecn_space {
    struct sp_ecn_counts reported; /* by the peer so far */
    uint64_t marked_count : 62;    /* packets sent with a mark in all */
    uint64_t has_ect0 : 1;         /* some of them had ECT(0), .. */
    uint64_t has_ect1 : 1;         /* .. or ECT(1) */
};

/* Begins to test a path.  `mark`: SP_ECN_NOT, SP_ECN_ECT0, or SP_ECN_ECT1 for L4S [RFC9331 4.1]. */
void sp_ecn_init(struct sp_ecn_path *path, enum sp_ecn mark);

/* How the next packet is to be marked. */
enum sp_ecn sp_ecn_mark(const struct sp_ecn_path *path);

/* `count` packets of `space` left with `mark`. */
void sp_ecn_on_sent(struct sp_ecn_path *path, struct sp_ecn_space *space, enum sp_ecn mark,
                    uint32_t count);
void sp_ecn_on_lost(struct sp_ecn_path *path, bool was_marked);

/* A PTO during the handshake, or one of several: perhaps the path drops what is marked.  If it is
 * still tested, nothing is marked from now on, until there is a verdict, or sp_ecn_resume() goes on
 * with the test.  [RFC9000 A.4] */
void sp_ecn_pause(struct sp_ecn_path *path);
void sp_ecn_resume(struct sp_ecn_path *path);

/* An ACK that moved the largest acknowledged number of `space`; `marked_count` of the packets that
 * it newly acknowledged were marked.  Returns the number of new CE marks that it reports.
 * [RFC9000 13.4.2.1] */
uint64_t sp_ecn_on_ack(struct sp_ecn_path *path, struct sp_ecn_space *space,
                       const struct sp_frame_ack *ack, uint32_t marked_count);

/* The controller is no longer a scalable one: packets are marked ECT(0) from now on, if at all.
 * Those with ECT(1) that are in flight still count.  [RFC9331 4.3] */
void sp_ecn_leave_l4s(struct sp_ecn_path *path);

/* Such an ACK that also acknowledges packets of other paths, so that its counts say nothing about
 * this one: only takes note of them. */
void sp_ecn_on_mixed_ack(struct sp_ecn_space *space, const struct sp_frame_ack *ack);

#endif
