/* SPDX-License-Identifier: MIT */
#include "engine/conn/conn_table.h"

/* Linear probing over entries of half a cache line.
 *
 * While the table grows there are two arrays.  Every change moves the next MOVES entries of the old
 * one, which is done long before the new one is full: it has room for twice as many.  An entry that
 * was moved stays in the old array, because probes go on over it, but counts no longer.
 *
 * An entry keeps the hash of its key: most probes that miss are decided by one comparison of 32
 * bits, and a removal needs no second hash to close its gap.  Keys are compared without an
 * early end, because a stateless reset token is a secret. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

_Static_assert(sizeof(struct se_table_entry) == 32, "two entries a cache line");

/* Entries of the old array that each change looks at: 4 would be enough. */
#define MOVES 8

#define CAPACITY_MIN 64u

static size_t size_of(const struct se_table_array *array)
{
    return ((size_t)array->mask + 1) * sizeof(array->entries[0]);
}

/* Zeroed by calloc(), which does not touch the pages of a large array. */
static bool array_make(struct se_table *table, uint32_t capacity, struct se_table_array *ret)
{
    struct se_table_array array = {.mask = capacity - 1};
    if (table->memory != NULL && !se_memory_charge(table->memory, size_of(&array)))
        return false;
    array.entries = calloc(capacity, sizeof(array.entries[0]));
    if (array.entries == NULL) {
        if (table->memory != NULL)
            se_memory_refund(table->memory, size_of(&array));
        return false;
    }
    *ret = array;
    return true;
}

static void array_free(struct se_table *table, struct se_table_array *array)
{
    if (array->entries != NULL && table->memory != NULL)
        se_memory_refund(table->memory, size_of(array));
    free(array->entries);
    *array = (struct se_table_array){0};
}

/* Returns the capacity for `count` keys: 4/5 of it at most.  That is for what connections have been
 * promised; they use half of it. */
static uint32_t capacity_for(uint32_t count)
{
    uint64_t capacity = CAPACITY_MIN;
    while (4 * capacity < 5 * (uint64_t)count)
        capacity *= 2;
    return (uint32_t)capacity;
}

int se_table_init(struct se_table *table, uint32_t count_max, struct se_siphash_key hash_key,
                  struct se_memory *memory)
{
    SB_ASSERT(count_max > 0 && count_max <= UINT32_MAX / 4);
    *table = (struct se_table){.hash_key = hash_key, .count_max = count_max, .memory = memory};
    return array_make(table, CAPACITY_MIN, &table->now) ? 0 : -ENOMEM;
}

void se_table_deinit(struct se_table *table)
{
    array_free(table, &table->now);
    array_free(table, &table->old);
    *table = (struct se_table){0};
}

/* key_size of an entry of the old array that was removed: it equals no key. */
#define REMOVED UINT8_MAX

/* A value is stored plus one, so that zeroed memory is a table of free entries and need not be
 * initialised. */
static uint32_t value_of(const struct se_table_entry *entry)
{
    return entry->value - 1;
}

static bool is_free(const struct se_table_entry *entry)
{
    return entry->value == 0;
}

static uint32_t hash_of(const struct se_table *table, const uint8_t *key, size_t size)
{
    return (uint32_t)se_siphash(&table->hash_key, key, size);
}

/* Takes the same time wherever the keys differ. */
static bool key_is(const struct se_table_entry *entry, const uint8_t *key, size_t size)
{
    if (entry->key_size != size)
        return false;
    uint64_t difference = 0;
    size_t i = 0;
    for (; i + 8 <= size; i += 8)
        difference |= sb_load_u64(entry->key + i) ^ sb_load_u64(key + i);
    for (; i < size; i++)
        difference |= entry->key[i] ^ key[i];
    return difference == 0;
}

/* Returns the index of the entry with the key, or of the free entry where it would be inserted. */
static uint32_t probe(const struct se_table_array *array, const uint8_t *key, size_t size,
                      uint32_t hash)
{
    uint32_t at = hash & array->mask;
    while (!is_free(&array->entries[at])) {
        const struct se_table_entry *entry = &array->entries[at];
        if (entry->hash == hash && key_is(entry, key, size))
            break;
        at = (at + 1) & array->mask;
    }
    return at;
}

/* Returns the entry with the key, or NULL. */
static struct se_table_entry *find(const struct se_table *table, const uint8_t *key, size_t size,
                                   uint32_t hash)
{
    uint32_t at = probe(&table->now, key, size, hash);
    if (!is_free(&table->now.entries[at]))
        return &table->now.entries[at];
    if (SB_LIKELY(table->old.entries == NULL))
        return NULL;
    at = probe(&table->old, key, size, hash);
    bool is_here = at >= table->moved && !is_free(&table->old.entries[at]);
    return is_here ? &table->old.entries[at] : NULL;
}

/* ---- Growing ---- */

/* Moves the next entries of the old array, and frees it after the last. */
static void move_some(struct se_table *table, uint32_t count)
{
    struct se_table_array *now = &table->now;
    for (; table->old.entries != NULL && count > 0; count--) {
        const struct se_table_entry *entry = &table->old.entries[table->moved++];
        if (!is_free(entry) && entry->key_size != REMOVED) {
            uint32_t at = entry->hash & now->mask;
            while (!is_free(&now->entries[at]))
                at = (at + 1) & now->mask;
            now->entries[at] = *entry;
        }
        if (table->moved > table->old.mask)
            array_free(table, &table->old);
    }
}

static bool grow(struct se_table *table, uint32_t capacity)
{
    struct se_table_array larger;
    table->last = NULL;
    move_some(table, UINT32_MAX); /* rarely any: see MOVES */
    if (!array_make(table, capacity, &larger))
        return false;
    table->old = table->now;
    table->now = larger;
    table->moved = 0;
    if (table->count == 0)
        array_free(table, &table->old);
    return true;
}

bool se_table_reserve(struct se_table *table, uint32_t count)
{
    uint32_t capacity = capacity_for(SB_MIN(count, table->count_max));
    return capacity <= table->now.mask + 1 || grow(table, capacity);
}

bool se_table_can_shrink(const struct se_table *table)
{
    return table->count == 0 && table->now.mask + 1 > CAPACITY_MIN;
}

void se_table_shrink(struct se_table *table)
{
    if (!se_table_can_shrink(table))
        return;
    table->last = NULL;
    array_free(table, &table->old);
    struct se_table_array larger = table->now;
    if (array_make(table, CAPACITY_MIN, &table->now))
        array_free(table, &larger);
}

/* ---- Operations ---- */

int se_table_insert(struct se_table *table, const uint8_t *key, size_t size, uint32_t value)
{
    SB_ASSERT(size <= SE_TABLE_KEY_SIZE_MAX && value < SE_TABLE_NONE);
    uint32_t hash = hash_of(table, key, size);
    table->last = NULL;
    move_some(table, MOVES);
    if (find(table, key, size, hash) != NULL)
        return -EEXIST;
    if (table->count == table->count_max || !se_table_reserve(table, table->count + 1))
        return -ENOSPC;

    struct se_table_entry *entry = &table->now.entries[probe(&table->now, key, size, hash)];
    entry->hash = hash;
    entry->value = value + 1;
    entry->key_size = (uint8_t)size;
    memcpy(entry->key, key, size);
    table->count++;
    return 0;
}

uint32_t se_table_find(const struct se_table *table, const uint8_t *key, size_t size)
{
    if (size > SE_TABLE_KEY_SIZE_MAX)
        return SE_TABLE_NONE;
    const struct se_table_entry *entry = find(table, key, size, hash_of(table, key, size));
    return entry == NULL ? SE_TABLE_NONE : value_of(entry);
}

uint32_t se_table_find_again(struct se_table *table, const uint8_t *key, size_t size)
{
    if (size > SE_TABLE_KEY_SIZE_MAX)
        return SE_TABLE_NONE;
    if (SB_UNLIKELY(table->last == NULL || !key_is(table->last, key, size)))
        table->last = find(table, key, size, hash_of(table, key, size));
    return table->last == NULL ? SE_TABLE_NONE : value_of(table->last);
}

/* Moves back what a probe would no longer reach over the gap at `gap`. */
static void close_gap(struct se_table_array *array, uint32_t gap)
{
    for (uint32_t at = (gap + 1) & array->mask; !is_free(&array->entries[at]);
         at = (at + 1) & array->mask) {
        uint32_t home = array->entries[at].hash & array->mask;
        uint32_t from_home = (at - home) & array->mask;
        uint32_t from_gap = (at - gap) & array->mask;
        if (from_home >= from_gap) {
            array->entries[gap] = array->entries[at];
            gap = at;
        }
    }
    memset(&array->entries[gap], 0, sizeof(array->entries[gap]));
}

bool se_table_remove(struct se_table *table, const uint8_t *key, size_t size, uint32_t value)
{
    table->last = NULL;
    move_some(table, MOVES);
    struct se_table_entry *entry = find(table, key, size, hash_of(table, key, size));
    if (entry == NULL || value_of(entry) != value)
        return false;
    SB_ASSERT(table->count > 0);
    table->count--;
    if (entry >= table->now.entries && entry <= table->now.entries + table->now.mask)
        close_gap(&table->now, (uint32_t)(entry - table->now.entries));
    else
        entry->key_size = REMOVED; /* closing the gap could move one over `moved` */
    return true;
}

void se_table_check(const struct se_table *table)
{
    const struct se_table_array *arrays[] = {&table->now, &table->old};
    uint32_t count = 0;
    for (size_t i = 0; i < SB_COUNT(arrays); i++) {
        const struct se_table_array *array = arrays[i];
        for (uint32_t at = i == 0 ? 0 : table->moved; array->entries != NULL && at <= array->mask;
             at++) {
            const struct se_table_entry *entry = &array->entries[at];
            if (is_free(entry) || entry->key_size == REMOVED)
                continue;
            SB_ASSERT(hash_of(table, entry->key, entry->key_size) == entry->hash);
            SB_ASSERT(find(table, entry->key, entry->key_size, entry->hash) == entry);
            count++;
        }
    }
    SB_ASSERT(count == table->count && count <= table->count_max);
    SB_ASSERT(capacity_for(count) <= table->now.mask + 1);
}
