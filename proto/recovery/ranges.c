/* SPDX-License-Identifier: MIT */
#include "proto/recovery/ranges.h"

/* A doubly linked list of ranges from a pool, and a treap (base/treap.h) over them.
 *
 * A search looks at both ends first, then at the cursor, the range of the last change, and its
 * neighbours, and only then descends.  An addition merges with its neighbours, so that ranges never
 * touch.  A removal may split one range: that is the only one that needs memory.
 *
 * What can be attacked: a peer that acknowledges every second packet chooses how many ranges there
 * are and where the next one is.  The priorities come from addresses, which it does not know. */

#include "proto/base/assert.h"
#include "proto/base/steps.h"

void sp_ranges_init(struct sp_ranges *ranges, struct sb_store *store)
{
    SB_ASSERT(store != NULL);
    *ranges = (struct sp_ranges){.store = store};
}

/* ---- The tree ---- */

static struct sp_range *range_of(struct sb_treap_node *node)
{
    return SB_CONTAINER_OF(node, struct sp_range, node);
}

/* Each bit of the address changes about half of them. */
static uint64_t priority_of(const struct sp_range *range)
{
    uint64_t mixed = (uintptr_t)range;
    mixed = (mixed ^ mixed >> 33) * UINT64_C(0xff51afd7ed558ccd);
    mixed = (mixed ^ mixed >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return mixed ^ mixed >> 33;
}

static bool is_above(struct sb_treap_node *a, struct sb_treap_node *b)
{
    return priority_of(range_of(a)) > priority_of(range_of(b));
}

static struct sb_treap_node *node_of(struct sp_range *range)
{
    return range != NULL ? &range->node : NULL;
}

/* ---- The list ---- */

static void unlink_range(struct sp_ranges *ranges, struct sp_range *range)
{
    sb_treap_remove(&ranges->root, &range->node, is_above);
    if (range->prev != NULL)
        range->prev->next = range->next;
    else
        ranges->first = range->next;
    if (range->next != NULL)
        range->next->prev = range->prev;
    else
        ranges->last = range->prev;
    if (ranges->cursor == range)
        ranges->cursor = range->prev != NULL ? range->prev : range->next;

    SB_ASSERT(ranges->count > 0);
    ranges->count--;
    sb_store_give(ranges->store, range);
}

/* Inserts a new range after `after`, or first if that is NULL. */
static bool link_range(struct sp_ranges *ranges, struct sp_range *after, uint64_t start,
                       uint64_t end)
{
    struct sp_range *range = sb_store_take(ranges->store);
    if (range == NULL)
        return false;

    struct sp_range *before = after != NULL ? after->next : ranges->first;
    *range = (struct sp_range){.next = before, .prev = after, .start = start, .end = end};
    if (after != NULL)
        after->next = range;
    else
        ranges->first = range;
    if (before != NULL)
        before->prev = range;
    else
        ranges->last = range;
    sb_treap_insert(&ranges->root, &range->node, node_of(after), node_of(before), is_above);
    ranges->cursor = range;
    ranges->count++;
    return true;
}

/* The last range that begins at or before `value`, or NULL. */
static struct sp_range *find(const struct sp_ranges *ranges, uint64_t value)
{
    struct sp_range *at = ranges->cursor;
    if (at == NULL || value < ranges->first->start)
        return NULL;
    if (value >= ranges->last->start)
        return ranges->last;

    /* Neither end is what is looked for: so a range before that of the cursor has a next one. */
    if (at->start > value)
        at = at->prev;
    else if (at->next->start <= value)
        at = at->next;
    if (at->start <= value && value < at->next->start)
        return at;

    struct sp_range *found = NULL;
    for (struct sb_treap_node *node = ranges->root; node != NULL;
         node = node->child[at->start <= value]) {
        SB_STEP();
        at = range_of(node);
        if (at->start <= value)
            found = at;
    }
    return found;
}

void sp_ranges_clear(struct sp_ranges *ranges)
{
    while (ranges->first != NULL)
        unlink_range(ranges, ranges->first);
}

bool sp_ranges_add(struct sp_ranges *ranges, uint64_t start, uint64_t end)
{
    SB_ASSERT(start <= end);
    if (start == end)
        return true;

    /* `at` is the last range that begins at or before `end`: the only one that
     * can swallow the new one's upper edge. */
    struct sp_range *at = find(ranges, end);
    if (at == NULL || at->end < start)
        return link_range(ranges, at, start, end);

    ranges->cursor = at;
    if (end > at->end)
        at->end = end;
    if (start < at->start)
        at->start = start;
    while (at->prev != NULL && at->prev->end >= at->start) {
        at->start = SB_MIN(at->start, at->prev->start);
        unlink_range(ranges, at->prev);
    }
    return true;
}

bool sp_ranges_remove(struct sp_ranges *ranges, uint64_t start, uint64_t end)
{
    SB_ASSERT(start <= end);
    if (start == end)
        return true;

    struct sp_range *at = find(ranges, end - 1);
    if (at != NULL)
        ranges->cursor = at;

    /* Only the uppermost range can reach past `end`. */
    if (at != NULL && at->end > end) {
        if (at->start < start) {
            if (!link_range(ranges, at, end, at->end))
                return false;
            at->end = start;
            return true;
        }
        at->start = end;
        at = at->prev;
    }
    while (at != NULL && at->end > start) {
        struct sp_range *prev = at->prev;
        if (at->start < start) {
            at->end = start;
            break;
        }
        unlink_range(ranges, at);
        at = prev;
    }
    return true;
}

bool sp_ranges_contain(const struct sp_ranges *ranges, uint64_t value)
{
    const struct sp_range *at = find(ranges, value);
    return at != NULL && value < at->end;
}

struct sp_range *sp_ranges_beyond(struct sp_ranges *ranges, uint64_t value)
{
    struct sp_range *at = find(ranges, value);
    if (at == NULL)
        return ranges->first;
    ranges->cursor = at;
    return at->end > value ? at : at->next;
}

static void check_in_tree(const struct sp_ranges *ranges, const struct sp_range *range)
{
    const struct sb_treap_node *node = &range->node;
    SB_ASSERT((node->parent == NULL) == (ranges->root == node));
    for (uint32_t side = 0; side < 2; side++) {
        struct sb_treap_node *child = node->child[side];
        SB_ASSERT(child == NULL || (child->parent == node && !is_above(child, child->parent) &&
                                    (range_of(child)->start > range->start) == (side == 1)));
    }
}

void sp_ranges_check(const struct sp_ranges *ranges)
{
    uint32_t count = 0;
    bool has_cursor = ranges->cursor == NULL;
    const struct sp_range *prev = NULL;
    for (const struct sp_range *at = ranges->first; at != NULL; prev = at, at = at->next) {
        has_cursor |= at == ranges->cursor;
        SB_ASSERT(at->start < at->end);
        SB_ASSERT(at->prev == prev);
        SB_ASSERT(prev == NULL || prev->end < at->start);
        check_in_tree(ranges, at);
        count++;
    }
    SB_ASSERT(ranges->last == prev && (ranges->root == NULL) == (prev == NULL));
    SB_ASSERT(has_cursor && (ranges->cursor == NULL) == (ranges->first == NULL));
    SB_ASSERT(ranges->count == count);
}
