/* SPDX-License-Identifier: MIT */
#include "engine/net/retry.h"

/* Retry packets and their tokens.
 *
 * A Retry keeps nothing: both connection IDs travel in the token.  A token that was used once is
 * refused while it is remembered, so whoever has seen it on its way cannot use it to have our first
 * flight sent to its owner.  Shards and processes do not share that memory.  [RFC9000 8.1.4] */

#include <errno.h>
#include <string.h>

#include "crypto/retry_tag.h"
#include "engine/base/clock.h"
#include "engine/base/entropy.h"
#include "proto/base/assert.h"

int se_retry_init(struct se_retry *retry, const uint8_t key[SC_TOKEN_KEY_SIZE])
{
    retry->tokens = sc_tokens_create(key);
    return retry->tokens != NULL ? 0 : -ENOMEM;
}

void se_retry_deinit(struct se_retry *retry)
{
    sc_tokens_destroy(retry->tokens);
    retry->tokens = NULL;
}

static bool is_cid(const struct sb_bytes *bytes, const struct sp_cid *cid)
{
    return bytes->size == cid->size && memcmp(bytes->data, cid->bytes, cid->size) == 0;
}

size_t se_retry_write(struct se_retry *retry, const struct se_retry_args *args,
                      uint8_t ret[SE_RETRY_SIZE])
{
    const struct sb_bytes *dcid = &args->initial->dcid;
    struct sc_token token = {
        .kind = SC_TOKEN_RETRY,
        .version = args->initial->version,
        .issued_ns = se_clock_wall_ns(),
        .original_dcid = sp_cid_of(dcid->data, dcid->size),
        .retry_scid = args->scid,
    };
    SB_ASSERT(!is_cid(dcid, &args->scid)); /* [RFC9000 17.2.5.1] */

    uint8_t random[SC_TOKEN_NONCE_SIZE + 1];
    uint8_t sealed[SC_TOKEN_SIZE];
    se_entropy_fill(args->entropy, random, sizeof(random));
    if (!sc_token_seal(retry->tokens, &token, args->client, random, sealed))
        return 0;

    struct sb_writer w = sb_writer_of(ret, SE_RETRY_SIZE);
    sp_retry_write(&w, args->initial, &token.retry_scid,
                   (struct sb_bytes){.data = sealed, .size = sizeof(sealed)},
                   random[SC_TOKEN_NONCE_SIZE]);
    size_t size = sb_writer_used(&w);
    uint8_t *tag = sb_writer_room(&w, SP_TAG_SIZE);
    SB_ASSERT(!w.failed);
    return sc_retry_tag_make(token.version, &token.original_dcid, ret, size, tag)
               ? size + SP_TAG_SIZE
               : 0;
}

size_t se_retry_new_token(struct se_retry *retry, struct se_entropy *entropy,
                          const struct sp_addr *client, uint32_t version,
                          uint8_t ret[SP_NEW_TOKEN_SIZE_MAX])
{
    const struct sc_token token = {
        .kind = SC_TOKEN_NEW, .version = version, .issued_ns = se_clock_wall_ns()};
    uint8_t nonce[SC_TOKEN_NONCE_SIZE];
    se_entropy_fill(entropy, nonce, sizeof(nonce));
    return sc_token_seal(retry->tokens, &token, client, nonce, ret) ? SC_TOKEN_SIZE : 0;
}

uint64_t se_retry_mark_of(struct sb_bytes token)
{
    SB_ASSERT(token.size == SC_TOKEN_SIZE);
    uint64_t mark = sb_load_u64(token.data + token.size - sizeof(mark)); /* of the tag */
    return mark != 0 ? mark : 1;
}

static uint64_t *row_of(struct se_retry *retry, uint64_t mark)
{
    return &retry->used[mark % SE_RETRY_USED];
}

void se_retry_use(struct se_retry *retry, uint64_t mark)
{
    SB_ASSERT(mark != 0);
    *row_of(retry, mark) = mark;
}

void se_retry_forget(struct se_retry *retry, uint64_t mark)
{
    if (*row_of(retry, mark) == mark)
        *row_of(retry, mark) = 0;
}

enum sc_token_result se_retry_open(struct se_retry *retry, struct sb_bytes token,
                                   const struct sp_addr *client, const struct sp_peek *initial,
                                   struct sc_token *ret)
{
    struct sc_token got;
    enum sc_token_result result =
        sc_token_open(retry->tokens, token, client, se_clock_wall_ns(), &got);
    if (result == SC_TOKEN_INVALID && token.data[0] == SC_TOKEN_NEW)
        return SC_TOKEN_FOREIGN;
    if (result != SC_TOKEN_VALID)
        return result;
    uint64_t mark = se_retry_mark_of(token);
    /* [RFC9000 8.1.3] A token of NEW_TOKEN that does not count is as good as none. */
    bool is_used = *row_of(retry, mark) == mark;
    if (got.kind == SC_TOKEN_NEW && (is_used || got.version != initial->version))
        return SC_TOKEN_FOREIGN;
    if (got.kind == SC_TOKEN_NEW) {
        *ret = got;
        return SC_TOKEN_VALID;
    }
    /* [RFC9000 7.3] The client sends to the CID of the Retry, in its version.  [RFC9369 4.1] */
    if (got.version != initial->version || !is_cid(&initial->dcid, &got.retry_scid) || is_used)
        return SC_TOKEN_INVALID;
    *ret = got;
    return SC_TOKEN_VALID;
}
