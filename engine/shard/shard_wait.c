/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard.h"

/* The end of a turn: submits the queue, waits for completions, posts or wakes, reads the clock.
 *
 * A send completes while it is submitted, so a wait for any completion would end with the turn's
 * own sends.  su_ring_wait() ignores their completions, so a request and its answer cost one system
 * call per side.  If a connection waits for a transmit slot, whatever line it is in, the completion
 * of a send also ends the wait.
 *
 * A shard that spins reads two words: a flag that the kernel sets in the ring's memory when a
 * completion is due, and the queue of posts.  Reading them takes no system call.  A shard that
 * spins is not marked as asleep, so no other thread makes a system call to wake it.
 *
 * spin.h decides how long to spin.  This file measures what the decision needs: the cost of a
 * sleep, and whether other threads want this CPU.  The kernel counts how often it takes the CPU
 * away (ru_nivcsw); this file reads that count only after a look at the clock that took long.  A
 * shard that spins in vain offers the CPU now and then (sched_yield), so that a peer on this CPU
 * can answer; if the peer runs, the next look takes long. */

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "engine/base/clock.h"
#include "engine/conn/conn.h"
#include "proto/base/probe.h"

enum {
    LOOKS_PER_CLOCK = 8,         /* between two looks at the clock: a few hundred nanoseconds */
    SLEEPS_PER_CPU_MEASURE = 32, /* a measurement takes two system calls */
    CALIBRATION_SLEEPS = 5,
    CALIBRATION_RANK = 1,  /* takes the second least value: longer sleeps may have been disturbed */
    SETTLED_PER_SLEEP = 4, /* connections; with many, another timer is due soon anyhow */
};

#define CALIBRATION_SLEEP_NS (100 * SB_US)
#define LATE_NS_MAX          (1 * SB_MS)  /* a sleep that ends later was disturbed */
#define MEASURED_SLEEP_NS    (1 * SB_MS)  /* a CPU wakes up more slowly after a longer sleep */
#define YIELD_FIRST_NS       (10 * SB_US) /* most answers of a peer that spins come earlier */
#define YIELD_INTERVAL_NS    (20 * SB_US)
#define LOOK_NS_MAX          (5 * SB_US) /* a look that takes longer was interrupted */
/* A shard that never sleeps ends a turn without work after this time, so that the program sees what
 * its signal handlers have set. */
#define SPIN_TURN_NS (10 * SB_MS)
#define SETTLE_NS    (8 * SB_MS) /* a connection's timers mostly wait for 25 ms or more */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool se_shard_is_called(const struct spate_shard *shard)
{
    return se_mpsc_has(&shard->posts) || se_mpsc_has(&shard->strays) ||
           atomic_load(&shard->is_wake_wanted) ||
           atomic_load_explicit(&shard->channels.pending, memory_order_acquire) != 0;
}

static bool has_work(const struct spate_shard *shard)
{
    return su_ring_is_ready(&shard->ring) || se_shard_is_called(shard);
}

/* ---- spinning ---- */

/* Returns true if the kernel has given this thread's CPU to others since the last call. */
static bool take_preemption(struct spate_shard *shard)
{
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage) != 0)
        return false;
    bool is_more = usage.ru_nivcsw != shard->preempted_count;
    shard->preempted_count = usage.ru_nivcsw;
    return is_more;
}

/* Reads the clock.  Offers the CPU to others first if `*yield_ns` has come, and moves that on. */
static void look_at_clock(struct spate_shard *shard, uint64_t *yield_ns)
{
    uint64_t before_ns = shard->now_ns;
    if (!se_spin_is_adaptive(&shard->spin)) {
        shard->now_ns = se_clock_now_ns();
        return;
    }
    if (before_ns >= *yield_ns) {
        (void)sched_yield();
        *yield_ns = before_ns + YIELD_INTERVAL_NS;
    }
    shard->now_ns = se_clock_now_ns();
    uint64_t look_ns = sb_time_since(shard->now_ns, before_ns);
    if (look_ns > LOOK_NS_MAX && take_preemption(shard))
        se_spin_on_loss(&shard->spin, shard->now_ns, look_ns);
}

/* Submits the queue and spins until there is work (`*ret_has_work`), until `until_ns`, or until
 * the rule "hold" of spin.h forbids spinning. */
static int spin(struct spate_shard *shard, uint64_t until_ns, bool *ret_has_work)
{
    struct su_ring *ring = &shard->ring;
    uint64_t yield_ns = shard->now_ns + YIELD_FIRST_NS;
    int error = su_ring_queued(ring) > 0 ? su_ring_enter(ring, 0) : 0;
    if (shard->stages.sealed_ns != 0)
        se_stages_on_submitted(&shard->stages, se_clock_now_ns());
    if (ring->expected_count > 0) /* as in su_ring_wait(): a late completion may hide work */
        until_ns = sb_time_min(until_ns, sb_time_add(shard->now_ns, SU_RING_LATE_NS));
    while (error == 0) {
        for (uint32_t i = 0; i < LOOKS_PER_CLOCK && error == 0; i++) {
            *ret_has_work = has_work(shard);
            if (*ret_has_work)
                return 0;
            if (su_ring_needs_enter(ring))
                error = su_ring_enter(ring, 0);
            else
                relax();
        }
        look_at_clock(shard, &yield_ns);
        if (shard->now_ns >= until_ns || shard->now_ns < shard->spin.hold_until_ns)
            break;
    }
    return error;
}

/* ---- when to wake up ---- */

/* Moves the connection's timer to its deadline, if that is later: se_conn_rearm() does not. */
static bool settle(struct se_wheel *wheel, struct spate_conn *conn)
{
    uint64_t deadline_ns = sp_conn_deadline_ns(conn->proto);
    if (deadline_ns <= conn->timer_ns)
        return false;
    se_conn_set_timer(conn, wheel, deadline_ns);
    return true;
}

/* Returns when the first timer pops that has something to do, as far as that is found cheaply. */
static uint64_t settled_ns(struct spate_shard *shard)
{
    for (uint32_t i = 0; i < SETTLED_PER_SLEEP; i++) {
        struct se_timer *timer = se_wheel_first(&shard->wheel);
        if (timer == NULL)
            break;
        if (timer->kind != SE_TIMER_CONN ||
            !settle(&shard->wheel, SB_CONTAINER_OF(timer, struct spate_conn, timer)))
            return se_timer_due_ns(timer);
    }
    return se_wheel_next_ns(&shard->wheel);
}

static uint64_t next_of(const struct spate_shard *shard, uint64_t timer_ns)
{
    uint64_t next_ns = sb_time_min(timer_ns, se_shutdown_wake_ns(shard));
    if (SB_UNLIKELY(se_wheel_is_holding(&shard->wheel)))
        next_ns = sb_time_min(next_ns, se_heard_next_ns(&shard->heard));
    return sb_time_min(next_ns, se_limit_wake_ns(&shard->limit));
}

uint64_t se_shard_next_ns(const struct spate_shard *shard)
{
    return next_of(shard, se_wheel_next_ns(&shard->wheel));
}

/* A sleep that ends for a timer without work costs two switches and a look at cold memory: a
 * connection with a request now and then would have one for each few requests. */
uint64_t se_shard_sleep_ns(struct spate_shard *shard)
{
    uint64_t next_ns = se_shard_next_ns(shard);
    if (next_ns <= shard->now_ns || next_ns >= sb_time_add(shard->now_ns, SETTLE_NS))
        return next_ns;
    return next_of(shard, settled_ns(shard));
}

/* ---- sleeping ---- */

/* Returns how late a sleep ended that should have ended at `until_ns`.  Leaves out the timer slack,
 * which the kernel adds on purpose to the time-outs of epoll, but not to other wake-ups. */
static uint64_t lateness_ns(const struct spate_shard *shard, uint64_t until_ns, uint64_t now_ns)
{
    return SB_MAX(sb_time_since(now_ns, sb_time_add(until_ns, shard->timer_slack_ns)), 1);
}

/* Records how late a short sleep ended, if its time-out ended it. */
static void measure_lateness(struct spate_shard *shard, uint64_t start_ns, uint64_t until_ns)
{
    uint64_t late_ns = lateness_ns(shard, until_ns, shard->now_ns);
    if (shard->now_ns >= until_ns && until_ns - start_ns <= MEASURED_SLEEP_NS &&
        late_ns <= LATE_NS_MAX)
        se_spin_measure(&shard->spin, 0, late_ns);
}

/* Sleeps until there is work (`*ret_has_work`) or until `until_ns`.  `is_any_completion`: the
 * completion of a send counts as work.  The measured CPU time includes the call's submissions. */
static int sleep_until_work(struct spate_shard *shard, uint64_t until_ns, bool is_any_completion,
                            bool *ret_has_work)
{
    uint64_t start_ns = shard->now_ns;
    uint64_t wait_ns = until_ns == SB_NEVER ? SB_NEVER : sb_time_since(until_ns, start_ns);
    bool is_measured = shard->counts.own.sleeps++ % SLEEPS_PER_CPU_MEASURE == 0 &&
                       se_spin_is_adaptive(&shard->spin);
    uint64_t cpu_ns = is_measured ? se_clock_thread_cpu_ns() : 0;
    se_stages_on_sleep(&shard->stages);
    su_wake_sleep(&shard->wake);
    if (se_shard_is_called(shard))
        wait_ns = 0;
    int error = is_any_completion ? su_ring_enter(&shard->ring, wait_ns)
                                  : su_ring_wait(&shard->ring, wait_ns);
    su_wake_up(&shard->wake);
    if (is_measured)
        se_spin_measure(&shard->spin, se_clock_thread_cpu_ns() - cpu_ns, 0);
    shard->now_ns = se_clock_now_ns();
    *ret_has_work = has_work(shard);
    if (!*ret_has_work)
        measure_lateness(shard, start_ns, until_ns);
    return error;
}

/* ---- a wait ---- */

void se_shard_end_work(struct spate_shard *shard, uint64_t now_ns)
{
    uint64_t since_ns = atomic_load_explicit(&shard->work_since_ns, memory_order_relaxed);
    if (since_ns == 0)
        return;
    atomic_store_explicit(&shard->work_since_ns, 0, memory_order_relaxed);
    uint64_t worked_ns = sb_time_since(now_ns, since_ns);
    se_stages_record(&shard->stages, SE_HISTOGRAM_turn_ns, worked_ns);
    SB_PROBE2(turn, shard->index, worked_ns);
    if (SB_UNLIKELY(worked_ns > shard->turn_longest_ns))
        shard->turn_longest_ns = worked_ns;
    if (SB_UNLIKELY(worked_ns > shard->log.turn_ns))
        se_shard_log_turn(shard, worked_ns);
}

static uint64_t begin_wait(struct spate_shard *shard, uint64_t until_ns)
{
    bool has_sent = shard->send.counts.trains != shard->waited_trains;
    bool is_resumed = shard->is_wait_cut && !has_sent;
    shard->waited_trains = shard->send.counts.trains;
    return se_spin_begin(&shard->spin, has_sent ? SE_WAIT_SENT : SE_WAIT_QUIET, is_resumed,
                         shard->now_ns, until_ns);
}

/* Spins for the window that spin.h chooses, then sleeps, until a timer is due (`until_ns`) and at
 * most until `limit_ns`.  `may_pause`: the turn may end after the spinning, and the next turn
 * sleeps; so the program sees a signal that came while the shard spun.  A shard that waits for a
 * transmit slot always sleeps, because the kernel is busy sending. */
static int wait_until(struct spate_shard *shard, uint64_t limit_ns, uint64_t until_ns,
                      bool may_pause)
{
    bool is_short_of_slots = shard->is_short_of_slots;
    uint64_t start_ns = shard->now_ns;
    se_shard_end_work(shard, start_ns);
    uint64_t window_ns = begin_wait(shard, until_ns);
    struct se_wait_result result = {0};
    int error = 0;
    if (window_ns > 0 && !is_short_of_slots) {
        uint64_t spin_until_ns = sb_time_add(start_ns, window_ns);
        error = spin(shard, sb_time_min(spin_until_ns, until_ns), &result.has_work);
        result.spun_ns = sb_time_since(shard->now_ns, start_ns);
        shard->counts.own.spun_ns += result.spun_ns;
    }
    bool may_sleep = window_ns != SB_NEVER || is_short_of_slots;
    bool is_over = result.has_work || shard->now_ns >= until_ns || !may_sleep ||
                   (may_pause && result.spun_ns > 0);
    if (error == 0 && !is_over) {
        result.has_slept = true;
        until_ns = sb_time_min(limit_ns, se_shard_sleep_ns(shard));
        error = sleep_until_work(shard, until_ns, is_short_of_slots, &result.has_work);
    } else {
        shard->now_ns = se_clock_now_ns();
    }
    result.end_ns = shard->now_ns;
    result.is_call = se_shard_is_called(shard);
    result.is_timeup = shard->now_ns >= until_ns;
    shard->is_wait_cut = !result.has_work;
    se_spin_end(&shard->spin, &result);
    return error;
}

/* Looks for completions without waiting.  Makes a system call only if there is a reason for one. */
static int poll_once(struct spate_shard *shard)
{
    int error = 0;
    if (su_ring_queued(&shard->ring) > 0 || su_ring_needs_enter(&shard->ring))
        error = su_ring_enter(&shard->ring, 0);
    shard->now_ns = se_shard_clock_ns(shard);
    se_stages_on_submitted(&shard->stages, shard->now_ns);
    se_shard_end_work(shard, shard->now_ns);
    shard->is_wait_cut = shard->is_wait_cut && !has_work(shard);
    return error;
}

/* Hands trains to the host and takes what it has given: neither waits. */
static int exchange(struct spate_shard *shard)
{
    int error = poll_once(shard);
    if (atomic_load(&shard->is_wake_wanted))
        (void)atomic_exchange(&shard->is_wake_wanted, false);
    return error == -EBUSY || error == -EAGAIN ? 0 : error;
}

int se_shard_wait(struct spate_shard *shard, uint64_t wait_ns)
{
    if (SB_UNLIKELY(su_ring_backend(&shard->ring) == SU_BACKEND_HOST))
        return exchange(shard);
    if (SB_UNLIKELY(su_ring_is_lent(&shard->ring)))
        wait_ns = 0; /* the lender waits */
    uint64_t limit_ns = wait_ns == 0 ? 0 : sb_time_add(shard->now_ns, wait_ns);
    if (shard->spin.limit_ns == SB_NEVER)
        limit_ns = sb_time_min(limit_ns, sb_time_add(shard->now_ns, SPIN_TURN_NS));
    uint64_t until_ns = sb_time_min(limit_ns, se_shard_next_ns(shard));
    int error = until_ns > shard->now_ns
                    ? wait_until(shard, limit_ns, until_ns, wait_ns == SB_NEVER)
                    : poll_once(shard);
    atomic_store_explicit(&shard->work_since_ns, shard->now_ns, memory_order_relaxed);
    /* An exchange, not a plain store: a store could overwrite a wake that comes at this moment, and
     * the program would not look again at what that waker has set. */
    if (atomic_load(&shard->is_wake_wanted))
        (void)atomic_exchange(&shard->is_wake_wanted, false);
    /* -EBUSY and -EAGAIN are no failures: the shard must take completions first, and does so next.
     */
    return error == -EBUSY || error == -EAGAIN ? 0 : error;
}

/* ---- before the first wait ---- */

static void insert_sorted(uint64_t *values, uint32_t count, uint64_t value)
{
    uint32_t at = count;
    for (; at > 0 && values[at - 1] > value; at--)
        values[at] = values[at - 1];
    values[at] = value;
}

void se_shard_calibrate(struct spate_shard *shard)
{
    uint64_t cpu_ns[CALIBRATION_SLEEPS];
    uint64_t late_ns[CALIBRATION_SLEEPS];
    uint32_t count = 0;
    if (!se_spin_is_adaptive(&shard->spin))
        return;
    (void)take_preemption(shard); /* earlier preemptions do not count */
    int slack_ns = prctl(PR_GET_TIMERSLACK);
    if (su_ring_backend(&shard->ring) == SU_BACKEND_MMSG && slack_ns > 0)
        shard->timer_slack_ns = (uint64_t)slack_ns;
    for (uint32_t i = 0; i < CALIBRATION_SLEEPS; i++) {
        uint64_t start_ns = se_clock_now_ns();
        uint64_t start_cpu_ns = se_clock_thread_cpu_ns();
        int error = su_ring_enter(&shard->ring, CALIBRATION_SLEEP_NS);
        uint64_t used_ns = se_clock_thread_cpu_ns() - start_cpu_ns;
        uint64_t end_ns = se_clock_now_ns();
        uint64_t until_ns = start_ns + CALIBRATION_SLEEP_NS;
        if (error != 0 || su_ring_is_ready(&shard->ring))
            break; /* the first turn handles it */
        if (end_ns < until_ns)
            continue; /* a signal */
        insert_sorted(cpu_ns, count, used_ns);
        insert_sorted(late_ns, count, lateness_ns(shard, until_ns, end_ns));
        count++;
    }
    if (count > CALIBRATION_RANK)
        se_spin_calibrate(&shard->spin, cpu_ns[CALIBRATION_RANK], late_ns[CALIBRATION_RANK]);
}
