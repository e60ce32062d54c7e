/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_DEVICE_H
#define SPATE_RELAY_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tools/spate/net.h"

/* Where packets come from and go to on this host: a TUN or TAP interface, or a UDP socket. */

enum relay_device_kind { RELAY_DEVICE_NONE, RELAY_DEVICE_TUN, RELAY_DEVICE_TAP, RELAY_DEVICE_UDP };

struct relay_device {
    enum relay_device_kind kind;
    int fd;          /* does not block; -1: none */
    bool has_trains; /* packets begin with a virtio_net_hdr, and may be whole trains */
    char name[16];
    uint64_t read_count;
    uint64_t read_bytes;
    uint64_t written_count;
    uint64_t written_bytes;
    uint64_t refused_count; /* that the kernel did not take */
};

/* The virtio_net_hdr before each packet of a device with trains. */
enum { RELAY_TRAIN_HEAD = 10 };

/* Opens an interface; it is made if there is none of this name.
 *
 *   trains  Let the kernel give and take whole trains, without checksums: TSO and USO.
 *
 * Returns 0 or a negative errno. */
int relay_device_open(struct relay_device *ret, enum relay_device_kind kind, const char *name,
                      bool trains);
/* Opens a socket at `local` that talks to `remote` alone. */
int relay_device_open_udp(struct relay_device *ret, const struct net_address *local,
                          const struct net_address *remote);
void relay_device_close(struct relay_device *device);

/* Reads one packet.  Returns its size, or a negative errno: -EAGAIN if there is none. */
int relay_device_read(struct relay_device *device, uint8_t *at, size_t room);

/* Writes a packet from its parts.  What the kernel refuses is counted. */
void relay_device_write(struct relay_device *device, const struct iovec *parts, uint32_t count,
                        size_t size);

/* Returns whether a virtio_net_hdr of a neighbour, for a packet of `size` bytes with it, points
 * nowhere else than into the packet. */
bool relay_train_head_is_good(const uint8_t at[RELAY_TRAIN_HEAD], size_t size);

#endif
