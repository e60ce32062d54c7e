/* SPDX-License-Identifier: MIT */
#include "engine/net/budget.h"

/* The handshake budget.
 *
 * An attacker with forged source addresses can fill any table of unproven handshakes.  Three rules
 * keep others able to connect:
 *
 *   - From a quarter of the budget on, AUTO demands a proof of the address first, by Retry.  That
 *     needs no place.  So the rest of the budget belongs to clients that receive what we send.
 *   - One prefix holds at most an eighth of the budget with unproven handshakes.  AUTO answers
 *     those beyond it with Retry, NEVER lets them take the place of the prefix's oldest.
 *   - In a full budget the oldest unproven handshake gives way.  Without one, the oldest handshake
 *     of a prefix with more than a quarter of the budget does, to clients of other prefixes.
 *
 * What an attacker's packet costs here is a hash, one more if it gets a place, and at most
 * SE_EVICT_STEPS_MAX steps of a list. */

#include <string.h>

#include "proto/base/assert.h"

static uint32_t at_least_one(uint32_t value)
{
    return SB_MAX(value, 1u);
}

void se_budget_init(struct se_budget *budget, const struct se_budget_limits *limits,
                    struct se_siphash_key key)
{
    uint32_t least = SB_MIN(limits->handshakes_max, SB_MIN(limits->conns_max, limits->memory_max));
    *budget = (struct se_budget){
        .key = key,
        .count_max = limits->handshakes_max,
        .retry_from = at_least_one(least / 4),
        .prefix_max = at_least_one(limits->handshakes_max / 8),
        .prefix_fair = at_least_one(limits->handshakes_max / 4),
    };
    sb_list_init(&budget->unproven);
    sb_list_init(&budget->proven);
}

/* An IPv4 address that came by an IPv6 socket counts as itself. */
static uint16_t row_of(const struct se_budget *budget, const struct sp_addr *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    enum { V4_PREFIX_SIZE = 3, V6_PREFIX_SIZE = 7 };
    bool is_mapped = address->family == 6 && memcmp(address->ip, mapped, sizeof(mapped)) == 0;
    bool is_v4 = address->family == 4 || is_mapped;
    uint8_t prefix[1 + V6_PREFIX_SIZE] = {is_v4 ? 4 : 6};
    size_t size = is_v4 ? V4_PREFIX_SIZE : V6_PREFIX_SIZE;
    memcpy(prefix + 1, address->ip + (is_mapped ? sizeof(mapped) : 0), size);
    return (uint16_t)(se_siphash(&budget->key, prefix, 1 + size) % SE_PREFIXES);
}

static struct se_budget_entry *entry_of(struct sb_link *link)
{
    return SB_CONTAINER_OF(link, struct se_budget_entry, link);
}

static bool is_ripe(const struct se_budget_entry *entry, uint64_t now_ns)
{
    return now_ns - entry->since_ns >= SE_EVICT_AGE_NS;
}

/* Returns the oldest unproven entry of `row` among the first ones, or NULL. */
static struct se_budget_entry *oldest_of_row(struct se_budget *budget, uint16_t row,
                                             uint64_t now_ns)
{
    uint32_t steps = 0;
    SB_LIST_EACH(link, &budget->unproven) {
        struct se_budget_entry *entry = entry_of(link);
        if (!is_ripe(entry, now_ns) || ++steps > SE_EVICT_STEPS_MAX)
            return NULL;
        if (entry->prefix == row)
            return entry;
    }
    return NULL;
}

/* Returns the oldest proven entry of a prefix with more than its fair share, or NULL. */
static struct se_budget_entry *oldest_of_greedy(struct se_budget *budget, uint64_t now_ns)
{
    uint32_t steps = 0;
    SB_LIST_EACH(link, &budget->proven) {
        struct se_budget_entry *entry = entry_of(link);
        if (!is_ripe(entry, now_ns) || ++steps > SE_EVICT_STEPS_MAX)
            return NULL;
        if (budget->prefixes[entry->prefix].count > budget->prefix_fair)
            return entry;
    }
    return NULL;
}

/* Returns the entry that gives way to a newcomer of `row` in a full budget, or NULL. */
static struct se_budget_entry *victim_for(struct se_budget *budget, uint16_t row, uint64_t now_ns)
{
    struct sb_link *link = sb_list_first(&budget->unproven);
    if (link != NULL && is_ripe(entry_of(link), now_ns))
        return entry_of(link);
    if (budget->prefixes[row].count >= budget->prefix_fair)
        return NULL;
    return oldest_of_greedy(budget, now_ns);
}

static void update_retrying(struct se_budget *budget)
{
    if (budget->unproven_count >= budget->retry_from)
        budget->is_retrying = true;
    else if (budget->unproven_count <= budget->retry_from / 2)
        budget->is_retrying = false;
}

static bool wants_proof(const struct se_budget *budget, uint16_t row, enum spate_retry retry)
{
    switch (retry) {
    case SPATE_RETRY_AUTO:
        return budget->is_retrying || budget->prefixes[row].unproven_count >= budget->prefix_max;
    case SPATE_RETRY_ALWAYS:
        return true;
    case SPATE_RETRY_NEVER:
        break;
    }
    return false;
}

enum se_admission se_budget_ask(struct se_budget *budget, const struct se_newcomer *newcomer,
                                struct se_budget_entry **ret_victim)
{
    uint16_t row = row_of(budget, newcomer->address);
    update_retrying(budget);
    if (!newcomer->is_proven && wants_proof(budget, row, newcomer->retry))
        return SE_ADMISSION_RETRY;

    struct se_budget_entry *victim;
    if (!newcomer->is_proven && budget->prefixes[row].unproven_count >= budget->prefix_max)
        victim = oldest_of_row(budget, row, newcomer->now_ns);
    else if (budget->count < budget->count_max && !newcomer->lacks_conn)
        return SE_ADMISSION_ACCEPT;
    else
        victim = victim_for(budget, row, newcomer->now_ns);
    if (victim == NULL)
        return SE_ADMISSION_DROP;
    *ret_victim = victim;
    return SE_ADMISSION_EVICT;
}

void se_budget_join(struct se_budget *budget, struct se_budget_entry *entry,
                    const struct sp_addr *address, bool is_proven, uint64_t now_ns)
{
    SB_ASSERT(budget->count < budget->count_max);
    *entry = (struct se_budget_entry){
        .since_ns = now_ns,
        .prefix = row_of(budget, address),
        .is_proven = is_proven,
    };
    sb_list_init(&entry->link);
    sb_list_push_back(is_proven ? &budget->proven : &budget->unproven, &entry->link);
    budget->count++;
    budget->prefixes[entry->prefix].count++;
    if (!is_proven) {
        budget->unproven_count++;
        budget->prefixes[entry->prefix].unproven_count++;
    }
}

static void forget_unproven(struct se_budget *budget, const struct se_budget_entry *entry)
{
    struct se_prefix *prefix = &budget->prefixes[entry->prefix];
    SB_ASSERT(budget->unproven_count > 0 && prefix->unproven_count > 0);
    budget->unproven_count--;
    prefix->unproven_count--;
}

void se_budget_prove(struct se_budget *budget, struct se_budget_entry *entry)
{
    SB_ASSERT(sb_link_is_in(&entry->link));
    if (entry->is_proven)
        return;
    forget_unproven(budget, entry);
    entry->is_proven = true;
    sb_list_remove(&entry->link);
    sb_list_push_back(&budget->proven, &entry->link);
}

void se_budget_leave(struct se_budget *budget, struct se_budget_entry *entry)
{
    if (!sb_link_is_in(&entry->link))
        return;
    if (!entry->is_proven)
        forget_unproven(budget, entry);
    struct se_prefix *prefix = &budget->prefixes[entry->prefix];
    SB_ASSERT(budget->count > 0 && prefix->count > 0);
    budget->count--;
    prefix->count--;
    sb_list_remove(&entry->link);
}

void se_budget_check(const struct se_budget *budget)
{
    uint32_t unproven_count = 0;
    uint32_t count = 0;
    SB_LIST_EACH(link, &budget->unproven)
        unproven_count++;
    SB_LIST_EACH(link, &budget->proven)
        count++;
    count += unproven_count;
    SB_ASSERT(count == budget->count && count <= budget->count_max);
    SB_ASSERT(unproven_count == budget->unproven_count);
    for (uint32_t i = 0; i < SE_PREFIXES; i++) {
        SB_ASSERT(budget->prefixes[i].unproven_count <= budget->prefixes[i].count);
        SB_ASSERT(count >= budget->prefixes[i].count);
        count -= budget->prefixes[i].count;
        unproven_count -= budget->prefixes[i].unproven_count;
    }
    SB_ASSERT(count == 0 && unproven_count == 0);
}
