/* SPDX-License-Identifier: MIT */
#ifndef SE_CONN_TABLE_H
#define SE_CONN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/siphash.h"
#include "proto/base/compiler.h"

/* From a connection ID, or a stateless reset token, to a connection's index.
 *
 * Open addressing with linear probing, a keyed hash, and removal that closes the gap, so
 * that there are no tombstones.  The table is made for its largest count at once and is at
 * most half full; memory that is never touched is never committed.
 *
 * The key of the hash is random: strangers choose the CIDs of their first packets and
 * must not be able to choose where those land.  A stored token is compared in constant time, and
 * what is probed depends on the keyed hash only. [RFC9000 10.3.1] */

#define SE_TABLE_KEY_SIZE_MAX 20
#define SE_TABLE_NONE         UINT32_MAX

struct se_table_entry {
    uint32_t hash;
    uint32_t value; /* plus one; 0: free */
    uint8_t key_size;
    uint8_t key[SE_TABLE_KEY_SIZE_MAX];
};

struct se_table {
    struct se_table_entry *entries;
    struct se_siphash_key hash_key;
    uint32_t mask;
    uint32_t count;
    uint32_t count_max;
};

/* 0 or -ENOMEM.  `hash_key` is random. */
SB_MUST_USE int se_table_init(struct se_table *table, uint32_t count_max,
                              struct se_siphash_key hash_key);
void se_table_deinit(struct se_table *table); /* accepts all zero */

/* 0, -EEXIST (the key is there already, for whatever value: nothing changed), or -ENOSPC. */
SB_MUST_USE int se_table_insert(struct se_table *table, const uint8_t *key, size_t size,
                                uint32_t value);

/* The value, or SE_TABLE_NONE. */
uint32_t se_table_find(const struct se_table *table, const uint8_t *key, size_t size);

/* Removes the key if it is there and belongs to `value`; true if so. */
bool se_table_remove(struct se_table *table, const uint8_t *key, size_t size, uint32_t value);

/* Asserts that every entry can be found. */
void se_table_check(const struct se_table *table);

#endif
