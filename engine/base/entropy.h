/* SPDX-License-Identifier: MIT */
#ifndef SE_ENTROPY_H
#define SE_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* Unpredictable bytes, fetched from the kernel in blocks: a system call for each CID would
 * reduce the handshake rate.  Used bytes are wiped.  One per shard, for its thread. */
struct se_entropy {
    uint32_t left; /* of block: the unused bytes are its last ones */
    uint8_t block[1024];
};

/* 0 or -errno of the kernel's generator.  Threads: any, before the shard runs. */
SB_MUST_USE int se_entropy_init(struct se_entropy *entropy);

/* Wipes what is left. */
void se_entropy_deinit(struct se_entropy *entropy);

/* Fills `out`.  Cannot fail: after a first success it does not.  Threads: shard. */
void se_entropy_fill(struct se_entropy *entropy, void *out, size_t size);

#endif
