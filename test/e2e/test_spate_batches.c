/* SPDX-License-Identifier: MIT */
/* Received bytes and messages in batches, over real sockets. */

#include "test/support/spate_world.h"

#include <string.h>

#include "proto/base/time.h"

enum { BYTES = 3000000, HELD_MAX = 2048, MESSAGE_BYTES = 300 };

static uint8_t text[BYTES];

/* What a server has got. */
struct reader {
    uint64_t offset; /* of the stream */
    uint32_t batch_count;
    size_t count_max; /* slices of the largest batch */
    uint32_t fin_count;
    uint32_t single_count; /* STREAM_DATA, DATAGRAM */
    uint32_t placed_count;
    uint32_t message_count;
    uint32_t message_batch_count;
    bool keeps;
    struct spate_slice kept[HELD_MAX];
    uint32_t kept_count;
};

static void read_batch(struct pw_end *end, const struct spate_event *event)
{
    struct reader *r = end->context;
    size_t sum = 0;
    assert_int_equal(event->u.batch.offset, r->offset);
    assert_true(event->u.batch.count > 0 || event->u.batch.fin);
    for (size_t i = 0; i < event->u.batch.count; i++) {
        const struct spate_slice *slice = &event->u.batch.slices[i];
        assert_true(slice->size > 0);
        assert_in_range(r->offset + slice->size, 1, BYTES);
        assert_memory_equal(slice->data, text + r->offset, slice->size);
        r->offset += slice->size;
        sum += slice->size;
        if (r->keeps) {
            assert_true(r->kept_count < HELD_MAX);
            r->kept[r->kept_count++] = *slice;
        }
    }
    assert_int_equal(event->u.batch.size_bytes, sum);
    r->batch_count++;
    r->fin_count += event->u.batch.fin;
    if (event->u.batch.count > r->count_max)
        r->count_max = event->u.batch.count;
    if (!r->keeps)
        spate_slices_release(end->shard, event->u.batch.slices, event->u.batch.count);
}

static void read_messages(struct pw_end *end, const struct spate_event *event)
{
    struct reader *r = end->context;
    assert_true(event->u.batch.count > 0);
    for (size_t i = 0; i < event->u.batch.count; i++) {
        assert_int_equal(event->u.batch.slices[i].size, MESSAGE_BYTES);
        assert_memory_equal(event->u.batch.slices[i].data, text, MESSAGE_BYTES);
    }
    assert_int_equal(event->u.batch.size_bytes, event->u.batch.count * MESSAGE_BYTES);
    r->message_count += (uint32_t)event->u.batch.count;
    r->message_batch_count++;
    spate_slices_release(end->shard, event->u.batch.slices, event->u.batch.count);
}

static void on_event(struct pw_end *end, struct spate_event *event)
{
    struct reader *r = end->context;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_BATCH:
        read_batch(end, event);
        break;
    case SPATE_EVENT_DATAGRAM_BATCH:
        read_messages(end, event);
        break;
    case SPATE_EVENT_STREAM_DATA:
    case SPATE_EVENT_DATAGRAM:
        r->single_count++;
        pw_default(end, event);
        break;
    case SPATE_EVENT_STREAM_PLACED:
        r->placed_count++;
        break;
    default:
        break;
    }
}

static void take_batches(struct spate_config *config)
{
    config->event_batches = true;
    config->message_frame_size_max = 65535;
    config->receive_slots = 1024; /* some tests keep all */
}

static struct reader *reader_create(struct pw_end *end)
{
    struct reader *r = owned_alloc(sizeof(*r));
    end->context = r;
    end->on_event = on_event;
    return r;
}

static struct pw *make(struct reader **ret)
{
    for (size_t i = 0; i < BYTES; i++)
        text[i] = pw_byte(7, i);
    struct pw *w = pw_create(&(struct pw_config){.server = take_batches});
    *ret = reader_create(&w->server);
    return w;
}

static uint64_t upload(struct spate_conn *conn, size_t size, bool fin)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, text, size, fin, 1), 0);
    return id;
}

static bool has_end(struct pw *w)
{
    const struct reader *r = w->server.context;
    return r->fin_count == 1;
}

/* More than all windows together: releasing batches gives credit. */
static void bytes_come_in_order_as_many_slices(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    upload(pw_connected(w), BYTES, true);
    pw_until(w, has_end);
    assert_int_equal(r->offset, BYTES);
    assert_int_equal(r->single_count, 0);
    assert_true(r->count_max > 1);
    assert_in_range(r->batch_count, 2, BYTES / 4000);
}

static void an_empty_end_is_a_batch_of_no_slices(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    struct spate_conn *conn = pw_connected(w);
    uint64_t id = upload(conn, 1000, false);
    pw_for(w, 20 * SB_MS);
    assert_int_equal(r->offset, 1000);
    assert_int_equal(spate_stream_send(conn, id, NULL, 0, true, 1), 0);
    pw_until(w, has_end);
    assert_int_equal(r->offset, 1000);
    assert_int_equal(r->batch_count, 2);
}

/* ---- loss and reordering ---- */

static struct pw_relay *relay;

/* Passes on what has come, of the client's in groups of 8: without the second if it is their turn,
 * the others from the last to the first. */
static void pass_badly(struct pw *w)
{
    enum { GROUP = 8 };
    static uint8_t data[GROUP][PW_DATAGRAM_MAX];
    static uint32_t group_count;
    ssize_t size[GROUP];
    int count = 0;
    (void)w;
    relay->client_size = sizeof(relay->client);
    while (count < GROUP &&
           (size[count] = recvfrom(relay->to_client, data[count], PW_DATAGRAM_MAX, 0,
                                   (struct sockaddr *)&relay->client, &relay->client_size)) > 0)
        count++;
    for (int i = count; i-- > 0;)
        if (i != 1 || ++group_count % 3 != 0)
            (void)send(relay->to_server, data[i], (size_t)size[i], 0);
    pw_relay_pass(relay); /* what the server has sent */
}

static void loss_and_reordering_change_nothing(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    relay = pw_relay_create(w);
    struct spate_conn *conn = pw_connect_through(w, relay);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (w->client.conn == NULL || w->server.conn == NULL) {
        pw_relay_pass(relay);
        pw_turn(w);
        assert_true(pw_now_ns() < end_ns);
    }
    upload(conn, BYTES / 3, true);
    while (r->fin_count == 0) {
        pass_badly(w);
        pw_turn(w);
        assert_true(pw_now_ns() < end_ns);
    }
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    assert_true(stats.packets_lost > 0);
    assert_int_equal(r->offset, BYTES / 3);
    assert_true(r->count_max > 1);
}

/* ---- ownership ---- */

static bool has_a_window(struct pw *w)
{
    const struct reader *r = w->server.context;
    return r->offset >= 1 << 20; /* the credit at the start */
}

static void kept_slices_stay_and_are_released_one_by_one(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    r->keeps = true;
    struct spate_conn *conn = pw_connected(w);
    upload(conn, BYTES, true);
    pw_until(w, has_a_window);
    pw_for(w, 20 * SB_MS);
    assert_int_equal(r->offset, 1 << 20); /* nothing was released */
    uint64_t at = r->offset;
    for (uint32_t i = r->kept_count; i-- > 0;) { /* in any order */
        at -= r->kept[i].size;
        assert_memory_equal(r->kept[i].data, text + at, r->kept[i].size);
        if (i % 2 == 0)
            spate_slice_release(w->server.shard, &r->kept[i]);
        else
            spate_slices_release(w->server.shard, &r->kept[i], 1);
    }
    spate_slices_release(w->server.shard, NULL, 0);
    r->keeps = false;
    pw_until(w, has_end);
    assert_int_equal(r->offset, BYTES);
}

static bool is_closed(struct pw *w)
{
    return w->server.closed_count == 1;
}

static void slices_may_be_released_after_the_connection(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    r->keeps = true;
    struct spate_conn *conn = pw_connected(w);
    upload(conn, 100000, true);
    pw_until(w, has_end);
    spate_conn_close(conn, 0, NULL);
    pw_until(w, is_closed);
    uint64_t at = 0;
    for (uint32_t i = 0; i < r->kept_count; at += r->kept[i++].size)
        assert_memory_equal(r->kept[i].data, text + at, r->kept[i].size);
    spate_slices_release(w->server.shard, r->kept, r->kept_count);
}

/* Runs turns of the server, and takes no event. */
static void let_queue(struct pw *w, uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns;
    while (pw_now_ns() < end_ns) {
        pw_wait(&w->client, 0);
        assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
    }
}

/* Opens a stream of the client; its batches wait in the server's queue. */
static uint64_t queue_batches(struct pw *w, struct spate_conn *conn)
{
    struct spate_event event;
    uint64_t id = upload(conn, BYTES / 4, true);
    let_queue(w, 5 * SB_MS);
    while (spate_shard_events(w->server.shard, &event, 1) == 0)
        pw_wait(&w->client, 0);
    assert_int_equal(event.kind, SPATE_EVENT_STREAM_OPENED);
    let_queue(w, 20 * SB_MS);
    return id;
}

static void a_stop_drops_queued_batches(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    struct spate_conn *conn = pw_connected(w);
    for (int i = 0; i < 10; i++) { /* the credit of all of them comes back */
        struct spate_event event;
        uint64_t id = queue_batches(w, conn);
        assert_int_equal(spate_shard_events(w->server.shard, &event, 1), 1);
        assert_int_equal(event.kind, SPATE_EVENT_STREAM_BATCH);
        assert_int_equal(event.stream_id, id);
        assert_memory_equal(event.u.batch.slices[0].data, text, event.u.batch.slices[0].size);
        spate_slices_release(w->server.shard, event.u.batch.slices, event.u.batch.count);
        (void)spate_stream_stop(event.conn, id, 5);
        (void)spate_stream_reset(event.conn, id, 5);
        while (spate_shard_events(w->server.shard, &event, 1) > 0)
            assert_int_not_equal(event.kind, SPATE_EVENT_STREAM_BATCH);
        pw_for(w, 5 * SB_MS);
    }
    r->offset = 0;
    upload(conn, BYTES, true);
    pw_until(w, has_end);
}

static void an_engine_ends_with_batches_that_nobody_took(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    (void)queue_batches(w, pw_connected(w)); /* the tear-down looks for leaks */
    assert_true(spate_shard_turn(w->server.shard, 0) > 0);
}

static void lent_memory_is_reported_as_before(void **state)
{
    (void)state;
    static uint8_t buffer[50000];
    struct reader *r;
    struct pw *w = make(&r);
    struct spate_conn *conn = pw_connected(w);
    struct spate_event event;
    uint64_t id = upload(conn, sizeof(buffer), true);
    do {
        pw_wait(&w->client, 0);
        assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
    } while (spate_shard_events(w->server.shard, &event, 1) == 0);
    assert_int_equal(event.kind, SPATE_EVENT_STREAM_OPENED);
    assert_int_equal(spate_stream_receive_into(event.conn, id, buffer, sizeof(buffer), 0, NULL), 0);
    pw_for(w, 30 * SB_MS);
    assert_memory_equal(buffer, text, sizeof(buffer));
    assert_true(r->placed_count > 0);
    assert_int_equal(r->batch_count + r->single_count, 0);
}

/* ---- messages ---- */

static bool has_messages(struct pw *w)
{
    const struct reader *r = w->server.context;
    return r->message_count == 500;
}

static void messages_come_in_batches(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    struct spate_conn *conn = pw_connected(w);
    for (int i = 0; i < 500; i++)
        assert_int_equal(spate_conn_datagram_send(conn, text, MESSAGE_BYTES, 0, SPATE_FOREVER,
                                                  SPATE_DATAGRAM_SILENT),
                         0);
    upload(conn, BYTES / 4, true);
    pw_until(w, has_messages);
    pw_until(w, has_end);
    assert_int_equal(r->single_count, 0);
    assert_in_range(r->message_batch_count, 1, 250);
}

/* ---- one connection ---- */

static bool has_any_end(struct pw *w)
{
    return w->server.fin_count > 0;
}

static void batches_are_a_setting_of_connections(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    struct spate_config config;
    struct spate_settings *plain;
    struct spate_conn *before = pw_connected(w);
    spate_engine_config(w->server.engine, &config);
    config.event_batches = false;
    assert_int_equal(spate_settings_create(w->server.engine, &config, &plain, NULL), 0);
    spate_listener_set_settings(w->listener, plain);
    spate_settings_destroy(plain);
    struct spate_conn *after = pw_connected(w);
    upload(after, 50000, true);
    pw_until(w, has_any_end);
    assert_int_equal(r->batch_count, 0);
    assert_true(r->single_count > 0);
    r->single_count = 0;
    upload(before, 50000, true);
    pw_until(w, has_end);
    assert_int_equal(r->single_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, bytes_come_in_order_as_many_slices),
        QT_TEST(owned, an_empty_end_is_a_batch_of_no_slices),
        QT_TEST(owned, loss_and_reordering_change_nothing),
        QT_TEST(owned, kept_slices_stay_and_are_released_one_by_one),
        QT_TEST(owned, slices_may_be_released_after_the_connection),
        QT_TEST(owned, a_stop_drops_queued_batches),
        QT_TEST(owned, an_engine_ends_with_batches_that_nobody_took),
        QT_TEST(owned, lent_memory_is_reported_as_before),
        QT_TEST(owned, messages_come_in_batches),
        QT_TEST(owned, batches_are_a_setting_of_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
