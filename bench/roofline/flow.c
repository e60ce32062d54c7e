/* SPDX-License-Identifier: MIT */
#include "bench/roofline/flow.h"

/* The two ends run the same loop: the direction decides which of them sends.
 *
 * The cost is the CPU time of the turns that moved data.  Both ends spin: sleeping and waking cost
 * as much as a train, but are not work of the path, and an engine at its limit has no time to
 * sleep.  The empty turns of the faster end do not count.
 *
 * The window is large enough that neither end waits for the other, and small enough
 * for the last level of the cache. */

#include <errno.h>
#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/control.h"
#include "bench/load/endpoint.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/sample.h"
#include "bench/roofline/wire.h"

enum {
    WINDOW_TRAINS = 32, /* 2 MiB */
    REPORTS_PER_WINDOW = 4,
    TRAINS_PER_TURN = 8, /* as the engine: SE_TRAINS_PER_TURN */
};
#define WARMUP_NS (100 * NS_PER_MS)
/* After a turn that brought data the receiver waits as long as opening a train takes, which a real
 * receiver would do then.  So a turn brings more than one train. */
#define GATHER_NS (20 * NS_PER_US)
/* So long without anything: there may be fewer CPUs than ends, so sleep. */
#define SPIN_NS (200 * NS_PER_US)
/* So long without a report: lost. */
#define STALL_NS (100 * NS_PER_MS)

struct flow {
    struct wire wire;
    struct flow_shape shape;
    bool is_sender;
    uint32_t window; /* datagrams */
    uint64_t sent_end;
    uint64_t acked_end;
    uint64_t seen_end;
    uint64_t reported_end;
    uint64_t moved_ns; /* when a turn has moved something last */
    bool is_idle;      /* that is long ago */
};

struct flow_shape flow_shape_of(uint32_t mtu)
{
    return (struct flow_shape){
        .segment_size = mtu,
        .segment_count = SB_MIN(SU_TRAIN_SIZE_MAX / mtu, (uint32_t)SU_SEGMENT_COUNT_MAX),
    };
}

static void on_receive(void *context, const struct su_received *received)
{
    struct flow *flow = context;
    uint64_t number;
    if (received->size < sizeof(number))
        return;
    memcpy(&number, received->payload, sizeof(number));
    if (flow->is_sender)
        flow->acked_end = SB_MAX(flow->acked_end, number);
    else
        flow->seen_end = SB_MAX(flow->seen_end, number + su_received_count(received));
}

static void send_trains(struct flow *flow)
{
    const uint32_t count = flow->shape.segment_count;
    for (uint32_t i = 0; i < TRAINS_PER_TURN; i++) {
        if (flow->sent_end + count > flow->acked_end + flow->window)
            return;
        struct su_send_slot *slot = su_send_take(&flow->wire.send);
        if (slot == NULL)
            return;
        memcpy(slot->data, &flow->sent_end, sizeof(flow->sent_end));
        if (!wire_send(&flow->wire, slot, count * flow->shape.segment_size,
                       flow->shape.segment_size)) {
            su_send_abandon(&flow->wire.send, slot);
            return;
        }
        flow->sent_end += count;
    }
}

static void send_report(struct flow *flow)
{
    struct su_send_slot *slot = su_send_take(&flow->wire.send);
    if (slot == NULL)
        return; /* with the next train */
    memcpy(slot->data, &flow->seen_end, sizeof(flow->seen_end));
    if (wire_send(&flow->wire, slot, sizeof(flow->seen_end), sizeof(flow->seen_end)))
        flow->reported_end = flow->seen_end;
    else
        su_send_abandon(&flow->wire.send, slot);
}

static uint64_t moved_count(const struct flow *flow)
{
    return flow->wire.datagrams_in + flow->wire.send.counts.trains;
}

static void on_moved(struct flow *flow, uint64_t begin_cpu_ns)
{
    flow->wire.busy_ns += clock_cpu_ns() - begin_cpu_ns;
    flow->moved_ns = clock_now_ns();
    flow->is_idle = false;
    while (!flow->is_sender && clock_now_ns() - flow->moved_ns < GATHER_NS)
        continue;
}

static void on_empty(struct flow *flow)
{
    uint64_t empty_ns = clock_now_ns() - flow->moved_ns;
    flow->is_idle = empty_ns > SPIN_NS;
    if (empty_ns > STALL_NS)
        flow->acked_end = flow->sent_end;
}

static bool turn(struct flow *flow, struct failure *failure)
{
    struct wire *wire = &flow->wire;
    uint64_t before = moved_count(flow);
    uint64_t begin_cpu_ns = clock_cpu_ns();
    bool has_peer = wire->peer.family != AF_UNSPEC;
    if (has_peer && flow->is_sender)
        send_trains(flow);
    else if (has_peer && flow->seen_end >= flow->reported_end + flow->window / REPORTS_PER_WINDOW)
        send_report(flow);

    if (!wire_turn(wire, flow->is_idle ? STALL_NS : 0, on_receive, flow, failure))
        return false;
    if (wire->send_error != 0)
        return failure_set(failure, "the kernel path: send: %s", strerror(-wire->send_error));
    if (moved_count(flow) != before)
        on_moved(flow, begin_cpu_ns);
    else
        on_empty(flow);
    return true;
}

static bool open_flow(struct flow *flow, const struct options *o,
                      const struct control_message *server, int control, struct failure *failure)
{
    bool is_server = server == NULL;
    *flow = (struct flow){
        .is_sender = is_server == (o->direction == DIRECTION_DOWN),
        .moved_ns = clock_now_ns(),
    };
    if (!wire_open(&flow->wire, o, server, control, failure))
        return false;

    /* The kernel accounts for a datagram's memory with twice its size at most. */
    flow->shape = flow_shape_of(endpoint_mtu(o, flow->wire.socket.family == AF_INET6));
    uint32_t train_size = flow->shape.segment_count * flow->shape.segment_size;
    uint32_t trains = flow->wire.socket.receive_bytes / (2 * train_size);
    trains = SB_MAX(1u, SB_MIN(trains, (uint32_t)WINDOW_TRAINS));
    flow->window = trains * flow->shape.segment_count;
    if (!is_server && !flow->is_sender)
        send_report(flow); /* so that the server knows the client's progress */
    return true;
}

bool flow_serve(const struct options *o, int control, struct failure *failure)
{
    static struct flow flow;
    if (!open_flow(&flow, o, NULL, control, failure))
        return false;
    bool is_good = wire_say_ready(&flow.wire, failure);
    while (is_good) {
        is_good = turn(&flow, failure);
        if (is_good && flow.wire.is_control_ready && !wire_obey(&flow.wire))
            break;
    }
    wire_close(&flow.wire);
    return is_good;
}

/* ---- The client ---- */

/* Returns the datagrams that have certainly arrived, on either end. */
static uint64_t arrived_end(const struct flow *flow)
{
    return flow->is_sender ? flow->acked_end : flow->seen_end;
}

/* For `duration_ns`, and until something has arrived: other work may keep the other end away. */
static bool run_for(struct flow *flow, const struct limit_setup *setup, uint64_t duration_ns,
                    struct failure *failure)
{
    uint64_t begin_ns = clock_now_ns();
    uint64_t arrived = arrived_end(flow);
    uint64_t passed_ns = 0;
    while (passed_ns < duration_ns || arrived_end(flow) == arrived) {
        if (*setup->stop != 0)
            return failure_set(failure, "interrupted before anything was measured");
        if (passed_ns > duration_ns + setup->options->timeout_ns)
            return failure_set(failure, "the kernel path: nothing arrives (--timeout)");
        if (!turn(flow, failure))
            return false;
        if (flow->wire.is_control_ready)
            return failure_set(failure, "the kernel path: the server's process has ended");
        passed_ns = clock_now_ns() - begin_ns;
    }
    return true;
}

static bool ask_sample(const struct flow *flow, struct failure *failure)
{
    const struct control_message m = {.kind = CONTROL_SAMPLE};
    int status = control_send(flow->wire.control, &m);
    return status == 0 ||
           failure_set(failure, "the kernel path: the server's process: %s", strerror(-status));
}

static bool read_sample(const struct flow *flow, const struct limit_setup *setup,
                        struct sample *ret, struct failure *failure)
{
    struct control_message m;
    int status;
    do {
        status = control_receive(flow->wire.control, &m, setup->options->timeout_ns);
    } while (status == -EINTR);
    if (status != 0)
        return failure_set(failure, "the kernel path: the server's process: %s", strerror(-status));
    if (m.kind == CONTROL_FAILED)
        return failure_set(failure, "%s", m.text);
    *ret = m.sample;
    return true;
}

static struct flow_end end_of(const struct sample samples[2], bool is_sender)
{
    const struct sample *a = &samples[0];
    const struct sample *b = &samples[1];
    return (struct flow_end){
        .seconds = (double)(b->now_ns - a->now_ns) / (double)NS_PER_S,
        .cpu_ns = (double)(b->cpu_user_ns - a->cpu_user_ns + b->cpu_sys_ns - a->cpu_sys_ns),
        .datagrams = (double)(is_sender ? b->shard.datagrams_out - a->shard.datagrams_out
                                        : b->shard.datagrams_in - a->shard.datagrams_in),
        .kernel_drops = (double)(b->shard.kernel_drops - a->shard.kernel_drops),
    };
}

static bool measure(struct flow *flow, const struct limit_setup *setup, struct flow_result *ret,
                    struct failure *failure)
{
    struct sample own[2];
    struct sample other[2];
    if (!run_for(flow, setup, WARMUP_NS, failure))
        return false;
    wire_sample(&flow->wire, &own[0]);
    if (!ask_sample(flow, failure) || !run_for(flow, setup, setup->duration_ns, failure))
        return false;
    wire_sample(&flow->wire, &own[1]);
    if (!ask_sample(flow, failure) || !read_sample(flow, setup, &other[0], failure) ||
        !read_sample(flow, setup, &other[1], failure))
        return false;
    ret->sender = end_of(flow->is_sender ? own : other, true);
    ret->receiver = end_of(flow->is_sender ? other : own, false);
    return (ret->receiver.datagrams > 0 && ret->sender.datagrams > 0) ||
           failure_set(failure, "the kernel path: nothing has moved while it was measured");
}

bool flow_run(const struct limit_setup *setup, const struct control_message *server, int control,
              struct flow_result *ret, struct failure *failure)
{
    static struct flow flow;
    if (!open_flow(&flow, setup->options, server, control, failure))
        return false;
    bool is_good = measure(&flow, setup, ret, failure);
    wire_close(&flow.wire);
    return is_good;
}
