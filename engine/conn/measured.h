/* SPDX-License-Identifier: MIT */
#ifndef SE_MEASURED_H
#define SE_MEASURED_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/siphash.h"
#include "proto/base/compiler.h"
#include "proto/recovery/careful.h"
#include "proto/wire/types.h"

/* What connections have measured of their paths, for later ones: resume_path_ns of the
 * configuration.  [RFC9959]
 *
 * The table is the shard's, and not a part of tickets, because a server's ticket leaves before
 * anything was measured, and because this way both roles have it, nobody else can read or alter it,
 * and a connection without a ticket has it too.
 *
 * An entry belongs to one connection at a time: who takes it removes it, and puts it back when it
 * ends.  So of many connections that begin at once one jumps.  [RFC9959] */

struct spate_conn;

enum {
    SE_MEASURED_SETS = 256,
    SE_MEASURED_WAYS = 4, /* paths that may share a place */
};

struct se_measured_entry {
    struct sp_addr local; /* without ports */
    struct sp_addr remote;
    struct sp_careful_saved saved; /* until_ns 0: the entry is free */
};

struct se_measured {
    struct se_measured_entry *entries; /* NULL: nothing is remembered */
    uint64_t keep_ns;
    struct se_siphash_key key;
};

/* `keep_ns` 0: nothing is remembered.  Returns 0 or -ENOMEM. */
SB_MUST_USE int se_measured_init(struct se_measured *measured, uint64_t keep_ns,
                                 struct se_siphash_key key);
void se_measured_deinit(struct se_measured *measured);

/* Takes what is known about `path`.  Returns false if that is nothing, or too old at `now_ns`. */
bool se_measured_take(struct se_measured *measured, const struct sp_path *path, uint64_t now_ns,
                      struct sp_careful_saved *ret);

/* Puts something in the place of what was known.  Without room, what would end first is forgotten.
 */
void se_measured_put(struct se_measured *measured, const struct sp_path *path,
                     const struct sp_careful_saved *saved);

/* The connection is connected: it takes what is known about its path. */
void se_measured_begin(struct spate_conn *conn);

/* The connection ends: it puts back what it knows. */
void se_measured_end(struct spate_conn *conn);

#endif
