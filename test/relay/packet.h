/* SPDX-License-Identifier: MIT */
#ifndef RELAY_PACKET_H
#define RELAY_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_net.h>

/* IP packets as a tun device with IFF_VNET_HDR gives and takes them.  Segmentation may be left to
 * do: then it is a train of segments of TCP or of datagrams of UDP, which differ in their headers
 * as if they had been sent one by one.  No checksum over payload is ever computed here: the
 * kernel takes packets whose checksum is still to be completed. */

enum {
    PACKET_SIZE_MAX = 65536,
    PACKET_HEAD_MAX = 120, /* IPv4 and TCP with all options */
    PACKET_GSO_UDP_L4 = 5, /* VIRTIO_NET_HDR_GSO_UDP_L4 of newer headers */
};

struct packet {
    struct virtio_net_hdr vnet;
    const uint8_t *data; /* from the IP header on */
    uint32_t size;
    uint32_t count;        /* of segments, at least 1 */
    uint32_t segment_size; /* payload of each but the last */
    uint16_t ip_size;      /* of the IP header; 0: not understood, to be passed as it is */
    uint16_t head_size;    /* of it and that of TCP or UDP; ip_size if it is neither */
    uint8_t version;
    uint8_t protocol;
};

/* Some consecutive segments of a packet, ready to be written: `vnet`, `head`, `payload`. */
struct packet_cut {
    struct virtio_net_hdr vnet;
    uint8_t head[PACKET_HEAD_MAX];
    size_t head_size;
    const uint8_t *payload;
    size_t payload_size;
};

/* Reads the headers.  `data` is borrowed.  What it does not understand becomes one segment. */
struct packet packet_parse(const struct virtio_net_hdr *vnet, const uint8_t *data, size_t size);

/* Returns the bytes of IP that segment `index` has. */
size_t packet_segment_bytes(const struct packet *packet, uint32_t index);

/* Returns the ECN field.  [RFC3168 5] */
uint8_t packet_ecn(const struct packet *packet);

/* Returns whether it is what hosts send to find their neighbours and routers over IPv6. */
bool packet_is_discovery(const struct packet *packet);

/* Cuts `count` segments from `first` on out of the packet, with this ECN field.  The result borrows
 * the packet's data. */
void packet_cut(const struct packet *packet, uint32_t first, uint32_t count, uint8_t ecn,
                struct packet_cut *ret);

#endif
