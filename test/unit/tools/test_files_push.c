/* SPDX-License-Identifier: MIT */
/* Large files that come in: what the worker has while streams and connections end. */

#include "test/support/files_world.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGE = 1 << 20, SHORT = 270000, EARLY = 20000 };

/* A stream whose bytes go where memory is lent. */
static void place(struct world_stream *stream, const uint8_t *data, size_t size, bool fin)
{
    while (size > 0) {
        assert_true(stream->place_count > 0);
        struct world_place to = stream->places[0];
        size_t now = size < to.size ? size : to.size;
        struct spate_event event = {.kind = SPATE_EVENT_STREAM_PLACED,
                                    .conn = stream->conn,
                                    .conn_user = stream->conn->user,
                                    .stream_id = stream->id,
                                    .stream_user = stream->user};
        memcpy(to.data, data, now);
        event.u.placed.data = to.data;
        event.u.placed.size = now;
        event.u.placed.tag = to.tag;
        event.u.placed.fin = fin && now == size;
        event.u.placed.is_returned = now == to.size || event.u.placed.fin;
        stream->places[0].data += now;
        stream->places[0].size -= now;
        if (event.u.placed.is_returned)
            memmove(stream->places, stream->places + 1,
                    --stream->place_count * sizeof(struct world_place));
        data += now;
        size -= now;
        files_server_event(&w->server, &event);
        while (size > 0 && stream->place_count == 0)
            (void)files_server_retry(&w->server); /* the worker has the buffers */
    }
}

/* Begins to send the only chunk of a file. */
static struct world_stream *begin_chunk(const char *path)
{
    struct files_item item = {.kind = FILES_FILE, .mode = 0644, .size = LARGE};
    uint8_t head[FILES_ITEM_SIZE_MAX];
    item.piece_size = item.data_size = item.extents[0].size = LARGE;
    item.extent_count = 1;
    (void)snprintf(item.path, sizeof(item.path), "%s", path);
    struct world_stream *stream = files_world_open_stream(0);
    w->takes_memory = true;
    files_world_tell(stream, head, files_item_write(&item, head), false);
    return stream;
}

/* Sends a file of one chunk, the last `short_by` bytes excepted, and the end of the stream. */
static struct world_stream *push_large(const char *path, bool is_right, size_t short_by, bool fin)
{
    uint8_t *data = malloc(LARGE + FILES_DIGEST_SIZE);
    assert_non_null(data);
    for (size_t i = 0; i < LARGE; i++)
        data[i] = (uint8_t)(i * 7 / 3);
    (void)SHA256(data, LARGE, data + LARGE);
    data[LARGE / 2] ^= !is_right;
    struct world_stream *stream = begin_chunk(path);
    assert_true(stream->place_count > 1);
    place(stream, data, LARGE + FILES_DIGEST_SIZE - short_by, fin);
    free(data);
    return stream;
}

/* The bytes of a chunk: what some streams send would be another file. */
static uint8_t *make_chunk(uint8_t content)
{
    uint8_t *data = malloc(LARGE + FILES_DIGEST_SIZE);
    assert_non_null(data);
    memset(data, content, LARGE);
    (void)SHA256(data, LARGE, data + LARGE);
    return data;
}

static bool is_there(const char *path)
{
    struct stat status;
    return fstatat(w->root, path, &status, 0) == 0 && status.st_size == LARGE;
}

static void a_chunk_is_there_when_the_worker_has_written_it(void **state)
{
    (void)state;
    struct world_stream *stream = push_large("one", true, 0, true);
    files_world_settle(stream);
    assert_true(is_there("one"));
    assert_true(stream->fin);
    assert_int_equal(stream->bytes[0], FILES_END);
    assert_true(w->server.core.worker.has_thread);
    stream = push_large("two", false, 0, true);
    files_world_settle(stream);
    assert_false(is_there("two"));
    assert_true(stream->fin);
    assert_int_equal(stream->bytes[0], FILES_RESULT);
}

static void what_the_worker_has_survives_its_stream(void **state)
{
    (void)state;
    /* The stream closes. */
    struct world_stream *stream = push_large("one", true, 0, true);
    files_world_close_stream(stream);
    while (!is_there("one"))
        (void)files_server_retry(&w->server);
    const struct files_session *session = w->conns[0].user;
    assert_true(LIST_EMPTY(&session->streams));
    /* .. without its end. */
    stream = push_large("three", true, 0, false);
    files_world_close_stream(stream);
    while (!is_there("three"))
        (void)files_server_retry(&w->server);
    assert_true(LIST_EMPTY(&session->streams));
    /* .. and the connection. */
    stream = push_large("two", true, 0, true);
    files_world_close_stream(stream);
    struct spate_event event = {
        .kind = SPATE_EVENT_CLOSED, .conn = &w->conns[0], .conn_user = w->conns[0].user};
    files_server_event(&w->server, &event);
    w->conns[0].user = NULL;
    assert_true(is_there("two"));
    files_server_accept(&w->server, &w->conns[0]);
}

static void a_chunk_that_is_given_up_leaves_the_worker(void **state)
{
    (void)state;
    struct world_stream *stream = push_large("one", true, 1, false);
    files_world_hear(stream, SPATE_EVENT_STREAM_RESET); /* its code is 0, which is no status */
    const struct files_stream *own = stream->user;
    assert_int_equal(own->sink.lane.pending, 0);
    assert_false(is_there("one"));
    assert_true(stream->fin);
    assert_int_equal(stream->bytes[0], FILES_RESULT); /* an end would count the item */
    /* .. by its connection, without a word before. */
    stream = push_large("two", true, FILES_DIGEST_SIZE + 1, false);
    files_world_close_stream(stream);
    assert_false(is_there("two"));
}

static void assert_busy(const struct world_stream *stream)
{
    struct files_message message;
    struct files_result result;
    assert_int_equal(files_message_find(stream->bytes, stream->size, &message), 1);
    assert_true(files_result_read(&message, &result));
    assert_int_equal(message.type, FILES_RESULT);
    assert_int_equal(result.status, FILES_BUSY);
}

static void a_chunk_is_written_by_one_stream_at_a_time(void **state)
{
    (void)state;
    uint8_t *ones = make_chunk(1);
    uint8_t *twos = make_chunk(2);
    uint8_t last = 0;
    struct world_stream *first = begin_chunk("x");
    place(first, ones, LARGE / 2, false);
    struct world_stream *second = begin_chunk("x");
    assert_busy(second);
    assert_int_equal(second->place_count, 0);
    place(first, ones + LARGE / 2, LARGE / 2, false);
    /* One that gives up lets others write. */
    files_world_close_stream(first);
    second = begin_chunk("x");
    place(second, twos, LARGE + FILES_DIGEST_SIZE, true);
    files_world_settle(second);
    assert_int_equal(second->bytes[0], FILES_END);
    assert_true(is_there("x"));
    int fd = openat(w->root, "x", O_RDONLY | O_CLOEXEC);
    for (off_t at = 0; at < LARGE; at += LARGE / 64) {
        assert_int_equal(pread(fd, &last, 1, at), 1);
        assert_int_equal(last, 2);
    }
    (void)close(fd);
    free(ones);
    free(twos);
}

/* Of a file of two chunks: one that is verified is not written again. */
static void a_chunk_that_is_there_stays(void **state)
{
    (void)state;
    struct files_item item = {.kind = FILES_FILE, .size = LARGE + FILES_CHUNK_SIZE, .path = "y"};
    uint8_t head[FILES_ITEM_SIZE_MAX];
    uint8_t *ones = make_chunk(1);
    item.offset = item.extents[0].offset = FILES_CHUNK_SIZE;
    item.piece_size = item.data_size = item.extents[0].size = LARGE;
    item.extent_count = 1;
    w->takes_memory = true;
    for (int i = 0; i < 2; i++) {
        struct world_stream *stream = files_world_open_stream(0);
        files_world_tell(stream, head, files_item_write(&item, head), false);
        if (i == 1) {
            assert_busy(stream);
            break;
        }
        place(stream, ones, LARGE + FILES_DIGEST_SIZE, true);
        files_world_settle(stream);
        assert_int_equal(stream->bytes[0], FILES_END);
    }
    assert_int_equal(LIST_FIRST(&w->server.targets)->have_count, 1);
    free(ones);
}

/* Begins a file of SHORT bytes: EARLY of them come before memory is lent. */
static struct world_stream *begin_short(uint8_t *data)
{
    struct files_item item = {.kind = FILES_FILE, .mode = 0644, .size = SHORT, .path = "short"};
    uint8_t head[FILES_ITEM_SIZE_MAX + EARLY];
    memset(data, 'x', SHORT);
    (void)SHA256(data, SHORT, data + SHORT);
    item.piece_size = item.data_size = item.extents[0].size = SHORT;
    item.extent_count = 1;
    size_t size = files_item_write(&item, head);
    memcpy(head + size, data, EARLY);
    struct world_stream *stream = files_world_open_stream(0);
    w->takes_memory = true;
    files_world_tell(stream, head, size + EARLY, false);
    return stream;
}

static void no_more_memory_is_lent_than_the_rest_needs(void **state)
{
    (void)state;
    static uint8_t data[SHORT + FILES_DIGEST_SIZE];
    struct world_stream *stream = begin_short(data);
    assert_int_equal(stream->place_count, 1); /* has room for all that comes */
    place(stream, data + EARLY, sizeof(data) - EARLY, true);
    files_world_settle(stream);
    assert_true(stream->fin);
    assert_int_equal(stream->bytes[0], FILES_END);
}

/* The memory that was lent for the first one would be forgotten: files_world_tear_down() counts. */
static void nothing_follows_a_piece(void **state)
{
    (void)state;
    static uint8_t data[SHORT + FILES_DIGEST_SIZE + FILES_ITEM_SIZE_MAX];
    struct files_item item = {.kind = FILES_FILE, .size = LARGE, .path = "next"};
    struct files_result result;
    struct files_message message;
    struct world_stream *stream = begin_short(data);
    size_t size = SHORT + FILES_DIGEST_SIZE;
    item.piece_size = item.data_size = item.extents[0].size = LARGE;
    item.extent_count = 1;
    size += files_item_write(&item, data + size);
    place(stream, data + EARLY, size - EARLY, false);
    files_world_settle(stream);
    assert_true(stream->fin);
    assert_int_equal(files_message_find(stream->bytes, stream->size, &message), 1);
    assert_true(files_result_read(&message, &result));
    assert_int_equal(message.type, FILES_END);
    assert_int_equal(result.index, 1); /* the first one is there, the other one was not taken */
    struct files_target *target;
    LIST_FOREACH(target, &w->server.targets, link)
    assert_string_equal(target->path, "short");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_chunk_is_there_when_the_worker_has_written_it,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(what_the_worker_has_survives_its_stream, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(a_chunk_that_is_given_up_leaves_the_worker,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(a_chunk_is_written_by_one_stream_at_a_time,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(a_chunk_that_is_there_stays, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(no_more_memory_is_lent_than_the_rest_needs,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(nothing_follows_a_piece, files_world_set_up,
                                        files_world_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
