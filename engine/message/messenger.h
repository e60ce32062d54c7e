/* SPDX-License-Identifier: MIT */
#ifndef SE_MESSENGER_H
#define SE_MESSENGER_H

#include <spate/message.h>

#include "engine/base/large.h"
#include "engine/base/task.h"
#include "engine/message/header.h"
#include "engine/message/order.h"
#include "proto/base/bytes.h"
#include "proto/base/list.h"

/* Messages over the streams of one connection: see <spate/message.h>.  It is built on the functions
 * that programs have; only memory and the timer are the shard's.
 *
 * An exchange is one stream, or one DATAGRAM frame: a message in one direction, or a request and
 * its reply.  Streams' user pointers lead to them.
 *
 *     incoming.c    what streams bring: slices, lent memory, order
 *     stall.c       who gives way when nothing moves
 *     segments.c    the bytes of what is received
 *     outgoing.c    what is sent, and what becomes of it
 *     messenger.c   the public functions around them */

enum {
    /* From so many slices, or bytes in them, on memory is lent for the rest of a message. */
    SE_MESSAGE_SLICES_MAX = 32,
    SE_MESSAGE_SLICE_BYTES_MAX = 16 * 1024,
    /* Those of the same events follow as slices.  A message that is not whole keeps them, and with
     * them buffers of the shard and the peer's credit, for SE_MESSAGE_FRESH_NS; then they are
     * copied, if receive_bytes_max allows.  Earlier if there are SE_MESSAGE_SLICES_MAX, or if they
     * have more than this part of the stream's window: what is left of it is enough for the peer to
     * go on. */
    SE_MESSAGE_KEPT_PART = 2,
    /* The first buffer that is lent.  Further ones are about as large as the message so far: the
     * power of two below that [engine/base/large.h]. */
    SE_MESSAGE_BUFFER_MIN = SE_LARGE_SIZE_MIN,
    SE_MESSAGE_INLINE_PIECES = 4,
    SE_MESSAGE_EXCHANGES_MAX = 1 << 22, /* per shard; the memory budget is reached earlier */
};

#define SE_MESSAGE_FRESH_NS UINT64_C(1000000)
/* Nothing moves for so long although nothing can be released, and the peer has used its credit up:
 * somebody must give way.  Longer than it takes to send a lost packet again, also on a path of this
 * many round trips. */
#define SE_MESSAGE_STALL_NS   UINT64_C(250000000)
#define SE_MESSAGE_STALL_RTTS 8
/* Looks within that time: who could go on until just before gets 3/4 of it at least. */
#define SE_MESSAGE_STALL_LOOKS 4
/* Credit of the connection with which the peer cannot go on: less than a packet is left. */
#define SE_MESSAGE_CREDIT_LEAST 1200
#define SE_MESSAGE_NO_ID        UINT64_MAX

/* Memory for a part of a message, on the heap and charged to the shard. */
struct se_message_buffer {
    size_t bytes; /* of all of it */
    uint8_t data[];
};

/* A run of a message's bytes: of a slice, or of a buffer. */
struct se_segment {
    struct se_segment *next;
    const uint8_t *data;
    size_t size;
    struct se_message_buffer *buffer; /* owned; NULL: of `slice` */
    struct spate_slice slice;
};

/* How far the receiving side of an exchange has come. */
enum se_in_state {
    SE_IN_NONE,    /* nothing is to be received */
    SE_IN_FRESH,   /* not whole: no memory is lent yet */
    SE_IN_LENT,    /* not whole: memory is lent to the stream */
    SE_IN_WAITING, /* not whole: waits for room under receive_bytes_max */
    SE_IN_HELD,    /* whole: earlier messages of its channel are missing */
    SE_IN_READY,   /* whole: spate_messenger_next() returns it */
    SE_IN_TAKEN,   /* the application has it */
    SE_IN_FAILED,  /* our request gets no reply: spate_messenger_next() returns that */
    SE_IN_DONE,
};

enum se_out_state {
    SE_OUT_NONE,    /* nothing was sent yet */
    SE_OUT_SENDING, /* lent to the connection */
    SE_OUT_READY,   /* it came back: spate_messenger_next() returns that */
    SE_OUT_DONE,
};

struct se_exchange {
    struct spate_messenger *messenger;
    struct sb_link all_link;
    struct sb_link in_link;       /* in `incoming`, `holding` or `ready` */
    struct sb_link out_link;      /* in `results` */
    struct sb_link deadline_link; /* in `deadlines` */
    uint64_t stream_id;           /* SE_MESSAGE_NO_ID: a DATAGRAM frame */
    enum se_in_state in;
    enum se_out_state out;
    bool is_ours;
    bool is_request;
    bool is_over;     /* no event of its stream follows */
    bool has_header;  /* of what is received */
    uint32_t channel; /* of the message, whoever sends it */
    uint64_t sequence;

    /* Received. */
    struct se_segment *first;
    struct se_segment *last;
    uint32_t slice_count; /* segments that are slices */
    uint64_t slice_bytes; /* in them */
    uint32_t segment_count;
    uint64_t in_size;    /* bytes in segments, the header included */
    uint64_t in_charged; /* bytes counted in receive_bytes */
    size_t in_header_size;
    struct se_message_buffer *lent; /* no segment has it yet, or the last one has */
    bool lent_has_segment;
    bool was_lent;        /* memory was lent to the stream: events that were there before may still
                             bring slices, and those of the connection's end, no others */
    struct iovec *pieces; /* while READY or TAKEN */
    struct iovec inline_pieces[SE_MESSAGE_INLINE_PIECES];

    /* Sent. */
    uint8_t header[SE_MESSAGE_HEADER_SIZE_MAX]; /* lent, like the message's bytes */
    size_t header_size;
    uint64_t out_bytes; /* counted in send_bytes */
    uint64_t tag;
    uint64_t deadline_ns;             /* SB_NEVER: none */
    uint64_t peer_error;              /* of STOP_SENDING or RESET_STREAM */
    enum spate_message_fate fate;     /* why it ends without an answer; 0: not known */
    enum spate_message_fate out_fate; /* READY */
};

struct spate_messenger {
    struct se_task task;
    struct spate_shard *shard;
    struct spate_conn *conn; /* NULL after its CLOSED */
    struct spate_messenger_options options;
    struct sb_link all;
    struct sb_link incoming; /* not whole, in the order of their beginning */
    struct sb_link holding;  /* HELD with slices, which hold the peer's credit */
    struct sb_link ready;
    struct sb_link results;
    struct sb_link deadlines;
    struct se_exchange *exempt; /* not whole, and may pass receive_bytes_max; NULL: none */
    struct se_order *channels;  /* options.channels_max of them, from channel 1 on */
    uint64_t receive_bytes;     /* sum of in_charged */
    uint64_t held_bytes;        /* of these: of messages that are READY or TAKEN */
    uint64_t send_bytes;
    uint64_t fresh_ns; /* when those with slices are looked at; SB_NEVER: there are none */
    bool wants_room;   /* spate_message_send() returned -EAGAIN */
    bool has_room;     /* ROOM is to be reported */
    bool has_waiting;  /* one may be WAITING, or keep slices until there is room */
    bool has_made_room;
    uint64_t moved_ns; /* when something was placed, delivered or refused last, could move as far as
                          a look found, or began to wait */
    uint64_t stall_ns; /* when those that wait are looked at; SB_NEVER: none waits */
    bool is_destroyed; /* the application has; it lives on until the connection has ended */
    uint64_t conn_id;
    uint64_t armed_ns; /* what the timer is set to */
    size_t bytes;      /* charged to the shard's memory, with the places of channels */
    struct spate_messenger_stats counts;
};

/* ---- messenger.c ---- */

/* Counts memory that the messenger has taken, or given back if `bytes` is negative, for its
 * connection, if that still exists: so shard_memory.c knows who holds it. */
void se_messenger_count(const struct spate_messenger *messenger, int64_t bytes);
/* Makes an exchange, or returns NULL without memory. */
struct se_exchange *se_exchange_make(struct spate_messenger *messenger, uint64_t stream_id);
/* Frees the exchange if nobody needs it any more. */
void se_exchange_settle(struct se_exchange *exchange);
/* Closes the connection: the peer has broken the rules. */
void se_messenger_fail(struct spate_messenger *messenger, const char *reason);
/* Sets the timer to what is due next. */
void se_messenger_arm(struct spate_messenger *messenger);
struct se_order *se_messenger_channel(struct spate_messenger *messenger, uint32_t channel);
/* As se_order_put(), and counts what the channel allocates. */
SB_MUST_USE enum se_order_result se_messenger_put(struct spate_messenger *messenger,
                                                  struct se_order *channel, uint64_t sequence,
                                                  void *item);

/* ---- incoming.c ---- */

void se_incoming_opened(struct spate_messenger *messenger, uint64_t stream_id);
/* Takes the slice.  `exchange` may be NULL: the message was refused. */
void se_incoming_slice(struct spate_messenger *messenger, struct se_exchange *exchange,
                       struct spate_slice slice, bool fin);
/* The first bytes of a message, perhaps all, for which se_incoming_opened() had no memory.  They
 * stay the caller's. */
void se_incoming_unplaced(struct spate_messenger *messenger, uint64_t stream_id,
                          struct sb_bytes first);
void se_incoming_placed(struct se_exchange *exchange, const struct spate_event *event);
void se_incoming_reset(struct se_exchange *exchange, uint64_t error);
void se_incoming_datagram(struct spate_messenger *messenger, struct spate_slice slice);
/* The stream has ended: what is not whole never will be. */
void se_incoming_end(struct se_exchange *exchange);
/* The connection has ended: whole messages wait no longer for those that are missing. */
void se_incoming_closed(struct spate_messenger *messenger);
/* Gives back slices that were kept for long enough, and lends memory in their place. */
void se_incoming_run(struct spate_messenger *messenger, uint64_t now_ns);
/* Gives slices back and lends memory to those that wait, as far as there is room. */
void se_incoming_feed(struct spate_messenger *messenger);
/* Frees what an exchange has received. */
void se_incoming_free(struct se_exchange *exchange);
/* Refuses what is not whole.  The exchange stays until its stream is closed. */
void se_incoming_refuse(struct se_exchange *exchange, enum spate_message_error error);

/* ---- stall.c ---- */

/* Something waits, or soon may: from now on se_stall_run() looks after it, if it does not yet. */
void se_stall_arm(struct spate_messenger *messenger);
/* Refuses a message, or closes the connection, if nothing has moved for too long. */
void se_stall_run(struct spate_messenger *messenger, uint64_t now_ns);

/* ---- outgoing.c ---- */

void se_outgoing_sent(struct se_exchange *exchange, bool is_acked);
/* The stream has ended: nothing more comes back. */
void se_outgoing_end(struct se_exchange *exchange);
void se_outgoing_datagrams(struct spate_messenger *messenger,
                           const struct spate_datagram_result *results, size_t count);
void se_outgoing_stopped(struct se_exchange *exchange, uint64_t error);
/* Gives up what has expired. */
void se_outgoing_run(struct spate_messenger *messenger, uint64_t now_ns);
/* Reports room if somebody waits for it and there is some. */
void se_outgoing_room(struct spate_messenger *messenger, bool is_certain);

#endif
