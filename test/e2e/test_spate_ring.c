/* SPDX-License-Identifier: MIT */
/* Descriptors of the program that a shard watches, with both back-ends: what is ready is reported,
 * each watch ends once, and what cannot be done is refused. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

/* What a handler was called for. */
struct log {
    struct spate_shard *shard;
    uint32_t count;
    uint32_t ends; /* calls without SPATE_RING_MORE */
    int32_t result;
    int fd;
    bool drains;         /* the handler reads the eventfd empty */
    uint64_t cancels_id; /* the handler cancels this one */
    struct log *next;    /* the handler watches for this one, at its first call */
};

static void note(struct spate_shard *shard, void *user, int32_t result, uint32_t flags)
{
    struct log *log = user;
    uint64_t value;
    log->shard = shard;
    log->count++;
    log->result = result;
    log->ends += (flags & SPATE_RING_MORE) == 0;
    assert_true(log->ends <= 1);
    int turned = spate_shard_turn(shard, 0); /* -EPERM on a thread that is not the shard's */
    assert_true(turned == -EBUSY || turned == -EPERM);
    if (log->drains && result > 0)
        assert_int_equal(read(log->fd, &value, sizeof(value)), sizeof(value));
    if (log->cancels_id != 0)
        assert_int_equal(spate_ring_cancel(shard, log->cancels_id), 0);
    log->cancels_id = 0;
    if (log->next != NULL) {
        struct log *next = log->next;
        log->next = NULL;
        assert_int_equal(spate_ring_watch(shard, next->fd, POLLIN, false, note, next, NULL), 0);
    }
}

static int event_fd(void)
{
    return owned_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

static void add_one(int fd)
{
    const uint64_t one = 1;
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

struct box {
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct log log[4]; /* each has an eventfd */
};

static struct box *make_box_unowned(uint32_t operations_max)
{
    struct box *box = owned_alloc(sizeof(*box));
    struct spate_config config;
    spate_config_init(&config);
    config.backend = pw_backend();
    config.operations_max = operations_max;
    config.conns_max = 10;
    assert_int_equal(spate_engine_create(&config, &box->engine, NULL), 0);
    box->shard = spate_engine_shard(box->engine, 0);
    for (uint32_t i = 0; i < 4; i++)
        box->log[i].fd = event_fd();
    return box;
}

static struct box *make_box(uint32_t operations_max)
{
    struct box *box = make_box_unowned(operations_max);
    (void)owned_add(box->engine, destroy);
    return box;
}

static uint64_t watch(struct box *box, uint32_t i, bool repeats)
{
    uint64_t id = 0;
    assert_int_equal(
        spate_ring_watch(box->shard, box->log[i].fd, POLLIN, repeats, note, &box->log[i], &id), 0);
    assert_true(id != 0);
    return id;
}

static void turns(struct box *box, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(spate_shard_turn(box->shard, i == 0 ? 0 : 2 * MS), 0);
}

static void turn_until(struct box *box, const uint32_t *counter, uint32_t wanted)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*counter < wanted && pw_now_ns() < end_ns)
        assert_int_equal(spate_shard_turn(box->shard, 100 * MS), 0);
    assert_int_equal(*counter, wanted);
}

/* ---- reports ---- */

static void a_watch_reports_once(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    (void)watch(box, 0, false);
    turns(box, 3);
    assert_int_equal(box->log[0].count, 0);
    add_one(box->log[0].fd);
    turn_until(box, &box->log[0].count, 1);
    assert_ptr_equal(box->log[0].shard, box->shard);
    assert_int_equal(box->log[0].ends, 1);
    assert_int_equal(box->log[0].result & POLLIN, POLLIN);
    add_one(box->log[0].fd);
    turns(box, 3);
    assert_int_equal(box->log[0].count, 1);
}

static void a_watch_that_repeats_reports_whenever_more_comes(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    box->log[0].drains = true;
    add_one(box->log[0].fd); /* ready already */
    (void)watch(box, 0, true);
    for (uint32_t i = 1; i < 6; i++) {
        turn_until(box, &box->log[0].count, i);
        turns(box, 2);
        assert_int_equal(box->log[0].count, i);
        add_one(box->log[0].fd);
    }
    assert_int_equal(box->log[0].ends, 0);
}

static void several_descriptors_are_told_apart(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    for (uint32_t i = 0; i < 4; i++)
        (void)watch(box, i, i % 2 == 0);
    add_one(box->log[2].fd);
    add_one(box->log[3].fd);
    turn_until(box, &box->log[2].count, 1);
    turn_until(box, &box->log[3].count, 1);
    assert_int_equal(box->log[0].count + box->log[1].count, 0);
    assert_int_equal(box->log[2].ends, 0);
    assert_int_equal(box->log[3].ends, 1);
}

static void the_end_of_a_pipe_is_reported(void **state)
{
    (void)state;
    int fds[2];
    struct box *box = make_box(4);
    assert_int_equal(pipe(fds), 0);
    (void)owned_fd(fds[0]);
    assert_int_equal(spate_ring_watch(box->shard, fds[0], POLLIN, false, note, &box->log[0], NULL),
                     0);
    turns(box, 2);
    assert_int_equal(close(fds[1]), 0);
    turn_until(box, &box->log[0].count, 1);
    assert_int_equal(box->log[0].result & POLLHUP, POLLHUP);
}

static void a_bad_descriptor_ends_its_watch(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    assert_int_equal(spate_ring_watch(box->shard, 1 << 20, POLLIN, true, note, &box->log[0], NULL),
                     0);
    turn_until(box, &box->log[0].ends, 1);
    assert_int_equal(box->log[0].result, -EBADF);
    assert_int_equal(box->log[0].count, 1);
}

/* The turn sleeps until the descriptor is ready, and so does the loop of a host. */
static void a_watch_ends_the_wait_of_a_turn_and_of_a_host(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    (void)watch(box, 0, false);
    (void)watch(box, 1, false);
    turns(box, 2);
    add_one(box->log[0].fd);
    uint64_t start_ns = pw_now_ns();
    while (box->log[0].count == 0)
        assert_int_equal(spate_shard_turn(box->shard, PW_PATIENCE_NS), 0);
    assert_true(pw_now_ns() - start_ns < PW_PATIENCE_NS / 2);

    struct pollfd polled = {.fd = spate_shard_fd(box->shard), .events = POLLIN};
    assert_true(polled.fd >= 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (spate_shard_deadline_ns(box->shard) == 0 && pw_now_ns() < end_ns)
        turns(box, 1);
    assert_int_equal(poll(&polled, 1, 0), 0);
    add_one(box->log[1].fd);
    int count;
    do
        count = poll(&polled, 1, 10000);
    while (count < 0 && errno == EINTR);
    assert_int_equal(count, 1);
    turn_until(box, &box->log[1].count, 1);
}

/* Also where the program moves the datagrams: it polls the shard's descriptor. */
static void a_shard_without_sockets_watches_as_well(void **state)
{
    (void)state;
    struct log *log = owned_alloc(sizeof(*log));
    struct spate_engine *engine = NULL;
    struct spate_config config;
    spate_config_init(&config);
    config.backend = SPATE_BACKEND_HOST;
    config.conns_max = 10;
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    (void)owned_add(engine, destroy);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    log->fd = event_fd();
    assert_int_equal(spate_ring_watch(shard, log->fd, POLLIN, false, note, log, NULL), 0);
    assert_int_equal(spate_shard_turn(shard, 0), 0);
    struct pollfd polled = {.fd = spate_shard_fd(shard), .events = POLLIN};
    assert_int_equal(spate_shard_deadline_ns(shard), SPATE_FOREVER);
    assert_int_equal(poll(&polled, 1, 0), 0);
    add_one(log->fd);
    assert_int_equal(poll(&polled, 1, 0), 1);
    assert_int_equal(spate_shard_turn(shard, 0), 0);
    assert_int_equal(log->ends, 1);
    assert_int_equal(log->result, POLLIN);
}

static void a_descriptor_is_watched_twice(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    (void)watch(box, 0, false);
    assert_int_equal(
        spate_ring_watch(box->shard, box->log[0].fd, POLLIN, false, note, &box->log[1], NULL), 0);
    turns(box, 2);
    add_one(box->log[0].fd);
    for (uint32_t i = 0; i < 2; i++) {
        turn_until(box, &box->log[i].ends, 1);
        assert_int_equal(box->log[i].result, POLLIN);
    }
}

/* ---- ends ---- */

/* Returns how long `count` turns took that wait for 5 ms. */
static uint64_t sleep_ns(struct box *box, uint32_t count)
{
    uint64_t start_ns = pw_now_ns();
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(spate_shard_turn(box->shard, 5 * MS), 0);
    return pw_now_ns() - start_ns;
}

/* The file is still open, and readable: that must wake nobody when the watch is over. */
static void a_descriptor_is_closed_before_its_watch_is_over(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct box *box = make_box(4);
        struct log *log = &box->log[0];
        uint64_t id = 0;
        int watched = dup(log->fd);
        assert_int_equal(spate_ring_watch(box->shard, watched, POLLIN, i == 1, note, log, &id), 0);
        turns(box, 2);
        assert_int_equal(close(watched), 0);
        add_one(log->fd);
        turn_until(box, &log->count, 1); /* it goes on */
        if (i == 1)
            assert_int_equal(spate_ring_cancel(box->shard, id), 0);
        turn_until(box, &log->ends, 1);
        turns(box, 2);
        assert_true(sleep_ns(box, 10) >= 10 * 4 * MS);
        owned_end_all();
    }
}

static void a_cancelled_watch_ends_once(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t id = watch(box, i, i == 1);
        turns(box, 2);
        assert_int_equal(spate_ring_cancel(box->shard, id), 0);
        assert_int_equal(spate_ring_cancel(box->shard, id), 0); /* it is not over yet */
        turn_until(box, &box->log[i].ends, 1);
        assert_int_equal(box->log[i].count, 1);
        assert_int_equal(box->log[i].result, -ECANCELED);
        assert_int_equal(spate_ring_cancel(box->shard, id), -ENOENT);
        add_one(box->log[i].fd);
        turns(box, 3);
        assert_int_equal(box->log[i].count, 1);
    }
    /* Both places were used again by others: the old names are still unknown. */
    assert_int_equal(spate_ring_cancel(box->shard, 0), -ENOENT);
    assert_int_equal(spate_ring_cancel(box->shard, UINT64_MAX), -ENOENT);
}

/* A handler cancels another watch whose report is on its way: that one gets the report, or the
 * cancellation, and ends in any case. */
static void a_handler_cancels_a_watch_that_is_ready_too(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    (void)watch(box, 0, false);
    box->log[0].cancels_id = watch(box, 1, true);
    turns(box, 2);
    add_one(box->log[0].fd);
    add_one(box->log[1].fd);
    turn_until(box, &box->log[0].ends, 1);
    turn_until(box, &box->log[1].ends, 1);
    assert_int_equal(box->log[1].result, -ECANCELED);
    assert_in_range(box->log[1].count, 1, 2);
}

static void the_limit_counts_what_is_not_over(void **state)
{
    (void)state;
    struct box *box = make_box(2);
    (void)watch(box, 0, false);
    uint64_t id = watch(box, 1, true);
    assert_int_equal(
        spate_ring_watch(box->shard, box->log[2].fd, POLLIN, false, note, &box->log[2], NULL),
        -ENOBUFS);
    box->log[0].next = &box->log[2]; /* its own place is free by then */
    add_one(box->log[0].fd);
    turn_until(box, &box->log[0].ends, 1);
    assert_int_equal(
        spate_ring_watch(box->shard, box->log[3].fd, POLLIN, false, note, &box->log[3], NULL),
        -ENOBUFS);
    assert_int_equal(spate_ring_cancel(box->shard, id), 0);
    turn_until(box, &box->log[1].ends, 1);
    (void)watch(box, 3, false);
    add_one(box->log[2].fd);
    turn_until(box, &box->log[2].ends, 1);
    add_one(box->log[3].fd);
    turn_until(box, &box->log[3].ends, 1);
}

static void an_engine_without_operations_refuses_them(void **state)
{
    (void)state;
    struct box *box = make_box(0);
    assert_int_equal(
        spate_ring_watch(box->shard, box->log[0].fd, POLLIN, false, note, &box->log[0], NULL),
        -ENOBUFS);
}

/* In flight, ready and not reported, not handed to the kernel yet, cancelled a moment ago. */
static void destroying_an_engine_ends_each_watch_once(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    (void)watch(box, 0, true);
    (void)watch(box, 1, false);
    uint64_t id = watch(box, 3, false);
    turns(box, 2);
    (void)watch(box, 2, true);
    add_one(box->log[1].fd);
    assert_int_equal(spate_ring_cancel(box->shard, id), 0);
    owned_end(box->engine);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(box->log[i].ends, 1);
    assert_int_equal(box->log[0].result, -ECANCELED);
    assert_int_equal(box->log[2].result, -ECANCELED);
    assert_int_equal(box->log[3].result, -ECANCELED);
}

static void begin_again(struct spate_shard *shard, void *user, int32_t result, uint32_t flags)
{
    struct log *log = user;
    (void)flags;
    log->count++;
    log->result = result;
    assert_int_equal(spate_ring_watch(shard, log->fd, POLLIN, false, note, log, NULL), -ESHUTDOWN);
    assert_int_equal(spate_ring_cancel(shard, 1), -ESHUTDOWN);
}

static void nothing_begins_at_the_end(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    struct log *log = &box->log[0];
    assert_int_equal(spate_ring_watch(box->shard, log->fd, POLLIN, true, begin_again, log, NULL),
                     0);
    turns(box, 1);
    owned_end(box->engine);
    assert_int_equal(log->count, 1);
    assert_int_equal(log->result, -ECANCELED);
}

/* ---- threads ---- */

static void *call(void *argument)
{
    struct box *box = argument;
    int fd = box->log[0].fd;
    assert_int_equal(spate_ring_watch(box->shard, fd, POLLIN, false, note, box, NULL), -EPERM);
    assert_int_equal(spate_ring_cancel(box->shard, 1), -EPERM);
    return NULL;
}

static void another_thread_is_refused(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    pthread_t thread;
    turns(box, 1);
    assert_int_equal(pthread_create(&thread, NULL, call, box), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* The kernel refuses this thread's cancellations: the handlers are called all the same. */
static void *destroy_in_thread(void *argument)
{
    struct box *box = argument;
    spate_engine_destroy(box->engine);
    return NULL;
}

static void an_engine_that_another_thread_destroys_ends_its_watches(void **state)
{
    (void)state;
    struct box *box = make_box_unowned(4);
    pthread_t thread;
    (void)watch(box, 0, true);
    turns(box, 1);
    (void)watch(box, 1, false);
    assert_int_equal(pthread_create(&thread, NULL, destroy_in_thread, box), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(box->log[i].ends, 1);
        assert_true(box->log[i].result == -ETIME || box->log[i].result == -ECANCELED);
    }
}

struct engine_thread {
    pthread_t thread;
    struct log log;
    atomic_uint reports;
    atomic_bool has_stopped;
    bool was_after_stop;
    int32_t last;
};

static void on_report(struct spate_shard *shard, void *user, int32_t result, uint32_t flags)
{
    struct engine_thread *t = user;
    uint64_t value;
    (void)shard;
    (void)flags;
    assert_true(pthread_equal(pthread_self(), t->thread));
    t->last = result;
    t->was_after_stop = atomic_load(&t->has_stopped);
    if (result > 0)
        assert_int_equal(read(t->log.fd, &value, sizeof(value)), sizeof(value));
    atomic_fetch_add(&t->reports, 1);
}

static int on_start(struct spate_shard *shard, void *user)
{
    struct engine_thread *t = user;
    t->thread = pthread_self();
    return spate_ring_watch(shard, t->log.fd, POLLIN, true, on_report, t, NULL);
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    (void)shard;
    (void)events;
    (void)count;
    (void)user;
}

static void on_stop(struct spate_shard *shard, void *user)
{
    struct engine_thread *t = user;
    (void)shard;
    atomic_store(&t->has_stopped, true);
}

static void engine_threads_watch_and_end_after_on_stop(void **state)
{
    (void)state;
    struct engine_thread *t = owned_alloc(sizeof(*t));
    struct spate_engine *engine = owned_add(pw_make_engine(), destroy);
    struct spate_handlers handlers;
    spate_handlers_init(&handlers);
    handlers.on_start = on_start;
    handlers.on_events = on_events;
    handlers.on_stop = on_stop;
    handlers.user = t;
    t->log.fd = event_fd();
    assert_int_equal(spate_engine_start(engine, &handlers, NULL), 0);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    assert_int_equal(spate_ring_watch(shard, t->log.fd, POLLIN, true, note, t, NULL), -EPERM);
    for (uint32_t i = 1; i < 4; i++) {
        add_one(t->log.fd);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (atomic_load(&t->reports) < i && pw_now_ns() < end_ns)
            usleep(1000);
        assert_int_equal(atomic_load(&t->reports), i);
    }
    spate_engine_stop(engine);
    assert_int_equal(atomic_load(&t->reports), 4);
    assert_int_equal(t->last, -ECANCELED);
    assert_true(t->was_after_stop);
}

/* ---- with connections, and arguments ---- */

static void watches_and_connections_do_not_disturb_each_other(void **state)
{
    (void)state;
    static uint8_t data[1000000];
    struct log *log = owned_alloc(sizeof(*log));
    struct pw *w = pw_create(&(struct pw_config){0});
    uint64_t id;
    log->fd = event_fd();
    log->drains = true;
    assert_int_equal(spate_ring_watch(w->server.shard, log->fd, POLLIN, true, note, log, NULL), 0);
    struct spate_conn *conn = pw_connected(w);
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, data, sizeof(data), true, 0), 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint32_t sent = 0;
    while ((w->server.fin_count == 0 || log->count < sent || sent < 20) && pw_now_ns() < end_ns) {
        if (sent == log->count && sent < 20) {
            add_one(log->fd);
            sent++;
        }
        pw_turn(w);
    }
    assert_int_equal(w->server.bytes_in, sizeof(data));
    assert_int_equal(log->count, 20);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    struct box *box = make_box(4);
    struct spate_shard *shard = box->shard;
    int fd = box->log[0].fd;
    assert_int_equal(spate_ring_watch(shard, -1, POLLIN, true, note, NULL, NULL), -EINVAL);
    assert_int_equal(spate_ring_watch(shard, fd, 0, true, note, NULL, NULL), -EINVAL);
    assert_int_equal(spate_ring_watch(shard, fd, POLLHUP | POLLIN, true, note, NULL, NULL),
                     -EINVAL);
    assert_int_equal(spate_ring_watch(shard, fd, 1u << 31, true, note, NULL, NULL), -EINVAL);
    assert_int_equal(spate_ring_watch(shard, fd, POLLIN, true, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(spate_ring_submit(shard, NULL, 0), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_watch_reports_once),
        QT_TEST(owned, a_watch_that_repeats_reports_whenever_more_comes),
        QT_TEST(owned, several_descriptors_are_told_apart),
        QT_TEST(owned, the_end_of_a_pipe_is_reported),
        QT_TEST(owned, a_bad_descriptor_ends_its_watch),
        QT_TEST(owned, a_watch_ends_the_wait_of_a_turn_and_of_a_host),
        QT_TEST(owned, a_shard_without_sockets_watches_as_well),
        QT_TEST(owned, a_descriptor_is_watched_twice),
        QT_TEST(owned, a_descriptor_is_closed_before_its_watch_is_over),
        QT_TEST(owned, a_cancelled_watch_ends_once),
        QT_TEST(owned, a_handler_cancels_a_watch_that_is_ready_too),
        QT_TEST(owned, the_limit_counts_what_is_not_over),
        QT_TEST(owned, an_engine_without_operations_refuses_them),
        QT_TEST(owned, destroying_an_engine_ends_each_watch_once),
        QT_TEST(owned, nothing_begins_at_the_end),
        QT_TEST(owned, another_thread_is_refused),
        QT_TEST(owned, an_engine_that_another_thread_destroys_ends_its_watches),
        QT_TEST(owned, engine_threads_watch_and_end_after_on_stop),
        QT_TEST(owned, watches_and_connections_do_not_disturb_each_other),
        QT_TEST(owned, bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
