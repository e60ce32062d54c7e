/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_MESSAGES_H
#define SP_CONN_MESSAGES_H

#include "proto/conn/impl.h"
#include "proto/conn/message.h"
#include "proto/wire/frame.h"

/* The messages of a connection that has any: what conn->messages points to.  [RFC9221] */

/* One message: queued to be sent, in flight, with its result pending, or received. */
struct sp_message {
    struct sp_message *next;
    const uint8_t *data;
    struct sb_buffer *buffer; /* holds a reference; NULL: the memory is lent, or there is none */
    union {
        uint64_t tag;              /* of one that we send */
        struct sp_message *before; /* in the list `in`; NULL: it is the first */
    };
    uint64_t deadline_ns;
    uint32_t size; /* of head and data */
    uint8_t fate;  /* enum sp_message_fate, once it is known */
    bool is_silent;
    uint8_t head_size; /* 0 for received ones */
    uint8_t head[SP_MESSAGE_HEAD_SIZE_MAX];
};

struct sp_message_list {
    struct sp_message *first; /* NULL: empty */
    struct sp_message *last;
};

/* Whether the application waits for room in the queue. */
enum sp_message_room {
    SP_MESSAGE_ROOM_UNASKED,
    SP_MESSAGE_ROOM_WANTED, /* it got SP_AGAIN */
    SP_MESSAGE_ROOM_DUE,    /* SP_EVENT_MESSAGE_ROOM is to be taken */
};

/* Allocated with the first message, and freed with the connection.
 *
 *     out_count, out_bytes = those of the list `out`
 *     in_count, in_bytes   = those of the list `in`; in_pinned_bytes: of them in receive buffers
 *     expire_at_ns        <= every deadline in `out` */
struct sp_messages {
    struct sb_store store;      /* the messages of all lists, and those in flight */
    struct sp_holding *holding; /* of the copies of sent and received ones */

    struct sp_message_list out; /* to be sent */
    uint32_t out_count;
    uint64_t out_bytes;
    uint64_t expire_at_ns;
    bool is_sorted; /* no deadline in `out` is earlier than one before it */
    enum sp_message_room room;
    int64_t lead_bytes; /* that messages are ahead of streams while both wait */

    struct sp_message_list done; /* sent or given up: the result is to be taken */
    struct sp_message_result results[SP_MESSAGE_RESULTS_MAX]; /* of the last event */

    struct sp_message_list in; /* received */
    uint32_t in_count;
    uint64_t in_bytes;
    uint64_t in_pinned_bytes;
    uint64_t handed_bytes;  /* in slices that the application has not released */
    struct sb_buffer *page; /* short messages are copied here; NULL: none of this batch yet */
    uint32_t page_used;
    uint32_t page_size;
    uint32_t event_turn; /* counts events: see sp_conn_messages_yield() */
};

/* Returns whether a message waits to be sent. */
static inline bool sp_conn_wants_message(const struct sp_conn *conn)
{
    return conn->messages != NULL && conn->messages->out.first != NULL;
}

/* Returns whether the first message that waits fits into `left` bytes of a packet, but not with
 * `used` of them taken. */
static inline bool sp_conn_is_message_crowded(const struct sp_conn *conn, size_t left, size_t used)
{
    if (SB_LIKELY(!sp_conn_wants_message(conn)))
        return false;
    size_t size = 1 + (size_t)conn->messages->out.first->size;
    return size <= left && size > left - used;
}

/* The peer's max_datagram_frame_size became known.  [RFC9221 3] */
void sp_conn_messages_on_params(struct sp_conn *conn, uint64_t frame_size_max);

/* Takes the first message of `out` that can be sent now, or returns NULL.  Gives up those before it
 * that have expired, or are too large for the path now. */
struct sp_message *sp_conn_first_message(struct sp_conn *conn, uint64_t now_ns);
/* Removes the message that sp_conn_first_message() returned from `out`.  The caller owns it. */
void sp_conn_take_message(struct sp_conn *conn);

/* A packet with these messages was acknowledged, or will never be. */
void sp_conn_messages_acked(struct sp_conn *conn, struct sp_message *first);
void sp_conn_messages_lost(struct sp_conn *conn, struct sp_message *first);

/* Returns when the next message may expire; SB_NEVER: none will. */
static inline uint64_t sp_conn_messages_expire_ns(const struct sp_conn *conn)
{
    return conn->messages == NULL ? SB_NEVER : conn->messages->expire_at_ns;
}
void sp_conn_expire_messages(struct sp_conn *conn, uint64_t now_ns);

/* Handles a DATAGRAM frame of `datagram`.  A message for which there is no room takes the place of
 * the oldest; one for which there is no memory is dropped.  Never SP_DROP. */
enum sp_err sp_conn_on_message(struct sp_conn *conn, const struct sp_frame_datagram *frame,
                               const struct sp_datagram *datagram, uint32_t *kept_count);

/* Drops the newest `count` received messages: their packet counts as not received, because a later
 * frame of it found no memory.  If it comes again they would be delivered twice. */
void sp_conn_take_messages_back(struct sp_conn *conn, uint32_t count);
/* All packets of a batch were handled. */
void sp_conn_messages_end_batch(struct sp_conn *conn);

/* Takes the next event about messages. */
SB_MUST_USE bool sp_conn_next_message_event(struct sp_conn *conn, struct sp_event *ret);
/* Returns whether events of streams, if `has_others`, go first now.  Each gets a number of events
 * in a row, so that a flood of messages does not hide a stream, and the other way round. */
SB_MUST_USE bool sp_conn_messages_yield(struct sp_conn *conn, bool has_others);

/* Drops what was received.  Returns false when `*steps`, which it counts down, is 0 before that is
 * done. */
SB_MUST_USE bool sp_conn_drop_received_messages(struct sp_conn *conn, uint32_t *steps);
/* Frees all, after all packets in flight were forgotten.  Returns as above. */
SB_MUST_USE bool sp_conn_messages_deinit(struct sp_conn *conn, uint32_t *steps);

uint64_t sp_conn_messages_bytes(const struct sp_conn *conn);
void sp_conn_messages_check(const struct sp_conn *conn);

#endif
