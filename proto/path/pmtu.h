/* SPDX-License-Identifier: MIT */
#ifndef SP_PMTU_H
#define SP_PMTU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* The size of datagrams that the path has proved to take.  [RFC9000 14.2, 14.3, RFC8899]
 *
 * Every path takes 1,200 bytes.  More is used once a probe of that size was acknowledged, and given
 * up when larger datagrams get lost while smaller ones come through.
 *
 *     BASE ----start----> DUE <---lost, too large---+
 *      ^                   |                        |
 *      |                  sent                      |
 *      |                   v                        |
 *      +-----given up-- PROBING --------------------+        size = 1,200 in BASE and HOLE
 *                          |                                 size <= size_max
 *                         acked
 *                          v
 *                        PROVED --hole--> HOLE --later--> DUE
 *
 * A probe that failed is tried again after a while, each time after twice as long.  The sizes to
 * try are size_max and SP_PMTU_SIZE_COMMON: a search in steps would begin in next_size(). */
enum sp_pmtu_state {
    SP_PMTU_NONE,    /* no state: marks impossible pairs */
    SP_PMTU_BASE,    /* 1,200 bytes */
    SP_PMTU_DUE,     /* a probe is to be sent */
    SP_PMTU_PROBING, /* a probe is in flight */
    SP_PMTU_PROVED,  /* `size` bytes */
    SP_PMTU_HOLE,    /* 1,200 bytes again */
    SP_PMTU_STATES,
};

enum sp_pmtu_event {
    SP_PMTU_ON_START,    /* the handshake is complete, or it is time to try again */
    SP_PMTU_ON_SENT,     /* the probe left */
    SP_PMTU_ON_ACKED,    /* the probe was acknowledged */
    SP_PMTU_ON_FAILED,   /* the probe was lost, and another one is to follow */
    SP_PMTU_ON_GIVEN_UP, /* .. and none is to follow; 1,200 bytes stay */
    SP_PMTU_ON_KEPT,     /* .. and none is to follow; a larger size that was proved stays */
    SP_PMTU_ON_HOLE,     /* the path does not take `size` any more */
    SP_PMTU_EVENTS,
};

/* Returns the state after `event`.  Asserts that the pair is possible. */
enum sp_pmtu_state sp_pmtu_next(enum sp_pmtu_state state, enum sp_pmtu_event event);

struct sp_pmtu {
    enum sp_pmtu_state state;
    uint32_t size;         /* of the datagrams to send */
    uint32_t size_max;     /* that both ends allow */
    uint32_t probe_size;   /* in DUE and PROBING */
    uint32_t probe_count;  /* probes of that size that were lost */
    uint64_t pause_ns;     /* between two attempts; doubles */
    uint64_t next_from_ns; /* when the next attempt may begin; SB_NEVER: size_max is reached */
};

void sp_pmtu_init(struct sp_pmtu *pmtu);

/* Begins to probe for `size_max`: the handshake is complete. */
void sp_pmtu_start(struct sp_pmtu *pmtu, size_t size_max, uint64_t now_ns);

/* Returns whether a probe of `probe_size` bytes is to be sent. */
static inline bool sp_pmtu_is_due(const struct sp_pmtu *pmtu)
{
    return pmtu->state == SP_PMTU_DUE;
}

void sp_pmtu_on_sent(struct sp_pmtu *pmtu);

/* A probe of `size` bytes was acknowledged.  Returns whether `size` of the path changed. */
SB_MUST_USE bool sp_pmtu_on_acked(struct sp_pmtu *pmtu, size_t size);

/* A probe of `size` bytes was lost: by the path, which may have lost it for other reasons. */
void sp_pmtu_on_lost(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns);

/* The system refused a datagram of `size` bytes, a probe or not.  Returns whether `size` of the
 * path changed. */
SB_MUST_USE bool sp_pmtu_on_too_large(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns);

/* Datagrams of more than 1,200 bytes get lost and smaller ones do not: falls back.  Returns whether
 * `size` changed. */
SB_MUST_USE bool sp_pmtu_on_hole(struct sp_pmtu *pmtu, uint64_t now_ns);

/* Something was acknowledged: the next attempt begins if it is time for it.  So a silent connection
 * does not probe. */
static inline bool sp_pmtu_is_time(const struct sp_pmtu *pmtu, uint64_t now_ns)
{
    return now_ns >= pmtu->next_from_ns;
}
void sp_pmtu_on_time(struct sp_pmtu *pmtu);

#endif
