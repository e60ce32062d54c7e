/* SPDX-License-Identifier: MIT */
#ifndef BBR_FLOW_H
#define BBR_FLOW_H

/* A sender that does what BBR says, over a path of one queue, in steps of 100 us. */

#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/recovery/bbr.h"
#include "test/support/qt.h"

enum { DATAGRAM = 1200, IN_FLIGHT_MAX = 8192, TICK_US = 100 };

struct flow {
    struct sp_cc cc;
    struct sp_bbr bbr;
    struct sp_rtt rtt;
    uint64_t now_ns;
    uint64_t credit_bytes;    /* of the pacer */
    uint64_t bytes_per_s;     /* of the path */
    uint64_t app_bytes_per_s; /* of the application; 0: it always has more */
    uint64_t app_credit;
    uint64_t rtt_ns;
    uint64_t busy_ns;
    uint32_t lose_every; /* the n-th datagram; 0: none */
    uint32_t sent_count;
    bool is_idle;
    bool marks;
    struct packet {
        uint64_t sent_ns;
        uint64_t acked_ns;
        bool is_lost;
    } packets[IN_FLIGHT_MAX];
    uint32_t first, count;
    /* What was seen. */
    uint64_t entered[SP_BBR_STATES];
    uint8_t order[64];
    uint32_t order_count;
    uint64_t delivered;
};

static struct flow flow;

static inline void begin(uint64_t bytes_per_s, uint64_t rtt_ns)
{
    memset(&flow, 0, sizeof(flow));
    flow.now_ns = 1000 * SB_S;
    flow.bytes_per_s = bytes_per_s;
    flow.rtt_ns = rtt_ns;
    sp_rtt_init(&flow.rtt);
    const struct sp_cc_args args = {
        .ops = &sp_cc_bbr_ops, .datagram_bytes = DATAGRAM, .model = &flow.bbr};
    sp_cc_init(&flow.cc, &args);
}

static inline void note_state(void)
{
    if (flow.order_count > 0 && flow.order[flow.order_count - 1] == flow.bbr.state)
        return;
    flow.entered[flow.bbr.state]++;
    if (flow.order_count < QT_COUNT(flow.order))
        flow.order[flow.order_count++] = flow.bbr.state;
}

static inline void send(void)
{
    uint64_t rate = flow.cc.rate_bytes_per_s;
    flow.credit_bytes += rate == 0 ? flow.cc.cwnd_bytes : rate / (SB_S / (TICK_US * SB_US));
    flow.credit_bytes = SB_MIN(flow.credit_bytes, SB_MAX(rate / 1000, 10 * (uint64_t)DATAGRAM));
    flow.app_credit += flow.app_bytes_per_s / (SB_S / (TICK_US * SB_US));
    while (sp_cc_room(&flow.cc) >= DATAGRAM && flow.credit_bytes >= DATAGRAM) {
        bool has_data = flow.app_bytes_per_s == 0 || flow.app_credit >= DATAGRAM;
        if (flow.is_idle || !has_data) {
            sp_cc_on_app_limited(&flow.cc);
            return;
        }
        flow.app_credit -= flow.app_bytes_per_s == 0 ? 0 : DATAGRAM;
        flow.credit_bytes -= DATAGRAM;
        sp_cc_on_sent(&flow.cc, DATAGRAM);
        sp_cc_after_sent(&flow.cc, DATAGRAM, &flow.rtt, flow.now_ns);
        flow.busy_ns = SB_MAX(flow.busy_ns, flow.now_ns) + DATAGRAM * SB_S / flow.bytes_per_s;
        assert_true(flow.count < IN_FLIGHT_MAX);
        flow.packets[(flow.first + flow.count++) % IN_FLIGHT_MAX] = (struct packet){
            .sent_ns = flow.now_ns,
            .acked_ns = flow.busy_ns + flow.rtt_ns,
            .is_lost = flow.lose_every > 0 && ++flow.sent_count % flow.lose_every == 0,
        };
    }
}

static inline void lose(uint64_t sent_ns)
{
    struct sp_cc_loss loss = {.bytes = DATAGRAM,
                              .sent_ns = sent_ns,
                              .now_ns = flow.now_ns,
                              .rtt = &flow.rtt,
                              .range_count = 1};
    sp_cc_on_removed(&flow.cc, DATAGRAM);
    sp_cc_on_lost(&flow.cc, &loss);
    note_state();
}

static inline void mark(uint64_t sent_ns)
{
    struct sp_cc_loss loss = {
        .sent_ns = sent_ns, .now_ns = flow.now_ns, .rtt = &flow.rtt, .is_ecn = true};
    sp_cc_on_lost(&flow.cc, &loss);
    note_state();
}

static inline void receive(void)
{
    struct sp_cc_ack sums = {.now_ns = flow.now_ns, .rtt = &flow.rtt};
    uint64_t lost_sent_ns[64];
    uint32_t lost_count = 0;
    for (; flow.count > 0 && flow.packets[flow.first].acked_ns <= flow.now_ns; flow.count--) {
        const struct packet *packet = &flow.packets[flow.first];
        flow.first = (flow.first + 1) % IN_FLIGHT_MAX;
        if (packet->is_lost && lost_count < QT_COUNT(lost_sent_ns)) {
            lost_sent_ns[lost_count++] = packet->sent_ns;
            continue;
        }
        struct sp_cc_ack ack = {
            .bytes = DATAGRAM, .sent_ns = packet->sent_ns, .now_ns = flow.now_ns, .rtt = &flow.rtt};
        sp_cc_on_acked(&flow.cc, &ack);
        sums.bytes += DATAGRAM;
        sums.sent_ns = packet->sent_ns;
    }
    for (uint32_t i = 0; i < lost_count; i++)
        lose(lost_sent_ns[i]);
    if (sums.bytes == 0)
        return;
    flow.delivered += sums.bytes;
    sums.rtt_ns = flow.now_ns - sums.sent_ns;
    sp_rtt_on_sample(&flow.rtt, sums.rtt_ns, 0, flow.now_ns);
    if (flow.marks && sums.rtt_ns > flow.rtt_ns + 5 * SB_MS)
        mark(sums.sent_ns);
    sp_cc_on_ack_end(&flow.cc, &sums);
    note_state();
}

static inline void run(uint64_t duration_ns)
{
    for (uint64_t end_ns = flow.now_ns + duration_ns; flow.now_ns < end_ns;) {
        flow.now_ns += TICK_US * SB_US;
        receive();
        send();
    }
}

static inline void run_until(enum sp_bbr_state state, uint64_t patience_ns)
{
    uint64_t end_ns = flow.now_ns + patience_ns;
    while (flow.bbr.state != state) {
        run(TICK_US * SB_US);
        assert_true(flow.now_ns < end_ns);
    }
}

static inline uint64_t bdp(void)
{
    return flow.bytes_per_s / 1000 * (flow.rtt_ns / SB_MS);
}

#endif
