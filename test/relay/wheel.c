/* SPDX-License-Identifier: MIT */
#include "test/relay/wheel.h"

#include <stdlib.h>

_Static_assert(WHEEL_WORDS / 64 == 64, "one word of bits at the top");

bool wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    *wheel = (struct wheel){.tick = now_ns >> WHEEL_TICK_BITS};
    wheel->slots = calloc(WHEEL_SLOTS, sizeof(*wheel->slots));
    return wheel->slots != NULL;
}

void wheel_deinit(struct wheel *wheel)
{
    free(wheel->slots);
    wheel->slots = NULL;
}

static void mark_used(struct wheel *wheel, uint32_t slot)
{
    wheel->words[slot / 64] |= UINT64_C(1) << (slot % 64);
    wheel->groups[slot / 4096] |= UINT64_C(1) << (slot / 64 % 64);
    wheel->top |= UINT64_C(1) << (slot / 4096);
}

static void mark_empty(struct wheel *wheel, uint32_t slot)
{
    wheel->words[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    if (wheel->words[slot / 64] != 0)
        return;
    wheel->groups[slot / 4096] &= ~(UINT64_C(1) << (slot / 64 % 64));
    if (wheel->groups[slot / 4096] == 0)
        wheel->top &= ~(UINT64_C(1) << (slot / 4096));
}

/* Returns the bits from `from` on, up to 64. */
static uint64_t bits_from(uint64_t bits, uint32_t from)
{
    return from < 64 ? bits >> from << from : 0;
}

static uint32_t lowest(uint64_t bits)
{
    return (uint32_t)__builtin_ctzll(bits);
}

/* Returns the first slot from `slot` on that has an item, or WHEEL_SLOTS. */
static uint32_t find_from(const struct wheel *wheel, uint32_t slot)
{
    uint32_t word = slot / 64;
    uint64_t bits = bits_from(wheel->words[word], slot % 64);
    if (bits != 0)
        return word * 64 + lowest(bits);
    uint32_t group = word / 64;
    bits = bits_from(wheel->groups[group], word % 64 + 1);
    if (bits == 0) {
        bits = bits_from(wheel->top, group + 1);
        if (bits == 0)
            return WHEEL_SLOTS;
        group = lowest(bits);
        bits = wheel->groups[group];
    }
    word = group * 64 + lowest(bits);
    return word * 64 + lowest(wheel->words[word]);
}

/* Yields the tick of the first slot with an item.  Returns false without items. */
static bool find_first(const struct wheel *wheel, uint64_t *ret_tick)
{
    if (wheel->count == 0)
        return false;
    uint32_t at = (uint32_t)(wheel->tick % WHEEL_SLOTS);
    uint32_t slot = find_from(wheel, at);
    if (slot == WHEEL_SLOTS)
        slot = find_from(wheel, 0);
    *ret_tick = wheel->tick + (slot - at + WHEEL_SLOTS) % WHEEL_SLOTS;
    return true;
}

void wheel_add(struct wheel *wheel, struct wheel_item *item)
{
    uint64_t tick = item->due_ns >> WHEEL_TICK_BITS;
    if (tick < wheel->tick)
        tick = wheel->tick;
    if (tick - wheel->tick >= WHEEL_SLOTS)
        tick = wheel->tick + WHEEL_SLOTS - 1;
    uint32_t slot = (uint32_t)(tick % WHEEL_SLOTS);
    struct wheel_slot *s = &wheel->slots[slot];
    item->next = NULL;
    if (s->first == NULL)
        s->first = item;
    else
        s->last->next = item;
    s->last = item;
    mark_used(wheel, slot);
    wheel->count++;
}

static struct wheel_item *remove_first(struct wheel *wheel, uint32_t slot)
{
    struct wheel_slot *s = &wheel->slots[slot];
    struct wheel_item *item = s->first;
    s->first = item->next;
    if (s->first == NULL)
        mark_empty(wheel, slot);
    wheel->count--;
    return item;
}

uint64_t wheel_next_ns(const struct wheel *wheel)
{
    uint64_t tick;
    if (!find_first(wheel, &tick))
        return WHEEL_NEVER;
    const struct wheel_item *item = wheel->slots[tick % WHEEL_SLOTS].first;
    bool is_far = item->due_ns >> WHEEL_TICK_BITS > tick;
    return is_far ? tick << WHEEL_TICK_BITS : item->due_ns;
}

struct wheel_item *wheel_take(struct wheel *wheel, uint64_t now_ns)
{
    uint64_t now = now_ns >> WHEEL_TICK_BITS;
    uint64_t tick;
    while (find_first(wheel, &tick) && tick <= now) {
        uint32_t slot = (uint32_t)(tick % WHEEL_SLOTS);
        wheel->tick = tick;
        struct wheel_item *item = wheel->slots[slot].first;
        if (item->due_ns >> WHEEL_TICK_BITS > tick) /* it was too far away for a slot of its own */
            wheel_add(wheel, remove_first(wheel, slot));
        else
            return item->due_ns <= now_ns ? remove_first(wheel, slot) : NULL;
    }
    if (wheel->tick < now)
        wheel->tick = now;
    return NULL;
}
