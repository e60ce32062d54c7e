/* SPDX-License-Identifier: MIT */
#include "test/sim/app.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

enum { RETRY_MS = 50 };

static void close_at(void *context, void *argument)
{
    (void)argument;
    struct qs_app *app = context;
    if (app->conn == NULL)
        return;
    static const char reason[] = "at its time";
    app->has_asked_close = true;
    sp_conn_close(app->conn, app->own->close_error, reason, sizeof(reason) - 1, app->clock->now_ns);
    app->wake(app->wake_context);
}

void qs_app_init(struct qs_app *app, const struct qs_app_args *args)
{
    *app = (struct qs_app){
        .trace = args->trace,
        .clock = args->clock,
        .who = args->who,
        .role = args->role,
        .plan = args->plan,
        .own = &args->plan->side[args->role].app,
        .peer = &args->plan->side[1 - args->role].app,
        .content_key = qs_hash(args->plan->seed, &args->conn_index, sizeof(args->conn_index)),
        .wake = args->wake,
        .wake_context = args->wake_context,
    };
    qs_random_init(&app->random, app->content_key + 1 + (uint64_t)args->role);
    qs_stream_table_init(&app->streams, sizeof(struct qs_stream));
    sb_list_init(&app->ready);
    sb_list_init(&app->targets);
    sb_list_init(&app->held);
}

void qs_app_start(struct qs_app *app, struct sp_conn *conn)
{
    app->conn = conn;
    if (app->own->close_when == QS_CLOSE_AT)
        qs_clock_at(app->clock, app->own->close_at_ns, close_at, app, NULL);
}

void qs_app_deinit(struct qs_app *app)
{
    if (app->clock == NULL)
        return; /* never initialised */
    qs_app_release_held(app, SB_NEVER);
    qs_app_forget_lent(app);
    qs_app_forget_targets(app);
    qs_app_forget_messages(app);
    free(app->arrived);
    qs_stream_table_deinit(&app->streams);
    *app = (struct qs_app){0};
}

uint64_t qs_app_hash(const struct qs_app *app, enum sp_role role, uint64_t id, const char *what)
{
    uint64_t seed = app->content_key ^ qs_mix(id * 2 + (uint64_t)role + 1);
    return qs_hash(seed, what, strlen(what));
}

uint64_t qs_app_total(const struct qs_app *app, enum sp_role role, uint64_t id)
{
    const struct qs_app_plan *plan = &app->plan->side[role].app;
    uint64_t count = plan->bytes_max - plan->bytes_min + 1;
    return plan->bytes_min + qs_app_hash(app, role, id, "size") % count;
}

static bool is_ours(const struct qs_app *app, uint64_t id)
{
    return (id & SP_STREAM_BY_SERVER) == (uint64_t)(app->role == SP_SERVER);
}

static struct qs_stream *stream_begin(struct qs_app *app, uint64_t id)
{
    struct qs_stream *stream = qs_stream_table_get(&app->streams, id);
    if (stream == NULL || stream->is_known) {
        qs_fail(app->trace, "%s: stream %" PRIu64 " is opened again or out of bounds", app->who,
                id);
        return NULL;
    }
    bool is_uni = (id & SP_STREAM_IS_UNI) != 0;
    stream->id = id;
    stream->is_known = true;
    stream->has_send = !is_uni || is_ours(app, id);
    stream->has_recv = !is_uni || !is_ours(app, id);
    sb_list_init(&stream->ready_link);
    if (stream->has_send)
        qs_app_send_init(app, stream);
    if (stream->has_recv)
        qs_app_recv_init(app, stream);
    if (sp_conn_stream_set_user(app->conn, id, stream) != SP_DONE)
        qs_fail(app->trace, "%s: stream %" PRIu64 " takes no user pointer", app->who, id);
    if (stream->has_recv)
        qs_app_lend(app, stream);
    return stream;
}

static void open_again(void *context, void *argument)
{
    (void)argument;
    struct qs_app *app = context;
    app->is_opening_later = false;
    if (app->conn != NULL && !app->is_closed)
        app->wake(app->wake_context); /* and qs_app_work() tries again */
}

/* No event says that there is memory again. */
static void open_later(struct qs_app *app)
{
    if (!app->plan->may_lack_memory)
        qs_fail(app->trace, "%s: there is no memory for a stream", app->who);
    if (app->is_opening_later)
        return;
    app->is_opening_later = true;
    qs_clock_at(app->clock, app->clock->now_ns + RETRY_MS * SB_MS, open_again, app, NULL);
}

static void open_streams(struct qs_app *app, bool is_uni)
{
    uint32_t count = is_uni ? app->own->uni_count : app->own->bidi_count;
    while (app->opened[is_uni] < count && !app->must_wait[is_uni] && !app->trace->has_failed) {
        uint64_t id;
        enum sp_result result = sp_conn_open(app->conn, is_uni, &id);
        if (result == SP_CLOSED)
            return;
        if (result == SP_AGAIN) {
            app->must_wait[is_uni] = true;
            return;
        }
        if (result == SP_NO_MEMORY) {
            open_later(app);
            return;
        }
        uint64_t want = (uint64_t)app->opened[is_uni] * 4 + (is_uni ? SP_STREAM_IS_UNI : 0) +
                        (app->role == SP_SERVER ? SP_STREAM_BY_SERVER : 0);
        if (result != SP_DONE || id != want) {
            qs_fail(app->trace, "%s: opening stream %" PRIu64 " gives %d, %" PRIu64, app->who, want,
                    (int)result, id);
            return;
        }
        app->opened[is_uni]++;
        (void)stream_begin(app, id);
    }
}

bool qs_app_is_complete(const struct qs_app *app)
{
    uint32_t count = 0;
    for (int is_uni = 0; is_uni < 2; is_uni++) {
        uint32_t own = is_uni ? app->own->uni_count : app->own->bidi_count;
        uint32_t peer = is_uni ? app->peer->uni_count : app->peer->bidi_count;
        if (app->opened[is_uni] < own || app->opened_by_peer[is_uni] < peer)
            return false;
        count += own + peer;
    }
    return app->is_connected && app->closed_count == count && qs_app_messages_are_done(app);
}

void qs_app_work(struct qs_app *app)
{
    qs_app_release_held(app, app->clock->now_ns);
    bool may_work = app->is_connected || app->is_early;
    if (app->conn != NULL)
        qs_app_note_message_size(app);
    if (!may_work || app->is_closed || app->conn == NULL || app->has_asked_close)
        return;
    open_streams(app, false);
    open_streams(app, true);
    qs_app_send_work(app);
    qs_app_message_work(app);

    if (app->own->close_when == QS_CLOSE_WHEN_DONE && qs_app_is_complete(app)) {
        static const char reason[] = "all is done";
        app->has_asked_close = true;
        sp_conn_close(app->conn, app->own->close_error, reason, sizeof(reason) - 1,
                      app->clock->now_ns);
    }
}

static void on_stream_opened(struct qs_app *app, uint64_t id)
{
    bool is_uni = (id & SP_STREAM_IS_UNI) != 0;
    if (is_ours(app, id))
        qs_fail(app->trace, "%s: the peer opens stream %" PRIu64 ", one of ours", app->who, id);
    app->opened_by_peer[is_uni]++;
    (void)stream_begin(app, id);
}

static void on_stream_closed(struct qs_app *app, struct qs_stream *stream)
{
    if (stream->is_closed)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is closed twice", app->who, stream->id);
    if (stream->lent_count > 0)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is closed and has %u writes lent", app->who,
                stream->id, stream->lent_count);
    if (stream->target_count > 0)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is closed and has %u memories lent", app->who,
                stream->id, stream->target_count);
    stream->is_closed = true;
    stream->is_cut = sp_conn_is_closed(app->conn);
    if (stream->is_cut)
        return;
    if (stream->has_send && !stream->fin_is_written && !stream->was_reset && !stream->was_stopped)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is closed before all was sent", app->who,
                stream->id);
    if (stream->has_recv && !stream->fin_seen && !stream->reset_seen && !stream->stop_asked)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is closed before all was received", app->who,
                stream->id);
    app->closed_count++;
}

static void on_stream_event(struct qs_app *app, const struct sp_event *event)
{
    struct qs_stream *stream = qs_stream_table_find(&app->streams, event->stream_id);
    if (stream == NULL || !stream->is_known || event->stream_user != stream) {
        qs_fail(app->trace, "%s: event %d of stream %" PRIu64 ", which has another user", app->who,
                (int)event->kind, event->stream_id);
        return;
    }
    if (stream->is_closed)
        qs_fail(app->trace, "%s: event %d of stream %" PRIu64 ", which is closed", app->who,
                (int)event->kind, event->stream_id);
    switch (event->kind) {
    case SP_EVENT_STREAM_DATA:
        qs_app_on_data(app, stream, event);
        break;
    case SP_EVENT_STREAM_PLACED:
        qs_app_on_placed(app, stream, event);
        break;
    case SP_EVENT_STREAM_RESET:
        qs_app_on_reset(app, stream, event->error);
        break;
    case SP_EVENT_STREAM_STOPPED:
        qs_app_on_stopped(app, stream, event->error);
        break;
    case SP_EVENT_STREAM_SENT:
        qs_app_on_sent(app, stream, event);
        break;
    default:
        SB_ASSERT(event->kind == SP_EVENT_STREAM_CLOSED);
        on_stream_closed(app, stream);
        break;
    }
}

/* What a stream's user pointer leads to is freed with the stream. */
static void check_streams_are_closed(const struct qs_app *app)
{
    uint64_t id = QS_STREAM_FIRST;
    const struct qs_stream *stream;
    while ((stream = qs_stream_table_next(&app->streams, &id)) != NULL)
        if (stream->is_known && !stream->is_closed)
            qs_fail(app->trace, "%s is closed before stream %" PRIu64, app->who, stream->id);
}

static void on_closed(struct qs_app *app, const struct sp_close *close)
{
    static const char *const kinds[] = {
        [SP_CLOSE_NONE] = "none",
        [SP_CLOSE_TRANSPORT] = "transport error",
        [SP_CLOSE_APP] = "application error",
        [SP_CLOSE_IDLE] = "idle",
        [SP_CLOSE_HANDSHAKE_TIMEOUT] = "handshake timeout",
        [SP_CLOSE_STATELESS_RESET] = "stateless reset",
        [SP_CLOSE_VERSION] = "no common version",
    };
    if (app->is_closed)
        qs_fail(app->trace, "%s is closed twice", app->who);
    if (!sb_list_is_empty(&app->targets))
        qs_fail(app->trace, "%s is closed and holds memory of the application", app->who);
    if (app->messages_out > 0)
        qs_fail(app->trace, "%s is closed and owes %u results", app->who, app->messages_out);
    check_streams_are_closed(app);
    app->is_closed = true;
    app->close = *close;
    qs_note(app->trace, "%s closed: %s, %s %#" PRIx64 " \"%.*s\"", app->who, kinds[close->kind],
            close->is_local ? "ours" : "the peer's", close->error, (int)close->reason_size,
            close->reason);
}

/* Which events may come in which state of the connection. */
static void check_order(struct qs_app *app, enum sp_event_kind kind)
{
    bool is_stream = kind >= SP_EVENT_MESSAGE && kind <= SP_EVENT_STREAM_CLOSED;
    bool ok = !app->is_drained;
    if (is_stream)
        ok = ok && (app->is_connected || app->is_early) && !app->is_closed;
    if (kind == SP_EVENT_EARLY)
        ok = ok && !app->is_connected && !app->is_early && !app->is_closed;
    if (kind == SP_EVENT_EARLY_REJECTED)
        ok = ok && !app->is_connected && app->is_early && !app->is_closed;
    if (kind == SP_EVENT_TICKET || kind == SP_EVENT_NEW_TOKEN)
        ok = ok && app->is_connected && !app->is_closed && app->role == SP_CLIENT;
    if (kind == SP_EVENT_CONNECTED)
        ok = ok && !app->is_connected && !app->is_closed;
    if (kind == SP_EVENT_CONFIRMED)
        ok = ok && app->is_connected && !app->is_confirmed && !app->is_closed;
    if (kind == SP_EVENT_DRAINED)
        ok = ok && app->is_closed;
    if (!ok)
        qs_fail(app->trace, "%s: event %d comes at the wrong time", app->who, (int)kind);
}

void qs_app_event(struct qs_app *app, const struct sp_event *event)
{
    check_order(app, event->kind);
    switch (event->kind) {
    case SP_EVENT_CONNECTED:
        app->is_connected = true;
        qs_note(app->trace, "%s connected", app->who);
        break;
    case SP_EVENT_EARLY:
        app->is_early = true;
        qs_note(app->trace, "%s may use 0-RTT", app->who);
        break;
    case SP_EVENT_EARLY_REJECTED:
        qs_note(app->trace, "%s: 0-RTT is rejected", app->who);
        break;
    case SP_EVENT_TICKET:
    case SP_EVENT_NEW_TOKEN:
        break;
    case SP_EVENT_CONFIRMED:
        app->is_confirmed = true;
        break;
    case SP_EVENT_MESSAGE:
        qs_app_on_message(app, event);
        break;
    case SP_EVENT_MESSAGES_DONE:
        qs_app_on_messages_done(app, event);
        break;
    case SP_EVENT_MESSAGE_ROOM:
        if (!app->waits_for_room)
            qs_fail(app->trace, "%s: room for messages, which nobody waits for", app->who);
        app->waits_for_room = false;
        break;
    case SP_EVENT_STREAMS_AVAILABLE:
        app->must_wait[event->is_uni] = false;
        break;
    case SP_EVENT_STREAM_OPENED:
        on_stream_opened(app, event->stream_id);
        break;
    case SP_EVENT_STREAM_DATA:
    case SP_EVENT_STREAM_PLACED:
    case SP_EVENT_STREAM_RESET:
    case SP_EVENT_STREAM_STOPPED:
    case SP_EVENT_STREAM_SENT:
    case SP_EVENT_STREAM_CLOSED:
        on_stream_event(app, event);
        break;
    case SP_EVENT_CLOSED:
        on_closed(app, event->close);
        break;
    case SP_EVENT_DRAINED:
        app->is_drained = true;
        break;
    default:
        qs_fail(app->trace, "%s: unknown event %d", app->who, (int)event->kind);
        break;
    }
}

void qs_app_conn_gone(struct qs_app *app)
{
    if (app->is_drained && app->lent_out > 0)
        qs_fail(app->trace, "%s has drained and still holds %u writes", app->who, app->lent_out);
    app->conn = NULL;
    qs_app_forget_targets(app);
    qs_app_forget_lent(app);
    qs_app_forget_messages(app);
}
