/* SPDX-License-Identifier: MIT */
/* Each scenario changes the quiet plan of qs_plan_init() in one respect, so that a
 * failure says where to look. */

#include "test/sim/scenarios.h"

#include <stdio.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum { PERCENT = 10000 }; /* of a million */

static void set_bytes(struct qs_plan *plan, uint64_t min, uint64_t max)
{
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.bytes_min = min;
        plan->side[role].app.bytes_max = max;
    }
}

static void set_timeouts(struct qs_plan *plan, uint64_t handshake_ns, uint64_t idle_ns)
{
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].config.handshake_timeout_ns = handshake_ns;
        plan->side[role].config.idle_timeout_ns = idle_ns;
    }
}

/* Faults for 10 s, and patience for what they do to the probe timeouts. */
static void set_faults(struct qs_plan *plan)
{
    plan->faults_end_ns = 10 * SB_S;
    plan->work_ns = 120 * SB_S;
    set_timeouts(plan, 120 * SB_S, 120 * SB_S);
}

static void expect(struct qs_plan *plan, enum sp_close_kind kind, uint64_t error)
{
    for (int role = 0; role < QS_SIDES; role++)
        plan->expect[role] = (struct qs_expect){.kind = kind, .error = error};
}

static void clean(struct qs_plan *plan, uint32_t member)
{
    (void)plan;
    (void)member;
}

static void loss_client(struct qs_plan *plan, uint32_t percent)
{
    set_faults(plan);
    set_bytes(plan, 50000, 100000);
    plan->path[SP_CLIENT].loss_ppm = percent * PERCENT;
}

static void loss_server(struct qs_plan *plan, uint32_t percent)
{
    set_faults(plan);
    set_bytes(plan, 50000, 100000);
    plan->path[SP_SERVER].loss_ppm = percent * PERCENT;
}

static void loss_both(struct qs_plan *plan, uint32_t percent)
{
    loss_client(plan, percent);
    loss_server(plan, percent);
}

static void drop_client(struct qs_plan *plan, uint32_t number)
{
    plan->path[SP_CLIENT].drop_first = number;
    plan->path[SP_CLIENT].drop_count = 1;
    set_bytes(plan, 30000, 40000);
}

static void drop_server(struct qs_plan *plan, uint32_t number)
{
    plan->path[SP_SERVER].drop_first = number;
    plan->path[SP_SERVER].drop_count = 1;
    set_bytes(plan, 30000, 40000);
}

static void late_client(struct qs_plan *plan, uint32_t number)
{
    plan->path[SP_CLIENT].late_nth = number;
    plan->path[SP_CLIENT].late_ns = 25 * SB_MS;
}

static void late_server(struct qs_plan *plan, uint32_t number)
{
    plan->path[SP_SERVER].late_nth = number;
    plan->path[SP_SERVER].late_ns = 25 * SB_MS;
}

/* The client's Finished comes behind its first data, and the server's flight is so
 * large that it takes several datagrams. */
static void early(struct qs_plan *plan, uint32_t number)
{
    late_client(plan, number);
    plan->path[SP_CLIENT].late_ns = 5 * SB_MS;
    plan->tls.certificate_size = 4000;
    plan->tls.write_secret_first = number % 2 == 0;
}

static void reorder(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_faults(plan);
    set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].reorder_ppm = 20 * PERCENT;
        plan->path[role].reorder_ns = 15 * SB_MS;
    }
}

static void duplicate(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_faults(plan);
    set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].duplicate_ppm = 30 * PERCENT;
        plan->path[role].reorder_ppm = 10 * PERCENT;
        plan->path[role].reorder_ns = 100 * SB_MS;
    }
}

static void corrupt(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_faults(plan);
    set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].corrupt_ppm = 10 * PERCENT;
}

static void truncate(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_faults(plan);
    set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].truncate_ppm = 10 * PERCENT;
}

static void satellite(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_bytes(plan, 200000, 400000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].delay_ns = 300 * SB_MS;
}

static void bottleneck(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_bytes(plan, 500000, 500000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].rate_bytes_per_s = 1000000;
        plan->path[role].queue_bytes = 10 * 1500;
    }
    plan->work_ns = 60 * SB_S;
}

static void blackhole(struct qs_plan *plan, uint32_t member)
{
    set_bytes(plan, 300000, 300000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].blackhole_from_ns = member * 15 * SB_MS;
        plan->path[role].blackhole_until_ns = 3 * SB_S;
    }
    plan->faults_end_ns = 3 * SB_S;
    set_timeouts(plan, 60 * SB_S, 60 * SB_S);
}

static void idle(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_NEVER;
    plan->side[SP_CLIENT].config.idle_timeout_ns = 5 * SB_S;
    plan->side[SP_SERVER].config.idle_timeout_ns = 8 * SB_S; /* the shorter one counts */
    expect(plan, SP_CLOSE_IDLE, 0);
}

static void amplification(struct qs_plan *plan, uint32_t number)
{
    plan->tls.certificate_size = 12000;
    if (number > 1) {
        plan->path[SP_CLIENT].drop_first = number;
        plan->path[SP_CLIENT].drop_count = 2;
    }
}

static void close_both(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->path[SP_CLIENT].delay_ns = 50 * SB_MS;
    plan->path[SP_SERVER].delay_ns = 50 * SB_MS;
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_app_plan *app = &plan->side[role].app;
        app->close_when = QS_CLOSE_AT;
        app->close_at_ns = 2 * SB_S;
        app->close_error = 10 + (uint64_t)role;
        plan->expect[role].error = 10 + (uint64_t)role;
    }
}

static void close_early(struct qs_plan *plan, uint32_t member)
{
    bool by_server = member % 2 == 0;
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_NEVER;
    struct qs_app_plan *app = &plan->side[by_server].app;
    app->close_when = QS_CLOSE_AT;
    app->close_at_ns = 5 * SB_MS * member;
    app->close_error = 77;
    set_bytes(plan, 500000, 500000);
    plan->must_complete = false;
    expect(plan, SP_CLOSE_APP, 77);
}

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
    loss_both(plan, 5);
    set_bytes(plan, 0, 20000);
}

static void stream_limit(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_bytes(plan, 0, 3000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].config.streams_bidi_max = 3;
        plan->side[role].config.streams_uni_max = 2;
        plan->side[role].app.bidi_count = 40;
        plan->side[role].app.uni_count = 40;
    }
    plan->work_ns = 60 * SB_S;
}

static void slow_reader(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_bytes(plan, 200000, 200000);
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

static void small_windows(struct qs_plan *plan, uint32_t member)
{
    slow_reader(plan, member);
    set_faults(plan);
    set_bytes(plan, 20000, 40000);
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
    set_bytes(plan, 100000, 200000);
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
    set_bytes(plan, 0, 1);
}

static void stop_sending(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_bytes(plan, 100000, 100000);
    plan->side[SP_CLIENT].app.bidi_count = 10;
    plan->side[SP_CLIENT].app.stop_ppm = 100 * PERCENT;
}

static void version_negotiation(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->side[SP_SERVER].speaks_other_version = true;
    plan->must_complete = false;
    expect(plan, SP_CLOSE_VERSION, 0);
}

/* The server answers that it speaks version 1 to someone who asked for just that: the
 * client must not believe it.  [RFC9000 6.2] */
static void version_ignored(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->path[SP_CLIENT].version_nth = 1;
}

static void stateless_reset(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_bytes(plan, 1000000, 1000000);
    plan->side[SP_SERVER].sends_resets = true;
    plan->side[SP_SERVER].crash_at_ns = 100 * SB_MS;
    plan->must_complete = false;
    expect(plan, SP_CLOSE_STATELESS_RESET, 0);
}

static void key_update(struct qs_plan *plan, uint32_t percent)
{
    loss_both(plan, percent);
    set_bytes(plan, 400000, 400000);
    plan->path[SP_CLIENT].reorder_ppm = percent * PERCENT;
    plan->path[SP_CLIENT].reorder_ns = 20 * SB_MS;
    plan->protect.seal_count_max = 200;
    plan->key_updates_min = 4;
}

/* Too many packets that do not open end the connection.  [RFC9001 6.6] */
static void forgery_limit(struct qs_plan *plan, uint32_t member)
{
    corrupt(plan, member);
    set_bytes(plan, 1000000, 1000000);
    plan->protect.fail_count_max = 5;
    plan->must_complete = false;
    expect(plan, SP_CLOSE_TRANSPORT, SP_ERR_AEAD_LIMIT_REACHED);
}

static void ecn(struct qs_plan *plan, uint32_t percent)
{
    set_faults(plan);
    set_bytes(plan, 300000, 300000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].mark_ppm = percent * PERCENT;
        plan->side[role].config.ecn = true;
    }
}

static void ecn_bleached(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    ecn(plan, 0);
    plan->path[SP_CLIENT].bleaches_ecn = true;
}

static void large_hello(struct qs_plan *plan, uint32_t number)
{
    plan->needs_null = true;
    plan->tls.hello_size = 1800;
    plan->path[SP_CLIENT].late_nth = number - 1; /* 1: none, then one of the two */
    plan->path[SP_CLIENT].late_ns = 30 * SB_MS;
}

static void large_certificate(struct qs_plan *plan, uint32_t percent)
{
    plan->needs_null = true;
    loss_both(plan, percent);
    plan->tls.certificate_size = 40000;
    plan->tls.ticket_count = 8;
    plan->tls.ticket_size = 2000;
}

/* Nothing comes back from the server, ever. */
static void handshake_timeout(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->path[SP_SERVER].blackhole_until_ns = 1000 * SB_S;
    set_timeouts(plan, 5 * SB_S, 30 * SB_S);
    plan->must_complete = false;
    expect(plan, SP_CLOSE_HANDSHAKE_TIMEOUT, 0);
}

/* [RFC9001 4.8] */
static void tls_alert(struct qs_plan *plan, uint32_t message)
{
    plan->needs_null = true;
    plan->tls.fail_at = (enum qs_message)message;
    plan->tls.alert = 40; /* handshake_failure */
    plan->must_complete = false;
    expect(plan, SP_CLOSE_TRANSPORT, SP_ERR_CRYPTO + 40);
}

static void many_connections(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->conn_count = 30;
    plan->conn_interval_ns = 3 * SB_MS;
    set_faults(plan);
    plan->path[SP_SERVER].loss_ppm = 2 * PERCENT;
}

/* The ring at its worst: everything comes in heaps, late, and the socket is often full. */
static void rough_ring(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_faults(plan);
    set_bytes(plan, 300000, 300000);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        side->batch_ns_max = 20 * SB_MS;
        side->timer_slack_ns_max = 30 * SB_MS;
        side->socket_full_ppm = 20 * PERCENT;
        side->socket_full_ns = 10 * SB_MS;
        side->train_count_max = 64;
        side->stall_ppm = 5 * PERCENT;
        side->stall_ns = 100 * SB_MS;
        side->queue_max = 50;
    }
}

/* From hardly enough for a connection to nearly enough for all of its streams. */
static void little_memory(struct qs_plan *plan, uint32_t member)
{
    many_streams(plan, member);
    plan->path[SP_SERVER].loss_ppm = 5 * PERCENT;
    plan->faults_end_ns = 10 * SB_S;
    set_timeouts(plan, 20 * SB_S, 20 * SB_S);
    plan->must_complete = false;
    plan->may_lack_memory = true;
    plan->may_time_out = true;
    for (int role = 0; role < QS_SIDES; role++)
        plan->side[role].memory_bytes_max = 120000 + member * UINT64_C(4096);
}

/* This version drops what comes from elsewhere, so the connection may end in silence. */
static void rebinding(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_bytes(plan, 300000, 300000);
    plan->rebind_at_ns = 60 * SB_MS;
    set_timeouts(plan, 10 * SB_S, 10 * SB_S);
    plan->must_complete = false;
    plan->may_time_out = true;
}

static void bulk(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    set_bytes(plan, 10000000, 10000000);
    plan->side[SP_CLIENT].app.bidi_count = 1;
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.write_bytes_max = 100000;
        plan->side[role].train_count_max = 64;
    }
    plan->check_interval = 100;
}

static const uint32_t loss_percents[] = {1, 5, 10, 30};
static const uint32_t some_percents[] = {0, 5, 20};
static const uint32_t messages[] = {QS_CLIENT_HELLO, QS_SERVER_HELLO,       QS_ENCRYPTED_EXTENSIONS,
                                    QS_CERTIFICATE,  QS_CERTIFICATE_VERIFY, QS_FINISHED};

#define EACH_OF(array) (array), SB_COUNT(array)

const struct qs_scenario qs_scenarios[] = {
    {"clean", "a quiet network", clean, NULL, 0},
    {"loss-client", "percent lost on the way to the server", loss_client, EACH_OF(loss_percents)},
    {"loss-server", "percent lost on the way to the client", loss_server, EACH_OF(loss_percents)},
    {"loss-both", "percent lost both ways", loss_both, EACH_OF(loss_percents)},
    {"drop-client", "exactly the n-th datagram of the client is lost", drop_client, NULL, 40},
    {"drop-server", "exactly the n-th datagram of the server is lost", drop_server, NULL, 40},
    {"late-client", "the client's n-th datagram comes a round trip late", late_client, NULL, 15},
    {"late-server", "the server's n-th datagram comes a round trip late", late_server, NULL, 15},
    {"early", "data comes before the handshake's end", early, NULL, 12},
    {"reorder", "a fifth of the datagrams is overtaken", reorder, NULL, 0},
    {"duplicate", "many datagrams come twice, some much later", duplicate, NULL, 0},
    {"corrupt", "every tenth datagram has wrong bytes", corrupt, NULL, 0},
    {"truncate", "every tenth datagram is cut", truncate, NULL, 0},
    {"satellite", "600 ms of round trip", satellite, NULL, 0},
    {"bottleneck", "1 MB/s behind a queue of 10 datagrams", bottleneck, NULL, 0},
    {"blackhole", "nothing passes for 3 s, from the n-th 15 ms on", blackhole, NULL, 8},
    {"idle", "nobody closes", idle, NULL, 0},
    {"amplification", "a large certificate, with the client's n-th datagrams lost", amplification,
     NULL, 5},
    {"close-both", "both sides close at the same time", close_both, NULL, 0},
    {"close-early", "one side closes in the handshake or the transfer", close_early, NULL, 20},
    {"many-streams", "over 100 streams at once, many abandoned", many_streams, NULL, 0},
    {"many-streams-lossy", "the same with loss", many_streams_lossy, NULL, 0},
    {"stream-limit", "more streams than may be open", stream_limit, NULL, 0},
    {"slow-reader", "the applications read slowly", slow_reader, NULL, 0},
    {"small-windows", "windows of less than two datagrams", small_windows, NULL, 0},
    {"held-slices", "received bytes are kept beyond the connection's end", held_slices, NULL, 0},
    {"uni-streams", "unidirectional streams both ways", uni_streams, NULL, 0},
    {"empty-streams", "streams of no byte or one", empty_streams, NULL, 0},
    {"stop-sending", "the client stops every stream halfway", stop_sending, NULL, 0},
    {"version-negotiation", "the server speaks another version", version_negotiation, NULL, 0},
    {"version-ignored", "a negotiation that must not be believed", version_ignored, NULL, 0},
    {"stateless-reset", "the server forgets its connections", stateless_reset, NULL, 0},
    {"key-update", "keys that last for 200 packets, with loss", key_update, EACH_OF(some_percents)},
    {"forgery-limit", "five packets that do not open are too many", forgery_limit, NULL, 0},
    {"ecn", "percent of the datagrams marked", ecn, EACH_OF(some_percents)},
    {"ecn-bleached", "a path that clears the ECN field", ecn_bleached, NULL, 0},
    {"large-hello", "a ClientHello of two datagrams, one of them late", large_hello, NULL, 3},
    {"large-certificate", "40 KB of certificate, 16 KB of tickets", large_certificate,
     EACH_OF(some_percents)},
    {"handshake-timeout", "the server's answers get lost", handshake_timeout, NULL, 0},
    {"tls-alert", "the handshake fails at the n-th type of message", tls_alert, EACH_OF(messages)},
    {"many-connections", "30 connections between the same hosts", many_connections, NULL, 0},
    {"rough-ring", "batches, late timers, a full socket", rough_ring, NULL, 0},
    {"rebinding", "the client's address changes", rebinding, NULL, 0},
    {"little-memory", "120 KB and n times 4 KB for everything", little_memory, NULL, 50},
    {"bulk", "10 MB each way", bulk, NULL, 0},
};
const uint32_t qs_scenario_count = SB_COUNT(qs_scenarios);

void qs_scenario_plan(const struct qs_scenario *scenario, uint32_t index, uint64_t seed,
                      struct qs_plan *ret)
{
    qs_plan_init(ret, seed);
    uint32_t member = scenario->members != NULL ? scenario->members[index] : index + 1;
    scenario->fill(ret, member);
    if (scenario->member_count == 0)
        snprintf(ret->name, sizeof(ret->name), "%s", scenario->name);
    else
        snprintf(ret->name, sizeof(ret->name), "%s-%u", scenario->name, member);
}
