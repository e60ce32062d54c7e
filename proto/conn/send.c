/* SPDX-License-Identifier: MIT */
#include "proto/conn/impl.h"

/* Fills trains with packets.
 *
 * A train is filled datagram by datagram.  A datagram holds one packet of each space that has
 * something to send.  Its packets are sealed after all of them are built, because only then it is
 * known which one is padded.  Header protection comes last, for all packets of a train at once.
 *
 * ACKs may always be sent.  Other frames need the consent of the congestion window and the pacer,
 * except in a probe.  Nothing is sent beyond the amplification limit. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/account.h"
#include "proto/conn/close.h"
#include "proto/conn/fill.h"
#include "proto/conn/gate.h"
#include "proto/conn/handshake.h"
#include "proto/conn/header_bits.h"
#include "proto/conn/memory.h"
#include "proto/conn/mtu.h"
#include "proto/conn/paths.h"
#include "proto/conn/recovery.h"
#include "proto/conn/rest.h"
#include "proto/conn/run.h"
#include "proto/conn/send_wait.h"
#include "proto/conn/tombstone.h"
#include "proto/conn/trace.h"
#include "proto/packet/build.h"

/* A packet with a CONNECTION_CLOSE that has no reason: a long header with two CIDs of 20 bytes, the
 * frame, and the tag. */
#define CLOSE_PACKET_SIZE ((1 + 4 + 21 + 21 + 1 + 2 + 4) + (1 + 8 + 8 + 1) + SP_TAG_SIZE)

_Static_assert(1 + 8 + 8 + 1 <= SP_BUILD_PAYLOAD_SIZE_MIN, "a close without its reason fits");

/* A CONNECTION_CLOSE: type, code, frame type, and the reason with its length. */
#define CLOSE_SIZE_MAX (1 + 8 + 8 + 2 + SP_REASON_SIZE_MAX)

/* Steps of sp_conn_unwind() before a CONNECTION_CLOSE: enough for a block of sent packets. */
#define CLOSE_UNWIND_STEPS 128

/* Writes a long header, if there is room for it and a payload, and sets `build->length_at` and
 * `build->pn_at`.  Returns its size, or 0.  A server's Initial has no token.  [RFC9000 17.2.2]  An
 * Initial has the fixed bit, because who reads it may not know yet that it need not. */
static SB_NEVER_INLINE size_t write_long_header(const struct sp_conn *conn, enum sp_space space,
                                                uint8_t *out, size_t room, struct sp_build *build)
{
    const struct sp_handshake *handshake = conn->handshake;
    uint8_t bits = sp_header_bits_of(conn, build->pn);
    struct sp_long_header header = {
        .type = space == SP_SPACE_INITIAL     ? SP_PACKET_INITIAL
                : space == SP_SPACE_HANDSHAKE ? SP_PACKET_HANDSHAKE
                                              : SP_PACKET_ZERO_RTT,
        .version = space != SP_SPACE_APP ? conn->version : conn->early->version,
        .lacks_fixed_bit = space == SP_SPACE_HANDSHAKE && (bits & SP_HEADER_FIXED) == 0,
        .dcid = conn->remote_ids.entries[conn->out_path->dcid].cid,
        .scid = sp_conn_is_server(conn) ? handshake->server_scid : handshake->client_scid,
        .pn = build->pn,
        .pn_size = build->pn_size,
    };
    if (space == SP_SPACE_INITIAL && !sp_conn_is_server(conn)) /* [RFC9000 8.1.2] */
        header.token = (struct sb_bytes){handshake->token.data, handshake->token.size};
    size_t size = sp_header_long_size(&header);
    if (room < size + SP_BUILD_PAYLOAD_SIZE_MIN + SP_TAG_SIZE)
        return 0;
    struct sb_writer w = sb_writer_of(out, room);
    sp_header_write_long(&w, &header, &build->length_at, &build->pn_at);
    SB_ASSERT(!w.failed && sb_writer_used(&w) == size);
    return size;
}

/* The same for a short header. */
static size_t write_short_header(const struct sp_conn *conn, uint8_t *out, size_t room,
                                 struct sp_build *build)
{
    uint8_t bits = sp_header_bits_of(conn, build->pn);
    const struct sp_short_header header = {
        .lacks_fixed_bit = (bits & SP_HEADER_FIXED) == 0,
        .spin = (bits & SP_HEADER_SPIN) != 0,
        .dcid = &conn->remote_ids.entries[conn->out_path->dcid].cid,
        .pn = build->pn,
        .pn_size = build->pn_size,
        .key_phase = conn->keys.write_phase & 1,
    };
    size_t size = sp_header_short_size(&header);
    if (room < size + SP_BUILD_PAYLOAD_SIZE_MIN + SP_TAG_SIZE)
        return 0;
    struct sb_writer w = sb_writer_of(out, room);
    build->length_at = NULL;
    sp_header_write_short(&w, &header, &build->pn_at);
    SB_ASSERT(!w.failed && sb_writer_used(&w) == size);
    return size;
}

/* Writes the header and prepares `build`.  Returns false without room.  All packets of a datagram
 * go to the CID in use.  [RFC9000 12.2] */
static bool begin_unrecorded(struct sp_conn *conn, enum sp_space space, uint8_t *out, size_t room,
                             struct sp_build *build)
{
    const struct sp_loss_space *s = conn->loss.spaces[space];
    build->space = space;
    build->key = sp_conn_write_key(conn, space);
    build->pn = s->sent.next_pn;
    build->pn_size = sp_pn_size(build->pn, s->largest_acked);
    bool is_short = space == SP_SPACE_APP && !sp_conn_sends_early(conn);
    size_t header_size = SB_LIKELY(is_short) ? write_short_header(conn, out, room, build)
                                             : write_long_header(conn, space, out, room, build);
    if (header_size == 0)
        return false;
    sp_build_begin(build, out, header_size, room);
    return true;
}

/* begin_unrecorded() for a packet that finish_packet() records.  False without room or memory. */
static bool begin_packet(struct sp_conn *conn, enum sp_space space, uint8_t *out, size_t room,
                         struct sp_build *build)
{
    if (!begin_unrecorded(conn, space, out, room, build))
        return false;
    bool has_record = sp_sent_reserve(&conn->loss.spaces[space]->sent);
    conn->lacks_records |= !has_record;
    return has_record;
}

/* Seals a packet into its place.  `masks` protects the header later. */
static void seal(struct sp_conn *conn, struct sp_build *build, struct sp_mask_batch *masks)
{
    conn->stats.copied_out_bytes += sp_build_seal(build, &conn->protect);
    const struct sp_masked masked = {build->packet, build->pn_at, build->pn_size};
    sp_mask_batch_add(masks, build->key, &masked, &conn->protect);
}

/* Seals a packet and records it as sent. */
static void finish_packet(struct sp_conn *conn, struct sp_build *build, struct sp_mask_batch *masks,
                          enum sp_ecn ecn, uint64_t now_ns)
{
    struct sp_conn_space *s = conn->spaces[build->space];

    sp_conn_trace_sent(conn, build);
    seal(conn, build, masks);
    const struct sp_sent *sent = &conn->loss.spaces[build->space]->sent;
    uint32_t alone_count = sent->out_count - sent->eliciting_count;
    bool is_kept = build->is_in_flight || alone_count < SP_ACKS_SENT_MAX;
    if (!is_kept) {
        sp_conn_free_frames(conn, build->frames);
        build->frames = NULL;
    }
    /* Probes count as bytes in flight like other packets.  [RFC9002 7.5] */
    struct sp_sent_packet packet = {
        .frames = build->frames,
        .sent_ns = now_ns,
        .size = build->is_in_flight ? (uint32_t)sp_build_size(build) : 0,
        .state = is_kept ? SP_SENT_OUT : SP_SENT_SKIPPED,
        .is_eliciting = build->is_eliciting,
        .is_ect = ecn != SP_ECN_NOT,
        .path = (uint8_t)conn->out_path->index,
    };
    sp_loss_on_sent(&conn->loss, build->space, &packet);
    conn->ids_changed |= sp_cid_remote_on_sent(&conn->remote_ids, conn->out_path->dcid);
    const struct sp_account what = {build->space, ecn, 1, build->is_eliciting};
    sp_conn_account(conn, &what, now_ns);
    if (build->has_ack) {
        if (build->space == SP_SPACE_APP)
            sp_keyphase_on_ack_sent(&conn->keys, s->ack.ranges[0].largest);
        sp_ack_on_sent(&s->ack, now_ns);
        conn->stats.acks_out++;
    }
}

/* [RFC9000 14.1, 8.2.2, RFC9001 9.3] Datagrams that carry such Initials, or a PATH_RESPONSE, have
 * at least 1200 bytes. */
static bool needs_padding(const struct sp_conn *conn, const struct sp_build *builds, uint32_t count)
{
    if (builds[0].space == SP_SPACE_INITIAL && (!sp_conn_is_server(conn) || builds[0].is_eliciting))
        return true;
    return builds[count - 1].wants_full_datagram;
}

/* Messages cannot be cut, so they rarely fill a datagram, and a train ends with one that is shorter
 * than the first.  So where more of them wait, the first datagram of a train may be shorter than
 * others, and the next ones as long as that: a little PADDING is cheaper than a send. */
static bool may_shrink(const struct sp_conn *conn, const struct sp_train *train)
{
    return SB_UNLIKELY(sp_conn_wants_message(conn)) && train->count == 1 &&
           conn->handshake_state >= SP_HANDSHAKE_CONFIRMED && conn->app.probe_count == 0 &&
           !sp_conn_wants_control(conn);
}

/* Returns the size of a datagram of a train that was shrunk to `room` bytes. */
static size_t padded_size(const struct sp_conn *conn, size_t used, size_t room)
{
    size_t padding_max = SB_MIN(room / 8, (size_t)SP_DATAGRAM_SIZE_MIN);
    return sp_conn_wants_message(conn) && room - used <= padding_max ? room : used;
}

/* Builds one datagram of at most `room` bytes at `out`.  Returns its size, 0 if there is
 * nothing to send. */
static size_t build_datagram(struct sp_conn *conn, uint8_t *out, size_t room,
                             struct sp_mask_batch *masks, enum sp_ecn ecn, uint64_t now_ns)
{
    struct sp_build builds[SP_SPACES];
    uint32_t count = 0;
    size_t used = 0;

    enum sp_wait congestion = sp_gate_congestion(conn, now_ns);
    conn->is_pacer_blocked = congestion == SP_WAIT_PACER && sp_gate_has_frames(conn);

    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++) {
        enum sp_space space = (enum sp_space)i;
        struct sp_build *build = &builds[count];
        bool may_fill = sp_gate_may_fill(conn, space, congestion);
        if (!sp_gate_wants_packet(conn, space, may_fill, now_ns) ||
            !begin_packet(conn, space, out + used, room - used, build) ||
            !sp_conn_fill(conn, build, may_fill, now_ns))
            continue;
        used += sp_build_size(build);
        count++;
    }
    if (count == 0) {
        conn->is_through = congestion == SP_WAIT_NONE && !conn->lacks_records &&
                           conn->handshake_state >= SP_HANDSHAKE_CONFIRMED;
        return 0;
    }
    size_t size = used;
    if (used < SP_DATAGRAM_SIZE_MIN && needs_padding(conn, builds, count))
        size = SP_DATAGRAM_SIZE_MIN;
    else if (SB_UNLIKELY(room < conn->datagram_size))
        size = padded_size(conn, used, room);
    sp_build_pad(&builds[count - 1], size - used);
    used = size;
    for (uint32_t i = 0; i < count; i++)
        finish_packet(conn, &builds[i], masks, ecn, now_ns);
    return used;
}

/* ---- Closing ---- */

/* Adds CONNECTION_CLOSE.  An application's error is replaced by APPLICATION_ERROR in packets of the
 * handshake, which do not protect it.  [RFC9000 10.2.3, 12.5] */
static void add_close(const struct sp_conn *conn, struct sp_build *build, bool has_reason)
{
    const struct sp_close *close = &conn->close;
    struct sp_frame_close frame = {
        .is_app = close->kind == SP_CLOSE_APP,
        .error = close->error,
        .frame_type = close->frame_type,
        .reason = {(const uint8_t *)close->reason, has_reason ? close->reason_size : 0},
    };
    if (frame.is_app && build->space != SP_SPACE_APP)
        frame = (struct sp_frame_close){.error = SP_ERR_APPLICATION};

    struct sb_writer w = sp_build_writer(build);
    sp_frame_write_close(&w, &frame);
    bool fits = sp_build_commit(build, &w);
    SB_ASSERT(fits);
}

/* Adds an ACK before the CONNECTION_CLOSE, because the peer may wait for the acknowledgment of its
 * last bytes.  Leaves room for the CONNECTION_CLOSE. */
static void add_last_ack(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns)
{
    if (!sp_ack_is_pending(&conn->spaces[build->space]->ack) ||
        sp_build_left(build) <= CLOSE_SIZE_MAX)
        return;
    build->payload_max -= CLOSE_SIZE_MAX;
    sp_conn_fill_ack(conn, build, now_ns);
    build->payload_max += CLOSE_SIZE_MAX;
}

/* Builds a CONNECTION_CLOSE for each level that the peer may be able to read.  Returns the number
 * of packets.  If it is 0, the close either waits for memory, or cannot be sent at all. */
static uint32_t build_close(struct sp_conn *conn, struct sp_train *train, size_t room,
                            struct sp_build *builds, uint64_t now_ns)
{
    uint32_t count = 0;
    conn->lacks_records = false;
    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++) {
        enum sp_space space = (enum sp_space)i;
        if (!sp_gate_may_close(conn, space))
            continue;
        if (!begin_packet(conn, space, train->data + train->size, room - train->size,
                          &builds[count]))
            continue;
        add_last_ack(conn, &builds[count], now_ns);
        add_close(conn, &builds[count], sp_build_left(&builds[count]) >= CLOSE_SIZE_MAX);
        train->size += sp_build_size(&builds[count]);
        count++;
    }
    if (count == 0 && conn->lacks_records)
        conn->retry_at_ns = sb_time_add(now_ns, sp_loss_pto_ns(&conn->loss));
    else
        conn->close_packet = SP_CLOSE_PACKET_NONE;
    return count;
}

/* Fills the train with one datagram that has a CONNECTION_CLOSE. */
static void send_close(struct sp_conn *conn, struct sp_train *train, uint64_t now_ns)
{
    struct sp_build builds[SP_SPACES];
    struct sp_mask_batch masks;
    size_t room = sp_gate_close_size(conn);

    if (conn->close_packet == SP_CLOSE_PACKET_NONE || conn->lacks_records ||
        train->capacity < room || sp_gate_is_amplifying(conn, room))
        return;
    /* Packets that were in flight give their memory for the record of this one. */
    uint32_t steps = CLOSE_UNWIND_STEPS;
    (void)!sp_conn_unwind(conn, &steps);
    bool is_answer = conn->close_packet == SP_CLOSE_PACKET_ANSWER;
    uint32_t count = build_close(conn, train, room, builds, now_ns);
    if (count == 0)
        return;

    if (train->size < room && builds[0].space == SP_SPACE_INITIAL) {
        sp_build_pad(&builds[count - 1], room - train->size);
        train->size = room;
    }
    masks.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        builds[i].is_in_flight = false; /* nobody will acknowledge it */
        finish_packet(conn, &builds[i], &masks, SP_ECN_NOT, now_ns);
    }
    sp_mask_batch_apply(&masks, &conn->protect);
    train->segment_size = train->size;
    train->count = 1;
    sp_conn_on_close_sent(conn, train->size, now_ns);
    if (is_answer)
        conn->close_budget_bytes -= SB_MIN(conn->close_budget_bytes, train->size);
    conn->path->bytes_out += train->size;
    sp_conn_account_train(conn, train);
}

/* Writes the datagram with which a tombstone answers: a CONNECTION_CLOSE for each level, without
 * ACKs, and with the reason if that fits into all of them.  Returns its size.  Its packet numbers
 * are not recorded as sent, so nothing else may be sealed afterwards. */
static size_t write_last_close(struct sp_conn *conn, uint8_t *out, size_t room)
{
    struct sp_build build;
    struct sp_mask_batch masks = {.count = 0};
    uint32_t level_count = 0;
    size_t used = 0;

    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++)
        level_count += sp_gate_may_close(conn, (enum sp_space)i);
    bool has_reason = level_count * (CLOSE_PACKET_SIZE + conn->close.reason_size) <= room;
    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++) {
        enum sp_space space = (enum sp_space)i;
        if (!sp_gate_may_close(conn, space) ||
            !begin_unrecorded(conn, space, out + used, room - used, &build))
            continue;
        add_close(conn, &build, has_reason);
        used += sp_build_size(&build);
        seal(conn, &build, &masks);
    }
    sp_mask_batch_apply(&masks, &conn->protect);
    return used;
}

static bool may_be_buried(const struct sp_conn *conn)
{
    if (conn->closed_pending || conn->state == SP_CONN_DRAINING)
        return !conn->closed_pending;
    bool has_full_datagrams = !sp_conn_is_server(conn) &&
                              sp_conn_first_space(conn) == SP_SPACE_INITIAL &&
                              sp_gate_may_close(conn, SP_SPACE_INITIAL);
    return conn->state == SP_CONN_CLOSING && conn->close_packet == SP_CLOSE_PACKET_NONE &&
           !has_full_datagrams;
}

bool sp_conn_bury(struct sp_conn *conn, struct sp_tombstone *ret)
{
    if (!may_be_buried(conn))
        return false;
    conn->out_path = conn->path;
    const struct sp_cid_remote_entry *active = &conn->remote_ids.entries[conn->remote_ids.active];
    *ret = (struct sp_tombstone){
        .path = conn->path->path,
        .end_at_ns = conn->end_at_ns,
        .budget_bytes = SB_MIN(sp_path_budget(conn->path), conn->close_budget_bytes),
        .datagrams_in = conn->close_packets_in,
        .answer_at = conn->close_answer_at,
        .is_server = sp_conn_is_server(conn),
        .has_token = sp_cid_remote_token_counts(active),
    };
    memcpy(ret->token, active->reset_token, sizeof(ret->token));
    if (conn->state == SP_CONN_CLOSING && !conn->keys.is_resting)
        ret->packet_size = (uint32_t)write_last_close(conn, ret->packet, sizeof(ret->packet));
    conn->state = SP_CONN_DRAINED;
    return true;
}

/* ---- The train ---- */

/* Acts on packets that were sent: discards a client's Initial keys, and sets retry_at_ns. */
static void after_send(struct sp_conn *conn, uint64_t now_ns)
{
    /* [RFC9001 4.9.1] A client that has sent a Handshake packet needs no Initial keys. */
    if (!sp_conn_is_server(conn) && conn->spaces[SP_SPACE_INITIAL] != NULL &&
        conn->loss.spaces[SP_SPACE_HANDSHAKE]->sent.next_pn > 0)
        sp_conn_discard_space(conn, SP_SPACE_INITIAL, now_ns);
    /* Acknowledgments of other connections free memory, and no event reports that. */
    if (SB_UNLIKELY(conn->lacks_records)) {
        sp_conn_note_shortage(conn, SP_SHORT_OF_RECORDS, now_ns);
        conn->retry_at_ns = sb_time_add(now_ns, sp_loss_pto_ns(&conn->loss));
    } else {
        sp_conn_end_shortage(conn, SP_SHORT_OF_RECORDS);
    }
    if (conn->holds_credit)
        sp_conn_hold_credit(conn, now_ns);
    if (SB_UNLIKELY(conn->is_roused))
        sp_conn_rest_roused(conn);
}

static void update_key(struct sp_conn *conn)
{
    bool is_updated = sp_keyphase_update_write(&conn->keys, conn->loss.app.sent.next_pn);
    conn->stats.key_updates += is_updated;
    conn->is_out_of_memory |= !is_updated;
}

static void begin_train(struct sp_conn *conn, struct sp_train *train)
{
    SB_ASSERT(train->data != NULL && train->count_max > 0);
    train->size = train->segment_size = train->count = 0;
    train->is_last = false;
    train->path = conn->path->path;
    train->ecn = SP_ECN_NOT;
    train->depart_ns = train->depart_min_ns;
    conn->is_held = train->is_held;
    conn->is_through = false;
    conn->out_path = conn->path;
    conn->ahead_ns = SB_LIKELY(train->ahead_ns == 0) ? 0 : sp_gate_ahead_ns(conn, train);
}

/* Fills the train with what an open connection may send now.  Leaves the connection open. */
static void fill_train(struct sp_conn *conn, struct sp_train *train, uint64_t now_ns)
{
    struct sp_mask_batch masks;
    masks.count = 0;

    conn->lacks_records = false;
    sp_header_bits_on_train(conn);
    sp_conn_decide_credit(conn);
    conn->room_count = (uint16_t)sp_gate_room_count(conn, train);
    enum sp_wait wait = sp_gate_train(conn, conn->room_count, now_ns);
    conn->is_pacer_blocked = wait == SP_WAIT_PACER;
    if (wait != SP_WAIT_NONE)
        return;

    if (SB_UNLIKELY(conn->loss.app.sent.next_pn >= conn->skip_at_pn))
        sp_conn_skip_number(conn);
    train->ecn = sp_gate_mark(conn, now_ns);
    size_t room = sp_gate_datagram_size(conn);
    uint32_t count_max = SB_MIN(train->count_max, (uint32_t)SP_TRAIN_COUNT_MAX);
    while (train->count < count_max && train->capacity - train->size >= room &&
           !conn->is_out_of_memory) {
        /* [RFC9000 8.1, 8.2.2] Whole datagrams only: less than that is left unused. */
        if (sp_gate_is_amplifying(conn, room)) {
            conn->loss.is_amplification_blocked = true;
            break;
        }
        size_t size =
            build_datagram(conn, train->data + train->size, room, &masks, train->ecn, now_ns);
        if (size == 0)
            break;
        size_t size_before = train->size;
        train->segment_size = SB_MAX(train->segment_size, size);
        train->size += size;
        train->count++;
        if (size == conn->datagram_size)
            sp_conn_send_run(conn, train, &masks, now_ns);
        conn->path->bytes_out += train->size - size_before;
        /* Only the last datagram of a train may be shorter than the first. */
        if ((size < room && !may_shrink(conn, train)) || size < train->segment_size)
            break;
        room = SB_MIN(sp_gate_datagram_size(conn), size);
    }
    sp_conn_mtu_sent(conn, train);
    sp_mask_batch_apply(&masks, &conn->protect);
    sp_conn_account_train(conn, train);
    after_send(conn, now_ns);
    if (train->count > 0)
        train->is_last = conn->is_through = sp_gate_is_through(conn, now_ns);
}

/* Fills a train that departs when the pacer allows it, soon, and that the host holds until then.
 * What is recorded of its packets is of that time. */
static SB_NEVER_INLINE void fill_ahead(struct sp_conn *conn, struct sp_train *train,
                                       uint64_t now_ns, uint64_t until_ns)
{
    const struct sp_pacer *pacer = &conn->loss.path->pacer;
    uint32_t count = sp_pacer_ahead_count(pacer, conn->datagram_size);
    uint64_t at_ns = SB_MAX(sp_pacer_credit_at_ns(pacer, count * conn->datagram_size), now_ns);
    if (at_ns > until_ns)
        return;
    train->count_max = SB_MIN(train->count_max, count);
    fill_train(conn, train, at_ns);
    train->depart_ns = at_ns;
    conn->is_pacer_blocked |= train->count == 0;             /* something else prevents it, so */
    conn->ahead_ns = train->count == 0 ? 0 : conn->ahead_ns; /* do not wake up early */
}

/* Fills the train with one PMTU probe, if one is due: a train of its own, because its size is that
 * of no other datagram.  It is not marked, so that its loss is no hint about ECN either. */
static SB_NEVER_INLINE void fill_mtu_probe(struct sp_conn *conn, struct sp_train *train,
                                           uint64_t now_ns)
{
    struct sp_pmtu *pmtu = &conn->path->pmtu;
    struct sp_build build;
    struct sp_mask_batch masks = {.count = 0};
    size_t size = pmtu->probe_size;
    if (!begin_packet(conn, SP_SPACE_APP, train->data, size, &build))
        return;
    if (sp_conn_fill_mtu_probe(conn, &build, size)) {
        finish_packet(conn, &build, &masks, SP_ECN_NOT, now_ns);
        sp_mask_batch_apply(&masks, &conn->protect);
        sp_pmtu_on_sent(pmtu);
        train->ecn = SP_ECN_NOT;
        train->size = train->segment_size = size;
        train->count = 1;
        conn->path->bytes_out += size;
        sp_conn_account_train(conn, train);
    }
    after_send(conn, now_ns);
}

static bool wants_mtu_probe(struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns)
{
    if (SB_LIKELY(!sp_pmtu_is_due(&conn->path->pmtu)))
        return false;
    sp_conn_mtu_fit(conn, train->capacity, now_ns);
    return sp_gate_wants_mtu_probe(conn);
}

/* Fills the train with one datagram that validates a path, or answers the peer's validation: a
 * train of its own, because it may go another way than all others.  It counts neither as in flight
 * nor for the PTO, and is not marked, like a PMTU probe.  [RFC9000 9.1] */
static void fill_path_probe(struct sp_conn *conn, struct sp_train *train, uint64_t now_ns)
{
    struct sp_conn_path *path = sp_conn_path_to_probe(conn);
    size_t size = sp_conn_path_probe_size(path);
    struct sp_build build;
    struct sp_mask_batch masks = {.count = 0};

    conn->lacks_records = false;
    conn->out_path = path;
    if (train->capacity < size || !begin_packet(conn, SP_SPACE_APP, train->data, size, &build))
        return;
    bool is_due = path->validation != NULL && path->validation->state == SP_VALIDATION_DUE;
    uint8_t challenge[SP_PATH_DATA_SIZE]; /* [RFC9000 8.2.1] unpredictable, another one each time */
    if (is_due)
        conn->host.random(conn->host.context, challenge, sizeof(challenge));
    sp_conn_fill_path_probe(&build, path, is_due ? challenge : NULL);
    build.is_in_flight = false;
    finish_packet(conn, &build, &masks, SP_ECN_NOT, now_ns);
    sp_mask_batch_apply(&masks, &conn->protect);
    train->path = path->path;
    train->size = train->segment_size = sp_build_size(&build);
    train->count = 1;
    sp_conn_path_on_probed(conn, path, train->size, is_due ? challenge : NULL, now_ns);
    sp_conn_account_train(conn, train);
    after_send(conn, now_ns);
}

uint32_t sp_conn_send(struct sp_conn *conn, struct sp_train *train, uint64_t now_ns)
{
    sp_conn_trace_begin(conn, now_ns);
    uint64_t real_ns = now_ns;
    now_ns = SB_MAX(now_ns, train->depart_min_ns); /* no packet overtakes those that are held */
    begin_train(conn, train);
    if (SB_UNLIKELY(conn->keys.is_resting) && !sp_conn_wake_to_send(conn, train, now_ns))
        return 0;
    if (conn->state == SP_CONN_OPEN) {
        if (sp_keyphase_wants_update(&conn->keys, conn->handshake_state >= SP_HANDSHAKE_CONFIRMED))
            update_key(conn);
        if (SB_UNLIKELY(sp_gate_wants_path_probe(conn)))
            fill_path_probe(conn, train, now_ns);
        else if (!sp_gate_is_ending(conn))
            fill_train(conn, train, now_ns);
        if (SB_UNLIKELY(conn->ahead_ns != 0) && train->count == 0 && conn->is_pacer_blocked)
            fill_ahead(conn, train, now_ns, SB_MAX(real_ns + conn->ahead_ns, now_ns));
        if (train->count == 0 && !sp_gate_is_ending(conn) && wants_mtu_probe(conn, train, now_ns))
            fill_mtu_probe(conn, train, now_ns);
        if (train->count == 0 && conn->loss.path->cc.ops->on_app_limited != NULL)
            sp_conn_note_idle(conn, train, now_ns);
        if (SB_UNLIKELY(conn->lacks_records) && conn->retry_at_ns <= now_ns)
            after_send(conn, now_ns);            /* the record of a probe */
    } else if (conn->state == SP_CONN_CLOSING) { /* draining: nothing. [RFC9000 10.2.2] */
        send_close(conn, train, now_ns);
    }
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_outcome(conn, train, now_ns);
    sp_conn_trace_end(conn);
    SB_DEBUG_ASSERT(train->count > 0 || sp_gate_is_explained(conn, train, now_ns));
    return train->count;
}
