/* SPDX-License-Identifier: MIT */
#ifndef QT_IP_PACKETS_H
#define QT_IP_PACKETS_H

#include <netinet/in.h>
#include <string.h>

#include "test/relay/packet.h"

/* Packets as a tun device gives them, for the tests of ip-relay. */
struct ip_sample {
    struct virtio_net_hdr vnet;
    size_t head_size;
    size_t size;
    uint8_t data[PACKET_SIZE_MAX];
};

static inline uint32_t ip_sum(const uint8_t *data, size_t size, uint32_t sum)
{
    for (size_t i = 0; i < size; i++)
        sum += (uint32_t)data[i] << (i % 2 == 0 ? 8 : 0);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static inline void ip_put(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline uint32_t ip_get(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* The sum of addresses, protocol and length that TCP and UDP begin their checksums with. */
static inline uint32_t ip_pseudo_sum(const uint8_t *data, int version, uint8_t protocol,
                                     size_t bytes)
{
    uint8_t tail[4] = {0, protocol, (uint8_t)(bytes >> 8), (uint8_t)bytes};
    uint32_t sum = version == 4 ? ip_sum(data + 12, 8, 0) : ip_sum(data + 8, 32, 0);
    return ip_sum(tail, sizeof(tail), sum);
}

/* Makes `*ret` a packet of `payload` bytes, or a train if that is more than `segment`.  TCP has
 * FIN, PSH, CWR and ACK set, and 12 bytes of options; ECN is ECT(0). */
static inline void ip_make(struct ip_sample *ret, int version, uint8_t protocol, size_t payload,
                           size_t segment)
{
    bool is_tcp = protocol == IPPROTO_TCP;
    size_t ip_size = version == 4 ? 20 : 40;
    size_t size = (is_tcp ? 32 : 8) + payload;
    uint8_t *d = ret->data;
    uint8_t *transport = d + ip_size;
    memset(ret, 0, sizeof(*ret));
    ret->head_size = ip_size + size - payload;
    ret->size = ip_size + size;
    if (version == 4) {
        memcpy(d, (const uint8_t[]){0x45, 2, 0, 0, 0x12, 0xff, 0x40, 0, 64, protocol}, 10);
        ip_put(d + 2, ret->size);
        memcpy(d + 12, (const uint8_t[]){10, 77, 0, 1, 10, 77, 0, 2}, 8);
        ip_put(d + 10, ~ip_sum(d, 20, 0));
    } else {
        memcpy(d, (const uint8_t[]){0x60, 0x20, 1, 2, 0, 0, protocol, 64, 0xfd, 0x77}, 10);
        ip_put(d + 4, size);
        d[23] = 1;
        memcpy(d + 24, (const uint8_t[]){0xfd, 0x77}, 2);
        d[39] = 2;
    }
    memcpy(transport, (const uint8_t[]){0x10, 0x01, 0x20, 0x02}, 4);
    if (is_tcp) {
        memcpy(transport + 4, (const uint8_t[]){0x00, 0x01, 0xff, 0xf0, 0, 0, 0, 9, 0x80, 0x99},
               10);
        memset(transport + 20, 1, 12);
    } else {
        ip_put(transport + 4, size);
    }
    ip_put(transport + (is_tcp ? 16 : 6), ip_pseudo_sum(d, version, protocol, size));
    for (size_t i = 0; i < payload; i++)
        d[ret->head_size + i] = (uint8_t)(i * 7 + i / 251);
    ret->vnet = (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .hdr_len = (uint16_t)ret->head_size,
        .csum_start = (uint16_t)ip_size,
        .csum_offset = is_tcp ? 16 : 6,
    };
    if (payload <= segment)
        return;
    ret->vnet.gso_size = (uint16_t)segment;
    ret->vnet.gso_type = !is_tcp        ? PACKET_GSO_UDP_L4
                         : version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN
                                        : VIRTIO_NET_HDR_GSO_TCPV6;
}

#endif
