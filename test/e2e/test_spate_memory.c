/* SPDX-License-Identifier: MIT */
/* No memory is asked for once a shard is warm: not by us, not by OpenSSL, not by the C library.
 *
 * Each load first runs over half as many connections again as it has later, rr with as many
 * requests at once as there may be, so that the pools have seen more than they will; and then for
 * its packets, with every request of the thread counted that runs both shards. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdio.h>

#include "test/support/allocations.h"
#include "test/support/lossy_relay.h"

enum {
    PACKETS_WARM = 100000,
    PACKETS = 1000000,
    PACKETS_WITH_LOSS = 400000, /* they take longer */
    CONNS_MAX = 60,             /* while it gets warm */
    PIECE_SIZE = 256 * 1024,
    PIECES = 4,             /* lent at a time, a connection */
    RR_INFLIGHT_WARM = 100, /* all that the peer allows, while it gets warm */
    REQUEST_SIZE = 64,
    RESPONSE_SIZE = 1024,
    SEED = 20240229,
};

static uint8_t payload[PIECE_SIZE];

/* What is moved, and over how many connections. */
struct load {
    uint32_t packet_count;
    uint32_t conn_count;
    uint32_t inflight; /* rr: requests at once on a connection */
    uint32_t loss_per_thousand;
    void (*begin)(struct spate_conn *conn);
    void (*server)(struct pw_end *end, struct spate_event *event);
    void (*client)(struct pw_end *end, struct spate_event *event);
};

static const struct load *now;
static bool is_warm;

/* ---- bulk: one stream a connection, up, without an end ---- */

static void bulk_begin(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    for (int i = 0; i < PIECES; i++)
        assert_int_equal(spate_stream_send(conn, id, payload, PIECE_SIZE, false, 0), 0);
}

static void bulk_client(struct pw_end *end, struct spate_event *event)
{
    /* It fails only on a connection that was closed when it was warm. */
    if (event->kind == SPATE_EVENT_SENT && event->u.sent.is_acked)
        (void)spate_stream_send(event->conn, event->stream_id, payload, PIECE_SIZE, false, 0);
    pw_default(end, event);
}

/* ---- rr: a stream a request ---- */

/* Opens streams until as many as wanted are open, or as the peer allows. */
static void rr_top_up(struct spate_conn *conn, uint32_t *open_count)
{
    uint32_t wanted = is_warm ? now->inflight : RR_INFLIGHT_WARM;
    while (*open_count < wanted) {
        uint64_t id;
        int result = spate_stream_open(conn, false, &id);
        if (result == -ENOTCONN || result == -EAGAIN)
            return; /* closed when it was warm; or STREAMS_AVAILABLE will come */
        assert_int_equal(result, 0);
        assert_int_equal(spate_stream_send(conn, id, payload, REQUEST_SIZE, true, 0), 0);
        (*open_count)++;
    }
}

static void rr_begin(struct spate_conn *conn)
{
    static uint32_t open_counts[CONNS_MAX];
    static uint32_t used;
    uint32_t *open_count = &open_counts[used++];
    spate_conn_set_user(conn, open_count);
    rr_top_up(conn, open_count);
}

static void rr_client(struct pw_end *end, struct spate_event *event)
{
    uint32_t *open_count = event->conn_user;
    if (event->kind == SPATE_EVENT_STREAM_CLOSED)
        (*open_count)--;
    if (event->kind == SPATE_EVENT_STREAM_CLOSED || event->kind == SPATE_EVENT_STREAMS_AVAILABLE)
        rr_top_up(event->conn, open_count);
    pw_default(end, event);
}

static void rr_server(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA && event->u.data.fin)
        assert_int_equal(
            spate_stream_send(event->conn, event->stream_id, payload, RESPONSE_SIZE, true, 0), 0);
    pw_default(end, event);
}

/* ---- Counting packets ---- */

static uint64_t packets_of(struct pw *w)
{
    return pw_stats(&w->server).packets_out + pw_stats(&w->client).packets_out;
}

static void run_for(struct pw *w, uint64_t packet_count)
{
    uint64_t end = packets_of(w) + packet_count;
    uint64_t patience_ns = pw_now_ns() + 3 * PW_PATIENCE_NS;
    while (packets_of(w) < end) {
        for (int i = 0; i < 100; i++)
            pw_turn(w);
        assert_true(pw_now_ns() < patience_ns);
    }
}

/* The server may have missed a close, and keeps such a connection until it is idle. */
static bool extra_are_gone(struct pw *w)
{
    return pw_stats(&w->client).conns_now == now->conn_count;
}

/* Connects, runs until the pools have grown, and closes what was more than needed. */
static void warm_up(struct pw *w)
{
    struct spate_conn *conns[CONNS_MAX];
    uint32_t count = now->conn_count + now->conn_count / 2;
    assert_true(count <= CONNS_MAX);
    for (uint32_t i = 0; i < count; i++)
        conns[i] = pw_connected(w);
    w->server.on_event = now->server;
    w->client.on_event = now->client;
    for (uint32_t i = 0; i < count; i++)
        now->begin(conns[i]);
    is_warm = false;
    run_for(w, PACKETS_WARM);
    is_warm = true;

    for (uint32_t i = now->conn_count; i < count; i++)
        spate_conn_close(conns[i], 0, "");
    pw_until(w, extra_are_gone);
}

static void run_load(const struct load *load)
{
    struct pw *w = pw_create(NULL);
    struct lossy_relay *relay = NULL;
    now = load;
    if (load->loss_per_thousand > 0) {
        relay = lossy_relay_start(&(struct lossy_relay_config){
            .server = w->address,
            .server_size = w->address_size,
            .loss_per_thousand = load->loss_per_thousand,
            .seed = SEED,
        });
        w->address = lossy_relay_address(relay, &w->address_size);
    }
    warm_up(w);
    uint64_t lost_count = relay != NULL ? lossy_relay_lost(relay) : 0;

    allocations_count(true);
    run_for(w, load->packet_count);
    allocations_count(false);
    uint64_t count = allocations_counted();
    if (count > 0)
        allocations_print();
    assert_int_equal(count, 0);
    assert_int_equal(pw_stats(&w->client).conns_now, load->conn_count);
    if (relay != NULL) {
        lost_count = lossy_relay_lost(relay) - lost_count;
        assert_true(lost_count > load->packet_count / 1000 * load->loss_per_thousand / 2);
    }
}

static void free_text(void *text)
{
    spate_free(text);
}

static void the_counter_sees_what_is_allocated(void **state)
{
    (void)state;
    allocations_count(true);
    char *cert = NULL, *key = NULL;
    const struct spate_self_signed_options options = {.size = sizeof(options)};
    assert_int_equal(spate_self_signed(&options, &cert, &key, NULL), 0);
    allocations_count(false);
    (void)owned_add(cert, free_text);
    (void)owned_add(key, free_text);
    assert_true(allocations_counted() > 10); /* OpenSSL's are among them */
}

static void bulk_allocates_nothing(void **state)
{
    (void)state;
    run_load(&(struct load){
        .packet_count = PACKETS,
        .conn_count = 2,
        .begin = bulk_begin,
        .server = pw_default,
        .client = bulk_client,
    });
}

static void requests_allocate_nothing(void **state)
{
    (void)state;
    run_load(&(struct load){
        .packet_count = PACKETS,
        .conn_count = 4,
        .inflight = 20,
        .begin = rr_begin,
        .server = rr_server,
        .client = rr_client,
    });
}

static void loss_allocates_nothing(void **state)
{
    (void)state;
    run_load(&(struct load){
        .packet_count = PACKETS_WITH_LOSS,
        .conn_count = CONNS_MAX / 3 * 2,
        .loss_per_thousand = 50,
        .begin = bulk_begin,
        .server = pw_default,
        .client = bulk_client,
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, the_counter_sees_what_is_allocated),
        QT_TEST(owned, bulk_allocates_nothing),
        QT_TEST(owned, requests_allocate_nothing),
        QT_TEST(owned, loss_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
