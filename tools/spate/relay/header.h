/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_HEADER_H
#define SPATE_RELAY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The header before each packet of a tunnel: 24 bytes, or 30 where one next hop was chosen.  The
 * functions are inline, because a relay calls them for each datagram.  README.md has a picture. */

enum {
    RELAY_HEAD_SIZE = 24,
    RELAY_ROUTED_SIZE = 30,
    RELAY_VERSION = 1,
    RELAY_HOPS_MAX = 32, /* more is nobody's network */
    /* Bytes of a packet: the largest of IP, an Ethernet header and a virtio_net_hdr, rounded up. */
    RELAY_PACKET_MAX = 65568,
};

enum relay_kind {
    RELAY_DATA = 1,
    RELAY_CONTROL = 2, /* for units: control.h */
    RELAY_BEAT = 3,    /* between neighbours; is answered */
    RELAY_BEAT_ANSWER = 4,
};

enum relay_flag {
    RELAY_UP = 1,     /* to the unit that has nobody upstream */
    RELAY_FLOOD = 2,  /* each unit passes it on to all its neighbours, once */
    RELAY_ROUTED = 4, /* 30 bytes: `next` and `cost` */
    RELAY_TRAIN = 8,  /* the packet begins with a virtio_net_hdr */
    RELAY_FLAGS = 15,
};

/* Targets that are no unit.  Units are 1 to 0xfffffffe. */
#define RELAY_NOBODY UINT32_C(0)
#define RELAY_ALL    UINT32_C(0xffffffff)

/* Cost of a way: 16 us each, saturating. */
enum { RELAY_COST_MAX = 0xffff, RELAY_COST_US = 16 };

struct relay_head {
    uint8_t kind;      /* enum relay_kind */
    uint8_t flags;     /* enum relay_flag */
    uint8_t hops;      /* that it may still go, 1 to RELAY_HOPS_MAX */
    uint16_t cost;     /* ROUTED: of the rest of the way; of an announcement: of the way so far */
    uint32_t source;   /* unit that sent it first */
    uint32_t target;   /* unit, RELAY_NOBODY with UP, or RELAY_ALL */
    uint32_t sequence; /* of the packet, counted by its source */
    uint32_t total;    /* bytes of the packet */
    uint32_t offset;   /* in the packet, of the bytes behind this header */
    uint32_t next;     /* ROUTED: the unit that is to take it */
};

static inline void relay_put_32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, 4);
}

static inline uint32_t relay_get_32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return __builtin_bswap32(value);
}

static inline uint16_t relay_get_16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline size_t relay_head_size(const struct relay_head *head)
{
    return (head->flags & RELAY_ROUTED) != 0 ? RELAY_ROUTED_SIZE : RELAY_HEAD_SIZE;
}

/* Writes a header at `at`, which has room for RELAY_ROUTED_SIZE bytes.  Returns its size. */
static inline size_t relay_head_write(const struct relay_head *head, uint8_t *at)
{
    at[0] = (uint8_t)(RELAY_VERSION << 4 | head->kind);
    at[1] = head->flags;
    at[2] = head->hops;
    at[3] = 0;
    relay_put_32(at + 4, head->source);
    relay_put_32(at + 8, head->target);
    relay_put_32(at + 12, head->sequence);
    relay_put_32(at + 16, head->total);
    relay_put_32(at + 20, head->offset);
    if ((head->flags & RELAY_ROUTED) == 0)
        return RELAY_HEAD_SIZE;
    relay_put_32(at + 24, head->next);
    at[28] = (uint8_t)(head->cost >> 8);
    at[29] = (uint8_t)head->cost;
    return RELAY_ROUTED_SIZE;
}

/* The next piece of a packet: only its offset differs. */
static inline void relay_head_set_offset(uint8_t *at, uint32_t offset)
{
    relay_put_32(at + 20, offset);
}

/* Reads the header of a message of `size` bytes.  Returns its size, or 0 if it is malformed: too
 * short, of another version, an unknown kind or flag, or bytes that are not within the packet. */
static inline size_t relay_head_read(const uint8_t *at, size_t size, struct relay_head *ret)
{
    if (size < RELAY_HEAD_SIZE)
        return 0;
    struct relay_head head = {
        .kind = at[0] & 15,
        .flags = at[1],
        .hops = at[2],
        .source = relay_get_32(at + 4),
        .target = relay_get_32(at + 8),
        .sequence = relay_get_32(at + 12),
        .total = relay_get_32(at + 16),
        .offset = relay_get_32(at + 20),
    };
    size_t used = relay_head_size(&head);
    if (size < used || at[0] >> 4 != RELAY_VERSION || head.kind < RELAY_DATA ||
        head.kind > RELAY_BEAT_ANSWER || (head.flags & ~RELAY_FLAGS) != 0)
        return 0;
    if (used == RELAY_ROUTED_SIZE) {
        head.next = relay_get_32(at + 24);
        head.cost = relay_get_16(at + 28);
    }
    size_t body = size - used;
    if (head.source == RELAY_NOBODY || head.source == RELAY_ALL || head.hops == 0 ||
        head.hops > RELAY_HOPS_MAX || body == 0 || head.total > RELAY_PACKET_MAX ||
        head.offset > head.total || body > head.total - head.offset)
        return 0;
    *ret = head;
    return used;
}

/* Adds the cost of a hop. */
static inline uint16_t relay_cost_add(uint32_t cost, uint32_t more)
{
    uint32_t sum = cost + more;
    return sum > RELAY_COST_MAX ? RELAY_COST_MAX : (uint16_t)sum;
}

#endif
