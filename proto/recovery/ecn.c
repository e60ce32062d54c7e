/* SPDX-License-Identifier: MIT */
#include "proto/recovery/ecn.h"

/* ECN validation of one path.  [RFC9000 13.4.2, 13.4.2.2, A.4]
 *
 * The first packets are marked as a test, those of the handshake too.  Validation fails for good
 * when the peer's counts shrink, miss what was acknowledged, exceed what was marked or name the
 * other mark, or when all test packets are lost.  The peer's counts come from the wire: they are
 * checked before they replace the old ones. */

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

bool sp_ecn_on_ack(struct sp_ecn_path *path, struct sp_ecn_space *space,
                   const struct sp_frame_ack *ack, uint32_t marked_count)
{
    const struct sp_ecn_counts *before = &space->reported;
    if (path->state == SP_ECN_OFF || path->state == SP_ECN_FAILED) {
        sp_ecn_on_mixed_ack(space, ack); /* the next path begins with these counts */
        return false;
    }
    if (!ack->has_ecn) {
        if (marked_count > 0)
            path->state = SP_ECN_FAILED;
        return false;
    }

    /* We send one mark only: it or CE must have grown by what was acknowledged, neither beyond
     * what was sent, and the other mark not at all. */
    bool is_l4s = path->mark == SP_ECN_ECT1;
    uint64_t own = is_l4s ? ack->ect1 : ack->ect0;
    uint64_t other = is_l4s ? ack->ect0 : ack->ect1;
    uint64_t own_before = is_l4s ? before->ect1 : before->ect0;
    uint64_t other_before = is_l4s ? before->ect0 : before->ect1;
    bool shrank = own < own_before || ack->ce < before->ce;
    uint64_t grown = shrank ? 0 : own - own_before + ack->ce - before->ce;
    if (shrank || grown < marked_count || other != other_before || own > space->marked_count ||
        ack->ce > space->marked_count) {
        path->state = SP_ECN_FAILED;
        return false;
    }

    bool is_congested = ack->ce > before->ce;
    space->reported = (struct sp_ecn_counts){.ect0 = ack->ect0, .ect1 = ack->ect1, .ce = ack->ce};
    if (marked_count > 0)
        path->state = SP_ECN_CAPABLE;
    return is_congested;
}
