/* SPDX-License-Identifier: MIT */
#ifndef SC_MEMORY_H
#define SC_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/pool.h"

/* Memory of what TLS and packet protection keep for the life of a connection: keys, names, the
 * peer's certificate.  It comes from pools of the owner, one thread's.
 *
 * On the heap these small objects would stand between the large ones of OpenSSL, which come and go
 * with each handshake, and each would keep a page of theirs in the process.
 *
 * All functions take NULL in the place of a struct sc_memory: then it is the heap. */

enum { SC_MEMORY_POOLS = 7 };

struct sc_memory {
    struct sb_pool pools[SC_MEMORY_POOLS];
    /* Count bytes that OpenSSL allocates for a key, for the owner's budget.  charge() returns
     * false, and has counted nothing, beyond its limit. */
    bool (*charge)(void *context, uint64_t size);
    void (*refund)(void *context, uint64_t size);
    void *context;
};

/* `source` is borrowed and must outlive it.  The caller sets the functions afterwards, or leaves
 * them NULL: nothing is counted.  It may not be moved. */
void sc_memory_init(struct sc_memory *memory, struct sb_memory *source);

/* Everything must have come back. */
void sc_memory_deinit(struct sc_memory *memory);

/* Returns `size` bytes of undefined content, or NULL.  What is larger than all pools comes from the
 * heap. */
SB_MUST_USE void *sc_memory_take(struct sc_memory *memory, size_t size);

/* Wipes them and gives them back; `size` is that of sc_memory_take().  NULL is accepted. */
void sc_memory_give(struct sc_memory *memory, void *at, size_t size);

/* A copy of a text, or NULL without memory or for NULL; sc_memory_give_text() gives it back. */
SB_MUST_USE char *sc_memory_take_text(struct sc_memory *memory, const char *text);
void sc_memory_give_text(struct sc_memory *memory, char *text);

SB_MUST_USE bool sc_memory_charge(struct sc_memory *memory, uint64_t size);
void sc_memory_refund(struct sc_memory *memory, uint64_t size);

#endif
