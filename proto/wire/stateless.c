/* SPDX-License-Identifier: MIT */
#include "proto/wire/stateless.h"

/* Handling of datagrams that belong to no connection.
 *
 * Such a datagram can be forged, and a reply goes to an address that has not been validated.  So a
 * reply is never larger than its trigger.  Two endpoints that reply to each other soon stop:
 * Version Negotiation gets no reply, and each Stateless Reset is smaller than the one before it. */

_Static_assert((int)SP_NEGOTIATION_SIZE_MAX < (int)SP_DATAGRAM_SIZE_MIN &&
                   (int)SP_RETRY_SIZE_MAX < (int)SP_DATAGRAM_SIZE_MIN,
               "an answer does not amplify");

/* [RFC9000 10.3] Up to this size a reset is made one byte shorter than its trigger; above, it
 * is large enough to pass for a packet with any CID. */
enum { RESET_SIZE_SHORT = 43 };

bool sp_peek_read(const uint8_t *data, size_t size, uint8_t short_cid_size, struct sp_peek *ret)
{
    SB_ASSERT(short_cid_size <= SP_CID_SIZE_MAX);
    struct sb_reader r = sb_reader_of(data, size);
    struct sp_peek peek = {.is_long = (sb_reader_u8(&r) & SP_HEADER_LONG) != 0};
    if (peek.is_long) {
        peek.version = sb_reader_u32(&r);
        peek.dcid.size = sb_reader_u8(&r);
        peek.dcid.data = sb_reader_take(&r, peek.dcid.size);
        peek.scid.size = sb_reader_u8(&r);
        peek.scid.data = sb_reader_take(&r, peek.scid.size);
    } else {
        peek.dcid.size = short_cid_size;
        peek.dcid.data = sb_reader_take(&r, short_cid_size);
    }
    if (r.failed)
        return false;
    *ret = peek;
    return true;
}

enum sp_unmatched sp_unmatched_classify(const uint8_t *data, size_t size,
                                        const struct sp_peek *peek,
                                        const struct sp_versions *versions)
{
    SB_ASSERT(size > 0);
    if (!peek->is_long) {
        /* [RFC9000 17.3.1] Without the fixed bit it is not a packet of version 1 or 2. */
        if ((data[0] & SP_HEADER_FIXED) == 0)
            return SP_UNMATCHED_DROP;
        /* [RFC9000 10.3.3] The answer must be smaller, and a valid packet. */
        return size > SP_RESET_SIZE_MIN ? SP_UNMATCHED_RESET : SP_UNMATCHED_DROP;
    }
    if (peek->version == 0) /* [RFC9000 6.1, RFC9368 2.1] */
        return SP_UNMATCHED_DROP;
    /* [RFC9000 5.2.2, 14.1] Too small to begin a connection with, in whatever version. */
    if (size < SP_DATAGRAM_SIZE_MIN)
        return SP_UNMATCHED_DROP;
    if (!sp_versions_has(versions, peek->version))
        return SP_UNMATCHED_NEGOTIATE;

    struct sp_header header;
    if (!sp_header_read(data, size, 0, &header) || header.type != SP_PACKET_INITIAL)
        return SP_UNMATCHED_DROP;
    /* [RFC9000 17.2] But a client that has a token of ours may know that we accept it.
     * [RFC9287 3.1] */
    if ((data[0] & SP_HEADER_FIXED) == 0 && header.token.size == 0)
        return SP_UNMATCHED_DROP;
    /* [RFC9000 7.2] */
    return header.dcid.size >= SP_INITIAL_DCID_SIZE_MIN ? SP_UNMATCHED_ACCEPT : SP_UNMATCHED_DROP;
}

void sp_negotiation_write(struct sb_writer *w, const struct sp_peek *peek,
                          const struct sp_versions *versions,
                          const uint8_t random[SP_NEGOTIATION_RANDOM_SIZE])
{
    SB_ASSERT(peek->is_long);
    SB_ASSERT(peek->version != 0 && !sp_versions_has(versions, peek->version));
    SB_ASSERT(versions->count > 0 && versions->count <= SP_VERSIONS_MAX);

    struct sb_reader r = sb_reader_of(random, SP_NEGOTIATION_RANDOM_SIZE);
    uint8_t first = sb_reader_u8(&r);
    uint32_t reserved_at = sb_reader_u8(&r) % (versions->count + 1);
    uint32_t reserved = (sb_reader_u32(&r) & UINT32_C(0xf0f0f0f0)) | UINT32_C(0x0a0a0a0a);
    SB_ASSERT(SP_VERSION_IS_GREASE(reserved));
    /* [RFC9000 6.2] A client that came with a reserved version, to be refused, discards what
     * lists that one. */
    if (reserved == peek->version)
        reserved ^= UINT32_C(0x10101010);

    uint32_t list[SP_VERSIONS_MAX + 1];
    for (uint32_t i = 0; i <= versions->count; i++)
        list[i] = i == reserved_at ? reserved : versions->list[i - (i > reserved_at)];
    /* [RFC9000 17.2.1] Each CID is sent back in the place of the other. */
    sp_header_write_version_negotiation(w, first, peek->scid, peek->dcid, list,
                                        versions->count + 1);
}

static bool is_cid(struct sb_bytes bytes, const struct sp_cid *cid)
{
    return bytes.size == cid->size &&
           (cid->size == 0 || memcmp(bytes.data, cid->bytes, cid->size) == 0);
}

bool sp_negotiation_is_refusal(const struct sp_header *header, uint32_t version,
                               const struct sp_cid *dcid, const struct sp_cid *scid)
{
    SB_ASSERT(header->type == SP_PACKET_VERSION_NEGOTIATION);
    /* [RFC9000 17.2.1] A sender that does not have both CIDs has not seen our packet. */
    if (!is_cid(header->raw_dcid, scid) || !is_cid(header->raw_scid, dcid))
        return false;

    struct sb_reader r = sb_reader_of(header->versions.data, header->versions.size);
    while (sb_reader_left(&r) >= sizeof(version)) {
        if (sb_reader_u32(&r) == version)
            return false; /* [RFC9000 6.2, RFC9368 4] */
    }
    return true;
}

void sp_retry_write(struct sb_writer *w, const struct sp_peek *peek, const struct sp_cid *scid,
                    struct sb_bytes token, uint8_t random)
{
    SB_ASSERT(peek->is_long && sp_version_is_known(peek->version));
    SB_ASSERT(peek->scid.size <= SP_CID_SIZE_MAX);
    SB_ASSERT(token.size > 0 && token.size <= SP_RETRY_TOKEN_SIZE_MAX);
    SB_ASSERT(!is_cid(peek->dcid, scid)); /* [RFC9000 17.2.5.1] */
    sp_header_write_retry(w, random, peek->version, peek->scid, scid, token);
}

/* [RFC9000 10.3, 10.3.3] */
static size_t reset_size(size_t trigger_size, uint8_t random)
{
    if (trigger_size <= RESET_SIZE_SHORT)
        return trigger_size - 1;
    size_t size = RESET_SIZE_SHORT + random % (SP_RESET_SIZE_MAX - RESET_SIZE_SHORT + 1u);
    return SB_MIN(size, trigger_size - 1);
}

void sp_reset_write(struct sb_writer *w, size_t trigger_size,
                    const uint8_t token[SP_RESET_TOKEN_SIZE],
                    const uint8_t random[SP_RESET_RANDOM_SIZE])
{
    SB_ASSERT(trigger_size > SP_RESET_SIZE_MIN);
    struct sb_reader r = sb_reader_of(random, SP_RESET_RANDOM_SIZE);
    size_t size = reset_size(trigger_size, sb_reader_u8(&r));
    SB_ASSERT(size >= SP_RESET_SIZE_MIN && size <= SP_RESET_SIZE_MAX && size < trigger_size);

    /* [RFC9000 10.3] Like a short header, and unpredictable up to the token. */
    uint8_t first = sb_reader_u8(&r) & (SP_HEADER_FIXED - 1);
    size_t middle_size = size - 1 - SP_RESET_TOKEN_SIZE;
    sb_writer_u8(w, first | SP_HEADER_FIXED);
    sb_writer_bytes(w, sb_reader_take(&r, middle_size), middle_size);
    sb_writer_bytes(w, token, SP_RESET_TOKEN_SIZE);
}

const uint8_t *sp_reset_token_in(const uint8_t *data, size_t size)
{
    if (size < SP_RESET_SIZE_MIN)
        return NULL;
    struct sb_reader r = sb_reader_of(data, size);
    (void)sb_reader_take(&r, size - SP_RESET_TOKEN_SIZE);
    return sb_reader_take(&r, SP_RESET_TOKEN_SIZE);
}
