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
 *                          |                                 size <= size_max, size < limit
 *                         acked
 *                          v
 *                        PROVED --hole--> HOLE --later--> DUE
 *
 * One probe is in flight at a time.  Between two sizes of a search the state is BASE or PROVED.  A
 * search goes on, and a later one begins, only when the connection sends full datagrams: smaller
 * ones would not gain by it.  The first probe of a connection is sent after its first full datagram
 * or, without one, once the peer has confirmed the handshake.  So a connection that ends with its
 * handshake sends none.
 *
 * The order of a search: Ethernet's size, then the sizes of usual links, from small to large.  The
 * next size above a usual one is tried early, because most paths have an MTU that is usual: if that
 * probe fails, the search is over.  Otherwise it halves the range that is left, down to 1/128.
 *
 * A search that ended below size_max is repeated after 1 s, and then after twice the pause each
 * time.  After a hole the former size is tried once more, at once, because an outage looks like a
 * hole.  The second such hole and later ones wait first, for twice the time of the hole before. */
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
    SP_PMTU_ON_START,    /* the search begins, or it is time for the next size */
    SP_PMTU_ON_SENT,     /* the probe left */
    SP_PMTU_ON_ACKED,    /* the probe was acknowledged */
    SP_PMTU_ON_FAILED,   /* the probe was lost or refused, and another one is to follow at once */
    SP_PMTU_ON_GIVEN_UP, /* none is to follow at once; 1,200 bytes stay */
    SP_PMTU_ON_KEPT,     /* none is to follow at once; a larger size that was proved stays */
    SP_PMTU_ON_HOLE,     /* the path does not take `size` any more */
    SP_PMTU_EVENTS,
};

/* Returns the state after `event`.  Asserts that the pair is possible. */
enum sp_pmtu_state sp_pmtu_next(enum sp_pmtu_state state, enum sp_pmtu_event event);

/* The largest datagrams that may be sent before a proof, where 1,200 bytes are not enough for a
 * long Retry token: Ethernet's 1,500 bytes without the headers of IPv6 and UDP. */
#define SP_PMTU_UNPROVED_MAX 1452

/* Bytes of the headers of IP and UDP. */
#define SP_PMTU_OVERHEAD_V4 (20 + 8)
#define SP_PMTU_OVERHEAD_V6 (40 + 8)

struct sp_pmtu {
    enum sp_pmtu_state state;
    uint32_t size;         /* of the datagrams to send */
    uint32_t size_max;     /* that both ends allow */
    uint32_t limit;        /* the smallest size that has failed, or size_max + 1 */
    uint32_t probe_size;   /* in DUE and PROBING; in HOLE what to try first, 0: a new search */
    uint8_t probe_count;   /* probes of that size that were lost */
    uint8_t overhead;      /* of the path: SP_PMTU_OVERHEAD_V4 or _V6 */
    uint8_t raise_count;   /* searches that ended below size_max: 2^count s until the next */
    uint8_t hole_count;    /* holes of late: the next one waits 2^(count - 1) s */
    bool is_raising;       /* the next search repeats one */
    bool is_wanted;        /* a full datagram was sent since the last probe */
    bool is_prepared;      /* the first probe waits: see sp_pmtu_prepare() */
    uint64_t changed_ns;   /* when `size` changed last */
    uint64_t next_from_ns; /* when the next probe may begin; SB_NEVER: size_max is reached */
};

void sp_pmtu_init(struct sp_pmtu *pmtu);

/* Begins to probe for sizes up to `size_max`.  `overhead`: SP_PMTU_OVERHEAD_V4 or _V6. */
void sp_pmtu_start(struct sp_pmtu *pmtu, size_t size_max, size_t overhead, uint64_t now_ns);

/* As sp_pmtu_start(), but the first probe waits for sp_pmtu_on_full(), or for sp_pmtu_on_time(). */
void sp_pmtu_prepare(struct sp_pmtu *pmtu, size_t size_max, size_t overhead, uint64_t now_ns);

void sp_pmtu_on_time(struct sp_pmtu *pmtu);

/* A datagram of `size` bytes was sent, the size in use: larger ones would be of use. */
static inline void sp_pmtu_on_full(struct sp_pmtu *pmtu)
{
    if (SB_UNLIKELY(pmtu->is_prepared))
        sp_pmtu_on_time(pmtu);
    pmtu->is_wanted = true;
}

/* Returns whether a probe of `probe_size` bytes is to be sent. */
static inline bool sp_pmtu_is_due(const struct sp_pmtu *pmtu)
{
    return pmtu->state == SP_PMTU_DUE;
}

void sp_pmtu_on_sent(struct sp_pmtu *pmtu);

/* A probe of `size` bytes was acknowledged.  Returns whether `size` of the path changed. */
SB_MUST_USE bool sp_pmtu_on_acked(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns);

/* A probe of `size` bytes was lost: by the path, which may have lost it for other reasons. */
void sp_pmtu_on_lost(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns);

/* The system refused a datagram of `size` bytes, a probe or not.  Returns whether `size` of the
 * path changed. */
SB_MUST_USE bool sp_pmtu_on_too_large(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns);

/* Datagrams of more than 1,200 bytes get lost and smaller ones do not: falls back.  Returns whether
 * `size` changed. */
SB_MUST_USE bool sp_pmtu_on_hole(struct sp_pmtu *pmtu, uint64_t now_ns);

/* Something was acknowledged: returns whether the next probe begins.  So a silent connection does
 * not probe, and one whose datagrams are not full does not either. */
static inline bool sp_pmtu_is_time(const struct sp_pmtu *pmtu, uint64_t now_ns)
{
    return now_ns >= pmtu->next_from_ns && pmtu->is_wanted;
}

#endif
