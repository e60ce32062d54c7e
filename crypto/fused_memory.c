/* SPDX-License-Identifier: MIT */
#include "crypto/aead_fused.h"

/* Memory of fused keys and of their schedules: from the pools of their owner, or from the heap.
 *
 * Pools, because keys come and go: a connection that is idle gives them back.  On the heap they
 * would leave holes between what stays, which the process keeps. */

#include <openssl/crypto.h>

struct sc_fused_key *sc_fused_key_take(const struct sc_fused *fused)
{
    return fused->keys != NULL ? sb_pool_take(fused->keys)
                               : OPENSSL_malloc(sizeof(struct sc_fused_key));
}

struct sc_fused_schedule *sc_fused_schedule_take(const struct sc_fused *fused)
{
    return fused->schedules != NULL ? sb_pool_take(fused->schedules)
                                    : OPENSSL_malloc(sizeof(struct sc_fused_schedule));
}

static void wipe_and_give(struct sb_pool *pool, void *object, size_t size)
{
    if (object == NULL)
        return;
    OPENSSL_cleanse(object, size);
    if (pool != NULL)
        sb_pool_give(pool, object);
    else
        OPENSSL_free(object);
}

void sc_fused_key_give(const struct sc_fused *fused, struct sc_fused_key *key)
{
    wipe_and_give(fused->keys, key, sizeof(*key));
}

void sc_fused_schedule_give(const struct sc_fused *fused, struct sc_fused_schedule *schedule)
{
    wipe_and_give(fused->schedules, schedule, sizeof(*schedule));
}
