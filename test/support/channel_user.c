/* SPDX-License-Identifier: MIT */
#include "test/support/channel_user.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

uint8_t cu_pattern[CU_PATTERN_SIZE];

static void deinit(void *object)
{
    struct cu *u = object;
    spate_channel_destroy(u->channel);
    free(u);
}

struct cu *cu_create(struct spate_shard *shard, const struct spate_channel_options *options)
{
    struct spate_error error = {""};
    struct cu *u = calloc(1, sizeof(*u));
    assert_non_null(u);
    (void)owned_add(u, deinit);
    if (spate_channel_create(shard, options, &u->channel, &error) != 0)
        fail_msg("%s", error.text);
    return u;
}

void cu_destroy(struct cu *u)
{
    spate_channel_destroy(u->channel);
    u->channel = NULL;
}

uint64_t cu_tag(struct cu *u)
{
    assert_true(u->next_tag < CU_TAGS_MAX);
    return u->next_tag++;
}

int cu_asked(struct cu *u, int result)
{
    uint64_t tag = u->next_tag - 1;
    if (result != 0) {
        u->next_tag = tag; /* nobody has it */
        return result;
    }
    u->tags[tag] = CU_TAG_ASKED;
    u->asked_count++;
    if (!u->is_lazy)
        spate_channel_flush(u->channel);
    return 0;
}

int cu_result(const struct cu *u, uint64_t tag)
{
    assert_int_equal(u->tags[tag], CU_TAG_ANSWERED);
    return u->results[tag];
}

void cu_options(struct pw *w, struct spate_connect_options *ret)
{
    *ret = (struct spate_connect_options){
        .size = sizeof(*ret),
        .address = (struct sockaddr *)&w->address,
        .address_size = w->address_size,
        .server_name = PW_SERVER_NAME,
        .tls = w->client.tls,
        .user = w,
    };
}

static void release(struct cu *u, struct spate_slice *slice)
{
    if (u->holds) {
        assert_true(u->held_count < CU_HELD_MAX);
        u->held[u->held_count++] = *slice;
        return;
    }
    while (spate_channel_release(u->channel, slice) == -EAGAIN) /* it has flushed */
        if (u->turns != NULL)
            pw_turn(u->turns);
        else
            (void)sched_yield();
    assert_null(slice->data);
}

void cu_release_all(struct cu *u)
{
    bool held = u->holds;
    u->holds = false;
    for (uint32_t i = 0; i < u->held_count; i++)
        release(u, &u->held[i]);
    u->held_count = 0;
    spate_channel_flush(u->channel);
    u->holds = held;
}

static void on_answer(struct cu *u, const struct spate_result *result)
{
    assert_true(result->tag < CU_TAGS_MAX);
    assert_int_equal(u->tags[result->tag], CU_TAG_ASKED);
    u->tags[result->tag] = CU_TAG_ANSWERED;
    u->results[result->tag] = result->result;
    u->fates[result->tag] = (uint8_t)result->fate;
    if (result->command == SPATE_COMMAND_RECEIVE)
        u->places[result->tag] = result->event.u.placed.offset;
    u->answered_count++;
    assert_true(result->result <= 0);
    if (result->command == SPATE_COMMAND_CONNECT && result->result == 0)
        u->conn_id = result->conn_id;
    if (result->command == SPATE_COMMAND_OPEN && result->result == 0)
        u->stream_id = result->event.stream_id;
    if (result->command == SPATE_COMMAND_SEND) {
        bool was_queued = result->event.kind == SPATE_EVENT_SENT;
        assert_int_equal(was_queued, result->result == 0);
        assert_true(!was_queued || result->event.u.sent.tag == result->tag);
        u->acked[result->tag] = was_queued && result->event.u.sent.is_acked;
    }
}

static void assert_pattern(const struct cu *u, const uint8_t *data, size_t size, uint64_t offset)
{
    for (size_t i = 0; u->is_pattern && i < size; i++)
        if (data[i] != pw_byte(0, offset + i))
            fail_msg("byte %zu of a stream is wrong", (size_t)offset + i);
}

/* Memory is reported after it was lent, and not after it has come back. */
static void on_placed(struct cu *u, const struct spate_event *event)
{
    uint64_t tag = event->u.placed.tag;
    if (event->u.placed.data != NULL) {
        assert_true(tag < CU_TAGS_MAX);
        assert_int_equal(u->tags[tag], CU_TAG_ANSWERED);
        assert_false(u->returned[tag]);
        u->returned[tag] = event->u.placed.is_returned;
        assert_pattern(u, event->u.placed.data, event->u.placed.size, event->u.placed.offset);
    }
    u->bytes_placed += event->u.placed.size;
    u->fin_count += event->u.placed.fin;
    u->stream_user = event->stream_user;
}

static void on_data(struct cu *u, const struct spate_event *event)
{
    struct spate_slice slice = event->u.data.slice;
    assert_pattern(u, slice.data, slice.size, event->u.data.offset);
    u->bytes_in += slice.size;
    u->fin_count += event->u.data.fin;
    u->stream_user = event->stream_user;
    release(u, &slice);
}

static void on_event(struct cu *u, const struct spate_result *result)
{
    const struct spate_event *event = &result->event;
    struct spate_slice slice;
    assert_in_range(event->kind, 1, CU_KINDS_MAX - 1);
    assert_null(event->conn);
    u->kinds[event->kind]++;
    u->conn_user = event->conn_user;
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        u->conn_id = result->conn_id;
        break;
    case SPATE_EVENT_STREAM_DATA:
        on_data(u, event);
        break;
    case SPATE_EVENT_STREAM_PLACED:
        on_placed(u, event);
        break;
    case SPATE_EVENT_DATAGRAM:
        slice = event->u.datagram.slice;
        u->bytes_in += slice.size;
        release(u, &slice);
        break;
    case SPATE_EVENT_TICKET:
        u->ticket_size = event->u.bytes.size;
        assert_true(u->ticket_size <= sizeof(u->ticket));
        memcpy(u->ticket, event->u.bytes.data, u->ticket_size);
        break;
    case SPATE_EVENT_CLOSED:
        u->close = event->u.close;
        strncpy(u->reason, event->u.close.reason, sizeof(u->reason) - 1);
        break;
    case SPATE_EVENT_SHUTDOWN:
        u->is_over = true;
        u->end_result = result->result;
        break;
    default:
        break;
    }
}

uint32_t cu_take(struct cu *u)
{
    uint32_t count;
    const struct spate_result *results = spate_channel_results(u->channel, &count);
    assert_true(count == 0 || !u->is_over);
    for (uint32_t i = 0; i < count; i++) {
        assert_false(u->is_over);
        if (results[i].command == SPATE_COMMAND_NONE)
            on_event(u, &results[i]);
        else
            on_answer(u, &results[i]);
    }
    return count;
}

static void fill_pattern(void)
{
    for (size_t i = 0; i < sizeof(cu_pattern); i++)
        cu_pattern[i] = pw_byte(0, i);
}

/* Sends back what comes, from memory of its own. */
static void echo(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        size_t size = event->u.data.slice.size;
        assert_true(event->u.data.offset + size <= CU_PATTERN_SIZE);
        int result =
            spate_stream_send(event->conn, event->stream_id, cu_pattern + event->u.data.offset,
                              size, event->u.data.fin, 0);
        assert_true(result == 0 || result == -EPIPE || result == -ENOTCONN);
    }
    pw_default(end, event);
}

struct pw *cu_world(const struct pw_config *config)
{
    struct pw *w = pw_create(config);
    fill_pattern();
    w->server.on_event = echo;
    return w;
}

struct cu *cu_user(struct pw *w, const struct spate_channel_options *options)
{
    struct cu *u = cu_create(w->client.shard, options);
    u->turns = w;
    return u;
}

/* Runs turns and takes results until `*value` is at least `least`. */
void cu_run_until(struct pw *w, struct cu *u, const uint64_t *value, uint64_t least)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*value < least) {
        pw_turn(w);
        cu_take(u);
        assert_true(pw_now_ns() < end_ns);
    }
}

void cu_run_until_over(struct pw *w, struct cu *u)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!u->is_over) {
        pw_turn(w);
        cu_take(u);
        assert_true(pw_now_ns() < end_ns);
    }
    assert_int_equal(u->answered_count, u->asked_count);
}

static void connect_user(struct pw *w, struct cu *u)
{
    struct spate_connect_options options;
    uint64_t before = u->kinds[SPATE_EVENT_CONNECTED];
    cu_options(w, &options);
    assert_int_equal(CU_ASK(u, spate_channel_connect, &options, NULL), 0);
    cu_run_until(w, u, &u->kinds[SPATE_EVENT_CONNECTED], before + 1);
}

struct cu *cu_connected(struct pw *w, const struct spate_channel_options *options)
{
    struct cu *u = cu_user(w, options);
    u->is_pattern = true;
    connect_user(w, u);
    return u;
}
