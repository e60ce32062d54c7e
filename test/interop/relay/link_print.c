/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "test/interop/relay/link.h"

static double percentile_us(const struct link *link, double percentile)
{
    return (double)spate_histogram_percentile(&link->waits, percentile) / 1e3;
}

void link_print(const struct link *link, FILE *file)
{
    const struct link_counts *c = &link->counts;
    (void)fprintf(file,
                  "\"seen\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"lost\": %" PRIu64
                  ", \"overflowed\": %" PRIu64 ", \"policed\": %" PRIu64 ", \"oversized\": %" PRIu64
                  ", \"corrupted\": %" PRIu64 ", \"duplicated\": %" PRIu64
                  ", \"reordered\": %" PRIu64 ", \"marked\": %" PRIu64
                  ", \"queue_p50_us\": %.1f, \"queue_p99_us\": %.1f, \"queue_max_us\": %.1f"
                  ", \"gap_ms\": %.3f, \"back_ms\": %.3f",
                  c->seen, c->bytes, c->lost, c->overflowed, c->policed, c->oversized, c->corrupted,
                  c->duplicated, c->reordered, c->marked, percentile_us(link, 50),
                  percentile_us(link, 99), percentile_us(link, 100), (double)link->gap_ns / 1e6,
                  (double)link->back_ns / 1e6);
}
