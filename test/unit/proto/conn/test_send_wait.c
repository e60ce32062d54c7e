/* SPDX-License-Identifier: MIT */
/* Each reason to send nothing is reached once, and what it says ends the wait does. */

#include "test/support/qt.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/memory.h"
#include "test/support/conn_pair.h"

enum { BYTES = 1 << 20, TAKEN_MAX = 4096 };

struct world {
    struct conn_pair pair;
    enum sp_role role; /* whose answer is asked for */
    uint64_t stream;
    struct sb_pool *taken_from;
    void *taken[TAKEN_MAX]; /* objects of `taken_from`, so that the connections find none */
    uint32_t taken_count;
};

static const uint8_t bytes[BYTES];

static struct sp_conn *conn_of(struct world *world)
{
    return pair_conn(&world->pair, world->role);
}

static struct sp_send_wait ask(struct world *world)
{
    return sp_conn_send_wait(conn_of(world), 1, world->pair.now_ns);
}

static void flush(struct world *world)
{
    size_t size;
    (void)pair_flush(&world->pair, world->role, &size);
}

static void write_bytes(struct world *world, size_t size)
{
    struct sp_write write = {.data = bytes, .size = size};
    assert_int_equal(sp_conn_write(conn_of(world), world->stream, &write), SP_DONE);
}

/* Both are connected and have nothing more to send, delayed ACKs included. */
static void connect_pair(struct world *world)
{
    pair_connect(&world->pair);
    pair_settle(&world->pair);
    conn_of(world)->is_hidden = false; /* as if it had said something since */
    assert_int_equal(sp_conn_open(conn_of(world), false, &world->stream), SP_DONE);
}

static void pass_time(struct world *world)
{
    uint64_t at_ns = ask(world).at_ns;
    assert_int_equal(sp_conn_deadline_ns(conn_of(world)), at_ns);
    assert_true(at_ns > world->pair.now_ns);
    world->pair.now_ns = at_ns;
    sp_conn_on_deadline(conn_of(world), world->pair.now_ns);
}

/* ---- None, idle ---- */

static void have_bytes(struct world *world)
{
    connect_pair(world);
    write_bytes(world, 100);
}

static void send_and_settle(struct world *world)
{
    flush(world);
}

static void write_more(struct world *world)
{
    write_bytes(world, 100);
}

/* ---- ACK delay ---- */

static void get_a_ping(struct world *world)
{
    connect_pair(world);
    pair_inject(&world->pair, world->role, SP_SPACE_APP, (const uint8_t *)"\x01", 1,
                PAIR_FAULT_NONE);
}

/* ---- Congestion ---- */

static void fill_the_window(struct world *world)
{
    world->pair.config.pacing = false;
    connect_pair(world);
    write_bytes(world, 100000);
    pair_carry(&world->pair, world->role);
}

/* A control frame does not wait for a train. */
static void fill_the_window_and_reset(struct world *world)
{
    uint64_t id;
    fill_the_window(world);
    assert_int_equal(sp_conn_open(conn_of(world), false, &id), SP_DONE);
    assert_int_equal(sp_conn_reset(conn_of(world), id, 1), SP_DONE);
    flush(world);
}

static void get_acks(struct world *world)
{
    pair_carry(&world->pair, world->role == SP_CLIENT ? SP_SERVER : SP_CLIENT);
}

static void empty_the_bucket(struct world *world)
{
    connect_pair(world);
    conn_of(world)->loss.path->cc.cwnd_bytes = BYTES;
    /* Its own rate is that of the pair's round trip, which takes no time. */
    conn_of(world)->loss.path->pacer.rate_bytes_per_s = 1000000;
    conn_of(world)->loss.path->pacer.burst_bytes = 20000;
    write_bytes(world, 200000);
    flush(world);
}

/* A held train carries no bytes of streams. */
static void be_held(struct world *world)
{
    static uint8_t data[1 << 17];
    struct sp_train train = {
        .data = data, .capacity = sizeof(data), .count_max = 4, .is_held = true};
    connect_pair(world);
    write_bytes(world, 3000);
    assert_int_equal(sp_conn_send(conn_of(world), &train, world->pair.now_ns), 0);
    assert_true(sp_conn_is_held(conn_of(world), world->pair.now_ns));
}

static void send_unheld(struct world *world)
{
    flush(world);
    assert_false(sp_conn_is_held(conn_of(world), world->pair.now_ns));
    get_acks(world);
    flush(world);
}

/* ---- The handshake ---- */

static void use_up_the_amplification_limit(struct world *world)
{
    world->pair.tls_plan.certificate_size = 12000;
    pair_start(&world->pair);
    pair_carry(&world->pair, SP_CLIENT);
    pair_carry(&world->pair, SP_SERVER);
}

static void close_without_budget(struct world *world)
{
    use_up_the_amplification_limit(world);
    sp_conn_close(conn_of(world), 1, "", 0, world->pair.now_ns);
    flush(world);
}

static void have_frames_before_keys(struct world *world)
{
    pair_start(&world->pair);
    conn_of(world)->wants_max_data = true;
    pair_carry(&world->pair, SP_CLIENT);
}

static void finish_the_handshake(struct world *world)
{
    pair_shuttle(&world->pair);
    assert_true(sp_conn_is_authenticated(conn_of(world)));
    pair_settle(&world->pair);
}

static void use_up_the_first_key(struct world *world)
{
    world->pair.protect_plan.seal_count_max = 1;
    pair_start(&world->pair);
    flush(world);
    world->pair.now_ns = sp_conn_deadline_ns(conn_of(world));
    sp_conn_on_deadline(conn_of(world), world->pair.now_ns);
    flush(world);
}

static void wait_for_the_handshake_timeout(struct world *world)
{
    for (int i = 0; i < 100 && !sp_conn_is_closed(conn_of(world)); i++) {
        assert_true(sp_conn_deadline_ns(conn_of(world)) != SB_NEVER);
        world->pair.now_ns = sp_conn_deadline_ns(conn_of(world));
        sp_conn_on_deadline(conn_of(world), world->pair.now_ns);
        flush(world);
    }
}

static void use_up_the_app_key(struct world *world)
{
    connect_pair(world);
    write_bytes(world, 1);
    flush(world); /* not acknowledged: the key cannot be updated yet */
    struct sp_keyphase *keys = &conn_of(world)->keys;
    keys->write_is_acked = false;
    keys->write_count = keys->limits.seal_count_max;
    write_bytes(world, 1);
    flush(world);
    assert_false(sp_conn_is_closed(conn_of(world)));
}

static void end_with_nothing_sent(struct world *world)
{
    uint64_t packets = conn_of(world)->stats.packets_out;
    sp_conn_on_deadline(conn_of(world), world->pair.now_ns);
    flush(world);
    assert_int_equal(conn_of(world)->close.error, SP_ERR_AEAD_LIMIT_REACHED);
    assert_int_equal(conn_of(world)->stats.packets_out, packets);
}

/* ---- Flow control ---- */

static void use_up_the_connections_credit(struct world *world)
{
    world->pair.config.conn_window_bytes = world->pair.config.conn_window_bytes_max = 1000;
    connect_pair(world);
    write_bytes(world, 5000);
    pair_carry(&world->pair, world->role);
}

static void use_up_the_streams_credit(struct world *world)
{
    world->pair.config.stream_window_bytes = world->pair.config.stream_window_bytes_max = 1000;
    connect_pair(world);
    write_bytes(world, 5000);
    pair_carry(&world->pair, world->role);
}

static void get_credit(struct world *world)
{
    enum sp_role peer = world->role == SP_CLIENT ? SP_SERVER : SP_CLIENT;
    pair_pull(&world->pair, peer); /* it reads */
    pair_carry(&world->pair, peer);
}

/* ---- Memory ---- */

/* Takes all objects of a pool, and lets no pool grow. */
static void take_all(struct world *world, struct sb_pool *pool)
{
    world->pair.memory_left = 0;
    world->taken_from = pool;
    void *object;
    while ((object = sb_pool_take(pool)) != NULL) {
        assert_true(world->taken_count < TAKEN_MAX);
        world->taken[world->taken_count++] = object;
    }
}

static void give_all(struct world *world)
{
    while (world->taken_count > 0)
        sb_pool_give(world->taken_from, world->taken[--world->taken_count]);
}

static void lack_memory(struct world *world)
{
    connect_pair(world);
    take_all(world, &world->pair.pools.frames);
    assert_int_equal(sp_conn_reset(conn_of(world), world->stream, 1), SP_DONE);
    flush(world);
    assert_false(sp_conn_is_closed(conn_of(world)));
}

/* Has no memory to record a packet for so long that the connection gives up. */
static void run_out_of_memory(struct world *world)
{
    connect_pair(world);
    take_all(world, &world->pair.pools.frames);
    assert_int_equal(sp_conn_reset(conn_of(world), world->stream, 1), SP_DONE);
    flush(world);
    assert_false(conn_of(world)->is_out_of_memory);
    world->pair.now_ns += SP_MEMORY_PATIENCE_NS;
    flush(world);
    assert_true(conn_of(world)->is_out_of_memory);
    assert_false(sp_conn_is_closed(conn_of(world)));
}

static void end_for_lack_of_memory(struct world *world)
{
    give_all(world);
    sp_conn_on_deadline(conn_of(world), world->pair.now_ns);
    flush(world);
    assert_int_equal(conn_of(world)->close.error, SP_ERR_INTERNAL);
}

static void get_memory_and_try_again(struct world *world)
{
    give_all(world);
    pass_time(world);
}

/* ---- The end ---- */

static void close_now(struct world *world)
{
    connect_pair(world);
    sp_conn_close(conn_of(world), 1, "", 0, world->pair.now_ns);
    flush(world);
}

static void be_asked_again(struct world *world)
{
    pair_inject(&world->pair, world->role, SP_SPACE_APP, (const uint8_t *)"\x01", 1,
                PAIR_FAULT_NONE);
}

/* ---- All ---- */

static const struct row {
    enum sp_wait reason;
    enum sp_role role;
    void (*reach)(struct world *world);
    bool has_timer;
    void (*end)(struct world *world);
    enum sp_wait then;
} rows[] = {
    {SP_WAIT_NONE, SP_CLIENT, have_bytes, true, send_and_settle, SP_WAIT_IDLE},
    {SP_WAIT_IDLE, SP_SERVER, connect_pair, false, write_more, SP_WAIT_NONE},
    {SP_WAIT_ACK_DELAY, SP_SERVER, get_a_ping, true, pass_time, SP_WAIT_NONE},
    {SP_WAIT_CWND, SP_CLIENT, fill_the_window_and_reset, true, get_acks, SP_WAIT_NONE},
    {SP_WAIT_CWND, SP_CLIENT, fill_the_window_and_reset, true, pass_time, SP_WAIT_NONE},
    {SP_WAIT_TRAIN, SP_SERVER, fill_the_window, true, get_acks, SP_WAIT_NONE},
    {SP_WAIT_TRAIN, SP_SERVER, fill_the_window, true, pass_time, SP_WAIT_NONE},
    {SP_WAIT_PACER, SP_CLIENT, empty_the_bucket, true, pass_time, SP_WAIT_NONE},
    {SP_WAIT_HELD, SP_CLIENT, be_held, false, send_unheld, SP_WAIT_IDLE},
    {SP_WAIT_AMPLIFICATION, SP_SERVER, use_up_the_amplification_limit, false, get_acks,
     SP_WAIT_NONE},
    {SP_WAIT_AMPLIFICATION, SP_SERVER, close_without_budget, true, get_acks, SP_WAIT_NONE},
    {SP_WAIT_CONN_CREDIT, SP_CLIENT, use_up_the_connections_credit, false, get_credit,
     SP_WAIT_NONE},
    {SP_WAIT_STREAM_CREDIT, SP_SERVER, use_up_the_streams_credit, false, get_credit, SP_WAIT_NONE},
    {SP_WAIT_KEY, SP_CLIENT, have_frames_before_keys, false, finish_the_handshake, SP_WAIT_IDLE},
    {SP_WAIT_EXHAUSTED, SP_CLIENT, use_up_the_first_key, false, wait_for_the_handshake_timeout,
     SP_WAIT_CLOSED},
    {SP_WAIT_MEMORY, SP_CLIENT, lack_memory, true, get_memory_and_try_again, SP_WAIT_NONE},
    {SP_WAIT_ENDING, SP_CLIENT, run_out_of_memory, true, end_for_lack_of_memory, SP_WAIT_CLOSED},
    {SP_WAIT_ENDING, SP_SERVER, use_up_the_app_key, true, end_with_nothing_sent, SP_WAIT_CLOSED},
    {SP_WAIT_CLOSED, SP_CLIENT, close_now, true, be_asked_again, SP_WAIT_NONE},
    {SP_WAIT_CLOSED, SP_SERVER, close_now, true, pass_time, SP_WAIT_CLOSED},
};

static void every_wait_has_a_reason_and_an_end(void **state)
{
    (void)state;
    bool was_reached[SP_WAIT_CLOSED + 1] = {false};
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct world world = {.role = row->role};
        pair_init(&world.pair);
        row->reach(&world);
        struct sp_send_wait wait = ask(&world);
        if (wait.reason != row->reason || (wait.at_ns != SB_NEVER) != row->has_timer)
            fail_msg("row %zu: \"%s\" at %" PRIu64 ", not \"%s\"", i, sp_wait_name(wait.reason),
                     wait.at_ns, sp_wait_name(row->reason));
        assert_true(wait.reason == SP_WAIT_NONE ||
                    sp_conn_deadline_ns(conn_of(&world)) <= wait.at_ns);
        row->end(&world);
        wait = ask(&world);
        if (wait.reason != row->then)
            fail_msg("row %zu: then \"%s\", not \"%s\"", i, sp_wait_name(wait.reason),
                     sp_wait_name(row->then));
        was_reached[row->reason] = true;
        pair_deinit(&world.pair);
    }
    for (size_t i = 0; i < QT_COUNT(was_reached); i++)
        assert_true(was_reached[i]);
}

/* It asks nothing of the connection and changes nothing in it. */
static void the_question_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        struct world world = {.role = rows[i].role};
        pair_init(&world.pair);
        rows[i].reach(&world);
        struct sp_conn before = *conn_of(&world);
        struct sp_send_wait first = ask(&world);
        struct sp_send_wait second = ask(&world);
        assert_int_equal(first.reason, second.reason);
        assert_memory_equal(&before, conn_of(&world), sizeof(before));
        give_all(&world);
        pair_deinit(&world.pair);
    }
}

/* A train that has room for one datagram is held by the host, although the pacer would hold back a
 * longer one: the host must hear that, because nothing else wakes the connection up. */
static void a_short_train_is_held_though_a_long_one_is_paced(void **state)
{
    (void)state;
    static uint8_t data[1 << 17];
    struct world world = {.role = SP_CLIENT};
    pair_init(&world.pair);
    connect_pair(&world);
    struct sp_conn *conn = conn_of(&world);
    conn->loss.path->cc.cwnd_bytes = BYTES;
    conn->loss.path->pacer = (struct sp_pacer){.rate_bytes_per_s = 1000000,
                                               .burst_bytes = 20000,
                                               .full_at_ns = world.pair.now_ns + 14 * SB_MS};
    write_bytes(&world, 200000);
    for (uint32_t count = 1; count <= SP_TRAIN_COUNT_MAX; count *= 4) {
        struct sp_train train = {
            .data = data, .capacity = sizeof(data), .count_max = count, .is_held = true};
        assert_int_equal(sp_conn_send(conn, &train, world.pair.now_ns), 0);
        bool is_held = sp_conn_is_held(conn, world.pair.now_ns);
        assert_int_equal(is_held, count * conn->datagram_size <= 6000);
        assert_true(is_held || sp_conn_deadline_ns(conn) <= world.pair.now_ns + 10 * SB_MS);
    }
    pair_deinit(&world.pair);
}

static void a_drained_connection_waits_for_nothing(void **state)
{
    (void)state;
    struct world world = {.role = SP_CLIENT};
    pair_init(&world.pair);
    close_now(&world);
    pass_time(&world);
    assert_int_equal(ask(&world).reason, SP_WAIT_CLOSED);
    assert_true(ask(&world).at_ns == SB_NEVER);
    assert_true(sp_conn_deadline_ns(conn_of(&world)) == SB_NEVER);
    pair_deinit(&world.pair);
}

/* It waits for memory, but not until the idle timeout.  A host calls sp_conn_send() until it gives
 * 0, and then not before something happens. */
static void a_connection_that_gets_no_memory_ends_in_time(void **state)
{
    (void)state;
    struct world world = {.role = SP_CLIENT};
    pair_init(&world.pair);
    world.pair.config.pacing = false;
    connect_pair(&world);
    write_bytes(&world, 1);
    flush(&world);
    assert_true(sb_pool_reserve(&world.pair.pools.ranges, 64));
    take_all(&world, &world.pair.pools.packets);
    for (uint32_t i = 0; i < 200; i++) {
        write_bytes(&world, 1);
        flush(&world);
    }
    assert_int_equal(ask(&world).reason, SP_WAIT_MEMORY);
    assert_false(sp_conn_is_closed(conn_of(&world)));
    uint64_t start_ns = world.pair.now_ns;
    for (uint32_t i = 0; i < 1000 && !sp_conn_is_closed(conn_of(&world)); i++) {
        world.pair.now_ns = SB_MAX(sp_conn_deadline_ns(conn_of(&world)), world.pair.now_ns);
        sp_conn_on_deadline(conn_of(&world), world.pair.now_ns);
        flush(&world);
    }
    assert_true(sp_conn_is_closed(conn_of(&world)));
    assert_in_range(world.pair.now_ns - start_ns, 3 * SB_S, 4 * SB_S);
    assert_int_equal(conn_of(&world)->close.error, SP_ERR_INTERNAL);
    assert_int_equal(ask(&world).reason, SP_WAIT_CLOSED);
    give_all(&world);
    pair_deinit(&world.pair);
}

/* [RFC9002 7.7] A large window and no pacing: what the last ACKs have acknowledged, twice, or the
 * initial window leaves at once.  Any loss of it leaves a PTO armed. */
static void a_burst_without_pacing_waits_for_an_ack(void **state)
{
    (void)state;
    struct world world = {.role = SP_CLIENT};
    pair_init(&world.pair);
    world.pair.config.pacing = false;
    connect_pair(&world);
    struct sp_cc *cc = &conn_of(&world)->loss.path->cc;
    uint64_t burst_max = sp_cc_cwnd_initial(cc);
    cc->cwnd_bytes = cc->ssthresh_bytes = 4 * BYTES;
    write_bytes(&world, BYTES);
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t before = cc->in_flight_bytes;
        assert_int_equal(before, 0);
        pair_carry(&world.pair, SP_CLIENT);
        uint64_t sent = cc->in_flight_bytes;
        assert_in_range(sent, burst_max - cc->datagram_bytes, burst_max);
        struct sp_send_wait wait = ask(&world);
        assert_int_equal(wait.reason, SP_WAIT_CWND);
        assert_true(wait.at_ns != SB_NEVER);
        world.pair.now_ns += SB_MS;
        pair_carry(&world.pair, SP_SERVER);
        burst_max = 2 * sent;
    }
    assert_in_range(burst_max, 100000, 300000);
    pair_deinit(&world.pair);
}

/* The bytes that the stream was to send again have been acknowledged late.  What is left waits for
 * credit, and the frame that said so was lost.  [RFC9000 4.1]  Swarm seed 950012946. */
static void a_stream_that_turns_out_to_be_blocked_says_so_at_once(void **state)
{
    (void)state;
    struct world world = {.role = SP_SERVER};
    pair_init(&world.pair);
    use_up_the_streams_credit(&world);
    get_credit(&world);
    flush(&world);
    struct sp_conn *conn = conn_of(&world);
    struct sp_stream *stream = sp_stream_map_find(&conn->streams, world.stream);
    stream->send.max_data = stream->send.delivery.sent_end;
    stream->send.blocked_at = SB_VARINT_NONE;
    sb_list_remove(&stream->send_link);
    sb_list_push_back(&conn->send_list, &stream->send_link);
    size_t size;
    assert_int_equal(pair_flush(&world.pair, SP_SERVER, &size), 1);
    assert_int_equal(stream->send.blocked_at, stream->send.max_data);
    assert_int_equal(ask(&world).reason, SP_WAIT_STREAM_CREDIT);
    pair_deinit(&world.pair);
}

/* So a host need not ask again, and the connection waits for the same as if it had. */
static void the_last_train_says_so(void **state)
{
    (void)state;
    static uint8_t out[16 * 1500];
    struct world world = {.role = SP_CLIENT};
    pair_init(&world.pair);
    connect_pair(&world);
    struct sp_conn *conn = conn_of(&world);
    assert_false(sp_pmtu_is_due(&conn->path->pmtu));
    for (uint32_t i = 0; i < 2; i++) {
        struct sp_train train = {.data = out, .capacity = sizeof(out), .count_max = 2};
        write_bytes(&world, i == 0 ? 100 : 5000); /* that are more than two datagrams */
        assert_true(sp_conn_send(conn, &train, world.pair.now_ns) > 0);
        assert_int_equal(train.is_last, i == 0);
        while (sp_conn_send(conn, &train, world.pair.now_ns) > 0)
            assert_int_not_equal(i, 0);
        assert_false(train.is_last);
        assert_int_equal(ask(&world).reason, SP_WAIT_IDLE);
    }
    pair_deinit(&world.pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wait_has_a_reason_and_an_end),
        cmocka_unit_test(the_question_changes_nothing),
        cmocka_unit_test(a_short_train_is_held_though_a_long_one_is_paced),
        cmocka_unit_test(a_drained_connection_waits_for_nothing),
        cmocka_unit_test(a_connection_that_gets_no_memory_ends_in_time),
        cmocka_unit_test(a_burst_without_pacing_waits_for_an_ack),
        cmocka_unit_test(a_stream_that_turns_out_to_be_blocked_says_so_at_once),
        cmocka_unit_test(the_last_train_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
