/* SPDX-License-Identifier: MIT */
/* Why it was waiting: a connection that is slow for each reason in turn, over real sockets.  An
 * exhausted key is in test_waits.c. */

#include "test/support/spate_world.h"

#include <stdio.h>
#include <string.h>

#define MS UINT64_C(1000000)

enum {
    MEMORY = 8 << 20,
    SHORT = MEMORY / 16 * 13, /* beyond 3/4 of what is ordinary, so credit is held back */
    BYTES = 8000000,
    WINDOW = 64 * 1024,
    CHAIN = 20
};

static const uint8_t bytes[BYTES];
static struct spate_slice held[4096];
static uint32_t held_count;

static struct spate_conn_stats stats_of(const struct spate_conn *conn)
{
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    return stats;
}

static uint64_t waited_ns(const struct spate_conn_stats *stats, enum spate_wait wait)
{
    return (&stats->waited_shard_ns)[wait];
}

static uint64_t open_and_send(struct spate_conn *conn, size_t size)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, size, true, 1), 0);
    return id;
}

/* The server gives nothing back. */
static void hold(struct pw_end *end, struct spate_event *event)
{
    if (event->kind != SPATE_EVENT_STREAM_DATA) {
        pw_default(end, event);
        return;
    }
    assert_true(held_count < sizeof(held) / sizeof(held[0]));
    held[held_count++] = event->u.data.slice;
}

static void give_all_back(struct pw *w)
{
    for (uint32_t i = 0; i < held_count; i++)
        spate_slice_release(w->server.shard, &held[i]);
    held_count = 0;
}

/* Turns until the connection waits for that: an ACK that has just come is the shard's to see. */
static void run_until_waits(struct pw *w, const struct spate_conn *conn, enum spate_wait wait)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (stats_of(conn).waits_for != wait && pw_now_ns() < end_ns)
        pw_turn(w);
}

/* Turns until the connection waits for that, and has for so long: where the CPU went to others, the
 * next turn counts the time that one took. */
static void run_until_waited(struct pw *w, const struct spate_conn *conn, enum spate_wait wait,
                             uint64_t least_ns)
{
    struct spate_conn_stats stats = stats_of(conn);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while ((stats.waits_for != wait || waited_ns(&stats, wait) < least_ns) &&
           pw_now_ns() < end_ns) {
        pw_turn(w);
        stats = stats_of(conn);
    }
}

/* ---- What makes each wait: returns the connection that waits ---- */

static struct spate_conn *queue_bytes(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 20 * MS);
    (void)open_and_send(conn, 1000);
    return conn;
}

static struct spate_conn *be_quiet(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 100 * MS);
    return conn;
}

static struct spate_conn *hold_slices(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 20 * MS);
    w->server.on_event = hold;
    (void)open_and_send(conn, 20000);
    pw_for(w, 100 * MS);
    assert_int_equal(stats_of(w->server.conn).held_bytes, 20000);
    return w->server.conn;
}

/* The client has sent its bytes; the server may keep its ACK for half a second, and has sent that
 * of the client's first probe of the MTU. */
static struct spate_conn *delay_an_ack(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 700 * MS);
    (void)open_and_send(conn, 100);
    for (uint32_t i = 0; i < 10; i++) {
        pw_wait(&w->client, 0);
        pw_wait(&w->server, MS);
    }
    return w->server.conn;
}

/* The server does not run. */
static struct spate_conn *get_no_acks(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 20 * MS);
    (void)open_and_send(conn, BYTES);
    for (uint32_t i = 0; i < 5; i++)
        pw_wait(&w->client, MS);
    return conn;
}

static struct spate_conn *be_paced(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 20 * MS);
    assert_int_equal(spate_conn_set_rate_limit(conn, 100000), 0);
    (void)open_and_send(conn, BYTES);
    pw_for(w, 50 * MS);
    run_until_waits(w, conn, SPATE_WAIT_PACER);
    return conn;
}

static struct spate_conn *be_limited(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 20 * MS);
    assert_int_equal(spate_shard_set_rate_limit(w->client.shard, 100000), 0);
    (void)open_and_send(conn, BYTES);
    pw_for(w, 50 * MS);
    run_until_waits(w, conn, SPATE_WAIT_LIMIT);
    return conn;
}

static struct spate_conn *use_up_credit(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    w->server.on_event = hold;
    pw_for(w, 20 * MS);
    (void)open_and_send(conn, BYTES);
    pw_for(w, 100 * MS);
    return conn;
}

/* One datagram per slot, and one slot for each turn's sending. */
static struct spate_conn *run_out_of_slots(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 20 * MS);
    (void)open_and_send(conn, BYTES);
    uint64_t end_ns = pw_now_ns() + 5000 * MS;
    do {
        pw_wait(&w->client, 0);
        if (stats_of(conn).waits_for == SPATE_WAIT_SLOT)
            break;
        pw_wait(&w->server, 0);
    } while (pw_now_ns() < end_ns);
    return conn;
}

static struct spate_conn *close_it(struct pw *w)
{
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 20 * MS);
    spate_conn_close(conn, 7, "enough");
    assert_true(spate_shard_turn(w->client.shard, 0) >= 0);
    return conn;
}

/* A certificate that is larger than three datagrams: the server stops in the middle. */
static void listen_with_a_long_chain(struct pw *w)
{
    static const char *const alpn[] = {"test"};
    struct spate_tls *tls;
    struct spate_listener *listener;
    size_t size = strlen(w->cert_pem);
    char *chain = owned_alloc(CHAIN * size + 1);
    for (uint32_t i = 0; i < CHAIN; i++)
        memcpy(chain + i * size, w->cert_pem, size + 1);
    const struct spate_tls_options options = {.size = sizeof(options),
                                              .cert_pem = chain,
                                              .key_pem = w->key_pem,
                                              .alpn = alpn,
                                              .alpn_count = 1};
    assert_int_equal(spate_tls_server_create(&options, &tls, NULL), 0);
    w->address = pw_loopback(false, 0, &w->address_size);
    assert_int_equal(spate_shard_listen(w->server.shard, (struct sockaddr *)&w->address,
                                        w->address_size, tls, NULL, &listener, NULL),
                     0);
    spate_tls_destroy(tls);
    assert_int_equal(spate_listener_address(listener, &w->address, &w->address_size), 0);
}

/* A client that does not answer: only the totals tell, because the server's application does not
 * know the connection before. */
static struct spate_conn *be_unproven(struct pw *w)
{
    listen_with_a_long_chain(w);
    (void)pw_connect(w);
    pw_wait(&w->client, 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (pw_stats(&w->server).datagrams_out == 0 && pw_now_ns() < end_ns)
        pw_wait(&w->server, MS);
    end_ns = pw_now_ns() + 30 * MS; /* since its answer has left */
    while (pw_now_ns() < end_ns)
        pw_wait(&w->server, MS);
    while (w->server.conn == NULL && pw_now_ns() < end_ns + PW_PATIENCE_NS)
        pw_turn(w);
    assert_non_null(w->server.conn);
    return w->server.conn;
}

static uint8_t ticket[4096];
static size_t ticket_size;

/* Keeps the ticket of the first connection, and sends as soon as the second one may. */
static void resume(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_TICKET) {
        assert_in_range(event->u.bytes.size, 1, sizeof(ticket));
        memcpy(ticket, event->u.bytes.data, event->u.bytes.size);
        ticket_size = event->u.bytes.size;
    }
    if (event->kind == SPATE_EVENT_EARLY)
        (void)open_and_send(event->conn, 1000);
    pw_default(end, event);
}

static bool has_ticket(struct pw *w)
{
    (void)w;
    return ticket_size > 0;
}

/* Bytes that were sent as 0-RTT, to a server that rejects it in the first part of its flight: they
 * wait for the keys that come with the last part, which the server may send once it has an answer.
 */
static struct spate_conn *be_rejected_early(struct pw *w)
{
    ticket_size = 0;
    w->client.on_event = resume;
    pw_accept_early(w, NULL, NULL);
    struct sockaddr_storage any = pw_loopback(false, 0, &w->address_size);
    assert_int_equal(spate_shard_listen(w->server.shard, (struct sockaddr *)&any, w->address_size,
                                        w->server.tls, NULL, &w->listener, NULL),
                     0);
    assert_int_equal(spate_listener_address(w->listener, &w->address, &w->address_size), 0);
    (void)pw_connected(w);
    pw_until(w, has_ticket);
    listen_with_a_long_chain(w); /* it cannot read the ticket */

    const struct spate_connect_options options = {
        .size = sizeof(options),
        .address = (struct sockaddr *)&w->address,
        .address_size = w->address_size,
        .server_name = PW_SERVER_NAME,
        .tls = w->client.tls,
        .early = true,
        .ticket = ticket,
        .ticket_size = ticket_size,
    };
    struct spate_conn *conn;
    uint64_t end_ns = pw_now_ns() + 5000 * MS;
    do { /* on a busy machine a client may get the last two parts of a flight in one turn */
        assert_int_equal(spate_shard_connect_with(w->client.shard, &options, &conn, NULL), 0);
        uint64_t once_ns = pw_now_ns() + 200 * MS;
        do {
            pw_wait(&w->server, 0);
            pw_wait(&w->client, MS);
        } while (stats_of(conn).waits_for != SPATE_WAIT_KEY && pw_now_ns() < once_ns);
    } while (stats_of(conn).waits_for != SPATE_WAIT_KEY && pw_now_ns() < end_ns);
    assert_int_equal(stats_of(conn).waits_for, SPATE_WAIT_KEY);
    pw_wait(&w->client, 10 * MS); /* shorter, if a part of the flight was on its way */
    return conn;
}

/* A connection that has more than its share of the server's memory, by its many streams, gets no
 * credit for the bytes of one more. */
static struct spate_conn *hold_much_memory(struct pw *w)
{
    for (uint32_t i = 0; i < 4; i++)
        (void)pw_connected(w);
    struct spate_conn *conn = w->client.conn, *other = w->server.conn;
    uint64_t id, end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (pw_stats(&w->server).memory_bytes_now < SHORT && pw_now_ns() < end_ns) {
        for (uint32_t i = 0; i < 50; i++)
            if (spate_stream_open(conn, false, &id) == 0)
                assert_int_equal(spate_stream_send(conn, id, bytes, 1, false, 1), 0);
        for (uint32_t i = 0; i < 5; i++)
            pw_turn(w);
    }
    assert_int_equal(w->server.closed_count, 0);
    (void)open_and_send(conn, 4 * WINDOW);
    run_until_waits(w, other, SPATE_WAIT_MEMORY);
    pw_for(w, 10 * MS);
    return other;
}

/* ---- The table ---- */

static void slow_acks(struct spate_config *config)
{
    config->ack_delay_ns_max = 500 * MS;
}

static void small_stream_window(struct spate_config *config)
{
    config->stream_window_bytes = config->stream_window_bytes_max = WINDOW;
}

static void small_conn_window(struct spate_config *config)
{
    config->conn_window_bytes = config->conn_window_bytes_max = WINDOW;
}

static void little_memory(struct spate_config *config)
{
    config->memory_bytes_max = MEMORY;
    config->streams_bidi_max = 50000;
    small_conn_window(config);
}

static void few_slots(struct spate_config *config)
{
    config->transmit_slots = 2;
    config->gso = false;
}

static void many_streams(struct spate_config *config)
{
    config->streams_local_max = 50000;
}

static const struct {
    enum spate_wait wait;
    struct spate_conn *(*make)(struct pw *w);
    void (*server)(struct spate_config *config);
    void (*client)(struct spate_config *config);
    uint64_t waited_ns; /* at least */
    bool is_past;       /* it waits for something else now */
} rows[] = {
    {SPATE_WAIT_SHARD, queue_bytes, NULL, NULL, 1, false},
    {SPATE_WAIT_IDLE, be_quiet, NULL, NULL, 50 * MS, false},
    {SPATE_WAIT_APPLICATION, hold_slices, NULL, NULL, 40 * MS, false},
    {SPATE_WAIT_ACK_DELAY, delay_an_ack, slow_acks, NULL, MS, false},
    {SPATE_WAIT_CWND, get_no_acks, NULL, NULL, MS, false},
    {SPATE_WAIT_PACER, be_paced, NULL, NULL, 30 * MS, false},
    {SPATE_WAIT_LIMIT, be_limited, NULL, NULL, 30 * MS, false},
    {SPATE_WAIT_AMPLIFICATION, be_unproven, NULL, NULL, 20 * MS, true},
    {SPATE_WAIT_CONN_CREDIT, use_up_credit, small_conn_window, NULL, 50 * MS, false},
    {SPATE_WAIT_STREAM_CREDIT, use_up_credit, small_stream_window, NULL, 50 * MS, false},
    {SPATE_WAIT_KEY, be_rejected_early, NULL, NULL, 1, true},
    {SPATE_WAIT_MEMORY, hold_much_memory, little_memory, many_streams, MS, false},
    {SPATE_WAIT_SLOT, run_out_of_slots, NULL, few_slots, 0, false},
    {SPATE_WAIT_CLOSED, close_it, NULL, NULL, 0, false},
};

static void a_connection_says_what_it_waits_for(void **state)
{
    (void)state;
    uint64_t tried = 0; /* bits: each reason has a row */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        tried |= UINT64_C(1) << rows[i].wait;
    assert_int_equal(tried, (UINT64_C(1) << (SPATE_WAIT_CLOSED + 1)) - 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *name = spate_wait_name(rows[i].wait);
        struct pw *w =
            pw_create(&(struct pw_config){.server = rows[i].server, .client = rows[i].client});
        uint64_t begin_ns = pw_now_ns();
        struct spate_conn *conn = rows[i].make(w);
        if (!rows[i].is_past)
            run_until_waited(w, conn, rows[i].wait, rows[i].waited_ns);
        struct spate_conn_stats stats = stats_of(conn);
        uint64_t life_ns = pw_now_ns() - begin_ns, sum_ns = 0;
        for (uint32_t kind = 0; kind <= SPATE_WAIT_CLOSED; kind++)
            sum_ns += waited_ns(&stats, (enum spate_wait)kind);
        print_message("    %-20s %6.1f of %6.1f ms\n", name,
                      (double)waited_ns(&stats, rows[i].wait) / 1e6, (double)sum_ns / 1e6);
        if (!rows[i].is_past)
            assert_string_equal(spate_wait_name((enum spate_wait)stats.waits_for), name);
        assert_true(waited_ns(&stats, rows[i].wait) >= rows[i].waited_ns);
        assert_true(sum_ns > 0 && sum_ns <= life_ns);
        give_all_back(w);
    }
}

/* What is held and given back, in parts and at once. */
static void slices_that_are_held_are_counted(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = hold_slices(w);
    uint64_t left = 20000;
    while (held_count > 1) {
        left -= held[held_count - 1].size;
        spate_slice_release(w->server.shard, &held[--held_count]);
        assert_int_equal(stats_of(conn).held_bytes, left);
    }
    give_all_back(w);
    assert_int_equal(stats_of(conn).held_bytes, 0);
    pw_for(w, 20 * MS);
    assert_int_equal(stats_of(conn).waits_for, SPATE_WAIT_IDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_connection_says_what_it_waits_for),
        QT_TEST(owned, slices_that_are_held_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
