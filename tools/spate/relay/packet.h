/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_PACKET_H
#define SPATE_RELAY_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

/* The bytes of one packet or of a piece of one, which stay where they came to: in a received slice,
 * or in a buffer that the device was read into.  Every send of them, to whichever neighbour, and
 * reassembly hold a reference.  All are allocated at the start. */

struct relay_packets;

struct relay_packet {
    struct relay_packet *next_free;
    struct relay_packets *owner;
    uint32_t ref_count;
    const uint8_t *data;
    size_t size;
    struct spate_slice slice; /* buffer == NULL and data == NULL: none */
    uint8_t *room;            /* of a packet that was read; NULL: has a slice */
};

struct relay_packets {
    struct spate_shard *shard;
    /* Takes slices back: spate_slice_release(); NULL in tests that lend none. */
    void (*release)(struct spate_shard *shard, struct spate_slice *slice);
    struct relay_packet *free_slices;
    struct relay_packet *free_reads;
    struct relay_packet *slices; /* the memory of both lists */
    struct relay_packet *reads;
    uint8_t *bytes;
    uint32_t free_read_count;
};

/* Allocates `slice_count` packets for slices, and `read_count` with room for RELAY_PACKET_MAX
 * bytes.  Returns false without memory. */
bool relay_packets_init(struct relay_packets *ret, struct spate_shard *shard, uint32_t slice_count,
                        uint32_t read_count);
/* All references are void afterwards. */
void relay_packets_deinit(struct relay_packets *packets);

/* Both return a packet with one reference, or NULL if all are in use.  The first takes over the
 * slice; without a packet it stays the caller's. */
struct relay_packet *relay_packet_of_slice(struct relay_packets *packets,
                                           const struct spate_slice *slice);
struct relay_packet *relay_packet_to_read(struct relay_packets *packets);

static inline void relay_packet_ref(struct relay_packet *packet)
{
    packet->ref_count++;
}

/* Frees the packet with the last reference. */
void relay_packet_unref(struct relay_packet *packet);

#endif
