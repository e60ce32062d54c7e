/* SPDX-License-Identifier: MIT */
/* What a client makes of a Retry. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/conn/fill.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static bool is_authentic_retry(void *context, uint32_t version, const struct sp_cid *original_dcid,
                               const uint8_t *packet, size_t size)
{
    (void)context;
    (void)version;
    (void)original_dcid;
    (void)packet;
    (void)size;
    return true;
}

/* Makes a Retry from `scid` with a token of this size. */
static void make_retry(struct conn_pair *pair, const struct sp_cid *scid, size_t token_size,
                       struct pair_packet *ret)
{
    static uint8_t token[PAIR_DATAGRAM_SIZE_MAX];
    const struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct sb_writer w = sb_writer_of(ret->data, sizeof(ret->data));
    sb_writer_u8(&w, SP_HEADER_LONG | SP_HEADER_FIXED | SP_PACKET_RETRY << 4);
    sb_writer_u32(&w, SP_VERSION_1);
    sb_writer_u8(&w, client->handshake->client_scid.size);
    sb_writer_bytes(&w, client->handshake->client_scid.bytes, client->handshake->client_scid.size);
    sb_writer_u8(&w, scid->size);
    sb_writer_bytes(&w, scid->bytes, scid->size);
    memset(token, 'T', sizeof(token));
    sb_writer_bytes(&w, token, token_size);
    sb_writer_bytes(&w, (const uint8_t *)"0123456789abcdef", SP_TAG_SIZE);
    assert_false(w.failed);
    ret->size = sb_writer_used(&w);
}

/* Gives it to the client. */
static void give_retry_of(struct conn_pair *pair, const struct sp_cid *scid, size_t token_size,
                          bool is_authentic)
{
    static struct sp_protect_ops ops;
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct pair_packet packet;
    const struct pair_packet *const packets[] = {&packet};
    make_retry(pair, scid, token_size, &packet);
    ops = qs_null_protect_ops;
    if (is_authentic)
        ops.retry_is_authentic = is_authentic_retry;
    client->protect.ops = &ops;
    pair_give(pair, SP_CLIENT, packets, 1);
    client->protect.ops = &qs_null_protect_ops;
}

static void give_retry(struct conn_pair *pair, size_t token_size)
{
    struct sp_cid scid = sp_cid_of((const uint8_t *)"RETRYCID", 8);
    give_retry_of(pair, &scid, token_size, true);
}

/* Takes the client's next Initial and asserts that it has a token of this size. */
static void assert_token_sent(struct conn_pair *pair, size_t token_size, size_t datagram_size_max)
{
    uint8_t out[PAIR_DATAGRAM_SIZE_MAX];
    struct sp_train train = {.data = out, .capacity = sizeof(out), .count_max = 1};
    struct sp_header header;
    assert_int_equal(sp_conn_send(pair_conn(pair, SP_CLIENT), &train, pair->now_ns), 1);
    assert_in_range(train.size, SP_DATAGRAM_SIZE_MIN, datagram_size_max);
    assert_true(sp_header_read(out, train.size, pair->config.cid_size, &header));
    assert_int_equal(header.type, SP_PACKET_INITIAL);
    assert_memory_equal(header.dcid.bytes, "RETRYCID", 8);
    assert_int_equal(header.token.size, token_size);
    for (size_t i = 0; i < token_size; i++)
        assert_int_equal(header.token.data[i], 'T');
    assert_int_equal(header.size, train.size);
}

/* [RFC9000 17.2.5] There is no limit to the size of a token but the datagram. */
static void retry_token_may_have_any_size_that_fits(void **state)
{
    struct conn_pair *pair = *state;
    static const size_t sizes[] = {1, 256, 257, 800, 900, 1100, 1320};
    size_t size;
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        pair_init(pair);
        pair->config.datagram_size_max = 1452;
        pair->config.handshake_timeout_ns = 0;
        pair_start(pair);
        (void)pair_flush(pair, SP_CLIENT, &size);
        give_retry(pair, sizes[i]);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        assert_true(client->handshake->has_retry);
        assert_token_sent(pair, sizes[i], 1452);

        /* The whole ClientHello leaves, also once more after silence: with the token. */
        (void)pair_flush(pair, SP_CLIENT, &size);
        assert_false(sp_conn_has_frames(client, SP_SPACE_INITIAL));
        for (uint32_t k = 0; k < 4; k++) {
            pair->now_ns = sp_conn_deadline_ns(client);
            sp_conn_on_deadline(client, pair->now_ns);
            assert_token_sent(pair, sizes[i], 1452);
            (void)pair_flush(pair, SP_CLIENT, &size);
        }
        sp_conn_close(client, 1, NULL, 0, pair->now_ns);
        assert_token_sent(pair, sizes[i], 1452);
    }
}

static void retry_token_that_leaves_no_room_is_dropped(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair->config.datagram_size_max = 1452;
    pair_start(pair);
    (void)pair_flush(pair, SP_CLIENT, &size);
    give_retry(pair, 1350);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_false(client->handshake->has_retry);
    assert_int_equal(client->stats.packets_dropped, 1);
    assert_int_equal(client->datagram_size, SP_DATAGRAM_SIZE_MIN);
}

/* [RFC9000 17.2.5.1, 17.2.5.2] */
static void retries_that_must_be_dropped_change_nothing(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_cid other = sp_cid_of((const uint8_t *)"OTHERCID", 8);
    size_t size;
    pair_init(pair);
    pair_start(pair);
    (void)pair_flush(pair, SP_CLIENT, &size);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct sp_cid first = *sp_cid_remote_active(&client->remote_ids);
    give_retry_of(pair, &other, 20, false);
    give_retry_of(pair, &first, 20, true); /* from the CID that the client has chosen */
    assert_false(client->handshake->has_retry);
    assert_true(sp_cid_equal(sp_cid_remote_active(&client->remote_ids), &first));

    give_retry(pair, 20);
    give_retry_of(pair, &other, 30, true); /* a second one */
    assert_int_equal(client->stats.packets_dropped, 3);
    assert_token_sent(pair, 20, 1452);

    pair_init(pair);
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    pair_carry(pair, SP_SERVER);
    client = pair_conn(pair, SP_CLIENT);
    give_retry(pair, 20); /* after an Initial of the server */
    assert_false(client->handshake->has_retry);
    pair_shuttle(pair);
    assert_int_equal(client->handshake_state, SP_HANDSHAKE_CONFIRMED);
}

/* [RFC9002 6.3] How often the client has waited in vain before it says nothing any more. */
static void timeouts_begin_anew_with_a_retry(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair->config.handshake_timeout_ns = 0;
    pair_start(pair);
    (void)pair_flush(pair, SP_CLIENT, &size);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t pto_ns = sp_conn_deadline_ns(client) - pair->now_ns;
    for (uint32_t i = 0; i < 3; i++) {
        pair->now_ns = sp_conn_deadline_ns(client);
        sp_conn_on_deadline(client, pair->now_ns);
        (void)pair_flush(pair, SP_CLIENT, &size);
    }
    give_retry(pair, 20);
    assert_token_sent(pair, 20, PAIR_DATAGRAM_SIZE_MAX);
    (void)pair_flush(pair, SP_CLIENT, &size);
    assert_int_equal(sp_conn_deadline_ns(client) - pair->now_ns, pto_ns);
}

static void never_released(struct sb_buffer *buffer)
{
    (void)buffer;
    assert_true(false);
}

/* A receive buffer of 64 KiB is worth more than a token: a client may have many handshakes at a
 * time with servers that say nothing after their Retry. */
static void a_token_keeps_no_receive_buffer(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_protect_ops ops = qs_null_protect_ops;
    struct sp_cid scid = sp_cid_of((const uint8_t *)"RETRYCID", 8);
    static const size_t token_sizes[] = {20, 600, 1320};
    size_t size;
    ops.retry_is_authentic = is_authentic_retry;
    for (size_t i = 0; i < 2 * QT_COUNT(token_sizes); i++) {
        size_t token_size = token_sizes[i / 2];
        struct pair_packet packet;
        struct sb_buffer buffer = {.ref_count = 1, .release = never_released};
        pair_init(pair);
        pair->config.datagram_size_max = 1452;
        pair_start(pair);
        (void)pair_flush(pair, SP_CLIENT, &size);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        make_retry(pair, &scid, token_size, &packet);
        const struct sp_datagram datagram = {.data = packet.data,
                                             .size = packet.size,
                                             .buffer = &buffer,
                                             .path = client->path->path,
                                             .is_transient = i % 2 == 1};
        client->protect.ops = &ops;
        sp_conn_receive(client, &datagram, 1, pair->now_ns);
        client->protect.ops = &qs_null_protect_ops;
        assert_true(client->handshake->has_retry);
        assert_int_equal(buffer.ref_count, 1);
        memset(packet.data, 'x', sizeof(packet.data));
        assert_token_sent(pair, token_size, 1452);
    }
}

/* The client sends its Initial again, and so gets another Retry. */
static void a_retry_without_memory_for_its_token_is_dropped(void **state)
{
    struct conn_pair *pair = *state;
    void *taken[1024];
    size_t count = 0, size;
    pair_init(pair);
    pair_start(pair);
    (void)pair_flush(pair, SP_CLIENT, &size);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t memory_left = pair->memory_left;
    pair->memory_left = 0;
    while (count < QT_COUNT(taken) &&
           (taken[count] = sb_pool_take_as(&pair->pools.copies.small, true)) != NULL)
        count++;
    give_retry(pair, 20);
    assert_false(client->handshake->has_retry);
    assert_int_equal(client->state, SP_CONN_OPEN);
    assert_int_equal(client->stats.packets_dropped, 1);
    while (count > 0)
        sb_pool_give(&pair->pools.copies.small, taken[--count]);
    pair->memory_left = memory_left;
    give_retry(pair, 20);
    assert_true(client->handshake->has_retry);
    assert_token_sent(pair, 20, PAIR_DATAGRAM_SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, retry_token_may_have_any_size_that_fits),
        QT_TEST(conn_pair, retry_token_that_leaves_no_room_is_dropped),
        QT_TEST(conn_pair, retries_that_must_be_dropped_change_nothing),
        QT_TEST(conn_pair, timeouts_begin_anew_with_a_retry),
        QT_TEST(conn_pair, a_token_keeps_no_receive_buffer),
        QT_TEST(conn_pair, a_retry_without_memory_for_its_token_is_dropped),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
