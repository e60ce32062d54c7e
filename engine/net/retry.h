/* SPDX-License-Identifier: MIT */
#ifndef SE_RETRY_H
#define SE_RETRY_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/token.h"
#include "engine/config/config.h"
#include "proto/base/compiler.h"
#include "proto/wire/stateless.h"

struct se_entropy;

/* Retry: the proof of an address before any state is made for it.  [RFC9000 8.1.2]
 *
 *     an Initial without a token   -> se_retry_write()
 *     an Initial with a token      -> se_retry_open() -> a connection -> se_retry_use()
 */

enum {
    /* Tokens that are remembered as used, the latest in their rows.  A token is good for ten
     * seconds: beyond some hundred handshakes per second an old one may be forgotten early. */
    SE_RETRY_USED = 2048,

    SE_RETRY_SIZE = 1 + 4 + 1 + SP_CID_SIZE_MAX + 1 + SP_CID_SIZE_MAX + SC_TOKEN_SIZE + SP_TAG_SIZE,
};

struct se_retry {
    struct sc_tokens *tokens;
    uint64_t used[SE_RETRY_USED]; /* the ends of tokens that made a connection; 0: free */
};

/* Returns 0 or -ENOMEM.  `key` is copied. */
SB_MUST_USE int se_retry_init(struct se_retry *retry, const uint8_t key[SC_TOKEN_KEY_SIZE]);
void se_retry_deinit(struct se_retry *retry); /* accepts all zero */

struct se_retry_args {
    const struct sp_peek *initial;
    const struct sp_addr *client;
    struct sp_cid scid; /* the new CID that the client is to send to */
    struct se_entropy *entropy;
};

/* Writes the Retry packet that answers an Initial.  Returns its size, or 0 without memory. */
size_t se_retry_write(struct se_retry *retry, const struct se_retry_args *args,
                      uint8_t ret[SE_RETRY_SIZE]);

/* Writes a token of NEW_TOKEN for `client`, for connections of `version`.  Returns its size, or 0
 * without memory.  [RFC9000 8.1.3] */
size_t se_retry_new_token(struct se_retry *retry, struct se_entropy *entropy,
                          const struct sp_addr *client, uint32_t version,
                          uint8_t ret[SP_NEW_TOKEN_SIZE_MAX]);

/* Opens the token of an `initial`.  A token that has made a connection before, or whose Retry named
 * another CID or had another version, is SC_TOKEN_INVALID.  [RFC9000 8.1.4, RFC9369 4.1] */
SB_MUST_USE enum sc_token_result se_retry_open(struct se_retry *retry, struct sb_bytes token,
                                               const struct sp_addr *client,
                                               const struct sp_peek *initial, struct sc_token *ret);

/* Returns what tells a token from all others; not 0.  `token` was SC_TOKEN_VALID. */
uint64_t se_retry_mark_of(struct sb_bytes token);
/* Remembers that a token has made a connection. */
void se_retry_use(struct se_retry *retry, uint64_t mark);
/* The connection came to nothing: the token may make another one. */
void se_retry_forget(struct se_retry *retry, uint64_t mark);

#endif
