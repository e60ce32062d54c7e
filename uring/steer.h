/* SPDX-License-Identifier: MIT */
#ifndef SU_STEER_H
#define SU_STEER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* Which socket of a group that shares a port (SO_REUSEPORT) gets a datagram.
 *
 * Without more the kernel chooses by a hash of both addresses, so a client whose address changes
 * may reach another socket than before.  A program in the kernel (classic BPF, no privilege needed)
 * reads a byte of the destination CID of packets with a short header, and chooses by that.  Packets
 * with a long header begin connections, and keep to the hash. */

#define SU_STEER_SOCKETS_MAX 64

/* The byte of a CID that names a socket, at `at`.
 *
 * With `is_masked` its value is added (XOR) to a mask: a keyed hash of the four bytes before it,
 * which are random.  So CIDs that name one socket do not look alike.  The hash is one that the
 * program in the kernel computes in ten instructions: it hides a socket's number from observers,
 * and no more depends on it. */
struct su_steer_byte {
    uint8_t at; /* at least 4, if it is masked */
    bool is_masked;
    uint32_t key[3];
};

/* Returns what the byte of `cid` is masked with: 0 if it is not. */
uint8_t su_steer_mask(const struct su_steer_byte *byte, const uint8_t *cid);

/* Attaches the program to the group that `fd` belongs to; it replaces the one before.
 *
 *   byte    Where the value is.
 *   values  The byte's value for each socket, in the order in which the sockets joined the group;
 *           when a socket leaves, the last one takes its place.
 *   count   Sockets in the group: 1 to SU_STEER_SOCKETS_MAX.
 *
 * A byte of another value leaves the choice to the hash.  Returns 0 or -errno.  Threads: any. */
SB_MUST_USE int su_steer(int fd, const struct su_steer_byte *byte, const uint8_t *values,
                         uint32_t count);

#endif
