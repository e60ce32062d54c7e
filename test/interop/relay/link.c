/* SPDX-License-Identifier: MIT */
#include "test/interop/relay/link.h"

enum { ECN_CE = 3, ECN_MASK = 3 };

#define WHOLE UINT32_C(1000000)

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
        .policer_tokens = (double)config->policer_bytes,
        .policer_at_ns = start_ns,
    };
    link_queue_init(&link->queue, start_ns);
    spate_histogram_init(&link->waits);
    if (config->queue_bdp_share != 0)
        link->config.queue_bytes =
            (uint64_t)((double)config->rate.bits_per_s / 8e9 * (double)config->rtt_ns *
                       (double)config->queue_bdp_share / (double)WHOLE);
}

void link_deinit(struct link *link)
{
    link_queue_deinit(&link->queue);
}

bool link_spreads(const struct link_config *config)
{
    return link_rate_is_limited(&config->rate) || config->jitter_ns != 0;
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

/* [Gilbert 1960, Elliott 1963] */
static bool is_lost_in_burst(struct link *link)
{
    const struct link_config *c = &link->config;
    if (c->bad_begin_share == 0)
        return false;
    link->is_bad =
        link->is_bad ? !chance(link, c->bad_end_share) : chance(link, c->bad_begin_share);
    return link->is_bad && chance(link, c->bad_loss_share);
}

static bool is_lost(struct link *link, bool is_spared, uint64_t now_ns)
{
    const struct link_config *c = &link->config;
    uint64_t number = link->counts.seen;
    /* Each draw is made in any case, so that one fault does not move the others. */
    bool is_unlucky = chance(link, c->loss_share) && !is_spared;
    bool is_in_burst = is_lost_in_burst(link);
    return is_unlucky || is_in_burst || number <= c->first ||
           (c->every != 0 && number % c->every == 0) || is_listed(c->drop, c->drop_count, number) ||
           is_out(link, now_ns);
}

/* Takes the tokens of the datagram.  Returns true if there are not enough: it is dropped. */
static bool is_policed(struct link *link, uint64_t now_ns, size_t size)
{
    const struct link_config *c = &link->config;
    if (c->policer_bits_per_s == 0)
        return false;
    link->policer_tokens +=
        (double)(now_ns - link->policer_at_ns) * (double)c->policer_bits_per_s / 8e9;
    link->policer_at_ns = now_ns;
    if (link->policer_tokens > (double)c->policer_bytes)
        link->policer_tokens = (double)c->policer_bytes;
    if (link->policer_tokens < (double)size)
        return true;
    link->policer_tokens -= (double)size;
    return false;
}

/* Returns whether there is no place for the datagram in the queue. */
static bool is_queue_full(const struct link *link, size_t size)
{
    const struct link_config *c = &link->config;
    return (c->queue_bytes != 0 && link->queue.bytes + size > c->queue_bytes) ||
           (c->queue_packets != 0 && link->queue.count >= c->queue_packets);
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

static bool is_late(struct link *link)
{
    const struct link_config *c = &link->config;
    bool is_unlucky = chance(link, c->reorder_share);
    return is_unlucky || (c->reorder_every != 0 && link->counts.seen % c->reorder_every == 0);
}

/* Returns when the datagram arrives that leaves the queue at `due_ns`. */
static uint64_t arrival(struct link *link, uint64_t due_ns)
{
    const struct link_config *c = &link->config;
    due_ns += c->delay_ns;
    if (c->jitter_ns != 0)
        due_ns += draw(link) % (c->jitter_ns + 1);
    if (c->keeps_order) {
        due_ns = due_ns > link->last_due_ns ? due_ns : link->last_due_ns;
        link->last_due_ns = due_ns;
    }
    if (is_late(link)) {
        due_ns += c->reorder_ns;
        link->counts.reordered++;
    }
    return due_ns;
}

/* Puts the datagram into the queue.  Returns false if it is dropped; *ret_ns is when it leaves, and
 * *ret_bytes what was before it. */
static bool pass_queue(struct link *link, uint64_t now_ns, size_t size, uint64_t *ret_ns,
                       uint64_t *ret_bytes)
{
    *ret_ns = now_ns;
    *ret_bytes = 0;
    const struct link_rate *rate = &link->config.rate;
    if (!link_rate_is_limited(rate) || link->config.has_l4s)
        return true;
    link_queue_advance(&link->queue, now_ns);
    *ret_bytes = link->queue.bytes;
    uint64_t wait_ns = link_queue_wait_ns(&link->queue, now_ns);
    if (is_queue_full(link, size) || !link_queue_add(&link->queue, rate, now_ns, size, ret_ns)) {
        link->counts.overflowed++;
        return false;
    }
    spate_histogram_record(&link->waits, wait_ns);
    return true;
}

/* Looks for the longest gap between datagrams that pass. */
static void note_gap(struct link *link, uint64_t now_ns)
{
    uint64_t gap_ns = link->passed_ns != 0 ? now_ns - link->passed_ns : 0;
    if (gap_ns > link->gap_ns) {
        link->gap_ns = gap_ns;
        link->gap_from_ns = link->passed_ns;
        link->back_ns = 0;
        link->back_left = LINK_BACK_COUNT;
    }
    if (link->back_left > 0 && --link->back_left == 0)
        link->back_ns = now_ns - link->gap_from_ns;
    link->passed_ns = now_ns;
}

struct link_verdict link_pass_flow(struct link *link, uint64_t *bad_run, uint64_t now_ns,
                                   size_t size, uint8_t ecn)
{
    const struct link_config *c = &link->config;
    struct link_verdict verdict = {.is_dropped = true, .ecn = ecn};
    link->counts.seen++;
    link->counts.bytes += size;
    bool is_spared = c->bad_run_max != 0 && *bad_run >= c->bad_run_max;
    ++*bad_run; /* unless it gets through */
    if (is_lost(link, is_spared, now_ns)) {
        link->counts.lost++;
        return verdict;
    }
    if (c->size_max != 0 && size > c->size_max) {
        link->counts.oversized++;
        return verdict;
    }
    if (is_policed(link, now_ns, size)) {
        link->counts.policed++;
        return verdict;
    }
    uint64_t queued_bytes, leaves_ns;
    if (!pass_queue(link, now_ns, size, &leaves_ns, &queued_bytes))
        return verdict;
    note_gap(link, now_ns);
    verdict.is_dropped = false;
    verdict.ecn = mark(link, ecn, queued_bytes);
    verdict.due_ns = arrival(link, leaves_ns);
    bool is_unlucky = chance(link, c->corrupt_share) && !is_spared;
    verdict.is_corrupted = is_unlucky || is_listed(c->corrupt, c->corrupt_count, link->counts.seen);
    if (!verdict.is_corrupted)
        *bad_run = 0;
    else {
        verdict.corrupt_at = (size_t)((draw(link) >> 16) % size);
        verdict.corrupt_with = (uint8_t)(1 + (draw(link) >> 32) % 255);
        link->counts.corrupted++;
    }
    verdict.is_duplicated = chance(link, c->duplicate_share);
    link->counts.duplicated += verdict.is_duplicated;
    return verdict;
}

struct link_verdict link_pass(struct link *link, uint64_t now_ns, size_t size, uint8_t ecn)
{
    return link_pass_flow(link, &link->bad_run, now_ns, size, ecn);
}
