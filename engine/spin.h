/* SPDX-License-Identifier: MIT */
#ifndef SE_SPIN_H
#define SE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* How long a shard spins before it sleeps.
 *
 * Spinning is worth its CPU where the news comes before the window is over, and lost where it does
 * not.  So the window follows what waits have been like: it doubles whenever news came within
 * the limit, slept for or not, and halves whenever a wait was longer, down to no spinning at
 * all, from where the next short wait brings it back.  A busy shard spins, an idle one sleeps, and
 * each change of mind costs a handful of waits.
 *
 *     window_ns == 0  or  limit_ns / SE_SPIN_STEPS <= window_ns <= limit_ns */

#define SE_SPIN_STEPS 16

struct se_spin {
    uint64_t limit_ns;  /* 0: never spins; SB_NEVER: never sleeps */
    uint64_t window_ns; /* for the next wait */
};

void se_spin_init(struct se_spin *spin, uint64_t limit_ns);

/* A wait that was allowed to go on is over after `waited_ns`, with news or without. */
void se_spin_learn(struct se_spin *spin, uint64_t waited_ns, bool has_news);

#endif
