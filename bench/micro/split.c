/* SPDX-License-Identifier: MIT */
/* Splitting a message into packets, without sealing.
 *
 * As in conn/run.c, the stream is asked once per train what can be sent, and a packet is a slice of
 * that: an address, an offset and a size in a prepared record.  This is compared with the general
 * path, where the stream is asked for each packet, and with stacks that copy.  The reference for
 * the check is the copy. */

#include <stdlib.h>
#include <string.h>

#include "bench/micro/benches.h"
#include "proto/base/compiler.h"
#include "proto/wire/limits.h"
#include "proto/stream/stream_send.h"
#include "test/support/heap.h"

enum { MESSAGE_MAX = 1 << 20, SLICE = 1435, RECORDS_MAX = MESSAGE_MAX / SLICE + 1 };

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
    }
}

static void time_all(struct micro *m)
{
    /* clang-format off */
    static struct work works[] = {
        {split_by_trains, 4 << 10},     {split_by_trains, 64 << 10},
        {split_by_trains, 256 << 10},   {split_by_trains, MESSAGE_MAX},
        {split_by_packets, MESSAGE_MAX}, {split_by_copying, MESSAGE_MAX},
    };
    /* clang-format on */
    static const char *const names[] = {
        "4 KB, asked once a train", "64 KB, asked once a train",   "256 KB, asked once a train",
        "1 MB, asked once a train", "1 MB, asked for each packet", "1 MB, by copying",
    };
    struct micro_subject subjects[SB_COUNT(works)];
    struct micro_sample s[SB_COUNT(works)];
    for (size_t i = 0; i < SB_COUNT(works); i++)
        subjects[i] = (struct micro_subject){names[i], run, &works[i], 1};
    micro_time(m, subjects, SB_COUNT(works), s);
    for (size_t i = 0; i < SB_COUNT(works); i++)
        micro_row_ns(m, names[i], &s[i], i == 3 ? MICRO_AT_MOST : MICRO_REPORTED, 3400);
}

const struct micro_bench micro_split = {
    .name = "split",
    .what = "C2: splitting a message into packets of 1435 bytes, without sealing",
    .check = check,
    .time = time_all,
};
