/* SPDX-License-Identifier: MIT */
#include <spate/datagram.h>

/* The application's operations on messages: DATAGRAM frames. */

#include <errno.h>

#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/conn/message.h"

_Static_assert(SPATE_DATAGRAM_COPY_SIZE_MAX == SP_COPY_SIZE_MAX, "what proto/ copies");
_Static_assert(SPATE_FOREVER == SB_NEVER, "a deadline that never comes");

int spate_conn_datagram_send(struct spate_conn *conn, const void *data, size_t size, uint64_t tag,
                             uint64_t deadline_ns, unsigned flags)
{
    if ((data == NULL && size > 0) || flags > (SPATE_DATAGRAM_COPY | SPATE_DATAGRAM_SILENT))
        return -EINVAL;
    if (conn->state < SE_CONN_CONNECTED)
        return -ENOTCONN;
    const struct sp_message_args args = {
        .data = data,
        .size = size,
        .tag = tag,
        .deadline_ns = deadline_ns,
        .is_copied = (flags & SPATE_DATAGRAM_COPY) != 0,
        .is_silent = (flags & SPATE_DATAGRAM_SILENT) != 0,
    };
    switch (sp_conn_send_message(conn->proto, &args)) {
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

size_t spate_conn_datagram_size_max(const struct spate_conn *conn)
{
    int64_t size_max = sp_conn_message_size_max(conn->proto);
    return size_max < 0 ? 0 : (size_t)size_max;
}
