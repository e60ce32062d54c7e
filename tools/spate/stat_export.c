/* SPDX-License-Identifier: MIT */
#include "tools/spate/stat_export.h"

#include <inttypes.h>
#include <string.h>

#include <spate/conn.h>

/* Of histograms, one bucket of Prometheus per power of two. */
enum { NS_BITS_FIRST = 8, NS_BITS_LAST = 35, COUNT_BITS_LAST = 12 };

/* ---- JSON ---- */

/* Names and addresses have nothing that JSON would have to escape, but the file is not ours. */
static void write_text(const char *text, size_t size, FILE *out)
{
    fputc('"', out);
    for (size_t i = 0; i < size && text[i] != '\0'; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void write_histogram(const struct spate_histogram *h, FILE *out)
{
    static const struct {
        const char *name;
        double percentile;
    } levels[] = {{"p50", 50}, {"p90", 90}, {"p95", 95}, {"p99", 99}, {"p999", 99.9}};
    fprintf(out, "{\"count\": %" PRIu64, h->count);
    if (h->count > 0) {
        fprintf(out, ", \"min\": %" PRIu64 ", \"mean\": %.1f", h->min,
                (double)h->sum / (double)h->count);
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
            fprintf(out, ", \"%s\": %" PRIu64, levels[i].name,
                    spate_histogram_percentile(h, levels[i].percentile));
        fprintf(out, ", \"max\": %" PRIu64, h->max);
    }
    fputc('}', out);
}

static void write_conn(const struct stat_view *view, uint32_t shard, uint32_t row, FILE *out)
{
    const struct stat_map *map = view->map;
    const struct spate_stat_conn *conn = stat_view_conn(view, shard, row);
    fprintf(out, "%s\n      {\"id\": %" PRIu64 ", \"peer\": ", row > 0 ? "," : "", conn->id);
    write_text(conn->peer, sizeof(conn->peer), out);
    fprintf(out, ", \"recent_bytes\": %" PRIu64, conn->recent_bytes);
    for (uint32_t i = 0; i < map->head.field_count; i++) {
        const struct spate_stat_field *field = &map->fields[i];
        if (field->part == SPATE_STAT_CONN)
            fprintf(out, ", \"%s\": %" PRIu64, field->name,
                    stat_view_conn_value(view, shard, row, field));
    }
    fputc('}', out);
}

static void write_shard(const struct stat_view *view, uint32_t shard, FILE *out)
{
    const struct stat_map *map = view->map;
    fprintf(out, "%s\n    {\"published_ns\": %" PRIu64, shard > 0 ? "," : "",
            stat_view_shard(view, shard)->published_ns);
    for (uint32_t i = 0; i < map->head.field_count; i++) {
        const struct spate_stat_field *field = &map->fields[i];
        if (field->part != SPATE_STAT_SHARD)
            continue;
        fprintf(out, ",\n     \"%s\": ", field->name);
        if (field->kind == SPATE_STAT_HISTOGRAM) {
            struct spate_histogram h;
            spate_histogram_init(&h);
            stat_map_add_histogram(map, shard, field, &h);
            write_histogram(&h, out);
        } else {
            fprintf(out, "%" PRIu64, stat_view_value(view, shard, field));
        }
    }
    fputs(",\n     \"conns\": [", out);
    for (uint32_t row = 0; row < stat_view_conn_count(view, shard); row++)
        write_conn(view, shard, row, out);
    fputs("]}", out);
}

void stat_write_json(const struct stat_view *view, FILE *out)
{
    const struct spate_stat_head *head = &view->map->head;
    fprintf(out, "{\n  \"pid\": %" PRIu64 ",\n  \"library\": ", head->pid);
    write_text(head->library, sizeof(head->library), out);
    fprintf(out, ",\n  \"state\": \"%s\"", stat_state_name(stat_map_state(view->map)));
    fprintf(out,
            ",\n  \"started_wall_ns\": %" PRIu64 ",\n  \"started_ns\": %" PRIu64
            ",\n  \"taken_ns\": %" PRIu64 ",\n  \"torn_shards\": %" PRIu32 ",\n  \"shards\": [",
            head->started_wall_ns, head->started_ns, view->taken_ns, view->torn_count);
    for (uint32_t i = 0; i < head->shard_count; i++)
        write_shard(view, i, out);
    fputs("\n  ]\n}\n", out);
}

/* ---- Prometheus ---- */

/* A name without its unit, and with that of Prometheus: turn_longest_ns is turn_longest_seconds. */
static void write_name(const struct spate_stat_field *field, const char *suffix, FILE *out)
{
    size_t size = strlen(field->name);
    bool is_time = strcmp(field->unit, "ns") == 0 && size > 3;
    fprintf(out, "spate_%.*s%s%s", (int)(is_time ? size - 3 : size), field->name,
            is_time ? "_seconds" : "", suffix);
}

static void write_value(const struct spate_stat_field *field, double value, FILE *out)
{
    fprintf(out, "%.17g\n", strcmp(field->unit, "ns") == 0 ? value / 1e9 : value);
}

static void write_series(const struct stat_map *map, const struct spate_stat_field *field,
                         uint32_t shard, FILE *out)
{
    struct spate_histogram h;
    bool is_time = strcmp(field->unit, "ns") == 0;
    uint64_t seen = 0;
    uint32_t index = 0;
    spate_histogram_init(&h);
    stat_map_add_histogram(map, shard, field, &h);
    uint32_t last = is_time ? NS_BITS_LAST : COUNT_BITS_LAST;
    for (uint32_t bits = is_time ? NS_BITS_FIRST : 0; bits <= last; bits++) {
        uint64_t top = UINT64_C(1) << bits;
        for (; index < SPATE_HISTOGRAM_BUCKET_COUNT && spate_histogram_highest(index) <= top;
             index++)
            seen += h.counts[index];
        write_name(field, "_bucket", out);
        fprintf(out, "{shard=\"%" PRIu32 "\",le=\"%.12g\"} %" PRIu64 "\n", shard,
                is_time ? (double)top / 1e9 : (double)top, seen);
    }
    write_name(field, "_bucket", out);
    fprintf(out, "{shard=\"%" PRIu32 "\",le=\"+Inf\"} %" PRIu64 "\n", shard, h.count);
    write_name(field, "_sum", out);
    fprintf(out, "{shard=\"%" PRIu32 "\"} ", shard);
    write_value(field, (double)h.sum, out);
    write_name(field, "_count", out);
    fprintf(out, "{shard=\"%" PRIu32 "\"} %" PRIu64 "\n", shard, h.count);
}

static void write_family(const struct stat_view *view, const struct spate_stat_field *field,
                         FILE *out)
{
    static const char *const types[] = {[SPATE_STAT_COUNTER] = "counter",
                                        [SPATE_STAT_GAUGE] = "gauge",
                                        [SPATE_STAT_HISTOGRAM] = "histogram"};
    if (field->kind < SPATE_STAT_COUNTER || field->kind > SPATE_STAT_HISTOGRAM)
        return;
    const char *suffix = field->kind == SPATE_STAT_COUNTER ? "_total" : "";
    fputs("# HELP ", out);
    write_name(field, suffix, out);
    fprintf(out, " %s of spate/counters.h.\n# TYPE ", field->name);
    write_name(field, suffix, out);
    fprintf(out, " %s\n", types[field->kind]);
    for (uint32_t shard = 0; shard < view->map->head.shard_count; shard++) {
        if (field->kind == SPATE_STAT_HISTOGRAM) {
            write_series(view->map, field, shard, out);
            continue;
        }
        write_name(field, suffix, out);
        fprintf(out, "{shard=\"%" PRIu32 "\"} ", shard);
        write_value(field, (double)stat_view_value(view, shard, field), out);
    }
}

static void write_gauge(const char *name, const char *help, double value, FILE *out)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %.17g\n", name, help, name, name, value);
}

void stat_write_prometheus_life(const struct stat_view *view, FILE *out)
{
    const struct spate_stat_head *head = &view->map->head;
    uint64_t published_ns = stat_view_published_ns(view);
    bool is_up = stat_map_state(view->map) == STAT_RUNNING;
    write_gauge("spate_up", "1: the engine runs; 0: it has ended, or its process has died.", is_up,
                out);
    write_gauge("spate_start_time_seconds", "When the engine was made, since 1970.",
                (double)head->started_wall_ns / 1e9, out);
    uint64_t since_ns = published_ns != 0 ? published_ns : head->started_ns;
    if (view->taken_ns >= since_ns) /* otherwise the file is of another boot */
        write_gauge("spate_published_age_seconds",
                    "Since a shard has published last; one in which nothing happens does not.",
                    (double)(view->taken_ns - since_ns) / 1e9, out);
}

void stat_write_prometheus(const struct stat_view *view, FILE *out)
{
    const struct stat_map *map = view->map;
    for (uint32_t i = 0; i < map->head.field_count; i++)
        if (map->fields[i].part == SPATE_STAT_SHARD)
            write_family(view, &map->fields[i], out);
    stat_write_prometheus_life(view, out);
}
