/* SPDX-License-Identifier: MIT */
#include <spate/datagram.h>

/* The application's operations on messages: DATAGRAM frames. */

#include <errno.h>

#include "engine/config/sized.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/conn/message.h"

_Static_assert(SPATE_DATAGRAM_COPY_SIZE_MAX == SP_COPY_SIZE_MAX, "what proto/ copies");
_Static_assert(SPATE_DATAGRAM_HEAD_SIZE_MAX == SP_MESSAGE_HEAD_SIZE_MAX, "what proto/ keeps");
_Static_assert(SPATE_FOREVER == SB_NEVER, "a deadline that never comes");

static const unsigned known_flags = SPATE_DATAGRAM_COPY | SPATE_DATAGRAM_SILENT;

static int send_message(struct spate_conn *conn, const struct sp_message_args *args)
{
    if (conn->state < SE_CONN_CONNECTED)
        return -ENOTCONN;
    switch (sp_conn_send_message(se_conn_proto(conn), args)) {
    case SP_DONE:
        se_conn_want_send(conn);
        return 0;
    case SP_AGAIN:
        return -EAGAIN;
    case SP_GONE:
    case SP_UNSUPPORTED:
        return -EOPNOTSUPP;
    case SP_INVALID:
        return -EMSGSIZE;
    case SP_NO_MEMORY:
        return -ENOBUFS;
    case SP_CLOSED:
        break;
    }
    return -ENOTCONN;
}

int spate_conn_datagram_send(struct spate_conn *conn, const void *data, size_t size, uint64_t tag,
                             uint64_t deadline_ns, unsigned flags)
{
    if ((data == NULL && size > 0) || flags > known_flags)
        return -EINVAL;
    const struct sp_message_args args = {
        .data = data,
        .size = size,
        .tag = tag,
        .deadline_ns = deadline_ns,
        .is_copied = (flags & SPATE_DATAGRAM_COPY) != 0,
        .is_silent = (flags & SPATE_DATAGRAM_SILENT) != 0,
    };
    return send_message(conn, &args);
}

int spate_conn_datagram_send_with(struct spate_conn *conn, const struct spate_datagram *given)
{
    static const struct se_sized shape = {
        "spate_datagram",
        SE_SIZE_THROUGH(struct spate_datagram, reserved),
        sizeof(struct spate_datagram),
    };
    struct spate_datagram d = {0};
    int e = se_sized_take(&shape, given, &d, NULL);
    if (e != 0)
        return e;
    if ((d.head == NULL && d.head_size > 0) || d.head_size > SPATE_DATAGRAM_HEAD_SIZE_MAX ||
        (d.data == NULL && d.data_size > 0) || d.flags > known_flags)
        return -EINVAL;
    const struct sp_message_args args = {
        .head = d.head,
        .head_size = d.head_size,
        .data = d.data,
        .size = d.data_size,
        .tag = d.tag,
        .deadline_ns = d.deadline_ns == 0 ? SPATE_FOREVER : d.deadline_ns,
        .is_copied = (d.flags & SPATE_DATAGRAM_COPY) != 0,
        .is_silent = (d.flags & SPATE_DATAGRAM_SILENT) != 0,
    };
    return send_message(conn, &args);
}

size_t spate_conn_datagram_size_max(const struct spate_conn *conn)
{
    int64_t size_max = sp_conn_message_size_max(conn->proto);
    return size_max < 0 ? 0 : (size_t)size_max;
}
