/* SPDX-License-Identifier: MIT */
#ifndef SPATE_MESSAGE_H
#define SPATE_MESSAGE_H

#include <string.h>
#include <sys/socket.h>

#include <spate/base.h>
#include <spate/conn.h>
#include <spate/datagram.h>
#include <spate/event.h>
#include <spate/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Messages over a connection, for programs that want "message in, message out" and no streams.  A
 * message has any size up to a maximum and arrives whole.  It needs no other one: a large or a lost
 * one delays nobody.  A request is a message that gets a reply.
 *
 *     each event of the connection:  spate_messenger_event(), which takes it if it is about streams
 *                                    or DATAGRAM frames
 *     after each batch of events:    spate_messenger_next() until it returns false
 *     any time:                      spate_message_send(), spate_message_reply()
 *
 * A messenger owns all streams and DATAGRAM frames of its connection.  Make it when handling the
 * connection's SPATE_EVENT_CONNECTED, and pass it every event until SPATE_EVENT_CLOSED.  Both sides
 * have one, or speak the same bytes:
 *
 *     message      a unidirectional stream:  header, bytes, end of the stream
 *     request      a bidirectional stream:   header, bytes, end; the other direction is the reply:
 *                                            bytes, end, without a header
 *     unreliable   a DATAGRAM frame: the bytes alone
 *     header       a varint [RFC9000 16]: the channel; and if that is not 0 another one: the number
 *                  of the message in its channel and direction, from 0
 *
 * Bytes are not copied: small messages are slices of what was received, and the bytes of larger
 * ones are decrypted into memory that grows with the message.  What had come before that, at most
 * what arrived in one turn of the shard, is copied if it is more than half of the stream's window,
 * or if the message is not whole a millisecond later; and also what stream.h names for lent memory.
 *
 * Slices hold the peer's credit, of the connection too, until spate_message_release().  A program
 * that keeps many messages thus holds the peer back, before receive_bytes_max is reached, when the
 * small ones among them fill the connection's window. */
struct spate_messenger;

/* Application error codes that a messenger sends. */
enum spate_message_error {
    SPATE_MESSAGE_ERROR_CANCELLED = 0x53500001, /* streams: given up by its sender, or refused by
                                                   spate_message_cancel() */
    SPATE_MESSAGE_ERROR_EXPIRED = 0x53500002,   /* streams: its deadline has passed */
    SPATE_MESSAGE_ERROR_BUSY = 0x53500003,      /* streams: refused for lack of memory; the
                                                   connection: whole messages that wait for an
                                                   earlier one of their channel hold all memory and
                                                   credit that it needs, or there is no memory to
                                                   keep the order of a channel */
    SPATE_MESSAGE_ERROR_TOO_LARGE = 0x53500004, /* streams: larger than message_size_max */
    SPATE_MESSAGE_ERROR_PROTOCOL = 0x53500005,  /* the connection: a malformed header, a number that
                                                   came before */
};

/* How a messenger works.  Each comment ends with the default and the range. */
struct spate_messenger_options {
    size_t size; /* sizeof(struct spate_messenger_options): set by the function below */
    /* Bytes of a received message.  A larger one is refused: TOO_LARGE.  A larger unreliable one is
     * dropped, and counted in `refused`.  Default 16 MiB; 1 to 1 TiB. */
    uint64_t message_size_max;
    /* Memory of received messages that are not whole yet, or that were not released.  At the limit
     * the peer's flow control holds further bytes back.  If no whole message is there to be
     * released, one message may still grow, so that it is passed by message_size_max at most.  If
     * others use up the peer's credit, so that this one cannot go on, and nothing moves for 250 ms,
     * or for 8 round trips where those take longer, the message that began last is refused: BUSY.
     * Silence is no reason: as long as the peer has credit, in an outage of the path too, messages
     * wait for it, until the connection ends by its idle timeout or a deadline of the sender's
     * passes.  Each message may have a first buffer of 16 KiB in any case, and as much copied of
     * what came before it.  Beyond that, and for small messages that are whole, slices are held
     * beyond the limit: the connection's window bounds them.
     * Unreliable messages need no credit: those that come at the limit are dropped, and counted in
     * `refused`. Default 64 MiB; 64 KiB to 1 TiB. */
    uint64_t receive_bytes_max;
    /* Bytes of messages that were sent and not acknowledged.  At the limit spate_message_send()
     * returns -EAGAIN; a single message may be larger.  Default 16 MiB; 1 to 1 TiB. */
    uint64_t send_bytes_max;
    /* Channels, in each direction.  A peer that uses a larger number is closed with PROTOCOL.  One
     * in which messages have come too early takes 16 KiB of memory, and without memory for that the
     * connection is closed with BUSY.
     * Default 16; 0 to 1,024. */
    uint32_t channels_max;
    uint8_t reserved[4]; /* no padding; ignored */
};

/* Sets `size` and the defaults.
 *
 *   options  In any state.
 *
 * Threads: any. */
static inline void spate_messenger_options_init(struct spate_messenger_options *options)
{
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
    options->message_size_max = (uint64_t)16 << 20;
    options->receive_bytes_max = (uint64_t)64 << 20;
    options->send_bytes_max = (uint64_t)16 << 20;
    options->channels_max = 16;
}

/* Makes the messenger of a connection, when its SPATE_EVENT_CONNECTED is handled.
 *
 *   options  Copied; NULL: the defaults.
 *   *ret     Owned by the caller until spate_messenger_destroy().  spate_engine_destroy() frees it
 *            too: do not use it afterwards.  Untouched on failure.
 *   error    Names the field on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL  A value is out of range, or spate_messenger_options_init() was not called.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOMEM  There is not enough memory within memory_bytes_max.
 *
 * Threads: shard. */
SPATE_API int spate_messenger_create(struct spate_conn *conn,
                                     const struct spate_messenger_options *options,
                                     struct spate_messenger **ret, struct spate_error *error);

/* Frees the messenger.  Destroy it after SPATE_EVENT_CLOSED: bytes that were lent by
 * spate_message_send() are the caller's again only then.  Received messages that were not released
 * become invalid.
 *
 *   messenger  NULL is accepted.
 *
 * Threads: shard. */
SPATE_API void spate_messenger_destroy(struct spate_messenger *messenger);

/* Takes an event of the connection.  Returns true if it was about streams or DATAGRAM frames: then
 * it has been dealt with, and its slices belong to the messenger.  Returns false for all other
 * events, which are the program's; SPATE_EVENT_CLOSED must be passed too.
 *
 * Threads: shard. */
SPATE_API bool spate_messenger_event(struct spate_messenger *messenger,
                                     const struct spate_event *event);

/* What spate_messenger_next() returns. */
enum spate_message_kind {
    SPATE_MESSAGE_RECEIVED = 1, /* a message of the peer */
    SPATE_MESSAGE_REQUEST,      /* a message of the peer that wants a reply */
    SPATE_MESSAGE_REPLY,        /* the reply to one of our requests */
    SPATE_MESSAGE_FAILED,       /* no reply to one of our requests will come: `fate` */
    SPATE_MESSAGE_SENT,         /* the bytes of one of our messages come back: `fate` */
    SPATE_MESSAGE_ROOM,         /* spate_message_send() returned -EAGAIN and may succeed now */
};

/* What became of a message of ours, or of a reply to it. */
enum spate_message_fate {
    SPATE_MESSAGE_ACKED = 1, /* the peer has it.  Unreliable: its QUIC has it */
    SPATE_MESSAGE_LOST, /* the connection has ended, or an unreliable one was lost: the peer may
                           have it all the same */
    SPATE_MESSAGE_CANCELLED, /* by spate_message_cancel() */
    SPATE_MESSAGE_EXPIRED,   /* its deadline has passed */
    SPATE_MESSAGE_REFUSED,   /* by the peer: see `error` */
};

/* A message, or what became of one.  Later versions add no fields: its layout is frozen. */
struct spate_message {
    enum spate_message_kind kind;
    enum spate_message_fate fate; /* FAILED, SENT */
    uint64_t id;    /* of a request and its reply: for spate_message_reply(), .._cancel().  It is
                       unique in the connection; UINT64_MAX: an unreliable message, or ROOM */
    uint64_t tag;   /* REPLY, FAILED, SENT: from spate_message_send() or spate_message_reply() */
    uint64_t error; /* SPATE_MESSAGE_REFUSED: the peer's application error code */
    /* RECEIVED, REQUEST, REPLY: the bytes, in order; valid until spate_message_release(). */
    const struct iovec *pieces;
    size_t piece_count;   /* may be 0 for an empty message */
    size_t size_bytes;    /* sum of all pieces */
    uint32_t channel;     /* 0: none */
    bool is_unreliable;   /* it came in a DATAGRAM frame, or was sent in one */
    uint8_t reserved[3];  /* 0 */
    void *private_handle; /* the library's */
};

/* Writes the next thing to know, and returns true; or returns false if there is none.  Call
 * spate_message_release() for each message with bytes, once you have read them.
 *
 * Threads: shard. */
SPATE_API bool spate_messenger_next(struct spate_messenger *messenger, struct spate_message *ret);

/* Gives back the memory of a received message: RECEIVED, REQUEST and REPLY.  Others are ignored, so
 * that it may be called for each.  A request can be answered after that.
 *
 *   message  From spate_messenger_next(); its pieces must not be used after this call.
 *
 * Threads: shard. */
SPATE_API void spate_message_release(struct spate_messenger *messenger,
                                     struct spate_message *message);

/* How to send a message.  Zero, set `size` to the size of the struct, then what is needed. */
struct spate_message_options {
    size_t size;
    uint64_t tag; /* returned by SENT, REPLY and FAILED; the library does not use it */
    /* Time of spate_shard_now_ns() after which the message is worth nothing: what was not sent is
     * given up, and so is the wait for a reply.  0 or SPATE_FOREVER: none.  Messages of a channel
     * are given up only if the peer knows RESET_STREAM_AT. */
    uint64_t deadline_ns;
    /* Messages of one channel arrive in order: 1 to channels_max; 0: no order.  One that was given
     * up or refused, or that was not whole when the connection ended, is left out: those after it
     * are delivered all the same, at the end by spate_messenger_next() after SPATE_EVENT_CLOSED. */
    uint32_t channel;
    /* 0: as usual, which is 4; 1, the most urgent, to 8: an urgency of spate_stream_set_priority(),
     * plus 1.  Messages of one priority are sent one after the other. */
    uint8_t priority;
    bool wants_reply;   /* it is a request */
    bool is_unreliable; /* send it in a DATAGRAM frame, if the peer takes such, and it fits;
                           otherwise on a stream.  Not with a channel or a reply */
    uint8_t reserved;   /* ignored */
};

/* The largest `count` of spate_message_send() and spate_message_reply(). */
#define SPATE_MESSAGE_PIECES_MAX 255

/* Sends a message without copying it.  Does not block and makes no system call.
 *
 *   pieces   On success the bytes are lent until SPATE_MESSAGE_SENT returns the tag: do not change
 *            or free them before.  The array may be freed at once.  On failure all stays the
 *            caller's.
 *   count    Entries in `pieces`: 0 to SPATE_MESSAGE_PIECES_MAX.
 *   options  Copied; NULL: a message without anything special.
 *   *ret_id  The ID, for spate_message_cancel().  Untouched on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EAGAIN     send_bytes_max is reached, or as many streams are open as the peer or
 *               streams_local_max allows, or 1,024 messages of the channel are on their way.
 *               SPATE_MESSAGE_ROOM follows.
 *   -EINVAL     There are too many pieces, or a piece with bytes is NULL, or a field of `options`
 *               is out of range or not allowed with another one.
 *   -E2BIG      The program set a field that this library does not know.
 *   -ENOBUFS    memory_bytes_max is reached: process events and try again later.
 *   -ENOTCONN   The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_message_send(struct spate_messenger *messenger, const struct iovec *pieces,
                                 size_t count, const struct spate_message_options *options,
                                 uint64_t *ret_id);

/* Sends the reply to a request, once, without copying it.
 *
 *   id      Of the SPATE_MESSAGE_REQUEST.
 *   pieces  Lent on success until SPATE_MESSAGE_SENT returns `tag`.
 *   count   Entries in `pieces`: 0 to SPATE_MESSAGE_PIECES_MAX.
 *   tag     Returned by SPATE_MESSAGE_SENT; the library does not use it.
 *
 * Returns 0, or:
 *   -EPIPE     There is no such request any more: the peer has given it up, or it was answered.
 *   -EINVAL    There are too many pieces, or a piece with bytes is NULL.
 *   -ENOBUFS   memory_bytes_max is reached: process events and try again later.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_message_reply(struct spate_messenger *messenger, uint64_t id,
                                  const struct iovec *pieces, size_t count, uint64_t tag);

/* Gives up a message of ours, with the reply that it waits for, or refuses a request of the peer.
 * The results follow: SENT, FAILED.
 *
 *   id  From spate_message_send(), or of the SPATE_MESSAGE_REQUEST.
 *
 * Returns 0, or:
 *   -EPIPE       There is no such message any more.
 *   -EOPNOTSUPP  It is in a channel, and the peer does not know RESET_STREAM_AT: others wait for
 *                it.
 *   -ENOTCONN    The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_message_cancel(struct spate_messenger *messenger, uint64_t id);

/* What a messenger counts, and how it is now. */
struct spate_messenger_stats {
    uint64_t received;          /* whole messages, requests and replies */
    uint64_t sent;              /* messages, requests and replies that were accepted */
    uint64_t refused;           /* received ones that were too large, or without memory for them */
    uint64_t abandoned;         /* received ones that the peer gave up before they were whole */
    uint64_t bytes_copied;      /* received bytes that were copied by the messenger */
    uint64_t incomplete_now;    /* received messages that are not whole yet */
    uint64_t waiting_now;       /* of incomplete_now: held back by receive_bytes_max */
    uint64_t receive_bytes_now; /* counted against receive_bytes_max */
    uint64_t send_bytes_now;    /* counted against send_bytes_max */
};

/* Writes the first `size` bytes of the counters that spate_messenger_stats() describes, and zeroes
 * for fields that this library does not have.  For languages other than C and C++, whose programs
 * call spate_messenger_stats().
 *
 *   *ret  Room for `size` bytes.
 *   size  Bytes that the program knows: its sizeof(struct spate_messenger_stats).
 *
 * Threads: shard. */
SPATE_API void spate_messenger_stats_sized(const struct spate_messenger *messenger,
                                           struct spate_messenger_stats *ret, size_t size);

/* Writes the messenger's counters and gauges.  It is inline, so that a program gets the fields that
 * it was compiled with.  Threads: shard. */
static inline void spate_messenger_stats(const struct spate_messenger *messenger,
                                         struct spate_messenger_stats *ret)
{
    spate_messenger_stats_sized(messenger, ret, sizeof(*ret));
}

#ifdef __cplusplus
}
#endif

#endif
