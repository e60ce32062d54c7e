/* SPDX-License-Identifier: MIT */
/* Versions 1 and 2 on a live connection: what moves it from one to the other, and what must not. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/conn/version.h"
#include "proto/wire/tparam.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

#define V1       "\0\0\0\1"
#define V2       "\x6b\x33\x43\xcf"
#define RESERVED "\x0a\x1a\x2a\x3a"

/* The server moves clients of version 1, which accept it, to version 2. */
static void upgrade_init(struct conn_pair *pair)
{
    pair_init(pair);
    pair->config.versions = (struct sp_versions){.count = 2, .list = {SP_VERSION_2, SP_VERSION_1}};
    pair->config.first_version = SP_VERSION_1;
}

/* [RFC9369 4.1] */
static void all_crypto_of_a_server_has_the_negotiated_version(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    upgrade_init(pair);
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    while (pair_take(pair, SP_SERVER, &packet)) {
        struct sp_header header;
        for (size_t at = 0; at < packet.size; at += header.size) {
            assert_true(sp_header_read(packet.data + at, packet.size - at, 8, &header));
            if (header.type != SP_PACKET_ONE_RTT)
                assert_int_equal(header.version, SP_VERSION_2);
        }
        pair_deliver(pair, SP_CLIENT, &packet);
    }
    pair_shuttle(pair);
    for (uint32_t role = 0; role < 2; role++) {
        const struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
        assert_int_equal(conn->version, SP_VERSION_2);
        assert_int_equal(conn->handshake_state, SP_HANDSHAKE_CONFIRMED);
    }
}

/* [RFC9369 4.1] The server reads Initials of the first version until a Handshake packet comes. */
static void the_first_flight_may_come_again(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet first;
    struct pair_packet answer;
    upgrade_init(pair);
    pair_start(pair);
    assert_true(pair_take(pair, SP_CLIENT, &first));
    pair_deliver(pair, SP_SERVER, &first);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(server->version, SP_VERSION_2);
    while (pair_take(pair, SP_SERVER, &answer))
        continue; /* lost */

    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    pair->now_ns = sp_conn_deadline_ns(client);
    sp_conn_on_deadline(client, pair->now_ns);
    const struct sp_counters before = server->stats;
    assert_true(pair_take(pair, SP_CLIENT, &first));
    struct sp_header header;
    assert_true(sp_header_read(first.data, first.size, 8, &header));
    assert_int_equal(header.version, SP_VERSION_1);
    pair_deliver(pair, SP_SERVER, &first);
    assert_int_equal(server->stats.packets_in, before.packets_in + 1);
    pair_shuttle(pair);
    assert_int_equal(server->handshake_state, SP_HANDSHAKE_CONFIRMED);
    assert_int_equal(client->version, SP_VERSION_2);
}

/* [RFC9369 4.1] CRYPTO in the first version means that it stays. */
static void a_settled_client_reads_no_other_version(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    pair_init(pair);
    pair_start_answered(pair, &packet);
    pair_deliver(pair, SP_CLIENT, &packet);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_true(client->handshake->version_is_settled);
    bool may_come = true;
    assert_null(sp_conn_long_key(client, SP_SPACE_INITIAL, SP_VERSION_2, &may_come));
    assert_false(may_come);
    assert_null(sp_conn_long_key(client, SP_SPACE_HANDSHAKE, SP_VERSION_2, &may_come));
    assert_false(may_come);
}

/* What anybody can send to a client costs it two keys, once, and moves nothing. */
static void a_forged_packet_of_the_other_version_moves_nothing(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct pair_packet packet = {.size = 100};
    uint8_t *length_at;
    uint8_t *pn_at;
    for (int i = 0; i < 3; i++) {
        struct sb_writer w = sb_writer_of(packet.data, sizeof(packet.data));
        const struct sp_long_header header = {
            .type = SP_PACKET_INITIAL,
            .version = SP_VERSION_2,
            .dcid = client->local_ids.entries[0].cid,
            .scid = sp_cid_of((const uint8_t *)"attacker", 8),
            .pn_size = 1,
        };
        sp_header_write_long(&w, &header, &length_at, &pn_at);
        sp_header_set_length(length_at, packet.size - (size_t)(pn_at - packet.data));
        const struct sp_key *before = client->handshake->other.read;
        uint64_t dropped = client->stats.packets_dropped;
        pair_deliver(pair, SP_CLIENT, &packet);
        assert_int_equal(client->stats.packets_dropped, dropped + 1);
        assert_int_equal(client->version, SP_VERSION_1);
        assert_false(client->handshake->version_is_settled);
        assert_int_equal(client->handshake->other.version, SP_VERSION_2);
        assert_true(i == 0 || client->handshake->other.read == before);
    }
    pair_shuttle(pair);
    assert_int_equal(client->handshake_state, SP_HANDSHAKE_CONFIRMED);
}

/* ---- Version information that does not match ---- */

/* Bytes of version_information that take the place of those of `sender`; NULL: none. */
static struct lie {
    const char *why;
    enum sp_role sender;
    uint32_t first; /* version of the first flight */
    bool is_second; /* a Version Negotiation packet came before */
    const char *bytes;
    size_t size;
    enum sp_err want;
} lie;

static bool start_lying(struct sp_tls *tls, const uint8_t *encoded, size_t size)
{
    uint8_t bytes[SP_TPARAMS_SIZE_MAX];
    struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
    struct sp_tparams params;
    assert_int_equal(sp_tparams_read((struct sb_bytes){encoded, size}, SP_SERVER, &params), SP_OK);
    if (params.has_original_dcid == (lie.sender == SP_SERVER)) {
        struct sb_reader r = sb_reader_of((const uint8_t *)lie.bytes, lie.size);
        params.chosen_version = lie.bytes == NULL ? 0 : sb_reader_u32(&r);
        params.available_versions = (struct sb_bytes){r.at, sb_reader_left(&r)};
    }
    sp_tparams_write(&w, &params, 1);
    assert_false(w.failed);
    return qs_null_tls_ops.start(tls, bytes, sb_writer_used(&w));
}

static void version_information_must_match_the_packets(void **state)
{
    struct conn_pair *pair = *state;
#define LIE(why, sender, first, second, text, want) \
    {why, sender, first, second, text, sizeof(text) - 1, want}
#define NONE(why, sender, first, second, want) {why, sender, first, second, NULL, 0, want}
    static const struct lie lies[] = {
        LIE("right", SP_SERVER, SP_VERSION_1, false, V1 V1 V2, SP_OK),
        LIE("with a reserved one", SP_SERVER, SP_VERSION_1, false, V1 RESERVED V1, SP_OK),
        LIE("no available ones", SP_SERVER, SP_VERSION_1, false, V1, SP_OK),
        NONE("[RFC9368 4] none of a server", SP_SERVER, SP_VERSION_1, false, SP_OK),
        NONE("[RFC9368 4] none of a client", SP_CLIENT, SP_VERSION_1, false, SP_OK),
        NONE("none of a server of version 2", SP_SERVER, SP_VERSION_2, false, SP_OK),
        LIE("[RFC9368 4] a client chose another", SP_CLIENT, SP_VERSION_1, false, V2 V2 V1,
            SP_ERR_VERSION_NEGOTIATION),
        LIE("[RFC9368 4] a server chose another", SP_SERVER, SP_VERSION_1, false, V2 V2 V1,
            SP_ERR_VERSION_NEGOTIATION),
        LIE("[RFC9368 4] a server chose a foreign one", SP_SERVER, SP_VERSION_1, false,
            RESERVED V2 V1, SP_ERR_VERSION_NEGOTIATION),
        LIE("second attempt, right", SP_SERVER, SP_VERSION_1, true, V1 V1, SP_OK),
        LIE("second attempt, with a reserved one", SP_SERVER, SP_VERSION_1, true, V1 RESERVED V1,
            SP_OK),
        LIE("[RFC9368 4] it would have been another", SP_SERVER, SP_VERSION_1, true, V1 V1 V2,
            SP_ERR_VERSION_NEGOTIATION),
        LIE("[RFC9368 4] no available ones", SP_SERVER, SP_VERSION_1, true, V1,
            SP_ERR_VERSION_NEGOTIATION),
        NONE("[RFC9368 8] a server of version 1 alone", SP_SERVER, SP_VERSION_1, true, SP_OK),
        LIE("second attempt with version 2", SP_SERVER, SP_VERSION_2, true, V2 V2, SP_OK),
        NONE("[RFC9368 4] none after the second attempt", SP_SERVER, SP_VERSION_2, true,
             SP_ERR_VERSION_NEGOTIATION),
    };
#undef LIE
#undef NONE
    static struct sp_tls_ops ops;
    ops = qs_null_tls_ops;
    ops.start = start_lying;
    for (size_t i = 0; i < QT_COUNT(lies); i++) {
        lie = lies[i];
        pair_init(pair);
        if (lie.is_second) /* the client would rather have the other version */
            pair->config.versions =
                (struct sp_versions){.count = 2, .list = {SP_VERSION_2, SP_VERSION_1}};
        pair->config.first_version = lie.first;
        pair->tls_ops = &ops;
        pair_start(pair);
        /* The server's wishes follow what the test says. */
        pair->config.versions = (struct sp_versions){.count = 1, .list = {lie.first}};
        pair_conn(pair, SP_CLIENT)->handshake->has_negotiated = lie.is_second;
        pair_shuttle(pair);
        const struct sp_conn *receiver =
            pair_conn(pair, lie.sender == SP_CLIENT ? SP_SERVER : SP_CLIENT);
        uint64_t error = receiver->state == SP_CONN_OPEN ? (uint64_t)SP_OK : receiver->close.error;
        if (error != (uint64_t)lie.want)
            fail_msg("%s: 0x%llx", lie.why, (unsigned long long)error);
    }
}

/* [RFC9368 4] The version of the packets must be the one that is confirmed: nobody on the path can
 * move a client by the version field alone. */
static void a_server_that_does_not_confirm_its_move_is_refused(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t says_version = 0; says_version < 2; says_version++) {
        lie = (struct lie){.sender = SP_SERVER, .bytes = V1 V1 V2, .size = 12};
        if (!says_version)
            lie = (struct lie){.sender = SP_SERVER};
        static struct sp_tls_ops ops;
        ops = qs_null_tls_ops;
        ops.start = start_lying;
        pair_init(pair);
        pair->tls_ops = &ops;
        pair_start(pair);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        client->version = SP_VERSION_2; /* as if a packet of version 2 had been opened */
        assert_true(sp_conn_make_initial_keys(client, &client->original_dcid));
        pair_shuttle(pair);
        assert_int_equal(client->close.error, SP_ERR_VERSION_NEGOTIATION);
    }
}

/* ---- Version Negotiation packets ---- */

static void give_negotiation(struct conn_pair *pair, uint32_t version)
{
    const struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_cid *own = &client->local_ids.entries[0].cid;
    struct pair_packet packet;
    struct sb_writer w = sb_writer_of(packet.data, sizeof(packet.data));
    sp_header_write_version_negotiation(
        &w, 0, (struct sb_bytes){own->bytes, own->size},
        (struct sb_bytes){client->original_dcid.bytes, client->original_dcid.size}, &version, 1);
    packet.size = sb_writer_used(&w);
    pair_deliver(pair, SP_CLIENT, &packet);
}

/* [RFC9368 2.1, 4] */
static void a_refused_client_tries_the_other_version_once(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_cid first = client->original_dcid;
    (void)pair_flush(pair, SP_CLIENT, &(size_t){0});
    give_negotiation(pair, SP_VERSION_2);
    assert_int_equal(client->state, SP_CONN_OPEN);
    assert_int_equal(client->version, SP_VERSION_2);
    assert_false(sp_cid_equal(&first, &client->original_dcid));
    sp_conn_check(client);

    give_negotiation(pair, SP_VERSION_1); /* ignored */
    assert_int_equal(client->version, SP_VERSION_2);
    pair->config.versions = (struct sp_versions){.count = 1, .list = {SP_VERSION_2}};
    pair_shuttle(pair);
    assert_int_equal(client->handshake_state, SP_HANDSHAKE_CONFIRMED);
}

/* [RFC9368 2.1] */
static void a_server_ignores_a_version_negotiation(void **state)
{
    struct conn_pair *pair = *state;
    const uint32_t version = SP_VERSION_2;
    pair_init(pair);
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_cid *own = &server->local_ids.entries[0].cid;
    const struct sp_cid *peer = &pair_conn(pair, SP_CLIENT)->local_ids.entries[0].cid;
    struct pair_packet packet;
    struct sb_writer w = sb_writer_of(packet.data, sizeof(packet.data));
    sp_header_write_version_negotiation(&w, 0, (struct sb_bytes){own->bytes, own->size},
                                        (struct sb_bytes){peer->bytes, peer->size}, &version, 1);
    packet.size = sb_writer_used(&w);
    uint64_t dropped = server->stats.packets_dropped;
    pair_deliver(pair, SP_SERVER, &packet);
    assert_int_equal(server->stats.packets_dropped, dropped + 1);
    assert_int_equal(server->version, SP_VERSION_1);
    pair_shuttle(pair);
    assert_int_equal(server->handshake_state, SP_HANDSHAKE_CONFIRMED);
}

/* [RFC9368 3] With a reserved version at any place. */
static void a_client_lists_the_version_that_it_begins_with(void **state)
{
    struct conn_pair *pair = *state;
    static const uint32_t versions[] = {SP_VERSION_1, SP_VERSION_2};
    for (uint32_t i = 0; i < 40; i++) {
        pair_init(pair);
        pair->config.grease = i >= 4;
        pair->config.versions =
            (struct sp_versions){.count = 2, .list = {versions[i % 2], versions[1 - i % 2]}};
        pair->config.first_version = versions[i / 2 % 2];
        pair->ends[SP_CLIENT].random += i;
        pair_start(pair);
        uint8_t room[SP_VERSION_INFO_SIZE_MAX], encoded[SP_TPARAMS_SIZE_MAX];
        struct sp_tparams params, got;
        sp_tparams_init(&params);
        const struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        sp_conn_version_write(client, client->version, room, &params);
        assert_int_equal(params.chosen_version, pair->config.first_version);
        struct sb_writer w = sb_writer_of(encoded, sizeof(encoded));
        sp_tparams_write(&w, &params, 0);
        assert_int_equal(
            sp_tparams_read((struct sb_bytes){encoded, sb_writer_used(&w)}, SP_CLIENT, &got),
            SP_OK); /* which refuses a list without the chosen one */
        assert_int_equal(got.available_versions.size, 4 * (2 + (i >= 4)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, all_crypto_of_a_server_has_the_negotiated_version),
        QT_TEST(conn_pair, the_first_flight_may_come_again),
        QT_TEST(conn_pair, a_settled_client_reads_no_other_version),
        QT_TEST(conn_pair, a_forged_packet_of_the_other_version_moves_nothing),
        QT_TEST(conn_pair, version_information_must_match_the_packets),
        QT_TEST(conn_pair, a_server_that_does_not_confirm_its_move_is_refused),
        QT_TEST(conn_pair, a_refused_client_tries_the_other_version_once),
        QT_TEST(conn_pair, a_server_ignores_a_version_negotiation),
        QT_TEST(conn_pair, a_client_lists_the_version_that_it_begins_with),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
