/* SPDX-License-Identifier: MIT */
#include "test/sim/meter.h"

#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

void qs_meter_init(struct qs_meter *meter, uint64_t from_ns)
{
    memset(meter, 0, sizeof(*meter));
    meter->from_ns = from_ns;
}

void qs_meter_on_passed(struct qs_meter *meter, uint64_t size, uint64_t now_ns, uint64_t wait_ns)
{
    uint64_t at_ns = sb_time_since(now_ns, meter->start_ns);
    uint64_t step = (at_ns + wait_ns) / QS_METER_STEP_NS;
    if (step < QS_METER_STEPS_MAX)
        meter->passed[step] += size;
    uint64_t came = at_ns / QS_METER_STEP_NS;
    if (came < QS_METER_STEPS_MAX)
        meter->longest_wait_ns[came] = SB_MAX(meter->longest_wait_ns[came], wait_ns);
    if (at_ns < meter->from_ns)
        return;
    meter->waits[SB_MIN(wait_ns / QS_METER_WAIT_NS, (uint64_t)QS_METER_WAITS_MAX - 1)]++;
    meter->wait_count++;
}

void qs_meter_on_dropped(struct qs_meter *meter, uint64_t now_ns)
{
    meter->drop_count += sb_time_since(now_ns, meter->start_ns) >= meter->from_ns;
}

uint64_t qs_meter_wait_ns(const struct qs_meter *meter, uint32_t percent)
{
    uint64_t wanted = (meter->wait_count * percent + 99) / 100, seen = 0;
    for (uint64_t i = 0; i < QS_METER_WAITS_MAX; i++) {
        seen += meter->waits[i];
        if (seen >= wanted)
            return (i + 1) * QS_METER_WAIT_NS;
    }
    return 0;
}

static uint32_t step_of(uint64_t at_ns)
{
    uint64_t step = at_ns / QS_METER_STEP_NS;
    SB_ASSERT(step < QS_METER_STEPS_MAX);
    return (uint32_t)step;
}

double qs_meter_rate(const struct qs_meter *meter, uint64_t from_ns, uint64_t to_ns)
{
    uint64_t bytes = 0;
    for (uint32_t step = step_of(from_ns); step < step_of(to_ns); step++)
        bytes += meter->passed[step];
    return (double)bytes / ((double)(to_ns - from_ns) / SB_S);
}

double qs_meter_flow_rate(const struct qs_meter *meter, uint32_t flow, uint64_t from_ns,
                          uint64_t to_ns)
{
    uint64_t bytes = meter->got[flow][step_of(to_ns)] - meter->got[flow][step_of(from_ns)];
    return (double)bytes / ((double)(to_ns - from_ns) / SB_S);
}

uint64_t qs_meter_time_to(const struct qs_meter *meter, double rate, uint64_t time_ns)
{
    uint32_t width = SB_MAX(step_of(time_ns), 1u);
    double wanted = rate * (double)(width * QS_METER_STEP_NS) / SB_S, sum = 0;
    for (uint32_t step = 0; step < meter->step_count; step++) {
        sum += (double)meter->passed[step];
        if (step >= width)
            sum -= (double)meter->passed[step - width];
        if (sum >= wanted)
            return (step + 1) * QS_METER_STEP_NS;
    }
    return SB_NEVER;
}

double qs_meter_fairness(const struct qs_meter *meter, uint32_t flow_count, uint64_t from_ns,
                         uint64_t to_ns)
{
    double sum = 0, squares = 0;
    for (uint32_t flow = 0; flow < flow_count; flow++) {
        double rate = qs_meter_flow_rate(meter, flow, from_ns, to_ns);
        sum += rate;
        squares += rate * rate;
    }
    return squares > 0 ? sum * sum / (flow_count * squares) : 0;
}
