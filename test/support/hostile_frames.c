/* SPDX-License-Identifier: MIT */
/* The frames of hostile packets: one function per kind.
 *
 * Most respect the limits of the peer, because a packet that ends the connection costs the peer
 * little: what is expensive is legal.  HOSTILE_ANY mixes all of them with random fields. */

#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/conn/message.h"
#include "proto/wire/frame.h"
#include "proto/wire/limits.h"
#include "test/support/hostile.h"

enum {
    FRAME_SIZE_MAX = 80,   /* of any frame here except a STREAM frame that fills the packet */
    BULK_STREAM = 0,       /* of HOSTILE_ORDINARY */
    ODD_STREAM = 4,        /* of the fragments */
    FREE_STREAMS_FROM = 2, /* index of the first stream that only OPEN and RESETS use */
    CRYPTO_END = SP_CRYPTO_BUFFER_BYTES_MAX - 100,
    ODD_END = 2 * SP_REASSEMBLY_PIECES_MIN - 100, /* beyond, a full store only drops packets */
    RANGES_MAX = 128,
    SWELL_WINDOWS = 4,  /* first windows in order, before the fragments begin */
    SWELL_BYTES = 1100, /* in a frame: one that fits every packet */
};

static uint64_t below(struct hostile *h, uint64_t count)
{
    return qs_random_below(&h->random, SB_MAX(count, 1));
}

static bool has_room(const struct sb_writer *w)
{
    return !w->failed && sb_writer_left(w) >= FRAME_SIZE_MAX;
}

static void write_stream(struct sb_writer *w, uint64_t id, uint64_t offset, size_t size)
{
    static const uint8_t text[2048] = {'x'};
    struct sp_stream_head head = {.id = id, .offset = offset, .size = size, .has_length = true};
    sp_frame_write_stream_head(w, &head);
    sb_writer_bytes(w, text, size);
}

/* The next bytes in order; a PING at the limit. */
static void write_next(struct hostile *h, struct sb_writer *w, size_t size)
{
    uint64_t limit = SB_MIN(h->stream_limit, h->conn_limit - h->conn_start / 2);
    if (h->stream_offset + size > limit)
        size = (size_t)(limit - h->stream_offset);
    if (size == 0) {
        sp_frame_write_ping(w);
        return;
    }
    write_stream(w, BULK_STREAM, h->stream_offset, size);
    h->stream_offset += size;
}

static void write_ordinary(struct hostile *h, struct sb_writer *w)
{
    write_next(h, w, sb_writer_left(w) - 20);
}

static void write_message(struct hostile *h, struct sb_writer *w)
{
    write_next(h, w, 50);
}

static void write_fragment(struct hostile *h, struct sb_writer *w)
{
    uint64_t limit = SB_MIN(h->stream_start, h->conn_start / 4);
    limit = SB_MIN(limit, ODD_END);
    if (h->odd_offset + 1 >= limit)
        h->odd_offset = 1;
    if (h->odd_offset + 1 < limit)
        write_stream(w, ODD_STREAM, h->odd_offset, 1);
    else
        sp_frame_write_ping(w);
    h->odd_offset += 2;
    h->odd_count = SB_MAX(h->odd_count, h->odd_offset / 2);
}

/* As long as the application reads, the window grows.  What is missing before the fragments is
 * never sent, so that all of them are held. */
static void write_swell(struct hostile *h, struct sb_writer *w)
{
    uint64_t limit = SB_MIN(h->stream_limit, h->conn_limit - h->conn_start / 2);
    if (h->swell_offset == 0 && h->stream_offset < SWELL_WINDOWS * h->conn_start) {
        write_next(h, w, SB_MIN(sb_writer_left(w) - 20, (size_t)SWELL_BYTES));
        return;
    }
    if (h->swell_offset == 0 || h->swell_offset >= limit)
        h->swell_offset = h->stream_offset + 1;
    if (h->swell_offset < limit)
        write_stream(w, BULK_STREAM, h->swell_offset, 1);
    else
        sp_frame_write_ping(w);
    h->swell_offset += 2;
}

static void write_repeat(struct hostile *h, struct sb_writer *w)
{
    uint64_t index = below(h, h->odd_count);
    if (h->repeat_depth > 0 && h->odd_count > h->repeat_depth)
        index = h->odd_count - 1 - h->repeat_depth;
    write_stream(w, ODD_STREAM, 1 + 2 * index, 1);
}

/* One packet number that was seen; false if there is none. */
static bool any_seen(struct hostile *h, uint64_t *ret)
{
    if (h->seen_count == 0)
        return false;
    *ret = h->seen[below(h, SB_MIN(h->seen_count, HOSTILE_SEEN_MAX))];
    return true;
}

static void write_ack(struct hostile *h, struct sb_writer *w)
{
    uint64_t pn;
    if (!any_seen(h, &pn)) {
        sp_frame_write_ping(w);
        return;
    }
    struct sp_ack_range range = {pn, pn};
    (void)sp_frame_write_ack(w, &range, 1, 0, NULL);
}

static int compare_falling(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Acknowledges what was seen: all of it, or with gaps so that each range has one packet. */
static void write_ranges(struct hostile *h, struct sb_writer *w, bool with_gaps)
{
    uint64_t sorted[HOSTILE_SEEN_MAX];
    size_t count = (size_t)SB_MIN(h->seen_count, HOSTILE_SEEN_MAX);
    memcpy(sorted, h->seen, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_falling);
    struct sp_ack_range ranges[RANGES_MAX];
    uint32_t range_count = 0;
    for (size_t i = 0; i < count && range_count < RANGES_MAX; i++) {
        uint64_t smallest = range_count > 0 ? ranges[range_count - 1].smallest : UINT64_MAX;
        if (sorted[i] + 1 < smallest)
            ranges[range_count++] = (struct sp_ack_range){sorted[i], sorted[i]};
        else if (!with_gaps)
            ranges[range_count - 1].smallest = SB_MIN(sorted[i], smallest);
    }
    if (range_count == 0)
        sp_frame_write_ping(w);
    else
        (void)sp_frame_write_ack(w, ranges, range_count, 0, NULL);
}

static void write_ack_ranges(struct hostile *h, struct sb_writer *w)
{
    write_ranges(h, w, true);
}

static void write_ack_all(struct hostile *h, struct sb_writer *w)
{
    write_ranges(h, w, false);
}

static void write_new_cid(struct hostile *h, struct sb_writer *w)
{
    struct sp_frame_new_cid frame = {
        .sequence = h->cid_sequence,
        .retire_prior_to = h->cid_sequence - 1,
    };
    uint8_t bytes[8];
    qs_random_bytes(&h->random, bytes, sizeof(bytes));
    frame.cid = sp_cid_of(bytes, sizeof(bytes));
    qs_random_bytes(&h->random, frame.reset_token, sizeof(frame.reset_token));
    sp_frame_write_new_cid(w, &frame);
    h->cid_sequence++;
}

/* Never the one that the packet itself is addressed to, which the peer issued first. */
static void write_retire(struct hostile *h, struct sb_writer *w)
{
    if (h->retire_sequence < h->cid_sequence_in)
        h->retire_sequence++;
    sp_frame_write_number(w, SP_FRAME_RETIRE_CONNECTION_ID, SB_MAX(h->retire_sequence, 1));
}

static uint64_t stream_of(uint64_t index, bool is_uni)
{
    return 4 * index + (is_uni ? SP_STREAM_IS_UNI : 0);
}

/* The next of the streams that are used for nothing else; 0: there is none. */
static uint64_t next_stream(struct hostile *h, bool is_uni)
{
    if (h->streams_limit[is_uni] <= FREE_STREAMS_FROM)
        return 0;
    uint64_t *next = &h->stream_next[is_uni];
    if (*next < FREE_STREAMS_FROM || *next >= h->streams_limit[is_uni])
        *next = FREE_STREAMS_FROM;
    return stream_of((*next)++, is_uni);
}

static void write_open_all(struct hostile *h, struct sb_writer *w)
{
    for (int is_uni = 0; is_uni < 2; is_uni++)
        if (h->streams_limit[is_uni] > FREE_STREAMS_FROM)
            write_stream(w, stream_of(h->streams_limit[is_uni] - 1, is_uni), 0, 1);
    sp_frame_write_ping(w);
}

static void write_open(struct hostile *h, struct sb_writer *w)
{
    uint64_t id = next_stream(h, below(h, 2) == 1);
    if (id == 0)
        sp_frame_write_ping(w);
    else
        write_stream(w, id, 0, 1);
}

static void write_reset(struct hostile *h, struct sb_writer *w)
{
    uint64_t id = next_stream(h, below(h, 2) == 1);
    if (id == 0) {
        sp_frame_write_ping(w);
        return;
    }
    struct sp_frame_reset_at at = {.id = id, .error = 1, .final_size = 1, .reliable_size = 1};
    if (below(h, 4) == 0) { /* the byte never comes, and is given up */
        sp_frame_write_reset_stream_at(w, &at);
        at.reliable_size = 0;
        sp_frame_write_reset_stream_at(w, &at);
    } else {
        sp_frame_write_reset_stream(w, id, 1, 1);
    }
    if ((id & SP_STREAM_IS_UNI) == 0)
        sp_frame_write_stop_sending(w, id, 1);
}

static void write_credit(struct hostile *h, struct sb_writer *w)
{
    h->credit++;
    sp_frame_write_number(w, SP_FRAME_MAX_DATA, h->host->config.conn_window_bytes + h->credit);
    sp_frame_write_stream_limit(w, SP_FRAME_MAX_STREAM_DATA, BULK_STREAM,
                                h->host->config.stream_window_bytes + h->credit);
}

static void write_blocked(struct hostile *h, struct sb_writer *w)
{
    static const enum sp_frame_type types[] = {SP_FRAME_DATA_BLOCKED, SP_FRAME_STREAMS_BLOCKED_BIDI,
                                               SP_FRAME_STREAMS_BLOCKED_UNI};
    sp_frame_write_number(w, types[below(h, SB_COUNT(types))], below(h, 1000));
    sp_frame_write_stream_limit(w, SP_FRAME_STREAM_DATA_BLOCKED, BULK_STREAM, below(h, 100000));
}

static void write_crypto(struct hostile *h, struct sb_writer *w)
{
    if (h->crypto_offset > CRYPTO_END)
        h->crypto_offset = 1;
    sp_frame_write_crypto_head(w, h->crypto_offset, 1);
    sb_writer_bytes(w, (const uint8_t *)"x", 1);
    h->crypto_offset += 2;
}

static void write_challenge(struct hostile *h, struct sb_writer *w)
{
    uint8_t data[SP_PATH_DATA_SIZE];
    qs_random_bytes(&h->random, data, sizeof(data));
    sp_frame_write_path(w, SP_FRAME_PATH_CHALLENGE, data);
}

static void write_ping(struct hostile *h, struct sb_writer *w)
{
    (void)h;
    sp_frame_write_ping(w);
}

/* [RFC9000 13.1] Must be refused. */
static void write_unsent(struct hostile *h, struct sb_writer *w)
{
    uint64_t from = h->largest_in == SB_VARINT_NONE ? 1000 : h->largest_in + 1000;
    struct sp_ack_range range = {from, from + below(h, 100000)};
    (void)sp_frame_write_ack(w, &range, 1, below(h, 1000), NULL);
}

static void write_garbage(struct hostile *h, struct sb_writer *w)
{
    uint8_t bytes[FRAME_SIZE_MAX];
    size_t size = 1 + (size_t)below(h, sizeof(bytes));
    qs_random_bytes(&h->random, bytes, size);
    sb_writer_bytes(w, bytes, size);
}

static void write_any(struct hostile *h, struct sb_writer *w);

/* [RFC9221 4] The peer has no flow control for them. */
static void write_datagram(struct hostile *h, struct sb_writer *w)
{
    if (sp_conn_message_size_max(h->conn) < 1) {
        sp_frame_write_ping(w);
        return;
    }
    sp_frame_write_datagram_head(w, 1, true);
    sb_writer_bytes(w, (const uint8_t *)"d", 1);
}

static const struct {
    const char *name;
    void (*write)(struct hostile *h, struct sb_writer *w);
    bool is_alone; /* one call fills the packet */
} kinds[HOSTILE_KINDS] = {
    [HOSTILE_ORDINARY] = {"ordinary", write_ordinary, true},
    [HOSTILE_MESSAGE] = {"message", write_message, true},
    [HOSTILE_FRAGMENT] = {"fragment", write_fragment, true},
    [HOSTILE_FRAGMENTS] = {"fragments", write_fragment, false},
    [HOSTILE_SWELL] = {"swell", write_swell, false},
    [HOSTILE_REPEAT] = {"repeat", write_repeat, false},
    [HOSTILE_ACKS] = {"acks", write_ack, false},
    [HOSTILE_ACK_ALL] = {"ack-all", write_ack_all, true},
    [HOSTILE_ACK_RANGES] = {"ack-ranges", write_ack_ranges, true},
    [HOSTILE_KEY_UPDATE] = {"key-update", write_ping, true},
    [HOSTILE_NEW_CIDS] = {"new-cids", write_new_cid, true},
    [HOSTILE_RETIRE] = {"retire", write_retire, true},
    [HOSTILE_OPEN] = {"open", write_open_all, true},
    [HOSTILE_OPEN_EACH] = {"open-each", write_open, false},
    [HOSTILE_RESETS] = {"resets", write_reset, false},
    [HOSTILE_CREDIT] = {"credit", write_credit, false},
    [HOSTILE_BLOCKED] = {"blocked", write_blocked, false},
    [HOSTILE_CRYPTO] = {"crypto", write_crypto, false},
    [HOSTILE_CHALLENGES] = {"challenges", write_challenge, false},
    [HOSTILE_PINGS] = {"pings", write_ping, false},
    [HOSTILE_DATAGRAMS] = {"datagrams", write_datagram, false},
    [HOSTILE_TINY] = {"tiny", write_ping, true},
    [HOSTILE_ANY] = {"any", write_any, false},
    [HOSTILE_ACK_UNSENT] = {"ack-unsent", write_unsent, true},
    [HOSTILE_KEY_RUSH] = {"key-rush", write_ping, true},
    [HOSTILE_GARBAGE] = {"garbage", write_garbage, true},
};

/* Kinds that may take a whole packet, or that soon end the connection, are replaced. */
static void write_any(struct hostile *h, struct sb_writer *w)
{
    uint64_t kind = HOSTILE_MESSAGE + below(h, HOSTILE_ANY - HOSTILE_MESSAGE);
    if (kind == HOSTILE_ACK_RANGES || kind == HOSTILE_ACK_ALL)
        kind = HOSTILE_ACKS;
    if (kind == HOSTILE_NEW_CIDS)
        kind = HOSTILE_REPEAT;
    kinds[kind].write(h, w);
}

const char *hostile_kind_name(enum hostile_kind kind)
{
    SB_ASSERT(kind < HOSTILE_KINDS);
    return kinds[kind].name;
}

size_t hostile_fill(struct hostile *h, enum hostile_kind kind, uint8_t *out, size_t room)
{
    SB_ASSERT(h->state != HOSTILE_HANDSHAKE && kind < HOSTILE_KINDS && room >= 1000);
    struct sb_writer w = sb_writer_of(out, room);
    if (kind == HOSTILE_KEY_RUSH || (kind == HOSTILE_KEY_UPDATE && h->write_is_acked))
        hostile_update_key(h);
    do
        kinds[kind].write(h, &w);
    while (!kinds[kind].is_alone && has_room(&w));
    SB_ASSERT(!w.failed);
    return sb_writer_used(&w);
}
