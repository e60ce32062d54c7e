/* SPDX-License-Identifier: MIT */
#include "proto/path/pmtu.h"

/* The size of datagrams that the path has proved to take: one machine, which size it tries next,
 * and how long it pauses.  It is never below 1,200 bytes.  [RFC9000 14]
 *
 * What can be attacked: whoever drops large datagrams of a path can keep it at 1,200 bytes.  He
 * could drop all of them as well.  If he lets probes pass and drops what follows, each fallback
 * costs a few packets and a round trip, and comes after twice the pause of the one before.  A peer
 * that acknowledges probes which it never got makes us send datagrams that get lost: up to the size
 * that it and we allow, until SP_PMTU_HOLE_LOSSES of them are.  ICMP is not listened to. */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/quic.h"

/* [RFC8899 5.1.2] MAX_PROBES: so many in a row are hardly lost by chance. */
#define PROBES_PER_SIZE 3

/* Between two searches.  The longest is PMTU_RAISE_TIMER of [RFC8899 5.1.1].  A size that was in
 * use for so long makes earlier holes forgotten. */
#define PAUSE_NS_MIN        SB_S
#define PAUSE_NS_MAX        (600 * SB_S)
#define PAUSE_DOUBLINGS_MAX 10

/* The search ends when it would gain less than this share of the size. */
#define SEARCH_SHARE 128

/* MTUs of usual links, rising: the least that IPv6 allows; tunnels; WireGuard; VXLAN; PPPoE;
 * Ethernet; jumbo frames; loopback. */
#define ETHERNET_MTU 1500
static const uint32_t usual_mtus[] = {1280, 1400, 1420, 1450, 1492, ETHERNET_MTU, 9000, 65536};

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
        .limit = SP_DATAGRAM_SIZE_MIN + 1,
        .overhead = SP_PMTU_OVERHEAD_V6,
        .next_from_ns = SB_NEVER,
    };
}

void sp_pmtu_prepare(struct sp_pmtu *pmtu, size_t size_max, size_t overhead, uint64_t now_ns)
{
    SB_ASSERT(pmtu->state == SP_PMTU_BASE && size_max >= SP_DATAGRAM_SIZE_MIN);
    SB_ASSERT(overhead == SP_PMTU_OVERHEAD_V4 || overhead == SP_PMTU_OVERHEAD_V6);
    pmtu->size_max = (uint32_t)SB_MIN(size_max, (size_t)SP_UDP_PAYLOAD_SIZE_MAX);
    pmtu->limit = pmtu->size_max + 1;
    pmtu->overhead = (uint8_t)overhead;
    pmtu->changed_ns = now_ns;
    if (pmtu->size_max == pmtu->size)
        return;
    pmtu->next_from_ns = now_ns;
    pmtu->is_wanted = true;
    pmtu->is_prepared = true;
}

void sp_pmtu_start(struct sp_pmtu *pmtu, size_t size_max, size_t overhead, uint64_t now_ns)
{
    sp_pmtu_prepare(pmtu, size_max, overhead, now_ns);
    if (pmtu->is_prepared)
        sp_pmtu_on_time(pmtu);
}

/* ---- The search ---- */

/* Returns the size after `size` that is worth a probe. */
static uint32_t size_above(const struct sp_pmtu *pmtu)
{
    return SB_MIN(pmtu->size + pmtu->size / SEARCH_SHARE + 1, pmtu->size_max);
}

static uint32_t usual_size(const struct sp_pmtu *pmtu, size_t i)
{
    return usual_mtus[i] - pmtu->overhead;
}

static bool is_usual(const struct sp_pmtu *pmtu)
{
    for (size_t i = 0; i < SB_COUNT(usual_mtus); i++)
        if (pmtu->size == usual_size(pmtu, i))
            return true;
    return false;
}

/* Returns the smallest usual size that has not been decided, or 0.  The largest allowed size is a
 * usual one: someone has chosen it. */
static uint32_t next_usual(const struct sp_pmtu *pmtu)
{
    for (size_t i = 0; i < SB_COUNT(usual_mtus); i++) {
        uint32_t size = SB_MIN(usual_size(pmtu, i), pmtu->size_max);
        if (size > pmtu->size)
            return size < pmtu->limit ? size : 0;
    }
    return pmtu->size < pmtu->size_max && pmtu->size_max < pmtu->limit ? pmtu->size_max : 0;
}

static bool is_found(const struct sp_pmtu *pmtu)
{
    return pmtu->limit <= pmtu->size + pmtu->size / SEARCH_SHARE + 1 &&
           (pmtu->limit <= pmtu->size_max || pmtu->size == pmtu->size_max);
}

/* Returns the size to try next.  The search is not over. */
static uint32_t next_size(const struct sp_pmtu *pmtu)
{
    SB_ASSERT(!is_found(pmtu));
    uint32_t first = SB_MIN((uint32_t)ETHERNET_MTU - pmtu->overhead, pmtu->size_max);
    if (pmtu->is_raising)
        return size_above(pmtu);
    if (pmtu->size < first && first < pmtu->limit)
        return first;
    uint32_t usual = next_usual(pmtu);
    if (is_usual(pmtu) && (usual == 0 || pmtu->size >= first))
        return size_above(pmtu);
    return usual != 0 ? usual : pmtu->size + (pmtu->limit - pmtu->size) / 2;
}

static uint64_t pause_ns(uint32_t doublings)
{
    uint64_t pause_ns = PAUSE_NS_MIN << SB_MIN(doublings, (uint32_t)PAUSE_DOUBLINGS_MAX);
    return SB_MIN(pause_ns, PAUSE_NS_MAX);
}

/* A size was decided: finds out when the next probe is due. */
static void decide_next(struct sp_pmtu *pmtu, uint64_t now_ns)
{
    if (!is_found(pmtu)) {
        pmtu->next_from_ns = now_ns;
        return;
    }
    if (pmtu->size == pmtu->size_max) {
        pmtu->next_from_ns = SB_NEVER;
        return;
    }
    pmtu->next_from_ns = sb_time_add(now_ns, pause_ns(pmtu->raise_count));
    if (pmtu->raise_count < PAUSE_DOUBLINGS_MAX)
        pmtu->raise_count++;
    pmtu->limit = pmtu->size_max + 1;
    pmtu->is_raising = true;
}

static void begin_size(struct sp_pmtu *pmtu, uint32_t size, uint32_t lost_count)
{
    SB_ASSERT(size > pmtu->size && size < pmtu->limit);
    pmtu->probe_size = size;
    pmtu->probe_count = (uint8_t)lost_count;
    pmtu->is_raising = false;
    pmtu->is_wanted = false;
    pmtu->is_prepared = false;
    pmtu->next_from_ns = SB_NEVER;
}

void sp_pmtu_on_time(struct sp_pmtu *pmtu)
{
    SB_ASSERT(pmtu->next_from_ns != SB_NEVER);
    /* What looked like a hole may have been an outage: one probe says more than a search. */
    if (pmtu->state == SP_PMTU_HOLE && pmtu->probe_size != 0)
        begin_size(pmtu, pmtu->probe_size, PROBES_PER_SIZE - 1);
    else
        begin_size(pmtu, next_size(pmtu), 0);
    advance(pmtu, SP_PMTU_ON_START);
}

void sp_pmtu_on_sent(struct sp_pmtu *pmtu)
{
    advance(pmtu, SP_PMTU_ON_SENT);
}

bool sp_pmtu_on_acked(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns)
{
    if (pmtu->state != SP_PMTU_PROBING || size != pmtu->probe_size)
        return false; /* of an earlier attempt */
    pmtu->size = pmtu->probe_size;
    pmtu->changed_ns = now_ns;
    pmtu->raise_count = 0;
    decide_next(pmtu, now_ns);
    advance(pmtu, SP_PMTU_ON_ACKED);
    return true;
}

/* The path does not take `probe_size`.  `is_certain`: no round trip was needed to know, so the next
 * probe follows at once. */
static void fail(struct sp_pmtu *pmtu, bool is_certain, uint64_t now_ns)
{
    pmtu->limit = pmtu->probe_size;
    decide_next(pmtu, now_ns);
    if (is_certain && pmtu->next_from_ns == now_ns) {
        begin_size(pmtu, next_size(pmtu), 0);
        advance(pmtu, SP_PMTU_ON_FAILED);
        return;
    }
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
        fail(pmtu, false, now_ns);
}

/* ---- Holes ---- */

/* Falls back to 1,200 bytes.  The next search stays below `limit`; where that leaves nothing to
 * search, it is a later one without that limit. */
static void fall_back(struct sp_pmtu *pmtu, uint32_t limit, uint64_t now_ns)
{
    if (sb_time_since(now_ns, pmtu->changed_ns) >= PAUSE_NS_MAX)
        pmtu->hole_count = 0;
    uint64_t wait_ns = pmtu->hole_count == 0 ? 0 : pause_ns(pmtu->hole_count - 1u);
    if (pmtu->hole_count <= PAUSE_DOUBLINGS_MAX)
        pmtu->hole_count++;
    pmtu->size = SP_DATAGRAM_SIZE_MIN;
    pmtu->limit = limit;
    pmtu->changed_ns = now_ns;
    pmtu->raise_count = 0;
    pmtu->is_raising = false;
    pmtu->is_wanted = true;
    decide_next(pmtu, now_ns);
    pmtu->next_from_ns = SB_MAX(pmtu->next_from_ns, sb_time_add(now_ns, wait_ns));
    advance(pmtu, SP_PMTU_ON_HOLE);
}

bool sp_pmtu_on_too_large(struct sp_pmtu *pmtu, size_t size, uint64_t now_ns)
{
    bool is_probing = pmtu->state == SP_PMTU_DUE || pmtu->state == SP_PMTU_PROBING;
    if (is_probing && size == pmtu->probe_size) {
        fail(pmtu, true, now_ns);
        return false;
    }
    if (size > pmtu->size || size <= SP_DATAGRAM_SIZE_MIN)
        return false;
    fall_back(pmtu, (uint32_t)size, now_ns);
    pmtu->probe_size = 0;
    return true;
}

bool sp_pmtu_on_hole(struct sp_pmtu *pmtu, uint64_t now_ns)
{
    uint32_t size = pmtu->size;
    if (size == SP_DATAGRAM_SIZE_MIN)
        return false;
    fall_back(pmtu, pmtu->size_max + 1, now_ns);
    pmtu->probe_size = size;
    return true;
}
