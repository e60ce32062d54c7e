/* SPDX-License-Identifier: MIT */
/* Paths: rebinding, migration and their attacks: RFC 9000, Sections 8.2 and 9. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/mtu.h"
#include "proto/conn/paths.h"
#include "test/support/path_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static const uint8_t ping[] = {0x01};
static const uint8_t bytes[100000];

/* The server's view of a client at another port, or at another address. */
static struct sp_path other_port(const struct conn_pair *pair)
{
    struct sp_path path = path_of(pair, SP_SERVER);
    path.remote.port++;
    return path;
}

static struct sp_path other_address(const struct conn_pair *pair)
{
    struct sp_path path = path_of(pair, SP_SERVER);
    path.remote.ip[3] += 100;
    return path;
}

/* Carries everything between the client and the server, whose packets to `path` reach the client.
 * Others are lost. */
static void shuttle_by(struct conn_pair *pair, const struct sp_path *path)
{
    struct sent sent;
    for (bool any = true; any;) {
        any = false;
        while (take(pair, SP_CLIENT, &sent)) {
            any = true;
            give(pair, SP_SERVER, sent.data, sent.size, path);
        }
        while (take(pair, SP_SERVER, &sent)) {
            any = true;
            const struct sp_path client = path_of(pair, SP_CLIENT);
            if (sp_path_equal(&sent.path, path))
                give(pair, SP_CLIENT, sent.data, sent.size, &client);
        }
        pair_pull(pair, SP_CLIENT);
    }
}

/* Lets the time pass in which packets may come late. */
static void forget_left(struct conn_pair *pair, enum sp_role role)
{
    struct sp_conn *conn = pair_conn(pair, role);
    assert_int_equal(conn->path_count, 2);
    while (conn->paths_at_ns != SB_NEVER) {
        pair->now_ns = SB_MAX(pair->now_ns, conn->paths_at_ns);
        sp_conn_on_deadline(conn, pair->now_ns);
    }
}

/* ---- A server follows ---- */

/* [RFC9000 9.3] "only in response to the highest-numbered non-probing packet" */
static void a_server_follows_the_newest_packet_that_is_no_probe(void **state)
{
    struct conn_pair *pair = *state;
    static const uint8_t challenge[] = {0x1a, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t padded_ping[] = {0x00, 0x01};
    static const struct {
        const char *what;
        const uint8_t *frames;
        size_t size;
        bool is_late, want;
    } samples[] = {
        {"PING", ping, sizeof(ping), false, true},
        {"PADDING and PING", padded_ping, sizeof(padded_ping), false, true},
        {"PATH_CHALLENGE", challenge, sizeof(challenge), false, false},
        {"an older PING", ping, sizeof(ping), true, false},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        print_message("    %s\n", samples[i].what);
        pair_init(pair);
        pair_connect(pair);
        const struct sp_path before = path_of(pair, SP_SERVER), path = other_address(pair);
        struct pair_packet packet;
        pair_make(pair, SP_SERVER, SP_SPACE_APP, samples[i].frames, samples[i].size,
                  PAIR_FAULT_NONE, &packet);
        if (samples[i].is_late)
            give_ping(pair, &before);
        give(pair, SP_SERVER, packet.data, packet.size, &path);
        assert_true(server_is_at(pair, samples[i].want ? &path : &before));
    }
}

/* [RFC9000 9.3, 8.1] Three times what came, until a PATH_RESPONSE comes. */
static void a_new_address_gets_three_times_its_bytes_until_it_is_proven(void **state)
{
    struct conn_pair *pair = *state;
    uint64_t id;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(sp_conn_open(server, true, &id), SP_DONE);
    const struct sp_write write = {.data = bytes, .size = sizeof(bytes)};
    const struct sp_path path = other_address(pair);
    uint64_t came = 0, left = 0;
    for (int i = 0; i < 50; i++) {
        struct pair_packet packet;
        pair_make(pair, SP_SERVER, SP_SPACE_APP, ping, sizeof(ping), PAIR_FAULT_NONE, &packet);
        give(pair, SP_SERVER, packet.data, packet.size, &path);
        came += packet.size;
        if (i == 0)
            assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
        struct sent sent;
        while (take(pair, SP_SERVER, &sent))
            left += sp_path_equal(&sent.path, &path) ? sent.size : 0;
        assert_true(left <= 3 * came);
    }
    assert_true(left > 0);
    assert_true(server_is_at(pair, &path));
}

/* Not in the batch that confirms the handshake either: its state is freed at the end. */
static void bytes_of_another_address_are_not_credited(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_path before = path_of(pair, SP_SERVER), path = other_address(pair);
    give_ping(pair, &path);
    assert_true(server_is_at(pair, &path));
    uint64_t bytes_in = server->path->bytes_in;
    struct sp_handshake handshake = {0};
    assert_null(server->handshake);
    server->handshake = &handshake;
    sp_conn_path_credit(server, &before, 1000);
    server->handshake = NULL;
    assert_int_equal(server->path->bytes_in, bytes_in);
}

/* The only datagram from a new address may be the last that comes from there. */
static void one_small_datagram_of_a_new_address_pays_for_a_close(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_path path = other_address(pair);
    struct pair_packet packet;
    pair_make(pair, SP_SERVER, SP_SPACE_APP, ping, sizeof(ping), PAIR_FAULT_NONE, &packet);
    assert_true(packet.size < 32);
    give(pair, SP_SERVER, packet.data, packet.size, &path);
    assert_true(server_is_at(pair, &path));

    struct sent sent;
    sp_conn_close(server, UINT64_C(1) << 60, "reason", 6, pair->now_ns);
    assert_true(take(pair, SP_SERVER, &sent));
    assert_true(sp_path_equal(&sent.path, &path));
    assert_true(sent.size <= 3 * packet.size);
    const struct sp_path client = path_of(pair, SP_CLIENT);
    give(pair, SP_CLIENT, sent.data, sent.size, &client);
    assert_true(sp_conn_is_closed(pair_conn(pair, SP_CLIENT)));
}

static void a_move_that_is_proven_is_reported_and_gets_all_bytes(void **state)
{
    struct conn_pair *pair = *state;
    for (int i = 0; i < 2; i++) {
        uint64_t id;
        pair_init(pair);
        pair->config.pacing = false;
        pair_connect(pair);
        pair_pull(pair, SP_SERVER);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        const struct sp_write write = {.data = bytes, .size = sizeof(bytes)};
        const struct sp_path path = i == 0 ? other_port(pair) : other_address(pair);
        assert_int_equal(sp_conn_open(server, true, &id), SP_DONE);
        assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
        assert_int_equal(sp_conn_open(pair_conn(pair, SP_CLIENT), true, &id), SP_DONE);
        assert_int_equal(sp_conn_write(pair_conn(pair, SP_CLIENT), id, &write), SP_DONE);
        shuttle_by(pair, &path);
        assert_true(server_is_at(pair, &path));
        assert_int_equal(server->path->state, SP_PATH_PROVEN);
        forget_left(pair, SP_SERVER);
        assert_int_equal(server->path_count, 1);
        assert_int_equal(take_path_events(pair, SP_SERVER, SP_PATH_PEER_MOVED), 1);
        assert_int_equal(server->stats.stream_bytes_acked, sizeof(bytes));
    }
}

/* [RFC9000 9.4] */
static void what_is_known_stays_if_only_the_port_changed(void **state)
{
    struct conn_pair *pair = *state;
    for (int i = 0; i < 2; i++) {
        pair_init(pair);
        pair_connect(pair);
        pair_settle(pair);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        const struct sp_path path = i == 0 ? other_port(pair) : other_address(pair);
        server->loss.path->cc.cwnd_bytes = 77777;
        server->loss.path->rtt.smoothed_ns = 5 * SB_MS;
        size_t size = server->datagram_size;
        assert_true(size > SP_DATAGRAM_SIZE_MIN);
        give_ping(pair, &path);
        assert_true(server_is_at(pair, &path));
        bool is_kept = i == 0;
        assert_int_equal(server->loss.path->cc.cwnd_bytes == 77777, is_kept);
        assert_int_equal(server->loss.path->rtt.smoothed_ns == 5 * SB_MS, is_kept);
        assert_int_equal(server->datagram_size, is_kept ? size : (size_t)SP_DATAGRAM_SIZE_MIN);
    }
}

/* ---- It comes back ---- */

/* The peer returns to the address from which it came, while packets to that are in flight: without
 * answers of ours it acknowledges none of them. */
static void a_server_follows_its_client_back_to_a_path_that_it_left(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_path before = path_of(pair, SP_SERVER), path = other_address(pair);
    uint64_t id;
    const struct sp_write write = {.data = bytes, .size = sizeof(bytes)};
    give_ping(pair, &path);
    server->path->bytes_in = 4000; /* enough for some datagrams */
    assert_int_equal(sp_conn_open(server, true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
    uint64_t end_ns = pair->now_ns + 4 * SB_S;
    while (pair->now_ns < end_ns) { /* the new address does not answer for a while */
        struct sent sent;
        while (take(pair, SP_SERVER, &sent))
            continue;
        pair->now_ns = SB_MIN(SB_MAX(pair->now_ns, sp_conn_deadline_ns(server)), end_ns);
        sp_conn_on_deadline(server, pair->now_ns);
    }
    assert_true(server_is_at(pair, &before));
    assert_int_equal(server->path_count, 1); /* no packet in flight keeps a place */
    give_ping(pair, &path);
    assert_true(server_is_at(pair, &path));
}

/* [RFC9000 9.3.3] The copy of a packet comes first, from elsewhere. */
static void an_attacker_who_copies_packets_moves_a_connection_once(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    const struct sp_path before = path_of(pair, SP_SERVER), path = other_address(pair);
    struct sent sent;
    give_ping(pair, &path);
    assert_true(server_is_at(pair, &path));

    bool was_old_challenged = false, was_new_challenged = false;
    while (take(pair, SP_SERVER, &sent)) {
        bool is_old = sp_path_equal(&sent.path, &before);
        was_old_challenged |= is_old;
        was_new_challenged |= !is_old;
        const struct sp_path client = path_of(pair, SP_CLIENT);
        if (is_old) /* the other never arrives */
            give(pair, SP_CLIENT, sent.data, sent.size, &client);
    }
    assert_true(was_old_challenged && was_new_challenged);
    pair_conn(pair, SP_CLIENT)->loss.app.sent.next_pn += 10; /* those that were made by hand */
    while (take(pair, SP_CLIENT, &sent))
        give(pair, SP_SERVER, sent.data, sent.size, &before);
    assert_true(server_is_at(pair, &before));

    pair->ends[SP_CLIENT].next_pn[SP_SPACE_APP] += 20;
    give_ping(pair, &path);
    assert_true(server_is_at(pair, &before));
}

/* [RFC9000 9.3.2] */
static void a_server_returns_when_the_new_address_does_not_answer(void **state)
{
    struct conn_pair *pair = *state;
    for (int i = 0; i < 2; i++) {
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        const struct sp_path before = path_of(pair, SP_SERVER);
        const struct sp_path path = i == 0 ? other_port(pair) : other_address(pair);
        give_ping(pair, &path);
        uint64_t end_ns = pair->now_ns + 4 * SB_S;
        while (pair->now_ns < end_ns) {
            struct sent sent;
            while (take(pair, SP_SERVER, &sent))
                continue;
            pair->now_ns = SB_MIN(SB_MAX(pair->now_ns, sp_conn_deadline_ns(server)), end_ns);
            sp_conn_on_deadline(server, pair->now_ns);
        }
        assert_true(server_is_at(pair, &before));
        assert_int_equal(server->state, SP_CONN_OPEN);
        assert_int_equal(take_path_events(pair, SP_SERVER, SP_PATH_PEER_MOVED), 0);
    }
}

/* The client retires all CIDs that the server has, and issues one. */
static void leave_one_cid(struct conn_pair *pair, const struct sp_path *path)
{
    static const uint8_t frame[] = "\x18\x09\x09\x08"
                                   "DDDDDDDD"
                                   "UUUUUUUUUUUUUUUU";
    struct pair_packet packet;
    pair_make(pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame) - 1, PAIR_FAULT_NONE, &packet);
    give(pair, SP_SERVER, packet.data, packet.size, path);
}

/* [RFC9000 9.3.2] "If an endpoint has no state about the last validated peer address, it MUST close
 * the connection silently": no CID is left for it [9.5]. */
static void a_server_without_a_path_to_return_to_closes_in_silence(void **state)
{
    struct conn_pair *pair = *state;
    for (int i = 0; i < 2; i++) {
        pair_init(pair);
        pair_connect(pair);
        pair_pull(pair, SP_SERVER);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        const struct sp_path path = i == 0 ? other_port(pair) : other_address(pair);
        give_ping(pair, &path);
        leave_one_cid(pair, &path);
        assert_int_equal(server->state, SP_CONN_OPEN);
        struct sent sent;
        while (take(pair, SP_SERVER, &sent))
            assert_true(sp_path_equal(&sent.path, &path));
        uint64_t end_ns = pair->now_ns + 4 * SB_S;
        while (pair->now_ns < end_ns && !sp_conn_is_closed(server)) {
            pair->now_ns = SB_MIN(SB_MAX(pair->now_ns, sp_conn_deadline_ns(server)), end_ns);
            sp_conn_on_deadline(server, pair->now_ns);
            while (!sp_conn_is_closed(server) && take(pair, SP_SERVER, &sent))
                assert_true(sp_path_equal(&sent.path, &path));
        }
        assert_true(sp_conn_is_drained(server));
        assert_int_equal(server->close.kind, SP_CLOSE_TRANSPORT);
        assert_int_equal(server->close.error, SP_ERR_NO_VIABLE_PATH);
        assert_true(server->close.is_local);
        assert_false(take(pair, SP_SERVER, &sent));
    }
}

/* [RFC9000 9.5] The client uses one CID of ours from both addresses: so may we, but none that it
 * has retired. */
static void no_path_uses_a_cid_that_was_retired(void **state)
{
    struct conn_pair *pair = *state;
    static const uint8_t challenge[] = {0x1a, 1, 2, 3, 4, 5, 6, 7, 8};
    pair_init(pair);
    pair_connect(pair);
    const struct sp_path before = path_of(pair, SP_SERVER), path = other_address(pair);
    give_ping(pair, &path);
    leave_one_cid(pair, &path);
    struct pair_packet packet;
    pair_make(pair, SP_SERVER, SP_SPACE_APP, challenge, sizeof(challenge), PAIR_FAULT_NONE,
              &packet);
    give(pair, SP_SERVER, packet.data, packet.size, &before);
    assert_true(server_is_at(pair, &path));
    struct sent sent;
    while (take(pair, SP_SERVER, &sent))
        assert_memory_equal(sent.data + 1, "DDDDDDDD", 8);
    give_ping(pair, &before); /* the newest packet brings it back, with the CID that is left */
    while (take(pair, SP_SERVER, &sent))
        assert_memory_equal(sent.data + 1, "DDDDDDDD", 8);
}

/* ---- Floods ---- */

/* The table is full: the packets are handled, and their addresses are not followed. */
static void challenges_from_many_addresses_take_no_more_than_the_table(void **state)
{
    struct conn_pair *pair = *state;
    static const uint8_t challenge[] = {0x1a, 1, 2, 3, 4, 5, 6, 7, 8};
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_path before = path_of(pair, SP_SERVER);
    for (uint32_t i = 0; i < 200; i++) {
        struct sp_path path = before;
        path.remote.ip[2] = (uint8_t)(i + 1);
        struct pair_packet packet;
        pair_make(pair, SP_SERVER, SP_SPACE_APP, challenge, sizeof(challenge), PAIR_FAULT_NONE,
                  &packet);
        give(pair, SP_SERVER, packet.data, packet.size, &path);
        assert_true(server->path_count <= SP_PATHS_MAX);
        struct sent sent;
        uint64_t left = 0;
        while (take(pair, SP_SERVER, &sent))
            left += sp_path_equal(&sent.path, &path) ? sent.size : 0;
        assert_true(left <= 3 * packet.size);
    }
    assert_true(server_is_at(pair, &before));
    assert_int_equal(server->state, SP_CONN_OPEN);
}

/* A copy of an old packet makes a path that is neither used nor validated. */
static void a_path_that_nothing_comes_of_is_forgotten(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_path before = path_of(pair, SP_SERVER), path = other_address(pair);
    struct pair_packet packet;
    for (int i = 0; i < 3; i++) {
        pair_make(pair, SP_SERVER, SP_SPACE_APP, ping, sizeof(ping), PAIR_FAULT_NONE, &packet);
        give_ping(pair, &before);
        give(pair, SP_SERVER, packet.data, packet.size, &path);
        assert_true(server_is_at(pair, &before));
        assert_true(sp_conn_deadline_ns(server) <= pair->now_ns + SB_S);
        forget_left(pair, SP_SERVER);
        assert_int_equal(server->path_count, 1);
    }
}

/* [RFC9000 9.2, 9.5] */
/* ---- A client moves ---- */

static struct sp_path moved_client(const struct conn_pair *pair)
{
    struct sp_path path = path_of(pair, SP_CLIENT);
    path.local.ip[3] += 50;
    path.socket = 9;
    return path;
}

static void a_client_moves_with_another_cid_once_the_new_path_is_proven(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_path path = moved_client(pair);
    assert_int_equal(sp_conn_migrate(client, &path, pair->now_ns), SP_DONE);
    assert_int_equal(sp_conn_migrate(client, &path, pair->now_ns), SP_AGAIN);
    assert_true(sp_conn_uses_socket(client, 9));
    assert_int_equal(shuttle_all(pair, false), 0);
    assert_true(sp_path_equal(sp_conn_path(client), &path));
    assert_int_equal(take_path_events(pair, SP_CLIENT, SP_PATH_MIGRATED), 1);
    assert_true(sp_conn_uses_socket(client, 0)); /* for what comes late */
    forget_left(pair, SP_CLIENT);
    assert_false(sp_conn_uses_socket(client, 0));

    uint64_t id;
    const struct sp_write write = {.data = bytes, .size = 10000, .fin = true};
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
    (void)shuttle_all(pair, false);
    const struct sp_path view = server_view_of(&path);
    assert_true(server_is_at(pair, &view));
    assert_int_equal(take_path_events(pair, SP_SERVER, SP_PATH_PEER_MOVED), 1);
}

/* [RFC9000 8.2.2] The server has left that path, and waits for what comes late by it. */
static void a_client_may_go_back_at_once(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct sp_path from = path_of(pair, SP_CLIENT), to = moved_client(pair);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(sp_conn_migrate(client, &to, pair->now_ns), SP_DONE);
        assert_int_equal(shuttle_all(pair, false), 0);
        assert_int_equal(take_path_events(pair, SP_CLIENT, SP_PATH_MIGRATED), 1);
        client->app.probe_count = 1; /* more than a probe */
        assert_int_equal(shuttle_all(pair, false), 0);
        const struct sp_path view = server_view_of(&to), left = server_view_of(&from);
        assert_true(server_is_at(pair, &view));
        const struct sp_conn_path *path = sp_conn_path_find(pair_conn(pair, SP_SERVER), &left);
        assert_true(path != NULL && path->state == SP_PATH_LEFT);
        const struct sp_path before = from;
        from = to;
        to = before;
    }
}

static void a_client_stays_where_it_is_if_the_new_path_does_not_work(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_path before = path_of(pair, SP_CLIENT), path = moved_client(pair);
    assert_int_equal(sp_conn_migrate(client, &path, pair->now_ns), SP_DONE);
    assert_move_fails(pair, &before);
    assert_int_equal(sp_conn_migrate(client, &path, pair->now_ns), SP_DONE); /* once more */
}

/* [RFC9000 9] */
static void who_may_not_move_is_told_so(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->config.migration = false;
    pair_connect(pair);
    struct sp_path path = moved_client(pair);
    assert_int_equal(sp_conn_migrate(pair_conn(pair, SP_CLIENT), &path, pair->now_ns), SP_INVALID);
    assert_int_equal(sp_conn_migrate(pair_conn(pair, SP_SERVER), &path, pair->now_ns), SP_INVALID);
    sp_conn_close(pair_conn(pair, SP_CLIENT), 0, NULL, 0, pair->now_ns);
    assert_int_equal(sp_conn_migrate(pair_conn(pair, SP_CLIENT), &path, pair->now_ns), SP_CLOSED);

    pair_init(pair);
    pair_start(pair);
    path = moved_client(pair);
    assert_int_equal(sp_conn_migrate(pair_conn(pair, SP_CLIENT), &path, pair->now_ns), SP_AGAIN);
}

/* Takes a packet of the client that asks for an answer. */
static void take_request(struct conn_pair *pair, struct sent *ret)
{
    const struct sp_write write = {.data = bytes, .size = 1, .fin = true};
    uint64_t id;
    assert_int_equal(sp_conn_open(pair_conn(pair, SP_CLIENT), true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(pair_conn(pair, SP_CLIENT), id, &write), SP_DONE);
    assert_true(take(pair, SP_CLIENT, ret));
}

/* A copy that overtakes its original moves the server away for a round trip, in which it learns
 * what became of the probe. */
static void a_probe_for_the_mtu_counts_while_another_path_is_used(void **state)
{
    struct conn_pair *pair = *state;
    enum { SIZE = 1472 };
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        struct sent copied, probe;
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        const struct sp_path before = path_of(pair, SP_SERVER), path = other_address(pair);
        const struct sp_path client = path_of(pair, SP_CLIENT);
        sp_pmtu_init(&server->path->pmtu);
        server->datagram_size = SP_DATAGRAM_SIZE_MIN;
        sp_conn_mtu_start_path(server->path, SIZE, pair->now_ns);
        take_request(pair, &copied);
        assert_true(take(pair, SP_SERVER, &probe));
        assert_int_equal(probe.size, SIZE);
        if (!is_lost)
            give(pair, SP_CLIENT, probe.data, probe.size, &client);
        give(pair, SP_SERVER, copied.data, copied.size, &path);
        assert_true(server_is_at(pair, &path));
        for (int i = 0; i < 4; i++) { /* enough for a loss */
            pair->now_ns += SB_MS;
            shuttle_by(pair, &before);
            write_some(pair, SP_SERVER);
        }
        assert_true(server_is_at(pair, &before));
        shuttle_by(pair, &before);
        assert_int_equal(server->path->pmtu.size, SIZE);
        assert_int_equal(server->datagram_size, SIZE);
        assert_int_equal(server->loss.path->cc.datagram_bytes, SIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, a_server_follows_the_newest_packet_that_is_no_probe),
        QT_TEST(conn_pair, a_new_address_gets_three_times_its_bytes_until_it_is_proven),
        QT_TEST(conn_pair, bytes_of_another_address_are_not_credited),
        QT_TEST(conn_pair, a_probe_for_the_mtu_counts_while_another_path_is_used),
        QT_TEST(conn_pair, one_small_datagram_of_a_new_address_pays_for_a_close),
        QT_TEST(conn_pair, a_move_that_is_proven_is_reported_and_gets_all_bytes),
        QT_TEST(conn_pair, what_is_known_stays_if_only_the_port_changed),
        QT_TEST(conn_pair, a_server_follows_its_client_back_to_a_path_that_it_left),
        QT_TEST(conn_pair, an_attacker_who_copies_packets_moves_a_connection_once),
        QT_TEST(conn_pair, a_server_returns_when_the_new_address_does_not_answer),
        QT_TEST(conn_pair, a_server_without_a_path_to_return_to_closes_in_silence),
        QT_TEST(conn_pair, no_path_uses_a_cid_that_was_retired),
        QT_TEST(conn_pair, challenges_from_many_addresses_take_no_more_than_the_table),
        QT_TEST(conn_pair, a_path_that_nothing_comes_of_is_forgotten),
        QT_TEST(conn_pair, a_client_moves_with_another_cid_once_the_new_path_is_proven),
        QT_TEST(conn_pair, a_client_may_go_back_at_once),
        QT_TEST(conn_pair, a_client_stays_where_it_is_if_the_new_path_does_not_work),
        QT_TEST(conn_pair, who_may_not_move_is_told_so),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
