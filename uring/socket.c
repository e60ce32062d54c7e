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
#include <fcntl.h>
#include <linux/filter.h>
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
    bool is_new = !config->is_adopted;
    const struct option options[] = {
        {"IPV6_V6ONLY", SOL_IPV6, IPV6_V6ONLY, !config->is_dual, is_v6 && is_new},
        {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, 1, config->is_port_shared && is_new},
        {"SO_RXQ_OVFL", SOL_SOCKET, SO_RXQ_OVFL, 1, true},
        {"SO_TIMESTAMPNS", SOL_SOCKET, SO_TIMESTAMPNS, 1, config->is_stamped},
        {"UDP_GRO", SOL_UDP, UDP_GRO, 1, !config->is_gro_off},
        {"IP_RECVTOS", SOL_IP, IP_RECVTOS, 1, has_v4},
        {"IPV6_RECVTCLASS", SOL_IPV6, IPV6_RECVTCLASS, 1, is_v6},
        /* For IPv4 on a dual socket IPV6_RECVPKTINFO gives the mapped address. */
        {"IP_PKTINFO", SOL_IP, IP_PKTINFO, 1, !is_v6},
        {"IPV6_RECVPKTINFO", SOL_IPV6, IPV6_RECVPKTINFO, 1, is_v6},
        {"IP_TOS", SOL_IP, IP_TOS, config->ecn, has_v4 && config->ecn != 0},
        {"IPV6_TCLASS", SOL_IPV6, IPV6_TCLASS, config->ecn, is_v6 && config->ecn != 0},
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

static int get_int(int fd, int level, int option)
{
    int value = 0;
    socklen_t size = sizeof(value);
    return getsockopt(fd, level, option, &value, &size) == 0 ? value : -errno;
}

static uint8_t read_tos(int fd, int level, int option)
{
    int value = get_int(fd, level, option);
    return value > 0 ? (uint8_t)value : 0;
}

int su_socket_inspect(int fd, struct su_socket_facts *ret, const char **ret_problem)
{
    struct sockaddr_storage name;
    struct sockaddr_storage peer;
    socklen_t size = sizeof(name);
    socklen_t peer_size = sizeof(peer);
    struct su_socket_facts facts = {.is_dual = false};
    if (getsockname(fd, (struct sockaddr *)&name, &size) != 0) {
        int error = -errno;
        *ret_problem = error == -ENOTSOCK ? "is not a socket" : "is not open";
        return error == -ENOTSOCK ? error : -EBADF;
    }
    *ret_problem = "is no UDP socket";
    if ((name.ss_family != AF_INET && name.ss_family != AF_INET6) ||
        get_int(fd, SOL_SOCKET, SO_TYPE) != SOCK_DGRAM ||
        get_int(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_UDP)
        return -EINVAL;
    *ret_problem = "is not bound to a port";
    if (su_address_from_kernel(&name, size, &facts.local) != 0 ||
        su_address_port(&facts.local) == 0)
        return -EINVAL;
    *ret_problem = "is connected";
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0)
        return -EINVAL;
    facts.is_dual = name.ss_family == AF_INET6 && get_int(fd, SOL_IPV6, IPV6_V6ONLY) == 0;
    facts.is_port_shared = get_int(fd, SOL_SOCKET, SO_REUSEPORT) > 0;
    *ret = facts;
    return 0;
}

uint32_t su_socket_discard(int fd, uint32_t count_max)
{
    uint32_t count = 0;
    char byte;
    while (count < count_max && recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) >= 0)
        count++;
    return count;
}

/* The filter sees the datagram with the header of UDP, and returns how much of it is kept. */
void su_socket_refuse_empty(const struct su_socket *socket)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, sizeof(struct udphdr), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const struct sock_fprog program = {.len = SB_COUNT(code), .filter = code};
    socklen_t size = 0; /* of the filter that it has, in instructions */
    if (getsockopt(socket->fd, SOL_SOCKET, SO_GET_FILTER, NULL, &size) == 0 && size == 0)
        (void)setsockopt(socket->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* Takes a duplicate of the socket that `config` names, and sets what `config` leaves open. */
static int adopt(struct su_socket *ret, struct su_socket_config *config, const char **ret_step)
{
    struct su_socket_facts facts;
    int error = su_socket_inspect(config->fd, &facts, ret_step);
    if (error != 0)
        return error;
    *ret_step = "duplicate";
    ret->fd = fcntl(config->fd, F_DUPFD_CLOEXEC, 0);
    if (ret->fd < 0)
        return -errno;
    /* It has to block, as those that are made here do: see the head of socket.h. */
    int flags = fcntl(ret->fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) != 0)
        (void)fcntl(ret->fd, F_SETFL, flags & ~O_NONBLOCK);
    ret->local = facts.local;
    ret->family = (sa_family_t)get_int(ret->fd, SOL_SOCKET, SO_DOMAIN);
    config->local = facts.local;
    config->local.family = ret->family;
    config->is_dual = facts.is_dual;
    return apply_all(ret->fd, config, ret_step);
}

static int make(struct su_socket *ret, const struct su_socket_config *config, const char **ret_step)
{
    *ret_step = "local address";
    if (config->local.family != AF_INET && config->local.family != AF_INET6)
        return -EINVAL;
    *ret_step = "socket";
    ret->family = config->local.family;
    ret->fd = socket(ret->family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (ret->fd < 0)
        return -errno;
    int error = apply_all(ret->fd, config, ret_step);
    return error == 0 ? bind_and_connect(ret, config, ret_step) : error;
}

int su_socket_open(struct su_socket *ret_socket, const struct su_socket_config *given,
                   const char **ret_step)
{
    SB_ASSERT(ret_socket != NULL && given != NULL);
    const char *step;
    struct su_socket opened = SU_SOCKET_CLOSED;
    struct su_socket_config own = *given;
    const struct su_socket_config *config = &own;
    *ret_socket = opened;

    if (config->is_hosted) {
        open_hosted(ret_socket, config);
        return 0;
    }
    int error = own.is_adopted ? adopt(&opened, &own, &step) : make(&opened, config, &step);
    if (error != 0) {
        if (opened.fd >= 0)
            (void)close(opened.fd);
        if (ret_step != NULL)
            *ret_step = step;
        return error;
    }

    opened.tos_v4 = read_tos(opened.fd, SOL_IP, IP_TOS);
    opened.tos_v6 =
        opened.family == AF_INET6 ? read_tos(opened.fd, SOL_IPV6, IPV6_TCLASS) : opened.tos_v4;
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
