/* SPDX-License-Identifier: MIT */
/* Flow control and stream limits, seen from outside.  [RFC9000 4]
 *
 * As a sender, this side may use what the peer's frames that it has opened allow; as a
 * receiver, it may not promise more than its configured window above what it has received. */

#include "test/sim/oracle.h"

#include <inttypes.h>

#include "proto/base/compiler.h"

struct oracle_stream {
    bool is_known;
    uint64_t limit; /* the peer's, for what we send */
    uint64_t sent;
    bool has_final;      /* we have announced the final size */
    uint64_t final_size; /* valid if has_final */
    bool was_reset;      /* by us */
    uint64_t reliable;   /* bytes that are still sent after that */
    uint64_t reset_error;
    uint64_t received;
};

void qs_oracle_init(struct qs_oracle *oracle, struct qs_trace *trace, const char *who,
                    const struct qs_plan *plan, enum sp_role role)
{
    *oracle = (struct qs_oracle){
        .trace = trace,
        .who = who,
        .role = role,
        .config = &plan->side[role].config,
        .peer = &plan->side[1 - role].config,
        .address_is_valid = role == SP_CLIENT,
        .wished_delay_ns = plan->side[role].config.ack_delay_ns_max,
    };
    qs_stream_table_init(&oracle->streams, sizeof(struct oracle_stream));
    for (int space = 0; space < SP_SPACES; space++) {
        oracle->spaces[space].largest_acked = SB_VARINT_NONE;
        oracle->spaces[space].at_once_ns = SB_NEVER;
    }
    oracle->conn_limit = oracle->peer->conn_window_bytes;
    oracle->open_limit[0] = oracle->peer->streams_bidi_max;
    oracle->open_limit[1] = oracle->peer->streams_uni_max;
}

void qs_oracle_on_limits(struct qs_oracle *oracle, const struct sp_config *config, bool restarts)
{
    oracle->peer = config;
    if (restarts) {
        qs_stream_table_deinit(&oracle->streams);
        qs_stream_table_init(&oracle->streams, sizeof(struct oracle_stream));
        oracle->conn_sent = 0;
        oracle->conn_limit = 0;
        oracle->open_limit[0] = oracle->open_limit[1] = 0;
    }
    oracle->conn_limit = SB_MAX(oracle->conn_limit, config->conn_window_bytes);
    oracle->open_limit[0] = SB_MAX(oracle->open_limit[0], config->streams_bidi_max);
    oracle->open_limit[1] = SB_MAX(oracle->open_limit[1], config->streams_uni_max);
    uint64_t id = QS_STREAM_FIRST;
    struct oracle_stream *stream;
    while ((stream = qs_stream_table_next(&oracle->streams, &id)) != NULL)
        stream->limit = SB_MAX(stream->limit, config->stream_window_bytes);
}

static bool is_ours(const struct qs_oracle *oracle, uint64_t id)
{
    return (id & SP_STREAM_BY_SERVER) == (uint64_t)(oracle->role == SP_SERVER);
}

static struct oracle_stream *stream_of(struct qs_oracle *oracle, uint64_t id)
{
    struct oracle_stream *stream = qs_stream_table_get(&oracle->streams, id);
    if (stream != NULL && !stream->is_known) {
        stream->is_known = true;
        stream->limit = oracle->peer->stream_window_bytes;
    }
    return stream;
}

/* The stream of a frame that only the sending side of a stream may send, or NULL if this
 * side may not. */
static struct oracle_stream *sending_stream(struct qs_oracle *oracle, uint64_t id)
{
    bool is_uni = (id & SP_STREAM_IS_UNI) != 0;
    if (is_uni && !is_ours(oracle, id)) {
        qs_fail(oracle->trace, "%s sends on stream %" PRIu64 ", the peer's own", oracle->who, id);
        return NULL;
    }
    if (is_ours(oracle, id) && id / 4 >= oracle->open_limit[is_uni]) {
        qs_fail(oracle->trace, "%s opens stream %" PRIu64 ", the peer's limit is %" PRIu64,
                oracle->who, id, oracle->open_limit[is_uni]); /* [RFC9000 4.6] */
        return NULL;
    }
    struct oracle_stream *stream = stream_of(oracle, id);
    if (stream == NULL)
        qs_fail(oracle->trace, "%s uses stream %" PRIu64 ", out of all bounds", oracle->who, id);
    return stream;
}

/* Takes flow control credit up to `end`. */
static void spend(struct qs_oracle *oracle, struct oracle_stream *stream, uint64_t id, uint64_t end)
{
    if (end > stream->sent) {
        oracle->conn_sent += end - stream->sent;
        stream->sent = end;
    }
    if (stream->sent > stream->limit)
        qs_fail(oracle->trace,
                "%s sends stream %" PRIu64 " up to %" PRIu64 ", its limit is %" PRIu64, oracle->who,
                id, stream->sent, stream->limit);
    if (oracle->conn_sent > oracle->conn_limit)
        qs_fail(oracle->trace, "%s sends %" PRIu64 " bytes in all, its limit is %" PRIu64,
                oracle->who, oracle->conn_sent, oracle->conn_limit);
    if (stream->has_final && stream->sent > stream->final_size)
        qs_fail(oracle->trace, "%s sends stream %" PRIu64 " beyond its final size", oracle->who,
                id); /* [RFC9000 4.5] */
}

static void set_final(struct qs_oracle *oracle, struct oracle_stream *stream, uint64_t id,
                      uint64_t size)
{
    if (stream->has_final && stream->final_size != size)
        qs_fail(oracle->trace, "%s changes the final size of stream %" PRIu64, oracle->who, id);
    stream->has_final = true;
    stream->final_size = size;
}

static void stream_sent(struct qs_oracle *oracle, const struct sp_frame_stream *frame)
{
    struct oracle_stream *stream = sending_stream(oracle, frame->id);
    if (stream == NULL)
        return;
    uint64_t end = frame->offset + frame->size;
    bool is_given_up = stream->reliable == 0 || end > stream->reliable || frame->fin;
    if (stream->was_reset && is_given_up)
        qs_fail(oracle->trace, "%s sends stream %" PRIu64 " after its reset", oracle->who,
                frame->id); /* [RFC9000 3.1, reliable-reset 5] */
    if (frame->fin)
        set_final(oracle, stream, frame->id, end);
    spend(oracle, stream, frame->id, end);
    if (!qs_content_is((int)oracle->role, frame->id, frame->offset, frame->data,
                       (size_t)frame->size))
        qs_fail(oracle->trace, "%s sends wrong bytes on stream %" PRIu64 " at %" PRIu64,
                oracle->who, frame->id, frame->offset);
}

/* [reliable-reset 5] The reliable size never rises, the error never changes. */
static void reset_sent(struct qs_oracle *oracle, uint64_t id, uint64_t error, uint64_t final_size,
                       uint64_t reliable_size)
{
    struct oracle_stream *stream = sending_stream(oracle, id);
    if (stream == NULL)
        return;
    if (stream->was_reset && (reliable_size > stream->reliable || error != stream->reset_error))
        qs_fail(oracle->trace, "%s resets stream %" PRIu64 " otherwise than before", oracle->who,
                id);
    if (reliable_size > 0 && !oracle->peer->reset_stream_at)
        qs_fail(oracle->trace, "%s sends a RESET_STREAM_AT that the peer does not know",
                oracle->who);
    stream->was_reset = true;
    stream->reliable = reliable_size;
    stream->reset_error = error;
    set_final(oracle, stream, id, final_size);
    spend(oracle, stream, id, final_size);
}

/* Bytes that the application sits on: there is no credit for those. */
static uint64_t unread_of(const struct qs_oracle *oracle, uint64_t id)
{
    return oracle->unread != NULL ? oracle->unread(oracle->unread_context, id) : 0;
}

static void conn_credit_sent(struct qs_oracle *oracle, uint64_t limit)
{
    uint64_t unread = unread_of(oracle, QS_STREAM_FIRST);
    if (limit + unread > oracle->conn_received + oracle->config->conn_window_bytes_max)
        qs_fail(oracle->trace,
                "%s gives credit up to %" PRIu64 ", it has received %" PRIu64
                " and not read %" PRIu64,
                oracle->who, limit, oracle->conn_received, unread);
}

static void stream_credit_sent(struct qs_oracle *oracle, uint64_t id, uint64_t limit)
{
    struct oracle_stream *stream = stream_of(oracle, id);
    bool is_uni = (id & SP_STREAM_IS_UNI) != 0;
    if (stream == NULL || (is_uni && is_ours(oracle, id)))
        qs_fail(oracle->trace, "%s gives credit for stream %" PRIu64, oracle->who, id);
    else if (limit + unread_of(oracle, id) >
             stream->received + oracle->config->stream_window_bytes_max)
        qs_fail(oracle->trace,
                "%s gives stream %" PRIu64 " credit up to %" PRIu64 ", it has received %" PRIu64,
                oracle->who, id, limit, stream->received);
}

static void streams_credit_sent(struct qs_oracle *oracle, bool is_uni, uint64_t limit)
{
    uint64_t max = is_uni ? oracle->config->streams_uni_max : oracle->config->streams_bidi_max;
    if (limit > oracle->opened_by_peer[is_uni] + max)
        qs_fail(oracle->trace, "%s allows %" PRIu64 " streams, the peer opened %" PRIu64,
                oracle->who, limit, oracle->opened_by_peer[is_uni]);
}

void qs_oracle_flow_sent(struct qs_oracle *oracle, const struct sp_frame *frame)
{
    if ((frame->type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM) {
        stream_sent(oracle, &frame->stream);
        return;
    }
    switch (frame->type) {
    case SP_FRAME_RESET_STREAM:
    case SP_FRAME_RESET_STREAM_AT:
        reset_sent(oracle, frame->on_stream.id, frame->on_stream.error, frame->on_stream.final_size,
                   frame->on_stream.reliable_size);
        break;
    case SP_FRAME_DATAGRAM:
    case SP_FRAME_DATAGRAM_LEN: /* [RFC9221 3] */
        if (frame->datagram.frame_size > oracle->peer->message_frame_size_max)
            qs_fail(oracle->trace, "%s sends a DATAGRAM frame of %" PRIu64 " bytes", oracle->who,
                    frame->datagram.frame_size);
        break;
    case SP_FRAME_MAX_DATA:
        conn_credit_sent(oracle, frame->limit);
        break;
    case SP_FRAME_MAX_STREAM_DATA:
        stream_credit_sent(oracle, frame->on_stream.id, frame->on_stream.limit);
        break;
    case SP_FRAME_MAX_STREAMS_BIDI:
    case SP_FRAME_MAX_STREAMS_UNI:
        streams_credit_sent(oracle, frame->type == SP_FRAME_MAX_STREAMS_UNI, frame->limit);
        break;
    default:
        break;
    }
}

static void stream_received(struct qs_oracle *oracle, uint64_t id, uint64_t end)
{
    struct oracle_stream *stream = stream_of(oracle, id);
    if (stream == NULL)
        return;
    if (end > stream->received) {
        oracle->conn_received += end - stream->received;
        stream->received = end;
    }
}

/* A frame that names a stream opens it, and all below it.  [RFC9000 3.2] */
static void stream_named(struct qs_oracle *oracle, uint64_t id)
{
    bool is_uni = (id & SP_STREAM_IS_UNI) != 0;
    if (!is_ours(oracle, id))
        oracle->opened_by_peer[is_uni] = SB_MAX(oracle->opened_by_peer[is_uni], id / 4 + 1);
}

void qs_oracle_flow_received(struct qs_oracle *oracle, const struct sp_frame *frame)
{
    if ((frame->type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM) {
        stream_named(oracle, frame->stream.id);
        stream_received(oracle, frame->stream.id, frame->stream.offset + frame->stream.size);
        return;
    }
    switch (frame->type) {
    case SP_FRAME_RESET_STREAM:
    case SP_FRAME_RESET_STREAM_AT:
        stream_named(oracle, frame->on_stream.id);
        stream_received(oracle, frame->on_stream.id, frame->on_stream.final_size);
        break;
    case SP_FRAME_STOP_SENDING:
    case SP_FRAME_STREAM_DATA_BLOCKED:
        stream_named(oracle, frame->on_stream.id);
        break;
    case SP_FRAME_MAX_STREAM_DATA: {
        stream_named(oracle, frame->on_stream.id);
        struct oracle_stream *stream = stream_of(oracle, frame->on_stream.id);
        if (stream != NULL)
            stream->limit = SB_MAX(stream->limit, frame->on_stream.limit);
        break;
    }
    case SP_FRAME_MAX_DATA:
        oracle->conn_limit = SB_MAX(oracle->conn_limit, frame->limit);
        break;
    case SP_FRAME_MAX_STREAMS_BIDI:
        oracle->open_limit[0] = SB_MAX(oracle->open_limit[0], frame->limit);
        break;
    case SP_FRAME_MAX_STREAMS_UNI:
        oracle->open_limit[1] = SB_MAX(oracle->open_limit[1], frame->limit);
        break;
    default:
        break;
    }
}
