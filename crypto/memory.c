/* SPDX-License-Identifier: MIT */
#include "crypto/memory.h"

/* A pool for each size class.  There are few, because each takes at least one block, and a shard
 * may have a budget of 1 MiB: the sizes are those of the objects that there are. */

#include <string.h>

#include <openssl/crypto.h>

/* Names; header protection; a key; certificates with an elliptic curve; what is kept of TLS;
 * others; chains. */
static const uint16_t sizes[SC_MEMORY_POOLS] = {32, 96, 176, 432, 512, 1152, 2016};

void sc_memory_init(struct sc_memory *memory, struct sb_memory *source)
{
    *memory = (struct sc_memory){.context = NULL};
    for (uint32_t i = 0; i < SC_MEMORY_POOLS; i++)
        sb_pool_init(&memory->pools[i], "crypto", sizes[i], UINT32_MAX, UINT32_MAX, source);
}

void sc_memory_deinit(struct sc_memory *memory)
{
    for (uint32_t i = 0; i < SC_MEMORY_POOLS; i++)
        sb_pool_deinit(&memory->pools[i]);
}

/* Returns the pool for `size` bytes; NULL: they come from the heap. */
static struct sb_pool *pool_of(struct sc_memory *memory, size_t size)
{
    for (uint32_t i = 0; memory != NULL && i < SC_MEMORY_POOLS; i++)
        if (size <= sizes[i])
            return &memory->pools[i];
    return NULL;
}

void *sc_memory_take(struct sc_memory *memory, size_t size)
{
    struct sb_pool *pool = pool_of(memory, size);
    return pool != NULL ? sb_pool_take(pool) : OPENSSL_malloc(size);
}

void sc_memory_give(struct sc_memory *memory, void *at, size_t size)
{
    struct sb_pool *pool = pool_of(memory, size);
    if (at == NULL)
        return;
    OPENSSL_cleanse(at, size);
    if (pool != NULL)
        sb_pool_give(pool, at);
    else
        OPENSSL_free(at);
}

char *sc_memory_take_text(struct sc_memory *memory, const char *text)
{
    if (text == NULL)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = sc_memory_take(memory, size);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

void sc_memory_give_text(struct sc_memory *memory, char *text)
{
    if (text != NULL)
        sc_memory_give(memory, text, strlen(text) + 1);
}

bool sc_memory_charge(struct sc_memory *memory, uint64_t size)
{
    return memory == NULL || memory->charge == NULL || memory->charge(memory->context, size);
}

void sc_memory_refund(struct sc_memory *memory, uint64_t size)
{
    if (memory != NULL && memory->refund != NULL)
        memory->refund(memory->context, size);
}
