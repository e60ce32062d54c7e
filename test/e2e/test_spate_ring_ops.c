/* SPDX-License-Identifier: MIT */
/* Operations of the program in a shard's ring: files, timers and TCP beside connections, links,
 * queues that are full, and what is refused. */

#include "test/support/spate_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum { MANY = 6000, RESULTS_MAX = 8 };

struct log {
    uint32_t count;
    uint32_t ends;
    int32_t results[RESULTS_MAX]; /* the first ones */
};

static void note(struct spate_shard *shard, void *user, int32_t result, uint32_t flags)
{
    struct log *log = user;
    (void)shard;
    if (log->count < RESULTS_MAX)
        log->results[log->count] = result;
    log->count++;
    log->ends += (flags & SPATE_RING_MORE) == 0;
}

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

struct box {
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct log log[4];
    char bytes[256];
};

static struct box *make_box(uint32_t operations_max)
{
    struct box *box = owned_alloc(sizeof(*box));
    struct spate_config config;
    spate_config_init(&config);
    config.backend = pw_backend();
    config.operations_max = operations_max;
    config.conns_max = 10;
    assert_int_equal(spate_engine_create(&config, &box->engine, NULL), 0);
    (void)owned_add(box->engine, destroy);
    box->shard = spate_engine_shard(box->engine, 0);
    return box;
}

/* Submits an operation, and clears the sqe for the next one. */
static uint64_t submit(struct box *box, struct io_uring_sqe *sqe, struct log *log)
{
    struct spate_ring_op op = {.sqe = sqe, .handler = note, .user = log};
    assert_int_equal(spate_ring_submit(box->shard, &op, 1), 0);
    assert_true(op.id != 0);
    *sqe = (struct io_uring_sqe){0};
    return op.id;
}

static void turn_until(struct box *box, const uint32_t *counter, uint32_t wanted)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*counter < wanted && pw_now_ns() < end_ns)
        assert_int_equal(spate_shard_turn(box->shard, 100 * MS), 0);
    assert_int_equal(*counter, wanted);
}

/* ---- what a program does ---- */

static void a_file_is_read_and_written(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    char name[] = "/tmp/spate-ring-XXXXXX";
    struct io_uring_sqe sqe = {0};
    int fd = owned_fd(mkstemp(name));
    assert_int_equal(unlink(name), 0);
    io_uring_prep_write(&sqe, fd, "hello", 5, 0);
    (void)submit(box, &sqe, &box->log[0]);
    turn_until(box, &box->log[0].ends, 1);
    assert_int_equal(box->log[0].results[0], 5);
    io_uring_prep_read(&sqe, fd, box->bytes, sizeof(box->bytes), 0);
    (void)submit(box, &sqe, &box->log[1]);
    turn_until(box, &box->log[1].ends, 1);
    assert_int_equal(box->log[1].results[0], 5);
    assert_memory_equal(box->bytes, "hello", 5);
}

static void a_timer_runs_out_in_time(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    struct __kernel_timespec time = {.tv_nsec = 20 * MS};
    struct io_uring_sqe sqe = {0};
    io_uring_prep_timeout(&sqe, &time, 0, 0);
    uint64_t start_ns = pw_now_ns();
    (void)submit(box, &sqe, &box->log[0]);
    turn_until(box, &box->log[0].ends, 1);
    assert_int_equal(box->log[0].results[0], -ETIME);
    assert_in_range(pw_now_ns() - start_ns, 20 * MS, 2000 * MS);
}

/* The id is what other operations name this one by. */
static void a_timer_is_changed_by_its_id(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    struct __kernel_timespec far = {.tv_sec = 1000};
    struct __kernel_timespec near = {.tv_nsec = MS};
    struct io_uring_sqe sqe = {0};
    io_uring_prep_timeout(&sqe, &far, 0, 0);
    uint64_t id = submit(box, &sqe, &box->log[0]);
    io_uring_prep_timeout_update(&sqe, &near, id, 0);
    (void)submit(box, &sqe, &box->log[1]);
    turn_until(box, &box->log[0].ends, 1);
    assert_int_equal(box->log[0].results[0], -ETIME);
    assert_int_equal(box->log[1].results[0], 0);
}

static int listening(struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    int fd = owned_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    *ret_address = pw_loopback(false, 0, ret_size);
    assert_int_equal(bind(fd, (struct sockaddr *)ret_address, *ret_size), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, ret_size), 0);
    return fd;
}

static void tcp_lives_in_the_ring(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    struct sockaddr_storage address;
    socklen_t size;
    struct io_uring_sqe sqe = {0};
    int listener = listening(&address, &size);
    int client = owned_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    io_uring_prep_multishot_accept(&sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    (void)submit(box, &sqe, &box->log[0]);
    io_uring_prep_connect(&sqe, client, (struct sockaddr *)&address, size);
    (void)submit(box, &sqe, &box->log[1]);
    turn_until(box, &box->log[0].count, 1);
    turn_until(box, &box->log[1].ends, 1);
    assert_int_equal(box->log[0].ends, 0); /* it goes on accepting */
    assert_int_equal(box->log[1].results[0], 0);
    int server = owned_fd(box->log[0].results[0]);
    io_uring_prep_recv(&sqe, server, box->bytes, sizeof(box->bytes), 0);
    (void)submit(box, &sqe, &box->log[2]);
    io_uring_prep_send(&sqe, client, "ping", 4, 0);
    (void)submit(box, &sqe, &box->log[3]);
    turn_until(box, &box->log[2].ends, 1);
    turn_until(box, &box->log[3].ends, 1);
    assert_int_equal(box->log[2].results[0], 4);
    assert_memory_equal(box->bytes, "ping", 4);
}

/* A read that nothing answers, linked to a time-out. */
static void linked_operations_stay_together(void **state)
{
    (void)state;
    struct box *box = make_box(MANY);
    struct __kernel_timespec time = {.tv_nsec = 5 * MS};
    struct io_uring_sqe sqes[2] = {{0}, {0}};
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    (void)owned_fd(fds[0]);
    (void)owned_fd(fds[1]);
    io_uring_prep_read(&sqes[0], fds[0], box->bytes, sizeof(box->bytes), 0);
    sqes[0].flags |= IOSQE_IO_LINK;
    io_uring_prep_link_timeout(&sqes[1], &time, 0);
    struct spate_ring_op ops[2] = {
        {.sqe = &sqes[0], .handler = note, .user = &box->log[0]},
        {.sqe = &sqes[1], .handler = note, .user = &box->log[1]},
    };
    /* Whatever is in the queue already: a link that the queue's end tears apart would leave the
     * read without its time-out. */
    for (uint32_t before = 0; before < 600; before += 85) {
        struct io_uring_sqe nop = {0};
        io_uring_prep_nop(&nop);
        uint32_t ended = box->log[0].ends;
        for (uint32_t i = 0; i < before; i++)
            (void)submit(box, &nop, &box->log[2]);
        assert_int_equal(spate_ring_submit(box->shard, ops, 2), 0);
        assert_int_equal(spate_ring_submit(box->shard, ops, 2), 0);
        turn_until(box, &box->log[0].ends, ended + 2);
    }
    for (uint32_t i = 0; i < RESULTS_MAX; i++) {
        assert_int_equal(box->log[0].results[i], -ECANCELED);
        assert_int_equal(box->log[1].results[i], -ETIME);
    }
}

/* ---- ends ---- */

static void an_operation_is_cancelled(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    struct io_uring_sqe sqe = {0};
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    (void)owned_fd(fds[0]);
    (void)owned_fd(fds[1]);
    io_uring_prep_read(&sqe, fds[0], box->bytes, sizeof(box->bytes), 0);
    uint64_t id = submit(box, &sqe, &box->log[0]);
    assert_int_equal(spate_shard_turn(box->shard, 0), 0);
    assert_int_equal(spate_ring_cancel(box->shard, id), 0);
    turn_until(box, &box->log[0].ends, 1);
    assert_int_equal(box->log[0].results[0], -ECANCELED);
    assert_int_equal(write(fds[1], "late", 4), 4);
    assert_int_equal(spate_shard_turn(box->shard, 2 * MS), 0);
    assert_int_equal(box->bytes[0], 0);
}

static uint32_t count_files(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    assert_int_equal(closedir(folder), 0);
    return count;
}

static void close_accepted(struct spate_shard *shard, void *user, int32_t result, uint32_t flags)
{
    note(shard, user, result, flags);
    if (result >= 0)
        assert_int_equal(close(result), 0);
}

/* What was accepted and not reported yet is reported at the end: nobody else could close it. */
static void destroying_an_engine_loses_no_descriptor(void **state)
{
    (void)state;
    uint32_t before = 0;
    for (uint32_t round = 0; round < 3; round++) {
        struct box *box = make_box(4);
        struct sockaddr_storage address;
        socklen_t size;
        struct io_uring_sqe sqe = {0};
        int listener = listening(&address, &size);
        io_uring_prep_multishot_accept(&sqe, listener, NULL, NULL, SOCK_CLOEXEC);
        struct spate_ring_op op = {.sqe = &sqe, .handler = close_accepted, .user = &box->log[0]};
        assert_int_equal(spate_ring_submit(box->shard, &op, 1), 0);
        assert_int_equal(spate_shard_turn(box->shard, 0), 0);
        for (uint32_t i = 0; i < round; i++) {
            int client = owned_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            assert_int_equal(connect(client, (struct sockaddr *)&address, size), 0);
        }
        (void)spate_shard_deadline_ns(box->shard); /* hands over, and takes nothing */
        owned_end(box->engine);
        assert_int_equal(box->log[0].ends, 1);
        owned_end_all();
        before = round == 0 ? count_files() : before;
        assert_int_equal(count_files(), before);
    }
}

static void memory_comes_back_when_an_engine_is_destroyed(void **state)
{
    (void)state;
    struct box *box = make_box(MANY);
    struct io_uring_sqe sqe = {0};
    char *bytes = malloc(64); /* the address sanitizer sees a write after the end */
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    (void)owned_fd(fds[0]);
    (void)owned_fd(fds[1]);
    io_uring_prep_read(&sqe, fds[0], bytes, 64, 0);
    (void)submit(box, &sqe, &box->log[0]);
    assert_int_equal(spate_shard_turn(box->shard, 0), 0);
    io_uring_prep_read(&sqe, fds[0], bytes, 64, 0);
    (void)submit(box, &sqe, &box->log[1]); /* not handed over */
    owned_end(box->engine);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(box->log[i].ends, 1);
        assert_int_equal(box->log[i].results[0], -ECANCELED);
    }
    free(bytes);
    assert_int_equal(write(fds[1], "late", 4), 4);
}

/* ---- full queues ---- */

static void more_operations_than_the_queues_hold_all_end(void **state)
{
    (void)state;
    struct box *box = make_box(MANY);
    struct io_uring_sqe sqe = {0};
    struct spate_ring_op op = {.sqe = &sqe, .handler = note, .user = &box->log[0]};
    uint32_t queued = 0;
    uint32_t refused = 0;
    io_uring_prep_nop(&sqe);
    while (queued < 3 * MANY) {
        int result = spate_ring_submit(box->shard, &op, 1);
        assert_true(result == 0 || result == -ENOBUFS || result == -EAGAIN);
        queued += result == 0;
        refused += result != 0;
        if (result != 0)
            assert_int_equal(spate_shard_turn(box->shard, 0), 0);
    }
    assert_true(refused > 0);
    turn_until(box, &box->log[0].ends, queued);
}

/* Many watches that are ready at once: each reports, and none ends before it is told to. */
static void many_watches_all_report(void **state)
{
    (void)state;
    struct box *box = make_box(MANY);
    int fd = owned_fd(eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
    static struct log logs[MANY];
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    memset(logs, 0, sizeof(logs));
    for (uint32_t i = 0; i < MANY; i++) {
        int result;
        while ((result = spate_ring_watch(box->shard, fd, POLLIN, true, note, &logs[i], NULL)) !=
               0) {
            assert_int_equal(result, -EAGAIN);
            assert_int_equal(spate_shard_turn(box->shard, 0), 0);
        }
    }
    for (uint32_t i = 0; i < MANY; i++) {
        while (logs[i].count == 0 && pw_now_ns() < end_ns)
            assert_int_equal(spate_shard_turn(box->shard, 10 * MS), 0);
        assert_true(logs[i].count > 0);
        assert_int_equal(logs[i].ends, 0);
    }
    owned_end(box->engine);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(logs[i].ends, 1);
}

/* The kernel ends a multishot poll that reports while the completion queue is full.  The watch is
 * queued again, also if it was cancelled meanwhile. */
static void watches_outlive_an_overflow(void **state)
{
    (void)state;
    struct box *box = make_box(2 * MANY);
    int fd = owned_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    struct io_uring_sqe sqe = {0};
    struct spate_ring_op op = {.sqe = &sqe, .handler = note, .user = &box->log[1]};
    const uint64_t one = 1;
    uint64_t id;
    assert_int_equal(spate_ring_watch(box->shard, fd, POLLIN, true, note, &box->log[0], &id), 0);
    assert_int_equal(spate_shard_turn(box->shard, 0), 0);
    io_uring_prep_nop(&sqe);
    for (uint32_t round = 1; round <= 3; round++) {
        uint32_t before = box->log[0].count;
        for (uint32_t i = 0; i < MANY && spate_ring_submit(box->shard, &op, 1) == 0; i++)
            ;
        assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
        if (round == 3)
            assert_int_equal(spate_ring_cancel(box->shard, id), 0);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (box->log[0].count == before && pw_now_ns() < end_ns)
            assert_int_equal(spate_shard_turn(box->shard, 10 * MS), 0);
        assert_true(box->log[0].count > before);
        assert_true(round == 3 || box->log[0].ends == 0);
        for (uint32_t i = 0; i < 100; i++)
            assert_int_equal(spate_shard_turn(box->shard, 0), 0);
    }
    turn_until(box, &box->log[0].ends, 1);
}

/* ---- beside connections ---- */

static void operations_and_connections_go_on_together(void **state)
{
    (void)state;
    static uint8_t data[1000000];
    struct pw *w = pw_create(&(struct pw_config){0});
    struct log *log = owned_alloc(sizeof(*log));
    struct io_uring_sqe sqe = {0};
    struct spate_ring_op op = {.sqe = &sqe, .handler = note, .user = log};
    uint64_t id;
    uint32_t queued = 0;
    struct spate_conn *conn = pw_connected(w);
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, data, sizeof(data), true, 0), 0);
    io_uring_prep_nop(&sqe);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (w->server.fin_count == 0 && pw_now_ns() < end_ns) {
        for (uint32_t i = 0; i < 40; i++)
            queued += spate_ring_submit(w->server.shard, &op, 1) == 0;
        pw_turn(w);
    }
    assert_int_equal(w->server.bytes_in, sizeof(data));
    while (log->ends < queued && pw_now_ns() < end_ns)
        pw_turn(w);
    assert_int_equal(log->ends, queued);
}

/* ---- what is refused ---- */

static void prepare_drain(struct io_uring_sqe *sqe)
{
    sqe->flags |= IOSQE_IO_DRAIN;
}

static void prepare_skip(struct io_uring_sqe *sqe)
{
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void prepare_link(struct io_uring_sqe *sqe)
{
    sqe->flags |= IOSQE_IO_LINK;
}

static void prepare_fixed(struct io_uring_sqe *sqe)
{
    io_uring_prep_read(sqe, 0, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
}

static void prepare_group(struct io_uring_sqe *sqe)
{
    io_uring_prep_recv(sqe, 0, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
}

static void prepare_provide(struct io_uring_sqe *sqe)
{
    io_uring_prep_provide_buffers(sqe, NULL, 0, 0, 0, 0);
}

static void prepare_remove(struct io_uring_sqe *sqe)
{
    io_uring_prep_remove_buffers(sqe, 1, 0);
}

static void prepare_accept_direct(struct io_uring_sqe *sqe)
{
    io_uring_prep_accept_direct(sqe, 0, NULL, NULL, 0, 3);
}

static void prepare_open_direct(struct io_uring_sqe *sqe)
{
    io_uring_prep_openat_direct(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0, 3);
}

static void prepare_socket_direct(struct io_uring_sqe *sqe)
{
    io_uring_prep_socket_direct(sqe, AF_INET, SOCK_DGRAM, 0, 3, 0);
}

static void prepare_close_direct(struct io_uring_sqe *sqe)
{
    io_uring_prep_close_direct(sqe, 0);
}

static void prepare_files_update(struct io_uring_sqe *sqe)
{
    io_uring_prep_files_update(sqe, NULL, 0, 0);
}

static void prepare_splice(struct io_uring_sqe *sqe)
{
    io_uring_prep_splice(sqe, 0, -1, 1, -1, 10, SPLICE_F_FD_IN_FIXED);
}

static void prepare_cancel_any(struct io_uring_sqe *sqe)
{
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
}

static void prepare_cancel_fixed(struct io_uring_sqe *sqe)
{
    io_uring_prep_cancel_fd(sqe, 0, IORING_ASYNC_CANCEL_FD_FIXED);
}

static void prepare_send_fd(struct io_uring_sqe *sqe)
{
    io_uring_prep_msg_ring_fd(sqe, 0, 0, 0, 0, 0);
}

static void what_would_touch_the_shard_is_refused(void **state)
{
    (void)state;
    static void (*const samples[])(struct io_uring_sqe *sqe) = {
        prepare_drain,         prepare_skip,         prepare_link,         prepare_fixed,
        prepare_group,         prepare_provide,      prepare_remove,       prepare_accept_direct,
        prepare_open_direct,   prepare_files_update, prepare_splice,       prepare_cancel_any,
        prepare_socket_direct, prepare_close_direct, prepare_cancel_fixed, prepare_send_fd,
    };
    struct box *box = make_box(100);
    struct io_uring_sqe good = {0};
    io_uring_prep_nop(&good);
    for (uint32_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        struct io_uring_sqe sqe = {0};
        io_uring_prep_nop(&sqe);
        samples[i](&sqe);
        struct spate_ring_op ops[2] = {
            {.sqe = &good, .handler = note, .user = &box->log[0]},
            {.sqe = &sqe, .handler = note, .user = &box->log[0]},
        };
        assert_int_equal(spate_ring_submit(box->shard, ops, 2), -EINVAL);
    }
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(spate_shard_turn(box->shard, 0), 0);
    assert_int_equal(box->log[0].count, 0); /* none of them was queued */
}

static void the_count_of_operations_has_bounds(void **state)
{
    (void)state;
    struct box *box = make_box(SPATE_RING_OPS_MAX);
    struct io_uring_sqe sqe = {0};
    struct spate_ring_op ops[SPATE_RING_OPS_MAX + 1];
    io_uring_prep_nop(&sqe);
    for (uint32_t i = 0; i <= SPATE_RING_OPS_MAX; i++)
        ops[i] = (struct spate_ring_op){.sqe = &sqe, .handler = note, .user = &box->log[0]};
    assert_int_equal(spate_ring_submit(box->shard, ops, SPATE_RING_OPS_MAX + 1), -EINVAL);
    assert_int_equal(spate_ring_submit(box->shard, ops, SPATE_RING_OPS_MAX), 0);
    assert_int_equal(spate_ring_submit(box->shard, ops, 1), -ENOBUFS);
    turn_until(box, &box->log[0].ends, SPATE_RING_OPS_MAX);
    ops[0].handler = NULL; /* nobody needs the result, and its place is free again */
    for (uint32_t i = 0; i < 3 * SPATE_RING_OPS_MAX; i++) {
        assert_int_equal(spate_ring_submit(box->shard, ops, 1), 0);
        assert_int_equal(spate_shard_turn(box->shard, 0), 0);
    }
}

static void without_io_uring_there_are_watches_alone(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    struct io_uring_sqe sqe = {0};
    struct spate_ring_op op = {.sqe = &sqe, .handler = note, .user = &box->log[0]};
    io_uring_prep_nop(&sqe);
    assert_int_equal(spate_ring_submit(box->shard, &op, 1), -ENOTSUP);
    assert_int_equal(spate_shard_turn(box->shard, 0), 0);
    assert_int_equal(box->log[0].count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_file_is_read_and_written),
        QT_TEST(owned, a_timer_runs_out_in_time),
        QT_TEST(owned, a_timer_is_changed_by_its_id),
        QT_TEST(owned, tcp_lives_in_the_ring),
        QT_TEST(owned, linked_operations_stay_together),
        QT_TEST(owned, an_operation_is_cancelled),
        QT_TEST(owned, destroying_an_engine_loses_no_descriptor),
        QT_TEST(owned, memory_comes_back_when_an_engine_is_destroyed),
        QT_TEST(owned, more_operations_than_the_queues_hold_all_end),
        QT_TEST(owned, many_watches_all_report),
        QT_TEST(owned, watches_outlive_an_overflow),
        QT_TEST(owned, operations_and_connections_go_on_together),
        QT_TEST(owned, what_would_touch_the_shard_is_refused),
        QT_TEST(owned, the_count_of_operations_has_bounds),
    };
    const struct CMUnitTest without[] = {
        QT_TEST(owned, without_io_uring_there_are_watches_alone),
    };
    return pw_backend() == SPATE_BACKEND_MMSG ? cmocka_run_group_tests(without, NULL, NULL)
                                              : cmocka_run_group_tests(tests, NULL, NULL);
}
