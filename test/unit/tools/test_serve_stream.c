/* SPDX-License-Identifier: MIT */
/* What clients of HTTP/0.9 take of a server, with a library that sends nothing. */

#include "test/support/qt.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/spate/serve_stream.h"

enum { CONNS = 65, STREAMS = 100, FILE_SIZE = 1 << 20 };

struct spate_conn {
    uint8_t host; /* of 192.0.2.0/24 */
    void *user;
    struct {
        void *user;
        uint64_t sent_bytes;
        bool is_reset;
    } streams[STREAMS];
};

/* Lent to the library until the connection ends. */
struct lent {
    struct spate_conn *conn;
    uint64_t stream_id;
    uint64_t tag;
    size_t size;
};

static struct spate_conn conns[CONNS];
static struct lent lent[CONNS * STREAMS * 4];
static uint32_t lent_count;
static struct serve_files files;
static uint64_t memory_all;
static bool is_short; /* the library has no memory */

/* ---- The library ---- */

int spate_conn_peer_address(const struct spate_conn *conn, struct sockaddr_storage *ret,
                            socklen_t *ret_size)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(0xc0000200 | conn->host)};
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, &address, sizeof(address));
    *ret_size = sizeof(address);
    return 0;
}

void *spate_conn_user(const struct spate_conn *conn)
{
    return conn->user;
}

void spate_conn_set_user(struct spate_conn *conn, void *user)
{
    conn->user = user;
}

struct spate_shard *spate_conn_shard(const struct spate_conn *conn)
{
    (void)conn;
    return NULL;
}

void spate_slice_release(struct spate_shard *shard, struct spate_slice *slice)
{
    (void)shard, (void)slice;
}

int spate_stream_set_user(struct spate_conn *conn, uint64_t stream_id, void *user)
{
    conn->streams[stream_id / 4].user = user;
    return 0;
}

int spate_stream_reset(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    (void)error;
    conn->streams[stream_id / 4].is_reset = true;
    return 0;
}

int spate_stream_stop(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    (void)conn, (void)stream_id, (void)error;
    return 0;
}

int spate_stream_send(struct spate_conn *conn, uint64_t stream_id, const void *data, size_t size,
                      bool fin, uint64_t tag)
{
    (void)data, (void)fin;
    if (is_short)
        return -ENOBUFS;
    assert_true(lent_count < QT_COUNT(lent));
    conn->streams[stream_id / 4].sent_bytes += size;
    lent[lent_count++] = (struct lent){conn, stream_id, tag, size};
    return 0;
}

/* ---- Clients ---- */

static struct spate_event event_of(enum spate_event_kind kind, struct spate_conn *conn, uint64_t id)
{
    return (struct spate_event){.kind = kind,
                                .conn = conn,
                                .conn_user = conn->user,
                                .stream_id = id,
                                .stream_user = conn->streams[id / 4].user};
}

/* Opens a stream and says the beginning of a request, or all of it. */
static void say(struct spate_conn *conn, uint64_t id, const char *text)
{
    struct spate_event opened = event_of(SPATE_EVENT_STREAM_OPENED, conn, id);
    serve_stream_event(&files, &opened);
    struct spate_event data = event_of(SPATE_EVENT_STREAM_DATA, conn, id);
    data.u.data.slice.data = (const uint8_t *)text;
    data.u.data.slice.size = strlen(text);
    serve_stream_event(&files, &data);
}

static void say_on_all(int conn_count, const char *text)
{
    for (int i = 0; i < conn_count; i++)
        for (uint64_t id = 0; id < 4 * (uint64_t)STREAMS; id += 4)
            say(&conns[i], id, text);
}

/* A client wants an answer no longer, and leaves its own side of the stream open. */
static void stop(struct spate_conn *conn, uint64_t id)
{
    struct spate_event stopped = event_of(SPATE_EVENT_STREAM_STOPPED, conn, id);
    serve_stream_event(&files, &stopped);
}

/* Gives everything back that was lent. */
static void return_all(void)
{
    for (uint32_t i = 0; i < lent_count; i++) {
        struct spate_event sent = event_of(SPATE_EVENT_SENT, lent[i].conn, lent[i].stream_id);
        sent.u.sent.tag = lent[i].tag;
        sent.u.sent.size = lent[i].size;
        serve_stream_event(&files, &sent);
    }
    lent_count = 0;
}

/* All connections are of one address, but for the last one. */
static int set_up(void **state)
{
    (void)state;
    char path[] = "/tmp/spate-serve-XXXXXX";
    memset(conns, 0, sizeof(conns));
    for (int i = 0; i < CONNS; i++)
        conns[i].host = i < CONNS - 1 ? 7 : 8;
    lent_count = 0;
    is_short = false;
    assert_non_null(mkdtemp(path));
    int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(root, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(root >= 0 && fd >= 0);
    assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
    (void)close(fd);
    serve_files_init(&files, root, false);
    memory_all = files.memory.bytes_left;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return_all();
    for (int i = 0; i < CONNS; i++) {
        for (uint64_t id = 0; id < 4 * (uint64_t)STREAMS; id += 4) {
            struct spate_event closed = event_of(SPATE_EVENT_STREAM_CLOSED, &conns[i], id);
            serve_stream_event(&files, &closed);
        }
        struct spate_event end = event_of(SPATE_EVENT_CLOSED, &conns[i], 0);
        serve_stream_event(&files, &end);
    }
    bool is_all_back = files.memory.bytes_left == memory_all && files.partial_count == 0 &&
                       files.memory.count == 0 && files.memory.sources.tree == NULL;
    serve_files_deinit(&files);
    char name[32];
    char path[64] = "";
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", files.root);
    (void)!readlink(name, path, sizeof(path) - 1);
    (void)unlinkat(files.root, "file", 0);
    (void)rmdir(path);
    (void)close(files.root);
    return is_all_back ? 0 : -1;
}

static void incomplete_requests_of_an_address_leave_room_for_others(void **state)
{
    (void)state;
    struct spate_conn *other = &conns[CONNS - 1];
    say_on_all(CONNS - 1, "GET /fi");
    assert_true(conns[CONNS - 2].streams[STREAMS - 1].is_reset);
    assert_false(conns[0].streams[0].is_reset);
    for (uint64_t id = 0; id < 4 * (uint64_t)STREAMS; id += 4) {
        say(other, id, "GET /fi");
        assert_false(other->streams[id / 4].is_reset);
    }
}

static void files_for_an_address_leave_memory_for_others(void **state)
{
    (void)state;
    struct spate_conn *other = &conns[CONNS - 1];
    say_on_all(8, "GET /file\r\n");
    assert_true(files.memory.bytes_left >= memory_all / 3 * 2);
    assert_true(files.memory.bytes_left < memory_all / 4 * 3);
    for (uint64_t id = 0; id < 4 * 4; id += 4) {
        say(other, id, "GET /file\r\n");
        assert_true(other->streams[id / 4].sent_bytes > 0);
    }
}

/* Returns the descriptor that the next file gets. */
static int next_descriptor(void)
{
    int fd = dup(STDIN_FILENO);
    assert_true(fd >= 0);
    (void)close(fd);
    return fd;
}

static void what_is_no_longer_sent_takes_no_share(void **state)
{
    (void)state;
    struct spate_conn *other = &conns[CONNS - 1];
    for (uint64_t id = 0; id < 4 * (uint64_t)STREAMS; id += 4) {
        say(&conns[0], id, "GET /file\r\n");
        stop(&conns[0], id);
    }
    return_all();
    assert_int_equal(files.memory.bytes_left, memory_all);
    say(other, 0, "GET /file\r\n");
    assert_int_equal(other->streams[0].sent_bytes, FILE_SIZE);
}

static void what_could_not_be_sent_goes_with_the_request(void **state)
{
    (void)state;
    is_short = true;
    say(&conns[0], 0, "GET /file\r\n");
    say(&conns[0], 4, "GET /file\r\n");
    assert_true(serve_files_retry(&files));
    stop(&conns[0], 0);
    stop(&conns[0], 4);
    assert_int_equal(files.memory.bytes_left, memory_all);
    assert_false(serve_files_retry(&files));

    is_short = false;
    say(&conns[0], 8, "GET /file\r\n");
    assert_int_equal(conns[0].streams[2].sent_bytes, FILE_SIZE);
}

/* A second signal ends a server at once: its engine is destroyed, and no event comes. */
static void a_server_that_ends_at_once_leaves_nothing(void **state)
{
    (void)state;
    const int descriptor = next_descriptor();
    say_on_all(4, "GET /file\r\n");
    say(&conns[4], 0, "GET /fi");
    say(&conns[4], 4, "GET /none\r\n");
    assert_true(next_descriptor() > descriptor);
    assert_true(files.memory.bytes_left < memory_all);
    assert_false(TAILQ_EMPTY(&files.waiting));
    serve_files_deinit(&files);
    assert_int_equal(next_descriptor(), descriptor);
    assert_int_equal(files.memory.bytes_left, memory_all);
    assert_int_equal(files.memory.count, 0);
    assert_int_equal(files.partial_count, 0);
    assert_true(TAILQ_EMPTY(&files.waiting));
    memset(conns, 0, sizeof(conns)); /* nothing is said to those that are no more */
    lent_count = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(incomplete_requests_of_an_address_leave_room_for_others,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_for_an_address_leave_memory_for_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_longer_sent_takes_no_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_could_not_be_sent_goes_with_the_request, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_ends_at_once_leaves_nothing, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
