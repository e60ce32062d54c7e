/* SPDX-License-Identifier: MIT */
#ifndef SU_STEER_H
#define SU_STEER_H

#include <stdint.h>

#include "proto/base/compiler.h"

/* Which socket of a group that shares a port (SO_REUSEPORT) gets a datagram.
 *
 * Without more the kernel chooses by a hash of both addresses, so a client whose address changes
 * may reach another socket than before.  A program in the kernel (classic BPF, no privilege needed)
 * reads a byte of the destination CID of packets with a short header, and chooses by that.  Packets
 * with a long header begin connections, and keep to the hash. */

#define SU_STEER_SOCKETS_MAX 64

/* Attaches the program to the group that `fd` belongs to; it replaces the one before.
 *
 *   cid_at  Place of the byte in the CID.
 *   values  The byte's value for each socket, in the order in which the sockets joined the group;
 *           when a socket leaves, the last one takes its place.
 *   count   Sockets in the group: 1 to SU_STEER_SOCKETS_MAX.
 *
 * A byte of another value leaves the choice to the hash.  Returns 0 or -errno.  Threads: any. */
SB_MUST_USE int su_steer(int fd, uint32_t cid_at, const uint8_t *values, uint32_t count);

#endif
