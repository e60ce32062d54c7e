/* SPDX-License-Identifier: MIT */
#ifndef SE_SHARD_LOG_H
#define SE_SHARD_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/log.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"

struct spate_shard;

enum { SE_LOG_SUBJECTS = 17 };

/* What a shard has reported to the operator. */
struct se_shard_log {
    const struct spate_log *log; /* of the engine */
    uint64_t next_ns;            /* of the next look; SB_NEVER: nobody wants to know */
    uint64_t turn_ns;            /* longer turns are reported; SB_NEVER: none */
    uint64_t longest_ns;         /* turn since the last line about them */
    uint64_t seen[SE_LOG_SUBJECTS];
    uint64_t again_ns[SE_LOG_SUBJECTS]; /* not before */
    uint64_t overflows; /* su_socket_overflows() at the last look at drops that are not clear */
    bool has_overflows;
};

void se_shard_log_init(struct spate_shard *shard, const struct spate_log *log);

/* Compares the counters with what was reported.  At most ten times a second. */
void se_shard_log_look(struct spate_shard *shard);

/* A turn has taken `worked_ns`. */
void se_shard_log_turn(struct spate_shard *shard, uint64_t worked_ns);

/* The ring has failed. */
void se_shard_log_failed(const struct spate_shard *shard, int error);

#endif
