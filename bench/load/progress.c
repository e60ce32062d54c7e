/* SPDX-License-Identifier: MIT */
#include "bench/load/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "bench/load/clock.h"

#define SHOW_INTERVAL_NS (250 * NS_PER_MS)

struct progress progress_of(enum scenario scenario)
{
    return (struct progress){.scenario = scenario, .is_on = isatty(STDERR_FILENO) == 1};
}

void progress_show(struct progress *p, bool is_measuring, uint64_t bytes, uint64_t count,
                   uint64_t now_ns)
{
    if (!p->is_on || now_ns - p->shown_ns < SHOW_INTERVAL_NS)
        return;

    double passed_s = (double)(now_ns - p->shown_ns) / (double)NS_PER_S;
    if (p->start_ns == 0)
        p->start_ns = now_ns;
    else if (p->scenario == SCENARIO_BULK || p->scenario == SCENARIO_SERVE)
        fprintf(stderr, "\r\033[K%6.1f s  %s  %.2f Gbit/s",
                (double)(now_ns - p->start_ns) / (double)NS_PER_S,
                is_measuring ? "measuring" : "warming up",
                (double)(bytes - p->shown_bytes) * 8e-9 / passed_s);
    else
        fprintf(stderr, "\r\033[K%6.1f s  %s  %.0f %s/s",
                (double)(now_ns - p->start_ns) / (double)NS_PER_S,
                is_measuring ? "measuring" : "warming up",
                (double)(count - p->shown_count) / passed_s,
                p->scenario == SCENARIO_RR || p->scenario == SCENARIO_MIXED            ? "requests"
                : p->scenario == SCENARIO_DATAGRAM || p->scenario == SCENARIO_MESSAGES ? "messages"
                : p->scenario == SCENARIO_IDLE ? "connections"
                                               : "handshakes");
    (void)fflush(stderr);
    p->shown_ns = now_ns;
    p->shown_bytes = bytes;
    p->shown_count = count;
}

void progress_clear(struct progress *p)
{
    if (p->is_on && p->start_ns != 0)
        fputs("\r\033[K", stderr);
    p->is_on = false;
}
