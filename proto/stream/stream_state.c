/* SPDX-License-Identifier: MIT */
#include "proto/stream/stream_state.h"

/* The two state machines of a stream as tables.  [RFC9000 3.1, 3.2]
 *
 * An event that only our own code can raise asserts where it is impossible.  FIN, RESET
 * and RESET_AT, which the peer may send at any time, have an entry in every state of the receiving
 * part. */

#include <stdint.h>

#include "proto/base/assert.h"

/* NO is an event that our own code must not raise in that state. */
#define NO 0

#define REDY SP_SEND_READY
#define OPEN SP_SEND_OPEN
#define SENT SP_SEND_DATA_SENT
#define CUTT SP_SEND_CUT
#define RSAT SP_SEND_RESET_AT
#define DONE SP_SEND_DATA_DONE
#define RSET SP_SEND_RESET
#define RDON SP_SEND_RESET_DONE
/* clang-format off */
static const uint8_t send_next[SP_SEND_STATES][SP_SEND_EVENTS] = {
    /*        DATA  FIN   ALL_ACKED RESET RESET_ACKED CUT   CUT_OUT */
    [REDY] = {OPEN, SENT, NO,       RSET, NO,         CUTT, NO},
    [OPEN] = {OPEN, SENT, NO,       RSET, NO,         CUTT, NO},
    [SENT] = {SENT, SENT, DONE,     RSET, NO,         CUTT, NO},
    [CUTT] = {CUTT, NO,   NO,       RSET, NO,         CUTT, RSAT},
    [RSAT] = {RSAT, NO,   RDON,     RSET, NO,         RSAT, NO},
    [DONE] = {NO,   NO,   NO,       DONE, NO,         NO,   NO},
    [RSET] = {NO,   NO,   NO,       RSET, RDON,       NO,   NO},
    [RDON] = {NO,   NO,   NO,       RDON, RDON,       NO,   NO},
};
/* clang-format on */
#undef CUTT
#undef RSAT
#undef REDY
#undef OPEN
#undef SENT
#undef DONE
#undef RSET
#undef RDON

/* A repeated FIN or a late RESET is legal and changes nothing: it maps to the
 * state itself. */
#define OPEN SP_RECV_OPEN
#define SIZE SP_RECV_SIZE_KNOWN
#define RSAT SP_RECV_RESET_AT
#define ARRV SP_RECV_ARRIVED
#define DONE SP_RECV_DONE
#define RSET SP_RECV_RESET
#define RDON SP_RECV_RESET_DONE
/* clang-format off */
static const uint8_t recv_next[SP_RECV_STATES][SP_RECV_EVENTS] = {
    /*        FIN   ALL_BYTES READ_ALL RESET READ_RESET RESET_AT */
    [OPEN] = {SIZE, NO,       NO,      RSET, NO,        RSAT},
    [SIZE] = {SIZE, ARRV,     NO,      RSET, NO,        RSAT},
    [RSAT] = {RSAT, NO,       NO,      RSET, NO,        RSAT},
    [ARRV] = {ARRV, NO,       DONE,    ARRV, NO,        ARRV},
    [DONE] = {DONE, NO,       NO,      DONE, NO,        DONE},
    [RSET] = {RSET, NO,       NO,      RSET, RDON,      RSET},
    [RDON] = {RDON, NO,       NO,      RDON, NO,        RDON},
};
/* clang-format on */
#undef RSAT
#undef OPEN
#undef SIZE
#undef ARRV
#undef DONE
#undef RSET
#undef RDON

enum sp_send_state sp_send_next(enum sp_send_state state, enum sp_send_event event)
{
    SB_ASSERT(state > SP_SEND_NONE && state < SP_SEND_STATES);
    SB_ASSERT(event < SP_SEND_EVENTS);

    enum sp_send_state next = send_next[state][event];
    SB_ASSERT(next != SP_SEND_NONE);
    return next;
}

enum sp_recv_state sp_recv_next(enum sp_recv_state state, enum sp_recv_event event)
{
    SB_ASSERT(state > SP_RECV_NONE && state < SP_RECV_STATES);
    SB_ASSERT(event < SP_RECV_EVENTS);

    enum sp_recv_state next = recv_next[state][event];
    SB_ASSERT(next != SP_RECV_NONE);
    return next;
}
