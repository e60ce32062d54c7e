/* SPDX-License-Identifier: MIT */
#include <spate/stream.h>

/* The application's operations on streams. */

#include <errno.h>

#include "engine/config/sized.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/conn/message.h"

/* [RFC9000 16] Application error codes are varints. */
static bool is_error_code(uint64_t error)
{
    return error <= SB_VARINT_MAX;
}

/* Converts the result of an operation to an errno.  SP_AGAIN: too many buffers are lent. */
static int errno_of(struct spate_conn *conn, enum sp_result result)
{
    switch (result) {
    case SP_DONE:
        se_conn_touch(conn);
        return 0;
    case SP_AGAIN:
    case SP_NO_MEMORY:
        return -ENOBUFS;
    case SP_GONE:
        return -EPIPE;
    case SP_INVALID:
        return -EINVAL;
    case SP_UNSUPPORTED: /* see spate_stream_reset_at() */
    case SP_CLOSED:
        break;
    }
    return -ENOTCONN;
}

int spate_stream_open(struct spate_conn *conn, bool is_uni, uint64_t *ret_id)
{
    if (!se_conn_has_streams(conn))
        return -ENOTCONN;
    switch (sp_conn_open(se_conn_proto(conn), is_uni, ret_id)) {
    case SP_DONE:
        return 0;
    case SP_AGAIN:
        se_conn_touch(conn); /* to send STREAMS_BLOCKED */
        return -EAGAIN;
    case SP_NO_MEMORY:
        return -ENOBUFS;
    default:
        return -ENOTCONN;
    }
}

int spate_stream_send(struct spate_conn *conn, uint64_t stream_id, const void *data, size_t size,
                      bool fin, uint64_t tag)
{
    if (size > SPATE_SEND_SIZE_MAX || (size == 0 && !fin) || (size > 0 && data == NULL))
        return -EINVAL;
    const struct sp_write write = {.data = data, .size = size, .tag = tag, .fin = fin};
    enum sp_result result = sp_conn_write(se_conn_proto(conn), stream_id, &write);
    if (SB_UNLIKELY(result != SP_DONE))
        return errno_of(conn, result);
    se_conn_want_send(conn); /* bytes that are only queued cause no event */
    return 0;
}

int spate_stream_sendv(struct spate_conn *conn, uint64_t stream_id, const struct iovec *pieces,
                       size_t count, bool fin, uint64_t tag)
{
    struct sb_bytes ranges[SPATE_SENDV_COUNT_MAX];
    size_t size = 0;
    if (count > SPATE_SENDV_COUNT_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        ranges[i] = (struct sb_bytes){.data = pieces[i].iov_base, .size = pieces[i].iov_len};
        if (ranges[i].size > SPATE_SEND_SIZE_MAX - size ||
            (ranges[i].size > 0 && ranges[i].data == NULL))
            return -EINVAL;
        size += ranges[i].size;
    }
    const struct sp_writev write = {.ranges = ranges, .count = count, .tag = tag, .fin = fin};
    enum sp_result result = sp_conn_writev(se_conn_proto(conn), stream_id, &write);
    if (SB_UNLIKELY(result != SP_DONE))
        return errno_of(conn, result);
    se_conn_want_send(conn);
    return 0;
}

int spate_stream_progress_sized(const struct spate_conn *conn, uint64_t stream_id,
                                struct spate_stream_progress *ret, size_t size)
{
    struct sp_progress progress;
    switch (sp_conn_progress(conn->proto, stream_id, &progress)) {
    case SP_DONE:
        break;
    case SP_INVALID:
        return -EINVAL;
    case SP_CLOSED:
        return -ENOTCONN;
    default:
        return -EPIPE;
    }
    const struct spate_stream_progress own = {
        .queued_bytes = progress.queued_bytes,
        .credit_bytes = progress.credit_bytes,
        .sent_bytes = progress.sent_bytes,
        .acked_bytes = progress.acked_bytes,
        .fin_queued = progress.fin_queued,
        .fin_acked = progress.fin_acked,
        .wanted_bytes = progress.wanted_bytes,
    };
    se_sized_give(&own, sizeof(own), ret, size);
    return 0;
}

int spate_stream_receive_into(struct spate_conn *conn, uint64_t stream_id, void *buffer,
                              size_t size, uint64_t tag, uint64_t *ret_offset)
{
    const struct sp_lend lend = {.data = buffer, .size = size, .tag = tag};
    uint64_t offset;
    enum sp_result result = sp_conn_receive_into(se_conn_proto(conn), stream_id, &lend, &offset);
    if (result == SP_DONE && ret_offset != NULL)
        *ret_offset = offset;
    return errno_of(conn, result);
}

int spate_stream_reset(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    if (!is_error_code(error))
        return -EINVAL;
    return errno_of(conn, sp_conn_reset(se_conn_proto(conn), stream_id, error));
}

int spate_stream_reset_at(struct spate_conn *conn, uint64_t stream_id, uint64_t error,
                          uint64_t reliable_size)
{
    if (!is_error_code(error))
        return -EINVAL;
    enum sp_result result = sp_conn_reset_at(se_conn_proto(conn), stream_id, error, reliable_size);
    if (result == SP_UNSUPPORTED)
        return -EOPNOTSUPP;
    return errno_of(conn, result);
}

int spate_stream_set_priority(struct spate_conn *conn, uint64_t stream_id, uint32_t urgency,
                              bool is_incremental)
{
    return errno_of(conn,
                    sp_conn_stream_set_priority(conn->proto, stream_id, urgency, is_incremental));
}

int spate_stream_stop(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    if (!is_error_code(error))
        return -EINVAL;
    enum sp_result result = sp_conn_stop(se_conn_proto(conn), stream_id, error);
    bool is_stopped = result == SP_DONE || result == SP_GONE;
    /* The end may be among the events that the application has not taken. */
    if (is_stopped && se_events_drop_received(conn, stream_id))
        result = SP_DONE;
    return errno_of(conn, result);
}

int spate_stream_set_user(struct spate_conn *conn, uint64_t stream_id, void *user)
{
    return sp_conn_stream_set_user(conn->proto, stream_id, user) == SP_DONE ? 0 : -EPIPE;
}

/* Gives back `size` bytes of slices like `slice`: of its stream, or of messages. */
static void give_credit(struct spate_shard *shard, const struct spate_slice *slice, uint64_t size)
{
    struct spate_conn *conn = se_conn_of_id(shard, slice->conn_ref);
    if (conn != NULL)
        se_waits_release(&conn->waits, size);
    if (SB_UNLIKELY(slice->stream_id == SE_NO_STREAM)) {
        if (conn != NULL)
            sp_conn_release_message(conn->proto, size);
    } else if (conn != NULL && size > 0) {
        sp_conn_consume(conn->proto, slice->stream_id, size);
        se_conn_want_send(conn); /* the peer may get credit */
    }
}

void spate_slice_release(struct spate_shard *shard, struct spate_slice *slice)
{
    give_credit(shard, slice, slice->size);
    sb_buffer_unref(slice->buffer);
    *slice = (struct spate_slice){0};
}

void spate_slices_release(struct spate_shard *shard, const struct spate_slice *slices, size_t count)
{
    for (size_t i = 0; i < count;) {
        const struct spate_slice *first = &slices[i];
        uint64_t size = 0;
        for (; i < count && slices[i].conn_ref == first->conn_ref &&
               slices[i].stream_id == first->stream_id;
             i++) {
            size += slices[i].size;
            sb_buffer_unref(slices[i].buffer);
        }
        give_credit(shard, first, size);
    }
}
