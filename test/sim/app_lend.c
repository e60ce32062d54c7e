/* SPDX-License-Identifier: MIT */
#include "test/sim/app.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

enum { UNTOLD = 0xa5, POISON = 0x5a };

/* Memory of exactly the size that is lent, so that a sanitizer sees each byte beyond it. */
struct qs_target {
    struct sb_link link; /* in qs_app.targets */
    uint64_t id;
    uint64_t offset; /* of data[0] in the stream */
    uint64_t told;   /* bytes of it that have arrived */
    uint64_t size;
    uint8_t data[];
};

static bool told_is_right(const struct qs_app *app, const struct qs_target *target)
{
    int sender = app->plan->lies_to_the_reader ? (int)app->role : 1 - (int)app->role;
    return qs_content_is(sender, target->id, target->offset, target->data, (size_t)target->told);
}

static struct qs_target *target_create(const struct qs_stream *stream, uint64_t size)
{
    struct qs_target *target = malloc(sizeof(*target) + (size_t)size);
    SB_ASSERT(target != NULL);
    *target = (struct qs_target){.id = stream->id, .size = size};
    memset(target->data, UNTOLD, (size_t)size);
    sb_list_init(&target->link);
    return target;
}

static void target_destroy(struct qs_app *app, struct qs_target *target)
{
    if (!told_is_right(app, target))
        qs_fail(app->trace, "%s: lent memory of stream %" PRIu64 " changed after it was told",
                app->who, target->id);
    memset(target->data, POISON, (size_t)target->size);
    sb_list_remove(&target->link);
    free(target);
}

static uint64_t tag_of(const struct qs_target *target)
{
    return (uint64_t)(uintptr_t)target;
}

static struct qs_target *find_target(const struct qs_app *app, uint64_t tag)
{
    SB_LIST_EACH(link, &app->targets) {
        struct qs_target *target = SB_CONTAINER_OF(link, struct qs_target, link);
        if (tag_of(target) == tag)
            return target;
    }
    return NULL;
}

/* False when no more can be lent now. */
static bool lend_one(struct qs_app *app, struct qs_stream *stream)
{
    uint64_t size = 1 + qs_random_below(&app->random, app->own->lend_bytes_max);
    struct qs_target *target = target_create(stream, size);
    struct sp_lend lend = {.data = target->data, .size = size, .tag = tag_of(target)};
    enum sp_result result = sp_conn_receive_into(app->conn, stream->id, &lend, &target->offset);
    if (result != SP_DONE) {
        if (result == SP_INVALID ||
            ((result == SP_AGAIN || result == SP_NO_MEMORY) && !app->plan->may_lack_memory))
            qs_fail(app->trace, "%s: lending memory to stream %" PRIu64 " gives %d", app->who,
                    stream->id, (int)result);
        free(target);
        return false;
    }
    uint64_t want = SB_MAX(stream->target_end, stream->recv_offset);
    if (target->offset != want)
        qs_fail(app->trace,
                "%s: memory for stream %" PRIu64 " begins at %" PRIu64 ", not at %" PRIu64,
                app->who, stream->id, target->offset, want);
    stream->has_lent = true;
    stream->target_end = want + size;
    stream->target_count++;
    sb_list_push_back(&app->targets, &target->link);
    return true;
}

static void lend_again(void *context, void *argument)
{
    struct qs_app *app = context;
    struct qs_stream *stream = argument;
    stream->is_lending_again = false;
    if (app->conn == NULL || app->is_closed)
        return;
    qs_app_lend(app, stream);
    app->wake(app->wake_context);
}

void qs_app_lend(struct qs_app *app, struct qs_stream *stream)
{
    if (!stream->will_lend || stream->is_closed || stream->fin_seen || stream->reset_seen ||
        stream->stop_asked || stream->is_lending_again)
        return;
    if (qs_random_chance(&app->random, app->own->lend_pause_ppm)) {
        /* Bytes that come meanwhile are delivered as slices, or wait. */
        stream->is_lending_again = true;
        uint64_t at_ns = app->clock->now_ns + qs_random_below(&app->random, QS_LEND_PAUSE_NS_MAX);
        qs_clock_at(app->clock, at_ns, lend_again, app, stream);
        return;
    }
    while (stream->target_count < app->own->lends_max && lend_one(app, stream))
        continue;
}

void qs_app_on_placed(struct qs_app *app, struct qs_stream *stream, const struct sp_event *event)
{
    if (event->placed.data == NULL) {
        if (stream->target_count > 0 || event->placed.size > 0 || event->placed.is_returned)
            qs_fail(app->trace, "%s: stream %" PRIu64 " has bytes nowhere", app->who, stream->id);
        qs_app_note_received(app, stream, event->placed.offset, 0, event->placed.fin);
        return;
    }
    struct qs_target *target = find_target(app, event->placed.tag);
    if (target == NULL || target->id != stream->id) {
        qs_fail(app->trace, "%s: stream %" PRIu64 " has bytes in memory that is not lent", app->who,
                stream->id);
        return;
    }
    uint64_t size = event->placed.size;
    if (event->placed.data != target->data + target->told || size > target->size - target->told ||
        event->placed.offset != target->offset + target->told) {
        qs_fail(app->trace, "%s: bytes of stream %" PRIu64 " are not where they belong", app->who,
                stream->id);
        return;
    }
    bool is_full = target->told + size == target->size;
    if (is_full && !event->placed.is_returned)
        qs_fail(app->trace, "%s: memory of stream %" PRIu64 " is full and stays lent", app->who,
                stream->id);
    if (size == 0 && !event->placed.fin && !event->placed.is_returned)
        qs_fail(app->trace, "%s: stream %" PRIu64 " is told nothing", app->who, stream->id);

    target->told += size;
    if (!told_is_right(app, target))
        qs_fail(app->trace, "%s: stream %" PRIu64 " has wrong bytes before %" PRIu64, app->who,
                stream->id, target->offset + target->told);
    if (size > 0 || event->placed.fin)
        qs_app_note_received(app, stream, event->placed.offset, size, event->placed.fin);
    if (event->placed.is_returned) {
        SB_ASSERT(stream->target_count > 0);
        stream->target_count--;
        target_destroy(app, target);
    }
    qs_app_maybe_stop(app, stream);
    qs_app_lend(app, stream);
}

void qs_app_forget_targets(struct qs_app *app)
{
    SB_LIST_EACH(link, &app->targets)
        target_destroy(app, SB_CONTAINER_OF(link, struct qs_target, link));
}
