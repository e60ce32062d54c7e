/* SPDX-License-Identifier: MIT */
/* 0-RTT packets, what becomes of them, and who breaks their rules. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/conn.h"
#include "test/sim/random.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

enum { FRAMES_MAX = 64 };

static const uint8_t text[3000] = "said before the handshake";

/* A first connection, whose ticket and token the next client uses. */
static struct conn_pair *begin(void **state, enum qs_early early)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->tls_plan.early = early;
    pair->sends_new_token = true;
    pair_connect(pair);
    assert_true(pair->ticket_size > 0);
    assert_int_equal(pair->token_size, sizeof(pair->token));
    pair_end(pair);
    return pair;
}

static uint64_t say(struct conn_pair *pair, const void *data, size_t size, bool is_uni)
{
    uint64_t id;
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(sp_conn_open(client, is_uni, &id), SP_DONE);
    const struct sp_write write = {.data = data, .size = size, .fin = true};
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
    return id;
}

/* Takes events of the server until the stream's bytes; asserts that they are the text. */
static void assert_said(struct conn_pair *pair, uint64_t id, size_t size)
{
    struct sp_event event;
    size_t got = 0;
    while (got < size && sp_conn_next_event(pair_conn(pair, SP_SERVER), &event)) {
        if (event.kind != SP_EVENT_STREAM_DATA)
            continue;
        assert_int_equal(event.stream_id, id);
        assert_int_equal(event.data.offset, got);
        assert_memory_equal(event.data.slice.data, text + got, event.data.slice.size);
        got += event.data.slice.size;
        sp_conn_consume(pair_conn(pair, SP_SERVER), id, event.data.slice.size);
        sb_buffer_unref(event.data.slice.buffer);
    }
    assert_int_equal(got, size);
}

static enum sp_early_state early_of(struct conn_pair *pair, enum sp_role role)
{
    return sp_conn_early(pair_conn(pair, role));
}

/* [RFC9001 4.6, 4.9.3] */
static void bytes_of_0_rtt_are_delivered_before_the_handshake_is_complete(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
    pair_start(pair);
    uint64_t id = say(pair, text, 100, false);
    assert_int_equal(early_of(pair, SP_CLIENT), SP_EARLY_OFFERED);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_true(sp_conn_is_handshaking(server));
    assert_int_equal(early_of(pair, SP_SERVER), SP_EARLY_ACCEPTED);
    struct sp_event event = {.kind = SP_EVENT_CID_ADDED};
    while (event.kind == SP_EVENT_CID_ADDED)
        assert_true(sp_conn_next_event(server, &event));
    assert_int_equal(event.kind, SP_EVENT_EARLY);
    assert_said(pair, id, 100);
    assert_true(sp_conn_stream_is_early(server, id));

    pair_shuttle(pair);
    assert_int_equal(early_of(pair, SP_CLIENT), SP_EARLY_ACCEPTED);
    assert_null(pair_conn(pair, SP_CLIENT)->early);
    assert_non_null(server->early); /* for late packets */
    id = say(pair, text, 100, false);
    pair_carry(pair, SP_CLIENT);
    assert_said(pair, id, 100);
    assert_false(sp_conn_stream_is_early(server, id));

    pair->now_ns = server->early->until_ns;
    assert_true(sp_conn_deadline_ns(server) <= pair->now_ns);
    sp_conn_on_deadline(server, pair->now_ns);
    assert_null(server->early);
}

/* [RFC9001 4.9.3] A 0-RTT packet that is overtaken by the handshake is read all the same. */
static void a_late_0_rtt_packet_is_opened_after_the_handshake(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
    struct pair_packet hello, late;
    pair_start(pair);
    (void)say(pair, text, 1500, false);
    assert_true(pair_take(pair, SP_CLIENT, &hello));
    assert_true(pair_take(pair, SP_CLIENT, &late));
    pair_deliver(pair, SP_SERVER, &hello);
    pair_carry(pair, SP_SERVER);
    pair_carry(pair, SP_CLIENT);
    assert_false(sp_conn_is_handshaking(pair_conn(pair, SP_SERVER)));
    pair_deliver(pair, SP_SERVER, &late);
    assert_int_equal(pair_conn(pair, SP_SERVER)->stats.stream_bytes_in, 1500);
}

/* Takes a ClientHello in two packets and 1,500 bytes of 0-RTT in the third.  Returns the stream. */
static uint64_t take_early_of_a_long_hello(struct conn_pair *pair, struct pair_packet packets[3])
{
    pair->tls_plan.hello_size = 1800;
    pair_start(pair);
    uint64_t id = say(pair, text, 1500, false);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(pair_take(pair, SP_CLIENT, &packets[i]));
    return id;
}

/* [RFC9001 5.7, RFC9000 5.2.2] */
static void a_0_rtt_packet_that_comes_before_the_whole_hello_waits(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
    struct pair_packet packets[3];
    uint64_t id = take_early_of_a_long_hello(pair, packets);
    pair_deliver(pair, SP_SERVER, &packets[0]); /* half of it */
    pair_deliver(pair, SP_SERVER, &packets[2]);
    assert_int_equal(pair_conn(pair, SP_SERVER)->handshake->undecryptable_count, 1);
    pair_deliver(pair, SP_SERVER, &packets[1]);
    pair_carry(pair, SP_CLIENT);
    assert_said(pair, id, 1500);
}

/* .. in a copy, of which bytes may be kept, also if they may not of its datagram. */
static void a_0_rtt_packet_in_a_transient_datagram_waits_as_well(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
    struct pair_packet packets[3];
    uint64_t id = take_early_of_a_long_hello(pair, packets);
    pair_deliver(pair, SP_SERVER, &packets[0]);
    pair->is_transient = true;
    pair_deliver(pair, SP_SERVER, &packets[2]);
    pair->is_transient = false;
    pair_deliver(pair, SP_SERVER, &packets[1]);
    assert_int_equal(pair_conn(pair, SP_SERVER)->stats.packets_dropped, 0);
    pair_carry(pair, SP_CLIENT); /* the rest, which was not sent yet */
    assert_said(pair, id, 1500);
}

/* .. but not without a bound. */
static void a_flood_of_0_rtt_packets_is_kept_within_bounds(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
    struct pair_packet hello, flood;
    pair->tls_plan.hello_size = 1800;
    pair_start(pair);
    (void)say(pair, text, 3000, false);
    assert_true(pair_take(pair, SP_CLIENT, &hello));
    pair_deliver(pair, SP_SERVER, &hello);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_true(pair_take(pair, SP_CLIENT, &flood)); /* the other half of the hello: lost */
    assert_true(pair_take(pair, SP_CLIENT, &flood));
    for (uint32_t i = 0; i < 1000; i++)
        pair_deliver(pair, SP_SERVER, &flood);
    assert_int_equal(server->handshake->undecryptable_count, SP_UNDECRYPTABLE_MAX);
    assert_true(sp_conn_held_bytes(server) <= SP_UNDECRYPTABLE_MAX * 2048);
}

/* [RFC9001 4.6.2] Never lost, never doubled. */
static void rejected_0_rtt_is_sent_again_once(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_REJECT);
    pair_start(pair);
    uint64_t id = say(pair, text, 2000, false);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(early_of(pair, SP_SERVER), SP_EARLY_REJECTED);
    assert_int_equal(server->handshake->undecryptable_count, 0);
    assert_int_equal(server->stats.stream_bytes_in, 0);
    pair_carry(pair, SP_SERVER);
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(pair->early_rejected_count, 1);
    assert_int_equal(early_of(pair, SP_CLIENT), SP_EARLY_REJECTED);
    assert_said(pair, id, 2000);
    assert_false(sp_conn_stream_is_early(server, id));
    pair_shuttle(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(client->data_sent, 2000);
    assert_int_equal(client->stats.stream_bytes_out, 4000);
    assert_int_equal(client->loss.path->cc.in_flight_bytes, 0);
}

/* A stream that is served until it has nothing more to send keeps its place in the line.  After a
 * rejection it is in none. */
static void rejected_0_rtt_of_a_stream_with_priority_is_sent_again(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_REJECT);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct sp_write write = {.data = text, .size = 1000};
    uint64_t id;
    assert_int_equal(sp_conn_open(client, false, &id), SP_DONE);
    assert_int_equal(sp_conn_stream_set_priority(client, id, 1, false), SP_DONE);
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
    pair_carry(pair, SP_CLIENT);
    write.data = text + 1000;
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
    pair_carry(pair, SP_SERVER);
    assert_int_equal(early_of(pair, SP_CLIENT), SP_EARLY_REJECTED);
    sp_conn_check(client);
    pair_carry(pair, SP_CLIENT);
    assert_said(pair, id, 2000);
}

/* Carries what the client sends.  Returns how many 0-RTT packets were among it; asserts that they
 * have version 1. */
static uint32_t carry_early_of_version_1(struct conn_pair *pair)
{
    struct pair_packet packet;
    uint32_t count = 0;
    while (pair_take(pair, SP_CLIENT, &packet)) {
        struct sp_header header;
        for (size_t at = 0; at < packet.size; at += header.size) {
            assert_true(sp_header_read(packet.data + at, packet.size - at, 8, &header));
            if (header.type != SP_PACKET_ZERO_RTT)
                continue;
            assert_int_equal(header.version, SP_VERSION_1);
            count++;
        }
        pair_deliver(pair, SP_SERVER, &packet);
    }
    return count;
}

/* [RFC9369 4.1] Also once the client has learned that its server moves it to version 2. */
static void packets_of_0_rtt_have_the_version_of_the_first_flight(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
    struct pair_packet packet;
    struct sp_header header;
    pair->config.versions = (struct sp_versions){.count = 2, .list = {SP_VERSION_2, SP_VERSION_1}};
    pair->config.first_version = SP_VERSION_1;
    pair_start(pair);
    (void)say(pair, text, 1000, false);
    assert_true(carry_early_of_version_1(pair) > 0);
    assert_int_equal(early_of(pair, SP_SERVER), SP_EARLY_ACCEPTED);

    /* The client gets the server's Initial alone: no keys for 1-RTT packets. */
    assert_true(pair_take(pair, SP_SERVER, &packet));
    assert_true(sp_header_read(packet.data, packet.size, 8, &header));
    packet.size = header.size;
    pair_deliver(pair, SP_CLIENT, &packet);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(client->version, SP_VERSION_2);
    assert_int_equal(early_of(pair, SP_CLIENT), SP_EARLY_OFFERED);
    (void)say(pair, text, 1000, false);
    assert_true(carry_early_of_version_1(pair) > 0);
    assert_int_equal(pair_conn(pair, SP_SERVER)->stats.stream_bytes_in, 2000);
}

/* Streams above the limit that counts now wait for MAX_STREAMS, whatever was done with them. */
static void streams_above_the_new_limit_are_held(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_REJECT);
    struct sp_conn *client;
    uint64_t ids[4];
    pair_start(pair);
    client = pair_conn(pair, SP_CLIENT);
    for (uint32_t i = 0; i < 4; i++)
        ids[i] = say(pair, text, 10, true);
    pair->config.streams_uni_max = 2; /* the server's, which is made now */
    pair_carry(pair, SP_CLIENT);
    pair_carry(pair, SP_SERVER);
    assert_int_equal(client->limits[true].local_max, 2);
    assert_int_equal(client->limits[true].local_opened, 4);
    assert_int_equal(sp_conn_reset(client, ids[3], 7), SP_DONE);
    sp_conn_check(client);
    /* The streams that close make room for the others. */
    pair_shuttle(pair);
    assert_int_equal(client->streams.count, 0);
    assert_int_equal(pair_conn(pair, SP_SERVER)->limits[true].remote_opened, 4);
}

/* [RFC9000 7.4.1] */
static void a_server_that_accepts_under_lower_limits_breaks_the_protocol(void **state)
{
    static const size_t fields[] = {
        offsetof(struct sp_config, conn_window_bytes),
        offsetof(struct sp_config, stream_window_bytes),
        offsetof(struct sp_config, streams_bidi_max),
        offsetof(struct sp_config, streams_uni_max),
    };
    for (size_t i = 0; i < QT_COUNT(fields); i++) {
        struct conn_pair *pair = begin(state, QS_EARLY_FORCE);
        uint64_t value;
        pair_start(pair);
        memcpy(&value, (char *)&pair->config + fields[i], sizeof(value));
        value--;
        memcpy((char *)&pair->config + fields[i], &value, sizeof(value));
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        const struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        assert_true(sp_conn_is_closed(client));
        assert_int_equal(client->close.error, SP_ERR_PROTOCOL_VIOLATION);
    }
}

/* [RFC9000 7.4.1] Higher limits count from the first 1-RTT packet on. */
static void higher_limits_count_after_0_rtt(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->tls_plan.early = QS_EARLY_ACCEPT;
    pair->config.stream_window_bytes = 1000;
    pair->config.conn_window_bytes = 1500;
    pair_connect(pair);
    pair_end(pair);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t id = say(pair, text, 3000, false);
    pair->config.stream_window_bytes = 3000;
    pair->config.conn_window_bytes = 3000;
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(client->data_sent, 1000);
    assert_said(pair, id, 1000);
    pair_carry(pair, SP_SERVER);
    assert_true(client->max_data >= 3000);
    pair_shuttle(pair);
    assert_int_equal(client->data_sent, 3000);
}

/* [RFC9000 7.4.1] What belongs to one connection is not remembered. */
static void the_delay_of_acks_is_that_of_this_connection(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->tls_plan.early = QS_EARLY_ACCEPT;
    pair->config.ack_delay_ns_max = 7 * SB_MS;
    pair_connect(pair);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->loss.peer_ack_delay_ns_max, 7 * SB_MS);
    pair_end(pair);
    pair_start(pair);
    (void)say(pair, text, 1000, false);
    const struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    pair->config.ack_delay_ns_max = 9 * SB_MS; /* the server's, which is made now */
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(early_of(pair, SP_CLIENT), SP_EARLY_OFFERED);
    assert_int_not_equal(client->loss.peer_ack_delay_ns_max, 7 * SB_MS);
    pair_shuttle(pair);
    assert_int_equal(early_of(pair, SP_CLIENT), SP_EARLY_ACCEPTED);
    assert_int_equal(client->loss.peer_ack_delay_ns_max, 9 * SB_MS);
}

/* [RFC9001 4.6.2] */
static void an_ack_of_rejected_0_rtt_breaks_the_protocol(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_REJECT);
    pair_start(pair);
    (void)say(pair, text, 100, false);
    pair_shuttle(pair);
    static const uint8_t ack[] = {0x02, 0x00, 0x00, 0x00, 0x00};
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP, ack, sizeof(ack), PAIR_FAULT_NONE);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->close.error, SP_ERR_PROTOCOL_VIOLATION);
}

/* Makes a 0-RTT packet of the client with `frames`, and gives it to the server. */
static void inject_early(struct conn_pair *pair, const uint8_t *frames, size_t size)
{
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct pair_packet packet = {.size = 0};
    const struct pair_packet *const packets[] = {&packet};
    struct sp_long_header header = {
        .type = SP_PACKET_ZERO_RTT,
        .version = client->early->version,
        .dcid = *sp_cid_remote_active(&client->remote_ids),
        .scid = client->handshake->client_scid,
        .pn = 50,
        .pn_size = 4,
    };
    uint8_t *length_at, *pn_at;
    struct sb_writer w = sb_writer_of(packet.data, sizeof(packet.data));
    sp_header_write_long(&w, &header, &length_at, &pn_at);
    size_t header_size = sb_writer_used(&w);
    sp_header_set_length(length_at, 4 + size + SP_TAG_SIZE);
    struct sb_bytes part = {.data = frames, .size = size};
    struct sp_seal seal = {.pn = header.pn,
                           .header = packet.data,
                           .header_size = header_size,
                           .parts = &part,
                           .part_count = 1,
                           .out = packet.data + header_size};
    (void)client->protect.ops->seal(client->early->key, &seal);
    const uint8_t *sample = pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    client->protect.ops->masks(client->early->key, &sample, 1, mask);
    sp_header_mask(packet.data, pn_at, 4, mask[0]);
    packet.size = header_size + size + SP_TAG_SIZE;
    pair_give(pair, SP_SERVER, packets, 1);
}

/* [RFC9000 12.4, 12.5] Frames that only 1-RTT packets carry, and limits. */
static void a_client_that_breaks_the_rules_of_0_rtt_is_closed(void **state)
{
    static const struct {
        uint8_t frames[FRAMES_MAX];
        size_t size;
        enum sp_err err;
    } samples[] = {
        {{0x02, 0, 0, 0, 0}, 5, SP_ERR_PROTOCOL_VIOLATION},             /* ACK */
        {{0x06, 0, 4, 1, 2, 3, 4}, 7, SP_ERR_PROTOCOL_VIOLATION},       /* CRYPTO */
        {{0x07, 1, 't', 0}, 4, SP_ERR_PROTOCOL_VIOLATION},              /* NEW_TOKEN */
        {{0x1b, 1, 2, 3, 4, 5, 6, 7, 8}, 9, SP_ERR_PROTOCOL_VIOLATION}, /* PATH_RESPONSE */
        {{0x1e, 0, 0, 0}, 4, SP_ERR_PROTOCOL_VIOLATION},                /* HANDSHAKE_DONE */
        {{0x19, 0, 0, 0}, 4, SP_ERR_PROTOCOL_VIOLATION},                /* RETIRE_CONNECTION_ID */
        {{0x0a, 0x44, 0x00, 1, 'x'}, 5, SP_ERR_STREAM_LIMIT},           /* STREAM 1024 */
        {{0x0e, 0, 0xc0, 0, 0, 0, 0x40, 0, 0, 0, 1, 'x'}, 12, SP_ERR_FLOW_CONTROL},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
        struct pair_packet hello;
        pair_start(pair);
        assert_true(pair_take(pair, SP_CLIENT, &hello));
        pair_deliver(pair, SP_SERVER, &hello);
        inject_early(pair, samples[i].frames, samples[i].size);
        assert_true(sp_conn_is_closed(pair_conn(pair, SP_SERVER)));
        assert_int_equal(pair_conn(pair, SP_SERVER)->close.error, samples[i].err);
    }
}

/* Parameters that cannot be read, cut anywhere, cost the 0-RTT and nothing else. */
static void unreadable_parameters_mean_no_0_rtt(void **state)
{
    static const uint8_t grease[] = {0x1b, 0x05, 'a'};
    struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
    uint64_t id;
    size_t params_at = 8 + 1 + 32 + 2; /* see test/sim/null_ticket.h */
    memcpy(pair->ticket + params_at, grease, sizeof(grease));
    uint64_t hash = qs_hash(0x71c4e7, pair->ticket + 8, pair->ticket_size - 8);
    sb_store_u64(pair->ticket, hash);
    pair_start(pair);
    assert_int_equal(early_of(pair, SP_CLIENT), SP_EARLY_NONE);
    assert_int_equal(sp_conn_open(pair_conn(pair, SP_CLIENT), false, &id), SP_AGAIN);
    pair_shuttle(pair);
    assert_int_equal(sp_conn_open(pair_conn(pair, SP_CLIENT), false, &id), SP_DONE);
}

/* [RFC9000 8.1.3] */
static void the_token_of_new_token_is_in_the_first_initial(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_OFF);
    struct pair_packet hello;
    struct sp_header header;
    pair_start(pair);
    assert_true(pair_take(pair, SP_CLIENT, &hello));
    assert_true(sp_header_read(hello.data, hello.size, pair->config.cid_size, &header));
    assert_int_equal(header.token.size, sizeof(pair->token));
    assert_memory_equal(header.token.data, pair->token, sizeof(pair->token));
}

static void a_token_that_is_too_long_is_ignored(void **state)
{
    static uint8_t frame[3 + SP_NEW_TOKEN_SIZE_MAX + 1] = {0x07, 0x42, 0x01};
    struct conn_pair *pair = begin(state, QS_EARLY_OFF);
    pair->sends_new_token = false;
    pair_connect(pair);
    pair->token_size = 0;
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE);
    pair_pull(pair, SP_CLIENT);
    assert_int_equal(pair->token_size, 0);
    frame[2] = 0x00; /* one byte less, then PADDING */
    pair_inject(pair, SP_CLIENT, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE);
    pair_pull(pair, SP_CLIENT);
    assert_int_equal(pair->token_size, sizeof(pair->token));
}

/* A server without memory for 0-RTT lets its client send everything again. */
static void a_server_without_memory_drops_0_rtt(void **state)
{
    struct conn_pair *pair = begin(state, QS_EARLY_ACCEPT);
    struct pair_packet hello;
    pair_start(pair);
    (void)say(pair, text, 100, false);
    assert_true(pair_take(pair, SP_CLIENT, &hello));
    void *taken[64];
    uint32_t count = 0;
    pair->memory_left = 0;
    while (count < QT_COUNT(taken) && (taken[count] = sb_pool_take(&pair->pools.earlies)) != NULL)
        count++;
    pair->memory_left = UINT64_MAX;
    pair->pools.earlies.count_max = pair->pools.earlies.made_count;
    pair_deliver(pair, SP_SERVER, &hello);
    while (count > 0)
        sb_pool_give(&pair->pools.earlies, taken[--count]);
    assert_int_equal(early_of(pair, SP_SERVER), SP_EARLY_NONE);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    for (uint32_t i = 0; i < 5; i++) {
        pair_shuttle(pair);
        pair->now_ns = SB_MAX(pair->now_ns, sp_conn_deadline_ns(client));
        sp_conn_on_deadline(client, pair->now_ns); /* the PTO of the application space */
    }
    assert_int_equal(pair_conn(pair, SP_SERVER)->stats.stream_bytes_in, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, bytes_of_0_rtt_are_delivered_before_the_handshake_is_complete),
        QT_TEST(conn_pair, a_late_0_rtt_packet_is_opened_after_the_handshake),
        QT_TEST(conn_pair, a_0_rtt_packet_that_comes_before_the_whole_hello_waits),
        QT_TEST(conn_pair, a_0_rtt_packet_in_a_transient_datagram_waits_as_well),
        QT_TEST(conn_pair, a_flood_of_0_rtt_packets_is_kept_within_bounds),
        QT_TEST(conn_pair, rejected_0_rtt_is_sent_again_once),
        QT_TEST(conn_pair, rejected_0_rtt_of_a_stream_with_priority_is_sent_again),
        QT_TEST(conn_pair, packets_of_0_rtt_have_the_version_of_the_first_flight),
        QT_TEST(conn_pair, the_delay_of_acks_is_that_of_this_connection),
        QT_TEST(conn_pair, streams_above_the_new_limit_are_held),
        QT_TEST(conn_pair, a_server_that_accepts_under_lower_limits_breaks_the_protocol),
        QT_TEST(conn_pair, higher_limits_count_after_0_rtt),
        QT_TEST(conn_pair, an_ack_of_rejected_0_rtt_breaks_the_protocol),
        QT_TEST(conn_pair, a_client_that_breaks_the_rules_of_0_rtt_is_closed),
        QT_TEST(conn_pair, unreadable_parameters_mean_no_0_rtt),
        QT_TEST(conn_pair, the_token_of_new_token_is_in_the_first_initial),
        QT_TEST(conn_pair, a_token_that_is_too_long_is_ignored),
        QT_TEST(conn_pair, a_server_without_memory_drops_0_rtt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
