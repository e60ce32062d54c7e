/* SPDX-License-Identifier: MIT */
#ifndef CONN_PAIR_H
#define CONN_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/conn/impl.h"
#include "test/sim/null_protect.h"
#include "test/sim/null_tls.h"
#include "test/support/heap.h"

/* Two connections over the null cipher, and a peer that turns hostile.
 *
 *     pair_init()  ->  change pair.config  ->  pair_start()  ->  pair_shuttle()
 *     ->  pair_inject() { hand-made packets with the keys of one end }  ->  pair_deinit()
 *
 * A test has its pair in *state, by QT_FIXTURE(conn_pair, pair_deinit).
 *
 * Once an end has been spoken for by pair_inject() it must not send by itself any more: its
 * packet numbers are used up by hand. */

struct pair_end {
    struct conn_pair *pair;
    struct sp_conn *conn;
    struct sp_config config; /* as it was when `conn` was made */
    struct sp_tls *tls;      /* made for the next connection; NULL: not */
    uint64_t random;
    uint64_t next_pn[SP_SPACES]; /* of hand-made packets; 0: none yet */
};

struct conn_pair {
    struct heap heap;
    struct sb_memory memory; /* takes from the heap */
    uint64_t memory_left;    /* takes that are granted still */
    struct sp_config config;
    struct sp_pools pools;
    struct qs_null_plan protect_plan;
    struct qs_tls_plan tls_plan;
    const struct sp_tls_ops *tls_ops; /* qs_null_tls_ops, unless a test puts another one here */
    struct pair_end ends[2];          /* [enum sp_role] */
    uint64_t now_ns;
    /* The client's ticket, which the next pair_start() uses with 0-RTT; size 0: none.  And whether
     * the server gives tokens, and the last one that the client got. */
    uint8_t ticket[1024];
    size_t ticket_size;
    bool sends_new_token;
    struct sp_preferred preferred;      /* the server's */
    struct sp_preferred preferred_seen; /* of the last SP_EVENT_PREFERRED */
    uint8_t token[64];
    size_t token_size;
    uint32_t early_rejected_count; /* SP_EVENT_EARLY_REJECTED */
    enum sp_ecn ecn;               /* of datagrams that are delivered now */
    bool is_transient;             /* of datagrams that are delivered now */
};

/* Ends what an earlier call began: `pair` is zero before the first. */
void pair_init(struct conn_pair *pair);
/* Makes the client; the server is made for its first datagram. */
void pair_start(struct conn_pair *pair);
/* Destroys both ends; tickets stay.  pair_start() may follow. */
void pair_end(struct conn_pair *pair);
/* Carries datagrams in both directions until neither side has anything to send.  Events are taken,
 * and received bytes are consumed at once. */
void pair_shuttle(struct conn_pair *pair);
/* Lets both ends act at the next deadline of one of them, if that comes before `end_ns`: what they
 * send then waits to be taken.  Otherwise it is `end_ns`, and the result false. */
bool pair_pass_some(struct conn_pair *pair, uint64_t end_ns);
/* Carries what `from` has to send now, one way. */
void pair_carry(struct conn_pair *pair, enum sp_role from);
/* pair_start() and pair_shuttle(); asserts that both ends have confirmed. */
void pair_connect(struct conn_pair *pair);
/* Passes the time for what follows a handshake by itself: delayed ACKs, the first probe for the
 * MTU. */
void pair_settle(struct conn_pair *pair);
/* Destroys both, frees what is left and asserts that there was nothing.  Accepts a pair of zeros,
 * one that is half built, and one that has ended. */
void pair_deinit(struct conn_pair *pair);

struct sp_conn *pair_conn(struct conn_pair *pair, enum sp_role role);

/* Takes all events of an end. */
void pair_pull(struct conn_pair *pair, enum sp_role role);
/* Sends what `role` has to send into nowhere.  Returns how many datagrams, and the
 * size of the largest. */
uint32_t pair_flush(struct conn_pair *pair, enum sp_role role, size_t *ret_size_max);

/* What a hand-made packet may get wrong. */
enum pair_fault {
    PAIR_FAULT_NONE,
    PAIR_FAULT_RESERVED, /* its reserved bits are set */
    PAIR_FAULT_TAG,      /* it is not authentic */
};

enum { PAIR_DATAGRAM_SIZE_MAX = 2048, PAIR_BATCH_MAX = 64 };

struct pair_packet {
    uint8_t data[PAIR_DATAGRAM_SIZE_MAX];
    size_t size;
};

/* Makes one packet of `space` with `frames`, sealed with the keys of the peer of `to`. */
void pair_make(struct conn_pair *pair, enum sp_role to, enum sp_space space, const uint8_t *frames,
               size_t size, enum pair_fault fault, struct pair_packet *ret);
/* Delivers copies of packets in one batch, in this order. */
void pair_give(struct conn_pair *pair, enum sp_role to, const struct pair_packet *const *packets,
               uint32_t count);

/* .. side by side in one buffer, as GRO delivers a train. */
void pair_give_train(struct conn_pair *pair, enum sp_role to,
                     const struct pair_packet *const *packets, uint32_t count);

/* Takes the next datagram that `from` sends now; it is lost unless pair_deliver() brings it.
 * Returns false if there is none. */
bool pair_take(struct conn_pair *pair, enum sp_role from, struct pair_packet *ret);
/* pair_start(); the server gets the client's first flight.  Takes the first datagram of its answer:
 * see pair_take(). */
void pair_start_answered(struct conn_pair *pair, struct pair_packet *ret);
/* Delivers a copy of a datagram; makes the server for its first. */
void pair_deliver(struct conn_pair *pair, enum sp_role to, const struct pair_packet *packet);

/* Makes one and delivers it. */
void pair_inject(struct conn_pair *pair, enum sp_role to, enum sp_space space,
                 const uint8_t *frames, size_t size, enum pair_fault fault);

/* Leaves out `gap` packet numbers of the peer of `to`. */
void pair_skip(struct conn_pair *pair, enum sp_role to, enum sp_space space, uint64_t gap);

#endif
