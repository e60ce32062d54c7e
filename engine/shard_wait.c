/* SPDX-License-Identifier: MIT */
#include "engine/shard.h"

/* The end of a turn: hand over what was queued, wait for news, read the clock.
 *
 * A send completes while it is submitted, so a wait for just any completion would end with the
 * turn's own sends: su_ring_wait() looks past them, and a request and its answer cost
 * one system call a side.  Where a connection waits for a transmit slot, though, the completion
 * of a send is what is waited for. */

#include <errno.h>

#include "engine/clock.h"

/* How long the turn may sleep, given that the application allows `wait_ns`. */
static uint64_t sleep_ns(const struct spate_shard *shard, uint64_t wait_ns)
{
    uint64_t next_ns = se_wheel_next_ns(&shard->wheel);
    uint64_t until_next_ns = next_ns == SB_NEVER ? SB_NEVER : sb_time_since(next_ns, shard->now_ns);
    return sb_time_min(wait_ns, until_next_ns);
}

static bool is_called(const struct spate_shard *shard)
{
    return se_mpsc_has(&shard->posts) || atomic_load(&shard->is_wake_wanted);
}

static int enter(struct spate_shard *shard, uint64_t wait_ns)
{
    if (wait_ns == 0)
        return su_ring_enter(&shard->ring, 0);

    bool is_short_of_slots = !sb_list_is_empty(&shard->dirty);
    su_wake_sleep(&shard->wake);
    if (is_called(shard))
        wait_ns = 0;
    int error = is_short_of_slots ? su_ring_enter(&shard->ring, wait_ns)
                                  : su_ring_wait(&shard->ring, wait_ns);
    su_wake_up(&shard->wake);
    return error;
}

int se_shard_wait(struct spate_shard *shard, uint64_t wait_ns)
{
    int error = enter(shard, sleep_ns(shard, wait_ns));
    atomic_store_explicit(&shard->is_wake_wanted, false, memory_order_relaxed);
    shard->now_ns = se_clock_now_ns();
    /* These two are answers: completions must be taken first, which is what comes next. */
    return error == -EBUSY || error == -EAGAIN ? 0 : error;
}
