/* SPDX-License-Identifier: MIT */
/* Splitting a message into packets, without sealing.
 *
 * As in conn/run.c, the stream is asked once per train what can be sent, and a packet is a slice of
 * that: an address, an offset and a size in a prepared record.  This is compared with the general
 * path, where the stream is asked for each packet, and with stacks that copy.  The reference for
 * the check is the copy.
 *
 * A message of the message layer is timed from its beginning to its end: a stream of its own, the
 * header that outgoing.c writes before the bytes, the packets of both, and the end of the stream;
 * when all is acknowledged the memory comes back. */

#include <stdlib.h>
#include <string.h>

#include "bench/micro/benches.h"
#include "engine/message/header.h"
#include "proto/base/compiler.h"
#include "proto/wire/limits.h"
#include "proto/stream/stream_send.h"
#include "test/support/heap.h"

enum { MESSAGE_MAX = 1 << 20, SLICE = 1435, RECORDS_MAX = MESSAGE_MAX / SLICE + 3 };

static const uint32_t sizes[] = {4 << 10, 64 << 10, 256 << 10, MESSAGE_MAX};

struct record {
    const uint8_t *data;
    uint64_t offset;
    uint64_t size;
};

static uint8_t message[MESSAGE_MAX];
static uint8_t copies[RECORDS_MAX][SLICE];
static struct record records[RECORDS_MAX];

static struct heap heap;
static struct sb_pool chunks;
static struct sb_pool ranges;
static struct sb_store chunk_store = {.pool = &chunks};
static struct sb_store range_store = {.pool = &ranges};
static struct sp_stream_send stream;

static bool queue(uint32_t size)
{
    return sp_stream_send_queue(&stream, message, size, 0, false);
}

/* All is acknowledged at once: the stream is as it was. */
static void settle(uint64_t start, uint32_t size)
{
    bool acked = sp_stream_send_on_acked(&stream, start, size, false);
    micro_check(acked, "memory");
    sb_store_give(&chunk_store, sp_stream_send_pop_done(&stream));
}

static uint32_t split_by_trains(uint32_t size)
{
    uint64_t start = stream.queued_end;
    uint32_t count = 0;
    bool done = queue(size);
    struct sp_send_piece piece;
    while (sp_stream_send_next(&stream, UINT64_MAX, UINT64_MAX, &piece)) {
        piece.size = SB_MIN(piece.size, (uint64_t)SP_TRAIN_COUNT_MAX * SLICE);
        for (uint64_t at = 0; at < piece.size; at += SLICE)
            records[count++] = (struct record){.data = piece.data + at,
                                               .offset = piece.offset + at,
                                               .size = SB_MIN(piece.size - at, (uint64_t)SLICE)};
        done &= sp_stream_send_on_sent(&stream, &piece);
    }
    micro_check(done, "memory");
    settle(start, size);
    return count;
}

static uint32_t split_by_packets(uint32_t size)
{
    uint64_t start = stream.queued_end;
    uint32_t count = 0;
    bool done = queue(size);
    struct sp_send_piece piece;
    while (sp_stream_send_next(&stream, SLICE, UINT64_MAX, &piece)) {
        records[count++] =
            (struct record){.data = piece.data, .offset = piece.offset, .size = piece.size};
        done &= sp_stream_send_on_sent(&stream, &piece);
    }
    micro_check(done, "memory");
    settle(start, size);
    return count;
}

/* A stream of its own: header, message, end.  The header's bytes and the first ones of the message
 * are in one packet, as two records. */
static uint32_t split_whole_message(uint32_t size)
{
    static struct sp_stream_send own;
    static uint8_t header[SE_MESSAGE_HEADER_SIZE_MAX];
    const struct se_message_header head = {.channel = 0};
    const struct sb_bytes parts[] = {
        {.data = header, .size = se_message_header_write(&head, header)},
        {.data = message, .size = size},
    };
    uint32_t count = 0;
    uint64_t room = SLICE;
    struct sp_send_piece piece;
    sp_stream_send_init(&own, &chunk_store, &range_store, UINT64_MAX);
    bool done = sp_stream_send_queue_all(&own, parts, SB_COUNT(parts), 0, true);
    while (sp_stream_send_next(&own, UINT64_MAX, UINT64_MAX, &piece)) {
        uint64_t train = room + (uint64_t)(SP_TRAIN_COUNT_MAX - 1) * SLICE;
        piece.fin &= piece.size <= train;
        piece.size = piece.fresh = SB_MIN(piece.size, train);
        uint64_t at = SB_MIN(piece.size, room); /* completes the packet of the header */
        records[count++] = (struct record){piece.data, piece.offset, at};
        room = at == room ? SLICE : room - at;
        for (; piece.size - at >= SLICE; at += SLICE)
            records[count++] = (struct record){piece.data + at, piece.offset + at, SLICE};
        if (at < piece.size) {
            records[count++] = (struct record){piece.data + at, piece.offset + at, piece.size - at};
            room = SLICE - (piece.size - at);
        }
        done &= sp_stream_send_on_sent(&own, &piece);
    }
    done &= sp_stream_send_on_acked(&own, 0, own.queued_end, true);
    micro_check(done, "memory");
    for (struct sp_chunk *chunk; (chunk = sp_stream_send_pop_done(&own)) != NULL;)
        sb_store_give(&chunk_store, chunk);
    sp_stream_send_deinit(&own);
    return count;
}

static uint32_t split_by_copying(uint32_t size)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < size; at += SLICE)
        memcpy(copies[count++], message + at, SB_MIN(size - at, (uint32_t)SLICE));
    return count;
}

struct work {
    uint32_t (*split)(uint32_t size);
    uint32_t size;
};

static void run(void *context, uint64_t count)
{
    const struct work *w = context;
    for (uint64_t i = 0; i < count; i++) {
        micro_use(w->split(w->size));
        micro_use_at(records);
    }
}

static void check_against_copies(uint32_t (*split)(uint32_t size), uint32_t size)
{
    uint64_t start = stream.queued_end;
    uint32_t want = split_by_copying(size);
    memset(records, 0, sizeof(records));
    micro_check(split(size) == want, "how many packets a message makes");
    for (uint32_t i = 0; i < want; i++) {
        uint64_t left = size - (uint64_t)i * SLICE;
        micro_check(records[i].offset == start + (uint64_t)i * SLICE &&
                        records[i].size == SB_MIN(left, (uint64_t)SLICE) &&
                        memcmp(records[i].data, copies[i], records[i].size) == 0,
                    "a slice of a message");
    }
}

/* The records of a message are its header and then its bytes, in full packets but for the last. */
static void check_whole_message(uint32_t size)
{
    memset(records, 0, sizeof(records));
    uint32_t count = split_whole_message(size);
    uint64_t header_size = records[0].size;
    uint64_t at = header_size;
    micro_check(header_size == 1 && records[0].data[0] == 0, "a header without a channel");
    for (uint32_t i = 1; i < count; i++) {
        uint64_t end = at + records[i].size;
        micro_check(records[i].offset == at && records[i].data == message + at - header_size &&
                        (end % SLICE == 0 || (i + 1 == count && end == size + header_size)),
                    "a slice of a message with a header");
        at = end;
    }
    micro_check(at == size + header_size, "all bytes of a message");
    micro_check(count == 1 + (size + header_size + SLICE - 1) / SLICE, "packets of a message");
}

static void check(void)
{
    heap_init(&heap);
    sb_pool_init(&chunks, "chunks", sizeof(struct sp_chunk), 16, 16, &heap.memory);
    sb_pool_init(&ranges, "ranges", sizeof(struct sp_range), 16, 16, &heap.memory);
    sp_stream_send_init(&stream, &chunk_store, &range_store, UINT64_MAX);
    for (uint32_t i = 0; i < MESSAGE_MAX; i++)
        message[i] = (uint8_t)(i * 7 + (i >> 8) * 13);
    for (size_t i = 0; i < SB_COUNT(sizes); i++) {
        check_against_copies(split_by_trains, sizes[i]);
        check_against_copies(split_by_packets, sizes[i]);
        check_whole_message(sizes[i]);
    }
}

static void time_all(struct micro *m)
{
    /* clang-format off */
    static struct work works[] = {
        {split_by_trains, 4 << 10},     {split_by_trains, 64 << 10},
        {split_by_trains, 256 << 10},   {split_by_trains, MESSAGE_MAX},
        {split_by_packets, MESSAGE_MAX}, {split_by_copying, MESSAGE_MAX},
        {split_whole_message, MESSAGE_MAX},
    };
    /* clang-format on */
    static const char *const names[] = {
        "4 KB, asked once a train",
        "64 KB, asked once a train",
        "256 KB, asked once a train",
        "1 MB, asked once a train",
        "1 MB, asked for each packet",
        "1 MB, by copying",
        "1 MB, a whole message with its header",
    };
    static const double goals[SB_COUNT(works)] = {[3] = 3400, [6] = 900}; /* ns; 0: none */
    struct micro_subject subjects[SB_COUNT(works)];
    struct micro_sample s[SB_COUNT(works)];
    for (size_t i = 0; i < SB_COUNT(works); i++)
        subjects[i] = (struct micro_subject){names[i], run, &works[i], 1};
    micro_time(m, subjects, SB_COUNT(works), s);
    for (size_t i = 0; i < SB_COUNT(works); i++)
        micro_row_ns(m, names[i], &s[i], goals[i] > 0 ? MICRO_AT_MOST : MICRO_REPORTED, goals[i]);
}

const struct micro_bench micro_split = {
    .name = "split",
    .what = "C2: splitting a message into packets of 1435 bytes, without sealing",
    .check = check,
    .time = time_all,
};
