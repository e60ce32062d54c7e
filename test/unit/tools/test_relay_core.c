/* SPDX-License-Identifier: MIT */
/* Networks of relays without a network: each core is given what its neighbours send, in virtual
 * time. */

#include "test/support/qt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/spate/relay/core.h"

enum { UNITS_MAX = 8, QUEUE_MAX = 4096, SIZE_MAX_DEFAULT = 1200, PACKETS = 512 };

#define MS UINT64_C(1000000)

struct world;

struct node {
    struct world *world;
    struct relay_packets packets;
    struct relay_core core;
    uint32_t delivered_count;
    uint32_t delivered_size;
    bool is_mangled; /* bytes that were delivered are others than were sent */
};

struct message {
    uint32_t to;
    uint16_t peer; /* the sender's number at the receiver */
    size_t size;
    uint8_t bytes[RELAY_ROUTED_SIZE + 2000];
};

/* Unit i + 1 is nodes[i].  A neighbour's number is its index. */
struct world {
    struct node nodes[UNITS_MAX];
    uint32_t count;
    uint64_t now_ns;
    size_t size_max;
    bool is_full; /* every queue */
    uint64_t sent_count;
    uint8_t bytes[RELAY_PACKET_MAX];
    struct message queue[QUEUE_MAX];
    uint32_t first, last;
};

static int send_op(void *user, uint16_t peer, const uint8_t *head, size_t head_size,
                   struct relay_packet *packet, size_t offset, size_t size)
{
    struct node *node = user;
    struct world *w = node->world;
    if (w->is_full)
        return -EAGAIN;
    struct message *m = &w->queue[w->last++ % QUEUE_MAX];
    assert_true(w->last - w->first <= QUEUE_MAX);
    assert_true(head_size + size <= w->size_max);
    m->to = peer;
    m->peer = (uint16_t)(node - w->nodes);
    m->size = head_size + size;
    memcpy(m->bytes, head, head_size);
    memcpy(m->bytes + head_size, packet->data + offset, size);
    w->sent_count++;
    return 0;
}

static size_t size_max_op(void *user, uint16_t peer)
{
    const struct node *node = user;
    (void)peer;
    return node->world->size_max;
}

static void deliver_op(void *user, const struct iovec *parts, uint32_t count, size_t size)
{
    struct node *node = user;
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        node->is_mangled |=
            memcmp(parts[i].iov_base, node->world->bytes + at, parts[i].iov_len) != 0;
        at += parts[i].iov_len;
    }
    assert_int_equal(at, size);
    node->delivered_count++;
    node->delivered_size = (uint32_t)size;
}

static void run(struct world *w)
{
    while (w->first != w->last) {
        const struct message *m = &w->queue[w->first++ % QUEUE_MAX];
        struct node *node = &w->nodes[m->to];
        uint8_t *copy = malloc(m->size);
        memcpy(copy, m->bytes, m->size);
        const struct spate_slice slice = {.data = copy, .size = m->size};
        struct relay_packet *packet = relay_packet_of_slice(&node->packets, &slice);
        assert_non_null(packet);
        packet->slice.buffer = copy;
        relay_core_from_peer(&node->core, m->peer, packet, w->now_ns);
        relay_packet_unref(packet);
    }
}

static void release(struct spate_shard *shard, struct spate_slice *slice)
{
    (void)shard;
    free(slice->buffer);
}

static void link_up(struct world *w, uint32_t a, uint32_t b, bool b_is_upstream)
{
    relay_core_join(&w->nodes[a].core, (uint16_t)b, b + 1, b_is_upstream, 0, w->now_ns);
    relay_core_join(&w->nodes[b].core, (uint16_t)a, a + 1, false, 0, w->now_ns);
}

static struct world *world_create(uint32_t count)
{
    struct world *w = calloc(1, sizeof(*w));
    w->count = count;
    w->size_max = SIZE_MAX_DEFAULT;
    w->now_ns = 1000 * MS;
    for (uint32_t i = 0; i < count; i++) {
        struct node *node = &w->nodes[i];
        node->world = w;
        assert_true(relay_packets_init(&node->packets, NULL, PACKETS, 8));
        node->packets.release = release;
        assert_true(relay_core_init(&node->core, &node->packets, 3600 * MS, 77 + i));
        node->core.unit = i + 1;
        node->core.format = RELAY_FORMAT_IP;
        node->core.ops = (struct relay_ops){send_op, size_max_op, deliver_op, node};
        char prefix[32];
        (void)snprintf(prefix, sizeof(prefix), "10.0.%u.0/24", i + 1);
        assert_true(relay_prefix_parse(prefix, &node->core.own[0]));
        node->core.own_count = 1;
    }
    return w;
}

/* Every packet came back. */
static void world_destroy(struct world *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct node *node = &w->nodes[i];
        uint32_t count = 0;
        assert_false(node->is_mangled);
        relay_core_deinit(&node->core);
        for (struct relay_packet *p = node->packets.free_slices; p != NULL; p = p->next_free)
            count++;
        assert_int_equal(count, PACKETS);
        assert_int_equal(node->packets.free_read_count, 8);
        relay_packets_deinit(&node->packets);
    }
    free(w);
}

static void announce_all(struct world *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        relay_core_announce(&w->nodes[i].core, w->now_ns);
    run(w);
    w->now_ns += 200 * MS;
}

/* An IP packet from the device of a unit to an address. */
static void say(struct world *w, uint32_t from, const uint8_t address[4], size_t size)
{
    struct node *node = &w->nodes[from];
    struct relay_packet *packet = relay_packet_to_read(&node->packets);
    assert_non_null(packet);
    for (size_t i = 0; i < size; i++)
        w->bytes[i] = (uint8_t)(i * 13 % 250);
    w->bytes[0] = 0x45;
    memcpy(w->bytes + 16, address, 4);
    memcpy(packet->room, w->bytes, size);
    packet->size = size;
    relay_core_from_device(&node->core, packet, w->now_ns);
    relay_packet_unref(packet);
    run(w);
}

static uint64_t path_count(const struct world *w, uint32_t node, enum relay_path path)
{
    return w->nodes[node].core.path_counts[path];
}

static uint64_t drop_count(const struct world *w, uint32_t node, enum relay_drop why)
{
    return w->nodes[node].core.drop_counts[why];
}

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
    struct node *node = &w->nodes[0];
    struct relay_packet *packet = relay_packet_to_read(&node->packets);
    memset(w->bytes, 5, 4000);
    w->bytes[0] = 0x45;
    memcpy(w->bytes + 16, (const uint8_t[]){10, 0, 3, 1}, 4);
    memcpy(packet->room, w->bytes, 4000);
    packet->size = 4000;
    relay_core_from_device(&node->core, packet, w->now_ns);
    relay_packet_unref(packet);
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

static void give(struct world *w, uint32_t to, uint16_t peer, const struct relay_head *head,
                 size_t body_size)
{
    struct message *m = &w->queue[w->last++ % QUEUE_MAX];
    m->to = to;
    m->peer = peer;
    m->size = relay_head_write(head, m->bytes) + body_size;
    memset(m->bytes + m->size - body_size, 0x45, body_size);
    run(w);
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
    say(w, 0, (const uint8_t[]){10, 0, 2, 1}, 5000);
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
