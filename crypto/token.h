/* SPDX-License-Identifier: MIT */
#ifndef SC_TOKEN_H
#define SC_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/types.h"

/* Address validation tokens that need no state at the server.  [RFC9000 8.1.2, 8.1.4]
 *
 * A token is sealed with a key that follows from the engine's token key and the hour.  Any process
 * that has the token key can open it.  That of a Retry is bound to the client's IP address and
 * port, and names both connection IDs that a server must confirm after a Retry [RFC9000 7.3].  Both
 * kinds name the version of QUIC that they were given for.  A token of another version must not be
 * accepted.  [RFC9369 5] */
struct sc_tokens;

enum {
    SC_TOKEN_KEY_SIZE = 32,
    SC_TOKEN_NONCE_SIZE = 12,
    SC_TOKEN_SIZE = 88, /* of every token; well below SP_RETRY_TOKEN_SIZE_MAX */
};

/* A Retry token is good for this time: a client answers a Retry at once, and sends its answer again
 * when that gets lost. */
#define SC_TOKEN_RETRY_NS (10 * SB_S)

/* A token of NEW_TOKEN is good for a day.  [RFC9000 8.1.3] */
#define SC_TOKEN_NEW_NS (24 * 3600 * SB_S)

/* What a token was given for.  It is the first byte of the token. */
enum sc_token_kind {
    SC_TOKEN_RETRY = 0xa1, /* in a Retry packet */
    SC_TOKEN_NEW = 0xa2,   /* in a NEW_TOKEN frame: bound to the address without the port, because a
                              later connection comes from another one */
};

struct sc_token {
    enum sc_token_kind kind;
    uint32_t version;            /* of QUIC, of the connection that got it */
    uint64_t issued_ns;          /* of the wall clock, which processes share */
    struct sp_cid original_dcid; /* RETRY */
    struct sp_cid retry_scid;
};

/* Keeps a copy of `key`.  Returns NULL without memory.  One owner, one thread: make one for each
 * shard from the same key. */
struct sc_tokens *sc_tokens_create(const uint8_t key[SC_TOKEN_KEY_SIZE]);

/* Seals `token` for the client at `address` (its `scope` and `family` do not count).  `nonce` is
 * random.  Returns false without memory; `ret` is undefined then. */
SB_MUST_USE bool sc_token_seal(struct sc_tokens *tokens, const struct sc_token *token,
                               const struct sp_addr *address,
                               const uint8_t nonce[SC_TOKEN_NONCE_SIZE],
                               uint8_t ret[SC_TOKEN_SIZE]);

enum sc_token_result {
    SC_TOKEN_VALID,
    SC_TOKEN_FOREIGN, /* made with another key or by other software, or no token at all */
    SC_TOKEN_INVALID, /* made with this key by its looks, but expired, forged or for another address
                       */
};

/* Opens the token of an Initial that came from `address`.  `wall_ns`: now, of the wall clock; the
 * clocks of processes that share a key may differ by SC_TOKEN_RETRY_NS.  `*ret` is written only if
 * the result is SC_TOKEN_VALID. */
SB_MUST_USE enum sc_token_result sc_token_open(struct sc_tokens *tokens, struct sb_bytes bytes,
                                               const struct sp_addr *address, uint64_t wall_ns,
                                               struct sc_token *ret);

void sc_tokens_destroy(struct sc_tokens *tokens); /* wipes; NULL is accepted */

#endif
