/* SPDX-License-Identifier: MIT */
#ifndef SP_TOMBSTONE_H
#define SP_TOMBSTONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/wire/types.h"

/* What is left of a closed connection until its time is over: enough to recognise its packets and
 * to answer them.  [RFC9000 10.2]
 *
 *     sp_conn_bury()  makes one, so that the connection can be destroyed
 *     sp_tombstone_receive()  for each datagram to one of its CIDs, which the host keeps
 *     until end_at_ns, or as long as the host has room for it
 *
 * A closing one has one sealed packet per level and sends the same bytes each time, which RFC 9000
 * recommends for its small state.  A draining one has none and sends nothing. */

enum {
    /* Bytes of the datagram that answers: one level with the longest reason, or three levels with
     * none.  Beyond: the reason is left out. */
    SP_TOMBSTONE_PACKET_SIZE_MAX = 272,
};

struct sp_tombstone {
    struct sp_path path;
    uint64_t end_at_ns;
    uint64_t budget_bytes; /* that may be sent: three times what came, less what was sent */
    uint64_t datagrams_in; /* since the connection closed */
    uint64_t answer_at;    /* value of datagrams_in from which on the next answer is sent */
    uint32_t elsewhere_in; /* of datagrams that came from other addresses; stops at its maximum */
    uint32_t elsewhere_at; /* the same two for them */
    uint32_t packet_size;  /* 0: draining */
    bool is_server;
    bool has_token; /* `token` ends the answers: it is the peer's, of the CID in use */
    uint8_t token[SP_RESET_TOKEN_SIZE];
    uint8_t packet[SP_TOMBSTONE_PACKET_SIZE_MAX];
};

/* Takes note of a datagram of `size` bytes that came from `remote`.  Returns true if `packet` is
 * to be sent there now: for the 1st, 2nd, 4th, 8th datagram and so on, with three bytes for each
 * that came at most.  [RFC9000 8.1, 10.2.1]
 *
 * A client may have moved before it learned of the end, so a server answers other addresses as
 * well. Datagrams from there may be forged: they are counted apart, so that they take no answer
 * from the peer, and each alone must be large enough for its answer. */
SB_MUST_USE bool sp_tombstone_receive(struct sp_tombstone *tombstone, const struct sp_addr *remote,
                                      size_t size);

/* Ends the answers: the peer has sent a Stateless Reset.  [RFC9000 10.3.1] */
void sp_tombstone_on_stateless_reset(struct sp_tombstone *tombstone);

#endif
