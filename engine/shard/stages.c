/* SPDX-License-Identifier: MIT */
#include "engine/shard/stages.h"

/* Where the microseconds go: the stages of a turn, as histograms.
 *
 * The turn reads the clock when it begins and when its wait is over.  Each SE_STAGES_TURNS-th turn
 * reads it up to four times more: after packets were sealed, after they were submitted, after
 * packets were opened, and when there are events for the application.  Each reading serves all
 * packets of the turn.  A reading takes 20 to 40 ns, which all turns together would notice; a prime
 * number of turns is no multiple of what connections do in rounds.  The others pay a branch for
 * each step, and record neither acknowledge_ns nor batch_completions, which need no reading but
 * some 25 instructions.  turn_ns and train_datagrams have all turns.
 *
 * The kernel stamps datagrams with CLOCK_REALTIME.  It is compared with CLOCK_MONOTONIC by their
 * difference, which is read again every WALL_NS: a step of the wall clock disturbs the values of
 * receive_ns for no longer than that.
 *
 * A host that has a clock of its own (spate_shard_turn_at()) gets nothing but counts: its turns
 * take no time by that clock. */

#include "engine/base/clock.h"
#include "engine/shard/shard.h"
#include "proto/base/time.h"

#define WALL_NS (10 * SB_MS)

void se_stages_init(struct se_stages *stages, struct spate_histogram *memory)
{
    stages->histograms = memory;
    stages->turns_left = 1;
    for (uint32_t i = 0; i < SE_HISTOGRAM_COUNT; i++)
        memory[i].min = UINT64_MAX;
}

static void record_since(struct se_stages *stages, enum se_histogram which, uint64_t now_ns,
                         uint64_t since_ns)
{
    se_stages_record(stages, which, sb_time_since(now_ns, since_ns));
}

/* The turn behind a sampled one has the answer of the application, if it has something to send:
 * otherwise it does not read the clock. */
void se_stages_begin_sampled(struct spate_shard *shard)
{
    struct se_stages *stages = &shard->stages;
    if (stages->handed_ns != 0 && shard->now_ns >= stages->handed_ns)
        record_since(stages, SE_HISTOGRAM_answer_ns, shard->now_ns, stages->handed_ns);
    stages->handed_ns = 0;
    stages->sealed_ns = 0;
    stages->is_sampled = stages->turns_left == 0 && se_shard_host_ns(shard) == 0;
    if (stages->turns_left == 0)
        stages->turns_left = SE_STAGES_TURNS;
    stages->seen_trains = shard->send.counts.trains;
    stages->seen_datagrams = shard->counts.own.datagrams_in;
}

void se_stages_sealed(struct spate_shard *shard)
{
    struct se_stages *stages = &shard->stages;
    if (shard->send.counts.trains == stages->seen_trains)
        return;
    stages->sealed_ns = se_clock_now_ns();
    record_since(stages, SE_HISTOGRAM_seal_ns, stages->sealed_ns, shard->now_ns);
}

void se_stages_submitted(struct se_stages *stages, uint64_t now_ns)
{
    record_since(stages, SE_HISTOGRAM_submit_ns, now_ns, stages->sealed_ns);
    stages->sealed_ns = 0;
}

void se_stages_received(struct spate_shard *shard, uint64_t stamp_ns)
{
    struct se_stages *stages = &shard->stages;
    if (SB_UNLIKELY(se_shard_host_ns(shard) != 0))
        return;
    if (SB_UNLIKELY(shard->now_ns >= stages->wall_until_ns)) {
        stages->wall_since_ns = se_clock_wall_ns() - se_clock_now_ns();
        stages->wall_until_ns = shard->now_ns + WALL_NS;
    }
    record_since(stages, SE_HISTOGRAM_receive_ns, shard->now_ns, stamp_ns - stages->wall_since_ns);
}

void se_stages_opened(struct spate_shard *shard)
{
    struct se_stages *stages = &shard->stages;
    stages->opened_ns = 0;
    if (shard->counts.own.datagrams_in == stages->seen_datagrams)
        return;
    stages->opened_ns = se_clock_now_ns();
    record_since(stages, SE_HISTOGRAM_open_ns, stages->opened_ns, shard->now_ns);
}

void se_stages_end(struct spate_shard *shard)
{
    struct se_stages *stages = &shard->stages;
    if (se_events_count(&shard->events) == 0)
        return;
    stages->handed_ns = se_clock_now_ns();
    if (stages->opened_ns != 0)
        record_since(stages, SE_HISTOGRAM_deliver_ns, stages->handed_ns, stages->opened_ns);
}
