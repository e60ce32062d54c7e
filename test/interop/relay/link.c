/* SPDX-License-Identifier: MIT */
#include "test/interop/relay/link.h"

enum { ECN_CE = 3, ECN_MASK = 3 };

#define WHOLE    UINT32_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* xorshift64* */
static uint64_t draw(struct link *link)
{
    link->random ^= link->random >> 12;
    link->random ^= link->random << 25;
    link->random ^= link->random >> 27;
    return link->random * UINT64_C(2685821657736338717);
}

static bool chance(struct link *link, uint32_t share)
{
    return share > 0 && (draw(link) >> 32) % WHOLE < share;
}

void link_init(struct link *link, const struct link_config *config, uint64_t seed,
               uint64_t start_ns)
{
    *link = (struct link){
        .config = *config,
        .random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1,
        .start_ns = start_ns,
        .busy_until_ns = start_ns,
    };
}

static bool is_listed(const uint64_t *list, uint32_t count, uint64_t number)
{
    for (uint32_t i = 0; i < count && list[i] <= number; i++) {
        if (list[i] == number)
            return true;
    }
    return false;
}

static bool is_out(const struct link *link, uint64_t now_ns)
{
    const struct link_config *c = &link->config;
    uint64_t since_ns = now_ns - link->start_ns;
    if (c->outage_length_ns == 0 || since_ns < c->outage_ns)
        return false;
    since_ns -= c->outage_ns;
    if (c->outage_period_ns != 0)
        since_ns %= c->outage_period_ns;
    return since_ns < c->outage_length_ns;
}

static bool is_lost(struct link *link, uint64_t now_ns)
{
    const struct link_config *c = &link->config;
    uint64_t number = link->counts.seen;
    /* Each draw is made in any case, so that one fault does not move the others. */
    bool is_unlucky = chance(link, c->loss_share);
    return is_unlucky || number <= c->first || (c->every != 0 && number % c->every == 0) ||
           is_listed(c->drop, c->drop_count, number) || is_out(link, now_ns);
}

/* The time that bytes need at the link's rate, without overflow for any size of a datagram. */
static uint64_t time_for(const struct link *link, uint64_t bytes)
{
    return bytes * 8 * NS_PER_S / link->config.bits_per_s;
}

/* Bytes that are in the queue. */
static uint64_t backlog(const struct link *link, uint64_t now_ns)
{
    if (link->config.bits_per_s == 0 || link->busy_until_ns <= now_ns)
        return 0;
    double ns = (double)(link->busy_until_ns - now_ns);
    return (uint64_t)(ns * (double)link->config.bits_per_s / 8e9);
}

static uint8_t mark(struct link *link, uint8_t ecn, uint64_t queued_bytes)
{
    const struct link_config *c = &link->config;
    bool is_marked =
        chance(link, c->ce_share) || (c->ce_queue_bytes != 0 && queued_bytes > c->ce_queue_bytes);
    ecn &= ECN_MASK;
    if (c->clears_ecn)
        return 0;
    if (!is_marked || ecn == 0 || ecn == ECN_CE)
        return ecn;
    link->counts.marked++;
    return ECN_CE;
}

/* When the datagram arrives, at the earliest. */
static uint64_t arrival(struct link *link, uint64_t now_ns, size_t size)
{
    const struct link_config *c = &link->config;
    uint64_t due_ns = now_ns;
    if (c->bits_per_s != 0) {
        uint64_t begin_ns = link->busy_until_ns > now_ns ? link->busy_until_ns : now_ns;
        link->busy_until_ns = begin_ns + time_for(link, size);
        due_ns = link->busy_until_ns;
    }
    due_ns += c->delay_ns;
    if (c->jitter_ns != 0)
        due_ns += draw(link) % (c->jitter_ns + 1);
    if (chance(link, c->reorder_share)) {
        due_ns += c->reorder_ns;
        link->counts.reordered++;
    }
    return due_ns;
}

struct link_verdict link_pass(struct link *link, uint64_t now_ns, size_t size, uint8_t ecn)
{
    const struct link_config *c = &link->config;
    struct link_verdict verdict = {.is_dropped = true, .ecn = ecn};
    link->counts.seen++;
    link->counts.bytes += size;
    if (is_lost(link, now_ns)) {
        link->counts.lost++;
        return verdict;
    }
    if (c->size_max != 0 && size > c->size_max) {
        link->counts.oversized++;
        return verdict;
    }
    uint64_t queued_bytes = backlog(link, now_ns);
    if (c->queue_bytes != 0 && queued_bytes + size > c->queue_bytes) {
        link->counts.overflowed++;
        return verdict;
    }
    verdict.is_dropped = false;
    verdict.ecn = mark(link, ecn, queued_bytes);
    verdict.due_ns = arrival(link, now_ns, size);
    verdict.is_corrupted = chance(link, c->corrupt_share) ||
                           is_listed(c->corrupt, c->corrupt_count, link->counts.seen);
    if (verdict.is_corrupted) {
        verdict.corrupt_at = (size_t)((draw(link) >> 16) % size);
        verdict.corrupt_with = (uint8_t)(1 + (draw(link) >> 32) % 255);
        link->counts.corrupted++;
    }
    verdict.is_duplicated = chance(link, c->duplicate_share);
    link->counts.duplicated += verdict.is_duplicated;
    return verdict;
}
