/* SPDX-License-Identifier: MIT */
#include "proto/path/pmtu.h"

/* The size of datagrams that the path has proved to take: one machine, and how long it pauses.  It
 * is never below 1,200 bytes.  [RFC9000 14]
 *
 * What can be attacked: whoever drops large datagrams of a path can keep it at 1,200 bytes.  He
 * could drop all of them as well.  ICMP is not listened to. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/wire/quic.h"

/* What the Internet mostly takes: Ethernet's 1,500 bytes without the headers of IPv6 and UDP. */
#define SP_PMTU_SIZE_COMMON 1452

/* [RFC8899 5.1.2] MAX_PROBES: so many in a row are hardly lost by chance. */
#define PROBES_PER_SIZE 3

/* Between two attempts.  The longest is PMTU_RAISE_TIMER of [RFC8899 5.1.1]. */
#define PAUSE_NS_MIN SB_S
#define PAUSE_NS_MAX (600 * SB_S)

#define NO   SP_PMTU_NONE
#define BASE SP_PMTU_BASE
#define DUE  SP_PMTU_DUE
#define PROB SP_PMTU_PROBING
#define PROV SP_PMTU_PROVED
#define HOLE SP_PMTU_HOLE
/* clang-format off */
static const uint8_t next_state[SP_PMTU_STATES][SP_PMTU_EVENTS] = {
    /*        START SENT  ACKED FAILED GIVEN_UP KEPT  HOLE */
    [BASE] = {DUE,  NO,   NO,   NO,    NO,      NO,   NO},
    [DUE]  = {NO,   PROB, NO,   DUE,   BASE,    PROV, HOLE},
    [PROB] = {NO,   NO,   PROV, DUE,   BASE,    PROV, HOLE},
    [PROV] = {DUE,  NO,   NO,   NO,    NO,      NO,   HOLE},
    [HOLE] = {DUE,  NO,   NO,   NO,    NO,      NO,   NO},
};
/* clang-format on */
#undef NO
#undef BASE
#undef DUE
#undef PROB
#undef PROV
#undef HOLE

enum sp_pmtu_state sp_pmtu_next(enum sp_pmtu_state state, enum sp_pmtu_event event)
{
    SB_ASSERT(state > SP_PMTU_NONE && state < SP_PMTU_STATES);
    SB_ASSERT(event < SP_PMTU_EVENTS);
    enum sp_pmtu_state next = next_state[state][event];
    SB_ASSERT(next != SP_PMTU_NONE);
    return next;
}

static void advance(struct sp_pmtu *pmtu, enum sp_pmtu_event event)
{
    pmtu->state = sp_pmtu_next(pmtu->state, event);
    SB_ASSERT(pmtu->size >= SP_DATAGRAM_SIZE_MIN && pmtu->size <= pmtu->size_max);
    SB_ASSERT((pmtu->state != SP_PMTU_BASE && pmtu->state != SP_PMTU_HOLE) ||
              pmtu->size == SP_DATAGRAM_SIZE_MIN);
}

void sp_pmtu_init(struct sp_pmtu *pmtu)
{
    *pmtu = (struct sp_pmtu){
        .state = SP_PMTU_BASE,
        .size = SP_DATAGRAM_SIZE_MIN,
        .size_max = SP_DATAGRAM_SIZE_MIN,
        .pause_ns = PAUSE_NS_MIN,
        .next_from_ns = SB_NEVER,
    };
}

void sp_pmtu_start(struct sp_pmtu *pmtu, size_t size_max, uint64_t now_ns)
{
    SB_ASSERT(pmtu->state == SP_PMTU_BASE && size_max >= SP_DATAGRAM_SIZE_MIN);
    pmtu->size_max = (uint32_t)SB_MIN(size_max, (size_t)SP_UDP_PAYLOAD_SIZE_MAX);
    pmtu->next_from_ns = pmtu->size_max > pmtu->size ? now_ns : SB_NEVER;
    if (sp_pmtu_is_time(pmtu, now_ns))
        sp_pmtu_on_time(pmtu);
}

void sp_pmtu_on_time(struct sp_pmtu *pmtu)
{
    pmtu->probe_size = pmtu->size_max;
    pmtu->probe_count = 0;
    pmtu->next_from_ns = SB_NEVER;
    advance(pmtu, SP_PMTU_ON_START);
}

void sp_pmtu_on_sent(struct sp_pmtu *pmtu)
{
    advance(pmtu, SP_PMTU_ON_SENT);
}

static void pause_from(struct sp_pmtu *pmtu, uint64_t now_ns)
{
    pmtu->next_from_ns = sb_time_add(now_ns, pmtu->pause_ns);
    pmtu->pause_ns = SB_MIN(2 * pmtu->pause_ns, PAUSE_NS_MAX);
}

bool sp_pmtu_on_acked(struct sp_pmtu *pmtu, size_t size)
{
    if (pmtu->state != SP_PMTU_PROBING || size != pmtu->probe_size)
        return false; /* of an earlier attempt */
    pmtu->size = pmtu->probe_size;
    advance(pmtu, SP_PMTU_ON_ACKED);
    return true;
}

/* Returns the next smaller size to try, or 0. */
static uint32_t next_size(const struct sp_pmtu *pmtu)
{
    bool is_between = SP_PMTU_SIZE_COMMON < pmtu->probe_size && SP_PMTU_SIZE_COMMON > pmtu->size;
    return is_between ? SP_PMTU_SIZE_COMMON : 0;
}

/* The path does not take `probe_size`. */
static void fail(struct sp_pmtu *pmtu, uint64_t now_ns)
{
    uint32_t size = next_size(pmtu);
    if (size != 0) {
        pmtu->probe_size = size;
        pmtu->probe_count = 0;
        advance(pmtu, SP_PMTU_ON_FAILED);
        return;
    }
    pause_from(pmtu, now_ns);
    bool is_base = pmtu->size == SP_DATAGRAM_SIZE_MIN;
    advance(pmtu, is_base ? SP_PMTU_ON_GIVEN_UP : SP_PMTU_ON_KEPT);
}

void sp_pmtu_on_lost(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns)
{
    if (pmtu->state != SP_PMTU_PROBING || size != pmtu->probe_size)
        return;
    if (++pmtu->probe_count < PROBES_PER_SIZE)
        advance(pmtu, SP_PMTU_ON_FAILED);
    else
        fail(pmtu, now_ns);
}

bool sp_pmtu_on_too_large(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns)
{
    bool is_probing = pmtu->state == SP_PMTU_DUE || pmtu->state == SP_PMTU_PROBING;
    if (is_probing && size == pmtu->probe_size) {
        fail(pmtu, now_ns);
        return false;
    }
    return size <= pmtu->size && sp_pmtu_on_hole(pmtu, now_ns);
}

bool sp_pmtu_on_hole(struct sp_pmtu *pmtu, uint64_t now_ns)
{
    if (pmtu->size == SP_DATAGRAM_SIZE_MIN)
        return false;
    pmtu->size = SP_DATAGRAM_SIZE_MIN;
    pause_from(pmtu, now_ns);
    advance(pmtu, SP_PMTU_ON_HOLE);
    return true;
}
