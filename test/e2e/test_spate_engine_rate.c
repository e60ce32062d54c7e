/* SPDX-License-Identifier: MIT */
/* The rate limit of an engine of two shards, through the public API, over real sockets. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>

#include "proto/base/time.h"

enum { SHARDS = 2, CONNS = 16, BYTES = 60000000, RATE = 8000000, LOW_RATE = 1000 };

/* Connections that begin in each shard. */
static const uint32_t spread[SHARDS] = {4, 12};

static const uint8_t bytes[BYTES];

struct flow {
    struct spate_conn *conn;
    uint64_t before;
};

static struct spate_shard *shards[SHARDS];
static struct flow flows[CONNS];

static void set(struct spate_config *config)
{
    config->shard_count = SHARDS;
    config->engine_rate_bytes_per_s_max = RATE;
    config->datagram_size_max = 1200; /* probes of the path MTU are not counted */
}

/* The client's second shard, in turns with all else. */
static void turn(struct pw *w)
{
    struct spate_event events[32];
    uint32_t count;
    pw_turn(w);
    assert_true(spate_shard_turn(shards[1], 0) >= 0);
    while ((count = spate_shard_events(shards[1], events, QT_COUNT(events))) > 0)
        for (uint32_t i = 0; i < count; i++)
            assert_int_not_equal(events[i].kind, SPATE_EVENT_CLOSED);
}

/* Returns the part of the time in which the shards ran often enough to send all that they may: what
 * is not sent for 2 ms is lost, and a machine that others use runs them later than that. */
static uint64_t turn_for(struct pw *w, uint64_t ns)
{
    uint64_t start_ns = pw_now_ns(), now_ns = start_ns, used_ns = 0;
    while (now_ns < start_ns + ns) {
        turn(w);
        uint64_t before_ns = now_ns;
        now_ns = pw_now_ns();
        if (now_ns - before_ns < SB_MS)
            used_ns += now_ns - before_ns;
    }
    return used_ns;
}

static uint64_t bytes_out(const struct spate_conn *conn)
{
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    return stats.bytes_out;
}

static struct pw *begin(void)
{
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    uint32_t made = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        shards[i] = spate_engine_shard(w->client.engine, i);
        for (uint32_t k = 0; k < spread[i]; k++, made++)
            assert_int_equal(spate_shard_connect(shards[i], (struct sockaddr *)&w->address,
                                                 w->address_size, PW_SERVER_NAME, w->client.tls,
                                                 NULL, &flows[made].conn, NULL),
                             0);
    }
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (w->server.connected_count < CONNS && pw_now_ns() < end_ns)
        turn(w);
    assert_int_equal(w->server.connected_count, CONNS);
    (void)turn_for(w, 20 * SB_MS);
    for (uint32_t i = 0; i < CONNS; i++) {
        uint64_t id;
        assert_int_equal(spate_stream_open(flows[i].conn, true, &id), 0);
        assert_int_equal(spate_stream_send(flows[i].conn, id, bytes, BYTES, true, 1), 0);
    }
    return w;
}

struct figures {
    uint64_t sent, allowed, due;
    double jain;
};

static struct figures measure(struct pw *w, uint64_t ns, uint64_t limit)
{
    struct figures ret = {0};
    double squares = 0;
    for (uint32_t i = 0; i < CONNS; i++)
        flows[i].before = bytes_out(flows[i].conn);
    uint64_t start_ns = pw_now_ns();
    uint64_t used_ns = turn_for(w, ns);
    ret.allowed = limit * (pw_now_ns() - start_ns) / SB_S;
    ret.due = limit * used_ns / SB_S;
    for (uint32_t i = 0; i < CONNS; i++) {
        uint64_t sent = bytes_out(flows[i].conn) - flows[i].before;
        ret.sent += sent;
        squares += (double)sent * (double)sent;
    }
    ret.jain = (double)ret.sent * (double)ret.sent / (CONNS * squares);
    print_message("    %lu bytes; %lu to %lu; Jain's index %.4f\n", (unsigned long)ret.sent,
                  (unsigned long)ret.due, (unsigned long)ret.allowed, ret.jain);
    return ret;
}

/* Never more than the limit, and all of it.  Chance may disturb some of the measurements. */
static void shards_keep_the_limit_of_their_engine(void **state)
{
    (void)state;
    static const uint64_t limits[] = {RATE, 4 * RATE};
    struct pw *w = begin();
    for (size_t i = 0; i < QT_COUNT(limits); i++) {
        if (i > 0) /* changed while they send */
            assert_int_equal(spate_engine_set_rate_limit(w->client.engine, limits[i]), 0);
        (void)turn_for(w, 300 * SB_MS);
        bool is_reached = false;
        for (uint32_t k = 0; k < 20 && !is_reached; k++) {
            struct figures f = measure(w, 500 * SB_MS, limits[i]);
            assert_true(f.sent <= f.allowed + f.allowed / 100 + limits[i] / 500);
            is_reached = f.sent >= f.due - f.due / 100 && f.jain >= 0.99;
        }
        assert_true(is_reached);
    }

    /* Almost nothing, then all at once, also for those that stand in line. */
    assert_int_equal(spate_engine_set_rate_limit(w->client.engine, LOW_RATE), 0);
    (void)turn_for(w, 50 * SB_MS);
    assert_true(measure(w, 200 * SB_MS, LOW_RATE).sent <= 8 * 1200);
    assert_int_equal(spate_engine_set_rate_limit(w->client.engine, 0), 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint64_t wanted = w->server.bytes_in + (uint64_t)100 * 1000 * 1000;
    while (w->server.bytes_in < wanted && pw_now_ns() < end_ns)
        turn(w);
    assert_true(w->server.bytes_in >= wanted);
}

static void what_is_out_of_range_is_refused(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){0});
    static const uint64_t wrong[] = {1, 999, UINT64_C(125000000001), UINT64_MAX};
    for (size_t i = 0; i < QT_COUNT(wrong); i++)
        assert_int_equal(spate_engine_set_rate_limit(w->client.engine, wrong[i]), -EINVAL);
    assert_int_equal(spate_engine_set_rate_limit(w->client.engine, UINT64_C(125000000000)), 0);
    struct spate_config config;
    struct spate_engine *engine = NULL;
    struct spate_error error;
    spate_config_init(&config);
    config.engine_rate_bytes_per_s_max = 999;
    assert_int_equal(spate_engine_create(&config, &engine, &error), -EINVAL);
    assert_non_null(strstr(error.text, "engine_rate_bytes_per_s_max is 999, must be 1000 to"));
    spate_engine_config(w->client.engine, &config);
    config.engine_rate_bytes_per_s_max = RATE; /* not a setting of connections */
    struct spate_settings *settings;
    assert_int_equal(spate_settings_create(w->client.engine, &config, &settings, &error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, shards_keep_the_limit_of_their_engine),
        QT_TEST(owned, what_is_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
