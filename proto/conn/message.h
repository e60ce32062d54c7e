/* SPDX-License-Identifier: MIT */
#ifndef SP_MESSAGE_H
#define SP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/conn/conn.h"

/* Messages: the payloads of DATAGRAM frames.  [RFC9221]  (A datagram is one of UDP here.)
 *
 * A message arrives whole or not at all, in any order, and is never retransmitted.  Messages obey
 * the congestion window and the pacer, and share the connection with streams in equal parts.
 *
 *     sp_conn_send_message()      queues one; SP_EVENT_MESSAGES_DONE reports what became of it
 *     SP_EVENT_MESSAGE_ROOM       after SP_AGAIN: the queue has room again
 *     SP_EVENT_MESSAGE            one was received
 *     sp_conn_release_message()   the application has released it */

/* Bytes before the data of a message that are copied with it: enough for the header of a tunnel. */
#define SP_MESSAGE_HEAD_SIZE_MAX 32

struct sp_message_args {
    const void *head;     /* copied during the call */
    size_t head_size;     /* at most SP_MESSAGE_HEAD_SIZE_MAX */
    const void *data;     /* lent until its result, or copied during the call */
    size_t size;          /* of the data; may be 0 */
    uint64_t tag;         /* returned with the result */
    uint64_t deadline_ns; /* a message that has not been sent then is dropped; SB_NEVER: none */
    bool is_copied;       /* `size` is at most SP_COPY_SIZE_MAX */
    bool is_silent;       /* no result is reported */
};

/* Queues a message.  SP_GONE: the peer takes no messages.  SP_INVALID: it is larger than
 * sp_conn_message_size_max(), or too large to be copied.  SP_AGAIN: the queue is full, and
 * SP_EVENT_MESSAGE_ROOM follows. */
SB_MUST_USE enum sp_result sp_conn_send_message(struct sp_conn *conn,
                                                const struct sp_message_args *args);

/* Returns the bytes of the largest message that can be sent now, or -1 if the peer takes none.  It
 * follows the size of the path's datagrams. */
int64_t sp_conn_message_size_max(const struct sp_conn *conn);

/* Returns whether sp_conn_send() has caused SP_EVENT_MESSAGES_DONE or SP_EVENT_MESSAGE_ROOM. */
bool sp_conn_has_message_result(const struct sp_conn *conn);

/* The application no longer needs `size` bytes of received messages. */
void sp_conn_release_message(struct sp_conn *conn, uint64_t size);

/* Takes up to `count_max` further messages, which follow the one of the SP_EVENT_MESSAGE taken
 * last.  Returns their number.  All of them count as one event where messages and streams take
 * turns. */
SB_MUST_USE uint32_t sp_conn_more_messages(struct sp_conn *conn, struct sb_slice *ret,
                                           uint32_t count_max);

#endif
