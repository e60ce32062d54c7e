/* SPDX-License-Identifier: MIT */
#ifndef SE_BACKOFF_H
#define SE_BACKOFF_H

#include <stdint.h>

/* Pauses that double with each failure, of random length up to that: "full jitter".  Many clients
 * that lost one server do not come back at the same moments.
 *
 *     pause = uniform in 0 .. min(max_ns, base_ns * 2^failures)
 *
 * Randomness is an argument. */
struct se_backoff {
    uint64_t base_ns;
    uint64_t max_ns;   /* at least base_ns */
    uint32_t failures; /* since the last success */
};

void se_backoff_init(struct se_backoff *backoff, uint64_t base_ns, uint64_t max_ns);

/* Returns the upper bound of the next pause. */
uint64_t se_backoff_bound_ns(const struct se_backoff *backoff);

/* Counts a failure, and returns the pause after it.  `random`: 64 random bits. */
uint64_t se_backoff_fail(struct se_backoff *backoff, uint64_t random);

/* Counts a success: the next pause is a short one. */
void se_backoff_reset(struct se_backoff *backoff);

/* Returns a number in 0 .. `bound` from 64 random bits. */
uint64_t se_backoff_scale(uint64_t random, uint64_t bound);

#endif
