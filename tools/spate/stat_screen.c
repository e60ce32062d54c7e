/* SPDX-License-Identifier: MIT */
#include "tools/spate/stat_screen.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <spate/conn.h>

enum { CONNS_SHOWN = 10 };

static uint32_t histogram_count(const struct stat_map *map)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < map->head.field_count; i++)
        count += map->fields[i].kind == SPATE_STAT_HISTOGRAM;
    return count;
}

bool stat_reading_take(const struct stat_map *map, struct stat_reading *ret)
{
    struct spate_histogram *next = calloc(histogram_count(map) + 1, sizeof(*next));
    *ret = (struct stat_reading){.histograms = next};
    if (next == NULL || !stat_view_take(map, &ret->view)) {
        free(next);
        return false;
    }
    for (uint32_t i = 0; i < map->head.field_count; i++) {
        if (map->fields[i].kind != SPATE_STAT_HISTOGRAM)
            continue;
        spate_histogram_init(next);
        for (uint32_t shard = 0; shard < map->head.shard_count; shard++)
            stat_map_add_histogram(map, shard, &map->fields[i], next);
        next++;
    }
    return true;
}

void stat_reading_free(struct stat_reading *reading)
{
    stat_view_free(&reading->view);
    free(reading->histograms);
    reading->histograms = NULL;
}

struct between {
    const struct stat_view *before;
    const struct stat_view *after;
    double seconds;
};

static double rate(const struct between *b, const char *name)
{
    uint64_t before = stat_view_sum(b->before, name), after = stat_view_sum(b->after, name);
    return after < before || b->seconds <= 0 ? 0 : (double)(after - before) / b->seconds;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void write_head(const struct between *b, FILE *out)
{
    const struct spate_stat_head *head = &b->after->map->head;
    uint64_t published_ns = stat_view_published_ns(b->after);
    enum stat_state state = stat_map_state(b->after->map);
    const char *end = state == STAT_ENDED ? " (ended)" : state == STAT_GONE ? " (gone)" : "";
    double age_s = (double)(b->after->taken_ns - published_ns) / 1e9;
    fprintf(out, "process %" PRIu64 "%s, spate %.16s, %" PRIu32 " shard%s, up %.0f s, ", head->pid,
            end, head->library, head->shard_count, head->shard_count == 1 ? "" : "s",
            (double)(b->after->taken_ns - head->started_ns) / 1e9);
    if (published_ns == 0)
        fputs("nothing published yet", out);
    else
        fprintf(out, "published %.1f s ago", age_s);
    fprintf(out, "%s\n", b->after->torn_count > 0 ? ", TORN: it died while it wrote" : "");
    if (b->seconds > 0)
        fprintf(out, "rates, stages and waits: of the last %.1f s\n\n", b->seconds);
    else
        fputs("rates, stages and waits: nothing new was published\n\n", out);
}

static void write_rates(const struct between *b, FILE *out)
{
    fprintf(out, "in      %10.0f datagrams/s %9.3f Gbit/s  %8.0f packets/s  %7.0f drops/s\n",
            rate(b, "datagrams_in"), rate(b, "bytes_in") * 8 / 1e9, rate(b, "packets_in"),
            rate(b, "kernel_drops") + rate(b, "unroutable"));
    fprintf(out, "out     %10.0f datagrams/s %9.3f Gbit/s  %8.0f packets/s  %7.0f lost/s\n",
            rate(b, "datagrams_out"), rate(b, "bytes_out") * 8 / 1e9, rate(b, "packets_out"),
            rate(b, "packets_lost"));
    fprintf(out,
            "loop    %10.0f turns/s  %8.0f enters/s  %8.0f sleeps/s  %4.0f %% spun  "
            "%6.0f doorbells/s\n",
            rate(b, "turns"), rate(b, "syscalls"), rate(b, "sleeps"),
            ratio(rate(b, "spun_ns") / 1e7, b->after->map->head.shard_count), rate(b, "doorbells"));
    fprintf(out,
            "ring    %10.0f receives/s of %4.1f  %8.0f trains/s of %4.1f  %5.0f ENOBUFS/s  "
            "%5.0f re-arms/s\n",
            rate(b, "receives"), ratio(rate(b, "datagrams_in"), rate(b, "receives")),
            rate(b, "sends"), ratio(rate(b, "datagrams_out"), rate(b, "sends")),
            rate(b, "receive_enobufs"), rate(b, "receive_rearms"));
    fprintf(out, "strays  %10.0f in/s  %8.0f out/s  %8.0f dropped/s  %6.0f send errors/s\n",
            rate(b, "strays_in"), rate(b, "strays_out"), rate(b, "strays_dropped"),
            rate(b, "send_errors"));
    fprintf(out,
            "queues  %10" PRIu64 " receive slots free  %6" PRIu64 " transmit slots free  %6" PRIu64
            " events\n",
            stat_view_sum(b->after, "receive_slots_free"),
            stat_view_sum(b->after, "transmit_slots_free"), stat_view_sum(b->after, "events_now"));
    fprintf(out,
            "now     %10" PRIu64 " connections  %8" PRIu64 " handshakes  %8.1f MB  longest turn "
            "since the start %.3f ms\n\n",
            stat_view_sum(b->after, "conns_now"), stat_view_sum(b->after, "handshakes_now"),
            (double)stat_view_sum(b->after, "memory_bytes_now") / 1e6,
            (double)stat_view_sum(b->after, "turn_longest_ns") / 1e6);
}

static void write_histograms(const struct stat_reading *before, const struct stat_reading *after,
                             FILE *out)
{
    const struct stat_map *map = after->view.map;
    uint32_t at = 0;
    fprintf(out, "%-20s %10s %10s %10s %10s %10s %10s\n", "stage", "count", "p50", "p90", "p99",
            "p99.9", "max");
    for (uint32_t i = 0; i < map->head.field_count; i++) {
        const struct spate_stat_field *field = &map->fields[i];
        if (field->kind != SPATE_STAT_HISTOGRAM)
            continue;
        struct spate_histogram h;
        bool is_time = strcmp(field->unit, "ns") == 0;
        size_t size = strlen(field->name) - (is_time ? 3 : 0);
        double unit = is_time ? 1e3 : 1;
        int digits = is_time ? 2 : 0;
        spate_histogram_since(&after->histograms[at], &before->histograms[at], &h);
        at++;
        char label[SPATE_STAT_NAME_SIZE + 8];
        (void)snprintf(label, sizeof(label), "%.*s%s", (int)size, field->name,
                       is_time ? " (us)" : "");
        fprintf(out, "%-20s %10" PRIu64, label, h.count);
        static const double levels[] = {50, 90, 99, 99.9, 100};
        for (size_t level = 0; h.count > 0 && level < sizeof(levels) / sizeof(levels[0]); level++)
            fprintf(out, " %10.*f", digits,
                    (double)spate_histogram_percentile(&h, levels[level]) / unit);
        fputc('\n', out);
    }
}

/* ---- Connections ---- */

struct row {
    uint32_t shard, row;
    uint64_t recent_bytes;
};

static int more_bytes_first(const void *a, const void *b)
{
    uint64_t left = ((const struct row *)a)->recent_bytes;
    uint64_t right = ((const struct row *)b)->recent_bytes;
    return left < right ? 1 : left > right ? -1 : 0;
}

static uint64_t conn_value(const struct stat_view *view, const struct row *row, const char *name)
{
    const struct spate_stat_field *field = stat_map_find(view->map, SPATE_STAT_CONN, name);
    return field == NULL ? 0 : stat_view_conn_value(view, row->shard, row->row, field);
}

/* Finds the row that a connection has had before. */
static bool find_before(const struct between *b, const struct row *row, struct row *ret)
{
    uint64_t id = stat_view_conn(b->after, row->shard, row->row)->id;
    for (uint32_t i = 0; i < stat_view_conn_count(b->before, row->shard); i++) {
        if (stat_view_conn(b->before, row->shard, i)->id != id)
            continue;
        *ret = (struct row){.shard = row->shard, .row = i};
        return true;
    }
    return false;
}

/* What a connection has waited for, since it was in the row `before` or, if that is NULL, in its
 * life. */
struct waited {
    uint64_t sum_ns, longest_ns;
    enum spate_wait longest;
};

static struct waited waited_of(const struct between *b, const struct row *row,
                               const struct row *before)
{
    const struct stat_map *map = b->after->map;
    struct waited waited = {0};
    uint32_t kind = 0;
    for (uint32_t i = 0; i < map->head.field_count; i++) {
        const struct spate_stat_field *field = &map->fields[i];
        if (field->part != SPATE_STAT_CONN || strncmp(field->name, "waited_", 7) != 0)
            continue;
        uint64_t after_ns = stat_view_conn_value(b->after, row->shard, row->row, field);
        uint64_t before_ns =
            before == NULL ? 0 : stat_view_conn_value(b->before, before->shard, before->row, field);
        uint64_t ns = after_ns > before_ns ? after_ns - before_ns : 0;
        waited.sum_ns += ns;
        if (ns > waited.longest_ns) {
            waited.longest_ns = ns;
            waited.longest = (enum spate_wait)kind;
        }
        kind++;
    }
    return waited;
}

/* What it has waited for most of the time between both readings; of its life, if it is new or was
 * not published since.  The present reason says little: a shard publishes at the end of a turn,
 * when the connection waits for the next one. */
static const char *longest_wait(const struct between *b, const struct row *row, double *ret_share)
{
    struct row before;
    struct waited waited = {0};
    if (find_before(b, row, &before))
        waited = waited_of(b, row, &before);
    if (waited.sum_ns == 0)
        waited = waited_of(b, row, NULL);
    *ret_share = ratio((double)waited.longest_ns, (double)waited.sum_ns);
    return spate_wait_name(waited.longest);
}

/* The addresses come from the file: what is no text is not printed. */
static void write_conn(const struct between *b, const struct row *row, FILE *out)
{
    const struct stat_view *view = b->after;
    const struct spate_stat_conn *conn = stat_view_conn(view, row->shard, row->row);
    char peer[40];
    size_t used = 0;
    double share;
    const char *wait = longest_wait(b, row, &share);
    for (; used < sizeof(peer) - 1 && conn->peer[used] > ' ' && conn->peer[used] < 0x7f; used++)
        peer[used] = conn->peer[used];
    peer[used] = '\0';
    fprintf(out, "%-28s %9.2f %9.2f %9.2f %9.1f %9.1f %7" PRIu64 "  %s %.0f %%\n", peer,
            (double)conn_value(view, row, "bytes_in") / 1e6,
            (double)conn_value(view, row, "bytes_out") / 1e6,
            (double)conn_value(view, row, "rtt_smoothed_ns") / 1e6,
            (double)conn_value(view, row, "cwnd_bytes") / 1e3,
            (double)conn_value(view, row, "in_flight_bytes") / 1e3,
            conn_value(view, row, "packets_lost"), wait, share * 100);
}

static void write_conns(const struct between *b, FILE *out)
{
    const struct stat_view *view = b->after;
    const struct spate_stat_head *head = &view->map->head;
    struct row *rows = calloc((size_t)head->shard_count * head->conns_max + 1, sizeof(*rows));
    size_t count = 0;
    if (rows == NULL)
        return;
    for (uint32_t shard = 0; shard < head->shard_count; shard++)
        for (uint32_t row = 0; row < stat_view_conn_count(view, shard); row++)
            rows[count++] =
                (struct row){shard, row, stat_view_conn(view, shard, row)->recent_bytes};
    qsort(rows, count, sizeof(*rows), more_bytes_first);
    fprintf(out, "\n%-28s %9s %9s %9s %9s %9s %7s  %s\n", "connection", "MB in", "MB out", "rtt ms",
            "cwnd kB", "flight kB", "lost", "waits for");
    for (size_t i = 0; i < count && i < CONNS_SHOWN; i++)
        write_conn(b, &rows[i], out);
    free(rows);
}

void stat_write_screen(const struct stat_reading *before, const struct stat_reading *after,
                       FILE *out)
{
    const struct between b = {
        .before = &before->view,
        .after = &after->view,
        .seconds =
            (double)(stat_view_published_ns(&after->view) - stat_view_published_ns(&before->view)) /
            1e9,
    };
    write_head(&b, out);
    write_rates(&b, out);
    write_histograms(before, after, out);
    write_conns(&b, out);
}
