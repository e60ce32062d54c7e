/* SPDX-License-Identifier: MIT */
/* Pools of client connections against servers that are processes of their own: killed, stopped,
 * absent, and back again. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum { SERVERS = 3, CONNS = 2 };

struct server {
    struct sockaddr_storage address;
    socklen_t address_size;
    pid_t pid; /* 0: it does not run */
    uint64_t id;
};

struct world {
    struct pw *w;
    struct spate_pool *pool;
    struct server servers[SERVERS];
    uint64_t answers;
    uint64_t failures;
};

/* ---- a server process: it echoes ---- */

static void echo(struct spate_shard *shard, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        struct spate_slice *kept = malloc(sizeof(*kept));
        *kept = event->u.data.slice;
        if (spate_stream_send(event->conn, event->stream_id, kept->data, kept->size,
                              event->u.data.fin, (uintptr_t)kept) != 0) {
            spate_slice_release(shard, kept);
            free(kept);
        }
    } else if (event->kind == SPATE_EVENT_SENT) {
        struct spate_slice *kept = (struct spate_slice *)(uintptr_t)event->u.sent.tag;
        spate_slice_release(shard, kept);
        free(kept);
    }
}

/* Never returns.  Writes the address to `ready_fd` when it listens. */
static void serve(const struct pw *w, const struct server *server, int ready_fd)
{
    struct sockaddr_storage address = server->address;
    socklen_t size = server->address_size;
    struct spate_engine *engine = pw_make_engine();
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    struct spate_listener *listener;
    struct spate_event events[64];
    if (spate_shard_listen(shard, (struct sockaddr *)&address, size, w->server.tls, NULL, &listener,
                           NULL) != 0 ||
        spate_listener_address(listener, &address, &size) != 0 ||
        write(ready_fd, &address, sizeof(address)) != sizeof(address))
        _exit(1);
    for (;;) {
        if (spate_shard_turn(shard, SPATE_FOREVER) < 0)
            _exit(1);
        uint32_t count = spate_shard_events(shard, events, 64);
        for (uint32_t i = 0; i < count; i++)
            echo(shard, &events[i]);
    }
}

static void start(struct world *world, uint32_t index)
{
    struct server *server = &world->servers[index];
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        (void)close(fds[0]);
        serve(world->w, server, fds[1]);
    }
    (void)close(fds[1]);
    assert_int_equal(read(fds[0], &server->address, sizeof(server->address)),
                     sizeof(server->address));
    (void)close(fds[0]);
}

static void stop(struct world *world, uint32_t index)
{
    struct server *server = &world->servers[index];
    if (server->pid == 0)
        return;
    (void)kill(server->pid, SIGKILL);
    (void)waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

/* ---- the client ---- */

static void on_event(struct pw_end *end, struct spate_event *event)
{
    struct world *world = end->context;
    if (event->kind == SPATE_EVENT_STREAM_DATA && event->u.data.fin)
        world->answers++;
    if (event->kind == SPATE_EVENT_STREAM_RESET)
        world->failures++;
    pw_default(end, event);
}

static void world_deinit(void *object)
{
    struct world *world = object;
    for (uint32_t i = 0; i < SERVERS; i++)
        stop(world, i);
    spate_pool_destroy(world->pool);
}

static void options_of(struct world *world, struct spate_pool_options *options)
{
    spate_pool_options_init(options);
    options->tls = world->w->client.tls;
    options->user = world;
    options->conns_per_peer = CONNS;
    options->ping_ns = 100 * MS;
    options->hang_ns = 400 * MS;
    options->connect_timeout_ns = 500 * MS;
    options->backoff_ns = 20 * MS;
    options->backoff_ns_max = 200 * MS;
    options->failures_max = 3;
    options->open_ns = 200 * MS;
    options->open_ns_max = 400 * MS;
}

static void no_idle(struct spate_config *config)
{
    config->idle_timeout_ns = 20000 * MS;
}

static void one_conn(struct spate_config *config)
{
    config->conns_max = 1;
}

/* `running`: bit i: server i runs.  The others have a port that nobody listens at.  `look_ns`: 0,
 * or the pool's ping_ns and hang_ns. */
static struct world *make_that_looks(uint32_t running, uint64_t look_ns)
{
    struct world *world = owned_alloc(sizeof(*world));
    world->w = pw_create(&(struct pw_config){.client = no_idle, .server = one_conn});
    world->w->client.on_event = on_event;
    world->w->client.context = world;
    (void)owned_add(world, world_deinit);
    for (uint32_t i = 0; i < SERVERS; i++) {
        struct server *server = &world->servers[i];
        server->address = pw_loopback(false, 0, &server->address_size);
        start(world, i);
        if ((running >> i & 1) == 0)
            stop(world, i);
    }
    struct spate_pool_options options;
    options_of(world, &options);
    options.ping_ns = look_ns != 0 ? look_ns : options.ping_ns;
    options.hang_ns = look_ns != 0 ? look_ns : options.hang_ns;
    struct spate_error error = {""};
    if (spate_pool_create(world->w->client.shard, &options, &world->pool, &error) != 0)
        fail_msg("%s", error.text);
    for (uint32_t i = 0; i < SERVERS; i++) {
        const struct spate_pool_peer peer = {
            .size = sizeof(peer),
            .address = (struct sockaddr *)&world->servers[i].address,
            .address_size = world->servers[i].address_size,
            .server_name = PW_SERVER_NAME,
        };
        assert_int_equal(spate_pool_add(world->pool, &peer, &world->servers[i].id, &error), 0);
    }
    return world;
}

static struct world *make(uint32_t running)
{
    return make_that_looks(running, 0);
}

static struct spate_pool_stats stats_of(const struct world *world)
{
    struct spate_pool_stats stats;
    spate_pool_stats(world->pool, &stats);
    return stats;
}

static struct spate_pool_peer_stats peer_stats(const struct world *world, uint32_t index)
{
    struct spate_pool_peer_stats stats;
    assert_int_equal(spate_pool_peer_stats(world->pool, world->servers[index].id, &stats), 0);
    return stats;
}

/* Runs turns of the client that really wait, until `is_done`. */
static void run_until(struct world *world, bool (*is_done)(const struct world *world))
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_done(world)) {
        pw_wait(&world->w->client, 20 * MS);
        if (pw_now_ns() > end_ns)
            fail_msg("it did not happen");
    }
}

static void run_for(struct world *world, uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns;
    while (pw_now_ns() < end_ns)
        pw_wait(&world->w->client, 5 * MS);
}

static bool is_full(const struct world *world)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < SERVERS; i++)
        running += world->servers[i].pid != 0;
    return stats_of(world).conns_ready_now == (uint64_t)running * CONNS &&
           stats_of(world).peers_open_now == SERVERS - running;
}

/* Sends a request, and returns the server that got it; 0: none. */
static uint64_t request(struct world *world)
{
    static const char bytes[] = "good morning";
    struct spate_conn *conn;
    uint64_t stream_id;
    if (spate_pool_acquire(world->pool, SPATE_POOL_ANY, &conn) != 0)
        return 0;
    assert_int_equal(spate_stream_open(conn, false, &stream_id), 0);
    assert_int_equal(spate_stream_send(conn, stream_id, bytes, sizeof(bytes), true, 0), 0);
    return spate_pool_peer_id(conn);
}

static bool is_answered(const struct world *world)
{
    return world->answers == stats_of(world).acquires;
}

static void requests_are_spread_over_all_connections(void **state)
{
    (void)state;
    uint32_t counts[SERVERS] = {0};
    struct world *world = make(7);
    run_until(world, is_full);
    for (uint32_t i = 0; i < 60; i++) { /* without a turn: none is answered meanwhile */
        uint64_t id = request(world);
        for (uint32_t k = 0; k < SERVERS; k++)
            counts[k] += world->servers[k].id == id;
    }
    for (uint32_t i = 0; i < SERVERS; i++) {
        assert_int_equal(counts[i], 20);
        assert_int_equal(peer_stats(world, i).streams_now, 20);
        assert_true(peer_stats(world, i).rtt_ns > 0);
    }
    run_until(world, is_answered);
    assert_int_equal(stats_of(world).connects, SERVERS * CONNS);
}

static void a_server_that_is_killed_is_left_and_found_again(void **state)
{
    (void)state;
    struct world *world = make(7);
    run_until(world, is_full);
    stop(world, 1);
    run_until(world, is_full); /* its breaker is open, its connections are gone */
    assert_true(peer_stats(world, 1).openings > 0);
    uint64_t before = world->answers;
    for (uint32_t i = 0; i < 20; i++)
        assert_int_not_equal(request(world), world->servers[1].id);
    world->answers = before;
    while (world->answers - before < 20)
        pw_wait(&world->w->client, 20 * MS);
    start(world, 1);
    run_until(world, is_full);
    assert_int_equal(peer_stats(world, 1).breaker, SPATE_POOL_CLOSED);
    assert_int_equal(peer_stats(world, 1).conns_ready_now, CONNS);
}

static bool has_hung(const struct world *world)
{
    return stats_of(world).hangs == CONNS;
}

static void a_server_that_stops_is_found_out_by_pings(void **state)
{
    (void)state;
    struct world *world = make(7);
    run_until(world, is_full);
    assert_int_equal(kill(world->servers[0].pid, SIGSTOP), 0);
    uint64_t from_ns = pw_now_ns();
    run_until(world, has_hung); /* nobody has sent a request */
    uint64_t took_ns = pw_now_ns() - from_ns;
    assert_true(took_ns >= 400 * MS);
    assert_true(took_ns <= 5000 * MS);
    assert_int_equal(kill(world->servers[0].pid, SIGCONT), 0);
    run_until(world, is_full);
    assert_int_equal(stats_of(world).conns_lost, CONNS);
}

static bool all_are_open(const struct world *world)
{
    return stats_of(world).peers_open_now == SERVERS;
}

static void nobody_at_the_port_is_an_answer(void **state)
{
    (void)state;
    struct world *world = make(0);
    struct spate_conn *conn;
    assert_int_equal(spate_pool_acquire(world->pool, SPATE_POOL_ANY, &conn), -EAGAIN);
    run_until(world, all_are_open);
    assert_int_equal(spate_pool_acquire(world->pool, SPATE_POOL_ANY, &conn), -EHOSTUNREACH);
    assert_true(peer_stats(world, 0).next_try_ns != SPATE_FOREVER);
    uint64_t before = stats_of(world).connects;
    run_for(world, 1000 * MS);
    assert_in_range(stats_of(world).connects - before, 3, 20); /* 200 to 600 ms, each of 3 */
    for (uint32_t i = 0; i < SERVERS; i++)
        start(world, i);
    run_until(world, is_full);
    assert_int_not_equal(request(world), 0);
    run_until(world, is_answered);
}

static bool is_refused(const struct world *world)
{
    pw_wait(&((struct world *)(uintptr_t)world)->w->server, 0);
    struct spate_pool_stats stats = stats_of(world);
    return pw_stats(&world->w->server).conns_refused >= 3 && stats.peers_open_now == 1 &&
           stats.conns_now == stats.conns_ready_now;
}

static void a_server_that_refuses_opens_the_breaker(void **state)
{
    (void)state;
    struct world *world = make(7);
    run_until(world, is_full);
    (void)pw_connected(world->w); /* conns_max is 1: the next ones get CONNECTION_REFUSED */
    const struct spate_pool_peer peer = {
        .size = sizeof(peer),
        .address = (struct sockaddr *)&world->w->address,
        .address_size = world->w->address_size,
        .server_name = PW_SERVER_NAME,
    };
    struct spate_pool_peer_stats stats;
    uint64_t id;
    assert_int_equal(spate_pool_add(world->pool, &peer, &id, NULL), 0);
    run_until(world, is_refused);
    assert_int_equal(spate_pool_peer_stats(world->pool, id, &stats), 0);
    assert_int_equal(stats.breaker, SPATE_POOL_OPEN);
    assert_int_equal(stats.conns_now, 0);
    assert_true(stats.next_try_ns != SPATE_FOREVER);
    assert_true(stats_of(world).connects_failed >= 3);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_not_equal(request(world), id);
}

static void reports_count_and_other_connections_do_not(void **state)
{
    (void)state;
    struct world *world = make(1);
    run_until(world, is_full);
    struct spate_conn *conn;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(spate_pool_acquire(world->pool, world->servers[0].id, &conn), 0);
        spate_pool_report(conn, false);
    }
    assert_int_equal(spate_pool_acquire(world->pool, world->servers[0].id, &conn), -EHOSTUNREACH);
    struct spate_conn *other = NULL;
    assert_int_equal(spate_shard_connect(world->w->client.shard,
                                         (struct sockaddr *)&world->servers[0].address,
                                         world->servers[0].address_size, PW_SERVER_NAME,
                                         world->w->client.tls, NULL, &other, NULL),
                     0);
    spate_pool_report(other, false);
    assert_int_equal(spate_pool_peer_id(other), 0);
    assert_int_equal(spate_pool_acquire(world->pool, 999, &conn), -ENOENT);
    assert_int_equal(spate_pool_remove(world->pool, 999, 0), -ENOENT);
}

/* A program may report long after the shard's last turn: longer than a peer is left alone. */
static void a_peer_is_left_alone_from_the_report_on(void **state)
{
    (void)state;
    struct world *world = make(1);
    run_until(world, is_full);
    (void)usleep(1000000);
    struct spate_conn *conn;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(spate_pool_acquire(world->pool, world->servers[0].id, &conn), 0);
        spate_pool_report(conn, false);
    }
    uint64_t until_ns = pw_now_ns() + 150 * MS;
    pw_wait(&world->w->client, 0);
    int result = spate_pool_acquire(world->pool, world->servers[0].id, &conn);
    if (pw_now_ns() < until_ns) /* else the test was held up */
        assert_int_equal(result, -EHOSTUNREACH);
}

static bool is_empty(const struct world *world)
{
    return stats_of(world).conns_now == 0 && stats_of(world).peers_now == 0;
}

static bool one_is_removed(const struct world *world)
{
    return stats_of(world).peers_now == SERVERS - 1;
}

static void draining_lets_streams_finish(void **state)
{
    (void)state;
    struct world *world = make(7);
    run_until(world, is_full);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_not_equal(request(world), 0);
    assert_int_equal(spate_pool_remove(world->pool, world->servers[2].id, SPATE_FOREVER), 0);
    run_until(world, one_is_removed);
    spate_pool_drain(world->pool, SPATE_FOREVER);
    struct spate_conn *conn;
    assert_int_equal(spate_pool_acquire(world->pool, SPATE_POOL_ANY, &conn), -ESHUTDOWN);
    assert_int_equal(spate_pool_add(world->pool, NULL, NULL, NULL), -EINVAL);
    run_until(world, is_empty);
    assert_int_equal(world->answers, 12);
    assert_int_equal(world->failures, 0);
    run_for(world, 300 * MS);
    assert_int_equal(stats_of(world).connects, SERVERS * CONNS); /* none came after that */
}

/* A host may come to it long after the shard's last turn. */
static void the_time_to_drain_begins_with_the_call(void **state)
{
    (void)state;
    struct world *world = make(7);
    struct spate_conn *conn;
    uint64_t stream_id;
    run_until(world, is_full);
    assert_int_equal(spate_pool_acquire(world->pool, SPATE_POOL_ANY, &conn), 0);
    assert_int_equal(spate_stream_open(conn, false, &stream_id), 0);
    assert_int_equal(spate_stream_send(conn, stream_id, "good", 4, false, 0), 0);
    run_for(world, 50 * MS);
    usleep(1000000);
    spate_pool_drain(world->pool, 900 * MS);
    for (uint32_t i = 0; i < 3; i++)
        pw_wait(&world->w->client, 0);
    assert_int_equal(stats_of(world).conns_ready_now, 1);
    run_until(world, is_empty);
}

static void a_shutdown_of_the_shard_ends_the_pool(void **state)
{
    (void)state;
    struct world *world = make(7);
    run_until(world, is_full);
    assert_int_equal(spate_shard_shutdown(world->w->client.shard, SPATE_FOREVER, 0, NULL), 0);
    run_until(world, is_empty);
    struct spate_conn *conn;
    assert_int_equal(spate_pool_acquire(world->pool, SPATE_POOL_ANY, &conn), -ESHUTDOWN);
}

/* A pool that looks at its connections every few hours closes them at once all the same. */
static void a_shutdown_does_not_wait_for_the_next_look_at_a_connection(void **state)
{
    (void)state;
    struct world *world = make_that_looks(7, UINT64_C(86400000) * MS);
    run_until(world, is_full);
    run_for(world, 1500 * MS); /* so that they count as settled */
    assert_int_equal(spate_shard_shutdown(world->w->client.shard, SPATE_FOREVER, 0, NULL), 0);
    run_until(world, is_empty);
}

static void a_pool_may_go_at_any_time_before_or_after_its_engine(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct world *world = make(7);
        if (i % 2 == 0)
            run_until(world, is_full);
        else
            pw_wait(&world->w->client, 0);
        if (i / 2 == 0) {
            spate_pool_destroy(world->pool);
            run_for(world, 50 * MS); /* the connections end by themselves */
        } else {
            spate_engine_destroy(world->w->client.engine);
            world->w->client.engine = NULL;
        }
        world->pool = NULL;
        owned_end_all();
    }
}

static void mistakes_are_told(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct world world = {.w = w};
    struct spate_pool *pool = NULL;
    struct spate_error error = {""};
    struct spate_pool_options options;
    const struct {
        size_t offset;
        uint64_t value;
    } wrong[] = {
        {offsetof(struct spate_pool_options, ping_ns), 1},
        {offsetof(struct spate_pool_options, hang_ns), 0},
        {offsetof(struct spate_pool_options, connect_timeout_ns), 0},
        {offsetof(struct spate_pool_options, backoff_ns), 0},
        {offsetof(struct spate_pool_options, backoff_ns_max), 1},
        {offsetof(struct spate_pool_options, open_ns), 0},
        {offsetof(struct spate_pool_options, open_ns_max), 1},
        {offsetof(struct spate_pool_options, tls), 0},
    };
    for (size_t i = 0; i < QT_COUNT(wrong); i++) {
        options_of(&world, &options);
        memcpy((char *)&options + wrong[i].offset, &wrong[i].value, sizeof(wrong[i].value));
        error.text[0] = '\0';
        assert_int_equal(spate_pool_create(w->client.shard, &options, &pool, &error), -EINVAL);
        assert_true(error.text[0] != '\0');
    }
    options_of(&world, &options);
    options.tls = w->server.tls;
    assert_int_equal(spate_pool_create(w->client.shard, &options, &pool, &error), -EINVAL);
    options_of(&world, &options);
    options.conns_per_peer = 65;
    assert_int_equal(spate_pool_create(w->client.shard, &options, &pool, &error), -EINVAL);
    options.conns_per_peer = 1;
    struct {
        struct spate_pool_options options;
        uint64_t more;
    } newer = {options, 1};
    newer.options.size = sizeof(newer);
    assert_int_equal(spate_pool_create(w->client.shard, &newer.options, &pool, &error), -E2BIG);
    options.size = 0;
    assert_int_equal(spate_pool_create(w->client.shard, &options, &pool, &error), -EINVAL);
    assert_null(pool);
    spate_pool_destroy(NULL);

    options_of(&world, &options);
    assert_int_equal(spate_pool_create(w->client.shard, &options, &pool, &error), 0);
    struct sockaddr_storage zero = pw_loopback(false, 0, &(socklen_t){0});
    struct spate_pool_peer peer = {.size = sizeof(peer),
                                   .address = (struct sockaddr *)&zero,
                                   .address_size = sizeof(struct sockaddr_in)};
    assert_int_equal(spate_pool_add(pool, &peer, NULL, &error), -EINVAL); /* no port */
    peer.address = NULL;
    assert_int_equal(spate_pool_add(pool, &peer, NULL, &error), -EINVAL);
    struct spate_conn *conn;
    assert_int_equal(spate_pool_acquire(pool, SPATE_POOL_ANY, &conn), -ENOENT);
    peer.address = (struct sockaddr *)&w->address;
    static char name[300];
    memset(name, 'a', sizeof(name) - 1);
    peer.server_name = name;
    assert_int_equal(spate_pool_add(pool, &peer, NULL, &error), -EINVAL);
    peer.server_name = PW_SERVER_NAME;
    for (uint32_t i = 0; i < 1024; i++)
        assert_int_equal(spate_pool_add(pool, &peer, NULL, &error), 0);
    assert_int_equal(spate_pool_add(pool, &peer, NULL, &error), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, requests_are_spread_over_all_connections),
        QT_TEST(owned, a_server_that_is_killed_is_left_and_found_again),
        QT_TEST(owned, a_server_that_stops_is_found_out_by_pings),
        QT_TEST(owned, nobody_at_the_port_is_an_answer),
        QT_TEST(owned, a_server_that_refuses_opens_the_breaker),
        QT_TEST(owned, reports_count_and_other_connections_do_not),
        QT_TEST(owned, a_peer_is_left_alone_from_the_report_on),
        QT_TEST(owned, draining_lets_streams_finish),
        QT_TEST(owned, the_time_to_drain_begins_with_the_call),
        QT_TEST(owned, a_shutdown_of_the_shard_ends_the_pool),
        QT_TEST(owned, a_shutdown_does_not_wait_for_the_next_look_at_a_connection),
        QT_TEST(owned, a_pool_may_go_at_any_time_before_or_after_its_engine),
        QT_TEST(owned, mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
