/* SPDX-License-Identifier: MIT */
#include "engine/conn/measured.h"

/* A table of fixed size: sets of a few entries, found by a keyed hash of both addresses, so that
 * nobody who chooses addresses can choose whom he drives out of a set. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/conn/conn.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/base/time.h"

_Static_assert(sizeof(struct se_measured_entry) == 72, "<spate/config.h> says how large it is");

struct key {
    struct sp_addr local;
    struct sp_addr remote;
};

int se_measured_init(struct se_measured *measured, uint64_t keep_ns, struct se_siphash_key key)
{
    *measured = (struct se_measured){.keep_ns = keep_ns, .key = key};
    if (keep_ns == 0)
        return 0;
    measured->entries =
        calloc((size_t)SE_MEASURED_SETS * SE_MEASURED_WAYS, sizeof(measured->entries[0]));
    return measured->entries != NULL ? 0 : -ENOMEM;
}

void se_measured_deinit(struct se_measured *measured)
{
    free(measured->entries);
    *measured = (struct se_measured){0};
}

/* Ports differ from connection to connection. */
static struct key key_of(const struct sp_path *path)
{
    struct key key = {.local = path->local, .remote = path->remote};
    key.local.port = key.remote.port = 0;
    return key;
}

static struct se_measured_entry *set_of(const struct se_measured *measured, const struct key *key)
{
    uint8_t bytes[sizeof(*key)];
    memcpy(bytes, key, sizeof(bytes));
    uint64_t set = se_siphash(&measured->key, bytes, sizeof(bytes)) % SE_MEASURED_SETS;
    return &measured->entries[set * SE_MEASURED_WAYS];
}

/* Returns the entry of `key` in `set`, or NULL. */
static struct se_measured_entry *find(struct se_measured_entry *set, const struct key *key)
{
    for (uint32_t i = 0; i < SE_MEASURED_WAYS; i++)
        if (set[i].saved.until_ns != 0 && sp_addr_equal(&set[i].local, &key->local) &&
            sp_addr_equal(&set[i].remote, &key->remote))
            return &set[i];
    return NULL;
}

bool se_measured_take(struct se_measured *measured, const struct sp_path *path, uint64_t now_ns,
                      struct sp_careful_saved *ret)
{
    if (measured->entries == NULL)
        return false;
    const struct key key = key_of(path);
    struct se_measured_entry *entry = find(set_of(measured, &key), &key);
    if (entry == NULL)
        return false;
    const struct sp_careful_saved saved = entry->saved;
    *entry = (struct se_measured_entry){0};
    if (saved.until_ns <= now_ns)
        return false;
    *ret = saved;
    return true;
}

void se_measured_put(struct se_measured *measured, const struct sp_path *path,
                     const struct sp_careful_saved *saved)
{
    if (measured->entries == NULL || path->remote.family == 0)
        return;
    SB_ASSERT(saved->until_ns != 0);
    const struct key key = key_of(path);
    struct se_measured_entry *set = set_of(measured, &key);
    struct se_measured_entry *entry = find(set, &key);
    if (entry == NULL) {
        entry = set;
        for (uint32_t i = 1; i < SE_MEASURED_WAYS; i++)
            if (set[i].saved.until_ns < entry->saved.until_ns)
                entry = &set[i];
    }
    *entry = (struct se_measured_entry){key.local, key.remote, *saved};
}

void se_measured_begin(struct spate_conn *conn)
{
    struct sp_careful_saved saved;
    struct spate_shard *shard = conn->shard;
    if (se_measured_take(&shard->measured, sp_conn_path(conn->proto), shard->now_ns, &saved))
        sp_conn_resume_path(conn->proto, &saved);
}

void se_measured_end(struct spate_conn *conn)
{
    struct sp_careful_saved saved;
    struct spate_shard *shard = conn->shard;
    if (shard->measured.entries == NULL || conn->state < SE_CONN_CONNECTED)
        return;
    uint64_t until_ns = sb_time_add(shard->now_ns, shard->measured.keep_ns);
    if (sp_conn_observe_path(conn->proto, shard->now_ns, until_ns, &saved))
        se_measured_put(&shard->measured, sp_conn_path(conn->proto), &saved);
}
