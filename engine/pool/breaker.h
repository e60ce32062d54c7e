/* SPDX-License-Identifier: MIT */
#ifndef SE_BREAKER_H
#define SE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* A circuit breaker for one peer: after some failures in a row nobody asks it for a while; then a
 * few trials decide.  (Nygard, "Release It!", 2007)
 *
 *     CLOSED     Work goes to the peer.          failures_max failures in a row -> OPEN
 *     OPEN       No work.                        until_ns has come              -> HALF_OPEN
 *     HALF_OPEN  Up to trials_max trials.        successes_min successes        -> CLOSED
 *                                                a failure                      -> OPEN, longer
 *
 * Time and randomness are arguments. */
enum se_breaker_state { SE_BREAKER_CLOSED, SE_BREAKER_OPEN, SE_BREAKER_HALF_OPEN };

struct se_breaker_config {
    uint32_t failures_max;  /* at least 1 */
    uint32_t trials_max;    /* at least 1 */
    uint32_t successes_min; /* at least 1 */
    uint64_t open_ns;       /* doubles each time, until a success while CLOSED */
    uint64_t open_ns_max;   /* the most that it becomes; at least open_ns */
};

/* failures < failures_max, successes < successes_min, trials <= trials_max. */
struct se_breaker {
    const struct se_breaker_config *config; /* borrowed */
    enum se_breaker_state state;
    uint32_t failures;  /* CLOSED: in a row */
    uint32_t trials;    /* HALF_OPEN: begun, without a result yet */
    uint32_t successes; /* HALF_OPEN */
    uint32_t streak;    /* times that it opened since the last success while CLOSED */
    uint64_t until_ns;  /* OPEN: its end.  HALF_OPEN: when trials without a result are given up */
    uint64_t openings;  /* total */
};

void se_breaker_init(struct se_breaker *breaker, const struct se_breaker_config *config);

/* Lets time pass: OPEN becomes HALF_OPEN, and lost trials are given up.  Returns true if the state
 * has changed. */
bool se_breaker_run(struct se_breaker *breaker, uint64_t now_ns);

/* Returns when se_breaker_run() has something to do; UINT64_MAX: never. */
uint64_t se_breaker_next_ns(const struct se_breaker *breaker);

/* Returns whether work may go to the peer now. */
bool se_breaker_allows(const struct se_breaker *breaker);

/* Counts work that begins, which se_breaker_allows() has allowed. */
void se_breaker_begin(struct se_breaker *breaker);

/* Counts a result, of a trial or of other work.  Returns true if the state has changed.  `random`:
 * 64 random bits, which lengthen the pause by up to a half. */
bool se_breaker_succeed(struct se_breaker *breaker);
bool se_breaker_fail(struct se_breaker *breaker, uint64_t now_ns, uint64_t random);

#endif
