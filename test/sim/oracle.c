/* SPDX-License-Identifier: MIT */
#include "test/sim/oracle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/frame_table.h"

/* What the frames of a packet are together. */
struct content {
    bool is_eliciting;
    bool has_ack;
    bool has_other; /* something besides ACK and PADDING */
};

void qs_oracle_deinit(struct qs_oracle *oracle)
{
    for (int space = 0; space < SP_SPACES; space++)
        free(oracle->spaces[space].received);
    qs_stream_table_deinit(&oracle->streams);
    *oracle = (struct qs_oracle){0};
}

static bool was_received(const struct qs_oracle_space *space, uint64_t pn)
{
    return pn < space->received_count && (space->received[pn / 8] >> (pn % 8) & 1) != 0;
}

static void note_received(struct qs_oracle *oracle, struct qs_oracle_space *space, uint64_t pn)
{
    if (pn >= UINT64_C(1) << 26) {
        qs_fail(oracle->trace, "%s opened packet number %" PRIu64 ", which no run reaches",
                oracle->who, pn);
        return;
    }
    if (pn >= space->received_count) {
        uint64_t count = (2 * pn + 64) / 8 * 8;
        space->received = realloc(space->received, (size_t)count / 8);
        SB_ASSERT(space->received != NULL);
        memset(space->received + space->received_count / 8, 0,
               (size_t)(count - space->received_count) / 8);
        space->received_count = count;
    }
    space->received[pn / 8] |= (uint8_t)(1u << (pn % 8));
}

/* Only what came may be acknowledged.  [RFC9000 13.1] */
static void check_ack(struct qs_oracle *oracle, const struct qs_packet *packet,
                      const struct sp_frame_ack *ack)
{
    const struct qs_oracle_space *space = &oracle->spaces[packet->space];
    struct sp_ack_walk walk = sp_ack_walk_of(ack);
    struct sp_ack_range range;
    while (sp_ack_next(&walk, &range)) {
        for (uint64_t pn = range.smallest; pn <= range.largest; pn++) {
            if (was_received(space, pn))
                continue;
            qs_fail(oracle->trace, "%s acknowledges packet %" PRIu64 " that it never received",
                    oracle->who, pn);
            return;
        }
    }
}

static void note_frame(struct content *content, uint64_t type)
{
    if (sp_frame_is_eliciting(type))
        content->is_eliciting = true;
    if (type == SP_FRAME_ACK || type == SP_FRAME_ACK_ECN)
        content->has_ack = true;
    else if (type != SP_FRAME_PADDING)
        content->has_other = true;
}

static struct content walk_sent(struct qs_oracle *oracle, const struct qs_packet *packet)
{
    struct content content = {0};
    struct sb_reader r = sb_reader_of(packet->payload.data, packet->payload.size);
    while (sb_reader_left(&r) > 0) {
        struct sp_frame frame;
        enum sp_err err = sp_frame_read(&r, (uint32_t)packet->type, &frame);
        if (err != SP_OK) {
            qs_fail(oracle->trace, "%s sends a malformed frame: error %#x", oracle->who,
                    (unsigned)err);
            break;
        }
        note_frame(&content, frame.type);
        if (frame.type == SP_FRAME_ACK || frame.type == SP_FRAME_ACK_ECN)
            check_ack(oracle, packet, &frame.ack);
        if (frame.type == SP_FRAME_CONNECTION_CLOSE || frame.type == SP_FRAME_CONNECTION_CLOSE_APP)
            oracle->has_closed = true;
        else if (oracle->has_closed && frame.type != SP_FRAME_PADDING &&
                 frame.type != SP_FRAME_ACK && frame.type != SP_FRAME_ACK_ECN)
            qs_fail(oracle->trace, "%s sends a frame %#" PRIx64 " after the close", oracle->who,
                    frame.type); /* [RFC9000 10.2] */
        qs_oracle_flow_sent(oracle, &frame);
    }
    return content;
}

static void on_sealed(struct qs_oracle *oracle, const struct qs_packet *packet)
{
    struct qs_oracle_space *space = &oracle->spaces[packet->space];
    if (space->has_sent && packet->pn <= space->largest_sent)
        qs_fail(oracle->trace, "%s sends packet number %" PRIu64 " after %" PRIu64, oracle->who,
                packet->pn, space->largest_sent); /* [RFC9000 12.3] */
    space->has_sent = true;
    space->largest_sent = packet->pn;
    if (packet->payload.size == 0)
        qs_fail(oracle->trace, "%s sends a packet without a frame", oracle->who);

    struct content content = walk_sent(oracle, packet);
    if (content.has_ack && !content.is_eliciting && !content.has_other) {
        if (!space->owes_ack)
            qs_fail(oracle->trace, "%s acknowledges though nothing asked for it", oracle->who);
        if (++space->lone_acks > 1)
            qs_fail(oracle->trace, "%s sends a second ACK alone for one batch", oracle->who);
    }
    if (content.has_ack)
        space->owes_ack = false;

    if (oracle->sealed_count == QS_SEALED_MAX) {
        qs_fail(oracle->trace, "%s puts more than %d packets into a train", oracle->who,
                QS_SEALED_MAX);
        return;
    }
    oracle->sealed[oracle->sealed_count++] = (struct qs_sealed){
        .at = packet->sealed_at,
        .size = packet->payload.size + SP_TAG_SIZE,
        .type = packet->type,
        .is_eliciting = content.is_eliciting,
    };
}

/* What cannot be read here is for the connection to refuse. */
static void on_opened(struct qs_oracle *oracle, const struct qs_packet *packet)
{
    struct qs_oracle_space *space = &oracle->spaces[packet->space];
    note_received(oracle, space, packet->pn);
    if (packet->type == SP_PACKET_HANDSHAKE)
        oracle->address_is_valid = true; /* [RFC9000 8.1] */

    struct content content = {0};
    struct sb_reader r = sb_reader_of(packet->payload.data, packet->payload.size);
    while (sb_reader_left(&r) > 0) {
        struct sp_frame frame;
        if (sp_frame_read(&r, (uint32_t)packet->type, &frame) != SP_OK)
            return;
        note_frame(&content, frame.type);
        if (frame.type == SP_FRAME_CONNECTION_CLOSE || frame.type == SP_FRAME_CONNECTION_CLOSE_APP)
            oracle->has_closed = true;
        qs_oracle_flow_received(oracle, &frame);
    }
    if (content.is_eliciting)
        space->owes_ack = true;
}

void qs_oracle_packet(struct qs_oracle *oracle, const struct qs_packet *packet)
{
    if (packet->sealed_at != NULL)
        on_sealed(oracle, packet);
    else
        on_opened(oracle, packet);
}

void qs_oracle_batch(struct qs_oracle *oracle, uint64_t bytes)
{
    oracle->bytes_in += bytes;
    for (int space = 0; space < SP_SPACES; space++)
        oracle->spaces[space].lone_acks = 0;
}
