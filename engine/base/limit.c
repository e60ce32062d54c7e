/* SPDX-License-Identifier: MIT */
#include "engine/base/limit.h"

/* The bucket is a pacer of proto/: 128-bit products, no rounding to 0, and one number of state.  It
 * opens for half a burst, so that one wake of the shard serves many connections.
 *
 * The engine's bucket is the time at which what was borrowed so far is due, in one word that shards
 * move forward with compare-and-exchange.  There is no lock: a shard that fails knows that another
 * has succeeded.
 *
 * Which shard borrows next must not depend on which one wakes first, or connections of a slow shard
 * starve.  So each shard keeps a second time: when what it has borrowed is due at its share of the
 * rate, in proportion to the connections that wait in it.  It does not borrow before that while
 * others wait.  The idea is that of virtual clocks (L. Zhang, SIGCOMM 1990), with weights that
 * follow who waits, so that what one shard does not need is the others' at once. */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/limits.h"
#include "proto/wire/quic.h"

#define TRAIN_COUNT_MIN 2

/* The engine's bucket: what is not borrowed for this long is lost, or for the time of ten datagrams
 * or of two rounds of borrowing if one is longer.  A shard waits for its share and a quarter of
 * this time: all may do so at once, and nothing is lost meanwhile. */
#define ENGINE_BURST_NS     (2 * SB_MS)
#define ENGINE_BURST_BYTES  (10 * SP_DATAGRAM_SIZE_MIN)
#define ENGINE_BURST_ROUNDS 2

/* A shard borrows a quarter of a millisecond of its share, at least two datagrams, at most a train:
 * enough that few trains have to borrow, and little enough that shards take turns. */
#define BORROW_NS        (250 * SB_US)
#define BORROW_BYTES_MIN (2 * SP_DATAGRAM_SIZE_MIN)
#define BORROW_BYTES_MAX (64 * 1024)

/* What can be due when the rate is changed: a round of all shards.  Keeps products in 64 bits. */
#define DUE_BYTES_MAX UINT32_MAX

/* Another shard has borrowed at the moment: once for each shard, at most.  Also how often one
 * borrows to repay what a train has overdrawn: less than that times BORROW_BYTES_MIN. */
#define BORROW_TRIES 64

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* Bytes are at most DUE_BYTES_MAX. */
static uint64_t time_for(uint64_t bytes, uint64_t bytes_per_s)
{
    return bytes * SB_S / bytes_per_s;
}

/* `round_bytes`: what is borrowed from one turn of a shard to its next. */
static uint64_t burst_ns_of(uint64_t rate, uint64_t round_bytes)
{
    uint64_t bytes = SB_MAX((uint64_t)ENGINE_BURST_BYTES, ENGINE_BURST_ROUNDS * round_bytes);
    return SB_MAX(ENGINE_BURST_NS, time_for(bytes, rate));
}

/* Returns the time that `time_ns` at one rate takes at another, for `bytes_max` at most. */
static uint64_t convert(uint64_t time_ns, uint64_t before, uint64_t after, uint64_t bytes_max)
{
    unsigned __int128 bytes = (unsigned __int128)time_ns * before / SB_S;
    return time_for((uint64_t)SB_MIN(bytes, (unsigned __int128)bytes_max), after);
}

/* Returns `at_ns`, when something is due at rate `before`, for another rate: what is due stays the
 * same bytes, and so does what was not borrowed yet. */
static uint64_t at_rate(uint64_t at_ns, uint64_t before, uint64_t after, uint64_t now_ns)
{
    if (at_ns > now_ns)
        return now_ns + convert(at_ns - now_ns, before, after, DUE_BYTES_MAX);
    return sb_time_since(now_ns, convert(now_ns - at_ns, before, after, DUE_BYTES_MAX));
}

void se_engine_limit_set(struct se_engine_limit *limit, uint64_t bytes_per_s, uint64_t now_ns)
{
    uint64_t before = load(&limit->bytes_per_s), next_ns = load(&limit->next_ns);
    next_ns =
        before == 0 || bytes_per_s == 0 ? now_ns : at_rate(next_ns, before, bytes_per_s, now_ns);
    atomic_store_explicit(&limit->next_ns, next_ns, memory_order_relaxed);
    atomic_store_explicit(&limit->bytes_per_s, bytes_per_s, memory_order_relaxed);
}

void se_engine_limit_begin(struct se_engine_limit *limit)
{
    atomic_store_explicit(&limit->next_ns, 0, memory_order_relaxed);
}

void se_limit_init(struct se_limit *limit, struct se_engine_limit *engine)
{
    *limit = (struct se_limit){.engine = engine};
    sp_pacer_init(&limit->bucket);
    sb_list_init(&limit->line);
}

void se_limit_set(struct se_limit *limit, uint64_t bytes_per_s, uint64_t now_ns)
{
    struct sp_pace pace = {0};
    if (bytes_per_s != 0)
        sp_pace_limit(&pace, bytes_per_s, SP_DATAGRAM_SIZE_MIN);
    sp_pacer_set(&limit->bucket, pace, now_ns);
}

/* ---- The line ---- */

void se_limit_join(struct se_limit *limit, struct sb_link *link)
{
    sb_list_push_back(&limit->line, link);
    limit->line_count++;
}

void se_limit_rejoin(struct se_limit *limit, struct sb_link *link)
{
    sb_list_push_front(&limit->line, link);
    limit->line_count++;
}

struct sb_link *se_limit_pop(struct se_limit *limit)
{
    struct sb_link *link = sb_list_pop_front(&limit->line);
    SB_ASSERT((link == NULL) == (limit->line_count == 0));
    limit->line_count -= link != NULL;
    return link;
}

void se_limit_leave(struct se_limit *limit, struct sb_link *link)
{
    if (!sb_link_is_in(link))
        return;
    SB_ASSERT(limit->line_count > 0);
    sb_list_remove(link);
    limit->line_count--;
    se_limit_announce(limit);
}

void se_limit_announce(struct se_limit *limit)
{
    uint32_t count = load(&limit->engine->bytes_per_s) != 0 ? limit->line_count : 0;
    if (SB_LIKELY(count == limit->announced_count))
        return;
    (void)atomic_fetch_add_explicit(&limit->engine->waiting_count, count - limit->announced_count,
                                    memory_order_relaxed); /* modulo 2^32 */
    limit->announced_count = count;
}

void se_limit_clear(struct se_limit *limit)
{
    while (se_limit_pop(limit) != NULL)
        continue;
    se_limit_announce(limit);
}

/* ---- Borrowing ---- */

/* Borrows some bytes.  Returns false, and when to try again, if none are due. */
static bool borrow(struct se_limit *limit, uint64_t rate, uint64_t now_ns)
{
    struct se_engine_limit *engine = limit->engine;
    uint64_t all = atomic_load_explicit(&engine->waiting_count, memory_order_relaxed);
    uint64_t own = SB_MAX(limit->announced_count, 1);
    if (SB_UNLIKELY(limit->share_rate != rate)) {
        if (limit->share_rate != 0)
            limit->share_ns = at_rate(limit->share_ns, limit->share_rate, rate, now_ns);
        limit->share_rate = rate;
    }
    all = SB_MAX(all, own);
    uint64_t bytes = rate / (SB_S / BORROW_NS) * own / all;
    bytes = SB_MIN(SB_MAX(bytes, (uint64_t)BORROW_BYTES_MIN), (uint64_t)BORROW_BYTES_MAX);
    uint64_t burst_ns = burst_ns_of(rate, bytes * all / own);
    uint64_t oldest_ns = sb_time_since(now_ns, burst_ns);
    uint64_t share_ns = SB_MAX(limit->share_ns, oldest_ns);
    if (all > own && share_ns > now_ns) {
        limit->engine_at_ns = share_ns + burst_ns / 4; /* a wake is worth some trains */
        return false;
    }
    uint64_t seen_ns = load(&engine->next_ns);
    for (uint32_t i = 0; i < BORROW_TRIES; i++) {
        uint64_t from_ns = SB_MAX(seen_ns, oldest_ns);
        if (from_ns > now_ns) {
            limit->engine_at_ns = from_ns + burst_ns / 4;
            return false;
        }
        uint64_t took_ns = time_for(bytes, rate);
        if (atomic_compare_exchange_weak_explicit(&engine->next_ns, &seen_ns, from_ns + took_ns,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            limit->share_ns = share_ns + took_ns * all / own; /* 2^37 * 2^26 */
            limit->borrowed_bytes += (int64_t)bytes;
            return true;
        }
    }
    limit->engine_at_ns = now_ns; /* at once, in the next turn */
    return false;
}

bool se_limit_is_open(struct se_limit *limit, uint64_t now_ns)
{
    if (!sp_pacer_is_open(&limit->bucket, now_ns))
        return false;
    uint64_t rate = load(&limit->engine->bytes_per_s);
    if (rate != 0)
        se_limit_announce(limit);
    for (uint32_t i = 0; rate != 0 && limit->borrowed_bytes <= 0 && i < BORROW_TRIES; i++)
        if (!borrow(limit, rate, now_ns))
            return false;
    return true;
}

uint32_t se_limit_train_count(const struct se_limit *limit)
{
    uint64_t rate = limit->bucket.rate_bytes_per_s, of_engine = load(&limit->engine->bytes_per_s);
    if (rate == 0 || (of_engine != 0 && of_engine < rate))
        rate = of_engine;
    uint64_t count = rate / (SB_S / SB_MS) / SP_DATAGRAM_SIZE_MIN;
    return (uint32_t)SB_MIN(SB_MAX(count, TRAIN_COUNT_MIN), (uint64_t)SP_TRAIN_COUNT_MAX);
}

void se_limit_on_sent(struct se_limit *limit, uint64_t bytes, uint64_t now_ns)
{
    sp_pacer_on_sent(&limit->bucket, bytes, now_ns);
    if (load(&limit->engine->bytes_per_s) != 0)
        limit->borrowed_bytes -= (int64_t)bytes;
    else
        limit->borrowed_bytes = 0;
}

uint64_t se_limit_wake_ns(const struct se_limit *limit)
{
    if (sb_list_is_empty(&limit->line))
        return SB_NEVER;
    uint64_t at_ns = sp_pacer_wake_at_ns(&limit->bucket);
    bool is_waiting = load(&limit->engine->bytes_per_s) != 0 && limit->borrowed_bytes <= 0;
    return is_waiting ? SB_MAX(at_ns, limit->engine_at_ns) : at_ns;
}
