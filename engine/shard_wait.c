/* SPDX-License-Identifier: MIT */
#include "engine/shard.h"

/* The end of a turn: hand over what was queued, wait for news, read the clock.
 *
 * A send completes while it is submitted, so a wait for just any completion would end with the
 * turn's own sends: su_ring_wait() looks past them, and a request and its answer cost
 * one system call a side.  Where a connection waits for a transmit slot, though, the completion
 * of a send is what is waited for.
 *
 * A shard that spins looks at two words: a flag that the kernel sets in the ring's memory when it
 * has something to complete, and the queue of posts.  That takes no system call, and as the
 * spinner does not say that it sleeps, nobody makes one to wake it. */

#include <errno.h>

#include "engine/clock.h"

/* Looks between two looks at the clock: a few hundred nanoseconds. */
#define LOOKS_PER_CLOCK 8

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool is_called(const struct spate_shard *shard)
{
    return se_mpsc_has(&shard->posts) || atomic_load(&shard->is_wake_wanted);
}

/* Hands the queue over and spins until there is news (`*ret_has_news`), a call, or `until_ns`. */
static int spin(struct spate_shard *shard, uint64_t until_ns, bool *ret_has_news)
{
    struct su_ring *ring = &shard->ring;
    int error = su_ring_queued(ring) > 0 ? su_ring_enter(ring, 0) : 0;
    if (ring->expected_count > 0) /* as su_ring_wait: one of them may be late and hide news */
        until_ns = sb_time_min(until_ns, sb_time_add(shard->now_ns, SU_RING_LATE_NS));
    *ret_has_news = false;
    while (error == 0) {
        for (uint32_t i = 0; i < LOOKS_PER_CLOCK && error == 0; i++) {
            if (su_ring_is_ready(ring) || is_called(shard)) {
                *ret_has_news = true;
                return 0;
            }
            if (su_ring_has_news(ring))
                error = su_ring_enter(ring, 0);
            else
                relax();
        }
        shard->now_ns = se_clock_now_ns();
        if (shard->now_ns >= until_ns)
            break;
    }
    return error;
}

static int sleep_until_news(struct spate_shard *shard, uint64_t until_ns, bool is_any_news)
{
    uint64_t wait_ns = until_ns == SB_NEVER ? SB_NEVER : sb_time_since(until_ns, shard->now_ns);
    su_wake_sleep(&shard->wake);
    if (is_called(shard))
        wait_ns = 0;
    int error = is_any_news ? su_ring_enter(&shard->ring, wait_ns)
                            : su_ring_wait(&shard->ring, wait_ns);
    su_wake_up(&shard->wake);
    return error;
}

/* Spins for as long as that seems to pay, then sleeps. */
static int wait_until(struct spate_shard *shard, uint64_t until_ns)
{
    bool is_short_of_slots = !sb_list_is_empty(&shard->dirty);
    uint64_t start_ns = shard->now_ns;
    bool has_news = false;
    int error = 0;
    if (shard->spin.window_ns > 0 && !is_short_of_slots) {
        uint64_t spin_until_ns = sb_time_add(start_ns, shard->spin.window_ns);
        error = spin(shard, sb_time_min(spin_until_ns, until_ns), &has_news);
        has_news = has_news || shard->spin.limit_ns == SB_NEVER || shard->now_ns >= until_ns;
    }
    if (error == 0 && !has_news)
        error = sleep_until_news(shard, until_ns, is_short_of_slots);

    shard->now_ns = se_clock_now_ns();
    se_spin_learn(&shard->spin, sb_time_since(shard->now_ns, start_ns),
                  su_ring_is_ready(&shard->ring));
    return error;
}

/* A loop that polls makes no call for nothing. */
static int poll_once(struct spate_shard *shard)
{
    int error = 0;
    if (su_ring_queued(&shard->ring) > 0 || su_ring_has_news(&shard->ring))
        error = su_ring_enter(&shard->ring, 0);
    shard->now_ns = se_clock_now_ns();
    return error;
}

int se_shard_wait(struct spate_shard *shard, uint64_t wait_ns)
{
    uint64_t until_ns = wait_ns == 0 ? 0 : sb_time_add(shard->now_ns, wait_ns);
    until_ns = sb_time_min(until_ns, se_wheel_next_ns(&shard->wheel));
    int error = until_ns > shard->now_ns ? wait_until(shard, until_ns) : poll_once(shard);
    atomic_store_explicit(&shard->is_wake_wanted, false, memory_order_relaxed);
    /* These two are answers: completions must be taken first, which is what comes next. */
    return error == -EBUSY || error == -EAGAIN ? 0 : error;
}
