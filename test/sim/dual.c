/* SPDX-License-Identifier: MIT */
#include "test/sim/net.h"

/* The bottleneck with a queue for L4S.  What waits is the queue's; while something does, one action
 * of the clock serves it. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "test/sim/meter.h"

static void serve(void *context, void *argument)
{
    (void)argument;
    struct qs_node *node = context;
    struct qs_link *link = node->link;
    struct qs_wire *wire;
    while ((wire = (void *)dual_take(&link->dual, link->clock->now_ns)) != NULL) {
        wire->ecn = (enum sp_ecn)wire->waiting.ecn;
        if (wire->waiting.is_dropped) {
            qs_node_drop(node, wire, "to shorten the queue");
            continue;
        }
        uint64_t came_ns = wire->waiting.came_ns;
        if (link->meter != NULL)
            qs_meter_on_passed(link->meter, wire->size, came_ns, wire->waiting.begins_ns - came_ns);
        qs_node_pass_at(node, wire, wire->waiting.leaves_ns);
    }
    uint64_t next_ns = dual_next_ns(&link->dual);
    node->is_serving = next_ns != UINT64_MAX;
    if (node->is_serving)
        qs_clock_at(link->clock, next_ns, serve, node, NULL);
}

void qs_node_take_dual(struct qs_node *node, struct qs_wire *wire)
{
    struct qs_link *link = node->link;
    wire->waiting.size = wire->size;
    wire->waiting.ecn = (uint8_t)wire->ecn;
    if (!dual_add(&link->dual, &wire->waiting, link->clock->now_ns)) {
        qs_node_drop(node, wire, "queue full");
        return;
    }
    if (!node->is_serving)
        qs_clock_at(link->clock, dual_next_ns(&link->dual), serve, node, NULL);
    node->is_serving = true;
}

bool qs_dual_take_back(const struct qs_due *due)
{
    if (due->action != serve)
        return false;
    struct qs_link *link = ((struct qs_node *)due->context)->link;
    struct qs_wire *wire;
    while ((wire = (void *)dual_take_back(&link->dual)) != NULL) {
        SB_ASSERT(link->under_way_count > 0);
        link->under_way_count--;
        qs_wire_destroy(wire);
    }
    return true;
}
