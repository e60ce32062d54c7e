/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/device.h"

/* With IFF_VNET_HDR and TUNSETOFFLOAD the kernel hands over up to 64 KiB of a TCP or UDP flow in
 * one read, with the checksum left to do, and takes as much in one write.  What a train is cut into
 * is in the virtio_net_hdr before it, which travels with the packet: the other side's kernel cuts
 * it, or hands it to a local socket whole.  It is little-endian on every machine (TUNSETVNETLE). */

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Newer than some headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int set_offloads(int fd)
{
    static const unsigned sets[] = {
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6,
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
        TUN_F_CSUM,
    };
    int little_endian = 1, head_size = RELAY_TRAIN_HEAD;
    if (ioctl(fd, TUNSETVNETLE, &little_endian) != 0 || ioctl(fd, TUNSETVNETHDRSZ, &head_size) != 0)
        return -errno;
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)sets[i]) == 0)
            return 0;
    }
    return -errno;
}

int relay_device_open(struct relay_device *ret, enum relay_device_kind kind, const char *name,
                      bool trains)
{
    struct ifreq request = {.ifr_flags = 0};
    if (strlen(name) >= sizeof(request.ifr_name))
        return -ENAMETOOLONG;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    memcpy(request.ifr_name, name, strlen(name) + 1);
    request.ifr_flags = (short)((kind == RELAY_DEVICE_TAP ? IFF_TAP : IFF_TUN) | IFF_NO_PI |
                                (trains ? IFF_VNET_HDR : 0));
    int e = ioctl(fd, TUNSETIFF, &request) == 0 ? 0 : -errno;
    if (e == 0 && trains)
        e = set_offloads(fd);
    if (e != 0) {
        (void)close(fd);
        return e;
    }
    *ret = (struct relay_device){.kind = kind, .fd = fd, .has_trains = trains};
    memcpy(ret->name, request.ifr_name, sizeof(ret->name));
    ret->name[sizeof(ret->name) - 1] = 0;
    return 0;
}

int relay_device_open_udp(struct relay_device *ret, const struct net_address *local,
                          const struct net_address *remote)
{
    int fd = socket(local->storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&local->storage, local->size) != 0 ||
        connect(fd, (const struct sockaddr *)&remote->storage, remote->size) != 0) {
        int e = -errno;
        (void)close(fd);
        return e;
    }
    *ret = (struct relay_device){.kind = RELAY_DEVICE_UDP, .fd = fd, .name = "udp"};
    return 0;
}

void relay_device_close(struct relay_device *device)
{
    if (device->fd >= 0)
        (void)close(device->fd);
    device->fd = -1;
}

int relay_device_read(struct relay_device *device, uint8_t *at, size_t room)
{
    ssize_t size = read(device->fd, at, room);
    if (size < 0)
        return -errno;
    device->read_count++;
    device->read_bytes += (size_t)size;
    return (int)size;
}

static unsigned little_16(const uint8_t *at)
{
    return at[0] | (unsigned)at[1] << 8;
}

bool relay_train_head_is_good(const uint8_t at[RELAY_TRAIN_HEAD], size_t size)
{
    unsigned flags = at[0], kind = at[1] & 0x7fu;
    unsigned head_size = little_16(at + 2), segment_size = little_16(at + 4);
    unsigned checksum_start = little_16(at + 6), checksum_offset = little_16(at + 8);
    size_t body = size - RELAY_TRAIN_HEAD;
    if ((flags & ~3u) != 0 || (kind != 0 && kind != 1 && kind != 3 && kind != 4 && kind != 5))
        return false;
    if (head_size > body || (kind != 0 && segment_size == 0))
        return false;
    return (flags & 1) == 0 || checksum_start + checksum_offset + 2u <= body;
}

void relay_device_write(struct relay_device *device, const struct iovec *parts, uint32_t count,
                        size_t size)
{
    if (device->fd < 0)
        return;
    bool is_good =
        !device->has_trains || (parts[0].iov_len >= RELAY_TRAIN_HEAD && size > RELAY_TRAIN_HEAD &&
                                relay_train_head_is_good(parts[0].iov_base, size));
    if (!is_good || writev(device->fd, parts, (int)count) != (ssize_t)size) {
        device->refused_count++;
        return;
    }
    device->written_count++;
    device->written_bytes += size;
}
