/* SPDX-License-Identifier: MIT */
/* Received bytes as single events: all of them, in order, and one end of each stream. */

#include "test/support/spate_world.h"

#include "proto/base/time.h"

enum { BYTES = 700000, STREAMS_MAX = 64 };

static uint8_t text[BYTES];

/* What a server has got. */
struct reader {
    uint64_t offsets[STREAMS_MAX]; /* by the index of the stream */
    uint32_t data_count;
    uint32_t fin_count;
};

static void read_data(struct pw_end *end, struct spate_event *event)
{
    struct reader *r = end->context;
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    const struct spate_slice *slice = &event->u.data.slice;
    uint64_t index = event->stream_id >> 2;
    assert_true(index < STREAMS_MAX);
    assert_int_equal(event->u.data.offset, r->offsets[index]);
    assert_true(slice->size > 0 || event->u.data.fin);
    assert_int_equal(slice->stream_id, event->stream_id);
    assert_in_range(r->offsets[index] + slice->size, 1, BYTES);
    assert_memory_equal(slice->data, text + r->offsets[index], slice->size);
    r->offsets[index] += slice->size;
    r->data_count++;
    r->fin_count += event->u.data.fin;
    spate_slice_release(end->shard, &event->u.data.slice);
}

static void send_small_datagrams(struct spate_config *config)
{
    config->datagram_size_max = 1472;
}

/* Of our own cipher a train would be one slice. */
static void make_small_slices(struct spate_config *config)
{
    config->crypto = SPATE_CRYPTO_OPENSSL;
}

static struct pw *make(struct reader **ret)
{
    for (size_t i = 0; i < BYTES; i++)
        text[i] = pw_byte(7, i);
    struct pw *w =
        pw_create(&(struct pw_config){.client = send_small_datagrams, .server = make_small_slices});
    *ret = owned_alloc(sizeof(**ret));
    w->server.context = *ret;
    w->server.on_event = read_data;
    return w;
}

static void upload(struct spate_conn *conn, size_t size)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, text, size, true, 1), 0);
}

static uint32_t wanted_fins;

static bool has_all_ends(struct pw *w)
{
    const struct reader *r = w->server.context;
    return r->fin_count == wanted_fins;
}

/* Slices are taken in steps of 32: streams of 28 to 37 of them, a third of one apart. */
static void a_stream_of_any_number_of_slices_ends_once(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    struct spate_conn *conn = pw_connected(w);
    for (uint32_t i = 0; i < 30; i++) {
        size_t size = 40000 + 450 * (size_t)i;
        upload(conn, size);
        wanted_fins = i + 1;
        pw_until(w, has_all_ends);
        assert_int_equal(r->offsets[i], size);
    }
    pw_for(w, 5 * SB_MS);
    assert_int_equal(r->fin_count, 30);
    assert_true(r->data_count > 30 * 20);
}

/* Fewer places in the queue of events than slices. */
static void what_finds_no_room_among_the_events_follows(void **state)
{
    (void)state;
    struct reader *r;
    struct pw *w = make(&r);
    struct spate_conn *conn = pw_connected(w);
    wanted_fins = 3;
    for (uint32_t i = 0; i < wanted_fins; i++)
        upload(conn, 220000 + 1000 * (size_t)i);
    uint64_t end_ns = pw_now_ns() + 30 * SB_MS;
    while (pw_now_ns() < end_ns) { /* nobody takes events */
        pw_wait(&w->client, 0);
        assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
    }
    pw_until(w, has_all_ends);
    for (uint32_t i = 0; i < wanted_fins; i++)
        assert_int_equal(r->offsets[i], 220000 + 1000 * i);
    assert_true(r->data_count > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_stream_of_any_number_of_slices_ends_once),
        QT_TEST(owned, what_finds_no_room_among_the_events_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
