/* SPDX-License-Identifier: MIT */
#ifndef QS_CLOCK_H
#define QS_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Virtual time: a heap of things to happen.  Time stands still while one happens and
 * then jumps to the next.  What is due at the same time happens in the order in which
 * it was asked for, so a run depends on its seed alone. */

typedef void (*qs_action)(void *context, void *argument);

struct qs_due {
    uint64_t at_ns;
    uint64_t order;
    qs_action action;
    void *context;
    void *argument;
};

struct qs_clock {
    uint64_t now_ns;
    uint64_t next_order;
    struct qs_due *heap;
    size_t count;
    size_t capacity;
};

void qs_clock_init(struct qs_clock *clock, uint64_t now_ns);
void qs_clock_deinit(struct qs_clock *clock);

/* Calls `action(context, argument)` at `at_ns`, or next if that has passed.  There is no
 * taking back: the action looks itself whether it is still wanted. */
void qs_clock_at(struct qs_clock *clock, uint64_t at_ns, qs_action action, void *context,
                 void *argument);

/* When the next thing happens; SB_NEVER if nothing does. */
uint64_t qs_clock_next_ns(const struct qs_clock *clock);

/* Goes to the next thing and does it.  False if there is none. */
bool qs_clock_step(struct qs_clock *clock);

/* Takes out the next action without running it: for freeing the arguments at the
 * end of a run. */
bool qs_clock_pop(struct qs_clock *clock, struct qs_due *ret);

#endif
