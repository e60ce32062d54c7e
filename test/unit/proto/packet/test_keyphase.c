/* SPDX-License-Identifier: MIT */
/* Key updates: RFC 9001, Section 6. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/packet/keyphase.h"
#include "test/sim/null_protect.h"

enum { FIRST_PN = 100 };

/* One side's keys; `peer_write` is the key that the other side seals with. */
struct world {
    struct qs_null_plan plan;
    struct sp_keyphase keys;
    struct sp_key *peer_write;
    struct sp_key *more[2]; /* what a test makes besides */
    uint64_t next_pn_known;
};

static struct sp_key *make_key(struct world *world, const char *secret)
{
    struct sp_key *key = qs_null_protect_ops.key(&world->plan, SP_VERSION_1, SP_SUITE_AES_128_GCM,
                                                 (const uint8_t *)secret, 4);
    assert_non_null(key);
    return key;
}

static void world_deinit(struct world *world)
{
    qs_null_protect_ops.destroy(world->peer_write);
    qs_null_protect_ops.destroy(world->more[0]);
    qs_null_protect_ops.destroy(world->more[1]);
    world->peer_write = world->more[0] = world->more[1] = NULL;
    sp_keyphase_deinit(&world->keys);
    sp_keyphase_deinit(&world->keys); /* once more is harmless */
}

static void world_init(struct world *world)
{
    world_deinit(world); /* of the sample before */
    qs_null_plan_init(&world->plan);
    world->next_pn_known = 0;
    sp_keyphase_init(&world->keys, &qs_null_protect_ops);
    assert_true(sp_keyphase_set_read(&world->keys, make_key(world, "peer")));
    sp_keyphase_set_write(&world->keys, make_key(world, "ours"));
    world->peer_write = make_key(world, "peer");
}

QT_FIXTURE(world, world_deinit)

static void update_peer(struct world *world)
{
    struct sp_key *next = qs_null_protect_ops.next(world->peer_write);
    assert_non_null(next);
    qs_null_protect_ops.destroy(world->peer_write);
    world->peer_write = next;
}

struct sealed {
    uint8_t header[4];
    uint8_t data[8 + SP_TAG_SIZE];
};

static void seal(struct sp_key *key, uint64_t pn, struct sealed *ret)
{
    memset(ret, 0x42, sizeof(*ret));
    struct sb_bytes part = {.data = (const uint8_t *)"payload!", .size = 8};
    qs_null_protect_ops.seal(key, &(struct sp_seal){.pn = pn,
                                                    .header = ret->header,
                                                    .header_size = sizeof(ret->header),
                                                    .parts = &part,
                                                    .part_count = 1,
                                                    .out = ret->data});
}

static bool opens(struct sp_key *key, uint64_t pn, const struct sealed *packet)
{
    struct sealed copy = *packet;
    return key != NULL && sp_open_in_place(&qs_null_protect_ops, key, pn,
                                           (struct sb_bytes){copy.header, sizeof(copy.header)},
                                           copy.data, sizeof(copy.data));
}

/* Packet `pn` was opened with `key`. */
static enum sp_keyphase_result on_opened(struct world *world, const struct sp_key *key, uint64_t pn)
{
    const struct sp_keyphase_opened opened = {key, pn, world->next_pn_known};
    world->next_pn_known = SB_MAX(world->next_pn_known, pn + 1);
    return sp_keyphase_on_opened(&world->keys, &opened, FIRST_PN, SB_S);
}

/* The peer sends packet `pn`; it is opened with the key that is chosen for it. */
static enum sp_keyphase_result receive(struct world *world, uint64_t pn, bool phase_bit)
{
    struct sealed packet;
    seal(world->peer_write, pn, &packet);
    struct sp_key *key = sp_keyphase_read_key(&world->keys, phase_bit, pn);
    assert_true(opens(key, pn, &packet));
    return on_opened(world, key, pn);
}

/* [RFC9001 6.2] */
static void an_update_of_the_peer_is_followed_at_once(void **state)
{
    struct world *world = *state;
    world_init(world);
    assert_int_equal(receive(world, 0, false), SP_KEYPHASE_SAME);
    update_peer(world);
    assert_int_equal(receive(world, 1, true), SP_KEYPHASE_UPDATED);
    assert_int_equal(world->keys.read_phase, 1);
    assert_int_equal(world->keys.write_phase, 1);
    assert_int_equal(world->keys.write_first_pn, FIRST_PN);
    assert_int_equal(world->keys.write_count, 0);
    assert_int_equal(world->keys.prev_until_ns, SB_S);
    assert_int_equal(receive(world, 2, true), SP_KEYPHASE_SAME);

    /* And our packets open with the key that follows. */
    struct sealed packet;
    seal(world->keys.write, FIRST_PN, &packet);
    world->more[0] = make_key(world, "ours");
    world->more[1] = qs_null_protect_ops.next(world->more[0]);
    assert_false(opens(world->more[0], FIRST_PN, &packet));
    assert_true(opens(world->more[1], FIRST_PN, &packet));
}

/* [RFC9001 6.3, 6.5] */
static void late_packets_open_with_the_key_before_until_it_is_dropped(void **state)
{
    struct world *world = *state;
    world_init(world);
    struct sealed late, overtaken;
    seal(world->peer_write, 3, &late);
    update_peer(world);
    seal(world->peer_write, 5, &overtaken);
    assert_int_equal(receive(world, 7, true), SP_KEYPHASE_UPDATED);
    struct sp_key *key = sp_keyphase_read_key(&world->keys, true, 5);
    assert_true(opens(key, 5, &overtaken));
    assert_int_equal(on_opened(world, key, 5), SP_KEYPHASE_SAME);
    assert_int_equal(world->keys.read_first_pn, 5);

    key = sp_keyphase_read_key(&world->keys, false, 3);
    assert_ptr_equal(key, world->keys.read_prev);
    assert_true(opens(key, 3, &late));
    assert_int_equal(on_opened(world, key, 3), SP_KEYPHASE_SAME);
    assert_int_equal(world->keys.read_phase, 1);

    sp_keyphase_drop_prev(&world->keys);
    assert_int_equal(world->keys.prev_until_ns, SB_NEVER);
    assert_ptr_equal(sp_keyphase_read_key(&world->keys, true, 3), world->keys.read);
}

/* [RFC9001 6.3, 9.5] A packet whose key was dropped costs the cipher's work like any other. */
static void another_key_stands_in_for_a_dropped_one(void **state)
{
    struct world *world = *state;
    world_init(world);
    struct sealed late;
    seal(world->peer_write, 3, &late);
    update_peer(world);
    assert_int_equal(receive(world, 7, true), SP_KEYPHASE_UPDATED);
    sp_keyphase_drop_prev(&world->keys);
    struct sp_key *key = sp_keyphase_read_key(&world->keys, false, 3);
    assert_non_null(key);
    assert_false(opens(key, 3, &late));

    /* [RFC9001 6.4] Only a peer that is wrong seals with that key there. */
    update_peer(world);
    assert_int_equal(receive(world, 3, false), SP_KEYPHASE_VIOLATION);
    assert_int_equal(world->keys.read_phase, 1);
}

/* [RFC9001 6.4] */
static void newer_keys_at_a_lower_number_are_an_error(void **state)
{
    struct world *world = *state;
    world_init(world);
    assert_int_equal(receive(world, 9, false), SP_KEYPHASE_SAME);
    update_peer(world);
    assert_int_equal(receive(world, 8, true), SP_KEYPHASE_VIOLATION);
    assert_int_equal(world->keys.read_phase, 0);
    assert_int_equal(world->keys.write_phase, 0);
}

/* [RFC9001 6.2] */
static void a_second_update_before_our_ack_is_an_error(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *what;
        bool sends_ack;
        uint64_t largest; /* of that ACK */
        bool is_ours_first;
        enum sp_keyphase_result want;
    } samples[] = {
        {"no ACK", false, 0, false, SP_KEYPHASE_VIOLATION},
        {"an ACK of the old phase alone", true, 6, false, SP_KEYPHASE_VIOLATION},
        {"an ACK of the first packet", true, 7, false, SP_KEYPHASE_UPDATED},
        {"an ACK of a later one", true, 8, false, SP_KEYPHASE_UPDATED},
        {"the answer to our update", false, 0, true, SP_KEYPHASE_UPDATED},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        print_message("    %s\n", samples[i].what);
        world_init(world);
        assert_int_equal(receive(world, 6, false), SP_KEYPHASE_SAME);
        update_peer(world);
        assert_int_equal(receive(world, 7, true), SP_KEYPHASE_UPDATED); /* the first is free */
        assert_int_equal(receive(world, 8, true), SP_KEYPHASE_SAME);
        if (samples[i].sends_ack)
            sp_keyphase_on_ack_sent(&world->keys, samples[i].largest);
        if (samples[i].is_ours_first)
            assert_true(sp_keyphase_update_write(&world->keys, FIRST_PN));
        update_peer(world);
        assert_int_equal(receive(world, 9, false), samples[i].want);
        assert_int_equal(world->keys.read_phase, samples[i].want == SP_KEYPHASE_UPDATED ? 2 : 1);
    }
}

/* [RFC9001 6.2] */
static void old_keys_may_not_acknowledge_new_ones(void **state)
{
    struct world *world = *state;
    world_init(world);
    struct sp_keyphase *keys = &world->keys;
    assert_true(sp_keyphase_may_ack(keys, keys->read, 5));
    assert_true(sp_keyphase_update_write(keys, FIRST_PN)); /* the peer has not seen it yet */
    assert_true(sp_keyphase_may_ack(keys, keys->read, FIRST_PN - 1));
    assert_false(sp_keyphase_may_ack(keys, keys->read, FIRST_PN));
    update_peer(world);
    assert_int_equal(receive(world, 7, true), SP_KEYPHASE_UPDATED);
    assert_true(sp_keyphase_may_ack(keys, keys->read, FIRST_PN));
    assert_true(sp_keyphase_may_ack(keys, keys->read_prev, FIRST_PN - 1));
    assert_false(sp_keyphase_may_ack(keys, keys->read_prev, FIRST_PN));
}

/* [RFC9001 6.4] An old key is never tried above the number where the new one began. */
static void old_keys_do_not_open_newer_packets(void **state)
{
    struct world *world = *state;
    world_init(world);
    struct sealed stale;
    world->more[0] = make_key(world, "peer");
    update_peer(world);
    assert_int_equal(receive(world, 5, true), SP_KEYPHASE_UPDATED);
    seal(world->more[0], 6, &stale);
    struct sp_key *key = sp_keyphase_read_key(&world->keys, false, 6);
    assert_ptr_equal(key, world->keys.read_next);
    assert_false(opens(key, 6, &stale));
}

static void many_updates_of_both_sides_stay_in_step(void **state)
{
    struct world *world = *state;
    world_init(world);
    uint64_t pn = 0;
    for (uint64_t phase = 1; phase < 20; phase++) {
        if (phase % 3 == 0)
            assert_true(sp_keyphase_update_write(&world->keys, FIRST_PN + phase)); /* ours first */
        update_peer(world);
        assert_int_equal(receive(world, pn++, phase % 2 == 1), SP_KEYPHASE_UPDATED);
        assert_int_equal(receive(world, pn++, phase % 2 == 1), SP_KEYPHASE_SAME);
        sp_keyphase_on_ack_sent(&world->keys, pn - 1);
        assert_int_equal(world->keys.read_phase, phase);
        assert_int_equal(world->keys.write_phase, phase);
    }
}

/* The owner's limit counts where it is smaller, and a wish counts at once. */
static void an_update_is_wanted_by_count_and_on_demand(void **state)
{
    struct world *world = *state;
    static const struct {
        uint64_t update_packets;
        uint64_t update_at;
    } samples[] = {{0, 700}, {1, 1}, {150, 150}, {699, 699}, {701, 700}, {UINT64_MAX, 700}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        world_init(world);
        struct sp_keyphase *keys = &world->keys;
        keys->limits.seal_count_max = 800;
        keys->update_packets = samples[i].update_packets;
        for (uint64_t phase = 1; phase < 3; phase++) {
            assert_true(sp_keyphase_update_write(keys, 0));
            keys->read_phase = phase;
            keys->write_is_acked = true;
            keys->write_count = samples[i].update_at - 1;
            assert_false(sp_keyphase_wants_update(keys, true));
            keys->write_count++;
            assert_true(sp_keyphase_wants_update(keys, true));
        }
        keys->write_count = 0;
        assert_false(sp_keyphase_wants_update(keys, true));
        keys->update_at = 0; /* asked for */
        assert_true(sp_keyphase_wants_update(keys, true));
        assert_false(sp_keyphase_wants_update(keys, false));
        assert_true(sp_keyphase_update_write(keys, 0));
        keys->read_phase++;
        keys->write_is_acked = true;
        assert_false(sp_keyphase_wants_update(keys, true));
    }
}

/* [RFC9001 6.1, 6.6] The limit is 800: an update is wanted from 700 on. */
static void an_update_is_wanted_near_the_limit_when_it_is_allowed(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *what;
        uint64_t write_count;
        bool is_confirmed, is_acked;
        uint64_t write_phase;
        bool want_update, want_exhausted;
    } samples[] = {
        {"far from it", 699, true, true, 0, false, false},
        {"near", 700, true, true, 0, true, false},
        {"not confirmed", 700, false, true, 0, false, false},
        {"nothing of this phase acknowledged", 700, true, false, 0, false, false},
        {"the peer has not followed", 700, true, true, 1, false, false},
        {"the last packet", 799, true, true, 0, true, false},
        {"at the limit", 800, true, true, 0, true, true},
        {"at the limit, not allowed", 800, true, false, 0, false, true},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        world_init(world);
        world->keys.limits.seal_count_max = 800;
        assert_true(sp_keyphase_update_write(&world->keys, 0)); /* plans the next one */
        world->keys.write_count = samples[i].write_count;
        world->keys.write_is_acked = samples[i].is_acked;
        world->keys.write_phase = samples[i].write_phase;
        print_message("    %s\n", samples[i].what);
        assert_int_equal(sp_keyphase_wants_update(&world->keys, samples[i].is_confirmed),
                         samples[i].want_update);
        assert_int_equal(sp_keyphase_is_exhausted(&world->keys), samples[i].want_exhausted);
    }
}

static void an_update_starts_the_count_again(void **state)
{
    struct world *world = *state;
    world_init(world);
    world->keys.write_count = world->keys.limits.seal_count_max;
    world->keys.write_is_acked = true;
    assert_true(sp_keyphase_is_exhausted(&world->keys));
    assert_true(sp_keyphase_update_write(&world->keys, 5));
    assert_false(sp_keyphase_is_exhausted(&world->keys));
    assert_false(world->keys.write_is_acked);
    expect_assert_failure((void)!sp_keyphase_update_write(&world->keys, 6)); /* not twice */
}

static struct sp_key *no_next(const struct sp_key *key)
{
    (void)key;
    return NULL;
}

static void a_key_that_cannot_be_made_is_told(void **state)
{
    struct world *world = *state;
    world_init(world);
    static struct sp_protect_ops ops; /* the tear-down uses it as well */
    ops = qs_null_protect_ops;
    ops.next = no_next;
    world->keys.ops = &ops;
    assert_false(sp_keyphase_update_write(&world->keys, 5));
    assert_int_equal(world->keys.write_phase, 0);
    update_peer(world);
    assert_int_equal(receive(world, 1, true), SP_KEYPHASE_NO_MEMORY);
    assert_int_equal(world->keys.read_phase, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, an_update_of_the_peer_is_followed_at_once),
        QT_TEST(world, late_packets_open_with_the_key_before_until_it_is_dropped),
        QT_TEST(world, another_key_stands_in_for_a_dropped_one),
        QT_TEST(world, newer_keys_at_a_lower_number_are_an_error),
        QT_TEST(world, a_second_update_before_our_ack_is_an_error),
        QT_TEST(world, old_keys_may_not_acknowledge_new_ones),
        QT_TEST(world, old_keys_do_not_open_newer_packets),
        QT_TEST(world, many_updates_of_both_sides_stay_in_step),
        QT_TEST(world, an_update_is_wanted_by_count_and_on_demand),
        QT_TEST(world, an_update_is_wanted_near_the_limit_when_it_is_allowed),
        QT_TEST(world, an_update_starts_the_count_again),
        QT_TEST(world, a_key_that_cannot_be_made_is_told),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
