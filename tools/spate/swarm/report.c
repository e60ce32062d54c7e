/* SPDX-License-Identifier: MIT */
/* What a swarm shows: a line on the terminal while it runs, figures and a profile at its end. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "tools/spate/message.h"
#include "tools/spate/process.h"
#include "tools/spate/swarm/swarm.h"

#define NS_PER_S UINT64_C(1000000000)

static const char *const stages[SWARM_STAGE_COUNT] = {
    [SWARM_STAGE_TURN] = "network and cipher",  [SWARM_STAGE_HEADER] = "header",
    [SWARM_STAGE_DISPATCH] = "dispatch",        [SWARM_STAGE_PLACING] = "placing",
    [SWARM_STAGE_HASHING] = "hashing (worker)", [SWARM_STAGE_WRITING] = "writing",
};

void swarm_say(struct swarm *swarm, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    progress_clear(&swarm->progress);
    message("swarm", "%s", text);
}

void swarm_report_begin(struct swarm *swarm)
{
    swarm->start_ns = spate_shard_now_ns(swarm->shard);
    progress_init(&swarm->progress, swarm->options->is_quiet, swarm->start_ns);
}

void swarm_report_show(struct swarm *swarm)
{
    uint64_t bytes = swarm->store.is_writable ? swarm->bytes_in : swarm->bytes_out;
    double rate;
    if (!progress_is_due(&swarm->progress, bytes, spate_shard_now_ns(swarm->shard), &rate))
        return;
    progress_print(&swarm->progress, "%u/%u pieces  %u peers  %.1f MB  %.1f MB/s",
                   swarm->store.have_count, swarm->meta.piece_count, swarm->peer_count,
                   (double)bytes / 1e6, rate / 1e6);
}

/* ---- The profile ---- */

uint64_t swarm_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* waiting is no work */
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void change(struct swarm_profile *profile, enum swarm_stage stage)
{
    uint64_t now_ns = swarm_cpu_ns();
    if (profile->since_ns != 0)
        profile->ns[profile->stage] += now_ns - profile->since_ns;
    profile->since_ns = now_ns;
    profile->stage = stage;
}

enum swarm_stage swarm_profile_begin(struct swarm *swarm, enum swarm_stage stage)
{
    enum swarm_stage before = swarm->profile.stage;
    if (!swarm->profile.is_on)
        return before;
    change(&swarm->profile, stage);
    swarm->profile.count[stage]++;
    return before;
}

void swarm_profile_end(struct swarm *swarm, enum swarm_stage before)
{
    if (swarm->profile.is_on)
        change(&swarm->profile, before);
}

static void print_profile(struct swarm *swarm)
{
    const struct swarm_profile *profile = &swarm->profile;
    uint64_t sum_ns = 0;
    uint64_t blocks = swarm->blocks_in > 0 ? swarm->blocks_in : 1;
    for (int i = 0; i < SWARM_STAGE_COUNT; i++)
        sum_ns += profile->ns[i];
    fprintf(stderr, "%-20s %10s %8s %12s %10s\n", "stage", "ms", "share", "ns a block", "times");
    for (int i = 0; i < SWARM_STAGE_COUNT; i++)
        fprintf(stderr, "%-20s %10.2f %7.1f%% %12.0f %10" PRIu64 "\n", stages[i],
                (double)profile->ns[i] / 1e6,
                sum_ns > 0 ? (double)profile->ns[i] * 100 / (double)sum_ns : 0,
                (double)profile->ns[i] / (double)blocks, profile->count[i]);
    fprintf(stderr, "%-20s %10.2f\n", "disk thread", (double)disk_busy_ns(&swarm->disk) / 1e6);
}

/* ---- The end ---- */

static void print_profile_json(const struct swarm_profile *profile)
{
    static const char *const names[SWARM_STAGE_COUNT] = {
        [SWARM_STAGE_TURN] = "turn",         [SWARM_STAGE_HEADER] = "header",
        [SWARM_STAGE_DISPATCH] = "dispatch", [SWARM_STAGE_PLACING] = "placing",
        [SWARM_STAGE_HASHING] = "hashing",   [SWARM_STAGE_WRITING] = "writing",
    };
    fputs(", \"profile_ms\": {", stdout);
    for (int i = 0; i < SWARM_STAGE_COUNT; i++)
        printf("%s\"%s\": %.3f", i > 0 ? ", " : "", names[i], (double)profile->ns[i] / 1e6);
    putchar('}');
}

void swarm_report_end(struct swarm *swarm, int status)
{
    progress_clear(&swarm->progress);
    if (swarm->profile.is_on)
        print_profile(swarm);
    if (!swarm->options->is_json)
        return;
    struct spate_shard_stats stats;
    long rss_kib;
    double cpu_s = process_cpu_s(&rss_kib);
    spate_shard_stats(swarm->shard, &stats);
    uint64_t end_ns = swarm->end_ns != 0 ? swarm->end_ns : spate_shard_now_ns(swarm->shard);
    double seconds = (double)(end_ns - swarm->start_ns) / 1e9;
    uint64_t bytes = swarm->store.is_writable ? swarm->bytes_in : swarm->bytes_out;
    printf("{\"status\": %d, \"pieces\": %u, \"pieces_there\": %u, \"pieces_before\": %" PRIu64
           ", \"pieces_bad\": %" PRIu64 ", \"files_done\": %u, \"blocks\": %" PRIu64
           ", \"blocks_twice\": %" PRIu64,
           status, swarm->meta.piece_count, swarm->store.have_count, swarm->pieces_before,
           swarm->pieces_bad, swarm->store.files_done, swarm->blocks_in, swarm->blocks_twice);
    printf(", \"bytes_in\": %" PRIu64 ", \"bytes_out\": %" PRIu64
           ", \"seconds\": %.6f, \"bytes_per_s\": %.0f, \"blocks_per_s\": %.1f",
           swarm->bytes_in, swarm->bytes_out, seconds, seconds > 0 ? (double)bytes / seconds : 0,
           seconds > 0 ? (double)swarm->blocks_in / seconds : 0);
    printf(", \"peers_max\": %u, \"peers_banned\": %u, \"slots_max\": %u, \"slots\": %u"
           ", \"copied_bytes\": %" PRIu64 ", \"library_copied_bytes\": %" PRIu64
           ", \"library_placed_bytes\": %" PRIu64 ", \"packets_lost\": %" PRIu64,
           swarm->peers_max, swarm->peers_banned, swarm->slots_used_max, swarm->picker.slot_count,
           swarm->bytes_copied, stats.copied_in_bytes, stats.placed_in_bytes, stats.packets_lost);
    if (swarm->profile.is_on)
        print_profile_json(&swarm->profile);
    printf(", \"memory_bytes\": %" PRIu64 ", \"rss_kib\": %ld, \"cpu_s\": %.3f}\n",
           stats.memory_bytes_now, rss_kib, cpu_s);
    (void)fflush(stdout);
}
