/* SPDX-License-Identifier: MIT */
/* The counters of a relay, as text or as a line of JSON. */

#include <inttypes.h>
#include <stdio.h>

#include "tools/spate/relay/node.h"

static void print_counts(bool is_json, const char *title, const char *const *names,
                         const uint64_t *counts, uint32_t count)
{
    printf(is_json ? "\"%s\":{" : "%s:", title);
    for (uint32_t i = 0, printed = 0; i < count; i++) {
        if (is_json)
            printf("%s\"%s\":%" PRIu64, i > 0 ? "," : "", names[i], counts[i]);
        else if (counts[i] > 0 && ++printed > 0)
            printf(" %s %" PRIu64, names[i], counts[i]);
    }
    printf(is_json ? "}," : "\n");
}

static void print_link(const struct relay_node *node, uint32_t i, bool is_json, bool is_first)
{
    const struct relay_link *link = &node->links[i];
    const struct relay_neighbour *n = &node->core.peers[i];
    if (is_json && !is_first)
        printf(",");
    printf(is_json ? "{\"unit\":%u,\"state\":\"%s\",\"rtt_ms\":%.3f,\"rtt_min_ms\":%.3f,"
                     "\"rtt_max_ms\":%.3f,\"cost\":%u,\"in\":%" PRIu64 ",\"in_bytes\":%" PRIu64
                     ",\"out\":%" PRIu64 ",\"out_bytes\":%" PRIu64 "}"
                   : "neighbour %u: %s, rtt %.3f ms (%.3f to %.3f), cost %u, in %" PRIu64
                     " (%" PRIu64 " bytes), out %" PRIu64 " (%" PRIu64 " bytes)\n",
           link->unit, n->is_alive ? "alive" : "silent", (double)link->rtt_ns / 1e6,
           (double)link->rtt_min_ns / 1e6, (double)link->rtt_max_ns / 1e6, n->cost, link->in_count,
           link->in_bytes, link->out_count, link->out_bytes);
}

static void print_routes(const struct relay_node *node, bool is_json)
{
    bool is_first = true;
    if (is_json)
        printf("],\"routes\":[");
    for (uint32_t i = 0; i < 2 * RELAY_UNITS_MAX; i++) {
        const struct relay_route *route = &node->core.routes.places[i];
        if (route->unit == 0 || route->best == RELAY_NO_PEER)
            continue;
        const struct relay_candidate *way = &route->candidates[route->best];
        printf(is_json ? "%s{\"unit\":%u,\"by\":%u,\"cost\":%u}" : "%sunit %u by %u, cost %u\n",
               is_json && !is_first ? "," : "", route->unit, node->links[way->peer].unit,
               way->cost);
        is_first = false;
    }
    if (is_json)
        printf("],");
}

void relay_report(const struct relay_node *node, uint64_t now_ns)
{
    const struct relay_core *core = &node->core;
    const struct relay_device *d = &node->device;
    bool is_json = node->options->is_json, is_first = true;
    if (is_json)
        printf("{\"unit\":%u,\"seconds\":%.3f,\"neighbours\":[", core->unit,
               (double)(now_ns - node->started_ns) / 1e9);
    for (uint32_t i = 0; i < RELAY_PEERS_MAX; i++) {
        if (node->links[i].conn == NULL || !node->links[i].is_ready)
            continue;
        print_link(node, i, is_json, is_first);
        is_first = false;
    }
    print_routes(node, is_json);
    print_counts(is_json, "paths", relay_path_names, core->path_counts, RELAY_PATH_COUNT);
    print_counts(is_json, "drops", relay_drop_names, core->drop_counts, RELAY_DROP_COUNT);
    printf(is_json ? "\"cut\":%" PRIu64 ",\"incomplete\":%" PRIu64 ",\"device\":{\"read\":%" PRIu64
                     ",\"read_bytes\":%" PRIu64 ",\"written\":%" PRIu64
                     ",\"written_bytes\":%" PRIu64 ",\"refused\":%" PRIu64 "}}\n"
                   : "cut %" PRIu64 ", incomplete %" PRIu64 "; device: read %" PRIu64 " (%" PRIu64
                     " bytes), written %" PRIu64 " (%" PRIu64 " bytes), refused %" PRIu64 "\n",
           core->cut_count, core->reassembly.dropped_count, d->read_count, d->read_bytes,
           d->written_count, d->written_bytes, d->refused_count);
    (void)fflush(stdout);
}
