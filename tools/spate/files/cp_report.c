/* SPDX-License-Identifier: MIT */
/* What a copy shows: a line on the terminal while it runs, and figures at its end. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/spate/files/cp.h"
#include "tools/spate/message.h"
#include "tools/spate/process.h"

#define NS_PER_S  1e9
#define NS_PER_MS 1e6

uint64_t cp_bytes(const struct cp_run *run)
{
    return run->options->is_push ? run->core.bytes_out : run->core.bytes_in;
}

void cp_report_begin(struct cp_run *run)
{
    run->start_ns = spate_shard_now_ns(run->core.shard);
    progress_init(&run->progress, run->options->is_quiet, run->start_ns);
}

void cp_report_show(struct cp_run *run)
{
    uint64_t now_ns = spate_shard_now_ns(run->core.shard);
    uint64_t bytes = cp_bytes(run);
    double rate;
    char left_text[32] = "";
    if (bytes > 0 && run->first_ns == 0)
        run->first_ns = now_ns;
    if (!progress_is_due(&run->progress, bytes, now_ns, &rate))
        return;
    uint64_t known =
        run->bytes_known > run->bytes_skipped ? run->bytes_known - run->bytes_skipped : 0;
    uint64_t left = known > bytes ? known - bytes : 0;
    uint64_t left_s = rate > 0 ? (uint64_t)((double)left / rate) : 0;
    if (rate > 0)
        (void)snprintf(left_text, sizeof(left_text), "  %" PRIu64 ":%02" PRIu64, left_s / 60,
                       left_s % 60);
    progress_print(
        &run->progress, "%3" PRIu64 "%%  %" PRIu64 "/%" PRIu64 " files  %.1f MB  %.1f MB/s%s%s%s",
        known > 0 ? bytes * 100 / known : 0, run->files_done + run->files_skipped, run->files_known,
        (double)bytes / 1e6, rate / 1e6, left_text, run->current[0] != 0 ? "  " : "", run->current);
}

void cp_report_current(struct cp_run *run, const char *path)
{
    const char *slash = strrchr(path, '/');
    (void)snprintf(run->current, sizeof(run->current), "%s", slash != NULL ? slash + 1 : path);
    for (char *c = run->current; *c != 0; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

void cp_report_failed(struct cp_run *run, const char *path, enum files_status status)
{
    run->files_failed++;
    progress_clear(&run->progress);
    message(run->options->command, "%s: %s%s", path, files_status_text(status),
            status == FILES_IS_FOLDER && !run->options->is_recursive ? ": use -r" : "");
}

static double ms_since(const struct cp_run *run, uint64_t ns)
{
    return ns > run->start_ns ? (double)(ns - run->start_ns) / NS_PER_MS : 0;
}

void cp_report_end(struct cp_run *run, int status)
{
    static const char *const early[] = {
        [SPATE_EARLY_NONE] = "none",
        [SPATE_EARLY_OFFERED] = "offered",
        [SPATE_EARLY_ACCEPTED] = "accepted",
        [SPATE_EARLY_REJECTED] = "rejected",
    };
    progress_clear(&run->progress);
    if (!run->options->is_json)
        return;
    long rss_kib;
    double cpu_s = process_cpu_s(&rss_kib);
    double seconds = (double)(run->end_ns - run->start_ns) / NS_PER_S;
    const struct spate_conn_stats *stats = &run->stats;
    printf("{\"status\": %d, \"files\": %" PRIu64 ", \"skipped\": %" PRIu64 ", \"failed\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"skipped_bytes\": %" PRIu64 ", \"chunks\": %" PRIu64
           ", \"seconds\": %.6f, \"bytes_per_s\": %.0f, \"chunks_per_s\": %.1f",
           status, run->files_done, run->files_skipped, run->files_failed + run->files_missing,
           cp_bytes(run), run->bytes_skipped, run->chunks_done, seconds,
           seconds > 0 ? (double)cp_bytes(run) / seconds : 0,
           seconds > 0 ? (double)run->chunks_done / seconds : 0);
    printf(", \"connect_ms\": %.3f, \"first_byte_ms\": %.3f, \"rtt_us\": %.1f, \"streams\": %u"
           ", \"streams_max\": %u, \"resumed\": %s, \"early\": \"%s\", \"hash\": \"%s\"",
           ms_since(run, run->connected_ns), ms_since(run, run->first_ns),
           (double)stats->rtt_smoothed_ns / 1e3, run->adapt.width, run->adapt.width_max,
           run->is_resumed ? "true" : "false", early[run->early],
           run->hash == FILES_GMAC ? "gmac" : "sha256");
    printf(
        ", \"waited_ms\": {\"idle\": %.1f, \"cwnd\": %.1f, \"pacer\": %.1f, \"conn_credit\": %.1f"
        ", \"stream_credit\": %.1f}",
        (double)stats->waited_idle_ns / NS_PER_MS, (double)stats->waited_cwnd_ns / NS_PER_MS,
        (double)stats->waited_pacer_ns / NS_PER_MS,
        (double)stats->waited_conn_credit_ns / NS_PER_MS,
        (double)stats->waited_stream_credit_ns / NS_PER_MS);
    uint64_t resent = stats->stream_bytes_out > run->core.queued_bytes && run->address_next == 1
                          ? stats->stream_bytes_out - run->core.queued_bytes
                          : 0;
    printf(", \"connections\": %u, \"streams_opened\": %" PRIu64 ", \"resets\": %" PRIu64
           ", \"resent_bytes\": %" PRIu64 ", \"probe_timeouts\": %" PRIu64
           ", \"cwnd_bytes\": %" PRIu64,
           run->address_next, stats->streams_opened, run->resets, resent, stats->ptos,
           stats->cwnd_bytes);
    printf(", \"packets_out\": %" PRIu64 ", \"packets_lost\": %" PRIu64
           ", \"copied_in_bytes\": %" PRIu64 ", \"placed_in_bytes\": %" PRIu64
           ", \"memory_bytes\": %" PRIu64 ", \"rss_kib\": %ld, \"cpu_s\": %.3f}\n",
           stats->packets_out, stats->packets_lost, stats->copied_in_bytes, stats->placed_in_bytes,
           stats->memory_bytes, rss_kib, cpu_s);
    (void)fflush(stdout);
}
