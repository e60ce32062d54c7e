/* SPDX-License-Identifier: MIT */
/* Input: a byte that chooses the packet type, then the packet's frames.
 *
 * What is read must be the same after it was written and read again, and the second writing
 * must give the same bytes as the first. */

#include "proto/wire/frame.h"
#include "proto/wire/frame_table.h"
#include "proto/wire/header.h"
#include "test/support/frame_samples.h"
#include "test/support/fuzz.h"

/* A written frame is never longer than the packet that it was read from. */
enum { PACKET_SIZE_MAX = 4096 };

static const uint32_t packet_types[] = {
    SP_PACKET_INITIAL,
    SP_PACKET_ZERO_RTT,
    SP_PACKET_HANDSHAKE,
    SP_PACKET_ONE_RTT,
};

static void check_round_trip(struct sp_frame frame, uint32_t packet_type)
{
    uint8_t first[PACKET_SIZE_MAX];
    struct sb_writer w = sb_writer_of(first, sizeof(first));
    frame_write(&w, &frame);
    SB_ASSERT(!w.failed);
    size_t size = sb_writer_used(&w);

    struct sb_reader r = sb_reader_of(first, size);
    struct sp_frame again;
    enum sp_err err = sp_frame_read(&r, packet_type, &again);
    SB_ASSERT(err == SP_OK && sb_reader_left(&r) == 0);

    /* An offset of 0 is not written. */
    bool is_stream = (frame.type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM;
    if (is_stream && frame.stream.offset == 0)
        frame.type &= ~(uint64_t)SP_STREAM_OFF;
    /* A length is written in as few bytes as possible. */
    if (frame.type == SP_FRAME_DATAGRAM_LEN)
        frame.datagram.frame_size = again.datagram.frame_size;
    SB_ASSERT(frame_equal(&frame, &again));

    uint8_t second[PACKET_SIZE_MAX];
    w = sb_writer_of(second, sizeof(second));
    frame_write(&w, &again);
    SB_ASSERT(sb_writer_used(&w) == size && memcmp(first, second, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > PACKET_SIZE_MAX)
        return 0;
    uint32_t packet_type = packet_types[data[0] % SB_COUNT(packet_types)];
    uint8_t *packet = fuzz_copy(data + 1, size - 1);
    struct sb_reader r = sb_reader_of(packet, size - 1);
    while (sb_reader_left(&r) > 0) {
        size_t left = sb_reader_left(&r);
        struct sp_frame frame;
        enum sp_err err = sp_frame_read(&r, packet_type, &frame);
        if (err != SP_OK) {
            SB_ASSERT(err == SP_ERR_FRAME_ENCODING || err == SP_ERR_PROTOCOL_VIOLATION);
            break;
        }
        SB_ASSERT(!r.failed && sb_reader_left(&r) < left);
        SB_ASSERT(sp_frame_rule_of(frame.type)->flags != 0);
        check_round_trip(frame, packet_type);
    }
    free(packet);
    return 0;
}
