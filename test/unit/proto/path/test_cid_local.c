/* SPDX-License-Identifier: MIT */
/* The connection IDs that we issue: RFC 9000, Section 5.1.1. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/path/cid_local.h"

static const uint8_t token[SP_RESET_TOKEN_SIZE] = "token-of-sixteen";

static struct sp_cid cid_of(uint8_t number)
{
    uint8_t bytes[8] = {number};
    return sp_cid_of(bytes, sizeof(bytes));
}

static struct sp_cid_local_entry *add(struct sp_cid_local *ids, uint8_t number)
{
    struct sp_cid cid = cid_of(number);
    return sp_cid_local_add(ids, &cid, token);
}

/* [RFC9000 5.1.1] "MUST NOT provide more connection IDs than the peer's limit" */
static void no_more_are_issued_than_the_peer_takes_and_we_keep(void **state)
{
    (void)state;
    for (uint32_t count_max = 1; count_max < SP_CIDS_MAX + 3; count_max++) {
        struct sp_cid_local ids;
        struct sp_cid first = cid_of(0);
        sp_cid_local_init(&ids, &first);
        assert_false(sp_cid_local_wants_more(&ids)); /* the peer's limit is unknown */
        ids.count_max = count_max;
        uint8_t count = 1;
        for (; sp_cid_local_wants_more(&ids); count++)
            assert_non_null(add(&ids, count));
        assert_int_equal(count, count_max < SP_CIDS_MAX ? count_max : SP_CIDS_MAX);
    }
}

static void issuing_one_too_many_is_our_bug(void **state)
{
    (void)state;
    struct sp_cid_local ids;
    struct sp_cid cid = {.size = 4};
    sp_cid_local_init(&ids, &cid);
    expect_assert_failure(sp_cid_local_add(&ids, &cid, token));
}

/* [RFC9000 5.1.1] "The sequence number on each newly issued connection ID MUST increase by 1." */
static void sequences_rise_by_one_and_are_never_used_again(void **state)
{
    (void)state;
    struct sp_cid_local ids;
    struct sp_cid first = cid_of(0);
    sp_cid_local_init(&ids, &first);
    ids.count_max = 3;
    assert_false(sp_cid_local_find(&ids, 0)->wants_send); /* the handshake told it */
    for (uint8_t n = 1; n < 50; n++) {
        struct sp_cid_local_entry *entry = add(&ids, n);
        assert_int_equal(entry->sequence, n);
        assert_true(entry->wants_send);
        assert_memory_equal(entry->reset_token, token, sizeof(token));
        struct sp_cid want = cid_of(n);
        assert_true(sp_cid_equal(&sp_cid_local_find(&ids, n)->cid, &want));
        if (n < 2)
            continue;
        sp_cid_local_find(&ids, n - 2)->is_used = false; /* the peer retires the oldest */
        assert_null(sp_cid_local_find(&ids, n - 2));
        assert_true(sp_cid_local_wants_more(&ids));
    }
    assert_null(sp_cid_local_find(&ids, 50));
    assert_int_equal(ids.next_sequence, 50);
}

/* [RFC9000 13.3] NEW_CONNECTION_ID frames are sent again when they are lost. */
static void unsent_ids_are_found_until_they_are_sent(void **state)
{
    (void)state;
    struct sp_cid_local ids;
    struct sp_cid first = cid_of(0);
    sp_cid_local_init(&ids, &first);
    ids.count_max = 3;
    assert_null(sp_cid_local_next_unsent(&ids));
    assert_false(ids.may_want_send);
    for (uint8_t n = 1; n < 3; n++)
        (void)add(&ids, n);
    for (uint8_t n = 1; n < 3; n++) {
        assert_true(ids.may_want_send);
        struct sp_cid_local_entry *entry = sp_cid_local_next_unsent(&ids);
        assert_int_equal(entry->sequence, n);
        entry->wants_send = false;
    }
    assert_null(sp_cid_local_next_unsent(&ids));
    assert_false(ids.may_want_send);

    sp_cid_local_on_lost(&ids, 2);
    assert_true(ids.may_want_send);
    assert_int_equal(sp_cid_local_next_unsent(&ids)->sequence, 2);
    sp_cid_local_find(&ids, 2)->is_used = false; /* retired before it was sent again */
    assert_null(sp_cid_local_next_unsent(&ids));
    sp_cid_local_on_lost(&ids, 2);
    sp_cid_local_on_lost(&ids, 99);
    assert_false(ids.may_want_send);
}

/* [RFC9000 5.1.2] The first new one fits beside the old ones, the others when those are retired. */
static void new_ids_replace_all_that_there_were(void **state)
{
    (void)state;
    struct sp_cid_local ids;
    struct sp_cid first = cid_of(0);
    sp_cid_local_init(&ids, &first);
    ids.count_max = 9;
    ids.own_max = SP_CIDS_MAX - 1;
    uint8_t n = 1;
    for (; sp_cid_local_wants_more(&ids); n++)
        (void)add(&ids, n);
    assert_int_equal(n, SP_CIDS_MAX - 1);
    assert_false(sp_cid_local_has_old(&ids));

    sp_cid_local_renew(&ids, SP_CIDS_MAX - 1);
    assert_true(sp_cid_local_has_old(&ids));
    struct sp_cid_local_entry *fresh = add(&ids, n);
    assert_int_equal(sp_cid_local_retires(&ids, fresh), n);
    assert_false(sp_cid_local_wants_more(&ids));
    for (uint8_t old = 0; old < n; old++) {
        struct sp_cid_local_entry *entry = sp_cid_local_find(&ids, old);
        assert_int_equal(sp_cid_local_retires(&ids, entry), old); /* at most its sequence */
        entry->is_used = false;
        assert_true(sp_cid_local_wants_more(&ids) == (old < SP_CIDS_MAX - 2));
        if (sp_cid_local_wants_more(&ids))
            assert_int_equal(sp_cid_local_retires(&ids, add(&ids, (uint8_t)(n + 1 + old))), n);
    }
    assert_false(sp_cid_local_has_old(&ids));
}

static void one_id_at_a_time_is_followed_by_one(void **state)
{
    (void)state;
    struct sp_cid_local ids;
    struct sp_cid first = cid_of(0);
    sp_cid_local_init(&ids, &first);
    ids.count_max = 4;
    ids.own_max = 1;
    assert_false(sp_cid_local_wants_more(&ids));
    for (uint8_t n = 1; n < 4; n++) {
        sp_cid_local_renew(&ids, 1);
        assert_true(sp_cid_local_wants_more(&ids));
        (void)add(&ids, n);
        assert_false(sp_cid_local_wants_more(&ids));
    }
    sp_cid_local_renew(&ids, 1); /* no place, until the peer retires one of the four */
    assert_false(sp_cid_local_wants_more(&ids));
    sp_cid_local_find(&ids, 2)->is_used = false;
    assert_true(sp_cid_local_wants_more(&ids));
    expect_assert_failure(sp_cid_local_renew(&ids, 0));
    expect_assert_failure(sp_cid_local_renew(&ids, SP_CIDS_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsent_ids_are_found_until_they_are_sent),
        cmocka_unit_test(no_more_are_issued_than_the_peer_takes_and_we_keep),
        cmocka_unit_test(issuing_one_too_many_is_our_bug),
        cmocka_unit_test(sequences_rise_by_one_and_are_never_used_again),
        cmocka_unit_test(new_ids_replace_all_that_there_were),
        cmocka_unit_test(one_id_at_a_time_is_followed_by_one),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
