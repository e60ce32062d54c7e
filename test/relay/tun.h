/* SPDX-License-Identifier: MIT */
#ifndef RELAY_TUN_H
#define RELAY_TUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "test/relay/packet.h"

/* A tun device inside a network namespace, with offloads: the kernel hands over trains whole and
 * leaves checksums to be completed. */

struct tun_config {
    const char *netns; /* a path such as /proc/1234/ns/net, or a name in /run/netns */
    const char *name;  /* of the device */
    const char *ipv4;  /* its address; the network has 24 bits */
    const char *ipv6;  /* .. 64 bits; where there is no IPv6 it has none */
    uint32_t mtu;
    bool has_offloads; /* false: the kernel cuts trains and completes checksums before */
};

/* Opens a device that does not block.  Returns its descriptor, or a negative errno; `*ret_what` is
 * then what has failed, a static string. */
int tun_open(const struct tun_config *config, const char **ret_what);

/* Reads a packet into `data` of PACKET_SIZE_MAX bytes.  Returns its size, 0 if there is none, or a
 * negative errno. */
ssize_t tun_read(int fd, struct virtio_net_hdr *ret_vnet, uint8_t *data);

/* Returns false if the kernel does not take it. */
bool tun_write(int fd, const struct packet_cut *cut);

#endif
