/* SPDX-License-Identifier: MIT */
/* Scenarios of the network: what gets lost, late, doubled, damaged or slow. */

#include "test/sim/scenarios.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum { PERCENT = 10000 }; /* of a million */

static void clean(struct qs_plan *plan, uint32_t member)
{
    (void)plan;
    (void)member;
}

static void loss_client(struct qs_plan *plan, uint32_t percent)
{
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 300000, 600000);
    plan->path[SP_CLIENT].loss_ppm = percent * PERCENT;
}

static void loss_server(struct qs_plan *plan, uint32_t percent)
{
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 300000, 600000);
    plan->path[SP_SERVER].loss_ppm = percent * PERCENT;
}

static void drop_client(struct qs_plan *plan, uint32_t number)
{
    plan->path[SP_CLIENT].drop_first = number;
    plan->path[SP_CLIENT].drop_count = 1;
    qs_plan_set_bytes(plan, 30000, 40000);
}

static void drop_server(struct qs_plan *plan, uint32_t number)
{
    plan->path[SP_SERVER].drop_first = number;
    plan->path[SP_SERVER].drop_count = 1;
    qs_plan_set_bytes(plan, 30000, 40000);
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

/* The first n datagrams of the client or of the server: one PTO later all of it comes, whichever
 * probe arrives first. */
static void lost_flight(struct qs_plan *plan, uint32_t member)
{
    enum sp_role role = member % 2 == 1 ? SP_CLIENT : SP_SERVER;
    plan->path[role].drop_first = 1;
    plan->path[role].drop_count = (member + 1) / 2;
    plan->tls.certificate_size = 2000;
    plan->work_ns = 1500 * SB_MS;
}

/* A round trip of 1 ms that is assumed to be 5 ms: what the first datagrams lost comes soon (1, 2).
 * One of 400 ms that is assumed to be 1 ms: all is sent again too early, and does no harm (3). */
static void first_guess(struct qs_plan *plan, uint32_t member)
{
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].config.initial_rtt_ns = member == 3 ? SB_MS : 5 * SB_MS;
        plan->side[role].config.initial_window_packets = 64;
        plan->path[role].delay_ns = member == 3 ? 200 * SB_MS : SB_MS / 2;
    }
    if (member == 3)
        return;
    enum sp_role role = member == 1 ? SP_CLIENT : SP_SERVER;
    plan->path[role].drop_first = 1;
    plan->path[role].drop_count = 2;
    plan->work_ns = 300 * SB_MS; /* with 333 ms it takes a second to the first probe */
}

/* The server's first datagram is lost, and the others wait for the keys that were in it: for a
 * whole PTO, which is no part of the round trip. */
static void late_keys(struct qs_plan *plan, uint32_t member)
{
    plan->path[SP_SERVER].drop_first = 1;
    plan->path[SP_SERVER].drop_count = 1;
    plan->tls.certificate_size = 1000 + 500 * member;
    qs_plan_set_bytes(plan, 100, 100);
    plan->rtt_ns_max[SP_CLIENT] = plan->rtt_ns_max[SP_SERVER] = 30 * SB_MS;
}

/* The client's Finished arrives after its first data, and the server's flight is so
 * large that it takes several datagrams. */
static void early(struct qs_plan *plan, uint32_t number)
{
    late_client(plan, number);
    plan->path[SP_CLIENT].late_ns = 5 * SB_MS;
    plan->tls.certificate_size = 4000;
    plan->tls.write_secret_first = number % 2 == 0;
    qs_plan_set_bytes(plan, 1000, 3000);
    plan->opens_all = true;
    plan->keeps_all = true;
}

static void reorder(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].reorder_ppm = 20 * PERCENT;
        plan->path[role].reorder_ns = 15 * SB_MS;
    }
}

/* 1 Gbit/s, on which a part of the datagrams comes late, all the time: by 3 ms of 10 (1, 3), by
 * 1 ms (2), by 4 ms of 40 (4).  It takes no more than a tenth longer than without that (5). */
static void steady_reorder(struct qs_plan *plan, uint32_t member)
{
    static const uint32_t parts_ppm[] = {1000, 1 * PERCENT, 5 * PERCENT, 14 * PERCENT, 0};
    static const uint64_t late_ms[] = {3, 1, 3, 4, 0};
    static const uint64_t rtt_ms[] = {10, 10, 10, 40, 10};
    static const uint64_t rate_bytes_per_s = 125000000;
    static const uint64_t bytes = 60000000;
    uint32_t i = member - 1;
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_SERVER].app.uni_count = 1;
    plan->side[SP_SERVER].app.write_bytes_max = 1000000;
    plan->side[SP_SERVER].app.writes_max = 50;
    qs_plan_set_bytes(plan, bytes, bytes);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].delay_ns = rtt_ms[i] * SB_MS / 2;
        plan->path[role].rate_bytes_per_s = rate_bytes_per_s;
        plan->path[role].queue_bytes = rate_bytes_per_s * rtt_ms[i] / 1000;
        plan->path[role].reorder_ppm = parts_ppm[i];
        plan->path[role].reorder_ns = late_ms[i] * SB_MS;
        plan->side[role].train_count_max = 64;
        plan->side[role].config.stream_window_bytes = 16 << 20;
        plan->side[role].config.conn_window_bytes = 16 << 20;
    }
    plan->faults_end_ns = 30 * rtt_ms[i] * SB_MS + bytes * 11 / 10 * SB_S / rate_bytes_per_s;
    plan->work_ns = 1 * SB_MS;
    plan->check_interval = 10000;
}

static void duplicate(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].duplicate_ppm = 30 * PERCENT;
        plan->path[role].reorder_ppm = 10 * PERCENT;
        plan->path[role].reorder_ns = 100 * SB_MS;
    }
}

static void corrupt(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].corrupt_ppm = 10 * PERCENT;
}

static void truncate(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 100000, 200000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].truncate_ppm = 10 * PERCENT;
}

static void satellite(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 200000, 400000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].delay_ns = 300 * SB_MS;
    plan->side[SP_CLIENT].app.writes_max = plan->side[SP_SERVER].app.writes_max = 100;
    plan->work_ns = 10 * SB_S;
}

static void bottleneck(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 500000, 500000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].rate_bytes_per_s = 1000000;
        plan->path[role].queue_bytes = 10 * 1500;
        plan->side[role].app.writes_max = 20;
    }
    /* A sender that does not slow down would lose far more, one that does it too much
     * would take longer. */
    plan->lost_max = 150;
    plan->work_ns = 3 * SB_S;
}

static void blackhole(struct qs_plan *plan, uint32_t member)
{
    qs_plan_set_bytes(plan, 300000, 300000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].blackhole_from_ns = member * 15 * SB_MS;
        plan->path[role].blackhole_until_ns = 3 * SB_S;
    }
    plan->faults_end_ns = 3 * SB_S;
    qs_plan_set_timeouts(plan, 60 * SB_S, 60 * SB_S);
}

/* Nothing passes for 2, 3, 10 or 30 s in the middle of a transfer: the client's (1, 4, 7, 10), the
 * server's (2, 5, 8, 11), or of both.  The probes get through at most SP_PTO_NS_MAX after that, and
 * the rest follows at the rate of the path. */
static void outage(struct qs_plan *plan, uint32_t member)
{
    static const uint64_t lengths_ns[] = {2 * SB_S, 3 * SB_S, 10 * SB_S, 30 * SB_S};
    static const uint64_t bytes = 3000000;
    static const uint64_t rate_bytes_per_s = 2000000;
    uint64_t until_ns = 500 * SB_MS + lengths_ns[(member - 1) / 3];
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_CLIENT].app.uni_count = member % 3 != 2;
    plan->side[SP_SERVER].app.uni_count = member % 3 != 1;
    qs_plan_set_bytes(plan, bytes, bytes);
    qs_plan_set_timeouts(plan, 60 * SB_S, 60 * SB_S);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.write_bytes_max = 1000000;
        plan->path[role].rate_bytes_per_s = rate_bytes_per_s;
        plan->path[role].queue_bytes = 100000;
        plan->path[role].blackhole_from_ns = 500 * SB_MS;
        plan->path[role].blackhole_until_ns = until_ns;
    }
    plan->faults_end_ns = until_ns;
    plan->work_ns = 2 * SB_S + 300 * SB_MS + bytes * SB_S / rate_bytes_per_s;
    plan->check_interval = 100;
}

/* Both ends send all they can through 100 Mbit/s each way, with a queue of one round trip (1), a
 * tenth of it (2) or four (3).  Each gets three quarters of the rate, with the short queue six
 * tenths: neither starves the ACKs of the other.  Where a window is cut once more, at the end of
 * slow start or when the other queue fills, a seed decides: of 24 seeds the slowest got 80, 61 and
 * 75 %, and half of them 83, 68 and 81 %.  With NewReno (4 to 6), which takes longer to come back,
 * six tenths of the rate; with BBR (7 to 9) as with CUBIC. */
static void both_ways(struct qs_plan *plan, uint32_t member)
{
    static const uint64_t queues_bytes[] = {250000, 25000, 1000000};
    static const enum sp_cc_kind kinds[] = {SP_CC_CUBIC, SP_CC_NEWRENO, SP_CC_BBR};
    uint32_t queue = (member - 1) % 3;
    enum sp_cc_kind kind = kinds[(member - 1) / 3];
    static const uint64_t bytes = 50000000;
    static const uint64_t rate_bytes_per_s = 12500000;
    plan->side[SP_CLIENT].app.bidi_count = 0;
    qs_plan_set_bytes(plan, bytes, bytes);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.uni_count = 1;
        plan->side[role].app.write_bytes_max = 1000000;
        plan->side[role].app.writes_max = 20;
        plan->side[role].train_count_max = 64;
        plan->side[role].config.stream_window_bytes = 16 << 20;
        plan->side[role].config.conn_window_bytes = 16 << 20;
        plan->path[role].rate_bytes_per_s = rate_bytes_per_s;
        plan->side[role].config.cc_kind = kind;
        plan->path[role].queue_bytes = queues_bytes[queue];
    }
    uint64_t percent = queue == 1 || kind == SP_CC_NEWRENO ? 60 : 75;
    plan->work_ns = 200 * SB_MS + bytes * 100 / percent * SB_S / rate_bytes_per_s;
    plan->check_interval = 10000;
}

static void ecn(struct qs_plan *plan, uint32_t percent)
{
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 300000, 300000);
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

/* A path that drops what is marked: to the server (1), to the client (2), both ways (3).  That
 * costs a PTO of the handshake, and the ten packets of the test. */
static void ecn_dropped(struct qs_plan *plan, uint32_t member)
{
    ecn(plan, 0);
    plan->path[SP_CLIENT].drops_ecn = member != 2;
    plan->path[SP_SERVER].drops_ecn = member != 1;
    plan->lost_max = 60;
    plan->faults_end_ns = 0;
    plan->work_ns = 5 * SB_S;
}

/* Prague both ways over 20 Mbit/s and 20 ms, with a queue for L4S: alone (1), with loss (2),
 * reordering (3), corruption (4), copies (5), other marks (6); beside CUBIC (7); where the marks
 * are cleared (8) or dropped (9); and one queue for all, that marks behind 10 ms (10). */
static void l4s(struct qs_plan *plan, uint32_t member)
{
    static const uint64_t rate_bytes_per_s = 2500000;
    static const uint64_t bytes = 2000000;
    qs_plan_set_faults(plan);
    plan->side[SP_CLIENT].app.bidi_count = 0;
    qs_plan_set_bytes(plan, bytes, bytes);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_path_plan *path = &plan->path[role];
        plan->side[role].app.uni_count = 1;
        plan->side[role].app.write_bytes_max = 100000;
        plan->side[role].train_count_max = 64;
        plan->side[role].config.cc_kind = SP_CC_PRAGUE;
        path->delay_ns = 10 * SB_MS;
        path->rate_bytes_per_s = rate_bytes_per_s;
        path->queue_bytes = 100000;
        path->has_l4s = member != 10;
        path->mark_bytes = rate_bytes_per_s / 100;
        path->loss_ppm = member == 2 ? 2 * PERCENT : 0;
        path->reorder_ppm = member == 3 ? 10 * PERCENT : 0;
        path->reorder_ns = 5 * SB_MS;
        path->corrupt_ppm = member == 4 ? 5 * PERCENT : 0;
        path->duplicate_ppm = member == 5 ? 10 * PERCENT : 0;
        path->mark_ppm = member == 6 ? 10 * PERCENT : 0;
        path->bleaches_ecn = member == 8;
        path->drops_ecn = member == 9;
    }
    plan->has_later = member == 7;
    plan->conn_count = member == 7 ? 2 : 1;
    plan->later = plan->side[SP_SERVER].config;
    plan->later.cc_kind = SP_CC_CUBIC;
    plan->lost_max = member == 1 ? 1 : 0;
    if (member == 1) {
        plan->faults_end_ns = 0;
        plan->work_ns = 2 * SB_S; /* 0.8 at the rate of the path */
    }
}

/* The ring at its worst: everything comes in heaps, late, and the socket is often full. */
static void rough_ring(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 300000, 300000);
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

/* 1 to 4: the port, the address, the port often, the address often; 5 to 8: with loss. */
static void rebinding(struct qs_plan *plan, uint32_t member)
{
    qs_plan_set_bytes(plan, 3000000, 3000000);
    if (member > 4)
        qs_plan_set_loss(plan, 5);
    plan->rebind.at_ns = 90 * SB_MS;
    plan->rebind.every_ns = 200 * SB_MS;
    plan->rebind.count = (member - 1) % 4 < 2 ? 1 : 5;
    plan->rebind.changes_ip = member % 2 == 0;
    plan->check_interval = 100;
}

static void bulk(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 10000000, 10000000);
    plan->side[SP_CLIENT].app.bidi_count = 1;
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.write_bytes_max = 100000;
        plan->side[role].train_count_max = 64;
    }
    plan->check_interval = 100;
}

/* 1 Gbit/s and 100 ms of round trip, 12.5 MB between the ends, with a queue for half as much.
 * 2 s for the handshake and ten doublings of the first window, and then nine tenths of
 * the rate: only if the receive windows have grown in time. */
static void long_fat(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    static const uint64_t rate_bytes_per_s = 125000000;
    static const uint64_t bytes = 150000000;
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_SERVER].app.uni_count = 1;
    plan->side[SP_SERVER].app.write_bytes_max = 1000000;
    plan->side[SP_SERVER].app.writes_max = 50;
    qs_plan_set_bytes(plan, bytes, bytes);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].delay_ns = 50 * SB_MS;
        plan->path[role].rate_bytes_per_s = rate_bytes_per_s;
        plan->path[role].queue_bytes = 6250000;
        plan->side[role].train_count_max = 64;
        plan->side[role].config.stream_window_bytes = 1 << 20; /* as the engine has them */
        plan->side[role].config.stream_window_bytes_max = 16 << 20;
        plan->side[role].config.conn_window_bytes = 1 << 20;
        plan->side[role].config.conn_window_bytes_max = 16 << 20;
    }
    plan->work_ns = 2 * SB_S + bytes * 10 / 9 * SB_S / rate_bytes_per_s;
    plan->check_interval = 10000;
}

/* One side says nothing but ACKs for longer than the idle timeout. */
static void one_way(struct qs_plan *plan, uint32_t number)
{
    enum sp_role sender = number == 1 ? SP_CLIENT : SP_SERVER;
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[sender].app.uni_count = 1;
    plan->side[sender].app.writes_max = 1; /* so it is one packet per round trip */
    plan->side[sender].app.write_bytes_max = 1000;
    qs_plan_set_bytes(plan, 10000, 10000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].delay_ns = 500 * SB_MS;
    qs_plan_set_timeouts(plan, 5 * SB_S, 5 * SB_S);
    plan->work_ns = 60 * SB_S;
}

/* A path that takes 1,400 bytes, from the start (1, 2) or after a while (3, 4): much to send at
 * once (1, 3), or many messages of a large and a small packet each (2, 4), whose small packets get
 * through.  Either must find out within some PTOs. */
static void mtu_hole(struct qs_plan *plan, uint32_t member)
{
    qs_plan_set_bytes(plan, 1000000, 1000000);
    if (member % 2 == 0) {
        qs_plan_set_bytes(plan, 2000, 2000);
        plan->side[SP_CLIENT].app.bidi_count = 400;
        plan->side[SP_SERVER].config.streams_bidi_max = 8;
    }
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].mtu = 1400;
        plan->path[role].mtu_from_ns = member > 2 ? 1200 * SB_MS : 0; /* runs begin at 1 s */
    }
    plan->lost_max = 200;
    plan->work_ns = 5 * SB_S;
}

/* Much to send through a path that does not change, and a ceiling far above what it takes.  Each
 * lost datagram is a probe: the search costs no other. */
static void mtu_search(struct qs_plan *plan, uint32_t mtu)
{
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].mtu = mtu;
        plan->side[role].config.datagram_size_max = 65507;
        plan->side[role].app.write_bytes_max = 200000;
        plan->datagram_bytes_min[role] = mtu * 97 / 100;
    }
    qs_plan_set_bytes(plan, 8000000, 8000000);
    plan->lost_max = 60;
    plan->work_ns = 10 * SB_S;
    plan->check_interval = 100;
}

/* A path that changes while it is busy, with a queue: smaller (1), larger (2), smaller and much
 * later larger again (3), an interface that refuses (4); the same with loss and reordering (5 to
 * 8).
 */
static void mtu_change(struct qs_plan *plan, uint32_t member)
{
    uint32_t what = (member - 1) % 4 + 1;
    bool is_rough = member > 4;
    qs_plan_set_bytes(plan, 5000000, 5000000);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_path_plan *path = &plan->path[role];
        struct qs_side_plan *side = &plan->side[role];
        side->config.datagram_size_max = 65507;
        side->app.write_bytes_max = 200000;
        path->rate_bytes_per_s = 2000000;
        path->queue_bytes = 150000;
        path->mtu = what == 2 ? 1472 : 8972; /* runs begin at 1 s */
        path->mtu_then = what == 2 ? 8972 : 1472;
        path->mtu_then_from_ns = 1500 * SB_MS;
        if (what == 3) {
            path->mtu = 1400;
            path->mtu_from_ns = 1300 * SB_MS;
            path->mtu_then = 8972;
            path->mtu_then_from_ns = 1700 * SB_MS;
        }
        if (what == 4) {
            path->mtu = 0;
            side->interface_size_max = 1472;
            side->interface_from_ns = 1500 * SB_MS;
        }
        path->loss_ppm = is_rough ? 1 * PERCENT : 0;
        path->reorder_ppm = is_rough ? 5 * PERCENT : 0;
        path->reorder_ns = 15 * SB_MS;
        plan->datagram_bytes_min[role] = is_rough ? 0 : what == 1 || what == 4 ? 1460 : 8900;
    }
    if (is_rough)
        qs_plan_set_faults(plan);
    else
        plan->work_ns = 10 * SB_S;
    plan->check_interval = 100;
}

static const uint32_t loss_percents[] = {1, 5, 10, 30};
static const uint32_t some_percents[] = {0, 5, 20};
static const uint32_t mtus[] = {1232, 1252, 1372, 1392, 1452, 1472, 3972, 8972, 65507};

/* Hosts that hold trains for up to 4 ms until the pacer's time, on a path of 100 Mbit/s and 20 ms:
 * alone (1), with loss (2), reordering (3), corruption (4); paced by BBR, with loss (5); with a
 * limit below the path's rate (6); and a path that ignores these times, with loss (7). */
static void departures(struct qs_plan *plan, uint32_t member)
{
    static const uint64_t rate_bytes_per_s = 12500000;
    static const uint64_t bytes = 3000000;
    qs_plan_set_faults(plan);
    plan->side[SP_CLIENT].app.bidi_count = 0;
    qs_plan_set_bytes(plan, bytes, bytes);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        struct qs_path_plan *path = &plan->path[role];
        side->app.uni_count = 1;
        side->app.write_bytes_max = 100000;
        side->train_count_max = 64;
        side->ahead_ns = 4 * SB_MS;
        side->forgets_departures = member == 7;
        side->config.cc_kind = member == 5 ? SP_CC_BBR : SP_CC_CUBIC;
        side->config.conn_rate_bytes_per_s_max = member == 6 ? rate_bytes_per_s / 4 : 0;
        path->delay_ns = 10 * SB_MS;
        path->rate_bytes_per_s = rate_bytes_per_s;
        path->queue_bytes = 250000;
        path->loss_ppm = member == 2 || member == 5 || member == 7 ? 2 * PERCENT : 0;
        path->reorder_ppm = member == 3 ? 10 * PERCENT : 0;
        path->reorder_ns = 5 * SB_MS;
        path->corrupt_ppm = member == 4 ? 5 * PERCENT : 0;
    }
}

#define EACH_OF(array) (array), SB_COUNT(array)

static const struct qs_scenario rows[] = {
    {"clean", "a quiet network", clean, NULL, 0},
    {"loss-client", "percent lost on the way to the server", loss_client, EACH_OF(loss_percents)},
    {"loss-server", "percent lost on the way to the client", loss_server, EACH_OF(loss_percents)},
    {"loss-both", "percent lost both ways", qs_plan_set_loss, EACH_OF(loss_percents)},
    {"drop-client", "exactly the n-th datagram of the client is lost", drop_client, NULL, 40},
    {"drop-server", "exactly the n-th datagram of the server is lost", drop_server, NULL, 40},
    {"late-client", "the client's n-th datagram comes a round trip late", late_client, NULL, 15},
    {"late-server", "the server's n-th datagram comes a round trip late", late_server, NULL, 15},
    {"lost-flight", "the client's or the server's first datagrams are lost", lost_flight, NULL, 4},
    {"first-guess", "a round trip that is assumed at first, wrongly", first_guess, NULL, 3},
    {"late-keys", "packets wait for keys that come late", late_keys, NULL, 6},
    {"early", "data comes before the handshake's end", early, NULL, 12},
    {"reorder", "a fifth of the datagrams is overtaken", reorder, NULL, 0},
    {"steady-reorder", "a part of the datagrams is always late", steady_reorder, NULL, 5},
    {"duplicate", "many datagrams come twice, some much later", duplicate, NULL, 0},
    {"corrupt", "every tenth datagram has wrong bytes", corrupt, NULL, 0},
    {"truncate", "every tenth datagram is cut", truncate, NULL, 0},
    {"satellite", "600 ms of round trip", satellite, NULL, 0},
    {"bottleneck", "1 MB/s behind a queue of 10 datagrams", bottleneck, NULL, 0},
    {"blackhole", "nothing passes for 3 s, from the n-th 15 ms on", blackhole, NULL, 8},
    {"outage", "nothing passes for seconds, in the middle of a transfer", outage, NULL, 12},
    {"both-ways", "both ends send all they can", both_ways, NULL, 9},
    {"departures", "hosts that hold trains until they are due", departures, NULL, 7},
    {"ecn", "percent of the datagrams marked", ecn, EACH_OF(some_percents)},
    {"ecn-bleached", "a path that clears the ECN field", ecn_bleached, NULL, 0},
    {"ecn-dropped", "a path that drops what is marked", ecn_dropped, NULL, 3},
    {"l4s", "Prague and a queue for L4S, with other faults", l4s, NULL, 10},
    {"rough-ring", "batches, late timers, a full socket", rough_ring, NULL, 0},
    {"rebinding", "the client's NAT gives it another port or address", rebinding, NULL, 8},
    {"one-way", "the client or the server sends, the other only listens", one_way, NULL, 2},
    {"mtu-hole", "the path takes 1,400 bytes: from the start or later; bulk or messages", mtu_hole,
     NULL, 4},
    {"mtu-search", "bytes of UDP payload that the path takes", mtu_search, EACH_OF(mtus)},
    {"mtu-change", "smaller, larger, both, refused; the same with loss", mtu_change, NULL, 8},
    {"bulk", "10 MB each way", bulk, NULL, 0},
    {"long-fat", "150 MB over 1 Gbit/s with 100 ms of round trip", long_fat, NULL, 0},
};
const struct qs_scenario_group qs_scenarios_net = {EACH_OF(rows)};
