/* SPDX-License-Identifier: MIT */
#include "test/attack/forger.h"

#include <string.h>

#include "crypto/protect.h"
#include "proto/wire/header.h"

uint64_t forger_random(struct forger *forger)
{
    uint64_t x = forger->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return forger->random = x;
}

static bool open_packet(struct forger *forger, uint8_t *data, const struct sp_header *header,
                        struct sp_key *key)
{
    uint8_t *pn_at = data + header->pn_offset;
    const uint8_t *sample = pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    sc_protect_ops.masks(key, &sample, 1, mask);
    uint32_t pn_size = sp_header_unmask(data, pn_at, mask[0]);
    size_t head_size = header->pn_offset + pn_size;
    if (!sp_open_in_place(&sc_protect_ops, key, sp_pn_read(pn_at, pn_size),
                          (struct sb_bytes){data, head_size}, data + head_size,
                          header->size - head_size))
        return false;
    forger->scid = header->scid;
    forger->payload_size = header->size - head_size - SP_TAG_SIZE;
    memcpy(forger->payload, data + head_size, forger->payload_size);
    return true;
}

bool forger_take(struct forger *forger, uint8_t *data, size_t size)
{
    struct sp_header header;
    struct sp_key *read_key;
    struct sp_key *write_key;
    if (size > FORGER_DATAGRAM_MAX || !sp_header_read(data, size, 8, &header) ||
        header.type != SP_PACKET_INITIAL ||
        !sc_protect_ops.initial(NULL, SP_VERSION_1, &header.dcid, SP_SERVER, &read_key, &write_key))
        return false;
    bool done = open_packet(forger, data, &header, read_key);
    sc_protect_ops.destroy(read_key);
    sc_protect_ops.destroy(write_key);
    return done;
}

void forger_set_frames(struct forger *forger, const uint8_t *frames, size_t size)
{
    SB_ASSERT(size <= forger->payload_size);
    memset(forger->payload, 0, forger->payload_size);
    memcpy(forger->payload, frames, size);
}

size_t forger_make(struct forger *forger, uint8_t out[FORGER_DATAGRAM_MAX])
{
    uint64_t dcid = forger_random(forger);
    const struct sp_long_header header = {
        .version = SP_VERSION_1,
        .type = SP_PACKET_INITIAL,
        .dcid = sp_cid_of((const uint8_t *)&dcid, sizeof(dcid)),
        .scid = forger->scid,
        .pn_size = 1,
    };
    struct sp_key *read_key;
    struct sp_key *write_key;
    if (!sc_protect_ops.initial(NULL, SP_VERSION_1, &header.dcid, SP_CLIENT, &read_key, &write_key))
        return 0;
    uint8_t *length_at;
    uint8_t *pn_at;
    struct sb_writer w = sb_writer_of(out, FORGER_DATAGRAM_MAX);
    sp_header_write_long(&w, &header, &length_at, &pn_at);
    size_t head_size = sb_writer_used(&w);
    sp_header_set_length(length_at, header.pn_size + forger->payload_size + SP_TAG_SIZE);
    const struct sb_bytes part = {forger->payload, forger->payload_size};
    const struct sp_seal packet = {
        .header = out,
        .header_size = head_size,
        .parts = &part,
        .part_count = 1,
        .out = out + head_size,
    };
    (void)sc_protect_ops.seal(write_key, &packet);
    const uint8_t *sample = pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    sc_protect_ops.masks(write_key, &sample, 1, mask);
    sp_header_mask(out, pn_at, header.pn_size, mask[0]);
    sc_protect_ops.destroy(read_key);
    sc_protect_ops.destroy(write_key);
    return head_size + forger->payload_size + SP_TAG_SIZE;
}
