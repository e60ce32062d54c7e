/* SPDX-License-Identifier: MIT */
#include "test/sim/retry.h"

#include <stdlib.h>
#include <string.h>

#include "proto/conn/impl.h"

#include "test/sim/host.h"

#define WALL_NS (1000 * SB_S)

size_t qs_retry_write(struct qs_host *host, const struct sp_peek *peek,
                      const struct sp_addr *client, uint8_t ret[SP_RETRY_SIZE_MAX])
{
    uint8_t random[SC_TOKEN_NONCE_SIZE + SP_INITIAL_DCID_SIZE_MIN + 1];
    qs_random_bytes(&host->random, random, sizeof(random));
    const struct sc_token token = {
        .kind = SC_TOKEN_RETRY,
        .version = peek->version,
        .issued_ns = WALL_NS,
        .original_dcid = sp_cid_of(peek->dcid.data, peek->dcid.size),
        .retry_scid = sp_cid_of(random + SC_TOKEN_NONCE_SIZE, SP_INITIAL_DCID_SIZE_MIN),
    };
    uint8_t sealed[SC_TOKEN_SIZE];
    bool done = sc_token_seal(host->tokens, &token, client, random, sealed);
    SB_ASSERT(done);

    struct sb_writer w = sb_writer_of(ret, SP_RETRY_SIZE_MAX);
    sp_retry_write(&w, peek, &token.retry_scid, (struct sb_bytes){sealed, sizeof(sealed)},
                   random[sizeof(random) - 1]);
    size_t size = sb_writer_used(&w);
    uint8_t *tag = sb_writer_room(&w, SP_TAG_SIZE);
    done =
        tag != NULL && host->crypto.retry_tag(peek->version, &token.original_dcid, ret, size, tag);
    SB_ASSERT(done);
    return size + SP_TAG_SIZE;
}

size_t qs_token_write(struct qs_host *host, uint32_t version, const struct sp_addr *client,
                      uint8_t *ret)
{
    const struct sc_token token = {.kind = SC_TOKEN_NEW, .version = version, .issued_ns = WALL_NS};
    uint8_t nonce[SC_TOKEN_NONCE_SIZE];
    qs_random_bytes(&host->random, nonce, sizeof(nonce));
    bool done = sc_token_seal(host->tokens, &token, client, nonce, ret);
    SB_ASSERT(done);
    return SC_TOKEN_SIZE;
}

enum qs_token qs_token_open(struct qs_host *host, const struct sp_header *header,
                            const struct sp_addr *client, struct sp_cid *ret_original_dcid)
{
    struct sc_token token;
    if (host->tokens == NULL || header->token.size == 0 ||
        sc_token_open(host->tokens, header->token, client, WALL_NS, &token) != SC_TOKEN_VALID ||
        token.version != header->version)
        return QS_TOKEN_NONE;
    if (token.kind == SC_TOKEN_NEW)
        return QS_TOKEN_NEW;
    *ret_original_dcid = token.original_dcid;
    return sp_cid_equal(&header->dcid, &token.retry_scid) ? QS_TOKEN_RETRY : QS_TOKEN_NONE;
}

bool qs_token_is_from_retry(const struct sp_header *header)
{
    return header->token.size > 0 && header->token.data[0] == SC_TOKEN_RETRY;
}

void qs_token_take_ticket(struct qs_end *end, struct sb_bytes ticket)
{
    struct qs_host *host = end->host;
    free(host->ticket);
    host->ticket = malloc(ticket.size);
    SB_ASSERT(host->ticket != NULL);
    memcpy(host->ticket, ticket.data, ticket.size);
    host->ticket_size = ticket.size;
    host->ticket_version = end->conn->version;
    host->ticket_is_later = host->plan->has_later && end->conn_index > 0;
    qs_note(host->trace, "%s gets a ticket", end->who);
}

void qs_token_take(struct qs_end *end, const struct sb_slice *token)
{
    struct qs_host *host = end->host;
    SB_ASSERT(token->size <= sizeof(host->token));
    memcpy(host->token, token->data, token->size);
    host->token_size = token->size;
    host->token_version = end->conn->version;
    sb_buffer_unref(token->buffer);
    qs_note(host->trace, "%s gets a token", end->who);
}
