/* SPDX-License-Identifier: MIT */
#include "test/sim/oracle_bench.h"

#include <string.h>

/* Asserts that every complaint was expected. */
void bench_end(struct bench *bench)
{
    qs_oracle_deinit(&bench->oracle);
    qs_clock_deinit(&bench->clock);
    assert_string_equal(bench->trace.failure, "");
}

void bench_begin(struct bench *bench, enum sp_role role)
{
    bench_end(bench);
    memset(bench, 0, sizeof(*bench));
    qs_clock_init(&bench->clock, 0);
    qs_trace_init(&bench->trace, &bench->clock, false);
    for (int side = 0; side < QS_SIDES; side++) {
        struct sp_config *config = &bench->plan.side[side].config;
        config->stream_window_bytes = config->stream_window_bytes_max = 1000;
        config->conn_window_bytes = config->conn_window_bytes_max = 1500;
        config->streams_bidi_max = 2;
        config->streams_uni_max = 1;
        config->datagram_size_max = 1400;
    }
    qs_oracle_init(&bench->oracle, &bench->trace, "X", &bench->plan, role);
    bench->w = sb_writer_of(bench->payload, sizeof(bench->payload));
    bench->first = 3;
}

/* The packet that was written is seen; the next one begins. */
void bench_sees(struct bench *bench, enum sp_packet_type type, bool is_sealed)
{
    static const enum sp_space spaces[] = {
        [SP_PACKET_INITIAL] = SP_SPACE_INITIAL,
        [SP_PACKET_HANDSHAKE] = SP_SPACE_HANDSHAKE,
        [SP_PACKET_ONE_RTT] = SP_SPACE_APP,
    };
    struct qs_packet packet = {
        .type = type,
        .space = spaces[type],
        .pn = bench->next_pn++,
        .header = {&bench->first, 1},
        .payload = {bench->payload, sb_writer_used(&bench->w)},
        .sealed_at = is_sealed ? bench->payload : NULL,
    };
    assert_false(bench->w.failed);
    qs_oracle_packet(&bench->oracle, &packet);
    bench->oracle.sealed_count = 0;
    bench->w = sb_writer_of(bench->payload, sizeof(bench->payload));
}

void bench_sends(struct bench *bench)
{
    bench_sees(bench, SP_PACKET_ONE_RTT, true);
}

void bench_receives(struct bench *bench)
{
    bench_sees(bench, SP_PACKET_ONE_RTT, false);
}

void bench_is_content(struct bench *bench)
{
    assert_string_equal(bench->trace.failure, "");
}

void bench_has_found(struct bench *bench, const char *what)
{
    if (strstr(bench->trace.failure, what) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", what, bench->trace.failure);
    bench->trace.has_failed = false;
    bench->trace.failure[0] = '\0';
}

void bench_write_stream(struct bench *bench, uint64_t id, uint64_t offset, size_t size, bool fin)
{
    struct sp_stream_head head = {
        .id = id, .offset = offset, .size = size, .has_length = true, .fin = fin};
    sp_frame_write_stream_head(&bench->w, &head);
    uint8_t *room = sb_writer_room(&bench->w, size);
    assert_non_null(room);
    qs_content_fill((int)bench->oracle.role, id, offset, room, size);
}

void bench_write_ack(struct bench *bench, uint64_t smallest, uint64_t largest)
{
    struct sp_ack_range range = {.smallest = smallest, .largest = largest};
    assert_int_equal(sp_frame_write_ack(&bench->w, &range, 1, 0, NULL), 1);
}
