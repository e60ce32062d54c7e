/* SPDX-License-Identifier: MIT */
#ifndef RELAY_LINE_H
#define RELAY_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/interop/relay/link.h"
#include "test/relay/packet.h"
#include "test/relay/store.h"
#include "test/relay/wheel.h"

/* One direction: packets go in, and come out when they arrive.  Pure: time and the seed are
 * arguments.
 *
 * Each segment of a train meets the link by itself, as if the sender had sent it alone.  Segments
 * of one train that arrive within `join_ns` of the first come out as a train again, as a network
 * card would give them to the kernel, when the last of them has arrived.  Not after a queue for
 * L4S, which segments leave one by one. */
struct line_config {
    struct link_config link;
    uint64_t join_ns; /* 0: only those that arrive at one time */
    bool keeps_whole; /* a train meets the link as one packet */
    bool splits;      /* no trains come out */
};

struct line_counts {
    uint64_t trains_in;
    uint64_t trains_out;
    uint64_t packets_out;
    uint64_t bytes_out;       /* of IP */
    uint64_t forgotten_count; /* packets that found no memory */
};

struct line {
    struct line_config config;
    struct link link;
    struct wheel wheel;
    struct dual_queue dual; /* with l4s */
    struct store *store;    /* borrowed */
    struct line_counts counts;
    uint64_t seed;
    bool has_begun; /* the link's time runs from the first packet on */
};

/* Returns false without memory.  The line must be deinitialized also then. */
bool line_init(struct line *line, const struct line_config *config, struct store *store,
               uint64_t seed, uint64_t now_ns);
/* Also of a line of zeros.  What is under way is lost. */
void line_deinit(struct line *line);

/* Takes a packet, which is copied.  `now_ns` never decreases. */
void line_take(struct line *line, const struct virtio_net_hdr *vnet, const uint8_t *data,
               size_t size, uint64_t now_ns);

/* Returns when the next packets arrive, WHEEL_NEVER without any. */
uint64_t line_next_ns(const struct line *line);

/* Returns what has arrived, or NULL.  It is written by line_cut(), and then freed. */
struct parcel_item *line_give(struct line *line, uint64_t now_ns);

/* Makes `ret` of a parcel.  `scratch` is memory of PACKET_SIZE_MAX bytes, used if a byte of the
 * payload has to be changed. */
void line_cut(struct line *line, const struct parcel_item *parcel, uint8_t *scratch,
              struct packet_cut *ret);

#endif
