/* SPDX-License-Identifier: MIT */
/* The end of a connection: who may reset it, how long it is remembered, and what is left of it. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/tombstone.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

/* Gives `to` a datagram that ends in `token` and begins like a packet to another CID. */
static void give_reset(struct conn_pair *pair, enum sp_role to, const uint8_t *token)
{
    struct pair_packet packet = {.size = 40};
    memset(packet.data, 0x5a, packet.size);
    memcpy(packet.data + packet.size - SP_RESET_TOKEN_SIZE, token, SP_RESET_TOKEN_SIZE);
    const struct pair_packet *one = &packet;
    pair_give(pair, to, &one, 1);
}

static bool is_announced(const struct sp_conn *conn, const uint8_t *token)
{
    bool found = false;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        found |= conn->announced_tokens[i].is_used &&
                 memcmp(conn->announced_tokens[i].cid.bytes, token, SP_RESET_TOKEN_SIZE) == 0;
    return found;
}

/* [RFC9000 10.3.1] The peer issues spare CIDs with tokens; nothing was ever sent to those. */
static void a_token_of_a_cid_that_was_never_sent_to_resets_nothing(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint32_t spare_count = 0;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        const struct sp_cid_remote_entry *entry = &client->remote_ids.entries[i];
        if (!entry->is_used || i == client->remote_ids.active)
            continue;
        assert_true(entry->has_token);
        give_reset(pair, SP_CLIENT, entry->reset_token);
        assert_false(sp_conn_is_closed(client));
        assert_false(is_announced(client, entry->reset_token));
        spare_count++;
    }
    assert_int_equal(spare_count, SP_CIDS_MAX - 1);

    const struct sp_cid_remote_entry *used = &client->remote_ids.entries[0];
    assert_true(is_announced(client, used->reset_token));
    give_reset(pair, SP_CLIENT, used->reset_token);
    assert_true(sp_conn_is_closed(client));
}

/* [RFC9000 10.3.1] The peer asks for a move to a spare one: from the first packet to it on, its
 * token counts, and that of the retired one does not. */
static void a_token_counts_from_the_first_packet_to_its_cid(void **state)
{
    struct conn_pair *pair = *state;
    static const uint8_t move[] = {0x18, 4,   4,   8,   'a', 'n', 'o', 't', 'h', 'e',
                                   'r',  '1', 't', 't', 't', 't', 't', 't', 't', 't',
                                   't',  't', 't', 't', 't', 't', 't', 't'};
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint8_t old[SP_RESET_TOKEN_SIZE];
    memcpy(old, client->remote_ids.entries[0].reset_token, sizeof(old));
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP, move, sizeof(move), PAIR_FAULT_NONE);
    const uint8_t *token = client->remote_ids.entries[client->remote_ids.active].reset_token;
    assert_memory_equal(token, "tttttttttttttttt", SP_RESET_TOKEN_SIZE);

    give_reset(pair, SP_CLIENT, token); /* nothing was sent to it yet */
    give_reset(pair, SP_CLIENT, old);   /* retired */
    assert_false(sp_conn_is_closed(client));
    assert_true(pair_flush(pair, SP_CLIENT, &size) > 0);
    pair_pull(pair, SP_CLIENT);
    assert_true(is_announced(client, token));
    assert_false(is_announced(client, old));
    give_reset(pair, SP_CLIENT, old);
    assert_false(sp_conn_is_closed(client));
    give_reset(pair, SP_CLIENT, token);
    assert_true(sp_conn_is_closed(client));
}

/* [RFC9000 10.3.1] */
static void after_a_reset_a_connection_drains_in_silence(void **state)
{
    struct conn_pair *pair = *state;
    for (int closes_first = 0; closes_first < 2; closes_first++) {
        size_t size;
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        if (closes_first)
            sp_conn_close(client, 7, NULL, 0, pair->now_ns);
        sp_conn_on_stateless_reset(client, pair->now_ns);
        pair_pull(pair, SP_CLIENT);
        assert_int_equal(client->state, SP_CONN_DRAINING);
        assert_int_equal(client->close.kind,
                         closes_first ? SP_CLOSE_APP : SP_CLOSE_STATELESS_RESET);
        pair_inject(pair, SP_CLIENT, SP_SPACE_APP, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE);
        assert_int_equal(pair_flush(pair, SP_CLIENT, &size), 0);
        assert_in_range(sp_conn_deadline_ns(client) - pair->now_ns, 3 * SP_RTT_GRANULARITY_NS,
                        3 * SP_END_PTO_NS_MAX);
        pair->now_ns = sp_conn_deadline_ns(client);
        sp_conn_on_deadline(client, pair->now_ns);
        assert_int_equal(client->state, SP_CONN_DRAINED);
    }
}

/* [RFC9000 10.2] Three PTOs, but the peer's claims have no say beyond a bound. */
static void the_peer_cannot_make_us_remember_it_for_long(void **state)
{
    struct conn_pair *pair = *state;
    static const struct {
        uint64_t ack_delay_ns, rtt_ns, want_ns;
    } rows[] = {
        {25 * SB_MS, 100 * SB_MS, 3 * (100 + 25 + 1) * SB_MS},
        {250 * SB_MS, 100 * SB_MS, 3 * (100 + 250 + 1) * SB_MS},
        {251 * SB_MS, 100 * SB_MS, 3 * (100 + 250 + 1) * SB_MS},
        {16383 * SB_MS, 100 * SB_MS, 3 * (100 + 250 + 1) * SB_MS},
        {16383 * SB_MS, 20000 * SB_MS, 9 * SB_S},
    };
    for (size_t i = 0; i < SB_COUNT(rows); i++) {
        for (int is_local = 0; is_local < 2; is_local++) {
            pair_init(pair);
            pair->config.ack_delay_ns_max = rows[i].ack_delay_ns;
            pair_connect(pair);
            struct sp_conn *server = pair_conn(pair, SP_SERVER);
            server->loss.path->rtt.smoothed_ns = rows[i].rtt_ns;
            server->loss.path->rtt.variance_ns = 0;
            if (is_local)
                sp_conn_close(server, 0, NULL, 0, pair->now_ns);
            else
                pair_inject(pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)"\x1d\0\0", 3,
                            PAIR_FAULT_NONE);
            assert_int_equal(server->state, is_local ? SP_CONN_CLOSING : SP_CONN_DRAINING);
            assert_int_equal(sp_conn_deadline_ns(server) - pair->now_ns, rows[i].want_ns);
        }
    }
}

/* ---- Tombstones ---- */

_Static_assert(sizeof(struct sp_tombstone) <= 400, "a few hundred bytes");

/* Closes `role`, takes its events and sends its CONNECTION_CLOSE into nowhere. */
static void close_end(struct conn_pair *pair, enum sp_role role)
{
    size_t size;
    sp_conn_close(pair_conn(pair, role), 7, "why not", 7, pair->now_ns);
    assert_int_equal(pair_flush(pair, role, &size), 1);
    pair_pull(pair, role);
}

/* Frees the connection, which is buried. */
static void destroy_end(struct conn_pair *pair, enum sp_role role)
{
    struct sp_conn *conn = pair_conn(pair, role);
    struct sp_event event;
    size_t size;
    assert_false(sp_conn_next_event(conn, &event) && event.kind >= SP_EVENT_CONNECTED);
    assert_int_equal(pair_flush(pair, role, &size), 0);
    assert_int_equal(sp_conn_deadline_ns(conn), SB_NEVER);
    sp_conn_destroy(conn);
    pair->ends[role].conn = NULL;
}

static void give_answer(struct conn_pair *pair, enum sp_role to, const struct sp_tombstone *from)
{
    struct pair_packet packet = {.size = from->packet_size};
    memcpy(packet.data, from->packet, from->packet_size);
    const struct pair_packet *one = &packet;
    pair_give(pair, to, &one, 1);
}

static void a_connection_is_buried_once_its_close_is_taken_and_sent(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t i = 0; i < 2; i++) {
        enum sp_role role = (enum sp_role)i;
        struct sp_tombstone tombstone;
        size_t size;
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *conn = pair_conn(pair, role);
        assert_false(sp_conn_bury(conn, &tombstone)); /* it is open */
        sp_conn_close(conn, 7, "why not", 7, pair->now_ns);
        uint64_t end_at_ns = sp_conn_deadline_ns(conn);
        assert_false(sp_conn_bury(conn, &tombstone)); /* nobody knows of the end */
        pair_pull(pair, role);
        assert_false(sp_conn_bury(conn, &tombstone)); /* the peer does not know */
        assert_int_equal(pair_flush(pair, role, &size), 1);
        pair_pull(pair, role);
        assert_true(sp_conn_bury(conn, &tombstone));
        assert_false(sp_conn_bury(conn, &tombstone)); /* once */
        assert_int_equal(tombstone.end_at_ns, end_at_ns);
        destroy_end(pair, role);

        enum sp_role peer = (enum sp_role)(1 - role);
        const struct sp_close *close = &pair_conn(pair, peer)->close;
        give_answer(pair, peer, &tombstone);
        assert_int_equal(close->kind, SP_CLOSE_APP);
        assert_int_equal(close->error, 7);
        assert_int_equal(close->reason_size, 7);
        assert_memory_equal(close->reason, "why not", 7);
        pair_pull(pair, peer);
        assert_true(sp_conn_bury(pair_conn(pair, peer), &tombstone)); /* it drains */
        assert_int_equal(tombstone.packet_size, 0);
        destroy_end(pair, peer);
    }
}

/* Connects, and closes and buries an end.  Returns an address that is not its peer's. */
static struct sp_addr bury_closed(struct conn_pair *pair, enum sp_role role,
                                  struct sp_tombstone *ret)
{
    pair_init(pair);
    pair_connect(pair);
    close_end(pair, role);
    assert_true(sp_conn_bury(pair_conn(pair, role), ret));
    struct sp_addr other = ret->path.remote;
    other.port++;
    return other;
}

static void a_tombstone_answers_more_and_more_rarely(void **state)
{
    struct sp_tombstone tombstone;
    struct sp_addr other = bury_closed(*state, SP_SERVER, &tombstone);
    uint32_t answer_count = 0;
    for (uint32_t i = 1; i <= 1024; i++) {
        bool is_power = (i & (i - 1)) == 0;
        assert_int_equal(sp_tombstone_receive(&tombstone, &other, 30), is_power);
        assert_int_equal(sp_tombstone_receive(&tombstone, &tombstone.path.remote, 30), is_power);
        answer_count += is_power;
    }
    assert_int_equal(answer_count, 11);

    sp_tombstone_on_stateless_reset(&tombstone);
    for (uint32_t i = 0; i < 4096; i++) {
        assert_false(sp_tombstone_receive(&tombstone, &tombstone.path.remote, 1200));
        assert_false(sp_tombstone_receive(&tombstone, &other, 1200));
    }
}

/* [RFC9000 10.2.1] The client may have moved.  What comes from elsewhere pays for its own answer,
 * and takes none from the client. */
static void a_tombstone_answers_a_client_that_has_moved(void **state)
{
    struct sp_tombstone tombstone;
    struct sp_addr other = bury_closed(*state, SP_SERVER, &tombstone);
    for (uint32_t size = 1; size * 3 < tombstone.packet_size; size++)
        assert_false(sp_tombstone_receive(&tombstone, &other, size));
    tombstone.elsewhere_at = 1;
    assert_true(sp_tombstone_receive(&tombstone, &other, (tombstone.packet_size + 2) / 3));
    tombstone.elsewhere_in = UINT32_MAX / 2;
    assert_true(sp_tombstone_receive(&tombstone, &other, 1200));
    for (uint32_t i = 0; i < 10; i++) {
        assert_false(sp_tombstone_receive(&tombstone, &other, 1200));
        tombstone.elsewhere_in = UINT32_MAX - 5 + i;
    }
    assert_int_equal(tombstone.datagrams_in, 0);
    assert_true(sp_tombstone_receive(&tombstone, &tombstone.path.remote, 30));
}

/* [RFC9000 9] Servers do not move: this may be anybody. */
static void the_tombstone_of_a_client_answers_its_server_alone(void **state)
{
    struct sp_tombstone tombstone;
    struct sp_addr other = bury_closed(*state, SP_CLIENT, &tombstone);
    for (uint32_t i = 0; i < 100; i++)
        assert_false(sp_tombstone_receive(&tombstone, &other, 1200));
    assert_true(sp_tombstone_receive(&tombstone, &tombstone.path.remote, 30));
}

/* [RFC9000 8.1] A server closes before it knows that its client is where it says. */
static void a_tombstone_sends_three_bytes_for_one(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_tombstone tombstone;
    size_t size;
    pair_init(pair);
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    while (pair_flush(pair, SP_SERVER, &size) > 0)
        continue;
    sp_conn_close_transport(server, SP_ERR_INTERNAL, "", pair->now_ns);
    (void)pair_flush(pair, SP_SERVER, &size);
    if (server->close_packet != SP_CLOSE_PACKET_NONE) { /* the first flight reached the limit */
        pair_inject(pair, SP_SERVER, SP_SPACE_INITIAL, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE);
        server->path->bytes_in += SP_DATAGRAM_SIZE_MIN;
        assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);
    }
    pair_pull(pair, SP_SERVER);
    assert_false(server->path->is_valid);
    assert_true(sp_conn_bury(server, &tombstone));
    assert_true(tombstone.packet_size > 3 && tombstone.packet_size < 200);
    assert_true(tombstone.budget_bytes <= sp_path_budget(server->path));

    tombstone.budget_bytes = 0;
    tombstone.datagrams_in = 0;
    tombstone.answer_at = 1;
    uint64_t bytes_in = 0;
    uint64_t bytes_out = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        bytes_in += 10;
        if (sp_tombstone_receive(&tombstone, &tombstone.path.remote, 10))
            bytes_out += tombstone.packet_size;
        assert_true(bytes_out <= 3 * bytes_in);
        assert_int_equal(bytes_out > 0, 3 * bytes_in >= tombstone.packet_size);
    }
}

/* [RFC9000 10.2.1] Nobody opens packets any more, and small ones can be forged at any rate: the
 * connection before it is buried, and its tombstone. */
static void answers_to_small_datagrams_do_not_amplify(void **state)
{
    struct conn_pair *pair = *state;
    char reason[SP_REASON_SIZE_MAX];
    memset(reason, 'r', sizeof(reason));
    for (int is_buried = 0; is_buried < 2; is_buried++) {
        struct sp_tombstone tombstone;
        struct pair_packet forged = {.size = 25};
        const struct pair_packet *one = &forged;
        size_t size;
        uint64_t bytes_in = 0;
        uint64_t bytes_out = 0;
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        assert_true(server->path->is_valid);
        sp_conn_close(server, 7, reason, sizeof(reason), pair->now_ns);
        assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);
        pair_pull(pair, SP_SERVER);
        if (is_buried)
            assert_true(sp_conn_bury(server, &tombstone));
        for (uint32_t i = 0; i < 1000; i++) {
            bytes_in += forged.size;
            if (is_buried) {
                if (sp_tombstone_receive(&tombstone, &tombstone.path.remote, forged.size))
                    bytes_out += tombstone.packet_size;
            } else {
                pair_give(pair, SP_SERVER, &one, 1);
                if (pair_flush(pair, SP_SERVER, &size) > 0)
                    bytes_out += size;
            }
            assert_true(bytes_out <= 3 * bytes_in);
        }
        assert_true(bytes_out > 0);
    }
}

/* [RFC9000 14.1] The answer would have to fill 1200 bytes. */
static void a_client_without_handshake_keys_is_not_buried(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_tombstone tombstone;
    size_t size;
    pair_init(pair);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    (void)pair_flush(pair, SP_CLIENT, &size);
    close_end(pair, SP_CLIENT);
    assert_false(sp_conn_bury(client, &tombstone));
    pair->now_ns = sp_conn_deadline_ns(client);
    sp_conn_on_deadline(client, pair->now_ns);
    assert_int_equal(client->state, SP_CONN_DRAINED);
    assert_false(sp_conn_bury(client, &tombstone));
}

/* With the longest reason in one packet, and with none in two. */
static void the_answer_fits_whatever_the_reason_is(void **state)
{
    struct conn_pair *pair = *state;
    for (int is_early = 0; is_early < 2; is_early++) {
        struct sp_tombstone tombstone;
        char reason[SP_REASON_SIZE_MAX + 1];
        size_t size;
        pair_init(pair);
        pair->config.cid_size = SP_CID_SIZE_MAX;
        memset(reason, 'r', SP_REASON_SIZE_MAX);
        reason[SP_REASON_SIZE_MAX] = '\0';
        if (is_early) {
            pair_start(pair);
            pair_carry(pair, SP_CLIENT);
        } else {
            pair_connect(pair);
        }
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        while (pair_flush(pair, SP_SERVER, &size) > 0)
            continue;
        server->path->is_valid = true;
        sp_conn_close_transport(server, SP_ERR_INTERNAL, reason, pair->now_ns);
        assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);
        pair_pull(pair, SP_SERVER);
        assert_true(sp_conn_bury(server, &tombstone));
        assert_in_range(tombstone.packet_size, is_early ? 100 : SP_REASON_SIZE_MAX,
                        sizeof(tombstone.packet));
        if (!is_early)
            give_answer(pair, SP_CLIENT, &tombstone);
        assert_int_equal(pair_conn(pair, SP_CLIENT)->close.reason_size,
                         is_early ? 0 : SP_REASON_SIZE_MAX);
    }
}

/* [RFC9000 10.2.3] Packets of the handshake do not protect what the application has to say. */
static void an_early_close_hides_the_application(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_true(server->handshake_state < SP_HANDSHAKE_COMPLETE);
    sp_conn_close(server, 7, "why not", 7, pair->now_ns);
    pair_carry(pair, SP_SERVER);
    const struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(client->state, SP_CONN_DRAINING);
    assert_int_equal(client->close.kind, SP_CLOSE_TRANSPORT);
    assert_int_equal(client->close.error, SP_ERR_APPLICATION);
    assert_int_equal(client->close.reason_size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, a_token_of_a_cid_that_was_never_sent_to_resets_nothing),
        QT_TEST(conn_pair, a_token_counts_from_the_first_packet_to_its_cid),
        QT_TEST(conn_pair, after_a_reset_a_connection_drains_in_silence),
        QT_TEST(conn_pair, the_peer_cannot_make_us_remember_it_for_long),
        QT_TEST(conn_pair, a_connection_is_buried_once_its_close_is_taken_and_sent),
        QT_TEST(conn_pair, a_tombstone_answers_more_and_more_rarely),
        QT_TEST(conn_pair, a_tombstone_answers_a_client_that_has_moved),
        QT_TEST(conn_pair, the_tombstone_of_a_client_answers_its_server_alone),
        QT_TEST(conn_pair, a_tombstone_sends_three_bytes_for_one),
        QT_TEST(conn_pair, answers_to_small_datagrams_do_not_amplify),
        QT_TEST(conn_pair, a_client_without_handshake_keys_is_not_buried),
        QT_TEST(conn_pair, the_answer_fits_whatever_the_reason_is),
        QT_TEST(conn_pair, an_early_close_hides_the_application),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
