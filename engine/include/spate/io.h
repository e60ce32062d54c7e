/* SPDX-License-Identifier: MIT */
#ifndef SPATE_IO_H
#define SPATE_IO_H

#include <sys/socket.h>

#include <spate/base.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Without sockets: the program moves the datagrams.
 *
 * For programs that own their input and output: another kind of socket, a network stack in user
 * space, a tunnel, a simulator.  The engine has SPATE_BACKEND_HOST and one shard, and all other
 * functions of this library are as with sockets.  It neither opens nor reads a socket, and starts
 * no thread.
 *
 *     repeat:
 *       1  count = spate_shard_slots(): where datagrams may be put.  Put some there, as recvmmsg()
 *          does, or as a device does; spate_shard_give() says what is where.
 *       2  spate_shard_turn(shard, 0), or spate_shard_turn_at() with a clock of the program's own;
 *          spate_shard_events() for each batch of events.
 *       3  spate_shard_trains(): what is to be sent.  Send it, and then spate_shard_train_done().
 *       4  While spate_shard_deadline_ns() is 0: again from 1.  Otherwise wait until that time, or
 *          until a datagram comes, or spate_shard_fd() is readable (posts of other threads).
 *
 * No payload is copied: slots and trains are memory of the engine, in which packets are decrypted
 * and encrypted.  Datagrams that belong together should be given together, because the engine
 * answers a batch once.
 *
 * A listener gets what comes to its address: its port, which must not be 0, and its IP address
 * unless that is "any".  A client's connection gets what comes from the address that it connects
 * to, and to no listener.  Its own address may be any, and may change.
 *
 * Threads: shard, all of them. */

/* Room for one datagram, or for several of one size back to back. */
struct spate_slot {
    void *data;
    size_t size; /* bytes: at least 65,535 */
};

/* What the program has put into a slot. */
struct spate_given {
    uint32_t size;         /* bytes in all */
    uint16_t segment_size; /* bytes of each datagram but the last (UDP_GRO); 0: there is one */
    uint8_t ecn;           /* 0 to 3: the low two bits of TOS or traffic class.  [RFC3168 5] */
    uint8_t reserved;      /* 0 */
    /* Where it came to; IPv4 or IPv6.  Read during the call only. */
    const struct sockaddr *local;
    /* Where it came from; IPv4 or IPv6.  Read during the call only. */
    const struct sockaddr *peer;
};

/* Datagrams to one address, of one size back to back; the last one may be shorter. */
struct spate_train {
    const void *data;      /* until spate_shard_train_done() */
    uint32_t size;         /* bytes in all: 1 to 65,507 */
    uint32_t segment_size; /* bytes of each datagram but the last (UDP_SEGMENT); `size`: there is
                            * one */
    uint8_t ecn;           /* 0 to 3: to be put into the IP header */
    uint8_t reserved[7];
    /* Where to send from.  The IP address is "any" where it does not matter, and so is port 0: a
     * client then sends from the same port always. */
    struct sockaddr_storage local;
    struct sockaddr_storage peer;
    uint64_t id; /* for spate_shard_train_done() */
};

/* Returns free slots in which datagrams may be put, and how many there are.  They are the same ones
 * until spate_shard_give(); a slot that is not given is offered again.
 *
 *   *ret       Room for `count_max` slots.
 *   count_max  The most slots to return.
 *
 * Returns 0 if there are none: until the first turn after spate_shard_listen() or
 * spate_shard_connect(), and while all slots wait for the application's release.  Then run a turn,
 * and leave datagrams where they are.  Also returns 0 where spate_shard_give() returns an error.
 *
 * Threads: shard. */
SPATE_API uint32_t spate_shard_slots(struct spate_shard *shard, struct spate_slot *ret,
                                     uint32_t count_max);

/* Hands over what stands in the first `count` slots of the last spate_shard_slots().  The next turn
 * processes it.  What belongs to no connection and begins none, what is malformed, and what is
 * longer than its slot is counted and dropped, as with sockets.
 *
 *   given  `count` descriptions, in the order of the slots; copied.
 *   count  At most what spate_shard_slots() has returned.
 *
 * Returns how many were taken, or:
 *   -EINVAL   `count` is larger than the number of slots.  Or in one of them an address is neither
 *             IPv4 nor IPv6, `ecn` is above 3, or `reserved` is not 0.  Nothing was taken.
 *   -ENOTSUP  The engine has sockets of its own: its backend is not SPATE_BACKEND_HOST.
 *   -EPERM    Another thread runs the shard.
 * If fewer than `count` were taken, run a turn, and put the others into slots once more.
 *
 * Threads: shard. */
SPATE_API int spate_shard_give(struct spate_shard *shard, const struct spate_given *given,
                               uint32_t count);

/* Takes trains that wait to be sent, in order.  Each must come back by spate_shard_train_done(),
 * soon: until then it occupies one of transmit_slots, and a connection that finds none free waits.
 *
 *   *ret       Room for `count_max` trains.
 *   count_max  The most trains to take.
 *
 * Returns how many were taken; 0 also where spate_shard_give() returns an error.
 *
 * Threads: shard. */
SPATE_API uint32_t spate_shard_trains(struct spate_shard *shard, struct spate_train *ret,
                                      uint32_t count_max);

/* Says that a train was sent, or was not.  Its memory is the engine's again.
 *
 *   id     Of the train.
 *   error  0: it was sent.  -EMSGSIZE: its datagrams are too large for the path.  -EIO: it cannot
 *          be sent as one; it comes again as single datagrams.  Any other negative errno: it was
 *          lost.
 *
 * Returns 0, or:
 *   -EINVAL   There is no such train, or it came back before.  Or `error` is positive.
 *   -ENOTSUP  The engine has sockets of its own.
 *   -EPERM    Another thread runs the shard.
 *
 * Threads: shard. */
SPATE_API int spate_shard_train_done(struct spate_shard *shard, uint64_t id, int error);

/* Runs a turn, as spate_shard_turn() does, at a time that the program says.  From the first call on
 * this is the shard's clock: what it sends, times out and reports goes by it, and the times of
 * spate_shard_deadline_ns() are times of this clock.  A simulator runs connections in virtual time
 * this way.
 *
 *   now_ns  Nanoseconds of any clock that does not go back; above 0.
 *
 * Returns the number of events, or:
 *   -EINVAL   `now_ns` is 0, or before the last one.
 *   -EBUSY    This is the first call, but the shard goes by the system's clock already: it has
 *             listened, connected, or run a turn, or has a pool.  Call this first, when nothing is
 *             to be done yet.  Or a turn is in progress.
 *   -ENOTSUP  The engine has sockets of its own.
 *   -EPERM    Another thread runs the shard.
 * Negative errnos of the ring are passed on, as spate_shard_turn() does.
 *
 * Threads: shard. */
SPATE_API int spate_shard_turn_at(struct spate_shard *shard, uint64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
