/* SPDX-License-Identifier: MIT */
#include "proto/wire/header.h"

/* Packet headers: their unprotected fields, and packet numbers.
 *
 * Reading trusts nothing: every byte comes from an unauthenticated peer, and no key has been tried
 * yet.  All offsets that it returns lie inside the datagram, so that the sample for header
 * protection can be taken without a further check.  The reserved bits are not checked here: they
 * may be checked only after the packet has authenticated.  [RFC9001 9.5]
 *
 * Writing leaves two holes, the length and the packet number's protection.  They are filled after
 * the payload has been sealed. */

/* Of a long header: the type's two bits.  [RFC9000 17.2] */
enum {
    TYPE_SHIFT = 4,
    TYPE_MASK = 0x03,
    LENGTH_SIZE = 2, /* bytes in which we write the length field */
};
_Static_assert(SP_PACKET_INITIAL == 0 && SP_PACKET_ZERO_RTT == 1 && SP_PACKET_HANDSHAKE == 2 &&
                   SP_PACKET_RETRY == 3,
               "long packet types of version 1 stand on the wire as they are numbered");

/* Those of version 2 stand one higher.  [RFC9369 3.2] */
static unsigned type_shift(uint32_t version)
{
    return version == SP_VERSION_2 ? 1 : 0;
}

enum sp_packet_type sp_header_long_type(uint32_t version, uint8_t first)
{
    unsigned bits = (unsigned)first >> TYPE_SHIFT;
    return (enum sp_packet_type)((bits - type_shift(version)) & TYPE_MASK);
}

static unsigned type_bits(uint32_t version, enum sp_packet_type type)
{
    return (((unsigned)type + type_shift(version)) & TYPE_MASK) << TYPE_SHIFT;
}

/* [RFC9001 5.4.2] A packet without a whole sample must be discarded. */
#define PROTECTED_SIZE_MIN ((uint64_t)SP_PN_SIZE_MAX + SP_SAMPLE_SIZE)

static struct sb_bytes read_cid(struct sb_reader *r)
{
    uint8_t size = sb_reader_u8(r);
    return (struct sb_bytes){.data = sb_reader_take(r, size), .size = size};
}

static bool read_short(const uint8_t *data, size_t size, uint8_t cid_size, struct sp_header *ret)
{
    if (!sp_header_is_short(data, size, cid_size))
        return false;
    const uint8_t *cid = data + 1;

    /* One by one: this is the hot one, and a literal would be cleared as a whole and copied. */
    ret->type = SP_PACKET_ONE_RTT;
    ret->first = data[0];
    ret->version = 0;
    memset(&ret->dcid, 0, sizeof(ret->dcid));
    ret->dcid.size = cid_size;
    if (cid_size == SP_CID_SIZE_USUAL)
        memcpy(ret->dcid.bytes, cid, SP_CID_SIZE_USUAL);
    else
        memcpy(ret->dcid.bytes, cid, cid_size);
    memset(&ret->scid, 0, sizeof(ret->scid));
    ret->raw_dcid = ret->raw_scid = ret->token = ret->versions = (struct sb_bytes){0};
    ret->pn_offset = 1 + (size_t)cid_size;
    ret->size = size;
    return true;
}

/* [RFC8999 6] A list of versions that is empty or ends inside of one is ignored. */
static bool read_versions(struct sb_reader *r, struct sp_header *h)
{
    size_t size = sb_reader_left(r);
    if (size == 0 || size % 4 != 0)
        return false;
    h->type = SP_PACKET_VERSION_NEGOTIATION;
    h->versions = (struct sb_bytes){.data = sb_reader_take(r, size), .size = size};
    return true;
}

/* [RFC9000 17.2.5, 17.2.5.2] The token runs up to the integrity tag, and it must not be empty. */
static bool read_retry(struct sb_reader *r, struct sp_header *h)
{
    size_t left = sb_reader_left(r);
    if (left <= SP_TAG_SIZE)
        return false;
    h->token.size = left - SP_TAG_SIZE;
    h->token.data = sb_reader_take(r, h->token.size);
    return true;
}

/* What follows the CIDs in packets with a packet number; `data` is where the packet starts. */
static bool read_protected(struct sb_reader *r, const uint8_t *data, struct sp_header *h)
{
    if (h->type == SP_PACKET_INITIAL) {
        h->token.size = sb_reader_varint(r);
        h->token.data = sb_reader_take(r, h->token.size);
    }
    uint64_t length = sb_reader_varint(r);
    if (r->failed || length > sb_reader_left(r) || length < PROTECTED_SIZE_MIN)
        return false;
    h->pn_offset = (size_t)(r->at - data);
    h->size = h->pn_offset + length;
    return true;
}

static bool read_long(const uint8_t *data, size_t size, struct sp_header *ret)
{
    struct sb_reader r = sb_reader_of(data, size);
    struct sp_header h = {.first = sb_reader_u8(&r), .size = size};
    h.version = sb_reader_u32(&r);
    h.raw_dcid = read_cid(&r);
    h.raw_scid = read_cid(&r);
    if (r.failed)
        return false;

    /* [RFC9000 17.2] Other versions may have longer CIDs; they are echoed, not used. */
    bool fits = h.raw_dcid.size <= SP_CID_SIZE_MAX && h.raw_scid.size <= SP_CID_SIZE_MAX;
    if (fits) {
        h.dcid = sp_cid_of(h.raw_dcid.data, h.raw_dcid.size);
        h.scid = sp_cid_of(h.raw_scid.data, h.raw_scid.size);
    }
    /* [RFC9000 17.2.1] All bits of the first byte but the form are to be ignored. */
    if (h.version == 0) {
        if (!read_versions(&r, &h))
            return false;
    } else if (!sp_version_is_known(h.version)) {
        h.type = SP_PACKET_UNKNOWN_VERSION;
    } else {
        if (!fits) /* [RFC9000 17.2] */
            return false;
        h.type = sp_header_long_type(h.version, h.first);
        bool read = h.type == SP_PACKET_RETRY ? read_retry(&r, &h) : read_protected(&r, data, &h);
        if (!read)
            return false;
    }
    *ret = h;
    return true;
}

bool sp_header_read(const uint8_t *data, size_t size, uint8_t short_cid_size, struct sp_header *ret)
{
    SB_ASSERT(short_cid_size <= SP_CID_SIZE_MAX);
    if (size == 0)
        return false;
    return (data[0] & SP_HEADER_LONG) != 0 ? read_long(data, size, ret)
                                           : read_short(data, size, short_cid_size, ret);
}

size_t sp_header_long_size(const struct sp_long_header *header)
{
    size_t size = 1 + 4 + 1 + (size_t)header->dcid.size + 1 + (size_t)header->scid.size +
                  LENGTH_SIZE + header->pn_size;
    if (header->type == SP_PACKET_INITIAL)
        size += sb_varint_size(header->token.size) + header->token.size;
    return size;
}

static void write_cid(struct sb_writer *w, const uint8_t *bytes, size_t size)
{
    SB_ASSERT(size <= UINT8_MAX);
    sb_writer_u8(w, (uint8_t)size);
    sb_writer_bytes(w, bytes, size);
}

void sp_header_write_long(struct sb_writer *w, const struct sp_long_header *header,
                          uint8_t **ret_length_at, uint8_t **ret_pn_at)
{
    SB_ASSERT(header->type <= SP_PACKET_HANDSHAKE);
    SB_ASSERT(header->pn_size >= 1 && header->pn_size <= SP_PN_SIZE_MAX);
    /* [RFC9000 17.2] */
    SB_ASSERT(header->dcid.size <= SP_CID_SIZE_MAX && header->scid.size <= SP_CID_SIZE_MAX);
    SB_ASSERT(header->token.size == 0 || header->type == SP_PACKET_INITIAL);
    SB_ASSERT(sp_version_is_known(header->version));

    /* [RFC9000 17.2] The reserved bits are 0 before protection. */
    unsigned first = SP_HEADER_LONG | (header->lacks_fixed_bit ? 0 : SP_HEADER_FIXED) |
                     type_bits(header->version, header->type) | (header->pn_size - 1);
    sb_writer_u8(w, (uint8_t)first);
    sb_writer_u32(w, header->version);
    write_cid(w, header->dcid.bytes, header->dcid.size);
    write_cid(w, header->scid.bytes, header->scid.size);
    if (header->type == SP_PACKET_INITIAL) {
        sb_writer_varint(w, header->token.size);
        sb_writer_bytes(w, header->token.data, header->token.size);
    }
    uint8_t *length_at = sb_writer_room(w, LENGTH_SIZE);
    uint8_t *pn_at = sb_writer_room(w, header->pn_size);
    if (pn_at == NULL)
        return;
    sp_header_set_length(length_at, 0);
    sp_pn_write(pn_at, header->pn, header->pn_size);
    *ret_length_at = length_at;
    *ret_pn_at = pn_at;
}

void sp_header_set_length(uint8_t *length_at, size_t length)
{
    struct sb_writer w = sb_writer_of(length_at, LENGTH_SIZE);
    sb_writer_varint_sized(&w, length, LENGTH_SIZE);
}

uint32_t sp_pn_size(uint64_t pn, uint64_t largest_acked)
{
    SB_ASSERT(pn <= SP_PN_MAX);
    SB_ASSERT(largest_acked == SB_VARINT_NONE || largest_acked < pn);

    /* [RFC9000 17.1] The numbers that can be told apart must be more than twice those that
     * are open, and should be enough for a packet that comes after others that were sent later.
     * So they are 16 times as many: a window that doubles in each round trip, and a packet that
     * comes a whole one late, which is as long as most paths delay any.  With twice as many such a
     * packet could not be decrypted, and counted as lost: sim --transfers reorder-10. */
    uint64_t open_count = largest_acked == SB_VARINT_NONE ? pn + 1 : pn - largest_acked;
    if (open_count < UINT64_C(1) << 4)
        return 1;
    if (open_count < UINT64_C(1) << 12)
        return 2;
    if (open_count < UINT64_C(1) << 20)
        return 3;
    SB_ASSERT(open_count < UINT64_C(1) << 31); /* the windows end long before */
    return SP_PN_SIZE_MAX;
}

void sp_header_mask(uint8_t *first, uint8_t *pn_at, uint32_t pn_size,
                    const uint8_t mask[SP_MASK_SIZE])
{
    SB_ASSERT(pn_size <= SP_PN_SIZE_MAX);
    /* [RFC9001 5.4.1] The form bit is not masked: it selects the mask. */
    unsigned masked =
        (*first & SP_HEADER_LONG) != 0 ? SP_HEADER_LONG_MASKED : SP_HEADER_SHORT_MASKED;
    *first ^= (uint8_t)(mask[0] & masked);
    for (uint32_t i = 0; i < pn_size; i++)
        pn_at[i] ^= mask[1 + i];
}

uint32_t sp_header_unmask(uint8_t *first, uint8_t *pn_at, const uint8_t mask[SP_MASK_SIZE])
{
    sp_header_mask(first, pn_at, 0, mask);
    uint32_t pn_size = (*first & SP_HEADER_PN_SIZE) + 1u;
    for (uint32_t i = 0; i < pn_size; i++)
        pn_at[i] ^= mask[1 + i];
    return pn_size;
}

void sp_header_write_version_negotiation(struct sb_writer *w, uint8_t first, struct sb_bytes dcid,
                                         struct sb_bytes scid, const uint32_t *versions,
                                         size_t version_count)
{
    SB_ASSERT(version_count > 0);
    /* [RFC9000 17.2.1] The fixed bit for the sake of those that share the port. */
    sb_writer_u8(w, first | SP_HEADER_LONG | SP_HEADER_FIXED);
    sb_writer_u32(w, 0);
    write_cid(w, dcid.data, dcid.size);
    write_cid(w, scid.data, scid.size);
    for (size_t i = 0; i < version_count; i++)
        sb_writer_u32(w, versions[i]);
}

void sp_header_write_retry(struct sb_writer *w, uint8_t first, uint32_t version,
                           struct sb_bytes dcid, const struct sp_cid *scid, struct sb_bytes token)
{
    enum { UNUSED = 0x0f };
    unsigned type = SP_HEADER_LONG | SP_HEADER_FIXED | type_bits(version, SP_PACKET_RETRY);
    SB_ASSERT(token.size > 0 && sp_version_is_known(version));
    sb_writer_u8(w, (uint8_t)(type | (first & UNUSED)));
    sb_writer_u32(w, version);
    write_cid(w, dcid.data, dcid.size);
    write_cid(w, scid->bytes, scid->size);
    sb_writer_bytes(w, token.data, token.size);
}
