/* SPDX-License-Identifier: MIT */
#include "engine/pool/breaker.h"

/* The machine has three states and three events.  Results of work that began before the breaker
 * opened still arrive while it is OPEN: they say nothing new, and change nothing.  In HALF_OPEN
 * they count, because nobody can tell them from those of trials. */

#include "engine/pool/backoff.h"
#include "proto/base/assert.h"
#include "proto/base/time.h"

enum event {
    EVENT_TRIP,    /* too many failures: of work, or of one trial */
    EVENT_TIME,    /* until_ns has come */
    EVENT_RECOVER, /* enough trials have succeeded */
    EVENT_COUNT,
};

enum { IMPOSSIBLE = -1 };

static const int next[][EVENT_COUNT] = {
    [SE_BREAKER_CLOSED] = {SE_BREAKER_OPEN, IMPOSSIBLE, IMPOSSIBLE},
    [SE_BREAKER_OPEN] = {IMPOSSIBLE, SE_BREAKER_HALF_OPEN, IMPOSSIBLE},
    [SE_BREAKER_HALF_OPEN] = {SE_BREAKER_OPEN, SE_BREAKER_HALF_OPEN, SE_BREAKER_CLOSED},
};

static void advance(struct se_breaker *breaker, enum event event)
{
    int state = next[breaker->state][event];
    SB_ASSERT(state != IMPOSSIBLE);
    breaker->state = (enum se_breaker_state)state;
    breaker->failures = 0;
    breaker->trials = 0;
    if (breaker->state != SE_BREAKER_HALF_OPEN)
        breaker->successes = 0;
}

void se_breaker_init(struct se_breaker *breaker, const struct se_breaker_config *config)
{
    SB_ASSERT(config->failures_max > 0 && config->trials_max > 0 && config->successes_min > 0);
    SB_ASSERT(config->open_ns <= config->open_ns_max);
    *breaker = (struct se_breaker){.config = config, .until_ns = SB_NEVER};
}

bool se_breaker_run(struct se_breaker *breaker, uint64_t now_ns)
{
    enum se_breaker_state before = breaker->state;
    if (before == SE_BREAKER_CLOSED || now_ns < breaker->until_ns)
        return false;
    advance(breaker, EVENT_TIME);
    breaker->until_ns = sb_time_add(now_ns, breaker->config->open_ns);
    return breaker->state != before;
}

uint64_t se_breaker_next_ns(const struct se_breaker *breaker)
{
    return breaker->state == SE_BREAKER_CLOSED ? SB_NEVER : breaker->until_ns;
}

bool se_breaker_allows(const struct se_breaker *breaker)
{
    return breaker->state == SE_BREAKER_CLOSED || (breaker->state == SE_BREAKER_HALF_OPEN &&
                                                   breaker->trials < breaker->config->trials_max);
}

void se_breaker_begin(struct se_breaker *breaker)
{
    SB_ASSERT(se_breaker_allows(breaker));
    if (breaker->state == SE_BREAKER_HALF_OPEN)
        breaker->trials++;
}

bool se_breaker_succeed(struct se_breaker *breaker)
{
    breaker->failures = 0;
    if (breaker->state == SE_BREAKER_CLOSED)
        breaker->streak = 0;
    if (breaker->state != SE_BREAKER_HALF_OPEN)
        return false;
    breaker->trials -= breaker->trials > 0;
    if (++breaker->successes < breaker->config->successes_min)
        return false;
    advance(breaker, EVENT_RECOVER);
    breaker->until_ns = SB_NEVER;
    return true;
}

/* Returns how long to stay OPEN. */
static uint64_t open_ns(const struct se_breaker *breaker, uint64_t random)
{
    const struct se_backoff pause = {
        .base_ns = breaker->config->open_ns,
        .max_ns = breaker->config->open_ns_max,
        .failures = breaker->streak,
    };
    uint64_t bound_ns = se_backoff_bound_ns(&pause);
    return sb_time_add(bound_ns, se_backoff_scale(random, bound_ns / 2));
}

bool se_breaker_fail(struct se_breaker *breaker, uint64_t now_ns, uint64_t random)
{
    if (breaker->state == SE_BREAKER_OPEN)
        return false;
    if (breaker->state == SE_BREAKER_CLOSED && ++breaker->failures < breaker->config->failures_max)
        return false;
    advance(breaker, EVENT_TRIP);
    breaker->openings++;
    breaker->until_ns = sb_time_add(now_ns, open_ns(breaker, random));
    if (breaker->streak < UINT32_MAX)
        breaker->streak++;
    return true;
}
