/* SPDX-License-Identifier: MIT */
#ifndef SE_STAGES_H
#define SE_STAGES_H

#include <spate/counters.h>
#include <spate/histogram.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/instruments.h"

struct spate_shard;

/* The histograms of a shard, by their names: see counters.h. */
#define SE_HISTOGRAM_ENUM(name) SE_HISTOGRAM_##name,

enum se_histogram {
    SPATE_SHARD_HISTOGRAMS(SE_HISTOGRAM_ENUM) SE_HISTOGRAM_COUNT,
};

enum {
    SE_STAGES_TURNS = 13, /* one of so many turns reads the clock for stages */
    SE_STAGES_COUNT_END = 2 << SPATE_HISTOGRAM_SUB_BITS,
};

/* Where the turn is, and when.  A time of 0: that stage has nothing to record. */
struct se_stages {
    struct spate_histogram *histograms; /* an array of SE_HISTOGRAM_COUNT; NULL: nothing recorded */
    uint32_t turns_left;                /* until the next turn that reads the clock for stages */
    bool is_sampled;                    /* this turn does */
    uint64_t opened_ns;                 /* the packets of this turn were processed */
    uint64_t handed_ns;                 /* the application got the events of the last turn */
    uint64_t sealed_ns;                 /* the trains of this turn were encrypted */
    uint64_t seen_datagrams;            /* counts.own.datagrams_in when the turn began */
    uint64_t seen_trains;               /* send.counts.trains, likewise */
    uint64_t wall_since_ns;             /* CLOCK_REALTIME when CLOCK_MONOTONIC was 0 .. */
    uint64_t wall_until_ns;             /* .. which is read again from then on */
};

/* Makes empty histograms in `memory`, of SE_HISTOGRAM_COUNT and zeroed. */
void se_stages_init(struct se_stages *stages, struct spate_histogram *memory);

static inline void se_stages_record(struct se_stages *stages, enum se_histogram which,
                                    uint64_t value)
{
    if (SB_HAS_INSTRUMENT(HISTOGRAMS) && SB_LIKELY(stages->histograms != NULL))
        spate_histogram_record(&stages->histograms[which], value);
}

/* Returns whether this turn is the one in so many of which everything is recorded. */
static inline bool se_stages_is_recorded(const struct se_stages *stages)
{
    return SB_HAS_INSTRUMENT(HISTOGRAMS) && stages->turns_left == SE_STAGES_TURNS;
}

/* Records a count below SE_STAGES_COUNT_END, which is the number of its bucket too. */
static inline void se_stages_record_count(struct se_stages *stages, enum se_histogram which,
                                          uint32_t count)
{
    SB_DEBUG_ASSERT(count < SE_STAGES_COUNT_END);
    if (!SB_HAS_INSTRUMENT(HISTOGRAMS) || SB_UNLIKELY(stages->histograms == NULL))
        return;
    struct spate_histogram *h = &stages->histograms[which];
    h->counts[count]++;
    h->count++;
    h->sum += count;
    if (SB_UNLIKELY(count < h->min))
        h->min = count;
    if (SB_UNLIKELY(count > h->max))
        h->max = count;
}

/* What the steps below do in a turn that is sampled, and in the one behind it. */
void se_stages_begin_sampled(struct spate_shard *shard);
void se_stages_sealed(struct spate_shard *shard);
void se_stages_submitted(struct se_stages *stages, uint64_t now_ns);
void se_stages_received(struct spate_shard *shard, uint64_t stamp_ns);
void se_stages_opened(struct spate_shard *shard);
void se_stages_end(struct spate_shard *shard);

/* The steps of a turn, in their order.  Each records what lies between it and the step before. */
static inline void se_stages_on_begin(struct spate_shard *shard, struct se_stages *stages)
{
    if (SB_HAS_INSTRUMENT(HISTOGRAMS) &&
        SB_UNLIKELY(--stages->turns_left == 0 || stages->is_sampled))
        se_stages_begin_sampled(shard);
}
static inline void se_stages_on_sealed(struct spate_shard *shard, const struct se_stages *stages)
{
    if (SB_HAS_INSTRUMENT(HISTOGRAMS) && SB_UNLIKELY(stages->is_sampled))
        se_stages_sealed(shard);
}
/* The kernel has taken the submissions; no time was spent waiting since. */
static inline void se_stages_on_submitted(struct se_stages *stages, uint64_t now_ns)
{
    if (SB_HAS_INSTRUMENT(HISTOGRAMS) && SB_UNLIKELY(stages->sealed_ns != 0))
        se_stages_submitted(stages, now_ns);
}
/* The system call that submits also waits: nothing can be said about submitting alone. */
static inline void se_stages_on_sleep(struct se_stages *stages)
{
    stages->sealed_ns = 0;
}
/* `stamp_ns`: of the kernel, CLOCK_REALTIME; 0: it gave none. */
static inline void se_stages_on_receive(struct spate_shard *shard, uint64_t stamp_ns)
{
    if (SB_HAS_INSTRUMENT(HISTOGRAMS) && SB_UNLIKELY(stamp_ns != 0))
        se_stages_received(shard, stamp_ns);
}
static inline void se_stages_on_opened(struct spate_shard *shard, const struct se_stages *stages)
{
    if (SB_HAS_INSTRUMENT(HISTOGRAMS) && SB_UNLIKELY(stages->is_sampled))
        se_stages_opened(shard);
}
static inline void se_stages_on_end(struct spate_shard *shard, const struct se_stages *stages)
{
    if (SB_HAS_INSTRUMENT(HISTOGRAMS) && SB_UNLIKELY(stages->is_sampled))
        se_stages_end(shard);
}

#endif
