/* SPDX-License-Identifier: MIT */
#include "uring/socket.h"

/* Opening a UDP socket with everything that QUIC wants of it.  The options are
 * a table, so that the step that failed has a name and none is forgotten for one
 * of the families.
 *
 * PMTUDISC_PROBE sets DF and ignores what ICMP claims about the path: path MTU
 * is found by our own probes [RFC9000 14, 14.2.1, 14.3], and a forged "too big" does
 * nothing. */

#include <errno.h>
#include <netinet/udp.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "uring/hosted.h"
#include "uring/qdisc.h"

struct option {
    const char *name;
    int level;
    int option;
    int value;
    bool is_wanted;
};

static int apply(int fd, const struct option *options, uint32_t count, const char **ret_step)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct option *o = &options[i];
        if (o->is_wanted && setsockopt(fd, o->level, o->option, &o->value, sizeof(o->value)) != 0) {
            *ret_step = o->name;
            return -errno;
        }
    }
    return 0;
}

static int apply_all(int fd, const struct su_socket_config *config, const char **ret_step)
{
    bool is_v6 = config->local.family == AF_INET6;
    bool has_v4 = !is_v6 || config->is_dual;
    bool has_probe = !config->is_fragmenting;
    const struct option options[] = {
        {"IPV6_V6ONLY", SOL_IPV6, IPV6_V6ONLY, !config->is_dual, is_v6},
        {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, 1, config->is_port_shared},
        {"SO_RXQ_OVFL", SOL_SOCKET, SO_RXQ_OVFL, 1, true},
        {"UDP_GRO", SOL_UDP, UDP_GRO, 1, !config->is_gro_off},
        {"IP_RECVTOS", SOL_IP, IP_RECVTOS, 1, has_v4},
        {"IPV6_RECVTCLASS", SOL_IPV6, IPV6_RECVTCLASS, 1, is_v6},
        /* For IPv4 on a dual socket IPV6_RECVPKTINFO gives the mapped address. */
        {"IP_PKTINFO", SOL_IP, IP_PKTINFO, 1, !is_v6},
        {"IPV6_RECVPKTINFO", SOL_IPV6, IPV6_RECVPKTINFO, 1, is_v6},
        {"IP_MTU_DISCOVER", SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, has_v4 && has_probe},
        {"IPV6_MTU_DISCOVER", SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, is_v6 && has_probe},
    };
    return apply(fd, options, SB_COUNT(options), ret_step);
}

/* Sets a buffer size and returns what was granted.  FORCE goes above the sysctl's limit and needs
 * CAP_NET_ADMIN; the plain one is clipped to the limit without an error. */
static uint32_t grant_buffer(int fd, int force, int plain, uint32_t bytes)
{
    int value = (int)SB_MIN(bytes, (uint32_t)INT32_MAX / 2);
    if (bytes != 0 && setsockopt(fd, SOL_SOCKET, force, &value, sizeof(value)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, plain, &value, sizeof(value));

    int granted = 0;
    socklen_t size = sizeof(granted);
    if (getsockopt(fd, SOL_SOCKET, plain, &granted, &size) != 0)
        return 0;
    return (uint32_t)granted;
}

static int bind_and_connect(struct su_socket *socket, const struct su_socket_config *config,
                            const char **ret_step)
{
    *ret_step = "bind";
    if (bind(socket->fd, &config->local.any, su_address_size(&config->local)) != 0)
        return -errno;

    if (config->peer.family != AF_UNSPEC) {
        struct su_address peer = su_address_for_socket(&config->peer, socket->family);
        *ret_step = "connect";
        if (connect(socket->fd, &peer.any, su_address_size(&peer)) != 0)
            return -errno;
        socket->is_connected = true;
        socket->peer = config->peer;
    }

    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    *ret_step = "getsockname";
    if (getsockname(socket->fd, (struct sockaddr *)&name, &size) != 0)
        return -errno;
    return su_address_from_kernel(&name, size, &socket->local);
}

/* The host finds the route, and segments; each train says where it goes. */
static void open_hosted(struct su_socket *ret, const struct su_socket_config *config)
{
    *ret = (struct su_socket){
        .fd = SU_HOSTED_FD,
        .file = -1,
        .family = config->local.family,
        .has_gso = true,
        .local = config->local,
        .peer = config->peer,
        .receive_bytes = config->receive_bytes,
        .send_bytes = config->send_bytes,
    };
}

int su_socket_open(struct su_socket *ret_socket, const struct su_socket_config *config,
                   const char **ret_step)
{
    SB_ASSERT(ret_socket != NULL && config != NULL);
    const char *step = "local address";
    struct su_socket opened = SU_SOCKET_CLOSED;
    *ret_socket = opened;

    if (config->is_hosted) {
        open_hosted(ret_socket, config);
        return 0;
    }
    int error = -EINVAL;
    if (config->local.family == AF_INET || config->local.family == AF_INET6) {
        step = "socket";
        opened.family = config->local.family;
        opened.fd = socket(opened.family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
        error = opened.fd >= 0 ? 0 : -errno;
    }
    if (error == 0)
        error = apply_all(opened.fd, config, &step);
    if (error == 0)
        error = bind_and_connect(&opened, config, &step);
    if (error != 0) {
        if (opened.fd >= 0)
            (void)close(opened.fd);
        if (ret_step != NULL)
            *ret_step = step;
        return error;
    }

    opened.receive_bytes =
        grant_buffer(opened.fd, SO_RCVBUFFORCE, SO_RCVBUF, config->receive_bytes);
    opened.send_bytes = grant_buffer(opened.fd, SO_SNDBUFFORCE, SO_SNDBUF, config->send_bytes);
    int segment_size;
    socklen_t size = sizeof(segment_size);
    opened.is_timed = config->is_timed && su_qdisc_set_txtime(opened.fd) == 0;
    opened.has_gso = getsockopt(opened.fd, SOL_UDP, UDP_SEGMENT, &segment_size, &size) == 0;
    *ret_socket = opened;
    return 0;
}

int su_socket_share(struct su_socket *socket)
{
    int one = 1;
    if (setsockopt(socket->fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0)
        return -errno;
    return 0;
}

int su_socket_attach(struct su_socket *socket, struct su_ring *ring)
{
    SB_ASSERT(socket->fd != -1 && socket->file < 0);
    int file = su_ring_file_add(ring, socket->fd);
    if (file < 0)
        return file;
    socket->file = file;
    socket->ring = ring;
    return 0;
}

void su_socket_close(struct su_socket *socket)
{
    if (socket->fd == -1)
        return;
    if (socket->file >= 0)
        su_ring_file_remove(socket->ring, (uint32_t)socket->file);
    if (socket->fd != SU_HOSTED_FD)
        (void)close(socket->fd);
    *socket = SU_SOCKET_CLOSED;
}
