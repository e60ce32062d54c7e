/* SPDX-License-Identifier: MIT */
#include "engine/base/ring_mpsc.h"

/* Vyukov's bounded queue, with one consumer.
 *
 * A producer takes a number by a compare-and-swap of `tail`, fills the cell of that number and
 * publishes it by the cell's sequence.  The consumer owns `head`, and gives a cell back by the
 * same sequence.  P1, P2 and C1, C2 in the comments name the acquire and release that pair up.
 *
 * Closing sets a bit of `tail`: from then on every compare-and-swap fails, so no producer gets a
 * number, and those that have one still fill their cells. */

#include <errno.h>
#include <stddef.h>

#include "proto/base/assert.h"

_Static_assert(offsetof(struct se_mpsc, head) - offsetof(struct se_mpsc, tail) >= SB_CACHE_LINE,
               "producers and the consumer must not share a line");

void se_mpsc_init(struct se_mpsc *q, struct se_mpsc_cell *cells, uint32_t cell_count)
{
    SB_ASSERT(cells != NULL);
    SB_ASSERT(cell_count >= 2 && (cell_count & (cell_count - 1)) == 0);

    q->mask = cell_count - 1;
    q->cells = cells;
    q->head = 0;
    atomic_init(&q->tail, 0);
    for (uint32_t i = 0; i < cell_count; i++)
        atomic_init(&cells[i].sequence, i);
}

int se_mpsc_push(struct se_mpsc *q, const struct se_post *post)
{
    uint64_t number = atomic_load_explicit(&q->tail, memory_order_relaxed);
    struct se_mpsc_cell *cell;

    for (;;) {
        if (number & SE_MPSC_CLOSED)
            return -ESHUTDOWN;
        cell = &q->cells[number & q->mask];
        /* P1 acquire, pairs with C2: the consumer has copied the post out before the cell is
         * seen as free. */
        uint64_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        if (sequence == number) {
            /* Relaxed: the number only selects the producer of the cell; P2 publishes the cell. */
            if (atomic_compare_exchange_weak_explicit(&q->tail, &number, number + 1,
                                                      memory_order_relaxed, memory_order_relaxed))
                break;
        } else if (sequence < number) {
            return -EAGAIN; /* the cell still holds the post from one lap ago */
        } else {
            number = atomic_load_explicit(&q->tail, memory_order_relaxed);
        }
    }

    cell->post = *post;
    /* P2 release, pairs with C1: the post is in the cell before its sequence says so. */
    atomic_store_explicit(&cell->sequence, number + 1, memory_order_release);
    return 0;
}

void se_mpsc_close(struct se_mpsc *q)
{
    /* Relaxed: `tail` only gives numbers away; the cells are published by P2. */
    (void)atomic_fetch_or_explicit(&q->tail, SE_MPSC_CLOSED, memory_order_relaxed);
}

bool se_mpsc_is_drained(const struct se_mpsc *q)
{
    return atomic_load_explicit(&q->tail, memory_order_relaxed) == (q->head | SE_MPSC_CLOSED);
}

bool se_mpsc_pop(struct se_mpsc *q, struct se_post *ret)
{
    struct se_mpsc_cell *cell = &q->cells[q->head & q->mask];
    uint64_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire); /* C1 */
    if (sequence != q->head + 1)
        return false;

    *ret = cell->post;
    atomic_store_explicit(&cell->sequence, q->head + q->mask + 1, memory_order_release); /* C2 */
    q->head++;
    return true;
}

bool se_mpsc_has(const struct se_mpsc *q)
{
    const struct se_mpsc_cell *cell = &q->cells[q->head & q->mask];
    return atomic_load_explicit(&cell->sequence, memory_order_acquire) == q->head + 1;
}
