/* SPDX-License-Identifier: MIT */
/* The address that a server prefers: RFC 9000, Section 9.6. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/paths.h"
#include "test/support/path_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static void a_client_hears_of_the_addresses_once_the_handshake_is_confirmed(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    assert_memory_equal(&pair->preferred_seen, &preferred_addrs, sizeof(preferred_addrs));
    assert_null(pair_conn(pair, SP_CLIENT)->handshake);
    /* The CID of the parameter, which no frame repeats. */
    const struct sp_cid_local *issued = &pair_conn(pair, SP_SERVER)->local_ids;
    const struct sp_cid_remote_entry *got = &pair_conn(pair, SP_CLIENT)->remote_ids.entries[1];
    assert_int_equal(issued->entries[1].sequence, 1);
    assert_true(sp_cid_equal(&issued->entries[1].cid, &got->cid));
    assert_memory_equal(issued->entries[1].reset_token, got->reset_token, SP_RESET_TOKEN_SIZE);

    pair_init(pair);
    pair->preferred = (struct sp_preferred){.v6 = preferred_addrs.v6};
    pair_connect(pair);
    assert_int_equal(pair->preferred_seen.v4.family, 0);
    assert_memory_equal(&pair->preferred_seen.v6, &preferred_addrs.v6, sizeof(preferred_addrs.v6));

    pair_init(pair);
    pair->preferred = (struct sp_preferred){0}; /* none at all: all CIDs come in frames */
    pair_connect(pair);
    assert_int_equal(pair->preferred_seen.v6.family, 0);
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        assert_true(pair_conn(pair, SP_CLIENT)->remote_ids.entries[i].is_used);
}

static void a_client_that_does_not_ask_hears_nothing(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->preferred = preferred_addrs;
    pair->config.follow_preferred = false;
    pair_connect(pair);
    assert_int_equal(pair->preferred_seen.v4.family, 0);
    assert_null(pair_conn(pair, SP_CLIENT)->handshake);
    write_some(pair, SP_CLIENT);
    pair_shuttle(pair);
    assert_int_equal(pair_conn(pair, SP_SERVER)->stats.stream_bytes_in, WRITE_SOME_BYTES);
}

/* What waits for the event is freed with the connection too. */
static void an_end_before_the_event_leaves_nothing(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->preferred = preferred_addrs;
    pair_start(pair);
    struct pair_packet packet;
    for (bool any = true; any;) { /* no event is taken */
        any = false;
        for (int from = 0; from < 2; from++)
            while (pair_conn(pair, (enum sp_role)from) != NULL &&
                   pair_take(pair, (enum sp_role)from, &packet)) {
                pair_deliver(pair, (enum sp_role)(1 - from), &packet);
                any = true;
            }
    }
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(client->handshake_state, SP_HANDSHAKE_CONFIRMED);
    assert_non_null(client->handshake);
    sp_conn_close(client, 0, NULL, 0, pair->now_ns);
    pair_pull(pair, SP_CLIENT);
    assert_int_equal(pair->preferred_seen.v4.family, 0);
}

/* [RFC9000 9.6.1, 9.6.2] */
static void it_moves_with_the_cid_of_the_parameter_and_leaves_the_other_address(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    move_to_preferred(pair);
    const struct sp_path path = to_preferred(pair), view = server_view_of(&path);
    assert_int_equal(shuttle_all(pair, false), 0);
    assert_true(sp_path_equal(sp_conn_path(pair_conn(pair, SP_CLIENT)), &path));
    assert_int_equal(pair_conn(pair, SP_CLIENT)->path->dcid_sequence, 1);
    /* What its server has sent before comes late, and is taken. */
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t dropped = client->stats.packets_dropped;
    struct sp_path before = path;
    before.remote = path_of(pair, SP_SERVER).local;
    before.local.port--;
    before.socket = 0;
    struct pair_packet packet;
    pair_make(pair, SP_CLIENT, SP_SPACE_APP, (const uint8_t *)"\1", 1, PAIR_FAULT_NONE, &packet);
    give(pair, SP_CLIENT, packet.data, packet.size, &before);
    assert_int_equal(client->stats.packets_dropped, dropped);
    assert_true(sp_conn_uses_socket(client, 0));
    pair_conn(pair, SP_SERVER)->loss.app.sent.next_pn += 1; /* the one that was made by hand */
    assert_int_equal(take_path_events(pair, SP_CLIENT, SP_PATH_PREFERRED), 1);

    write_some(pair, SP_CLIENT);
    write_some(pair, SP_SERVER);
    (void)shuttle_all(pair, false);
    assert_true(server_is_at(pair, &view));
    assert_int_equal(pair_conn(pair, SP_SERVER)->path->state, SP_PATH_PROVEN);
    assert_int_equal(take_path_events(pair, SP_SERVER, SP_PATH_PEER_MOVED), 1);
    assert_int_equal(pair_conn(pair, SP_SERVER)->stats.stream_bytes_in, WRITE_SOME_BYTES);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->stats.stream_bytes_in, WRITE_SOME_BYTES);
}

/* Answers the server's PATH_CHALLENGE by hand, with a packet that is a probe. */
static void give_response(struct conn_pair *pair, const struct sp_path *view)
{
    const struct sp_conn_path *path = sp_conn_path_find(pair_conn(pair, SP_SERVER), view);
    uint8_t response[9] = {0x1b};
    struct pair_packet packet;
    assert_non_null(path->validation);
    memcpy(response + 1, path->validation->sent[0].data, 8);
    pair_make(pair, SP_SERVER, SP_SPACE_APP, response, sizeof(response), PAIR_FAULT_NONE, &packet);
    give(pair, SP_SERVER, packet.data, packet.size, view);
}

/* [RFC9000 9.6.2] "until it receives a non-probing packet from the client at its preferred address
 * and until the server has validated the new path" */
static void a_server_sends_from_its_first_address_until_the_path_is_proven(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    const struct sp_path before = path_of(pair, SP_SERVER), path = to_preferred(pair);
    const struct sp_path view = server_view_of(&path);
    give_ping(pair, &view); /* no probe, and nothing is proven */
    assert_true(server_is_at(pair, &before));
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    struct sp_conn_path *candidate = sp_conn_path_find(server, &view);
    assert_non_null(candidate->validation); /* it is probed from there */
    write_some(pair, SP_SERVER);
    struct sent sent;
    while (take(pair, SP_SERVER, &sent))
        if (sp_path_equal(&sent.path, &view)) {
            assert_true(sent.size <= 100);
            assert_int_equal(candidate->validation->sent_count, 1);
        } else {
            assert_true(sp_path_equal(&sent.path, &before));
        }
    give_response(pair, &view);
    assert_true(server_is_at(pair, &view));
}

/* A probe alone does not move a server, and neither does an older packet. */
static void a_server_waits_for_a_packet_that_is_no_probe(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    const struct sp_path before = path_of(pair, SP_SERVER), path = to_preferred(pair);
    const struct sp_path view = server_view_of(&path);
    struct sent sent;
    struct pair_packet late;
    move_to_preferred(pair);
    pass_to(pair, SP_CLIENT, &preferred_addrs.v4); /* PATH_CHALLENGE */
    while (take(pair, SP_SERVER, &sent))           /* PATH_RESPONSE and PATH_CHALLENGE */
        assert_true(sp_path_equal(&sent.path, &view));
    pair_make(pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)"\1", 1, PAIR_FAULT_NONE, &late);
    give_ping(pair, &before);
    give_response(pair, &view);
    assert_int_equal(sp_conn_path_find(pair_conn(pair, SP_SERVER), &view)->state, SP_PATH_PROVEN);
    assert_true(server_is_at(pair, &before));
    give(pair, SP_SERVER, late.data, late.size, &view);
    assert_true(server_is_at(pair, &before));
    give_ping(pair, &view);
    assert_true(server_is_at(pair, &view));
}

/* [RFC9000 9.6.1] */
static void a_client_stays_if_the_preferred_address_does_not_answer(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    const struct sp_path before = path_of(pair, SP_CLIENT);
    move_to_preferred(pair);
    assert_move_fails(pair, &before);
    write_some(pair, SP_CLIENT);
    (void)shuttle_all(pair, false);
    assert_int_equal(pair_conn(pair, SP_SERVER)->stats.stream_bytes_in, WRITE_SOME_BYTES);
}

/* [RFC9000 9, 18.2] */
static void a_server_that_forbids_moves_may_prefer_an_address(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->preferred = preferred_addrs;
    pair->config.migration = false;
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct sp_path other = path_of(pair, SP_CLIENT);
    other.local.ip[3] += 50;
    assert_int_equal(sp_conn_migrate(client, &other, pair->now_ns), SP_INVALID);
    move_to_preferred(pair);
    (void)shuttle_all(pair, false);
    assert_true(sp_addr_equal(&sp_conn_path(client)->remote, &preferred_addrs.v4));
    other.remote = preferred_addrs.v4;
    assert_int_equal(sp_conn_migrate(client, &other, pair->now_ns), SP_DONE);
}

/* [RFC9000 9] A client takes nothing from an address to which it does not move. */
static void packets_from_a_preferred_address_are_dropped_before(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t dropped = client->stats.packets_dropped;
    struct pair_packet packet;
    pair_make(pair, SP_CLIENT, SP_SPACE_APP, (const uint8_t *)"\1", 1, PAIR_FAULT_NONE, &packet);
    struct sp_path path = path_of(pair, SP_CLIENT);
    path.remote = preferred_addrs.v4;
    give(pair, SP_CLIENT, packet.data, packet.size, &path);
    assert_int_equal(client->stats.packets_dropped, dropped + 1);
}

/* [RFC9000 9.6.3, 9.3.3] Who relays packets to the preferred address, from an address of its own,
 * and answers nothing, changes nothing. */
static void a_copy_to_the_preferred_address_moves_nobody(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    const struct sp_path before = path_of(pair, SP_SERVER);
    struct sp_path copy = before;
    copy.local = preferred_addrs.v4;
    copy.remote.ip[3] = 66;
    struct sent sent;
    write_some(pair, SP_CLIENT);
    while (take(pair, SP_CLIENT, &sent)) {
        give(pair, SP_SERVER, sent.data, sent.size, &copy);
        give(pair, SP_SERVER, sent.data, sent.size, &before);
        assert_true(server_is_at(pair, &before));
    }
    uint64_t left = 0;
    while (take(pair, SP_SERVER, &sent))
        left += sp_path_equal(&sent.path, &copy) ? sent.size : 0;
    assert_in_range(left, 1, 3 * WRITE_SOME_BYTES);
    assert_true(server_is_at(pair, &before));
}

/* [RFC9000 9.6.2, 9.3.3] The packet with which a client moves comes first as a copy, from an
 * address of an attacker who answers nothing. */
static void a_client_is_followed_though_a_copy_of_its_packet_came_first(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    const struct sp_path path = to_preferred(pair), view = server_view_of(&path);
    struct sp_path copy = view;
    copy.remote.ip[3] = 66;
    struct sent sent;
    move_to_preferred(pair);
    pass_to(pair, SP_CLIENT, &preferred_addrs.v4); /* PATH_CHALLENGE */
    pass_to(pair, SP_SERVER, &path.local);         /* .. and PATH_RESPONSE */
    assert_true(take(pair, SP_CLIENT, &sent));     /* PATH_RESPONSE, and more than probes */
    give(pair, SP_SERVER, sent.data, sent.size, &copy);
    give(pair, SP_SERVER, sent.data, sent.size, &view);
    assert_int_equal(sp_conn_path_find(pair_conn(pair, SP_SERVER), &view)->state, SP_PATH_PROVEN);
    assert_true(server_is_at(pair, &view));
    assert_int_equal(take_path_events(pair, SP_SERVER, SP_PATH_PEER_MOVED), 1);
}

/* .. and its PATH_RESPONSE comes after that. */
static void a_client_is_followed_once_it_is_proven_though_a_copy_came_first(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    const struct sp_path before = path_of(pair, SP_SERVER), path = to_preferred(pair);
    const struct sp_path view = server_view_of(&path);
    struct sp_path copy = view;
    copy.remote.ip[3] = 66;
    struct sent sent;
    move_to_preferred(pair);
    pass_to(pair, SP_CLIENT, &preferred_addrs.v4); /* PATH_CHALLENGE */
    while (take(pair, SP_SERVER, &sent))           /* its answer is given by hand */
        assert_true(sp_path_equal(&sent.path, &view));
    give_ping(pair, &copy);
    assert_true(server_is_at(pair, &before));
    give_response(pair, &view);
    assert_true(server_is_at(pair, &view));
}

/* [RFC9000 8.2.2, 14.2] The path may take no more: a PATH_RESPONSE in a larger datagram would be
 * lost again and again, and its peer waits for it. */
static void a_path_response_leaves_in_a_datagram_that_each_path_takes(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    pair_settle(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_true(server->datagram_size > SP_DATAGRAM_SIZE_MIN);
    static const uint8_t challenge[9] = {0x1a, 1, 2, 3, 4, 5, 6, 7, 8};
    const struct sp_path path = path_of(pair, SP_SERVER);
    struct pair_packet packet;
    struct sent sent;
    for (int i = 0; i < 3; i++)
        write_some(pair, SP_SERVER);
    pair_make(pair, SP_SERVER, SP_SPACE_APP, challenge, sizeof(challenge), PAIR_FAULT_NONE,
              &packet);
    give(pair, SP_SERVER, packet.data, packet.size, &path);
    assert_int_equal(server->path->response_count, 1);
    assert_true(take(pair, SP_SERVER, &sent));
    assert_int_equal(server->path->response_count, 0);
    assert_int_equal(sent.size, SP_DATAGRAM_SIZE_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, a_client_hears_of_the_addresses_once_the_handshake_is_confirmed),
        QT_TEST(conn_pair, a_client_that_does_not_ask_hears_nothing),
        QT_TEST(conn_pair, an_end_before_the_event_leaves_nothing),
        QT_TEST(conn_pair, it_moves_with_the_cid_of_the_parameter_and_leaves_the_other_address),
        QT_TEST(conn_pair, a_server_sends_from_its_first_address_until_the_path_is_proven),
        QT_TEST(conn_pair, a_server_waits_for_a_packet_that_is_no_probe),
        QT_TEST(conn_pair, a_client_stays_if_the_preferred_address_does_not_answer),
        QT_TEST(conn_pair, a_server_that_forbids_moves_may_prefer_an_address),
        QT_TEST(conn_pair, packets_from_a_preferred_address_are_dropped_before),
        QT_TEST(conn_pair, a_copy_to_the_preferred_address_moves_nobody),
        QT_TEST(conn_pair, a_path_response_leaves_in_a_datagram_that_each_path_takes),
        QT_TEST(conn_pair, a_client_is_followed_though_a_copy_of_its_packet_came_first),
        QT_TEST(conn_pair, a_client_is_followed_once_it_is_proven_though_a_copy_came_first),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
