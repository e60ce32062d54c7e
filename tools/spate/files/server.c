/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/server.h"

/* What may be asked of the server, and by whom.  A stream of a client carries one kind of request;
 * its first message says which.
 *
 * Bounds: what is sent and what is asked for is in the memory of the core, of which a connection
 * has a share; a list is made as far ahead as LIST_LENT; a stream keeps one incomplete message and
 * one small file at most, and all of them KEPT_MAX, of which a connection has a share, too. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/files/server_impl.h"

enum { LIST_BUFFER = 60 << 10, LIST_LENT = 256 << 10, WANTS_MAX = 1024 };
enum { WALK_BYTES = 64 << 10 }; /* counted for one: half of it is what the C library reads ahead */

#define MEMORY_MAX (UINT64_C(128) << 20)
#define KEPT_MAX   (UINT64_C(256) << 20) /* a hundred clients with 8 small files each on the way */

void files_server_init(struct files_server *ret, struct spate_shard *shard, int root)
{
    *ret = (struct files_server){.kept_left = KEPT_MAX};
    LIST_INIT(&ret->targets);
    files_beneath_init(&ret->beneath, root);
    SLIST_INIT(&ret->blocks);
    SLIST_INIT(&ret->unused);
    files_core_init(&ret->core, MEMORY_MAX);
    ret->core.shard = shard;
}

void files_server_stop(struct files_server *server)
{
    files_core_stop(&server->core);
}

void files_server_deinit(struct files_server *server)
{
    struct files_target *target;
    while ((target = LIST_FIRST(&server->targets)) != NULL) {
        LIST_REMOVE(target, link);
        files_target_close(target);
    }
    struct files_sessions *block;
    while ((block = SLIST_FIRST(&server->blocks)) != NULL) {
        SLIST_REMOVE_HEAD(&server->blocks, link);
        free(block);
    }
    share_sources_deinit(&server->sources);
    files_beneath_deinit(&server->beneath);
    files_core_deinit(&server->core);
}

/* ---- Sessions and streams ---- */

/* Sessions that last lie beside each other: one here and one there in the heap would keep each its
 * page, of what a handshake takes and gives back. */
static struct files_session *session_take(struct files_server *server, struct spate_conn *conn)
{
    if (SLIST_EMPTY(&server->unused)) {
        struct files_sessions *block = malloc(sizeof(*block));
        if (block == NULL)
            return NULL;
        SLIST_INSERT_HEAD(&server->blocks, block, link);
        for (size_t i = 0; i < sizeof(block->items) / sizeof(block->items[0]); i++)
            SLIST_INSERT_HEAD(&server->unused, &block->items[i], link);
    }
    struct files_session *session = SLIST_FIRST(&server->unused);
    struct share_source *source = share_source_join(&server->sources, conn);
    if (source == NULL)
        return NULL;
    SLIST_REMOVE_HEAD(&server->unused, link);
    *session = (struct files_session){
        .server = server, .conn = conn, .source = source, .share.kept_left = &server->kept_left};
    session->share.lent = share_begin(source, SHARE_LENT);
    session->share.wanted = share_begin(source, SHARE_WANTED);
    session->share.kept = share_begin(source, SHARE_KEPT);
    return session;
}

static void session_give_back(struct files_session *session)
{
    if (session == NULL)
        return;
    share_source_leave(&session->server->sources, session->source);
    SLIST_INSERT_HEAD(&session->server->unused, session, link);
}

void files_server_accept(struct files_server *server, struct spate_conn *conn)
{
    if (spate_conn_user(conn) != NULL) /* CONNECTED after EARLY */
        return;
    struct files_session *session = session_take(server, conn);
    if (session == NULL) {
        spate_conn_close(conn, FILES_BUSY, "too much to do");
        return;
    }
    session->is_proven = server->token == NULL;
    LIST_INIT(&session->streams);
    spate_conn_set_user(conn, session);
}

static void stream_create(struct files_session *session, uint64_t id)
{
    bool has_room = files_share_keep(&session->share, sizeof(struct files_stream));
    struct files_stream *stream = has_room ? calloc(1, sizeof(*stream)) : NULL;
    if (has_room && stream == NULL)
        files_share_forget(&session->share, sizeof(*stream));
    if (stream == NULL)
        return; /* stays without a user: refused when it brings data */
    stream->inbox.share = &session->share;
    stream->session = session;
    stream->id = id;
    LIST_INSERT_HEAD(&session->streams, stream, link);
    (void)spate_stream_set_user(session->conn, id, stream);
}

static void stream_destroy(struct files_stream *stream)
{
    if (stream->has_source)
        files_source_deinit(&stream->source);
    if (stream->has_sink)
        files_sink_deinit(&stream->sink);
    files_core_leave(&stream->session->server->core, &stream->waiter);
    if (stream->walk != NULL)
        files_share_forget(&stream->session->share, WALK_BYTES);
    files_walk_destroy(stream->walk);
    files_inbox_deinit(&stream->inbox);
    LIST_REMOVE(stream, link);
    files_share_forget(&stream->session->share, sizeof(*stream));
    free(stream);
}

/* Answers with a result and no more, and wants to hear no more. */
static void refuse(struct files_stream *stream, enum files_status status)
{
    struct files_session *session = stream->session;
    if (stream->has_source)
        files_source_abort(&stream->source, status);
    else
        (void)files_answer(&session->server->core, session->conn, stream->id, 0, status, true);
    (void)spate_stream_stop(session->conn, stream->id, status);
    stream->mode = MODE_DONE;
}

/* ---- Lists ---- */

/* Appends an entry.  Returns false at the end. */
static bool put_entry(struct files_stream *stream, struct files_buffer *buffer)
{
    struct files_item *item = &stream->sink.item; /* room that this mode does not use */
    int got = files_walk_next(stream->walk, item);
    if (got == 0)
        return false;
    uint8_t *at = buffer->data + buffer->used;
    const struct files_result result = {.index = stream->list_count,
                                        .status = files_status_of(got < 0 ? got : 0)};
    bool is_listable = got > 0 && files_path_is_good(item->path, strlen(item->path));
    if (is_listable)
        buffer->used += files_item_write(item, at);
    else if (got < 0)
        buffer->used += files_result_write(FILES_RESULT, &result, at);
    stream->list_count += is_listable || got < 0;
    return true;
}

static void send_list(struct files_stream *stream)
{
    struct files_core *core = &stream->session->server->core;
    while (stream->mode == MODE_LIST && stream->lent_bytes < LIST_LENT) {
        struct files_buffer *buffer =
            files_buffer_create_for(core, &stream->session->share, LIST_BUFFER);
        bool has_more = true;
        if (buffer == NULL && stream->lent_bytes == 0) /* no event of its own wakes it */
            files_core_wait(core, &stream->waiter);
        if (buffer == NULL)
            return;
        while (has_more && LIST_BUFFER - buffer->used > FILES_ITEM_SIZE_MAX)
            has_more = put_entry(stream, buffer);
        if (!has_more) {
            const struct files_result end = {.index = stream->list_count};
            buffer->used += files_result_write(FILES_END, &end, buffer->data + buffer->used);
        }
        size_t size = buffer->used;
        if (files_buffer_answer(core, stream->session->conn, stream->id, buffer, !has_more))
            stream->lent_bytes += size;
        else
            has_more = false;
        if (!has_more)
            stream->mode = MODE_DONE;
    }
}

static void on_memory(struct files_waiter *waiter)
{
    struct files_stream *stream =
        (struct files_stream *)((char *)waiter - offsetof(struct files_stream, waiter));
    send_list(stream);
}

static void begin_list(struct files_stream *stream, const struct files_request *request)
{
    struct files_session *session = stream->session;
    int e = -ENOMEM;
    if (files_share_keep(&session->share, WALK_BYTES)) {
        e = files_walk_create(session->server->beneath.root, request->path, request->is_recursive,
                              &stream->walk);
        if (e != 0)
            files_share_forget(&session->share, WALK_BYTES);
    }
    if (e != 0) {
        refuse(stream, files_status_of(e));
        return;
    }
    stream->mode = MODE_LIST;
    stream->waiter.go_on = on_memory;
    send_list(stream);
}

/* ---- What is asked for ---- */

/* Looks at the path before it is read: a symbolic link is sent as one. */
static void set_kind(struct files_server *server, struct files_want *want, struct files_item *room,
                     struct files_want **ret)
{
    struct files_walk *walk;
    *ret = want;
    if (want->is_pinned || files_walk_create(server->beneath.root, want->local, false, &walk) != 0)
        return;
    if (files_walk_next(walk, room) == 1 && room->kind == FILES_LINK) {
        struct files_want *link = files_want_create(want->path, want->local, room->target);
        if (link != NULL) {
            link->kind = FILES_LINK;
            link->mtime_ns = room->mtime_ns;
            files_want_destroy(want);
            *ret = link;
        }
    }
    files_walk_destroy(walk);
}

static void add_want(struct files_stream *stream, const struct files_request *request)
{
    struct files_server *server = stream->session->server;
    if (!stream->has_source) {
        stream->mode = MODE_PULL;
        stream->has_source = true;
        files_source_init(&stream->source, &server->core, stream->session->conn, stream->id);
        stream->source.answers = true;
        stream->source.share = &stream->session->share;
    }
    struct files_want *want = stream->list_count++ < WANTS_MAX
                                  ? files_want_create(request->path, request->path, "")
                                  : NULL;
    if (want == NULL) {
        refuse(stream, FILES_BUSY);
        return;
    }
    want->kind = FILES_FILE;
    want->is_pinned = request->is_pinned;
    want->mtime_ns = request->mtime_ns;
    want->size = request->size;
    want->offset = request->offset;
    want->piece_size = request->piece_size;
    want->root = server->beneath.root;
    set_kind(server, want, &stream->sink.item, &want);
    if (!files_source_add(&stream->source, want))
        refuse(stream, FILES_BUSY);
}

/* ---- Messages ---- */

static void on_auth(struct files_stream *stream, const struct files_message *message)
{
    struct files_session *session = stream->session;
    struct files_server *server = session->server;
    uint8_t proof[FILES_PROOF_SIZE];
    if (server->token == NULL || !files_token_check(server->token, session->conn, false, message) ||
        !files_token_prove(server->token, session->conn, true, proof)) {
        spate_conn_close(session->conn, FILES_NO_TOKEN, "the token is missing or wrong");
        return;
    }
    session->is_proven = true;
    stream->mode = MODE_DONE;
    struct files_buffer *buffer =
        files_buffer_message(&server->core, FILES_HEAD_SIZE + FILES_PROOF_SIZE);
    if (buffer != NULL) {
        files_head_write(FILES_AUTH, FILES_PROOF_SIZE, buffer->data);
        memcpy(buffer->data + FILES_HEAD_SIZE, proof, FILES_PROOF_SIZE);
        buffer->used = FILES_HEAD_SIZE + FILES_PROOF_SIZE;
    }
    (void)files_buffer_answer(&server->core, session->conn, stream->id, buffer, true);
}

static void on_remove(struct files_stream *stream, const struct files_request *request)
{
    struct files_server *server = stream->session->server;
    enum files_status status = files_push_may_write(server, request->path);
    if (status == FILES_OK)
        status = files_status_of(files_beneath_remove(&server->beneath, request->path));
    stream->mode = MODE_DONE;
    (void)files_answer(&server->core, stream->session->conn, stream->id, 0, status, true);
}

/* Whether a request may be acted on that might be a replay. */
static bool is_harmless(enum files_type type)
{
    return type == FILES_LIST || type == FILES_WANT;
}

static void on_message(struct files_stream *stream, const struct files_message *message,
                       bool is_early)
{
    struct files_request request;
    if (message->type == FILES_AUTH && stream->mode == MODE_NEW) {
        on_auth(stream, message);
        return;
    }
    if (!stream->session->is_proven) {
        refuse(stream, FILES_NO_TOKEN);
        return;
    }
    bool is_expected =
        stream->mode == MODE_NEW || (stream->mode == MODE_PULL && message->type == FILES_WANT);
    if (!is_expected || !files_request_read(message, &request) ||
        (is_early && !is_harmless(message->type))) {
        refuse(stream, FILES_BAD_MESSAGE);
        return;
    }
    switch (message->type) {
    case FILES_LIST:
        begin_list(stream, &request);
        break;
    case FILES_WANT:
        add_want(stream, &request);
        break;
    case FILES_PROBE:
        files_push_probe(stream, &request);
        break;
    default: /* files_request_read() knows four */
        on_remove(stream, &request);
        break;
    }
}

/* Bytes of requests; those of items go to the sink. */
static void on_bytes(struct files_stream *stream, const uint8_t *data, size_t size, bool fin,
                     bool is_early)
{
    bool may_push = stream->session->is_proven && !is_early;
    bool is_item = size > 0 && (data[0] == FILES_ITEM || data[0] == FILES_KEY);
    if (stream->mode == MODE_NEW && !files_inbox_is_partial(&stream->inbox) && is_item && may_push)
        files_push_begin(stream);
    if (stream->has_sink) {
        files_sink_data(&stream->sink, data, size, fin);
        if (stream->sink.has_ended)
            files_push_end(stream);
        return;
    }
    struct files_message message;
    while (size > 0 && stream->mode != MODE_DONE) {
        int found = files_inbox_take(&stream->inbox, &data, &size, &message);
        if (found == 0)
            break;
        if (found > 0)
            on_message(stream, &message, is_early);
        else
            refuse(stream, found == -ENOMEM ? FILES_BUSY : FILES_BAD_MESSAGE);
    }
    if (fin && (stream->mode == MODE_NEW ||
                (stream->mode == MODE_PULL && files_inbox_is_partial(&stream->inbox))))
        refuse(stream, FILES_BAD_MESSAGE);
    if (fin && stream->has_source)
        stream->source.is_complete = true;
    if (stream->has_source && stream->mode == MODE_PULL)
        files_source_pump(&stream->source);
}

/* ---- Events ---- */

static void on_data(struct files_server *server, struct spate_event *event)
{
    struct files_stream *stream = event->stream_user;
    const struct spate_slice *slice = &event->u.data.slice;
    /* The cipher is known with SPATE_EVENT_CONNECTED: this is no replay then. */
    bool is_early = event->u.data.early && spate_conn_cipher(event->conn)[0] == 0;
    if (stream != NULL)
        on_bytes(stream, slice->data, slice->size, event->u.data.fin, is_early);
    else
        (void)spate_stream_reset(event->conn, event->stream_id, FILES_BUSY);
    spate_slice_release(server->core.shard, &event->u.data.slice);
}

static void on_sent(struct files_server *server, struct files_stream *stream,
                    const struct spate_event *event)
{
    if (stream != NULL && stream->has_source && event->u.sent.tag != 0 &&
        stream->source.lent_bytes >= event->u.sent.size) {
        files_source_sent(&stream->source, event);
        return;
    }
    files_buffer_destroy(&server->core, (struct files_buffer *)(uintptr_t)event->u.sent.tag);
    if (stream == NULL || stream->walk == NULL)
        return;
    stream->lent_bytes -= event->u.sent.size;
    if (!event->u.sent.is_acked && stream->mode == MODE_LIST)
        stream->mode = MODE_DONE;
    send_list(stream);
}

static void on_closed(struct files_server *server, struct spate_event *event)
{
    struct files_session *session = event->conn_user;
    struct files_stream *stream;
    while (session != NULL && (stream = LIST_FIRST(&session->streams)) != NULL) {
        if (stream->has_sink)
            files_sink_settle(&stream->sink);
        stream_destroy(stream);
    }
    files_push_sweep(server, event->conn_user);
    session_give_back(session);
}

void files_stream_end(struct files_stream *stream)
{
    const struct files_session *session = stream->session;
    stream->is_closed = true;
    if (stream->has_sink && files_sink_closed(&stream->sink))
        return; /* comes back by on_step() */
    stream_destroy(stream);
    files_push_sweep(session->server, NULL);
    files_push_trim(session->server, session);
}

void files_server_event(struct files_server *server, struct spate_event *event)
{
    struct files_stream *stream = event->stream_user;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_OPENED:
        stream_create(event->conn_user, event->stream_id);
        break;
    case SPATE_EVENT_STREAM_DATA:
        on_data(server, event);
        break;
    case SPATE_EVENT_SENT:
        on_sent(server, stream, event);
        break;
    case SPATE_EVENT_STREAM_PLACED:
        if (stream == NULL)
            break;
        files_sink_placed(&stream->sink, event);
        if (stream->sink.has_ended)
            files_push_end(stream);
        break;
    case SPATE_EVENT_STREAM_RESET:
        if (stream != NULL && stream->has_sink)
            files_sink_fail(&stream->sink,
                            event->u.error > FILES_OK && event->u.error < FILES_STATUS_COUNT
                                ? (enum files_status)event->u.error
                                : FILES_FAILED);
        if (stream != NULL && stream->has_sink)
            files_push_end(stream);
        else if (stream != NULL && stream->mode == MODE_NEW)
            refuse(stream, FILES_CANCELLED);
        break;
    case SPATE_EVENT_STREAM_STOPPED:
        if (stream != NULL && stream->has_source)
            files_source_abort(&stream->source, FILES_CANCELLED);
        if (stream != NULL)
            stream->mode = MODE_DONE;
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        if (stream != NULL)
            files_stream_end(stream);
        break;
    case SPATE_EVENT_CLOSED:
        on_closed(server, event);
        break;
    default:
        break;
    }
}

bool files_server_retry(struct files_server *server)
{
    files_beneath_deinit(&server->beneath);
    return files_core_retry(&server->core);
}
