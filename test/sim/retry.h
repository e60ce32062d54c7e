/* SPDX-License-Identifier: MIT */
#ifndef QS_RETRY_H
#define QS_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/token.h"
#include "proto/wire/stateless.h"

struct qs_host;

/* A server that demands a Retry token of every client.  The tokens are those of the engine; their
 * clock stands still, because a client that loses packets may take longer than a token lasts. */

/* Writes the answer to the Initial `peek` from `client`.  Returns its size. */
size_t qs_retry_write(struct qs_host *host, const struct sp_peek *peek,
                      const struct sp_addr *client, uint8_t ret[SP_RETRY_SIZE_MAX]);

/* Opens the token of an Initial.  Returns false if it is not good for this client and this CID. */
bool qs_retry_open(struct qs_host *host, const struct sp_header *header,
                   const struct sp_addr *client, struct sp_cid *ret_original_dcid);

#endif
