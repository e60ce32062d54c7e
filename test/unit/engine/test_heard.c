/* SPDX-License-Identifier: MIT */
/* Until when a shard has received what arrived. */

#include "test/support/qt.h"

#include "engine/net/heard.h"

enum { WAITING_MAX = 100 };

static void turn(struct se_heard *heard, uint64_t now_ns, uint64_t received, bool is_more)
{
    uint64_t until_ns = heard->until_ns;
    heard->received = received;
    bool has_moved = se_heard_turn(heard, now_ns, is_more, WAITING_MAX);
    assert_int_equal(has_moved, heard->until_ns != until_ns);
    assert_int_equal(heard->received, 0);
}

static void a_turn_that_leaves_nothing_has_heard_all(void **state)
{
    (void)state;
    struct se_heard heard = {0};
    turn(&heard, 10, 5, false);
    assert_int_equal(heard.until_ns, 10);
    turn(&heard, 20, 5, true);
    assert_int_equal(heard.until_ns, 10);
    assert_int_not_equal(heard.mark_ns, 0);
    turn(&heard, 30, 5, true);
    assert_int_equal(heard.until_ns, 10);
    turn(&heard, 40, 5, false);
    assert_int_equal(heard.until_ns, 40);
    assert_int_equal(heard.mark_ns, 0);
}

static void without_slots_it_has_not_heard_all(void **state)
{
    (void)state;
    struct se_heard heard = {.is_starved = true};
    turn(&heard, 10, 0, false);
    assert_int_equal(heard.until_ns, 0);
    heard.is_starved = false;
    turn(&heard, 20, 0, false);
    assert_int_equal(heard.until_ns, 20);
}

/* What waited at a time has been received when as much has been as can wait. */
static void in_a_flood_it_moves_on(void **state)
{
    (void)state;
    struct se_heard heard = {0};
    turn(&heard, 10, 0, true);
    turn(&heard, 20, 99, true);
    assert_int_equal(heard.until_ns, 0);
    turn(&heard, 30, 1, true);
    assert_int_equal(heard.until_ns, 10);
    turn(&heard, 40, 60, true);
    assert_int_equal(heard.until_ns, 10);
    turn(&heard, 50, 60, true);
    assert_int_equal(heard.until_ns, 30);
}

static void it_moves_on_after_a_while_whatever_comes(void **state)
{
    (void)state;
    struct se_heard heard = {.is_starved = true};
    assert_true(se_heard_next_ns(&heard) == SB_NEVER);
    turn(&heard, 10, 0, true);
    uint64_t next_ns = se_heard_next_ns(&heard);
    turn(&heard, next_ns - 1, 0, true);
    assert_int_equal(heard.until_ns, 0);
    turn(&heard, next_ns, 0, true);
    assert_int_equal(heard.until_ns, 10);
}

/* A socket that gave as much as it was asked for may be empty: the next turn looks soon.  One that
 * is not read for lack of slots says nothing for a while. */
static void what_may_wait_is_looked_for_soon(void **state)
{
    (void)state;
    struct se_heard heard = {0};
    turn(&heard, 10, 4, true);
    assert_int_equal(se_heard_next_ns(&heard), 10 + SE_HEARD_LOOK_NS);
    turn(&heard, 20, 0, false);
    assert_true(se_heard_next_ns(&heard) == SB_NEVER);
    assert_int_equal(heard.until_ns, 20);

    heard.is_starved = true;
    turn(&heard, 30, 4, true);
    assert_int_equal(se_heard_next_ns(&heard), 30 + SE_HEARD_LAG_NS);
    heard.is_starved = false;
    turn(&heard, 40, 4, true);
    assert_int_equal(se_heard_next_ns(&heard), 40 + SE_HEARD_LOOK_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_that_leaves_nothing_has_heard_all),
        cmocka_unit_test(without_slots_it_has_not_heard_all),
        cmocka_unit_test(in_a_flood_it_moves_on),
        cmocka_unit_test(it_moves_on_after_a_while_whatever_comes),
        cmocka_unit_test(what_may_wait_is_looked_for_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
