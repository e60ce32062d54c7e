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
 * reads a word of one or two bytes of the destination CID, and chooses by that:
 *
 *     short header, or a long one whose CID has our size, and a socket has that word: that socket
 *     else: one of the sockets that take what names none, by four bytes of the CID: those that the
 *           mask is made of if it is masked, otherwise the first ones
 *
 * The CID that a client chooses for its first packets has any value.  It stays the same for all of
 * them, so they reach one socket. */

/* Three engines of the most shards at one address: two that end while the third one serves. */
#define SU_STEER_SOCKETS_MAX 192

/* The byte of a CID that names a socket, at `at`: the word, or its first byte.
 *
 * With `is_masked` the word is added (XOR) to a mask: a keyed hash of the four bytes before it,
 * which are random.  So CIDs that name one socket do not look alike.  The hash is one that the
 * program in the kernel computes in ten instructions: it hides a socket's number from observers,
 * and no more depends on it. */
struct su_steer_byte {
    uint8_t at; /* at least 4, if it is masked */
    bool is_masked;
    uint32_t key[3];
};

/* Returns what a word of two bytes of `cid` is masked with, 0 if it is not.  A word of one byte is
 * masked with the upper half. */
uint16_t su_steer_mask(const struct su_steer_byte *byte, const uint8_t *cid);

struct su_steer_socket {
    uint16_t word;
    bool is_named;      /* gets the packets that name `word` */
    bool takes_unnamed; /* gets its part of the packets that name no socket */
};

struct su_steer {
    struct su_steer_byte byte;
    uint32_t word_size;                    /* bytes: 1, or 2 in network order */
    uint32_t cid_size;                     /* of our CIDs; at least byte.at + word_size, and 4 */
    uint32_t count;                        /* of `sockets`: 1 to SU_STEER_SOCKETS_MAX */
    const struct su_steer_socket *sockets; /* all of the group, in the order in which they joined;
                                              when one leaves, the last one takes its place */
};

/* Attaches the program to the group that `fd` belongs to; it replaces the one before.  At least one
 * socket takes what names none.  Returns 0 or -errno: -ENOMEM if the program is longer than
 * net.core.optmem_max allows.  Threads: any. */
SB_MUST_USE int su_steer(int fd, const struct su_steer *steer);

#endif
