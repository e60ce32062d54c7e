/* SPDX-License-Identifier: MIT */
#ifndef SU_CMSG_H
#define SU_CMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/address.h"

/* Control messages: what the kernel and we pass to each other along with a datagram. */

/* Room for everything that our sockets can be sent at once: UDP_GRO, IP_TOS or IPV6_TCLASS,
 * IP_PKTINFO, IPV6_PKTINFO, SO_RXQ_OVFL, SO_TIMESTAMPNS; cmsg.c has the sum. */
#define SU_CONTROL_RECEIVE_SIZE 272
#define SU_CONTROL_SEND_SIZE    120

/* Control data of a received datagram. */
struct su_control {
    struct su_address local; /* destination, port 0; AF_UNSPEC if it was not reported */
    uint32_t segment_size;   /* size of all datagrams of a GRO buffer but the last; 0: none */
    uint32_t dropped_count;  /* datagrams the socket lost since it was opened, modulo 2^32 */
    uint64_t stamp_ns;       /* CLOCK_REALTIME when the kernel received it; 0: not reported */
    bool has_dropped_count;
    uint8_t ecn; /* 0 .. 3 [RFC3168 5] */
};

/* Reads `size` bytes of control messages.  Unknown ones are skipped.  0, or -EBADMSG if a length
 * does not fit: then `*ret` is untouched.  `control` needs no alignment. */
SB_MUST_USE int su_cmsg_parse(const uint8_t *control, size_t size, struct su_control *ret);

/* Writes what su_cmsg_parse() reads: the local address, the segments' size and the ECN mark.
 * `control` needs no alignment.  Returns the size. */
uint32_t su_cmsg_write_received(uint8_t control[SU_CONTROL_RECEIVE_SIZE],
                                const struct su_control *received);

/* Control data to send with a datagram or a train. */
struct su_control_request {
    const struct su_address *source; /* NULL or AF_UNSPEC or "any": the kernel chooses */
    sa_family_t socket_family;
    bool is_v4;            /* the packet on the wire is IPv4 */
    uint8_t ecn;           /* 0 .. 3 */
    uint8_t socket_tos;    /* of datagrams without a message about it; its DSCP is that of all */
    uint16_t segment_size; /* UDP_SEGMENT; 0: none */
    uint64_t depart_ns;    /* SCM_TXTIME: not before that time; 0: at once */
};

/* Writes the control messages into `control` (aligned as struct cmsghdr) and returns their size,
 * 0 if none are needed. */
uint32_t su_cmsg_build(uint8_t control[SU_CONTROL_SEND_SIZE],
                       const struct su_control_request *request);

#endif
