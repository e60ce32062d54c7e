/* SPDX-License-Identifier: MIT */
#include "proto/conn/run.h"

/* A run: full packets that carry nothing but fresh bytes of one stream.
 *
 * Nearly all packets of a transfer are such.  The checks of the general path (which spaces, which
 * frames, which limits) have one result for all packets of a run, so they are made once, and a
 * packet costs its header, its record and its seal.  Each train begins with the general path, which
 * sends all other frames; a run begins only when none of them is left.
 *
 *     packet = flags, CID, number | STREAM type, id, offset | bytes | tag
 *
 * All packets of a run have a number and an offset of the same encoded size. */

#include "proto/base/assert.h"
#include "proto/conn/account.h"
#include "proto/conn/fill.h"
#include "proto/conn/gate.h"
#include "proto/conn/header_bits.h"
#include "proto/conn/memory.h"
#include "proto/conn/schedule.h"
#include "proto/conn/streams.h"
#include "proto/conn/trace.h"

/* Packets of a stream in a row, with the one of the general path before, while other streams wait
 * for their turn.  Where the connection itself takes turns of several trains it is half a train:
 * such a turn arrives at once, and each change of streams costs both ends the memory of one more.
 */
#define SHARED_COUNT_MAX          8
#define SHARED_COUNT_MAX_IN_TURNS 22

#define FIRST_SIZE_MAX (1 + SP_CID_SIZE_MAX + SP_PN_SIZE_MAX + 1 + 2 * SB_VARINT_SIZE_MAX)

struct run {
    struct sp_stream *stream;
    bool goes_on;               /* with the stream of the packet before */
    struct sp_send_piece piece; /* all bytes that could be sent */
    size_t room;                /* size of a datagram */
    size_t header_size;
    size_t head_size;    /* of the frame, without the bytes */
    size_t payload_size; /* bytes of the stream per packet */
    uint32_t count;
    uint32_t pn_size;
    uint64_t pn;
};

/* All that a packet may have beside the bytes of the stream. */
#define BESIDE_SIZE_MAX (FIRST_SIZE_MAX + SP_TAG_SIZE)

static bool has_much(const struct sp_conn *conn, const struct sp_stream *stream)
{
    uint64_t fresh = stream->send.queued_end - stream->send.delivery.sent_end;
    return fresh + BESIDE_SIZE_MAX > conn->datagram_size;
}

/* Returns the stream to serve, or NULL if it has too little for a run: this is the usual answer
 * where streams are short, so it comes before all other questions.  Of several it is the one whose
 * bytes are in the packet before, which the general path has put at the end of the schedule. */
static struct sp_stream *stream_to_run(const struct sp_conn *conn, bool *ret_goes_on)
{
    struct sb_link *link = sp_schedule_first(conn);
    *ret_goes_on = false;
    if (link == NULL)
        return NULL;
    struct sp_stream *served = conn->served;
    *ret_goes_on =
        served != NULL && conn->priorities == NULL && has_much(conn, served) &&
        sp_stream_send_want(&served->send, conn->max_data - conn->data_sent) == SP_WANT_SEND;
    if (*ret_goes_on)
        return served;
    struct sp_stream *stream = SB_CONTAINER_OF(link, struct sp_stream, send_link);
    return has_much(conn, stream) ? stream : NULL;
}

/* Returns whether other streams wait while this one is served. */
static bool is_shared(const struct sp_conn *conn, const struct run *run)
{
    if (run->goes_on)
        return conn->send_list.next != conn->send_list.prev;
    return sp_schedule_is_shared(conn, run->stream);
}

static uint64_t shared_count_max(const struct sp_conn *conn, const struct run *run)
{
    uint64_t count = conn->loss.turn_trains > 1 ? SHARED_COUNT_MAX_IN_TURNS : SHARED_COUNT_MAX;
    return run->goes_on ? count - 1 : count;
}

/* Plans a run of the stream.  Returns false if none is possible. */
static bool plan(const struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns,
                 struct run *run)
{
    const struct sp_loss_space *s = &conn->loss.app;
    /* The general path sends lost bytes, and the end of the lent bytes, which may have a FIN. */
    if (!sp_stream_send_next(&run->stream->send, UINT64_MAX, conn->max_data - conn->data_sent,
                             &run->piece) ||
        run->piece.fresh < 2)
        return false;

    uint64_t count =
        SB_MIN(sp_gate_run_count(conn, now_ns), (uint64_t)sp_gate_room_count(conn, train));
    if (is_shared(conn, run))
        count = SB_MIN(count, shared_count_max(conn, run));
    if (count == 0)
        return false;

    struct sp_stream_head head = {.id = run->stream->id, .offset = run->piece.offset};
    run->room = conn->datagram_size;
    run->pn = s->sent.next_pn;
    run->pn_size = sp_pn_size(run->pn + count - 1, s->largest_acked);
    run->header_size = 1 + sp_cid_remote_active(&conn->remote_ids)->size + run->pn_size;
    run->head_size = sp_frame_stream_head_size(&head);
    run->payload_size = run->room - run->header_size - run->head_size - SP_TAG_SIZE;
    run->count = (uint32_t)SB_MIN(count, (run->piece.size - 1) / run->payload_size);

    head.offset += (uint64_t)run->count * run->payload_size;
    return run->count > 0 && sp_frame_stream_head_size(&head) == run->head_size;
}

/* Records the packet with the bytes from `offset`.  Returns false without memory. */
static bool add_record(struct sp_conn *conn, const struct run *run, uint64_t offset, bool is_ect,
                       uint64_t now_ns)
{
    struct sp_sent *sent = &conn->loss.app.sent;
    struct sp_sent_frame *frame =
        sp_sent_reserve(sent) ? sb_store_take_ordinary(&conn->stores.frames) : NULL;
    if (frame == NULL) {
        conn->lacks_records = true;
        return false;
    }
    *frame = (struct sp_sent_frame){
        .stream = run->stream,
        .offset = offset,
        .size = (uint32_t)run->payload_size,
        .type = SP_FRAME_STREAM,
    };
    const struct sp_sent_packet packet = {
        .frames = frame,
        .sent_ns = now_ns,
        .size = (uint32_t)run->room,
        .state = SP_SENT_OUT,
        .is_eliciting = true,
        .is_ect = is_ect,
        .path = conn->loss.path->index,
    };
    sp_sent_add(sent, &packet);
    return true;
}

/* Writes everything before the bytes of the stream into `first`: all packets begin with it. */
static void write_first(const struct sp_conn *conn, const struct run *run, uint8_t *first)
{
    struct sb_writer w = sb_writer_of(first, run->header_size + run->head_size);
    uint8_t *pn_at = NULL;
    struct sp_short_header header = {
        .dcid = sp_cid_remote_active(&conn->remote_ids),
        .pn = run->pn,
        .pn_size = run->pn_size,
        .key_phase = conn->keys.write_phase & 1,
        .lacks_fixed_bit = true, /* added to each packet */
    };
    struct sp_stream_head head = {.id = run->stream->id, .offset = run->piece.offset};
    sp_header_write_short(&w, &header, &pn_at);
    sp_frame_write_stream_head(&w, &head);
    SB_ASSERT(!w.failed && sb_writer_left(&w) == 0);
}

static void seal(struct sp_conn *conn, const struct run *run, uint32_t i, uint8_t *packet)
{
    const struct sb_bytes parts[] = {
        {.data = packet + run->header_size, .size = run->head_size}, /* in place already */
        {.data = run->piece.data + i * run->payload_size, .size = run->payload_size},
    };
    const struct sp_seal seal = {
        .pn = run->pn + i,
        .header = packet,
        .header_size = run->header_size,
        .parts = parts,
        .part_count = 2,
        .out = packet + run->header_size,
    };
    conn->protect.ops->seal(conn->keys.write, &seal);
}

/* Updates the state of the connection for `count` packets. */
static void account(struct sp_conn *conn, struct run *run, uint32_t count, enum sp_ecn ecn,
                    uint64_t now_ns)
{
    struct sp_stream *stream = run->stream;
    run->piece.size = run->piece.fresh = count * run->payload_size;
    run->piece.fin = false;
    (void)sp_conn_account_bytes(conn, stream, &run->piece);
    sp_schedule_on_served(conn, stream, run->piece.size);
    stream->sent_refs += count;
    sp_loss_on_sent_bytes(&conn->loss, SP_SPACE_APP, count * run->room, now_ns);
    const struct sp_account what = {SP_SPACE_APP, ecn, count, true};
    sp_conn_account(conn, &what, now_ns);
    sp_conn_stream_schedule(conn, stream);
}

void sp_conn_send_run(struct sp_conn *conn, struct sp_train *train, struct sp_mask_batch *masks,
                      uint64_t now_ns)
{
    struct run run = {.count = 0};
    run.stream = stream_to_run(conn, &run.goes_on);
    if (run.stream == NULL || !sp_gate_is_plain(conn) || !plan(conn, train, now_ns, &run))
        return;

    uint8_t first[FIRST_SIZE_MAX];
    size_t first_size = run.header_size + run.head_size;
    size_t pn_at = run.header_size - run.pn_size;
    uint32_t offset_size = sb_varint_size(run.piece.offset);
    write_first(conn, &run, first);

    uint32_t i = 0;
    for (; i < run.count; i++) {
        uint64_t offset = run.piece.offset + (uint64_t)i * run.payload_size;
        if (!add_record(conn, &run, offset, train->ecn != SP_ECN_NOT, now_ns))
            break;
        uint8_t *packet = train->data + train->size;
        memcpy(packet, first, first_size);
        packet[0] |= sp_header_bits_of(conn, run.pn + i);
        sp_pn_write(packet + pn_at, run.pn + i, run.pn_size);
        struct sb_writer w = sb_writer_of(packet + first_size - offset_size, offset_size);
        sb_writer_varint_sized(&w, offset, offset_size);
        seal(conn, &run, i, packet);
        sp_conn_trace_run_packet(conn, &(struct sp_trace_run){run.pn + i, run.room, run.stream->id,
                                                              offset, run.payload_size});
        const struct sp_masked masked = {packet, packet + pn_at, run.pn_size};
        sp_mask_batch_add(masks, conn->keys.write, &masked, &conn->protect);
        train->size += run.room;
    }
    if (i > 0) {
        sp_conn_end_shortage(conn, SP_SHORT_OF_RECORDS);
        account(conn, &run, i, train->ecn, now_ns);
    }
    train->count += i;
}
