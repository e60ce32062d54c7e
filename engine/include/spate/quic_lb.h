/* SPDX-License-Identifier: MIT */
#ifndef SPATE_QUIC_LB_H
#define SPATE_QUIC_LB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Connection IDs that load balancers can read [draft-ietf-quic-load-balancers].
 *
 * A server of a fleet writes its server ID into each connection ID that it issues.  A balancer in
 * front of the fleet, which has the same configuration, reads it from each packet.  So packets find
 * their server also when the address of the client changes, and the balancer keeps nothing about
 * connections.  A connection ID has 7 to 20 bytes:
 *
 *     first octet                config_id in its upper 3 bits; then 5 bits: the number of bytes
 *                                that follow, or random ones
 *     server ID, nonce           in clear, or encrypted with `key`
 *     one octet of the server    names the shard to Spate; balancers ignore it.  With 19 bytes of
 *                                server ID and nonce it is not there.  With `hand_over` there are
 *                                two: the second one names the process.
 *
 * Use a key.  Without one, everybody on the way sees which server a client talks to, and can tell
 * by it that two addresses may be one client's.  Spate gives clients no spare connection IDs then,
 * so that they do not move by themselves [draft-ietf-quic-load-balancers 9]; packets of a client
 * whose NAT changes its address still find their server.  16 bytes of server ID and nonce are the
 * cheapest for a balancer that decrypts: one block of AES instead of three or four.
 *
 * A server never uses a nonce twice with a key: it counts, from a random start, in steps that keep
 * its shards apart.  With a nonce of 4 bytes that ends after 2^32 connection IDs in all; then it
 * issues unroutable ones (cids_unroutable counts them) until it gets a configuration with another
 * key.  Every first packet of a client takes one, also those of an attacker, who can use up 2^32 in
 * a day: take 8 bytes where strangers come.  An engine does not know what an earlier one used: give
 * each process its own server ID, or a nonce of 8 bytes and more, of which it takes a random range.
 *
 * The server's octets are masked by a hash that the kernel computes for each packet.  It hides the
 * shard and the process from who looks at single connection IDs, but it is no cipher. */

#define SPATE_QUIC_LB_KEY_SIZE           16
#define SPATE_QUIC_LB_SERVER_ID_SIZE_MAX 15

/* As config_id: there is no configuration yet.  Connection IDs are random, and balancers route them
 * by the addresses of the packets, so clients are asked not to move.  The other fields only decide
 * how long they are.  [draft-ietf-quic-load-balancers 3.2] */
#define SPATE_QUIC_LB_UNROUTABLE 7

/* A configuration, which balancers and servers share, but for the server ID.  Each comment ends
 * with the default and the range. */
struct spate_quic_lb {
    size_t size; /* sizeof(struct spate_quic_lb): spate_quic_lb_init() sets it */

    /* Tells configurations apart while there are several.  Default 0; 0 to 6, or
     * SPATE_QUIC_LB_UNROUTABLE. */
    uint8_t config_id;
    /* Bytes of the server ID.  Default 0, which must be changed; 1 to 15. */
    uint8_t server_id_size;
    /* Bytes of the nonce.  Server ID and nonce have 19 bytes together at most, 18 in an engine with
     * several shards, and 17 in one with `hand_over`.  Default 8; 4 to 18. */
    uint8_t nonce_size;
    /* Whether the first octet has the length of the connection ID, for hardware that decrypts
     * packets.  Otherwise these bits are random.  Default false. */
    bool encodes_length;
    /* Whether `key` encrypts server ID and nonce.  Default false. */
    bool is_encrypted;
    /* The first server_id_size bytes count.  Default all zero. */
    uint8_t server_id[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX];
    /* The key of AES-128.  Default all zero. */
    uint8_t key[SPATE_QUIC_LB_KEY_SIZE];
    uint8_t reserved[4]; /* no padding; ignored */
};

/* Fills in the first `size` bytes of the defaults.  For languages other than C and C++, whose
 * programs call spate_quic_lb_init().
 *
 *   lb    At least `size` bytes, in any state.
 *   size  Bytes that the program knows: its sizeof(struct spate_quic_lb).
 *
 * Threads: any. */
SPATE_API void spate_quic_lb_init_sized(struct spate_quic_lb *lb, size_t size);

/* Fills in the defaults.  It is inline, so that the size is the one that the program was compiled
 * with.
 *
 *   lb  In any state; every field is overwritten.
 *
 * Threads: any. */
static inline void spate_quic_lb_init(struct spate_quic_lb *lb)
{
    spate_quic_lb_init_sized(lb, sizeof(*lb));
}

/* Reads server IDs, as a balancer does: for those who write one, and for tests. */
struct spate_quic_lb_reader;

/* Makes a reader of one configuration.
 *
 *   lb     The configuration; copied.  Its server_id is ignored.
 *   *ret   Owned by the caller until spate_quic_lb_reader_destroy().  Untouched on failure.
 *   error  Names the field on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL  `lb` is NULL, spate_quic_lb_init() was not called, or a value is out of range.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOMEM  There is not enough memory.
 *
 * Threads: any. */
SPATE_API int spate_quic_lb_reader_create(const struct spate_quic_lb *lb,
                                          struct spate_quic_lb_reader **ret,
                                          struct spate_error *error);

/* Frees a reader, and wipes its key.
 *
 *   reader  NULL is accepted.
 *
 * Threads: any, while no other one uses it. */
SPATE_API void spate_quic_lb_reader_destroy(struct spate_quic_lb_reader *reader);

/* Reads the server ID from a connection ID.
 *
 *   reader  Of the configuration.
 *   cid     The connection ID: `size` bytes.
 *   size    Bytes at `cid`.  There may be more than the connection ID has, such as the rest of a
 *           packet with a short header.
 *   ret     Gets server_id_size bytes.  Untouched on failure.
 *
 * Returns 0, or if the connection ID is unroutable [draft-ietf-quic-load-balancers 4.1]:
 *   -ENOENT    It has another config_id.
 *   -EMSGSIZE  It is too short.
 *
 * It is unroutable too if the server ID belongs to no server: only the caller knows that.
 *
 * Threads: any, one at a time per reader. */
SPATE_API int spate_quic_lb_read(struct spate_quic_lb_reader *reader, const void *cid, size_t size,
                                 uint8_t *ret);

/* Reads the server ID from the destination connection ID of a datagram's first packet, in any
 * version of QUIC [RFC8999 5].
 *
 *   reader  Of the configuration.
 *   data    The payload of UDP: `size` bytes.
 *   size    Bytes of the datagram.
 *   ret     Gets server_id_size bytes.  Untouched on failure.
 *
 * Clients choose the connection ID of their first packets: one of those may look routable by
 * chance, and then always reaches one server.
 *
 * Returns 0, or if the datagram is unroutable:
 *   -ENOENT    Its connection ID has another config_id.
 *   -EMSGSIZE  The datagram or its connection ID is too short.
 *
 * Threads: any, one at a time per reader. */
SPATE_API int spate_quic_lb_read_datagram(struct spate_quic_lb_reader *reader, const void *data,
                                          size_t size, uint8_t *ret);

#ifdef __cplusplus
}
#endif

#endif
