/* SPDX-License-Identifier: MIT */
/* Each option of the configuration at the ends of its range, at one side and at both, and mixtures
 * of such options: with a connection that carries bytes both ways, messages and a reset.
 *
 *     SPATE_TEST_MIXES=COUNT[,FIRST-SEED]     tries so many mixtures as well
 *
 * Mixtures take as long as their slowest timers, so they are no part of an ordinary run. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/config/config.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum { SIZE = 200000, SIZE_SLOW = 300, MESSAGE_SIZE = 100 };
enum { SERVER, CLIENT, SIDES };

/* A rate at which nobody waits for SIZE bytes. */
#define RATE_LEAST UINT64_C(100000000)

static const uint8_t bytes[SIZE];

/* The configuration of both ends, and what has come of it. */
static struct {
    struct spate_config configs[SIDES];
    size_t size;         /* that is sent each way */
    uint32_t done_count; /* streams that the client has read to their end */
} at_hand;

/* ---- values ---- */

static void set(struct spate_config *config, const struct se_config_field *field, uint64_t value)
{
    char *at = (char *)config + field->offset;
    uint32_t value4 = (uint32_t)value;
    uint8_t value1 = (uint8_t)value;
    const void *from = field->size == sizeof(value)    ? (const void *)&value
                       : field->size == sizeof(value4) ? (const void *)&value4
                                                       : &value1;
    memcpy(at, from, field->size);
}

static bool is_named(const struct se_config_field *field, const char *name)
{
    return strcmp(field->name, name) == 0;
}

static bool is_rate(const struct se_config_field *field)
{
    return strstr(field->name, "rate_bytes_per_s") != NULL;
}

/* Returns value `index` of those that are tried, or false if there is none. */
static bool value_of(const struct se_config_field *field, uint32_t index, uint64_t *ret)
{
    const uint64_t values[] = {field->min, field->min + 1, field->max, 0};
    if (index == QT_COUNT(values) || (index == QT_COUNT(values) - 1 && !field->zero_is_none))
        return false;
    *ret = SB_MIN(values[index], field->max);
    /* It has no sockets: test_spate_io.c. */
    if (is_named(field, "backend") && *ret == SPATE_BACKEND_HOST)
        *ret = SPATE_BACKEND_MMSG;
    return true;
}

/* A window is at most its largest size. */
static void fit(struct spate_config *config, bool is_max_given)
{
    if (is_max_given) {
        config->stream_window_bytes =
            SB_MIN(config->stream_window_bytes, config->stream_window_bytes_max);
        config->conn_window_bytes =
            SB_MIN(config->conn_window_bytes, config->conn_window_bytes_max);
    } else {
        config->stream_window_bytes_max =
            SB_MAX(config->stream_window_bytes, config->stream_window_bytes_max);
        config->conn_window_bytes_max =
            SB_MAX(config->conn_window_bytes, config->conn_window_bytes_max);
    }
}

static void begin(void)
{
    for (int side = 0; side < SIDES; side++) {
        struct spate_config *config = &at_hand.configs[side];
        spate_config_init(config);
        config->backend = pw_backend();
        config->message_frame_size_max = UINT16_MAX;
        config->key_update_packets = 100;
        config->idle_timeout_ns = 3 * SB_S; /* where one side gives up alone */
        config->transmit_slots = 64;
    }
    at_hand.size = SIZE;
    at_hand.done_count = 0;
}

static void change_server(struct spate_config *config)
{
    *config = at_hand.configs[SERVER];
}

static void change_client(struct spate_config *config)
{
    *config = at_hand.configs[CLIENT];
}

/* ---- the transfer ---- */

static void on_event(struct pw_end *end, struct spate_event *event)
{
    bool is_server = strcmp(end->name, "server") == 0;
    if (is_server && event->kind == SPATE_EVENT_STREAM_OPENED && (event->stream_id & 2) == 0)
        (void)spate_stream_send(event->conn, event->stream_id, bytes, at_hand.size, true, 0);
    if (!is_server && event->kind == SPATE_EVENT_STREAM_DATA)
        at_hand.done_count += event->u.data.fin;
    if (!is_server && event->kind == SPATE_EVENT_STREAM_BATCH)
        at_hand.done_count += event->u.batch.fin;
    if (event->kind == SPATE_EVENT_DATAGRAM)
        spate_slice_release(end->shard, &event->u.datagram.slice);
    pw_default(end, event);
}

static bool is_begun(struct pw *w)
{
    return w->client.closed_count > 0 || (w->client.conn != NULL && w->server.conn != NULL);
}

static bool is_read(struct pw *w)
{
    return at_hand.done_count == 1 || w->client.closed_count > 0;
}

static bool is_ended(struct pw *w)
{
    return w->client.closed_count == 1 && w->server.closed_count == w->server.connected_count;
}

/* Returns whether a stream could be opened, and was read to its end. */
static bool transfer(struct pw *w, struct spate_conn *conn)
{
    uint64_t id, reset_id;
    int result = spate_stream_open(conn, false, &id);
    if (result == 0)
        result = spate_stream_send(conn, id, bytes, at_hand.size, true, 1);
    if (result != 0)
        return false;
    for (int i = 0; i < 3; i++)
        (void)spate_conn_datagram_send(conn, bytes, MESSAGE_SIZE, 0, SPATE_FOREVER,
                                       SPATE_DATAGRAM_COPY);
    if (spate_stream_open(conn, true, &reset_id) == 0 &&
        spate_stream_send(conn, reset_id, bytes, at_hand.size / 2, false, 2) == 0)
        assert_int_equal(spate_stream_reset(conn, reset_id, 7), 0);
    pw_until(w, is_read);
    return at_hand.done_count == 1;
}

/* Makes both ends, lets them talk, and ends both.  Returns whether all bytes came. */
static bool run(void)
{
    struct pw *w = pw_create(&(struct pw_config){.server = change_server, .client = change_client});
    w->server.on_event = w->client.on_event = on_event;
    struct spate_conn *conn = pw_connect(w);
    pw_until(w, is_begun);
    bool is_done = w->client.conn != NULL && transfer(w, conn);
    if (w->client.closed_count == 0)
        spate_conn_close(conn, 0, NULL);
    pw_until(w, is_ended);
    owned_end_all();
    return is_done;
}

/* ---- one option ---- */

/* Returns whether no stream can be opened with that value. */
static bool is_closed_to_streams(const struct se_config_field *field, uint64_t value,
                                 uint32_t sides)
{
    return value == 0 && ((is_named(field, "streams_bidi_max") && (sides & 1 << SERVER) != 0) ||
                          (is_named(field, "streams_local_max") && (sides & 1 << CLIENT) != 0));
}

static void an_option_works_at_its_ends(void **state)
{
    const struct se_config_field *field = *state;
    uint64_t value;
    for (uint32_t i = 0; value_of(field, i, &value); i++) {
        for (uint32_t sides = 1; sides < 1 << SIDES; sides++) {
            begin();
            for (int side = 0; side < SIDES; side++) {
                if ((sides >> side & 1) == 0)
                    continue;
                set(&at_hand.configs[side], field, value);
                fit(&at_hand.configs[side], strstr(field->name, "bytes_max") != NULL);
                if (is_named(field, "fixed_rate_bytes_per_s"))
                    at_hand.configs[side].congestion = SPATE_CONGESTION_FIXED;
            }
            if (is_rate(field) && value != 0 && value < RATE_LEAST)
                at_hand.size = SIZE_SLOW;
            bool is_done = run();
            bool is_late = is_named(field, "handshake_timeout_ns") && !is_done;
            if (!is_late && is_done == is_closed_to_streams(field, value, sides))
                fail_msg("%s = %llu, sides %u", field->name, (unsigned long long)value, sides);
        }
    }
}

/* ---- mixtures ---- */

static uint64_t draw(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *random >> 33;
}

/* How long a client waits for a server that has given up: the idle timeout, or three PTOs, which an
 * initial RTT of 10 s makes 90 s.  [RFC9000 10.1] */
static bool sets_patience(const struct se_config_field *field)
{
    return is_named(field, "idle_timeout_ns") || is_named(field, "initial_rtt_ns");
}

static void mix(uint64_t seed)
{
    uint64_t random = seed, value;
    begin();
    for (int side = 0; side < SIDES; side++) {
        for (size_t f = 0; f < se_config_field_count; f++) {
            const struct se_config_field *field = &se_config_fields[f];
            uint32_t index = (uint32_t)(draw(&random) % 4);
            if (draw(&random) % 4 != 0 || !value_of(field, index, &value) ||
                (is_rate(field) && value < RATE_LEAST) || sets_patience(field))
                continue;
            set(&at_hand.configs[side], field, value);
        }
        fit(&at_hand.configs[side], draw(&random) % 2 == 0);
    }
}

/* Not all of them can carry anything: they end in order all the same. */
static void mixtures_of_ends_come_to_an_end(void **state)
{
    (void)state;
    const char *text = getenv("SPATE_TEST_MIXES");
    char *end = NULL;
    uint64_t count = text != NULL ? strtoull(text, &end, 10) : 0;
    uint64_t first = end != NULL && *end == ',' ? strtoull(end + 1, NULL, 10) : 1;
    uint64_t done_count = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("    seed %llu\n", (unsigned long long)seed);
        mix(seed);
        done_count += run();
    }
    print_message("    %llu carried all bytes\n", (unsigned long long)done_count);
}

int main(void)
{
    enum { FIELDS_MAX = 200 };
    struct CMUnitTest tests[FIELDS_MAX + 1];
    size_t count = se_config_field_count;
    if (count > FIELDS_MAX)
        return 1;
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){
            .name = se_config_fields[i].name,
            .test_func = an_option_works_at_its_ends,
            .setup_func = owned_setup,
            .teardown_func = owned_teardown,
            .initial_state = (void *)(uintptr_t)&se_config_fields[i],
        };
    if (getenv("SPATE_TEST_MIXES") != NULL)
        tests[count++] = (struct CMUnitTest)QT_TEST(owned, mixtures_of_ends_come_to_an_end);
    return _cmocka_run_group_tests("extremes", tests, count, NULL, NULL);
}
