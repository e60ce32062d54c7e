/* SPDX-License-Identifier: MIT */
/* A server that replaces its connection IDs: RFC 9000, Sections 5.1.1, 5.1.2 and 9.5. */

#include "test/support/qt.h"

#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static uint32_t used_count(const struct sp_conn *conn)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        count += conn->local_ids.entries[i].is_used;
    return count;
}

static uint64_t least_sequence(const struct sp_conn *conn)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        if (conn->local_ids.entries[i].is_used)
            least = SB_MIN(least, conn->local_ids.entries[i].sequence);
    return least;
}

/* [RFC9000 5.1.1] All are out: a further one must wait, also to say that they are to be retired. */
static void without_room_it_waits_for_the_peer(void **state)
{
    struct conn_pair *pair = *state;
    const uint8_t retire[] = {SP_FRAME_RETIRE_CONNECTION_ID, 1};
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(used_count(server), SP_CIDS_MAX);
    sp_conn_renew_cids(server, SP_CIDS_MAX - 1);
    pair_shuttle(pair);
    assert_true(sp_conn_has_old_cids(server));
    assert_int_equal(server->local_ids.next_sequence, SP_CIDS_MAX);
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, retire, sizeof(retire), PAIR_FAULT_NONE);
    assert_int_equal(server->local_ids.next_sequence, SP_CIDS_MAX + 1);
    assert_true(sp_conn_has_old_cids(server));
}

/* A server that leaves room has all replaced in a round trip. */
static void with_room_for_one_all_are_replaced_at_once(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t count_max = 1; count_max < SP_CIDS_MAX; count_max++) {
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        const struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        server->local_ids.entries[SP_CIDS_MAX - 1].is_used = false;
        uint64_t first_new = server->local_ids.next_sequence;
        sp_conn_renew_cids(server, count_max);
        pair_shuttle(pair);
        assert_false(sp_conn_has_old_cids(server));
        assert_int_equal(used_count(server), count_max);
        assert_int_equal(least_sequence(server), first_new);
        assert_true(client->remote_ids.entries[client->path->dcid].sequence >= first_new);
        assert_int_equal(client->state, SP_CONN_OPEN);
    }
}

static void a_renewal_in_the_handshake_waits_for_its_end(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    pair_init(pair);
    pair_start_answered(pair, &packet);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    sp_conn_renew_cids(server, 2);
    assert_int_equal(server->local_ids.next_sequence, 1);
    assert_true(sp_conn_has_old_cids(server));
    pair_deliver(pair, SP_CLIENT, &packet);
    pair_shuttle(pair);
    assert_int_equal(server->handshake_state, SP_HANDSHAKE_CONFIRMED);
    assert_false(sp_conn_has_old_cids(server));
    assert_int_equal(used_count(server), 2);
    assert_int_equal(least_sequence(server), 1);
}

/* A lost NEW_CONNECTION_ID from before the renewal is sent again, and its CID retired at once. */
static void a_lost_old_id_does_not_stay(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->local_ids.entries[SP_CIDS_MAX - 1].is_used = false;
    sp_cid_local_on_lost(&server->local_ids, 1);
    sp_conn_renew_cids(server, 2);
    sp_conn_renew_cids(server, 2); /* twice in one round trip */
    pair_shuttle(pair);
    assert_false(sp_conn_has_old_cids(server));
    assert_int_equal(used_count(server), 2);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->state, SP_CONN_OPEN);
}

static void a_closed_connection_renews_nothing(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    sp_conn_close(server, 1, "", 0, pair->now_ns);
    uint64_t before = server->local_ids.next_sequence;
    sp_conn_renew_cids(server, 1);
    assert_false(sp_conn_has_old_cids(server));
    assert_int_equal(server->local_ids.next_sequence, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, without_room_it_waits_for_the_peer),
        QT_TEST(conn_pair, with_room_for_one_all_are_replaced_at_once),
        QT_TEST(conn_pair, a_renewal_in_the_handshake_waits_for_its_end),
        QT_TEST(conn_pair, a_lost_old_id_does_not_stay),
        QT_TEST(conn_pair, a_closed_connection_renews_nothing),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
