/* SPDX-License-Identifier: MIT */
#include "proto/recovery/loss.h"

/* Skipped packet numbers, the end of a packet number space, and what must always hold. */

#include "proto/base/assert.h"
#include "proto/base/time.h"

bool sp_loss_skip(struct sp_loss *loss)
{
    struct sp_loss_space *app = &loss->app;
    bool is_settled = app->skipped_pn == SB_VARINT_NONE ||
                      (app->largest_acked != SB_VARINT_NONE &&
                       app->largest_acked > app->skipped_pn + SP_LOSS_PACKET_THRESHOLD);
    if (is_settled)
        app->skipped_pn = app->sent.next_pn++;
    return is_settled;
}

/* Takes the oldest packets of a space out of flight, at most `count_max`, and returns their frames
 * and their number. */
static struct sp_sent_frame *settle_some(struct sp_loss *loss, struct sp_loss_space *space,
                                         uint32_t count_max, uint32_t *ret_count)
{
    struct sp_sent_frame *frames = NULL;
    struct sp_sent_frame **tail = &frames;
    uint64_t pn = 0;
    uint32_t count = 0;
    for (struct sp_sent_packet *packet;
         count < count_max && (packet = sp_sent_next(&space->sent, pn, false, &pn)) != NULL; pn++) {
        if (packet->size > 0)
            sp_cc_on_removed(&sp_loss_path_of(loss, packet->path)->cc, packet->size);
        sp_sent_append(&tail, sp_sent_settle(&space->sent, pn, SP_SENT_SKIPPED));
        count++;
    }
    space->loss_at_ns = SB_NEVER;
    *ret_count = count;
    return frames;
}

static struct sp_sent_frame *settle_all(struct sp_loss *loss, struct sp_loss_space *space)
{
    uint32_t count;
    return settle_some(loss, space, UINT32_MAX, &count);
}

struct sp_sent_frame *sp_loss_discard(struct sp_loss *loss, enum sp_space space)
{
    struct sp_loss_space *s = loss->spaces[space];
    if (s == NULL)
        return NULL;

    struct sp_sent_frame *frames = settle_all(loss, s);
    sp_sent_deinit(&s->sent);
    loss->spaces[space] = NULL;
    loss->pto_count = 0; /* [RFC9002 6.2.2] */
    return frames;
}

struct sp_sent_frame *sp_loss_forget(struct sp_loss *loss, enum sp_space space)
{
    return settle_all(loss, loss->spaces[space]);
}

struct sp_sent_frame *sp_loss_forget_some(struct sp_loss *loss, enum sp_space space,
                                          uint32_t count_max, uint32_t *ret_count)
{
    return settle_some(loss, loss->spaces[space], count_max, ret_count);
}

void sp_loss_check(const struct sp_loss *loss)
{
    uint64_t in_flight[SP_PATHS_MAX] = {0};
    for (uint32_t i = 0; i < SP_SPACES; i++) {
        const struct sp_loss_space *s = loss->spaces[i];
        if (s == NULL)
            continue;
        sp_sent_check(&s->sent);
        SB_ASSERT(s->largest_acked == SB_VARINT_NONE || s->largest_acked < s->sent.next_pn);
        SB_ASSERT(s->skipped_pn == SB_VARINT_NONE || s->skipped_pn < s->sent.next_pn);
        for (const struct sp_sent_block *b = s->sent.first; b != NULL; b = b->next)
            for (uint32_t k = 0; k < SP_SENT_BLOCK_PACKETS; k++)
                if (b->packets[k].state == SP_SENT_OUT)
                    in_flight[b->packets[k].path] += b->packets[k].size;
    }
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        SB_ASSERT(in_flight[i] ==
                  (loss->paths[i] == NULL ? 0 : loss->paths[i]->cc.in_flight_bytes));
    SB_ASSERT(loss->paths[loss->path->index] == loss->path);
}
