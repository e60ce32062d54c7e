/* SPDX-License-Identifier: MIT */
#include "proto/conn/messages.h"

/* Messages: queued, reported and received.  [RFC9221, RFC9000 19.21]  conn/fill_messages.c puts
 * them into packets.
 *
 * A message that is sent stays the same object until its result is taken: queued, then named by the
 * record of its packet, then in the list of results.  So nothing can be lacking when a packet is
 * acknowledged, and the application's memory comes back with exactly one result.
 *
 * Received messages of SP_PAGE_SIZE bytes or more are slices of the receive buffer.  Shorter ones
 * are copied into pages, one after the other: otherwise a few bytes would keep 64 KiB.
 *
 * What can be attacked: the peer decides how many messages come, and no flow control limits them.
 * So the list of received ones is bounded in number and bytes, and the oldest gives way: it is
 * worth least.  What a packet may cost is bounded by the number of its frames.  While memory is
 * short, a connection that holds more than its share receives none. */

#include "proto/base/assert.h"
#include "proto/base/steps.h"
#include "proto/base/time.h"
#include "proto/conn/message.h"
#include "proto/conn/message_list.h"
#include "proto/conn/trace.h"

/* Events of messages in a row while streams have events, and the other way round. */
#define EVENTS_PER_TURN 16

static void free_message(struct sp_messages *state, struct sp_message *message)
{
    sb_buffer_unref(message->buffer);
    sb_store_give(&state->store, message);
}

/* Returns the state, which is made for the first message, or NULL without memory. */
static struct sp_messages *state_of(struct sp_conn *conn)
{
    if (SB_LIKELY(conn->messages != NULL))
        return conn->messages;
    struct sp_messages *state = sb_pool_take_ordinary(&conn->pools->message_states);
    struct sp_holding *holding = sp_holding_open(&conn->pools->copies);
    if (state == NULL || holding == NULL) {
        sp_holding_unref(holding);
        sb_pool_give(&conn->pools->message_states, state);
        return NULL;
    }
    *state = (struct sp_messages){
        .holding = holding,
        .store = {.pool = &conn->pools->messages},
        .expire_at_ns = SB_NEVER,
        .is_sorted = true,
    };
    conn->messages = state;
    return state;
}

/* ---- Sending ---- */

void sp_conn_messages_on_params(struct sp_conn *conn, uint64_t frame_size_max)
{
    conn->peer_message_frame_max = (uint32_t)SB_MIN(frame_size_max, (uint64_t)UINT32_MAX);
}

/* The frame has a length wherever it does not fill its packet, so the peer's limit must leave room
 * for that.  [RFC9221 3] */
int64_t sp_conn_message_size_max(const struct sp_conn *conn)
{
    uint32_t frame_max = conn->peer_message_frame_max;
    if (frame_max < 2)
        return -1;
    size_t header_size = 1 + (size_t)sp_cid_remote_active(&conn->remote_ids)->size + SP_PN_SIZE_MAX;
    int64_t path_max = (int64_t)(conn->datagram_size - header_size - SP_TAG_SIZE - 1);
    return SB_MIN(path_max,
                  (int64_t)(frame_max - sp_frame_datagram_head_size(frame_max - 2, true)));
}

static bool is_full(const struct sp_conn *conn, size_t size)
{
    const struct sp_messages *state = conn->messages;
    const struct sp_config *config = conn->config;
    if (state == NULL || state->out_count == 0)
        return false; /* a single one always has room */
    return state->out_count >= config->message_count_max ||
           state->out_bytes + size > config->message_bytes_max;
}

/* Copies the bytes of a message, or borrows them.  Returns false without memory. */
static bool hold_bytes(struct sp_conn *conn, const struct sp_message_args *args,
                       struct sp_message *message)
{
    if (!args->is_copied || args->size == 0)
        return true;
    uint64_t size = args->size > SP_PAGE_SIZE ? SP_COPY_SIZE_MAX : SP_PAGE_SIZE;
    message->buffer = sp_copies_take(&conn->pools->copies, conn->messages->holding, size, true);
    if (message->buffer == NULL)
        return false;
    uint8_t *copy = sp_copy_data(message->buffer);
    memcpy(copy, args->data, args->size);
    message->data = copy;
    return true;
}

static void enqueue(struct sp_messages *state, struct sp_message *message)
{
    if (state->out.first == NULL) {
        state->is_sorted = true;
        state->expire_at_ns = SB_NEVER;
    } else {
        state->is_sorted &= message->deadline_ns >= state->out.last->deadline_ns;
    }
    state->expire_at_ns = sb_time_min(state->expire_at_ns, message->deadline_ns);
    sp_message_append(&state->out, message);
    state->out_count++;
    state->out_bytes += message->size;
}

enum sp_result sp_conn_send_message(struct sp_conn *conn, const struct sp_message_args *args)
{
    SB_ASSERT(args->data != NULL || args->size == 0);
    SB_ASSERT(args->head_size <= SP_MESSAGE_HEAD_SIZE_MAX);
    if (conn->state != SP_CONN_OPEN)
        return SP_CLOSED;
    int64_t size_max = sp_conn_message_size_max(conn);
    if (size_max < 0)
        return SP_GONE;
    if (args->size > (uint64_t)size_max || args->head_size + args->size > (uint64_t)size_max ||
        (args->is_copied && args->size > SP_COPY_SIZE_MAX))
        return SP_INVALID;
    size_t size = args->head_size + args->size;
    struct sp_messages *state = state_of(conn);
    if (state == NULL)
        return SP_NO_MEMORY;
    if (is_full(conn, size)) {
        state->room = SP_MESSAGE_ROOM_WANTED;
        return SP_AGAIN;
    }
    struct sp_message *message = sb_store_take_ordinary(&state->store);
    if (message == NULL)
        return SP_NO_MEMORY;
    message->data = args->data;
    message->buffer = NULL;
    message->tag = args->tag;
    message->deadline_ns = args->deadline_ns;
    message->size = (uint32_t)size;
    message->is_silent = args->is_silent;
    message->head_size = (uint8_t)args->head_size;
    if (args->head_size > 0)
        memcpy(message->head, args->head, args->head_size);
    if (!hold_bytes(conn, args, message)) {
        sb_store_give(&state->store, message);
        return SP_NO_MEMORY;
    }
    enqueue(state, message);
    sp_conn_trace_message(conn, size, false);
    return SP_DONE;
}

/* Uncounts a message that leaves the queue.  Room is reported when half of the queue is free, so
 * that the application is not called for each place. */
static void uncount(struct sp_conn *conn, const struct sp_message *message)
{
    struct sp_messages *state = conn->messages;
    SB_ASSERT(state->out_count > 0 && state->out_bytes >= message->size);
    state->out_count--;
    state->out_bytes -= message->size;
    if (state->room == SP_MESSAGE_ROOM_WANTED &&
        state->out_count <= conn->config->message_count_max / 2 &&
        state->out_bytes <= conn->config->message_bytes_max / 2)
        state->room = SP_MESSAGE_ROOM_DUE;
}

static struct sp_message *dequeue(struct sp_conn *conn)
{
    struct sp_message *message = sp_message_pop(&conn->messages->out);
    SB_ASSERT(message != NULL);
    uncount(conn, message);
    return message;
}

static void settle(struct sp_messages *state, struct sp_message *message, enum sp_message_fate fate)
{
    message->fate = (uint8_t)fate;
    if (message->is_silent)
        free_message(state, message);
    else
        sp_message_append(&state->done, message);
}

static void expire(struct sp_conn *conn, struct sp_message *message)
{
    conn->stats.messages_expired++;
    settle(conn->messages, message, SP_MESSAGE_EXPIRED);
}

struct sp_message *sp_conn_first_message(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_messages *state = conn->messages;
    struct sp_message *message;
    if (state == NULL)
        return NULL;
    while ((message = state->out.first) != NULL) {
        if (message->deadline_ns <= now_ns)
            expire(conn, dequeue(conn));
        else if ((int64_t)message->size > sp_conn_message_size_max(conn))
            settle(state, dequeue(conn), SP_MESSAGE_DROPPED);
        else
            return message;
    }
    state->expire_at_ns = SB_NEVER;
    return NULL;
}

void sp_conn_take_message(struct sp_conn *conn)
{
    struct sp_message *message = dequeue(conn);
    message->next = NULL;
    conn->stats.messages_out++;
    if (conn->messages->out.first == NULL)
        conn->messages->expire_at_ns = SB_NEVER;
}

/* Looks at all that wait, unless their deadlines are in order. */
void sp_conn_expire_messages(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_messages *state = conn->messages;
    if (state == NULL || state->expire_at_ns > now_ns)
        return;
    if (state->is_sorted) {
        while (state->out.first != NULL && state->out.first->deadline_ns <= now_ns)
            expire(conn, dequeue(conn));
        state->expire_at_ns = state->out.first == NULL ? SB_NEVER : state->out.first->deadline_ns;
        return;
    }
    struct sp_message *message = state->out.first;
    state->out.first = NULL;
    state->expire_at_ns = SB_NEVER;
    for (struct sp_message *next; message != NULL; message = next) {
        next = message->next;
        if (message->deadline_ns <= now_ns) {
            uncount(conn, message);
            expire(conn, message);
        } else {
            state->expire_at_ns = sb_time_min(state->expire_at_ns, message->deadline_ns);
            sp_message_append(&state->out, message);
        }
    }
}

void sp_conn_messages_acked(struct sp_conn *conn, struct sp_message *first)
{
    for (struct sp_message *next; first != NULL; first = next) {
        next = first->next;
        conn->stats.messages_acked++;
        settle(conn->messages, first, SP_MESSAGE_ACKED);
    }
}

void sp_conn_messages_lost(struct sp_conn *conn, struct sp_message *first)
{
    for (struct sp_message *next; first != NULL; first = next) {
        next = first->next;
        conn->stats.messages_lost++;
        settle(conn->messages, first, SP_MESSAGE_LOST);
    }
}

/* ---- Receiving ---- */

/* Uncounts a received message that has left the list. */
static void uncount_received(struct sp_messages *state, const struct sp_message *message)
{
    SB_ASSERT(state->in_count > 0 && state->in_bytes >= message->size);
    state->in_count--;
    state->in_bytes -= message->size;
    if (message->size >= SP_PAGE_SIZE)
        state->in_pinned_bytes -= message->size;
}

static void drop(struct sp_conn *conn, struct sp_message *message)
{
    uncount_received(conn->messages, message);
    conn->stats.messages_dropped++;
    free_message(conn->messages, message);
}

static void drop_oldest(struct sp_conn *conn)
{
    struct sp_message *message = sp_message_pop_oldest(&conn->messages->in);
    SB_ASSERT(message != NULL);
    drop(conn, message);
}

/* Returns whether the present page has room for `size` bytes, or a new one was begun.  The first
 * page of a batch is small: there may be no more messages.  The next ones are large. */
static bool has_page(struct sp_conn *conn, uint32_t size)
{
    struct sp_messages *state = conn->messages;
    if (state->page != NULL && state->page_size - state->page_used >= size)
        return true;
    uint32_t page_size = state->page == NULL ? SP_PAGE_SIZE : SP_COPY_SIZE_MAX;
    struct sb_buffer *page = sp_copies_take(&conn->pools->copies, state->holding, page_size, true);
    if (page == NULL)
        return false;
    sb_buffer_unref(state->page);
    state->page = page;
    state->page_size = page_size;
    state->page_used = 0;
    return true;
}

static bool copy_to_page(struct sp_conn *conn, const struct sp_frame_datagram *frame,
                         struct sp_message *message)
{
    struct sp_messages *state = conn->messages;
    if (!has_page(conn, (uint32_t)frame->size))
        return false;
    uint8_t *copy = sp_copy_data(state->page) + state->page_used;
    memcpy(copy, frame->data, frame->size);
    state->page_used += (uint32_t)frame->size;
    sb_buffer_ref(state->page);
    message->buffer = state->page;
    message->data = copy;
    conn->pieces.packed_bytes += frame->size;
    return true;
}

/* Makes the bytes of a frame outlive its packet.  Returns false without memory. */
static bool keep_bytes(struct sp_conn *conn, const struct sp_frame_datagram *frame,
                       const struct sp_datagram *datagram, struct sp_message *message)
{
    if (frame->size == 0)
        return true;
    if (frame->size < SP_PAGE_SIZE)
        return copy_to_page(conn, frame, message);
    if (datagram->is_transient)
        return false; /* the buffer is wanted back */
    sb_buffer_ref(datagram->buffer);
    message->buffer = datagram->buffer;
    message->data = frame->data;
    return true;
}

static bool keep_message(struct sp_conn *conn, const struct sp_frame_datagram *frame,
                         const struct sp_datagram *datagram)
{
    struct sp_messages *state = state_of(conn);
    if (state == NULL || conn->holds_credit)
        return false;
    struct sp_message *message = sb_store_take_ordinary(&state->store);
    if (message == NULL)
        return false;
    message->data = NULL;
    message->buffer = NULL;
    message->size = (uint32_t)frame->size;
    if (!keep_bytes(conn, frame, datagram, message)) {
        sb_store_give(&state->store, message);
        return false;
    }
    sp_message_add_received(&state->in, message);
    state->in_count++;
    state->in_bytes += message->size;
    if (message->size >= SP_PAGE_SIZE)
        state->in_pinned_bytes += message->size;
    while (state->in_count > 1 && (state->in_count > conn->config->message_count_max ||
                                   state->in_bytes > conn->config->message_bytes_max))
        drop_oldest(conn);
    return true;
}

enum sp_err sp_conn_on_message(struct sp_conn *conn, const struct sp_frame_datagram *frame,
                               const struct sp_datagram *datagram, uint32_t *kept_count)
{
    /* [RFC9221 3] Also if none were announced: the limit is 0 then. */
    if (frame->frame_size > conn->config->message_frame_size_max)
        return SP_ERR_PROTOCOL_VIOLATION;
    conn->stats.messages_in++;
    if (keep_message(conn, frame, datagram))
        ++*kept_count;
    else
        conn->stats.messages_dropped++;
    return SP_OK;
}

void sp_conn_take_messages_back(struct sp_conn *conn, uint32_t count)
{
    struct sp_messages *state = conn->messages;
    /* Some may have made room for others already. */
    for (; count > 0 && state->in.first != NULL; count--) {
        SB_STEP();
        drop(conn, sp_message_pop_newest(&state->in));
    }
}

void sp_conn_messages_end_batch(struct sp_conn *conn)
{
    struct sp_messages *state = conn->messages;
    if (SB_LIKELY(state == NULL || state->page == NULL))
        return;
    sb_buffer_unref(state->page);
    state->page = NULL;
}

void sp_conn_release_message(struct sp_conn *conn, uint64_t size)
{
    SB_ASSERT(conn->messages != NULL && size <= conn->messages->handed_bytes);
    conn->messages->handed_bytes -= size;
}

/* ---- Events ---- */

bool sp_conn_has_message_result(const struct sp_conn *conn)
{
    const struct sp_messages *state = conn->messages;
    return state != NULL && (state->done.first != NULL || state->room == SP_MESSAGE_ROOM_DUE);
}

/* Fills the results of one event.  Returns how many. */
static uint32_t take_results(struct sp_conn *conn)
{
    struct sp_messages *state = conn->messages;
    uint32_t count = 0;
    while (count < SP_MESSAGE_RESULTS_MAX) {
        /* What an ended connection has not sent is not sent any more. */
        if (state->done.first == NULL && conn->state != SP_CONN_OPEN && state->out.first != NULL)
            settle(state, dequeue(conn), SP_MESSAGE_DROPPED);
        struct sp_message *message = sp_message_pop(&state->done);
        if (message == NULL && (conn->state == SP_CONN_OPEN || state->out.first == NULL))
            break;
        if (message == NULL)
            continue; /* it was a silent one */
        state->results[count++] = (struct sp_message_result){
            .tag = message->tag,
            .size = message->size,
            .fate = (enum sp_message_fate)message->fate,
        };
        free_message(state, message);
    }
    return count;
}

static struct sb_slice hand_out(struct sp_conn *conn)
{
    struct sp_messages *state = conn->messages;
    struct sp_message *message = sp_message_pop_oldest(&state->in);
    uncount_received(state, message);
    state->handed_bytes += message->size;
    sp_conn_trace_message(conn, message->size, true);
    const struct sb_slice slice = {
        .data = message->data, .size = message->size, .buffer = message->buffer};
    sb_store_give(&state->store, message); /* the reference is the caller's now */
    return slice;
}

uint32_t sp_conn_more_messages(struct sp_conn *conn, struct sb_slice *ret, uint32_t count_max)
{
    struct sp_messages *state = conn->messages;
    uint32_t count = 0;
    while (count < count_max && state->in.first != NULL)
        ret[count++] = hand_out(conn);
    return count;
}

bool sp_conn_next_message_event(struct sp_conn *conn, struct sp_event *ret)
{
    struct sp_messages *state = conn->messages;
    if (state == NULL)
        return false;
    state->event_turn = (state->event_turn + 1) % (2 * EVENTS_PER_TURN);
    uint32_t count = take_results(conn);
    if (count > 0) {
        ret->kind = SP_EVENT_MESSAGES_DONE;
        ret->messages_done.results = state->results;
        ret->messages_done.count = count;
        return true;
    }
    if (conn->state == SP_CONN_OPEN && state->room == SP_MESSAGE_ROOM_DUE) {
        state->room = SP_MESSAGE_ROOM_UNASKED;
        ret->kind = SP_EVENT_MESSAGE_ROOM;
        return true;
    }
    if (state->in.first == NULL || (conn->state != SP_CONN_OPEN && !conn->reports_received))
        return false;
    ret->kind = SP_EVENT_MESSAGE;
    ret->message = hand_out(conn);
    return true;
}

bool sp_conn_messages_yield(struct sp_conn *conn, bool has_others)
{
    struct sp_messages *state = conn->messages;
    if (state == NULL || state->event_turn < EVENTS_PER_TURN || !has_others)
        return false;
    state->event_turn = (state->event_turn + 1) % (2 * EVENTS_PER_TURN);
    return true;
}

/* ---- The end ---- */

bool sp_conn_drop_received_messages(struct sp_conn *conn, uint32_t *steps)
{
    while (*steps > 0 && conn->messages != NULL && conn->messages->in.first != NULL) {
        drop_oldest(conn);
        *steps -= 1;
    }
    return *steps > 0;
}

static bool free_list(struct sp_messages *state, struct sp_message_list *list, uint32_t *steps)
{
    for (struct sp_message *message; *steps > 0 && (message = sp_message_pop(list)) != NULL;
         *steps -= 1)
        free_message(state, message);
    return *steps > 0;
}

bool sp_conn_messages_deinit(struct sp_conn *conn, uint32_t *steps)
{
    struct sp_messages *state = conn->messages;
    if (state == NULL)
        return true;
    sp_conn_messages_end_batch(conn);
    if (!free_list(state, &state->out, steps) || !free_list(state, &state->done, steps) ||
        !free_list(state, &state->in, steps))
        return false;
    SB_ASSERT(state->store.count == 0);
    sp_holding_unref(state->holding);
    sb_pool_give(&conn->pools->message_states, state);
    conn->messages = NULL;
    return true;
}

uint64_t sp_conn_messages_bytes(const struct sp_conn *conn)
{
    const struct sp_messages *state = conn->messages;
    if (state == NULL)
        return 0;
    return conn->pools->message_states.object_size + sb_store_bytes(&state->store) +
           state->holding->held_bytes + state->in_pinned_bytes + state->handed_bytes;
}

void sp_conn_messages_check(const struct sp_conn *conn)
{
    const struct sp_messages *state = conn->messages;
    if (state == NULL)
        return;
    uint32_t count = 0;
    uint64_t bytes = 0, last_ns = 0;
    for (const struct sp_message *m = state->out.first; m != NULL; m = m->next) {
        SB_ASSERT(m->deadline_ns >= state->expire_at_ns);
        SB_ASSERT(!state->is_sorted || m->deadline_ns >= last_ns);
        last_ns = m->deadline_ns;
        count++;
        bytes += m->size;
    }
    SB_ASSERT(count == state->out_count && bytes == state->out_bytes);
    count = 0;
    bytes = 0;
    const struct sp_message *before = NULL;
    for (const struct sp_message *m = state->in.first; m != NULL; before = m, m = m->next) {
        SB_ASSERT(m->before == before);
        count++;
        bytes += m->size;
    }
    SB_ASSERT(count == state->in_count && bytes == state->in_bytes);
    SB_ASSERT(state->in.first == NULL || state->in.last == before);
    SB_ASSERT(state->in_count + state->out_count <= state->store.count);
    SB_ASSERT(state->in_pinned_bytes <= state->in_bytes);
}
