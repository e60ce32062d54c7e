/* SPDX-License-Identifier: MIT */
#include "engine/qlog/text.h"

/* The frames of a packet as qlog has them [draft-ietf-quic-qlog-quic-events 8.13].  Secrets stay
 * out: of tokens there is only the size, and reset tokens are not written. */

#include "proto/wire/frame.h"

void se_qlog_put_error(struct se_json *json, const char *field, bool is_app, uint64_t error)
{
    static const char *const names[] = {
        "no_error",
        "internal_error",
        "connection_refused",
        "flow_control_error",
        "stream_limit_error",
        "stream_state_error",
        "final_size_error",
        "frame_encoding_error",
        "transport_parameter_error",
        "connection_id_limit_error",
        "protocol_violation",
        "invalid_token",
        "application_error",
        "crypto_buffer_exceeded",
        "key_update_error",
        "aead_limit_reached",
        "no_viable_path",
    };
    if (!is_app && error < SB_COUNT(names))
        se_json_put(json, "\"%s\":\"%s\"", field, names[error]);
    else if (!is_app && error >= SP_ERR_CRYPTO && error <= SP_ERR_CRYPTO_MAX)
        se_json_put(json, "\"%s\":\"crypto_error_0x%03" PRIx64 "\"", field, error);
    else
        se_json_put(json, "\"%s\":\"unknown\",\"error_code\":%" PRIu64, field, error);
}

static void put_type(struct se_json *json, const char *type)
{
    se_json_put(json, "{\"frame_type\":\"%s\"", type);
}

static void put_number(struct se_json *json, const char *name, uint64_t number)
{
    se_json_put(json, ",\"%s\":%" PRIu64, name, number);
}

static void put_length(struct se_json *json, uint64_t size)
{
    se_json_put(json, ",\"raw\":{\"length\":%" PRIu64 "}", size);
}

static void put_ack(struct se_json *json, const struct sp_frame_ack *ack, uint64_t exponent)
{
    put_type(json, "ack");
    /* A delay that does not fit is nonsense of the peer. */
    uint64_t delay_us =
        exponent > 20 || ack->delay > (UINT64_MAX / 1000) >> exponent ? 0 : ack->delay << exponent;
    se_json_put(json, ",\"ack_delay\":");
    se_json_ms(json, delay_us * 1000);
    se_json_put(json, ",\"acked_ranges\":");
    struct sp_ack_walk walk = sp_ack_walk_of(ack);
    struct sp_ack_range range;
    for (char comma = '['; sp_ack_next(&walk, &range); comma = ',') {
        if (range.smallest == range.largest)
            se_json_put(json, "%c[%" PRIu64 "]", comma, range.largest);
        else
            se_json_put(json, "%c[%" PRIu64 ",%" PRIu64 "]", comma, range.smallest, range.largest);
    }
    se_json_put(json, "]");
    if (ack->has_ecn) {
        put_number(json, "ect1", ack->ect1);
        put_number(json, "ect0", ack->ect0);
        put_number(json, "ce", ack->ce);
    }
}

static void put_new_cid(struct se_json *json, const struct sp_frame_new_cid *frame)
{
    put_type(json, "new_connection_id");
    put_number(json, "sequence_number", frame->sequence);
    put_number(json, "retire_prior_to", frame->retire_prior_to);
    put_number(json, "connection_id_length", frame->cid.size);
    se_json_put(json, ",\"connection_id\":");
    se_json_hex(json, (struct sb_bytes){frame->cid.bytes, frame->cid.size});
}

static void put_close(struct se_json *json, const struct sp_frame_close *frame)
{
    put_type(json, "connection_close");
    se_json_put(json, ",\"error_space\":\"%s\",", frame->is_app ? "application" : "transport");
    se_qlog_put_error(json, "error", frame->is_app, frame->error);
    se_json_put(json, ",\"reason\":");
    se_json_text(json, frame->reason);
    if (!frame->is_app)
        put_number(json, "trigger_frame_type", frame->frame_type);
}

static void put_on_stream(struct se_json *json, const struct sp_frame *frame)
{
    bool has_limit =
        frame->type == SP_FRAME_MAX_STREAM_DATA || frame->type == SP_FRAME_STREAM_DATA_BLOCKED;
    put_type(json, frame->type == SP_FRAME_RESET_STREAM      ? "reset_stream"
                   : frame->type == SP_FRAME_RESET_STREAM_AT ? "reset_stream_at"
                   : frame->type == SP_FRAME_STOP_SENDING    ? "stop_sending"
                   : frame->type == SP_FRAME_MAX_STREAM_DATA ? "max_stream_data"
                                                             : "stream_data_blocked");
    put_number(json, "stream_id", frame->on_stream.id);
    if (has_limit) {
        put_number(json, frame->type == SP_FRAME_MAX_STREAM_DATA ? "maximum" : "limit",
                   frame->on_stream.limit);
        return;
    }
    se_json_put(json, ",");
    se_qlog_put_error(json, "error", true, frame->on_stream.error);
    if (frame->type != SP_FRAME_STOP_SENDING)
        put_number(json, "final_size", frame->on_stream.final_size);
    if (frame->type == SP_FRAME_RESET_STREAM_AT)
        put_number(json, "reliable_size", frame->on_stream.reliable_size);
}

static void put_streams(struct se_json *json, const struct sp_frame *frame)
{
    bool is_max =
        frame->type == SP_FRAME_MAX_STREAMS_BIDI || frame->type == SP_FRAME_MAX_STREAMS_UNI;
    bool is_uni =
        frame->type == SP_FRAME_MAX_STREAMS_UNI || frame->type == SP_FRAME_STREAMS_BLOCKED_UNI;
    put_type(json, is_max ? "max_streams" : "streams_blocked");
    se_json_put(json, ",\"stream_type\":\"%s\"", is_uni ? "unidirectional" : "bidirectional");
    put_number(json, is_max ? "maximum" : "limit", frame->limit);
}

static void put_path(struct se_json *json, const struct sp_frame *frame)
{
    put_type(json, frame->type == SP_FRAME_PATH_CHALLENGE ? "path_challenge" : "path_response");
    se_json_put(json, ",\"data\":");
    se_json_hex(json, (struct sb_bytes){frame->path_data, SP_PATH_DATA_SIZE});
}

/* A frame that was recorded as it is. */
static void put_other(struct se_json *json, const struct sp_frame *frame, uint64_t exponent)
{
    switch (frame->type) {
    case SP_FRAME_PING:
        put_type(json, "ping");
        break;
    case SP_FRAME_ACK:
    case SP_FRAME_ACK_ECN:
        put_ack(json, &frame->ack, exponent);
        break;
    case SP_FRAME_NEW_TOKEN:
        put_type(json, "new_token");
        se_json_put(json, ",\"token\":{\"type\":\"resumption\",\"raw\":{\"length\":%zu}}",
                    frame->token.size);
        break;
    case SP_FRAME_RESET_STREAM:
    case SP_FRAME_RESET_STREAM_AT:
    case SP_FRAME_STOP_SENDING:
    case SP_FRAME_MAX_STREAM_DATA:
    case SP_FRAME_STREAM_DATA_BLOCKED:
        put_on_stream(json, frame);
        break;
    case SP_FRAME_MAX_DATA:
        put_type(json, "max_data");
        put_number(json, "maximum", frame->limit);
        break;
    case SP_FRAME_DATA_BLOCKED:
        put_type(json, "data_blocked");
        put_number(json, "limit", frame->limit);
        break;
    case SP_FRAME_MAX_STREAMS_BIDI:
    case SP_FRAME_MAX_STREAMS_UNI:
    case SP_FRAME_STREAMS_BLOCKED_BIDI:
    case SP_FRAME_STREAMS_BLOCKED_UNI:
        put_streams(json, frame);
        break;
    case SP_FRAME_NEW_CONNECTION_ID:
        put_new_cid(json, &frame->new_cid);
        break;
    case SP_FRAME_RETIRE_CONNECTION_ID:
        put_type(json, "retire_connection_id");
        put_number(json, "sequence_number", frame->sequence);
        break;
    case SP_FRAME_PATH_CHALLENGE:
    case SP_FRAME_PATH_RESPONSE:
        put_path(json, frame);
        break;
    case SP_FRAME_CONNECTION_CLOSE:
    case SP_FRAME_CONNECTION_CLOSE_APP:
        put_close(json, &frame->close);
        break;
    case SP_FRAME_HANDSHAKE_DONE:
        put_type(json, "handshake_done");
        break;
    default: /* of extensions that the draft does not have */
        put_type(json, "unknown");
        put_number(json, "frame_type_bytes", frame->type);
        break;
    }
}

/* Returns false if it is no frame. */
static bool put_frame(struct se_json *json, const struct sp_qlog_frame *frame, uint64_t exponent)
{
    const uint64_t *numbers = frame->numbers;
    struct sp_frame other;
    struct sb_reader r;
    switch (frame->kind) {
    case SP_QLOG_FRAME_STREAM:
        put_type(json, "stream");
        put_number(json, "stream_id", numbers[0]);
        put_number(json, "offset", numbers[1]);
        if (numbers[3] != 0)
            se_json_put(json, ",\"fin\":true");
        put_length(json, numbers[2]);
        break;
    case SP_QLOG_FRAME_CRYPTO:
        put_type(json, "crypto");
        put_number(json, "offset", numbers[0]);
        put_length(json, numbers[1]);
        break;
    case SP_QLOG_FRAME_DATAGRAM:
        put_type(json, "datagram");
        put_length(json, numbers[0]);
        break;
    case SP_QLOG_FRAME_PADDING:
        put_type(json, "padding");
        se_json_put(json, ",\"raw\":{\"payload_length\":%" PRIu64 "}", numbers[0]);
        break;
    case SP_QLOG_FRAME_OTHER:
        r = sb_reader_of(frame->bytes.data, frame->bytes.size);
        if (frame->bytes.size == 0 || sp_frame_read(&r, SP_PACKET_ONE_RTT, &other) != SP_OK)
            return false;
        put_other(json, &other, exponent);
        break;
    case SP_QLOG_FRAME_OMITTED:
        return false;
    }
    se_json_put(json, "}");
    return true;
}

uint64_t se_qlog_put_frames(struct se_json *json, struct sb_bytes frames, uint64_t ack_exponent)
{
    struct sb_reader r = sb_reader_of(frames.data, frames.size);
    struct sp_qlog_frame frame;
    uint64_t omitted_count = 0;
    bool is_first = true;
    se_json_put(json, "[");
    while (sp_qlog_next_frame(&r, &frame)) {
        struct se_json before = *json;
        if (!is_first)
            se_json_put(json, ",");
        if (put_frame(json, &frame, ack_exponent)) {
            is_first = false;
            continue;
        }
        *json = before;
        if (frame.kind == SP_QLOG_FRAME_OMITTED)
            omitted_count = frame.numbers[0];
    }
    se_json_put(json, "]");
    return omitted_count;
}
