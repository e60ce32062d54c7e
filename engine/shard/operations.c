/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard.h"

/* The application's operations.  What an sqe may not do is what would touch the shard's own: its
 * file table, its buffer group, its operations.  All else is the kernel's to judge.
 *
 * The kernel may end a multishot poll by itself, when its completion queue overflows.  The
 * application sees nothing of that: the watch is queued again. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "proto/base/assert.h"

enum {
    NONE = UINT32_MAX,
    WATCH_EVENTS = POLLIN | POLLPRI | POLLOUT | 0x2000, /* POLLRDHUP */
    LINKS = IOSQE_IO_LINK | IOSQE_IO_HARDLINK,
};

_Static_assert(SPATE_RING_MORE == IORING_CQE_F_MORE, "one flag");

/* Returns 0 if the application may queue operations now. */
static int claim(struct spate_shard *shard)
{
    if (shard->operations.has_ended)
        return -ESHUTDOWN;
    int result = 0;
    if (!atomic_load_explicit(&shard->is_threaded, memory_order_relaxed))
        result = se_shard_claim(shard);
    else if (atomic_load_explicit(&shard->owner_tid, memory_order_relaxed) == 0 ||
             !se_shard_is_mine(shard))
        result = -EPERM;
    if (result == -EPERM)
        return result;
    return result != 0 || shard->error != 0 ? -ESHUTDOWN : 0;
}

/* ---- what may be submitted ---- */

static bool makes_file(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_FILES_UPDATE:
        return true;
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_ACCEPT:
    case IORING_OP_SOCKET:
    case IORING_OP_CLOSE:
        return sqe->file_index != 0;
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
        return (sqe->splice_flags & SPLICE_F_FD_IN_FIXED) != 0;
    case IORING_OP_MSG_RING:
        return sqe->addr == IORING_MSG_SEND_FD;
    default:
        return false;
    }
}

static bool is_allowed(const struct spate_shard *shard, const struct io_uring_sqe *sqe)
{
    const uint32_t forbidden = IOSQE_FIXED_FILE | IOSQE_IO_DRAIN | IOSQE_CQE_SKIP_SUCCESS;
    if ((sqe->flags & forbidden) != 0 || makes_file(sqe))
        return false;
    bool has_group = (sqe->flags & IOSQE_BUFFER_SELECT) != 0 ||
                     sqe->opcode == IORING_OP_PROVIDE_BUFFERS ||
                     sqe->opcode == IORING_OP_REMOVE_BUFFERS;
    if (has_group && sqe->buf_group == shard->bufring.group)
        return false;
    return sqe->opcode != IORING_OP_ASYNC_CANCEL ||
           (sqe->cancel_flags & (IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_FD_FIXED)) == 0;
}

static int check(const struct spate_shard *shard, const struct spate_ring_op *ops, uint32_t count)
{
    if (count == 0 || count > SPATE_RING_OPS_MAX || (ops[count - 1].sqe->flags & LINKS) != 0)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++)
        if (!is_allowed(shard, ops[i].sqe))
            return -EINVAL;
    return su_ring_backend(&shard->ring) == SU_BACKEND_IO_URING ? 0 : -ENOTSUP;
}

/* ---- the table ---- */

static int make_table(struct spate_shard *shard)
{
    struct se_operations *operations = &shard->operations;
    if (operations->table != NULL)
        return 0;
    if (shard->config->operations_max == 0)
        return -ENOBUFS;
    operations->table = calloc(shard->config->operations_max, sizeof(operations->table[0]));
    operations->done = calloc(SE_COMPLETIONS_PER_TURN, sizeof(operations->done[0]));
    if (operations->table == NULL || operations->done == NULL) {
        se_operations_deinit(operations);
        return -ENOMEM;
    }
    operations->free_first = NONE;
    return 0;
}

/* Returns 0 if there are `count` places, and as much room in the submission queue. */
static int reserve(struct spate_shard *shard, uint32_t count)
{
    if (su_ring_is_lent(&shard->ring))
        return -ENOTSUP;
    int result = make_table(shard);
    if (result != 0)
        return result;
    if (shard->config->operations_max - shard->operations.used_count < count)
        return -ENOBUFS;
    return su_ring_reserve(&shard->ring, count) ? 0 : -EAGAIN;
}

static struct se_operation *take_place(struct se_operations *operations)
{
    uint32_t index = operations->free_first;
    if (index == NONE)
        index = operations->made_count++;
    else
        operations->free_first = operations->table[index].next;
    struct se_operation *operation = &operations->table[index];
    SB_ASSERT(!operation->is_used);
    *operation = (struct se_operation){
        .generation = su_generation_next(operation->generation),
        .is_used = true,
        .is_queued = true,
    };
    operations->used_count++;
    return operation;
}

static void give_place(struct se_operations *operations, struct se_operation *operation)
{
    operation->is_used = false;
    operation->next = operations->free_first;
    operations->free_first = (uint32_t)(operation - operations->table);
    operations->used_count--;
}

static struct su_op op_of(const struct se_operations *operations,
                          const struct se_operation *operation)
{
    return (struct su_op){
        .index = (uint32_t)(operation - operations->table),
        .generation = operation->generation,
        .kind = SU_OP_APP,
    };
}

/* Returns NULL if there is no such operation, or it is over. */
static struct se_operation *find(const struct se_operations *operations, struct su_op op)
{
    if (op.kind != SU_OP_APP || op.index >= operations->made_count)
        return NULL;
    struct se_operation *operation = &operations->table[op.index];
    return operation->is_used && operation->generation == op.generation ? operation : NULL;
}

/* ---- queueing ---- */

int spate_ring_submit(struct spate_shard *shard, struct spate_ring_op *ops, uint32_t count)
{
    int result = claim(shard);
    if (result == 0)
        result = check(shard, ops, count);
    if (result == 0)
        result = reserve(shard, count);
    if (result != 0)
        return result;
    for (uint32_t i = 0; i < count; i++) {
        struct io_uring_sqe *sqe = su_ring_sqe(&shard->ring);
        SB_ASSERT(sqe != NULL); /* reserve() */
        struct se_operation *operation = take_place(&shard->operations);
        operation->handler = ops[i].handler;
        operation->user = ops[i].user;
        ops[i].id = su_op_pack(op_of(&shard->operations, operation));
        *sqe = *ops[i].sqe;
        sqe->user_data = ops[i].id;
    }
    return 0;
}

static bool queue_watch(struct spate_shard *shard, const struct se_operation *operation)
{
    struct io_uring_sqe *sqe = su_ring_sqe(&shard->ring);
    if (sqe == NULL)
        return false;
    io_uring_prep_poll_add(sqe, operation->fd, operation->events);
    sqe->len = operation->repeats ? IORING_POLL_ADD_MULTI : 0;
    sqe->user_data = su_op_pack(op_of(&shard->operations, operation));
    return true;
}

int spate_ring_watch(struct spate_shard *shard, int fd, uint32_t events, bool repeats,
                     spate_ring_handler *handler, void *user, uint64_t *ret_id)
{
    if (fd < 0 || handler == NULL || events == 0 || (events & ~(uint32_t)WATCH_EVENTS) != 0)
        return -EINVAL;
    int result = claim(shard);
    if (result == 0)
        result = reserve(shard, 1);
    if (result != 0)
        return result;
    struct se_operation *operation = take_place(&shard->operations);
    operation->handler = handler;
    operation->user = user;
    operation->fd = fd;
    operation->events = events;
    operation->repeats = repeats;
    bool is_queued = queue_watch(shard, operation);
    SB_ASSERT(is_queued); /* reserve() */
    if (ret_id != NULL)
        *ret_id = su_op_pack(op_of(&shard->operations, operation));
    return 0;
}

static bool queue_cancel(struct spate_shard *shard, const struct se_operation *operation)
{
    struct io_uring_sqe *sqe = su_ring_sqe(&shard->ring);
    if (sqe == NULL)
        return false;
    io_uring_prep_cancel64(sqe, su_op_pack(op_of(&shard->operations, operation)), 0);
    sqe->user_data = su_op_pack((struct su_op){.kind = SU_OP_NONE});
    return true;
}

int spate_ring_cancel(struct spate_shard *shard, uint64_t id)
{
    int result = claim(shard);
    if (result != 0)
        return result;
    struct se_operation *operation = find(&shard->operations, su_op_unpack(id));
    if (operation == NULL)
        return -ENOENT;
    if (operation->is_queued && !operation->is_cancelled && !queue_cancel(shard, operation))
        return -EAGAIN;
    operation->is_cancelled = true;
    return 0;
}

/* ---- completions ---- */

int spate_ring_complete(struct spate_shard *shard, const struct io_uring_cqe *cqe)
{
    int result = se_shard_claim(shard);
    if (SB_UNLIKELY(result != 0))
        return result;
    return su_ring_is_lent(&shard->ring) ? su_lent_take(&shard->ring, cqe) : -ENOTSUP;
}

void se_operations_take(struct spate_shard *shard, const struct su_completion *completion)
{
    struct se_operations *operations = &shard->operations;
    if (find(operations, completion->op) == NULL)
        return;
    SB_ASSERT(operations->done_count < SE_COMPLETIONS_PER_TURN);
    operations->done[operations->done_count++] = (struct se_operation_done){
        .op = completion->op,
        .result = completion->result,
        .flags = completion->flags,
    };
}

/* Queues a watch again.  One that was cancelled meanwhile is queued too, with the cancellation
 * after it: so each watch ends in one way. */
static bool requeue(struct spate_shard *shard, struct se_operation *operation)
{
    if (!su_ring_reserve(&shard->ring, 2) || !queue_watch(shard, operation))
        return false;
    if (operation->is_cancelled && !queue_cancel(shard, operation))
        operation->is_cancelled = false; /* cannot be: there were two places */
    return true;
}

void se_operations_requeue(struct spate_shard *shard)
{
    struct se_operations *operations = &shard->operations;
    for (uint32_t i = 0; i < operations->made_count && operations->unqueued_count > 0; i++) {
        struct se_operation *operation = &operations->table[i];
        if (!operation->is_used || operation->is_queued)
            continue;
        if (!requeue(shard, operation))
            return;
        operation->is_queued = true;
        operations->unqueued_count--;
    }
}

/* Calls the handler of a completion, and frees the place first if it was the last one: so the
 * handler can begin the next operation at the limit. */
static void report(struct spate_shard *shard, const struct se_operation_done *done)
{
    struct se_operations *operations = &shard->operations;
    struct se_operation *operation = find(operations, done->op);
    if (operation == NULL)
        return;
    spate_ring_handler *handler = operation->handler;
    void *user = operation->user;
    uint32_t flags = done->flags;
    bool is_over = (flags & IORING_CQE_F_MORE) == 0;
    if (is_over && operation->repeats && done->result >= 0 && !operations->has_ended) {
        operation->is_queued = false;
        operations->unqueued_count++;
        flags |= SPATE_RING_MORE;
    } else if (is_over) {
        give_place(operations, operation);
    }
    if (handler != NULL)
        handler(shard, user, done->result, flags);
}

void se_operations_run_done(struct spate_shard *shard)
{
    struct se_operations *operations = &shard->operations;
    for (uint32_t i = 0; i < operations->done_count; i++)
        report(shard, &operations->done[i]);
    operations->done_count = 0;
}

/* ---- the end ---- */

static void on_discard(void *context, const struct su_completion *completion)
{
    const struct se_operation_done done = {
        .op = completion->op,
        .result = completion->result,
        .flags = completion->flags,
    };
    report(context, &done);
}

void se_operations_stop_ring(struct spate_shard *shard)
{
    struct se_operations *operations = &shard->operations;
    operations->has_ended = true; /* before the first handler */
    shard->is_in_turn = true;     /* for good: a handler cannot run one */
    se_operations_run_done(shard);
    if (operations->used_count > 0) {
        shard->ring.on_discard = on_discard;
        shard->ring.discard_context = shard;
    }
    int result = su_ring_stop(&shard->ring);
    for (uint32_t i = 0; i < operations->made_count; i++) {
        struct se_operation *operation = &operations->table[i];
        if (!operation->is_used)
            continue;
        const struct se_operation_done done = {
            .op = op_of(operations, operation),
            .result = result != 0 && operation->is_queued ? -ETIME : -ECANCELED,
        };
        report(shard, &done);
    }
}

void se_operations_deinit(struct se_operations *operations)
{
    free(operations->table);
    free(operations->done);
    operations->table = NULL;
    operations->done = NULL;
}
