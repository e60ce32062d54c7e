/* SPDX-License-Identifier: MIT */
#ifndef SE_CHANNEL_H
#define SE_CHANNEL_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <spate/channel.h>

#include "engine/base/ring_spsc.h"
#include "proto/base/list.h"

/* A channel: what a thread and a shard share.
 *
 *     the channel's thread (channel_commands.c,       the shard (channel.c)
 *                           channel_api.c)
 *     command + slot --> requests ------------------> executed in a turn
 *     tag <-- slot <---- results  <------------------ answers, and events of connections
 *
 * A command that gets an answer has a slot from its call until its answer is taken.  The slot keeps
 * the tag.  There are as many slots as commands_max, and `results` has a cell for each of them
 * besides those of events: so an answer always has room.  If the shard ends, the channel's thread
 * itself answers the commands whose slots are in use.
 *
 * The numbers of bells and flags that cross, each with the store that it must come after:
 *
 *     the thread pushes a command   then reads its bit of channels_pending   (T1, T2)
 *     the shard takes the bits      then reads the requests                  (S1, S2)
 *     the shard publishes results   then reads bell_fd                       (S3, S4)
 *     the thread sets bell_fd       then reads the results                   (T3, T4)
 *     the thread frees results      then reads is_shard_waiting              (T5, T6)
 *     the shard sets is_shard_waiting  then reads the room                   (S5, S6)
 *     the shard frees requests      then reads is_thread_waiting             (S7, S8)
 *     the thread sets is_thread_waiting  then reads the room                 (T3, T4)
 *
 * In each pair a sequentially consistent fence stands between the two steps on both sides, so at
 * least one side sees what the other one has stored. */

struct spate_conn;
struct spate_shard;

enum {
    SE_CHANNELS_MAX = 64,         /* per shard: the bits of a word */
    SE_CHANNEL_QUEUE_MAX = 65536, /* commands_max and results_max */
    SE_COMMANDS_PER_TURN = 512,   /* per channel, so that they cannot stop the network */
    SE_CHANNEL_NO_BELL = -1,
    SE_CHANNEL_SLOTS_END = SE_CHANNEL_QUEUE_MAX, /* the end of a list of slots */
    /* What the shard is to do: a value of enum spate_command, or this. */
    SE_OP_RELEASE = SPATE_COMMAND_NONE,
};

#define SE_CHANNEL_UNDONE  (-ESHUTDOWN) /* the answer to a command that the shard has not given */
#define SE_CHANNEL_NO_SLOT UINT32_MAX   /* of a command that gets no answer */

/* Flags of a SEND. */
#define SE_SEND_FIN    1u
#define SE_SEND_PIECES 2u /* `data` is an array of `size` pieces */

struct se_command {
    uint32_t op;   /* enum spate_command, or SE_OP_RELEASE */
    uint32_t slot; /* or SE_CHANNEL_NO_SLOT */
    uint64_t conn_id;
    uint64_t stream_id;
    const void *data; /* bytes, pieces, options, text, a user pointer, the buffer of a slice, or
                         where to write */
    uint64_t size;    /* bytes, pieces, or a reliable size */
    uint64_t value;   /* an error code, a deadline, an urgency, or the tag of lent memory */
    uint32_t flags;   /* of a SEND or a datagram, is_uni, or is_incremental */
    uint32_t reserved;
    struct spate_error *error;
};

/* A command without an answer.  Of the channel's thread alone. */
struct se_channel_slot {
    uint64_t tag;
    uint64_t conn_id;
    uint64_t stream_id;
    uint32_t command; /* enum spate_command; NONE: free */
    uint32_t next_free;
};

/* The life of a channel, in order.  Only the shard's thread changes it. */
enum se_channel_state {
    SE_CHANNEL_OPEN,
    SE_CHANNEL_CLOSING, /* no commands but releases; connections end */
    SE_CHANNEL_ENDED,   /* the shard does not touch it any more, but for its reference */
};

struct spate_channel {
    /* Constant after spate_channel_create(). */
    struct spate_shard *shard;
    uint64_t bit; /* in the words of the shard */
    uint32_t index;
    uint32_t slot_count;
    uint32_t events_max;
    struct se_command *commands;
    struct spate_result *cells;
    struct se_channel_slot *slots;

    /* The channel's thread. */
    alignas(SB_CACHE_LINE) uint32_t slot_free;
    uint32_t unflushed_count; /* commands that the shard cannot see yet */
    uint32_t freed_first;     /* slots of the batch: free again when its cells are */
    uint32_t freed_last;
    uint32_t batch_first; /* what spate_channel_results() has handed out */
    uint32_t batch_count;
    int event_fd;      /* -1: not made yet */
    bool is_rung;      /* event_fd may be readable: bell_fd was set */
    bool is_refusing;  /* spate_channel_close() was called */
    bool has_reported; /* SPATE_EVENT_SHUTDOWN */
    bool is_full;      /* a command found no free cell since the last wait */

    struct se_spsc requests;
    struct se_spsc results;
    /* Events among the results that were freed.  Written after results.head. */
    _Atomic uint64_t events_freed;

    /* The shard's thread. */
    alignas(SB_CACHE_LINE) uint64_t events_pushed;
    struct sb_link event_pending; /* its connections that may have events */
    struct sb_link conns;         /* all of them, but for those in `closed` */
    struct sb_link closed;        /* those that spate_channel_close() has closed */
    uint32_t conn_count;
    uint64_t slices_out;   /* delivered and not released */
    uint64_t last_conn_id; /* of SPATE_STREAM_LAST */
    uint64_t last_stream_id;
    struct spate_result nowhere; /* an answer that nobody gets */
    bool is_connecting;          /* events of a new connection wait until its ID is reported */

    /* Both. */
    alignas(SB_CACHE_LINE) atomic_int bell_fd; /* where to ring; SE_CHANNEL_NO_BELL: it is awake */
    atomic_bool is_shard_waiting;              /* for room among the results */
    atomic_bool is_thread_waiting; /* for room among the requests: changes with bell_fd */
    atomic_bool is_close_wanted;   /* released after close_error was written */
    uint64_t close_error;
    atomic_bool is_detach_wanted; /* by spate_channel_destroy() */
    atomic_int state;             /* enum se_channel_state */
    int end_result;               /* written before ENDED is */
    atomic_uint ref_count;        /* one of each side */
};

/* The channels of a shard. */
struct se_channels {
    pthread_mutex_t lock; /* guards `has_ended` and `claimed`, and changes of `channels` */
    bool has_ended;
    uint64_t claimed; /* bit i: channels[i] is in use */
    /* Atomic: the shard reads without the lock, and may look for a channel that has just ended
     * while another thread puts a new one there.  P1: stored with release; C1: read with acquire.
     */
    _Atomic(struct spate_channel *) channels[SE_CHANNELS_MAX];
    /* The shard's thread. */
    uint64_t raised;      /* channels with connections in event_pending, and room */
    uint64_t unpublished; /* channels with results that their threads cannot see yet */
    uint64_t closing;     /* channels in SE_CHANNEL_CLOSING */
    /* Any thread: channels that have something for the shard. */
    alignas(SB_CACHE_LINE) _Atomic uint64_t pending;
};

/* What spate_conn.channel is for a connection whose channel has gone: its events are dropped. */
extern struct spate_channel se_channel_none;

static inline bool se_channel_is_gone(const struct spate_channel *channel)
{
    return channel == &se_channel_none;
}

/* Returns whether the shard does not touch the channel any more.  Threads: the channel's. */
static inline bool se_channel_has_ended(const struct spate_channel *channel)
{
    return atomic_load_explicit(&channel->state, memory_order_acquire) == SE_CHANNEL_ENDED;
}

void se_channels_init(struct se_channels *channels);
void se_channels_deinit(struct se_channels *channels);

/* Executes commands of channels.  Call once per turn. */
void se_channels_run(struct spate_shard *shard);

/* Moves events of connections to channels while they have room, and shows the results to their
 * threads. */
void se_channels_flush(struct spate_shard *shard);

/* Ends all channels: the shard runs no turn any more.  `error`: a negative errno.  Further calls do
 * nothing.  Threads: shard, or any after the last turn. */
void se_channels_end(struct spate_shard *shard, int error);

/* Lets go of a channel, now: see spate_channel_destroy().  Threads: shard. */
void se_channel_detach(struct spate_channel *channel);

/* Queues the answer to the command of a slot; the caller fills in the rest of it.  Without a slot
 * the answer goes nowhere. */
struct spate_result *se_channel_answer(struct spate_channel *channel, enum spate_command command,
                                       uint64_t slot, int result);

/* Makes a connection one of the channel. */
void se_channel_join(struct spate_channel *channel, struct spate_conn *conn);

/* Lets go of a connection: its events are dropped from now on. */
void se_channel_leave(struct spate_conn *conn);

/* Marks a connection of a channel: it may have events. */
void se_channel_raise(struct spate_conn *conn);

/* Moves events of a connection to its channel.  `may_take`: its events may be taken now. */
void se_channel_drain(struct spate_conn *conn, bool may_take);

/* Drops one of the two references, and frees the channel with the last one. */
void se_channel_unref(struct spate_channel *channel);

/* Returns the slice that an event has delivered, or NULL. */
const struct spate_slice *se_channel_slice_of(const struct spate_event *event);

/* Frees the memory that a result owns: of texts and bytes. */
void se_channel_free_result(const struct spate_result *result);

#endif
