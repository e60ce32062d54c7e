/* SPDX-License-Identifier: MIT */
/* Rules of the RFCs that follow from how the code is built, and that no other test would miss. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/wire/frame.h"
#include "proto/wire/header.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static const uint8_t text[3000];

static uint64_t open_and_write(struct sp_conn *conn, size_t size)
{
    uint64_t id = 0;
    assert_int_equal(sp_conn_open(conn, false, &id), SP_DONE);
    const struct sp_write write = {.data = text, .size = size};
    assert_int_equal(sp_conn_write(conn, id, &write), SP_DONE);
    return id;
}

static void to_deadline(struct conn_pair *pair, enum sp_role role)
{
    struct sp_conn *conn = pair_conn(pair, role);
    pair->now_ns = SB_MAX(pair->now_ns, sp_conn_deadline_ns(conn));
    sp_conn_on_deadline(conn, pair->now_ns);
}

/* Returns the number of packets in a datagram, which all name the same connection. */
static uint32_t packets_of_one_connection(const struct pair_packet *datagram, uint8_t cid_size)
{
    uint32_t count = 0;
    struct sp_cid first = {0};
    for (size_t at = 0; at < datagram->size; count++) {
        struct sp_header header;
        assert_true(sp_header_read(datagram->data + at, datagram->size - at, cid_size, &header));
        if (count == 0)
            first = header.dcid;
        assert_true(sp_cid_equal(&first, &header.dcid));
        assert_true(header.size > 0);
        at += header.size;
    }
    return count;
}

/* [RFC9000 12.2] Also of the client, which learns the server's CID in the middle of it. */
static void the_packets_of_a_datagram_have_one_connection_id(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet datagram;
    uint32_t most[2] = {0, 0};
    pair_init(pair);
    pair_start(pair);
    for (uint32_t round = 0; round < 6; round++)
        for (uint32_t role = 0; role < 2; role++) {
            if (role == SP_SERVER && round == 0 && pair->ends[SP_SERVER].conn == NULL)
                continue;
            while (pair_take(pair, (enum sp_role)role, &datagram)) {
                uint32_t count = packets_of_one_connection(&datagram, pair->config.cid_size);
                most[role] = SB_MAX(most[role], count);
                pair_deliver(pair, role == SP_CLIENT ? SP_SERVER : SP_CLIENT, &datagram);
            }
        }
    assert_in_range(most[SP_CLIENT], 2, 3);
    assert_in_range(most[SP_SERVER], 2, 3);
}

/* [RFC9002 6.2.4] With or without bytes to send again. */
static void every_probe_elicits_an_acknowledgment(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    for (uint32_t bytes = 0; bytes < 2; bytes++) {
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        if (bytes > 0)
            (void)open_and_write(client, 1);
        else
            client->app.probe_count = 1;
        const struct sp_sent *sent = &client->loss.app.sent;
        assert_int_equal(pair_flush(pair, SP_CLIENT, &size), 1);
        for (uint32_t pto = 0; pto < 4; pto++) {
            uint32_t out = sent->out_count;
            uint32_t eliciting = sent->eliciting_count;
            uint64_t ptos = client->stats.ptos;
            while (client->stats.ptos == ptos)
                to_deadline(pair, SP_CLIENT);
            assert_int_equal(pair_flush(pair, SP_CLIENT, &size), 2);
            assert_int_equal(sent->out_count, out + 2);
            assert_int_equal(sent->eliciting_count, eliciting + 2);
        }
    }
}

/* [RFC9000 11.2] Nothing that happens to a stream resets it, but the application and, for it, the
 * peer's STOP_SENDING. */
static void a_stream_is_reset_for_an_application_only(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair->config.stream_window_bytes = pair->config.stream_window_bytes_max = 1000;
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t id = open_and_write(client, sizeof(text)); /* more than the peer allows */
    const struct sp_stream *stream = sp_stream_map_find(&client->streams, id);
    assert_non_null(stream);
    for (uint32_t pto = 0; pto < 6; pto++) {
        (void)pair_flush(pair, SP_CLIENT, &size); /* all is lost */
        to_deadline(pair, SP_CLIENT);
    }
    uint8_t frames[32];
    struct sb_writer w = sb_writer_of(frames, sizeof(frames));
    sp_frame_write_reset_stream(&w, id, 7, 0); /* the peer's own half */
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP, frames, sb_writer_used(&w), PAIR_FAULT_NONE);
    assert_int_equal(client->state, SP_CONN_OPEN);
    assert_int_equal(stream->send.state, SP_SEND_OPEN);

    w = sb_writer_of(frames, sizeof(frames));
    sp_frame_write_stop_sending(&w, id, 7);
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP, frames, sb_writer_used(&w), PAIR_FAULT_NONE);
    assert_int_equal(stream->send.state, SP_SEND_RESET);
}

/* The client acknowledges packet `pn` alone. */
static void acknowledge(struct conn_pair *pair, uint64_t pn, uint64_t delay_ns,
                        const struct sp_ecn_counts *ecn)
{
    uint8_t frame[64];
    struct sb_writer w = sb_writer_of(frame, sizeof(frame));
    const struct sp_ack_range range = {pn, pn};
    uint64_t exponent = pair_conn(pair, SP_SERVER)->peer_ack_delay_exponent;
    assert_int_equal(sp_frame_write_ack(&w, &range, 1, delay_ns / SB_US >> exponent, ecn), 1);
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frame, sb_writer_used(&w), PAIR_FAULT_NONE);
    assert_int_equal(pair_conn(pair, SP_SERVER)->state, SP_CONN_OPEN);
}

/* Sends a packet that elicits an acknowledgment; returns its number. */
static uint64_t send_one(struct conn_pair *pair)
{
    size_t size;
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->app.probe_count = 1;
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);
    return server->loss.app.sent.next_pn - 1;
}

/* [RFC9002 5.3] */
static void a_peer_cannot_claim_more_ack_delay_than_it_announced(void **state)
{
    static const uint64_t claimed_ms[] = {10, 25, 400};
    static const uint64_t counted_ms[] = {10, 25, 25};
    struct conn_pair *pair = *state;
    for (size_t i = 0; i < QT_COUNT(claimed_ms); i++) {
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        assert_int_equal(server->loss.peer_ack_delay_ns_max, 25 * SB_MS);
        struct sp_rtt *rtt = &server->loss.path->rtt;
        pair->now_ns += SB_S; /* later than the handshake was confirmed */
        uint64_t pn = send_one(pair);
        pair->now_ns += 500 * SB_MS;
        rtt->smoothed_ns = rtt->min_ns = 100 * SB_MS;
        acknowledge(pair, pn, claimed_ms[i] * SB_MS, NULL);
        assert_int_equal(rtt->latest_ns, 500 * SB_MS);
        assert_int_equal(rtt->smoothed_ns, (7 * 100 * SB_MS + (500 - counted_ms[i]) * SB_MS) / 8);
    }
}

/* [RFC9000 13.4.2.1] It was reordered: lower counts are those of its time. */
static void an_older_ack_says_nothing_about_ecn(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t is_older = 0; is_older < 2; is_older++) {
        pair_init(pair);
        pair_connect(pair); /* without marks: they begin here */
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        struct sp_ecn_path *ecn = &server->loss.path->ecn;
        sp_ecn_init(ecn, SP_ECN_ECT0);
        uint64_t first = send_one(pair);
        uint64_t second = send_one(pair);
        uint64_t third = send_one(pair);
        const struct sp_ecn_counts all = {.ect0 = server->loss.app.ecn.marked_count};
        const struct sp_ecn_counts none = {0};
        acknowledge(pair, second, 0, &all);
        assert_int_equal(ecn->state, SP_ECN_CAPABLE);
        acknowledge(pair, is_older ? first : third, 0, &none);
        assert_int_equal(ecn->state, is_older ? SP_ECN_CAPABLE : SP_ECN_FAILED);
    }
}

/* Takes the next datagram that `from` sends, and returns its mark. */
static enum sp_ecn take_marked(struct conn_pair *pair, enum sp_role from, struct pair_packet *ret)
{
    struct sp_train train = {.data = ret->data, .capacity = sizeof(ret->data), .count_max = 1};
    assert_int_equal(sp_conn_send(pair_conn(pair, from), &train, pair->now_ns), 1);
    ret->size = train.size;
    return train.ecn;
}

/* .. and delivers it with that mark. */
static enum sp_ecn carry_marked(struct conn_pair *pair, enum sp_role from)
{
    struct pair_packet packet;
    enum sp_ecn mark = take_marked(pair, from, &packet);
    pair->ecn = mark;
    pair_deliver(pair, (enum sp_role)(1 - from), &packet);
    pair->ecn = SP_ECN_NOT;
    return mark;
}

/* [RFC9000 13.4.2] The first packets of both sides are marked, those of the handshake too, and the
 * counts in its ACKs decide. */
static void packets_are_marked_from_the_first_one_on(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    assert_int_equal(carry_marked(pair, SP_CLIENT), SP_ECN_ECT0);
    assert_int_equal(carry_marked(pair, SP_SERVER), SP_ECN_ECT0);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT), *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(client->loss.path->ecn.state, SP_ECN_CAPABLE);
    assert_int_equal(carry_marked(pair, SP_CLIENT), SP_ECN_ECT0);
    assert_int_equal(server->loss.path->ecn.state, SP_ECN_CAPABLE);

    pair_init(pair); /* the marks are cleared on the way */
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    pair_carry(pair, SP_SERVER);
    client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(client->loss.path->ecn.state, SP_ECN_FAILED);
    assert_int_equal(carry_marked(pair, SP_CLIENT), SP_ECN_NOT);

    pair_init(pair); /* not wanted */
    pair->config.ecn = false;
    pair_start(pair);
    assert_int_equal(carry_marked(pair, SP_CLIENT), SP_ECN_NOT);
    assert_int_equal(carry_marked(pair, SP_SERVER), SP_ECN_NOT);
}

/* A path may drop what is marked: the first PTO sends without. */
static void a_handshake_that_gets_no_answer_goes_on_without_marks(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct pair_packet packet;
    assert_true(pair_take(pair, SP_CLIENT, &packet)); /* it is lost */
    pair->now_ns = sp_conn_deadline_ns(client);
    sp_conn_on_deadline(client, pair->now_ns);
    assert_int_equal(carry_marked(pair, SP_CLIENT), SP_ECN_NOT);
    pair_shuttle(pair);
    assert_int_equal(client->handshake_state, SP_HANDSHAKE_CONFIRMED);
    assert_int_not_equal(client->loss.path->ecn.state, SP_ECN_FAILED); /* of one loss */
}

/* [RFC9000 13.4.2] Nobody would notice that the path drops them. */
static void acks_alone_are_not_marked_before_the_path_is_known(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    pair_init(pair);
    pair->tls_plan.hello_size = 1800;
    pair_start(pair);
    assert_true(pair_take(pair, SP_CLIENT, &packet));
    pair_deliver(pair, SP_SERVER, &packet); /* the second one is lost, and the ACK */
    assert_int_equal(take_marked(pair, SP_SERVER, &packet), SP_ECN_NOT);
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(take_marked(pair, SP_SERVER, &packet), SP_ECN_ECT0); /* its flight */
}

/* [RFC9002 6.2.4] Probes that repeated the two oldest pieces each time would never bring the third
 * one, which alone is missing, to a server whose ACKs are all lost. */
static void probes_go_around_all_that_is_in_flight(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    pair_init(pair);
    pair->tls_plan.hello_size = 3000;
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(pair_take(pair, SP_CLIENT, &packet));
        pair_deliver(pair, SP_SERVER, &packet);
    }
    assert_true(pair_take(pair, SP_CLIENT, &packet)); /* the third one is lost */
    assert_false(pair_take(pair, SP_CLIENT, &packet));
    for (uint32_t pto = 0; pto < 2; pto++) {
        while (pair_take(pair, SP_SERVER, &packet)) /* the ACKs are lost */
            assert_null(pair_conn(pair, SP_SERVER)->spaces[SP_SPACE_HANDSHAKE]->write);
        pair->now_ns = sp_conn_deadline_ns(client);
        sp_conn_on_deadline(client, pair->now_ns);
        while (pair_take(pair, SP_CLIENT, &packet))
            pair_deliver(pair, SP_SERVER, &packet);
    }
    assert_non_null(pair_conn(pair, SP_SERVER)->spaces[SP_SPACE_HANDSHAKE]->write);
    pair_shuttle(pair);
    assert_int_equal(client->handshake_state, SP_HANDSHAKE_CONFIRMED);
}

/* A Retry came after some PTOs, for example. */
static void probes_bring_everything_whatever_was_probed_before(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    for (uint32_t before = 0; before < 6; before++) {
        pair_init(pair);
        pair->tls_plan.hello_size = 3000;
        pair->config.handshake_timeout_ns = 0;
        pair->config.idle_timeout_ns = 0;
        pair_start(pair);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        while (pair_take(pair, SP_CLIENT, &packet))
            continue; /* all is lost */
        client->loss.pto_count = before;
        for (uint32_t pto = 0; pto < 3; pto++) {
            while (pair_conn(pair, SP_SERVER) != NULL && pair_take(pair, SP_SERVER, &packet))
                continue;
            pair->now_ns = sp_conn_deadline_ns(client);
            sp_conn_on_deadline(client, pair->now_ns);
            while (pair_take(pair, SP_CLIENT, &packet))
                pair_deliver(pair, SP_SERVER, &packet);
        }
        assert_non_null(pair_conn(pair, SP_SERVER)->spaces[SP_SPACE_HANDSHAKE]->write);
    }
}

/* A host that has not received all that arrived does not know what is missing. */
static void silence_counts_until_the_host_has_listened(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    (void)open_and_write(client, 10);
    (void)pair_flush(pair, SP_CLIENT, &(size_t){0});
    uint64_t pto_ns = sp_loss_deadline_ns(&client->loss);
    uint64_t late_ns = pto_ns + SB_MS;

    assert_true(sp_conn_must_listen(client, late_ns, pto_ns - 1));
    sp_conn_on_deadline_heard(client, late_ns, pto_ns - 1);
    assert_int_equal(client->stats.ptos, 0);
    assert_int_equal(client->state, SP_CONN_OPEN);

    assert_false(sp_conn_must_listen(client, late_ns, pto_ns));
    sp_conn_on_deadline_heard(client, late_ns, pto_ns);
    assert_int_equal(client->stats.ptos, 1);
    assert_int_equal(client->state, SP_CONN_OPEN);

    late_ns += 3600 * SB_S; /* the idle timeout */
    sp_conn_on_deadline_heard(client, late_ns, pto_ns);
    assert_int_equal(client->state, SP_CONN_OPEN);
    sp_conn_on_deadline_heard(client, late_ns, late_ns);
    assert_int_equal(client->state, SP_CONN_DRAINED);
}

/* It does what it owes the peer all the same. */
static void an_ack_does_not_wait_until_the_host_has_listened(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    pair->now_ns += SB_MS;
    (void)open_and_write(server, 10);
    pair_carry(pair, SP_SERVER);
    uint64_t due_ns = client->app.ack.deadline_ns;
    assert_int_not_equal(due_ns, SB_NEVER);

    assert_true(sp_conn_must_listen(client, due_ns - 1, pair->now_ns));
    assert_false(sp_conn_must_listen(client, due_ns, pair->now_ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, the_packets_of_a_datagram_have_one_connection_id),
        QT_TEST(conn_pair, every_probe_elicits_an_acknowledgment),
        QT_TEST(conn_pair, a_stream_is_reset_for_an_application_only),
        QT_TEST(conn_pair, a_peer_cannot_claim_more_ack_delay_than_it_announced),
        QT_TEST(conn_pair, packets_are_marked_from_the_first_one_on),
        QT_TEST(conn_pair, a_handshake_that_gets_no_answer_goes_on_without_marks),
        QT_TEST(conn_pair, an_older_ack_says_nothing_about_ecn),
        QT_TEST(conn_pair, acks_alone_are_not_marked_before_the_path_is_known),
        QT_TEST(conn_pair, probes_go_around_all_that_is_in_flight),
        QT_TEST(conn_pair, probes_bring_everything_whatever_was_probed_before),
        QT_TEST(conn_pair, silence_counts_until_the_host_has_listened),
        QT_TEST(conn_pair, an_ack_does_not_wait_until_the_host_has_listened),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
