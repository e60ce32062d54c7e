/* SPDX-License-Identifier: MIT */
/* What "spate swarm fetch" asks whom for. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "tools/spate/swarm/picker.h"

enum { PIECE = 64 << 10, BLOCKS = 4, PIECES = 6, NOW = 1000000, NEVER = 1 };

static const uint8_t all[] = {0xfc};

struct world {
    struct picker picker;
};

static void world_deinit(struct world *world)
{
    picker_deinit(&world->picker);
}

QT_FIXTURE(world, world_deinit)

static struct picker *make(void **state, uint32_t slots)
{
    struct world *world = *state;
    assert_true(picker_init(&world->picker, PIECES * (uint64_t)PIECE - 100, PIECE, slots));
    return &world->picker;
}

static void count(struct picker *picker, const uint8_t *have)
{
    for (uint32_t i = 0; i < PIECES; i++) {
        if (picker_bit(have, i))
            picker_count(picker, i, true);
    }
}

static uint32_t open_for(struct picker *picker, uint8_t peer, const uint8_t *have)
{
    int slot = picker_open(picker, peer, have);
    assert_true(slot >= 0);
    picker_ready(picker, (uint32_t)slot);
    return (uint32_t)slot;
}

static struct picker_run choose(struct picker *picker, uint8_t peer, const uint8_t *have,
                                uint32_t blocks)
{
    struct picker_run run = {.count = 0};
    if (picker_choose(picker, peer, have, blocks, NOW, NEVER, &run))
        assert_in_range(run.count, 1, blocks);
    return run;
}

/* The blocks of a run come from a peer. */
static void deliver(struct picker *picker, const struct picker_run *run, uint8_t peer)
{
    for (uint32_t i = 0; i < run->count; i++) {
        (void)picker_block_there(picker, run->slot, run->first + i, peer);
        picker_block_done(picker, run->slot, run->first + i, peer);
    }
}

static void give_back(struct picker *picker, const struct picker_run *run, uint8_t peer)
{
    for (uint32_t i = 0; i < run->count; i++)
        picker_block_done(picker, run->slot, run->first + i, peer);
}

static void the_rarest_piece_is_opened_first(void **state)
{
    struct picker *picker = make(state, 8);
    static const uint8_t one[] = {0xf0};   /* 0 to 3 */
    static const uint8_t two[] = {0xd8};   /* 0, 1, 3, 4 */
    static const uint8_t three[] = {0xc4}; /* 0, 1, 5 */
    count(picker, one);
    count(picker, two);
    count(picker, three);
    picker_have(picker, 5);
    assert_int_equal(picker->slots[open_for(picker, 0, one)].piece, 2);
    assert_int_equal(picker->slots[open_for(picker, 1, two)].piece, 4);
    assert_int_equal(picker->slots[open_for(picker, 0, one)].piece, 3);
    uint32_t last[] = {picker->slots[open_for(picker, 2, three)].piece,
                       picker->slots[open_for(picker, 2, three)].piece};
    assert_int_equal(last[0] + last[1], 1);
    assert_int_equal(picker_open(picker, 2, three), -1);
    assert_int_equal(picker->closed_count, 0);
    assert_false(picker_can_open(picker, all));
}

static void pieces_of_one_availability_take_turns(void **state)
{
    struct picker *picker = make(state, 8);
    count(picker, all);
    count(picker, all);
    for (uint32_t i = 0; i < PIECES; i++)
        assert_int_equal(picker->slots[open_for(picker, 0, all)].piece, i);
}

static void no_more_pieces_are_open_than_slots(void **state)
{
    struct picker *picker = make(state, 2);
    count(picker, all);
    uint32_t slot = open_for(picker, 0, all);
    (void)open_for(picker, 1, all);
    assert_int_equal(picker_open(picker, 0, all), -1);
    struct picker_run run = choose(picker, 0, all, 64);
    assert_int_equal(run.count, BLOCKS);
    deliver(picker, &run, 0);
    assert_true(picker_is_full(picker, slot));
    assert_int_equal(picker_open(picker, 0, all), -1); /* it is verified and written first */
    picker_piece_there(picker, slot);
    assert_int_equal(picker->there_count, 1);
    assert_int_equal(open_for(picker, 0, all), slot);
}

static void blocks_come_in_runs_of_what_was_asked_for(void **state)
{
    struct picker *picker = make(state, 2);
    count(picker, all);
    int slot = picker_open(picker, 0, all);
    assert_int_equal(choose(picker, 0, all, 4).count, 0); /* there is no memory yet */
    picker_ready(picker, (uint32_t)slot);
    struct picker_run one = choose(picker, 0, all, 3);
    struct picker_run two = choose(picker, 0, all, 3);
    assert_int_equal(one.count, 3);
    assert_int_equal(two.first, 3);
    assert_int_equal(two.count, 1);
    assert_int_equal(choose(picker, 0, all, 3).count, 0);
    give_back(picker, &one, 0);
    struct picker_run again = choose(picker, 0, all, 64);
    assert_int_equal(again.first, 0);
    assert_int_equal(again.count, 3);
}

static void the_last_block_may_be_short(void **state)
{
    struct picker *picker = make(state, 8);
    static const uint8_t last[] = {0x04};
    count(picker, last);
    uint32_t slot = open_for(picker, 0, last);
    assert_int_equal(picker_block_bytes(picker, slot, 2), SWARM_BLOCK);
    assert_int_equal(picker_block_bytes(picker, slot, 3), SWARM_BLOCK - 100);
}

static void a_peer_keeps_to_its_own_pieces(void **state)
{
    struct picker *picker = make(state, 4);
    count(picker, all);
    uint32_t mine = open_for(picker, 1, all);
    uint32_t other = open_for(picker, 0, all);
    assert_int_equal(choose(picker, 0, all, 2).slot, other);
    assert_int_equal(choose(picker, 1, all, 2).slot, mine);
    picker_disown(picker, 0); /* gone: its piece is next for somebody else */
    assert_int_equal(choose(picker, 1, all, 64).slot, mine);
    struct picker_run run = choose(picker, 1, all, 64);
    assert_int_equal(run.slot, other);
    assert_int_equal(run.first, 2);
}

static void who_has_nothing_better_helps(void **state)
{
    struct picker *picker = make(state, 1);
    count(picker, all);
    uint32_t slot = open_for(picker, 0, all);
    (void)choose(picker, 0, all, 1);
    struct picker_run run = choose(picker, 1, all, 2);
    assert_int_equal(run.slot, slot);
    assert_int_equal(run.first, 1);
    assert_int_equal(run.count, 2);
    assert_false(run.is_copy);
    static const uint8_t without[] = {0x7c};
    assert_int_equal(choose(picker, 2, without, 2).count, 0); /* it does not have the piece */
}

static void late_blocks_are_asked_of_one_more_peer(void **state)
{
    struct picker *picker = make(state, 1);
    struct picker_run copy;
    count(picker, all);
    (void)open_for(picker, 0, all);
    struct picker_run run = choose(picker, 0, all, 64);
    assert_false(picker_choose(picker, 1, all, 2, NOW, NOW - 1, &copy)); /* not late yet */
    assert_false(picker_choose(picker, 0, all, 2, NOW, NOW, &copy));     /* the same peer */
    assert_true(picker_choose(picker, 1, all, 2, NOW, NOW, &copy));
    assert_true(copy.is_copy);
    assert_int_equal(copy.first, 0);
    assert_int_equal(copy.count, 2);
    struct picker_run rest;
    assert_true(picker_choose(picker, 2, all, 64, NOW, NOW, &rest));
    assert_int_equal(rest.first, 2);
    assert_false(picker_choose(picker, 3, all, 64, NOW, NOW, &rest)); /* two are enough */
    deliver(picker, &copy, 1);
    assert_int_equal(picker->slots[0].there_count, 2);
    assert_false(picker_block_there(picker, 0, 0, 0)); /* too late */
    deliver(picker, &run, 0);
    assert_true(picker_is_full(picker, 0));
    assert_int_equal(picker->slots[0].free_count, 0);
}

static void nothing_is_sent_twice_while_the_disk_is_behind(void **state)
{
    struct picker *picker = make(state, 2);
    struct picker_run copy;
    count(picker, all);
    (void)open_for(picker, 0, all);
    (void)choose(picker, 0, all, 64);
    int opening = picker_open(picker, 1, all);
    assert_false(picker_choose(picker, 1, all, 2, NOW, NOW, &copy));
    picker_ready(picker, (uint32_t)opening);
    struct picker_run mine = choose(picker, 1, all, 64);
    assert_int_equal(mine.slot, opening);
    deliver(picker, &mine, 1); /* full: it is being written */
    assert_false(picker_choose(picker, 1, all, 2, NOW, NOW, &copy));
    picker_piece_there(picker, (uint32_t)opening);
    assert_true(picker_choose(picker, 1, all, 2, NOW, NOW, &copy));
}

static void a_wrong_piece_names_who_sent_it_alone(void **state)
{
    struct picker *picker = make(state, 1);
    count(picker, all);
    uint32_t slot = open_for(picker, 0, all);
    struct picker_run one = choose(picker, 0, all, 2);
    struct picker_run two = choose(picker, 1, all, 2);
    deliver(picker, &one, 0);
    deliver(picker, &two, 1);
    uint32_t round = picker->slots[slot].round;
    assert_int_equal(picker_piece_bad(picker, slot), PICKER_NOBODY);
    assert_true(picker->slots[slot].round != round);
    assert_int_equal(picker->slots[slot].free_count, BLOCKS);
    one = choose(picker, 1, all, 2); /* from one peer alone now */
    assert_int_equal(one.count, 2);
    assert_int_equal(choose(picker, 0, all, 2).count, 0);
    two = choose(picker, 1, all, 2);
    deliver(picker, &one, 1);
    deliver(picker, &two, 1);
    assert_int_equal(picker_piece_bad(picker, slot), 1);
}

static void a_new_peer_is_not_blamed_for_the_one_before_it(void **state)
{
    struct picker *picker = make(state, 1);
    count(picker, all);
    uint32_t slot = open_for(picker, 0, all);
    struct picker_run run = choose(picker, 0, all, 2);
    deliver(picker, &run, 0);
    picker_forget(picker, 0);
    run = choose(picker, 0, all, 2); /* another peer with its number */
    deliver(picker, &run, 0);
    assert_int_equal(picker_piece_bad(picker, slot), PICKER_NOBODY);
    run = choose(picker, 0, all, 64);
    deliver(picker, &run, 0);
    picker_forget(picker, 0);
    assert_int_equal(picker_piece_bad(picker, slot), PICKER_NOBODY);
}

static void half_of_a_doubtful_piece_is_not_kept(void **state)
{
    struct picker *picker = make(state, 1);
    count(picker, all);
    uint32_t slot = open_for(picker, 0, all);
    struct picker_run run = choose(picker, 0, all, 64);
    deliver(picker, &run, 0);
    (void)picker_piece_bad(picker, slot);
    run = choose(picker, 1, all, 3);
    deliver(picker, &run, 1);
    uint32_t round = picker->slots[slot].round;
    picker_disown(picker, 1); /* gone in the middle */
    assert_int_equal(picker->slots[slot].free_count, BLOCKS);
    assert_true(picker->slots[slot].round != round);
    run = choose(picker, 2, all, 64);
    assert_int_equal(run.count, BLOCKS);
    deliver(picker, &run, 2);
    assert_int_equal(picker_piece_bad(picker, slot), 2);
}

/* A piece that is asked of one peer alone, and the run of its first owner, peer 0. */
static struct picker_run make_solo(struct picker *picker)
{
    count(picker, all);
    count(picker, all);
    uint32_t slot = open_for(picker, 0, all);
    struct picker_run one = choose(picker, 0, all, 2);
    struct picker_run two = choose(picker, 1, all, 2);
    deliver(picker, &one, 0);
    deliver(picker, &two, 1);
    assert_int_equal(picker_piece_bad(picker, slot), PICKER_NOBODY);
    one = choose(picker, 0, all, 64);
    assert_int_equal(one.count, BLOCKS);
    return one;
}

static void who_did_not_finish_a_doubtful_piece_lets_others_go_first(void **state)
{
    struct picker *picker = make(state, 1);
    struct picker_run run = make_solo(picker);
    picker_disown_slot(picker, run.slot);
    give_back(picker, &run, 0);
    assert_int_equal(choose(picker, 0, all, 64).count, 0);
    struct picker_run other = choose(picker, 1, all, 64);
    assert_int_equal(other.count, BLOCKS);
    picker_disown_slot(picker, run.slot);
    give_back(picker, &other, 1);
    assert_int_equal(choose(picker, 0, all, 64).count, 0);
    assert_int_equal(choose(picker, 1, all, 64).count, 0);
    /* nobody else wants it */
    assert_false(picker_choose(picker, 1, all, 64, NOW + PICKER_AGAIN_MS - 1, NEVER, &run));
    assert_true(picker_choose(picker, 1, all, 64, NOW + PICKER_AGAIN_MS + 1, NEVER, &run));
    assert_int_equal(run.count, BLOCKS);
}

static void a_new_peer_may_have_what_the_one_before_it_did_not_finish(void **state)
{
    struct picker *picker = make(state, 1);
    struct picker_run run = make_solo(picker);
    give_back(picker, &run, 0);
    picker_forget(picker, 0);
    assert_int_equal(choose(picker, 0, all, 64).count, BLOCKS);
}

static void late_blocks_of_a_former_owner_do_not_count(void **state)
{
    struct picker *picker = make(state, 1);
    struct picker_run run = make_solo(picker);
    picker_disown(picker, 0); /* it chokes us; its blocks are on their way */
    assert_false(picker_block_there(picker, run.slot, 0, 0));
    picker_block_done(picker, run.slot, 0, 0);
    struct picker_run other = choose(picker, 1, all, 64);
    assert_int_equal(other.count, 1);
    assert_false(picker_block_there(picker, run.slot, 1, 0));
    give_back(picker, &run, 0);
    assert_int_equal(picker->slots[run.slot].contributors, 0);
    deliver(picker, &other, 1);
    other = choose(picker, 1, all, 64);
    assert_int_equal(other.count, BLOCKS - 1);
    deliver(picker, &other, 1);
    assert_int_equal(picker_piece_bad(picker, run.slot), 1);
}

static void a_piece_that_nobody_sends_makes_room(void **state)
{
    struct picker *picker = make(state, 3);
    static const uint8_t left[] = {0xe0};  /* 0 to 2 */
    static const uint8_t right[] = {0x1c}; /* 3 to 5 */
    count(picker, left);
    count(picker, right);
    uint32_t one = open_for(picker, 0, left);
    uint32_t two = open_for(picker, 0, left);
    assert_int_equal(picker_find_idle(picker, right), -1); /* a slot is free */
    uint32_t three = open_for(picker, 0, left);
    struct picker_run run = choose(picker, 0, left, 2);
    assert_int_equal(run.slot, one);
    deliver(picker, &run, 0);
    assert_int_equal(picker_find_idle(picker, right), -1); /* they have an owner */
    run = choose(picker, 0, left, 64);
    picker_disown(picker, 0);
    assert_int_equal(picker_find_idle(picker, right),
                     two);                                /* two blocks of `one` are on their way */
    assert_int_equal(picker_find_idle(picker, left), -1); /* who has them sends them */
    assert_int_equal(picker_find_idle(picker, all), -1);
    give_back(picker, &run, 0);
    picker_count(picker, picker->slots[one].piece, false);
    assert_int_equal(picker_find_idle(picker, right), one); /* which nobody has */
    picker_close(picker, one);
    assert_int_equal(open_for(picker, 1, right), one);
    picker_close(picker, two);
    picker_close(picker, three);
    assert_int_equal(picker->closed_count, PIECES - 1);
}

/* Peers that come, are slow, lie or go, at random: no block gets lost, and the counts are right. */
static void check(const struct picker *picker)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < picker->slot_count; i++) {
        const struct picker_slot *slot = &picker->slots[i];
        uint32_t free_count = 0;
        uint32_t there = 0;
        if (slot->stage == PICKER_CLOSED)
            continue;
        open++;
        for (uint32_t k = 0; k < slot->block_count; k++) {
            bool is_asked =
                slot->blocks[k].who[0] != PICKER_NOBODY || slot->blocks[k].who[1] != PICKER_NOBODY;
            free_count += !slot->blocks[k].is_there && !is_asked;
            there += slot->blocks[k].is_there;
        }
        assert_int_equal(slot->free_count, free_count);
        assert_int_equal(slot->there_count, there);
    }
    assert_int_equal(picker->closed_count + picker->there_count + open, picker->piece_count);
}

static void every_piece_comes_whatever_peers_do(void **state)
{
    struct picker *picker = make(state, 3);
    srand(1);
    for (int i = 0; i < 4; i++)
        count(picker, all);
    for (int step = 0; picker->there_count < PIECES; step++) {
        assert_true(step < 100000);
        uint8_t peer = (uint8_t)(rand() % 4);
        struct picker_run run;
        int slot = picker_open(picker, peer, all);
        if (slot >= 0 && rand() % 10 == 0)
            picker_close(picker, (uint32_t)slot);
        else if (slot >= 0)
            picker_ready(picker, (uint32_t)slot);
        if (rand() % 20 == 0)
            picker_disown(picker, peer);
        if (picker_choose(picker, peer, all, (uint32_t)rand() % 4 + 1, (uint32_t)step,
                          (uint32_t)step - 5, &run)) {
            if (rand() % 3 == 0)
                give_back(picker, &run, peer);
            else
                deliver(picker, &run, peer);
            if (picker_is_full(picker, run.slot)) {
                if (rand() % 4 == 0)
                    (void)picker_piece_bad(picker, run.slot);
                else
                    picker_piece_there(picker, run.slot);
            }
        }
        check(picker);
    }
    assert_int_equal(picker->opening_count + picker->full_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, the_rarest_piece_is_opened_first),
        QT_TEST(world, pieces_of_one_availability_take_turns),
        QT_TEST(world, no_more_pieces_are_open_than_slots),
        QT_TEST(world, blocks_come_in_runs_of_what_was_asked_for),
        QT_TEST(world, the_last_block_may_be_short),
        QT_TEST(world, a_peer_keeps_to_its_own_pieces),
        QT_TEST(world, who_has_nothing_better_helps),
        QT_TEST(world, late_blocks_are_asked_of_one_more_peer),
        QT_TEST(world, nothing_is_sent_twice_while_the_disk_is_behind),
        QT_TEST(world, a_wrong_piece_names_who_sent_it_alone),
        QT_TEST(world, a_new_peer_is_not_blamed_for_the_one_before_it),
        QT_TEST(world, half_of_a_doubtful_piece_is_not_kept),
        QT_TEST(world, who_did_not_finish_a_doubtful_piece_lets_others_go_first),
        QT_TEST(world, a_new_peer_may_have_what_the_one_before_it_did_not_finish),
        QT_TEST(world, late_blocks_of_a_former_owner_do_not_count),
        QT_TEST(world, a_piece_that_nobody_sends_makes_room),
        QT_TEST(world, every_piece_comes_whatever_peers_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
