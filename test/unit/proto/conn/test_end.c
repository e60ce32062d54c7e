/* SPDX-License-Identifier: MIT */
/* How a connection ends: nothing acknowledged is lost, and every stream is reported as closed. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "test/support/place_world.h"

QT_FIXTURE(place_world, place_end)

/* ---- Bytes that wait for memory ---- */

enum ending {
    ENDING_PEER_CLOSE,
    ENDING_IDLE,
    ENDING_STATELESS_RESET,
    ENDING_PEER_ERROR, /* the peer breaks the protocol */
    ENDING_OWN_CLOSE,
    ENDINGS,
};

static bool is_ours(enum ending ending)
{
    return ending == ENDING_PEER_ERROR || ending == ENDING_OWN_CLOSE;
}

static void end_it(struct place_world *world, enum ending ending)
{
    static const uint8_t close[] = {SP_FRAME_CONNECTION_CLOSE_APP, 1, 0};
    static const uint8_t no_frame[] = {0x20};
    struct sp_conn *server = place_server(world);
    switch (ending) {
    case ENDING_PEER_CLOSE:
        pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, close, sizeof(close), PAIR_FAULT_NONE);
        break;
    case ENDING_IDLE:
        world->pair.now_ns += 1000 * SB_S;
        sp_conn_on_deadline(server, world->pair.now_ns);
        break;
    case ENDING_STATELESS_RESET:
        sp_conn_on_stateless_reset(server, world->pair.now_ns);
        break;
    case ENDING_PEER_ERROR:
        pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, no_frame, sizeof(no_frame),
                    PAIR_FAULT_NONE);
        break;
    case ENDING_OWN_CLOSE:
    case ENDINGS:
        sp_conn_close(server, 0, NULL, 0, world->pair.now_ns);
        break;
    }
}

static void bytes_that_wait_for_memory_come_before_the_end(void **state)
{
    struct place_world *world = *state;
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        place_begin(world);
        assert_int_equal(place_lend(world, 1000), SP_DONE);
        place_inject(world, 0, 1500, 0);
        place_inject(world, 1500, 1500, PLACE_FIN);
        place_pull(world);
        assert_int_equal(world->delivered_end, 1000);

        end_it(world, ending);
        place_pull(world);
        assert_true(world->is_closed);
        bool is_kept = !is_ours(ending);
        assert_int_equal(world->delivered_end, is_kept ? 3000 : 1000);
        assert_int_equal(world->sliced_bytes, is_kept ? 2000 : 0);
        assert_int_equal(world->fin, is_kept);
        assert_int_equal(place_server(world)->pieces.count, 0);
    }
}

/* Memory that is lent and not full comes back first, then slices would follow: but only bytes in
 * order are delivered. */
static void bytes_behind_a_gap_stay_undelivered(void **state)
{
    struct place_world *world = *state;
    place_begin(world);
    assert_int_equal(place_lend(world, 1000), SP_DONE);
    place_inject(world, 0, 900, 0);
    place_inject(world, 1000, 500, 0);
    end_it(world, ENDING_PEER_CLOSE);
    place_pull(world);
    assert_true(world->is_closed);
    assert_int_equal(world->returned_count, 1);
    assert_int_equal(world->delivered_end, 900);
    assert_int_equal(world->sliced_bytes, 0);
}

/* ---- Streams ---- */

enum { STREAMS = 5 };

struct seen {
    uint32_t opened;
    uint32_t closed;
    bool conn_closed;
    bool conn_drained;
};

static void flush(struct conn_pair *pair)
{
    size_t size;
    (void)pair_flush(pair, SP_SERVER, &size);
}

static void take(struct conn_pair *pair, struct seen *seen)
{
    struct sp_event event;
    while (sp_conn_next_event(pair_conn(pair, SP_SERVER), &event)) {
        switch (event.kind) {
        case SP_EVENT_STREAM_OPENED:
            seen->opened++;
            break;
        case SP_EVENT_STREAM_DATA:
            sb_buffer_unref(event.data.slice.buffer);
            break;
        case SP_EVENT_STREAM_CLOSED:
            assert_false(seen->conn_closed);
            seen->closed++;
            break;
        case SP_EVENT_CLOSED:
            seen->conn_closed = true;
            break;
        case SP_EVENT_DRAINED:
            seen->conn_drained = true;
            break;
        default:
            break;
        }
    }
}

static void open_by_peer(struct place_world *world, uint32_t index)
{
    const uint8_t frame[] = {SP_FRAME_STREAM | SP_STREAM_LEN, (uint8_t)(index * 4), 1, 'x'};
    pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE);
}

static void every_open_stream_is_closed_before_the_connection(void **state)
{
    struct place_world *world = *state;
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        struct seen seen = {0};
        uint64_t id;
        place_begin(world); /* the peer's stream 0 has been announced */
        open_by_peer(world, STREAMS - 1);
        take(&world->pair, &seen);
        assert_int_equal(seen.opened, STREAMS - 1);
        assert_int_equal(sp_conn_open(place_server(world), true, &id), SP_DONE);
        assert_int_equal(seen.closed, 0);

        end_it(world, ending);
        flush(&world->pair); /* a CONNECTION_CLOSE, if there is one */
        take(&world->pair, &seen);
        assert_true(seen.conn_closed);
        assert_int_equal(seen.closed, STREAMS + 1);
        assert_int_equal(world->pair.pools.streams.used_count, 0);
        assert_int_equal(sp_conn_stream_set_user(place_server(world), id, world), SP_GONE);
    }
}

/* Streams that came with the end are announced with their bytes; after our own close they never
 * were there. */
static void a_stream_that_was_never_announced_is_not_closed_either(void **state)
{
    struct place_world *world = *state;
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        struct seen seen = {0};
        place_begin(world);
        open_by_peer(world, STREAMS - 1);
        end_it(world, ending);
        flush(&world->pair); /* a CONNECTION_CLOSE, if there is one */
        take(&world->pair, &seen);
        assert_true(seen.conn_closed);
        uint32_t more = is_ours(ending) ? 0 : 1; /* the one with a frame of its own */
        assert_int_equal(seen.opened, more);
        assert_int_equal(seen.closed, 1 + more);
        assert_int_equal(world->pair.pools.streams.used_count, 0);
    }
}

/* ---- The CONNECTION_CLOSE ---- */

static void our_end_is_reported_after_the_close_has_left(void **state)
{
    struct place_world *world = *state;
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        struct seen seen = {0};
        place_begin(world);
        end_it(world, ending);
        take(&world->pair, &seen);
        assert_int_equal(seen.closed, 1); /* this need not wait */
        assert_int_equal(seen.conn_closed, !is_ours(ending));
        flush(&world->pair);
        take(&world->pair, &seen);
        assert_true(seen.conn_closed);
    }
}

/* Nothing can leave for longer than a connection closes.  The peer hears of it all the same, and
 * the time to close begins then. */
static void a_close_leaves_as_late_as_the_host_can_send(void **state)
{
    struct place_world *world = *state;
    struct seen seen = {0};
    place_begin(world);
    struct sp_conn *server = place_server(world);
    end_it(world, ENDING_OWN_CLOSE);
    uint64_t close_ns = sp_conn_deadline_ns(server) - world->pair.now_ns;
    world->pair.now_ns = sp_conn_deadline_ns(server);
    sp_conn_on_deadline(server, world->pair.now_ns);
    take(&world->pair, &seen);
    assert_false(seen.conn_closed);
    uint64_t until_ns = sp_conn_deadline_ns(server);
    world->pair.now_ns = until_ns - 1;
    sp_conn_on_deadline(server, world->pair.now_ns);
    size_t size;
    assert_int_equal(pair_flush(&world->pair, SP_SERVER, &size),
                     1); /* it has nothing else to say */
    take(&world->pair, &seen);
    assert_true(seen.conn_closed);
    assert_false(seen.conn_drained);
    assert_in_range(sp_conn_deadline_ns(server) - world->pair.now_ns, close_ns / 2, 2 * close_ns);
    world->pair.now_ns = sp_conn_deadline_ns(server);
    sp_conn_on_deadline(server, world->pair.now_ns);
    take(&world->pair, &seen);
    assert_true(seen.conn_drained);
}

/* A host that never lets it out learns of the end when the peer has given up, too. */
static void a_close_that_never_leaves_is_reported_at_last(void **state)
{
    struct place_world *world = *state;
    struct seen seen = {0};
    place_begin(world);
    struct sp_conn *server = place_server(world);
    uint64_t idle_ns = server->idle_from_ns + server->idle_timeout_ns;
    end_it(world, ENDING_OWN_CLOSE);
    for (uint32_t i = 0; i < 2; i++) {
        take(&world->pair, &seen);
        assert_false(seen.conn_closed);
        world->pair.now_ns = sp_conn_deadline_ns(server);
        sp_conn_on_deadline(server, world->pair.now_ns);
    }
    take(&world->pair, &seen);
    assert_true(seen.conn_closed);
    assert_true(seen.conn_drained);
    assert_true(world->pair.now_ns <= SB_MAX(idle_ns, SP_END_UNSENT_NS_MAX + SB_S));
}

/* Whoever has not proven its address may keep nothing of us for longer. */
static void a_close_that_may_not_be_sent_waits_no_longer(void **state)
{
    struct place_world *world = *state;
    struct seen seen = {0};
    place_begin(world);
    struct sp_conn *server = place_server(world);
    server->path->is_valid = false;
    server->path->bytes_out = SP_AMPLIFICATION_FACTOR * server->path->bytes_in;
    end_it(world, ENDING_OWN_CLOSE);
    world->pair.now_ns = sp_conn_deadline_ns(server);
    sp_conn_on_deadline(server, world->pair.now_ns);
    take(&world->pair, &seen);
    assert_true(seen.conn_drained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(place_world, bytes_that_wait_for_memory_come_before_the_end),
        QT_TEST(place_world, bytes_behind_a_gap_stay_undelivered),
        QT_TEST(place_world, every_open_stream_is_closed_before_the_connection),
        QT_TEST(place_world, a_stream_that_was_never_announced_is_not_closed_either),
        QT_TEST(place_world, our_end_is_reported_after_the_close_has_left),
        QT_TEST(place_world, a_close_leaves_as_late_as_the_host_can_send),
        QT_TEST(place_world, a_close_that_never_leaves_is_reported_at_last),
        QT_TEST(place_world, a_close_that_may_not_be_sent_waits_no_longer),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
