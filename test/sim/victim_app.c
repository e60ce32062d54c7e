/* SPDX-License-Identifier: MIT */
/* The application of a monkey's victim.
 *
 * It does what an application may do: reads, keeps slices, lends memory, answers with many bytes,
 * resets, stops, opens streams and closes.  It fails the run when an event breaks a promise: bytes
 * out of order, bytes after the end, memory that is still lent when the connection has closed. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/conn/message.h"
#include "test/sim/victim.h"

enum {
    ANSWERS_MAX = 4,  /* streams that are answered with many bytes */
    LENDING_MAX = 8,  /* streams that memory is lent to */
    MEMORIES_MAX = 3, /* lent to one stream at a time */
    MEMORY_SIZE_MAX = 5000,
    STREAMS_SHOT_AT = 30, /* by the application's own acts */
    HOLD_NS = 100 * SB_MS,
};

/* What the application sends: lent until the end of the run, and never changed. */
static const uint8_t content[60000];

struct qs_held_slice {
    struct qs_held_slice *next;
    struct sb_slice slice;
    uint64_t stream_id;
    uint64_t until_ns;
};

struct qs_victim_memory {
    struct qs_victim_memory *next;
    uint64_t offset;
    size_t size;
    uint8_t data[];
};

/* Any result but SP_INVALID may come: the stream may be gone, closed or short of memory. */
static void check_result(struct qs_victim *v, enum sp_result result)
{
    if (result == SP_INVALID)
        qs_fail(v->host->trace, "%s: an operation on a stream is invalid", v->who);
}

static bool is_bidi(uint64_t id)
{
    return (id & SP_STREAM_IS_UNI) == 0;
}

/* ---- Slices ---- */

static void release_held(struct qs_victim *v, uint64_t now_ns)
{
    struct qs_held_slice **at = &v->held;
    while (*at != NULL) {
        struct qs_held_slice *held = *at;
        if (held->until_ns > now_ns) {
            at = &held->next;
            continue;
        }
        *at = held->next;
        if (v->conn != NULL && held->slice.size > 0)
            sp_conn_consume(v->conn, held->stream_id, held->slice.size);
        sb_buffer_unref(held->slice.buffer);
        free(held);
    }
}

/* The next bytes must begin where the last ones ended; an event without any may only return memory.
 * NULL after a failure. */
static struct qs_victim_stream *note_bytes(struct qs_victim *v, uint64_t id, uint64_t offset,
                                           uint64_t size, bool fin)
{
    struct qs_victim_stream *stream = qs_stream_table_get(&v->streams, id);
    bool is_wrong = stream == NULL ||
                    ((size > 0 || fin) && (stream->fin_seen || offset != stream->next_offset));
    if (is_wrong) {
        qs_fail(v->host->trace,
                "%s: stream %" PRIu64 " delivers %" PRIu64 " bytes from %" PRIu64 " on", v->who, id,
                size, offset);
        return NULL;
    }
    stream->next_offset += size;
    stream->fin_seen = stream->fin_seen || fin;
    return stream;
}

static void on_fin(struct qs_victim *v, uint64_t id)
{
    if (is_bidi(id))
        check_result(v, sp_conn_write(v->conn, id, &(struct sp_write){.fin = true}));
}

static void on_data(struct qs_victim *v, const struct sp_event *event)
{
    const struct sb_slice *slice = &event->data.slice;
    (void)note_bytes(v, event->stream_id, event->data.offset, slice->size, event->data.fin);
    bool keeps = v->mode == QS_VICTIM_HOLDS || v->mode == QS_VICTIM_IGNORES;
    if (keeps && slice->buffer != NULL) {
        struct qs_held_slice *held = malloc(sizeof(*held));
        SB_ASSERT(held != NULL);
        *held = (struct qs_held_slice){
            .next = v->held,
            .slice = *slice,
            .stream_id = event->stream_id,
            .until_ns = v->mode == QS_VICTIM_HOLDS ? v->host->clock->now_ns + HOLD_NS : SB_NEVER,
        };
        v->held = held;
    } else {
        if (slice->size > 0)
            sp_conn_consume(v->conn, event->stream_id, slice->size);
        sb_buffer_unref(slice->buffer);
    }
    if (event->data.fin)
        on_fin(v, event->stream_id);
}

/* ---- Lent memory ---- */

static void lend(struct qs_victim *v, uint64_t id, struct qs_victim_stream *stream)
{
    while (stream->memory_count < MEMORIES_MAX) {
        size_t size = 1 + (size_t)qs_random_below(&v->random, MEMORY_SIZE_MAX);
        struct qs_victim_memory *memory = malloc(sizeof(*memory) + size);
        SB_ASSERT(memory != NULL);
        memory->size = size;
        struct sp_lend args = {
            .data = memory->data, .size = size, .tag = (uint64_t)(uintptr_t)memory};
        enum sp_result result = sp_conn_receive_into(v->conn, id, &args, &memory->offset);
        check_result(v, result);
        if (result != SP_DONE) {
            free(memory);
            return;
        }
        memory->next = v->lent;
        v->lent = memory;
        stream->memory_count++;
        stream->has_lent = true;
    }
}

static void take_back(struct qs_victim *v, uint64_t tag)
{
    for (struct qs_victim_memory **at = &v->lent; *at != NULL; at = &(*at)->next) {
        struct qs_victim_memory *memory = *at;
        if ((uint64_t)(uintptr_t)memory != tag)
            continue;
        *at = memory->next;
        memset(memory->data, 0xdd, memory->size);
        free(memory);
        return;
    }
    qs_fail(v->host->trace, "%s: memory comes back that was not lent", v->who);
}

static void on_placed(struct qs_victim *v, const struct sp_event *event)
{
    struct qs_victim_stream *stream = note_bytes(v, event->stream_id, event->placed.offset,
                                                 event->placed.size, event->placed.fin);
    if (stream == NULL)
        return;
    if (event->placed.is_returned) {
        take_back(v, event->placed.tag);
        stream->memory_count--;
    }
    if (event->placed.fin)
        on_fin(v, event->stream_id);
    else if (event->placed.is_returned && qs_random_below(&v->random, 4) > 0)
        lend(v, event->stream_id, stream);
}

/* ---- The application ---- */

static void on_opened(struct qs_victim *v, uint64_t id)
{
    struct qs_victim_stream *stream = qs_stream_table_get(&v->streams, id);
    if (stream != NULL && v->mode == QS_VICTIM_LENDS && v->lending_count < LENDING_MAX) {
        v->lending_count++;
        lend(v, id, stream);
    }
    if (!is_bidi(id))
        return;
    size_t size = v->answer_count++ < ANSWERS_MAX ? sizeof(content) : 1;
    struct sp_write bytes = {.data = content, .size = size};
    check_result(v, sp_conn_write(v->conn, id, &bytes));
}

static void on_closed(struct qs_victim *v, const struct sp_close *close)
{
    if (v->lent != NULL)
        qs_fail(v->host->trace, "%s is closed and holds memory of the application", v->who);
    v->is_closed = true;
    v->report->closed_count += close->kind == SP_CLOSE_TRANSPORT;
    qs_note(v->host->trace, "%s closed: %d %#" PRIx64 " %.*s", v->who, (int)close->kind,
            close->error, (int)close->reason_size, close->reason);
}

void qs_victim_event(struct qs_victim *v, const struct sp_event *event)
{
    switch (event->kind) {
    case SP_EVENT_CONNECTED:
        v->is_connected = true;
        break;
    case SP_EVENT_STREAM_OPENED:
        on_opened(v, event->stream_id);
        break;
    case SP_EVENT_MESSAGE:
        sp_conn_release_message(v->conn, event->message.size);
        sb_buffer_unref(event->message.buffer);
        break;
    case SP_EVENT_STREAM_DATA:
        on_data(v, event);
        break;
    case SP_EVENT_STREAM_PLACED:
        on_placed(v, event);
        break;
    case SP_EVENT_STREAM_RESET:
        if (is_bidi(event->stream_id))
            check_result(v, sp_conn_reset(v->conn, event->stream_id, 1));
        break;
    case SP_EVENT_CLOSED:
        on_closed(v, event->close);
        break;
    case SP_EVENT_DRAINED:
        v->is_drained = true;
        break;
    default:
        break;
    }
}

/* Something that nobody asked for. */
static void act(struct qs_victim *v)
{
    uint64_t id = 4 * qs_random_below(&v->random, STREAMS_SHOT_AT);
    struct sp_write bytes = {.data = content, .size = 1000, .fin = true};
    switch (qs_random_below(&v->random, 8)) {
    case 0:
    case 1:
        check_result(v, sp_conn_reset(v->conn, id, 2));
        break;
    case 2:
    case 3:
        check_result(v, sp_conn_stop(v->conn, id, 3));
        break;
    case 4:
        sp_conn_close(v->conn, 4, "", 0, v->host->clock->now_ns);
        break;
    default:
        if (sp_conn_open(v->conn, qs_random_below(&v->random, 2) == 0, &id) == SP_DONE)
            check_result(v, sp_conn_write(v->conn, id, &bytes));
        break;
    }
}

void qs_victim_work(struct qs_victim *v)
{
    release_held(v, v->is_closed ? SB_NEVER : v->host->clock->now_ns);
    if (v->is_connected && !v->is_closed && qs_random_chance(&v->random, v->acts_ppm))
        act(v);
}

uint64_t qs_victim_app_deadline_ns(const struct qs_victim *v)
{
    bool waits = v->held != NULL && v->mode == QS_VICTIM_HOLDS;
    return waits ? v->host->clock->now_ns + HOLD_NS : SB_NEVER;
}

void qs_victim_app_end(struct qs_victim *v)
{
    release_held(v, SB_NEVER);
    while (v->lent != NULL) {
        struct qs_victim_memory *memory = v->lent;
        v->lent = memory->next;
        free(memory);
    }
    qs_stream_table_deinit(&v->streams);
}
