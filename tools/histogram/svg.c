/* SPDX-License-Identifier: MIT */
#include "tools/histogram/svg.h"

#include <math.h>
#include <string.h>

/* The curves are left of EDGE, and their names right of it: for these the picture grows. */
enum { EDGE = 870, WIDTH = 1040, HEIGHT = 480, LEFT = 80, TOP = 20, BOTTOM = 50, ROW = 18 };
enum { NAME = EDGE + 56, LETTER = 8 }; /* a letter is less wide than that, nearly always */

#define NINES_MAX 5.0 /* 99.999 % */

static const char *const colors[] = {"#2a6fdb", "#d9480f", "#2b8a3e", "#9c36b5",
                                     "#c2255c", "#0b7285", "#e8a100", "#495057"};

static double x_of(double percentile)
{
    double nines = -log10(fmax(1 - percentile / 100, 1e-6));
    return LEFT + (EDGE - LEFT) * fmin(nines, NINES_MAX) / NINES_MAX;
}

static const char *const dashes[] = {"none", "6 3", "2 3"};

struct range {
    double low, high; /* decimal logarithms */
};

static double y_of(const struct range *range, double value)
{
    double share = (log10(fmax(value, 1e-9)) - range->low) / (range->high - range->low);
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * fmin(fmax(share, 0), 1);
}

static struct range range_of(const struct histogram_curve *curves, uint32_t count, double divisor)
{
    struct range range = {INFINITY, -INFINITY};
    for (uint32_t i = 0; i < count; i++) {
        const struct spate_histogram *h = curves[i].histogram;
        if (h->count == 0)
            continue;
        range.low = fmin(range.low, floor(log10(fmax((double)h->min, 1) / divisor)));
        range.high = fmax(range.high, ceil(log10(fmax((double)h->max, 1) / divisor)));
    }
    if (range.low > range.high)
        range = (struct range){0, 1};
    range.high = fmax(range.high, range.low + 1);
    return range;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void write_text(const char *text, FILE *file)
{
    for (; *text != '\0'; text++) {
        if (*text == '<' || *text == '&' || *text == '>')
            fprintf(file, "&#%d;", *text);
        else if ((unsigned char)*text >= 0x20)
            fputc(*text, file);
    }
}

static void write_grid(const struct range *range, const char *unit, FILE *file)
{
    static const double levels[] = {0, 50, 90, 99, 99.9, 99.99, 99.999};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        fprintf(file,
                "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" class=\"g\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g %%</text>\n",
                x_of(levels[i]), x_of(levels[i]), TOP, HEIGHT - BOTTOM, x_of(levels[i]),
                HEIGHT - BOTTOM + ROW, levels[i]);
    for (double power = range->low; power <= range->high; power++)
        fprintf(file,
                "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" class=\"g\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.10g %s</text>\n",
                LEFT, EDGE, y_of(range, pow(10, power)), y_of(range, pow(10, power)), LEFT - 6,
                y_of(range, pow(10, power)) + 4, pow(10, power), unit);
}

static void write_curve(const struct histogram_curve *curve, const struct range *range,
                        double divisor, const char *style, FILE *file)
{
    const struct spate_histogram *h = curve->histogram;
    uint64_t seen = 0;
    fprintf(file, "<polyline fill=\"none\" stroke-width=\"1.8\" %s points=\"", style);
    for (uint32_t i = 0; i < SPATE_HISTOGRAM_BUCKET_COUNT && h->count > 0; i++) {
        if (h->counts[i] == 0)
            continue;
        uint64_t highest = spate_histogram_highest(i);
        double y = y_of(range, (double)(highest < h->max ? highest : h->max) / divisor);
        fprintf(file, "%.1f,%.1f ", x_of(100.0 * (double)seen / (double)h->count), y);
        seen += h->counts[i];
        fprintf(file, "%.1f,%.1f ", x_of(100.0 * (double)seen / (double)h->count), y);
    }
    fputs("\"/>\n", file);
}

void histogram_write_svg(const struct histogram_curve *curves, uint32_t count, double divisor,
                         const char *unit, FILE *file)
{
    struct range range = range_of(curves, count, divisor);
    size_t width = WIDTH;
    size_t height = HEIGHT;
    for (uint32_t i = 0; i < count; i++) {
        width = larger(width, NAME + LETTER * strlen(curves[i].name));
        height = larger(height, TOP + ROW * ((size_t)i + 2));
    }
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%zu\" height=\"%zu\" "
            "viewBox=\"0 0 %zu %zu\" font-family=\"sans-serif\" font-size=\"12\">\n"
            "<style>text{fill:#333}.g{stroke:#bbb;stroke-width:.6}.b{fill:#fff}"
            "@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#555}.b{fill:#1b1b1b}}"
            "</style>\n<rect width=\"100%%\" height=\"100%%\" class=\"b\"/>\n",
            width, height, width, height);
    write_grid(&range, unit, file);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t color_count = sizeof(colors) / sizeof(colors[0]);
        const char *color = colors[i % color_count];
        char style[64]; /* the second of a color is dashed, and so on */
        (void)snprintf(style, sizeof(style), "stroke=\"%s\" stroke-dasharray=\"%s\"", color,
                       dashes[i / color_count % (sizeof(dashes) / sizeof(dashes[0]))]);
        int y = (int)(TOP + ROW * (i + 1));
        write_curve(&curves[i], &range, divisor, style, file);
        fprintf(file, "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke-width=\"1.8\" %s/>",
                EDGE + 30, EDGE + 50, y - 4, y - 4, style);
        fprintf(file, "<text x=\"%d\" y=\"%d\">", NAME, y);
        write_text(curves[i].name, file);
        fputs("</text>\n", file);
    }
    fputs("</svg>\n", file);
}
