/* SPDX-License-Identifier: MIT */
/* Where the microseconds go: the histograms of a shard and the counters by name, through the public
 * API, over real sockets. */

#include "test/support/spate_world.h"

#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 300, SIZE = 200, BULK = 4000000 };

#define S_NS UINT64_C(1000000000)

static const uint8_t bytes[BULK];

/* The server answers each request with as many bytes. */
static void echo(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA && event->u.data.fin)
        assert_int_equal(spate_stream_send(event->conn, event->stream_id, bytes, SIZE, true, 0), 0);
    pw_default(end, event);
}

static void stamp(struct spate_config *config)
{
    config->receive_stamps = true;
}

static const struct spate_histogram *histogram_of(const struct pw_end *end, const char *name)
{
    const char *own;
    for (uint32_t i = 0; (own = spate_shard_histogram_name(i)) != NULL; i++)
        if (strcmp(own, name) == 0)
            return spate_shard_histogram(end->shard, i);
    fail_msg("there is no %s", name);
    return NULL;
}

static bool has_answers(struct pw *w)
{
    return w->client.fin_count >= REQUESTS;
}

static bool has_bulk(struct pw *w)
{
    return w->server.bytes_in >= BULK;
}

static void run_requests(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    w->server.on_event = echo;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint64_t id;
        assert_int_equal(spate_stream_open(conn, false, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, bytes, SIZE, true, 0), 0);
        pw_turn(w);
    }
    pw_until(w, has_answers);
}

static void assert_sound(const char *name, const struct spate_histogram *h)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < SPATE_HISTOGRAM_BUCKET_COUNT; i++)
        sum += h->counts[i];
    print_message("    %-18s %6lu  p50 %8lu  p99 %8lu  max %8lu\n", name, (unsigned long)h->count,
                  (unsigned long)spate_histogram_percentile(h, 50),
                  (unsigned long)spate_histogram_percentile(h, 99), (unsigned long)h->max);
    assert_int_equal(sum, h->count);
    assert_true(h->count > 0);
    assert_true(h->min <= h->max);
    assert_true(h->max < S_NS);
}

/* Which stage a turn has is a matter of what it did; what is counted elsewhere too must agree. */
static void each_stage_of_requests_is_recorded(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = stamp});
    run_requests(w);
    const char *name;
    uint32_t count = 0;
    for (; (name = spate_shard_histogram_name(count)) != NULL; count++)
        assert_sound(name, spate_shard_histogram(w->server.shard, count));
    assert_int_equal(count, 10);
    assert_null(spate_shard_histogram(w->server.shard, count));
    assert_null(spate_shard_histogram(w->server.shard, UINT32_MAX));

    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(histogram_of(&w->server, "receive_ns")->count, stats.receives);
    assert_int_equal(histogram_of(&w->server, "train_datagrams")->count, stats.sends);
    assert_int_equal(histogram_of(&w->server, "train_datagrams")->sum, stats.datagrams_out);
    assert_int_equal(histogram_of(&w->server, "turn_ns")->max, stats.turn_longest_ns);
    assert_true(histogram_of(&w->server, "seal_ns")->count <= stats.turns);
    assert_true(histogram_of(&w->server, "acknowledge_ns")->count <= stats.acks_in);
    assert_true(histogram_of(&w->server, "answer_ns")->count >= REQUESTS / 40);
    assert_int_equal(histogram_of(&w->client, "receive_ns")->count, 0); /* not asked for */
}

static void trains_of_bulk_are_long_and_histograms_of_both_sides_add(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, BULK, true, 0), 0);
    pw_until(w, has_bulk);
    const struct spate_histogram *client = histogram_of(&w->client, "train_datagrams");
    const struct spate_histogram *server = histogram_of(&w->server, "train_datagrams");
    assert_true(client->max > 8);

    struct spate_histogram *sum = owned_alloc(sizeof(*sum));
    spate_histogram_init(sum);
    spate_histogram_add(sum, client);
    spate_histogram_add(sum, server);
    assert_int_equal(sum->count, client->count + server->count);
    assert_int_equal(sum->sum, client->sum + server->sum);
    assert_int_equal(sum->max, client->max > server->max ? client->max : server->max);
    assert_int_equal(spate_histogram_percentile(sum, 100), sum->max);
}

static uint64_t value_at(const void *stats, uint32_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)stats + offset, sizeof(value));
    return value;
}

static const struct spate_counter *find(const struct spate_counter *counters, size_t count,
                                        const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(counters[i].name, name) == 0)
            return &counters[i];
    fail_msg("there is no %s", name);
    return NULL;
}

static void counters_can_be_read_by_name(void **state)
{
    (void)state;
    struct spate_counter counters[256];
    struct pw *w = pw_create(NULL);
    run_requests(w);

    size_t count = spate_shard_counters(counters, 256);
    assert_int_equal(count, sizeof(struct spate_shard_stats) / sizeof(uint64_t));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(counters[i].offset, i * sizeof(uint64_t));
    struct spate_shard_stats stats = pw_stats(&w->server);
    const struct spate_counter *turns = find(counters, count, "turns");
    assert_int_equal(value_at(&stats, turns->offset), stats.turns);
    assert_false(turns->is_gauge);
    assert_string_equal(turns->unit, "");
    assert_true(find(counters, count, "conns_now")->is_gauge);
    assert_string_equal(find(counters, count, "turn_longest_ns")->unit, "ns");
    assert_string_equal(find(counters, count, "memory_bytes_now")->unit, "bytes");

    struct spate_conn_stats conn_stats;
    spate_conn_stats(w->server.conn, &conn_stats);
    count = spate_conn_counters(counters, 256);
    assert_int_equal(count, sizeof(conn_stats) / sizeof(uint64_t));
    const struct spate_counter *packets = find(counters, count, "packets_in");
    assert_int_equal(value_at(&conn_stats, packets->offset), conn_stats.packets_in);
    assert_false(find(counters, count, "waited_cwnd_ns")->is_gauge);
    assert_true(find(counters, count, "waits_for")->is_gauge);
    assert_string_equal(find(counters, count, "pacing_rate")->unit, "bytes/s");
}

static void fewer_counters_than_there_are_can_be_asked_for(void **state)
{
    (void)state;
    struct spate_counter two[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
    assert_true(spate_shard_counters(NULL, 0) > 60);
    assert_true(spate_shard_counters(two, 2) > 60);
    assert_string_equal(two[0].name, "turns");
    assert_string_equal(two[2].name, "c");
    /* A program that was built when an entry had a name alone. */
    const char *names[3] = {"a", "b", "c"};
    assert_true(spate_shard_counters_sized((struct spate_counter *)names, 2, sizeof(names[0])) >
                60);
    assert_string_equal(names[1], "syscalls");
    assert_string_equal(names[2], "c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_stage_of_requests_is_recorded),
        QT_TEST(owned, trains_of_bulk_are_long_and_histograms_of_both_sides_add),
        QT_TEST(owned, counters_can_be_read_by_name),
        QT_TEST(owned, fewer_counters_than_there_are_can_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
