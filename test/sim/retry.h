/* SPDX-License-Identifier: MIT */
#ifndef QS_RETRY_H
#define QS_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/token.h"
#include "proto/wire/stateless.h"

struct qs_end;
struct qs_host;

/* A server that demands a Retry token of every client, or gives tokens for later connections.  The
 * tokens are those of the engine; their
 * clock stands still, because a client that loses packets may take longer than a token lasts. */

/* Writes the answer to the Initial `peek` from `client`.  Returns its size. */
size_t qs_retry_write(struct qs_host *host, const struct sp_peek *peek,
                      const struct sp_addr *client, uint8_t ret[SP_RETRY_SIZE_MAX]);

/* Writes a token of NEW_TOKEN for `client`.  Returns its size. */
size_t qs_token_write(struct qs_host *host, uint32_t version, const struct sp_addr *client,
                      uint8_t *ret);

/* What the token of an Initial is good for. */
enum qs_token {
    QS_TOKEN_NONE,  /* nothing, for this client and this CID */
    QS_TOKEN_RETRY, /* answers a Retry */
    QS_TOKEN_NEW,   /* proves the address */
};
enum qs_token qs_token_open(struct qs_host *host, const struct sp_header *header,
                            const struct sp_addr *client, struct sp_cid *ret_original_dcid);

/* Returns whether it looks like the token of a Retry: its client would ignore another Retry. */
bool qs_token_is_from_retry(const struct sp_header *header);

/* Keep what a client's connection has got, for its host's next one. */
void qs_token_take_ticket(struct qs_end *end, struct sb_bytes ticket);
void qs_token_take(struct qs_end *end, const struct sb_slice *token);

#endif
