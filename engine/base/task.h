/* SPDX-License-Identifier: MIT */
#ifndef SE_TASK_H
#define SE_TASK_H

#include "engine/base/wheel.h"

/* Work beside the connections of a shard, which the shard calls at its time and tells of its end:
 * the shard does not know what it is for.  Embedded in what it belongs to.  Threads: shard. */
struct se_task {
    struct se_timer timer;
    struct sb_link link; /* in the shard's list of tasks */
    /* Called when the timer has popped.  It may be a little too early: see wheel.h. */
    void (*run)(struct se_task *task, uint64_t now_ns);
    /* Called when the shard is freed, after its connections.  Frees the task. */
    void (*end)(struct se_task *task);
};

/* Adds the task to a shard's list, without a time. */
static inline void se_task_join(struct sb_link *tasks, struct se_task *task)
{
    se_timer_init(&task->timer);
    task->timer.kind = SE_TIMER_TASK;
    sb_list_init(&task->link);
    sb_list_push_back(tasks, &task->link);
}

/* Removes it. */
static inline void se_task_leave(struct se_wheel *wheel, struct se_task *task)
{
    se_wheel_remove(wheel, &task->timer);
    sb_list_remove(&task->link);
}

#endif
