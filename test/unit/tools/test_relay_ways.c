/* SPDX-License-Identifier: MIT */
/* Packets in pieces and prefixes, where more than one way or more than one unit brings them. */

#include "test/support/relay_world.h"

/* The pieces of a flooded packet come by two ways, each by the one that is first. */
static void a_flooded_packet_is_put_together_from_two_ways(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    link_up(w, 0, 1, false);
    link_up(w, 0, 2, false);
    struct relay_head head = {.kind = RELAY_DATA,
                              .flags = RELAY_FLOOD,
                              .hops = 1,
                              .source = 9,
                              .target = RELAY_ALL,
                              .sequence = 50,
                              .total = 400};
    memset(w->bytes, 0x45, 400);
    w->nodes[0].core.own_count = 0; /* all is ours */
    for (uint32_t i = 0; i < 4; i++) {
        head.offset = 100 * i;
        give(w, 0, (uint16_t)(1 + i % 2), &head, 100);
        give(w, 0, (uint16_t)(2 - i % 2), &head, 100); /* the same piece by the other way */
        head.offset += 50;
        if (i == 1) /* one that overlaps spoils nothing */
            give(w, 0, 2, &head, 100);
    }
    assert_int_equal(w->nodes[0].delivered_count, 1);
    assert_int_equal(w->nodes[0].delivered_size, 400);
    world_destroy(w);
}

/* A train is cut for a path of 1,200 and again for one that takes a little less. */
static void a_train_that_is_cut_twice_arrives(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    link_up(w, 0, 1, false);
    link_up(w, 1, 2, false);
    announce_all(w);
    memset(w->bytes, 5, 65535);
    read_packet(w, 0, (const uint8_t[]){10, 0, 3, 1}, 65535);
    w->size_max = 1100;
    run(w);
    assert_int_equal(w->nodes[2].delivered_count, 1);
    assert_int_equal(w->nodes[2].delivered_size, 65535);
    world_destroy(w);
}

/* Two units announce one prefix: it is the first one's until that is forgotten. */
static void a_prefix_moves_when_its_owner_has_gone(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    struct relay_core *core = &w->nodes[0].core;
    struct relay_address address = {.family = RELAY_IPV4, .bytes = {10, 0, 2, 7}};
    link_up(w, 0, 1, false);
    link_up(w, 0, 2, false);
    w->nodes[2].core.own[0] = w->nodes[1].core.own[0];
    announce_all(w);
    announce_all(w);
    assert_int_equal(relay_book_find(&core->book, &address), 2);
    relay_core_leave(core, 1); /* no way leads to the owner */
    relay_core_leave(&w->nodes[1].core, 0);
    announce_all(w);
    assert_int_equal(relay_book_find(&core->book, &address), 3);
    w->now_ns += 3600 * MS;
    relay_routes_expire(&core->routes, w->now_ns);
    assert_int_equal(core->book.count, 0);
    /* An announcement that says nothing of its way is none. */
    struct relay_head head = {.kind = RELAY_CONTROL,
                              .flags = RELAY_FLOOD,
                              .hops = 3,
                              .source = 9,
                              .target = RELAY_ALL,
                              .sequence = 1,
                              .total = 2};
    struct message *m = &w->queue[w->last++ % QUEUE_MAX];
    m->to = 0;
    m->peer = 2;
    m->size = relay_head_write(&head, m->bytes) + 2;
    m->bytes[m->size - 2] = RELAY_ANNOUNCEMENT;
    m->bytes[m->size - 1] = 0;
    run(w);
    assert_int_equal(drop_count(w, 0, RELAY_DROP_MALFORMED), 1);
    assert_null(relay_routes_find(&core->routes, 9));
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flooded_packet_is_put_together_from_two_ways),
        cmocka_unit_test(a_train_that_is_cut_twice_arrives),
        cmocka_unit_test(a_prefix_moves_when_its_owner_has_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
