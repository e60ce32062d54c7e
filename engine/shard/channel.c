/* SPDX-License-Identifier: MIT */
#include "engine/shard/channel.h"

/* The shard's side of channels: executes commands, and ends channels.
 *
 * Commands of a turn are executed before it sends, so that what they queue leaves with that turn's
 * system call.  Any number of them, from any number of channels, costs the shard one look at a word
 * while there are none. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <spate/conn.h>
#include <spate/datagram.h>
#include <spate/stream.h>

#include "engine/net/connect.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

enum {
    CLOSES_PER_TURN = 256, /* so that the end of a large channel does not stop the others */
};

void se_channels_init(struct se_channels *channels)
{
    (void)pthread_mutex_init(&channels->lock, NULL);
    atomic_init(&channels->pending, 0);
}

void se_channels_deinit(struct se_channels *channels)
{
    (void)pthread_mutex_destroy(&channels->lock);
}

/* Returns the channel of the lowest bit of `bits`, or NULL. */
static struct spate_channel *first_of(const struct se_channels *channels, uint64_t bits)
{
    return atomic_load_explicit(&channels->channels[__builtin_ctzll(bits)],
                                memory_order_acquire); /* C1 */
}

/* ---- Commands ---- */

static int connect_conn(struct spate_channel *channel, const struct se_command *command,
                        uint64_t *ret_id)
{
    struct spate_conn *conn;
    channel->is_connecting = true;
    int result = se_connect_given(channel->shard, command->data, channel, &conn, command->error);
    channel->is_connecting = false;
    if (result != 0)
        return result;
    se_channel_join(channel, conn);
    *ret_id = conn->id;
    return 0;
}

static int open_stream(struct spate_channel *channel, struct spate_conn *conn,
                       const struct se_command *command, uint64_t *ret_id)
{
    uint64_t id = SPATE_STREAM_LAST;
    int result = spate_stream_open(conn, command->flags != 0, &id);
    if (result == 0)
        result = spate_stream_set_user(conn, id, (void *)(uintptr_t)command->data);
    channel->last_conn_id = conn->id;
    channel->last_stream_id = id;
    *ret_id = id;
    return result;
}

/* What the answer to a command says besides its result. */
struct outcome {
    uint64_t conn_id;
    uint64_t stream_id;
    uint64_t offset; /* of lent memory */
    bool is_later;   /* on success the answer comes later */
};

static int send_on_stream(struct spate_conn *conn, uint64_t stream_id,
                          const struct se_command *command)
{
    bool fin = (command->flags & SE_SEND_FIN) != 0;
    if ((command->flags & SE_SEND_PIECES) != 0)
        return spate_stream_sendv(conn, stream_id, command->data, command->size, fin,
                                  command->slot);
    return spate_stream_send(conn, stream_id, command->data, command->size, fin, command->slot);
}

/* Executes a command about a stream.  Returns 0 or a negative errno. */
static int on_stream(struct spate_conn *conn, const struct se_command *command,
                     struct outcome *outcome)
{
    void *memory = (void *)(uintptr_t)command->data;
    uint64_t id = outcome->stream_id;
    if (id == SPATE_STREAM_LAST)
        return -EPIPE;
    switch (command->op) {
    case SPATE_COMMAND_SEND:
        outcome->is_later = true;
        return send_on_stream(conn, id, command);
    case SPATE_COMMAND_RESET:
        return spate_stream_reset_at(conn, id, command->value, command->size);
    case SPATE_COMMAND_STOP:
        return spate_stream_stop(conn, id, command->value);
    case SPATE_COMMAND_RECEIVE:
        return spate_stream_receive_into(conn, id, memory, command->size, command->value,
                                         &outcome->offset);
    case SPATE_COMMAND_PRIORITY:
        return spate_stream_set_priority(conn, id, (uint32_t)command->value, command->flags != 0);
    case SPATE_COMMAND_PROGRESS:
        return spate_stream_progress_sized(conn, id, memory, command->size);
    default:
        SB_ASSERT(command->op == SPATE_COMMAND_SET_USER);
        return spate_stream_set_user(conn, id, memory);
    }
}

/* Executes a command about a connection.  Returns 0 or a negative errno. */
static int on_conn(struct spate_channel *channel, const struct se_command *command,
                   struct outcome *outcome)
{
    struct spate_conn *conn = se_conn_of_id(channel->shard, command->conn_id);
    if (conn == NULL || conn->channel != channel)
        return -ENOTCONN;
    switch (command->op) {
    case SPATE_COMMAND_CONN_CLOSE:
        spate_conn_close(conn, command->value, command->data);
        return 0;
    case SPATE_COMMAND_OPEN:
        return open_stream(channel, conn, command, &outcome->stream_id);
    case SPATE_COMMAND_STATS:
        spate_conn_stats_sized(conn, (void *)(uintptr_t)command->data, command->size);
        return 0;
    case SPATE_COMMAND_DATAGRAM:
        outcome->is_later = true;
        return spate_conn_datagram_send(conn, command->data, command->size, command->slot,
                                        command->value, command->flags);
    default:
        if (outcome->stream_id == SPATE_STREAM_LAST && channel->last_conn_id == command->conn_id)
            outcome->stream_id = channel->last_stream_id;
        return on_stream(conn, command, outcome);
    }
}

static void release(struct spate_channel *channel, const struct se_command *command)
{
    struct spate_slice slice = {
        .size = command->size,
        .buffer = (void *)(uintptr_t)command->data,
        .conn_ref = command->conn_id,
        .stream_id = command->stream_id,
    };
    SB_ASSERT(slice.buffer == NULL || channel->slices_out > 0);
    channel->slices_out -= slice.buffer != NULL;
    spate_slice_release(channel->shard, &slice);
}

static void execute(struct spate_channel *channel, const struct se_command *command)
{
    struct outcome outcome = {.conn_id = command->conn_id, .stream_id = command->stream_id};
    int result;
    if (command->op == SE_OP_RELEASE) {
        release(channel, command);
        return;
    }
    if (atomic_load_explicit(&channel->state, memory_order_relaxed) != SE_CHANNEL_OPEN)
        result = -ESHUTDOWN;
    else if (command->op == SPATE_COMMAND_CONNECT)
        result = connect_conn(channel, command, &outcome.conn_id);
    else
        result = on_conn(channel, command, &outcome);
    if (result == 0 && outcome.is_later)
        return;
    struct spate_result *ret =
        se_channel_answer(channel, (enum spate_command)command->op, command->slot, result);
    ret->conn_id = outcome.conn_id;
    ret->event.stream_id = outcome.stream_id;
    if (command->op == SPATE_COMMAND_RECEIVE)
        ret->event.u.placed.offset = outcome.offset;
}

/* Wakes the thread, if it waits. */
static void ring_bell(struct spate_channel *channel)
{
    atomic_thread_fence(memory_order_seq_cst); /* S3 before S4 */
    if (atomic_load_explicit(&channel->bell_fd, memory_order_relaxed) == SE_CHANNEL_NO_BELL)
        return;
    int fd = atomic_exchange_explicit(&channel->bell_fd, SE_CHANNEL_NO_BELL, memory_order_acquire);
    uint64_t one = 1;
    ssize_t written = -1;
    if (fd == SE_CHANNEL_NO_BELL)
        return;
    do
        written = write(fd, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
    SB_ASSERT(written == (ssize_t)sizeof(one));
}

/* Executes the commands that are in sight, at most SE_COMMANDS_PER_TURN.  Does not look for further
 * ones: where both sides are busy each look takes a cache line from the other side.  Returns true
 * if none is left. */
static bool run_commands(struct spate_channel *channel)
{
    uint32_t left = SE_COMMANDS_PER_TURN;
    uint64_t first;
    uint32_t count;
    while (left > 0 && (count = se_spsc_take(&channel->requests, left, &first)) > 0) {
        for (uint32_t i = 0; i < count; i++)
            execute(channel, &channel->commands[first + i]);
        left -= count;
        if (channel->requests.taken == channel->requests.tail_seen)
            break;
    }
    channel->shard->counts.own.channel_commands += SE_COMMANDS_PER_TURN - left;
    se_spsc_free(&channel->requests);
    atomic_thread_fence(memory_order_seq_cst); /* S7 before S8 */
    if (atomic_load_explicit(&channel->is_thread_waiting, memory_order_relaxed))
        ring_bell(channel);
    return !se_spsc_has(&channel->requests);
}

/* ---- The end ---- */

/* Lets go of the channel: nothing of it is used after this. */
static void finish(struct spate_channel *channel, int result)
{
    struct se_channels *channels = &channel->shard->channels;
    channels->raised &= ~channel->bit;
    channels->unpublished &= ~channel->bit;
    channels->closing &= ~channel->bit;
    (void)pthread_mutex_lock(&channels->lock);
    atomic_store_explicit(&channels->channels[channel->index], NULL, memory_order_relaxed);
    channels->claimed &= ~channel->bit;
    (void)pthread_mutex_unlock(&channels->lock);
    se_spsc_publish(&channel->results);
    channel->end_result = result;
    atomic_store_explicit(&channel->state, SE_CHANNEL_ENDED, memory_order_release);
    ring_bell(channel);
    se_channel_unref(channel);
}

void se_channel_unref(struct spate_channel *channel)
{
    if (atomic_fetch_sub_explicit(&channel->ref_count, 1, memory_order_acq_rel) > 1)
        return;
    uint64_t head = atomic_load_explicit(&channel->results.head, memory_order_relaxed);
    for (; head < channel->results.claimed; head++)
        se_channel_free_result(&channel->cells[head & channel->results.mask]);
    if (channel->event_fd >= 0)
        (void)close(channel->event_fd);
    free(channel->commands);
    free(channel->cells);
    free(channel->slots);
    free(channel);
}

static void begin_close(struct spate_channel *channel)
{
    if (atomic_load_explicit(&channel->state, memory_order_relaxed) != SE_CHANNEL_OPEN)
        return;
    atomic_store_explicit(&channel->state, SE_CHANNEL_CLOSING, memory_order_relaxed);
    channel->shard->channels.closing |= channel->bit;
}

/* Closes some connections of a channel that ends.  Returns true if more are left. */
static bool close_some(struct spate_channel *channel)
{
    struct sb_link *link;
    for (uint32_t i = 0; i < CLOSES_PER_TURN; i++) {
        if ((link = sb_list_pop_front(&channel->conns)) == NULL)
            return false;
        spate_conn_close(SB_CONTAINER_OF(link, struct spate_conn, channel_link),
                         channel->close_error, NULL);
        sb_list_push_back(&channel->closed, link);
    }
    return !sb_list_is_empty(&channel->conns);
}

/* Lets go of all connections.  `closes`: and closes them. */
static void orphan_all(struct spate_channel *channel, bool closes)
{
    struct sb_link *lists[] = {&channel->conns, &channel->closed};
    for (uint32_t i = 0; i < SB_COUNT(lists); i++) {
        struct sb_link *link;
        while ((link = sb_list_first(lists[i])) != NULL) {
            struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, channel_link);
            se_channel_leave(conn);
            if (closes)
                spate_conn_close(conn, 0, NULL); /* raises it as well */
        }
    }
}

/* Releases what the channel's thread was not given. */
static void release_results(struct spate_channel *channel)
{
    for (uint64_t i = channel->results.taken; i < channel->results.claimed; i++) {
        const struct spate_result *result = &channel->cells[i & channel->results.mask];
        if (se_channel_slice_of(&result->event) == NULL)
            continue;
        struct spate_slice slice = *se_channel_slice_of(&result->event);
        spate_slice_release(channel->shard, &slice);
    }
}

void se_channel_detach(struct spate_channel *channel)
{
    atomic_store_explicit(&channel->state, SE_CHANNEL_CLOSING, memory_order_relaxed);
    orphan_all(channel, true);
    uint64_t first;
    uint32_t count;
    while ((count = se_spsc_take(&channel->requests, UINT32_MAX, &first)) > 0) {
        for (uint32_t i = 0; i < count; i++)
            if (channel->commands[first + i].op == SE_OP_RELEASE)
                release(channel, &channel->commands[first + i]);
        se_spsc_free(&channel->requests);
    }
    release_results(channel);
    finish(channel, 0);
}

void se_channels_end(struct spate_shard *shard, int error)
{
    struct se_channels *channels = &shard->channels;
    (void)pthread_mutex_lock(&channels->lock);
    channels->has_ended = true;
    uint64_t left = channels->claimed;
    (void)pthread_mutex_unlock(&channels->lock);
    for (; left != 0; left &= left - 1) {
        struct spate_channel *channel = first_of(channels, left);
        orphan_all(channel, false);
        finish(channel, error);
    }
}

/* ---- A turn ---- */

static void run_channel(struct spate_channel *channel)
{
    struct se_channels *channels = &channel->shard->channels;
    /* Acquire: pairs with spate_channel_close(); its requests are seen from here on. */
    bool is_close_wanted = atomic_load_explicit(&channel->is_close_wanted, memory_order_acquire);
    bool is_done = run_commands(channel);
    if (!is_done)
        (void)atomic_fetch_or_explicit(&channels->pending, channel->bit, memory_order_relaxed);
    else if (is_close_wanted)
        begin_close(channel);
    if (!sb_list_is_empty(&channel->event_pending)) /* there may be room now */
        channels->raised |= channel->bit;
    if (atomic_load_explicit(&channel->is_detach_wanted, memory_order_acquire))
        se_channel_detach(channel);
}

static SB_NEVER_INLINE void run_all(struct spate_shard *shard)
{
    struct se_channels *channels = &shard->channels;
    uint64_t left = atomic_exchange_explicit(&channels->pending, 0, memory_order_acq_rel); /* S1 */
    atomic_thread_fence(memory_order_seq_cst);
    for (; left != 0; left &= left - 1) {
        struct spate_channel *channel = first_of(channels, left);
        if (channel != NULL)      /* it may have ended meanwhile, or be the next one there */
            run_channel(channel); /* S2 */
    }
    for (left = channels->closing; left != 0; left &= left - 1) {
        struct spate_channel *channel = first_of(channels, left);
        if (close_some(channel)) /* go on in the next turn, which does not wait */
            (void)atomic_fetch_or_explicit(&channels->pending, channel->bit, memory_order_relaxed);
    }
}

void se_channels_run(struct spate_shard *shard)
{
    if (SB_UNLIKELY(atomic_load_explicit(&shard->channels.pending, memory_order_acquire) != 0))
        run_all(shard);
}

static void drain_all(struct spate_channel *channel)
{
    SB_LIST_EACH(link, &channel->event_pending)
        se_conn_drain(SB_CONTAINER_OF(link, struct spate_conn, event_pending_link));
    struct sb_link *first = sb_list_pop_front(&channel->event_pending);
    if (first == NULL)
        channel->shard->channels.raised &= ~channel->bit;
    else
        sb_list_push_back(&channel->event_pending, first); /* another one is first next time */
}

static bool has_ended(const struct spate_channel *channel)
{
    return channel->conn_count == 0 && channel->slices_out == 0;
}

static SB_NEVER_INLINE void flush_all(struct spate_shard *shard)
{
    struct se_channels *channels = &shard->channels;
    for (uint64_t left = channels->raised; left != 0; left &= left - 1)
        drain_all(first_of(channels, left));
    for (uint64_t left = channels->unpublished; left != 0; left &= left - 1) {
        struct spate_channel *channel = first_of(channels, left);
        se_spsc_publish(&channel->results); /* S3 */
        ring_bell(channel);
    }
    channels->unpublished = 0;
    for (uint64_t left = channels->closing; left != 0; left &= left - 1) {
        struct spate_channel *channel = first_of(channels, left);
        if (has_ended(channel))
            finish(channel, 0);
    }
}

void se_channels_flush(struct spate_shard *shard)
{
    const struct se_channels *channels = &shard->channels;
    if (SB_UNLIKELY((channels->raised | channels->unpublished | channels->closing) != 0))
        flush_all(shard);
}
