/* SPDX-License-Identifier: MIT */
/* Scenarios of streams: their number and sizes, the side that abandons them or reads slowly. */

#include "test/sim/scenarios.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum { PERCENT = 10000 }; /* of a million */

static void many_streams(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_app_plan *app = &plan->side[role].app;
        app->reset_ppm = 30 * PERCENT;
        app->stop_ppm = 10 * PERCENT;
        app->bidi_count = 50;
        app->uni_count = role == SP_CLIENT ? 50 : 20;
        app->bytes_min = 0;
        app->bytes_max = 20000;
    }
}

static void many_streams_lossy(struct qs_plan *plan, uint32_t member)
{
    many_streams(plan, member);
    qs_plan_set_loss(plan, 5);
    qs_plan_set_bytes(plan, 0, 20000);
}

static void stream_limit(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 0, 3000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].config.streams_bidi_max = 3;
        plan->side[role].config.streams_uni_max = 2;
        plan->side[role].app.bidi_count = 40;
        plan->side[role].app.uni_count = 40;
    }
    plan->work_ns = 60 * SB_S;
}

/* A MAX_STREAMS that is lost and not said again ends everything. */
static void stream_limit_lossy(struct qs_plan *plan, uint32_t percent)
{
    stream_limit(plan, percent);
    qs_plan_set_loss(plan, percent);
    qs_plan_set_bytes(plan, 0, 3000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].config.streams_bidi_max = 1;
        plan->side[role].config.streams_uni_max = 1;
    }
}

static void slow_reader(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 200000, 200000);
    for (int role = 0; role < QS_SIDES; role++) {
        struct sp_config *config = &plan->side[role].config;
        config->stream_window_bytes = 10000;
        config->stream_window_bytes_max = 20000;
        config->conn_window_bytes = 15000;
        config->conn_window_bytes_max = 30000;
        plan->side[role].app.read_bytes = 5000;
        plan->side[role].app.read_ns = 20 * SB_MS;
    }
    plan->work_ns = 60 * SB_S;
}

/* The readers pause for twice the idle timeout, again and again. */
static void paused_reader(struct qs_plan *plan, uint32_t member)
{
    qs_plan_set_bytes(plan, 40000, 40000);
    qs_plan_set_timeouts(plan, 5 * SB_S, 5 * SB_S);
    for (int role = 0; role < QS_SIDES; role++) {
        struct sp_config *config = &plan->side[role].config;
        uint64_t *window = member == 1 ? &config->conn_window_bytes : &config->stream_window_bytes;
        window[0] = window[1] = 10000; /* and its maximum */
        plan->side[role].app.read_bytes = 10000;
        plan->side[role].app.read_ns = 10 * SB_S;
    }
    plan->work_ns = 120 * SB_S;
}

static void small_windows(struct qs_plan *plan, uint32_t member)
{
    slow_reader(plan, member);
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 20000, 40000);
    for (int role = 0; role < QS_SIDES; role++) {
        struct sp_config *config = &plan->side[role].config;
        config->stream_window_bytes = config->stream_window_bytes_max = 1000;
        config->conn_window_bytes = config->conn_window_bytes_max = 1700;
        plan->side[role].app.read_ns = 0;
        plan->path[role].loss_ppm = 5 * PERCENT;
    }
}

static void held_slices(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.hold_ppm = 50 * PERCENT;
        plan->side[role].app.hold_ns = 2 * SB_S; /* longer than the connection */
    }
}

static void uni_streams(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.bidi_count = 0;
        plan->side[role].app.uni_count = 10;
    }
}

static void empty_streams(struct qs_plan *plan, uint32_t member)
{
    uni_streams(plan, member);
    plan->side[SP_CLIENT].app.bidi_count = 10;
    qs_plan_set_bytes(plan, 0, 1);
}

static void stop_sending(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 100000, 100000);
    plan->side[SP_CLIENT].app.bidi_count = 10;
    plan->side[SP_CLIENT].app.stop_ppm = 100 * PERCENT;
}

/* Combines everything that can happen with memory that is lent to receive into. */
static void lent_memory(struct qs_plan *plan, uint32_t percent)
{
    qs_plan_set_loss(plan, percent);
    qs_plan_set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].reorder_ppm = percent * PERCENT;
        plan->path[role].reorder_ns = 15 * SB_MS;
        plan->path[role].duplicate_ppm = 4 * percent * PERCENT;
        plan->path[role].corrupt_ppm = 2 * percent * PERCENT;
        plan->side[role].batch_ns_max = 20 * SB_MS;
        plan->side[role].app.bidi_count = 4;
        plan->side[role].app.lend_ppm = 100 * PERCENT;
        plan->side[role].app.lend_pause_ppm = percent * PERCENT;
    }
}

/* Received bytes in batches of up to 32 slices; some are kept, some streams are stopped, and a
 * third of them gets lent memory instead. */
static void batches(struct qs_plan *plan, uint32_t percent)
{
    lent_memory(plan, percent);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_app_plan *app = &plan->side[role].app;
        app->lend_ppm = 30 * PERCENT;
        app->stop_ppm = 10 * PERCENT;
        app->hold_ppm = 20 * PERCENT;
        app->hold_ns = SB_S;
        app->batch_max = QS_BATCH_MAX;
    }
}

/* Not much larger than a packet, or smaller: every second one has to be cut. */
static void lent_crumbs(struct qs_plan *plan, uint32_t percent)
{
    lent_memory(plan, percent);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.lend_bytes_max = 3000;
        plan->side[role].app.lends_max = SP_LENT_BUFFERS_MAX;
    }
}

static void lent_abandoned(struct qs_plan *plan, uint32_t percent)
{
    lent_memory(plan, percent);
    qs_plan_set_bytes(plan, 0, 30000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.bidi_count = 50;
        plan->side[role].app.reset_ppm = 40 * PERCENT;
        plan->side[role].app.stop_ppm = 30 * PERCENT;
    }
}

/* Most of the streams are abandoned, with gaps in the received bytes.  Their credit must come
 * back, or the connection's is used up long before the last stream. */
static void reset_credit(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_faults(plan);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        side->config.conn_window_bytes = side->config.conn_window_bytes_max = 30000;
        side->config.stream_window_bytes = side->config.stream_window_bytes_max = 10000;
        side->config.streams_bidi_max = 10;
        side->app.bidi_count = role == SP_CLIENT ? 200 : 0;
        side->app.bytes_min = side->app.bytes_max = 8000;
        side->app.reset_ppm = 90 * PERCENT;
        plan->path[role].loss_ppm = 15 * PERCENT;
    }
}

/* Streams without an end, until their receiver stops them. */
static void stop_endless(struct qs_plan *plan, uint32_t percent)
{
    qs_plan_set_loss(plan, percent);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_app_plan *app = &plan->side[role].app;
        app->bidi_count = 4;
        app->bytes_min = app->bytes_max = UINT64_C(1) << 40;
        app->stop_ppm = 100 * PERCENT;
        app->stop_at_max = 20000;
    }
    plan->work_ns = 10 * SB_S;
}

/* Control frames get lost and no side closes: in the end all must have arrived. */
static void control_loss(struct qs_plan *plan, uint32_t number)
{
    qs_plan_set_loss(plan, 10 + 2 * number);
    qs_plan_set_bytes(plan, 0, 20000);
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_NEVER;
    plan->judges_control = true;
    qs_plan_expect(plan, SP_CLOSE_IDLE, 0);
}

/* From hardly enough for a connection to nearly enough for all of its streams. */
static void little_memory(struct qs_plan *plan, uint32_t member)
{
    many_streams(plan, member);
    plan->path[SP_SERVER].loss_ppm = 5 * PERCENT;
    plan->faults_end_ns = 10 * SB_S;
    qs_plan_set_timeouts(plan, 20 * SB_S, 20 * SB_S);
    plan->must_complete = false;
    plan->may_lack_memory = true;
    plan->may_time_out = true;
    for (int role = 0; role < QS_SIDES; role++)
        plan->side[role].memory_bytes_max = QS_MEMORY_BYTES_MIN + member * UINT64_C(4096);
}

/* Many connections over a path that loses nothing, and memory for some of their streams: each gets
 * on or is closed, and none ends in silence. */
static void shared_memory(struct qs_plan *plan, uint32_t member)
{
    plan->conn_count = 20;
    plan->conn_interval_ns = 3 * SB_MS;
    qs_plan_set_bytes(plan, 0, 20000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.bidi_count = role == SP_CLIENT ? 100 : 0;
        plan->side[role].config.streams_bidi_max = 100;
    }
    plan->side[SP_SERVER].memory_bytes_max = 500000 + member * UINT64_C(32768);
    plan->must_complete = false;
    plan->may_lack_memory = true;
    plan->work_ns = 60 * SB_S;
}

static const uint32_t some_percents[] = {0, 5, 20};

#define EACH_OF(array) (array), SB_COUNT(array)

/* Priorities that change with every other write, alone and with percent lost both ways. */
static void priorities(struct qs_plan *plan, uint32_t percent)
{
    many_streams(plan, 0);
    if (percent > 0) {
        qs_plan_set_loss(plan, percent);
        qs_plan_set_bytes(plan, 0, 20000);
    }
    for (int role = 0; role < QS_SIDES; role++)
        plan->side[role].app.prioritize_ppm = 500000;
}

/* Streams that are abandoned but for their first bytes: alone, with percent lost, with everything
 * that goes wrong, with small windows and slow readers, with lent memory, in batches, stopped by
 * their readers, and one side that does not know RESET_STREAM_AT. */
enum { RESET_AT_PLAIN = 1, RESET_AT_MEMBERS = 8 };

static void reset_at(struct qs_plan *plan, uint32_t member)
{
    many_streams(plan, 0);
    if (member == 2 || member == 5 || member == 7)
        qs_plan_set_loss(plan, 10);
    if (member > RESET_AT_PLAIN)
        qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 0, 20000);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        side->app.reset_ppm = 80 * PERCENT;
        side->app.reset_at_ppm = 90 * PERCENT;
        side->app.reset_ns = 30 * SB_MS;
        side->app.stop_ppm = member == 7 ? 40 * PERCENT : 0;
        if (member == 3) {
            plan->path[role].corrupt_ppm = plan->path[role].duplicate_ppm = 5 * PERCENT;
            plan->path[role].reorder_ppm = 20 * PERCENT;
            plan->path[role].reorder_ns = 30 * SB_MS;
        }
        if (member == 4) {
            side->config.stream_window_bytes = side->config.stream_window_bytes_max = 1000;
            side->config.conn_window_bytes = side->config.conn_window_bytes_max = 5000;
            side->app.read_ns = 5 * SB_MS;
            side->app.read_bytes = 2000;
        }
        side->app.lend_ppm = member == 5 ? 100 * PERCENT : 0;
        side->app.batch_max = member == 6 ? 8 : 0;
    }
    plan->side[SP_SERVER].config.reset_stream_at = member != 8;
    plan->resets_at_min = 10;
    plan->work_ns = 120 * SB_S;
    plan->check_interval = 10;
}

static const struct qs_scenario rows[] = {
    {"many-streams", "over 100 streams at once, many abandoned", many_streams, NULL, 0},
    {"many-streams-lossy", "the same with loss", many_streams_lossy, NULL, 0},
    {"priorities", "over 100 streams whose priorities change, percent lost", priorities,
     EACH_OF(some_percents)},
    {"stream-limit", "more streams than may be open", stream_limit, NULL, 0},
    {"stream-limit-lossy", "one stream at a time, and percent lost", stream_limit_lossy,
     EACH_OF(some_percents)},
    {"slow-reader", "the applications read slowly", slow_reader, NULL, 0},
    {"paused-reader", "readers pause for longer than the idle timeout: of a connection, a stream",
     paused_reader, NULL, 2},
    {"small-windows", "windows of less than two datagrams", small_windows, NULL, 0},
    {"held-slices", "received bytes are kept beyond the connection's end", held_slices, NULL, 0},
    {"uni-streams", "unidirectional streams both ways", uni_streams, NULL, 0},
    {"empty-streams", "streams of no byte or one", empty_streams, NULL, 0},
    {"stop-sending", "the client stops every stream halfway", stop_sending, NULL, 0},
    {"little-memory", "176 KB and n times 4 KB for everything", little_memory, NULL, 50},
    {"shared-memory", "half a megabyte and n times 32 KB for 20 connections", shared_memory, NULL,
     40},
    {"lent-memory", "memory to receive into, and percent of everything that goes wrong",
     lent_memory, EACH_OF(some_percents)},
    {"batches", "received bytes in batches, and percent of everything that goes wrong", batches,
     EACH_OF(some_percents)},
    {"lent-crumbs", "the same with memory of the size of packets", lent_crumbs,
     EACH_OF(some_percents)},
    {"lent-abandoned", "the same with streams that are abandoned", lent_abandoned,
     EACH_OF(some_percents)},
    {"reset-at", "streams that are abandoned but for their first bytes, which arrive", reset_at,
     NULL, RESET_AT_MEMBERS},
    {"reset-credit", "abandoned streams give their credit back", reset_credit, NULL, 0},
    {"stop-endless", "percent lost, and streams that only a STOP_SENDING ends", stop_endless,
     EACH_OF(some_percents)},
    {"control-loss", "every control frame arrives in the end", control_loss, NULL, 20},
};
const struct qs_scenario_group qs_scenarios_streams = {EACH_OF(rows)};
