/* SPDX-License-Identifier: MIT */
/* The records of sent and received packets.
 *
 * Sent: packets with the record of a STREAM frame are added while 10,000 are in flight, an ACK
 * acknowledges the 64 oldest of them, and their records are freed: the cost of a packet from its
 * sending to its end, without its bytes.
 *
 * Received: packets are looked up, added, and 64 at a time decided about and reported.
 *
 * Many ranges: every second packet of 2 n is acknowledged by one ACK of n ranges, all others are
 * lost, sent again, and acknowledged.  If any step looked through all ranges for each range,
 * a range of 1,000 would cost ten times one of 100.
 *
 * The reference for the check is an array with the state of each packet. */

#include <stdlib.h>
#include <string.h>

#include "bench/micro/benches.h"
#include "proto/recovery/ack.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/recovery/loss.h"
#include "proto/stream/stream_send.h"
#include "test/support/heap.h"

enum {
    IN_FLIGHT = 10000,
    ACKED_AT_ONCE = 64,
    RANGES_MAX = 1000,
    PACKETS_MAX = 2 * RANGES_MAX,
    PACKET_SIZE = 1472,
    PAYLOAD_SIZE = 1435,
    BYTES_PER_RANGE_MAX = 2,
};

static struct heap heap;
static struct sb_pool blocks, frames, chunks, ranges, acks;
static struct sb_store block_store = {.pool = &blocks};
static struct sb_store ack_store = {.pool = &acks};
static struct sb_store chunk_store = {.pool = &chunks};
static struct sb_store range_store = {.pool = &ranges};
static uint8_t bytes[1]; /* lent, never looked at */

static void prepare(void)
{
    heap_init(&heap);
    sb_pool_init(&blocks, "blocks", sizeof(struct sp_sent_block), 64, 4096, &heap.memory);
    sb_pool_init(&frames, "frames", sizeof(struct sp_sent_frame), 1024, 1 << 17, &heap.memory);
    sb_pool_init(&chunks, "chunks", sizeof(struct sp_chunk), 16, 64, &heap.memory);
    sb_pool_init(&acks, "acks", sizeof(struct sp_ack_many), 8, 8, &heap.memory);
    sb_pool_init(&ranges, "ranges", sizeof(struct sp_range), 64, 1 << 16, &heap.memory);
}

/* One more packet with `size` bytes of a stream from `offset`. */
static void send_packet(struct sp_loss *loss, uint64_t offset, uint32_t size, uint64_t now_ns)
{
    struct sp_sent *sent = &loss->app.sent;
    struct sp_sent_frame *frame = sb_pool_take(&frames);
    micro_check(frame != NULL && sp_sent_reserve(sent), "memory");
    *frame = (struct sp_sent_frame){.offset = offset, .size = size, .type = SP_FRAME_STREAM};
    const struct sp_sent_packet packet = {.frames = frame,
                                          .sent_ns = now_ns,
                                          .size = PACKET_SIZE,
                                          .state = SP_SENT_OUT,
                                          .is_eliciting = true};
    sp_sent_add(sent, &packet);
}

static uint32_t give_back(struct sp_sent_frame *list)
{
    uint32_t count = 0;
    while (list != NULL) {
        struct sp_sent_frame *next = list->next;
        sb_pool_give(&frames, list);
        list = next;
        count++;
    }
    return count;
}

static void take_ack(struct sp_loss *loss, const struct sp_frame_ack *ack, uint64_t now_ns,
                     struct sp_loss_outcome *ret)
{
    micro_check(sp_loss_on_ack(loss, SP_SPACE_APP, ack, 0, now_ns, ret) == SP_OK, "an ACK");
}

/* `path` is for `loss` alone: it keeps times and numbers of it. */
static void loss_init(struct sp_loss *loss, struct sp_loss_path *path)
{
    static struct sp_loss_space handshake_spaces[SP_SPACE_APP]; /* nobody uses them */
    const struct sp_cc_args cc = {.ops = &sp_cc_newreno_ops, .datagram_bytes = PACKET_SIZE};
    sp_loss_path_init(path, 0, &cc);
    sp_loss_init(loss, handshake_spaces, &block_store, path, true);
    loss->is_confirmed = true;
}

/* ---- Sent, in order ---- */

struct sent_work {
    struct sp_loss loss;
    struct sp_loss_path path;
    uint64_t acked_count;
    uint64_t now_ns;
};
static struct sent_work sent_work;

static void send_some(struct sent_work *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        send_packet(&w->loss, 0, PAYLOAD_SIZE, w->now_ns);
    sp_loss_on_sent_bytes(&w->loss, SP_SPACE_APP, (uint64_t)count * PACKET_SIZE, w->now_ns);
}

static void run_sent(void *context, uint64_t count)
{
    struct sent_work *w = context;
    for (uint64_t i = 0; i < count; i++) {
        w->now_ns += SB_US;
        send_some(w, ACKED_AT_ONCE);
        struct sp_ack_range range = {w->acked_count, w->acked_count + ACKED_AT_ONCE - 1};
        struct sp_frame_ack ack = {.largest = range.largest, .first = range};
        struct sp_loss_outcome outcome;
        take_ack(&w->loss, &ack, w->now_ns, &outcome);
        w->acked_count += give_back(outcome.acked);
        micro_use_at(w);
    }
}

static void check_sent(void)
{
    loss_init(&sent_work.loss, &sent_work.path);
    sent_work.now_ns = SB_S;
    for (uint32_t i = 0; i < IN_FLIGHT; i += 100)
        send_some(&sent_work, 100);
    run_sent(&sent_work, 1000);
    sp_loss_check(&sent_work.loss);
    micro_check(sent_work.acked_count == 1000 * ACKED_AT_ONCE, "how many were acknowledged");
    micro_check(sent_work.loss.path->cc.in_flight_bytes == (uint64_t)IN_FLIGHT * PACKET_SIZE,
                "bytes in flight");
    micro_check(sent_work.loss.lost_count == 0, "nothing is lost");
}

/* ---- Received ---- */

struct received_work {
    struct sp_ack ack;
    uint64_t next_pn;
    uint64_t gap_every; /* 0: none; else each so manieth number is missing */
    uint64_t now_ns;
};
static struct received_work received_works[2];

static void run_received(void *context, uint64_t count)
{
    struct received_work *w = context;
    bool any_known = false;
    for (uint64_t i = 0; i < count; i++) {
        w->now_ns += SB_US;
        for (uint32_t k = 0; k < ACKED_AT_ONCE; k++) {
            uint64_t pn = w->next_pn++;
            if (w->gap_every != 0 && pn % w->gap_every == 0)
                continue;
            any_known |= sp_ack_is_known(&w->ack, pn);
            sp_ack_on_packet(&w->ack, pn, true, SP_ECN_NOT, w->now_ns);
        }
        sp_ack_decide(&w->ack, 0, 0, w->now_ns);
        /* As when the peer acknowledges our ACK of a while ago. */
        if (sp_ack_is_due(&w->ack, w->now_ns)) {
            sp_ack_on_sent(&w->ack, w->now_ns);
            if (w->next_pn > IN_FLIGHT / 2)
                sp_ack_on_confirmed(&w->ack, w->next_pn - IN_FLIGHT / 2);
        }
        micro_use_at(w);
    }
    micro_check(!any_known, "a new packet number is not known");
}

static void check_received(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct received_work *w = &received_works[i];
        sp_ack_init(&w->ack, &ack_store);
        w->gap_every = i == 0 ? 0 : 100;
        w->now_ns = SB_S;
        run_received(w, IN_FLIGHT / ACKED_AT_ONCE);
        sp_ack_check(&w->ack);
        /* By the newest numbers, which no bound has made it forget. */
        for (uint64_t pn = w->next_pn - 2000; pn < w->next_pn + 10; pn++) {
            bool want = pn < w->next_pn && (w->gap_every == 0 || pn % w->gap_every != 0);
            micro_check(sp_ack_is_known(&w->ack, pn) == want, "a received packet number");
        }
    }
}

/* ---- Many ranges ---- */

struct ranges_work {
    struct sp_loss loss;
    struct sp_loss_path path;
    struct sp_stream_send stream;
    uint32_t range_count;
    uint64_t now_ns;
    uint8_t wire[RANGES_MAX * BYTES_PER_RANGE_MAX]; /* the ranges after the first one */
};
static struct ranges_work ranges_works[2] = {{.range_count = 100}, {.range_count = RANGES_MAX}};

static void send_pieces(struct ranges_work *w)
{
    struct sp_send_piece piece;
    uint64_t sum = 0;
    while (sp_stream_send_next(&w->stream, PAYLOAD_SIZE, UINT64_MAX, &piece)) {
        send_packet(&w->loss, piece.offset, (uint32_t)piece.size, w->now_ns);
        micro_check(sp_stream_send_on_sent(&w->stream, &piece), "memory");
        sum += PACKET_SIZE;
    }
    sp_loss_on_sent_bytes(&w->loss, SP_SPACE_APP, sum, w->now_ns);
}

/* What conn/recovery.c does with it, for one stream. */
static void work_off(struct ranges_work *w, const struct sp_loss_outcome *outcome,
                     uint32_t *ret_acked, uint32_t *ret_lost)
{
    bool done = true;
    for (const struct sp_sent_frame *f = outcome->acked; f != NULL; f = f->next)
        done &= sp_stream_send_on_acked(&w->stream, f->offset, f->size, false);
    for (const struct sp_sent_frame *f = outcome->lost; f != NULL; f = f->next)
        done &= sp_stream_send_on_lost(&w->stream, f->offset, f->size, false);
    micro_check(done, "memory");
    *ret_acked = give_back(outcome->acked);
    *ret_lost = give_back(outcome->lost);
}

static void one_round(struct ranges_work *w)
{
    uint32_t n = w->range_count;
    uint64_t first_pn = w->loss.app.sent.next_pn;
    uint64_t size = (uint64_t)n * 2 * PAYLOAD_SIZE;
    struct sp_loss_outcome outcome;
    uint32_t acked, lost;

    w->now_ns += SB_MS;
    micro_check(sp_stream_send_queue(&w->stream, bytes, size, 0, false), "memory");
    send_pieces(w);

    /* The second, the fourth, ...: the largest number is among them. */
    w->now_ns += SB_US;
    uint64_t largest = first_pn + 2 * (uint64_t)n - 1;
    struct sp_frame_ack ack = {
        .largest = largest,
        .first = {largest, largest},
        .range_count = n - 1,
        .ranges = {w->wire, (size_t)(n - 1) * BYTES_PER_RANGE_MAX},
    };
    take_ack(&w->loss, &ack, w->now_ns, &outcome);
    work_off(w, &outcome, &acked, &lost);
    micro_check(acked == n && lost == n - 1, "what an ACK of many ranges settles");

    send_pieces(w);
    uint64_t last = w->loss.app.sent.next_pn - 1;
    /* Not what was lost: else the path would be one that reorders. */
    struct sp_frame_ack rest = {.largest = last, .first = {largest - 1, last}};
    take_ack(&w->loss, &rest, w->now_ns + SB_US, &outcome);
    work_off(w, &outcome, &acked, &lost);
    micro_check(acked == n && lost == 0, "what the last ACK settles");
    struct sp_chunk *chunk = sp_stream_send_pop_done(&w->stream);
    micro_check(chunk != NULL, "the bytes come back");
    sb_store_give(&chunk_store, chunk);
}

static void run_ranges(void *context, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        one_round(context);
}

static void check_ranges(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct ranges_work *w = &ranges_works[i];
        loss_init(&w->loss, &w->path);
        sp_stream_send_init(&w->stream, &chunk_store, &range_store, UINT64_MAX);
        w->now_ns = SB_S;
        memset(w->wire, 0, sizeof(w->wire)); /* gaps of one, ranges of one */
        run_ranges(w, 3);
        sp_loss_check(&w->loss);
        sp_stream_send_check(&w->stream);
        micro_check(w->loss.path->cc.in_flight_bytes == 0, "bytes in flight");
    }
}

/* As the times are measured: what one does must change nothing for the others, whose clocks and
 * numbers are their own. */
static void check_in_turns(void)
{
    for (uint64_t i = 0; i < 300; i++) {
        run_sent(&sent_work, 1 + i % 40);
        run_ranges(&ranges_works[i % 2], 1);
    }
    micro_check(sent_work.loss.lost_count == 0, "nothing is lost");
}

static void check(void)
{
    prepare();
    check_sent();
    check_received();
    check_ranges();
    check_in_turns();
}

static void time_all(struct micro *m)
{
    static const struct micro_subject subjects[] = {
        {"sent packet, 10,000 in flight", run_sent, &sent_work, ACKED_AT_ONCE},
        {"received packet, in order", run_received, &received_works[0], ACKED_AT_ONCE},
        {"received packet, 1 % missing", run_received, &received_works[1], ACKED_AT_ONCE},
        {"a range of an ACK of 100, lost and repeated", run_ranges, &ranges_works[0], 100},
        {"a range of an ACK of 1,000", run_ranges, &ranges_works[1], RANGES_MAX},
    };
    struct micro_sample s[SB_COUNT(subjects)];
    micro_time(m, subjects, SB_COUNT(subjects), s);
    if (m->is_counting)
        return;
    for (size_t i = 0; i < SB_COUNT(subjects); i++)
        micro_row_ns(m, subjects[i].name, &s[i], i < 3 ? MICRO_AT_MOST : MICRO_REPORTED, 15);
    struct micro_sample ratio = micro_ratio(&s[4], &s[3]);
    micro_row(m, &(struct micro_row){.name = "a range of 1,000 / a range of 100",
                                     .unit = "x",
                                     .sample = &ratio,
                                     .goal = MICRO_AT_MOST,
                                     .target = 2});
}

const struct micro_bench micro_trackers = {
    .name = "trackers",
    .what = "C3: the books about sent and received packets",
    .check = check,
    .time = time_all,
};
