/* SPDX-License-Identifier: MIT */
#include "test/interop/relay/link_queue.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 256 };

#define NS_PER_S UINT64_C(1000000000)

void link_queue_init(struct link_queue *queue, uint64_t start_ns)
{
    *queue = (struct link_queue){.start_ns = start_ns, .busy_until_ns = start_ns};
}

void link_queue_deinit(struct link_queue *queue)
{
    free(queue->waiting);
    queue->waiting = NULL;
}

bool link_rate_is_limited(const struct link_rate *rate)
{
    return rate->bits_per_s != 0 || rate->step_count != 0;
}

void link_queue_advance(struct link_queue *queue, uint64_t now_ns)
{
    while (queue->count > 0 && queue->waiting[queue->head].leaves_ns <= now_ns) {
        queue->bytes -= queue->waiting[queue->head].bytes;
        queue->head = (queue->head + 1) & (queue->room - 1);
        queue->count--;
    }
}

uint64_t link_queue_wait_ns(const struct link_queue *queue, uint64_t now_ns)
{
    return queue->busy_until_ns > now_ns ? queue->busy_until_ns - now_ns : 0;
}

/* Returns the step at `ns` after the start of the list.  The search goes on where the last one
 * ended, because time does. */
static const struct link_step *step_at(struct link_queue *queue, const struct link_rate *rate,
                                       uint64_t ns)
{
    if (queue->step > 0 && ns < rate->steps[queue->step - 1].end_ns)
        queue->step = 0;
    while (ns >= rate->steps[queue->step].end_ns)
        queue->step++;
    return &rate->steps[queue->step];
}

/* Returns when `bytes` have left of which the first leaves at `from_ns`. */
static uint64_t end_of(struct link_queue *queue, const struct link_rate *rate, uint64_t from_ns,
                       size_t bytes)
{
    uint64_t bits = (uint64_t)bytes * 8;
    if (rate->step_count == 0)
        return from_ns + bits * NS_PER_S / rate->bits_per_s;
    uint64_t period_ns = rate->steps[rate->step_count - 1].end_ns;
    for (;;) {
        uint64_t at_ns = (from_ns - queue->start_ns) % period_ns;
        const struct link_step *step = step_at(queue, rate, at_ns);
        uint64_t needed_ns = bits * NS_PER_S / step->bits_per_s;
        uint64_t left_ns = step->end_ns - at_ns;
        if (needed_ns <= left_ns)
            return from_ns + needed_ns;
        uint64_t gone = (uint64_t)((double)left_ns * (double)step->bits_per_s / 1e9);
        bits -= gone < bits ? gone : bits;
        from_ns += left_ns;
    }
}

static bool grow(struct link_queue *queue)
{
    size_t room = queue->room > 0 ? 2 * queue->room : ROOM_FIRST;
    struct link_waiting *waiting = malloc(room * sizeof(*waiting));
    if (waiting == NULL)
        return false;
    for (size_t i = 0; i < queue->count; i++)
        waiting[i] = queue->waiting[(queue->head + i) & (queue->room - 1)];
    free(queue->waiting);
    queue->waiting = waiting;
    queue->room = room;
    queue->head = 0;
    return true;
}

bool link_queue_add(struct link_queue *queue, const struct link_rate *rate, uint64_t now_ns,
                    size_t bytes, uint64_t *ret_ns)
{
    if (queue->count == queue->room && !grow(queue))
        return false;
    uint64_t from_ns = queue->busy_until_ns > now_ns ? queue->busy_until_ns : now_ns;
    queue->busy_until_ns = end_of(queue, rate, from_ns, bytes);
    queue->waiting[(queue->head + queue->count) & (queue->room - 1)] =
        (struct link_waiting){.leaves_ns = queue->busy_until_ns, .bytes = bytes};
    queue->count++;
    queue->bytes += bytes;
    *ret_ns = queue->busy_until_ns;
    return true;
}
