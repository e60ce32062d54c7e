/* SPDX-License-Identifier: MIT */
#ifndef QS_METER_H
#define QS_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/time.h"

/* Measures a run: what passes the bottleneck on the way to the client, how long it waits there, and
 * what each connection gets.  A plan has a pointer to one, which its owner reads afterwards. */

#define QS_METER_STEP_NS (20 * SB_MS)
#define QS_METER_WAIT_NS (10 * SB_US)

enum { QS_METER_STEPS_MAX = 7500, QS_METER_FLOWS_MAX = 16, QS_METER_WAITS_MAX = 200000 };

struct qs_meter {
    uint64_t start_ns;
    uint64_t from_ns;                    /* waits and drops count from here on, after the start */
    uint32_t step_count;                 /* that have begun */
    uint64_t passed[QS_METER_STEPS_MAX]; /* bytes of UDP that have passed the bottleneck, by step */
    uint64_t got[QS_METER_FLOWS_MAX][QS_METER_STEPS_MAX]; /* bytes of each application so far */
    uint64_t longest_wait_ns[QS_METER_STEPS_MAX];         /* of what came in that step */
    uint32_t waits[QS_METER_WAITS_MAX]; /* datagrams by the time that they waited */
    uint64_t wait_count;
    uint64_t drop_count;     /* datagrams that the network dropped */
    uint64_t sent_count;     /* packets of the server's connections, .. */
    uint64_t lost_count;     /* .. that count as lost, .. */
    uint64_t spurious_count; /* .. and were not */
};

void qs_meter_init(struct qs_meter *meter, uint64_t from_ns);

/* A datagram that waits for `wait_ns` leaves the bottleneck then. */
void qs_meter_on_passed(struct qs_meter *meter, uint64_t size, uint64_t now_ns, uint64_t wait_ns);
void qs_meter_on_dropped(struct qs_meter *meter, uint64_t now_ns);

/* Returns the wait that `percent` of the datagrams do not exceed. */
uint64_t qs_meter_wait_ns(const struct qs_meter *meter, uint32_t percent);

/* Returns the bytes per second that passed in a part of the run, and that flow `flow` got. */
double qs_meter_rate(const struct qs_meter *meter, uint64_t from_ns, uint64_t to_ns);
double qs_meter_flow_rate(const struct qs_meter *meter, uint32_t flow, uint64_t from_ns,
                          uint64_t to_ns);

/* Returns when `rate` was kept for `time_ns` for the first time: the end of that time.  SB_NEVER:
 * it never was. */
uint64_t qs_meter_time_to(const struct qs_meter *meter, double rate, uint64_t time_ns);

/* Jain's index of what `flow_count` flows got in a part of the run: 1 if all got the same. */
double qs_meter_fairness(const struct qs_meter *meter, uint32_t flow_count, uint64_t from_ns,
                         uint64_t to_ns);

#endif
