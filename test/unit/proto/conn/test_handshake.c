/* SPDX-License-Identifier: MIT */
/* What only the handshake needs is given back when it is over. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/wire/tparam.h"
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
    assert_in_range(sizeof(struct sp_conn), 1, 4992); /* 13 of them fill a block of 64 KiB */
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
        const struct sp_counters before = client->stats;
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
                inject_crypto(pair, SP_CLIENT, (enum sp_space)space, 6000);
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

/* What the server's TLS adds to the transport parameters; nothing for the client's. */
static struct sb_bytes more_params;

static bool start_with_more(struct sp_tls *tls, const uint8_t *params, size_t params_size)
{
    uint8_t bytes[1000];
    struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
    sb_writer_bytes(&w, params, params_size);
    struct sp_tparams own;
    bool is_server =
        sp_tparams_read((struct sb_bytes){params, params_size}, SP_SERVER, &own) == SP_OK &&
        own.has_original_dcid;
    if (is_server)
        sb_writer_bytes(&w, more_params.data, more_params.size);
    assert_false(w.failed);
    return qs_null_tls_ops.start(tls, bytes, sb_writer_used(&w));
}

/* Connects with a server that has a preferred address. */
static void connect_preferred(struct conn_pair *pair)
{
    static const char preferred[] = "\x0d\x31"
                                    "\x0a\0\0\x02\x01\xbb" /* IPv4 and a port, no IPv6 */
                                    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                    "\x08"
                                    "CCCCCCCC"
                                    "TTTTTTTTTTTTTTTT";
    static struct sp_tls_ops ops;
    ops = qs_null_tls_ops;
    ops.start = start_with_more;
    pair_init(pair);
    more_params = (struct sb_bytes){(const uint8_t *)preferred, sizeof(preferred) - 1};
    pair->tls_ops = &ops;
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    /* The server knows that it has issued a CID of the sequence number 1. */
    struct sp_cid_local *issued = &pair_conn(pair, SP_SERVER)->local_ids;
    issued->next_sequence++;
    issued->count_max = 2;
    pair_shuttle(pair);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->handshake_state, SP_HANDSHAKE_CONFIRMED);
}

static uint32_t remote_cids(const struct sp_conn *conn)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        count += conn->remote_ids.entries[i].is_used;
    return count;
}

/* [RFC9000 5.1.1, 5.1.2] */
static void cid_of_a_preferred_address_is_kept_and_retired_when_asked(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    connect_preferred(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_cid_remote_entry *entry = &client->remote_ids.entries[1];
    assert_true(entry->is_used && entry->has_token);
    assert_int_equal(entry->sequence, 1);
    assert_memory_equal(entry->cid.bytes, "CCCCCCCC", 8);
    assert_memory_equal(entry->reset_token, "TTTTTTTTTTTTTTTT", SP_RESET_TOKEN_SIZE);

    /* The server replaces 0 and 1. */
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP,
                (const uint8_t *)"\x18\x09\x02\x08"
                                 "DDDDDDDDUUUUUUUUUUUUUUUU",
                28, PAIR_FAULT_NONE);
    assert_int_equal(client->state, SP_CONN_OPEN);
    assert_false(entry->is_used && entry->sequence == 1);
    uint32_t retired = 0;
    for (uint32_t i = 0; i < SP_RETIRED_CIDS_MAX; i++)
        if (client->remote_ids.retired[i].is_used)
            retired |= 1u << client->remote_ids.retired[i].sequence;
    assert_int_equal(retired, 3);
    (void)pair_flush(pair, SP_CLIENT, &size);
    assert_null(sp_cid_remote_next_retired(&client->remote_ids)); /* both were sent */
}

/* [RFC9000 18.2, 19.15] */
static void cid_of_a_preferred_address_counts_like_others(void **state)
{
    struct conn_pair *pair = *state;
    connect_preferred(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint32_t count = remote_cids(client);
    assert_in_range(count, 2, SP_CIDS_MAX);
    for (uint8_t i = 0; count + i <= SP_CIDS_MAX; i++) {
        uint8_t frame[28] = {0x18, (uint8_t)(0x20 + i), 0, 8, (uint8_t)i};
        frame[12] = i; /* a token of its own */
        assert_int_equal(client->state, SP_CONN_OPEN);
        pair_inject(pair, SP_CLIENT, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE);
    }
    assert_int_equal(client->close.error, SP_ERR_CONNECTION_ID_LIMIT);

    /* Another CID with its sequence number. */
    connect_preferred(pair);
    client = pair_conn(pair, SP_CLIENT);
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP,
                (const uint8_t *)"\x18\x01\0\x08"
                                 "DDDDDDDDTTTTTTTTTTTTTTTT",
                28, PAIR_FAULT_NONE);
    assert_int_equal(client->close.error, SP_ERR_PROTOCOL_VIOLATION);
}

/* [RFC9000 14, 14.1, 17.2.2] A server's Initial that has a token, and a client's in a datagram that
 * is not full. */
static void initials_that_may_not_be_so_are_dropped(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet good, bad;
    const struct pair_packet *const one = &bad;
    pair_init(pair);
    pair->protect_plan.accepts_anything = true; /* the token is not part of what was sealed */
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    uint64_t packets_in = server->stats.packets_in;
    pair_make(pair, SP_SERVER, SP_SPACE_INITIAL, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE, &bad);
    bad.size = SP_DATAGRAM_SIZE_MIN - 1;
    pair_give(pair, SP_SERVER, &one, 1);
    assert_int_equal(server->stats.packets_in, packets_in);
    assert_int_equal(server->state, SP_CONN_OPEN);
    bad.size++;
    pair_give(pair, SP_SERVER, &one, 1);
    assert_int_equal(server->stats.packets_in, packets_in + 1);

    assert_true(pair_take(pair, SP_SERVER, &good));
    size_t token_at = 1 + 4;
    token_at += 1 + good.data[token_at]; /* after the one CID, and the other */
    token_at += 1 + good.data[token_at];
    assert_int_equal(good.data[token_at], 0);
    bad = good;
    bad.size = good.size + 1;
    bad.data[token_at] = 1;
    bad.data[token_at + 1] = 'T';
    memcpy(bad.data + token_at + 2, good.data + token_at + 1, good.size - token_at - 1);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    pair_give(pair, SP_CLIENT, &one, 1);
    assert_false(client->handshake->server_cid_is_known);
    assert_int_equal(client->state, SP_CONN_OPEN);
    bad = good;
    pair_give(pair, SP_CLIENT, &one, 1);
    assert_true(client->handshake->server_cid_is_known);
}

/* [RFC9000 12.2] An Initial and a Handshake packet in one datagram. */
static void a_damaged_packet_does_not_hide_the_one_behind_it(void **state)
{
    struct conn_pair *pair = *state;
    for (int is_damaged = 0; is_damaged < 2; is_damaged++) {
        struct pair_packet both, second;
        const struct pair_packet *const one = &both;
        struct sp_header header;
        pair_init(pair);
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        const struct sp_counters before = client->stats;
        pair_make(pair, SP_CLIENT, SP_SPACE_INITIAL, (const uint8_t *)"\x01", 1,
                  is_damaged ? PAIR_FAULT_TAG : PAIR_FAULT_NONE, &both);
        pair_make(pair, SP_CLIENT, SP_SPACE_HANDSHAKE, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE,
                  &second);
        uint64_t pn = pair->ends[SP_SERVER].next_pn[SP_SPACE_HANDSHAKE] - 1;
        assert_true(sp_header_read(both.data, both.size, pair->config.cid_size, &header));
        memcpy(both.data + header.size, second.data, second.size);
        both.size = header.size + second.size;
        pair_give(pair, SP_CLIENT, &one, 1);
        assert_int_equal(client->stats.packets_in - before.packets_in, is_damaged ? 1 : 2);
        assert_int_equal(client->stats.packets_dropped - before.packets_dropped, is_damaged);
        for (uint32_t space = is_damaged ? SP_SPACE_HANDSHAKE : 0; space < SP_SPACE_APP; space++)
            assert_true(client->spaces[space]->ack.is_wanted);
        assert_true(sp_ack_is_known(&client->spaces[SP_SPACE_HANDSHAKE]->ack, pn));
    }
}

/* [RFC9000 13.3, 19.20] Not before the handshake is complete, and until it has arrived. */
static void handshake_done_is_sent_until_it_has_arrived(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    pair_carry(pair, SP_SERVER);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_false(server->wants_handshake_done);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(server->wants_handshake_done);
        assert_true(pair_flush(pair, SP_SERVER, &size) > 0);
        assert_false(server->wants_handshake_done);
        assert_int_equal(client->handshake_state, SP_HANDSHAKE_COMPLETE);
        pair->now_ns = sp_conn_deadline_ns(server);
        sp_conn_on_deadline(server, pair->now_ns);
    }
    pair_carry(pair, SP_SERVER);
    assert_int_equal(client->handshake_state, SP_HANDSHAKE_CONFIRMED);
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
        QT_TEST(conn_pair, cid_of_a_preferred_address_is_kept_and_retired_when_asked),
        QT_TEST(conn_pair, cid_of_a_preferred_address_counts_like_others),
        QT_TEST(conn_pair, initials_that_may_not_be_so_are_dropped),
        QT_TEST(conn_pair, a_damaged_packet_does_not_hide_the_one_behind_it),
        QT_TEST(conn_pair, handshake_done_is_sent_until_it_has_arrived),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
