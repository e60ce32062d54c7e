/* SPDX-License-Identifier: MIT */
#include "engine/base/wheel.h"

/* now_tick moves only in se_wheel_pop(), from one occupied slot to the next; the members of a
 * slot that it reaches are put one level or more further down, or are due.  A timer moves down at
 * most SE_WHEEL_LEVELS times in its life. */

#include "proto/base/assert.h"

#define TICK_NS (UINT64_C(1) << SE_WHEEL_TICK_SHIFT)

#define FIRST_LOOKS 8 /* members of a slot in which se_wheel_first() looks for the first */

static uint32_t digit(uint64_t tick, uint32_t level)
{
    return (uint32_t)(tick >> (level * SE_WHEEL_SLOT_SHIFT)) & (SE_WHEEL_SLOTS - 1);
}

void se_wheel_init(struct se_wheel *wheel, uint64_t now_ns)
{
    *wheel = (struct se_wheel){.now_tick = now_ns >> SE_WHEEL_TICK_SHIFT};
    sb_list_init(&wheel->due);
    sb_list_init(&wheel->due_coarse);
    sb_list_init(&wheel->held);
    for (uint32_t level = 0; level < SE_WHEEL_LEVELS; level++)
        for (uint32_t slot = 0; slot < SE_WHEEL_SLOTS; slot++)
            sb_list_init(&wheel->slots[level][slot]);
}

/* Puts a timer that is in no list where its due_tick belongs. */
static void place(struct se_wheel *wheel, struct se_timer *timer)
{
    uint64_t differing = timer->due_tick ^ wheel->now_tick;
    uint32_t bit = differing == 0 ? 0 : 63 - (uint32_t)__builtin_clzll(differing);
    uint32_t level = bit / SE_WHEEL_SLOT_SHIFT;
    uint32_t slot = digit(timer->due_tick, level);

    timer->level = (uint8_t)level;
    timer->slot = (uint8_t)slot;
    sb_list_push_back(&wheel->slots[level][slot], &timer->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    uint32_t shift = level * SE_WHEEL_SLOT_SHIFT;
    wheel->quiet_tick = SB_MIN(wheel->quiet_tick, timer->due_tick >> shift << shift);
}

void se_wheel_set(struct se_wheel *wheel, struct se_timer *timer, uint64_t deadline_ns)
{
    se_wheel_remove(wheel, timer);
    if (deadline_ns == SB_NEVER)
        return;

    uint64_t due_tick = sb_time_add(deadline_ns, TICK_NS - 1) >> SE_WHEEL_TICK_SHIFT;
    timer->due_tick = SB_MAX(due_tick, wheel->now_tick);
    place(wheel, timer);
    wheel->count++;
}

void se_wheel_remove(struct se_wheel *wheel, struct se_timer *timer)
{
    if (!se_timer_is_armed(timer))
        return;
    SB_ASSERT(wheel->count > 0);
    wheel->count--;
    sb_list_remove(&timer->link);
    if (timer->level == SE_WHEEL_LEVELS)
        return;
    if (sb_list_is_empty(&wheel->slots[timer->level][timer->slot]))
        wheel->occupied[timer->level] &= ~(UINT64_C(1) << timer->slot);
}

/* Returns the tick at which a slot begins. */
static uint64_t first_tick_of(const struct se_wheel *wheel, uint32_t level, uint32_t slot)
{
    uint32_t shift = level * SE_WHEEL_SLOT_SHIFT;
    uint64_t above = wheel->now_tick >> shift >> SE_WHEEL_SLOT_SHIFT;
    return (above << SE_WHEEL_SLOT_SHIFT | slot) << shift;
}

/* Returns the level with the first occupied slot, and the tick at which that slot begins:
 * UINT64_MAX if there is none. */
static uint32_t first_occupied(const struct se_wheel *wheel, uint64_t *ret_tick)
{
    for (uint32_t level = 0; level < SE_WHEEL_LEVELS; level++) {
        if (wheel->occupied[level] == 0)
            continue;
        uint32_t slot = (uint32_t)__builtin_ctzll(wheel->occupied[level]);
        *ret_tick = first_tick_of(wheel, level, slot);
        return level;
    }
    *ret_tick = UINT64_MAX;
    return SE_WHEEL_LEVELS;
}

/* Empties the first occupied slot of `level`, which now_tick has just reached. */
static void cascade(struct se_wheel *wheel, uint32_t level)
{
    uint32_t slot = digit(wheel->now_tick, level);
    struct sb_link *head = &wheel->slots[level][slot];
    struct sb_link *link;

    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    while ((link = sb_list_pop_front(head)) != NULL) {
        struct se_timer *timer = SB_CONTAINER_OF(link, struct se_timer, link);
        if (level > 0) {
            place(wheel, timer);
        } else {
            SB_ASSERT(timer->due_tick == wheel->now_tick);
            timer->level = SE_WHEEL_LEVELS;
            sb_list_push_back(se_timer_is_coarse(timer) ? &wheel->due_coarse : &wheel->due,
                              &timer->link);
        }
    }
}

struct se_timer *se_wheel_pop(struct se_wheel *wheel, uint64_t now_ns)
{
    uint64_t target = now_ns >> SE_WHEEL_TICK_SHIFT;

    while (sb_list_is_empty(&wheel->due)) {
        uint64_t tick = wheel->quiet_tick;
        uint32_t level = SE_WHEEL_LEVELS;
        if (tick <= target)
            level = first_occupied(wheel, &tick);
        if (level == SE_WHEEL_LEVELS || tick > target) {
            wheel->now_tick = SB_MAX(wheel->now_tick, target);
            wheel->quiet_tick = tick;
            break;
        }
        SB_ASSERT(tick >= wheel->now_tick);
        wheel->now_tick = tick;
        cascade(wheel, level);
    }

    struct sb_link *list = sb_list_is_empty(&wheel->due) ? &wheel->due_coarse : &wheel->due;
    if (sb_list_is_empty(list))
        return NULL;
    struct sb_link *link = sb_list_first(list);
    struct se_timer *timer = SB_CONTAINER_OF(link, struct se_timer, link);
    se_wheel_remove(wheel, timer);
    return timer;
}

void se_wheel_hold(struct se_wheel *wheel, struct se_timer *timer)
{
    SB_ASSERT(!se_timer_is_armed(timer));
    timer->level = SE_WHEEL_LEVELS;
    sb_list_push_back(&wheel->held, &timer->link);
    wheel->count++;
}

void se_wheel_release(struct se_wheel *wheel)
{
    struct sb_link *link;
    while ((link = sb_list_pop_front(&wheel->held)) != NULL)
        sb_list_push_back(&wheel->due, link);
}

uint64_t se_wheel_next_ns(const struct se_wheel *wheel)
{
    if (!sb_list_is_empty(&wheel->due) || !sb_list_is_empty(&wheel->due_coarse))
        return 0;
    uint64_t tick;
    if (first_occupied(wheel, &tick) == SE_WHEEL_LEVELS)
        return SB_NEVER;
    return tick << SE_WHEEL_TICK_SHIFT;
}

struct se_timer *se_wheel_first(const struct se_wheel *wheel)
{
    if (!sb_list_is_empty(&wheel->due) || !sb_list_is_empty(&wheel->due_coarse))
        return NULL;
    uint64_t tick;
    uint32_t level = first_occupied(wheel, &tick);
    if (level == SE_WHEEL_LEVELS)
        return NULL;
    struct se_timer *first = NULL;
    uint32_t looks = 0;
    uint32_t slot = (uint32_t)__builtin_ctzll(wheel->occupied[level]);
    SB_LIST_EACH(link, &wheel->slots[level][slot]) {
        struct se_timer *timer = SB_CONTAINER_OF(link, struct se_timer, link);
        if (++looks > FIRST_LOOKS)
            return NULL;
        if (first == NULL || timer->due_tick < first->due_tick)
            first = timer;
    }
    return first;
}

void se_wheel_check(const struct se_wheel *wheel)
{
    uint32_t count = 0;
    SB_LIST_EACH(link, &wheel->due)
        count++;
    SB_LIST_EACH(link, &wheel->due_coarse)
        count++;
    SB_LIST_EACH(link, &wheel->held)
        count++;
    for (uint32_t level = 0; level < SE_WHEEL_LEVELS; level++) {
        uint32_t shift = (level + 1) * SE_WHEEL_SLOT_SHIFT;
        for (uint32_t slot = 0; slot < SE_WHEEL_SLOTS; slot++) {
            const struct sb_link *head = &wheel->slots[level][slot];
            bool is_occupied = (wheel->occupied[level] >> slot & 1) != 0;
            SB_ASSERT(is_occupied == !sb_list_is_empty(head));
            SB_ASSERT(!is_occupied || first_tick_of(wheel, level, slot) >= wheel->quiet_tick);
            SB_LIST_EACH(link, head) {
                const struct se_timer *timer = SB_CONTAINER_OF(link, struct se_timer, link);
                SB_ASSERT(timer->level == level && timer->slot == slot);
                SB_ASSERT(timer->due_tick >> shift == wheel->now_tick >> shift);
                SB_ASSERT(digit(timer->due_tick, level) == slot);
                SB_ASSERT(slot >= digit(wheel->now_tick, level) + (level > 0 ? 1 : 0));
                count++;
            }
        }
    }
    SB_ASSERT(count == wheel->count);
}
