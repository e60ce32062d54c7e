/* SPDX-License-Identifier: MIT */
#ifndef INTEROP_PEER_UDP_H
#define INTEROP_PEER_UDP_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A UDP socket of the ngtcp2 peer: one datagram a call, with its ECN mark. */
struct peer_udp {
    int fd;
    struct sockaddr_storage local;
    socklen_t local_size;
};

struct peer_datagram {
    uint8_t *data;
    size_t size;
    uint8_t ecn;          /* the two bits */
    struct peer_udp *udp; /* that it came by; peer_udp_send() ignores it */
    struct sockaddr_storage remote;
    socklen_t remote_size;
};

/* Opens a socket bound to `address`.  Returns 0 or negative errno. */
int peer_udp_listen(struct peer_udp *ret, const struct sockaddr_storage *address, socklen_t size);

/* Opens a socket connected to `address`, so that a closed port is told as -ECONNREFUSED. */
int peer_udp_connect(struct peer_udp *ret, const struct sockaddr_storage *address, socklen_t size);

void peer_udp_close(struct peer_udp *udp);

/* Receives into `d->data`, whose room is `d->size`.  Returns 0, -EAGAIN if there is nothing, or
 * negative errno. */
int peer_udp_receive(struct peer_udp *udp, struct peer_datagram *d);

/* Sends one datagram, after waiting for room if need be.  Returns 0, -EAGAIN if there is still
 * none, or negative errno.  A datagram too large for the path, which a probe for the MTU may be,
 * counts as sent. */
int peer_udp_send(struct peer_udp *udp, const struct peer_datagram *d);

#endif
