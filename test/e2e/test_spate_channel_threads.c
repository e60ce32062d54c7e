/* SPDX-License-Identifier: MIT */
/* Channels of several threads to the engine's threads: requests, waits, ends. */

#include "test/support/channel_user.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORKERS      4
#define REQUESTS     200
#define REQUEST_SIZE 3000
#define STREAM_SIZE  (1 << 20)

static uint8_t pattern[STREAM_SIZE];

struct world {
    struct pw w; /* TLS and addresses; its ends are not turned */
    struct spate_engine *server;
    struct spate_engine *client;
};

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static int listen_there(struct spate_shard *shard, void *user)
{
    struct world *x = user;
    return pw_listen_at_one_port(&x->w, shard);
}

static void echo(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                 void *user)
{
    (void)user;
    for (uint32_t i = 0; i < count; i++) {
        struct spate_event event = events[i];
        if (event.kind != SPATE_EVENT_STREAM_DATA)
            continue;
        (void)spate_stream_send(event.conn, event.stream_id, pattern + event.u.data.offset,
                                event.u.data.slice.size, event.u.data.fin, 0);
        spate_slice_release(shard, &event.u.data.slice);
    }
}

static void none(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                 void *user)
{
    (void)shard;
    (void)events;
    (void)user;
    assert_int_equal(count, 0); /* all connections are of channels */
}

static struct world *make_world(void)
{
    struct world *x = owned_alloc(sizeof(*x));
    struct spate_handlers handlers;
    (void)owned_add(&x->w, pw_deinit);
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = pw_byte(0, i);
    pw_make_tls(&x->w);
    x->server = owned_add(pw_make_engine(), destroy);
    x->client = owned_add(pw_make_engine(), destroy);
    spate_handlers_init(&handlers);
    handlers.on_start = listen_there;
    handlers.on_events = echo;
    handlers.user = x;
    assert_int_equal(spate_engine_start(x->server, &handlers, NULL), 0);
    handlers.on_start = NULL;
    handlers.on_events = none;
    assert_int_equal(spate_engine_start(x->client, &handlers, NULL), 0);
    return x;
}

/* ---- Workers ---- */

struct worker {
    struct world *x;
    struct cu *user;
    pthread_t thread;
    bool waits_in_epoll;
    uint8_t *memory; /* lent to receive into; NULL: slices are received */
    uint64_t waits;
};

static void wait_in_epoll(struct worker *k, int epoll_fd)
{
    struct epoll_event event;
    if (!spate_channel_prepare(k->user->channel))
        assert_true(epoll_wait(epoll_fd, &event, 1, 20000) == 1);
    k->waits++;
}

static void wait_in_call(struct worker *k)
{
    int result = spate_channel_wait(k->user->channel, PW_PATIENCE_NS);
    assert_true(result == 0 || result == -EINTR);
    k->waits++;
}

static void take_until(struct worker *k, int epoll_fd, const uint64_t *value, uint64_t least)
{
    while (*value < least) {
        while (cu_take(k->user) > 0)
            continue;
        if (*value >= least)
            return;
        if (k->waits_in_epoll)
            wait_in_epoll(k, epoll_fd);
        else
            wait_in_call(k);
    }
}

static void ask(struct worker *k, uint64_t i)
{
    struct cu *u = k->user;
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), 0);
    if (k->memory != NULL)
        assert_int_equal(CU_ASK(u, spate_channel_stream_receive_into, u->conn_id, SPATE_STREAM_LAST,
                                k->memory + i * REQUEST_SIZE, REQUEST_SIZE),
                         0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST, pattern,
                            REQUEST_SIZE, true),
                     0);
}

static void assert_served(const struct worker *k)
{
    const struct cu *u = k->user;
    bool is_placed = k->memory != NULL;
    assert_int_equal(is_placed ? u->bytes_placed : u->bytes_in, REQUESTS * REQUEST_SIZE);
    for (uint64_t i = 0; i < REQUESTS && is_placed; i++)
        assert_memory_equal(k->memory + i * REQUEST_SIZE, pattern, REQUEST_SIZE);
}

static void *work(void *argument)
{
    struct worker *k = argument;
    struct cu *u = k->user;
    struct spate_connect_options options;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    uint64_t over = 0;
    cu_options(&k->x->w, &options);
    assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, spate_channel_fd(u->channel), &event), 0);
    assert_int_equal(CU_ASK(u, spate_channel_connect, &options, NULL), 0);
    take_until(k, epoll_fd, &u->kinds[SPATE_EVENT_CONNECTED], 1);
    for (uint64_t i = 0; i < REQUESTS; i++) {
        ask(k, i);
        if (i % 8 == 0)
            take_until(k, epoll_fd, &u->fin_count, i + 1);
    }
    take_until(k, epoll_fd, &u->fin_count, REQUESTS);
    assert_served(k);
    assert_int_equal(CU_ASK(u, spate_channel_conn_close, u->conn_id, 0, NULL), 0);
    spate_channel_close(u->channel, 0);
    while (!u->is_over) {
        over = u->answered_count + 1;
        while (cu_take(u) > 0)
            continue;
        if (!u->is_over)
            wait_in_call(k);
    }
    assert_true(over > 0);
    assert_int_equal(u->answered_count, u->asked_count);
    (void)close(epoll_fd);
    return NULL;
}

static void each_thread_uses_a_channel_of_its_own(void **state)
{
    (void)state;
    struct world *x = make_world();
    static struct worker workers[WORKERS];
    memset(workers, 0, sizeof(workers));
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i].x = x;
        workers[i].user = cu_create(spate_engine_shard(x->client, 0), NULL);
        workers[i].user->is_pattern = true;
        workers[i].user->is_lazy = i >= WORKERS / 2;
        workers[i].waits_in_epoll = i % 2 == 0;
        workers[i].memory = i % 3 == 0 ? owned_alloc(REQUESTS * REQUEST_SIZE) : NULL;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
}

/* ---- Ends ---- */

static struct worker connected_worker(struct world *x)
{
    struct worker k = {.x = x, .user = cu_create(spate_engine_shard(x->client, 0), NULL)};
    static struct spate_connect_options options;
    cu_options(&x->w, &options);
    k.user->is_pattern = true;
    assert_int_equal(CU_ASK(k.user, spate_channel_connect, &options, NULL), 0);
    take_until(&k, -1, &k.user->kinds[SPATE_EVENT_CONNECTED], 1);
    return k;
}

static void ask_much(struct worker *k, uint32_t count)
{
    struct cu *u = k->user;
    for (uint32_t i = 0; i < count; i++)
        (void)(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL) == 0 &&
               CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST, pattern,
                      STREAM_SIZE, true) == 0);
}

static void *stop_engine(void *argument)
{
    usleep(2000);
    spate_engine_stop(argument);
    return NULL;
}

/* The shard's thread ends while the other one queues commands, takes results and waits. */
static void a_shard_that_ends_answers_each_command(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 8; round++) {
        struct world *x = make_world();
        struct worker k = connected_worker(x);
        struct cu *u = k.user;
        pthread_t stopper;
        assert_int_equal(pthread_create(&stopper, NULL, stop_engine, x->client), 0);
        while (!u->is_over) {
            if (u->next_tag + 8 < CU_TAGS_MAX)
                ask_much(&k, 2);
            cu_take(u);
            if (round % 2 == 0 && !u->is_over)
                assert_int_equal(spate_channel_wait(u->channel, PW_PATIENCE_NS), 0);
        }
        pthread_join(stopper, NULL);
        assert_int_equal(u->end_result, -ESHUTDOWN);
        assert_int_equal(u->answered_count, u->asked_count);
        assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, false, NULL), -ESHUTDOWN);
        struct spate_channel *late = NULL;
        assert_int_equal(spate_channel_create(spate_engine_shard(x->client, 0), NULL, &late, NULL),
                         -ESHUTDOWN);
        owned_end_all();
    }
}

static void a_channel_is_destroyed_while_the_shard_works_for_it(void **state)
{
    (void)state;
    struct world *x = make_world();
    for (uint32_t round = 0; round < 10; round++) {
        struct worker k = connected_worker(x);
        uint8_t *lent = malloc(STREAM_SIZE);
        assert_non_null(lent);
        memcpy(lent, pattern, STREAM_SIZE);
        ask_much(&k, round % 3);
        assert_int_equal(CU_ASK(k.user, spate_channel_stream_open, k.user->conn_id, false, NULL),
                         0);
        assert_int_equal(CU_ASK(k.user, spate_channel_stream_send, k.user->conn_id,
                                SPATE_STREAM_LAST, lent, STREAM_SIZE, true),
                         0);
        if (round % 2 == 0)
            usleep(500);
        cu_destroy(k.user);
        memset(lent, 0, STREAM_SIZE); /* the thread sanitizer finds who still reads it */
        free(lent);
    }
}

static void *come_and_go(void *shard)
{
    for (uint32_t round = 0; round < 2000; round++) {
        struct spate_channel *channel;
        if (spate_channel_create(shard, NULL, &channel, NULL) != 0)
            return NULL;
        spate_channel_close(channel, 0);
        for (volatile uint32_t i = 0; i < round % 64 * 50; i++)
            continue;
        spate_channel_destroy(channel); /* its bell may come when the channel has just ended */
    }
    return shard;
}

/* A bell for a channel that has just ended finds the next one in its place.  The thread sanitizer
 * sees what the shard reads meanwhile. */
static void a_late_bell_finds_another_channel(void **state)
{
    (void)state;
    struct world *x = make_world();
    pthread_t threads[2];
    void *result;
    for (uint32_t i = 0; i < QT_COUNT(threads); i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, come_and_go, spate_engine_shard(x->client, 0)), 0);
    for (uint32_t i = 0; i < QT_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
}

static void a_wait_ends_in_time(void **state)
{
    (void)state;
    struct world *x = make_world();
    struct cu *u = cu_create(spate_engine_shard(x->client, 0), NULL);
    uint64_t begin_ns = pw_now_ns();
    assert_int_equal(spate_channel_wait(u->channel, 30000000), -ETIMEDOUT);
    assert_true(pw_now_ns() - begin_ns >= 29000000);
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, 0, false, NULL), 0);
    assert_int_equal(spate_channel_wait(u->channel, PW_PATIENCE_NS), 0);
    assert_int_equal(spate_channel_wait(u->channel, 0), 0);
    assert_int_equal(cu_take(u), 1);
    assert_int_equal(spate_channel_wait(u->channel, 1), -ETIMEDOUT);
}

/* ---- No system calls ---- */

/* From here on a doorbell of the calling thread fails, which ends the test. */
static void forbid_bells(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ppoll, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
    };
    const struct sock_fprog program = {.len = QT_COUNT(code), .filter = code};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    assert_int_equal(write(-1, "", 1), -1);
    assert_int_equal(errno, EXDEV); /* it is in force */
}

struct spinner {
    struct cu *user;
    struct spate_shard *shard;
    atomic_bool is_done;
    struct spate_shard_stats before;
    struct spate_shard_stats after;
};

static void *ask_and_take(void *argument)
{
    struct spinner *s = argument;
    struct cu *u = s->user;
    forbid_bells();
    u->is_lazy = true;
    for (uint32_t i = 0; i < 20000; i++) {
        while (CU_ASK(u, spate_channel_stream_open, 0, false, NULL) == -EAGAIN)
            if (cu_take(u) == 0)
                (void)sched_yield();
        cu_take(u);
    }
    while (u->answered_count < u->asked_count)
        if (cu_take(u) == 0)
            (void)sched_yield();
    atomic_store(&s->is_done, true);
    return NULL;
}

static void *turn_until_done(void *argument)
{
    struct spinner *s = argument;
    assert_int_equal(spate_shard_turn(s->shard, 0), 0);
    forbid_bells();
    spate_shard_stats(s->shard, &s->before);
    while (!atomic_load(&s->is_done))
        assert_int_equal(spate_shard_turn(s->shard, 1000000), 0);
    spate_shard_stats(s->shard, &s->after);
    cu_destroy(s->user); /* by the thread that runs the turns: it waits for none */
    return NULL;
}

static void no_system_call_is_made_while_both_are_awake(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_engine *engine = NULL;
    pthread_t turner;
    pthread_t asker;
    spate_config_init(&config);
    config.backend = pw_backend();
    config.spin_ns = SPATE_FOREVER;
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    (void)owned_add(engine, destroy);
    static struct spinner s;
    memset(&s, 0, sizeof(s));
    s.shard = spate_engine_shard(engine, 0);
    s.user = cu_create(s.shard, NULL);
    assert_int_equal(pthread_create(&turner, NULL, turn_until_done, &s), 0);
    assert_int_equal(pthread_create(&asker, NULL, ask_and_take, &s), 0);
    pthread_join(asker, NULL);
    pthread_join(turner, NULL);
    assert_int_equal(s.user->answered_count, 20000);
    assert_true(s.after.channel_commands - s.before.channel_commands >= 19000);
    if (spate_engine_backend(engine) == SPATE_BACKEND_IO_URING)
        assert_true(s.after.syscalls - s.before.syscalls <= 2); /* the first wait's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_thread_uses_a_channel_of_its_own),
        QT_TEST(owned, a_shard_that_ends_answers_each_command),
        QT_TEST(owned, a_channel_is_destroyed_while_the_shard_works_for_it),
        QT_TEST(owned, a_late_bell_finds_another_channel),
        QT_TEST(owned, a_wait_ends_in_time),
        QT_TEST(owned, no_system_call_is_made_while_both_are_awake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
