/* SPDX-License-Identifier: MIT */
/* A shard whose ring fails: nobody is left without an answer. */

#include "test/support/qt.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include <spate/engine.h>

#include "engine/shard/shard.h"
#include "test/support/owned.h"
#include "uring/mmsg_impl.h"

enum {
    POSTS = 300, /* more than one turn runs */
    PATIENCE_MS = 10000,
};

static const enum spate_backend backends[] = {SPATE_BACKEND_AUTO, SPATE_BACKEND_MMSG};

struct world {
    struct spate_engine *engine;
    struct spate_shard *shard;
    atomic_int error; /* of on_error */
    atomic_uint error_count;
    atomic_uint stop_count;
    atomic_uint ran_count;
    atomic_bool may_break; /* all posts are queued */
};

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static void begin(struct world *world, enum spate_backend backend)
{
    struct spate_config config;
    struct spate_error error = {""};
    memset(world, 0, sizeof(*world));
    spate_config_init(&config);
    config.backend = backend;
    if (spate_engine_create(&config, &world->engine, &error) != 0)
        fail_msg("%s", error.text);
    (void)owned_add(world->engine, destroy);
    world->shard = spate_engine_shard(world->engine, 0);
}

/* From here on every system call of the ring fails. */
static void break_ring(struct spate_shard *shard, void *argument)
{
    struct world *world = argument;
    while (!atomic_load(&world->may_break))
        usleep(100);
    struct su_mmsg *mmsg = shard->ring.mmsg;
    if (mmsg == NULL) {
        shard->ring.uring.enter_ring_fd = 1 << 20;
        return;
    }
    (void)close(mmsg->epoll_fd);
    mmsg->epoll_fd = -1;
}

static void count(struct spate_shard *shard, void *argument)
{
    struct world *world = argument;
    assert_ptr_equal(shard, world->shard);
    atomic_fetch_add(&world->ran_count, 1);
}

static void post_all(struct world *world)
{
    for (uint32_t i = 0; i < POSTS; i++)
        assert_int_equal(spate_shard_post(world->shard, count, world), 0);
    atomic_store(&world->may_break, true);
}

static void on_events(struct spate_shard *shard, const struct spate_event *events,
                      uint32_t event_count, void *user)
{
    (void)shard;
    (void)events;
    (void)event_count;
    (void)user;
}

static void on_error(struct spate_shard *shard, int error, void *user)
{
    struct world *world = user;
    assert_ptr_equal(shard, world->shard);
    assert_int_equal(atomic_load(&world->stop_count), 0);
    atomic_store(&world->error, error);
    atomic_fetch_add(&world->error_count, 1);
}

static void on_stop(struct spate_shard *shard, void *user)
{
    struct world *world = user;
    (void)shard;
    atomic_fetch_add(&world->stop_count, 1);
}

static void an_engine_thread_reports_that_its_ring_failed(void **state)
{
    (void)state;
    static struct world world;
    for (size_t i = 0; i < QT_COUNT(backends); i++) {
        begin(&world, backends[i]);
        const struct spate_handlers handlers = {.size = sizeof(handlers),
                                                .on_events = on_events,
                                                .on_error = on_error,
                                                .on_stop = on_stop,
                                                .user = &world};
        assert_int_equal(spate_engine_start(world.engine, &handlers, NULL), 0);
        assert_int_equal(spate_shard_post(world.shard, break_ring, &world), 0);
        post_all(&world);
        for (int ms = 0; atomic_load(&world.stop_count) == 0 && ms < PATIENCE_MS; ms++)
            usleep(1000);
        assert_int_equal(atomic_load(&world.error_count), 1);
        assert_true(atomic_load(&world.error) < 0);
        assert_int_equal(atomic_load(&world.stop_count), 1);
        assert_int_equal(atomic_load(&world.ran_count), POSTS); /* each that was accepted */
        assert_int_equal(spate_shard_post(world.shard, count, &world), -ESHUTDOWN);
        /* An end in order finds nothing to wait for. */
        assert_int_equal(spate_engine_shutdown(world.engine, SPATE_FOREVER, 0, NULL),
                         atomic_load(&world.error));
        assert_int_equal(atomic_load(&world.stop_count), 1);
        owned_end_all();
    }
}

static void a_thread_of_the_application_gets_the_error_again_and_again(void **state)
{
    (void)state;
    static struct world world;
    for (size_t i = 0; i < QT_COUNT(backends); i++) {
        begin(&world, backends[i]);
        assert_int_equal(spate_shard_turn(world.shard, 0), 0);
        assert_int_equal(spate_shard_post(world.shard, break_ring, &world), 0);
        post_all(&world);
        int error = 0;
        for (int turns = 0; error == 0 && turns < 100; turns++)
            error = spate_shard_turn(world.shard, 1000000);
        assert_true(error < 0);
        assert_int_equal(atomic_load(&world.ran_count), POSTS);
        assert_int_equal(spate_shard_post(world.shard, count, &world), -ESHUTDOWN);
        assert_int_equal(spate_shard_turn(world.shard, 0), error);
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, an_engine_thread_reports_that_its_ring_failed),
        QT_TEST(owned, a_thread_of_the_application_gets_the_error_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
