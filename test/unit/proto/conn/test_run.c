/* SPDX-License-Identifier: MIT */
/* How long a train is: full packets with fresh bytes of one stream, up to the first limit. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/time.h"
#include "test/support/conn_pair.h"

/* From FIRST on all offsets take four bytes: a run ends where they become longer. */
enum { BYTES = 1 << 20, FIRST = 20000, TRAIN_SIZE_MAX = 1 << 17, TAKEN_MAX = 4096 };

struct world {
    struct conn_pair pair;
    uint64_t streams[2];
    size_t written[2];
    uint8_t data[TRAIN_SIZE_MAX];
    struct sp_train train;
    void *taken[TAKEN_MAX];
    uint32_t taken_count;
};

static uint8_t bytes[BYTES];

static struct sp_conn *client_of(struct world *world)
{
    return pair_conn(&world->pair, SP_CLIENT);
}

static void world_destroy(struct world *world)
{
    while (world->taken_count > 0)
        sb_pool_give(&world->pair.pools.frames, world->taken[--world->taken_count]);
    pair_deinit(&world->pair);
    free(world);
}

static void write_bytes(struct world *world, int stream, size_t size, bool fin)
{
    struct sp_write write = {.data = bytes + world->written[stream], .size = size, .fin = fin};
    assert_true(world->written[stream] + size <= BYTES);
    world->written[stream] += size;
    assert_int_equal(sp_conn_write(client_of(world), world->streams[stream], &write), SP_DONE);
}

/* Delayed ACKs are sent. */
static void settle(struct world *world)
{
    for (int i = 0; i < 3; i++) {
        world->pair.now_ns += 30 * SB_MS;
        pair_shuttle(&world->pair);
    }
}

/* Two connected ends with nothing to send; the client's window and burst are too large to
 * matter, and it has nothing to acknowledge. */
static struct world *world_create(void)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    pair_init(&world->pair);
    world->pair.config.pacing = false;
    pair_connect(&world->pair);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sp_conn_open(client_of(world), false, &world->streams[i]), SP_DONE);
        write_bytes(world, i, FIRST, false);
    }
    settle(world);
    sp_ack_on_sent(&client_of(world)->app.ack, world->pair.now_ns);
    client_of(world)->loss.path->cc.cwnd_bytes = BYTES;
    client_of(world)->loss.path->burst_bytes = BYTES;
    client_of(world)->loss.path->burst_at_ns = world->pair.now_ns;
    world->train = (struct sp_train){
        .data = world->data, .capacity = TRAIN_SIZE_MAX, .count_max = SP_TRAIN_COUNT_MAX};
    return world;
}

static uint32_t send_train(struct world *world)
{
    uint32_t count = sp_conn_send(client_of(world), &world->train, world->pair.now_ns);
    assert_int_equal(count, world->train.count);
    sp_conn_check(client_of(world));
    return count;
}

/* Bytes of a stream in a full packet: first byte, CID, number | type, ID, offset | tag. */
static size_t payload_size(struct world *world, uint64_t pn)
{
    const struct sp_conn *conn = client_of(world);
    uint32_t pn_size = sp_pn_size(pn, conn->loss.app.largest_acked);
    return conn->datagram_size - (1 + 8 + pn_size) - (1 + 1 + 4) - SP_TAG_SIZE;
}

/* ---- Where a train ends ---- */

static void set_nothing(struct world *world)
{
    (void)world;
}

static void set_window(struct world *world)
{
    client_of(world)->loss.path->cc.cwnd_bytes = 7 * client_of(world)->datagram_size + 100;
}

/* The last datagram may overdraw the credit. */
static void set_pacer(struct world *world)
{
    client_of(world)->loss.is_pacing = true;
    client_of(world)->loss.path->pacer = (struct sp_pacer){
        .rate_bytes_per_s = 1000000,
        .burst_bytes = 5 * client_of(world)->datagram_size + 100,
    };
}

static void set_key(struct world *world)
{
    struct sp_keyphase *keys = &client_of(world)->keys;
    keys->write_is_acked = false; /* no update */
    keys->write_count = keys->limits.seal_count_max - 5;
}

static void set_count(struct world *world)
{
    world->train.count_max = 3;
}

static void set_capacity(struct world *world)
{
    world->train.capacity = 4 * client_of(world)->datagram_size + 1000;
}

static void set_amplification(struct world *world)
{
    struct sp_conn_path *path = client_of(world)->path;
    path->is_valid = false;
    path->bytes_in = client_of(world)->datagram_size;
    path->bytes_out = 100;
}

static void set_conn_credit(struct world *world)
{
    struct sp_conn *conn = client_of(world);
    conn->max_data = conn->data_sent + 3 * conn->datagram_size;
}

static const struct row {
    const char *limit;
    void (*set)(struct world *world);
    uint32_t count;
    enum sp_wait then;
} rows[] = {
    {"size of a train", set_nothing, SP_TRAIN_COUNT_MAX, SP_WAIT_NONE},
    {"congestion window", set_window, 7, SP_WAIT_TRAIN},
    {"pacer", set_pacer, 6, SP_WAIT_PACER},
    {"key", set_key, 5, SP_WAIT_ENDING},
    {"datagrams", set_count, 3, SP_WAIT_NONE},
    {"room", set_capacity, 4, SP_WAIT_NONE},
    {"amplification limit", set_amplification, 2, SP_WAIT_AMPLIFICATION},
    {"connection credit", set_conn_credit, 4, SP_WAIT_CONN_CREDIT}, /* the last one is short */
};

static void train_ends_at_the_first_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        struct world *world = world_create();
        write_bytes(world, 0, BYTES / 2, false);
        rows[i].set(world);
        uint32_t count = send_train(world);
        if (count != rows[i].count)
            fail_msg("%s: %u datagrams, not %u", rows[i].limit, count, rows[i].count);
        if (rows[i].then != SP_WAIT_NONE)
            (void)send_train(world); /* a control frame, or nothing */
        struct sp_send_wait wait =
            sp_conn_send_wait(client_of(world), SP_TRAIN_COUNT_MAX, world->pair.now_ns);
        if (wait.reason != rows[i].then)
            fail_msg("%s: then \"%s\", not \"%s\"", rows[i].limit, sp_wait_name(wait.reason),
                     sp_wait_name(rows[i].then));
        world_destroy(world);
    }
}

/* ---- What is in it ---- */

static struct sp_sent *sent_of(struct world *world)
{
    return &client_of(world)->loss.app.sent;
}

static void run_is_recorded_like_packets_of_the_general_way(void **state)
{
    (void)state;
    struct world *world = world_create();
    struct sp_conn *conn = client_of(world);
    uint64_t first_pn = sent_of(world)->next_pn;
    struct sp_counters before = conn->stats;
    uint64_t in_flight = conn->loss.path->cc.in_flight_bytes;
    uint64_t data_sent = conn->data_sent;
    uint64_t sealed_count = conn->keys.write_count;
    write_bytes(world, 0, BYTES / 2, false);
    world->train.count_max = 20;
    assert_int_equal(send_train(world), 20);

    size_t size = conn->datagram_size;
    assert_int_equal(world->train.segment_size, size);
    assert_int_equal(world->train.size, 20 * size);
    assert_int_equal(sent_of(world)->next_pn, first_pn + 20);
    assert_int_equal(conn->loss.path->cc.in_flight_bytes, in_flight + 20 * size);
    assert_int_equal(conn->keys.write_count, sealed_count + 20);
    assert_int_equal(conn->stats.packets_out, before.packets_out + 20);
    assert_int_equal(conn->stats.datagrams_out, before.datagrams_out + 20);
    assert_int_equal(conn->stats.bytes_out, before.bytes_out + 20 * size);

    uint64_t offset = FIRST, pn = first_pn;
    for (struct sp_sent_packet *p; (p = sp_sent_next(sent_of(world), pn, false, &pn)) != NULL;
         pn++) {
        const struct sp_sent_frame *frame = p->frames;
        assert_int_equal(p->size, size);
        assert_true(p->is_eliciting && p->sent_ns == world->pair.now_ns);
        assert_non_null(frame);
        assert_null(frame->next);
        assert_int_equal(frame->offset, offset);
        /* The numbers of a run are as long as that of its last packet. */
        uint64_t longest_pn = pn == first_pn ? pn : first_pn + 19;
        assert_int_equal(frame->size, payload_size(world, longest_pn));
        offset += frame->size;
    }
    assert_int_equal(offset - FIRST, conn->data_sent - data_sent);
    assert_int_equal(conn->stats.stream_bytes_out - before.stream_bytes_out, offset - FIRST);
    world_destroy(world);
}

static void carry_train(struct world *world)
{
    static struct pair_packet packets[SP_TRAIN_COUNT_MAX];
    const struct pair_packet *list[SP_TRAIN_COUNT_MAX];
    const struct sp_train *train = &world->train;
    for (uint32_t i = 0; i < train->count; i++) {
        size_t begin = i * train->segment_size;
        packets[i].size = SB_MIN(train->segment_size, train->size - begin);
        memcpy(packets[i].data, train->data + begin, packets[i].size);
        list[i] = &packets[i];
    }
    pair_give(&world->pair, SP_SERVER, list, train->count);
}

static void peer_gets_the_bytes_in_order_with_their_end(void **state)
{
    (void)state;
    struct world *world = world_create();
    size_t size = 50 * payload_size(world, sent_of(world)->next_pn) + 123, got = FIRST;
    bool fin = false;
    write_bytes(world, 0, size, true);
    while (send_train(world) > 0)
        carry_train(world);
    struct sp_event event;
    while (sp_conn_next_event(pair_conn(&world->pair, SP_SERVER), &event)) {
        if (event.kind != SP_EVENT_STREAM_DATA)
            continue;
        assert_int_equal(event.data.offset, got);
        assert_memory_equal(event.data.slice.data, bytes + got, event.data.slice.size);
        got += event.data.slice.size;
        fin = event.data.fin;
        sb_buffer_unref(event.data.slice.buffer);
    }
    assert_int_equal(got, FIRST + size);
    assert_true(fin);
    world_destroy(world);
}

/* Packets of one stream in a row, the first of which is the general path's; the last row of a train
 * may be shorter. */
static void streams_take_turns_of_some_packets(void **state)
{
    (void)state;
    static const struct {
        uint32_t turn_trains, want;
    } samples[] = {{0, 8}, {1, 8}, {2, 22}, {4, 22}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct world *world = world_create();
        write_bytes(world, 0, BYTES / 2, false);
        write_bytes(world, 1, BYTES / 2, false);
        sp_conn_set_turns(client_of(world), samples[i].turn_trains);
        uint64_t pn = sent_of(world)->next_pn;
        assert_int_equal(send_train(world), SP_TRAIN_COUNT_MAX);
        const struct sp_stream *last = NULL;
        uint32_t length = 0;
        for (struct sp_sent_packet *p; (p = sp_sent_next(sent_of(world), pn, false, &pn)) != NULL;
             pn++) {
            const struct sp_stream *stream = p->frames->stream;
            if (last != NULL && stream != last) {
                assert_int_equal(length, samples[i].want);
                length = 0;
            }
            length++;
            last = stream;
        }
        assert_in_range(length, 1, samples[i].want);
        world_destroy(world);
    }
}

static void other_frames_end_the_run(void **state)
{
    (void)state;
    struct world *world = world_create();
    write_bytes(world, 0, BYTES / 2, false);
    client_of(world)->wants_max_data = true;
    uint64_t pn = sent_of(world)->next_pn;
    assert_int_equal(send_train(world), SP_TRAIN_COUNT_MAX);
    const struct sp_sent_packet *first = sp_sent_next(sent_of(world), pn, false, &pn);
    assert_int_equal(first->frames->type, SP_FRAME_MAX_DATA); /* before the bytes */
    world_destroy(world);
}

static void run_without_memory_for_its_records_waits_for_it(void **state)
{
    (void)state;
    struct world *world = world_create();
    write_bytes(world, 0, BYTES / 2, false);
    world->pair.memory_left = 0;
    void *frame;
    while ((frame = sb_pool_take(&world->pair.pools.frames)) != NULL) {
        assert_true(world->taken_count < TAKEN_MAX);
        world->taken[world->taken_count++] = frame;
    }
    for (int i = 0; i < 5; i++)
        sb_pool_give(&world->pair.pools.frames, world->taken[--world->taken_count]);
    assert_int_equal(send_train(world), 5); /* what could be recorded */
    assert_int_equal(send_train(world), 0);
    assert_false(sp_conn_is_closed(client_of(world)));
    struct sp_send_wait wait =
        sp_conn_send_wait(client_of(world), SP_TRAIN_COUNT_MAX, world->pair.now_ns);
    assert_int_equal(wait.reason, SP_WAIT_MEMORY);
    while (world->taken_count > 0)
        sb_pool_give(&world->pair.pools.frames, world->taken[--world->taken_count]);
    assert_true(send_train(world) > 0);
    world_destroy(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_ends_at_the_first_limit),
        cmocka_unit_test(run_is_recorded_like_packets_of_the_general_way),
        cmocka_unit_test(peer_gets_the_bytes_in_order_with_their_end),
        cmocka_unit_test(streams_take_turns_of_some_packets),
        cmocka_unit_test(other_frames_end_the_run),
        cmocka_unit_test(run_without_memory_for_its_records_waits_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
