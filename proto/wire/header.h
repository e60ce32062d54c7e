/* SPDX-License-Identifier: MIT */
#ifndef SP_HEADER_H
#define SP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/wire/types.h"
#include "proto/wire/version.h"

/* Packet headers of versions 1 and 2.  [RFC9000 17, RFC9369 3.2]  Usage order on receive:
 *
 *     sp_header_read() -> sp_header_unmask() -> sp_pn_read() -> sp_pn_expand()
 */

enum sp_packet_type {
    SP_PACKET_INITIAL,
    SP_PACKET_ZERO_RTT,
    SP_PACKET_HANDSHAKE,
    SP_PACKET_RETRY,
    SP_PACKET_VERSION_NEGOTIATION,
    SP_PACKET_ONE_RTT,
    SP_PACKET_UNKNOWN_VERSION, /* long header of a version that we do not speak */
};

enum {
    SP_HEADER_LONG = 0x80,
    SP_HEADER_FIXED = 0x40,
    SP_HEADER_SPIN = 0x20,      /* short.  [RFC9000 17.4] */
    SP_HEADER_KEY_PHASE = 0x04, /* short */
    SP_HEADER_LONG_RESERVED = 0x0c,
    SP_HEADER_SHORT_RESERVED = 0x18,
    SP_HEADER_LONG_MASKED = 0x0f, /* bits under header protection */
    SP_HEADER_SHORT_MASKED = 0x1f,
    SP_HEADER_PN_SIZE = 0x03,
};

/* The fields of a packet that can be read before its header protection is removed.
 * All pointers are into the datagram. */
struct sp_header {
    enum sp_packet_type type;
    uint8_t first;            /* first byte, low bits still masked */
    uint32_t version;         /* long */
    struct sp_cid dcid;       /* at most 20 bytes; for UNKNOWN_VERSION and */
    struct sp_cid scid;       /* VERSION_NEGOTIATION use raw_dcid and raw_scid instead */
    struct sb_bytes raw_dcid; /* long: as received, up to 255 bytes. [RFC8999 5.1] */
    struct sb_bytes raw_scid;
    struct sb_bytes token;    /* INITIAL: the token; RETRY: the retry token */
    struct sb_bytes versions; /* VERSION_NEGOTIATION: 4 bytes each, big endian */
    size_t pn_offset;         /* of the packet number; 0 for types without one */
    size_t size;              /* of the whole packet: the rest of the datagram starts here */
};

enum {
    /* The size of the CIDs that we issue by default: copying so many is a load and a store. */
    SP_CID_SIZE_USUAL = 8,
};

/* Returns true if `data` can be a packet with a short header, whatever its fixed bit.  Then its
 * packet number is at 1 + `cid_size`, with a whole sample after it. */
static inline bool sp_header_is_short(const uint8_t *data, size_t size, uint8_t cid_size)
{
    /* [RFC9000 10.3] [RFC9001 5.4.2] This also refuses all that is below 21 bytes. */
    return size >= 1 + (size_t)cid_size + SP_PN_SIZE_MAX + SP_SAMPLE_SIZE &&
           (data[0] & SP_HEADER_LONG) == 0;
}

/* Reads the header at the start of `data`.  `short_cid_size` is the size of the
 * CIDs that this endpoint issues.  Returns false if the bytes from `data` on are not
 * a QUIC packet that we can read: drop them; `*ret` is then untouched.
 *
 * Checks lengths only: it guarantees that pn_offset + 4 + SP_SAMPLE_SIZE <= size for
 * types with a packet number, and that CIDs fit.  [RFC9000 17.2, 17.3]  The caller decides about
 * packets without the fixed bit, which may have been agreed on.  [RFC9287 3] */
SB_MUST_USE bool sp_header_read(const uint8_t *data, size_t size, uint8_t short_cid_size,
                                struct sp_header *ret);

/* Returns the type of a packet of `version`, 1 or 2, whose long header begins with `first`.  The
 * type is not under header protection.  [RFC9000 17.2, RFC9369 3.2] */
enum sp_packet_type sp_header_long_type(uint32_t version, uint8_t first);

/* A long header to write.  Its length field is written in 2 bytes, so that it can
 * be filled in when the payload is known: see sp_header_set_length(). */
struct sp_long_header {
    enum sp_packet_type type; /* INITIAL, ZERO_RTT or HANDSHAKE */
    uint32_t version;         /* 1 or 2 */
    bool lacks_fixed_bit;
    struct sp_cid dcid;
    struct sp_cid scid;
    struct sb_bytes token; /* INITIAL */
    uint64_t pn;
    uint32_t pn_size; /* 1 to 4 */
};

/* Bytes that sp_header_write_long() takes, with the packet number. */
size_t sp_header_long_size(const struct sp_long_header *header);

/* Writes the header with a length of 0.  `*ret_length_at` is where the length field
 * stands and `*ret_pn_at` where the packet number does. */
void sp_header_write_long(struct sb_writer *w, const struct sp_long_header *header,
                          uint8_t **ret_length_at, uint8_t **ret_pn_at);

/* `length`: packet number, payload and tag, in bytes; below 2^14. */
void sp_header_set_length(uint8_t *length_at, size_t length);

struct sp_short_header {
    const struct sp_cid *dcid;
    uint64_t pn;
    uint32_t pn_size;
    bool lacks_fixed_bit;
    bool spin;
    bool key_phase;
};

static inline size_t sp_header_short_size(const struct sp_short_header *header)
{
    return 1 + (size_t)header->dcid->size + header->pn_size;
}

static inline void sp_pn_write(uint8_t *at, uint64_t pn, uint32_t pn_size)
{
    SB_ASSERT(pn <= SP_PN_MAX);
    SB_ASSERT(pn_size >= 1 && pn_size <= SP_PN_SIZE_MAX);
    if (SB_LIKELY(pn_size == 2))
        sb_store_u16(at, (uint16_t)pn);
    else
        for (uint32_t i = pn_size; i-- > 0; pn >>= 8)
            at[i] = (uint8_t)pn;
}

static inline void sp_header_write_short(struct sb_writer *w, const struct sp_short_header *header,
                                         uint8_t **ret_pn_at)
{
    /* Copies: a byte that is written could change the originals, for all the compiler knows. */
    const struct sp_cid *dcid = header->dcid;
    size_t cid_size = dcid->size;
    uint32_t pn_size = header->pn_size;
    uint64_t pn = header->pn;
    SB_ASSERT(pn_size >= 1 && pn_size <= SP_PN_SIZE_MAX);
    SB_ASSERT(cid_size <= SP_CID_SIZE_MAX);

    /* [RFC9000 17.3.1] The reserved bits are 0 before protection. */
    unsigned first = (header->lacks_fixed_bit ? 0 : SP_HEADER_FIXED) |
                     (header->spin ? SP_HEADER_SPIN : 0) |
                     (header->key_phase ? SP_HEADER_KEY_PHASE : 0) | (pn_size - 1);
    uint8_t *at = sb_writer_room(w, 1 + cid_size + pn_size);
    if (at == NULL)
        return;
    *at++ = (uint8_t)first;
    if (SB_LIKELY(cid_size == SP_CID_SIZE_USUAL))
        memcpy(at, dcid->bytes, SP_CID_SIZE_USUAL);
    else
        memcpy(at, dcid->bytes, cid_size);
    at += cid_size;
    sp_pn_write(at, pn, pn_size);
    *ret_pn_at = at;
}

/* [RFC9000 17.1, A.2] Bytes in which `pn` must be sent when the peer has acknowledged
 * up to `largest_acked`, SB_VARINT_NONE if nothing yet. */
uint32_t sp_pn_size(uint64_t pn, uint64_t largest_acked);

static inline uint32_t sp_pn_read(const uint8_t *at, uint32_t pn_size)
{
    SB_ASSERT(pn_size >= 1 && pn_size <= SP_PN_SIZE_MAX);
    if (SB_LIKELY(pn_size == 2))
        return sb_load_u16(at);
    uint32_t truncated = 0;
    for (uint32_t i = 0; i < pn_size; i++)
        truncated = truncated << 8 | at[i];
    return truncated;
}

/* [RFC9000 17.1, A.3] The packet number closest to `next` (one more than the largest received)
 * whose low bits are `truncated`. */
static inline uint64_t sp_pn_expand(uint64_t next, uint32_t truncated, uint32_t pn_size)
{
    SB_ASSERT(next <= SP_PN_MAX + 1);
    SB_ASSERT(pn_size >= 1 && pn_size <= SP_PN_SIZE_MAX);
    uint64_t window = UINT64_C(1) << pn_size * 8;
    SB_ASSERT(truncated < window);

    /* [RFC9000 17.1, A.3] The right low bits, then one window up or down where that is
     * closer: the result lies in (next - window / 2, next + window / 2].  What would be no
     * packet number is moved back into the range of them. */
    uint64_t pn = (next & ~(window - 1)) | truncated;
    if (pn + window / 2 <= next)
        pn += window;
    else if (pn > next + window / 2 && pn >= window)
        pn -= window;
    if (pn > SP_PN_MAX)
        pn -= window;

    SB_ASSERT(pn <= SP_PN_MAX);
    return pn;
}

/* Applies header protection.  `first` is the packet's first byte and `pn_at` its
 * packet number of `pn_size` bytes.  [RFC9001 5.4.1] */
void sp_header_mask(uint8_t *first, uint8_t *pn_at, uint32_t pn_size,
                    const uint8_t mask[SP_MASK_SIZE]);

/* Removes it, and returns the packet number's size, which was hidden until then. */
uint32_t sp_header_unmask(uint8_t *first, uint8_t *pn_at, const uint8_t mask[SP_MASK_SIZE]);

/* Writes a Version Negotiation packet: CIDs are swapped already.  `first` supplies
 * the unused bits, random.  [RFC9000 17.2.1] */
void sp_header_write_version_negotiation(struct sb_writer *w, uint8_t first, struct sb_bytes dcid,
                                         struct sb_bytes scid, const uint32_t *versions,
                                         size_t version_count);

/* Writes a Retry packet of `version` without its integrity tag.  The low bits of `first` supply the
 * unused bits.  [RFC9000 17.2.5] */
void sp_header_write_retry(struct sb_writer *w, uint8_t first, uint32_t version,
                           struct sb_bytes dcid, const struct sp_cid *scid, struct sb_bytes token);

#endif
