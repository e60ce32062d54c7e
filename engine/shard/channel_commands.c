/* SPDX-License-Identifier: MIT */
#include <spate/channel.h>

/* The commands of channels: each is checked as far as that needs no shard, and queued.
 *
 * All of it belongs to the thread that uses the channel.  What a command lends is read by the shard
 * when it executes the command, and not copied before. */

#include <spate/datagram.h>
#include <spate/stream.h>

#include "engine/shard/shard.h"

enum {
    FLUSH_COUNT = 32, /* commands; a thread that queues many does not leave the shard idle */
};

/* Queues a command to a shard that has not ended.  With `tag` it gets an answer. */
static int push(struct spate_channel *channel, const struct se_command *command,
                const uint64_t *tag)
{
    uint64_t cell;
    uint32_t slot = channel->slot_free;
    if (tag != NULL && SB_UNLIKELY(slot == SE_CHANNEL_SLOTS_END))
        return -EAGAIN;
    if (SB_UNLIKELY(!se_spsc_claim(&channel->requests, &cell))) {
        channel->is_full = true;
        spate_channel_flush(channel);
        return -EAGAIN;
    }
    channel->commands[cell] = *command;
    channel->commands[cell].slot = SE_CHANNEL_NO_SLOT;
    if (tag != NULL) {
        struct se_channel_slot *to = &channel->slots[slot];
        channel->slot_free = to->next_free;
        *to = (struct se_channel_slot){
            .tag = *tag,
            .conn_id = command->conn_id,
            .stream_id = command->stream_id,
            .command = command->op,
        };
        channel->commands[cell].slot = slot;
    }
    if (++channel->unflushed_count >= FLUSH_COUNT)
        spate_channel_flush(channel);
    return 0;
}

static bool is_shut(const struct spate_channel *channel)
{
    return channel->is_refusing || se_channel_has_ended(channel);
}

static int push_answered(struct spate_channel *channel, const struct se_command *command,
                         uint64_t tag)
{
    return SB_UNLIKELY(is_shut(channel)) ? -ESHUTDOWN : push(channel, command, &tag);
}

int spate_channel_connect(struct spate_channel *channel,
                          const struct spate_connect_options *options, struct spate_error *error,
                          uint64_t tag)
{
    if (options == NULL)
        return -EINVAL;
    const struct se_command command = {
        .op = SPATE_COMMAND_CONNECT, .data = options, .error = error};
    return push_answered(channel, &command, tag);
}

int spate_channel_conn_close(struct spate_channel *channel, uint64_t conn_id, uint64_t error,
                             const char *reason, uint64_t tag)
{
    const struct se_command command = {
        .op = SPATE_COMMAND_CONN_CLOSE, .conn_id = conn_id, .value = error, .data = reason};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_open(struct spate_channel *channel, uint64_t conn_id, bool is_uni,
                              void *user, uint64_t tag)
{
    const struct se_command command = {
        .op = SPATE_COMMAND_OPEN, .conn_id = conn_id, .flags = is_uni, .data = user};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_send(struct spate_channel *channel, uint64_t conn_id, uint64_t stream_id,
                              const void *data, size_t size, bool fin, uint64_t tag)
{
    if (size > SPATE_SEND_SIZE_MAX || (size == 0 && !fin) || (size > 0 && data == NULL))
        return -EINVAL;
    const struct se_command command = {.op = SPATE_COMMAND_SEND,
                                       .conn_id = conn_id,
                                       .stream_id = stream_id,
                                       .data = data,
                                       .size = size,
                                       .flags = fin ? SE_SEND_FIN : 0u};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_sendv(struct spate_channel *channel, uint64_t conn_id, uint64_t stream_id,
                               const struct iovec *pieces, size_t count, bool fin, uint64_t tag)
{
    if (count > SPATE_SENDV_COUNT_MAX || (count > 0 && pieces == NULL))
        return -EINVAL;
    const struct se_command command = {.op = SPATE_COMMAND_SEND,
                                       .conn_id = conn_id,
                                       .stream_id = stream_id,
                                       .data = pieces,
                                       .size = count,
                                       .flags = SE_SEND_PIECES | (fin ? SE_SEND_FIN : 0u)};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_reset_at(struct spate_channel *channel, uint64_t conn_id,
                                  uint64_t stream_id, uint64_t error, uint64_t reliable_size,
                                  uint64_t tag)
{
    const struct se_command command = {.op = SPATE_COMMAND_RESET,
                                       .conn_id = conn_id,
                                       .stream_id = stream_id,
                                       .value = error,
                                       .size = reliable_size};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_reset(struct spate_channel *channel, uint64_t conn_id, uint64_t stream_id,
                               uint64_t error, uint64_t tag)
{
    return spate_channel_stream_reset_at(channel, conn_id, stream_id, error, 0, tag);
}

int spate_channel_stream_stop(struct spate_channel *channel, uint64_t conn_id, uint64_t stream_id,
                              uint64_t error, uint64_t tag)
{
    const struct se_command command = {
        .op = SPATE_COMMAND_STOP, .conn_id = conn_id, .stream_id = stream_id, .value = error};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_set_user(struct spate_channel *channel, uint64_t conn_id,
                                  uint64_t stream_id, void *user, uint64_t tag)
{
    const struct se_command command = {
        .op = SPATE_COMMAND_SET_USER, .conn_id = conn_id, .stream_id = stream_id, .data = user};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_receive_into(struct spate_channel *channel, uint64_t conn_id,
                                      uint64_t stream_id, void *buffer, size_t size, uint64_t tag)
{
    const struct se_command command = {.op = SPATE_COMMAND_RECEIVE,
                                       .conn_id = conn_id,
                                       .stream_id = stream_id,
                                       .data = buffer,
                                       .size = size,
                                       .value = tag};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_set_priority(struct spate_channel *channel, uint64_t conn_id,
                                      uint64_t stream_id, uint32_t urgency, bool is_incremental,
                                      uint64_t tag)
{
    const struct se_command command = {.op = SPATE_COMMAND_PRIORITY,
                                       .conn_id = conn_id,
                                       .stream_id = stream_id,
                                       .value = urgency,
                                       .flags = is_incremental};
    return push_answered(channel, &command, tag);
}

int spate_channel_stream_progress_sized(struct spate_channel *channel, uint64_t conn_id,
                                        uint64_t stream_id, struct spate_stream_progress *ret,
                                        size_t size, uint64_t tag)
{
    if (ret == NULL)
        return -EINVAL;
    const struct se_command command = {.op = SPATE_COMMAND_PROGRESS,
                                       .conn_id = conn_id,
                                       .stream_id = stream_id,
                                       .data = ret,
                                       .size = size};
    return push_answered(channel, &command, tag);
}

int spate_channel_conn_stats_sized(struct spate_channel *channel, uint64_t conn_id,
                                   struct spate_conn_stats *ret, size_t size, uint64_t tag)
{
    if (ret == NULL)
        return -EINVAL;
    const struct se_command command = {
        .op = SPATE_COMMAND_STATS, .conn_id = conn_id, .data = ret, .size = size};
    return push_answered(channel, &command, tag);
}

int spate_channel_datagram_send(struct spate_channel *channel, uint64_t conn_id, const void *data,
                                size_t size, uint64_t deadline_ns, unsigned flags, uint64_t tag)
{
    const unsigned both = SPATE_DATAGRAM_COPY | SPATE_DATAGRAM_SILENT;
    if ((data == NULL && size > 0) || flags >= both)
        return -EINVAL;
    const struct se_command command = {.op = SPATE_COMMAND_DATAGRAM,
                                       .conn_id = conn_id,
                                       .data = data,
                                       .size = size,
                                       .value = deadline_ns,
                                       .flags = flags};
    if (flags == SPATE_DATAGRAM_SILENT)
        return is_shut(channel) ? -ESHUTDOWN : push(channel, &command, NULL);
    return push_answered(channel, &command, tag);
}

int spate_channel_release(struct spate_channel *channel, struct spate_slice *slice)
{
    const struct se_command command = {.op = SE_OP_RELEASE,
                                       .conn_id = slice->conn_ref,
                                       .stream_id = slice->stream_id,
                                       .data = slice->buffer,
                                       .size = slice->size};
    bool is_needed = slice->conn_ref != 0 && !se_channel_has_ended(channel);
    int result = is_needed ? push(channel, &command, NULL) : 0;
    if (result == 0)
        *slice = (struct spate_slice){0};
    return result;
}
