/* SPDX-License-Identifier: MIT */
#ifndef SE_CONN_TABLE_H
#define SE_CONN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/siphash.h"
#include "proto/base/compiler.h"

struct se_memory;

/* Maps a connection ID, or a stateless reset token, to a connection's index.
 *
 * Open addressing with linear probing, a keyed hash, and removal that closes the gap.  The table is
 * at most 4/5 full, and half full where connections have taken half of the room that was reserved
 * for them.  It doubles as it fills: the entries of the old array move to the new one a few at a
 * time, so that no insertion takes long, and until then both are searched.
 *
 * The key of the hash is random: unauthenticated peers choose the CIDs of their first packets and
 * must not be able to choose their places in the table.  A stored token is compared in constant
 * time, and the probed entries depend on the keyed hash only. [RFC9000 10.3.1] */

#define SE_TABLE_KEY_SIZE_MAX 20
#define SE_TABLE_NONE         UINT32_MAX

struct se_table_entry {
    uint32_t hash;
    uint32_t value; /* the value plus one; 0: the entry is free */
    uint8_t key_size;
    uint8_t key[SE_TABLE_KEY_SIZE_MAX];
};

struct se_table_array {
    struct se_table_entry *entries;
    uint32_t mask;
};

/* count <= count_max, count <= 4/5 of the capacity of `now` */
struct se_table {
    struct se_table_array now;
    struct se_table_array old; /* entries before `moved` are in `now`; NULL: there is no old one */
    uint32_t moved;
    uint32_t count;
    uint32_t count_max;
    const struct se_table_entry *last; /* of se_table_find_again(); NULL: a change came since */
    struct se_siphash_key hash_key;
    struct se_memory *memory; /* is charged for the arrays; may be NULL */
};

/* 0 or -ENOMEM.  `hash_key` is random.  `memory` is borrowed; NULL: nothing is charged. */
SB_MUST_USE int se_table_init(struct se_table *table, uint32_t count_max,
                              struct se_siphash_key hash_key, struct se_memory *memory);
void se_table_deinit(struct se_table *table); /* accepts all zero */

/* Makes room for `count` keys in all, so that insertions up to that cannot fail.  Returns false
 * without memory. */
SB_MUST_USE bool se_table_reserve(struct se_table *table, uint32_t count);

/* Returns true if the table is empty and larger than an empty table has to be. */
bool se_table_can_shrink(const struct se_table *table);
/* Gives back what such a table does not need. */
void se_table_shrink(struct se_table *table);

/* Inserts a key.  Returns 0, -EEXIST (the table has the key already, with this or another value),
 * or -ENOSPC (at count_max, or without memory to grow).  Changes nothing on failure. */
SB_MUST_USE int se_table_insert(struct se_table *table, const uint8_t *key, size_t size,
                                uint32_t value);

/* Returns the value of a key, or SE_TABLE_NONE. */
uint32_t se_table_find(const struct se_table *table, const uint8_t *key, size_t size);

/* The same where the key is mostly that of the last call: it is not hashed then. */
uint32_t se_table_find_again(struct se_table *table, const uint8_t *key, size_t size);

/* Removes the key if the table has it with this `value`.  Returns true if it did. */
bool se_table_remove(struct se_table *table, const uint8_t *key, size_t size, uint32_t value);

/* Asserts that every entry can be found. */
void se_table_check(const struct se_table *table);

#endif
