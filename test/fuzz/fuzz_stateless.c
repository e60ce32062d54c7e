/* SPDX-License-Identifier: MIT */
/* Input: six bytes that choose our CID size, the datagram's least size and the random bytes,
 * then a datagram of a stranger.
 *
 * No answer is larger than what it answers, and each is what the other side can read. */

#include "proto/wire/stateless.h"
#include "test/support/fuzz.h"

static const struct sp_versions versions = {.count = 2, .list = {SP_VERSION_1, SP_VERSION_2}};

enum { HEAD_SIZE = 6, DATAGRAM_SIZE_MAX = 4096 };

static void check_negotiation(const struct sp_peek *peek, const uint8_t *random, size_t size)
{
    uint8_t out[SP_NEGOTIATION_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sp_negotiation_write(&w, peek, &versions, random);
    SB_ASSERT(!w.failed && sb_writer_used(&w) < size);

    struct sp_peek back;
    bool was_read = sp_peek_read(out, sb_writer_used(&w), 0, &back);
    SB_ASSERT(was_read && back.is_long && back.version == 0);
    SB_ASSERT(sp_unmatched_classify(out, sb_writer_used(&w), &back, &versions) ==
              SP_UNMATCHED_DROP);

    struct sp_header header;
    was_read = sp_header_read(out, sb_writer_used(&w), 0, &header);
    SB_ASSERT(was_read && header.type == SP_PACKET_VERSION_NEGOTIATION);
    if (peek->dcid.size > SP_CID_SIZE_MAX || peek->scid.size > SP_CID_SIZE_MAX)
        return;
    struct sp_cid dcid = sp_cid_of(peek->dcid.data, peek->dcid.size);
    struct sp_cid scid = sp_cid_of(peek->scid.data, peek->scid.size);
    SB_ASSERT(sp_negotiation_is_refusal(&header, peek->version, &dcid, &scid));
    SB_ASSERT(!sp_negotiation_is_refusal(&header, SP_VERSION_1, &dcid, &scid));
    SB_ASSERT(!sp_negotiation_is_refusal(&header, SP_VERSION_2, &dcid, &scid));
}

static void check_reset(const uint8_t *random, size_t size)
{
    static const uint8_t token[SP_RESET_TOKEN_SIZE] = "token";
    uint8_t out[SP_RESET_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sp_reset_write(&w, size, token, random);
    SB_ASSERT(!w.failed && sb_writer_used(&w) < size);
    const uint8_t *found = sp_reset_token_in(out, sb_writer_used(&w));
    SB_ASSERT(found != NULL && memcmp(found, token, sizeof(token)) == 0);
    struct sp_header header;
    bool was_read = sp_header_read(out, sb_writer_used(&w), 0, &header);
    SB_ASSERT(was_read && header.type == SP_PACKET_ONE_RTT);
}

static void check_retry(const struct sp_peek *peek, const uint8_t *random, size_t size)
{
    static const uint8_t token[SP_RETRY_TOKEN_SIZE_MAX] = "token";
    struct sp_cid scid =
        sp_cid_of(random, HEAD_SIZE - 2); /* shorter than any DCID that comes here */
    uint8_t out[SP_RETRY_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sp_retry_write(&w, peek, &scid, (struct sb_bytes){token, sizeof(token)}, random[0]);
    (void)sb_writer_room(&w, SP_TAG_SIZE);
    SB_ASSERT(!w.failed && sb_writer_used(&w) < size);
    struct sp_header header;
    bool was_read = sp_header_read(out, sb_writer_used(&w), 0, &header);
    SB_ASSERT(was_read && header.type == SP_PACKET_RETRY && sp_cid_equal(&header.scid, &scid));
    SB_ASSERT(header.token.size == sizeof(token));
    SB_ASSERT(header.raw_dcid.size == peek->scid.size);
}

static void check_stranger(const uint8_t *data, size_t size, uint8_t cid_size,
                           const uint8_t *random)
{
    struct sp_peek peek;
    struct sp_header header;
    bool is_header = sp_header_read(data, size, cid_size, &header);
    if (!sp_peek_read(data, size, cid_size, &peek)) {
        SB_ASSERT(!is_header);
        return;
    }
    if (is_header) {
        SB_ASSERT(peek.is_long == (header.type != SP_PACKET_ONE_RTT));
        SB_ASSERT(peek.dcid.size == (peek.is_long ? header.raw_dcid.size : header.dcid.size));
        SB_ASSERT(peek.scid.size == header.raw_scid.size && peek.version == header.version);
    }
    switch (sp_unmatched_classify(data, size, &peek, &versions)) {
    case SP_UNMATCHED_DROP:
        break;
    case SP_UNMATCHED_ACCEPT:
        SB_ASSERT(is_header && header.type == SP_PACKET_INITIAL);
        SB_ASSERT(size >= SP_DATAGRAM_SIZE_MIN && header.dcid.size >= SP_INITIAL_DCID_SIZE_MIN);
        check_retry(&peek, random, size);
        break;
    case SP_UNMATCHED_NEGOTIATE:
        SB_ASSERT(size >= SP_DATAGRAM_SIZE_MIN);
        check_negotiation(&peek, random, size);
        break;
    case SP_UNMATCHED_RESET:
        SB_ASSERT(!peek.is_long);
        check_reset(random, size);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= HEAD_SIZE || size > DATAGRAM_SIZE_MAX)
        return 0;
    uint8_t random[SP_RESET_RANDOM_SIZE] = {0};
    memcpy(random, data, HEAD_SIZE);
    _Static_assert(sizeof(random) >= SP_NEGOTIATION_RANDOM_SIZE, "enough for both answers");

    /* Most answers need a datagram of full size: it is filled up, so that inputs are small. */
    uint8_t datagram[DATAGRAM_SIZE_MAX] = {0};
    size_t datagram_size = size - HEAD_SIZE;
    memcpy(datagram, data + HEAD_SIZE, datagram_size);
    if ((data[1] & 0x80) != 0 && datagram_size < SP_DATAGRAM_SIZE_MIN)
        datagram_size = SP_DATAGRAM_SIZE_MIN;

    uint8_t *copy = fuzz_copy(datagram, datagram_size);
    check_stranger(copy, datagram_size, data[0] % (SP_CID_SIZE_MAX + 1), random);
    free(copy);
    return 0;
}
