/* SPDX-License-Identifier: MIT */
/* Scenarios of messages: DATAGRAM frames alone and beside streams.  [RFC9221] */

#include "test/sim/scenarios.h"

#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum { PERCENT = 10000 }; /* of a million */

/* Both sides send `count` messages of up to `size` bytes. */
static void set_messages(struct qs_plan *plan, uint32_t count, uint32_t size)
{
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        side->config.message_frame_size_max = 65535;
        side->app.message_count = count;
        side->app.message_size_max = size;
        side->app.message_burst = 10;
        side->app.message_ns = 2 * SB_MS;
        side->app.message_copy_ppm = 30 * PERCENT;
    }
}

/* Percent lost, reordered, damaged, doubled. */
static void messages(struct qs_plan *plan, uint32_t percent)
{
    if (percent > 0)
        qs_plan_set_loss(plan, percent);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_path_plan *path = &plan->path[role];
        path->reorder_ppm = path->duplicate_ppm = percent * PERCENT;
        path->corrupt_ppm = percent * PERCENT / 2;
        path->reorder_ns = 30 * SB_MS;
    }
    set_messages(plan, 1000, 1400);
    plan->delivers_messages = percent == 0;
}

/* Received messages in batches, and some slices of them are kept. */
static void batches(struct qs_plan *plan, uint32_t percent)
{
    messages(plan, percent);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].batch_ns_max = 10 * SB_MS;
        plan->side[role].app.batch_max = QS_BATCH_MAX;
        plan->side[role].app.hold_ppm = 20 * PERCENT;
        plan->side[role].app.hold_ns = SB_S;
    }
}

/* No stream at all: messages keep the connection going, and it ends when all have a result. */
static void alone(struct qs_plan *plan, uint32_t percent)
{
    messages(plan, percent);
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_CLIENT].app.uni_count = plan->side[SP_SERVER].app.uni_count = 0;
}

/* More than the path takes, with little time to be sent in. */
static void deadline(struct qs_plan *plan, uint32_t member)
{
    set_messages(plan, 2000, 1200);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].rate_bytes_per_s = 200000;
        plan->path[role].queue_bytes = 20000;
        plan->side[role].app.message_deadline_ns = member * 20 * SB_MS;
        plan->side[role].app.message_silent_ppm = 20 * PERCENT;
    }
    plan->work_ns = 60 * SB_S;
}

/* A queue of `member` messages whose time has passed when they could be sent: no packet leaves, and
 * nothing but their results and the room in the queue keeps the application going. */
static void expired(struct qs_plan *plan, uint32_t member)
{
    alone(plan, 0);
    plan->delivers_messages = false;
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].config.message_count_max = member;
        plan->side[role].app.message_deadline_ns = 1;
    }
}

/* A queue for a few messages, filled without a pause, beside streams of a megabyte: neither may
 * starve. */
static void flood(struct qs_plan *plan, uint32_t member)
{
    static const uint32_t sizes[] = {4, 60, 300, 1400};
    qs_plan_set_bytes(plan, 300000, 300000);
    set_messages(plan, 3000, sizes[member - 1]);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        side->config.message_count_max = member == 2 ? 1 : 16;
        side->config.message_bytes_max = 4000;
        side->app.message_burst = 1000;
        side->app.message_ns = 0;
        plan->path[role].rate_bytes_per_s = 1000000;
        plan->path[role].queue_bytes = 50000;
    }
    plan->work_ns = 60 * SB_S;
}

/* The peer takes small frames only, or one direction has none. */
static void small_frames(struct qs_plan *plan, uint32_t member)
{
    static const uint32_t limits[] = {2, 10, 67, 300, 1200};
    set_messages(plan, 300, 1400);
    plan->side[SP_SERVER].config.message_frame_size_max = limits[member - 1];
    plan->side[SP_CLIENT].config.message_frame_size_max = member % 2 == 0 ? 0 : 65535;
}

/* The path takes smaller datagrams in the middle of it. */
static void mtu(struct qs_plan *plan, uint32_t member)
{
    qs_plan_set_bytes(plan, 200000, 200000);
    set_messages(plan, 1500, 1400);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].mtu = 1200 + 20 * (member - 1);
        plan->path[role].mtu_from_ns = 100 * SB_MS * member;
    }
    plan->work_ns = 60 * SB_S;
}

/* Memory runs out: messages are dropped, and streams get on. */
static void shortage(struct qs_plan *plan, uint32_t member)
{
    set_messages(plan, 1000, 1400);
    qs_plan_set_loss(plan, 5);
    plan->must_complete = false;
    plan->may_lack_memory = true;
    plan->may_time_out = true;
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.hold_ppm = 50 * PERCENT;
        plan->side[role].app.hold_ns = 100 * SB_MS;
        plan->side[role].memory_bytes_max = QS_MEMORY_BYTES_MIN + member * UINT64_C(8192);
    }
}

/* One side closes, or vanishes, with messages everywhere. */
static void cut(struct qs_plan *plan, uint32_t member)
{
    messages(plan, 5);
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_NEVER;
    struct qs_app_plan *app = &plan->side[member % 2].app;
    app->close_when = QS_CLOSE_AT;
    app->close_at_ns = 13 * SB_MS * member;
    app->close_error = 9;
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_APP, 9);
}

/* [RFC9221 3] A frame that is larger than announced, by one byte. */
static void too_large(struct qs_plan *plan, uint32_t member)
{
    static const struct {
        enum sp_role role;
        const char *frames;
        size_t size;
    } rows[] = {
        {SP_CLIENT,
         "\x31\x09"
         "123456789",
         11},
        {SP_SERVER,
         "\x31\x40\x08"
         "12345678",
         11},
    };
    plan->forgery = (struct qs_forgery){
        .is_wanted = true,
        .role = rows[member - 1].role,
        .type = SP_PACKET_ONE_RTT,
        .pn_min = 3,
        .size = rows[member - 1].size,
    };
    memcpy(plan->forgery.frames, rows[member - 1].frames, rows[member - 1].size);
    for (int role = 0; role < QS_SIDES; role++)
        plan->side[role].config.message_frame_size_max = 10;
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_TRANSPORT, SP_ERR_PROTOCOL_VIOLATION);
}

static const uint32_t some_percents[] = {0, 5, 20};

#define EACH_OF(array) (array), SB_COUNT(array)

static const struct qs_scenario rows[] = {
    {"messages", "1,000 messages each way, percent of everything that goes wrong", messages,
     EACH_OF(some_percents)},
    {"messages-alone", "the same without a stream", alone, EACH_OF(some_percents)},
    {"messages-batches", "the same in batches", batches, EACH_OF(some_percents)},
    {"messages-deadline", "more messages than the path takes in their time", deadline, NULL, 4},
    {"messages-expired", "no stream, and messages whose time has passed", expired, NULL, 12},
    {"messages-flood", "messages without a pause beside streams", flood, NULL, 4},
    {"messages-small-frames", "a peer that takes small DATAGRAM frames", small_frames, NULL, 5},
    {"messages-mtu", "the path ceases to take large datagrams", mtu, NULL, 5},
    {"messages-shortage", "176 KB and n times 8 KB for everything", shortage, NULL, 20},
    {"messages-cut", "the connection ends in the middle of it", cut, NULL, 12},
    {"messages-too-large", "a frame that is larger than announced", too_large, NULL, 2},
};
const struct qs_scenario_group qs_scenarios_messages = {EACH_OF(rows)};
