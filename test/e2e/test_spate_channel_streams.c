/* SPDX-License-Identifier: MIT */
/* Commands of channels about streams: pieces, memory to receive into, priorities, partial resets,
 * and what has come of a stream. */

#include "test/support/channel_user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 65536, LONG = 200000 };

/* What the server has got of all streams. */
static struct {
    uint64_t bytes;
    uint64_t reset_count;
    uint64_t reset_error;
    uint64_t fins[8]; /* the order in which streams have ended: IDs */
    uint64_t fin_count;
} got;

static void count_only(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        const struct spate_slice *slice = &event->u.data.slice;
        assert_memory_equal(slice->data, cu_pattern + event->u.data.offset, slice->size);
        got.bytes += slice->size;
        if (event->u.data.fin)
            got.fins[got.fin_count++ % QT_COUNT(got.fins)] = event->stream_id;
    } else if (event->kind == SPATE_EVENT_STREAM_RESET) {
        got.reset_count++;
        got.reset_error = event->u.error;
    }
    pw_default(end, event);
}

static struct pw *silent_world(void)
{
    struct pw *w = cu_world(NULL);
    memset(&got, 0, sizeof(got));
    w->server.on_event = count_only;
    return w;
}

static void open_stream(struct cu *u, bool is_uni)
{
    assert_int_equal(CU_ASK(u, spate_channel_stream_open, u->conn_id, is_uni, NULL), 0);
}

static void end_all(struct pw *w, struct cu *u)
{
    spate_channel_close(u->channel, 0);
    cu_run_until_over(w, u);
    assert_int_equal(u->end_result, 0);
}

/* ---- Pieces ---- */

static void pieces_are_one_write_with_one_answer(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    const struct iovec pieces[] = {
        {cu_pattern, 5}, {NULL, 0}, {cu_pattern + 5, LONG}, {cu_pattern + 5 + LONG, 1}};
    open_stream(u, false);
    assert_int_equal(CU_ASK(u, spate_channel_stream_sendv, u->conn_id, SPATE_STREAM_LAST, pieces,
                            QT_COUNT(pieces), true),
                     0);
    uint64_t sent = u->next_tag - 1;
    cu_run_until(w, u, &u->fin_count, 1);
    assert_int_equal(u->bytes_in, LONG + 6);
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_STREAM_CLOSED], 1);
    assert_int_equal(cu_result(u, sent), 0);
    assert_true(u->acked[sent]);
    end_all(w, u);
}

static void pieces_that_are_none_are_refused(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    static struct iovec many[SPATE_SENDV_COUNT_MAX + 1];
    const struct iovec bad = {NULL, 7};
    uint64_t id = u->conn_id;
    open_stream(u, false);
    assert_int_equal(CU_ASK(u, spate_channel_stream_sendv, id, 0, many, QT_COUNT(many), true),
                     -EINVAL);
    assert_int_equal(CU_ASK(u, spate_channel_stream_sendv, id, 0, NULL, 1, true), -EINVAL);
    uint64_t first = u->next_tag;
    assert_int_equal(CU_ASK(u, spate_channel_stream_sendv, id, 0, &bad, 1, true), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_sendv, id, 0, many, 3, false), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_sendv, id, 400, many, 1, true), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_sendv, id, 0, NULL, 0, true), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_sendv, id, 0, NULL, 0, true), 0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(cu_result(u, first), -EINVAL);
    assert_int_equal(cu_result(u, first + 1), -EINVAL);
    assert_int_equal(cu_result(u, first + 2), -EPIPE);
    assert_int_equal(cu_result(u, first + 3), 0);
    assert_int_equal(cu_result(u, first + 4), -EPIPE); /* it has ended */
    end_all(w, u);
}

/* ---- Memory to receive into ---- */

static void a_stream_is_received_into_lent_memory(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    uint8_t *memory = owned_alloc(4 * BUFFER);
    open_stream(u, false);
    uint64_t first = u->next_tag;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(CU_ASK(u, spate_channel_stream_receive_into, u->conn_id, SPATE_STREAM_LAST,
                                memory + i * BUFFER, BUFFER),
                         0);
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST, cu_pattern, LONG, true),
        0);
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_STREAM_CLOSED], 1);
    assert_int_equal(u->bytes_placed, LONG);
    assert_int_equal(u->bytes_in, 0); /* no slice */
    assert_int_equal(u->fin_count, 1);
    assert_memory_equal(memory, cu_pattern, LONG);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(cu_result(u, first + i), 0);
        assert_int_equal(u->places[first + i], i * BUFFER);
        assert_true(u->returned[first + i]);
    }
    end_all(w, u);
}

/* What had come before stays a slice, and the memory begins after it. */
static void memory_may_be_lent_in_the_middle_of_a_stream(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    uint8_t *memory = owned_alloc(BUFFER);
    open_stream(u, false);
    assert_int_equal(CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST, cu_pattern,
                            1000, false),
                     0);
    cu_run_until(w, u, &u->bytes_in, 1000);
    uint64_t tag = u->next_tag;
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_receive_into, u->conn_id, u->stream_id, memory, BUFFER), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_send, u->conn_id, u->stream_id,
                            cu_pattern + 1000, 5000, true),
                     0);
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_STREAM_CLOSED], 1);
    assert_int_equal(u->bytes_in, 1000);
    assert_int_equal(u->bytes_placed, 5000);
    assert_int_equal(u->places[tag], 1000);
    assert_memory_equal(memory, cu_pattern + 1000, 5000);
    assert_true(u->returned[tag]);
    end_all(w, u);
}

/* When the stream is stopped, and when the connection or the channel ends.  The memory is freed
 * then, so that a sanitizer sees who still writes there. */
static void lent_memory_comes_back_before_the_end(void **state)
{
    (void)state;
    for (uint32_t how = 0; how < 4; how++) {
        struct pw *w = cu_world(NULL);
        struct cu *u = cu_connected(w, NULL);
        uint8_t *memory = malloc(BUFFER);
        assert_non_null(memory);
        open_stream(u, false);
        uint64_t tag = u->next_tag;
        assert_int_equal(CU_ASK(u, spate_channel_stream_receive_into, u->conn_id, SPATE_STREAM_LAST,
                                memory, BUFFER),
                         0);
        assert_int_equal(CU_ASK(u, spate_channel_stream_send, u->conn_id, SPATE_STREAM_LAST,
                                cu_pattern, LONG, false),
                         0);
        cu_run_until(w, u, &u->bytes_placed, 1);
        uint64_t *event = &u->kinds[SPATE_EVENT_CLOSED];
        if (how == 0)
            assert_int_equal(CU_ASK(u, spate_channel_stream_stop, u->conn_id, u->stream_id, 1), 0);
        else if (how == 1)
            assert_int_equal(CU_ASK(u, spate_channel_conn_close, u->conn_id, 1, NULL), 0);
        else if (how == 2)
            spate_channel_close(u->channel, 0);
        if (how == 3) {
            cu_destroy(u);
            free(memory);
            for (uint32_t i = 0; i < 100; i++)
                pw_turn(w);
        } else {
            event = how == 0 ? &u->kinds[SPATE_EVENT_STREAM_PLACED] : event;
            cu_run_until(w, u, event, how == 0 ? *event + !u->returned[tag] : 1);
            assert_true(u->returned[tag]);
            free(memory);
            end_all(w, u);
        }
        owned_end_all();
    }
}

static void memory_that_cannot_be_lent_is_answered(void **state)
{
    (void)state;
    struct pw *w = cu_world(NULL);
    struct cu *u = cu_connected(w, NULL);
    static uint8_t memory[16];
    uint64_t id = u->conn_id;
    uint64_t first = u->next_tag;
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_receive_into, id, SPATE_STREAM_LAST, memory, 16), 0);
    open_stream(u, true);
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_receive_into, id, SPATE_STREAM_LAST, memory, 16), 0);
    open_stream(u, false);
    assert_int_equal(CU_ASK(u, spate_channel_stream_receive_into, id, SPATE_STREAM_LAST, NULL, 16),
                     0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_receive_into, id, SPATE_STREAM_LAST, memory, 0),
                     0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_receive_into, id + 1, 0, memory, 16), 0);
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(
            CU_ASK(u, spate_channel_stream_receive_into, id, SPATE_STREAM_LAST, memory + i, 1), 0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(cu_result(u, first), -EPIPE);
    assert_int_equal(cu_result(u, first + 2), -EINVAL);
    assert_int_equal(cu_result(u, first + 4), -EINVAL);
    assert_int_equal(cu_result(u, first + 5), -EINVAL);
    assert_int_equal(cu_result(u, first + 6), -ENOTCONN);
    assert_int_equal(cu_result(u, first + 14), 0);
    assert_int_equal(cu_result(u, first + 15), -ENOBUFS); /* 8 of them */
    end_all(w, u);
}

/* ---- Priorities and resets ---- */

/* The last of three streams is the most urgent. */
static void an_urgent_stream_is_sent_first(void **state)
{
    (void)state;
    struct pw *w = silent_world();
    struct cu *u = cu_connected(w, NULL);
    uint64_t id = u->conn_id;
    for (uint32_t i = 0; i < 3; i++) {
        open_stream(u, true);
        assert_int_equal(CU_ASK(u, spate_channel_stream_set_priority, id, SPATE_STREAM_LAST,
                                i == 2 ? 0 : SPATE_URGENCY_MAX, false),
                         0);
        assert_int_equal(
            CU_ASK(u, spate_channel_stream_send, id, SPATE_STREAM_LAST, cu_pattern, LONG, true), 0);
    }
    uint64_t tag = u->next_tag;
    assert_int_equal(CU_ASK(u, spate_channel_stream_set_priority, id, SPATE_STREAM_LAST,
                            SPATE_URGENCY_MAX + 1, true),
                     0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(cu_result(u, tag), -EINVAL);
    assert_int_equal(cu_result(u, tag - 2), 0);
    assert_int_equal(got.fin_count, 3);
    assert_int_equal(got.fins[0], u->stream_id); /* of the last OPEN */
    assert_int_equal(got.bytes, 3 * LONG);
    end_all(w, u);
}

static void the_first_bytes_of_a_reset_stream_arrive(void **state)
{
    (void)state;
    struct pw *w = silent_world();
    struct cu *u = cu_connected(w, NULL);
    uint64_t id = u->conn_id;
    open_stream(u, true);
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_send, id, SPATE_STREAM_LAST, cu_pattern, LONG, false), 0);
    uint64_t sent = u->next_tag - 1;
    assert_int_equal(CU_ASK(u, spate_channel_stream_reset_at, id, SPATE_STREAM_LAST, 77, LONG + 1),
                     0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_reset_at, id, SPATE_STREAM_LAST, 77, 4000), 0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(cu_result(u, sent + 1), -EINVAL); /* more than was queued */
    assert_int_equal(cu_result(u, sent + 2), 0);
    assert_false(u->acked[sent]);
    cu_run_until(w, u, &got.reset_count, 1);
    assert_int_equal(got.reset_error, 77);
    assert_in_range(got.bytes, 4000, LONG - 1);
    end_all(w, u);
}

/* ---- What has come of it ---- */

static void progress_and_counters_are_written(void **state)
{
    (void)state;
    struct pw *w = silent_world();
    struct cu *u = cu_connected(w, NULL);
    uint64_t id = u->conn_id;
    struct spate_stream_progress before = {.queued_bytes = 1};
    struct spate_stream_progress after = {.queued_bytes = 1};
    struct spate_conn_stats stats = {0};
    open_stream(u, true);
    assert_int_equal(
        CU_ASK(u, spate_channel_stream_send, id, SPATE_STREAM_LAST, cu_pattern, LONG, false), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_progress, id, SPATE_STREAM_LAST, &before), 0);
    cu_run_until(w, u, &got.bytes, LONG);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(before.queued_bytes, LONG);
    assert_int_equal(before.acked_bytes, 0); /* it was asked in the turn that queued them */
    assert_int_equal(CU_ASK(u, spate_channel_stream_progress, id, u->stream_id, &after), 0);
    assert_int_equal(CU_ASK(u, spate_channel_conn_stats, id, &stats), 0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(after.acked_bytes, LONG);
    assert_false(after.fin_queued);
    assert_true(stats.bytes_out > LONG);
    end_all(w, u);
}

static void what_cannot_be_written_is_untouched(void **state)
{
    (void)state;
    struct pw *w = silent_world();
    struct cu *u = cu_connected(w, NULL);
    uint64_t id = u->conn_id;
    struct spate_stream_progress progress = {.queued_bytes = 99};
    struct spate_conn_stats stats = {.bytes_out = 99};
    assert_int_equal(CU_ASK(u, spate_channel_stream_progress, id, 0, NULL), -EINVAL);
    assert_int_equal(CU_ASK(u, spate_channel_conn_stats, id, NULL), -EINVAL);
    uint64_t first = u->next_tag;
    assert_int_equal(CU_ASK(u, spate_channel_stream_progress, id, 400, &progress), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_progress, id, SPATE_STREAM_LAST, &progress), 0);
    assert_int_equal(CU_ASK(u, spate_channel_stream_progress, id + 1, 0, &progress), 0);
    assert_int_equal(CU_ASK(u, spate_channel_conn_stats, id + 1, &stats), 0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    assert_int_equal(cu_result(u, first), -EPIPE);
    assert_int_equal(cu_result(u, first + 1), -EPIPE);
    assert_int_equal(cu_result(u, first + 2), -ENOTCONN);
    assert_int_equal(cu_result(u, first + 3), -ENOTCONN);
    assert_int_equal(progress.queued_bytes, 99);
    assert_int_equal(stats.bytes_out, 99);
    /* An older program knows fewer fields. */
    struct spate_conn_stats part = {0};
    memset(&part, 0xff, sizeof(part));
    assert_int_equal(CU_ASK(u, spate_channel_conn_stats_sized, id, &part, sizeof(uint64_t)), 0);
    cu_run_until(w, u, &u->answered_count, u->asked_count);
    const uint8_t *bytes = (const uint8_t *)&part;
    assert_int_not_equal(bytes[7], 0xff);
    for (size_t i = sizeof(uint64_t); i < sizeof(part); i++)
        assert_int_equal(bytes[i], 0xff);
    end_all(w, u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, pieces_are_one_write_with_one_answer),
        QT_TEST(owned, pieces_that_are_none_are_refused),
        QT_TEST(owned, a_stream_is_received_into_lent_memory),
        QT_TEST(owned, memory_may_be_lent_in_the_middle_of_a_stream),
        QT_TEST(owned, lent_memory_comes_back_before_the_end),
        QT_TEST(owned, memory_that_cannot_be_lent_is_answered),
        QT_TEST(owned, an_urgent_stream_is_sent_first),
        QT_TEST(owned, the_first_bytes_of_a_reset_stream_arrive),
        QT_TEST(owned, progress_and_counters_are_written),
        QT_TEST(owned, what_cannot_be_written_is_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
