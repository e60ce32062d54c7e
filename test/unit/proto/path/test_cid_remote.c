/* SPDX-License-Identifier: MIT */
/* The peer's connection IDs: RFC 9000, Sections 5.1.2 and 19.15. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/path/cid_remote.h"

static struct sp_cid cid_of(uint64_t number)
{
    uint8_t bytes[8] = {0xc1, 0xd0, (uint8_t)(number >> 8), (uint8_t)number};
    return sp_cid_of(bytes, sizeof(bytes));
}

static struct sp_frame_new_cid frame_of(uint64_t sequence, uint64_t retire_prior_to)
{
    struct sp_frame_new_cid frame = {
        .sequence = sequence, .retire_prior_to = retire_prior_to, .cid = cid_of(sequence)};
    memset(frame.reset_token, (int)(0x40 + sequence), sizeof(frame.reset_token));
    return frame;
}

static struct sp_cid_remote ids_of_first(void)
{
    struct sp_cid_remote ids;
    struct sp_cid first = cid_of(0);
    sp_cid_remote_init(&ids, &first);
    return ids;
}

static enum sp_err add(struct sp_cid_remote *ids, uint64_t sequence, uint64_t retire_prior_to)
{
    struct sp_frame_new_cid frame = frame_of(sequence, retire_prior_to);
    return sp_cid_remote_add(ids, &frame);
}

static uint32_t used_count(const struct sp_cid_remote *ids)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        count += ids->entries[i].is_used;
    return count;
}

static void assert_active(const struct sp_cid_remote *ids, uint64_t sequence)
{
    struct sp_cid want = cid_of(sequence);
    assert_true(sp_cid_equal(sp_cid_remote_active(ids), &want));
}

struct step {
    uint64_t sequence, retire_prior_to;
    enum sp_err want;
};

/* [RFC9000 5.1.1, 5.1.2] Four may be kept. */
static void cids_are_kept_up_to_our_limit_and_retired_as_asked(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        size_t count;
        struct step steps[6];
        uint64_t want_active;
        uint32_t want_used;
    } samples[] = {
        {"up to the limit", 3, {{1, 0, 0}, {2, 0, 0}, {3, 0, 0}}, 0, 4},
        {"one too many",
         4,
         {{1, 0, 0}, {2, 0, 0}, {3, 0, 0}, {4, 0, SP_ERR_CONNECTION_ID_LIMIT}},
         0,
         4},
        {"a repeat is not one more",
         6,
         {{1, 0, 0}, {2, 0, 0}, {3, 0, 0}, {3, 0, 0}, {1, 0, 0}, {2, 0, 0}},
         0,
         4},
        {"one retired makes room", 4, {{1, 0, 0}, {2, 0, 0}, {3, 0, 0}, {4, 1, 0}}, 1, 4},
        {"all others retired", 3, {{1, 0, 0}, {2, 0, 0}, {9, 9, 0}}, 9, 1},
        {"the lowest is used next", 3, {{3, 0, 0}, {2, 0, 0}, {5, 1, 0}}, 2, 3},
        {"out of order", 3, {{5, 0, 0}, {2, 0, 0}, {1, 0, 0}}, 0, 4},
        {"late and retired", 2, {{5, 3, 0}, {2, 0, 0}}, 5, 1},
        {"an older demand takes nothing back", 2, {{5, 3, 0}, {6, 1, 0}}, 5, 2},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_cid_remote ids = ids_of_first();
        print_message("    %s\n", samples[i].what);
        for (size_t k = 0; k < samples[i].count; k++)
            assert_int_equal(
                add(&ids, samples[i].steps[k].sequence, samples[i].steps[k].retire_prior_to),
                samples[i].steps[k].want);
        assert_active(&ids, samples[i].want_active);
        assert_int_equal(used_count(&ids), samples[i].want_used);
    }
}

/* [RFC9000 19.15] */
static void a_frame_that_contradicts_another_is_a_violation(void **state)
{
    (void)state;
    struct sp_cid_remote ids = ids_of_first();
    assert_int_equal(add(&ids, 1, 0), SP_OK);
    struct sp_cid_remote before = ids;

    struct sp_frame_new_cid frame = frame_of(1, 0);
    frame.cid = cid_of(77);
    assert_int_equal(sp_cid_remote_add(&ids, &frame), SP_ERR_PROTOCOL_VIOLATION);
    frame = frame_of(1, 0);
    frame.reset_token[15] ^= 1;
    assert_int_equal(sp_cid_remote_add(&ids, &frame), SP_ERR_PROTOCOL_VIOLATION);
    frame = frame_of(2, 0);
    frame.cid = cid_of(1);
    assert_int_equal(sp_cid_remote_add(&ids, &frame), SP_ERR_PROTOCOL_VIOLATION);
    frame = frame_of(0, 0);
    frame.cid = cid_of(78);
    assert_int_equal(sp_cid_remote_add(&ids, &frame), SP_ERR_PROTOCOL_VIOLATION);
    assert_memory_equal(&ids, &before, sizeof(ids));
}

/* [RFC9000 19.15] "An endpoint that is sending packets with a zero-length Destination Connection
 * ID MUST treat receipt of a NEW_CONNECTION_ID frame as a connection error" */
static void a_peer_without_cids_must_not_issue_any(void **state)
{
    (void)state;
    struct sp_cid_remote ids;
    struct sp_cid none = {0};
    sp_cid_remote_init(&ids, &none);
    assert_int_equal(add(&ids, 1, 0), SP_ERR_PROTOCOL_VIOLATION);
}

/* [RFC9000 5.1.2, 19.16] */
static void retired_cids_are_told_until_the_peer_knows(void **state)
{
    (void)state;
    struct sp_cid_remote ids = ids_of_first();
    assert_null(sp_cid_remote_next_retired(&ids));
    assert_int_equal(add(&ids, 1, 0), SP_OK);
    assert_int_equal(add(&ids, 2, 2), SP_OK);

    bool is_seen[2] = {false};
    for (int i = 0; i < 2; i++) {
        struct sp_cid_retired *retired = sp_cid_remote_next_retired(&ids);
        assert_non_null(retired);
        assert_in_range(retired->sequence, 0, 1);
        is_seen[retired->sequence] = true;
        retired->wants_send = false;
    }
    assert_true(is_seen[0] && is_seen[1]);
    assert_null(sp_cid_remote_next_retired(&ids));
    assert_false(ids.may_want_send);
    assert_int_equal(add(&ids, 1, 0), SP_OK); /* a late copy: it was told already */
    assert_null(sp_cid_remote_next_retired(&ids));

    sp_cid_remote_on_retired_lost(&ids, 1);
    assert_true(ids.may_want_send);
    assert_int_equal(sp_cid_remote_next_retired(&ids)->sequence, 1);
    sp_cid_remote_on_retired_acked(&ids, 1);
    assert_null(sp_cid_remote_next_retired(&ids));
    sp_cid_remote_on_retired_lost(&ids, 1); /* a copy: nothing is owed any more */
    sp_cid_remote_on_retired_lost(&ids, 99);
    sp_cid_remote_on_retired_acked(&ids, 99);
    assert_null(sp_cid_remote_next_retired(&ids));
}

/* [RFC9000 5.1.2] A peer that never acknowledges what it makes us send. */
static void more_retirements_than_the_bound_end_the_connection(void **state)
{
    (void)state;
    struct sp_cid_remote ids = ids_of_first();
    for (uint64_t sequence = 1; sequence <= SP_RETIRED_CIDS_MAX; sequence++)
        assert_int_equal(add(&ids, sequence, sequence), SP_OK);
    struct sp_cid_remote late = ids;
    assert_int_equal(add(&ids, SP_RETIRED_CIDS_MAX + 1, SP_RETIRED_CIDS_MAX + 1),
                     SP_ERR_CONNECTION_ID_LIMIT);
    assert_int_equal(add(&late, 3, 0), SP_OK); /* waits already */
    sp_cid_remote_on_retired_acked(&late, 3);
    assert_int_equal(add(&late, 3, 0), SP_OK);
    assert_int_equal(add(&late, SP_RETIRED_CIDS_MAX + 1, 0), SP_OK);
}

/* [RFC9000 10.3.1] Only tokens of CIDs that were sent to and are in use. */
static void tokens_count_while_their_cid_is_used(void **state)
{
    (void)state;
    struct sp_cid_remote ids = ids_of_first();
    uint8_t token[SP_RESET_TOKEN_SIZE] = {0};
    assert_false(sp_cid_remote_has_token(&ids, token)); /* the first has none yet */
    memset(token, 0x40, sizeof(token));
    sp_cid_remote_set_first_token(&ids, token);
    assert_false(sp_cid_remote_has_token(&ids, token)); /* nothing was sent to the CID */
    assert_true(sp_cid_remote_on_sent(&ids, ids.active));
    assert_false(sp_cid_remote_on_sent(&ids, ids.active));
    assert_true(sp_cid_remote_has_token(&ids, token));
    for (size_t i = 0; i < sizeof(token) * 8; i++) {
        token[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(sp_cid_remote_has_token(&ids, token));
        token[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_int_equal(add(&ids, 1, 1), SP_OK); /* retires the first */
    assert_false(sp_cid_remote_has_token(&ids, token));
    sp_cid_remote_set_first_token(&ids, token); /* too late */
    assert_false(sp_cid_remote_has_token(&ids, token));
    memset(token, 0x41, sizeof(token));
    assert_false(sp_cid_remote_has_token(&ids, token));
    assert_true(sp_cid_remote_on_sent(&ids, ids.active));
    assert_true(sp_cid_remote_has_token(&ids, token));
    assert_int_equal(add(&ids, 2, 0), SP_OK); /* a spare one */
    assert_false(sp_cid_remote_on_sent(&ids, ids.active));
    memset(token, 0x42, sizeof(token));
    assert_false(sp_cid_remote_has_token(&ids, token));
}

/* [RFC9000 7.2, 17.2.5.2] */
static void the_first_cid_may_be_replaced(void **state)
{
    (void)state;
    struct sp_cid_remote ids = ids_of_first();
    struct sp_cid other = cid_of(1234);
    sp_cid_remote_replace_first(&ids, &other);
    assert_true(sp_cid_equal(sp_cid_remote_active(&ids), &other));
    assert_int_equal(add(&ids, 1, 1), SP_OK);
    expect_assert_failure(sp_cid_remote_replace_first(&ids, &other));
}

/* [RFC9000 9.5] Each path gets one of its own, the oldest that is left. */
static void a_cid_is_taken_by_one_path(void **state)
{
    (void)state;
    struct sp_cid_remote ids = ids_of_first();
    assert_int_equal(add(&ids, 1, 0), SP_OK);
    assert_int_equal(add(&ids, 2, 0), SP_OK);
    uint32_t first = sp_cid_remote_take(&ids), second = sp_cid_remote_take(&ids);
    assert_true(first < SP_CIDS_MAX && second < SP_CIDS_MAX);
    assert_int_equal(ids.entries[first].sequence, 1);
    assert_int_equal(ids.entries[second].sequence, 2);
    assert_int_equal(sp_cid_remote_take(&ids), SP_CID_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cid_is_taken_by_one_path),
        cmocka_unit_test(cids_are_kept_up_to_our_limit_and_retired_as_asked),
        cmocka_unit_test(a_frame_that_contradicts_another_is_a_violation),
        cmocka_unit_test(a_peer_without_cids_must_not_issue_any),
        cmocka_unit_test(retired_cids_are_told_until_the_peer_knows),
        cmocka_unit_test(more_retirements_than_the_bound_end_the_connection),
        cmocka_unit_test(tokens_count_while_their_cid_is_used),
        cmocka_unit_test(the_first_cid_may_be_replaced),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
