/* SPDX-License-Identifier: MIT */
#ifndef QS_TRANSFERS_H
#define QS_TRANSFERS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/recovery/cc.h"
#include "test/sim/plan.h"

/* How long it takes to send a given number of bytes over a path that damages packets: the part of
 * the laboratory (paths.h) that measures starts instead of rates. */

struct qs_transfer_kind {
    const char *name;
    const char *what;
    uint64_t rtt_ns;
    uint64_t bytes;
    struct qs_path_plan path; /* of the data; its rate, delay and queue are set by the run */
};

extern const struct qs_transfer_kind qs_transfer_kinds[];
extern const uint32_t qs_transfer_kind_count;

/* Returns NULL if there is none. */
const struct qs_transfer_kind *qs_transfer_kind_named(const char *name);

/* Runs one transfer: a client connects, and sends all bytes on one stream.  Returns the time until
 * the server has read the last one; 0 if the run has failed, after a line on stderr. */
uint64_t qs_transfer_ns(const struct qs_transfer_kind *kind, enum sp_cc_kind cc, uint64_t seed);

/* Returns the median over the seeds 1 to `count`, which is at most QS_TRANSFERS_MAX; 0 if a run has
 * failed. */
enum { QS_TRANSFERS_MAX = 101 };
uint64_t qs_transfer_median_ns(const struct qs_transfer_kind *kind, enum sp_cc_kind cc,
                               uint32_t count);

/* Prints the medians of one kind or all (NULL), for one controller or all (NULL).  Returns false if
 * a run has failed. */
bool qs_transfers_print(const char *name, const char *cc);

#endif
