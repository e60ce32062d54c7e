/* SPDX-License-Identifier: MIT */
#include "test/sim/app.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

void qs_app_recv_init(struct qs_app *app, struct qs_stream *stream)
{
    uint64_t total = qs_app_total(app, (enum sp_role)(1 - app->role), stream->id);
    stream->will_lend =
        qs_app_hash(app, app->role, stream->id, "lend") % 1000000 < app->own->lend_ppm;
    stream->will_stop =
        qs_app_hash(app, app->role, stream->id, "stop") % 1000000 < app->own->stop_ppm;
    uint64_t stop_at_max = app->own->stop_at_max > 0 ? app->own->stop_at_max : total;
    stream->stop_at = qs_app_hash(app, app->role, stream->id, "stop at") % (stop_at_max + 1);
}

static bool content_is_right(const struct qs_app *app, const struct qs_held *held)
{
    int sender = app->plan->lies_to_the_reader ? (int)app->role : 1 - (int)app->role;
    return qs_content_is(sender, held->id, held->offset, held->slice.data, held->slice.size);
}

void qs_app_release_held(struct qs_app *app, uint64_t now_ns)
{
    SB_LIST_EACH(link, &app->held) {
        struct qs_held *held = SB_CONTAINER_OF(link, struct qs_held, link);
        if (held->until_ns > now_ns)
            continue;
        if (!content_is_right(app, held))
            qs_fail(app->trace, "%s: a held slice of stream %" PRIu64 " changed", app->who,
                    held->id);
        sb_list_remove(&held->link);
        sb_buffer_unref(held->slice.buffer);
        free(held);
        app->held_count--;
    }
}

void qs_app_hold(struct qs_app *app, const struct qs_held *slice)
{
    struct qs_held *held = malloc(sizeof(*held));
    SB_ASSERT(held != NULL);
    *held = *slice;
    held->until_ns = app->clock->now_ns + qs_random_below(&app->random, app->own->hold_ns + 1);
    sb_list_init(&held->link);
    sb_list_push_back(&app->held, &held->link);
    app->held_count++;
}

static void consume(struct qs_app *app, struct qs_stream *stream, uint64_t size)
{
    SB_ASSERT(size <= stream->unread && size <= app->unread);
    stream->unread -= size;
    app->unread -= size;
    sp_conn_consume(app->conn, stream->id, size);
}

/* A tick of the slow reader: some credit, to the streams in their order. */
static void read_some(void *context, void *argument)
{
    (void)argument;
    struct qs_app *app = context;
    app->is_reading = false;
    if (app->conn == NULL || app->is_closed)
        return;
    uint64_t left = app->own->read_bytes;
    uint64_t id = QS_STREAM_FIRST;
    struct qs_stream *stream;
    while (left > 0 && (stream = qs_stream_table_next(&app->streams, &id)) != NULL) {
        uint64_t size = SB_MIN(left, stream->unread);
        if (size > 0)
            consume(app, stream, size);
        left -= size;
    }
    if (app->unread > 0) {
        app->is_reading = true;
        qs_clock_at(app->clock, app->clock->now_ns + app->own->read_ns, read_some, app, NULL);
    }
    app->wake(app->wake_context);
}

static void give_credit(struct qs_app *app, struct qs_stream *stream, uint64_t size)
{
    if (size == 0)
        return;
    stream->unread += size;
    app->unread += size;
    if (app->own->read_ns == 0) {
        consume(app, stream, size);
    } else if (!app->is_reading) {
        app->is_reading = true;
        qs_clock_at(app->clock, app->clock->now_ns + app->own->read_ns, read_some, app, NULL);
    }
}

void qs_app_maybe_stop(struct qs_app *app, struct qs_stream *stream)
{
    if (!stream->will_stop || stream->stop_asked || stream->fin_seen ||
        stream->recv_offset < stream->stop_at)
        return;
    enum sp_result result = sp_conn_stop(app->conn, stream->id, QS_ERROR_STOP + stream->id);
    if (result == SP_DONE)
        stream->stop_asked = true;
    else if (result != SP_CLOSED && result != SP_GONE)
        qs_fail(app->trace, "%s: stopping stream %" PRIu64 " gives %d", app->who, stream->id,
                (int)result);
}

void qs_app_note_received(struct qs_app *app, struct qs_stream *stream, uint64_t offset,
                          uint64_t size, bool fin)
{
    if (!stream->has_recv || stream->fin_seen || stream->reset_seen || stream->stop_asked)
        qs_fail(app->trace, "%s: stream %" PRIu64 " has data after its end", app->who, stream->id);
    if (offset != stream->recv_offset)
        qs_fail(app->trace, "%s: stream %" PRIu64 " has data at %" PRIu64 ", not at %" PRIu64,
                app->who, stream->id, offset, stream->recv_offset);
    if (size == 0 && !fin)
        qs_fail(app->trace, "%s: stream %" PRIu64 " has data of no bytes", app->who, stream->id);

    stream->recv_offset += size;
    app->bytes_received += size;
    uint64_t total = qs_app_total(app, (enum sp_role)(1 - app->role), stream->id);
    if (stream->recv_offset > total || (fin && stream->recv_offset != total))
        qs_fail(app->trace, "%s: stream %" PRIu64 " ends at %" PRIu64 ", not at %" PRIu64, app->who,
                stream->id, stream->recv_offset, total);
    stream->fin_seen = fin;
}

static void take_slice(struct qs_app *app, struct qs_stream *stream, const struct sb_slice *bytes,
                       uint64_t offset, bool fin)
{
    struct qs_held slice = {.slice = *bytes, .id = stream->id, .offset = offset};
    size_t size = slice.slice.size;
    qs_app_note_received(app, stream, slice.offset, size, fin);
    if (stream->has_lent && !sp_conn_is_closed(app->conn))
        qs_fail(app->trace, "%s: stream %" PRIu64 " has a slice, and memory was lent", app->who,
                stream->id);
    if (!content_is_right(app, &slice))
        qs_fail(app->trace, "%s: stream %" PRIu64 " has wrong bytes at %" PRIu64, app->who,
                stream->id, slice.offset);

    if (slice.slice.buffer != NULL && qs_random_chance(&app->random, app->own->hold_ppm))
        qs_app_hold(app, &slice);
    else
        sb_buffer_unref(slice.slice.buffer);
    give_credit(app, stream, size);
}

void qs_app_on_data(struct qs_app *app, struct qs_stream *stream, const struct sp_event *event)
{
    struct sb_slice more[QS_BATCH_MAX];
    uint64_t offset = event->data.offset;
    bool fin = event->data.fin;
    uint32_t count = 0;
    if (app->own->batch_max > 0 && !fin)
        count = sp_conn_more_data(app->conn, stream->id, more, app->own->batch_max, &fin);
    take_slice(app, stream, &event->data.slice, offset, fin && count == 0);
    offset += event->data.slice.size;
    for (uint32_t i = 0; i < count; i++) {
        take_slice(app, stream, &more[i], offset, fin && i + 1 == count);
        offset += more[i].size;
    }
    qs_app_maybe_stop(app, stream);
    qs_app_lend(app, stream);
}

void qs_app_on_reset(struct qs_app *app, struct qs_stream *stream, uint64_t error)
{
    if (!stream->has_recv || stream->fin_seen || stream->reset_seen)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is reset after its end", app->who, stream->id);
    /* An result to our STOP_SENDING may carry its code.  [RFC9000 3.5] */
    bool is_answer = stream->stop_asked && error == QS_ERROR_STOP + stream->id;
    if (error != QS_ERROR_RESET + stream->id && !is_answer)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is reset with %#" PRIx64, app->who, stream->id,
                error);
    stream->reset_seen = true;
}
