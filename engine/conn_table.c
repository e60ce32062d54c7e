/* SPDX-License-Identifier: MIT */
#include "engine/conn_table.h"

/* Linear probing over entries of half a cache line.
 *
 * An entry keeps the hash of its key: most probes that miss are decided by one comparison of 32
 * bits, and a removal needs no second hash to close its gap.  Keys are compared byte by byte
 * without an early end, because a stateless reset token is a secret. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"

_Static_assert(sizeof(struct se_table_entry) == 32, "two entries a cache line");

int se_table_init(struct se_table *table, uint32_t count_max, struct se_siphash_key hash_key)
{
    SB_ASSERT(count_max > 0 && count_max <= UINT32_MAX / 4);
    uint32_t capacity = 16;
    while (capacity < 2 * count_max)
        capacity *= 2;

    struct se_table_entry *entries = calloc(capacity, sizeof(*entries));
    if (entries == NULL)
        return -ENOMEM;
    *table = (struct se_table){
        .entries = entries,
        .hash_key = hash_key,
        .mask = capacity - 1,
        .count_max = count_max,
    };
    return 0;
}

void se_table_deinit(struct se_table *table)
{
    free(table->entries);
    *table = (struct se_table){0};
}

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
    uint8_t difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= entry->key[i] ^ key[i];
    return difference == 0;
}

/* Returns the index of the entry with the key, or of the free entry where it would be inserted. */
static uint32_t probe(const struct se_table *table, const uint8_t *key, size_t size, uint32_t hash)
{
    uint32_t at = hash & table->mask;
    while (!is_free(&table->entries[at])) {
        const struct se_table_entry *entry = &table->entries[at];
        if (entry->hash == hash && key_is(entry, key, size))
            break;
        at = (at + 1) & table->mask;
    }
    return at;
}

int se_table_insert(struct se_table *table, const uint8_t *key, size_t size, uint32_t value)
{
    SB_ASSERT(size <= SE_TABLE_KEY_SIZE_MAX && value < SE_TABLE_NONE);
    uint32_t hash = hash_of(table, key, size);
    struct se_table_entry *entry = &table->entries[probe(table, key, size, hash)];
    if (!is_free(entry))
        return -EEXIST;
    if (table->count == table->count_max)
        return -ENOSPC;

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
    uint32_t at = probe(table, key, size, hash_of(table, key, size));
    return is_free(&table->entries[at]) ? SE_TABLE_NONE : value_of(&table->entries[at]);
}

/* Moves back what a probe would no longer reach over the gap at `gap`. */
static void close_gap(struct se_table *table, uint32_t gap)
{
    for (uint32_t at = (gap + 1) & table->mask; !is_free(&table->entries[at]);
         at = (at + 1) & table->mask) {
        uint32_t home = table->entries[at].hash & table->mask;
        uint32_t from_home = (at - home) & table->mask;
        uint32_t from_gap = (at - gap) & table->mask;
        if (from_home >= from_gap) {
            table->entries[gap] = table->entries[at];
            gap = at;
        }
    }
    memset(&table->entries[gap], 0, sizeof(table->entries[gap]));
}

bool se_table_remove(struct se_table *table, const uint8_t *key, size_t size, uint32_t value)
{
    uint32_t at = probe(table, key, size, hash_of(table, key, size));
    if (is_free(&table->entries[at]) || value_of(&table->entries[at]) != value)
        return false;
    SB_ASSERT(table->count > 0);
    table->count--;
    close_gap(table, at);
    return true;
}

void se_table_check(const struct se_table *table)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at <= table->mask; at++) {
        const struct se_table_entry *entry = &table->entries[at];
        if (is_free(entry))
            continue;
        SB_ASSERT(hash_of(table, entry->key, entry->key_size) == entry->hash);
        SB_ASSERT(probe(table, entry->key, entry->key_size, entry->hash) == at);
        count++;
    }
    SB_ASSERT(count == table->count && count <= table->count_max);
}
