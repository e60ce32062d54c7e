/* SPDX-License-Identifier: MIT */
/* The list whose links live in the members. */

#include "test/support/qt.h"

#include "proto/base/list.h"

struct item {
    int value;
    struct sb_link link;
};

static int value_of(const struct sb_link *link)
{
    /* Through a copy of the pointer: the items are never constant. */
    return SB_CONTAINER_OF((struct sb_link *)(uintptr_t)link, struct item, link)->value;
}

static void assert_values(const struct sb_link *head, const int *values, size_t count)
{
    const struct sb_link *link = head->next;
    for (size_t i = 0; i < count; i++, link = link->next) {
        assert_ptr_not_equal(link, head);
        assert_int_equal(value_of(link), values[i]);
        assert_ptr_equal(link->next->prev, link);
        assert_ptr_equal(link->prev->next, link);
    }
    assert_ptr_equal(link, head);
    assert_int_equal(sb_list_is_empty(head), count == 0);
}

#define ASSERT_VALUES(head, ...) \
    assert_values(head, (const int[]){__VA_ARGS__}, QT_COUNT(((const int[]){__VA_ARGS__})))

struct fixture {
    struct sb_link head;
    struct item items[5];
};

static struct fixture *fixture_init(struct fixture *f)
{
    sb_list_init(&f->head);
    for (int i = 0; i < 5; i++) {
        f->items[i].value = i;
        sb_list_init(&f->items[i].link);
    }
    return f;
}

static void members_keep_their_order(void **state)
{
    (void)state;
    struct fixture storage, *f = fixture_init(&storage);
    assert_values(&f->head, NULL, 0);
    assert_null(sb_list_first(&f->head));
    assert_null(sb_list_pop_front(&f->head));

    sb_list_push_back(&f->head, &f->items[1].link);
    sb_list_push_back(&f->head, &f->items[2].link);
    sb_list_push_front(&f->head, &f->items[0].link);
    ASSERT_VALUES(&f->head, 0, 1, 2);
    sb_list_insert_before(&f->items[2].link, &f->items[3].link);
    ASSERT_VALUES(&f->head, 0, 1, 3, 2);

    assert_int_equal(value_of(sb_list_first(&f->head)), 0);
    assert_int_equal(value_of(sb_list_pop_front(&f->head)), 0);
    ASSERT_VALUES(&f->head, 1, 3, 2);
    assert_false(sb_link_is_in(&f->items[0].link));
    assert_true(sb_link_is_in(&f->items[1].link));
}

static void removal_is_possible_anywhere_and_twice(void **state)
{
    (void)state;
    for (int gone = 0; gone < 5; gone++) {
        struct fixture storage, *f = fixture_init(&storage);
        for (int i = 0; i < 5; i++)
            sb_list_push_back(&f->head, &f->items[i].link);
        sb_list_remove(&f->items[gone].link);
        sb_list_remove(&f->items[gone].link);
        assert_false(sb_link_is_in(&f->items[gone].link));

        int want[4];
        for (int i = 0; i < 4; i++)
            want[i] = i < gone ? i : i + 1;
        assert_values(&f->head, want, 4);

        sb_list_push_back(&f->head, &f->items[gone].link); /* and it can come back */
        assert_int_equal(value_of(f->head.prev), gone);
    }
}

static void the_walk_lets_its_member_go(void **state)
{
    (void)state;
    struct fixture storage, *f = fixture_init(&storage);
    for (int i = 0; i < 5; i++)
        sb_list_push_back(&f->head, &f->items[i].link);
    int count = 0;
    SB_LIST_EACH(link, &f->head) {
        assert_int_equal(value_of(link), count++);
        if (value_of(link) % 2 == 0)
            sb_list_remove(link);
    }
    assert_int_equal(count, 5);
    ASSERT_VALUES(&f->head, 1, 3);

    SB_LIST_EACH(link, &f->head)
        sb_list_remove(link);
    assert_true(sb_list_is_empty(&f->head));
    SB_LIST_EACH(link, &f->head)
        fail_msg("an empty list has member %d", value_of(link));
}

static void a_member_is_in_one_list_only(void **state)
{
    (void)state;
    struct fixture storage, *f = fixture_init(&storage);
    struct sb_link other;
    sb_list_init(&other);
    sb_list_push_back(&f->head, &f->items[0].link);
    expect_assert_failure(sb_list_push_back(&other, &f->items[0].link));
    expect_assert_failure(sb_list_push_front(&f->head, &f->items[0].link));
    ASSERT_VALUES(&f->head, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_keep_their_order),
        cmocka_unit_test(removal_is_possible_anywhere_and_twice),
        cmocka_unit_test(the_walk_lets_its_member_go),
        cmocka_unit_test(a_member_is_in_one_list_only),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
