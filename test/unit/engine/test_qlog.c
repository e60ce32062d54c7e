/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <spate/base.h>

#include "engine/base/entropy.h"
#include "engine/qlog/log.h"

/* ---- The ring ---- */

enum { RING_SIZE = 1 << 16 };

static uint8_t byte_of(uint64_t number, size_t i)
{
    return (uint8_t)(number * 31 + i);
}

static size_t size_of(uint64_t number)
{
    return 1 + number * 97 % 3000;
}

static bool put(struct se_qlog_ring *ring, uint64_t number)
{
    uint8_t record[3001];
    for (size_t i = 0; i < size_of(number); i++)
        record[i] = byte_of(number, i);
    return se_qlog_ring_put(ring, (uint32_t)(number % 7), record, size_of(number));
}

/* Takes the next record, which must be `number`.  Returns false if there is none. */
static bool take(struct se_qlog_ring *ring, uint64_t number)
{
    struct se_qlog_cell cell;
    for (;;) {
        if (!se_qlog_ring_take(ring, &cell))
            return false;
        if (cell.slot != UINT32_MAX)
            break;
        se_qlog_ring_free(ring, &cell);
    }
    assert_int_equal(cell.slot, number % 7);
    assert_int_equal(cell.size, size_of(number));
    for (size_t i = 0; i < cell.size; i++)
        assert_int_equal(cell.record[i], byte_of(number, i));
    se_qlog_ring_free(ring, &cell);
    return true;
}

static void a_full_ring_refuses_and_keeps_room_for_ends(void **state)
{
    (void)state;
    struct se_qlog_ring ring;
    assert_true(se_qlog_ring_init(&ring, RING_SIZE));
    for (uint32_t i = 0; i < 5; i++)
        assert_true(se_qlog_ring_open(&ring));
    for (uint64_t first = 0, number = 0, round = 0; round < 200; round++) {
        while (put(&ring, number))
            number++;
        assert_true(number > first);
        while (first < number)
            assert_true(take(&ring, first++));
        assert_false(take(&ring, first));
    }
    uint8_t byte = 0;
    while (se_qlog_ring_put(&ring, 0, &byte, 1)) {
    }
    for (uint32_t i = 0; i < 5; i++)
        se_qlog_ring_end(&ring, i); /* asserts that there is room */
    struct se_qlog_cell cell;
    uint32_t ends = 0;
    while (se_qlog_ring_take(&ring, &cell)) {
        ends += cell.size == 0 && cell.slot != UINT32_MAX;
        se_qlog_ring_free(&ring, &cell);
    }
    assert_int_equal(ends, 5);
    se_qlog_ring_deinit(&ring);
}

enum { THREAD_RECORDS = 200000 };

static void *consume(void *argument)
{
    for (uint64_t number = 0; number < THREAD_RECORDS;)
        number += take(argument, number);
    return NULL;
}

static void two_threads_share_a_ring(void **state)
{
    (void)state;
    struct se_qlog_ring ring;
    pthread_t thread;
    assert_true(se_qlog_ring_init(&ring, RING_SIZE));
    assert_true(se_qlog_ring_open(&ring));
    assert_int_equal(pthread_create(&thread, NULL, consume, &ring), 0);
    for (uint64_t number = 0; number < THREAD_RECORDS;)
        number += put(&ring, number);
    assert_int_equal(pthread_join(thread, NULL), 0);
    se_qlog_ring_deinit(&ring);
}

/* ---- The files ---- */

struct fixture {
    char dir[64];
    struct spate_qlog config;
    struct se_qlog_log *log;
    struct se_qlog_shard shard;
    struct se_entropy entropy;
    uint64_t record_count, dropped_count;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    strcpy(f->dir, "/tmp/test_qlog.XXXXXX");
    if (f == NULL || mkdtemp(f->dir) == NULL || se_entropy_init(&f->entropy) != 0)
        return -1;
    spate_qlog_init(&f->config);
    f->config.dir = f->dir;
    *state = f;
    return 0;
}

static void close_log(struct fixture *f)
{
    se_qlog_close(f->log);
    f->log = NULL;
}

/* Returns the number of files, and their bytes together in `*ret_bytes`. */
static uint32_t count_files(const struct fixture *f, uint64_t *ret_bytes, bool removes)
{
    DIR *dir = opendir(f->dir);
    uint32_t count = 0;
    assert_non_null(dir);
    *ret_bytes = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[400];
        struct stat info;
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", f->dir, entry->d_name);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
        *ret_bytes += (uint64_t)info.st_size;
        count++;
        if (removes)
            (void)unlink(path);
    }
    (void)closedir(dir);
    return count;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes;
    close_log(f);
    (void)count_files(f, &bytes, true);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static void open_log(struct fixture *f)
{
    assert_int_equal(se_qlog_open(&f->config, 1, &f->log, NULL), 0);
    f->shard = (struct se_qlog_shard){f->log, se_qlog_ring_of(f->log, 0), &f->record_count,
                                      &f->dropped_count};
}

static struct sp_addr addr_of(uint8_t last)
{
    return (struct sp_addr){.family = 4, .ip = {192, 0, 2, last}, .port = 443};
}

static struct sp_qlog *begin(struct fixture *f, uint8_t last)
{
    const struct sp_addr addr = addr_of(last);
    return se_qlog_begin(&f->shard, &addr, &f->entropy);
}

/* Records the beginning of a connection with this original DCID. */
static void start(struct sp_qlog *qlog, enum sp_role role, uint8_t dcid)
{
    uint8_t addr[SP_QLOG_ADDR_SIZE];
    const struct sp_addr peer = addr_of(1);
    sp_qlog_addr(&peer, addr);
    const struct sb_bytes where = {addr, sizeof(addr)}, cid = {&dcid, 1};
    sp_qlog_write(qlog, &(struct sp_qlog_record){.kind = SP_QLOG_STARTED,
                                                 .number_count = 1,
                                                 .numbers = {role},
                                                 .text_count = 5,
                                                 .texts = {where, where, cid, cid, cid}});
}

static void reach_handshake(struct sp_qlog *qlog)
{
    sp_qlog_numbers(qlog, SP_QLOG_STATE,
                    (uint64_t[]){SP_QLOG_STATE_ATTEMPTED, SP_QLOG_STATE_HANDSHAKE}, 2);
}

static void a_server_s_file_waits_for_a_client_hello(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes;
    open_log(f);
    for (uint8_t i = 0; i < 3; i++) {
        struct sp_qlog *qlog = begin(f, 1);
        start(qlog, i == 0 ? SP_CLIENT : SP_SERVER, i);
        if (i == 1)
            reach_handshake(qlog);
        se_qlog_end(qlog);
    }
    close_log(f);
    assert_int_equal(count_files(f, &bytes, false), 2);
    assert_int_equal(f->dropped_count, 0);
    assert_int_equal(f->record_count, 4);
}

static void a_file_that_exists_is_left_alone(void **state)
{
    struct fixture *f = *state;
    uint64_t before, after;
    for (uint32_t i = 0; i < 2; i++) {
        open_log(f);
        struct sp_qlog *qlog = begin(f, 1);
        start(qlog, SP_CLIENT, 9);
        if (i == 1)
            reach_handshake(qlog);
        se_qlog_end(qlog);
        close_log(f);
        assert_int_equal(count_files(f, i == 0 ? &before : &after, false), 1);
    }
    assert_int_equal(before, after);
}

static void peers_and_chance_decide_who_is_recorded(void **state)
{
    struct fixture *f = *state;
    f->config.peers = "198.51.100.7, 192.0.2.128/26,2001:db8::/32";
    open_log(f);
    static const uint8_t outside[] = {1, 127, 192, 255}, inside[] = {128, 150, 191};
    for (size_t i = 0; i < SB_COUNT(outside); i++)
        assert_null(begin(f, outside[i]));
    for (size_t i = 0; i < SB_COUNT(inside); i++) {
        struct sp_qlog *qlog = begin(f, inside[i]);
        assert_non_null(qlog);
        se_qlog_end(qlog);
    }
    const struct sp_addr v6 = {.family = 6, .ip = {0x20, 0x01, 0x0d, 0xb8, 7}};
    struct sp_qlog *qlog = se_qlog_begin(&f->shard, &v6, &f->entropy);
    assert_non_null(qlog);
    se_qlog_end(qlog);
    close_log(f);

    f->config.peers = NULL;
    f->config.one_in = 4;
    f->config.files_max = 4096;
    open_log(f);
    struct sp_qlog *taken[4000];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 4000; i++)
        count += (taken[count] = begin(f, 1)) != NULL;
    assert_in_range(count, 700, 1300); /* 1,000; each bound is eleven deviations away */
    while (count > 0)
        se_qlog_end(taken[--count]);
}

static void slots_are_bounded_and_come_back(void **state)
{
    struct fixture *f = *state;
    f->config.files_max = 2;
    open_log(f);
    struct sp_qlog *one = begin(f, 1), *two = begin(f, 1);
    assert_non_null(one);
    assert_non_null(two);
    assert_null(begin(f, 1));
    se_qlog_end(one);
    for (uint32_t i = 0; i < 1000 && (one = begin(f, 1)) == NULL; i++)
        usleep(10000); /* the thread reads the end within 10 ms */
    assert_non_null(one);
    se_qlog_end(one);
    se_qlog_end(two);
}

static void files_end_at_their_largest_size(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes;
    f->config.file_bytes_max = 65536;
    f->config.bytes_max = 3 * 65536 / 2;
    open_log(f);
    for (uint8_t i = 0; i < 4; i++) {
        struct sp_qlog *qlog = begin(f, 1);
        start(qlog, SP_CLIENT, i);
        for (uint32_t k = 0; k < 2000; k++)
            reach_handshake(qlog);
        se_qlog_end(qlog);
        close_log(f);
        assert_true(count_files(f, &bytes, false) >= 1);
        assert_true(bytes <= (i + 1u) * 65536);
        open_log(f);
    }
    close_log(f);
    assert_true(bytes > 2 * 65536); /* each engine had its own bound */
    (void)count_files(f, &bytes, true);

    open_log(f);
    for (uint8_t i = 0; i < 4; i++) {
        struct sp_qlog *qlog = begin(f, 1);
        start(qlog, SP_CLIENT, i);
        for (uint32_t k = 0; k < 2000; k++)
            reach_handshake(qlog);
        se_qlog_end(qlog);
    }
    close_log(f);
    (void)count_files(f, &bytes, false);
    assert_in_range(bytes, 65536, f->config.bytes_max);
}

static uint64_t errors(struct fixture *f, int *ret_error)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < 1000 && count == 0; i++) {
        count = se_qlog_errors(&f->shard, ret_error);
        if (count == 0)
            usleep(10000); /* the thread looks every 10 ms */
    }
    return count;
}

static void what_the_system_refuses_is_counted(void **state)
{
    struct fixture *f = *state;
    int error = 0;
    open_log(f);
    assert_int_equal(se_qlog_errors(&f->shard, &error), 0);
    assert_int_equal(rmdir(f->dir), 0);
    struct sp_qlog *qlog = begin(f, 1);
    start(qlog, SP_CLIENT, 1);
    reach_handshake(qlog);
    assert_int_equal(errors(f, &error), 1);
    assert_int_equal(error, ENOENT);
    reach_handshake(qlog); /* the file has ended: no further error */
    se_qlog_end(qlog);
    close_log(f);
    assert_int_equal(mkdir(f->dir, 0700), 0);

    /* A file that may not grow stands for a disk that is full. */
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    open_log(f);
    qlog = begin(f, 1);
    start(qlog, SP_CLIENT, 2);
    for (uint32_t i = 0; i < 200; i++)
        reach_handshake(qlog);
    uint64_t count = errors(f, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    se_qlog_end(qlog);
    assert_int_equal(count, 1);
    assert_int_equal(error, EFBIG);
}

static void a_full_ring_drops_and_counts(void **state)
{
    struct fixture *f = *state;
    f->config.ring_bytes = 65536;
    open_log(f);
    struct sp_qlog *qlog = begin(f, 1);
    start(qlog, SP_CLIENT, 1);
    for (uint32_t i = 0; i < 100000; i++) /* faster than text can be made */
        reach_handshake(qlog);
    assert_true(f->dropped_count > 0);
    /* Each is put, or dropped and named by a record beside them. */
    assert_true(f->record_count + f->dropped_count >= 100001);
    se_qlog_end(qlog);
}

#define SPOIL(name, change) \
    static void name(struct spate_qlog *c) \
    { \
        change; \
    }
SPOIL(no_dir, c->dir = NULL)
SPOIL(no_share, c->one_in = 0)
SPOIL(many_files, c->files_max = 4097)
SPOIL(no_files, c->files_max = 0)
SPOIL(small_file, c->file_bytes_max = 1)
SPOIL(small_sum, c->bytes_max = 1)
SPOIL(small_ring, c->ring_bytes = 1)
SPOIL(bad_peer, c->peers = "192.0.2.0/33")
SPOIL(bad_bits, c->peers = "192.0.2.0/x")
SPOIL(worse_peer, c->peers = "somewhere")
SPOIL(empty_peers, c->peers = "")

static void bad_values_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        void (*spoil)(struct spate_qlog *c);
        const char *says;
    } rows[] = {
        {no_dir, "qlog.dir is NULL: name a folder"},
        {no_share, "qlog.one_in is 0, must be 1 to 1000000"},
        {many_files, "qlog.files_max is 4097, must be 1 to 4096"},
        {no_files, "qlog.files_max is 0, must be 1 to 4096"},
        {small_file, "qlog.file_bytes_max is 1, must be 65536 to 1099511627776"},
        {small_sum, "qlog.bytes_max is 1, must be 65536 to 70368744177664"},
        {small_ring, "qlog.ring_bytes is 1, must be 65536 to 1073741824"},
        {bad_peer, "qlog.peers: 192.0.2.0/33 is no prefix"},
        {bad_bits, "qlog.peers: 192.0.2.0/x is no prefix"},
        {worse_peer, "qlog.peers: somewhere is no prefix"},
        {empty_peers, "qlog.peers is empty: NULL stands for all"},
    };
    for (size_t i = 0; i < SB_COUNT(rows); i++) {
        struct spate_qlog config = f->config;
        struct spate_error error = {""};
        rows[i].spoil(&config);
        assert_int_equal(se_qlog_open(&config, 1, &f->log, &error), -EINVAL);
        assert_string_equal(error.text, rows[i].says);
        assert_null(f->log);
    }
    struct spate_error error = {""};
    f->config.dir = "/no/such/folder";
    assert_int_equal(se_qlog_open(&f->config, 1, &f->log, &error), -ENOENT);
    assert_string_equal(error.text, "qlog.dir: /no/such/folder: No such file or directory");
    f->config.dir = "/dev/null";
    assert_int_equal(se_qlog_open(&f->config, 1, &f->log, NULL), -ENOTDIR);
}

int main(void)
{
#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_ring_refuses_and_keeps_room_for_ends),
        cmocka_unit_test(two_threads_share_a_ring),
        WITH_FILES(a_server_s_file_waits_for_a_client_hello),
        WITH_FILES(a_file_that_exists_is_left_alone),
        WITH_FILES(peers_and_chance_decide_who_is_recorded),
        WITH_FILES(slots_are_bounded_and_come_back),
        WITH_FILES(files_end_at_their_largest_size),
        WITH_FILES(what_the_system_refuses_is_counted),
        WITH_FILES(a_full_ring_drops_and_counts),
        WITH_FILES(bad_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
