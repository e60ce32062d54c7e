/* SPDX-License-Identifier: MIT */
/* spate hist: histograms of engines and of HdrHistogram's logs, printed, added, compared, drawn. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/histogram.h>
#include <spate/stats.h>

#include "tools/histogram/log.h"
#include "tools/histogram/percentiles.h"
#include "tools/histogram/svg.h"
#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/options.h"
#include "tools/spate/stat_map.h"

enum { TAGS_MAX = 64 };

static const char usage_text[] =
    "usage: spate hist print|merge|compare|draw FILE... [OPTIONS]\n"
    "\n"
    "A FILE is a log of HdrHistogram, or a file of counters (\"spate stat --help\"),\n"
    "whose histograms have their names as tags.  Histograms of one tag are added.\n"
    "\n"
    "  print          percentiles of each tag\n"
    "  merge          all files as one log\n"
    "  compare A B    both, and the second by the first\n"
    "  draw           a picture (SVG): values over percentiles; counts, such as\n"
    "                 train_datagrams, only by --tag\n"
    "\n"
    "  --tag TAG      this one alone\n"
    "  --full         print: the distribution, as HdrHistogram's plotter reads it\n"
    "  --unit UNIT    of the values: ns (default: shown as microseconds, but for the\n"
    "                 counts of an engine) or 1\n"
    "  --output FILE  where to write (default: stdout)\n";

struct tagged {
    char tag[HISTOGRAM_TAG_SIZE];
    struct spate_histogram histogram;
};

struct set {
    struct tagged *items[TAGS_MAX];
    uint32_t count;
};

struct hist_options {
    const char *tag;
    const char *output;
    double divisor;
    bool is_full;
};

/* ---- Reading ---- */

/* Returns the histogram of a tag, a new one if there is none; NULL without room. */
static struct spate_histogram *find(struct set *set, const char *tag)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i]->tag, tag) == 0)
            return &set->items[i]->histogram;
    struct tagged *item = set->count < TAGS_MAX ? malloc(sizeof(*item)) : NULL;
    if (item == NULL)
        return NULL;
    (void)snprintf(item->tag, sizeof(item->tag), "%s", tag);
    spate_histogram_init(&item->histogram);
    set->items[set->count++] = item;
    return &item->histogram;
}

static void set_free(struct set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        free(set->items[i]);
    set->count = 0;
}

static int no_room(const char *path)
{
    message("hist", "%s: there are more than %d histograms, or there is no memory", path, TAGS_MAX);
    return EXIT_FAILURE;
}

static int read_map(const struct stat_map *map, const char *tag, struct set *set)
{
    for (uint32_t i = 0; i < map->head.field_count; i++) {
        const struct spate_stat_field *field = &map->fields[i];
        if (field->kind != SPATE_STAT_HISTOGRAM || (tag != NULL && strcmp(field->name, tag) != 0))
            continue;
        struct spate_histogram *sum = find(set, field->name);
        if (sum == NULL)
            return no_room(map->path);
        for (uint32_t shard = 0; shard < map->head.shard_count; shard++)
            stat_map_add_histogram(map, shard, field, sum);
    }
    return 0;
}

/* A line of a log; what is longer than any histogram is not put together. */
struct line {
    char bytes[HISTOGRAM_LINE_MAX + 2]; /* with its end, and a zero byte */
    uint32_t number;
};

/* Reads the next line.  Returns 1; 0 at the end of the file; or -1 if it cannot be read: errno says
 * why. */
static int read_line(FILE *file, struct line *ret)
{
    const size_t last = sizeof(ret->bytes) - 1;
    ret->bytes[last] = 1; /* becomes 0 if the line fills the room */
    errno = 0;
    if (fgets(ret->bytes, (int)sizeof(ret->bytes), file) == NULL)
        return ferror(file) ? -1 : 0;
    ret->number++;
    if (ret->bytes[last] != '\0' || ret->bytes[last - 1] == '\n')
        return 1;
    errno = EMSGSIZE;
    return -1;
}

/* Adds the histogram of a line, if it has one. */
static int take_line(const char *path, const struct line *line, const char *tag, struct set *set)
{
    static struct spate_histogram one;
    char own[HISTOGRAM_TAG_SIZE];
    spate_histogram_init(&one);
    int result = histogram_log_read(line->bytes, own, &one);
    if (result < 0) {
        message("hist", "%s, line %u: it is no histogram", path, line->number);
        return EXIT_FAILURE;
    }
    if (result == 0 || (tag != NULL && strcmp(tag, own) != 0))
        return 0;
    struct spate_histogram *sum = find(set, own);
    if (sum == NULL)
        return no_room(path);
    spate_histogram_add(sum, &one);
    return 0;
}

static int read_log(const char *path, const char *tag, struct set *set)
{
    static struct line line;
    int status = 0, got = 1;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        message("hist", "%s: %s", path, strerror(errno));
        return EXIT_FAILURE;
    }
    line.number = 0;
    while (status == 0 && (got = read_line(file, &line)) > 0)
        status = take_line(path, &line, tag, set);
    if (got < 0 && errno == EMSGSIZE)
        message("hist", "%s, line %u: it is longer than a histogram can be", path, line.number);
    else if (got < 0) /* a folder, for example */
        message("hist", "%s: %s", path, strerror(errno));
    (void)fclose(file);
    return got < 0 ? EXIT_FAILURE : status;
}

static int read_file(const char *path, const char *tag, struct set *set)
{
    struct stat_map map;
    if (stat_map_open(path, &map) != NULL)
        return read_log(path, tag, set);
    int status = read_map(&map, tag, set);
    stat_map_close(&map);
    return status;
}

/* ---- Writing ---- */

static const double levels[] = {50, 90, 95, 99, 99.9, 100};

/* Returns whether a histogram of shards has this name and no unit.  Its name is all that a log
 * keeps of it. */
static bool is_count(const char *tag)
{
    const char *name;
    size_t size = strlen(tag);
    if (size > 3 && strcmp(tag + size - 3, "_ns") == 0)
        return false;
    for (uint32_t i = 0; (name = spate_shard_histogram_name(i)) != NULL; i++)
        if (strcmp(name, tag) == 0)
            return true;
    return false;
}

static double divisor_of(const char *tag, const struct hist_options *options)
{
    return is_count(tag) ? 1 : options->divisor;
}

/* The unit is behind the values: us, or nothing. */
static void print_row(const char *name, const struct spate_histogram *h, double divisor, FILE *out)
{
    fprintf(out, "%-24s %12" PRIu64, name[0] != '\0' ? name : "-", h->count);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        fprintf(out, " %11.*f", divisor > 1 ? 3 : 0,
                (double)spate_histogram_percentile(h, levels[i]) / divisor);
    fputs(divisor > 1 ? " us\n" : "\n", out);
}

static void print_titles(FILE *out)
{
    fprintf(out, "%-24s %12s %11s %11s %11s %11s %11s %11s\n", "", "count", "p50", "p90", "p95",
            "p99", "p99.9", "max");
}

static void print(const struct set *set, const struct hist_options *options, FILE *out)
{
    if (!options->is_full)
        print_titles(out);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct tagged *item = set->items[i];
        if (!options->is_full) {
            print_row(item->tag, &item->histogram, divisor_of(item->tag, options), out);
            continue;
        }
        fprintf(out, "# %s\n", item->tag);
        histogram_write_percentiles(&item->histogram, divisor_of(item->tag, options), out);
    }
}

static int merge(const struct set *set, FILE *out)
{
    histogram_log_begin(out);
    for (uint32_t i = 0; i < set->count; i++)
        if (!histogram_log_write(out, set->items[i]->tag, &set->items[i]->histogram)) {
            message("hist", "%s", strerror(ENOMEM));
            return EXIT_FAILURE;
        }
    return EXIT_SUCCESS;
}

static void compare(const struct set *a, struct set *b, const struct hist_options *options,
                    FILE *out)
{
    print_titles(out);
    for (uint32_t i = 0; i < a->count; i++) {
        const struct spate_histogram *left = &a->items[i]->histogram;
        const struct spate_histogram *right = find(b, a->items[i]->tag);
        if (right == NULL)
            continue;
        double divisor = divisor_of(a->items[i]->tag, options);
        print_row(a->items[i]->tag, left, divisor, out);
        print_row("", right, divisor, out);
        fprintf(out, "%-24s %12s", "  ratio", "");
        for (size_t at = 0; at < sizeof(levels) / sizeof(levels[0]); at++) {
            uint64_t before = spate_histogram_percentile(left, levels[at]);
            uint64_t after = spate_histogram_percentile(right, levels[at]);
            if (before > 0 && right->count > 0)
                fprintf(out, " %11.3f", (double)after / (double)before);
            else
                fprintf(out, " %11s", "-");
        }
        fputc('\n', out);
    }
}

/* One axis has one unit: counts are drawn if nothing else was asked for. */
static void draw(const struct set *set, const struct hist_options *options, FILE *out)
{
    bool is_of_counts = options->tag != NULL && is_count(options->tag);
    double divisor = is_of_counts ? 1 : options->divisor;
    struct histogram_curve curves[TAGS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i]->histogram.count > 0 && is_count(set->items[i]->tag) == is_of_counts)
            curves[count++] =
                (struct histogram_curve){set->items[i]->tag, &set->items[i]->histogram};
    histogram_write_svg(curves, count, divisor, divisor > 1 ? "us" : "", out);
}

/* ---- The command ---- */

static int take(void *context, int option, const char *value)
{
    struct hist_options *options = context;
    switch (option) {
    case 't':
        options->tag = value;
        return 0;
    case 'f':
        options->is_full = true;
        return 0;
    case 'o':
        options->output = value;
        return 0;
    default:
        if (strcmp(value, "ns") != 0 && strcmp(value, "1") != 0)
            return message_usage("hist", "--unit must be ns or 1, not", value);
        options->divisor = value[0] == 'n' ? 1e3 : 1;
        return 0;
    }
}

static int write_out(const char *verb, const struct set *set, struct set *other,
                     const struct hist_options *options)
{
    int status = EXIT_SUCCESS;
    FILE *out = options->output != NULL ? fopen(options->output, "we") : stdout;
    if (out == NULL) {
        message("hist", "%s: %s", options->output, strerror(errno));
        return EXIT_FAILURE;
    }
    if (strcmp(verb, "print") == 0)
        print(set, options, out);
    else if (strcmp(verb, "merge") == 0)
        status = merge(set, out);
    else if (strcmp(verb, "compare") == 0)
        compare(set, other, options, out);
    else
        draw(set, options, out);
    bool is_failed = fflush(out) != 0 || ferror(out);
    if (out == stdout) /* main() looks at it */
        return status;
    is_failed = fclose(out) != 0 || is_failed;
    if (is_failed)
        message("hist", "cannot write %s", options->output);
    return is_failed ? EXIT_FAILURE : status;
}

static bool is_verb(const char *verb)
{
    static const char *const verbs[] = {"print", "merge", "compare", "draw"};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verb, verbs[i]) == 0)
            return true;
    return false;
}

int hist_run(int argc, char **argv)
{
    static const struct option longs[] = {
        {"tag", required_argument, NULL, 't'},  {"full", no_argument, NULL, 'f'},
        {"unit", required_argument, NULL, 'u'}, {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    struct hist_options options = {.divisor = 1e3};
    const struct options_spec spec = {.command = "hist",
                                      .usage = usage_text,
                                      .short_options = ":o:",
                                      .longs = longs,
                                      .take = take,
                                      .context = &options};
    int status;
    struct set sets[2] = {{.count = 0}, {.count = 0}};
    if (!options_parse(&spec, argc, argv, &status))
        return status;
    const char *verb = optind < argc ? argv[optind++] : "";
    if (!is_verb(verb))
        return message_usage("hist", "print, merge, compare or draw comes first, not", verb);
    bool is_pair = strcmp(verb, "compare") == 0;
    if (is_pair ? argc - optind != 2 : argc == optind)
        return message_usage("hist", is_pair ? "compare takes two files" : "files are missing",
                             NULL);
    for (int i = optind; i < argc && status == 0; i++)
        status = read_file(argv[i], options.tag, &sets[is_pair && i > optind]);
    if (status == 0)
        status = write_out(verb, &sets[0], &sets[1], &options);
    set_free(&sets[0]);
    set_free(&sets[1]);
    return status;
}
