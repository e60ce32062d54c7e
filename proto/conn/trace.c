/* SPDX-License-Identifier: MIT */
#include "proto/conn/trace.h"

/* Records of a connection for qlog: packets, and what has changed between two calls of the host.
 *
 * The sink keeps what was recorded last.  Where one call passes through several states of the
 * handshake, each is recorded, at the same time.  Nothing here changes the connection, and what is
 * compared costs only those that have a sink. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/recovery/bbr.h"

static struct sb_bytes bytes_of_cid(const struct sp_cid *cid)
{
    return (struct sb_bytes){cid->bytes, cid->size};
}

/* ---- The beginning and the end ---- */

static void trace_version(struct sp_conn *conn)
{
    const struct sp_versions *ours = conn->handshake != NULL ? &conn->handshake->versions : NULL;
    uint8_t list[SP_VERSIONS_MAX * 4];
    struct sp_qlog_record record = {
        .kind = SP_QLOG_VERSION,
        .number_count = 2,
        .numbers = {conn->role, conn->version},
        .text_count = 1,
        .texts = {{list, 0}},
    };
    uint32_t count = ours != NULL ? SB_MIN(ours->count, SP_VERSIONS_MAX) : 0;
    for (uint32_t i = 0; i < count; i++)
        sb_store_u32(list + 4 * i, ours->list[i]);
    record.texts[0].size = 4 * (size_t)count;
    sp_qlog_write(conn->qlog, &record);
    conn->qlog->version = conn->version;
}

void sp_conn_trace_start(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_qlog *qlog = conn->qlog;
    SB_PROBE2(conn_started, conn, conn->role);
    if (SB_LIKELY(qlog == NULL))
        return;
    uint8_t addrs[2][SP_QLOG_ADDR_SIZE];
    sp_qlog_addr(&conn->path->path.local, addrs[0]);
    sp_qlog_addr(&conn->path->path.remote, addrs[1]);
    qlog->now_ns = now_ns;
    qlog->loss_at_ns = qlog->ack_at_ns = SB_NEVER;
    qlog->datagram_size = (uint32_t)conn->datagram_size;
    qlog->remote_cid = *sp_cid_remote_active(&conn->remote_ids);
    qlog->is_proven = true;
    qlog->paths[0] = (struct sp_qlog_path){.is_used = true, .state = (uint8_t)conn->path->state};
    const struct sp_qlog_record record = {
        .kind = SP_QLOG_STARTED,
        .number_count = 1,
        .numbers = {conn->role},
        .text_count = 5,
        .texts =
            {
                {addrs[0], SP_QLOG_ADDR_SIZE},
                {addrs[1], SP_QLOG_ADDR_SIZE},
                bytes_of_cid(&conn->local_ids.entries[0].cid),
                bytes_of_cid(&qlog->remote_cid),
                bytes_of_cid(&conn->original_dcid),
            },
    };
    sp_qlog_write(qlog, &record);
    trace_version(conn);
    const struct sp_cc *cc = &conn->path->loss.cc;
    sp_qlog_numbers(qlog, SP_QLOG_RECOVERY,
                    (uint64_t[]){conn->config->initial_rtt_ns, cc->datagram_bytes,
                                 sp_cc_cwnd_initial(cc), sp_cc_cwnd_min(cc)},
                    4);
    sp_conn_trace_changes(conn);
}

void sp_conn_trace_close(struct sp_conn *conn)
{
    const struct sp_close *close = &conn->close;
    const struct sp_qlog_record record = {
        .kind = SP_QLOG_CLOSED,
        .number_count = 4,
        .numbers = {close->kind, close->is_local, close->error, close->frame_type},
        .text_count = 1,
        .texts = {{(const uint8_t *)close->reason, close->reason_size}},
    };
    sp_qlog_write(conn->qlog, &record);
    sp_conn_trace_changes(conn);
}

void sp_conn_trace_params(struct sp_conn *conn, enum sp_role sender, struct sb_bytes encoded)
{
    if (SB_LIKELY(conn->qlog == NULL))
        return;
    const struct sp_qlog_record record = {
        .kind = SP_QLOG_PARAMETERS,
        .number_count = 2,
        .numbers = {sender == conn->role, sender},
        .text_count = 1,
        .texts = {encoded},
    };
    sp_qlog_write(conn->qlog, &record);
}

void sp_conn_trace_restored(struct sp_conn *conn, const struct sp_tparams *remembered)
{
    if (SB_LIKELY(conn->qlog == NULL))
        return;
    const uint64_t numbers[] = {
        remembered->initial_max_data,
        remembered->initial_max_stream_data_bidi_local,
        remembered->initial_max_stream_data_bidi_remote,
        remembered->initial_max_stream_data_uni,
        remembered->initial_max_streams_bidi,
        remembered->initial_max_streams_uni,
    };
    sp_qlog_numbers(conn->qlog, SP_QLOG_RESTORED, numbers, SB_COUNT(numbers));
}

void sp_conn_trace_a_stream(struct sp_conn *conn, uint64_t id, bool is_opened)
{
    sp_qlog_numbers(conn->qlog, SP_QLOG_STREAM, (uint64_t[]){id, is_opened}, 2);
}

void sp_conn_trace_a_wait(struct sp_conn *conn, struct sp_stream *stream)
{
    static const enum sp_qlog_wait of_want[] = {
        [SP_WANT_NOTHING] = SP_QLOG_WAIT_NONE,
        [SP_WANT_CREDIT] = SP_QLOG_WAIT_STREAM_CREDIT,
        [SP_WANT_CONN_CREDIT] = SP_QLOG_WAIT_CONN_CREDIT,
        [SP_WANT_SEND] = SP_QLOG_WAIT_NONE,
    };
    uint64_t credit = conn->max_data - conn->data_sent;
    enum sp_qlog_wait wait = stream->is_held ? SP_QLOG_WAIT_STREAM_ID
                                             : of_want[sp_stream_send_want(&stream->send, credit)];
    if (stream->traced_wait == wait)
        return;
    sp_qlog_numbers(conn->qlog, SP_QLOG_STREAM_WAIT,
                    (uint64_t[]){stream->id, stream->traced_wait, wait}, 3);
    stream->traced_wait = (uint8_t)wait;
}

void sp_conn_trace_a_move(struct sp_conn *conn, const struct sp_trace_move *move)
{
    sp_qlog_numbers(
        conn->qlog, SP_QLOG_MOVED,
        (uint64_t[]){move->stream_id, move->offset, move->size, move->fin, move->is_received}, 5);
}

/* ---- Datagrams of UDP ---- */

static void trace_udp(struct sp_conn *conn, enum sp_qlog_kind kind, const uint64_t numbers[4])
{
    sp_qlog_numbers(conn->qlog, kind, numbers, 4);
}

void sp_conn_trace_train(struct sp_conn *conn, const struct sp_train *train)
{
    if (!conn->qlog->has_datagrams)
        return;
    uint64_t last = train->size - (train->count - 1) * (uint64_t)train->segment_size;
    trace_udp(conn, SP_QLOG_UDP_SENT,
              (uint64_t[]){train->count, train->segment_size, last, train->ecn});
}

void sp_conn_trace_datagrams(struct sp_conn *conn, const struct sp_datagram *datagrams,
                             uint32_t count)
{
    for (uint32_t at = 0, end; at < count; at = end) {
        for (end = at + 1; end < count; end++)
            if (datagrams[end].size != datagrams[at].size ||
                datagrams[end].ecn != datagrams[at].ecn)
                break;
        trace_udp(
            conn, SP_QLOG_UDP_RECEIVED,
            (uint64_t[]){end - at, datagrams[at].size, datagrams[at].size, datagrams[at].ecn});
    }
}

/* ---- Packets ---- */

void sp_conn_trace_retry(struct sp_conn *conn, const struct sp_header *header)
{
    if (SB_LIKELY(conn->qlog == NULL))
        return;
    const struct sp_qlog_record record = {
        .kind = SP_QLOG_RETRY,
        .number_count = 3,
        .numbers = {header->size, header->version, header->token.size},
        .text_count = 1,
        .texts = {bytes_of_cid(&header->scid)},
    };
    sp_qlog_write(conn->qlog, &record);
}

void sp_conn_trace_refusal(struct sp_conn *conn, const struct sp_header *header)
{
    if (SB_LIKELY(conn->qlog == NULL))
        return;
    const struct sp_qlog_record record = {
        .kind = SP_QLOG_REFUSAL,
        .number_count = 1,
        .numbers = {header->size},
        .text_count = 1,
        .texts = {header->versions},
    };
    sp_qlog_write(conn->qlog, &record);
}

/* Of ours: it is not sent, so it has its default.  [RFC9000 18.2] */
#define OWN_ACK_DELAY_EXPONENT 3

static void trace_packet(struct sp_conn *conn, struct sp_qlog_record *record, const uint8_t *frames,
                         size_t size)
{
    record->text_count = 1;
    record->texts[0] = (struct sb_bytes){frames, size};
    sp_qlog_write(conn->qlog, record);
}

static enum sp_packet_type type_of_space(const struct sp_conn *conn, enum sp_space space)
{
    if (space == SP_SPACE_INITIAL)
        return SP_PACKET_INITIAL;
    if (space == SP_SPACE_HANDSHAKE)
        return SP_PACKET_HANDSHAKE;
    return sp_conn_sends_early(conn) ? SP_PACKET_ZERO_RTT : SP_PACKET_ONE_RTT;
}

void sp_conn_trace_built(struct sp_conn *conn, struct sp_build *build)
{
    uint8_t frames[SP_QLOG_FRAMES_SIZE_MAX];
    sp_build_close_part(build); /* as the seal would */
    size_t size = sp_qlog_frames(build->parts, build->part_count, frames);
    const struct sp_sent_frame *first = build->frames;
    bool is_mtu_probe = first != NULL && first->type == SP_FRAME_PING;
    bool is_probe = build->is_eliciting && conn->spaces[build->space]->probe_count > 0;
    struct sp_qlog_record record = {
        .kind = SP_QLOG_SENT,
        .number_count = 9,
        .numbers = {type_of_space(conn, build->space), build->pn, build->payload_size,
                    sp_build_size(build), conn->keys.write_phase, OWN_ACK_DELAY_EXPONENT, false,
                    is_mtu_probe, is_probe},
    };
    trace_packet(conn, &record, frames, size);
}

void sp_conn_trace_run_built(struct sp_conn *conn, const struct sp_trace_run *packet)
{
    uint8_t frames[SP_QLOG_FRAMES_SIZE_MAX];
    const struct sp_stream_head head = {.id = packet->stream_id, .offset = packet->offset};
    size_t size = sp_qlog_frame_of_stream(packet->stream_id, packet->offset, packet->data_size,
                                          false, frames);
    struct sp_qlog_record record = {
        .kind = SP_QLOG_SENT,
        .number_count = 9,
        .numbers = {SP_PACKET_ONE_RTT, packet->pn,
                    sp_frame_stream_head_size(&head) + packet->data_size, packet->size,
                    conn->keys.write_phase, OWN_ACK_DELAY_EXPONENT, false, false, false},
    };
    trace_packet(conn, &record, frames, size);
}

static uint64_t phase_of(const struct sp_conn *conn, const struct sp_packet *packet)
{
    bool is_late = packet->key != NULL && packet->key == conn->keys.read_prev;
    return conn->keys.read_phase - is_late;
}

void sp_conn_trace_opened(struct sp_conn *conn, const struct sp_packet *packet)
{
    uint8_t frames[SP_QLOG_FRAMES_SIZE_MAX];
    const struct sb_bytes part = {packet->payload, packet->payload_size};
    const struct sp_frame_stream *lone = packet->lone;
    size_t size = lone != NULL ? sp_qlog_frame_of_stream(lone->id, lone->offset, lone->size,
                                                         lone->fin, frames)
                               : sp_qlog_frames(&part, 1, frames);
    uint64_t payload_size = packet->payload_size + (lone != NULL ? lone->size : 0);
    uint32_t exponent = packet->space == SP_SPACE_APP ? conn->peer_ack_delay_exponent : 3;
    struct sp_qlog_record record = {
        .kind = SP_QLOG_RECEIVED,
        .number_count = 7,
        .numbers = {packet->type, packet->pn, payload_size, packet->size, phase_of(conn, packet),
                    exponent, packet->datagram->waited_ns > 0},
    };
    trace_packet(conn, &record, frames, size);
}

void sp_conn_trace_drop(struct sp_conn *conn, enum sp_packet_type type, size_t size,
                        enum sp_qlog_drop why)
{
    sp_qlog_numbers(conn->qlog, SP_QLOG_DROPPED, (uint64_t[]){type, size, why}, 3);
}

/* ---- Changes ---- */

static enum sp_qlog_state state_of(const struct sp_conn *conn)
{
    static const enum sp_qlog_state of_conn[] = {
        [SP_CONN_CLOSING] = SP_QLOG_STATE_CLOSING,
        [SP_CONN_DRAINING] = SP_QLOG_STATE_DRAINING,
        [SP_CONN_DRAINED] = SP_QLOG_STATE_CLOSED,
    };
    static const enum sp_qlog_state of_handshake[] = {
        [SP_HANDSHAKE_STARTED] = SP_QLOG_STATE_ATTEMPTED,
        [SP_HANDSHAKE_AUTHENTICATED] = SP_QLOG_STATE_HANDSHAKE,
        [SP_HANDSHAKE_COMPLETE] = SP_QLOG_STATE_COMPLETE,
        [SP_HANDSHAKE_CONFIRMED] = SP_QLOG_STATE_CONFIRMED,
    };
    return conn->state == SP_CONN_OPEN ? of_handshake[conn->handshake_state] : of_conn[conn->state];
}

static void change(struct sp_conn *conn, enum sp_qlog_kind kind, uint64_t before, uint64_t now)
{
    sp_qlog_numbers(conn->qlog, kind, (uint64_t[]){before, now}, 2);
}

static void trace_state(struct sp_conn *conn)
{
    struct sp_qlog *qlog = conn->qlog;
    enum sp_qlog_state now = state_of(conn);
    while (qlog->state != now) {
        bool is_step = qlog->state < now && now <= SP_QLOG_STATE_CONFIRMED;
        enum sp_qlog_state next = is_step ? (enum sp_qlog_state)(qlog->state + 1) : now;
        change(conn, SP_QLOG_STATE, qlog->state, next);
        qlog->state = next;
    }
}

/* Which of the key types exist, as bits. */
static uint32_t keys_of(const struct sp_conn *conn)
{
    /* Of the pairs the second one is the client's: what seals with it is our write key there. */
    const struct sp_conn_space *initial = conn->spaces[SP_SPACE_INITIAL];
    const struct sp_conn_space *handshake = conn->spaces[SP_SPACE_HANDSHAKE];
    bool is_server = sp_conn_is_server(conn);
    uint32_t ours = is_server ? 0 : 1, theirs = 1 - ours;
    uint32_t keys = 0;
    if (initial != NULL) {
        keys |= (uint32_t)(initial->write != NULL) << (SP_QLOG_KEY_SERVER_INITIAL + ours);
        keys |= (uint32_t)(initial->read != NULL) << (SP_QLOG_KEY_SERVER_INITIAL + theirs);
    }
    if (handshake != NULL) {
        keys |= (uint32_t)(handshake->write != NULL) << (SP_QLOG_KEY_SERVER_HANDSHAKE + ours);
        keys |= (uint32_t)(handshake->read != NULL) << (SP_QLOG_KEY_SERVER_HANDSHAKE + theirs);
    }
    if (conn->early != NULL && conn->early->key != NULL)
        keys |= 1u << SP_QLOG_KEY_CLIENT_0RTT;
    keys |= (uint32_t)(conn->keys.write != NULL) << (SP_QLOG_KEY_SERVER_1RTT + ours);
    keys |= (uint32_t)(conn->keys.read != NULL) << (SP_QLOG_KEY_SERVER_1RTT + theirs);
    return keys;
}

static void trace_key(struct sp_conn *conn, uint32_t key, uint64_t phase,
                      enum sp_qlog_key_event event)
{
    sp_qlog_numbers(conn->qlog, SP_QLOG_KEY, (uint64_t[]){key, phase, event}, 3);
}

static void trace_keys(struct sp_conn *conn)
{
    struct sp_qlog *qlog = conn->qlog;
    uint32_t keys = keys_of(conn), changed = keys ^ qlog->keys;
    uint32_t ours = SP_QLOG_KEY_SERVER_1RTT + !sp_conn_is_server(conn);
    uint32_t theirs = SP_QLOG_KEY_SERVER_1RTT + sp_conn_is_server(conn);
    qlog->keys = keys;
    for (uint32_t left = changed; left != 0; left &= left - 1) {
        uint32_t key = (uint32_t)__builtin_ctz(left);
        bool has_phase = key >= SP_QLOG_KEY_SERVER_1RTT;
        trace_key(conn, key, has_phase ? 0 : SP_QLOG_NONE,
                  (keys >> key & 1) != 0 ? SP_QLOG_KEY_BY_TLS : SP_QLOG_KEY_DISCARDED);
    }
    bool is_theirs =
        conn->keys.read_phase != qlog->read_phase && conn->keys.write_phase > qlog->write_phase;
    if (conn->keys.read_phase != qlog->read_phase)
        trace_key(conn, theirs, conn->keys.read_phase, SP_QLOG_KEY_BY_PEER);
    if (conn->keys.write_phase != qlog->write_phase)
        trace_key(conn, ours, conn->keys.write_phase,
                  is_theirs ? SP_QLOG_KEY_BY_PEER : SP_QLOG_KEY_BY_US);
    qlog->read_phase = conn->keys.read_phase;
    qlog->write_phase = conn->keys.write_phase;
}

static void trace_metrics(struct sp_conn *conn)
{
    struct sp_qlog *qlog = conn->qlog;
    const struct sp_loss_path *path = conn->loss.path;
    bool has_rtt = sp_rtt_has_sample(&path->rtt);
    uint64_t packet_count = 0;
    for (uint32_t i = 0; i < SP_SPACES; i++)
        packet_count += conn->loss.spaces[i] != NULL ? conn->loss.spaces[i]->sent.out_count : 0;
    const uint64_t now[SB_COUNT(qlog->metrics)] = {
        has_rtt ? path->rtt.min_ns : SP_QLOG_NONE,
        has_rtt ? path->rtt.smoothed_ns : SP_QLOG_NONE,
        has_rtt ? path->rtt.latest_ns : SP_QLOG_NONE,
        has_rtt ? path->rtt.variance_ns : SP_QLOG_NONE,
        conn->loss.pto_count,
        path->cc.cwnd_bytes,
        path->cc.in_flight_bytes,
        path->cc.ssthresh_bytes,
        packet_count,
        path->pacer.rate_bytes_per_s > 0 ? path->pacer.rate_bytes_per_s : SP_QLOG_NONE,
    };
    if (memcmp(now, qlog->metrics, sizeof(now)) != 0) {
        uint64_t changed[SB_COUNT(qlog->metrics)];
        for (uint32_t i = 0; i < SB_COUNT(now); i++)
            changed[i] = now[i] != qlog->metrics[i] ? now[i] : SP_QLOG_NONE;
        sp_qlog_numbers(qlog, SP_QLOG_METRICS, changed, SB_COUNT(now));
        memcpy(qlog->metrics, now, sizeof(now));
    }
    uint32_t phase = (uint32_t)sp_cc_phase(&path->cc);
    if (phase != qlog->cc_phase)
        change(conn, SP_QLOG_CONGESTION, qlog->cc_phase, phase);
    qlog->cc_phase = phase;
    if ((uint32_t)path->ecn.state != qlog->ecn_state)
        change(conn, SP_QLOG_ECN, qlog->ecn_state, path->ecn.state);
    qlog->ecn_state = (uint32_t)path->ecn.state;
}

/* Records that a timer was set, has expired, or was cancelled. */
static void trace_timer(struct sp_conn *conn, enum sp_qlog_timer timer, uint64_t *at_ns,
                        uint64_t now_at_ns)
{
    struct sp_qlog *qlog = conn->qlog;
    if (*at_ns == now_at_ns)
        return;
    bool has_expired = *at_ns <= qlog->now_ns;
    if (*at_ns != SB_NEVER && (has_expired || now_at_ns == SB_NEVER))
        sp_qlog_numbers(qlog, SP_QLOG_TIMER,
                        (uint64_t[]){timer,
                                     has_expired ? SP_QLOG_TIMER_EXPIRED : SP_QLOG_TIMER_CANCELLED,
                                     SP_QLOG_NONE},
                        3);
    if (now_at_ns != SB_NEVER)
        sp_qlog_numbers(
            qlog, SP_QLOG_TIMER,
            (uint64_t[]){timer, SP_QLOG_TIMER_SET, sb_time_since(now_at_ns, qlog->now_ns)}, 3);
    *at_ns = now_at_ns;
}

static void trace_cids(struct sp_conn *conn)
{
    struct sp_qlog *qlog = conn->qlog;
    const struct sp_cid *now = sp_cid_remote_active(&conn->remote_ids);
    if (sp_cid_equal(now, &qlog->remote_cid))
        return;
    const struct sp_qlog_record record = {
        .kind = SP_QLOG_CID,
        .number_count = 1,
        .numbers = {false},
        .text_count = 2,
        .texts = {bytes_of_cid(&qlog->remote_cid), bytes_of_cid(now)},
    };
    sp_qlog_write(qlog, &record);
    qlog->remote_cid = *now;
}

static void trace_path(struct sp_conn *conn, enum sp_qlog_kind kind, uint64_t what,
                       const struct sp_conn_path *path)
{
    uint8_t addrs[2][SP_QLOG_ADDR_SIZE];
    sp_qlog_addr(&path->path.local, addrs[0]);
    sp_qlog_addr(&path->path.remote, addrs[1]);
    const struct sp_qlog_record record = {
        .kind = kind,
        .number_count = kind == SP_QLOG_MIGRATION ? 2 : 1,
        .numbers = {path->made_number, what},
        .text_count = 2,
        .texts = {{addrs[0], SP_QLOG_ADDR_SIZE}, {addrs[1], SP_QLOG_ADDR_SIZE}},
    };
    sp_qlog_write(conn->qlog, &record);
}

/* What has become of the paths beside the one in use, and which one that is. */
static void trace_paths(struct sp_conn *conn)
{
    struct sp_qlog *qlog = conn->qlog;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        const struct sp_conn_path *path = conn->paths[i];
        struct sp_qlog_path *last = &qlog->paths[i];
        if (path == NULL) {
            last->is_used = false;
            continue;
        }
        bool is_new = !last->is_used || last->number != path->made_number;
        if (is_new) {
            trace_path(conn, SP_QLOG_TUPLE, 0, path);
            trace_path(conn, SP_QLOG_MIGRATION, SP_QLOG_PROBING, path);
            *last = (struct sp_qlog_path){path->made_number, true, SP_PATH_CANDIDATE};
        }
        if (last->state == SP_PATH_CANDIDATE && path->state == SP_PATH_PROVEN)
            trace_path(conn, SP_QLOG_MIGRATION, SP_QLOG_PROBING_DONE, path);
        if (last->state == SP_PATH_CANDIDATE && path->state == SP_PATH_LEFT)
            trace_path(conn, SP_QLOG_MIGRATION, SP_QLOG_PROBING_ABANDONED, path);
        last->state = (uint8_t)path->state;
    }
    bool is_proven = conn->path->state == SP_PATH_PROVEN;
    bool has_moved = qlog->path != conn->path->made_number;
    if (has_moved && !is_proven)
        trace_path(conn, SP_QLOG_MIGRATION, SP_QLOG_MIGRATION_STARTED, conn->path);
    if (is_proven && (has_moved || !qlog->is_proven))
        trace_path(conn, SP_QLOG_MIGRATION, SP_QLOG_MIGRATION_COMPLETE, conn->path);
    qlog->path = conn->path->made_number;
    qlog->is_proven = is_proven;
}

void sp_conn_trace_changes(struct sp_conn *conn)
{
    struct sp_qlog *qlog = conn->qlog;
    if (conn->version != qlog->version)
        trace_version(conn);
    trace_keys(conn);
    trace_state(conn);
    trace_paths(conn);
    trace_cids(conn);
    if (conn->datagram_size != qlog->datagram_size) {
        change(conn, SP_QLOG_MTU, qlog->datagram_size, conn->datagram_size);
        qlog->datagram_size = (uint32_t)conn->datagram_size;
    }
    trace_metrics(conn);
    bool spin = conn->bits.spins && conn->bits.spin != 0;
    if (spin != qlog->spin)
        sp_qlog_numbers(qlog, SP_QLOG_SPIN, (uint64_t[]){spin}, 1);
    qlog->spin = spin;
    bool is_open = conn->state == SP_CONN_OPEN;
    trace_timer(conn, SP_QLOG_TIMER_LOSS, &qlog->loss_at_ns,
                is_open ? sp_loss_deadline_ns(&conn->loss) : SB_NEVER);
    trace_timer(conn, SP_QLOG_TIMER_ACK, &qlog->ack_at_ns,
                is_open ? conn->app.ack.deadline_ns : SB_NEVER);
}
