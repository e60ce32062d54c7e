/* SPDX-License-Identifier: MIT */
#include "proto/recovery/ecn.h"

/* ECN validation of one path.  [RFC9000 13.4.2, 13.4.2.2, A.4]
 *
 * The first packets are marked as a test, those of the handshake too.  Validation fails for good
 * when the peer's counts shrink, miss what was acknowledged, exceed what was marked or name a mark
 * that was never sent, or when all test packets are lost.  The peer's counts come from the wire:
 * they are checked before they replace the old ones.
 *
 * A connection may use both marks, one after the other: its paths can have different controllers,
 * and a controller can stop being a scalable one. */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* [RFC9000 A.4] */
#define TEST_PACKETS 10

void sp_ecn_init(struct sp_ecn_path *path, enum sp_ecn mark)
{
    SB_ASSERT(mark != SP_ECN_CE);
    *path = (struct sp_ecn_path){
        .state = mark != SP_ECN_NOT ? SP_ECN_TESTING : SP_ECN_OFF,
        .mark = mark,
    };
}

enum sp_ecn sp_ecn_mark(const struct sp_ecn_path *path)
{
    bool marks = path->state == SP_ECN_TESTING || path->state == SP_ECN_CAPABLE;
    return marks ? path->mark : SP_ECN_NOT;
}

void sp_ecn_on_sent(struct sp_ecn_path *path, struct sp_ecn_space *space, enum sp_ecn mark,
                    uint32_t count)
{
    if (mark == SP_ECN_NOT)
        return;
    space->marked_count += count;
    space->has_ect0 |= mark == SP_ECN_ECT0;
    space->has_ect1 |= mark == SP_ECN_ECT1;
    if (path->state != SP_ECN_TESTING)
        return;
    path->tested_count += count;
    if (path->tested_count >= TEST_PACKETS)
        path->state = SP_ECN_UNKNOWN;
}

void sp_ecn_on_lost(struct sp_ecn_path *path, bool was_marked)
{
    if (!was_marked || path->state == SP_ECN_CAPABLE || path->state == SP_ECN_FAILED)
        return;
    /* All test packets lost: something on the path may drop marked packets. */
    if (++path->lost_count >= TEST_PACKETS)
        path->state = SP_ECN_FAILED;
}

void sp_ecn_pause(struct sp_ecn_path *path)
{
    if (path->state == SP_ECN_TESTING)
        path->state = SP_ECN_UNKNOWN;
}

void sp_ecn_resume(struct sp_ecn_path *path)
{
    if (path->state == SP_ECN_UNKNOWN && path->tested_count < TEST_PACKETS)
        path->state = SP_ECN_TESTING;
}

void sp_ecn_on_mixed_ack(struct sp_ecn_space *space, const struct sp_frame_ack *ack)
{
    struct sp_ecn_counts *known = &space->reported;
    if (!ack->has_ecn)
        return;
    known->ect0 = SB_MAX(known->ect0, ack->ect0);
    known->ect1 = SB_MAX(known->ect1, ack->ect1);
    known->ce = SB_MAX(known->ce, ack->ce);
}

uint64_t sp_ecn_on_ack(struct sp_ecn_path *path, struct sp_ecn_space *space,
                       const struct sp_frame_ack *ack, uint32_t marked_count)
{
    const struct sp_ecn_counts *before = &space->reported;
    if (path->state == SP_ECN_OFF || path->state == SP_ECN_FAILED) {
        sp_ecn_on_mixed_ack(space, ack); /* the next path begins with these counts */
        return 0;
    }
    if (!ack->has_ecn) {
        if (marked_count > 0)
            path->state = SP_ECN_FAILED;
        return 0;
    }

    /* The marks and CE must have grown by what was acknowledged, and none beyond what was sent. */
    bool shrank = ack->ect0 < before->ect0 || ack->ect1 < before->ect1 || ack->ce < before->ce;
    uint64_t ect0_max = space->has_ect0 ? space->marked_count : 0;
    uint64_t ect1_max = space->has_ect1 ? space->marked_count : 0;
    bool is_absurd = ack->ect0 > ect0_max || ack->ect1 > ect1_max || ack->ce > space->marked_count;
    uint64_t marks = shrank ? 0 : ack->ce - before->ce;
    uint64_t grown = shrank ? 0 : ack->ect0 - before->ect0 + ack->ect1 - before->ect1 + marks;
    if (shrank || is_absurd || grown < marked_count) {
        path->state = SP_ECN_FAILED;
        return 0;
    }

    space->reported = (struct sp_ecn_counts){.ect0 = ack->ect0, .ect1 = ack->ect1, .ce = ack->ce};
    if (marked_count > 0)
        path->state = SP_ECN_CAPABLE;
    return marks;
}

void sp_ecn_leave_l4s(struct sp_ecn_path *path)
{
    if (path->mark == SP_ECN_ECT1)
        path->mark = SP_ECN_ECT0;
}
