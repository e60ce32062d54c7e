/* SPDX-License-Identifier: MIT */
/* Whose packets are believed: connection IDs, versions, addresses, and the transport parameters
 * that confirm them. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/wire/tparam.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static enum sp_role peer_of(uint32_t role)
{
    return role == SP_CLIENT ? SP_SERVER : SP_CLIENT;
}

static void assert_dropped(const struct sp_conn *conn, const struct sp_counters *before)
{
    assert_int_equal(conn->state, SP_CONN_OPEN);
    assert_int_equal(conn->stats.packets_in, before->packets_in);
    assert_true(conn->stats.packets_dropped > before->packets_dropped);
}

/* ---- Versions ---- */

/* A Version Negotiation that fits the client's first packet and offers only another version. */
static void give_negotiation(struct conn_pair *pair)
{
    const uint32_t versions[] = {2};
    const struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct pair_packet packet;
    struct sb_writer w = sb_writer_of(packet.data, sizeof(packet.data));
    sp_header_write_version_negotiation(
        &w, 0,
        (struct sb_bytes){client->local_ids.entries[0].cid.bytes,
                          client->local_ids.entries[0].cid.size},
        (struct sb_bytes){client->original_dcid.bytes, client->original_dcid.size}, versions, 1);
    packet.size = sb_writer_used(&w);
    pair_deliver(pair, SP_CLIENT, &packet);
}

/* [RFC9000 6.2] */
static void a_version_negotiation_counts_before_any_other_packet(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    pair_init(pair);
    pair_start(pair);
    give_negotiation(pair);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->close.kind, SP_CLOSE_VERSION);

    pair_init(pair);
    pair_start_answered(pair, &packet);
    pair_deliver(pair, SP_CLIENT, &packet);
    const struct sp_counters before = pair_conn(pair, SP_CLIENT)->stats;
    give_negotiation(pair);
    assert_dropped(pair_conn(pair, SP_CLIENT), &before);

    pair_init(pair);
    pair_start(pair);
    pair_conn(pair, SP_CLIENT)->handshake->has_retry = true;
    give_negotiation(pair);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->state, SP_CONN_OPEN);
}

/* [RFC9000 5.2.1] */
static void a_packet_of_another_version_is_dropped(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    pair_init(pair);
    pair_start_answered(pair, &packet);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_counters before = client->stats;
    packet.data[4] = 2;
    pair_deliver(pair, SP_CLIENT, &packet);
    assert_dropped(client, &before);
    assert_false(client->handshake->server_cid_is_known);
}

/* ---- Connection IDs ---- */

static void take_header(struct conn_pair *pair, enum sp_role from, struct sp_header *ret)
{
    struct pair_packet packet;
    assert_true(pair_take(pair, from, &packet));
    assert_true(sp_header_read(packet.data, packet.size, pair->config.cid_size, ret));
}

/* [RFC9000 7.2] */
static void a_client_keeps_its_first_destination_until_the_server_answers(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_header first, header;
    pair_init(pair);
    pair->config.handshake_timeout_ns = 0;
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    take_header(pair, SP_CLIENT, &first);
    assert_int_equal(first.type, SP_PACKET_INITIAL);
    assert_in_range(first.dcid.size, SP_INITIAL_DCID_SIZE_MIN, SP_CID_SIZE_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        pair->now_ns = sp_conn_deadline_ns(client);
        sp_conn_on_deadline(client, pair->now_ns);
        take_header(pair, SP_CLIENT, &header);
        assert_true(sp_cid_equal(&header.dcid, &first.dcid));
        assert_true(sp_cid_equal(&header.scid, &first.scid));
    }
}

/* [RFC9000 7.2] The packets are authentic but for their source CID. */
static void a_second_source_cid_is_not_believed(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t role = 0; role < 2; role++) {
        pair_init(pair);
        pair->tls_plan.certificate_size = 6000; /* so that a flight is not all of it */
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
        struct sp_handshake *peer = pair_conn(pair, peer_of(role))->handshake;
        struct sp_cid *scid = role == SP_CLIENT ? &peer->server_scid : &peer->client_scid;
        const struct sp_cid old = *sp_cid_remote_active(&conn->remote_ids);
        assert_true(sp_cid_equal(&old, scid));

        struct pair_packet packets[3];
        const enum sp_space space = role == SP_CLIENT ? SP_SPACE_HANDSHAKE : SP_SPACE_INITIAL;
        pair_make(pair, (enum sp_role)role, space, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE,
                  &packets[0]);
        scid->bytes[0] ^= 1;
        pair_make(pair, (enum sp_role)role, space, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE,
                  &packets[1]);
        const struct sp_counters before = conn->stats;
        pair_deliver(pair, (enum sp_role)role, &packets[1]);
        assert_dropped(conn, &before);
        assert_true(sp_cid_equal(&old, sp_cid_remote_active(&conn->remote_ids)));
        pair_deliver(pair, (enum sp_role)role, &packets[0]);
        assert_int_equal(conn->stats.packets_in, before.packets_in + 1);
    }
}

/* [RFC9000 5.1.1] */
static void packets_to_an_issued_cid_are_taken_until_it_is_retired(void **state)
{
    struct conn_pair *pair = *state;
    static const uint8_t ping[] = {SP_FRAME_PING};
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    struct sp_cid_remote *known = &pair_conn(pair, SP_CLIENT)->remote_ids;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        assert_true(known->entries[i].is_used);
        known->active = i;
        const struct sp_counters before = server->stats;
        pair_inject(pair, SP_SERVER, SP_SPACE_APP, ping, sizeof(ping), PAIR_FAULT_NONE);
        assert_int_equal(server->stats.packets_in, before.packets_in + 1);
    }
    known->active = 0;
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)"\x19\x01", 2, PAIR_FAULT_NONE);
    while (known->entries[known->active].sequence != 1)
        known->active++;
    const struct sp_counters before = server->stats;
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, ping, sizeof(ping), PAIR_FAULT_NONE);
    assert_dropped(server, &before);
}

/* ---- Addresses ---- */

/* [RFC9000 9] "If a client receives packets from an unknown server address, the client MUST discard
 * these packets." */
static void a_client_drops_datagrams_from_another_address(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t i = 0; i < 4; i++) {
        const enum sp_role role = SP_CLIENT;
        struct pair_packet packet;
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *conn = pair_conn(pair, role);
        pair_make(pair, role, SP_SPACE_APP, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE, &packet);
        struct sp_datagram datagram = {
            .data = packet.data, .size = packet.size, .path = conn->path->path};
        if (i < 2)
            datagram.path.remote.port++;
        else
            datagram.path.remote.ip[3]++;
        const struct sp_path path = conn->path->path;
        const struct sp_counters before = conn->stats;
        sp_conn_receive(conn, &datagram, 1, pair->now_ns);
        assert_dropped(conn, &before);
        assert_true(sp_addr_equal(&conn->path->path.remote, &path.remote));
        datagram.path = path;
        sp_conn_receive(conn, &datagram, 1, pair->now_ns);
        assert_int_equal(conn->stats.packets_in, before.packets_in + 1);
    }
}

/* ---- Transport parameters ---- */

static const struct parameters {
    const char *why;
    enum sp_role sender;
    void (*change)(struct sp_tparams *params);
    bool is_refused;
} *changed;

static bool start_changed(struct sp_tls *tls, const uint8_t *encoded, size_t size)
{
    uint8_t bytes[SP_TPARAMS_SIZE_MAX];
    struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
    struct sp_tparams params;
    assert_int_equal(sp_tparams_read((struct sb_bytes){encoded, size}, SP_SERVER, &params), SP_OK);
    if (params.has_original_dcid == (changed->sender == SP_SERVER))
        changed->change(&params);
    sp_tparams_write(&w, &params, 1);
    assert_false(w.failed);
    return qs_null_tls_ops.start(tls, bytes, sb_writer_used(&w));
}

static void change_nothing(struct sp_tparams *params)
{
    (void)params;
}

static void change_initial_scid(struct sp_tparams *params)
{
    params->initial_scid.bytes[0] ^= 1;
}

static void shorten_initial_scid(struct sp_tparams *params)
{
    params->initial_scid.size--;
}

static void leave_out_initial_scid(struct sp_tparams *params)
{
    params->has_initial_scid = false;
}

static void change_original_dcid(struct sp_tparams *params)
{
    params->original_dcid.bytes[0] ^= 1;
}

static void leave_out_original_dcid(struct sp_tparams *params)
{
    params->has_original_dcid = false;
}

static void add_retry_scid(struct sp_tparams *params)
{
    params->has_retry_scid = true;
}

/* Begins a handshake in which one side's parameters are changed. */
static void start_with(struct conn_pair *pair, const struct parameters *how)
{
    static struct sp_tls_ops ops;
    ops = qs_null_tls_ops;
    ops.start = start_changed;
    changed = how;
    pair_init(pair);
    pair->tls_ops = &ops;
    pair_start(pair);
}

/* [RFC9000 7.3] */
static void parameters_must_name_the_cids_of_the_packets(void **state)
{
    struct conn_pair *pair = *state;
    static const struct parameters samples[] = {
        {"nothing, server", SP_SERVER, change_nothing, false},
        {"nothing, client", SP_CLIENT, change_nothing, false},
        {"another source CID, server", SP_SERVER, change_initial_scid, true},
        {"another source CID, client", SP_CLIENT, change_initial_scid, true},
        {"a shorter source CID, server", SP_SERVER, shorten_initial_scid, true},
        {"a shorter source CID, client", SP_CLIENT, shorten_initial_scid, true},
        {"no source CID, server", SP_SERVER, leave_out_initial_scid, true},
        {"no source CID, client", SP_CLIENT, leave_out_initial_scid, true},
        {"another first destination", SP_SERVER, change_original_dcid, true},
        {"no first destination", SP_SERVER, leave_out_original_dcid, true},
        {"a Retry that was not sent", SP_SERVER, add_retry_scid, true},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        start_with(pair, &samples[i]);
        pair_shuttle(pair);
        const struct sp_conn *receiver = pair_conn(pair, peer_of(changed->sender));
        const uint64_t error =
            receiver->state == SP_CONN_OPEN ? (uint64_t)SP_OK : receiver->close.error;
        if (error != (uint64_t)(changed->is_refused ? SP_ERR_TRANSPORT_PARAMETER : SP_OK))
            fail_msg("%s: 0x%llx", changed->why, (unsigned long long)error);
    }
}

static void empty_initial_scid(struct sp_tparams *params)
{
    params->initial_scid.size = 0;
}

/* [RFC9000 7.3] A parameter that is absent is not an empty one. */
static void an_empty_cid_is_named_as_well(void **state)
{
    struct conn_pair *pair = *state;
    static const struct parameters samples[] = {
        {"an empty source CID", SP_CLIENT, empty_initial_scid, false},
        {"none", SP_CLIENT, leave_out_initial_scid, true},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        start_with(pair, &samples[i]);
        pair_conn(pair, SP_CLIENT)->handshake->client_scid.size = 0; /* of its packets */
        pair_carry(pair, SP_CLIENT);
        const struct sp_conn *server = pair_conn(pair, SP_SERVER);
        if (changed->is_refused)
            assert_int_equal(server->close.error, SP_ERR_TRANSPORT_PARAMETER);
        else
            assert_int_equal(server->state, SP_CONN_OPEN);
    }
}

/* [RFC9000 7.3] A client that was sent a Retry hears of it in the parameters too. */
static void a_retry_must_be_confirmed(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t is_right = 0; is_right < 2; is_right++) {
        pair_init(pair);
        pair_start(pair);
        struct sp_handshake *client = pair_conn(pair, SP_CLIENT)->handshake;
        client->has_retry = true;
        client->retry_scid = sp_cid_of((const uint8_t *)"RETRYCID", 8);
        struct pair_packet packet;
        static struct sp_tls_ops ops;
        static const struct parameters right = {"", SP_SERVER, add_retry_scid, false};
        static const struct parameters absent = {"", SP_SERVER, change_nothing, false};
        ops = qs_null_tls_ops;
        ops.start = start_changed;
        pair->tls_ops = &ops;
        changed = is_right ? &right : &absent;
        if (is_right) /* the parameter that add_retry_scid() adds is empty */
            client->retry_scid.size = 0;
        assert_true(pair_take(pair, SP_CLIENT, &packet));
        pair_deliver(pair, SP_SERVER, &packet);
        pair_carry(pair, SP_SERVER);
        const struct sp_conn *conn = pair_conn(pair, SP_CLIENT);
        if (is_right)
            assert_int_equal(conn->state, SP_CONN_OPEN);
        else
            assert_int_equal(conn->close.error, SP_ERR_TRANSPORT_PARAMETER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, a_version_negotiation_counts_before_any_other_packet),
        QT_TEST(conn_pair, a_packet_of_another_version_is_dropped),
        QT_TEST(conn_pair, a_client_keeps_its_first_destination_until_the_server_answers),
        QT_TEST(conn_pair, a_second_source_cid_is_not_believed),
        QT_TEST(conn_pair, packets_to_an_issued_cid_are_taken_until_it_is_retired),
        QT_TEST(conn_pair, a_client_drops_datagrams_from_another_address),
        QT_TEST(conn_pair, parameters_must_name_the_cids_of_the_packets),
        QT_TEST(conn_pair, an_empty_cid_is_named_as_well),
        QT_TEST(conn_pair, a_retry_must_be_confirmed),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
