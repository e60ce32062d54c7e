/* SPDX-License-Identifier: MIT */
/* The wire of "spate relay": headers, control packets, and the small parts behind them. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "tools/spate/relay/address.h"
#include "tools/spate/relay/bucket.h"
#include "tools/spate/relay/control.h"
#include "tools/spate/relay/device.h"
#include "tools/spate/relay/header.h"
#include "tools/spate/relay/reassembly.h"
#include "tools/spate/relay/routes.h"
#include "tools/spate/relay/seen.h"

#define SECOND UINT64_C(1000000000)

static struct relay_head good_head(bool is_routed)
{
    return (struct relay_head){.kind = RELAY_DATA,
                               .flags = RELAY_TRAIN | (is_routed ? RELAY_ROUTED : 0),
                               .hops = 7,
                               .cost = is_routed ? 513 : 0,
                               .source = 0x01020304,
                               .target = 0xfffffffe,
                               .sequence = 0xdeadbeef,
                               .total = 40000,
                               .offset = 1400,
                               .next = is_routed ? 0x0a0b0c0d : 0};
}

static void a_header_has_24_or_30_bytes_in_network_order(void **state)
{
    (void)state;
    static const uint8_t want[RELAY_ROUTED_SIZE] = {
        0x11, 0x0c, 7, 0,    0x01, 0x02, 0x03, 0x04, 0xff, 0xff, 0xff, 0xfe, 0xde, 0xad, 0xbe,
        0xef, 0,    0, 0x9c, 0x40, 0,    0,    0x05, 0x78, 0x0a, 0x0b, 0x0c, 0x0d, 2,    1};
    uint8_t at[RELAY_ROUTED_SIZE];
    struct relay_head head = good_head(true);
    assert_int_equal(relay_head_write(&head, at), RELAY_ROUTED_SIZE);
    assert_memory_equal(at, want, sizeof(want));
    relay_head_set_offset(at, 0x01020304);
    assert_int_equal(relay_get_32(at + 20), 0x01020304);
    head = good_head(false);
    assert_int_equal(relay_head_write(&head, at), RELAY_HEAD_SIZE);
    assert_int_equal(at[1], RELAY_TRAIN);
}

static void every_truncation_of_a_header_is_refused(void **state)
{
    (void)state;
    for (int is_routed = 0; is_routed < 2; is_routed++) {
        uint8_t at[RELAY_ROUTED_SIZE + 1] = {0};
        const struct relay_head head = good_head(is_routed != 0);
        size_t size = relay_head_write(&head, at);
        for (size_t cut = 0; cut <= size + 1; cut++) {
            uint8_t *exact = malloc(cut > 0 ? cut : 1); /* a sanitizer sees a step beyond it */
            struct relay_head got = {.kind = 99};
            uint8_t again[RELAY_ROUTED_SIZE];
            memcpy(exact, at, cut);
            /* A header without a byte behind it says nothing. */
            assert_int_equal(relay_head_read(exact, cut, &got), cut > size ? size : 0);
            if (cut > size)
                assert_int_equal(relay_head_write(&got, again), size);
            else
                assert_int_equal(got.kind, 99);
            if (cut > size)
                assert_memory_equal(again, at, size);
            free(exact);
        }
    }
}

static void fields_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        uint8_t bytes[4];
        uint32_t count;
    } rows[] = {
        {0, {0x21}, 1},               /* version */
        {0, {0x10}, 1},               /* kind */
        {0, {0x15}, 1},               /* kind */
        {1, {0x10}, 1},               /* flag */
        {2, {0}, 1},                  /* hops */
        {2, {33}, 1},                 /* hops */
        {4, {0, 0, 0, 0}, 4},         /* from nobody */
        {4, {255, 255, 255, 255}, 4}, /* from all */
        {16, {0, 0, 5, 0x78}, 4},     /* nothing left behind the offset */
        {16, {0, 1, 0, 0x21}, 4},     /* larger than any packet */
        {20, {0, 0, 0x9c, 0x40}, 4},  /* behind the end */
        {20, {255, 255, 255, 255}, 4},
    };
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        uint8_t at[RELAY_ROUTED_SIZE + 1] = {0};
        const struct relay_head head = good_head(true);
        struct relay_head got;
        size_t size = relay_head_write(&head, at) + 1;
        assert_int_equal(relay_head_read(at, size, &got), size - 1);
        memcpy(at + rows[i].at, rows[i].bytes, rows[i].count);
        if (relay_head_read(at, size, &got) != 0)
            fail_msg("row %zu", i);
    }
}

static void control_packets_survive_and_their_truncations_do_not(void **state)
{
    (void)state;
    struct relay_prefix prefixes[RELAY_ANNOUNCED_MAX], got[RELAY_ANNOUNCED_MAX];
    uint8_t at[RELAY_CONTROL_MAX];
    assert_true(relay_prefix_parse("10.0.2.0/24", &prefixes[0]));
    assert_true(relay_prefix_parse("fd00::/64", &prefixes[1]));
    for (uint32_t count = 0; count <= 2; count++) {
        size_t size = relay_announcement_write(prefixes, count, at);
        assert_int_equal(relay_announcement_read(at, size, got), count);
        assert_memory_equal(got, prefixes, count * sizeof(got[0]));
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(relay_announcement_read(at, cut, got), -1);
    }
    at[2] = 5; /* no family */
    assert_int_equal(relay_announcement_read(at, 38, got), -1);
    at[2] = RELAY_IPV4;
    at[3] = 33;
    assert_int_equal(relay_announcement_read(at, 38, got), -1);

    struct relay_hello hello = {.unit = 77, .proves = true}, again;
    uint8_t text[RELAY_HELLO_SIZE];
    memset(hello.proof, 9, sizeof(hello.proof));
    relay_hello_write(&hello, text);
    assert_true(relay_hello_read(text, sizeof(text), &again));
    assert_int_equal(again.unit, 77);
    assert_memory_equal(again.proof, hello.proof, RELAY_PROOF_SIZE);
    for (size_t cut = 0; cut < sizeof(text); cut++)
        assert_false(relay_hello_read(text, cut, &again));
    text[4] = 2;
    assert_false(relay_hello_read(text, sizeof(text), &again));
}

static void prefixes_are_parsed_and_matched(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "10.0.0.0/33", "10.0.0/8", "::/129",
                                      "10.0.0.0/", "10.0.0.0/-1", "x/8",      "10.0.0.0/8x"};
    struct relay_prefix prefix, address;
    for (size_t i = 0; i < QT_COUNT(bad); i++)
        assert_false(relay_prefix_parse(bad[i], &prefix));
    assert_true(relay_prefix_parse("10.1.128.0/17", &prefix));
    assert_true(relay_prefix_parse("10.1.200.3", &address));
    assert_true(relay_prefix_has(&prefix, &address.address));
    assert_true(relay_prefix_parse("10.1.127.3", &address));
    assert_false(relay_prefix_has(&prefix, &address.address));
    assert_true(relay_prefix_parse("::/0", &prefix));
    assert_false(relay_prefix_has(&prefix, &address.address)); /* another family */
}

/* The longest prefix wins, the command line cannot be overruled, and a change empties the cache. */
static void the_book_finds_the_longest_prefix(void **state)
{
    (void)state;
    static struct relay_book book;
    struct relay_prefix wide, narrow, address;
    memset(&book, 0, sizeof(book));
    book.key = 1;
    assert_true(relay_prefix_parse("10.0.0.0/8", &wide));
    assert_true(relay_prefix_parse("10.2.0.0/16", &narrow));
    assert_true(relay_prefix_parse("10.2.3.4", &address));
    assert_int_equal(relay_book_find(&book, &address.address), 0);
    assert_true(relay_book_add(&book, &wide, 5, true));
    assert_int_equal(relay_book_cached(&book, &address.address), 0);
    assert_int_equal(relay_book_find(&book, &address.address), 5);
    assert_int_equal(relay_book_cached(&book, &address.address), 5);
    assert_false(relay_book_add(&book, &narrow, 6, false)); /* a part of what is unit 5's */
    assert_int_equal(relay_book_cached(&book, &address.address), 5);
    assert_true(relay_book_add(&book, &narrow, 6, true));
    assert_int_equal(relay_book_cached(&book, &address.address), 0);
    assert_int_equal(relay_book_find(&book, &address.address), 6);
    assert_false(relay_book_add(&book, &wide, 6, false)); /* it is unit 5's by command line */
    relay_book_forget(&book, 6);                          /* what the command line says stays */
    assert_int_equal(relay_book_find(&book, &address.address), 6);
    for (uint32_t i = 0; i < 2 * RELAY_PREFIXES_MAX; i++) {
        struct relay_prefix other = {.address = {.family = RELAY_IPV4}, .bits = 32};
        memcpy(other.address.bytes, &i, 4);
        (void)relay_book_add(&book, &other, 9, false);
    }
    assert_int_equal(book.count, RELAY_PREFIXES_MAX);
}

/* A prefix is its owner's until that is forgotten, however its last bits are written. */
static void announced_prefixes_neither_move_nor_stay(void **state)
{
    (void)state;
    static struct relay_book book;
    struct relay_prefix prefix, same, second, address;
    memset(&book, 0, sizeof(book));
    assert_true(relay_prefix_parse("10.2.0.0/15", &prefix));
    assert_true(relay_prefix_parse("10.3.4.5/15", &same));
    assert_true(relay_prefix_parse("fd00::/64", &second));
    assert_true(relay_prefix_parse("10.3.9.9", &address));
    assert_true(relay_book_add(&book, &prefix, 5, false));
    assert_true(relay_book_add(&book, &same, 5, false));
    assert_int_equal(book.count, 1);
    assert_false(relay_book_add(&book, &same, 6, false));
    assert_int_equal(relay_book_owner(&book, &same), 5);
    assert_true(relay_book_add(&book, &second, 5, false));
    assert_int_equal(relay_book_find(&book, &address.address), 5);
    relay_book_keep(&book, 5, &second, 1); /* the other one is announced no more */
    assert_int_equal(book.count, 1);
    assert_int_equal(relay_book_cached(&book, &address.address), 0);
    assert_true(relay_book_add(&book, &same, 6, false));
    assert_int_equal(relay_book_find(&book, &address.address), 6);
    relay_book_forget(&book, 5);
    assert_int_equal(book.count, 1);
    /* A default route of the command line is for what nobody announces. */
    struct relay_prefix all;
    assert_true(relay_prefix_parse("0.0.0.0/0", &all));
    assert_true(relay_book_add(&book, &all, 7, true));
    assert_true(relay_prefix_parse("10.9.0.0/16", &prefix));
    assert_true(relay_book_add(&book, &prefix, 8, false));
}

static void announcements_are_limited_for_each_unit(void **state)
{
    (void)state;
    static struct relay_routes routes;
    relay_routes_init(&routes, SECOND);
    uint64_t now_ns = SECOND;
    uint32_t new_count = 0;
    for (uint32_t sequence = 1; sequence <= 100; sequence++) {
        enum relay_age age = relay_routes_age(&routes, 8, sequence, now_ns);
        if (age == RELAY_TOO_MANY)
            continue;
        new_count += age == RELAY_NEW;
        assert_true(relay_routes_hear(&routes, 8, sequence, 0, 1, now_ns));
        assert_int_equal(relay_routes_age(&routes, 8, sequence, now_ns), RELAY_KNOWN);
    }
    assert_in_range(new_count, RELAY_NEW_BURST, RELAY_NEW_BURST + 1);
    assert_int_equal(relay_routes_age(&routes, 9, 1, now_ns), RELAY_NEW); /* not another one's */
    assert_int_equal(relay_routes_age(&routes, 8, 200, now_ns + 2 * RELAY_NEW_NS), RELAY_NEW);
}

static void a_bucket_holds_to_its_rate(void **state)
{
    (void)state;
    struct relay_bucket bucket = relay_bucket_of(1000000, 10000, 0);
    uint64_t taken = 0;
    for (uint64_t now_ns = 0; now_ns <= 10 * SECOND; now_ns += 1000) /* finer than a byte */
        taken += relay_bucket_take(&bucket, 100, now_ns) ? 100 : 0;
    assert_in_range(taken, 10000000 + 100000 - 200, 10000000 + 100000);
    assert_false(relay_bucket_take(&bucket, 200000, 1000 * SECOND)); /* more than the burst */
    bucket = relay_bucket_of(0, 0, 0);
    assert_true(relay_bucket_take(&bucket, UINT64_MAX, 0)); /* no limit */
}

static void what_was_seen_is_known_and_old_entries_give_way(void **state)
{
    (void)state;
    struct relay_seen seen;
    assert_true(relay_seen_init(&seen, 12345));
    for (uint32_t i = 0; i < 4000; i++)
        assert_false(relay_seen_check(&seen, 1 + i % 7, i, i % 3));
    for (uint32_t i = 0; i < 4000; i++)
        assert_true(relay_seen_check(&seen, 1 + i % 7, i, i % 3));
    assert_false(relay_seen_check(&seen, 1, 0, 1)); /* another piece */
    for (uint32_t i = 0; i < 1000000; i++)          /* does not grow */
        (void)relay_seen_check(&seen, 99, i, 0);
    assert_true(relay_seen_check(&seen, 99, 999999, 0));
    relay_seen_deinit(&seen);
}

static void the_cheapest_way_is_taken_and_replaced(void **state)
{
    (void)state;
    static struct relay_routes routes;
    relay_routes_init(&routes, SECOND);
    assert_null(relay_routes_find(&routes, 8));
    assert_true(relay_routes_hear(&routes, 8, 1, 0, 100, 0));
    assert_true(relay_routes_hear(&routes, 8, 1, 1, 90, 0));
    assert_int_equal(relay_routes_find(&routes, 8)->peer, 0); /* not a fifth cheaper */
    assert_true(relay_routes_hear(&routes, 8, 2, 1, 70, 0));
    assert_int_equal(relay_routes_find(&routes, 8)->peer, 1);
    assert_false(relay_routes_hear(&routes, 8, 1, 1, 5, 0)); /* an old announcement */
    relay_routes_lose(&routes, 1);
    assert_int_equal(relay_routes_find(&routes, 8)->peer, 0);
    relay_routes_expire(&routes, SECOND - 1);
    assert_non_null(relay_routes_find(&routes, 8));
    relay_routes_expire(&routes, SECOND);
    assert_null(relay_routes_find(&routes, 8));
    assert_int_equal(routes.count, 0);
    /* A full table refuses newcomers, and finds and forgets all that it has. */
    for (uint32_t unit = 1; unit <= 2 * RELAY_UNITS_MAX; unit++)
        (void)relay_routes_hear(&routes, unit * 2048, 1, 3, 4, 0);
    assert_int_equal(routes.count, RELAY_UNITS_MAX);
    for (uint32_t unit = 1; unit <= RELAY_UNITS_MAX; unit++)
        assert_non_null(relay_routes_find(&routes, unit * 2048));
    for (uint32_t i = 0; i < 64 && routes.count > 0; i++)
        relay_routes_expire(&routes, 2 * SECOND);
    assert_int_equal(routes.count, 0);
}

/* ---- Reassembly ---- */

enum { PACKETS = 4096 };

struct pieces {
    struct relay_packets packets;
    struct relay_reassembly r;
    uint8_t bytes[RELAY_PACKET_MAX];
};

static struct pieces *pieces_create(void)
{
    struct pieces *p = calloc(1, sizeof(*p));
    assert_true(relay_packets_init(&p->packets, NULL, PACKETS, 1));
    assert_true(relay_reassembly_init(&p->r));
    for (uint32_t i = 0; i < sizeof(p->bytes); i++)
        p->bytes[i] = (uint8_t)(i * 7 % 251);
    return p;
}

/* Every reference came back. */
static void pieces_destroy(struct pieces *p)
{
    uint32_t count = 0;
    relay_reassembly_deinit(&p->r);
    for (const struct relay_packet *at = p->packets.free_slices; at != NULL; at = at->next_free)
        count++;
    assert_int_equal(count, PACKETS);
    relay_packets_deinit(&p->packets);
    free(p);
}

static struct relay_partial *add(struct pieces *p, uint32_t peer, uint32_t sequence, uint32_t total,
                                 uint32_t offset, uint32_t size)
{
    const struct relay_head head = {
        .kind = RELAY_DATA, .source = 4, .sequence = sequence, .total = total, .offset = offset};
    const struct spate_slice slice = {.data = p->bytes + offset, .size = size};
    struct relay_packet *packet = relay_packet_of_slice(&p->packets, &slice);
    assert_non_null(packet);
    struct relay_partial *partial = relay_reassembly_add(&p->r, peer, &head, packet, 0, 0);
    relay_packet_unref(packet);
    return partial;
}

static void pieces_in_any_order_become_a_packet(void **state)
{
    (void)state;
    static const uint32_t orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}};
    struct pieces *p = pieces_create();
    for (uint32_t i = 0; i < QT_COUNT(orders); i++) {
        struct relay_partial *whole = NULL;
        for (uint32_t k = 0; k < 4; k++) {
            assert_null(whole);
            uint32_t piece = orders[i][k];
            whole = add(p, 1, i, 3500, piece * 1000, piece == 3 ? 500 : 1000);
        }
        assert_non_null(whole);
        uint32_t offset = 0;
        for (uint32_t k = 0; k < whole->piece_count; k++) {
            const struct relay_piece *piece = &whole->pieces[k];
            assert_int_equal(piece->offset, offset);
            assert_memory_equal(piece->packet->data + piece->from, p->bytes + offset, piece->size);
            offset += piece->size;
        }
        assert_int_equal(offset, 3500);
        relay_reassembly_drop(&p->r, whole);
    }
    assert_int_equal(p->r.dropped_count, 0);
    pieces_destroy(p);
}

static void pieces_that_overlap_drop_their_packet(void **state)
{
    (void)state;
    static const uint32_t seconds[][2] = {{0, 1000}, {999, 10}, {500, 100}, {0, 1}};
    struct pieces *p = pieces_create();
    for (uint32_t i = 0; i < QT_COUNT(seconds); i++) {
        assert_null(add(p, 1, i, 3000, 0, 1000));
        assert_null(add(p, 1, i, 3000, seconds[i][0], seconds[i][1]));
        assert_int_equal(p->r.dropped_count, i + 1);
    }
    assert_null(add(p, 1, 50, 3000, 0, 1000));
    assert_null(add(p, 1, 50, 2000, 1000, 1000)); /* another total */
    assert_int_equal(p->r.dropped_count, QT_COUNT(seconds) + 1);
    pieces_destroy(p);
}

static void one_neighbour_cannot_take_the_room_of_others(void **state)
{
    (void)state;
    struct pieces *p = pieces_create();
    assert_null(add(p, 2, 1, 2000, 0, 1000));
    for (uint32_t i = 0; i < 1000; i++)
        assert_null(add(p, 1, i, 2000, 0, 1000));
    assert_int_equal(p->r.dropped_count, 1000 - RELAY_PARTIAL_PER_PEER);
    struct relay_partial *whole = add(p, 2, 1, 2000, 1000, 1000);
    assert_non_null(whole);
    relay_reassembly_drop(&p->r, whole);
    /* Too many pieces of one packet, one byte each. */
    for (uint32_t i = 0; i <= RELAY_PIECES_MAX; i++)
        assert_null(add(p, 3, 1, 2000, i, 1));
    assert_int_equal(p->r.dropped_count, 1000 - RELAY_PARTIAL_PER_PEER + 1);
    relay_reassembly_forget(&p->r, 1, 0);
    assert_int_equal(p->r.dropped_count, 1000 + 1);
    /* What waits for too long is given up. */
    assert_null(add(p, 5, 1, 2000, 0, 1000));
    relay_reassembly_forget(&p->r, RELAY_ALL, RELAY_PARTIAL_NS - 1);
    assert_int_equal(p->r.dropped_count, 1000 + 1);
    relay_reassembly_forget(&p->r, RELAY_ALL, RELAY_PARTIAL_NS);
    assert_int_equal(p->r.dropped_count, 1000 + 2);
    pieces_destroy(p);
}

/* A virtio_net_hdr of a neighbour must not lead the kernel out of the packet. */
static void heads_of_trains_that_point_elsewhere_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t at[RELAY_TRAIN_HEAD];
        size_t size; /* of the packet behind it */
        bool is_good;
    } rows[] = {
        {{0}, 20, true},
        {{1, 1, 40, 0, 0xb4, 5, 20, 0, 16, 0}, 60000, true},    /* TCP over IPv4 */
        {{1, 0x81, 40, 0, 0xb4, 5, 20, 0, 16, 0}, 60000, true}, /* .. with ECN */
        {{1, 4, 60, 0, 0xb4, 5, 40, 0, 16, 0}, 60000, true},    /* TCP over IPv6 */
        {{1, 5, 28, 0, 0xb4, 5, 20, 0, 6, 0}, 60000, true},     /* UDP */
        {{1, 0, 0, 0, 0, 0, 20, 0, 16, 0}, 38, true},
        {{1, 0, 0, 0, 0, 0, 20, 0, 16, 0}, 37, false}, /* the checksum is behind the end */
        {{1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 100, false},
        {{0, 1, 41, 0, 0xb4, 5, 0, 0, 0, 0}, 40, false},   /* the headers are larger */
        {{0, 1, 40, 0, 0, 0, 0, 0, 0, 0}, 4000, false},    /* segments of no size */
        {{0, 2, 40, 0, 0xb4, 5, 0, 0, 0, 0}, 4000, false}, /* no such kind */
        {{4, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 4000, false},     /* no such flag */
    };
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        if (relay_train_head_is_good(rows[i].at, RELAY_TRAIN_HEAD + rows[i].size) !=
            rows[i].is_good)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_has_24_or_30_bytes_in_network_order),
        cmocka_unit_test(every_truncation_of_a_header_is_refused),
        cmocka_unit_test(fields_out_of_range_are_refused),
        cmocka_unit_test(control_packets_survive_and_their_truncations_do_not),
        cmocka_unit_test(prefixes_are_parsed_and_matched),
        cmocka_unit_test(the_book_finds_the_longest_prefix),
        cmocka_unit_test(announced_prefixes_neither_move_nor_stay),
        cmocka_unit_test(announcements_are_limited_for_each_unit),
        cmocka_unit_test(a_bucket_holds_to_its_rate),
        cmocka_unit_test(what_was_seen_is_known_and_old_entries_give_way),
        cmocka_unit_test(the_cheapest_way_is_taken_and_replaced),
        cmocka_unit_test(pieces_in_any_order_become_a_packet),
        cmocka_unit_test(pieces_that_overlap_drop_their_packet),
        cmocka_unit_test(heads_of_trains_that_point_elsewhere_are_refused),
        cmocka_unit_test(one_neighbour_cannot_take_the_room_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
