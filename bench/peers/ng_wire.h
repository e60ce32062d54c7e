/* SPDX-License-Identifier: MIT */
#ifndef PEERS_NG_WIRE_H
#define PEERS_NG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/interop/peer_udp.h"

#define NG_TRAIN_BYTES    65507 /* the most that one send takes, of all datagrams together */
#define NG_TRAIN_SEGMENTS 64    /* and the most datagrams that the kernel cuts it into */

/* A UDP socket that sends trains (UDP_SEGMENT) and receives them whole (UDP_GRO, recvmmsg). */
struct ng_wire {
    struct peer_udp udp;
    struct sockaddr_storage remote; /* server: the sender of the last datagram */
    socklen_t remote_size;          /* 0: the socket is connected */
};

/* Opens it at `port` of the server's address: bound for a server (0: any), connected for a client.
 * Returns 0 or negative errno. */
int ng_wire_open(struct ng_wire *wire, struct in_addr server, uint16_t port, bool is_server);
void ng_wire_close(struct ng_wire *wire);

typedef void (*ng_wire_on_datagram)(void *context, uint8_t *data, size_t size);

/* Takes all that one recvmmsg() brings, without waiting, and hands on each datagram.  Returns how
 * many there were, 0 if there is nothing, or negative errno. */
int ng_wire_receive(struct ng_wire *wire, ng_wire_on_datagram on_datagram, void *context);

/* Sends `size` bytes as datagrams of `segment` bytes each, of which the last may be shorter, after
 * waiting for room if need be.  Returns 0 or negative errno. */
int ng_wire_send(struct ng_wire *wire, const uint8_t *data, size_t size, size_t segment);

#endif
