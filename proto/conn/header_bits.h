/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_HEADER_BITS_H
#define SP_CONN_HEADER_BITS_H

#include "proto/conn/impl.h"

/* The two bits in the first byte of a short header that mean nothing to the peer.
 *
 * The fixed bit is random once the peer has said that it does not look at it.  [RFC9287 3.1]
 *
 * The spin bit lets somebody on the path measure the round trip: a server returns what it got, a
 * client the opposite.  On one connection in sixteen it is random, and on all if the configuration
 * says so.  [RFC9000 17.4]
 *
 * Each is a word of 32 bits, and packet number n has bit n % 32 of it: all set, none set, or
 * random.  So a packet costs a shift for each. */

enum {
    SP_SPIN_OFF_ONE_IN = 16,
};

/* Draws the random bits.  Both are as if neither side had a wish: the fixed bit is set. */
static inline void sp_header_bits_init(struct sp_conn *conn)
{
    uint32_t random[3];
    conn->host.random(conn->host.context, random, sizeof(random));
    conn->bits = (struct sp_header_bits){.fixed = UINT32_MAX, .random_fixed = random[0]};
    conn->bits.spins = conn->config->spin_bit && random[2] % SP_SPIN_OFF_ONE_IN != 0;
    conn->bits.spin = conn->bits.spins ? 0 : random[1];
}

/* Records that the peer accepts packets without the fixed bit. */
static inline void sp_header_bits_on_params(struct sp_conn *conn, bool peer_greases)
{
    if (peer_greases && conn->config->grease)
        conn->bits.fixed = conn->bits.random_fixed;
}

/* Returns SP_HEADER_FIXED and SP_HEADER_SPIN, or what is set of them, for packet `pn`. */
static inline uint8_t sp_header_bits_of(const struct sp_conn *conn, uint64_t pn)
{
    unsigned fixed = conn->bits.fixed >> (pn % 32) & 1;
    unsigned spin = conn->bits.spin >> (pn % 32) & 1;
    return (uint8_t)(fixed * SP_HEADER_FIXED | spin * SP_HEADER_SPIN);
}

/* Records the spin bit of the packet with the largest number so far. */
static inline void sp_header_bits_on_received(struct sp_conn *conn, uint8_t first)
{
    bool is_set = (first & SP_HEADER_SPIN) != 0;
    if (conn->bits.spins)
        conn->bits.spin = is_set == sp_conn_is_server(conn) ? UINT32_MAX : 0;
}

/* Before a train: a new destination CID begins with 0. */
static inline void sp_header_bits_on_train(struct sp_conn *conn)
{
    uint32_t active = conn->remote_ids.active;
    if (conn->bits.cid == active)
        return;
    conn->bits.cid = active;
    if (conn->bits.spins)
        conn->bits.spin = 0;
}

#endif
