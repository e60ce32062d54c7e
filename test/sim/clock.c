/* SPDX-License-Identifier: MIT */
#include "test/sim/clock.h"

#include <stdlib.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

void qs_clock_init(struct qs_clock *clock, uint64_t now_ns)
{
    *clock = (struct qs_clock){.now_ns = now_ns};
}

void qs_clock_deinit(struct qs_clock *clock)
{
    free(clock->heap);
    *clock = (struct qs_clock){0};
}

static bool is_before(const struct qs_due *a, const struct qs_due *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void qs_clock_at(struct qs_clock *clock, uint64_t at_ns, qs_action action, void *context,
                 void *argument)
{
    SB_ASSERT(at_ns != SB_NEVER);
    if (clock->count == clock->capacity) {
        clock->capacity = clock->capacity == 0 ? 256 : 2 * clock->capacity;
        clock->heap = realloc(clock->heap, clock->capacity * sizeof(*clock->heap));
        SB_ASSERT(clock->heap != NULL);
    }

    struct qs_due due = {
        .at_ns = at_ns > clock->now_ns ? at_ns : clock->now_ns,
        .order = clock->next_order++,
        .action = action,
        .context = context,
        .argument = argument,
    };
    size_t at = clock->count++;
    while (at > 0 && is_before(&due, &clock->heap[(at - 1) / 2])) {
        clock->heap[at] = clock->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    clock->heap[at] = due;
}

uint64_t qs_clock_next_ns(const struct qs_clock *clock)
{
    return clock->count == 0 ? SB_NEVER : clock->heap[0].at_ns;
}

bool qs_clock_pop(struct qs_clock *clock, struct qs_due *ret)
{
    if (clock->count == 0)
        return false;
    *ret = clock->heap[0];

    struct qs_due last = clock->heap[--clock->count];
    size_t at = 0;
    for (size_t child = 1; child < clock->count; child = 2 * at + 1) {
        if (child + 1 < clock->count && is_before(&clock->heap[child + 1], &clock->heap[child]))
            child++;
        if (!is_before(&clock->heap[child], &last))
            break;
        clock->heap[at] = clock->heap[child];
        at = child;
    }
    clock->heap[at] = last;
    return true;
}

bool qs_clock_step(struct qs_clock *clock)
{
    struct qs_due due;
    if (!qs_clock_pop(clock, &due))
        return false;
    SB_ASSERT(due.at_ns >= clock->now_ns);
    clock->now_ns = due.at_ns;
    due.action(due.context, due.argument);
    return true;
}
