/* SPDX-License-Identifier: MIT */
/* Windows that follow the bandwidth-delay product, through the public API: over real sockets, with
 * a relay in the middle that makes a round trip of 20 ms. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/time.h"

enum { WINDOW = 32768, BYTES = 4000000, MIB = 1 << 20, SLICES_MAX = 4096 };

#define PASS_NS (10 * SB_MS)

static const uint8_t bytes[BYTES];
static uint64_t memory_bytes;

static struct {
    struct spate_conn *conn;
    uint64_t stream_id;
    bool reads; /* the server releases what it gets */
    struct spate_slice slices[SLICES_MAX];
    uint32_t slice_count;
    uint64_t wanted_max;
    uint64_t flight_max; /* bytes that the client had sent and not seen acknowledged */
    uint64_t window_max; /* the most credit that the client had seen, above what was acknowledged */
} run;

static void set(struct spate_config *config)
{
    config->stream_window_bytes = config->conn_window_bytes = WINDOW;
    config->datagram_size_max = 1200;
    if (memory_bytes > 0)
        config->memory_bytes_max = memory_bytes;
}

static void set_client(struct spate_config *config)
{
    config->datagram_size_max = 1200; /* the relay takes no more than 2,000 */
}

static void on_event(struct pw_end *end, struct spate_event *event)
{
    if (event->kind != SPATE_EVENT_STREAM_DATA || run.reads) {
        pw_default(end, event);
        return;
    }
    assert_true(run.slice_count < SLICES_MAX);
    run.slices[run.slice_count++] = event->u.data.slice;
}

static void read_all(struct pw *w)
{
    for (uint32_t i = 0; i < run.slice_count; i++)
        spate_slice_release(w->server.shard, &run.slices[i]);
    run.slice_count = 0;
}

/* Turns for `ns`, or until all has arrived.  The relay passes on what it has every 10 ms. */
static void turn_for(struct pw *w, struct pw_relay *relay, uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns, pass_ns = 0;
    while (pw_now_ns() < end_ns && w->server.bytes_in < BYTES) {
        pw_turn(w);
        if (pw_now_ns() < pass_ns)
            continue;
        pw_relay_pass(relay);
        pass_ns = pw_now_ns() + PASS_NS;
        struct spate_stream_progress progress;
        if (run.conn != NULL && spate_stream_progress(run.conn, run.stream_id, &progress) == 0) {
            uint64_t window = progress.credit_bytes - progress.acked_bytes;
            run.window_max = window > run.window_max ? window : run.window_max;
            uint64_t flight = progress.sent_bytes - progress.acked_bytes;
            run.flight_max = flight > run.flight_max ? flight : run.flight_max;
            struct spate_conn_stats stats;
            spate_conn_stats(run.conn, &stats);
            uint64_t wanted = 2 * stats.cwnd_bytes > 65536 ? 2 * stats.cwnd_bytes : 65536;
            assert_int_equal(progress.wanted_bytes, wanted);
            run.wanted_max = wanted > run.wanted_max ? wanted : run.wanted_max;
        }
    }
}

static struct pw *begin(uint64_t memory, bool reads, struct pw_relay **ret_relay)
{
    memset(&run, 0, sizeof(run));
    memory_bytes = memory;
    run.reads = reads;
    struct pw *w = pw_create(&(struct pw_config){.server = set, .client = set_client});
    struct pw_relay *relay = pw_relay_create(w);
    w->server.on_event = on_event;
    struct spate_conn *conn = pw_connect_through(w, relay);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (w->server.conn == NULL && pw_now_ns() < end_ns)
        turn_for(w, relay, 20 * SB_MS);
    assert_non_null(w->server.conn);
    assert_int_equal(spate_stream_open(conn, true, &run.stream_id), 0);
    assert_int_equal(spate_stream_send(conn, run.stream_id, bytes, BYTES, true, 1), 0);
    run.conn = conn;
    *ret_relay = relay;
    return w;
}

static void a_window_grows_with_the_path(void **state)
{
    (void)state;
    struct pw_relay *relay;
    struct pw *w = begin(0, true, &relay);
    turn_for(w, relay, PW_PATIENCE_NS);
    assert_int_equal(w->server.bytes_in, BYTES);
    print_message("    %lu bytes of credit\n", (unsigned long)run.window_max);
    assert_true(run.window_max >= (uint64_t)3 * WINDOW);
    assert_true(run.wanted_max > 65536); /* what the sender should queue grows too */
}

/* Much longer than a round trip as the server has measured it: on a busy machine that may be long.
 */
static uint64_t slow_ns(const struct pw *w)
{
    struct spate_conn_stats stats;
    spate_conn_stats(w->server.conn, &stats);
    uint64_t least_ns = 100 * SB_MS, rounds_ns = 5 * stats.rtt_smoothed_ns;
    return rounds_ns > least_ns ? rounds_ns : least_ns;
}

/* The bytes that it has not released count; the window stays, and the sender waits. */
static void a_slow_reader_gets_no_more_than_the_first_window(void **state)
{
    (void)state;
    struct pw_relay *relay;
    struct pw *w = begin(0, false, &relay);
    for (uint32_t i = 0; i < 10; i++) {
        turn_for(w, relay, slow_ns(w));
        assert_true(w->server.bytes_in <= (uint64_t)(i + 1) * WINDOW);
        read_all(w);
    }
    assert_true(run.window_max <= (uint64_t)2 * WINDOW);
    run.reads = true;
    turn_for(w, relay, PW_PATIENCE_NS);
    assert_int_equal(w->server.bytes_in, BYTES);
}

/* An eighth of what is left of 1 MiB without its reserve: 96 KiB, of which one gets 8/9. */
static void little_memory_bounds_a_window(void **state)
{
    (void)state;
    struct pw_relay *relay;
    struct pw *w = begin(MIB, true, &relay);
    turn_for(w, relay, PW_PATIENCE_NS);
    assert_int_equal(w->server.bytes_in, BYTES);
    print_message("    %lu bytes in flight\n", (unsigned long)run.flight_max);
    assert_true(run.flight_max <= WINDOW + 96 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_window_grows_with_the_path),
        QT_TEST(owned, a_slow_reader_gets_no_more_than_the_first_window),
        QT_TEST(owned, little_memory_bounds_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
