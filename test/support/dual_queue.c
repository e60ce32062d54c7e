/* SPDX-License-Identifier: MIT */
#include "test/support/dual_queue.h"

/* DualPI2.  [RFC9332 A]
 *
 * Simpler than there in three points: the L4S queue marks by a step and not by a ramp, the shares
 * of the queues are counted by packets, and overload only fills the queue. */

enum { ECN_NOT = 0, ECN_ECT1 = 1, ECN_CE = 3 };

#define NS_PER_S     1e9
#define STEP_NS      UINT64_C(1000000)
#define TARGET_NS    UINT64_C(15000000)
#define UPDATE_NS    UINT64_C(16000000)
#define GAIN_TARGET  0.16 /* Hz: how much p changes per second of the distance from the target */
#define GAIN_CHANGE  3.2  /* Hz: .. and of the change since the update before */
#define COUPLING     2    /* k */
#define L4S_RUN_MAX  15   /* then the classic queue has a turn: 1/16 for it at least */
#define STEP_PACKETS 2    /* a queue of so many is no queue, on a slow link */

void dual_init(struct dual_queue *queue, const struct dual_config *config, uint64_t seed,
               uint64_t now_ns)
{
    *queue = (struct dual_queue){
        .config = *config,
        .busy_until_ns = now_ns,
        .update_ns = now_ns + UPDATE_NS,
        .random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1,
    };
    if (queue->config.step_ns == 0)
        queue->config.step_ns = STEP_NS;
    if (queue->config.target_ns == 0)
        queue->config.target_ns = TARGET_NS;
}

/* xorshift64*; below 1 */
static double draw(struct dual_queue *queue)
{
    queue->random ^= queue->random >> 12;
    queue->random ^= queue->random << 25;
    queue->random ^= queue->random >> 27;
    return (double)(queue->random * UINT64_C(2685821657736338717) >> 11) / 9007199254740992.0;
}

static uint64_t time_of(const struct dual_queue *queue, uint64_t bytes)
{
    return (uint64_t)((double)bytes * 8 * NS_PER_S / (double)queue->config.bits_per_s);
}

/* Returns for how long the first packet of a queue has waited. */
static uint64_t delay_of(const struct dual_queue *queue, int which, uint64_t now_ns)
{
    const struct dual_item *first = queue->fifos[which].first;
    return first != NULL && first->came_ns < now_ns ? now_ns - first->came_ns : 0;
}

/* Computes p as often as is due by `now_ns`. */
static void update(struct dual_queue *queue, uint64_t now_ns)
{
    for (; queue->update_ns <= now_ns; queue->update_ns += UPDATE_NS) {
        uint64_t delay_ns = delay_of(queue, DUAL_CLASSIC, queue->update_ns);
        queue->p += GAIN_TARGET * ((double)delay_ns - (double)queue->config.target_ns) / NS_PER_S +
                    GAIN_CHANGE * ((double)delay_ns - (double)queue->delay_ns) / NS_PER_S;
        queue->p = queue->p < 0 ? 0 : queue->p > 1 ? 1 : queue->p;
        queue->delay_ns = delay_ns;
        if (queue->p == 0 && delay_ns == 0 && queue->update_ns + UPDATE_NS <= now_ns)
            queue->update_ns = now_ns - (now_ns - queue->update_ns) % UPDATE_NS; /* nothing else */
    }
}

bool dual_add(struct dual_queue *queue, struct dual_item *item, uint64_t now_ns)
{
    update(queue, now_ns);
    bool is_l4s = item->ecn == ECN_ECT1 || item->ecn == ECN_CE;
    struct dual_fifo *fifo = &queue->fifos[is_l4s ? DUAL_L4S : DUAL_CLASSIC];
    uint64_t bytes = queue->fifos[DUAL_CLASSIC].bytes + queue->fifos[DUAL_L4S].bytes;
    if (bytes + item->size > queue->config.bytes_max)
        return false;
    item->next = NULL;
    item->came_ns = now_ns;
    item->is_dropped = false;
    if (fifo->first == NULL)
        fifo->first = item;
    else
        fifo->last->next = item;
    fifo->last = item;
    fifo->bytes += item->size;
    return true;
}

uint64_t dual_next_ns(const struct dual_queue *queue)
{
    uint64_t came_ns = UINT64_MAX;
    for (int i = 0; i < DUAL_QUEUES; i++) {
        const struct dual_item *first = queue->fifos[i].first;
        if (first != NULL && first->came_ns < came_ns)
            came_ns = first->came_ns;
    }
    return came_ns == UINT64_MAX || came_ns > queue->busy_until_ns ? came_ns : queue->busy_until_ns;
}

static struct dual_item *pop(struct dual_queue *queue, int which)
{
    struct dual_fifo *fifo = &queue->fifos[which];
    struct dual_item *item = fifo->first;
    fifo->first = item->next;
    fifo->bytes -= item->size;
    return item;
}

/* Returns whether the L4S queue is the next: it goes before the other one, but has no more than
 * L4S_RUN_MAX packets in a row. */
static bool is_l4s_next(const struct dual_queue *queue, uint64_t at_ns)
{
    const struct dual_item *l4s = queue->fifos[DUAL_L4S].first;
    const struct dual_item *classic = queue->fifos[DUAL_CLASSIC].first;
    bool has_l4s = l4s != NULL && l4s->came_ns <= at_ns;
    bool has_classic = classic != NULL && classic->came_ns <= at_ns;
    return has_l4s && (!has_classic || queue->l4s_run < L4S_RUN_MAX);
}

/* Marks what has waited for long, and as much more as the classic queue asks for. */
static void judge_l4s(struct dual_queue *queue, struct dual_item *item, uint64_t at_ns)
{
    uint64_t step_ns = queue->config.step_ns,
             packets_ns = time_of(queue, item->size) * STEP_PACKETS;
    bool is_long = at_ns - item->came_ns > (step_ns > packets_ns ? step_ns : packets_ns);
    if ((is_long || draw(queue) < COUPLING * queue->p) && item->ecn != ECN_CE) {
        item->ecn = ECN_CE;
        queue->marked_count++;
    }
}

static void judge_classic(struct dual_queue *queue, struct dual_item *item)
{
    if (draw(queue) >= queue->p * queue->p)
        return;
    if (item->ecn == ECN_NOT) {
        item->is_dropped = true;
        queue->dropped_count++;
    } else {
        item->ecn = ECN_CE;
        queue->marked_count++;
    }
}

struct dual_item *dual_take(struct dual_queue *queue, uint64_t now_ns)
{
    uint64_t at_ns = dual_next_ns(queue);
    if (at_ns == UINT64_MAX || at_ns > now_ns)
        return NULL;
    update(queue, at_ns);
    bool is_l4s = is_l4s_next(queue, at_ns);
    struct dual_item *item = pop(queue, is_l4s ? DUAL_L4S : DUAL_CLASSIC);
    queue->l4s_run = is_l4s ? queue->l4s_run + 1 : 0;
    if (is_l4s)
        judge_l4s(queue, item, at_ns);
    else
        judge_classic(queue, item);
    item->begins_ns = at_ns;
    item->leaves_ns = at_ns + (item->is_dropped ? 0 : time_of(queue, item->size));
    queue->busy_until_ns = item->leaves_ns;
    return item;
}

struct dual_item *dual_take_back(struct dual_queue *queue)
{
    for (int i = 0; i < DUAL_QUEUES; i++)
        if (queue->fifos[i].first != NULL)
            return pop(queue, i);
    return NULL;
}
