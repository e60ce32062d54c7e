/* SPDX-License-Identifier: MIT */
#include "proto/recovery/loss.h"

/* The paths that packets in flight name, and the change from one to another. */

#include "proto/base/assert.h"

void sp_loss_path_init(struct sp_loss_path *path, uint32_t index, const struct sp_cc_args *cc)
{
    SB_ASSERT(index < SP_PATHS_MAX);
    *path = (struct sp_loss_path){.index = (uint8_t)index};
    sp_rtt_init(&path->rtt);
    sp_cc_init(&path->cc, cc);
    sp_pacer_init(&path->pacer);
    sp_ecn_init(&path->ecn, SP_ECN_NOT);
}

void sp_loss_use(struct sp_loss *loss, struct sp_loss_path *path)
{
    SB_ASSERT(loss->paths[path->index] == NULL || loss->paths[path->index] == path);
    loss->paths[path->index] = path;
    if (path == loss->path)
        return;
    /* [RFC9000 13.4.2] Each is tested, with the mark of its controller. */
    bool is_marked = loss->path->ecn.mark != SP_ECN_NOT;
    sp_ecn_init(&path->ecn, is_marked ? sp_cc_mark(&path->cc) : SP_ECN_NOT);
    loss->path = path;
    if (loss->limit_bytes_per_s != 0)
        sp_loss_pace(loss, path->pacer.full_at_ns); /* a new one has a full bucket */
    sp_loss_on_moved(loss);
}

void sp_loss_on_moved(struct sp_loss *loss)
{
    loss->path->first_pn = loss->app.sent.next_pn;
    loss->pto_count = 0;
    loss->is_amplification_blocked = false;
}

struct sp_sent_frame *sp_loss_forget_path(struct sp_loss *loss, uint32_t index)
{
    SB_ASSERT(index != loss->path->index);
    struct sp_sent_frame *frames = NULL, **tail = &frames;
    struct sp_sent *sent = &loss->app.sent;
    uint64_t pn = 0;
    for (const struct sp_sent_packet *packet; (packet = sp_sent_next(sent, pn, false, &pn)) != NULL;
         pn++) {
        if (packet->path != index || packet->size == 0)
            continue;
        sp_cc_on_removed(&sp_loss_path_of(loss, index)->cc, packet->size);
        loss->lost_count++;
        sp_sent_append(&tail, sp_sent_settle(sent, pn, SP_SENT_LOST));
    }
    return frames;
}

void sp_loss_remove(struct sp_loss *loss, const struct sp_loss_path *path)
{
    SB_ASSERT(path != loss->path && path->cc.in_flight_bytes == 0);
    loss->paths[path->index] = NULL;
}

void sp_loss_path_watch_l4s(struct sp_loss_path *path)
{
    if (path->ecn.state == SP_ECN_FAILED && path->cc.ops->is_l4s)
        sp_cc_leave_l4s(&path->cc);
    if (!path->cc.ops->is_l4s)
        sp_ecn_leave_l4s(&path->ecn);
}
