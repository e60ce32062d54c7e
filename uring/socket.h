/* SPDX-License-Identifier: MIT */
#ifndef SU_SOCKET_H
#define SU_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/address.h"
#include "uring/ring.h"

/* A UDP socket made for QUIC: it never fragments, reports the ECN mark and the
 * local address of received datagrams, and sends and receives whole trains.
 *
 * It is a blocking socket on purpose: io_uring then waits for room in the send
 * buffer by itself instead of completing with EAGAIN. */

struct su_socket_config {
    struct su_address local; /* to bind; port 0: the kernel chooses; 0.0.0.0 or [::]: any */
    struct su_address peer;  /* to connect to; AF_UNSPEC: not connected */
    uint32_t receive_bytes;  /* SO_RCVBUF; 0: the system's default */
    uint32_t send_bytes;     /* SO_SNDBUF; 0: the system's default */
    /* The mark that most datagrams will have, 0 .. 3: they are sent without a message about it. The
     * kernel looks for the route of a connected socket anew for each one that has such a message.
     */
    uint8_t ecn;
    bool is_dual;        /* AF_INET6 local: carry IPv4 as well (V6ONLY off) */
    bool is_port_shared; /* SO_REUSEPORT */
    bool is_stamped;     /* SO_TIMESTAMPNS: su_received.stamp_ns */
    bool is_gro_off;     /* no UDP_GRO: each datagram comes alone */
    bool is_fragmenting; /* let the kernel fragment; for tests and odd networks */
    bool is_hosted;      /* no socket of the system: see hosted.h */
    bool is_timed;       /* SO_TXTIME: trains may have times of departure, see uring/qdisc.h */
    bool is_adopted;     /* `fd` is bound: see su_socket_open() */
    int fd;              /* of an adopted one; stays the caller's */
};

struct su_socket {
    int fd;               /* -1: closed; SU_HOSTED_FD */
    int32_t file;         /* index in the ring's file table, -1: not attached */
    struct su_ring *ring; /* it is attached to, or NULL */
    sa_family_t family;   /* of the socket; a dual one is AF_INET6 */
    bool is_connected;
    /* IP_TOS and IPV6_TCLASS, the DSCP and the mark of datagrams that are sent without a message
     * about them.  The DSCP of an adopted socket is its owner's choice. */
    uint8_t tos_v4, tos_v6;
    bool has_gso;            /* the kernel has UDP_SEGMENT */
    bool is_timed;           /* it was asked for, and the kernel has SO_TXTIME */
    struct su_address local; /* as bound: the port is known, the address may be "any" */
    struct su_address peer;  /* AF_UNSPEC if it is not connected; of a hosted one, as asked for */
    uint32_t receive_bytes;  /* what the kernel granted, in its own accounting (twice the asked) */
    uint32_t send_bytes;
};

/* Opens, sets every option, binds and, if asked, connects.  With `is_adopted`, takes a duplicate of
 * `fd` in place of a new socket: one that somebody else has bound.  Then `local`, `is_dual` and
 * `is_port_shared` are what that is, and whatever waits in it stays there.
 * 0, or -errno, with `*ret_step` the name of the call or option that failed ("bind", "UDP_GRO",
 * ...; static memory; `ret_step` may be NULL).  Errors to expect: -EADDRINUSE (port taken),
 * -EADDRNOTAVAIL (no such local address), -EACCES (port below 1024), -EAFNOSUPPORT (no IPv6),
 * -EMFILE, -ENETUNREACH (connect), -EINVAL (local or peer address unusable), and of an adopted one
 * -EBADF, -ENOTSOCK and the errors of su_socket_inspect().
 * Buffer sizes never fail: the kernel grants what it allows, see the struct.
 * On failure `socket` is closed.  Threads: any. */
SB_MUST_USE int su_socket_open(struct su_socket *socket, const struct su_socket_config *config,
                               const char **ret_step);

/* Lets sockets that are opened with is_port_shared join the port of one that was bound alone:
 * nobody had it before, and nobody could take it in between.  0 or -errno.  Threads: any. */
SB_MUST_USE int su_socket_share(struct su_socket *socket);

/* What somebody else's descriptor is. */
struct su_socket_facts {
    struct su_address local; /* as bound */
    bool is_dual;            /* AF_INET6, and carries IPv4 as well */
    bool is_port_shared;     /* SO_REUSEPORT: others may join */
};

/* Looks whether `fd` is a UDP socket that can be adopted: IPv4 or IPv6, bound to a port, not
 * connected.  Returns 0, or with `*ret_problem` a phrase that goes on after the descriptor's number
 * (static memory), and `*ret` untouched:
 *   -EBADF     not open
 *   -ENOTSOCK  not a socket
 *   -EINVAL    another kind of socket, not bound, or connected
 * Threads: any. */
SB_MUST_USE int su_socket_inspect(int fd, struct su_socket_facts *ret, const char **ret_problem);

/* Takes the datagrams out of a bound socket that waited in it, at most `count_max`, and returns how
 * many there were.  Threads: any. */
uint32_t su_socket_discard(int fd, uint32_t count_max);

/* Has the kernel drop empty datagrams from now on; those that wait already stay.  It does nothing
 * if the socket has a filter of somebody else.  With a filter the kernel verifies the checksum of a
 * datagram before it is queued, where the network card has not.  Threads: any. */
void su_socket_refuse_empty(const struct su_socket *socket);

/* Writes how many datagrams have found the buffer of their socket full, or no memory for sockets,
 * in the whole network namespace of this thread.  Only this tells them from those that a filter has
 * refused.  Returns 0 or a negative errno: /proc may be hidden.  Threads: any. */
SB_MUST_USE int su_socket_overflows(uint64_t *ret);

/* Puts the socket into the ring's file table.  0 or as su_ring_file_add.
 * Threads: as su_ring_file_add. */
SB_MUST_USE int su_socket_attach(struct su_socket *socket, struct su_ring *ring);

/* Takes the socket out of the ring's table (if the ring was not stopped, which empties the table)
 * and closes it.  The port is free when this returns, provided that nothing was in flight: stop
 * its receiver first and see its end, or su_ring_stop.  Accepts a closed socket; all zero is not
 * one (fd 0): initialise with SU_SOCKET_CLOSED.  Threads: the owner of the ring. */
void su_socket_close(struct su_socket *socket);

#define SU_SOCKET_CLOSED ((struct su_socket){.fd = -1, .file = -1})

#endif
