/* SPDX-License-Identifier: MIT */
/* A peer that breaks no rule of the protocol, or none at once, but wants our memory, our time
 * or our silence. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/frames.h"
#include "proto/conn/recovery.h"
#include "proto/conn/streams.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static void inject(struct conn_pair *pair, enum sp_role to, enum sp_space space,
                   const struct sb_writer *w)
{
    assert_false(w->failed);
    pair_inject(pair, to, space, w->start, sb_writer_used(w), PAIR_FAULT_NONE);
}

static void inject_text(struct conn_pair *pair, enum sp_role to, const char *text, size_t size)
{
    pair_inject(pair, to, SP_SPACE_APP, (const uint8_t *)text, size, PAIR_FAULT_NONE);
}

/* How many frames of `type` are in packets in flight. */
static uint32_t sent_count(struct conn_pair *pair, enum sp_role role, enum sp_frame_type type)
{
    struct sp_sent *sent = &pair_conn(pair, role)->loss.app.sent;
    uint32_t count = 0;
    uint64_t pn = 0;
    for (const struct sp_sent_packet *p; (p = sp_sent_next(sent, pn, false, &pn)) != NULL; pn++)
        for (const struct sp_sent_frame *f = p->frames; f != NULL; f = f->next)
            count += f->type == (uint8_t)type;
    return count;
}

static void acks_that_are_never_acknowledged_take_bounded_memory(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    for (uint32_t i = 0; i < 20000; i++) {
        pair_skip(pair, SP_SERVER, SP_SPACE_APP, 1); /* a gap each: an ACK each */
        inject_text(pair, SP_SERVER, "\x01", 1);
        pair->now_ns += 10 * SB_US;
        assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);
    }
    assert_in_range(pair->pools.frames.used_count, 1, 1000);
    assert_in_range(pair->pools.packets.used_count, 1, 100);
}

/* [RFC9000 8.2.2] */
static void path_response_comes_in_a_full_datagram(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t role = 0; role < 2; role++) {
        size_t size;
        pair_init(pair);
        pair_connect(pair);
        pair_settle(pair);
        inject_text(pair, (enum sp_role)role,
                    "\x1a"
                    "12345678",
                    9);
        assert_int_equal(pair_flush(pair, (enum sp_role)role, &size), 1);
        assert_int_equal(size, SP_DATAGRAM_SIZE_MIN);
    }
}

/* [RFC9000 8.2.2] The bytes come back at once, and once: a loss brings no second answer. */
static void path_challenge_is_answered_once_with_its_bytes(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t role = 0; role < 2; role++) {
        struct pair_packet packet;
        pair_init(pair);
        pair_connect(pair);
        pair_settle(pair);
        struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
        inject_text(pair, (enum sp_role)role,
                    "\x1a"
                    "12345678",
                    9);
        assert_true(pair_take(pair, (enum sp_role)role, &packet));
        uint32_t count = 0;
        for (size_t i = 0; i < packet.size; i++)
            packet.data[i] ^= QS_NULL_VEIL;
        for (size_t i = 0; i + 9 <= packet.size; i++)
            count += memcmp(&packet.data[i],
                            "\x1b"
                            "12345678",
                            9) == 0;
        assert_int_equal(count, 1);
        assert_int_equal(conn->path->response_count, 0);
        assert_false(pair_take(pair, (enum sp_role)role, &packet));
        assert_int_equal(sent_count(pair, (enum sp_role)role, SP_FRAME_PATH_RESPONSE), 0);
    }
}

/* [RFC9000 3.3] */
static void reset_stream_is_not_said_to_be_blocked(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    uint64_t id;
    static const uint8_t data[2000];
    struct sp_write write = {.data = data, .size = sizeof(data)};
    pair_init(pair);
    pair->config.stream_window_bytes = 1000;
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(sp_conn_open(server, false, &id), SP_DONE);
    assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
    struct sp_stream *stream = sp_stream_map_find(&server->streams, id);
    stream->send.max_data = 0;
    sp_conn_stream_schedule(server, stream);
    assert_int_equal(stream->control, SP_CONTROL_BLOCKED);
    assert_int_equal(sp_conn_reset(server, id, 7), SP_DONE);
    (void)pair_flush(pair, SP_SERVER, &size);
    assert_int_equal(sent_count(pair, SP_SERVER, SP_FRAME_RESET_STREAM), 1);
    assert_int_equal(sent_count(pair, SP_SERVER, SP_FRAME_STREAM_DATA_BLOCKED), 0);
}

/* [RFC9000 3.3] */
static void stream_that_was_reset_is_not_asked_to_stop(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    inject_text(pair, SP_SERVER, "\x0a\0\x01x", 4);
    pair_pull(pair, SP_SERVER);
    assert_int_equal(sp_conn_stop(server, 0, 7), SP_DONE);
    inject_text(pair, SP_SERVER, "\x04\0\0\x01", 4);
    (void)pair_flush(pair, SP_SERVER, &size);
    assert_int_equal(sent_count(pair, SP_SERVER, SP_FRAME_STOP_SENDING), 0);
}

static void write_stream_byte(struct sb_writer *w, uint64_t id, uint64_t offset)
{
    struct sp_stream_head head = {.id = id, .offset = offset, .size = 1, .has_length = true};
    sp_frame_write_stream_head(w, &head);
    sb_writer_bytes(w, (const uint8_t *)"x", 1);
}

/* Sends single bytes with `step` - 1 missing ones after each, from `at` up to `end`, in packets of
 * `count_max` frames, or as many as fit.  Returns where the first packet began that was dropped, or
 * `end`. */
static uint64_t send_bytes(struct conn_pair *pair, uint64_t at, uint64_t end, uint64_t step,
                           uint32_t count_max)
{
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    while (at < end) {
        uint64_t first = at;
        uint64_t dropped_count = server->stats.packets_dropped;
        uint8_t frames[1200];
        struct sb_writer w = sb_writer_of(frames, sizeof(frames));
        for (uint32_t i = 0; i < count_max && at < end && sb_writer_left(&w) > 16; i++) {
            write_stream_byte(&w, 0, at);
            at += step;
        }
        inject(pair, SP_SERVER, SP_SPACE_APP, &w);
        pair_pull(pair, SP_SERVER);
        if (server->stats.packets_dropped > dropped_count)
            return first;
    }
    assert_int_equal(server->state, SP_CONN_OPEN);
    return end;
}

static void full_store_of_pieces_still_takes_what_fills_the_first_gap(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->pieces.count_max = 500;
    uint64_t end = send_bytes(pair, 1, 1000 * SP_PAGE_SIZE, SP_PAGE_SIZE, 16);
    uint32_t count = server->pieces.count;
    assert_true(end < 1000 * SP_PAGE_SIZE && count == 500);
    uint8_t frames[1200] = {0};
    for (uint64_t at = 0; at < 10 * SP_PAGE_SIZE; at += 1000) {
        struct sb_writer w = sb_writer_of(frames, sizeof(frames));
        struct sp_stream_head head = {.offset = at, .size = 1000, .has_length = true};
        sp_frame_write_stream_head(&w, &head);
        (void)sb_writer_room(&w, 1000);
        inject(pair, SP_SERVER, SP_SPACE_APP, &w);
        pair_pull(pair, SP_SERVER);
    }
    assert_true(server->pieces.count <= count - 10);
}

/* Every second byte, which needs one page per SP_PAGE_SIZE bytes of credit. */
static void memory_for_fragments_follows_the_credit_that_they_use(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const uint64_t end = server->config->stream_window_bytes;
    assert_int_equal(send_bytes(pair, 1, end, 2, UINT32_MAX), end);
    assert_true(sp_conn_held_bytes(server) <= 2 * end);
    sp_conn_check(server);
    assert_int_equal(server->pieces.count, end / SP_PAGE_SIZE);
}

/* The visits of a packet are paid for by what an ordinary one costs. */
static void new_pages_of_a_packet_are_bounded(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(send_bytes(pair, 1, 100 * SP_PAGE_SIZE, SP_PAGE_SIZE, UINT32_MAX), 1);
    assert_in_range(server->pieces.count, 32, 64);
    assert_int_equal(send_bytes(pair, 1, 100 * SP_PAGE_SIZE, SP_PAGE_SIZE, 32), 100 * SP_PAGE_SIZE);
}

static void steps_of_a_packet_of_fragments_are_bounded(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const uint64_t end = server->config->stream_window_bytes - 1;
    for (uint64_t at = end - SP_PAGE_SIZE; at >= SP_PAGE_SIZE; at -= SP_PAGE_SIZE)
        assert_int_equal(send_bytes(pair, at, at + 1, 1, 1), at + 1);
    /* More than a hundred frames, each deep among 4,096 pages. */
    assert_int_equal(send_bytes(pair, 3 * SP_PAGE_SIZE + 1, end, 13 * SP_PAGE_SIZE, UINT32_MAX),
                     3 * SP_PAGE_SIZE + 1);
    assert_in_range(server->pieces.steps, SP_REASSEMBLY_STEPS_MAX, SP_REASSEMBLY_STEPS_MAX + 64);
    /* As many as a sender that is not hostile may send are taken. */
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t at = i * 10 * SP_PAGE_SIZE + 2;
        assert_int_equal(send_bytes(pair, at, at + 16 * 37 * SP_PAGE_SIZE, 37 * SP_PAGE_SIZE, 16),
                         at + 16 * 37 * SP_PAGE_SIZE);
    }
    assert_int_equal(send_bytes(pair, 0, 1, 1, 1), 1);
    assert_int_equal(server->state, SP_CONN_OPEN);
}

/* [RFC9001 5.7] Anybody may send packets that wait for keys: they may not hold receive buffers. */
static void packets_that_wait_for_keys_are_copied(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_cid *cid = &server->local_ids.entries[0].cid;
    uint64_t held = sp_conn_held_bytes(server);
    static const size_t sizes[] = {60, SP_PAGE_SIZE, SP_PAGE_SIZE + 1, 1200, SP_COPY_SIZE_MAX};
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        uint8_t data[SP_COPY_SIZE_MAX] = {0x40};
        memcpy(data + 1, cid->bytes, cid->size);
        struct sb_buffer buffer = {.ref_count = 1};
        const struct sp_datagram datagram = {
            .data = data, .size = sizes[i], .buffer = &buffer, .path = server->path->path};
        sp_conn_receive(server, &datagram, 1, pair->now_ns);
        assert_int_equal(server->handshake->undecryptable_count, i + 1);
        assert_int_equal(buffer.ref_count, 1);
        assert_true(sp_conn_held_bytes(server) - held >= sizes[i]);
        held = sp_conn_held_bytes(server);
    }
}

/* Memory has run out, but not for what is on the stack. */
static void ack_leaves_without_memory_for_its_record(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    void *taken[1000];
    uint32_t count = 0;
    pair->memory_left = 0;
    while ((taken[count] = sb_pool_take(&pair->pools.frames)) != NULL)
        count++;
    inject_text(pair, SP_SERVER, "\x01", 1);
    pair->now_ns = sp_conn_deadline_ns(server);
    sp_conn_on_deadline(server, pair->now_ns);
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);
    assert_true(sp_conn_deadline_ns(server) > pair->now_ns);
    while (count > 0)
        sb_pool_give(&pair->pools.frames, taken[--count]);
}

/* An application that asks again and again must not make packets of it. */
static void refused_open_is_reported_once_and_answered_when_it_may_work(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    uint64_t id;
    struct sp_event event;
    pair_init(pair);
    pair->config.streams_uni_max = 1;
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(sp_conn_open(client, true, &id), SP_AGAIN); /* before the handshake */
    bool was_told = false;
    for (uint32_t i = 0; i < 3; i++) {
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        while (sp_conn_next_event(client, &event))
            was_told |= event.kind == SP_EVENT_STREAMS_AVAILABLE && event.is_uni;
    }
    assert_true(was_told);
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    pair_shuttle(pair);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(sp_conn_open(client, true, &id), SP_AGAIN);
        (void)pair_flush(pair, SP_CLIENT, &size);
    }
    assert_int_equal(sent_count(pair, SP_CLIENT, SP_FRAME_STREAMS_BLOCKED_UNI), 1);
}

/* The peer of the server updates its keys, and gives it a packet with the new ones. */
static void inject_updated(struct conn_pair *pair)
{
    struct sp_keyphase *keys = &pair_conn(pair, SP_CLIENT)->keys;
    keys->read_phase = keys->write_phase; /* as if the server had answered */
    assert_true(sp_keyphase_update_write(keys, 0));
    inject_text(pair, SP_SERVER, "\x01", 1);
}

/* [RFC9001 6.1, 6.2] Each update makes us derive two keys. */
static void keys_are_updated_no_faster_than_we_acknowledge(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    for (uint32_t i = 0; i < 5; i++) {
        inject_updated(pair);
        pair->now_ns += pair->config.ack_delay_ns_max;
        assert_true(pair_flush(pair, SP_SERVER, &size) > 0);
    }
    assert_int_equal(server->stats.key_updates, 5);
    assert_int_equal(server->state, SP_CONN_OPEN);

    inject_updated(pair);
    assert_int_equal(server->state, SP_CONN_OPEN);
    inject_updated(pair);
    assert_int_equal(server->stats.key_updates, 6);
    assert_int_equal(server->state, SP_CONN_CLOSING);
    assert_int_equal(server->close.error, SP_ERR_KEY_UPDATE);
}

/* [RFC9001 6.2] */
static void an_ack_with_old_keys_of_a_packet_with_new_ones_is_an_error(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    uint64_t pn = server->loss.app.sent.next_pn;
    assert_in_range(pn, 1, 60);
    assert_true(sp_keyphase_update_write(&server->keys, pn));
    server->app.probe_count = 1;
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);

    uint8_t frame[] = {SP_FRAME_ACK, (uint8_t)(pn - 1), 0, 0, 0};
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE);
    assert_int_equal(server->state, SP_CONN_OPEN);
    frame[1]++;
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE);
    assert_int_equal(server->state, SP_CONN_CLOSING);
    assert_int_equal(server->close.error, SP_ERR_KEY_UPDATE);
}

/* How often the cipher opens something. */
static uint64_t opened_count;

static void open_and_count(struct sp_key *key, struct sp_open *packets, size_t count)
{
    opened_count += count;
    qs_null_protect_ops.open(key, packets, count);
}

/* [RFC9001 9.5] Otherwise the time would tell the key phase. */
static void a_packet_of_a_dropped_key_phase_costs_the_same_work(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet late;
    const struct pair_packet *packets[] = {&late};
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    pair_make(pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE, &late);
    inject_updated(pair);
    pair->now_ns = server->keys.prev_until_ns;
    sp_conn_on_deadline(server, pair->now_ns);
    assert_null(server->keys.read_prev);

    struct sp_protect_ops ops = qs_null_protect_ops;
    ops.open = open_and_count;
    server->protect.ops = &ops;
    opened_count = 0;
    uint64_t failed_count = server->keys.failed_count;
    pair_give(pair, SP_SERVER, packets, 1);
    server->protect.ops = &qs_null_protect_ops;
    assert_int_equal(opened_count, 1);
    assert_int_equal(server->keys.failed_count, failed_count + 1);
    assert_int_equal(server->state, SP_CONN_OPEN);
}

/* Puts 4 MB of a stream's bytes in flight, from packet number `*ret_first` on. */
static struct sp_conn *put_much_in_flight(struct conn_pair *pair, uint64_t *ret_first)
{
    enum { FLIGHT_BYTES = 4000000 };
    static const uint8_t data[FLIGHT_BYTES];
    struct sp_write write = {.data = data, .size = sizeof(data)};
    uint64_t id;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(sp_conn_open(server, true, &id), SP_DONE);
    struct sp_stream *stream = sp_stream_map_find(&server->streams, id);
    server->max_data = stream->send.max_data = 2 * FLIGHT_BYTES;
    server->loss.path->cc.cwnd_bytes = 2 * FLIGHT_BYTES;
    server->loss.path->pacer.rate_bytes_per_s = 0;
    *ret_first = server->loss.app.sent.next_pn;
    assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
    (void)pair_flush(pair, SP_SERVER, &size);
    assert_true(server->loss.app.sent.out_count > 2000);
    return server;
}

static void write_ack(struct sb_writer *w, uint64_t pn)
{
    sb_writer_u8(w, SP_FRAME_ACK);
    sb_writer_varint(w, pn);
    for (int i = 0; i < 3; i++) /* delay, further ranges, numbers below */
        sb_writer_varint(w, 0);
}

/* Each ACK frame may walk over all packets in flight, but the frames of one packet together only
 * about once. */
static void ack_frames_of_one_packet_are_bounded(void **state)
{
    struct conn_pair *pair = *state;
    uint64_t first;
    struct sp_conn *server = put_much_in_flight(pair, &first);
    struct sp_sent *sent = &server->loss.app.sent;
    uint64_t block_count = (sent->next_pn - first) / SP_SENT_BLOCK_PACKETS + 2;
    /* In the middle, and at the beginning: both are acknowledged already. */
    uint64_t pns[] = {first, first + (sent->next_pn - first) / 2};
    for (int i = 0; i < 2; i++) {
        struct sp_sent_packet *packet = sp_sent_find(sent, pns[i]);
        server->loss.path->cc.in_flight_bytes -= packet->size;
        sp_conn_free_frames(server, sp_sent_settle(sent, pns[i], SP_SENT_SKIPPED));
    }

    static const uint32_t counts[] = {1, SP_ACK_FRAMES_PER_PACKET_MAX, 200};
    for (size_t i = 0; i < QT_COUNT(counts); i++) {
        uint8_t frames[1400];
        struct sb_writer w = sb_writer_of(frames, sizeof(frames));
        for (uint32_t k = 0; k < counts[i]; k++)
            write_ack(&w, pns[k % 2]);
        uint64_t walked = sent->walk_count;
        uint64_t dropped = server->stats.packets_dropped;
        inject(pair, SP_SERVER, SP_SPACE_APP, &w);
        bool is_over = counts[i] > SP_ACK_FRAMES_PER_PACKET_MAX;
        assert_int_equal(server->stats.packets_dropped, dropped + is_over);
        assert_in_range(sent->walk_count - walked, 0,
                        2 * block_count + SP_ACK_WALK_PER_PACKET_MAX + block_count);
        assert_int_equal(server->state, SP_CONN_OPEN);
    }
}

/* The second bound, with more packets in flight than the first one would keep short. */
static void ack_frames_that_walk_far_are_dropped(void **state)
{
    struct conn_pair *pair = *state;
    uint64_t first;
    struct sp_conn *server = put_much_in_flight(pair, &first);
    uint8_t frames[64];
    struct sb_writer w = sb_writer_of(frames, sizeof(frames));
    struct sp_datagram datagram = {.data = frames, .size = sizeof(frames)};
    struct sp_packet packet = {
        .datagram = &datagram,
        .type = SP_PACKET_ONE_RTT,
        .space = SP_SPACE_APP,
        .key = server->keys.read,
        .payload = frames,
    };
    write_ack(&w, 0);
    packet.payload_size = sb_writer_used(&w);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(sp_conn_frames(server, &packet, pair->now_ns), SP_OK);
    server->loss.app.sent.walk_count += SP_ACK_WALK_PER_PACKET_MAX + 1;
    assert_int_equal(sp_conn_frames(server, &packet, pair->now_ns), SP_DROP);
}

static uint32_t receive_count;
static size_t received_bytes;

static void receive_and_count(struct sp_tls *tls, enum sp_level level, const uint8_t *data,
                              size_t size)
{
    (void)tls;
    (void)level;
    for (size_t i = 0; i < size; i++)
        assert_int_equal(data[i], (uint8_t)(received_bytes + i));
    receive_count++;
    received_bytes += size;
}

/* TLS costs as much for a byte as for a message: single bytes are put together. */
static void crypto_in_single_bytes_is_one_call_of_tls(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t offset = client->app.crypto.in.read_end;
    struct sp_tls_ops ops = qs_null_tls_ops;
    ops.receive = receive_and_count;
    client->tls_ops = &ops;
    receive_count = 0;
    received_bytes = 0;
    uint8_t frames[1200];
    struct sb_writer w = sb_writer_of(frames, sizeof(frames));
    uint32_t count = 0;
    for (; sb_writer_left(&w) > 8; count++) {
        sp_frame_write_crypto_head(&w, offset + count, 1);
        sb_writer_u8(&w, (uint8_t)count);
    }
    inject(pair, SP_CLIENT, SP_SPACE_APP, &w);
    assert_true(count > 200);
    assert_int_equal(received_bytes, count);
    assert_int_equal(receive_count, 1);

    /* Out of order it waits, and then comes at once as well. */
    uint64_t next = offset + count;
    for (int i = 1; i >= 0; i--) {
        w = sb_writer_of(frames, sizeof(frames));
        sp_frame_write_crypto_head(&w, next + 500 * (uint64_t)i, 500);
        for (uint32_t k = 0; k < 500; k++)
            sb_writer_u8(&w, (uint8_t)(count + 500 * (uint32_t)i + k));
        inject(pair, SP_CLIENT, SP_SPACE_APP, &w);
    }
    client->tls_ops = &qs_null_tls_ops;
    assert_int_equal(received_bytes, count + 1000);
    assert_int_equal(receive_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, acks_that_are_never_acknowledged_take_bounded_memory),
        QT_TEST(conn_pair, path_response_comes_in_a_full_datagram),
        QT_TEST(conn_pair, path_challenge_is_answered_once_with_its_bytes),
        QT_TEST(conn_pair, reset_stream_is_not_said_to_be_blocked),
        QT_TEST(conn_pair, stream_that_was_reset_is_not_asked_to_stop),
        QT_TEST(conn_pair, full_store_of_pieces_still_takes_what_fills_the_first_gap),
        QT_TEST(conn_pair, memory_for_fragments_follows_the_credit_that_they_use),
        QT_TEST(conn_pair, new_pages_of_a_packet_are_bounded),
        QT_TEST(conn_pair, steps_of_a_packet_of_fragments_are_bounded),
        QT_TEST(conn_pair, packets_that_wait_for_keys_are_copied),
        QT_TEST(conn_pair, ack_leaves_without_memory_for_its_record),
        QT_TEST(conn_pair, keys_are_updated_no_faster_than_we_acknowledge),
        QT_TEST(conn_pair, an_ack_with_old_keys_of_a_packet_with_new_ones_is_an_error),
        QT_TEST(conn_pair, a_packet_of_a_dropped_key_phase_costs_the_same_work),
        QT_TEST(conn_pair, ack_frames_of_one_packet_are_bounded),
        QT_TEST(conn_pair, ack_frames_that_walk_far_are_dropped),
        QT_TEST(conn_pair, crypto_in_single_bytes_is_one_call_of_tls),
        QT_TEST(conn_pair, refused_open_is_reported_once_and_answered_when_it_may_work),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
