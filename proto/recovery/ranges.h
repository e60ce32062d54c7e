/* SPDX-License-Identifier: MIT */
#ifndef SP_RANGES_H
#define SP_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/pool.h"
#include "proto/base/treap.h"

/* A set of numbers as half-open ranges [start, end) in rising order: disjoint, not
 * empty, not even adjacent.
 *
 *     for each range r:  r.start < r.end  and  r.end < r.next.start
 *
 * Work mostly happens at one of the ends or where it happened last: searches look there first.  So
 * a run of numbers that rises or falls costs one step each, and any other search about
 * 2 ln(count). */
struct sp_range {
    struct sp_range *next;
    struct sp_range *prev;
    struct sb_treap_node node;
    uint64_t start;
    uint64_t end;
};

struct sp_ranges {
    struct sb_store *store; /* of struct sp_range, borrowed */
    struct sp_range *first;
    struct sp_range *last;
    struct sb_treap_node *root;
    struct sp_range *cursor; /* where work happened last; NULL if there are no ranges */
    uint32_t count;
};

void sp_ranges_init(struct sp_ranges *ranges, struct sb_store *store);
void sp_ranges_clear(struct sp_ranges *ranges);

/* Adds [start, end); an empty one changes nothing.  False without memory: the set is
 * then as before. */
SB_MUST_USE bool sp_ranges_add(struct sp_ranges *ranges, uint64_t start, uint64_t end);

/* Removes [start, end).  False without memory, which can only happen where it splits one
 * range in two: the set is then as before. */
SB_MUST_USE bool sp_ranges_remove(struct sp_ranges *ranges, uint64_t start, uint64_t end);

/* The first range that reaches beyond `value`, or NULL. */
struct sp_range *sp_ranges_beyond(struct sp_ranges *ranges, uint64_t value);

bool sp_ranges_contain(const struct sp_ranges *ranges, uint64_t value);

static inline bool sp_ranges_is_empty(const struct sp_ranges *ranges)
{
    return ranges->first == NULL;
}

/* Asserts the invariant above. */
void sp_ranges_check(const struct sp_ranges *ranges);

#endif
