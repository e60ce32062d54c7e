/* SPDX-License-Identifier: MIT */
#include "test/relay/tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <linux/if_tun.h>

enum {
    QUEUE_PACKETS = 20000, /* between the kernel and us: the only queue shall be ours */
    PREFIX_V6 = 64,
    AWAIT_MS = 2000, /* for an address */
    /* TUN_F_USO4 and TUN_F_USO6 of newer headers. */
    OFFLOAD_UDP = 0x20 | 0x40,
    OFFLOAD_TCP = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
};

/* The kernel's struct in6_ifreq, whose header does not go together with that of the C library. */
struct address_v6 {
    struct in6_addr address;
    uint32_t prefix;
    int index;
};

static int enter(const char *netns)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s%s", strchr(netns, '/') != NULL ? "" : "/run/netns/",
                   netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int e = setns(fd, CLONE_NEWNET) == 0 ? 0 : -errno;
    (void)close(fd);
    return e;
}

/* The kernel looks for duplicates of a new address in its own time: until then nothing binds to it.
 */
static int await_v6(int fd, const struct in6_addr *address)
{
    const struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = *address};
    int e = -EADDRNOTAVAIL;
    for (int i = 0; i < AWAIT_MS && e == -EADDRNOTAVAIL; i++) {
        e = bind(fd, (const struct sockaddr *)&name, sizeof(name)) == 0 ? 0 : -errno;
        if (e == -EADDRNOTAVAIL)
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return e;
}

static int set_v6(const struct tun_config *config, const char *name)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct address_v6 v6 = {.prefix = PREFIX_V6, .index = (int)if_nametoindex(name)};
    if (fd < 0)
        return -errno;
    int e = inet_pton(AF_INET6, config->ipv6, &v6.address) == 1 ? 0 : -EINVAL;
    if (e == 0 && ioctl(fd, SIOCSIFADDR, &v6) != 0)
        e = -errno;
    if (e == 0)
        e = await_v6(fd, &v6.address);
    (void)close(fd);
    return e;
}

static int set_up(int fd, struct ifreq *request)
{
    request->ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, request);
}

/* Gives the device its addresses and starts it, and loopback too. */
static int configure(const struct tun_config *config, const char **ret_what)
{
    struct ifreq request = {0};
    struct ifreq loopback = {.ifr_name = "lo"};
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *ret_what = "cannot configure the device";
    if (fd < 0)
        return -errno;
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", config->name);
    request.ifr_mtu = (int)config->mtu;
    bool is_good = inet_pton(AF_INET, config->ipv4, &address.sin_addr) == 1 &&
                   ioctl(fd, SIOCSIFMTU, &request) == 0;
    request.ifr_qlen = QUEUE_PACKETS;
    is_good = is_good && ioctl(fd, SIOCSIFTXQLEN, &request) == 0;
    memcpy(&request.ifr_addr, &address, sizeof(address));
    is_good = is_good && ioctl(fd, SIOCSIFADDR, &request) == 0;
    address.sin_addr.s_addr = htonl(0xffffff00);
    memcpy(&request.ifr_netmask, &address, sizeof(address));
    is_good = is_good && ioctl(fd, SIOCSIFNETMASK, &request) == 0 && set_up(fd, &request) == 0;
    int e = is_good ? 0 : -errno;
    (void)set_up(fd, &loopback);
    (void)close(fd);
    if (e == 0)
        (void)set_v6(config, config->name);
    return e;
}

static int create(const struct tun_config *config, const char **ret_what)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", config->name);
    *ret_what = "cannot open /dev/net/tun";
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_what = "cannot make a tun device";
    int e = ioctl(fd, TUNSETIFF, &request) == 0 ? 0 : -errno;
    unsigned long offloads = config->has_offloads ? OFFLOAD_TCP | OFFLOAD_UDP : 0;
    if (e == 0 && ioctl(fd, TUNSETOFFLOAD, offloads) != 0 &&
        ioctl(fd, TUNSETOFFLOAD, (unsigned long)OFFLOAD_TCP) != 0)
        e = -errno;
    if (e == 0)
        e = configure(config, ret_what);
    if (e == 0)
        return fd;
    (void)close(fd);
    return e;
}

int tun_open(const struct tun_config *config, const char **ret_what)
{
    *ret_what = "cannot remember the network namespace";
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    *ret_what = "cannot enter a network namespace";
    int fd = enter(config->netns);
    if (fd == 0)
        fd = create(config, ret_what);
    if (setns(own, CLONE_NEWNET) != 0 && fd >= 0) {
        (void)close(fd);
        fd = -errno;
    }
    (void)close(own);
    return fd;
}

ssize_t tun_read(int fd, struct virtio_net_hdr *ret_vnet, uint8_t *data)
{
    struct iovec pieces[] = {{ret_vnet, sizeof(*ret_vnet)}, {data, PACKET_SIZE_MAX}};
    ssize_t size = readv(fd, pieces, 2);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return size > (ssize_t)sizeof(*ret_vnet) ? size - (ssize_t)sizeof(*ret_vnet) : 0;
}

bool tun_write(int fd, const struct packet_cut *cut)
{
    /* The kernel does not write to what it reads from. */
    struct iovec pieces[] = {
        {(void *)(uintptr_t)&cut->vnet, sizeof(cut->vnet)},
        {(void *)(uintptr_t)cut->head, cut->head_size},
        {(void *)(uintptr_t)cut->payload, cut->payload_size},
    };
    return writev(fd, pieces, 3) > 0;
}
