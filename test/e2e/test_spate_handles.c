/* SPDX-License-Identifier: MIT */
/* What a worker holds of a connection: its ID, which never becomes another client's. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static void one_connection(struct spate_config *config)
{
    config->conns_max = 1; /* the next one gets the place of the one before */
}

static bool all_have_gone(struct pw *w)
{
    return pw_stats(&w->server).conns_now == 0 && pw_stats(&w->client).conns_now == 0;
}

/* ---- A worker ---- */

struct job {
    struct spate_engine *engine;
    uint64_t conn_id;
    uint64_t stream_id;
    int result; /* of the post */
    uint32_t ran_count;
    struct spate_conn *conn; /* that the answer got */
};

static void answer(struct spate_shard *shard, struct spate_conn *conn, void *argument)
{
    struct job *job = argument;
    job->ran_count++;
    job->conn = conn;
    assert_ptr_equal(conn, spate_shard_conn(shard, job->conn_id));
    if (conn != NULL)
        assert_int_equal(spate_stream_send(conn, job->stream_id, "secret", 6, true, 0), 0);
}

static void *work(void *argument)
{
    struct job *job = argument;
    job->result = spate_engine_post_conn(job->engine, job->conn_id, answer, job);
    return NULL;
}

static void let_work(struct job *job)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, work, job), 0);
    pthread_join(thread, NULL);
    assert_int_equal(job->result, 0);
}

/* Sends a request and returns the job that it makes. */
static struct job request(struct pw *w, struct spate_conn *client)
{
    struct job job = {.engine = w->server.engine};
    assert_int_equal(spate_stream_open(client, false, &job.stream_id), 0);
    assert_int_equal(spate_stream_send(client, job.stream_id, "?", 1, true, 0), 0);
    uint64_t before = w->server.bytes_in;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (w->server.bytes_in == before) {
        assert_true(pw_now_ns() < end_ns);
        pw_turn(w);
    }
    job.conn_id = spate_conn_id(w->server.conn);
    return job;
}

/* The worker is slow: its client has gone, and another one has its place. */
static void an_answer_never_reaches_another_client(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = one_connection});
    struct spate_conn *client = pw_connected(w);
    struct job late = request(w, client);
    struct spate_conn *first = w->server.conn;
    spate_conn_close(client, 0, NULL);
    pw_until(w, all_have_gone);

    client = pw_connected(w);
    struct job job = request(w, client);
    assert_ptr_equal(w->server.conn, first); /* or this test shows nothing */
    assert_int_equal(job.stream_id, late.stream_id);
    assert_int_not_equal(job.conn_id, late.conn_id);
    assert_null(spate_shard_conn(w->server.shard, late.conn_id));
    assert_ptr_equal(spate_shard_conn(w->server.shard, job.conn_id), first);

    let_work(&late);
    pw_for(w, 5000000);
    assert_int_equal(late.ran_count, 1);
    assert_null(late.conn);
    assert_int_equal(w->client.bytes_in, 0);

    let_work(&job);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (w->client.bytes_in < 6 && pw_now_ns() < end_ns)
        pw_turn(w);
    assert_int_equal(job.ran_count, 1);
    assert_ptr_equal(job.conn, first);
    assert_int_equal(w->client.bytes_in, 6);
}

static void look_at_closed(struct pw_end *end, struct spate_event *event)
{
    uint64_t *id = end->context;
    if (event->kind == SPATE_EVENT_CLOSED) /* taken: the pointer is not to be used any more */
        assert_null(spate_shard_conn(end->shard, *id));
    pw_default(end, event);
}

static bool client_is_closed(struct pw *w)
{
    return w->client.closed_count > 0;
}

static void a_handle_ends_when_closed_is_taken(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connect(w);
    uint64_t id = spate_conn_id(conn);
    assert_int_not_equal(id, 0);
    assert_ptr_equal(spate_shard_conn(w->client.shard, id), conn); /* before it is connected */
    w->client.on_event = look_at_closed;
    w->client.context = &id;
    spate_conn_close(conn, 0, NULL);
    assert_ptr_equal(spate_shard_conn(w->client.shard, id), conn);
    pw_until(w, client_is_closed);
    assert_null(spate_shard_conn(w->client.shard, id));
}

static void a_number_that_is_no_handle_names_nothing(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    uint64_t id = spate_conn_id(pw_connected(w));
    const uint64_t wrong[] = {0,         1, id + 1, id ^ UINT64_C(1) << 30, id | UINT64_C(1) << 60,
                              UINT64_MAX};
    struct job job = {.engine = w->client.engine};
    for (size_t i = 0; i < QT_COUNT(wrong); i++)
        assert_null(spate_shard_conn(w->client.shard, wrong[i]));
    assert_int_equal(spate_engine_post_conn(job.engine, 0, answer, &job), -EINVAL);
    assert_int_equal(spate_engine_post_conn(job.engine, 1, answer, &job), -EINVAL);
    assert_int_equal(spate_engine_post_conn(job.engine, UINT64_MAX, answer, &job), -EINVAL);
}

/* ---- Shards ---- */

enum { SHARDS = 2, CONNS = 16 };

struct shards {
    struct pw w; /* its ends are not turned */
    atomic_uint id_count;
    atomic_uint_least64_t ids[2 * CONNS];
    atomic_uint right_count;
    atomic_uint wrong_count;
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
    for (uint32_t i = 0; i < CONNS / SHARDS && result == 0; i++)
        result = spate_shard_connect(shard, (struct sockaddr *)&s->w.address, s->w.address_size,
                                     PW_SERVER_NAME, s->w.client.tls, NULL, &conn, NULL);
    return result;
}

static void keep_ids(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                     void *user)
{
    struct shards *s = user;
    (void)shard;
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].kind != SPATE_EVENT_CONNECTED || spate_conn_is_server(events[i].conn))
            continue;
        uint32_t at = atomic_fetch_add(&s->id_count, 1);
        atomic_store(&s->ids[at], spate_conn_id(events[i].conn));
    }
}

static void check_route(struct spate_shard *shard, struct spate_conn *conn, void *argument)
{
    struct shards *s = argument;
    bool is_right = conn != NULL && spate_conn_shard(conn) == shard &&
                    spate_shard_conn(shard, spate_conn_id(conn)) == conn;
    atomic_fetch_add(is_right ? &s->right_count : &s->wrong_count, 1);
}

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static struct spate_engine *make_shards(void)
{
    struct spate_config config;
    struct spate_engine *engine = NULL;
    spate_config_init(&config);
    config.backend = pw_backend();
    config.shard_count = SHARDS;
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    return owned_add(engine, destroy);
}

static void wait_for(atomic_uint *count, uint32_t least)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (atomic_load(count) < least && pw_now_ns() < end_ns)
        usleep(1000);
    assert_int_equal(atomic_load(count), least);
}

static void a_post_goes_to_the_shard_of_its_connection(void **state)
{
    (void)state;
    static struct shards s;
    (void)owned_add(&s.w, pw_deinit);
    pw_make_tls(&s.w);
    struct spate_engine *server = make_shards();
    struct spate_engine *client = make_shards();
    const struct spate_handlers serve = {
        .size = sizeof(serve), .on_start = listen_at_one_port, .on_events = keep_ids, .user = &s};
    const struct spate_handlers ask = {
        .size = sizeof(ask), .on_start = connect_many, .on_events = keep_ids, .user = &s};
    assert_int_equal(spate_engine_start(server, &serve, NULL), 0);
    assert_int_equal(spate_engine_start(client, &ask, NULL), 0);
    wait_for(&s.id_count, CONNS);
    uint64_t last = 0;
    for (uint32_t i = 0; i < CONNS; i++) {
        while ((last = atomic_load(&s.ids[i])) == 0)
            usleep(100);
        assert_int_equal(spate_engine_post_conn(client, last, check_route, &s), 0);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(atomic_load(&s.ids[k]), last);
    }
    wait_for(&s.right_count, CONNS);
    assert_int_equal(atomic_load(&s.wrong_count), 0);
    spate_engine_stop(client);
    assert_int_equal(spate_engine_post_conn(client, last, check_route, &s), -ESHUTDOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, an_answer_never_reaches_another_client),
        QT_TEST(owned, a_handle_ends_when_closed_is_taken),
        QT_TEST(owned, a_number_that_is_no_handle_names_nothing),
        QT_TEST(owned, a_post_goes_to_the_shard_of_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
