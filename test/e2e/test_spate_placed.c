/* SPDX-License-Identifier: MIT */
/* Bytes that are received into the application's own memory, over real sockets and ciphers. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>

#define TOTAL_SIZE ((size_t)8 << 20)
#define PIECE_SIZE ((size_t)300000)
#define PIECES     4

/* What the server receives into: the pieces take turns. */
struct target {
    uint8_t memory[PIECES][PIECE_SIZE];
    uint64_t told[PIECES];  /* bytes of each that have arrived .. */
    uint64_t start[PIECES]; /* .. and where in the stream it begins */
    uint32_t lent_count;
    uint64_t received;
    uint64_t sliced; /* .. of these, as slices */
    uint32_t returned_count;
    uint64_t stop_at; /* asks the peer to stop from here on; 0: never */
    bool lends_late;  /* not before the first slice has come */
    bool has_fin;
    bool has_reset;
    bool is_closed;
    bool is_ending; /* the connection: what comes back is refused if it is lent again */
};

static void lend(struct target *t, const struct spate_event *event, uint64_t piece)
{
    uint64_t start;
    int result = spate_stream_receive_into(event->conn, event->stream_id, t->memory[piece],
                                           PIECE_SIZE, piece, &start);
    if (result == -EPIPE || (result == -ENOTCONN && t->is_ending))
        return; /* all has been told */
    assert_int_equal(result, 0);
    t->told[piece] = 0;
    t->start[piece] = start;
    t->lent_count++;
}

static void lend_all(struct target *t, const struct spate_event *event)
{
    for (uint64_t piece = 0; piece < PIECES; piece++)
        lend(t, event, piece);
}

static void check_bytes(const uint8_t *data, uint64_t offset, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (data[i] != pw_byte(0, offset + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(offset + i));
}

static void on_placed(struct target *t, struct spate_event *event)
{
    uint64_t piece = event->u.placed.tag;
    assert_true(piece < PIECES);
    assert_ptr_equal(event->u.placed.data, t->memory[piece] + t->told[piece]);
    assert_int_equal(event->u.placed.offset, t->start[piece] + t->told[piece]);
    if (event->u.placed.size > 0)
        assert_int_equal(event->u.placed.offset, t->received);
    t->told[piece] += event->u.placed.size;
    t->received += event->u.placed.size;
    t->has_fin |= event->u.placed.fin;
    assert_true(t->told[piece] <= PIECE_SIZE);
    bool is_over = t->told[piece] == PIECE_SIZE || event->u.placed.fin || event->u.placed.size == 0;
    assert_int_equal(event->u.placed.is_returned, is_over);
    if (!event->u.placed.is_returned)
        return;
    t->returned_count++;
    t->lent_count--;
    check_bytes(t->memory[piece], t->start[piece], t->told[piece]); /* all that was told, still */
    if (!t->has_fin && event->u.placed.size > 0)
        lend(t, event, piece);
}

static void server_on_event(struct pw_end *end, struct spate_event *event)
{
    struct target *t = end->context;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_OPENED:
        if (!t->lends_late)
            lend_all(t, event);
        break;
    case SPATE_EVENT_STREAM_PLACED:
        on_placed(t, event);
        break;
    case SPATE_EVENT_STREAM_DATA:
        assert_int_equal(event->u.data.offset, t->received);
        check_bytes(event->u.data.slice.data, t->received, event->u.data.slice.size);
        t->received += event->u.data.slice.size;
        t->sliced += event->u.data.slice.size;
        t->has_fin |= event->u.data.fin;
        if (t->lends_late && t->lent_count == 0)
            lend_all(t, event);
        break;
    case SPATE_EVENT_STREAM_RESET:
        assert_int_equal(t->lent_count, 0);
        t->has_reset = true;
        break;
    case SPATE_EVENT_STREAM_CLOSED:
    case SPATE_EVENT_CLOSED:
        assert_int_equal(t->lent_count, 0);
        t->is_closed = true;
        break;
    default:
        break;
    }
    if (t->stop_at > 0 && t->received >= t->stop_at)
        (void)spate_stream_stop(event->conn, event->stream_id, 7);
    pw_default(end, event);
}

static bool stream_is_closed(struct pw *w)
{
    return ((struct target *)w->server.context)->is_closed;
}

static bool some_has_come(struct pw *w)
{
    return ((struct target *)w->server.context)->received > TOTAL_SIZE / 8;
}

struct run {
    struct pw *w;
    struct target *target;
    uint8_t *data;
    struct spate_conn *conn;
    uint64_t id;
};

static void begin(struct run *run, const struct pw_config *config, bool lends_late,
                  uint64_t stop_at)
{
    run->target = owned_alloc(sizeof(*run->target));
    run->data = owned_alloc(TOTAL_SIZE);
    for (size_t i = 0; i < TOTAL_SIZE; i++)
        run->data[i] = pw_byte(0, i);
    run->target->lends_late = lends_late;
    run->target->stop_at = stop_at;
    run->w = pw_create(config);
    run->w->server.on_event = server_on_event;
    run->w->server.context = run->target;
    run->conn = pw_connected(run->w);
    assert_int_equal(spate_stream_open(run->conn, true, &run->id), 0);
    assert_int_equal(spate_stream_send(run->conn, run->id, run->data, TOTAL_SIZE, true, 0), 0);
}

static void datagrams_of_9000(struct spate_config *config)
{
    config->datagram_size_max = 9000;
}

static void a_stream_arrives_in_memory_that_is_lent_again_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pw_config config = {.client = i == 0 ? NULL : datagrams_of_9000,
                                   .server = i == 0 ? NULL : datagrams_of_9000};
        struct run run;
        begin(&run, &config, false, 0);
        pw_until(run.w, stream_is_closed);
        assert_int_equal(run.target->received, TOTAL_SIZE);
        assert_int_equal(run.target->sliced, 0);
        assert_true(run.target->returned_count > TOTAL_SIZE / PIECE_SIZE);
        assert_int_equal(run.target->lent_count, 0);

        struct spate_conn_stats stats;
        spate_conn_stats(run.w->server.conn, &stats);
        assert_int_equal(stats.placed_in_bytes, TOTAL_SIZE);
        struct spate_shard_stats shard = pw_stats(&run.w->server);
        assert_int_equal(shard.placed_in_bytes, TOTAL_SIZE);
        assert_true(shard.copied_in_bytes >= stats.copied_in_bytes);
        assert_true(shard.copied_in_bytes < TOTAL_SIZE / 4); /* the cipher wrote the rest */
        assert_int_equal(
            spate_stream_receive_into(run.w->server.conn, run.id, run.data, 1, 0, NULL), -EPIPE);
        owned_end_all();
    }
}

static void memory_that_is_lent_late_gets_what_follows_the_slices(void **state)
{
    (void)state;
    struct run run;
    begin(&run, NULL, true, 0);
    pw_until(run.w, stream_is_closed);
    assert_int_equal(run.target->received, TOTAL_SIZE);
    assert_true(run.target->has_fin);
    assert_true(run.target->sliced > 0 && run.target->sliced < TOTAL_SIZE / 2);
}

static void stopping_gives_the_memory_back(void **state)
{
    (void)state;
    struct run run;
    begin(&run, NULL, false, TOTAL_SIZE / 8);
    pw_until(run.w, stream_is_closed);
    assert_true(run.target->received < TOTAL_SIZE);
    assert_int_equal(run.target->lent_count, 0);
}

static void a_reset_gives_the_memory_back(void **state)
{
    (void)state;
    struct run run;
    begin(&run, NULL, false, 0);
    pw_until(run.w, some_has_come);
    assert_int_equal(spate_stream_reset(run.conn, run.id, 9), 0);
    pw_until(run.w, stream_is_closed);
    assert_true(run.target->has_reset && !run.target->has_fin);
}

static void the_end_of_the_connection_gives_the_memory_back(void **state)
{
    (void)state;
    for (int is_server = 0; is_server < 2; is_server++) {
        struct run run;
        begin(&run, NULL, false, 0);
        pw_until(run.w, some_has_come);
        run.target->is_ending = true;
        spate_conn_close(is_server ? run.w->server.conn : run.conn, 0, NULL);
        pw_until(run.w, stream_is_closed);
        assert_false(run.target->has_fin);
        assert_int_equal(run.target->lent_count, 0);
        owned_end_all();
    }
}

static void what_cannot_be_lent_is_refused(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    static uint8_t memory[16];
    uint64_t bidi, uni, offset = 1234;
    assert_int_equal(spate_stream_open(conn, false, &bidi), 0);
    assert_int_equal(spate_stream_open(conn, true, &uni), 0);
    assert_int_equal(spate_stream_receive_into(conn, bidi, NULL, 1, 0, &offset), -EINVAL);
    assert_int_equal(spate_stream_receive_into(conn, bidi, memory, 0, 0, &offset), -EINVAL);
    assert_int_equal(spate_stream_receive_into(conn, bidi, memory, SIZE_MAX, 0, &offset), -EINVAL);
    assert_int_equal(spate_stream_receive_into(conn, uni, memory, 1, 0, &offset), -EINVAL);
    assert_int_equal(spate_stream_receive_into(conn, bidi + 4, memory, 1, 0, &offset), -EPIPE);
    assert_int_equal(offset, 1234);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(spate_stream_receive_into(conn, bidi, memory + i, 1, 0, &offset), 0);
        assert_int_equal(offset, i);
    }
    assert_int_equal(spate_stream_receive_into(conn, bidi, memory, 1, 0, &offset), -ENOBUFS);
    spate_conn_close(conn, 0, NULL);
    assert_int_equal(spate_stream_receive_into(conn, bidi, memory, 1, 0, &offset), -ENOTCONN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_stream_arrives_in_memory_that_is_lent_again_and_again),
        QT_TEST(owned, memory_that_is_lent_late_gets_what_follows_the_slices),
        QT_TEST(owned, stopping_gives_the_memory_back),
        QT_TEST(owned, a_reset_gives_the_memory_back),
        QT_TEST(owned, the_end_of_the_connection_gives_the_memory_back),
        QT_TEST(owned, what_cannot_be_lent_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
