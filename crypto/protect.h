/* SPDX-License-Identifier: MIT */
#ifndef SC_PROTECT_H
#define SC_PROTECT_H

#include "crypto/aead_fused.h"
#include "proto/packet/protect.h"

/* Packet protection with real ciphers: implements proto/packet/protect.h.
 *
 *     args.protect = sc_protect(sc_fused_best());
 *
 * The context is the fused AES-GCM that keys are made for; with NULL, or one without functions, all
 * keys use OpenSSL.  A key belongs to one thread at a time; any thread may make one, or with pools
 * (struct sc_fused) their owner.  A key takes 2 KB of memory, its successor 1.3 KB.  Making one
 * takes 3 to 5 us; the Initial keys of a connection take 10 us. */
extern const struct sp_protect_ops sc_protect_ops;

static inline struct sp_protect sc_protect(const struct sc_fused *fused)
{
    /* Constant on the other side too. */
    return (struct sp_protect){.ops = &sc_protect_ops, .context = (void *)(uintptr_t)fused};
}

#endif
