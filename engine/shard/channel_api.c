/* SPDX-License-Identifier: MIT */
#include <spate/channel.h>

/* The thread's side of channels: shows commands to the shard, hands out results, waits for them.
 * Commands are queued in channel_commands.c.
 *
 * All of it belongs to the thread that uses the channel.  Once the shard has let go of the channel
 * (SE_CHANNEL_ENDED), the shard is not touched any more: it may be gone.  Then this side answers
 * what the shard has not answered, and reports SPATE_EVENT_SHUTDOWN. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "engine/config/sized.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

enum {
    COMMANDS_DEFAULT = 1024,
    EVENTS_DEFAULT = 1000,
    DETACH_LOOK_MS = 1,
};

/* ---- Life ---- */

static uint32_t power_of_two_from(uint32_t value)
{
    uint32_t power = 2;
    while (power < value)
        power *= 2;
    return power;
}

static void init_sides(struct spate_channel *channel)
{
    channel->event_fd = -1;
    for (uint32_t i = 0; i < channel->slot_count; i++)
        channel->slots[i].next_free = i + 1 < channel->slot_count ? i + 1 : SE_CHANNEL_SLOTS_END;
    channel->freed_first = SE_CHANNEL_SLOTS_END;
    channel->freed_last = SE_CHANNEL_SLOTS_END;
    sb_list_init(&channel->event_pending);
    sb_list_init(&channel->conns);
    sb_list_init(&channel->closed);
    channel->last_stream_id = SPATE_STREAM_LAST;
    atomic_init(&channel->events_freed, 0);
    atomic_init(&channel->bell_fd, SE_CHANNEL_NO_BELL);
    atomic_init(&channel->is_shard_waiting, false);
    atomic_init(&channel->is_thread_waiting, false);
    atomic_init(&channel->is_close_wanted, false);
    atomic_init(&channel->is_detach_wanted, false);
    atomic_init(&channel->state, SE_CHANNEL_OPEN);
    atomic_init(&channel->ref_count, 2);
}

static void free_memory(struct spate_channel *channel)
{
    free(channel->commands);
    free(channel->cells);
    free(channel->slots);
    free(channel);
}

/* Makes a channel that no shard knows yet, with one cell of the results to spare for SHUTDOWN. */
static struct spate_channel *make(uint32_t commands_max, uint32_t events_max)
{
    struct spate_channel *channel = aligned_alloc(_Alignof(struct spate_channel), sizeof(*channel));
    if (channel == NULL)
        return NULL;
    memset(channel, 0, sizeof(*channel));
    uint32_t commands = power_of_two_from(commands_max);
    uint32_t cells = power_of_two_from(commands_max + events_max + 1);
    channel->slot_count = commands_max;
    channel->events_max = events_max;
    channel->commands = aligned_alloc(SB_CACHE_LINE, commands * sizeof(channel->commands[0]));
    channel->cells = aligned_alloc(SB_CACHE_LINE, cells * sizeof(channel->cells[0]));
    channel->slots = calloc(commands_max, sizeof(channel->slots[0]));
    if (channel->commands == NULL || channel->cells == NULL || channel->slots == NULL) {
        free_memory(channel);
        return NULL;
    }
    se_spsc_init(&channel->requests, commands);
    se_spsc_init(&channel->results, cells);
    init_sides(channel);
    return channel;
}

static int attach(struct spate_shard *shard, struct spate_channel *channel)
{
    struct se_channels *channels = &shard->channels;
    int result = 0;
    (void)pthread_mutex_lock(&channels->lock);
    if (channels->has_ended) {
        result = -ESHUTDOWN;
    } else if (channels->claimed == UINT64_MAX) {
        result = -EMFILE;
    } else {
        channel->index = (uint32_t)__builtin_ctzll(~channels->claimed);
        channel->bit = UINT64_C(1) << channel->index;
        channel->shard = shard;
        channels->claimed |= channel->bit;
        atomic_store_explicit(&channels->channels[channel->index], channel,
                              memory_order_release); /* P1 */
    }
    (void)pthread_mutex_unlock(&channels->lock);
    return result;
}

static bool is_size(uint32_t value)
{
    return value <= SE_CHANNEL_QUEUE_MAX;
}

static int take_options(const struct spate_channel_options *given,
                        struct spate_channel_options *own, struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_channel_options",
        SE_SIZE_THROUGH(struct spate_channel_options, results_max),
        sizeof(struct spate_channel_options),
    };
    int result = given != NULL ? se_sized_take(&shape, given, own, error) : 0;
    if (result != 0)
        return result;
    if (!is_size(own->commands_max) || !is_size(own->results_max)) {
        se_error_set(error, "%s is larger than %d",
                     is_size(own->commands_max) ? "results_max" : "commands_max",
                     SE_CHANNEL_QUEUE_MAX);
        return -EINVAL;
    }
    own->commands_max = own->commands_max == 0 ? COMMANDS_DEFAULT : own->commands_max;
    own->results_max = own->results_max == 0 ? EVENTS_DEFAULT : own->results_max;
    return 0;
}

int spate_channel_create(struct spate_shard *shard, const struct spate_channel_options *given,
                         struct spate_channel **ret, struct spate_error *error)
{
    struct spate_channel_options options = {.size = sizeof(options)};
    int result = take_options(given, &options, error);
    if (result != 0)
        return result;
    struct spate_channel *channel = make(options.commands_max, options.results_max);
    if (channel == NULL) {
        se_error_set(error, "no memory for a channel");
        return -ENOMEM;
    }
    result = attach(shard, channel);
    if (result != 0) {
        se_error_set(error, "%s",
                     result == -EMFILE ? "the shard has 64 channels" : "the shard has ended");
        free_memory(channel);
        return result;
    }
    *ret = channel;
    return 0;
}

/* Sets the channel's bit at the shard and wakes it, unless the bit is set already. */
static void notify(struct spate_channel *channel)
{
    struct spate_shard *shard = channel->shard;
    atomic_thread_fence(memory_order_seq_cst); /* T1 before T2 */
    if (atomic_load_explicit(&shard->channels.pending, memory_order_relaxed) & channel->bit)
        return; /* whoever has set it has rung the bell as well */
    (void)atomic_fetch_or_explicit(&shard->channels.pending, channel->bit, memory_order_release);
    (void)su_wake_ring(&shard->wake);
}

/* Shows the shard the commands that are queued.  One fence and two cache lines for all of them are
 * why this is not part of each command. */
static void flush(struct spate_channel *channel)
{
    if (channel->unflushed_count == 0 || se_channel_has_ended(channel))
        return;
    channel->unflushed_count = 0;
    se_spsc_publish(&channel->requests);
    notify(channel);
}

void spate_channel_flush(struct spate_channel *channel)
{
    flush(channel);
}

void spate_channel_close(struct spate_channel *channel, uint64_t error)
{
    if (channel->is_refusing)
        return;
    channel->is_refusing = true;
    channel->close_error = error;
    flush(channel);
    atomic_store_explicit(&channel->is_close_wanted, true, memory_order_release);
    if (!se_channel_has_ended(channel))
        notify(channel);
}

/* Waits until the shard has let go. */
static void wait_for_end(struct spate_channel *channel)
{
    int fd = spate_channel_fd(channel);
    while (!se_channel_has_ended(channel)) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        /* Where results come meanwhile, nobody takes them, and the bell says nothing. */
        if (fd >= 0 && !spate_channel_prepare(channel))
            (void)poll(&polled, 1, -1);
        else
            (void)poll(NULL, 0, DETACH_LOOK_MS);
    }
}

void spate_channel_destroy(struct spate_channel *channel)
{
    if (channel == NULL)
        return;
    flush(channel); /* releases */
    if (!se_channel_has_ended(channel)) {
        struct spate_shard *shard = channel->shard;
        pid_t owner = atomic_load_explicit(&shard->owner_tid, memory_order_relaxed);
        bool may_be_mine = owner != 0 || !atomic_load(&shard->is_threaded);
        if (may_be_mine && se_shard_is_mine(shard)) {
            se_channel_detach(channel);
        } else {
            atomic_store_explicit(&channel->is_detach_wanted, true, memory_order_release);
            notify(channel);
            wait_for_end(channel);
        }
    }
    se_channel_unref(channel);
}

/* ---- Results ---- */

/* Gives back what the last call has handed out: cells, then what may be used again because of it.
 */
static void free_batch(struct spate_channel *channel)
{
    uint64_t event_count = 0;
    if (channel->batch_count == 0)
        return;
    for (uint32_t i = 0; i < channel->batch_count; i++) {
        struct spate_result *result = &channel->cells[channel->batch_first + i];
        event_count += result->command == SPATE_COMMAND_NONE;
        se_channel_free_result(result);
        result->event.kind = SPATE_EVENT_NONE; /* so that nothing is freed twice */
    }
    channel->batch_count = 0;
    se_spsc_free(&channel->results);
    if (channel->freed_first != SE_CHANNEL_SLOTS_END) {
        channel->slots[channel->freed_last].next_free = channel->slot_free;
        channel->slot_free = channel->freed_first;
        channel->freed_first = SE_CHANNEL_SLOTS_END;
    }
    uint64_t freed = atomic_load_explicit(&channel->events_freed, memory_order_relaxed);
    /* Release: `head` was stored before, so an event that finds room finds a cell. */
    atomic_store_explicit(&channel->events_freed, freed + event_count, memory_order_release);
    if (se_channel_has_ended(channel))
        return;
    atomic_thread_fence(memory_order_seq_cst); /* T5 before T6 */
    if (atomic_load_explicit(&channel->is_shard_waiting, memory_order_relaxed) &&
        atomic_exchange_explicit(&channel->is_shard_waiting, false, memory_order_relaxed))
        notify(channel);
}

/* Gives the answer its tag, and its slot back once the batch is freed. */
static void resolve(struct spate_channel *channel, struct spate_result *result)
{
    uint32_t index = (uint32_t)result->tag;
    SB_ASSERT(result->tag < channel->slot_count);
    struct se_channel_slot *slot = &channel->slots[index];
    SB_ASSERT(slot->command == (uint32_t)result->command);
    result->tag = slot->tag;
    if (result->event.kind == SPATE_EVENT_SENT)
        result->event.u.sent.tag = slot->tag;
    slot->command = SPATE_COMMAND_NONE;
    slot->next_free = channel->freed_first;
    if (channel->freed_first == SE_CHANNEL_SLOTS_END)
        channel->freed_last = index;
    channel->freed_first = index;
}

/* Answers the commands that the shard has not answered, in its place, and reports the end. */
static void answer_rest(struct spate_channel *channel)
{
    uint64_t cell = 0;
    for (uint32_t i = 0; i < channel->slot_count; i++) {
        const struct se_channel_slot *slot = &channel->slots[i];
        if (slot->command == SPATE_COMMAND_NONE)
            continue;
        bool has_room = se_spsc_claim(&channel->results, &cell);
        SB_ASSERT(has_room);
        channel->cells[cell] = (struct spate_result){
            .command = (enum spate_command)slot->command,
            .result = SE_CHANNEL_UNDONE,
            .tag = i,
            .conn_id = slot->conn_id,
            .event.stream_id = slot->stream_id,
        };
    }
    bool has_room = se_spsc_claim(&channel->results, &cell);
    SB_ASSERT(has_room);
    channel->cells[cell] = (struct spate_result){
        .result = channel->end_result,
        .event.kind = SPATE_EVENT_SHUTDOWN,
    };
    se_spsc_publish(&channel->results);
    channel->has_reported = true;
}

/* Returns whether there are results that were not handed out. */
static bool has_results(struct spate_channel *channel)
{
    if (se_spsc_has(&channel->results))
        return true;
    if (channel->has_reported || !se_channel_has_ended(channel))
        return false;
    if (!se_spsc_has(&channel->results)) /* all that the shard has left is in sight now */
        answer_rest(channel);
    return true;
}

/* Ends what spate_channel_prepare() has begun. */
static void end_wait(struct spate_channel *channel)
{
    uint64_t count;
    if (!channel->is_rung)
        return;
    channel->is_rung = false;
    atomic_store_explicit(&channel->bell_fd, SE_CHANNEL_NO_BELL, memory_order_relaxed);
    atomic_store_explicit(&channel->is_thread_waiting, false, memory_order_relaxed);
    /* A bell that rings at this moment ends the next wait early, and is read then. */
    (void)!read(channel->event_fd, &count, sizeof(count));
}

/* Takes the next cells as the batch. */
static void take_batch(struct spate_channel *channel)
{
    uint64_t first = 0;
    channel->batch_count = se_spsc_take(&channel->results, UINT32_MAX, &first);
    channel->batch_first = (uint32_t)first;
    for (uint64_t i = first; i < first + channel->batch_count; i++)
        if (channel->cells[i].command != SPATE_COMMAND_NONE)
            resolve(channel, &channel->cells[i]);
}

/* Drops results with slices, whose memory has gone with the shard: moves the others of the batch
 * together at its end.  Returns how many were dropped. */
static uint32_t drop_slices(struct spate_channel *channel)
{
    struct spate_result *batch = &channel->cells[channel->batch_first];
    uint32_t begin = channel->batch_count;
    for (uint32_t i = channel->batch_count; i-- > 0;)
        if (se_channel_slice_of(&batch[i].event) == NULL)
            batch[--begin] = batch[i];
    memset(batch, 0, begin * sizeof(batch[0])); /* what was moved is not freed twice */
    return begin;
}

const struct spate_result *spate_channel_results(struct spate_channel *channel, uint32_t *ret_count)
{
    uint32_t dropped_count = 0;
    flush(channel);
    free_batch(channel);
    end_wait(channel);
    while (channel->batch_count == dropped_count && has_results(channel)) {
        free_batch(channel);
        take_batch(channel);
        bool is_lost = se_channel_has_ended(channel) && channel->end_result != 0;
        dropped_count = SB_UNLIKELY(is_lost) ? drop_slices(channel) : 0;
    }
    *ret_count = channel->batch_count - dropped_count;
    return &channel->cells[channel->batch_first + dropped_count];
}

/* ---- Waiting ---- */

int spate_channel_fd(struct spate_channel *channel)
{
    if (channel->event_fd >= 0)
        return channel->event_fd;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno; /* -EMFILE, -ENFILE, -ENOMEM */
    channel->event_fd = fd;
    return fd;
}

/* Returns whether a wait is over. */
static bool is_ready(struct spate_channel *channel)
{
    if (channel->is_full && se_spsc_has_room(&channel->requests)) {
        channel->is_full = false;
        return true;
    }
    return has_results(channel);
}

bool spate_channel_prepare(struct spate_channel *channel)
{
    flush(channel);
    free_batch(channel);
    end_wait(channel);
    if (channel->event_fd < 0 || is_ready(channel))
        return true;
    channel->is_rung = true;
    atomic_store_explicit(&channel->is_thread_waiting, channel->is_full, memory_order_relaxed);
    /* T3 release: the descriptor was made before.  Pairs with the exchange in ring_bell(). */
    atomic_store_explicit(&channel->bell_fd, channel->event_fd, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (!is_ready(channel)) /* T4 */
        return false;
    end_wait(channel);
    return true;
}

int spate_channel_wait(struct spate_channel *channel, uint64_t wait_ns)
{
    uint64_t until_ns = 0;
    int fd = spate_channel_fd(channel);
    if (fd < 0)
        return fd;
    while (!spate_channel_prepare(channel)) {
        struct timespec left = {0};
        uint64_t now_ns = wait_ns == SPATE_FOREVER ? 0 : se_clock_now_ns();
        until_ns = until_ns == 0 ? sb_time_add(now_ns, wait_ns) : until_ns;
        if (now_ns >= until_ns && wait_ns != SPATE_FOREVER) {
            end_wait(channel);
            return -ETIMEDOUT;
        }
        left.tv_sec = (time_t)((until_ns - now_ns) / SB_S);
        left.tv_nsec = (long)((until_ns - now_ns) % SB_S);
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        if (ppoll(&polled, 1, wait_ns == SPATE_FOREVER ? NULL : &left, NULL) < 0) {
            end_wait(channel);
            return -EINTR;
        }
    }
    return 0;
}
