/* SPDX-License-Identifier: MIT */
#ifndef SE_OPERATIONS_H
#define SE_OPERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/ring.h>

#include "proto/base/compiler.h"
#include "uring/op.h"

struct spate_shard;

/* The application's operations in the shard's ring: see <spate/ring.h>.
 *
 *     free --submit, watch--> in flight --completion without MORE--> done --handler--> free
 *
 * There is a table of operations_max places, made by the first operation.  A place is named by the
 * operation's user_data: kind SU_OP_APP, its index and generation.  Completions wait in `done`
 * until the turn has delivered its packets, so that handlers find no connection half-way.
 *
 * free places + used_count == made_count <= operations_max */

struct se_operation {
    spate_ring_handler *handler;
    void *user;
    uint32_t generation;
    uint32_t next; /* of the free ones */
    int fd;        /* of a watch */
    uint32_t events;
    bool is_used;
    bool repeats;   /* a watch that goes on when the kernel ends it */
    bool is_queued; /* false: a watch that could not be queued again yet */
    bool is_cancelled;
};

struct se_operation_done {
    struct su_op op;
    int32_t result;
    uint32_t flags;
};

struct se_operations {
    struct se_operation *table; /* NULL before the first operation */
    struct se_operation_done *done;
    uint32_t made_count; /* places that were ever used */
    uint32_t used_count;
    uint32_t free_first;
    uint32_t done_count;
    uint32_t unqueued_count; /* watches that are not queued */
    bool has_ended;
};

/* Takes a completion of kind SU_OP_APP. */
void se_operations_take(struct spate_shard *shard, const struct su_completion *completion);

/* Calls the handlers of what has completed.  Once per turn. */
void se_operations_run_done(struct spate_shard *shard);

static inline void se_operations_run(struct spate_shard *shard, struct se_operations *operations)
{
    if (SB_UNLIKELY(operations->done_count > 0))
        se_operations_run_done(shard);
}

/* Queues watches again that the kernel had no place for.  Once per turn, before the wait. */
void se_operations_requeue(struct spate_shard *shard);

static inline void se_operations_maintain(struct spate_shard *shard,
                                          struct se_operations *operations)
{
    if (SB_UNLIKELY(operations->unqueued_count > 0))
        se_operations_requeue(shard);
}

/* Stops the ring, with handlers for what has completed meanwhile, and ends all other operations:
 * with -ECANCELED, or -ETIME if the kernel may still be busy with them. */
void se_operations_stop_ring(struct spate_shard *shard);

/* Frees the table.  After se_operations_stop_ring(). */
void se_operations_deinit(struct se_operations *operations);

#endif
