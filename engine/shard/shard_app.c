/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard.h"

/* What the application and other threads call: posts, wakes, events. */

#include <errno.h>
#include <sched.h>

#include "engine/base/clock.h"
#include "engine/shard/prefetch.h"

/* Timers of idle connections that a turn runs: each finds its connection outside of the caches, and
 * hundreds are due at once.  So many take as long as a turn does that has much to receive; all in
 * one would keep a busy connection waiting until its window or the socket's buffer is used up. */
enum { COARSE_PER_TURN = 32 };

int se_shard_push_post(struct spate_shard *shard, const struct se_post *post)
{
    int result = se_mpsc_push(&shard->posts, post);
    if (result == 0)
        (void)su_wake_ring(&shard->wake);
    return result;
}

int spate_shard_post(struct spate_shard *shard,
                     void (*function)(struct spate_shard *shard, void *argument), void *argument)
{
    const struct se_post post = {.function = function, .argument = argument};
    return se_shard_push_post(shard, &post);
}

int spate_shard_shutdown(struct spate_shard *shard, uint64_t timeout_ns, uint64_t error,
                         const char *reason)
{
    struct se_shutdown_args args;
    se_shard_catch_up(shard); /* the closing periods begin here [RFC9000 10.2] */
    int result = se_shutdown_args_init(&args, shard->now_ns, timeout_ns, error, reason);
    if (result != 0)
        return result;
    args.wants_event = true;
    se_shutdown_begin(shard, &args);
    return 0;
}

void spate_shard_wake(struct spate_shard *shard)
{
    int error = errno; /* the caller may be a signal handler */
    /* Sequentially consistent, as what is pushed before su_wake_ring() must be: the sleeper
     * either sees this or is seen asleep. */
    atomic_store(&shard->is_wake_wanted, true);
    (void)su_wake_ring(&shard->wake);
    errno = error;
}

void se_shard_call(struct spate_shard *shard, enum se_call call)
{
    (void)atomic_fetch_or_explicit(&shard->calls, call, memory_order_release); /* P1 */
    spate_shard_wake(shard);
}

static void run_post(struct spate_shard *shard, const struct se_post *post)
{
    if (post->conn_id == 0)
        post->function(shard, post->argument);
    else
        post->on_conn(shard, spate_shard_conn(shard, post->conn_id), post->argument);
}

bool se_shard_run_posts(struct spate_shard *shard)
{
    struct se_post post;
    uint32_t count = 0;
    for (; count < SE_POSTS_PER_TURN && se_mpsc_pop(&shard->posts, &post); count++)
        run_post(shard, &post);
    return count > 0;
}

void se_shard_close_queues(struct spate_shard *shard)
{
    se_strays_close(shard);
    struct se_post post;
    se_mpsc_close(&shard->posts);
    while (!se_mpsc_is_drained(&shard->posts)) {
        if (se_mpsc_pop(&shard->posts, &post))
            run_post(shard, &post);
        else
            (void)sched_yield(); /* a thread is between its number and its cell */
    }
}

/* Lets a timer about the peer's silence wait until more is received.  What is due in the meantime
 * whatever the peer sends, such as an ACK or what is paced, does not wait for that. */
static void hold_timer(struct spate_shard *shard, struct spate_conn *conn)
{
    uint64_t own_ns = sp_conn_own_deadline_ns(conn->proto);
    if (own_ns >= sb_time_add(shard->now_ns, SE_HEARD_LAG_NS)) {
        conn->timer_ns = SB_NEVER; /* an earlier deadline arms it anew */
        se_wheel_hold(&shard->wheel, &conn->timer);
        return;
    }
    uint64_t look_ns = sb_time_add(shard->now_ns, SE_HEARD_LOOK_NS);
    se_conn_set_timer(conn, &shard->wheel, sb_time_min(own_ns, look_ns));
}

static void on_conn_timer(struct spate_shard *shard, struct spate_conn *conn)
{
    if (sp_conn_deadline_ns(conn->proto) > shard->now_ns) {
        se_conn_rearm(conn); /* its deadline is later now */
        return;
    }
    if (SB_UNLIKELY(shard->heard.mark_ns != 0) &&
        sp_conn_must_listen(conn->proto, shard->now_ns, shard->heard.until_ns)) {
        hold_timer(shard, conn);
        return;
    }
    sp_conn_on_deadline_heard(conn->proto, shard->now_ns, shard->heard.until_ns);
    if (sp_conn_is_resting(conn->proto))
        se_conn_on_rest(conn);
    se_conn_touch(conn);
    se_conn_drain(conn);
    if (sp_conn_deadline_ns(conn->proto) > shard->now_ns)
        se_conn_rearm(conn); /* otherwise it is armed after sending, which is due now */
}

/* se_prefetch_next() for the connections of coarse timers that are due: keep-alives of thousands
 * coincide, and each finds its connection where it was left seconds ago. */
static void prefetch_due(const struct spate_shard *shard)
{
    const struct sb_link *list = &shard->wheel.due_coarse;
    const struct sb_link *link = list->next;
    for (uint32_t i = 0; i < 3 && link != list; i++, link = link->next) {
        const struct se_timer *timer = (const void *)link; /* its first member */
        if (timer->kind != SE_TIMER_CONN)
            return;
        const struct spate_conn *conn =
            (const void *)((const char *)timer - offsetof(struct spate_conn, timer));
        if (i == 0)
            sp_conn_prefetch_rest(conn->proto);
        else if (i == 1)
            sp_conn_prefetch(conn->proto);
        else
            __builtin_prefetch(conn);
    }
}

void se_shard_run_timers(struct spate_shard *shard)
{
    struct se_timer *timer;
    uint32_t coarse_left = COARSE_PER_TURN;
    while (coarse_left > 0 && (timer = se_wheel_pop(&shard->wheel, shard->now_ns)) != NULL) {
        coarse_left -= se_timer_is_coarse(timer);
        if (SB_UNLIKELY(se_prefetch_pays(shard)))
            prefetch_due(shard);
        switch (timer->kind) {
        case SE_TIMER_CONN:
            on_conn_timer(shard, SB_CONTAINER_OF(timer, struct spate_conn, timer));
            break;
        case SE_TIMER_TOMBSTONE:
            se_tombstone_remove(shard, SB_CONTAINER_OF(timer, struct se_tombstone, timer));
            break;
        case SE_TIMER_MEMORY:
            se_shard_on_memory_timer(shard);
            break;
        case SE_TIMER_STAT:
            break;
        case SE_TIMER_TASK: {
            struct se_task *task = SB_CONTAINER_OF(timer, struct se_task, timer);
            task->run(task, shard->now_ns);
            break;
        }
        case SE_TIMER_HANDOVER:
            se_handover_on_timer(shard);
            break;
        }
    }
}

uint32_t spate_shard_events(struct spate_shard *shard, struct spate_event *ret, uint32_t count_max)
{
    uint32_t count;
    if (SB_UNLIKELY(!se_shard_is_mine(shard)) || SB_UNLIKELY(atomic_load(&shard->is_threaded)))
        return 0;
    const struct spate_event *events = se_events_take(shard, count_max, &count);
    for (uint32_t i = 0; i < count; i++)
        ret[i] = events[i];
    return count;
}

uint64_t spate_shard_busy_ns(const struct spate_shard *shard)
{
    uint64_t since_ns = atomic_load_explicit(&shard->work_since_ns, memory_order_relaxed);
    return since_ns == 0 ? 0 : sb_time_since(se_clock_now_ns(), since_ns);
}

uint64_t spate_shard_now_ns(const struct spate_shard *shard)
{
    return shard->now_ns;
}
