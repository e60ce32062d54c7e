/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_REASSEMBLY_H
#define SPATE_RELAY_REASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tools/spate/relay/header.h"
#include "tools/spate/relay/packet.h"

/* Packets of which some pieces have come.  The pieces stay in the slices that brought them.
 *
 * Bounds: RELAY_PARTIAL_MAX packets, of which one neighbour has RELAY_PARTIAL_PER_PEER at most,
 * each of RELAY_PIECES_MAX pieces.  At a bound the neighbour's oldest packet is dropped: it is the
 * one that waits for a piece that was lost.  Pieces that overlap drop their packet (as RFC 5722
 * does for IPv6), because nothing honest sends such.
 *
 * The pieces of a flooded packet come by whichever neighbours are first, so they are of one packet
 * without regard to them; it counts for the neighbour that began it.  A piece that overlaps is
 * ignored there, so that no other neighbour can spoil it. */

enum {
    RELAY_PARTIAL_MAX = 128,
    RELAY_PARTIAL_PER_PEER = 16,
    RELAY_PIECES_MAX = 256, /* 65,568 bytes in pieces of a path of 1,200, cut again three times */
};

#define RELAY_PARTIAL_NS UINT64_C(500000000)

struct relay_piece {
    struct relay_packet *packet; /* holds a reference */
    uint32_t offset;
    uint32_t from; /* of its bytes, in the packet */
    uint32_t size;
};

/* Invariant: the pieces are in the order of their offsets and do not overlap; have_bytes is the sum
 * of their sizes. */
struct relay_partial {
    bool is_used;
    bool is_flood;
    uint32_t peer;
    uint32_t source;
    uint32_t sequence;
    uint32_t total;
    uint32_t have_bytes;
    uint32_t piece_count;
    uint64_t begun_ns;
    uint64_t number; /* counts packets: the least is the oldest */
    struct relay_piece pieces[RELAY_PIECES_MAX];
};

struct relay_reassembly {
    struct relay_partial *partials; /* RELAY_PARTIAL_MAX */
    struct relay_partial *last;     /* that took a piece: the next one is likely its too */
    uint64_t next_number;
    uint64_t dropped_count; /* packets that were given up */
};

/* Returns false without memory. */
bool relay_reassembly_init(struct relay_reassembly *ret);
void relay_reassembly_deinit(struct relay_reassembly *r);

/* Adds the bytes of `packet` from `from` on, which `head` describes.  Takes a reference if it keeps
 * them.  Returns the packet if it is whole now: valid until relay_reassembly_drop(), which the
 * caller must call.  Otherwise returns NULL. */
struct relay_partial *relay_reassembly_add(struct relay_reassembly *r, uint32_t peer,
                                           const struct relay_head *head,
                                           struct relay_packet *packet, size_t from,
                                           uint64_t now_ns);

/* Forgets a packet and gives its references back. */
void relay_reassembly_drop(struct relay_reassembly *r, struct relay_partial *partial);

/* Drops the packets of a neighbour that has gone, or with RELAY_ALL those that wait for too long.
 */
void relay_reassembly_forget(struct relay_reassembly *r, uint32_t peer, uint64_t now_ns);

#endif
