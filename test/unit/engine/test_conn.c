/* SPDX-License-Identifier: MIT */
/* The life of a connection in a shard: each pair of states, and what is counted on the way. */

#include "test/support/qt.h"

#include "engine/config/config.h"
#include <stdlib.h>

#include "engine/shard/shard.h"
#include "proto/conn/streams.h"
#include "test/support/conn_pair.h"
#include "test/support/owned.h"

enum { STATES = SE_CONN_TAKEN + 1 };

static struct spate_shard *make_shard(void)
{
    struct spate_shard *shard = owned_alloc(sizeof(*shard));
    const struct se_budget_limits limits = {10, 10, 10};
    se_budget_init(&shard->budget, &limits, (struct se_siphash_key){{1, 2}});
    return shard;
}

/* A connection that holds a place in the budget, as se_conn_create() makes it for a server. */
static void join(struct spate_conn *conn)
{
    static const struct sp_addr address = {.family = 4};
    if (conn->is_server)
        se_budget_join(&conn->shard->budget, &conn->handshake, &address, false, 0);
    else
        sb_list_init(&conn->handshake.link);
}

static void a_connection_moves_forward_only(void **state)
{
    (void)state;
    static const bool server[STATES][STATES] = {
        [SE_CONN_NEW] = {[SE_CONN_HANDSHAKING] = true, [SE_CONN_FAILED] = true},
        [SE_CONN_HANDSHAKING] =
            {[SE_CONN_CONNECTED] = true, [SE_CONN_FAILED] = true, [SE_CONN_EARLY] = true},
        [SE_CONN_EARLY] = {[SE_CONN_CONNECTED] = true, [SE_CONN_CLOSED] = true},
        [SE_CONN_CONNECTED] = {[SE_CONN_CLOSED] = true},
        [SE_CONN_CLOSED] = {[SE_CONN_TAKEN] = true},
    };
    static const bool client[STATES][STATES] = {
        [SE_CONN_NEW] = {[SE_CONN_HANDSHAKING] = true},
        [SE_CONN_HANDSHAKING] = {[SE_CONN_CONNECTED] = true, [SE_CONN_CLOSED] = true},
        [SE_CONN_CONNECTED] = {[SE_CONN_CLOSED] = true},
        [SE_CONN_CLOSED] = {[SE_CONN_TAKEN] = true},
    };
    struct spate_shard *shard = make_shard();
    for (uint32_t i = 0; i < 2 * STATES * STATES; i++) {
        bool is_server = i < STATES * STATES;
        enum se_conn_state from = i / STATES % STATES;
        enum se_conn_state to = i % STATES;
        struct spate_conn conn = {.shard = shard, .is_server = is_server, .state = from};
        join(&conn);
        if ((is_server ? server : client)[from][to]) {
            se_conn_advance(&conn, to);
            assert_int_equal(conn.state, to);
        } else {
            expect_assert_failure(se_conn_advance(&conn, to));
            assert_int_equal(conn.state, from);
        }
        se_budget_leave(&shard->budget, &conn.handshake);
    }
}

static void a_server_is_in_the_budget_until_it_is_connected(void **state)
{
    (void)state;
    struct spate_shard *shard = make_shard();
    struct spate_conn conn = {.shard = shard, .is_server = true, .state = SE_CONN_NEW};
    join(&conn);
    assert_true(se_conn_is_budgeted(&conn) && !se_conn_is_announced(&conn));
    se_conn_advance(&conn, SE_CONN_HANDSHAKING);
    assert_true(se_conn_is_budgeted(&conn) && !se_conn_is_announced(&conn));
    assert_int_equal(shard->counts.own.conns_accepted, 1);
    assert_int_equal(shard->budget.count, 1);
    se_conn_advance(&conn, SE_CONN_CONNECTED);
    assert_true(!se_conn_is_budgeted(&conn) && se_conn_is_announced(&conn));
    assert_int_equal(shard->budget.count, 0);
    se_conn_advance(&conn, SE_CONN_CLOSED);
    se_conn_advance(&conn, SE_CONN_TAKEN);
    assert_int_equal(shard->counts.own.handshakes_done, 1);
    assert_int_equal(shard->counts.own.handshakes_failed, 0);
}

/* What it charged for TLS is free for others, although it still answers its peer. */
static void a_server_that_is_closed_early_gives_its_place_back(void **state)
{
    (void)state;
    struct spate_shard *shard = make_shard();
    struct spate_conn conn = {
        .shard = shard, .is_server = true, .state = SE_CONN_HANDSHAKING, .tls_bytes = SE_TLS_BYTES};
    join(&conn);
    se_memory_init(&shard->memory, SE_TLS_BYTES);
    assert_true(se_memory_charge(&shard->memory, SE_TLS_BYTES));
    se_conn_advance(&conn, SE_CONN_FAILED);
    assert_true(!se_conn_is_budgeted(&conn) && !se_conn_is_announced(&conn));
    assert_int_equal(shard->budget.count, 0);
    assert_int_equal(shard->memory.now_bytes, 0);
    assert_int_equal(shard->counts.own.handshakes_failed, 1);
    assert_int_equal(shard->counts.own.handshakes_done, 0);
}

static void a_client_that_is_closed_early_has_failed(void **state)
{
    (void)state;
    struct spate_shard *shard = make_shard();
    struct spate_conn other = {.shard = shard, .is_server = true, .state = SE_CONN_HANDSHAKING};
    struct spate_conn conn = {.shard = shard, .state = SE_CONN_HANDSHAKING};
    join(&other);
    join(&conn);
    assert_true(!se_conn_is_budgeted(&conn) && se_conn_is_announced(&conn));
    se_conn_advance(&conn, SE_CONN_CLOSED);
    assert_int_equal(shard->counts.own.handshakes_failed, 1);
    assert_int_equal(shard->counts.own.handshakes_done, 0);
    assert_int_equal(shard->counts.own.conns_accepted, 0);
    assert_int_equal(shard->budget.count, 1); /* of somebody else */
}

/* ---- Handles ---- */

static void a_handle_holds_the_largest_of_each_part(void **state)
{
    (void)state;
    const uint64_t generations[] = {1, UINT32_MAX, SE_ID_GENERATION_MASK};
    for (size_t i = 0; i < QT_COUNT(generations); i++) {
        for (uint32_t shard = 0; shard < SE_SHARDS_MAX; shard++) {
            uint64_t id = se_id_pack(shard, generations[i], SE_CONNS_MAX - 1);
            assert_int_equal(se_id_shard(id), shard);
            assert_int_equal(se_id_generation(id), generations[i]);
            assert_int_equal(se_id_index(id), SE_CONNS_MAX - 1);
        }
    }
    assert_int_equal(se_id_next_generation(0), 1);
    assert_int_equal(se_id_next_generation(SE_ID_GENERATION_MASK), 1); /* never 0 */
}

static void a_handle_finds_its_generation_alone(void **state)
{
    (void)state;
    struct spate_shard *shard = make_shard();
    struct spate_conn conn = {.shard = shard};
    struct se_conn_slot slots[2] = {{.generation = 1}, {.conn = &conn}};
    shard->index = 3;
    shard->slots = slots;
    shard->slots_made = 2;
    slots[1].generation = (UINT64_C(1) << 32) + 7; /* more than 32 bits count */
    assert_ptr_equal(se_conn_of_id(shard, se_id_pack(3, slots[1].generation, 1)), &conn);
    assert_null(se_conn_of_id(shard, se_id_pack(3, 7, 1)));
    assert_null(se_conn_of_id(shard, se_id_pack(2, slots[1].generation, 1)));
    assert_null(se_conn_of_id(shard, se_id_pack(3, slots[1].generation, 2)));
    assert_null(se_conn_of_id(shard, se_id_pack(3, 1, 0))); /* it was freed */
    assert_null(se_conn_of_id(shard, 0));
}

QT_FIXTURE(conn_pair, pair_deinit)

/* One end of `pair` with `count` streams, as a destroyed connection of the shard. */
static void add_unwinding(struct spate_shard *shard, struct conn_pair *pair, enum sp_role role,
                          uint64_t count)
{
    struct spate_conn *conn = sb_pool_take(&shard->conn_pool);
    assert_non_null(conn);
    *conn = (struct spate_conn){.shard = shard, .proto = pair_conn(pair, role)};
    pair->ends[role].conn = NULL;
    sb_list_init(&conn->ended_link);
    sb_list_push_back(&shard->unwinding, &conn->ended_link);
    shard->conn_count++;
    uint64_t last_id = (count - 1) << 2 | (role == SP_CLIENT ? SP_STREAM_BY_SERVER : 0);
    struct sp_stream *stream;
    assert_int_equal(sp_conn_stream_of_frame(conn->proto, last_id, false, &stream), SP_OK);
    struct sp_event event;
    while (sp_conn_next_event(conn->proto, &event)) /* makes the others */
        continue;
    assert_int_equal(conn->proto->streams.count, count);
}

/* Many connections end at once: each turn does its share, and nobody loses sight of the memory. */
static void destroyed_connections_are_freed_over_turns(void **state)
{
    struct conn_pair *pair = *state;
    struct spate_shard *shard = calloc(1, sizeof(*shard));
    assert_non_null(shard);
    pair_init(pair);
    pair->config.streams_bidi_max = 1000;
    sb_list_init(&shard->unwinding);
    sb_pool_init(&shard->conn_pool, "connections", sizeof(struct spate_conn), 2, 10, &pair->memory);
    pair_connect(pair);
    add_unwinding(shard, pair, SP_CLIENT, 1000);
    add_unwinding(shard, pair, SP_SERVER, 1000);

    uint32_t turns = 0;
    for (bool is_done = false; !is_done; turns++) {
        uint32_t streams = pair->pools.streams.used_count;
        uint32_t conns = shard->conn_pool.used_count;
        shard->unwind_steps = 500;
        is_done = se_conns_unwind(shard);
        assert_true(streams - pair->pools.streams.used_count <= 500 / SP_UNWIND_STREAM_STEPS);
        assert_int_equal(shard->conn_count, shard->conn_pool.used_count);
        assert_true(conns - shard->conn_count <= 1);
        assert_true(is_done || shard->unwind_steps == 0);
    }
    assert_in_range(turns, 2 * 1000 * SP_UNWIND_STREAM_STEPS / 500, 30);
    assert_int_equal(shard->conn_count, 0);
    assert_int_equal(pair->pools.streams.used_count, 0);
    sb_pool_deinit(&shard->conn_pool);
    free(shard);
}

/* A shard that has not received all that arrived lets the probe wait, but not the ACK. */
static void a_timer_that_listens_is_due_for_its_own_work(void **state)
{
    struct conn_pair *pair = *state;
    struct spate_shard *shard = make_shard();
    const struct sp_write write = {.data = "x", .size = 1};
    struct spate_conn conn = {.shard = shard};
    uint64_t id;
    pair_init(pair);
    pair_connect(pair);
    pair->now_ns += SB_MS;
    struct sp_conn *server = pair_conn(pair, SP_SERVER), *client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
    (void)pair_flush(pair, SP_CLIENT, &(size_t){0}); /* is lost */
    pair->now_ns += 20 * SB_MS;
    assert_int_equal(sp_conn_open(server, true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
    pair_carry(pair, SP_SERVER);
    uint64_t own_ns = client->app.ack.deadline_ns;
    uint64_t probe_ns = sp_loss_deadline_ns(&client->loss);
    assert_true(own_ns != SB_NEVER && probe_ns < own_ns);

    conn.proto = client;
    se_timer_init(&conn.timer);
    se_wheel_init(&shard->wheel, pair->now_ns);
    se_conn_rearm(&conn);
    shard->heard.mark_ns = shard->heard.until_ns = pair->now_ns;
    for (shard->now_ns = probe_ns + SB_MS / 2; shard->now_ns + SB_MS < own_ns;
         shard->now_ns = se_wheel_next_ns(&shard->wheel)) {
        se_shard_run_timers(shard);
        assert_false(se_wheel_is_holding(&shard->wheel));
        assert_in_range(se_wheel_next_ns(&shard->wheel), shard->now_ns + 1,
                        shard->now_ns + 2 * SE_HEARD_LOOK_NS);
    }
    assert_int_equal(client->stats.ptos, 0);

    shard->now_ns = own_ns - 1; /* with the ACK gone, nothing of its own is due for long */
    client->app.ack.deadline_ns = SB_NEVER;
    se_conn_rearm(&conn);
    se_shard_run_timers(shard);
    assert_true(se_wheel_is_holding(&shard->wheel));
    se_wheel_remove(&shard->wheel, &conn.timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_connection_moves_forward_only),
        QT_TEST(owned, a_server_is_in_the_budget_until_it_is_connected),
        QT_TEST(owned, a_server_that_is_closed_early_gives_its_place_back),
        QT_TEST(owned, a_client_that_is_closed_early_has_failed),
        QT_TEST(owned, a_handle_holds_the_largest_of_each_part),
        QT_TEST(owned, a_handle_finds_its_generation_alone),
        QT_TEST(conn_pair, a_timer_that_listens_is_due_for_its_own_work),
        QT_TEST(conn_pair, destroyed_connections_are_freed_over_turns),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
