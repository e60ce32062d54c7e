/* SPDX-License-Identifier: MIT */
/* Calls that a program should not make: each has an answer, and does no harm. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { POSTS = 600 }; /* more than a turn runs */

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static struct spate_engine *make_engine(void)
{
    return owned_add(pw_make_engine(), destroy);
}

static void no_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    (void)shard;
    (void)events;
    (void)count;
    (void)user;
}

static const struct spate_handlers handlers = {.size = sizeof(handlers), .on_events = no_events};

/* ---- Turns ---- */

struct elsewhere {
    struct spate_shard *shard;
    int turn;
    uint32_t events;
};

static void *turn_elsewhere(void *argument)
{
    struct elsewhere *e = argument;
    struct spate_event event;
    e->turn = spate_shard_turn(e->shard, 0);
    e->events = spate_shard_events(e->shard, &event, 1);
    return NULL;
}

static struct elsewhere try_elsewhere(struct spate_shard *shard)
{
    struct elsewhere e = {.shard = shard};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, turn_elsewhere, &e), 0);
    pthread_join(thread, NULL);
    return e;
}

static void a_turn_on_another_thread_is_refused_and_does_no_harm(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    (void)pw_connect(w);
    int queued = 0;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (queued == 0) { /* CONNECTED waits on the server */
        assert_true(pw_now_ns() < end_ns);
        pw_wait(&w->client, 0);
        queued = spate_shard_turn(w->server.shard, 0);
        assert_true(queued >= 0);
    }
    struct elsewhere e = try_elsewhere(w->server.shard);
    assert_int_equal(e.turn, -EPERM);
    assert_int_equal(e.events, 0);
    /* A thread may get the memory of one that has ended, and is another one all the same. */
    assert_int_equal(try_elsewhere(w->server.shard).turn, -EPERM);
    struct spate_event event;
    assert_int_equal(spate_shard_events(w->server.shard, &event, 1), 1);
    assert_int_equal(event.kind, SPATE_EVENT_CONNECTED);
    (void)pw_connected(w);
}

static void a_shard_of_a_thread_that_has_ended_stays_its_own(void **state)
{
    (void)state;
    struct spate_shard *shard = spate_engine_shard(make_engine(), 0);
    assert_int_equal(try_elsewhere(shard).turn, 0);
    assert_int_equal(try_elsewhere(shard).turn, -EPERM);
    assert_int_equal(spate_shard_turn(shard, 0), -EPERM);
}

static void a_shard_of_an_engine_thread_takes_no_turn(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine();
    struct spate_event event;
    assert_int_equal(spate_engine_start(engine, &handlers, NULL), 0);
    assert_int_equal(spate_shard_turn(spate_engine_shard(engine, 0), 0), -EPERM);
    assert_int_equal(spate_shard_events(spate_engine_shard(engine, 0), &event, 1), 0);
    spate_engine_stop(engine);
    assert_int_equal(spate_shard_turn(spate_engine_shard(engine, 0), 0), -EPERM);
}

static void turn_in_a_turn(struct spate_shard *shard, void *argument)
{
    *(int *)argument = spate_shard_turn(shard, 0);
}

static void a_turn_within_a_turn_is_refused(void **state)
{
    (void)state;
    struct spate_shard *shard = spate_engine_shard(make_engine(), 0);
    int result = 0;
    assert_int_equal(spate_shard_post(shard, turn_in_a_turn, &result), 0);
    assert_int_equal(spate_shard_turn(shard, 0), 0);
    assert_int_equal(result, -EBUSY);
    assert_int_equal(spate_shard_turn(shard, 0), 0);
}

/* ---- Starting ---- */

static void threads_cannot_take_over_a_shard_that_was_turned(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine();
    struct spate_error error = {""};
    assert_int_equal(spate_shard_turn(spate_engine_shard(engine, 0), 0), 0);
    assert_int_equal(spate_engine_start(engine, &handlers, &error), -EBUSY);
    assert_string_equal(error.text, "spate_shard_turn() was called on shard 0 before");
    assert_int_equal(spate_shard_turn(spate_engine_shard(engine, 0), 0), 0);
}

static void a_start_without_a_handler_is_refused(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine();
    const struct spate_handlers empty = {.size = sizeof(empty)};
    struct spate_error error = {""};
    assert_int_equal(spate_engine_start(engine, &empty, &error), -EINVAL);
    assert_string_equal(error.text, "on_events is NULL");
    assert_int_equal(spate_engine_start(engine, &handlers, &error), 0);
}

static void a_shard_that_does_not_exist_is_null(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine();
    assert_non_null(spate_engine_shard(engine, 0));
    assert_null(spate_engine_shard(engine, 1));
    assert_null(spate_engine_shard(engine, UINT32_MAX));
}

/* ---- Posts ---- */

static atomic_uint ran_count;
static atomic_bool may_go_on;

static void wait_and_count(struct spate_shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    while (!atomic_load(&may_go_on))
        usleep(100);
    atomic_fetch_add(&ran_count, 1);
}

static void *let_go_later(void *argument)
{
    (void)argument;
    usleep(20000);
    atomic_store(&may_go_on, true);
    return NULL;
}

static void posts_that_wait_when_an_engine_is_stopped_still_run(void **state)
{
    (void)state;
    struct spate_engine *engine = make_engine();
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    pthread_t thread;
    atomic_store(&ran_count, 0);
    atomic_store(&may_go_on, false);
    assert_int_equal(spate_engine_start(engine, &handlers, NULL), 0);
    for (int i = 0; i < POSTS; i++)
        assert_int_equal(spate_shard_post(shard, wait_and_count, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, let_go_later, NULL), 0);
    spate_engine_stop(engine);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&ran_count), POSTS);
    assert_int_equal(spate_shard_post(shard, wait_and_count, NULL), -ESHUTDOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_turn_on_another_thread_is_refused_and_does_no_harm),
        QT_TEST(owned, a_shard_of_a_thread_that_has_ended_stays_its_own),
        QT_TEST(owned, a_shard_of_an_engine_thread_takes_no_turn),
        QT_TEST(owned, a_turn_within_a_turn_is_refused),
        QT_TEST(owned, threads_cannot_take_over_a_shard_that_was_turned),
        QT_TEST(owned, a_start_without_a_handler_is_refused),
        QT_TEST(owned, a_shard_that_does_not_exist_is_null),
        QT_TEST(owned, posts_that_wait_when_an_engine_is_stopped_still_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
