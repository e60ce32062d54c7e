/* SPDX-License-Identifier: MIT */
/* The serving side of "spate cp" with a library that says no: what it cannot send, and what it
 * keeps for clients that take nothing. */

#include "test/support/qt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/spate/files/server_impl.h"

enum { STREAMS_MAX = 1024, CONNS_MAX = 16 };

/* What the library has got of a stream. */
struct stream {
    struct spate_conn *conn;
    uint64_t id;
    void *user;
    uint8_t *bytes;
    size_t size;
    bool fin;
    bool is_reset;
    uint64_t error;
};

struct spate_conn {
    void *user;
};

/* A buffer that is lent: it comes back when a test says so. */
struct lent {
    struct stream *stream;
    uint64_t tag;
    size_t size;
};

static struct world {
    char path[64];
    int root;
    struct files_server server;
    bool has_server;
    struct spate_conn conns[CONNS_MAX];
    struct stream streams[STREAMS_MAX];
    uint32_t stream_count;
    struct lent lent[STREAMS_MAX * 32];
    uint32_t lent_count;
    uint64_t lent_bytes;
    uint32_t refusals; /* sends that fail from now on */
} *w;

/* ---- The library ---- */

static struct stream *find(const struct spate_conn *conn, uint64_t id)
{
    for (uint32_t i = 0; i < w->stream_count; i++) {
        if (w->streams[i].conn == conn && w->streams[i].id == id)
            return &w->streams[i];
    }
    fail_msg("there is no such stream");
    return NULL;
}

int spate_stream_send(struct spate_conn *conn, uint64_t stream_id, const void *data, size_t size,
                      bool fin, uint64_t tag)
{
    struct stream *stream = find(conn, stream_id);
    assert_true(size > 0 || fin);
    if (stream->fin || stream->is_reset)
        return -EPIPE;
    if (w->refusals > 0) {
        w->refusals--;
        return -ENOBUFS;
    }
    stream->bytes = realloc(stream->bytes, stream->size + size + 1);
    assert_non_null(stream->bytes);
    if (size > 0)
        memcpy(stream->bytes + stream->size, data, size);
    stream->size += size;
    stream->fin = fin;
    assert_true(w->lent_count < QT_COUNT(w->lent));
    w->lent[w->lent_count++] = (struct lent){.stream = stream, .tag = tag, .size = size};
    w->lent_bytes += size;
    return 0;
}

int spate_stream_reset(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    struct stream *stream = find(conn, stream_id);
    stream->is_reset = true;
    stream->error = error;
    return 0;
}

int spate_stream_stop(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    (void)find(conn, stream_id), (void)error;
    return 0;
}

int spate_stream_set_user(struct spate_conn *conn, uint64_t stream_id, void *user)
{
    find(conn, stream_id)->user = user;
    return 0;
}

int spate_stream_receive_into(struct spate_conn *conn, uint64_t stream_id, void *buffer,
                              size_t size, uint64_t tag, uint64_t *ret_offset)
{
    (void)find(conn, stream_id), (void)buffer, (void)size, (void)tag, (void)ret_offset;
    return -EPIPE; /* all bytes come as slices */
}

void *spate_conn_user(const struct spate_conn *conn)
{
    return conn->user;
}

void spate_conn_set_user(struct spate_conn *conn, void *user)
{
    conn->user = user;
}

void spate_conn_close(struct spate_conn *conn, uint64_t error, const char *reason)
{
    (void)conn, (void)error, (void)reason;
}

const char *spate_conn_cipher(const struct spate_conn *conn)
{
    (void)conn;
    return "a cipher";
}

int spate_conn_export(const struct spate_conn *conn, const char *label, const void *context,
                      size_t context_size, void *ret, size_t ret_size)
{
    (void)conn, (void)label, (void)context, (void)context_size, (void)ret, (void)ret_size;
    return -ENOTCONN;
}

void spate_slice_release(struct spate_shard *shard, struct spate_slice *slice)
{
    (void)shard, (void)slice;
}

/* ---- A server, and its events ---- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    w = calloc(1, sizeof(*w));
    assert_non_null(w);
    strcpy(w->path, "/tmp/spate-server-XXXXXX");
    assert_non_null(mkdtemp(w->path));
    w->root = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(w->root >= 0);
    assert_true(files_server_init(&w->server, NULL, w->root));
    w->server.writable = "";
    for (int i = 0; i < CONNS_MAX; i++)
        files_server_accept(&w->server, &w->conns[i]);
    return 0;
}

static void hear(struct stream *stream, enum spate_event_kind kind)
{
    struct spate_event event = {.kind = kind,
                                .conn = stream->conn,
                                .conn_user = stream->conn->user,
                                .stream_id = stream->id,
                                .stream_user = stream->user};
    files_server_event(&w->server, &event);
}

/* Gives back all that is lent. */
static void give_back(bool is_acked)
{
    while (w->lent_count > 0) {
        struct lent lent = w->lent[--w->lent_count];
        struct spate_event event = {.kind = SPATE_EVENT_SENT,
                                    .conn = lent.stream->conn,
                                    .conn_user = lent.stream->conn->user,
                                    .stream_id = lent.stream->id,
                                    .stream_user = lent.stream->user};
        event.u.sent.tag = lent.tag;
        event.u.sent.size = lent.size;
        event.u.sent.is_acked = is_acked;
        w->lent_bytes -= lent.size;
        files_server_event(&w->server, &event);
    }
}

static void close_stream(struct stream *stream)
{
    if (stream->user != NULL)
        hear(stream, SPATE_EVENT_STREAM_CLOSED);
    stream->user = NULL;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < w->stream_count; i++) {
        w->streams[i].is_reset = true;
        if (w->streams[i].user != NULL)
            hear(&w->streams[i], SPATE_EVENT_STREAM_STOPPED);
    }
    give_back(false);
    for (uint32_t i = 0; i < w->stream_count; i++) {
        close_stream(&w->streams[i]);
        free(w->streams[i].bytes);
    }
    for (int i = 0; i < CONNS_MAX; i++) {
        struct spate_event event = {
            .kind = SPATE_EVENT_CLOSED, .conn = &w->conns[i], .conn_user = w->conns[i].user};
        files_server_event(&w->server, &event);
    }
    uint64_t left = w->server.core.memory_left;
    uint64_t all = w->server.core.memory_max;
    files_server_deinit(&w->server);
    (void)close(w->root);
    (void)nftw(w->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(w);
    assert_int_equal(left, all);
    return 0;
}

static struct stream *open_stream(int conn)
{
    assert_true(w->stream_count < STREAMS_MAX);
    struct stream *stream = &w->streams[w->stream_count];
    *stream = (struct stream){.conn = &w->conns[conn], .id = 4 * (uint64_t)w->stream_count++};
    hear(stream, SPATE_EVENT_STREAM_OPENED);
    assert_non_null(stream->user);
    return stream;
}

static void tell(struct stream *stream, const void *data, size_t size, bool fin)
{
    struct spate_event event = {.kind = SPATE_EVENT_STREAM_DATA,
                                .conn = stream->conn,
                                .conn_user = stream->conn->user,
                                .stream_id = stream->id,
                                .stream_user = stream->user};
    event.u.data.slice.data = data;
    event.u.data.slice.size = size;
    event.u.data.fin = fin;
    files_server_event(&w->server, &event);
}

static void ask(struct stream *stream, enum files_type type, const char *path, uint64_t size)
{
    struct files_request request = {.type = type, .size = size, .piece_size = FILES_SIZE_MAX};
    uint8_t data[FILES_ITEM_SIZE_MAX];
    (void)snprintf(request.path, sizeof(request.path), "%s", path);
    tell(stream, data, files_request_write(&request, data), true);
}

static void make_file(const char *path, size_t size)
{
    int fd = openat(w->root, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    char *data = malloc(size);
    assert_non_null(data);
    memset(data, 'x', size);
    assert_int_equal(write(fd, data, size), size); /* no hole, which would not be sent */
    free(data);
    (void)close(fd);
}

/* ---- What cannot be sent ---- */

/* A small file whose digest is wrong. */
static void push_a_broken_file(struct stream *stream, const char *path)
{
    struct files_item item = {.kind = FILES_FILE, .mode = 0644, .size = 5, .piece_size = 5};
    uint8_t data[FILES_ITEM_SIZE_MAX];
    item.data_size = 5;
    item.extents[0].size = 5;
    item.extent_count = 1;
    (void)snprintf(item.path, sizeof(item.path), "%s", path);
    size_t size = files_item_write(&item, data);
    memset(data + size, 'x', 5 + FILES_DIGEST_SIZE);
    tell(stream, data, size + 5 + FILES_DIGEST_SIZE, false);
}

static void a_failure_that_cannot_be_told_is_no_success(void **state)
{
    (void)state;
    struct stream *stream = open_stream(0);
    w->refusals = 1;
    push_a_broken_file(stream, "one");
    tell(stream, NULL, 0, true);
    assert_int_equal(w->refusals, 0);
    assert_int_equal(stream->size, 0); /* an end would count the item */
    assert_true(stream->is_reset);
    assert_int_equal(stream->error, FILES_BUSY);
    /* With memory it is told, and then comes the end. */
    stream = open_stream(0);
    push_a_broken_file(stream, "one");
    tell(stream, NULL, 0, true);
    assert_true(stream->fin);
    assert_int_equal(stream->bytes[0], FILES_RESULT);
}

static void no_stream_stays_without_an_answer(void **state)
{
    (void)state;
    static const struct {
        enum files_type type;
        const char *path;
        uint64_t size;
    } table[] = {
        {FILES_REMOVE, "none", 0}, {FILES_PROBE, "large", 1 << 20}, {FILES_PROBE, "small", 1},
        {FILES_LIST, "none", 0},   {FILES_WANT, "none", 0},         {FILES_WANT, "file", 0},
        {FILES_WANT, "large", 0},
    };
    make_file("file", 1000);
    make_file("large", 1 << 20);
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        /* The first send, or the second one, which some have. */
        for (uint32_t allowed = 0; allowed < 2; allowed++) {
            struct stream *stream = open_stream(0);
            w->refusals = allowed == 0 ? 100 : 0;
            ask(stream, table[i].type, table[i].path, table[i].size);
            w->refusals = 100;
            give_back(true);
            w->refusals = 0;
            assert_true(stream->fin || stream->is_reset);
            assert_true(!stream->is_reset || stream->error == FILES_BUSY);
            assert_true(allowed == 1 || stream->is_reset);
            close_stream(stream);
        }
    }
    /* What is no request, and pushes whose end cannot be told. */
    struct stream *stream = open_stream(0);
    w->refusals = 1;
    tell(stream, "\xff", 1, true);
    assert_true(stream->is_reset);
    stream = open_stream(0);
    push_a_broken_file(stream, "one");
    w->refusals = 1;
    tell(stream, NULL, 0, true);
    assert_true(stream->is_reset);
}

/* ---- What is kept for clients that take nothing ---- */

static void set_memory(uint64_t bytes)
{
    w->server.core.memory_max = w->server.core.memory_left = bytes;
}

/* Asks for `count` files on one stream, which stays open. */
static struct stream *want(int conn, const char *path, uint32_t count)
{
    struct files_request request = {.type = FILES_WANT, .piece_size = FILES_SIZE_MAX};
    uint8_t data[FILES_ITEM_SIZE_MAX];
    struct stream *stream = open_stream(conn);
    (void)snprintf(request.path, sizeof(request.path), "%s", path);
    size_t size = files_request_write(&request, data);
    for (uint32_t i = 0; i < count && !stream->is_reset; i++)
        tell(stream, data, size, false);
    return stream;
}

static void files_for_nobody_are_within_the_memory(void **state)
{
    (void)state;
    make_file("file", 50000);
    make_file("small", 10);
    set_memory(8 << 20);
    for (int conn = 0; conn < 8; conn++) {
        for (int i = 0; i < 50; i++)
            (void)want(conn, "file", 30);
        (void)files_server_retry(&w->server);
        assert_true(w->lent_bytes <= 8 << 20);
    }
    /* Whoever comes next gets something all the same. */
    struct stream *stream = want(8, "small", 1);
    tell(stream, NULL, 0, true);
    assert_true(stream->fin);
    assert_int_equal(stream->bytes[0], FILES_ITEM);
}

static void what_waits_for_memory_goes_on(void **state)
{
    (void)state;
    make_file("file", 50000);
    set_memory(1 << 20);
    w->server.core.memory_left -= 1 << 20; /* somebody else has it */
    struct stream *list = open_stream(0);
    ask(list, FILES_LIST, "file", 0);
    struct stream *file = want(1, "file", 1);
    tell(file, NULL, 0, true);
    assert_true(files_server_retry(&w->server));
    assert_int_equal(list->size, 0);
    assert_int_equal(file->size, 0);
    assert_false(list->is_reset || file->is_reset);
    w->server.core.memory_left += 1 << 20;
    (void)files_server_retry(&w->server);
    give_back(true);
    assert_true(list->fin);
    assert_true(file->fin);
    assert_true(file->size > 50000);
}

static void requests_are_within_the_memory(void **state)
{
    (void)state;
    char path[FILES_PATH_SIZE];
    memset(path, 'x', sizeof(path));
    for (size_t i = 200; i < sizeof(path); i += 200)
        path[i] = '/';
    path[sizeof(path) - 1] = 0;
    set_memory(4 << 20);
    size_t before = mallinfo2().uordblks;
    uint32_t refused = 0;
    for (int conn = 0; conn < 8; conn++) {
        for (int i = 0; i < 60; i++)
            refused += want(conn, path, 100)->is_reset;
    }
    assert_true(refused > 0);
    /* What is sent is here twice; each stream has itself and a message that is not complete. */
    size_t streams = 480 * (sizeof(struct files_stream) + 1000);
    assert_true(mallinfo2().uordblks - before < (2 * 4 << 20) + 8 * (64 << 10) + streams);
}

static void probes_keep_few_parts_open(void **state)
{
    (void)state;
    char path[64];
    for (int i = 0; i < 200; i++) {
        struct stream *stream = open_stream(0);
        (void)snprintf(path, sizeof(path), "large %d", i);
        ask(stream, FILES_PROBE, path, UINT64_C(1) << 40);
        assert_true(stream->fin);
        assert_int_equal(stream->bytes[0], FILES_HAVE);
        give_back(true);
        close_stream(stream);
    }
    uint32_t count = 0;
    struct files_target *target;
    LIST_FOREACH(target, &w->server.targets, link)
    count++;
    assert_true(count <= 32);
    assert_true(count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failure_that_cannot_be_told_is_no_success, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_stream_stays_without_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_for_nobody_are_within_the_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_waits_for_memory_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_are_within_the_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(probes_keep_few_parts_open, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
