/* SPDX-License-Identifier: MIT */
#ifndef SPATE_CHANNEL_H
#define SPATE_CHANNEL_H

#include <string.h>

#include <spate/base.h>
#include <spate/conn.h>
#include <spate/engine.h>
#include <spate/event.h>
#include <spate/resume.h>
#include <spate/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A channel lets a thread that does not run a shard use connections of that shard: a pair of
 * bounded queues, commands in and results out, without locks.  Commands and results name
 * connections by their IDs.
 *
 *     spate_channel_create(shard, NULL, &channel, &error);
 *     spate_channel_connect(channel, &options, NULL, tag);        a command, and perhaps more
 *     spate_channel_flush(channel);                             they are on their way
 *     repeat:
 *       spate_channel_wait(channel, SPATE_FOREVER);               or poll spate_channel_fd()
 *       results = spate_channel_results(channel, &count);         answers and events
 *     spate_channel_close(channel, 0);                            the last result is SHUTDOWN
 *     spate_channel_destroy(channel);
 *
 * Each function that queues a command returns at once: 0 if the command is queued, and a negative
 * errno if it is not.  spate_channel_flush() shows the shard what is queued, and so does each
 * function that takes results or waits for them.  Commands are executed in their order.  A command
 * that is queued gets exactly one answer, which carries its tag, unless its function says that it
 * gets none.  This holds when the shard ends as well: the answer is -ESHUTDOWN then.  Events with
 * slices that were not taken before are dropped, because their memory goes with the shard.
 *
 * The connections that the channel has opened, and those of spate_conn_hand_over(), belong to it:
 * all their events come as results.  spate_shard_conn() does not find them.
 *
 * Nothing is lost when a queue is full.  If commands_max commands have no answer yet, further ones
 * are refused with -EAGAIN.  If results_max events have not been taken, further ones stay in their
 * connections, and peers get no credit for what has not been delivered.  An answer always has room.
 * A shutdown of the shard ends after the channel's connections: take results meanwhile.
 *
 * While the shard is awake, a command makes no system call.  While the channel's thread does not
 * wait, results make none.
 *
 * A channel has one owner: the functions that take it may be called by one thread at a time.  They
 * are not called while spate_engine_destroy() runs.  Before and after that they may be called: when
 * the shard has ended, commands return -ESHUTDOWN. */
struct spate_channel;

/* How to make a channel.  Zero, set `size` to the size of the struct, then what is needed. */
struct spate_channel_options {
    size_t size;
    uint32_t commands_max; /* commands without an answer: 1 to 65,536.  0: 1,024 */
    uint32_t results_max;  /* events that wait for the channel's thread: 1 to 65,536.  0: 1,000 */
};

/* What a result answers. */
enum spate_command {
    SPATE_COMMAND_NONE,       /* no command: the result is an event */
    SPATE_COMMAND_CONNECT,    /* spate_channel_connect() */
    SPATE_COMMAND_CONN_CLOSE, /* spate_channel_conn_close() */
    SPATE_COMMAND_OPEN,       /* spate_channel_stream_open() */
    SPATE_COMMAND_SEND,       /* spate_channel_stream_send(), spate_channel_stream_sendv() */
    SPATE_COMMAND_RESET,      /* spate_channel_stream_reset(), spate_channel_stream_reset_at() */
    SPATE_COMMAND_STOP,       /* spate_channel_stream_stop() */
    SPATE_COMMAND_SET_USER,   /* spate_channel_stream_set_user() */
    SPATE_COMMAND_DATAGRAM,   /* spate_channel_datagram_send() */
    SPATE_COMMAND_RECEIVE,    /* spate_channel_stream_receive_into() */
    SPATE_COMMAND_PRIORITY,   /* spate_channel_stream_set_priority() */
    SPATE_COMMAND_PROGRESS,   /* spate_channel_stream_progress() */
    SPATE_COMMAND_STATS,      /* spate_channel_conn_stats() */
};

/* An answer to a command, or an event of a connection.  The layout is frozen: 128 bytes on a 64-bit
 * system.  Ignore commands and kinds of events that you do not know. */
struct spate_result {
    enum spate_command command;
    int result;       /* of a command: 0 or a negative errno.  Of SPATE_EVENT_SHUTDOWN: why the
                         channel has ended, 0 after spate_channel_close() */
    uint64_t tag;     /* of a command */
    uint64_t conn_id; /* the connection; 0: none */
    /* `conn` is always NULL.  Of a command: `kind` is SPATE_EVENT_NONE, or SPATE_EVENT_SENT for a
     * SEND whose bytes were queued; stream_id is the stream's, and u.placed.offset of a RECEIVE
     * where its memory begins.  Events do not come in batches. */
    struct spate_event event;
    enum spate_datagram_fate fate; /* of a DATAGRAM whose `result` is 0 */
    uint8_t reserved[4];           /* zero */
};

/* The stream that the last spate_channel_stream_open() of the channel has opened.  So a request can
 * be queued together with the command that opens its stream. */
#define SPATE_STREAM_LAST UINT64_MAX

/* Makes a channel to a shard.  A shard has at most 64 channels.
 *
 *   options  Copied.  NULL: the defaults.
 *   *ret     Owned by the caller until spate_channel_destroy().  Untouched on failure.
 *   error    Names what is wrong on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL     A value of `options` is out of range, or its size is wrong.
 *   -E2BIG      A field of `options` is set that this library is too old to know.
 *   -EMFILE     The shard has 64 channels.
 *   -ENOMEM     There is not enough memory.
 *   -ESHUTDOWN  The shard has ended: the engine was stopped, or the shard's ring has failed.
 *
 * Threads: any. */
SPATE_API int spate_channel_create(struct spate_shard *shard,
                                   const struct spate_channel_options *options,
                                   struct spate_channel **ret, struct spate_error *error);

/* Ends a channel in order: closes its connections after all commands that are queued, and refuses
 * new ones but spate_channel_release().  Answers and events follow.  SPATE_EVENT_SHUTDOWN is the
 * last result: it comes when all connections have ended, each command was answered, and each slice
 * was released.  Further calls do nothing.
 *
 *   error  An application error code for the connections; below 2^62, higher bits are cut off.
 *
 * Threads: any, one at a time per channel. */
SPATE_API void spate_channel_close(struct spate_channel *channel, uint64_t error);

/* Frees a channel.  If SPATE_EVENT_SHUTDOWN has not been taken, the channel's connections are
 * closed with the error 0 first; results that were not taken are dropped, commands that were not
 * executed as well, and all memory that was lent belongs to the caller again when the function
 * returns.  The function then waits until the shard's next turn begins, unless the calling thread
 * runs the shard.  Slices must have been released before: their memory stays in use until the
 * engine is destroyed otherwise.
 *
 *   channel  NULL is accepted.
 *
 * Threads: any, one at a time per channel. */
SPATE_API void spate_channel_destroy(struct spate_channel *channel);

/* Queues a command that starts to connect to a server, as spate_shard_connect_with() does.  The
 * answer has the connection's ID, or a negative errno of spate_shard_connect_with().
 * SPATE_EVENT_CONNECTED reports success later, SPATE_EVENT_CLOSED reports failure.
 *
 *   options  On success it is lent until the answer, with all that it points to: do not change or
 *            free it before.
 *   error    On success it is lent until the answer, and filled in if the connection cannot begin;
 *            may be NULL.
 *   tag      Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EINVAL     `options` is NULL.
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_connect(struct spate_channel *channel,
                                    const struct spate_connect_options *options,
                                    struct spate_error *error, uint64_t tag);

/* Queues a command that closes a connection, as spate_conn_close() does.  The answer is 0, or
 * -ENOTCONN if the connection has ended or is not the channel's.  SPATE_EVENT_CLOSED follows.
 *
 *   error   Below 2^62; higher bits are cut off.
 *   reason  Text for a person.  On success it is lent until the answer; may be NULL.
 *   tag     Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_conn_close(struct spate_channel *channel, uint64_t conn_id,
                                       uint64_t error, const char *reason, uint64_t tag);

/* Queues a command that opens a stream.  The answer has its ID in event.stream_id, or a negative
 * errno of spate_stream_open().
 *
 *   is_uni  True: unidirectional, for sending only.  False: bidirectional.
 *   user    stream_user of the stream's events.
 *   tag     Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_open(struct spate_channel *channel, uint64_t conn_id,
                                        bool is_uni, void *user, uint64_t tag);

/* Queues a command that queues bytes on a stream without copying them, as spate_stream_send() does.
 * The answer comes when the bytes belong to the caller again: its event is SPATE_EVENT_SENT, or
 * `result` is a negative errno of spate_stream_send().
 *
 *   stream_id  The stream, or SPATE_STREAM_LAST.  If the last spate_channel_stream_open() has
 *              failed, or has named another connection, the answer to SPATE_STREAM_LAST is
 *              -EPIPE.
 *   data       On success it is lent until the answer.  May be NULL if `size` is 0.
 *   size       1 to SPATE_SEND_SIZE_MAX bytes.  0 is allowed if `fin` is set.
 *   fin        True: the sending side ends after these bytes.
 *   tag        Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EINVAL     `size` is out of range, or `data` is NULL.
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_send(struct spate_channel *channel, uint64_t conn_id,
                                        uint64_t stream_id, const void *data, size_t size, bool fin,
                                        uint64_t tag);

/* Queues a command that queues several pieces on a stream without copying them, as
 * spate_stream_sendv() does: one write, with one answer, like that of spate_channel_stream_send().
 *
 *   stream_id  The stream, or SPATE_STREAM_LAST: see spate_channel_stream_send().
 *   pieces     On success the array and all pieces are lent until the answer.  May be NULL if
 *              `count` is 0.
 *   count      Entries in `pieces`: 0 to SPATE_SENDV_COUNT_MAX.
 *   fin        True: the sending side ends after these bytes.
 *   tag        Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EINVAL     There are too many pieces, or `pieces` is NULL.  Other mistakes are answers.
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_sendv(struct spate_channel *channel, uint64_t conn_id,
                                         uint64_t stream_id, const struct iovec *pieces,
                                         size_t count, bool fin, uint64_t tag);

/* Queues a command that lends memory to receive a stream into, as spate_stream_receive_into() does:
 * buffer[0] is for the first byte of the stream that was not delivered before.  The answer is what
 * that function returns; on success its event.u.placed.offset is the offset of buffer[0] in the
 * stream.  Then bytes of the stream come by SPATE_EVENT_STREAM_PLACED.
 *
 * Results that were made before the answer may hold bytes of the stream as slices: those before the
 * offset.  For a stream of the peer's lend memory when its SPATE_EVENT_STREAM_OPENED is taken; for
 * one of ours together with the command that opens it.
 *
 *   stream_id  The stream, or SPATE_STREAM_LAST: see spate_channel_stream_send().
 *   buffer     On success it is lent until the answer; if that is 0, until a result with
 *              SPATE_EVENT_STREAM_PLACED and `tag` has is_returned set, or SPATE_EVENT_SHUTDOWN is
 *              taken, or spate_channel_destroy() returns.  Bytes that a result reports may be read
 *              at once and do not change.
 *   size       Bytes in `buffer`: 1 to 2^62 - 1.
 *   tag        Returned in the answer, and in u.placed.tag of each event of this buffer.
 *
 * Returns 0, or:
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_receive_into(struct spate_channel *channel, uint64_t conn_id,
                                                uint64_t stream_id, void *buffer, size_t size,
                                                uint64_t tag);

/* Queues a command that changes the priority of the sending side of a stream, as
 * spate_stream_set_priority() does [RFC9218 4].  The answer is what that function returns.
 *
 *   stream_id       The stream, or SPATE_STREAM_LAST.
 *   urgency         0, the most urgent, to SPATE_URGENCY_MAX.
 *   is_incremental  True: streams of this urgency take turns.
 *   tag             Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_set_priority(struct spate_channel *channel, uint64_t conn_id,
                                                uint64_t stream_id, uint32_t urgency,
                                                bool is_incremental, uint64_t tag);

/* Queues a command that writes how far the sending side of a stream has come, as
 * spate_stream_progress_sized() does.  The answer is what that function returns.  For languages
 * other than C and C++, whose programs call spate_channel_stream_progress().
 *
 *   stream_id  The stream, or SPATE_STREAM_LAST.
 *   ret        On success of the call it is lent until the answer, and written if that is 0.
 *   size       Bytes that the program knows: its sizeof(struct spate_stream_progress).
 *   tag        Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EINVAL     `ret` is NULL.
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_progress_sized(struct spate_channel *channel, uint64_t conn_id,
                                                  uint64_t stream_id,
                                                  struct spate_stream_progress *ret, size_t size,
                                                  uint64_t tag);

/* Queues a command that writes how far the sending side of a stream has come: see
 * spate_channel_stream_progress_sized(), whose results it has.  It is inline, so that a program
 * gets the fields that it was compiled with.  Threads: any, one at a time per channel. */
static inline int spate_channel_stream_progress(struct spate_channel *channel, uint64_t conn_id,
                                                uint64_t stream_id,
                                                struct spate_stream_progress *ret, uint64_t tag)
{
    return spate_channel_stream_progress_sized(channel, conn_id, stream_id, ret, sizeof(*ret), tag);
}

/* Queues a command that writes the counters of a connection, as spate_conn_stats_sized() does.  The
 * answer is 0, or -ENOTCONN if the connection has ended or is not the channel's.  For languages
 * other than C and C++, whose programs call spate_channel_conn_stats().
 *
 *   ret   On success of the call it is lent until the answer, and written if that is 0.
 *   size  Bytes that the program knows: its sizeof(struct spate_conn_stats).
 *   tag   Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EINVAL     `ret` is NULL.
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_conn_stats_sized(struct spate_channel *channel, uint64_t conn_id,
                                             struct spate_conn_stats *ret, size_t size,
                                             uint64_t tag);

/* Queues a command that writes the counters of a connection: see spate_channel_conn_stats_sized(),
 * whose results it has.  It is inline, so that a program gets the fields that it was compiled with.
 * Threads: any, one at a time per channel. */
static inline int spate_channel_conn_stats(struct spate_channel *channel, uint64_t conn_id,
                                           struct spate_conn_stats *ret, uint64_t tag)
{
    return spate_channel_conn_stats_sized(channel, conn_id, ret, sizeof(*ret), tag);
}

/* Queues a command that abandons the sending side of a stream except its first bytes, as
 * spate_stream_reset_at() does.  The answer is what that function returns.
 * [draft-ietf-quic-reliable-stream-reset]
 *
 *   stream_id      The stream, or SPATE_STREAM_LAST.
 *   error          An application error code below 2^62.
 *   reliable_size  Bytes from the start of the stream, at most those that commands before this one
 *                  have queued.  0 does what spate_channel_stream_reset() does.
 *   tag            Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_reset_at(struct spate_channel *channel, uint64_t conn_id,
                                            uint64_t stream_id, uint64_t error,
                                            uint64_t reliable_size, uint64_t tag);

/* Queues a command that abandons the sending side of a stream, as spate_stream_reset() does.  The
 * answer is what that function returns.
 *
 *   stream_id  The stream, or SPATE_STREAM_LAST.
 *   error      An application error code below 2^62.
 *   tag        Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_reset(struct spate_channel *channel, uint64_t conn_id,
                                         uint64_t stream_id, uint64_t error, uint64_t tag);

/* Queues a command that asks the peer to stop sending on a stream, as spate_stream_stop() does.
 * The answer is what that function returns.  Results before the answer may hold bytes of the
 * stream: release their slices.  No result after it does.
 *
 *   stream_id  The stream, or SPATE_STREAM_LAST.
 *   error      An application error code below 2^62.
 *   tag        Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_stop(struct spate_channel *channel, uint64_t conn_id,
                                        uint64_t stream_id, uint64_t error, uint64_t tag);

/* Queues a command that sets the pointer that events of a stream carry as stream_user, as
 * spate_stream_set_user() does: for streams that the peer has opened.  Results before the answer
 * may carry the pointer before.  The answer is what that function returns.
 *
 *   stream_id  The stream, or SPATE_STREAM_LAST.
 *   user       The library does not use it; may be NULL.
 *   tag        Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_stream_set_user(struct spate_channel *channel, uint64_t conn_id,
                                            uint64_t stream_id, void *user, uint64_t tag);

/* Queues a command that sends a message, as spate_conn_datagram_send() does.  [RFC9221 5]  The
 * answer has its fate, or a negative errno of spate_conn_datagram_send().
 *
 *   data         On success it is lent until the answer.  May be NULL if `size` is 0.
 *   size         Bytes at `data`.
 *   deadline_ns  A message that was not sent by this time of CLOCK_MONOTONIC is dropped.
 *                SPATE_FOREVER: none.
 *   flags        0 or values of enum spate_datagram_flags.  With SPATE_DATAGRAM_SILENT there is no
 *                answer, not even to a message that cannot be queued: the bytes must never change.
 *                With SPATE_DATAGRAM_COPY the bytes are copied when the command is executed; they
 *                are lent until the answer all the same.
 *   tag          Returned in the answer; the library does not use it.
 *
 * Returns 0, or:
 *   -EINVAL     `data` is NULL and `size` is not 0, or `flags` has an unknown value.  Or both flags
 *               are set: nobody would know when the bytes have been copied.
 *   -EAGAIN     commands_max commands have no answer yet, or wait to be executed: take results.
 *   -ESHUTDOWN  The channel was closed, or the shard has ended.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_datagram_send(struct spate_channel *channel, uint64_t conn_id,
                                          const void *data, size_t size, uint64_t deadline_ns,
                                          unsigned flags, uint64_t tag);

/* Queues a command that releases received bytes, as spate_slice_release() does.  It gets no answer.
 * It may be called after spate_channel_close().
 *
 *   slice  From a result of this channel.  On success it is zeroed, and its memory must not be used
 *          any more.  On failure it stays the caller's.
 *
 * Returns 0, or:
 *   -EAGAIN  commands_max commands wait to be executed: try again later.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_release(struct spate_channel *channel, struct spate_slice *slice);

/* Shows the shard the commands that are queued, and wakes it if it sleeps.  Many commands cost
 * little more than one: call it after the last of them.  After each 32 commands it happens by
 * itself. Without commands the call does nothing.
 *
 * Threads: any, one at a time per channel. */
SPATE_API void spate_channel_flush(struct spate_channel *channel);

/* Returns the next results, the oldest first: answers, and events of the channel's connections.
 * The events of one stream come in the order in which they happened.
 *
 *   *ret_count  How many results there are; may be 0.
 *
 * The results, and the text and bytes that they point to, are valid until the next call of
 * spate_channel_results(), spate_channel_wait(), spate_channel_prepare() or
 * spate_channel_destroy(): copy the slices that you keep.  A call may return fewer results than
 * there are: call until there are none.
 *
 * Threads: any, one at a time per channel. */
SPATE_API const struct spate_result *spate_channel_results(struct spate_channel *channel,
                                                           uint32_t *ret_count);

/* Waits until there are results, or after -EAGAIN for lack of room, until there is room for another
 * command.  Does not wait if that is so already.
 *
 *   wait_ns  The longest wait in nanoseconds.  0: do not wait.  SPATE_FOREVER: no limit.
 *
 * Returns 0, or:
 *   -ETIMEDOUT  No results came in `wait_ns`.
 *   -EINTR      A signal handler ran meanwhile.
 *   -EMFILE     The process has no file descriptor left.
 *   -ENFILE     The system has no file descriptor left.
 *   -ENOMEM     The kernel has no memory for a descriptor.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_wait(struct spate_channel *channel, uint64_t wait_ns);

/* Returns a descriptor by which an event loop sees that there are results: epoll, libuv, GLib or
 * poll() waits until it is readable.  Call spate_channel_prepare() before each poll, and
 * spate_channel_results() after it.  The descriptor belongs to the channel and is valid until
 * spate_channel_destroy(): do not read from it, close it, or poll it edge-triggered.
 *
 * Returns the descriptor, or:
 *   -EMFILE  The process has no file descriptor left.
 *   -ENFILE  The system has no file descriptor left.
 *   -ENOMEM  The kernel has no memory for a descriptor.
 *
 * Threads: any, one at a time per channel. */
SPATE_API int spate_channel_fd(struct spate_channel *channel);

/* Prepares a poll of spate_channel_fd().  Returns true if spate_channel_wait() would not wait: take
 * the results and do not poll.  Returns false otherwise: the descriptor becomes readable when the
 * wait would end.  Returns true if spate_channel_fd() was not called before.
 *
 * Threads: any, one at a time per channel. */
SPATE_API bool spate_channel_prepare(struct spate_channel *channel);

/* Makes a connection belong to a channel of its shard: for a server whose connections are served by
 * other threads.  Call it while handling the connection's SPATE_EVENT_CONNECTED, before any other
 * function was called for it but spate_conn_set_user() and those that read.  The channel gets a
 * SPATE_EVENT_CONNECTED with the connection's ID and user pointer.  On success the connection's
 * pointer must not be used any more.
 *
 * Returns 0, or:
 *   -EINVAL     The channel is of another shard.
 *   -EBUSY      Events of the connection may be queued, because SPATE_EVENT_CONNECTED is not being
 *               handled; or a stream was opened, or a message sent; or it is one of a pool.
 *   -ENOTCONN   The connection is closed.
 *   -EAGAIN     results_max events wait in the channel: keep the connection, or close it.
 *   -ESHUTDOWN  The channel was closed.
 *
 * Threads: shard. */
SPATE_API int spate_conn_hand_over(struct spate_conn *conn, struct spate_channel *channel);

#ifdef __cplusplus
}
#endif

#endif
