/* SPDX-License-Identifier: MIT */
#include "test/relay/packet.h"

#include <netinet/in.h>
#include <string.h>

enum {
    IPV4_SIZE = 20,
    IPV6_SIZE = 40,
    TCP_SIZE = 20,
    UDP_SIZE = 8,
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_CWR = 0x80,
    ECN_MASK = 3,
};

static uint16_t read_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void write_u16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* ---- Reading ---- */

static bool read_ip(struct packet *p)
{
    const uint8_t *d = p->data;
    if (p->size >= IPV4_SIZE && d[0] >> 4 == 4) {
        p->version = 4;
        p->ip_size = (uint16_t)((d[0] & 15) * 4);
        p->protocol = d[9];
        bool is_fragment = (read_u16(d + 6) & 0x3fff) != 0;
        if (is_fragment)
            p->protocol = 0;
        return p->ip_size >= IPV4_SIZE && p->ip_size <= p->size;
    }
    if (p->size >= IPV6_SIZE && d[0] >> 4 == 6) {
        p->version = 6;
        p->ip_size = IPV6_SIZE;
        p->protocol = d[6];
        return true;
    }
    return false;
}

static uint32_t transport_size(const struct packet *p)
{
    const uint8_t *d = p->data + p->ip_size;
    uint32_t left = p->size - p->ip_size;
    if (p->protocol == IPPROTO_UDP && left >= UDP_SIZE)
        return UDP_SIZE;
    if (p->protocol != IPPROTO_TCP || left < TCP_SIZE)
        return 0;
    uint32_t size = (uint32_t)(d[12] >> 4) * 4;
    return size >= TCP_SIZE && size <= left ? size : 0;
}

static bool is_train(const struct packet *p, uint32_t transport)
{
    uint8_t kind = p->vnet.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    if (kind == VIRTIO_NET_HDR_GSO_NONE || transport == 0 || p->vnet.gso_size == 0)
        return false;
    return p->protocol == IPPROTO_UDP
               ? kind == PACKET_GSO_UDP_L4
               : kind == VIRTIO_NET_HDR_GSO_TCPV4 || kind == VIRTIO_NET_HDR_GSO_TCPV6;
}

struct packet packet_parse(const struct virtio_net_hdr *vnet, const uint8_t *data, size_t size)
{
    struct packet p = {.vnet = *vnet, .data = data, .size = (uint32_t)size, .count = 1};
    if (!read_ip(&p)) {
        p.ip_size = p.head_size = 0;
        p.version = p.protocol = 0;
        return p;
    }
    uint32_t transport = transport_size(&p);
    p.head_size = (uint16_t)(p.ip_size + transport);
    uint32_t payload = p.size - p.head_size;
    if (is_train(&p, transport) && payload > vnet->gso_size) {
        p.segment_size = vnet->gso_size;
        p.count = (payload + p.segment_size - 1) / p.segment_size;
    }
    return p;
}

static uint32_t payload_of(const struct packet *p, uint32_t first, uint32_t count)
{
    uint32_t all = p->size - p->head_size;
    if (p->count == 1)
        return all;
    uint32_t begin = first * p->segment_size;
    uint32_t bytes = count * p->segment_size;
    return bytes < all - begin ? bytes : all - begin;
}

size_t packet_segment_bytes(const struct packet *p, uint32_t index)
{
    return p->head_size + payload_of(p, index, 1);
}

uint8_t packet_ecn(const struct packet *p)
{
    if (p->version == 4)
        return p->data[1] & ECN_MASK;
    return p->version == 6 ? p->data[1] >> 4 & ECN_MASK : 0;
}

bool packet_is_discovery(const struct packet *p)
{
    return p->version == 6 && p->data[24] == 0xff && p->data[25] == 2;
}

/* ---- Writing ---- */

static uint32_t sum_of(const uint8_t *data, size_t size, uint32_t sum)
{
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += read_u16(data + i);
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Sets the lengths, the ECN field and for IPv4 the identification and the checksum. */
static void write_ip(const struct packet *p, uint8_t *head, uint32_t first, size_t size,
                     uint8_t ecn)
{
    if (p->version == 6) {
        head[1] = (uint8_t)((head[1] & 0xcf) | ecn << 4);
        write_u16(head + 4, (uint32_t)size - IPV6_SIZE);
        return;
    }
    head[1] = (uint8_t)((head[1] & ~ECN_MASK) | ecn);
    write_u16(head + 2, (uint32_t)size);
    write_u16(head + 4, read_u16(head + 4) + first);
    write_u16(head + 10, 0);
    write_u16(head + 10, (uint16_t)~fold(sum_of(head, p->ip_size, 0)));
}

/* The checksum of the pseudo header: what the kernel completes. */
static void write_pseudo_sum(const struct packet *p, uint8_t *head, size_t size)
{
    uint32_t bytes = (uint32_t)size - p->ip_size;
    uint32_t sum = p->protocol + (bytes & 0xffff) + (bytes >> 16);
    sum = p->version == 4 ? sum_of(head + 12, 8, sum) : sum_of(head + 8, 32, sum);
    write_u16(head + p->ip_size + (p->protocol == IPPROTO_TCP ? 16 : 6), fold(sum));
}

static void write_tcp(const struct packet *p, uint8_t *tcp, uint32_t first, uint32_t count)
{
    uint32_t sequence = (uint32_t)read_u16(tcp + 4) << 16 | read_u16(tcp + 6);
    sequence += first * p->segment_size;
    write_u16(tcp + 4, sequence >> 16);
    write_u16(tcp + 6, sequence);
    if (first + count < p->count)
        tcp[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (first > 0)
        tcp[13] &= (uint8_t)~TCP_CWR;
}

void packet_cut(const struct packet *p, uint32_t first, uint32_t count, uint8_t ecn,
                struct packet_cut *ret)
{
    size_t payload = payload_of(p, first, count);
    size_t size = p->head_size + payload;
    ret->vnet = p->vnet;
    ret->head_size = p->head_size;
    ret->payload = p->data + p->head_size + first * p->segment_size;
    ret->payload_size = payload;
    memcpy(ret->head, p->data, p->head_size);
    if (p->ip_size > 0 && (count < p->count || ecn != packet_ecn(p)))
        write_ip(p, ret->head, first, size, ecn);
    if (count == p->count)
        return;
    if (p->protocol == IPPROTO_TCP)
        write_tcp(p, ret->head + p->ip_size, first, count);
    else
        write_u16(ret->head + p->ip_size + 4, (uint32_t)size - p->ip_size);
    write_pseudo_sum(p, ret->head, size);
    ret->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    ret->vnet.hdr_len = p->head_size;
    ret->vnet.csum_start = p->ip_size;
    ret->vnet.csum_offset = p->protocol == IPPROTO_TCP ? 16 : 6;
    if (payload <= p->segment_size) {
        ret->vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE;
        ret->vnet.gso_size = 0;
    } else if (first > 0) {
        ret->vnet.gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    }
}
