/* SPDX-License-Identifier: MIT */
#include "test/sim/app.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

enum { POISON = 0x5a, RETRY_MS = 50 };

static void make_ready(struct qs_app *app, struct qs_stream *stream)
{
    if (!sb_link_is_in(&stream->ready_link))
        sb_list_push_back(&app->ready, &stream->ready_link);
}

void qs_app_send_init(struct qs_app *app, struct qs_stream *stream)
{
    stream->send_total = qs_app_total(app, app->role, stream->id);
    stream->fin_is_alone = qs_app_hash(app, app->role, stream->id, "fin") % 4 == 0;
    stream->will_reset =
        qs_app_hash(app, app->role, stream->id, "reset") % 1000000 < app->own->reset_ppm;
    stream->reset_at =
        qs_app_hash(app, app->role, stream->id, "reset at") % (stream->send_total + 1);
    make_ready(app, stream);
}

/* The upper half of a tag is checked, the lower is the index. */
static uint64_t tag_of(const struct qs_app *app, uint32_t index)
{
    return (qs_mix(app->content_key + index) & ~(uint64_t)UINT32_MAX) | index;
}

static struct qs_lent *lend(struct qs_app *app, const struct qs_stream *stream, size_t size)
{
    if (app->lent_made == app->lent_size) {
        app->lent_size = 2 * app->lent_size + 16;
        app->lent = realloc(app->lent, app->lent_size * sizeof(*app->lent));
        SB_ASSERT(app->lent != NULL);
    }
    struct qs_lent *lent = &app->lent[app->lent_made];
    *lent = (struct qs_lent){
        .data = malloc(size > 0 ? size : 1),
        .size = size,
        .id = stream->id,
        .offset = stream->send_offset,
    };
    SB_ASSERT(lent->data != NULL);
    qs_content_fill((int)app->role, stream->id, stream->send_offset, lent->data, size);
    return lent;
}

static void take_back(struct qs_lent *lent)
{
    memset(lent->data, POISON, lent->size);
    free(lent->data);
    lent->data = NULL;
}

void qs_app_forget_lent(struct qs_app *app)
{
    for (uint32_t i = 0; i < app->lent_made; i++) {
        if (app->lent[i].data != NULL)
            take_back(&app->lent[i]);
    }
    free(app->lent);
    app->lent = NULL;
    app->lent_made = 0;
    app->lent_size = 0;
    app->lent_out = 0;
}

static void reduce(void *context, void *argument);

/* Abandons all but the first bytes, of some streams with less of them later.  [reliable-reset 5] */
static enum sp_result reset_at(struct qs_app *app, struct qs_stream *stream)
{
    uint64_t hash = qs_app_hash(app, app->role, stream->id, "reliable size");
    uint64_t size = hash % (stream->send_offset + 1);
    enum sp_result result =
        sp_conn_reset_at(app->conn, stream->id, QS_ERROR_RESET + stream->id, size);
    if (result == SP_UNSUPPORTED && !app->plan->side[1 - app->role].config.reset_stream_at)
        return sp_conn_reset(app->conn, stream->id, QS_ERROR_RESET + stream->id);
    if (result != SP_DONE)
        return result;
    stream->reliable_size = size;
    uint64_t in_ns = qs_random_below(&app->random, app->own->reset_ns + 1);
    if (hash >> 32 & 1)
        qs_clock_at(app->clock, app->clock->now_ns + in_ns, reduce, app, stream);
    return result;
}

static void reduce(void *context, void *argument)
{
    struct qs_app *app = context;
    struct qs_stream *stream = argument;
    if (app->conn == NULL || app->is_closed || stream->is_closed || stream->reliable_size == 0)
        return;
    uint64_t size = stream->reliable_size / 2;
    uint64_t other_error = QS_ERROR_RESET + stream->id + 1; /* is not taken */
    enum sp_result result = sp_conn_reset_at(app->conn, stream->id, other_error, size);
    if (result == SP_DONE)
        stream->reliable_size = size;
    else if (result != SP_GONE && result != SP_CLOSED)
        qs_fail(app->trace, "%s: a smaller reset of stream %" PRIu64 " gives %d", app->who,
                stream->id, (int)result);
    app->wake(app->wake_context);
}

static void abandon(struct qs_app *app, struct qs_stream *stream)
{
    bool has_size =
        qs_app_hash(app, app->role, stream->id, "reset kind") % 1000000 < app->own->reset_at_ppm;
    enum sp_result result = has_size
                                ? reset_at(app, stream)
                                : sp_conn_reset(app->conn, stream->id, QS_ERROR_RESET + stream->id);
    if (result == SP_CLOSED)
        return;
    if (result != SP_DONE && !(result == SP_GONE && stream->was_stopped))
        qs_fail(app->trace, "%s: reset of stream %" PRIu64 " gives %d", app->who, stream->id,
                (int)result);
    stream->was_reset = true;
}

static void abandon_now(void *context, void *argument)
{
    struct qs_app *app = context;
    struct qs_stream *stream = argument;
    if (app->conn == NULL || app->is_closed || stream->was_reset)
        return;
    abandon(app, stream);
    app->wake(app->wake_context);
}

/* Part of it has been sent by then. */
static void abandon_soon(struct qs_app *app, struct qs_stream *stream)
{
    stream->is_resetting = true;
    uint64_t in_ns = qs_random_below(&app->random, app->own->reset_ns + 1);
    qs_clock_at(app->clock, app->clock->now_ns + in_ns, abandon_now, app, stream);
}

static void write_again(void *context, void *argument)
{
    struct qs_app *app = context;
    struct qs_stream *stream = argument;
    if (app->conn == NULL || app->is_closed)
        return;
    make_ready(app, stream);
    app->wake(app->wake_context);
}

/* Queues a write, every fourth in pieces: no random number is drawn for it. */
static enum sp_result write_now(struct qs_app *app, const struct qs_stream *stream,
                                const struct sp_write *write)
{
    enum { PIECES = 5 };
    if ((stream->id / 4 + stream->send_offset) % 4 != 1)
        return sp_conn_write(app->conn, stream->id, write);
    struct sb_bytes ranges[PIECES];
    size_t at = 0;
    for (size_t i = 0; i < PIECES; i++) { /* the first has nothing, the others grow */
        size_t size = i + 1 == PIECES ? write->size - at : (write->size - at) * i / PIECES;
        ranges[i] = (struct sb_bytes){.data = (const uint8_t *)write->data + at, .size = size};
        at += size;
    }
    return sp_conn_writev(
        app->conn, stream->id,
        &(struct sp_writev){
            .ranges = ranges, .count = PIECES, .tag = write->tag, .fin = write->fin});
}

/* What was acknowledged is behind the stream's progress. */
static void check_progress(struct qs_app *app, const struct qs_lent *lent)
{
    struct sp_progress progress;
    if (app->conn == NULL || sp_conn_progress(app->conn, lent->id, &progress) != SP_DONE)
        return;
    if (progress.acked_bytes < lent->offset + lent->size ||
        progress.acked_bytes > progress.sent_bytes || progress.sent_bytes > progress.queued_bytes ||
        progress.sent_bytes > progress.credit_bytes)
        qs_fail(app->trace, "%s: the progress of stream %" PRIu64 " is wrong", app->who, lent->id);
}

/* Gives the stream any priority, or the one that it has. */
static void prioritize(struct qs_app *app, struct qs_stream *stream)
{
    uint32_t urgency = (uint32_t)qs_random_between(&app->random, 0, SP_URGENCY_MAX);
    bool is_incremental = qs_random_below(&app->random, 2) == 0;
    enum sp_result result =
        sp_conn_stream_set_priority(app->conn, stream->id, urgency, is_incremental);
    if (result == SP_INVALID)
        qs_fail(app->trace, "%s: priority of stream %" PRIu64 " gives %d", app->who, stream->id,
                (int)result);
}

/* Returns whether the application has nothing to write for a while. */
static bool is_pausing(struct qs_app *app, struct qs_stream *stream)
{
    uint64_t now_ns = app->clock->now_ns;
    if (app->own->pause_ns == 0)
        return false;
    if (stream->send_offset - stream->pause_offset >= app->own->pause_bytes) {
        stream->pause_offset = stream->send_offset;
        stream->pause_until_ns = now_ns + app->own->pause_ns;
        qs_clock_at(app->clock, stream->pause_until_ns, write_again, app, stream);
    }
    return now_ns < stream->pause_until_ns;
}

/* One write.  False when the stream has to wait or has nothing more. */
static bool write_some(struct qs_app *app, struct qs_stream *stream)
{
    uint64_t left = stream->send_total - stream->send_offset;
    if (stream->is_resetting || is_pausing(app, stream))
        return false;
    if (app->own->prioritize_ppm > 0 && qs_random_chance(&app->random, app->own->prioritize_ppm))
        prioritize(app, stream);
    if (stream->will_reset && stream->send_offset >= stream->reset_at) {
        abandon_soon(app, stream);
        return false;
    }
    uint64_t some = qs_random_between(&app->random, 1, app->own->write_bytes_max);
    uint64_t size = SB_MIN(left, some);
    bool fin = size == left && (size == 0 || !stream->fin_is_alone);
    struct qs_lent *lent = lend(app, stream, (size_t)size);
    struct sp_write write = {
        .data = lent->data,
        .size = lent->size,
        .tag = tag_of(app, app->lent_made),
        .fin = fin,
    };
    enum sp_result result = write_now(app, stream, &write);
    if (result == SP_DONE) {
        app->lent_made++;
        app->lent_out++;
        stream->lent_count++;
        stream->send_offset += size;
        stream->fin_is_written = fin;
        return !fin;
    }
    take_back(lent);
    if (result == SP_NO_MEMORY)
        qs_clock_at(app->clock, app->clock->now_ns + RETRY_MS * SB_MS, write_again, app, stream);
    else if (result == SP_GONE && !stream->was_stopped)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is gone before it was stopped", app->who,
                stream->id);
    else if (result == SP_INVALID)
        qs_fail(app->trace, "%s: a write to stream %" PRIu64 " is invalid", app->who, stream->id);
    return false;
}

void qs_app_send_work(struct qs_app *app)
{
    struct sb_link *link;
    while ((link = sb_list_pop_front(&app->ready)) != NULL && !app->trace->has_failed) {
        struct qs_stream *stream = SB_CONTAINER_OF(link, struct qs_stream, ready_link);
        while (!stream->fin_is_written && !stream->was_reset && !stream->was_stopped &&
               stream->lent_count < app->own->writes_max) {
            if (!write_some(app, stream))
                break;
        }
    }
}

void qs_app_on_sent(struct qs_app *app, struct qs_stream *stream, const struct sp_event *event)
{
    uint32_t index = (uint32_t)event->sent.tag;
    if (index >= app->lent_made || event->sent.tag != tag_of(app, index)) {
        qs_fail(app->trace, "%s: tag %#" PRIx64 " was never lent", app->who, event->sent.tag);
        return;
    }
    struct qs_lent *lent = &app->lent[index];
    if (lent->data == NULL) {
        qs_fail(app->trace, "%s: tag %#" PRIx64 " comes back twice", app->who, event->sent.tag);
        return;
    }
    if (lent->id != stream->id || lent->size != event->sent.size)
        qs_fail(app->trace, "%s: tag %#" PRIx64 " comes back as another write", app->who,
                event->sent.tag);
    if (!qs_content_is((int)app->role, lent->id, lent->offset, lent->data, lent->size))
        qs_fail(app->trace, "%s: lent bytes of stream %" PRIu64 " were written to", app->who,
                lent->id);
    if (event->sent.is_acked)
        check_progress(app, lent);
    uint64_t lent_end = lent->size > 0 ? lent->offset + lent->size : UINT64_MAX;
    take_back(lent);
    SB_ASSERT(stream->lent_count > 0 && app->lent_out > 0);
    stream->lent_count--;
    app->lent_out--;
    if (!event->sent.is_acked)
        stream->given_up_count++;
    if (!event->sent.is_acked && lent_end <= stream->reliable_size)
        stream->has_given_up_reliable = true;
    make_ready(app, stream);
}

void qs_app_on_stopped(struct qs_app *app, struct qs_stream *stream, uint64_t error)
{
    if (!stream->has_send || stream->was_stopped)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is stopped twice or receives only", app->who,
                stream->id);
    if (error != QS_ERROR_STOP + stream->id)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is stopped with %#" PRIx64, app->who,
                stream->id, error);
    stream->was_stopped = true;
    if (!stream->was_reset)
        abandon(app, stream); /* [RFC9000 3.5] */
}
