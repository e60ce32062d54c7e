/* SPDX-License-Identifier: MIT */
/* What only the handshake needs is given back when it is over. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "test/support/conn_pair.h"

static uint32_t handshakes(const struct conn_pair *pair)
{
    return pair->pools.handshakes.used_count;
}

QT_FIXTURE(conn_pair, pair_deinit)

static void memory_halves_when_the_handshake_is_confirmed(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    assert_int_equal(handshakes(pair), 1);
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(handshakes(pair), 2);
    pair_shuttle(pair);
    assert_int_equal(handshakes(pair), 0);
    for (uint32_t role = 0; role < 2; role++) {
        const struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
        assert_true(conn->handshake_state >= SP_HANDSHAKE_CONFIRMED);
        assert_null(conn->handshake);
        assert_null(conn->spaces[SP_SPACE_INITIAL]);
        assert_null(conn->spaces[SP_SPACE_HANDSHAKE]);
        assert_null(conn->loss.spaces[SP_SPACE_INITIAL]);
        assert_null(conn->loss.spaces[SP_SPACE_HANDSHAKE]);
        sp_conn_check(conn);
    }
    print_message("a connection: %zu bytes, and %zu until it is confirmed\n",
                  sizeof(struct sp_conn), sizeof(struct sp_handshake));
    assert_in_range(sizeof(struct sp_conn), 1, 4096);
    assert_in_range(sizeof(struct sp_handshake), 1, 4096);
}

/* Whoever closes still needs its keys to answer; the peer needs nothing more. */
static void end_before_that_gives_it_back(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t role = 0; role < 2; role++) {
        pair_init(pair);
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        assert_int_equal(handshakes(pair), 2);

        struct sp_conn *closer = pair_conn(pair, (enum sp_role)role);
        struct sp_conn *peer = pair_conn(pair, role == SP_CLIENT ? SP_SERVER : SP_CLIENT);
        sp_conn_close(closer, 1, NULL, 0, pair->now_ns);
        assert_non_null(closer->handshake);
        pair_carry(pair, (enum sp_role)role);
        assert_non_null(closer->handshake);
        assert_true(sp_conn_is_closed(peer));
        assert_null(peer->handshake);

        pair->now_ns = sp_conn_deadline_ns(closer);
        sp_conn_on_deadline(closer, pair->now_ns);
        assert_null(closer->handshake);
        assert_int_equal(handshakes(pair), 0);
    }
}

static void late_packets_of_the_handshake_are_dropped(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t space = 0; space < SP_SPACE_APP; space++) {
        struct pair_packet packet;
        const struct pair_packet *packets[] = {&packet};
        pair_init(pair);
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        pair_make(pair, SP_CLIENT, (enum sp_space)space, (const uint8_t *)"\x01", 1,
                  PAIR_FAULT_NONE, &packet);
        pair_shuttle(pair);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        assert_null(client->handshake);
        const struct sp_stats before = client->stats;
        pair_give(pair, SP_CLIENT, packets, 1);
        assert_true(client->stats.packets_dropped > before.packets_dropped);
        assert_int_equal(client->stats.packets_in, before.packets_in);
        assert_false(sp_conn_is_closed(client));
    }
}

/* Gives `to` a CRYPTO frame of one byte at `offset`. */
static void inject_crypto(struct conn_pair *pair, enum sp_role to, enum sp_space space,
                          uint64_t offset)
{
    uint8_t bytes[32];
    struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
    sp_frame_write_crypto_head(&w, offset, 1);
    sb_writer_u8(&w, 'x');
    assert_false(w.failed);
    pair_inject(pair, to, space, bytes, sb_writer_used(&w), PAIR_FAULT_NONE);
}

static void assert_violation(const struct sp_conn *conn)
{
    assert_int_equal(conn->state, SP_CONN_CLOSING);
    assert_int_equal(conn->close.kind, SP_CLOSE_TRANSPORT);
    assert_int_equal(conn->close.error, SP_ERR_PROTOCOL_VIOLATION);
    assert_int_equal(conn->close.frame_type, SP_FRAME_CRYPTO);
}

/* [RFC9001 4.1.3] A repeat is no new data. */
static void new_crypto_of_a_level_that_is_over_is_a_violation(void **state)
{
    struct conn_pair *pair = *state;
    static const struct {
        const char *what;
        enum sp_role to;
        enum sp_space space;
    } samples[] = {
        {"Initial, to the server", SP_SERVER, SP_SPACE_INITIAL},
        {"Initial, to the client", SP_CLIENT, SP_SPACE_INITIAL},
        {"Handshake, to the client", SP_CLIENT, SP_SPACE_HANDSHAKE},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        print_message("    %s\n", samples[i].what);
        pair_init(pair);
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        if (samples[i].to == SP_CLIENT)
            pair_carry(pair, SP_SERVER);
        struct sp_conn *conn = pair_conn(pair, samples[i].to);
        uint64_t end = conn->spaces[samples[i].space]->crypto.in.read_end;
        assert_true(end > 0);
        inject_crypto(pair, samples[i].to, samples[i].space, end - 1);
        assert_int_equal(conn->state, SP_CONN_OPEN);
        inject_crypto(pair, samples[i].to, samples[i].space, end);
        assert_violation(conn);
    }
}

/* Takes all datagrams that the server has to send.  Returns how many. */
static uint32_t take_flight(struct conn_pair *pair, struct pair_packet *packets, uint32_t count_max)
{
    uint32_t count = 0;
    for (; count < count_max; count++) {
        struct sp_train train = {
            .data = packets[count].data, .capacity = PAIR_DATAGRAM_SIZE_MAX, .count_max = 1};
        if (sp_conn_send(pair_conn(pair, SP_SERVER), &train, pair->now_ns) == 0)
            break;
        packets[count].size = train.size;
    }
    return count;
}

/* [RFC9001 4.1.3] */
static void crypto_that_waits_for_a_gap_when_its_level_ends_is_a_violation(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t space = 0; space < SP_SPACE_APP; space++) {
        struct pair_packet packets[8];
        pair_init(pair);
        pair->tls_plan.certificate_size = 2000; /* the Finished is in a later datagram */
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        uint32_t count = take_flight(pair, packets, 8);
        assert_in_range(count, 2, 7);
        for (uint32_t i = 0; i < count && client->state == SP_CONN_OPEN; i++) {
            const struct pair_packet *const packet = &packets[i];
            if (i == space)
                inject_crypto(pair, SP_CLIENT, (enum sp_space)space, 20000);
            assert_int_equal(client->state, SP_CONN_OPEN);
            pair_give(pair, SP_CLIENT, &packet, 1);
        }
        assert_violation(client);
    }
}

/* A server keeps nothing for an Initial that begins no ClientHello; TLS is not even made. */
static void an_initial_without_a_client_hello_begins_nothing(void **state)
{
    struct conn_pair *pair = *state;
    static const struct {
        const char *frames;
        size_t size;
    } initials[] = {
#define F(text) {text, sizeof(text) - 1}
        F("\x01"),                        /* PING */
        F("\0\0\0"),                      /* PADDING */
        F("\x06\x01\x02zz"),              /* CRYPTO that begins at 1 */
        F("\x06\0\0"),                    /* CRYPTO without a byte */
        F("\x06\0\x04\x02\0\0\0"),        /* a ServerHello */
        F("\x01\x06\x01\x01z\x06\x05\0"), /* several of them */
        F("\x02\0\0\0\0"),                /* ACK of what was never sent */
        F("\x1c\0\0\0"),                  /* CONNECTION_CLOSE */
        F("\x08\0z"),                     /* STREAM */
        F("\x21"),                        /* a frame that there is not */
#undef F
    };
    for (uint32_t i = 0; i < QT_COUNT(initials); i++) {
        pair_init(pair);
        pair_start(pair);
        pair_inject(pair, SP_SERVER, SP_SPACE_INITIAL, (const uint8_t *)initials[i].frames,
                    initials[i].size, PAIR_FAULT_NONE);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        assert_false(sp_conn_is_authenticated(server));
        assert_null(sp_conn_tls(server));
    }
}

/* A ClientHello of several Initials may come in any order, as long as one batch brings its
 * start.
 */
static void the_end_of_a_client_hello_may_come_before_its_start(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    pair_inject(pair, SP_SERVER, SP_SPACE_INITIAL, (const uint8_t *)"\x06\x02\x03xyz", 6,
                PAIR_FAULT_NONE);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_false(sp_conn_is_authenticated(server));
    pair_inject(pair, SP_SERVER, SP_SPACE_INITIAL, (const uint8_t *)"\x01\x06\0\x02\x01z", 6,
                PAIR_FAULT_NONE);
    assert_true(sp_conn_is_authenticated(server));
    assert_non_null(sp_conn_tls(server));
    assert_int_equal(server->spaces[SP_SPACE_INITIAL]->crypto.in.read_end, 5);
}

/* A closed connection needs its keys to answer, and no TLS. */
static void tls_can_be_released_once_the_connection_is_closed(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    sp_conn_close_transport(server, SP_ERR_INTERNAL, "", pair->now_ns);
    sp_conn_release_tls(server);
    assert_null(sp_conn_tls(server));
    sp_conn_release_tls(server); /* again does nothing */
    pair_carry(pair, SP_SERVER);
    assert_true(sp_conn_is_closed(pair_conn(pair, SP_CLIENT)));
    assert_int_equal(pair_conn(pair, SP_CLIENT)->close.error, SP_ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, memory_halves_when_the_handshake_is_confirmed),
        QT_TEST(conn_pair, end_before_that_gives_it_back),
        QT_TEST(conn_pair, late_packets_of_the_handshake_are_dropped),
        QT_TEST(conn_pair, new_crypto_of_a_level_that_is_over_is_a_violation),
        QT_TEST(conn_pair, crypto_that_waits_for_a_gap_when_its_level_ends_is_a_violation),
        QT_TEST(conn_pair, an_initial_without_a_client_hello_begins_nothing),
        QT_TEST(conn_pair, the_end_of_a_client_hello_may_come_before_its_start),
        QT_TEST(conn_pair, tls_can_be_released_once_the_connection_is_closed),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
