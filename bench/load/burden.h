/* SPDX-License-Identifier: MIT */
#ifndef LOAD_BURDEN_H
#define LOAD_BURDEN_H

#include <stdint.h>

struct spate_shard;

/* A slowdown on purpose (--burden), to try with what a comparison finds: after each turn a shard's
 * thread wastes a share of the CPU time that it has worked; spinning in waits is no work.  Zero
 * wastes nothing. */
struct burden {
    double percent;
    uint64_t cpu_ns; /* of the thread, when it was looked at last; 0: not yet */
    uint64_t spun_ns;
};

/* Call after each turn, on the shard's thread. */
void burden_bear(struct burden *burden, struct spate_shard *shard);

#endif
