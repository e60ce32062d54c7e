/* SPDX-License-Identifier: MIT */
/* The second way: the engine's own threads, handlers on them, posts from anywhere. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLICES_MAX 65536

/* What the threads of a test share.  Each plain field belongs to one shard's thread until
 * the engines are stopped; what crosses is atomic. */
struct threads {
    struct pw w; /* TLS and addresses; its ends are not turned */
    pthread_t server_thread;
    uint64_t server_bytes;
    struct spate_slice slices[SLICES_MAX];
    uint32_t slice_count;
    uint8_t *data;
    size_t size;
    uint64_t received;
    atomic_bool is_done;
    atomic_bool is_server_up;
    atomic_uint stops;
};

static void wait_for(atomic_bool *flag)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!atomic_load(flag) && pw_now_ns() < end_ns)
        usleep(1000);
    assert_true(atomic_load(flag));
}

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static struct spate_engine *make_engine(const int *cpus)
{
    return owned_add(pw_make_engine_on(cpus), destroy);
}

/* ---- echo between two engines ---- */

static int server_start(struct spate_shard *shard, void *user)
{
    struct threads *t = user;
    struct spate_listener *listener;
    struct sockaddr_storage any = pw_loopback(false, 0, &t->w.address_size);
    t->server_thread = pthread_self();
    int result = spate_shard_listen(shard, (struct sockaddr *)&any, t->w.address_size,
                                    t->w.server.tls, NULL, &listener, NULL);
    return result != 0 ? result
                       : spate_listener_address(listener, &t->w.address, &t->w.address_size);
}

static void server_events(struct spate_shard *shard, const struct spate_event *events,
                          uint32_t count, void *user)
{
    struct threads *t = user;
    assert_true(pthread_equal(pthread_self(), t->server_thread));
    assert_true(count >= 1 && count <= 256);
    for (uint32_t i = 0; i < count; i++) {
        const struct spate_event *event = &events[i];
        if (event->kind == SPATE_EVENT_STREAM_DATA) {
            assert_true(t->slice_count < SLICES_MAX);
            struct spate_slice *slice = &t->slices[t->slice_count++];
            *slice = event->u.data.slice;
            t->server_bytes += slice->size;
            assert_int_equal(spate_stream_send(event->conn, event->stream_id, slice->data,
                                               slice->size, event->u.data.fin, (uintptr_t)slice),
                             0);
        } else if (event->kind == SPATE_EVENT_SENT) {
            struct spate_slice *slice = (struct spate_slice *)(uintptr_t)event->u.sent.tag;
            spate_slice_release(shard, slice);
        }
    }
}

static int client_start(struct spate_shard *shard, void *user)
{
    struct threads *t = user;
    struct spate_conn *conn;
    return spate_shard_connect(shard, (struct sockaddr *)&t->w.address, t->w.address_size,
                               PW_SERVER_NAME, t->w.client.tls, NULL, &conn, NULL);
}

static void client_events(struct spate_shard *shard, const struct spate_event *events,
                          uint32_t count, void *user)
{
    struct threads *t = user;
    for (uint32_t i = 0; i < count; i++) {
        const struct spate_event *event = &events[i];
        uint64_t id;
        if (event->kind == SPATE_EVENT_CONNECTED) {
            assert_int_equal(spate_stream_open(event->conn, false, &id), 0);
            assert_int_equal(spate_stream_send(event->conn, id, t->data, t->size, true, 0), 0);
        } else if (event->kind == SPATE_EVENT_STREAM_DATA) {
            struct spate_slice slice = event->u.data.slice;
            assert_int_equal(event->u.data.offset, t->received);
            assert_memory_equal(slice.data, t->data + t->received, slice.size);
            t->received += slice.size;
            spate_slice_release(shard, &slice);
        } else if (event->kind == SPATE_EVENT_STREAM_CLOSED) {
            atomic_store(&t->is_done, true);
        }
    }
}

static void count_stop(struct spate_shard *shard, void *user)
{
    (void)shard;
    struct threads *t = user;
    atomic_fetch_add(&t->stops, 1);
}

static void two_engines_of_threads_echo_ten_megabytes(void **state)
{
    (void)state;
    static struct threads t;
    t.size = (size_t)10 << 20;
    static const int cpus[] = {0};
    (void)owned_add(&t.w, pw_deinit);
    t.data = owned_alloc(t.size);
    for (size_t i = 0; i < t.size; i++)
        t.data[i] = pw_byte(9, i);
    pw_make_tls(&t.w);
    struct spate_engine *server = make_engine(NULL);
    struct spate_engine *client = make_engine(cpus);
    const struct spate_handlers server_handlers = {.size = sizeof(server_handlers),
                                                   .on_start = server_start,
                                                   .on_events = server_events,
                                                   .on_stop = count_stop,
                                                   .user = &t};
    const struct spate_handlers client_handlers = {.size = sizeof(client_handlers),
                                                   .on_start = client_start,
                                                   .on_events = client_events,
                                                   .on_stop = count_stop,
                                                   .user = &t};
    struct spate_error error = {""};

    if (spate_engine_start(server, &server_handlers, &error) != 0 ||
        spate_engine_start(client, &client_handlers, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(spate_engine_start(client, &client_handlers, &error), -EBUSY);
    wait_for(&t.is_done);
    spate_engine_stop(client);
    spate_engine_stop(client); /* twice is harmless */
    owned_end(client);
    owned_end(server);
    assert_int_equal(t.received, t.size);
    assert_int_equal(t.server_bytes, t.size);
    assert_int_equal(atomic_load(&t.stops), 2);
}

/* ---- two shards ---- */

#define SHARDS     2
#define EACH_OPENS 8

struct shards {
    struct pw w;
    atomic_uint accepted;
    atomic_uint connected;
};

static int listen_at_one_port(struct spate_shard *shard, void *user)
{
    struct shards *s = user;
    return pw_listen_at_one_port(&s->w, shard);
}

static int connect_many(struct spate_shard *shard, void *user)
{
    struct shards *s = user;
    struct spate_conn *conn;
    int result = 0;
    for (uint32_t i = 0; i < EACH_OPENS && result == 0; i++)
        result = spate_shard_connect(shard, (struct sockaddr *)&s->w.address, s->w.address_size,
                                     PW_SERVER_NAME, s->w.client.tls, NULL, &conn, NULL);
    return result;
}

static void count_connected(struct spate_shard *shard, const struct spate_event *events,
                            uint32_t count, void *user)
{
    struct shards *s = user;
    for (uint32_t i = 0; i < count; i++) {
        assert_ptr_equal(spate_conn_shard(events[i].conn), shard);
        if (events[i].kind == SPATE_EVENT_CONNECTED)
            atomic_fetch_add(spate_conn_is_server(events[i].conn) ? &s->accepted : &s->connected,
                             1);
    }
}

static struct spate_engine *make_shards(void)
{
    struct spate_config config;
    struct spate_engine *engine = NULL;
    spate_config_init(&config);
    config.backend = pw_backend();
    config.shard_count = SHARDS;
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    (void)owned_add(engine, destroy);
    assert_int_equal(spate_engine_shard_count(engine), SHARDS);
    return engine;
}

static void two_shards_share_a_port(void **state)
{
    (void)state;
    static struct shards s;
    (void)owned_add(&s.w, pw_deinit);
    pw_make_tls(&s.w);
    struct spate_engine *server = make_shards();
    struct spate_engine *client = make_shards();
    const struct spate_handlers serve = {.size = sizeof(serve),
                                         .on_start = listen_at_one_port,
                                         .on_events = count_connected,
                                         .user = &s};
    const struct spate_handlers ask = {
        .size = sizeof(ask), .on_start = connect_many, .on_events = count_connected, .user = &s};
    assert_int_equal(spate_engine_start(server, &serve, NULL), 0);
    assert_int_equal(spate_engine_start(client, &ask, NULL), 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while ((atomic_load(&s.connected) < SHARDS * EACH_OPENS ||
            atomic_load(&s.accepted) < SHARDS * EACH_OPENS) &&
           pw_now_ns() < end_ns)
        usleep(1000);
    assert_int_equal(atomic_load(&s.connected), SHARDS * EACH_OPENS);
    assert_int_equal(atomic_load(&s.accepted), SHARDS * EACH_OPENS);
}

static int listen_with(struct spate_engine *engine, uint32_t index, struct pw *w)
{
    return pw_listen_at_one_port(w, spate_engine_shard(engine, index));
}

/* The kernel would give each engine a part of the packets. */
static void a_port_that_shards_share_belongs_to_one_engine(void **state)
{
    (void)state;
    static struct shards s;
    s.w.address_size = 0;
    (void)owned_add(&s.w, pw_deinit);
    pw_make_tls(&s.w);
    struct spate_engine *first = make_shards();
    assert_int_equal(listen_with(first, 0, &s.w), 0);
    struct spate_engine *second = make_shards();
    assert_int_equal(listen_with(second, 0, &s.w), -EADDRINUSE);
    assert_int_equal(listen_with(first, 1, &s.w), 0);
    owned_end(first);
    assert_int_equal(listen_with(second, 1, &s.w), 0);
    assert_int_equal(listen_with(second, 0, &s.w), 0);
}

/* ---- posts ---- */

#define POSTERS    3
#define POSTS_EACH 5000

struct poster {
    struct spate_shard *shard;
    pthread_t thread;
    uint64_t next; /* the shard's thread: what must come next */
    uint64_t full_count;
};

struct one_post {
    struct poster *poster;
    uint64_t number;
};

static atomic_uint posts_run;
static _Thread_local bool is_shard_thread;

static int mark_thread(struct spate_shard *shard, void *user)
{
    (void)shard;
    (void)user;
    is_shard_thread = true;
    return 0;
}

static void no_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    (void)shard;
    (void)events;
    (void)count;
    (void)user;
}

static void on_post(struct spate_shard *shard, void *argument)
{
    struct one_post *post = argument;
    assert_true(is_shard_thread);
    assert_ptr_equal(shard, post->poster->shard);
    assert_int_equal(post->number, post->poster->next++);
    free(post);
    atomic_fetch_add(&posts_run, 1);
}

static void *post_all(void *argument)
{
    struct poster *p = argument;
    for (uint64_t i = 0; i < POSTS_EACH; i++) {
        struct one_post *post = malloc(sizeof(*post));
        *post = (struct one_post){.poster = p, .number = i};
        while (spate_shard_post(p->shard, on_post, post) == -EAGAIN) {
            p->full_count++;
            sched_yield();
        }
        if (i % 1000 == 0)
            usleep(2000); /* so that the shard goes to sleep and must be woken */
    }
    return NULL;
}

static void posts_of_several_threads_run_once_in_order_on_the_shards_thread(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine(NULL);
    const struct spate_handlers handlers = {
        .size = sizeof(handlers), .on_start = mark_thread, .on_events = no_events};
    assert_int_equal(spate_engine_start(engine, &handlers, NULL), 0);
    atomic_store(&posts_run, 0);

    static struct poster posters[POSTERS]; /* their threads are joined before it is looked at */
    for (uint32_t i = 0; i < POSTERS; i++) {
        posters[i].shard = spate_engine_shard(engine, 0);
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    for (uint32_t i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (atomic_load(&posts_run) < POSTERS * POSTS_EACH && pw_now_ns() < end_ns)
        usleep(1000);
    assert_int_equal(atomic_load(&posts_run), POSTERS * POSTS_EACH);
}

static void count_post(struct spate_shard *shard, void *argument)
{
    (void)shard;
    ++*(uint32_t *)argument;
}

static void in_the_first_way_posts_run_in_the_turn_and_have_a_bound(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine(NULL);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    uint32_t ran = 0;
    for (int i = 0; i < 1024; i++)
        assert_int_equal(spate_shard_post(shard, count_post, &ran), 0);
    assert_int_equal(spate_shard_post(shard, count_post, &ran), -EAGAIN);
    assert_int_equal(ran, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(spate_shard_turn(shard, 0), 0);
    assert_int_equal(ran, 1024);
    assert_int_equal(spate_shard_post(shard, count_post, &ran), 0);
    assert_int_equal(spate_shard_turn(shard, SPATE_FOREVER), 0); /* a post waits: no sleep */
    assert_int_equal(ran, 1025);
}

/* ---- wakes and failures ---- */

static void *wake_later(void *argument)
{
    usleep(20000);
    spate_shard_wake(argument);
    return NULL;
}

static void a_wake_ends_the_wait_now_or_the_next(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine(NULL);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    assert_int_equal(spate_shard_turn(shard, 0), 0);
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_later, shard), 0);
        int result = spate_shard_turn(shard, SPATE_FOREVER);
        pthread_join(thread, NULL); /* before anything can fail */
        assert_int_equal(result, 0);
        spate_shard_wake(shard);
        assert_int_equal(spate_shard_turn(shard, SPATE_FOREVER), 0);
        assert_int_equal(spate_shard_turn(shard, 0), 0); /* a bell may be on its way still */
    }
}

static void a_turn_waits_as_long_as_it_was_told(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine(NULL);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    uint64_t begin_ns = pw_now_ns();
    assert_int_equal(spate_shard_turn(shard, 30000000), 0);
    assert_true(pw_now_ns() - begin_ns >= 29000000);
    assert_true(spate_shard_now_ns(shard) >= begin_ns);
}

static int refuse_to_start(struct spate_shard *shard, void *user)
{
    (void)shard;
    (void)user;
    return -EXDEV;
}

static void start_fails_as_on_start_says_and_for_a_cpu_that_is_not_there(void **state)
{
    (void)state;
    struct spate_error error = {""};
    struct spate_handlers handlers = {
        .size = sizeof(handlers), .on_start = refuse_to_start, .on_events = no_events};
    struct spate_engine *engine = make_engine(NULL);
    assert_int_equal(spate_engine_start(engine, &handlers, &error), -EXDEV);
    assert_string_equal(error.text, "shard 0 did not start: Invalid cross-device link");
    owned_end(engine);

    static const int cpus[][1] = {{1023}, {5000}};
    for (size_t i = 0; i < QT_COUNT(cpus); i++) {
        engine = make_engine(cpus[i]);
        handlers.on_start = NULL;
        assert_int_equal(spate_engine_start(engine, &handlers, &error), -EINVAL);
        assert_non_null(strstr(error.text, "Invalid argument"));
        owned_end(engine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, two_engines_of_threads_echo_ten_megabytes),
        QT_TEST(owned, two_shards_share_a_port),
        QT_TEST(owned, a_port_that_shards_share_belongs_to_one_engine),
        QT_TEST(owned, posts_of_several_threads_run_once_in_order_on_the_shards_thread),
        QT_TEST(owned, in_the_first_way_posts_run_in_the_turn_and_have_a_bound),
        QT_TEST(owned, a_wake_ends_the_wait_now_or_the_next),
        QT_TEST(owned, a_turn_waits_as_long_as_it_was_told),
        QT_TEST(owned, start_fails_as_on_start_says_and_for_a_cpu_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
