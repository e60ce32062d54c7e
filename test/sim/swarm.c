/* SPDX-License-Identifier: MIT */
/* A plan from a seed: each thing that can vary does so in some of the runs, and in most runs most
 * of them are quiet, so that faults are also met alone and in pairs. */

#include <stdio.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/limits.h"
#include "test/sim/random.h"
#include "test/sim/scenarios.h"

#define IDLE_TIMEOUT_NS (300 * SB_S)
#define WORK_NS         (250 * SB_S)
#define BYTES_MAX       UINT64_C(4000000) /* that a side sends on a connection */

/* True in one of `n` runs. */
static bool one_in(struct qs_random *random, uint64_t n)
{
    return qs_random_below(random, n) == 0;
}

/* A number of any magnitude up to `max`: small ones as often as large ones. */
static uint64_t any_size(struct qs_random *random, uint64_t max)
{
    uint64_t bits = 0;
    while (bits < 63 && (max >> bits) > 1)
        bits++;
    uint64_t top = UINT64_C(1) << qs_random_between(random, 0, bits);
    return qs_random_between(random, 0, SB_MIN(top, max));
}

static uint32_t chance(struct qs_random *random, uint64_t one_in_runs, uint64_t ppm_max)
{
    return one_in(random, one_in_runs) ? (uint32_t)any_size(random, ppm_max) : 0;
}

static void random_path(struct qs_random *random, struct qs_path_plan *path)
{
    path->delay_ns = any_size(random, 100 * SB_MS);
    path->jitter_ns = one_in(random, 3) ? any_size(random, 20 * SB_MS) : 0;
    path->loss_ppm = chance(random, 2, 300000);
    path->reorder_ppm = chance(random, 3, 300000);
    path->reorder_ns = any_size(random, 100 * SB_MS);
    path->reorder_every = one_in(random, 16) ? 2 + (uint32_t)any_size(random, 30) : 0;
    path->duplicate_ppm = chance(random, 4, 300000);
    path->corrupt_ppm = chance(random, 4, 200000);
    path->truncate_ppm = chance(random, 6, 100000);
    path->mark_ppm = chance(random, 4, 100000);
    path->bleaches_ecn = one_in(random, 8);
    if (one_in(random, 4)) {
        path->rate_bytes_per_s = qs_random_between(random, 50000, 5000000);
        path->queue_bytes = qs_random_between(random, 3000, 100000);
        path->mark_bytes = one_in(random, 3) ? path->queue_bytes / 3 : 0;
    }
    if (one_in(random, 8)) {
        path->blackhole_from_ns = any_size(random, 2 * SB_S);
        path->blackhole_until_ns = path->blackhole_from_ns + any_size(random, 3 * SB_S) + 1;
    }
    if (one_in(random, 4)) {
        path->drop_first = 1 + (uint32_t)any_size(random, 40);
        path->drop_count = 1 + (uint32_t)any_size(random, 6);
    }
    if (one_in(random, 4)) {
        path->late_nth = 1 + (uint32_t)any_size(random, 20);
        path->late_ns = any_size(random, 200 * SB_MS);
    }
}

static size_t any_datagram_size(struct qs_random *random)
{
    if (one_in(random, 2))
        return (size_t)qs_random_between(random, 1200, 1472);
    return 1200 + (size_t)any_size(random, 65507 - 1200);
}

static void random_mtu(struct qs_random *random, struct qs_path_plan *path)
{
    path->mtu = any_datagram_size(random);
    path->mtu_from_ns = one_in(random, 2) ? any_size(random, 2 * SB_S) : 0;
    if (one_in(random, 2)) {
        path->mtu_then = any_datagram_size(random);
        path->mtu_then_from_ns = path->mtu_from_ns + 1 + any_size(random, 3 * SB_S);
    }
}

static void random_config(struct qs_random *random, struct sp_config *config)
{
    config->handshake_timeout_ns = 300 * SB_S;
    config->idle_timeout_ns = IDLE_TIMEOUT_NS;
    config->ack_delay_ns_max = qs_random_between(random, 1, 50) * SB_MS;
    config->datagram_size_max = any_datagram_size(random);
    config->cid_size = (uint8_t)qs_random_between(random, 4, 20);
    config->ecn = one_in(random, 2);
    config->pacing = !one_in(random, 3);
    config->cc_kind = (enum sp_cc_kind)qs_random_below(random, SP_CC_KINDS);
    config->fixed_rate_bytes_per_s = 100000 + any_size(random, 100000000);
    if (one_in(random, 6))
        config->conn_rate_bytes_per_s_max = 100000 + any_size(random, 100000000);
    config->grease = one_in(random, 2);
    config->spin_bit = one_in(random, 2);
    config->ack_frequency = !one_in(random, 3);
    config->reset_stream_at = !one_in(random, 4);
    if (one_in(random, 6))
        config->key_update_packets = 100 + any_size(random, 3000);
    if (one_in(random, 2)) {
        config->stream_window_bytes = 200 + any_size(random, 100000);
        config->stream_window_bytes_max = config->stream_window_bytes + any_size(random, 200000);
        config->conn_window_bytes = 200 + any_size(random, 200000);
        config->conn_window_bytes_max = config->conn_window_bytes + any_size(random, 400000);
    }
    if (one_in(random, 3)) {
        config->streams_bidi_max = 1 + any_size(random, 20);
        config->streams_uni_max = 1 + any_size(random, 20);
        config->streams_local_max = 1 + any_size(random, 20);
    }
}

static void random_app(struct qs_random *random, struct qs_app_plan *app, uint64_t stream_max)
{
    app->bidi_count = (uint32_t)any_size(random, stream_max);
    app->uni_count = one_in(random, 2) ? (uint32_t)any_size(random, stream_max) : 0;
    uint64_t streams = 1 + app->bidi_count + app->uni_count;
    uint64_t bytes_max = one_in(random, 10) ? BYTES_MAX : 400000;
    if (one_in(random, 3))
        app->bytes_max = any_size(random, bytes_max / streams);
    else
        app->bytes_max = qs_random_below(random, bytes_max / streams);
    app->bytes_min = one_in(random, 2) ? app->bytes_max : 0;
    app->write_bytes_max = 1 + (uint32_t)any_size(random, 20000);
    app->write_bytes_max = SB_MAX(app->write_bytes_max, (uint32_t)(app->bytes_max / 50));
    app->writes_max = 1 + (uint32_t)any_size(random, 8);
    app->reset_ppm = chance(random, 3, 600000);
    app->reset_at_ppm = chance(random, 2, 1000000);
    app->reset_ns = any_size(random, 200 * SB_MS);
    app->stop_ppm = chance(random, 3, 600000);
    app->hold_ppm = chance(random, 4, 1000000);
    app->hold_ns = any_size(random, SB_S);
    if (one_in(random, 4)) {
        app->read_ns = 1 + any_size(random, 20 * SB_MS);
        app->read_bytes = 1000 + any_size(random, 20000);
    }
}

/* A window a round trip is all that passes: no more than 500 of them to send. */
static void fit_window(struct qs_app_plan *app, const struct sp_config *peer)
{
    uint64_t streams = 1 + app->bidi_count + app->uni_count;
    app->bytes_max = SB_MIN(app->bytes_max, 500 * peer->conn_window_bytes / streams);
    app->bytes_max = SB_MIN(app->bytes_max, 500 * peer->stream_window_bytes);
    app->bytes_min = SB_MIN(app->bytes_min, app->bytes_max);
}

/* What waits for memory to be lent has been acknowledged, and its connection is silent meanwhile:
 * no longer than a part of the idle timeout. */
static void fit_lending(struct qs_plan *plan, enum sp_role role)
{
    struct qs_app_plan *reader = &plan->side[1 - role].app;
    uint64_t ns = qs_plan_lend_ns(plan, role), ns_max = IDLE_TIMEOUT_NS / 4;
    if (ns > ns_max)
        reader->lend_pause_ppm = (uint32_t)(reader->lend_pause_ppm * ns_max / ns);
}

static void random_side(struct qs_random *random, struct qs_side_plan *side)
{
    random_config(random, &side->config);
    side->batch_ns_max = one_in(random, 2) ? any_size(random, 10 * SB_MS) : 0;
    side->timer_slack_ns_max = one_in(random, 2) ? any_size(random, 10 * SB_MS) : 0;
    side->socket_full_ppm = chance(random, 4, 300000);
    side->socket_full_ns = 1 + any_size(random, 5 * SB_MS);
    side->stall_ppm = chance(random, 4, 100000);
    side->stall_ns = any_size(random, 200 * SB_MS);
    side->queue_max = one_in(random, 4) ? 2 + (uint32_t)any_size(random, 100) : 0;
    side->train_count_max = 1 + (uint32_t)any_size(random, 63);
    side->sends_resets = one_in(random, 2);
    random_app(random, &side->app, 1 + any_size(random, 40));
}

/* Hosts that hold trains until the pacer's times, as the queueing discipline fq does.  Of a
 * sequence of its own, so that all else stays as it was. */
static void random_departures(struct qs_plan *plan)
{
    struct qs_random random;
    qs_random_init(&random, qs_hash(plan->seed, "departures", 10));
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        if (!one_in(&random, 4))
            continue;
        side->ahead_ns = 1 + any_size(&random, 10 * SB_MS);
        side->forgets_departures = one_in(&random, 4);
    }
}

/* Bottlenecks with a queue for L4S, for Prague and for others.  Of a sequence of its own. */
static void random_l4s(struct qs_plan *plan)
{
    struct qs_random random;
    qs_random_init(&random, qs_hash(plan->seed, "l4s", 3));
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].has_l4s = one_in(&random, 3);
}

/* Packets for which a key must do: the PTOs of an idle timeout whose peer is gone send two each. */
#define KEY_PACKETS_MIN (2 * (IDLE_TIMEOUT_NS / SP_PTO_NS_MAX) + 300)

/* Keys for so many packets.  A key must outlive a round trip, or nothing can be acknowledged
 * before it is used up: the windows keep what is under way below that. */
static void limit_keys(struct qs_plan *plan, uint64_t packets)
{
    plan->protect.seal_count_max = packets;
    for (int role = 0; role < QS_SIDES; role++) {
        struct sp_config *config = &plan->side[role].config;
        config->conn_window_bytes = SB_MIN(config->conn_window_bytes, packets / 8 * 1200);
        config->conn_window_bytes_max = SB_MIN(config->conn_window_bytes_max, packets / 8 * 1200);
    }
}

static void random_tls(struct qs_random *random, struct qs_plan *plan)
{
    plan->tls.hello_size = 200 + (size_t)any_size(random, 2500);
    plan->tls.certificate_size = (size_t)any_size(random, 10000);
    plan->tls.ticket_size = (size_t)any_size(random, 2000);
    plan->tls.ticket_count = (uint32_t)any_size(random, 4);
    plan->tls.write_secret_first = one_in(random, 2);
    if (one_in(random, 4))
        limit_keys(plan, qs_random_between(random, KEY_PACKETS_MIN, 3000));
}

/* Handshakes that wait for answers from outside, long before they time out. */
static void random_waits(struct qs_random *random, struct qs_plan *plan)
{
    static const enum qs_message messages[] = {QS_CLIENT_HELLO, QS_SERVER_HELLO, QS_CERTIFICATE,
                                               QS_FINISHED};
    if (!one_in(random, 6))
        return;
    for (size_t i = 0; i < SB_COUNT(messages); i++)
        if (one_in(random, 2))
            plan->tls.waits |= UINT32_C(1) << messages[i];
    plan->tls.wait_ns = any_size(random, 2 * SB_S);
}

/* Chooses the side that ends the connection, and how. */
static void random_end(struct qs_random *random, struct qs_plan *plan)
{
    struct qs_app_plan *apps[QS_SIDES] = {&plan->side[SP_CLIENT].app, &plan->side[SP_SERVER].app};
    uint64_t error = any_size(random, SB_VARINT_MAX);
    for (int role = 0; role < QS_SIDES; role++) {
        apps[role]->close_when = QS_CLOSE_NEVER;
        apps[role]->close_error = error;
        plan->expect[role].error = error;
    }
    apps[qs_random_below(random, QS_SIDES)]->close_when = QS_CLOSE_WHEN_DONE;
    if (one_in(random, 4))
        apps[qs_random_below(random, QS_SIDES)]->close_when = QS_CLOSE_WHEN_DONE;
    if (!one_in(random, 5))
        return;

    /* One side does not wait until all streams are done. */
    plan->must_complete = false;
    for (int role = 0; role < QS_SIDES; role++)
        plan->expect[role].kind = SP_CLOSE_NONE;
    struct qs_side_plan *side = &plan->side[qs_random_below(random, QS_SIDES)];
    uint64_t at_ns = any_size(random, 3 * SB_S);
    plan->may_send_nothing = side == &plan->side[SP_CLIENT]; /* TLS may let it wait until then */
    if (one_in(random, 4)) {
        side->crash_at_ns = 1 + at_ns;
        plan->may_time_out = true;
    } else {
        side->app.close_when = QS_CLOSE_AT;
        side->app.close_at_ns = at_ns;
    }
}

/* Any lists that have a version in common, and any way to it. */
static void random_versions(struct qs_random *random, struct qs_plan *plan)
{
    static const struct sp_versions lists[] = {
        {.count = 2, .list = {SP_VERSION_1, SP_VERSION_2}},
        {.count = 2, .list = {SP_VERSION_2, SP_VERSION_1}},
    };
    for (int role = 0; role < QS_SIDES; role++)
        plan->side[role].config.versions = lists[one_in(random, 3)];
    struct sp_config *client = &plan->side[SP_CLIENT].config;
    struct sp_config *server = &plan->side[SP_SERVER].config;
    server->orders_versions = one_in(random, 2);
    if (one_in(random, 4))
        client->first_version = client->versions.list[1];
    if (one_in(random, 8))
        plan->side[qs_random_below(random, QS_SIDES)].config.versions.count = 1;
    if (client->versions.count == 1)
        client->first_version = 0;
}

/* Messages in one run of two, in both directions or one.  No window bounds the packets with short
 * ones that a key has to outlive: see limit_keys(). */
static void random_messages(struct qs_random *random, struct qs_plan *plan)
{
    if (one_in(random, 2))
        return;
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        struct qs_app_plan *app = &side->app;
        if (!one_in(random, 4))
            side->config.message_frame_size_max =
                one_in(random, 3) ? 2 + (uint32_t)any_size(random, 2000) : 65535;
        if (one_in(random, 3)) {
            side->config.message_count_max = 1 + (uint32_t)any_size(random, 100);
            side->config.message_bytes_max = 1 + any_size(random, 20000);
        }
        app->message_count = (uint32_t)any_size(random, 400);
        app->message_count = (uint32_t)SB_MIN(app->message_count, plan->protect.seal_count_max / 8);
        app->message_size_max = (uint32_t)any_size(random, 1500);
        app->message_burst = 1 + (uint32_t)any_size(random, 100);
        app->message_ns = any_size(random, 20 * SB_MS);
        app->message_deadline_ns = one_in(random, 3) ? 1 + any_size(random, 500 * SB_MS) : 0;
        app->message_copy_ppm = chance(random, 2, 1000000);
        app->message_silent_ppm = chance(random, 2, 1000000);
    }
}

/* Later connections that resume, some with 0-RTT, and a server whose limits change meanwhile. */
static void random_resumption(struct qs_random *random, struct qs_plan *plan)
{
    plan->side[SP_SERVER].sends_new_token = one_in(random, 4);
    if (!one_in(random, 4))
        return;
    plan->resumes = true;
    plan->wants_early = !one_in(random, 4);
    plan->tls.early = (enum qs_early)qs_random_below(random, QS_EARLY_FORCE);
    plan->tls.ticket_count = 1 + plan->tls.ticket_count;
    plan->tls.forgets_tickets = one_in(random, 8);
    plan->conn_count = SB_MAX(plan->conn_count, 2 + (uint32_t)any_size(random, 3));
    plan->conn_interval_ns = any_size(random, 2 * SB_S);
    plan->later = plan->side[SP_SERVER].config;
    plan->has_later = one_in(random, 2);
    if (plan->has_later && one_in(random, 2)) {
        plan->later.streams_bidi_max = 1 + any_size(random, 40);
        plan->later.streams_uni_max = 1 + any_size(random, 40);
    }
    if (plan->has_later && one_in(random, 2)) {
        plan->later.stream_window_bytes = 200 + any_size(random, 100000);
        plan->later.conn_window_bytes = 200 + any_size(random, 200000);
        plan->later.stream_window_bytes_max =
            SB_MAX(plan->later.stream_window_bytes_max, plan->later.stream_window_bytes);
        plan->later.conn_window_bytes_max =
            SB_MAX(plan->later.conn_window_bytes_max, plan->later.conn_window_bytes);
    }
    fit_window(&plan->side[SP_CLIENT].app, &plan->later);
}

/* The client's NAT gives it other ports or addresses. */
static void random_moves(struct qs_random *random, struct qs_plan *plan)
{
    if (!one_in(random, 4))
        return;
    plan->rebind.at_ns = 1 + any_size(random, SB_S);
    plan->rebind.every_ns = 1 + any_size(random, SB_S);
    plan->rebind.count = (uint32_t)qs_random_between(random, 1, 6);
    plan->rebind.changes_ip = one_in(random, 2);
    /* The server may begin to speak when its client's NAT has just forgotten it. */
    plan->side[SP_CLIENT].config.keep_alive_ns = SB_S + any_size(random, SB_S);
}

/* A fixed rate that the path does not have for all connections would starve some of them. */
static void fit_rate(const struct qs_plan *plan, enum sp_role role, struct sp_config *config)
{
    uint64_t rate = plan->path[role].rate_bytes_per_s;
    if (config->cc_kind != SP_CC_FIXED || rate == 0)
        return;
    uint64_t share = rate / (2 * plan->conn_count);
    if (share < 100000)
        config->cc_kind = SP_CC_CUBIC;
    else
        config->fixed_rate_bytes_per_s = SB_MIN(config->fixed_rate_bytes_per_s, share);
}

/* What a side sends on all streams, also on those that its peer has opened, is bounded: the work
 * takes no longer than a quarter of its time at the rate that there is, because a short queue may
 * drop more than half of what is sent. */
static void fit_bytes(struct qs_plan *plan, enum sp_role role)
{
    struct qs_app_plan *app = &plan->side[role].app;
    const struct sp_config *config = &plan->side[role].config;
    uint64_t rate = SB_VARINT_MAX;
    if (config->cc_kind == SP_CC_FIXED)
        rate = config->fixed_rate_bytes_per_s;
    if (config->conn_rate_bytes_per_s_max > 0)
        rate = SB_MIN(rate, config->conn_rate_bytes_per_s_max);
    if (plan->path[role].rate_bytes_per_s > 0)
        rate = SB_MIN(rate, plan->path[role].rate_bytes_per_s / plan->conn_count);
    /* Who writes again when a write is acknowledged; most writes are far below the largest. */
    uint64_t written_bytes = (uint64_t)app->writes_max * app->write_bytes_max / 4 + 1;
    uint64_t written_ns = qs_plan_round_ns(plan) + plan->side[1 - role].config.ack_delay_ns_max;
    rate = SB_MIN(rate, written_bytes * SB_S / written_ns);
    uint64_t bytes = BYTES_MAX;
    if (rate < bytes)
        bytes = SB_MIN(bytes, rate * (WORK_NS / 4 / SB_S));
    uint64_t streams = 1 + app->bidi_count + app->uni_count + plan->side[1 - role].app.bidi_count;
    app->bytes_max = SB_MIN(app->bytes_max, bytes / streams);
    app->bytes_min = SB_MIN(app->bytes_min, app->bytes_max);
}

/* 0-RTT overtakes its Initial, and the server keeps it or does not. */
static void random_overtaking(struct qs_random *random, struct qs_plan *plan)
{
    if (one_in(random, 4))
        plan->path[SP_CLIENT].initial_late_ns = any_size(random, 50 * SB_MS);
    plan->side[SP_SERVER].keeps_early = one_in(random, 2);
}

static void random_batches(struct qs_random *random, struct qs_plan *plan)
{
    for (int role = 0; role < QS_SIDES; role++)
        plan->side[role].app.batch_max =
            one_in(random, 3) ? (uint32_t)qs_random_between(random, 1, QS_BATCH_MAX) : 0;
}

/* What a profile sets beside controllers and windows, right for the path or not. */
static void random_profile(struct qs_random *random, struct qs_plan *plan)
{
    for (int role = 0; role < QS_SIDES; role++) {
        struct sp_config *config = &plan->side[role].config;
        if (one_in(random, 4))
            config->initial_rtt_ns = SB_MS + any_size(random, 2 * SB_S);
        if (one_in(random, 4))
            config->initial_window_packets = 2 + (uint32_t)any_size(random, 998);
    }
}

/* The client moves by itself, also to where nothing passes; the server prefers another address;
 * somebody copies packets. */
static void random_paths(struct qs_random *random, struct qs_plan *plan)
{
    if (one_in(random, 4)) {
        plan->moves.at_ns = any_size(random, SB_S);
        plan->moves.every_ns = 1 + any_size(random, SB_S);
        plan->moves.count = 1 + (uint32_t)any_size(random, 12);
        plan->moves.dead_ppm = one_in(random, 2) ? (uint32_t)qs_random_below(random, 1000000) : 0;
        plan->moves.mtu_max = one_in(random, 3) ? any_datagram_size(random) : 0;
    }
    plan->side[SP_SERVER].has_preferred = one_in(random, 4);
    plan->side[SP_CLIENT].config.follow_preferred = !one_in(random, 4);
    plan->side[SP_SERVER].config.migration = plan->later.migration = !one_in(random, 6);
    if (one_in(random, 5)) {
        plan->copier.copy_ppm = chance(random, 1, 300000);
        plan->copier.race_ns = any_size(random, 100 * SB_MS);
        plan->copier.forged_ppm = chance(random, 3, 1000000);
        plan->copier.has_many = one_in(random, 2);
        plan->copier.goes_elsewhere = one_in(random, 3);
    }
    /* Each new address takes a CID.  Who moves on while nothing comes back runs out of them, and
     * cannot be answered any more.  [RFC9000 9.5] */
    if (plan->moves.count > 0 || plan->side[SP_SERVER].has_preferred)
        plan->rebind.count = SB_MIN(plan->rebind.count, 1u);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].drops_ecn = one_in(random, 24);
}

/* CIDs are replaced, at any time and many times.  A client whose address changes while it has no
 * spare CID cannot be answered there, if it uses another CID of the server too.  [RFC9000 9.5] */
static void random_renewals(struct qs_random *random, struct qs_plan *plan)
{
    bool moves = plan->rebind.count > 0 || plan->moves.count > 0 || plan->copier.copy_ppm > 0 ||
                 plan->side[SP_SERVER].has_preferred;
    if (one_in(random, 5))
        plan->side[SP_SERVER].cid_count_max = (uint32_t)qs_random_between(random, 1, SP_CIDS_MAX);
    if (!moves && one_in(random, 5))
        plan->side[SP_CLIENT].cid_count_max = (uint32_t)qs_random_between(random, 1, SP_CIDS_MAX);
    if (!one_in(random, 4))
        return;
    plan->renewals.at_ns = any_size(random, SB_S);
    plan->renewals.every_ns = 1 + any_size(random, SB_S);
    plan->renewals.count = 1 + (uint32_t)any_size(random, moves ? 2 : 12);
    plan->renewals.clients_too = !moves && one_in(random, 2);
}

/* One side has little memory.  A client can at least begin: otherwise nothing is sent. */
static void limit_memory(struct qs_random *random, struct qs_plan *plan)
{
    uint64_t role = qs_random_below(random, QS_SIDES);
    uint64_t min = role == SP_CLIENT ? QS_MEMORY_BYTES_MIN_BBR : 100000;
    plan->side[role].memory_bytes_max = min + qs_random_below(random, 300000);
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_AT; /* it may not get on */
    plan->side[SP_CLIENT].app.close_at_ns = 30 * SB_S;
    plan->may_send_nothing = plan->side[SP_CLIENT].crash_at_ns > 0;
    plan->must_complete = false;
    plan->may_lack_memory = true;
    plan->may_time_out = true;
    plan->expect[SP_CLIENT].kind = plan->expect[SP_SERVER].kind = SP_CLOSE_NONE;
}

void qs_swarm_plan(uint64_t seed, struct qs_plan *ret)
{
    qs_plan_init(ret, seed);
    struct qs_random random;
    qs_random_init(&random, seed);
    snprintf(ret->name, sizeof(ret->name), "swarm");
    for (int role = 0; role < QS_SIDES; role++) {
        random_path(&random, &ret->path[role]);
        random_side(&random, &ret->side[role]);
    }
    random_tls(&random, ret);
    for (int role = 0; role < QS_SIDES; role++)
        fit_window(&ret->side[role].app, &ret->side[1 - role].config);
    random_end(&random, ret);
    if (one_in(&random, 16))
        limit_memory(&random, ret);
    if (one_in(&random, 8)) {
        ret->conn_count = 1 + (uint32_t)any_size(&random, 6);
        ret->conn_interval_ns = any_size(&random, 50 * SB_MS);
    }
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_app_plan *app = &ret->side[role].app;
        app->lend_ppm = chance(&random, 3, 1000000);
        app->lend_bytes_max = 1 + any_size(&random, 100000);
        app->lends_max = (uint32_t)qs_random_between(&random, 1, SP_LENT_BUFFERS_MAX);
        app->lend_pause_ppm = chance(&random, 2, 500000);
        app->prioritize_ppm = chance(&random, 3, 1000000);
    }
    ret->side[SP_SERVER].sends_retry = one_in(&random, 8);
    for (int role = 0; role < QS_SIDES; role++)
        if (one_in(&random, 6)) {
            random_mtu(&random, &ret->path[role]);
            if (one_in(&random, 3)) {
                ret->side[role].interface_size_max = any_datagram_size(&random);
                ret->side[role].interface_from_ns = any_size(&random, 2 * SB_S);
            }
        }
    random_versions(&random, ret);
    random_messages(&random, ret);
    random_waits(&random, ret);
    random_resumption(&random, ret);
    random_moves(&random, ret);
    random_departures(ret);
    random_l4s(ret);
    random_paths(&random, ret);
    fit_rate(ret, SP_SERVER, &ret->later);
    for (int role = 0; role < QS_SIDES; role++) {
        fit_rate(ret, (enum sp_role)role, &ret->side[role].config);
        fit_bytes(ret, (enum sp_role)role);
        fit_lending(ret, (enum sp_role)role);
    }
    random_batches(&random, ret);
    random_overtaking(&random, ret);
    random_profile(&random, ret);
    random_renewals(&random, ret);
    ret->faults_end_ns = 5 * SB_S;
    ret->work_ns = WORK_NS + qs_plan_credit_ns(ret);
    qs_swarm_pauses(ret);
    ret->check_interval = 8;
}
