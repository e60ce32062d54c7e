/* SPDX-License-Identifier: MIT */
#ifndef RELAY_WORLD_H
#define RELAY_WORLD_H

/* Units of "spate relay" without a network: each core is given what its neighbours send, in virtual
 * time. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/support/qt.h"
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

static inline int send_op(void *user, uint16_t peer, const uint8_t *head, size_t head_size,
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

static inline size_t size_max_op(void *user, uint16_t peer)
{
    const struct node *node = user;
    (void)peer;
    return node->world->size_max;
}

static inline void deliver_op(void *user, const struct iovec *parts, uint32_t count, size_t size)
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

static inline void run(struct world *w)
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

static inline void release(struct spate_shard *shard, struct spate_slice *slice)
{
    (void)shard;
    free(slice->buffer);
}

static inline void link_up(struct world *w, uint32_t a, uint32_t b, bool b_is_upstream)
{
    relay_core_join(&w->nodes[a].core, (uint16_t)b, b + 1, b_is_upstream, 0, w->now_ns);
    relay_core_join(&w->nodes[b].core, (uint16_t)a, a + 1, false, 0, w->now_ns);
}

static inline struct world *world_create(uint32_t count)
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
static inline void world_destroy(struct world *w)
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

static inline void announce_all(struct world *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        relay_core_announce(&w->nodes[i].core, w->now_ns);
    run(w);
    w->now_ns += 200 * MS;
}

/* Unit `from` reads the first `size` bytes of `w->bytes` from its device, as a packet to an address
 * of IPv4. */
static inline void read_packet(struct world *w, uint32_t from, const uint8_t address[4],
                               size_t size)
{
    struct node *node = &w->nodes[from];
    struct relay_packet *packet = relay_packet_to_read(&node->packets);
    assert_non_null(packet);
    w->bytes[0] = 0x45;
    memcpy(w->bytes + 16, address, 4);
    memcpy(packet->room, w->bytes, size);
    packet->size = size;
    relay_core_from_device(&node->core, packet, w->now_ns);
    relay_packet_unref(packet);
}

/* The same with bytes that differ, until nothing is on its way. */
static inline void say(struct world *w, uint32_t from, const uint8_t address[4], size_t size)
{
    for (size_t i = 0; i < size; i++)
        w->bytes[i] = (uint8_t)(i * 13 % 250);
    read_packet(w, from, address, size);
    run(w);
}

static inline uint64_t path_count(const struct world *w, uint32_t node, enum relay_path path)
{
    return w->nodes[node].core.path_counts[path];
}

static inline uint64_t drop_count(const struct world *w, uint32_t node, enum relay_drop why)
{
    return w->nodes[node].core.drop_counts[why];
}

static inline void give(struct world *w, uint32_t to, uint16_t peer, const struct relay_head *head,
                        size_t body_size)
{
    struct message *m = &w->queue[w->last++ % QUEUE_MAX];
    m->to = to;
    m->peer = peer;
    m->size = relay_head_write(head, m->bytes) + body_size;
    memset(m->bytes + m->size - body_size, 0x45, body_size);
    run(w);
}

#endif
