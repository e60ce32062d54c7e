/* SPDX-License-Identifier: MIT */
#include "test/sim/oracle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/wire/frame_table.h"

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
    struct qs_oracle_space *space = &oracle->spaces[packet->space];
    struct sp_ack_walk walk = sp_ack_walk_of(ack);
    space->acks[space->ack_count++ % QS_ACKS_MAX] =
        (struct qs_sent_ack){.pn = packet->pn, .largest = ack->largest};
    struct sp_ack_range range;
    while (sp_ack_next(&walk, &range)) {
        space->ack_floor = range.smallest;
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

/* [ack-frequency 3, 4] Rising numbers, and a delay that the peer grants and would not exceed
 * anyway.
 */
static void check_ack_frequency(struct qs_oracle *oracle,
                                const struct sp_frame_ack_frequency *frame)
{
    uint64_t delay_ns = frame->delay_us * SB_US;
    uint64_t peer_ns = (oracle->peer->ack_delay_ns_max + SB_MS - 1) / SB_MS * SB_MS;
    if (frame->sequence != oracle->asked_end)
        qs_fail(oracle->trace, "%s sends ACK_FREQUENCY %" PRIu64 " after %" PRIu64, oracle->who,
                frame->sequence, oracle->asked_end);
    if (!oracle->peer->ack_frequency || delay_ns > peer_ns ||
        delay_ns < SB_MIN(oracle->peer->ack_delay_ns_max, SB_MS))
        qs_fail(oracle->trace, "%s asks for a delay of %" PRIu64 " us", oracle->who,
                frame->delay_us);
    oracle->asked_end = frame->sequence + 1;
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
        if (frame.type == SP_FRAME_ACK_FREQUENCY)
            check_ack_frequency(oracle, &frame.ack_frequency);
        if (frame.type == SP_FRAME_NEW_TOKEN && oracle->role == SP_CLIENT)
            qs_fail(oracle->trace, "%s sends a token", oracle->who); /* [RFC9000 19.7] */
        if (frame.type == SP_FRAME_NEW_CONNECTION_ID && frame.new_cid.sequence < 64)
            oracle->cids_sent |= UINT64_C(1) << frame.new_cid.sequence;
        qs_oracle_flow_sent(oracle, &frame);
    }
    return content;
}

/* [RFC9001 6.1] The next phase is begun only when the peer is known to have this one's keys,
 * unless the peer began it. */
static void check_phase(struct qs_oracle *oracle, const struct qs_packet *packet)
{
    bool phase = (packet->header.data[0] & SP_HEADER_KEY_PHASE) != 0;
    if (phase == oracle->phase_sent)
        return;
    if (!oracle->phase_is_acked && phase != oracle->phase_received)
        qs_fail(oracle->trace, "%s updates its key, and no packet with the old one was acked",
                oracle->who);
    oracle->phase_sent = phase;
    oracle->phase_is_acked = false;
    oracle->phase_first_pn = packet->pn;
}

/* [RFC9000 17.1] The bytes of the number say more than twice of what may be under way. */
static void check_pn_size(struct qs_oracle *oracle, const struct qs_packet *packet)
{
    const struct qs_oracle_space *space = &oracle->spaces[packet->space];
    uint32_t bits = 8 * ((packet->header.data[0] & SP_HEADER_PN_SIZE) + 1u);
    bool is_known = space->largest_acked < packet->pn; /* a liar may ack what never was */
    uint64_t under_way = is_known ? packet->pn - space->largest_acked : packet->pn + 1;
    if (space->largest_acked != SB_VARINT_NONE && !is_known)
        return;
    if (2 * under_way > UINT64_C(1) << bits)
        qs_fail(oracle->trace, "%s writes packet number %" PRIu64 " in %u bits", oracle->who,
                packet->pn, bits);
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
    check_pn_size(oracle, packet);
    if (packet->type == SP_PACKET_ONE_RTT)
        check_phase(oracle, packet);

    struct content content = {.is_eliciting = true};
    if (!packet->is_forged)
        content = walk_sent(oracle, packet);
    if (content.has_ack && !content.is_eliciting && !content.has_other) {
        if (!space->owes_ack)
            qs_fail(oracle->trace, "%s acknowledges though nothing asked for it", oracle->who);
        if (++space->lone_acks > 1)
            qs_fail(oracle->trace, "%s sends a second ACK alone for one batch", oracle->who);
    }
    if (content.has_ack) {
        space->owes_ack = false;
        space->at_once_ns = SB_NEVER;
    }

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

static void note_acked(struct qs_oracle *oracle, enum sp_space space, uint64_t largest)
{
    uint64_t *known = &oracle->spaces[space].largest_acked;
    if (*known == UINT64_MAX || largest > *known)
        *known = largest;
    if (space == SP_SPACE_APP && largest >= oracle->phase_first_pn)
        oracle->phase_is_acked = true;
}

/* What the peer knows to have arrived need not be told again, and so may be forgotten. */
static void note_known(struct qs_oracle_space *space, const struct sp_frame_ack *ack)
{
    struct sp_ack_walk walk = sp_ack_walk_of(ack);
    struct sp_ack_range range;
    while (sp_ack_next(&walk, &range)) {
        for (uint64_t i = 0; i < SB_MIN(space->ack_count, (uint64_t)QS_ACKS_MAX); i++) {
            const struct qs_sent_ack *sent = &space->acks[i];
            if (sent->pn >= range.smallest && sent->pn <= range.largest)
                space->ack_floor = SB_MAX(space->ack_floor, sent->largest + 1);
        }
    }
}

static void on_received_frame(struct qs_oracle *oracle, enum sp_space space,
                              const struct sp_frame *frame)
{
    if (frame->type == SP_FRAME_CONNECTION_CLOSE || frame->type == SP_FRAME_CONNECTION_CLOSE_APP)
        oracle->has_closed = true;
    if (frame->type == SP_FRAME_ACK || frame->type == SP_FRAME_ACK_ECN) {
        note_acked(oracle, space, frame->ack.largest);
        note_known(&oracle->spaces[space], &frame->ack);
    }
    if (frame->type == SP_FRAME_NEW_CONNECTION_ID && frame->new_cid.sequence < 64)
        oracle->cids_received |= UINT64_C(1) << frame->new_cid.sequence;
    if (frame->type == SP_FRAME_ACK_FREQUENCY &&
        frame->ack_frequency.sequence >= oracle->wish_end) {
        oracle->wish_end = frame->ack_frequency.sequence + 1;
        oracle->wished_delay_ns = frame->ack_frequency.delay_us * SB_US;
    }
    qs_oracle_flow_received(oracle, frame);
}

/* What cannot be read here is for the connection to refuse. */
static void on_opened(struct qs_oracle *oracle, const struct qs_packet *packet)
{
    struct qs_oracle_space *space = &oracle->spaces[packet->space];
    bool is_new = !was_received(space, packet->pn) && packet->pn >= space->ack_floor;
    note_received(oracle, space, packet->pn);
    if (packet->type == SP_PACKET_HANDSHAKE)
        oracle->address_is_valid = true; /* [RFC9000 8.1] */
    if (packet->type == SP_PACKET_ONE_RTT && packet->pn >= oracle->phase_received_pn) {
        oracle->phase_received_pn = packet->pn;
        oracle->phase_received = (packet->header.data[0] & SP_HEADER_KEY_PHASE) != 0;
    }

    struct content content = {0};
    uint64_t delay_ns = oracle->wished_delay_ns;
    struct sb_reader r = sb_reader_of(packet->payload.data, packet->payload.size);
    while (sb_reader_left(&r) > 0) {
        struct sp_frame frame;
        if (sp_frame_read(&r, (uint32_t)packet->type, &frame) != SP_OK)
            return;
        note_frame(&content, frame.type);
        on_received_frame(oracle, packet->space, &frame);
        if (frame.type == SP_FRAME_IMMEDIATE_ACK && is_new)
            space->at_once_ns = SB_MIN(space->at_once_ns, oracle->trace->clock->now_ns);
    }
    if (!content.is_eliciting)
        return;
    if (!space->owes_ack || space->owes_since_ns == SB_NEVER) {
        space->owes_since_ns = is_new ? oracle->trace->clock->now_ns : SB_NEVER;
        space->owes_delay_ns = SB_MAX(delay_ns, oracle->wished_delay_ns);
    }
    /* A longer delay counts for all packets that wait for their ACK. */
    space->owes_delay_ns = SB_MAX(space->owes_delay_ns, oracle->wished_delay_ns);
    space->owes_ack = true;
}

/* [RFC9000 13.2.1] The promise of max_ack_delay, or of what the peer has asked for instead, for
 * packets that came for the first time.  [ack-frequency 5, 6] */
void qs_oracle_check_acks(struct qs_oracle *oracle, uint64_t late_ns)
{
    const struct qs_oracle_space *space = &oracle->spaces[SP_SPACE_APP];
    if (!space->owes_ack || oracle->has_closed || space->owes_since_ns == SB_NEVER)
        return;
    if (oracle->is_path_limited)
        return; /* not even an ACK may be sent to an address that is not proven */
    uint64_t until_ns = space->owes_since_ns + space->owes_delay_ns;
    until_ns = sb_time_add(SB_MIN(until_ns, space->at_once_ns), late_ns);
    if (oracle->trace->clock->now_ns > until_ns)
        qs_fail(oracle->trace, "%s acknowledges nothing for %" PRIu64 " us", oracle->who,
                (oracle->trace->clock->now_ns - space->owes_since_ns) / SB_US);
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

/* A connection that asks for more deadlines at one time hangs. */
#define SPINS_MAX 100

bool qs_spins_note(struct qs_spins *spins, bool is_due, uint64_t asked_count)
{
    bool has_asked = asked_count != spins->asked_count;
    spins->asked_count = asked_count;
    spins->count = is_due && !has_asked ? spins->count + 1 : 0;
    return spins->count <= SPINS_MAX;
}
