/* SPDX-License-Identifier: MIT */
/* The serving side of "spate cp" with a library that says no: what it cannot send, and what it
 * keeps for clients that take nothing. */

#include "test/support/files_world.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- What cannot be sent ---- */

/* A small file whose digest is wrong. */
static void push_a_broken_file(struct world_stream *stream, const char *path)
{
    struct files_item item = {.kind = FILES_FILE, .mode = 0644, .size = 5, .piece_size = 5};
    uint8_t data[FILES_ITEM_SIZE_MAX];
    item.data_size = 5;
    item.extents[0].size = 5;
    item.extent_count = 1;
    (void)snprintf(item.path, sizeof(item.path), "%s", path);
    size_t size = files_item_write(&item, data);
    memset(data + size, 'x', 5 + FILES_DIGEST_SIZE);
    files_world_tell(stream, data, size + 5 + FILES_DIGEST_SIZE, false);
}

static void a_failure_that_cannot_be_told_is_no_success(void **state)
{
    (void)state;
    struct world_stream *stream = files_world_open_stream(0);
    w->refusals = 1;
    push_a_broken_file(stream, "one");
    files_world_tell(stream, NULL, 0, true);
    assert_int_equal(w->refusals, 0);
    assert_int_equal(stream->size, 0); /* an end would count the item */
    assert_true(stream->is_reset);
    assert_int_equal(stream->error, FILES_BUSY);
    /* With memory it is told, and then comes the end. */
    stream = files_world_open_stream(0);
    push_a_broken_file(stream, "one");
    files_world_tell(stream, NULL, 0, true);
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
    files_world_make_file("file", 1000);
    files_world_make_file("large", 1 << 20);
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        /* The first send, or the second one, which some have. */
        for (uint32_t allowed = 0; allowed < 2; allowed++) {
            struct world_stream *stream = files_world_open_stream(0);
            w->refusals = allowed == 0 ? 100 : 0;
            files_world_ask(stream, table[i].type, table[i].path, table[i].size);
            w->refusals = 100;
            files_world_settle(stream);
            files_world_give_back(true);
            w->refusals = 0;
            assert_true(stream->fin || stream->is_reset);
            assert_true(!stream->is_reset || stream->error == FILES_BUSY);
            assert_true(allowed == 1 || stream->is_reset);
            files_world_close_stream(stream);
        }
    }
    /* What is no request, and pushes whose end cannot be told. */
    struct world_stream *stream = files_world_open_stream(0);
    w->refusals = 1;
    files_world_tell(stream, "\xff", 1, true);
    assert_true(stream->is_reset);
    stream = files_world_open_stream(0);
    push_a_broken_file(stream, "one");
    w->refusals = 1;
    files_world_tell(stream, NULL, 0, true);
    assert_true(stream->is_reset);
}

/* ---- What is kept for clients that take nothing ---- */

static void set_memory(uint64_t bytes)
{
    w->server.core.memory_max = w->server.core.memory_left = bytes;
}

/* Asks for `count` files on one stream, which stays open. */
static struct world_stream *want(int conn, const char *path, uint32_t count)
{
    struct files_request request = {.type = FILES_WANT, .piece_size = FILES_SIZE_MAX};
    uint8_t data[FILES_ITEM_SIZE_MAX];
    struct world_stream *stream = files_world_open_stream(conn);
    (void)snprintf(request.path, sizeof(request.path), "%s", path);
    size_t size = files_request_write(&request, data);
    for (uint32_t i = 0; i < count && !stream->is_reset; i++)
        files_world_tell(stream, data, size, false);
    return stream;
}

static void files_for_nobody_are_within_the_memory(void **state)
{
    (void)state;
    files_world_make_file("file", 50000);
    files_world_make_file("small", 10);
    set_memory(8 << 20);
    for (int conn = 0; conn < 8; conn++) {
        for (int i = 0; i < 50; i++)
            (void)want(conn, "file", 30);
        (void)files_server_retry(&w->server);
        assert_true(w->lent_bytes <= 8 << 20);
    }
    /* Whoever comes next gets something all the same. */
    struct world_stream *stream = want(8, "small", 1);
    files_world_tell(stream, NULL, 0, true);
    assert_true(stream->fin);
    assert_int_equal(stream->bytes[0], FILES_ITEM);
}

static void what_waits_for_memory_goes_on(void **state)
{
    (void)state;
    files_world_make_file("file", 50000);
    set_memory(1 << 20);
    w->server.core.memory_left -= 1 << 20; /* somebody else has it */
    struct world_stream *list = files_world_open_stream(0);
    files_world_ask(list, FILES_LIST, "file", 0);
    struct world_stream *file = want(1, "file", 1);
    files_world_tell(file, NULL, 0, true);
    assert_true(files_server_retry(&w->server));
    assert_int_equal(list->size, 0);
    assert_int_equal(file->size, 0);
    assert_false(list->is_reset || file->is_reset);
    w->server.core.memory_left += 1 << 20;
    (void)files_server_retry(&w->server);
    files_world_give_back(true);
    assert_true(list->fin);
    assert_true(file->fin);
    assert_true(file->size > 50000);
}

/* Of a file that is not there. */
static const char *long_path(void)
{
    static char path[FILES_PATH_SIZE];
    memset(path, 'x', sizeof(path));
    for (size_t i = 200; i < sizeof(path); i += 200)
        path[i] = '/';
    path[sizeof(path) - 1] = 0;
    return path;
}

static void requests_are_within_the_memory(void **state)
{
    (void)state;
    const char *path = long_path();
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

/* What no memory is left for counts all the same. */
static void requests_are_few_when_others_have_the_memory(void **state)
{
    (void)state;
    enum { STREAMS = 40 };
    const char *path = long_path();
    uint64_t taken = w->server.core.memory_left;
    w->server.core.memory_left = 0;
    size_t before = mallinfo2().uordblks;
    uint32_t refused = 0;
    for (int i = 0; i < STREAMS; i++)
        refused += want(0, path, 100)->is_reset;
    assert_true(refused > 0);
    size_t streams = STREAMS * (sizeof(struct files_stream) + 1000);
    assert_true(mallinfo2().uordblks - before < 2 * (64 << 10) + streams);
    w->server.core.memory_left = taken;
}

/* Each item that the server does not take is answered, and nobody reads the answers. */
static void answers_that_nobody_reads_are_within_a_limit(void **state)
{
    (void)state;
    enum { ITEMS = 6000 };
    struct files_item item = {.kind = FILES_FILE, .mode = 0644, .path = "x"};
    uint8_t data[FILES_ITEM_SIZE_MAX];
    size_t size = files_item_write(&item, data);
    w->server.writable = NULL;
    set_memory(1 << 20);
    struct world_stream *stream = files_world_open_stream(0);
    size_t before = mallinfo2().uordblks;
    uint32_t count = 0;
    for (; count < ITEMS && !stream->is_reset; count++)
        files_world_tell(stream, data, size, false);
    assert_in_range(count, 100, ITEMS - 1);
    assert_int_equal(stream->error, FILES_BUSY);
    assert_true(mallinfo2().uordblks - before < 1 << 19);
}

/* Begins to push a small file, and keeps its last byte back.  Returns whether the server takes it.
 */
static bool push_in_part(int conn)
{
    static uint8_t data[FILES_ITEM_SIZE_MAX + FILES_SMALL_MAX];
    struct files_item item = {
        .kind = FILES_FILE, .mode = 0644, .size = FILES_SMALL_MAX, .path = "part"};
    item.piece_size = item.data_size = item.extents[0].size = item.size;
    item.extent_count = 1;
    struct world_stream *stream = files_world_try_stream(conn);
    if (stream->user == NULL)
        return false;
    files_world_tell(stream, data, files_item_write(&item, data), false);
    files_world_tell(stream, data, FILES_SMALL_MAX - 1, false);
    const struct files_stream *own = stream->user;
    assert_true(own->sink.in_data);
    assert_true(!own->sink.is_refused || own->sink.refusal == FILES_BUSY);
    return !own->sink.is_refused;
}

/* Begins a message of a request, or of what follows a key.  Returns whether the server waits for
 * the rest of it. */
static bool tell_in_part(struct world_stream *stream, enum files_type type)
{
    static const uint8_t key[FILES_KEY_SIZE];
    uint8_t data[FILES_HEAD_SIZE + FILES_KEY_SIZE + FILES_HEAD_SIZE];
    size_t size = 0;
    if (type == FILES_ITEM) {
        files_head_write(FILES_KEY, FILES_KEY_SIZE, data);
        memcpy(data + FILES_HEAD_SIZE, key, sizeof(key));
        size = FILES_HEAD_SIZE + FILES_KEY_SIZE;
    }
    files_head_write(type, FILES_BODY_MAX, data + size);
    files_world_tell(stream, data, size + FILES_HEAD_SIZE, false);
    assert_true(!stream->fin || stream->bytes[0] == FILES_END);
    return !stream->fin;
}

/* What has come in part has left the window of its stream: that limits it no more. */
static void what_has_come_in_part_is_within_a_limit(void **state)
{
    (void)state;
    uint32_t count = 0;
    uint64_t taken = w->server.kept_left - (16 << 20);
    w->server.kept_left -= taken;
    while (count < 64 && push_in_part(0))
        count++;
    assert_in_range(count, 8, 11); /* of 256 KiB: a sixth is for one */
    assert_true(push_in_part(1));  /* the others have room */
    files_world_close_stream(&w->streams[0]);
    assert_true(push_in_part(0)); /* .. and so has who gives some back */
    w->server.kept_left += taken;
}

static void messages_that_are_not_whole_are_within_a_limit(void **state)
{
    (void)state;
    w->conns[0].alpn = w->conns[1].alpn = FILES_ALPN;
    for (int i = 0; i < 64; i++)
        (void)files_world_open_stream(0), (void)files_world_open_stream(1);
    uint64_t taken = w->server.kept_left - (10 << 20);
    w->server.kept_left -= taken;
    for (uint32_t conn = 0; conn < 2; conn++) {
        uint32_t count = 0;
        while (count < 64 &&
               tell_in_part(&w->streams[2 * count + conn], conn == 0 ? FILES_WANT : FILES_ITEM))
            count++;
        assert_in_range(count, 5, 40);
    }
    /* A stream for which there is no room is refused when it says something. */
    uint64_t rest = w->server.kept_left;
    w->server.kept_left = 0;
    struct world_stream *stream = files_world_try_stream(0);
    assert_null(stream->user);
    files_world_tell(stream, "x", 1, true);
    assert_true(stream->is_reset);
    assert_int_equal(stream->error, FILES_BUSY);
    w->server.kept_left = rest + taken;
}

/* IPv4 addresses, as a socket of both families shows them. */
static void move_to_ipv4(int conn, uint8_t host)
{
    const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, 0, 2, host};
    files_world_move(conn, address);
}

/* Has each of `count` connections take what it can, in turns. */
static void take_all(int count)
{
    for (int conn = 0; conn < count; conn++)
        while (push_in_part(conn))
            ;
}

static void many_connections_of_an_address_leave_a_share_to_another(void **state)
{
    (void)state;
    enum { HOSTILE = 24 };
    for (int conn = 0; conn < HOSTILE; conn++)
        move_to_ipv4(conn, 7);
    move_to_ipv4(HOSTILE, 8);
    uint64_t taken = w->server.kept_left - (48 << 20);
    w->server.kept_left -= taken;
    take_all(HOSTILE);
    assert_true(w->server.kept_left >= 32 << 20); /* they have a third */
    uint32_t count = 0;
    while (count < 64 && push_in_part(HOSTILE))
        count++;
    assert_in_range(count, 18, 22); /* of 256 KiB: a sixth of 32 MiB */
    w->server.kept_left += taken;
}

static void a_connection_leaves_a_share_to_others_of_its_address(void **state)
{
    (void)state;
    for (int conn = 0; conn < 4; conn++)
        move_to_ipv4(conn, 7);
    uint64_t taken = w->server.kept_left - (48 << 20);
    w->server.kept_left -= taken;
    take_all(3);
    assert_true(push_in_part(3));
    w->server.kept_left += taken;
}

/* Of an IPv6 address the first 56 bits count: a site has the others, to choose from. */
static void all_addresses_of_a_site_are_one(void **state)
{
    (void)state;
    uint8_t address[16] = {0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0xff};
    enum { HOSTILE = 24 };
    for (int conn = 0; conn < HOSTILE; conn++) {
        address[7] = (uint8_t)conn;
        address[15] = (uint8_t)(conn + 1);
        files_world_move(conn, address);
    }
    uint64_t taken = w->server.kept_left - (24 << 20);
    w->server.kept_left -= taken;
    take_all(HOSTILE);
    assert_true(w->server.kept_left >= 16 << 20);
    w->server.kept_left += taken;
}

/* What is sent, and what is asked for, of a third of the memory. */
static void what_an_address_asks_for_is_within_its_share(void **state)
{
    (void)state;
    enum { HOSTILE = 24 };
    files_world_make_file("file", 50000);
    set_memory(12 << 20);
    for (int conn = 0; conn < HOSTILE; conn++)
        move_to_ipv4(conn, 7);
    for (int conn = 0; conn < HOSTILE; conn++) {
        for (int i = 0; i < 20; i++)
            (void)want(conn, "file", 30);
        (void)files_server_retry(&w->server);
    }
    assert_true(w->lent_bytes > 2 << 20);
    assert_true(w->lent_bytes <= 4 << 20);
    assert_true(w->server.core.memory_left >= 5 << 20);
}

/* .. however many connections have the little that each may ask for. */
static void little_requests_of_an_address_are_within_its_share(void **state)
{
    (void)state;
    enum { HOSTILE = 30, ALL = 3 << 20 };
    const char *path = long_path();
    set_memory(ALL);
    for (int conn = 0; conn < HOSTILE; conn++)
        move_to_ipv4(conn, 7);
    for (int conn = 0; conn < HOSTILE; conn++)
        (void)want(conn, path, 15);
    /* A third is lent, and of the rest a third is asked for. */
    assert_true(w->server.core.memory_left >= ALL / 9 * 4 - (128 << 10));
    (void)want(HOSTILE, path, 1);
    assert_false(w->streams[w->stream_count - 1].is_reset);
}

/* A list of chunks is 256 KiB here. */
static void lists_of_chunks_are_within_a_limit(void **state)
{
    (void)state;
    char path[64];
    uint32_t count = 0;
    for (int i = 0; i < 64; i++)
        (void)files_world_open_stream(0);
    uint64_t taken = w->server.kept_left - (16 << 20);
    w->server.kept_left -= taken;
    for (int i = 0; i < 64; i++) {
        (void)snprintf(path, sizeof(path), "large %d", i);
        files_world_ask(&w->streams[i], FILES_PROBE, path, (UINT64_C(1) << 40) - 1);
        assert_true(w->streams[i].fin);
        count += w->streams[i].bytes[0] == FILES_HAVE;
        assert_true(w->streams[i].bytes[0] == FILES_HAVE ||
                    w->streams[i].bytes[FILES_HEAD_SIZE + 5] == FILES_BUSY);
    }
    assert_in_range(count, 5, 11);
    /* Another connection takes over what this one has, with its bytes. */
    struct world_stream *stream = files_world_open_stream(1);
    files_world_ask(stream, FILES_PROBE, "large 0", (UINT64_C(1) << 40) - 1);
    assert_int_equal(stream->bytes[0], FILES_HAVE);
    const struct files_session *session = w->conns[1].user;
    assert_true(session->share.kept.bytes > 256000);
    w->server.kept_left += taken;
}

/* Each has folders open, and what was read of them ahead. */
static void lists_are_within_a_limit(void **state)
{
    (void)state;
    uint32_t count = 0;
    assert_int_equal(mkdirat(w->root, "folder", 0700), 0);
    for (int i = 0; i < 64; i++)
        (void)files_world_open_stream(0);
    uint64_t taken = w->server.kept_left - (12 << 20);
    w->server.kept_left -= taken;
    for (int i = 0; i < 64; i++) {
        files_world_ask(&w->streams[i], FILES_LIST, "folder", 0);
        assert_true(w->streams[i].fin);
        bool is_listed = w->streams[i].bytes[0] == FILES_ITEM;
        assert_true(is_listed || w->streams[i].bytes[FILES_HEAD_SIZE + 5] == FILES_BUSY);
        count += is_listed;
    }
    assert_in_range(count, 8, 40);
    files_world_give_back(true);
    files_world_close_stream(&w->streams[0]);
    struct world_stream *stream = files_world_open_stream(0);
    files_world_ask(stream, FILES_LIST, "folder", 0);
    assert_int_equal(stream->bytes[0], FILES_ITEM);
    w->server.kept_left += taken;
}

static void probes_keep_few_parts_open(void **state)
{
    (void)state;
    char path[64];
    for (int i = 0; i < 200; i++) {
        struct world_stream *stream = files_world_open_stream(0);
        (void)snprintf(path, sizeof(path), "large %d", i);
        files_world_ask(stream, FILES_PROBE, path, UINT64_C(1) << 40);
        assert_true(stream->fin);
        assert_int_equal(stream->bytes[0], FILES_HAVE);
        files_world_give_back(true);
        files_world_close_stream(stream);
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
        cmocka_unit_test_setup_teardown(a_failure_that_cannot_be_told_is_no_success,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(no_stream_stays_without_an_answer, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(files_for_nobody_are_within_the_memory, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(what_waits_for_memory_goes_on, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(requests_are_few_when_others_have_the_memory,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(answers_that_nobody_reads_are_within_a_limit,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(requests_are_within_the_memory, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(what_has_come_in_part_is_within_a_limit, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(messages_that_are_not_whole_are_within_a_limit,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(many_connections_of_an_address_leave_a_share_to_another,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(a_connection_leaves_a_share_to_others_of_its_address,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(all_addresses_of_a_site_are_one, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(what_an_address_asks_for_is_within_its_share,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(little_requests_of_an_address_are_within_its_share,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(lists_of_chunks_are_within_a_limit, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(lists_are_within_a_limit, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(probes_keep_few_parts_open, files_world_set_up,
                                        files_world_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
