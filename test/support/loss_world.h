/* SPDX-License-Identifier: MIT */
#ifndef LOSS_WORLD_H
#define LOSS_WORLD_H

/* Loss recovery of one connection with one path, for tests that send packets and acknowledge them
 * one by one. */

#include "proto/base/time.h"
#include "proto/recovery/loss.h"
#include "test/support/heap.h"
#include "test/support/qt.h"

#define LOSS_RTT_NS (100 * SB_MS)

struct loss_world {
    struct heap heap;
    struct sb_pool pool;
    struct sb_store store;
    struct sp_loss loss;
    struct sp_loss_path path;
    struct sp_loss_space handshake_spaces[SP_SPACE_APP];
    struct sp_sent_frame frames[SP_SPACES][100];
};

static const struct sp_cc_args loss_world_cc = {.ops = &sp_cc_newreno_ops, .datagram_bytes = 1200};

static inline void loss_world_deinit(struct loss_world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    for (uint32_t i = 0; i < SP_SPACES; i++)
        (void)sp_loss_discard(&world->loss, (enum sp_space)i);
    heap_pool_deinit(&world->pool);
    heap_deinit(&world->heap);
    assert_int_equal(world->path.cc.in_flight_bytes, 0);
}

static inline void loss_world_init(struct loss_world *world)
{
    loss_world_deinit(world); /* of the sample before */
    *world = (struct loss_world){0};
    heap_init(&world->heap);
    sb_pool_init(&world->pool, "blocks", sizeof(struct sp_sent_block), 2, 100, &world->heap.memory);
    world->store = (struct sb_store){.pool = &world->pool};
    sp_loss_path_init(&world->path, 0, &loss_world_cc);
    sp_loss_init(&world->loss, world->handshake_spaces, &world->store, &world->path, false);
    world->loss.is_confirmed = true;
    world->loss.peer_ack_delay_ns_max = 25 * SB_MS;
}

static inline void loss_world_send(struct loss_world *world, enum sp_space space, uint64_t now_ns,
                                   bool is_eliciting)
{
    struct sp_sent *sent = &world->loss.spaces[space]->sent;
    assert_true(sp_sent_reserve(sent));
    struct sp_sent_frame *frame = &world->frames[space][sent->next_pn];
    *frame = (struct sp_sent_frame){.offset = sent->next_pn};
    struct sp_sent_packet packet = {
        .frames = frame,
        .sent_ns = now_ns,
        .size = is_eliciting ? 1200 : 0,
        .state = SP_SENT_OUT,
        .is_eliciting = is_eliciting,
    };
    sp_loss_on_sent(&world->loss, space, &packet);
    sp_loss_check(&world->loss);
}

static inline struct sp_loss_outcome loss_world_ack_in(struct loss_world *world,
                                                       enum sp_space space, uint64_t smallest,
                                                       uint64_t largest, uint64_t now_ns)
{
    struct sp_frame_ack ack = {.largest = largest, .first = {smallest, largest}};
    struct sp_loss_outcome outcome;
    assert_int_equal(sp_loss_on_ack(&world->loss, space, &ack, 0, now_ns, &outcome), SP_OK);
    sp_loss_check(&world->loss);
    return outcome;
}

static inline struct sp_loss_outcome loss_world_ack(struct loss_world *world, uint64_t smallest,
                                                    uint64_t largest, uint64_t now_ns)
{
    return loss_world_ack_in(world, SP_SPACE_APP, smallest, largest, now_ns);
}

#endif
