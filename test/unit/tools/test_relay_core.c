/* SPDX-License-Identifier: MIT */
/* Networks of relays without a network: each core is given what its neighbours send, in virtual
 * time. */

#include "test/support/relay_world.h"

/* 1 - 2 - 3 - 4: by route, then by cached next hop, whole and in pieces. */
static void a_packet_goes_hop_by_hop_by_route(void **state)
{
    (void)state;
    static const size_t sizes[] = {20, 1000, 1170, 1171, 3000, 65535};
    struct world *w = world_create(4);
    for (uint32_t i = 0; i < 3; i++)
        link_up(w, i, i + 1, false);
    announce_all(w);
    assert_int_equal(relay_routes_find(&w->nodes[0].core.routes, 4)->peer, 1);
    assert_int_equal(relay_routes_find(&w->nodes[0].core.routes, 4)->cost, 3);
    for (uint32_t i = 0; i < QT_COUNT(sizes); i++) {
        say(w, 0, (const uint8_t[]){10, 0, 4, 9}, sizes[i]);
        assert_int_equal(w->nodes[3].delivered_count, i + 1);
        assert_int_equal(w->nodes[3].delivered_size, sizes[i]);
    }
    assert_int_equal(w->nodes[1].delivered_count + w->nodes[2].delivered_count, 0);
    assert_int_equal(path_count(w, 0, RELAY_PATH_DEVICE_ROUTED), 1);
    assert_int_equal(path_count(w, 0, RELAY_PATH_DEVICE_CACHED), QT_COUNT(sizes) - 1);
    assert_int_equal(w->nodes[0].core.cut_count, 3);
    assert_true(path_count(w, 1, RELAY_PATH_ROUTED) >= QT_COUNT(sizes));
    world_destroy(w);
}

/* A path that takes less at a later hop: pieces are cut again. */
static void pieces_are_cut_again_where_a_hop_takes_less(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    link_up(w, 0, 1, false);
    link_up(w, 1, 2, false);
    announce_all(w);
    memset(w->bytes, 5, 4000);
    read_packet(w, 0, (const uint8_t[]){10, 0, 3, 1}, 4000);
    w->size_max = 700;
    run(w);
    assert_int_equal(w->nodes[2].delivered_count, 1);
    assert_int_equal(w->nodes[2].delivered_size, 4000);
    world_destroy(w);
}

/* A ring with a chord: every unit gets a broadcast once, and it ends. */
static void a_broadcast_reaches_all_once_in_a_network_with_loops(void **state)
{
    (void)state;
    struct world *w = world_create(5);
    for (uint32_t i = 0; i < 5; i++)
        link_up(w, i, (i + 1) % 5, false);
    link_up(w, 0, 2, false);
    say(w, 0, (const uint8_t[]){255, 255, 255, 255}, 500);
    for (uint32_t i = 1; i < 5; i++) {
        assert_int_equal(w->nodes[i].delivered_count, 1);
        assert_true(path_count(w, i, RELAY_PATH_BROADCAST) == 1);
    }
    assert_int_equal(w->nodes[0].delivered_count, 0);
    assert_true(drop_count(w, 1, RELAY_DROP_SEEN) + drop_count(w, 2, RELAY_DROP_SEEN) > 0);
    assert_true(w->sent_count <= 2 * 6);              /* each link, each way, at most */
    say(w, 0, (const uint8_t[]){224, 0, 0, 5}, 5000); /* in pieces */
    for (uint32_t i = 1; i < 5; i++)
        assert_int_equal(w->nodes[i].delivered_count, 2);
    assert_int_equal(path_count(w, 0, RELAY_PATH_DEVICE_BROADCAST), 2);
    world_destroy(w);
}

static void what_has_no_route_is_flooded_and_only_its_owner_gets_it(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    link_up(w, 0, 1, false);
    link_up(w, 1, 2, false);
    /* Nobody has announced anything: the unit is not known. */
    say(w, 0, (const uint8_t[]){10, 0, 3, 1}, 300);
    assert_int_equal(path_count(w, 0, RELAY_PATH_DEVICE_NO_CACHE), 1);
    assert_int_equal(w->nodes[2].delivered_count, 1);
    assert_int_equal(w->nodes[1].delivered_count, 0);
    assert_int_equal(drop_count(w, 1, RELAY_DROP_FOREIGN), 1);
    /* The unit is known by command line, and no route: flooded to it, and it is asked. */
    struct relay_prefix prefix = w->nodes[2].core.own[0];
    assert_true(relay_book_add(&w->nodes[0].core.book, &prefix, 3, true));
    w->now_ns += 1000 * MS;
    say(w, 0, (const uint8_t[]){10, 0, 3, 1}, 300);
    assert_int_equal(path_count(w, 0, RELAY_PATH_DEVICE_NO_ROUTE), 1);
    assert_int_equal(w->nodes[2].delivered_count, 2);
    say(w, 0, (const uint8_t[]){10, 0, 3, 1}, 300); /* it has announced itself */
    assert_int_equal(
        path_count(w, 0, RELAY_PATH_DEVICE_CACHED) + path_count(w, 0, RELAY_PATH_DEVICE_ROUTED), 1);
    assert_int_equal(w->nodes[2].delivered_count, 3);
    world_destroy(w);
}

/* 1 (on-board) - 2 (on-board) - 3 (roadside): upstream whatever is not known, downstream by route.
 */
static void on_board_units_send_upstream_and_forward_downstream(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    w->nodes[0].core.role = w->nodes[1].core.role = RELAY_ONBOARD;
    w->nodes[2].core.own_count = 0; /* leads everywhere */
    link_up(w, 0, 1, true);
    link_up(w, 1, 2, true);
    say(w, 0, (const uint8_t[]){192, 0, 2, 1}, 2500);
    assert_int_equal(path_count(w, 0, RELAY_PATH_DEVICE_UP), 1);
    assert_int_equal(path_count(w, 1, RELAY_PATH_UP_FORWARD), 3); /* pieces */
    assert_int_equal(w->nodes[2].delivered_count, 1);
    announce_all(w);
    say(w, 2, (const uint8_t[]){10, 0, 1, 1}, 900);
    assert_int_equal(w->nodes[0].delivered_count, 1);
    assert_int_equal(path_count(w, 1, RELAY_PATH_DOWN_FORWARD), 1);
    /* Without anybody upstream it is dropped, not flooded. */
    relay_core_leave(&w->nodes[1].core, 2);
    say(w, 0, (const uint8_t[]){192, 0, 2, 1}, 100);
    assert_int_equal(drop_count(w, 1, RELAY_DROP_NO_WAY), 1);
    world_destroy(w);
}

/* 1 has two ways upstream: the one whose heartbeats are faster, until it is silent. */
static void the_upstream_that_answers_fastest_is_used(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    w->nodes[0].core.role = RELAY_ONBOARD;
    w->nodes[1].core.own_count = w->nodes[2].core.own_count = 0;
    link_up(w, 0, 1, true);
    link_up(w, 0, 2, true);
    w->nodes[0].core.peers[1].cost = 50;
    w->nodes[0].core.peers[2].cost = 20;
    say(w, 0, (const uint8_t[]){192, 0, 2, 1}, 100);
    assert_int_equal(w->nodes[2].delivered_count, 1);
    relay_core_set_alive(&w->nodes[0].core, 2, false);
    say(w, 0, (const uint8_t[]){192, 0, 2, 1}, 100);
    assert_int_equal(w->nodes[1].delivered_count, 1);
    world_destroy(w);
}

/* A square: the cheaper way is taken; when it goes, the other one at once. */
static void a_lost_neighbour_is_routed_around(void **state)
{
    (void)state;
    struct world *w = world_create(4);
    link_up(w, 0, 1, false);
    link_up(w, 1, 3, false);
    link_up(w, 0, 2, false);
    link_up(w, 2, 3, false);
    w->nodes[0].core.peers[2].cost = 200;
    announce_all(w);
    assert_int_equal(relay_routes_find(&w->nodes[0].core.routes, 4)->peer, 1);
    relay_core_leave(&w->nodes[0].core, 1);
    assert_int_equal(relay_routes_find(&w->nodes[0].core.routes, 4)->peer, 2);
    say(w, 0, (const uint8_t[]){10, 0, 4, 1}, 1500);
    assert_int_equal(w->nodes[3].delivered_count, 1);
    world_destroy(w);
}

/* Two units that each believe the other one leads to unit 9. */
static void a_routing_loop_ends_by_hops(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    link_up(w, 0, 1, false);
    link_up(w, 0, 2, false);
    link_up(w, 1, 2, false);
    struct relay_prefix prefix;
    assert_true(relay_prefix_parse("10.9.0.0/16", &prefix));
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(relay_book_add(&w->nodes[i].core.book, &prefix, 9, true));
        assert_true(relay_routes_hear(&w->nodes[i].core.routes, 9, 1, (uint16_t)((i + 1) % 3), 5,
                                      w->now_ns));
    }
    say(w, 0, (const uint8_t[]){10, 9, 0, 1}, 100);
    assert_true(w->sent_count < 20);
    assert_int_equal(drop_count(w, 0, RELAY_DROP_LOOPED) + drop_count(w, 0, RELAY_DROP_HOPS) +
                         drop_count(w, 1, RELAY_DROP_HOPS) + drop_count(w, 2, RELAY_DROP_HOPS),
                     1);
    world_destroy(w);
}

static void a_hostile_neighbour_is_counted_and_limited(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    link_up(w, 0, 1, false);
    link_up(w, 0, 2, false);
    struct relay_head head = {
        .kind = RELAY_DATA, .hops = 3, .source = 2, .target = 1, .sequence = 1, .total = 100};
    head.source = 1;
    give(w, 0, 1, &head, 100); /* in our own name */
    assert_int_equal(drop_count(w, 0, RELAY_DROP_LOOPED), 1);
    head.source = 2;
    head.flags = RELAY_ROUTED;
    head.next = 7;
    give(w, 0, 1, &head, 100);
    assert_int_equal(drop_count(w, 0, RELAY_DROP_STRAY), 1);
    head.flags = 0;
    head.kind = RELAY_BEAT; /* not here */
    give(w, 0, 1, &head, 100);
    head.kind = RELAY_CONTROL; /* bytes of no control packet, to us and flooded */
    give(w, 0, 1, &head, 100);
    head.flags = RELAY_FLOOD;
    head.target = RELAY_ALL;
    give(w, 0, 1, &head, 100);
    assert_int_equal(drop_count(w, 0, RELAY_DROP_MALFORMED), 3);
    head.kind = RELAY_DATA;
    head.hops = 1;
    head.sequence = 99;
    uint64_t sent_count = w->sent_count;
    give(w, 0, 1, &head, 100);
    assert_int_equal(drop_count(w, 0, RELAY_DROP_HOPS), 1);
    assert_int_equal(w->sent_count, sent_count);
    /* Pieces that never become a packet: bounded, and given back. */
    head.flags = 0;
    head.target = 1;
    head.total = 60000;
    for (uint32_t i = 0; i < 5000; i++) {
        head.sequence = 1000 + i;
        give(w, 0, 1, &head, 100);
    }
    assert_int_equal(w->nodes[0].core.reassembly.dropped_count, 5000 - RELAY_PARTIAL_PER_PEER);
    /* A limit holds for this one, and not for the other. */
    relay_core_join(&w->nodes[0].core, 1, 2, false, 100000, w->now_ns);
    head.total = 1000;
    head.target = RELAY_ALL;
    head.flags = RELAY_FLOOD;
    uint64_t limited = drop_count(w, 0, RELAY_DROP_LIMITED);
    for (uint32_t i = 0; i < 200; i++) {
        head.sequence = 10000 + i;
        give(w, 0, 1, &head, 1000);
    }
    assert_in_range(drop_count(w, 0, RELAY_DROP_LIMITED) - limited, 200 - 66, 200 - 60);
    limited = drop_count(w, 0, RELAY_DROP_LIMITED);
    head.source = 3;
    give(w, 0, 2, &head, 1000);
    assert_int_equal(drop_count(w, 0, RELAY_DROP_LIMITED), limited);
    world_destroy(w);
}

/* The rest of a packet waits for room, and nothing else is taken from the device meanwhile. */
static void a_full_queue_stalls_the_device_and_nothing_is_lost(void **state)
{
    (void)state;
    struct world *w = world_create(2);
    link_up(w, 0, 1, false);
    announce_all(w);
    struct relay_core *core = &w->nodes[0].core;
    w->is_full = true;
    say(w, 0, (const uint8_t[]){10, 0, 2, 1}, 5000);
    assert_non_null(core->stalled.packet);
    assert_false(relay_core_resume(core, false));
    w->is_full = false;
    assert_true(relay_core_resume(core, false));
    run(w);
    assert_int_equal(w->nodes[1].delivered_count, 1);
    assert_int_equal(w->nodes[1].delivered_size, 5000);
    assert_int_equal(drop_count(w, 0, RELAY_DROP_FULL), 0);
    w->is_full = true;
    say(w, 0, (const uint8_t[]){10, 0, 2, 1}, 5000);
    assert_true(relay_core_resume(core, true)); /* given up */
    assert_int_equal(drop_count(w, 0, RELAY_DROP_FULL), 1);
    /* The device does not wait for the same neighbour in vain again and again. */
    say(w, 0, (const uint8_t[]){10, 0, 2, 1}, 5000);
    assert_null(core->stalled.packet);
    assert_int_equal(drop_count(w, 0, RELAY_DROP_FULL), 2);
    w->is_full = false;
    say(w, 0, (const uint8_t[]){10, 0, 2, 1}, 5000);
    assert_int_equal(w->nodes[1].delivered_count, 2);
    w->is_full = true;
    say(w, 0, (const uint8_t[]){10, 0, 2, 1}, 5000);
    assert_non_null(core->stalled.packet);
    assert_true(relay_core_resume(core, true));
    relay_core_has_room(core, 1);
    say(w, 0, (const uint8_t[]){10, 0, 2, 1}, 5000);
    assert_non_null(core->stalled.packet);
    relay_core_leave(core, 1); /* with a packet that waits for it */
    assert_null(core->stalled.packet);
    world_destroy(w);
}

/* A piece that finds no room takes the others of its packet with it, and no other packet. */
static void the_rest_of_a_packet_that_lost_a_piece_is_not_sent(void **state)
{
    (void)state;
    for (uint32_t is_flood = 0; is_flood < 2; is_flood++) {
        struct world *w = world_create(3);
        link_up(w, 0, 1, false);
        link_up(w, 1, 2, false);
        announce_all(w);
        struct relay_head head = {.kind = RELAY_DATA,
                                  .flags = is_flood != 0 ? RELAY_FLOOD : 0,
                                  .hops = 3,
                                  .source = 1,
                                  .target = 3,
                                  .sequence = 50,
                                  .total = 300};
        uint64_t sent_count = w->sent_count;
        w->is_full = true;
        give(w, 1, 0, &head, 100);
        w->is_full = false;
        head.offset = 100;
        give(w, 1, 0, &head, 100);
        head.offset = 200;
        give(w, 1, 0, &head, 100);
        assert_int_equal(w->sent_count, sent_count);
        assert_int_equal(drop_count(w, 1, RELAY_DROP_FULL), 3);
        head.sequence = 51;
        head.offset = 100;
        give(w, 1, 0, &head, 100);
        assert_int_equal(w->sent_count, sent_count + 1);
        world_destroy(w);
    }
}

/* A bridge: frames to an unknown address are flooded, and answers are learned. */
static void frames_are_learned_from_their_sources(void **state)
{
    (void)state;
    struct world *w = world_create(3);
    link_up(w, 0, 1, false);
    link_up(w, 1, 2, false);
    for (uint32_t i = 0; i < 3; i++)
        w->nodes[i].core.format = RELAY_FORMAT_FRAME;
    announce_all(w);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t from = i == 0 ? 0 : 2;
        struct node *node = &w->nodes[from];
        struct relay_packet *packet = relay_packet_to_read(&node->packets);
        memset(w->bytes, 0, 60);
        w->bytes[5] = (uint8_t)(from == 0 ? 3 : 1); /* to */
        w->bytes[11] = (uint8_t)(from + 1);
        memcpy(packet->room, w->bytes, 60);
        packet->size = 60;
        relay_core_from_device(&node->core, packet, w->now_ns);
        relay_packet_unref(packet);
        run(w);
    }
    assert_int_equal(path_count(w, 0, RELAY_PATH_DEVICE_NO_CACHE), 1);
    assert_int_equal(path_count(w, 2, RELAY_PATH_DEVICE_CACHED), 1);
    assert_int_equal(w->nodes[0].delivered_count, 1);
    assert_int_equal(w->nodes[1].delivered_count, 1); /* the flooded one only */
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_goes_hop_by_hop_by_route),
        cmocka_unit_test(pieces_are_cut_again_where_a_hop_takes_less),
        cmocka_unit_test(a_broadcast_reaches_all_once_in_a_network_with_loops),
        cmocka_unit_test(what_has_no_route_is_flooded_and_only_its_owner_gets_it),
        cmocka_unit_test(on_board_units_send_upstream_and_forward_downstream),
        cmocka_unit_test(the_upstream_that_answers_fastest_is_used),
        cmocka_unit_test(a_lost_neighbour_is_routed_around),
        cmocka_unit_test(a_routing_loop_ends_by_hops),
        cmocka_unit_test(a_hostile_neighbour_is_counted_and_limited),
        cmocka_unit_test(a_full_queue_stalls_the_device_and_nothing_is_lost),
        cmocka_unit_test(the_rest_of_a_packet_that_lost_a_piece_is_not_sent),
        cmocka_unit_test(frames_are_learned_from_their_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
