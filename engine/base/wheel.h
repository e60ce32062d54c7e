/* SPDX-License-Identifier: MIT */
#ifndef SE_WHEEL_H
#define SE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "proto/base/time.h"

/* A hierarchical timing wheel: arming, moving and removing a timer is O(1), whatever
 * their number.  (Varghese and Lauck, 1987; the level is found by the highest bit in which the
 * due time and now differ, as in William Ahern's timeout.c.)
 *
 * Time is cut into ticks of 8.2 us.  A timer pops at the end of the tick in which its deadline
 * lies: up to one tick late, and never early.  The digits of all levels hold every tick of the
 * clock.  With fewer there would be a border that no timer can be armed beyond, and one of a wheel
 * that stands before it would pop at once, again and again.
 *
 * Deadlines that are multiples of 33.6 ms are coarse: their owners share them so that one wake-up
 * serves many, and none of them is urgent.  They pop after all others that are due. */

#define SE_WHEEL_TICK_SHIFT 13
#define SE_WHEEL_LEVELS     9
#define SE_WHEEL_SLOT_SHIFT 6
#define SE_WHEEL_SLOTS      (1 << SE_WHEEL_SLOT_SHIFT)
_Static_assert(SE_WHEEL_TICK_SHIFT + SE_WHEEL_LEVELS * SE_WHEEL_SLOT_SHIFT >= 64,
               "all times of 64 bits have a slot");

/* What contains a timer: for its owner, the wheel does not look at it. */
enum se_timer_kind {
    SE_TIMER_CONN,
    SE_TIMER_TOMBSTONE,
    SE_TIMER_MEMORY, /* of the shard */
    SE_TIMER_STAT,   /* of the shard: the turn that it brings publishes */
    SE_TIMER_TASK,
    SE_TIMER_HANDOVER, /* of the engine, in shard 0 */
};

struct se_timer {
    struct sb_link link;
    uint64_t due_tick;
    uint8_t level; /* SE_WHEEL_LEVELS: it is due, or held */
    uint8_t slot;
    enum se_timer_kind kind;
};

/* Of all timers in slot s of level l: due_tick and now_tick agree above level l, and in
 * level l s > the digit of now_tick (on level 0: >=).  occupied[l] has bit s <=> the slot
 * has members. */
struct se_wheel {
    uint64_t now_tick;
    uint64_t quiet_tick; /* no occupied slot begins before it: until then nothing is looked for */
    uint64_t occupied[SE_WHEEL_LEVELS];
    struct sb_link slots[SE_WHEEL_LEVELS][SE_WHEEL_SLOTS];
    struct sb_link due;
    struct sb_link due_coarse;
    struct sb_link held;
    uint32_t count;
};

void se_wheel_init(struct se_wheel *wheel, uint64_t now_ns);

static inline void se_timer_init(struct se_timer *timer)
{
    sb_list_init(&timer->link);
}

static inline bool se_timer_is_armed(const struct se_timer *timer)
{
    return sb_link_is_in(&timer->link);
}

/* Whether its deadline is coarse.  The timer was armed, and may be no more. */
static inline bool se_timer_is_coarse(const struct se_timer *timer)
{
    return (timer->due_tick & ((UINT64_C(1) << 2 * SE_WHEEL_SLOT_SHIFT) - 1)) == 0;
}

/* Arms the timer, or moves it.  SB_NEVER disarms it. */
void se_wheel_set(struct se_wheel *wheel, struct se_timer *timer, uint64_t deadline_ns);

/* Disarms it, if it is armed. */
void se_wheel_remove(struct se_wheel *wheel, struct se_timer *timer);

/* Disarms and returns the next timer whose deadline has passed, or returns NULL.  Coarse ones are
 * last.  `now_ns` never goes backwards. */
struct se_timer *se_wheel_pop(struct se_wheel *wheel, uint64_t now_ns);

/* Holds a timer that se_wheel_pop() has returned: it is armed, and pops after se_wheel_release().
 */
void se_wheel_hold(struct se_wheel *wheel, struct se_timer *timer);
void se_wheel_release(struct se_wheel *wheel);

static inline bool se_wheel_is_holding(const struct se_wheel *wheel)
{
    return !sb_list_is_empty(&wheel->held);
}

/* Returns a time before which se_wheel_pop() returns nothing; SB_NEVER if nothing is armed but
 * what is held.  It may be earlier than the first deadline while that is far away; that happens a
 * few times per timer. */
uint64_t se_wheel_next_ns(const struct se_wheel *wheel);

/* Returns the timer with the first deadline; NULL if none is armed, if se_wheel_pop() has found
 * several that are due, or if too many share its slot.  Its deadline is exact, where
 * se_wheel_next_ns() returns what may be earlier. */
struct se_timer *se_wheel_first(const struct se_wheel *wheel);

static inline uint64_t se_timer_due_ns(const struct se_timer *timer)
{
    return timer->due_tick << SE_WHEEL_TICK_SHIFT;
}

/* Asserts the invariant by a walk over everything. */
void se_wheel_check(const struct se_wheel *wheel);

#endif
