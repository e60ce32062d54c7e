/* SPDX-License-Identifier: MIT */
#include "test/sim/retry.h"

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

bool qs_retry_open(struct qs_host *host, const struct sp_header *header,
                   const struct sp_addr *client, struct sp_cid *ret_original_dcid)
{
    struct sc_token token;
    if (sc_token_open(host->tokens, header->token, client, WALL_NS, &token) != SC_TOKEN_VALID ||
        token.version != header->version || !sp_cid_equal(&header->dcid, &token.retry_scid))
        return false;
    *ret_original_dcid = token.original_dcid;
    return true;
}
