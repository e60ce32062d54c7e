/* SPDX-License-Identifier: MIT */
/* Messages of the application: sent at a pace, checked on arrival, and each has one result. */

#include "test/sim/app.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/message.h"

/* A message is: its number (4 bytes), its size (4 bytes), content.  A shorter one is content alone,
 * of number 0. */
enum { HEAD_SIZE = 8, POISON = 0x5a, RETRY_MS = 50 };

#define CONTENT_ID(number) (UINT64_C(1) << 40 | (uint64_t)(number))

static void work_again(void *context, void *argument)
{
    (void)argument;
    struct qs_app *app = context;
    app->is_messaging_later = false;
    if (app->conn != NULL && !app->is_closed)
        app->wake(app->wake_context);
}

static void work_later(struct qs_app *app, uint64_t in_ns)
{
    if (app->is_messaging_later)
        return;
    app->is_messaging_later = true;
    qs_clock_at(app->clock, app->clock->now_ns + in_ns, work_again, app, NULL);
}

static void write_content(const struct qs_app *app, uint32_t number, uint8_t *data, uint32_t size)
{
    if (size < HEAD_SIZE) {
        qs_content_fill((int)app->role, CONTENT_ID(0), 0, data, size);
        return;
    }
    memcpy(data, &number, 4);
    memcpy(data + 4, &size, 4);
    qs_content_fill((int)app->role, CONTENT_ID(number), 0, data + HEAD_SIZE, size - HEAD_SIZE);
}

/* Returns the number of the message, or UINT32_MAX if it was never sent like that. */
static uint32_t read_content(int sender, const uint8_t *data, size_t size)
{
    uint32_t number, said_size;
    if (size < HEAD_SIZE)
        return qs_content_is(sender, CONTENT_ID(0), 0, data, size) ? 0 : UINT32_MAX;
    memcpy(&number, data, 4);
    memcpy(&said_size, data + 4, 4);
    bool is_right = said_size == size && qs_content_is(sender, CONTENT_ID(number), 0,
                                                       data + HEAD_SIZE, size - HEAD_SIZE);
    return is_right ? number : UINT32_MAX;
}

static void take_back(struct qs_app *app, struct qs_app_message *message)
{
    memset(message->data, POISON, message->size);
    free(message->data);
    message->data = NULL;
    app->messages_out--;
}

static uint32_t choose_size(struct qs_app *app, uint32_t number)
{
    uint64_t max = (uint64_t)sp_conn_message_size_max(app->conn);
    uint64_t want =
        qs_app_hash(app, app->role, number, "message") % (app->own->message_size_max + 1);
    return (uint32_t)SB_MIN(want, max);
}

/* Sends the next message.  Returns false if that has to wait. */
static bool send_one(struct qs_app *app)
{
    uint32_t number = app->message_next;
    struct qs_app_message *message = &app->messages[number];
    uint32_t size = choose_size(app, number);
    uint64_t deadline_ns =
        app->own->message_deadline_ns == 0
            ? SB_NEVER
            : app->clock->now_ns + qs_random_below(&app->random, app->own->message_deadline_ns);
    bool is_copied =
        size <= SP_COPY_SIZE_MAX && qs_random_chance(&app->random, app->own->message_copy_ppm);
    bool is_silent = is_copied && qs_random_chance(&app->random, app->own->message_silent_ppm);
    uint8_t *data = malloc(size > 0 ? size : 1);
    SB_ASSERT(data != NULL);
    write_content(app, number, data, size);
    const struct sp_message_args args = {.data = data,
                                         .size = size,
                                         .tag = number,
                                         .deadline_ns = deadline_ns,
                                         .is_copied = is_copied,
                                         .is_silent = is_silent};
    enum sp_result result = sp_conn_send_message(app->conn, &args);
    if (result == SP_DONE) {
        *message = (struct qs_app_message){
            .data = data, .size = size, .deadline_ns = deadline_ns, .is_out = !is_silent};
        app->message_next++;
        app->messages_out++;
        app->messages_overdue += deadline_ns <= app->clock->now_ns;
        if (is_copied)
            memset(data, POISON, size);
        message->is_copied = is_copied;
        if (is_silent)
            take_back(app, message);
        return true;
    }
    free(data);
    if (result == SP_NO_MEMORY)
        work_later(app, RETRY_MS * SB_MS);
    else if (result == SP_AGAIN)
        app->waits_for_room = true;
    else if (result != SP_CLOSED)
        qs_fail(app->trace, "%s: sending message %u gives %d", app->who, number, (int)result);
    return false;
}

/* What fitted once may be dropped later if the path takes less meanwhile. */
void qs_app_note_message_size(struct qs_app *app)
{
    int64_t max = sp_conn_message_size_max(app->conn);
    if (max >= 0)
        app->message_size_min =
            app->message_size_min == 0 ? max : SB_MIN(app->message_size_min, max);
}

void qs_app_message_work(struct qs_app *app)
{
    if (app->own->message_count == 0 || sp_conn_message_size_max(app->conn) < 0)
        return;
    if (app->messages == NULL)
        app->messages = calloc(app->own->message_count, sizeof(*app->messages));
    SB_ASSERT(app->messages != NULL);
    for (uint32_t i = 0; i < app->own->message_burst; i++) {
        if (app->message_next == app->own->message_count || app->waits_for_room ||
            app->is_messaging_later || !send_one(app))
            return;
    }
    work_later(app, app->own->message_ns + 1);
}

bool qs_app_messages_are_done(const struct qs_app *app)
{
    bool may_send = app->plan->side[1 - app->role].config.message_frame_size_max > 0;
    return !may_send || (app->message_next == app->own->message_count && app->messages_out == 0);
}

static void on_result(struct qs_app *app, const struct sp_message_result *result)
{
    struct qs_app_message *message =
        result->tag < app->message_next ? &app->messages[result->tag] : NULL;
    if (message == NULL || !message->is_out || message->size != result->size) {
        qs_fail(app->trace, "%s: message %" PRIu64 " has a result that it cannot have", app->who,
                result->tag);
        return;
    }
    if (!message->is_copied && read_content((int)app->role, message->data, message->size) !=
                                   (message->size < HEAD_SIZE ? 0 : result->tag))
        qs_fail(app->trace, "%s: message %" PRIu64 " was written to", app->who, result->tag);
    /* A train that is held is too late if it departs too late. */
    uint64_t departs_ns = app->clock->now_ns + app->plan->side[app->role].ahead_ns;
    if (result->fate == SP_MESSAGE_EXPIRED && message->deadline_ns > departs_ns)
        qs_fail(app->trace, "%s: message %" PRIu64 " expired too early", app->who, result->tag);
    if (result->fate == SP_MESSAGE_DROPPED && !sp_conn_is_closed(app->conn) &&
        app->message_size_min >= (int64_t)message->size)
        qs_fail(app->trace, "%s: message %" PRIu64 " was dropped", app->who, result->tag);
    message->is_out = false;
    app->messages_acked += result->fate == SP_MESSAGE_ACKED;
    take_back(app, message);
}

void qs_app_on_messages_done(struct qs_app *app, const struct sp_event *event)
{
    if (event->messages_done.count == 0)
        qs_fail(app->trace, "%s: results of no messages", app->who);
    for (uint32_t i = 0; i < event->messages_done.count && !app->trace->has_failed; i++)
        on_result(app, &event->messages_done.results[i]);
}

static void note_arrival(struct qs_app *app, uint32_t number)
{
    if (number >= app->peer->message_count) {
        qs_fail(app->trace, "%s: a message arrives that was never sent", app->who);
        return;
    }
    if (app->arrived == NULL)
        app->arrived = calloc(app->peer->message_count, 1);
    SB_ASSERT(app->arrived != NULL);
    if (app->arrived[number]++ > 0)
        qs_fail(app->trace, "%s: message %u arrives twice", app->who, number);
}

/* Some slices are kept for a while: their bytes must not change. */
static void take_message(struct qs_app *app, const struct sb_slice *slice)
{
    int sender = app->plan->lies_to_the_reader ? (int)app->role : 1 - (int)app->role;
    uint32_t number = read_content(sender, slice->data, slice->size);
    if (number == UINT32_MAX)
        qs_fail(app->trace, "%s: a message of %zu bytes has wrong ones", app->who, slice->size);
    else if (slice->size >= HEAD_SIZE)
        note_arrival(app, number);
    app->messages_arrived++;
    sp_conn_release_message(app->conn, slice->size);
    if (slice->size > HEAD_SIZE && qs_random_chance(&app->random, app->own->hold_ppm)) {
        const struct qs_held held = {
            .slice = {slice->data + HEAD_SIZE, slice->size - HEAD_SIZE, slice->buffer},
            .id = CONTENT_ID(number),
        };
        qs_app_hold(app, &held);
    } else {
        sb_buffer_unref(slice->buffer);
    }
}

void qs_app_on_message(struct qs_app *app, const struct sp_event *event)
{
    struct sb_slice more[QS_BATCH_MAX];
    uint32_t count = 0;
    if (app->own->batch_max > 0)
        count = sp_conn_more_messages(app->conn, more, app->own->batch_max);
    take_message(app, &event->message);
    for (uint32_t i = 0; i < count; i++)
        take_message(app, &more[i]);
}

void qs_app_forget_messages(struct qs_app *app)
{
    for (uint32_t i = 0; app->messages != NULL && i < app->message_next; i++)
        free(app->messages[i].data);
    free(app->messages);
    app->messages = NULL;
}
