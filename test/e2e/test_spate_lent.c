/* SPDX-License-Identifier: MIT */
/* A shard in a ring of the program, which submits, waits, and hands completions in.  The client is
 * an ordinary one, run by the same thread. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS  UINT64_C(1000000)
#define TOP (UINT64_C(0xff) << 56)

enum { BYTES = 1000000, OWN = 0x77, GROUP = 3 };

struct host {
    struct io_uring ring;
    struct pw *w;
    uint64_t handed_in;
    uint32_t own_count; /* completions of the program's own operations */
    uint32_t overflows;
};

struct sample { /* how the ring of a test is made, and lent */
    const char *name;
    unsigned sq_count;
    unsigned cq_count;
    unsigned flags;
    uint64_t tag_mask;
    uint64_t tag;
    bool has_files;
};

static const struct sample plain = {.name = "plain", .sq_count = 256, .tag_mask = TOP, .tag = TOP};

static struct spate_lent_ring lent; /* for configure() */

static void end_ring(void *ring)
{
    io_uring_queue_exit(ring);
}

static struct io_uring *make_ring(struct io_uring *ring, const struct sample *sample)
{
    struct io_uring_params params = {.flags = sample->flags, .cq_entries = sample->cq_count};
    if (sample->cq_count != 0)
        params.flags |= IORING_SETUP_CQSIZE;
    assert_int_equal(io_uring_queue_init_params(sample->sq_count, ring, &params), 0);
    return owned_add(ring, end_ring);
}

static void lend(struct io_uring *ring, const struct sample *sample)
{
    lent = (struct spate_lent_ring){
        .size = sizeof(lent),
        .ring = ring,
        .tag_mask = sample->tag_mask,
        .tag = sample->tag,
        .file_first = SPATE_LENT_NO_FILES,
        .buffer_group = GROUP,
    };
    if (!sample->has_files)
        return;
    assert_int_equal(io_uring_register_files_sparse(ring, 100), 0);
    lent.file_first = 36; /* the last 64 */
}

static void configure(struct spate_config *config)
{
    config->lent_ring = &lent;
    config->idle_timeout_ns = 2000 * MS;
}

static struct host *make_host(const struct sample *sample)
{
    struct host *host = owned_alloc(sizeof(*host));
    lend(make_ring(&host->ring, sample), sample);
    host->w = pw_create(&(struct pw_config){.server = configure});
    return host;
}

/* Takes what is on the ring off it.  Returns how many completions that were. */
static uint32_t reap(struct host *host)
{
    struct io_uring_cqe *cqe;
    uint32_t count = 0;
    if (io_uring_cq_has_overflow(&host->ring)) {
        host->overflows++;
        (void)io_uring_get_events(&host->ring);
    }
    while (io_uring_peek_cqe(&host->ring, &cqe) == 0) {
        int taken = spate_ring_complete(host->w->server.shard, cqe);
        if (taken == -EAGAIN)
            break;
        assert_true(taken == 0 || taken == 1);
        host->handed_in += (uint32_t)taken;
        host->own_count += taken == 0;
        assert_true(taken == 1 || cqe->user_data == OWN);
        io_uring_cqe_seen(&host->ring, cqe);
        count++;
    }
    return count;
}

/* One round of the loop that the header describes; both ends run, so it does not wait. */
static void run_once(struct host *host)
{
    (void)spate_shard_deadline_ns(host->w->server.shard);
    assert_true(io_uring_submit(&host->ring) >= 0);
    (void)io_uring_get_events(&host->ring);
    (void)reap(host);
    pw_turn(host->w);
}

static void run_until(struct host *host, const uint64_t *counter, uint64_t wanted)
{
    for (uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS; *counter < wanted; run_once(host))
        assert_true(pw_now_ns() < end_ns);
}

static void run_until_few(struct host *host, const uint32_t *counter, uint32_t wanted)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*counter < wanted && pw_now_ns() < end_ns)
        run_once(host);
    assert_true(*counter >= wanted);
}

static struct spate_conn *connect_in(struct host *host)
{
    struct spate_conn *conn = pw_connect(host->w);
    run_until_few(host, &host->w->client.connected_count, 1);
    run_until_few(host, &host->w->server.connected_count, 1);
    return conn;
}

static void send_all(struct spate_conn *conn, const void *data, size_t size)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, data, size, true, 0), 0);
}

static void queue_own(struct host *host)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&host->ring);
    if (sqe == NULL) {
        assert_true(io_uring_submit(&host->ring) >= 0);
        sqe = io_uring_get_sqe(&host->ring);
    }
    assert_non_null(sqe);
    io_uring_prep_nop(sqe);
    sqe->user_data = OWN;
}

/* ---- bytes ---- */

static void move_both_ways(struct host *host)
{
    static uint8_t data[BYTES];
    struct pw *w = host->w;
    struct spate_conn *conn = connect_in(host);
    for (uint32_t i = 0; i < 30; i++) { /* the program's own operations, between all others */
        queue_own(host);
        run_once(host);
    }
    send_all(conn, data, sizeof(data));
    run_until(host, &w->server.fin_count, 1);
    assert_int_equal(w->server.bytes_in, sizeof(data));
    send_all(w->server.conn, data, sizeof(data));
    run_until(host, &w->client.fin_count, 1);
    assert_int_equal(w->client.bytes_in, sizeof(data));
    if (pw_stats(&w->client).kernel_drops == 0) /* what finds no place in the queue waits for one */
        assert_int_equal(pw_stats(&w->server).packets_lost, 0);
    run_until_few(host, &host->own_count, 30);
    assert_int_equal(host->own_count, 30);
    assert_true(host->handed_in > 0);
    spate_conn_close(conn, 7, "done");
    run_until_few(host, &w->server.closed_count, 1);
    assert_int_equal(w->server.close.error, 7);
}

static void bytes_move_in_rings_of_all_kinds(void **state)
{
    (void)state;
    const unsigned deferred = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                              IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL;
    const struct sample samples[] = {
        plain,
        {.name = "deferred", .sq_count = 256, .flags = deferred, .tag_mask = TOP, .tag = TOP},
        {.name = "files",
         .sq_count = 256,
         .flags = deferred,
         .tag_mask = TOP,
         .tag = 1ull << 56,
         .has_files = true},
        {.name = "low bits", .sq_count = 256, .tag_mask = 0xff, .tag = 0x10},
        {.name = "one bit", .sq_count = 256, .tag_mask = 1ull << 63, .tag = 1ull << 63},
        {.name = "tag zero", .sq_count = 256, .tag_mask = 1, .tag = 0},
        {.name = "large entries",
         .sq_count = 256,
         .flags = IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
         .tag_mask = TOP,
         .tag = 0x80ull << 56,
         .has_files = true},
        {.name = "few places", .sq_count = 4, .tag_mask = TOP, .tag = TOP},
        {.name = "few places, deferred",
         .sq_count = 2,
         .flags = deferred,
         .tag_mask = TOP,
         .tag = TOP,
         .has_files = true},
    };
    for (uint32_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        print_message("  %s\n", samples[i].name);
        move_both_ways(make_host(&samples[i]));
        owned_end_all();
    }
}

/* Completions that do not fit wait in the kernel, and receivers end and begin again. */
static void bytes_move_though_completions_overflow(void **state)
{
    (void)state;
    const struct sample small = {.name = "overflow",
                                 .sq_count = 64,
                                 .cq_count = 64,
                                 .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                 .tag_mask = TOP,
                                 .tag = TOP};
    static uint8_t data[BYTES];
    struct host *host = make_host(&small);
    struct spate_conn *conn = connect_in(host);
    send_all(conn, data, sizeof(data));
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint32_t queued = 0;
    while (host->w->server.fin_count == 0 && pw_now_ns() < end_ns) {
        for (uint32_t i = 0; i < 150; i++, queued++) /* more than the ring holds */
            queue_own(host);
        run_once(host);
    }
    assert_int_equal(host->w->server.bytes_in, sizeof(data));
    assert_true(host->overflows > 0);
    run_until_few(host, &host->own_count, queued);
}

/* ---- waits ---- */

static void *wake_later(void *shard)
{
    usleep(10000);
    spate_shard_wake(shard);
    return NULL;
}

/* Waits on the ring until `due_ns`, as a program does.  Returns how many completions came. */
static uint32_t wait_on_ring(struct host *host, uint64_t due_ns)
{
    uint64_t now_ns = pw_now_ns();
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    struct __kernel_timespec time = {.tv_sec = (long long)(wait_ns / 1000000000),
                                     .tv_nsec = (long long)(wait_ns % 1000000000)};
    struct io_uring_cqe *cqe;
    int result = io_uring_submit_and_wait_timeout(&host->ring, &cqe, 1, &time, NULL);
    assert_true(result >= 0 || result == -ETIME || result == -EINTR);
    return reap(host);
}

static void another_thread_ends_the_wait_on_the_ring(void **state)
{
    (void)state;
    struct host *host = make_host(&plain);
    struct spate_shard *shard = host->w->server.shard;
    pthread_t thread;
    for (uint32_t round = 0; round < 2; round++) {
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (spate_shard_deadline_ns(shard) == 0 && pw_now_ns() < end_ns)
            run_once(host);
        for (uint32_t i = 0; i < 3; i++) /* nothing comes without a reason */
            run_once(host);
        assert_int_equal(spate_shard_deadline_ns(shard), SPATE_FOREVER);
        assert_int_equal(wait_on_ring(host, pw_now_ns() + 20 * MS), 0);
        assert_int_equal(pthread_create(&thread, NULL, wake_later, shard), 0);
        uint64_t start_ns = pw_now_ns();
        assert_true(wait_on_ring(host, start_ns + PW_PATIENCE_NS) > 0);
        assert_true(pw_now_ns() - start_ns < PW_PATIENCE_NS / 2);
        assert_int_equal(pthread_join(thread, NULL), 0);
        pw_turn(host->w);
    }
}

/* The server's own deadline ends the wait; a turn does not wait, whatever it was asked for. */
static void a_deadline_ends_an_idle_connection(void **state)
{
    (void)state;
    struct host *host = make_host(&plain);
    (void)connect_in(host);
    uint64_t start_ns = pw_now_ns();
    uint64_t end_ns = start_ns + PW_PATIENCE_NS;
    uint32_t rounds = 0;
    while (host->w->server.closed_count == 0 && pw_now_ns() < end_ns) {
        uint64_t due_ns = spate_shard_deadline_ns(host->w->server.shard);
        (void)wait_on_ring(host, due_ns < end_ns ? due_ns : end_ns);
        pw_wait(&host->w->server, PW_PATIENCE_NS);
        rounds++;
    }
    assert_int_equal(host->w->server.closed_count, 1);
    assert_in_range(pw_now_ns() - start_ns, 500 * MS, 10000 * MS);
    assert_in_range(rounds, 1, 200);
}

/* ---- what is not the shard's ---- */

static void completions_without_the_tag_are_the_programs(void **state)
{
    (void)state;
    struct host *host = make_host(&plain);
    struct io_uring_cqe cqe = {.user_data = 0, .res = -5};
    assert_int_equal(spate_ring_complete(host->w->server.shard, &cqe), 0);
    cqe.user_data = TOP >> 1;
    assert_int_equal(spate_ring_complete(host->w->server.shard, &cqe), 0);
    /* One that has the tag, and names nothing that exists, is taken and dropped. */
    for (uint64_t kind = 0; kind < 16; kind++) {
        cqe.user_data = TOP | kind << 52 | 0xfffffffffffffull;
        assert_int_equal(spate_ring_complete(host->w->server.shard, &cqe), 1);
    }
    (void)connect_in(host);
    assert_int_equal(spate_ring_complete(host->w->client.shard, &cqe), -ENOTSUP);
}

static void a_turn_makes_room_for_more_completions(void **state)
{
    (void)state;
    struct host *host = make_host(&plain);
    struct spate_shard *shard = host->w->server.shard;
    struct io_uring_cqe cqe = {.user_data = TOP};
    uint32_t count = 0;
    int result;
    while ((result = spate_ring_complete(shard, &cqe)) == 1)
        count++;
    assert_int_equal(result, -EAGAIN);
    assert_true(count >= 256);
    assert_int_equal(spate_shard_deadline_ns(shard), 0); /* they are due */
    pw_turn(host->w);
    assert_int_equal(spate_ring_complete(shard, &cqe), 1);
    (void)connect_in(host);
}

static void *use_elsewhere(void *shard)
{
    struct io_uring_cqe cqe = {.user_data = TOP};
    assert_int_equal(spate_ring_complete(shard, &cqe), -EPERM);
    assert_int_equal(spate_shard_turn(shard, 0), -EPERM);
    return NULL;
}

static void ignore(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                   void *user)
{
    (void)shard;
    (void)events;
    (void)count;
    (void)user;
}

static void on_ready(struct spate_shard *shard, void *user, int32_t result, uint32_t flags)
{
    (void)shard;
    (void)user;
    (void)result;
    (void)flags;
}

static void what_a_lent_ring_lacks_is_refused(void **state)
{
    (void)state;
    struct host *host = make_host(&plain);
    struct spate_shard *shard = host->w->server.shard;
    struct io_uring_sqe sqe = {0};
    struct spate_ring_op op = {.sqe = &sqe};
    struct spate_handlers handlers;
    struct spate_error error = {""};
    pthread_t thread;
    spate_handlers_init(&handlers);
    handlers.on_events = ignore;
    io_uring_prep_nop(&sqe);
    assert_int_equal(spate_engine_start(host->w->server.engine, &handlers, &error), -EINVAL);
    assert_non_null(strstr(error.text, "lent_ring"));
    pw_turn(host->w);
    assert_int_equal(spate_shard_fd(shard), -ENOTSUP);
    assert_int_equal(spate_ring_submit(shard, &op, 1), -ENOTSUP);
    assert_int_equal(spate_ring_watch(shard, 0, POLLIN, false, on_ready, NULL, NULL), -ENOTSUP);
    assert_int_equal(pthread_create(&thread, NULL, use_elsewhere, shard), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- rings that cannot be lent ---- */

static void refused(struct spate_config *config, int result, const char *text)
{
    struct spate_engine *engine = NULL;
    struct spate_error error = {""};
    assert_int_equal(spate_engine_create(config, &engine, &error), result);
    assert_null(engine);
    if (strstr(error.text, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, error.text);
    assert_null(strchr(error.text, '\n'));
}

static void make_config(struct spate_config *config)
{
    spate_config_init(config);
    config->conns_max = 10;
    config->lent_ring = &lent;
}

static void rings_that_cannot_be_lent_are_refused(void **state)
{
    (void)state;
    static const uint64_t masks[] = {0, 0x1ff, TOP >> 1, 0x7f80, 5, UINT64_MAX};
    struct io_uring *ring = owned_alloc(sizeof(*ring));
    struct io_uring *polled = owned_alloc(sizeof(*polled));
    struct spate_config config;
    int error = 0;
    lend(make_ring(ring, &plain), &plain);
    make_config(&config);
    for (uint32_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        lent.tag_mask = masks[i];
        lent.tag = 0;
        refused(&config, -EINVAL, "tag_mask");
    }
    lent.tag_mask = TOP;
    lent.tag = TOP | 1;
    refused(&config, -EINVAL, "tag_mask");
    lent.tag = TOP;
    config.shard_count = 2;
    refused(&config, -EINVAL, "shard_count");
    config.shard_count = 1;
    config.zero_copy = true;
    refused(&config, -EINVAL, "zero_copy");
    config.zero_copy = false;
    config.backend = SPATE_BACKEND_MMSG;
    refused(&config, -EINVAL, "backend");
    config.backend = SPATE_BACKEND_AUTO;
    lent.file_first = 0;
    refused(&config, -ENXIO, "has not registered 64 files");
    lent.file_first = SPATE_LENT_NO_FILES;
    assert_non_null(io_uring_setup_buf_ring(ring, 8, GROUP, 0, &error));
    refused(&config, -EEXIST, "the buffer group is taken");
    lent.ring = NULL;
    refused(&config, -EINVAL, "NULL");
    lent.ring = make_ring(polled, &(struct sample){.sq_count = 8, .flags = IORING_SETUP_IOPOLL});
    refused(&config, -EINVAL, "IOPOLL");
    lent.size = 8;
    refused(&config, -EINVAL, "spate_lent_ring.size is 8");
}

struct creation {
    struct spate_config config;
    struct spate_engine *engine;
    struct spate_error error;
    int result;
};

static void *create_elsewhere(void *argument)
{
    struct creation *creation = argument;
    creation->result = spate_engine_create(&creation->config, &creation->engine, &creation->error);
    return NULL;
}

static void a_ring_of_another_thread_is_refused(void **state)
{
    (void)state;
    const struct sample single = {
        .sq_count = 64, .flags = IORING_SETUP_SINGLE_ISSUER, .tag_mask = TOP, .tag = TOP};
    struct io_uring *ring = owned_alloc(sizeof(*ring));
    struct creation *creation = owned_alloc(sizeof(*creation));
    pthread_t thread;
    lend(make_ring(ring, &single), &single);
    make_config(&creation->config);
    assert_int_equal(pthread_create(&thread, NULL, create_elsewhere, creation), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(creation->error.text,
                        "lent_ring: receive slots: the buffer group is taken, or the ring belongs "
                        "to another thread (IORING_SETUP_SINGLE_ISSUER)");
    assert_int_equal(creation->result, -EEXIST);
    assert_null(creation->engine);
}

/* ---- the end ---- */

/* Ends the server while operations are in flight and others are not submitted yet.  The program
 * uses its ring as before, and the port is free. */
static void end_amid_work(const struct sample *sample)
{
    static uint8_t data[BYTES];
    struct host *host = make_host(sample);
    struct pw *w = host->w;
    struct io_uring_cqe *cqe;
    uint32_t own = 0;
    struct spate_conn *conn = connect_in(host);
    send_all(conn, data, sizeof(data));
    run_until(host, &w->server.bytes_in, 1);
    send_all(w->server.conn, data, sizeof(data));
    pw_turn(w); /* trains are queued */
    assert_true(io_uring_sq_ready(&host->ring) > 0);
    queue_own(host);
    spate_engine_destroy(w->server.engine);
    w->server.engine = NULL;
    w->server.shard = NULL;

    int fd = owned_fd(socket(w->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(bind(fd, (struct sockaddr *)&w->address, w->address_size), 0);
    for (uint32_t i = 0; i < 5; i++) {
        queue_own(host);
        assert_true(io_uring_submit(&host->ring) >= 0);
        (void)io_uring_get_events(&host->ring);
        while (io_uring_peek_cqe(&host->ring, &cqe) == 0) {
            own += cqe->user_data == OWN;
            if (cqe->user_data != OWN)
                assert_int_equal(cqe->user_data & sample->tag_mask, sample->tag);
            io_uring_cqe_seen(&host->ring, cqe);
        }
    }
    assert_int_equal(own, 6);
    /* The group and the places of the file table are free for the next engine. */
    struct spate_engine *engine = NULL;
    struct spate_config config;
    make_config(&config);
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    spate_engine_destroy(engine);
}

static void destroying_an_engine_leaves_the_ring_to_the_program(void **state)
{
    (void)state;
    const unsigned deferred = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    struct sample samples[] = {plain, plain, plain, plain};
    samples[1].flags = deferred;
    samples[2].flags = deferred;
    samples[2].has_files = true;
    samples[3].flags = IORING_SETUP_SQE128;
    for (uint32_t i = 0; i < 4; i++) {
        end_amid_work(&samples[i]);
        owned_end_all();
    }
}

static void *destroy_elsewhere(void *engine)
{
    spate_engine_destroy(engine);
    return NULL;
}

/* The kernel would go on to write into the memory that is freed. */
static void another_thread_may_not_destroy_the_engine(void **state)
{
    (void)state;
    struct host *host = make_host(&plain);
    pw_turn(host->w);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGILL, SIG_DFL);
        (void)signal(SIGABRT, SIG_DFL);
        (void)signal(SIGTRAP, SIG_DFL);
        (void)close(2);
        pthread_t thread;
        (void)pthread_create(&thread, NULL, destroy_elsewhere, host->w->server.engine);
        (void)pthread_join(thread, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, bytes_move_in_rings_of_all_kinds),
        QT_TEST(owned, bytes_move_though_completions_overflow),
        QT_TEST(owned, another_thread_ends_the_wait_on_the_ring),
        QT_TEST(owned, a_deadline_ends_an_idle_connection),
        QT_TEST(owned, completions_without_the_tag_are_the_programs),
        QT_TEST(owned, a_turn_makes_room_for_more_completions),
        QT_TEST(owned, what_a_lent_ring_lacks_is_refused),
        QT_TEST(owned, rings_that_cannot_be_lent_are_refused),
        QT_TEST(owned, a_ring_of_another_thread_is_refused),
        QT_TEST(owned, destroying_an_engine_leaves_the_ring_to_the_program),
        QT_TEST(owned, another_thread_may_not_destroy_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
