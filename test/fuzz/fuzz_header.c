/* SPDX-License-Identifier: MIT */
/* Input: a byte that gives our CID size, then a datagram.
 *
 * Every packet of it lies inside the datagram with room for a sample; what is read is the
 * same after it was written and read again; and packet numbers expand as A.3 of RFC 9000 says. */

#include "proto/wire/header.h"
#include "test/support/fuzz.h"

enum { DATAGRAM_SIZE_MAX = 4096 };

static bool bytes_equal(struct sb_bytes a, struct sb_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void check_inside(struct sb_bytes part, const uint8_t *data, size_t size)
{
    SB_ASSERT(part.size == 0 || (part.data >= data && part.data + part.size <= data + size));
}

static void check_same(const struct sp_header *a, const struct sp_header *b)
{
    SB_ASSERT(a->type == b->type && a->version == b->version);
    SB_ASSERT(sp_cid_equal(&a->dcid, &b->dcid) && sp_cid_equal(&a->scid, &b->scid));
    SB_ASSERT(bytes_equal(a->raw_dcid, b->raw_dcid) && bytes_equal(a->raw_scid, b->raw_scid));
    SB_ASSERT(bytes_equal(a->token, b->token) && bytes_equal(a->versions, b->versions));
}

/* DecodePacketNumber() as it is printed there, in signed numbers wide enough for all of it. */
static uint64_t expand_as_in_the_rfc(uint64_t next, uint32_t truncated, uint32_t size)
{
    __int128 expected = next;
    __int128 window = (__int128)1 << (size * 8);
    __int128 half = window / 2;
    __int128 candidate = (expected & ~(window - 1)) | truncated;
    if (candidate <= expected - half && candidate < ((__int128)1 << 62) - window)
        candidate += window;
    else if (candidate > expected + half && candidate >= window)
        candidate -= window;
    return (uint64_t)candidate;
}

static void check_packet_number(const uint8_t *pn_at)
{
    uint64_t next = sb_load_u64(pn_at + 4) & SP_PN_MAX;
    for (uint32_t size = 1; size <= SP_PN_SIZE_MAX; size++) {
        uint32_t truncated = sp_pn_read(pn_at, size);
        uint64_t pn = sp_pn_expand(next, truncated, size);
        SB_ASSERT(pn == expand_as_in_the_rfc(next, truncated, size));
        uint8_t bytes[SP_PN_SIZE_MAX];
        sp_pn_write(bytes, pn, size);
        SB_ASSERT(memcmp(bytes, pn_at, size) == 0);
    }
}

/* Header protection is its own inverse. */
static void check_mask(const struct sp_header *h, const uint8_t *data)
{
    uint8_t first = h->first;
    uint8_t pn[SP_PN_SIZE_MAX];
    memcpy(pn, data + h->pn_offset, sizeof(pn));
    const uint8_t *mask = data + h->pn_offset + 4;
    uint32_t pn_size = sp_header_unmask(&first, pn, mask);
    sp_header_mask(&first, pn, pn_size, mask);
    SB_ASSERT(first == h->first && memcmp(pn, data + h->pn_offset, sizeof(pn)) == 0);
}

static void check_long(const struct sp_header *h)
{
    uint8_t out[DATAGRAM_SIZE_MAX + 128];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    struct sp_long_header header = {
        .version = h->version,
        .lacks_fixed_bit = (h->first & SP_HEADER_FIXED) == 0,
        .type = h->type,
        .dcid = h->dcid,
        .scid = h->scid,
        .token = h->token,
        .pn = 1,
        .pn_size = (h->first & SP_HEADER_PN_SIZE) + 1u,
    };
    uint8_t *length_at = NULL;
    uint8_t *pn_at = NULL;
    sp_header_write_long(&w, &header, &length_at, &pn_at);
    SB_ASSERT(!w.failed && sb_writer_used(&w) == sp_header_long_size(&header));
    sb_writer_zeros(&w, 20);
    SB_ASSERT(!w.failed);
    sp_header_set_length(length_at, header.pn_size + 20);
    struct sp_header again;
    bool was_read = sp_header_read(out, sb_writer_used(&w), 0, &again);
    SB_ASSERT(was_read && again.size == sb_writer_used(&w) && out + again.pn_offset == pn_at);
    check_same(h, &again);
}

static void check_short(const struct sp_header *h)
{
    uint8_t out[64] = {0};
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    struct sp_short_header header = {
        .dcid = &h->dcid,
        .lacks_fixed_bit = (h->first & SP_HEADER_FIXED) == 0,
        .pn_size = (h->first & SP_HEADER_PN_SIZE) + 1u,
        .spin = (h->first & SP_HEADER_SPIN) != 0,
        .key_phase = (h->first & SP_HEADER_KEY_PHASE) != 0,
    };
    uint8_t *pn_at = NULL;
    sp_header_write_short(&w, &header, &pn_at);
    struct sp_header again;
    bool was_read = sp_header_read(out, sizeof(out), h->dcid.size, &again);
    SB_ASSERT(was_read && out + again.pn_offset == pn_at);
    SB_ASSERT(again.first == (h->first & ~SP_HEADER_SHORT_RESERVED));
    check_same(h, &again);
}

static void check_negotiation(const struct sp_header *h)
{
    uint32_t versions[DATAGRAM_SIZE_MAX / 4];
    size_t count = 0;
    struct sb_reader r = sb_reader_of(h->versions.data, h->versions.size);
    while (sb_reader_left(&r) > 0)
        versions[count++] = sb_reader_u32(&r);
    SB_ASSERT(!r.failed && count > 0);

    uint8_t out[DATAGRAM_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sp_header_write_version_negotiation(&w, h->first, h->raw_dcid, h->raw_scid, versions, count);
    SB_ASSERT(!w.failed && sb_writer_used(&w) == h->size);
    struct sp_header again;
    bool was_read = sp_header_read(out, sb_writer_used(&w), 0, &again);
    SB_ASSERT(was_read);
    check_same(h, &again);
}

static void check_packet(const struct sp_header *h, const uint8_t *data, size_t size)
{
    SB_ASSERT(h->size > 0 && h->size <= size);
    SB_ASSERT(h->dcid.size <= SP_CID_SIZE_MAX && h->scid.size <= SP_CID_SIZE_MAX);
    check_inside(h->raw_dcid, data, h->size);
    check_inside(h->raw_scid, data, h->size);
    check_inside(h->token, data, h->size);
    check_inside(h->versions, data, h->size);
    if (h->pn_offset != 0) {
        SB_ASSERT(h->pn_offset + SP_PN_SIZE_MAX + SP_SAMPLE_SIZE <= h->size);
        check_packet_number(data + h->pn_offset);
        check_mask(h, data);
    }
    switch (h->type) {
    case SP_PACKET_INITIAL:
    case SP_PACKET_ZERO_RTT:
    case SP_PACKET_HANDSHAKE:
        SB_ASSERT(h->pn_offset != 0);
        check_long(h);
        break;
    case SP_PACKET_ONE_RTT:
        SB_ASSERT(h->pn_offset != 0 && h->size == size);
        check_short(h);
        break;
    case SP_PACKET_VERSION_NEGOTIATION:
        SB_ASSERT(h->pn_offset == 0 && h->size == size);
        check_negotiation(h);
        break;
    case SP_PACKET_RETRY:
        SB_ASSERT(h->pn_offset == 0 && h->size == size && h->token.size > 0);
        break;
    case SP_PACKET_UNKNOWN_VERSION:
        SB_ASSERT(h->pn_offset == 0 && h->size == size && h->version != 0 &&
                  !sp_version_is_known(h->version));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > DATAGRAM_SIZE_MAX)
        return 0;
    uint8_t cid_size = data[0] % (SP_CID_SIZE_MAX + 1);
    uint8_t *datagram = fuzz_copy(data + 1, size - 1);
    size_t at = 0;
    struct sp_header header;
    while (at < size - 1 && sp_header_read(datagram + at, size - 1 - at, cid_size, &header)) {
        check_packet(&header, datagram + at, size - 1 - at);
        at += header.size;
    }
    free(datagram);
    return 0;
}
