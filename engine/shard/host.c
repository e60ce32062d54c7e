/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard.h"

/* A shard in the event loop of its host, which polls one descriptor and never waits in a turn.
 *
 * A turn that waits queues what the kernel needs, hands it over, and marks the shard as asleep, all
 * in one system call.  A host waits elsewhere, so spate_shard_deadline_ns() does these steps, in
 * the same order as a sleep (uring/wake.h): S1 marks the shard, S2 looks at the posts once more; S3
 * is the host's poll, and the next turn begins with S4. */

#include <errno.h>

#include "engine/base/clock.h"
#include "proto/base/assert.h"

int spate_shard_fd(struct spate_shard *shard)
{
    int result = se_shard_claim(shard);
    return result == 0 ? su_ring_poll_fd(&shard->ring) : result;
}

/* Returns true if a connection has something to send that the next turn can send: also one in the
 * line of a flow group that is open, or that lacked a slot. */
static bool can_send(const struct spate_shard *shard)
{
    bool is_any = !sb_list_is_empty(&shard->send_pending) || shard->has_more_in_line ||
                  shard->is_short_of_slots;
    return is_any && su_send_free_count(&shard->send) > 0;
}

static bool is_due(const struct spate_shard *shard)
{
    return se_shard_has_leftovers(shard) || can_send(shard) || !sb_list_is_empty(&shard->asking) ||
           !sb_list_is_empty(&shard->event_pending) || shard->shutdown.visits_left > 0 ||
           atomic_load(&shard->calls) != 0;
}

/* Hands the kernel what must not wait for the next turn, and begins the wait.  Returns false if a
 * turn is due, because the kernel takes nothing now or has completed something. */
static bool begin_wait(struct spate_shard *shard)
{
    se_shard_maintain(shard);
    if (su_ring_backend(&shard->ring) == SU_BACKEND_HOST)
        (void)!su_ring_poll_fd(&shard->ring); /* a host without threads does not ask for it */
    if (su_ring_submit(&shard->ring) != 0)
        return false;
    shard->is_host_polling = true;
    return su_ring_poll_begin(&shard->ring);
}

uint64_t spate_shard_deadline_ns(struct spate_shard *shard)
{
    if (se_shard_claim(shard) != 0 || shard->error != 0 || shard->is_in_turn)
        return 0; /* the turn returns the error */
    if (is_due(shard) || !begin_wait(shard))
        return 0;
    se_shard_end_work(shard, se_clock_now_ns());
    su_wake_sleep_in_poll(&shard->wake);
    return se_shard_is_called(shard) ? 0 : se_shard_sleep_ns(shard);
}

const struct timespec *spate_shard_timeout(struct spate_shard *shard, struct timespec *ret)
{
    uint64_t due_ns = spate_shard_deadline_ns(shard);
    if (due_ns == SPATE_FOREVER)
        return NULL;
    uint64_t now_ns = due_ns == 0 ? 0 : se_shard_clock_ns(shard);
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    *ret = (struct timespec){
        .tv_sec = (time_t)(wait_ns / SB_S),
        .tv_nsec = (long)(wait_ns % SB_S),
    };
    return ret;
}

void se_shard_end_host_wait(struct spate_shard *shard)
{
    shard->is_host_polling = false;
    su_wake_up(&shard->wake);
    su_ring_poll_end(&shard->ring);
}
