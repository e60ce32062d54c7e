/* SPDX-License-Identifier: MIT */
#ifndef SC_PROTECT_H
#define SC_PROTECT_H

#include "proto/protect.h"

/* Packet protection with real ciphers: what proto/protect.h asks for.
 *
 *     args.protect = sc_protect();
 *
 * Needs no context.  A key belongs to one thread at a time; makers: any thread.
 * A key takes 2 KB of memory, its successor 1.3 KB, and 3 to 5 us to make; the Initial
 * keys of a connection take 10 us. */
extern const struct sp_protect_ops sc_protect_ops;

static inline struct sp_protect sc_protect(void)
{
    return (struct sp_protect){.ops = &sc_protect_ops};
}

/* The cipher suite of a key. */
enum sp_suite sc_protect_suite(const struct sp_key *key);

#endif
