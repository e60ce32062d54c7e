/* SPDX-License-Identifier: MIT */
/* The header of "spate relay", for its three ways to a next hop: broadcast, unicast by route, and
 * unicast by cached next hop.  What is timed is all that is done for a packet before it is sent:
 * the look-ups, and the header in place.
 *
 * They are compared with what a relay does that builds a packet of objects: a header and a list of
 * fields are allocated, written into a new buffer and freed. */

#include <stdlib.h>
#include <string.h>

#include "bench/micro/benches.h"
#include "proto/base/compiler.h"
#include "tools/spate/relay/address.h"
#include "tools/spate/relay/header.h"
#include "tools/spate/relay/routes.h"

enum { UNITS = 64, ADDRESSES = 256, BUFFERS = 64 };

static struct relay_book book;
static struct relay_routes routes;
static struct relay_address addresses[ADDRESSES];
static uint8_t buffers[BUFFERS][RELAY_ROUTED_SIZE + 2];
static uint32_t sequence;

static uint32_t unit_of(uint32_t i)
{
    return 1000 + i % UNITS;
}

/* ---- Ours ---- */

static inline size_t write_broadcast(uint8_t *at)
{
    const struct relay_head head = {.kind = RELAY_DATA,
                                    .flags = RELAY_FLOOD,
                                    .hops = 8,
                                    .source = 7,
                                    .target = RELAY_ALL,
                                    .sequence = sequence++,
                                    .total = 1200};
    return relay_head_write(&head, at);
}

static inline size_t write_unicast(uint32_t unit, uint8_t *at)
{
    const struct relay_candidate *way = relay_routes_find(&routes, unit);
    if (way == NULL)
        return 0;
    const struct relay_head head = {.kind = RELAY_DATA,
                                    .flags = RELAY_ROUTED,
                                    .hops = 8,
                                    .cost = way->cost,
                                    .source = 7,
                                    .target = unit,
                                    .sequence = sequence++,
                                    .total = 1200,
                                    .next = way->peer + 1u};
    return relay_head_write(&head, at);
}

/* ---- The reference: objects ---- */

struct field {
    struct field *next;
    uint32_t value;
    uint32_t size;
};

static struct field *add(struct field **tail, uint32_t value, uint32_t size)
{
    struct field *field = malloc(sizeof(*field));
    micro_check(field != NULL, "memory");
    *field = (struct field){NULL, value, size};
    *tail = field;
    return field;
}

static size_t write_by_objects(uint32_t unit, uint8_t *at)
{
    struct field *first = NULL, *last = add(&first, 0x1104, 2);
    const struct relay_candidate *way = relay_routes_find(&routes, unit);
    last = add(&last->next, 0x0800, 2);
    last = add(&last->next, 7, 4);
    last = add(&last->next, unit, 4);
    last = add(&last->next, sequence++, 4);
    last = add(&last->next, 1200, 4);
    last = add(&last->next, 0, 4);
    last = add(&last->next, way->peer + 1u, 4);
    (void)add(&last->next, way->cost, 2);
    uint8_t *buffer = malloc(RELAY_ROUTED_SIZE);
    micro_check(buffer != NULL, "memory");
    size_t used = 0;
    for (struct field *next; first != NULL; first = next) {
        next = first->next;
        for (uint32_t i = first->size; i-- > 0;)
            buffer[used++] = (uint8_t)(first->value >> 8 * i);
        free(first);
    }
    memcpy(at, buffer, used);
    free(buffer);
    return used;
}

static void check(void)
{
    memset(&book, 0, sizeof(book));
    relay_routes_init(&routes, UINT64_MAX / 2);
    book.key = 77;
    for (uint32_t i = 0; i < UNITS; i++)
        micro_check(relay_routes_hear(&routes, unit_of(i), 1, (uint16_t)i, 3, 0), "a route");
    for (uint32_t i = 0; i < ADDRESSES; i++) {
        addresses[i] =
            (struct relay_address){.family = RELAY_IPV4, .bytes = {10, 0, 1, (uint8_t)i}};
        relay_book_learn(&book, &addresses[i], unit_of(i));
    }
    struct relay_head head;
    uint8_t at[RELAY_ROUTED_SIZE + 1] = {0}, other[RELAY_ROUTED_SIZE];
    for (uint32_t i = 0; i < UNITS; i++) {
        sequence = i;
        micro_check(write_unicast(unit_of(i), at) == RELAY_ROUTED_SIZE, "a header of 30 bytes");
        sequence = i;
        micro_check(write_by_objects(unit_of(i), other) == RELAY_ROUTED_SIZE &&
                        memcmp(at, other, sizeof(other)) == 0,
                    "bytes of the header");
        micro_check(relay_head_read(at, sizeof(at), &head) == RELAY_ROUTED_SIZE &&
                        head.target == unit_of(i) && head.next == i + 1,
                    "what was read");
    }
    micro_check(write_broadcast(at) == RELAY_HEAD_SIZE, "a header of 24 bytes");
    /* Addresses that share a place of the cache leave one of both to a look-up of prefixes. */
    uint32_t hits = 0;
    for (uint32_t i = 0; i < ADDRESSES; i++)
        hits += relay_book_cached(&book, &addresses[i]) == unit_of(i);
    micro_check(hits > ADDRESSES * 9 / 10, "the cache");
}

static void run_broadcast(void *context, uint64_t count)
{
    (void)context;
    for (uint64_t i = 0; i < count; i++) {
        micro_use(write_broadcast(buffers[i % BUFFERS]));
        micro_use_at(buffers[i % BUFFERS]);
    }
}

static void run_route(void *context, uint64_t count)
{
    (void)context;
    for (uint64_t i = 0; i < count; i++) {
        micro_use(write_unicast(unit_of((uint32_t)i), buffers[i % BUFFERS]));
        micro_use_at(buffers[i % BUFFERS]);
    }
}

static void run_cached(void *context, uint64_t count)
{
    (void)context;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t unit = relay_book_cached(&book, &addresses[i % ADDRESSES]);
        micro_use(write_unicast(unit != 0 ? unit : unit_of(0), buffers[i % BUFFERS]));
        micro_use_at(buffers[i % BUFFERS]);
    }
}

static void run_objects(void *context, uint64_t count)
{
    (void)context;
    for (uint64_t i = 0; i < count; i++) {
        micro_use(write_by_objects(unit_of((uint32_t)i), buffers[i % BUFFERS]));
        micro_use_at(buffers[i % BUFFERS]);
    }
}

static void run_read(void *context, uint64_t count)
{
    (void)context;
    for (uint64_t i = 0; i < count; i++) {
        struct relay_head head;
        micro_use(relay_head_read(buffers[i % BUFFERS], sizeof(buffers[0]), &head));
        micro_use_at(&head);
    }
}

static void time_all(struct micro *m)
{
    static const struct micro_subject subjects[] = {
        {"broadcast, 24 bytes", run_broadcast, NULL, 1},
        {"unicast by route, 30 bytes", run_route, NULL, 1},
        {"unicast by cached next hop, 30 bytes", run_cached, NULL, 1},
        {"read, 30 bytes", run_read, NULL, 1},
        {"unicast by route through objects", run_objects, NULL, 1},
    };
    static const double targets[] = {4, 5, 6, 6, 0};
    struct micro_sample s[SB_COUNT(subjects)];
    micro_time(m, subjects, SB_COUNT(subjects), s);
    for (size_t i = 0; i < SB_COUNT(subjects); i++)
        micro_row_ns(m, subjects[i].name, &s[i], targets[i] > 0 ? MICRO_AT_MOST : MICRO_REPORTED,
                     targets[i]);
}

const struct micro_bench micro_relay = {
    .name = "relay",
    .what = "the header of a relay: broadcast, by route, by cached next hop",
    .check = check,
    .time = time_all,
};
