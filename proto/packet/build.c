/* SPDX-License-Identifier: MIT */
#include "proto/packet/build.h"

/* Packets made of parts, and the masks of their headers.
 *
 * Control bytes grow in one buffer; a part of them is closed when data or padding follows.  So
 * the cipher sees the parts in the order of the frames, and data is not copied.  Header
 * protection needs the sealed bytes, and costs less for many packets at once: masks are
 * collected per key and applied in one call. */

#include "proto/base/assert.h"

/* The bytes of PADDING; a datagram never needs more of them. */
static const uint8_t zeros[SP_DATAGRAM_SIZE_MIN];

void sp_build_begin(struct sp_build *build, uint8_t *packet, size_t header_size, size_t room)
{
    SB_ASSERT(room > header_size + SP_TAG_SIZE);
    build->packet = packet;
    build->header_size = header_size;
    build->payload_size = 0;
    build->payload_max = room - header_size - SP_TAG_SIZE;
    build->open_from = 0;
    build->part_count = 0;
    build->data_count = 0;
    build->is_eliciting = false;
    build->is_in_flight = false;
    build->has_ack = false;
    build->wants_full_datagram = false;
    build->frames = NULL;
    build->frames_tail = &build->frames;
    build->control_writer = sb_writer_of(build->control, sizeof(build->control));
}

void sp_build_pad(struct sp_build *build, size_t size)
{
    SB_ASSERT(size <= sizeof(zeros) && size <= sp_build_left(build));
    if (size == 0)
        return;
    sp_build_close_part(build);
    SB_ASSERT(build->part_count < SP_BUILD_PARTS_MAX);
    build->parts[build->part_count++] = (struct sb_bytes){.data = zeros, .size = size};
    build->payload_size += size;
    build->is_in_flight = true; /* [RFC9000 12.4] */
}

void sp_build_padded_ping(struct sp_build *build)
{
    uint8_t *payload = build->packet + build->header_size;
    SB_ASSERT(build->payload_size == 0 && build->part_count == 0);
    memset(payload, SP_FRAME_PADDING, build->payload_max);
    payload[0] = SP_FRAME_PING;
    build->parts[build->part_count++] = (struct sb_bytes){payload, build->payload_max};
    build->payload_size = build->payload_max;
}

size_t sp_build_seal(struct sp_build *build, const struct sp_protect *protect)
{
    sp_build_close_part(build);
    SB_ASSERT(build->part_count > 0);
    /* [RFC9001 5.4.2] The sample must lie inside the packet. */
    SB_ASSERT(build->pn_size + build->payload_size >= SP_PN_SIZE_MAX);

    if (build->length_at != NULL)
        sp_header_set_length(build->length_at, build->pn_size + build->payload_size + SP_TAG_SIZE);
    struct sp_seal seal = {
        .pn = build->pn,
        .header = build->packet,
        .header_size = build->header_size,
        .parts = build->parts,
        .part_count = build->part_count,
        .out = build->packet + build->header_size,
    };
    return protect->ops->seal(build->key, &seal);
}

void sp_mask_batch_add(struct sp_mask_batch *batch, struct sp_key *key,
                       const struct sp_masked *packet, const struct sp_protect *protect)
{
    if (batch->count == SP_TRAIN_COUNT_MAX || (batch->count > 0 && batch->key != key))
        sp_mask_batch_apply(batch, protect);
    batch->key = key;
    batch->packets[batch->count++] = *packet;
}

void sp_mask_batch_apply(struct sp_mask_batch *batch, const struct sp_protect *protect)
{
    const uint8_t *samples[SP_TRAIN_COUNT_MAX];
    uint8_t masks[SP_TRAIN_COUNT_MAX][SP_MASK_SIZE];

    if (batch->count == 0)
        return;
    for (uint32_t i = 0; i < batch->count; i++)
        samples[i] = batch->packets[i].pn_at + SP_PN_SIZE_MAX; /* [RFC9001 5.4.2] */
    protect->ops->masks(batch->key, samples, batch->count, masks);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct sp_masked *packet = &batch->packets[i];
        sp_header_mask(packet->first, packet->pn_at, packet->pn_size, masks[i]);
    }
    batch->count = 0;
}
