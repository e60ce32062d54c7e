/* SPDX-License-Identifier: MIT */
#include "test/sim/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/wire/frame.h"
#include "proto/wire/frame_table.h"
#include "test/sim/random.h"

void qs_trace_init(struct qs_trace *trace, const struct qs_clock *clock, bool verbose)
{
    *trace = (struct qs_trace){.clock = clock, .verbose = verbose, .hash = 1};
}

static void print_time(const struct qs_trace *trace)
{
    uint64_t us = trace->clock->now_ns / 1000;
    printf("%5" PRIu64 ".%06" PRIu64 " ", us / 1000000, us % 1000000);
}

void qs_fail(struct qs_trace *trace, const char *format, ...)
{
    if (trace->has_failed)
        return;
    trace->has_failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(trace->failure, sizeof(trace->failure), format, args);
    va_end(args);
    qs_note(trace, "FAILED: %s", trace->failure);
}

void qs_note(const struct qs_trace *trace, const char *format, ...)
{
    if (!trace->verbose)
        return;
    print_time(trace);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void qs_trace_sent(struct qs_trace *trace, const char *who, const struct qs_packet *packet)
{
    uint64_t head[] = {trace->clock->now_ns, packet->pn, packet->payload.size};
    trace->hash = qs_hash(trace->hash, who, strlen(who));
    trace->hash = qs_hash(trace->hash, head, sizeof(head));
    trace->hash = qs_hash(trace->hash, packet->header.data, packet->header.size);
    trace->hash = qs_hash(trace->hash, packet->payload.data, packet->payload.size);
    trace->packet_count++;
}

static void print_ack(const struct sp_frame_ack *ack)
{
    struct sp_ack_walk walk = sp_ack_walk_of(ack);
    struct sp_ack_range range;
    for (const char *comma = " "; sp_ack_next(&walk, &range); comma = ",") {
        if (range.smallest == range.largest)
            printf("%s%" PRIu64, comma, range.largest);
        else
            printf("%s%" PRIu64 "-%" PRIu64, comma, range.largest, range.smallest);
    }
    if (ack->has_ecn)
        printf(" ect0 %" PRIu64 " ect1 %" PRIu64 " ce %" PRIu64, ack->ect0, ack->ect1, ack->ce);
}

static void print_fields(const struct sp_frame *frame)
{
    switch (frame->type) {
    case SP_FRAME_PADDING:
        printf(" %zu", frame->padding_size);
        break;
    case SP_FRAME_ACK:
    case SP_FRAME_ACK_ECN:
        print_ack(&frame->ack);
        break;
    case SP_FRAME_RESET_STREAM:
        printf(" %" PRIu64 " error %" PRIu64 " size %" PRIu64, frame->on_stream.id,
               frame->on_stream.error, frame->on_stream.final_size);
        break;
    case SP_FRAME_RESET_STREAM_AT:
        printf(" %" PRIu64 " error %" PRIu64 " size %" PRIu64 " reliable %" PRIu64,
               frame->on_stream.id, frame->on_stream.error, frame->on_stream.final_size,
               frame->on_stream.reliable_size);
        break;
    case SP_FRAME_STOP_SENDING:
        printf(" %" PRIu64 " error %" PRIu64, frame->on_stream.id, frame->on_stream.error);
        break;
    case SP_FRAME_CRYPTO:
        printf(" %" PRIu64 "+%" PRIu64, frame->crypto.offset, frame->crypto.size);
        break;
    case SP_FRAME_DATAGRAM:
    case SP_FRAME_DATAGRAM_LEN:
        printf(" %" PRIu64, frame->datagram.size);
        break;
    case SP_FRAME_MAX_STREAM_DATA:
    case SP_FRAME_STREAM_DATA_BLOCKED:
        printf(" %" PRIu64 " %" PRIu64, frame->on_stream.id, frame->on_stream.limit);
        break;
    case SP_FRAME_MAX_DATA:
    case SP_FRAME_MAX_STREAMS_BIDI:
    case SP_FRAME_MAX_STREAMS_UNI:
    case SP_FRAME_DATA_BLOCKED:
    case SP_FRAME_STREAMS_BLOCKED_BIDI:
    case SP_FRAME_STREAMS_BLOCKED_UNI:
        printf(" %" PRIu64, frame->limit);
        break;
    case SP_FRAME_NEW_CONNECTION_ID:
        printf(" %" PRIu64 " retire %" PRIu64, frame->new_cid.sequence,
               frame->new_cid.retire_prior_to);
        break;
    case SP_FRAME_ACK_FREQUENCY:
        printf(" %" PRIu64 ": %" PRIu64 " packets, %" PRIu64 " us", frame->ack_frequency.sequence,
               frame->ack_frequency.eliciting_max, frame->ack_frequency.delay_us);
        break;
    case SP_FRAME_RETIRE_CONNECTION_ID:
        printf(" %" PRIu64, frame->sequence);
        break;
    case SP_FRAME_CONNECTION_CLOSE:
    case SP_FRAME_CONNECTION_CLOSE_APP:
        printf(" %#" PRIx64 " frame %#" PRIx64 " \"%.*s\"", frame->close.error,
               frame->close.frame_type, (int)frame->close.reason.size,
               (const char *)frame->close.reason.data);
        break;
    default:
        break;
    }
}

static void print_frame(const struct sp_frame *frame)
{
    if ((frame->type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM) {
        printf(" [STREAM %" PRIu64 " %" PRIu64 "+%" PRIu64 "%s]", frame->stream.id,
               frame->stream.offset, frame->stream.size, frame->stream.fin ? " fin" : "");
        return;
    }
    printf(" [%s", sp_frame_name(frame->type));
    print_fields(frame);
    printf("]");
}

void qs_trace_packet(const struct qs_trace *trace, const char *who, const char *way,
                     const struct qs_packet *packet)
{
    static const char *const names[] = {
        [SP_PACKET_INITIAL] = "Initial",
        [SP_PACKET_ZERO_RTT] = "0-RTT",
        [SP_PACKET_HANDSHAKE] = "Handshake",
        [SP_PACKET_ONE_RTT] = "1-RTT",
    };
    if (!trace->verbose)
        return;
    print_time(trace);
    printf("%s %s %s", who, way, names[packet->type]);
    if (packet->type == SP_PACKET_ONE_RTT)
        printf("/%d", (packet->header.data[0] & SP_HEADER_KEY_PHASE) != 0);
    printf(" %" PRIu64 "%s", packet->pn, packet->is_forged ? " FORGED" : "");

    struct sb_reader r = sb_reader_of(packet->payload.data, packet->payload.size);
    while (sb_reader_left(&r) > 0) {
        struct sp_frame frame;
        enum sp_err err = sp_frame_read(&r, (uint32_t)packet->type, &frame);
        if (err != SP_OK) {
            printf(" [malformed: %#x]", (unsigned)err);
            break;
        }
        print_frame(&frame);
    }
    putchar('\n');
}
